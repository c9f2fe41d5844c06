//! Nodes, their numbers, and the associations with them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::id::Member;
use super::super::action::{Action, Failure, Stream};
use super::super::association::Association;
use super::super::message::{self, Header, Hello, Kind, Millis, Run};
use super::super::reckoning::Reckoning;
use super::{HELLO, JOIN, MAX_FORMER, MAX_PEERS, Node, Peer, SILENT};

impl Node {
    pub(super) fn open_association(&mut self, now: Millis, run: Run, number: u32) {
        if let Some(peer) = self.peers.get_mut(&run) {
            (peer.last_association, peer.opening, peer.association) = (number, false, Some(Association::new(number)));
            peer.opened_at = now;
        }
        self.send_unsent(now);
    }

    /// The association has ended, and with it everything that it carried.
    pub(super) fn break_association(&mut self, run: Run) {
        let Some(peer) = self.peers.get_mut(&run) else { return };
        (peer.association, peer.opening) = (None, false);
        peer.blocked.clear();
        let asked = std::mem::take(&mut peer.asked);
        let served: Vec<u32> = peer.served.keys().copied().collect();
        for ticket in served {
            if let Some(served) = self.remove_served(run, ticket) {
                self.report(Stream::Served(run, ticket), served);
            }
        }
        for ticket in asked {
            match self.asked.get_mut(&ticket) {
                // it may be on the way still, and must not be repeated before it cannot arrive any more
                Some(asked) if !asked.taken => asked.doomed = true,
                _ => self.fail(ticket, Failure::Unavailable),
            }
        }
    }

    pub(super) fn say(&mut self, now: Millis, run: Run, kind: Kind, association: u32) {
        let yours = self.peers.get_mut(&run).and_then(|peer| peer.clock.theirs(now)).unwrap_or(0);
        let header = Header { kind, from: self.run, to: run, association, seq: 0, ack: 0, time: now, yours };
        self.actions.push_back(Action::Publish { to: Some(run), message: message::seal(&self.key, &header, &[]) });
    }

    pub(super) fn say_hello(&mut self, now: Millis, to: Option<Run>) {
        let members = [self.member].iter().chain(&self.former).chain(&self.others).copied().collect();
        self.publish_hello(now, to, &Hello { joining: self.join_at.is_some(), members });
    }

    /// Tells all nodes that this one ends: they do not wait for it, and ids of its sessions are unknown at once. Those of
    /// processes for which it stood are not: they can be reached again when another node of the machine says so.
    pub fn leave(&mut self, now: Millis) {
        // it counts if it is newer than the last one
        self.publish_hello(now + 1, None, &Hello { joining: false, members: self.others.clone() });
    }

    fn publish_hello(&mut self, now: Millis, to: Option<Run>, hello: &Hello) {
        let header = Header {
            kind: Kind::Hello,
            from: self.run,
            to: to.unwrap_or(0),
            association: 0,
            seq: 0,
            ack: 0,
            time: now,
            yours: 0,
        };
        let message = message::seal(&self.key, &header, &hello.encode());
        self.actions.push_back(Action::Publish { to, message });
    }

    pub(super) fn hello(&mut self, now: Millis, header: &Header, hello: Hello) {
        let run = header.from;
        let new = !self.peers.contains_key(&run);
        if new {
            if self.peers.len() >= MAX_PEERS && !self.evict(now) {
                return;
            }
            let peer = Peer {
                heard: now,
                stamp: 0,
                clock: Reckoning::default(),
                members: Vec::new(),
                last_association: 0,
                opening: false,
                opened_at: now,
                association: None,
                asked: BTreeSet::new(),
                served: BTreeMap::new(),
                blocked: BTreeSet::new(),
            };
            self.peers.insert(run, peer);
        }
        let Some(peer) = self.peers.get_mut(&run) else { return };
        if !new && header.time <= peer.stamp {
            return self.dropped.stale += 1;
        }
        (peer.heard, peer.stamp) = (now, header.time);
        peer.clock.heard(now, header.time);
        let changed = peer.members != hello.members;
        peer.members.clone_from(&hello.members);
        if changed {
            self.find_routes();
        }
        let conflict = self.settle_number(now, run, &hello);
        if new || conflict {
            // first of all: a node that does not know this one drops what else it says
            self.say_hello(now, Some(run));
        }
        self.associate(now, run);
    }

