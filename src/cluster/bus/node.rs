//! One node of the bus: who the others are, requests for their sessions, and theirs for sessions of this node.

mod asking;
mod membership;
mod receiving;
mod serving;
mod streams;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::id::{Key, Member};
use super::action::{Action, Failure, Stream};
use super::association::{Association, GIVE_UP};
use super::message::{self, Header, Id, MAX_MEMBERS, Millis, Purpose, Run};
use super::reckoning::Reckoning;

/// How often a node says that it is there.
pub const HELLO: Millis = 1_000;

/// How long a node asks whether its number is free.
pub const JOIN: Millis = 1_500;

/// A node that was not heard of for this time makes room for others.
pub const SILENT: Millis = 3 * HELLO;

/// When a node says so if it stands for other members than before.
pub const SOON: Millis = 5;

/// A node that was not heard of for this time is gone, and ids of its sessions are unknown.
pub const FORGET: Millis = 30_000;

/// A request reaches its session within this time, or it never does.
pub const ACCEPT: Millis = 5_000;

/// For this time since its start a node keeps requests of which it does not know yet where to ask. Its process may have
/// begun to listen before its client of the bus was connected.
pub const START: Millis = 5_000;

/// A POST or an upgrade that has reached its session is answered within this time.
pub const PATIENCE: Millis = 30_000;

/// What clocks drift apart, and what rounding costs, within the times above.
pub const MARGIN: Millis = 250;

/// A message that may be older than this is dropped.
pub const MAX_AGE: Millis = 10_000;

/// The most nodes that a node knows.
pub const MAX_PEERS: usize = 256;

/// The most requests of one node that are served at a time.
pub const MAX_SERVED: usize = 8_192;

/// The most requests that wait at other nodes at a time.
pub const MAX_ASKED: usize = 65_536;

/// The most requests that wait until an earlier one of their session is settled, and the most that wait at the start.
pub const MAX_HELD: usize = 1_024;

/// The same of one session. A client has a poll and a POST at a time, so that one client cannot have all the room.
pub const MAX_HELD_OF_SESSION: usize = 8;

/// The most sessions whose new owner is remembered.
pub const MAX_MOVED: usize = 65_536;

/// The nodes that are asked for a session one after the other.
const MAX_TRIES: usize = 4;

/// Bytes of a stream that may be on the way before the receiver has taken any.
pub const CREDIT: u32 = 64 * 1024;

/// More credit than this is not believed.
const MAX_CREDIT: u32 = 16 * 1024 * 1024;

/// Former numbers that a node goes on answering for.
pub const MAX_FORMER: usize = 4;

/// The most processes of its machine that a node stands for.
pub const MAX_OTHERS: usize = MAX_MEMBERS - MAX_FORMER - 1;

/// The time after which a node that hears not even itself does not trust the bus.
const BUS_SILENT: Millis = 3_000;

/// Messages that were dropped, by reason.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// Not of this key, this version or this form.
    pub refused: u64,
    /// For another node, or of one that is not known yet.
    pub misdirected: u64,
    /// Too old, or there before.
    pub stale: u64,
    /// The sender has the key and does not follow the protocol. Its association was reset.
    pub violations: u64,
}

/// How much a node holds. All of it is bounded.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Held {
    /// Nodes.
    pub peers: usize,
    /// Requests at other nodes.
    pub asked: usize,
    /// Requests of other nodes.
    pub served: usize,
    /// Requests that wait for an earlier one.
    pub waiting: usize,
    /// Sessions about which something is noted.
    pub sessions: usize,
    /// Sessions with a new owner.
    pub moved: usize,
    /// Bytes in associations.
    pub bytes: usize,
}

/// What a node is at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster's key.
    pub key: Key,
    /// Random, and not 0.
    pub run: Run,
    /// Its member number, if the operator chooses it.
    pub number: Option<u16>,
    /// How often the number was taken before on this machine.
    pub boot: u8,
    /// How long an owner may keep a poll: `pingInterval` and `pingTimeout`, and some seconds.
    pub longest_poll: Millis,
}

#[derive(Debug)]
struct Peer {
    heard: Millis,
    /// When its newest hello was sent.
    stamp: Millis,
    clock: Reckoning,
    members: Vec<Member>,
    last_association: u32,
    opening: bool,
    opened_at: Millis,
    association: Option<Association>,
    asked: BTreeSet<u32>,
    served: BTreeMap<u32, Served>,
    /// Streams that found no room.
    blocked: BTreeSet<Stream>,
}

