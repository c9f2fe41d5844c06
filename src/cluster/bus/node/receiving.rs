//! Messages and the items in them.

use super::super::action::{Action, Failure, Stream};
use super::super::association::{Association, Broken, MAX_QUEUED};
use super::super::message::{self, Header, Hello, Item, Kind, Millis, Purpose, Refused, Run, Why};
use super::{
    ACCEPT, Asked, BUS_SILENT, CREDIT, Flow, MARGIN, MAX_AGE, MAX_CREDIT, MAX_SERVED, MAX_TRIES, Node, PATIENCE,
    Request, Served, settles,
};

impl Node {
    /// A message has come from the bus.
    pub fn receive(&mut self, now: Millis, message: &[u8]) {
        let (header, body) = match message::open(&self.key, message) {
            Ok(opened) => opened,
            Err(Refused::Content) => return self.dropped.violations += 1,
            Err(_) => return self.dropped.refused += 1,
        };
        if header.from == self.run {
            if header.kind == Kind::Hello && header.time <= now && now - header.time < BUS_SILENT {
                self.bus_heard = Some(now);
            }
        } else if header.to != 0 && header.to != self.run {
            self.dropped.misdirected += 1;
        } else if header.kind == Kind::Hello {
            match Hello::decode(body) {
                Some(hello) => self.hello(now, &header, hello),
                None => self.dropped.violations += 1,
            }
        } else {
            self.direct(now, &header, body);
        }
        self.flush(now);
    }

    pub(super) fn direct(&mut self, now: Millis, header: &Header, body: &[u8]) {
        let run = header.from;
        let Some(peer) = self.peers.get_mut(&run) else { return self.dropped.misdirected += 1 };
        if header.yours == 0 || header.yours > now + MARGIN || now > header.yours + MAX_AGE {
            return self.dropped.stale += 1;
        }
        peer.heard = peer.heard.max(now);
        peer.clock.heard(now, header.time);
        let current = peer.association.as_ref().map(Association::number);
        match header.kind {
            Kind::Open if self.run > run && header.association != 0 => {
                if header.association > peer.last_association {
                    if current.is_some() {
                        self.break_association(run);
                    }
                    self.open_association(now, run, header.association);
                } else if header.association < peer.last_association {
                    return self.dropped.stale += 1;
                }
                let Some(peer) = self.peers.get(&run) else { return };
                let known = peer.association.is_some();
                self.say(now, run, if known { Kind::Opened } else { Kind::Reset }, header.association);
            }
            Kind::Opened if peer.opening && header.association == peer.last_association => {
                self.open_association(now, run, header.association);
            }
            Kind::Opened => self.dropped.stale += 1,
            Kind::Reset if current == Some(header.association) => self.break_association(run),
            // it was said after this association was opened: the peer has forgotten it
            Kind::Reset if current.is_some() && self.run < run && header.yours > peer.opened_at => {
                self.break_association(run);
            }
            Kind::Reset if peer.opening && header.association == peer.last_association => peer.opening = false,
            Kind::Reset => self.dropped.stale += 1,
            Kind::Frame | Kind::Ack => {
                if peer.opening && header.association == peer.last_association {
                    // the answer that opens the association was lost
                    self.open_association(now, run, header.association);
                } else if current != Some(header.association) {
                    self.dropped.stale += 1;
                    if header.kind == Kind::Frame {
                        self.say(now, run, Kind::Reset, header.association);
                    }
                    return;
                }
                if self.frame(now, header, body).is_err() {
                    self.dropped.violations += 1;
                    self.break_association(run);
                    self.say(now, run, Kind::Reset, header.association);
                }
            }
            Kind::Open | Kind::Hello => self.dropped.violations += 1,
        }
    }

    pub(super) fn frame(&mut self, now: Millis, header: &Header, body: &[u8]) -> Result<(), Broken> {
        let run = header.from;
        let association = self.peers.get_mut(&run).and_then(|peer| peer.association.as_mut()).ok_or(Broken)?;
        association.acknowledged(now, header.ack)?;
        if header.kind == Kind::Frame {
            for frame in association.accept(now, header.seq, body)? {
                for item in Item::decode_all(&frame).ok_or(Broken)? {
                    self.item(now, run, item)?;
                }
            }
        }
        self.wake_writers(run);
        Ok(())
    }

