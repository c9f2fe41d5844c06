//! Requests of other nodes for sessions of this one.

use std::collections::VecDeque;

use super::super::action::{Action, Stream};
use super::super::message::{Id, Item, MAX_PIECE, Millis, Purpose, Run, Why};
use super::{CREDIT, MAX_HELD, MAX_HELD_OF_SESSION, MAX_MOVED, Node, Request, Served, Waiting, settles};

impl Node {
    /// Answers a request of another node. Head and body have at most [`MAX_PIECE`] bytes each.
    pub fn answer(&mut self, stream: Stream, status: u16, head: &[u8], body: &[u8], last: bool) {
        let Stream::Served(run, ticket) = stream else { return };
        let Some(peer) = self.peers.get_mut(&run) else { return };
        let (Some(served), Some(association)) = (peer.served.get_mut(&ticket), &mut peer.association) else { return };
        if served.answered || served.given || served.held || head.len() > MAX_PIECE || body.len() > MAX_PIECE {
            debug_assert!(false, "an answer that cannot be sent");
            return;
        }
        served.answered = true;
        (served.flow.may_send, served.flow.sent_last) = (CREDIT, last);
        if served.purpose == Purpose::Upgrade && status == 101 {
            served.flow.came_last = false;
        }
        association.push(&Item::Answer { ticket, status, head: head.to_vec(), body: body.to_vec(), last });
        if let Some(at) = settles(served.purpose) {
            self.sessions.entry(served.id.clone()).or_default().unsettled[at] += 1;
        }
    }

    /// The session of a request does not exist here, or cannot serve it.
    pub fn refuse(&mut self, stream: Stream, why: Why) {
        if let Stream::Served(run, ticket) = stream {
            self.cut_served(run, ticket, why);
        }
    }

    /// Gives a session to the node where its upgrade came in, after [`Action::Serve`] has said that it is claimable and
    /// [`super::super::claim::Ownership::claim`] that it moves. The waiting polls of other nodes go to the new owner by
    /// themselves, and so do POSTs that have not been presented to the session; those that came in here are to be asked
    /// for anew by [`Node::ask`]. Returns false, and does nothing, if the other node has gone.
    pub fn give(&mut self, stream: Stream, state: &[u8]) -> bool {
        let Stream::Served(run, ticket) = stream else { return false };
        let Some(peer) = self.peers.get_mut(&run).filter(|_| state.len() <= MAX_PIECE) else { return false };
        let (Some(served), Some(association)) = (peer.served.get_mut(&ticket), &mut peer.association) else {
            return false;
        };
        served.given = true;
        let id = served.id.clone();
        association.push(&Item::Claimed { ticket, state: state.to_vec() });
        self.note_move(&id, run);
        self.claimed_from.remove(&id);
        let served = self.sessions.get(&id).map(|traffic| traffic.served.clone()).unwrap_or_default();
        for other in served.into_iter().filter(|other| *other != stream) {
            let Stream::Served(from, ticket) = other else { continue };
            let served = self.peers.get(&from).and_then(|peer| peer.served.get(&ticket));
            // an answer is on its way, and what becomes of it is still to be heard
            let Some(served) = served.filter(|served| !served.answered) else { continue };
            if !served.held {
                self.actions.push_back(Action::Moved(other));
            }
            self.cut_served(from, ticket, Why::Moved(run));
        }
        true
    }

    /// A session of this process has ended.
    pub fn released(&mut self, id: &[u8]) {
        let Some(run) = self.claimed_from.remove(id) else { return };
        if let Some(association) = self.peers.get_mut(&run).and_then(|peer| peer.association.as_mut()) {
            association.push(&Item::Released { id: id.to_vec() });
        }
    }

    /// A session of this process has ended: requests that wait for it go on, and learn that. Returns whether there are any.
    pub fn over(&mut self, id: &[u8]) -> bool {
        let Some(traffic) = self.sessions.get_mut(id) else { return false };
        traffic.over = true;
        if traffic.held.is_empty() {
            return false;
        }
        self.released.insert(id.to_vec());
        true
    }