#[derive(Debug, Default)]
struct Flow {
    may_send: u32,
    sent_last: bool,
    may_come: u32,
    came_last: bool,
    /// Bytes that were used and are not credited yet.
    used: u32,
}

#[derive(Debug)]
struct Asked {
    id: Id,
    purpose: Purpose,
    /// To ask another node. It is dropped when the answer begins.
    request: Option<(Vec<u8>, Vec<u8>, bool)>,
    peer: Run,
    /// The association has broken before the request was taken: it may arrive still.
    doomed: bool,
    taken: bool,
    answered: bool,
    tried: Vec<Run>,
    flow: Flow,
    fail_at: Option<Millis>,
}

#[derive(Debug)]
struct Served {
    id: Id,
    purpose: Purpose,
    held: bool,
    answered: bool,
    given: bool,
    flow: Flow,
}

/// What is noted about the requests of a session.
#[derive(Debug, Default)]
struct Traffic {
    /// Polls and POSTs that are answered and not settled.
    unsettled: [usize; 2],
    served: Vec<Stream>,
    held: VecDeque<Waiting>,
    /// The upgrade that asks for the session.
    claiming: Option<u32>,
    /// The session has ended here: nothing waits any more.
    over: bool,
}

#[derive(Debug)]
enum Waiting {
    Here { purpose: Purpose, token: u64 },
    Foreign { purpose: Purpose, request: Request },
}

#[derive(Debug)]
struct Request {
    run: Run,
    ticket: u32,
    purpose: Purpose,
    expires: Millis,
    id: Id,
    head: Vec<u8>,
    body: Vec<u8>,
    last: bool,
}

impl Waiting {
    fn purpose(&self) -> Purpose {
        match self {
            Self::Here { purpose, .. } | Self::Foreign { purpose, .. } => *purpose,
        }
    }
}

impl Traffic {
    fn must_wait(&self, purpose: Purpose) -> bool {
        !self.over && (self.claiming.is_some() || settles(purpose).is_some_and(|at| self.unsettled[at] > 0))
    }

    fn is_empty(&self) -> bool {
        self.unsettled == [0, 0] && self.served.is_empty() && self.held.is_empty() && self.claiming.is_none()
    }
}

/// Where answers to requests of this kind are counted until they are settled.
fn settles(purpose: Purpose) -> Option<usize> {
    match purpose {
        Purpose::Poll => Some(0),
        Purpose::Post => Some(1),
        Purpose::Upgrade => None,
    }
}

/// A node.
#[derive(Debug)]
pub struct Node {
    key: Key,
    run: Run,
    chosen: bool,
    member: Member,
    longest_poll: Millis,
    former: Vec<Member>,
    others: Vec<Member>,
    /// When the number is this node's; `None` if it is.
    join_at: Option<Millis>,
    picks: u64,
    /// [`Action::NumberTaken`] was said.
    told: bool,
    started: Millis,
    hello_at: Millis,
    bus_heard: Option<Millis>,
    peers: BTreeMap<Run, Peer>,
    routes: BTreeMap<u16, Vec<Run>>,
    asked: BTreeMap<u32, Asked>,
    next_ticket: u32,
    deadlines: BTreeSet<(Millis, u32)>,
    /// Requests that came in before this node knew where to ask, see [`START`].
    unsent: BTreeSet<u32>,
    sessions: BTreeMap<Id, Traffic>,
    waiting: usize,
    /// Sessions at which requests may go on.
    released: BTreeSet<Id>,
    moved: BTreeMap<Id, (Run, u64)>,
    moved_order: BTreeMap<u64, Id>,
    moves: u64,
    claimed_from: BTreeMap<Id, Run>,
    actions: VecDeque<Action>,
    dropped: Dropped,
}