    /// Streams that found no room may have some now.
    pub(super) fn wake_writers(&mut self, run: Run) {
        let Some(peer) = self.peers.get_mut(&run).filter(|peer| !peer.blocked.is_empty()) else { return };
        if peer.association.as_ref().is_some_and(|association| association.room() < MAX_QUEUED / 2) {
            return;
        }
        for stream in std::mem::take(&mut peer.blocked) {
            match self.flow(stream).map(|(flow, _)| flow.may_send) {
                Some(0) => {
                    if let Some(peer) = self.peers.get_mut(&run) {
                        peer.blocked.insert(stream);
                    }
                }
                Some(_) => self.actions.push_back(Action::Writable(stream)),
                None => {}
            }
        }
    }

    pub(super) fn item(&mut self, now: Millis, run: Run, item: Item) -> Result<(), Broken> {
        let peer = self.peers.get_mut(&run).ok_or(Broken)?;
        match item {
            Item::Request { ticket, purpose, expires, id, head, body, last } => {
                if peer.served.contains_key(&ticket) || expires > now + ACCEPT + MARGIN {
                    return Err(Broken);
                }
                if peer.served.len() >= MAX_SERVED {
                    let association = peer.association.as_mut().ok_or(Broken)?;
                    association.push(&Item::Cut { ticket, asker: false, why: Why::Busy });
                    return Ok(());
                }
                let flow = Flow { came_last: last, ..Flow::default() };
                let served = Served { id: id.clone(), purpose, held: true, answered: false, given: false, flow };
                peer.served.insert(ticket, served);
                let stream = Stream::Served(run, ticket);
                self.sessions.entry(id.clone()).or_default().served.push(stream);
                self.serve(now, Request { run, ticket, purpose, expires, id, head, body, last });
            }
            Item::Taken { ticket } => {
                let longest_poll = self.longest_poll;
                let Some(asked) = self.asked_of(run, ticket) else { return Ok(()) };
                if asked.taken {
                    return Err(Broken);
                }
                asked.taken = true;
                asked.flow.may_send = CREDIT;
                let more = !asked.flow.sent_last;
                let patience = if asked.purpose == Purpose::Poll { longest_poll } else { PATIENCE };
                self.set_deadline(ticket, Some(now + patience));
                if let (true, Some(peer)) = (more, self.peers.get_mut(&run)) {
                    peer.blocked.insert(Stream::Asked(ticket));
                }
            }
            Item::Answer { ticket, status, head, body, last } => {
                let Some(asked) = self.asked_of(run, ticket) else { return Ok(()) };
                if !asked.taken || asked.answered {
                    return Err(Broken);
                }
                asked.answered = true;
                asked.request = None;
                (asked.flow.may_come, asked.flow.came_last) = (CREDIT, last);
                let id = asked.id.clone();
                if asked.purpose == Purpose::Upgrade && status == 101 {
                    asked.flow.sent_last = false;
                    self.set_deadline(ticket, None);
                }
                self.stop_claiming(&id, ticket);
                self.actions.push_back(Action::Answer { stream: Stream::Asked(ticket), status, head, body, last });
            }
            Item::Claimed { ticket, state } => {
                let Some(asked) = self.asked_of(run, ticket) else { return Ok(()) };
                if !asked.taken || asked.answered || asked.purpose != Purpose::Upgrade {
                    return Err(Broken);
                }
                let id = asked.id.clone();
                self.forget_move(&id);
                self.claimed_from.insert(id.clone(), run);
                self.actions.push_back(Action::Claimed { stream: Stream::Asked(ticket), id, state });
                self.push_asked(ticket, &Item::Done { ticket });
                self.remove_asked(ticket);
            }
            Item::Data { ticket, asker, body, last } => {
                let stream = if asker { Stream::Served(run, ticket) } else { Stream::Asked(ticket) };
                if !asker && self.asked_of(run, ticket).is_none() {
                    return Ok(());
                }
                let Some((flow, _)) = self.flow(stream) else { return Ok(()) };
                let length = u32::try_from(body.len()).map_err(|_| Broken)?;
                if flow.came_last || length > flow.may_come {
                    return Err(Broken);
                }
                flow.may_come -= length;
                flow.came_last = last;
                self.actions.push_back(Action::Data { stream, body, last });
            }
            Item::Credit { ticket, asker, bytes } => {
                let stream = if asker { Stream::Served(run, ticket) } else { Stream::Asked(ticket) };
                if !asker && self.asked_of(run, ticket).is_none() {
                    return Ok(());
                }
                let Some((flow, _)) = self.flow(stream) else { return Ok(()) };
                flow.may_send = flow.may_send.checked_add(bytes).filter(|sum| *sum <= MAX_CREDIT).ok_or(Broken)?;
            }
            Item::Cut { ticket, asker: true, why: _ } => {
                let Some(served) = self.remove_served(run, ticket) else { return Ok(()) };
                if served.given && self.moved.get(&served.id).is_some_and(|(owner, _)| *owner == run) {
                    // the claim was given up before it was answered: the session has no owner
                    self.forget_move(&served.id);
                }
                self.report(Stream::Served(run, ticket), served);
            }
            Item::Cut { ticket, asker: false, why } => self.refused(now, run, ticket, why),
            Item::Done { ticket } => {
                let Some(served) = peer.served.get(&ticket) else { return Ok(()) };
                if !(served.given || served.answered && served.flow.sent_last) {
                    return Err(Broken);
                }
                if self.remove_served(run, ticket).is_some_and(|served| !served.given) {
                    self.actions.push_back(Action::Done(Stream::Served(run, ticket)));
                }
            }
            Item::Released { id } => {
                if self.moved.get(&id).is_some_and(|(owner, _)| *owner == run) {
                    self.forget_move(&id);
                }
            }
        }
        Ok(())
    }