    pub(super) fn note_move(&mut self, id: &Id, run: Run) {
        self.forget_move(id);
        if self.moved.len() >= MAX_MOVED {
            if let Some((_, oldest)) = self.moved_order.pop_first() {
                self.moved.remove(&oldest);
            }
        }
        self.moves += 1;
        self.moved.insert(id.clone(), (run, self.moves));
        self.moved_order.insert(self.moves, id.clone());
    }

    pub(super) fn forget_move(&mut self, id: &[u8]) {
        if let Some((_, at)) = self.moved.remove(id) {
            self.moved_order.remove(&at);
        }
    }

    pub(super) fn cut_served(&mut self, run: Run, ticket: u32, why: Why) {
        if self.remove_served(run, ticket).is_some() {
            if let Some(association) = self.peers.get_mut(&run).and_then(|peer| peer.association.as_mut()) {
                association.push(&Item::Cut { ticket, asker: false, why });
            }
        }
    }

    /// Takes a request of another node out of all tables. What waits for it goes on.
    pub(super) fn remove_served(&mut self, run: Run, ticket: u32) -> Option<Served> {
        let served = self.peers.get_mut(&run)?.served.remove(&ticket)?;
        let stream = Stream::Served(run, ticket);
        if let Some(traffic) = self.sessions.get_mut(&served.id) {
            traffic.served.retain(|other| *other != stream);
            let before = traffic.held.len();
            traffic.held.retain(|held| {
                !matches!(held, Waiting::Foreign { request, .. } if request.run == run && request.ticket == ticket)
            });
            self.waiting -= before - traffic.held.len();
            if let (Some(at), true) = (settles(served.purpose), served.answered) {
                traffic.unsettled[at] -= 1;
            }
            self.release(&served.id);
        }
        Some(served)
    }

    /// What waits for a session is looked at again, see [`Node::let_go`].
    pub(super) fn release(&mut self, id: &Id) {
        match self.sessions.get(id) {
            Some(traffic) if traffic.is_empty() => drop(self.sessions.remove(id)),
            Some(traffic) if !traffic.held.is_empty() => drop(self.released.insert(id.clone())),
            _ => {}
        }
    }

    /// Lets requests go on that need not wait any more.
    pub(super) fn let_go(&mut self, now: Millis) {
        while let Some(id) = self.released.pop_first() {
            let Some(traffic) = self.sessions.get_mut(&id) else { continue };
            let (wait, go): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(&mut traffic.held).into_iter().partition(|held| traffic.must_wait(held.purpose()));
            traffic.held = wait;
            self.waiting -= go.len();
            if traffic.is_empty() {
                self.sessions.remove(&id);
            }
            for held in go {
                match held {
                    Waiting::Here { token, .. } => self.actions.push_back(Action::Proceed(token)),
                    Waiting::Foreign { request, .. } => self.serve(now, request),
                }
            }
        }
    }

    /// Presents a request of another node to its session, or has it wait, or refuses it.
    pub(super) fn serve(&mut self, now: Millis, request: Request) {
        let Request { run, ticket, purpose, expires, id, head, body, last } = request;
        if now >= expires {
            return self.cut_served(run, ticket, Why::Late);
        }
        if let Some((owner, _)) = self.moved.get(&id).copied() {
            if self.peers.contains_key(&owner) {
                return self.cut_served(run, ticket, Why::Moved(owner));
            }
            // the new owner is gone, and the session with it
            self.forget_move(&id);
        }
        let stream = Stream::Served(run, ticket);
        let traffic = self.sessions.entry(id.clone()).or_default();
        if traffic.must_wait(purpose) {
            if self.waiting >= MAX_HELD || traffic.held.len() >= MAX_HELD_OF_SESSION {
                return self.cut_served(run, ticket, Why::Busy);
            }
            self.waiting += 1;
            let request = Request { run, ticket, purpose, expires, id, head, body, last };
            traffic.held.push_back(Waiting::Foreign { purpose, request });
            return;
        }
        let claimable = purpose == Purpose::Upgrade && traffic.unsettled == [0, 0];
        let Some(peer) = self.peers.get_mut(&run) else { return };
        let (Some(served), Some(association)) = (peer.served.get_mut(&ticket), &mut peer.association) else { return };
        served.held = false;
        served.flow.may_come = CREDIT;
        association.push(&Item::Taken { ticket });
        self.actions.push_back(Action::Serve { stream, purpose, id, claimable, head, body, last });
    }
}
