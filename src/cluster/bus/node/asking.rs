//! Requests that came in here for sessions of other nodes.

use super::super::action::{Action, Admission, Failure, Stream};
use super::super::message::{Id, Item, MAX_ID, MAX_PIECE, Millis, Purpose, Run, Why};
use super::{
    ACCEPT, Asked, BUS_SILENT, Flow, HELLO, JOIN, MARGIN, MAX_ASKED, MAX_HELD, MAX_HELD_OF_SESSION, MAX_TRIES, Node,
    START, Waiting,
};

impl Node {
    /// Asks whether a request that came in here may be looked at. It waits until the node that gave the answer before
    /// has said that its client got it, and while this node asks for the session.
    pub fn admit(&mut self, purpose: Purpose, id: &[u8], token: u64) -> Admission {
        let Some(traffic) = self.sessions.get_mut(id) else { return Admission::Now };
        if !traffic.must_wait(purpose) {
            return Admission::Now;
        }
        if self.waiting >= MAX_HELD || traffic.held.len() >= MAX_HELD_OF_SESSION {
            return Admission::Never;
        }
        traffic.held.push_back(Waiting::Here { purpose, token });
        self.waiting += 1;
        Admission::Later
    }

    /// Hands a request on to the owner of a session that is not of this process. Head and body have at most
    /// [`MAX_PIECE`] bytes each; more of the body follows by [`Node::send`].
    pub fn ask(&mut self, now: Millis, purpose: Purpose, id: &[u8], head: &[u8], body: &[u8], last: bool) -> Stream {
        while self.asked.contains_key(&self.next_ticket) {
            self.next_ticket = self.next_ticket.wrapping_add(1);
        }
        let ticket = self.next_ticket;
        self.next_ticket = ticket.wrapping_add(1);
        let failure = if id.len() > MAX_ID {
            Some(Failure::Unknown)
        } else if head.len() > MAX_PIECE || body.len() > MAX_PIECE {
            Some(Failure::TooLarge)
        } else if self.asked.len() >= MAX_ASKED {
            Some(Failure::Unavailable)
        } else {
            None
        };
        if let Some(failure) = failure {
            self.actions.push_back(Action::Failed { stream: Stream::Asked(ticket), failure });
            return Stream::Asked(ticket);
        }
        let asked = Asked {
            id: id.to_vec(),
            purpose,
            request: Some((head.to_vec(), body.to_vec(), last)),
            peer: 0,
            doomed: false,
            taken: false,
            answered: false,
            tried: Vec::new(),
            flow: Flow { sent_last: last, ..Flow::default() },
            fail_at: None,
        };
        self.asked.insert(ticket, asked);
        self.send_request(now, ticket);
        Stream::Asked(ticket)
    }

    /// Whether another node may have a session with this id.
    pub fn knows(&self, now: Millis, id: &[u8]) -> bool {
        id.len() <= MAX_ID && self.route(now, id, &[]) != Err(Failure::Unknown)
    }

    /// Whether the node of this run, and no other one, stands for the member that an id names.
    pub fn is_of(&self, id: &[u8], run: Run) -> bool {
        let Some(member) = self.key.owner_of(id) else { return false };
        let stands = |run: &&Run| self.peers.get(*run).is_some_and(|peer| peer.members.contains(&member));
        let mut standing = self.routes.get(&member.number).into_iter().flatten().filter(stands);
        !self.moved.contains_key(id) && standing.next() == Some(&run) && standing.next().is_none()
    }

    /// The whole answer was handed to the client's connection, and of a relay both directions have ended.
    pub fn done(&mut self, stream: Stream) {
        let Stream::Asked(ticket) = stream else { return };
        if self.asked.get(&ticket).is_some_and(|asked| asked.flow.came_last) {
            self.push_asked(ticket, &Item::Done { ticket });
            self.remove_asked(ticket);
        } else {
            self.cut(stream);
        }
    }

    pub(super) fn send_request(&mut self, now: Millis, ticket: u32) {
        let Some(asked) = self.asked.get(&ticket) else { return };
        match self.route(now, &asked.id, &asked.tried) {
            Ok(run) => self.send_request_to(now, ticket, run),
            Err(Failure::Unavailable) if asked.tried.is_empty() && self.may_wait(now) => {
                self.unsent.insert(ticket);
                self.set_deadline(ticket, Some(self.started + START));
            }
            Err(failure) => self.fail(ticket, failure),
        }
    }

    /// Whether a request may wait because this node has just started.
    fn may_wait(&self, now: Millis) -> bool {
        now < self.started + START && self.unsent.len() < MAX_HELD
    }

    /// Tries again to send what came in before this node knew where to ask.
    pub(super) fn send_unsent(&mut self, now: Millis) {
        for ticket in std::mem::take(&mut self.unsent) {
            self.send_request(now, ticket);
        }
    }