    /// Opens an association with a node if there is none.
    fn associate(&mut self, now: Millis, run: Run) {
        let Some(peer) = self.peers.get_mut(&run).filter(|peer| peer.association.is_none()) else { return };
        if self.run > run {
            // the other side opens associations, and may not know that this one has ended
            let number = peer.last_association;
            return self.say(now, run, Kind::Reset, number);
        }
        if !peer.opening {
            // larger than that of each association before, also if this node has forgotten the peer in between: a peer
            // is forgotten after many times the time that this counts
            let least = u32::try_from((now - self.started) / 100).unwrap_or(u32::MAX);
            (peer.opening, peer.last_association) = (true, peer.last_association.max(least).saturating_add(1));
        }
        let number = peer.last_association;
        self.say(now, run, Kind::Open, number);
    }

    /// Makes room for a node by forgetting one without an association that is not heard of any more. If there are too many
    /// nodes, those that came first stay: if they made room for each other, all would say hello all the time.
    fn evict(&mut self, now: Millis) -> bool {
        let is_silent = |peer: &Peer| peer.association.is_none() && peer.heard + SILENT <= now;
        let without = self.peers.iter().filter(|(_, peer)| is_silent(peer));
        let Some(run) = without.min_by_key(|(_, peer)| peer.heard).map(|(run, _)| *run) else { return false };
        self.peers.remove(&run);
        self.find_routes();
        true
    }

    pub(super) fn find_routes(&mut self) {
        self.routes.clear();
        for (run, peer) in &self.peers {
            for number in peer.members.iter().map(|member| member.number).collect::<BTreeSet<_>>() {
                self.routes.entry(number).or_default().push(*run);
            }
        }
    }

    /// Two nodes must not give out ids of the same number. Returns whether the other one has to be told.
    pub(super) fn settle_number(&mut self, now: Millis, run: Run, hello: &Hello) -> bool {
        let number = self.member.number;
        let first = hello.members.first().is_some_and(|member| member.number == number);
        let joining = self.join_at.is_some();
        if !(first || joining && hello.members.iter().any(|member| member.number == number)) {
            return false;
        }
        let ours = match (joining, hello.joining && first) {
            (true, false) => false,
            (false, true) => true,
            (true, true) | (false, false) => self.run > run,
        };
        if ours {
            return true;
        }
        if !joining && !self.chosen {
            // sessions with the number live here; they are found by asking both nodes
            self.former.truncate(MAX_FORMER - 1);
            self.former.insert(0, self.member);
        }
        self.join_at = Some(now + JOIN);
        if self.chosen {
            if !std::mem::replace(&mut self.told, true) {
                self.actions.push_back(Action::NumberTaken(number));
            }
        } else {
            self.hello_at = now;
            self.pick_number();
        }
        false
    }

    /// Takes another number after [`Action::NumberTaken`]. If there are ids with the former one, this node goes on
    /// answering for them.
    pub fn renumber(&mut self, now: Millis, member: Member, has_issued: bool) {
        let former = std::mem::replace(&mut self.member, member);
        if has_issued && former != member {
            self.former.truncate(MAX_FORMER - 1);
            self.former.insert(0, former);
        }
        (self.join_at, self.told, self.hello_at) = (Some(now + JOIN), false, now + HELLO);
        // before there is an id of it, and newer than the last one
        self.say_hello(now + 1, None);
    }

    /// Another number, which the known nodes do not have.
    pub(super) fn pick_number(&mut self) {
        for _ in 0..64 {
            self.picks += 1;
            // SplitMix64: the numbers need not be hard to guess, only spread
            let mut mixed = self.run.wrapping_add(self.picks.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            self.member.number = ((mixed ^ (mixed >> 31)) & 0xffff) as u16;
            let own = self.former.iter().chain(&self.others).any(|member| member.number == self.member.number);
            if !own && !self.routes.contains_key(&self.member.number) {
                return;
            }
        }
    }
}