impl Node {
    /// A node that begins to ask for its number.
    pub fn new(now: Millis, config: Config) -> Self {
        let Config { key, run, number, boot, longest_poll } = config;
        let mut node = Self {
            key,
            run,
            chosen: number.is_some(),
            member: Member { number: number.unwrap_or(0), boot },
            longest_poll,
            former: Vec::new(),
            others: Vec::new(),
            join_at: Some(now + JOIN),
            picks: 0,
            told: false,
            started: now,
            hello_at: now,
            bus_heard: None,
            peers: BTreeMap::new(),
            routes: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_ticket: 1,
            deadlines: BTreeSet::new(),
            unsent: BTreeSet::new(),
            sessions: BTreeMap::new(),
            waiting: 0,
            released: BTreeSet::new(),
            moved: BTreeMap::new(),
            moved_order: BTreeMap::new(),
            moves: 0,
            claimed_from: BTreeMap::new(),
            actions: VecDeque::new(),
            dropped: Dropped::default(),
        };
        if !node.chosen {
            node.pick_number();
        }
        node
    }

    /// The next thing to do.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Messages that were dropped.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// What the node holds.
    pub fn held(&self) -> Held {
        Held {
            peers: self.peers.len(),
            asked: self.asked.len(),
            served: self.peers.values().map(|peer| peer.served.len()).sum(),
            waiting: self.waiting,
            sessions: self.sessions.len(),
            moved: self.moved.len(),
            bytes: self.peers.values().filter_map(|peer| peer.association.as_ref()).map(Association::memory).sum(),
        }
    }

    /// The nodes with which there is an association.
    pub fn associated(&self) -> impl Iterator<Item = Run> {
        self.peers.iter().filter(|(_, peer)| peer.association.is_some()).map(|(run, _)| *run)
    }

    /// The node stands for these members, too: processes of its machine. It says so soon. Returns how many of them it
    /// leaves out: those behind the first [`MAX_OTHERS`].
    pub fn stand_for(&mut self, now: Millis, members: &[Member]) -> usize {
        let others = &members[..members.len().min(MAX_OTHERS)];
        if others != self.others {
            self.others = others.to_vec();
            // later than any hello that was said before, so that it counts
            self.hello_at = self.hello_at.min(now + SOON);
        }
        members.len() - others.len()
    }

    /// When [`Node::tick`] is to be called.
    pub fn due(&self) -> Millis {
        let peers = self.peers.values().map(|peer| {
            let association = peer
                .association
                .as_ref()
                .map(|association| association.due().unwrap_or(Millis::MAX).min(peer.heard + GIVE_UP));
            association.unwrap_or(peer.heard + FORGET)
        });
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        peers.chain(deadline).chain(self.join_at).chain([self.hello_at]).min().unwrap_or(self.hello_at)
    }

    /// Does what is due, and publishes what the calls before have brought about.
    pub fn tick(&mut self, now: Millis) {
        if self.join_at.is_some_and(|at| now >= at) {
            (self.join_at, self.told) = (None, false);
            self.hello_at = now;
            self.actions.push_back(Action::Joined(self.member));
        }
        if now >= self.hello_at {
            self.hello_at = now + HELLO;
            self.say_hello(now, None);
        }
        let silent = |peer: &Peer| now >= peer.heard + GIVE_UP && peer.association.is_some();
        let broken: Vec<Run> = self.peers.iter().filter(|(_, peer)| silent(peer)).map(|(run, _)| *run).collect();
        for run in broken {
            self.break_association(run);
        }
        let known = self.peers.len();
        self.peers.retain(|_, peer| now < peer.heard + FORGET);
        if self.peers.len() < known {
            self.find_routes();
        }
        self.send_unsent(now);
        while let Some((at, ticket)) = self.deadlines.first().copied() {
            if now < at {
                break;
            }
            self.cut_asked(ticket);
            self.fail(ticket, Failure::Unavailable);
        }
        self.flush(now);
    }

    /// Publishes what the calls before have brought about.
    pub fn flush(&mut self, now: Millis) {
        loop {
            self.let_go(now);
            let mut broken = Vec::new();
            for (run, peer) in &mut self.peers {
                let Some(association) = &mut peer.association else { continue };
                let (key, actions, number) = (&self.key, &mut self.actions, association.number());
                let yours = peer.clock.theirs(now).unwrap_or(0);
                let outcome = association.transmit(now, &mut |kind, seq, ack, body| {
                    let header =
                        Header { kind, from: self.run, to: *run, association: number, seq, ack, time: now, yours };
                    let message = message::seal(key, &header, body);
                    actions.push_back(Action::Publish { to: Some(*run), message });
                });
                if outcome.is_err() {
                    broken.push(*run);
                }
            }
            if broken.is_empty() {
                return;
            }
            for run in broken {
                self.break_association(run);
            }
        }
    }
}