    pub(super) fn send_request_to(&mut self, now: Millis, ticket: u32, run: Run) {
        let Some(asked) = self.asked.get(&ticket) else { return };
        let (id, purpose) = (asked.id.clone(), asked.purpose);
        let (Some(asked), Some(peer)) = (self.asked.get_mut(&ticket), self.peers.get_mut(&run)) else { return };
        let (Some(theirs), Some(association)) = (peer.clock.theirs(now), &mut peer.association) else {
            return self.fail(ticket, Failure::Unavailable);
        };
        let Some((head, body, last)) = asked.request.clone() else {
            return self.fail(ticket, Failure::Unavailable);
        };
        if association.room() == 0 {
            return self.fail(ticket, Failure::Unavailable);
        }
        let expires = theirs + ACCEPT;
        association.push(&Item::Request { ticket, purpose, expires, id: id.clone(), head, body, last });
        peer.asked.insert(ticket);
        (asked.peer, asked.taken) = (run, false);
        self.set_deadline(ticket, Some(now + ACCEPT + MARGIN));
        if purpose == Purpose::Upgrade {
            self.sessions.entry(id).or_default().claiming.get_or_insert(ticket);
        }
    }

    /// The node to ask for a session.
    pub(super) fn route(&self, now: Millis, id: &[u8], tried: &[Run]) -> Result<Run, Failure> {
        if tried.len() >= MAX_TRIES {
            return Err(Failure::Unavailable);
        }
        if let Some((run, _)) = self.moved.get(id).filter(|(run, _)| !tried.contains(run)) {
            return match self.peers.get(run) {
                Some(peer) if peer.association.is_some() => Ok(*run),
                Some(_) => Err(Failure::Unavailable),
                None => Err(Failure::Unknown),
            };
        }
        let member = self.key.owner_of(id).ok_or(Failure::Unknown)?;
        let runs = self.routes.get(&member.number).map_or(&[][..], Vec::as_slice);
        let stands = |run: &&Run| self.peers.get(*run).is_some_and(|peer| peer.members.contains(&member));
        // a node that was asked stood for the member, also if it does not any more
        let (mut seen, mut silent) = (!tried.is_empty(), false);
        for run in runs.iter().filter(stands) {
            seen = true;
            if tried.contains(run) {
                continue;
            }
            if self.peers.get(run).is_some_and(|peer| peer.association.is_some()) {
                return Ok(*run);
            }
            silent = true;
        }
        if silent {
            return Err(Failure::Unavailable);
        }
        let replaced = runs.iter().any(|run| self.peers.get(run).is_some_and(|peer| peer.association.is_some()));
        let ours = self.member == member || self.former.contains(&member) || self.others.contains(&member);
        let bus_heard = self.bus_heard.is_some_and(|at| now < at + BUS_SILENT);
        let sure = seen || replaced || ours || (bus_heard && now >= self.started + JOIN + HELLO);
        Err(if sure { Failure::Unknown } else { Failure::Unavailable })
    }

    pub(super) fn set_deadline(&mut self, ticket: u32, at: Option<Millis>) {
        let Some(asked) = self.asked.get_mut(&ticket) else { return };
        if let Some(before) = asked.fail_at.take() {
            self.deadlines.remove(&(before, ticket));
        }
        asked.fail_at = at;
        self.deadlines.extend(at.map(|at| (at, ticket)));
    }

    pub(super) fn fail(&mut self, ticket: u32, failure: Failure) {
        let Some(asked) = self.asked.get(&ticket) else { return };
        let failure = if asked.answered { Failure::Cut } else { failure };
        self.actions.push_back(Action::Failed { stream: Stream::Asked(ticket), failure });
        self.remove_asked(ticket);
    }

    pub(super) fn remove_asked(&mut self, ticket: u32) {
        self.set_deadline(ticket, None);
        self.unsent.remove(&ticket);
        let Some(asked) = self.asked.remove(&ticket) else { return };
        if let Some(peer) = self.peers.get_mut(&asked.peer) {
            peer.asked.remove(&ticket);
        }
        self.stop_claiming(&asked.id, ticket);
    }

    pub(super) fn stop_claiming(&mut self, id: &Id, ticket: u32) {
        if let Some(traffic) = self.sessions.get_mut(id).filter(|traffic| traffic.claiming == Some(ticket)) {
            traffic.claiming = None;
            self.release(id);
        }
    }

    /// Tells the owner that the client has gone, or has been told that the request failed.
    pub(super) fn cut_asked(&mut self, ticket: u32) {
        self.push_asked(ticket, &Item::Cut { ticket, asker: true, why: Why::Gone });
    }

    pub(super) fn push_asked(&mut self, ticket: u32, item: &Item) {
        let Some(asked) = self.asked.get(&ticket).filter(|asked| !asked.doomed) else { return };
        if let Some(association) = self.peers.get_mut(&asked.peer).and_then(|peer| peer.association.as_mut()) {
            association.push(item);
        }
    }
}