    pub(super) fn asked_of(&mut self, run: Run, ticket: u32) -> Option<&mut Asked> {
        self.asked.get_mut(&ticket).filter(|asked| asked.peer == run && !asked.doomed)
    }

    /// The owner does not serve a request.
    pub(super) fn refused(&mut self, now: Millis, run: Run, ticket: u32, why: Why) {
        let own = self.run;
        let Some(asked) = self.asked_of(run, ticket) else { return };
        let is_kept = asked.request.is_some();
        let failure = match why {
            Why::Unknown if asked.answered || !is_kept => Some(Failure::Unknown),
            Why::Gone | Why::Busy | Why::Late => Some(Failure::Unavailable),
            Why::Moved(_) if asked.answered => Some(Failure::Unavailable),
            Why::Moved(owner) if owner == own => Some(Failure::Here),
            Why::Moved(_) if !is_kept => Some(Failure::Again),
            Why::Unknown | Why::Moved(_) => None,
        };
        if let Some(failure) = failure {
            return self.fail(ticket, failure);
        }
        asked.tried.push(run);
        asked.peer = 0;
        let (id, tries) = (asked.id.clone(), asked.tried.len());
        let again_there = matches!(why, Why::Moved(owner) if asked.tried.contains(&owner));
        if let Some(peer) = self.peers.get_mut(&run) {
            peer.asked.remove(&ticket);
        }
        self.stop_claiming(&id, ticket);
        if let Why::Moved(owner) = why {
            // a hint for this request alone
            let associated = self.peers.get(&owner).is_some_and(|peer| peer.association.is_some());
            if !associated || again_there || tries >= MAX_TRIES {
                return self.fail(ticket, Failure::Unavailable);
            }
            return self.send_request_to(now, ticket, owner);
        }
        self.send_request(now, ticket);
    }

    /// Tells of a request of another node that has ended before it was settled.
    pub(super) fn report(&mut self, stream: Stream, served: Served) {
        if served.given || served.held {
            return;
        }
        let lost = served.answered && settles(served.purpose).is_some();
        self.actions.push_back(if lost { Action::Lost(stream, served.id) } else { Action::Gone(stream) });
    }
}
