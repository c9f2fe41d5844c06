//! A node of the cluster's bus: bytes that are not messages, messages of peers that have the key and follow no rule,
//! and a process that does anything with what comes of them.

use std::collections::BTreeSet;

use engine_io_native::cluster::bus::action::{Action, Admission, Failure, Stream};
use engine_io_native::cluster::bus::message::{
    Header, Hello, Item, Kind, MAX_MESSAGE, MAX_PIECE, Purpose, Run, Why, open, seal,
};
use engine_io_native::cluster::bus::node::{
    Config, FORGET, MAX_ASKED, MAX_HELD, MAX_MOVED, MAX_PEERS, MAX_SERVED, Node,
};
use engine_io_native::cluster::id::{Key, Member};

const RUN: Run = 5;
const PEERS: [Run; 3] = [3, 7, 9];

/// First byte: raw items, or a life of a node.
pub fn run(data: &[u8]) {
    match data {
        [0, raw @ ..] => round_trip(raw),
        [_, tape @ ..] => Life::new(tape).run(),
        [] => {}
    }
}

/// Items that decode are encoded to the same bytes.
fn round_trip(raw: &[u8]) {
    if let Some(items) = Item::decode_all(raw) {
        let mut bytes = Vec::new();
        items.iter().for_each(|item| item.encode(&mut bytes));
        assert_eq!(bytes, raw);
    }
    if let Some(hello) = Hello::decode(raw) {
        assert_eq!(hello.encode(), raw);
    }
    assert!(open(&key(), raw).is_err(), "a tag was guessed");
}

fn key() -> Key {
    Key::new(&[7; Key::LENGTH])
}

struct Life<'a> {
    tape: &'a [u8],
    now: u64,
    node: Node,
    seqs: [u64; PEERS.len()],
    /// The associations that the node has asked for.
    associations: [u32; PEERS.len()],
    asked: BTreeSet<Stream>,
    /// Requests of peers that wait for their answer, and all others that are not over.
    fresh: BTreeSet<Stream>,
    served: BTreeSet<Stream>,
    tokens: u64,
    waiting: BTreeSet<u64>,
}

impl<'a> Life<'a> {
    fn new(tape: &'a [u8]) -> Self {
        Self {
            tape,
            now: 1_000,
            node: Node::new(1_000, Config { key: key(), run: RUN, number: Some(5), boot: 0, longest_poll: 60_000 }),
            seqs: [0; PEERS.len()],
            associations: [0; PEERS.len()],
            asked: BTreeSet::new(),
            fresh: BTreeSet::new(),
            served: BTreeSet::new(),
            tokens: 0,
            waiting: BTreeSet::new(),
        }
    }

    fn byte(&mut self) -> u8 {
        let (first, rest) = self.tape.split_first().unwrap_or((&0, &[]));
        self.tape = rest;
        *first
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.tape.len());
        let (bytes, rest) = self.tape.split_at(length);
        self.tape = rest;
        bytes.to_vec()
    }

    fn id(&mut self) -> Vec<u8> {
        match self.byte() % 8 {
            7 => self.bytes(),
            owner => {
                let number = [3, 5, 7, 9][usize::from(owner % 4)];
                key().issue([owner; 9], Member { number, boot: 0 }).to_vec()
            }
        }
    }

    fn purpose(&mut self) -> Purpose {
        [Purpose::Poll, Purpose::Post, Purpose::Upgrade][usize::from(self.byte() % 3)]
    }

    fn run(mut self) {
        while !self.tape.is_empty() {
            self.step();
            self.act();
            self.check();
        }
        // left alone, all of it ends
        let end = self.now + FORGET + 200_000;
        while self.node.due() < end {
            let due = self.node.due();
            self.now = self.now.max(due);
            self.node.tick(self.now);
            assert!(self.node.due() > due, "the node does not do what is due");
            self.act();
        }
        let held = self.node.held();
        assert_eq!((held.peers, held.asked, held.served, held.waiting), (0, 0, 0, 0), "{held:?}");
        assert_eq!((held.sessions, held.bytes), (0, 0), "{held:?}");
        assert!(self.asked.is_empty(), "requests are left without an answer");
        assert!(self.waiting.is_empty(), "requests wait for ever");
    }

    fn step(&mut self) {
        match self.byte() % 8 {
            0 => {
                self.now += 8 * u64::from(self.byte()).pow(2);
                self.node.tick(self.now);
            }
            1 => {
                let bytes = self.bytes();
                self.node.receive(self.now, &bytes);
            }
            2 => {
                let peer = usize::from(self.byte()) % PEERS.len();
                let body = match self.byte() {
                    0 => self.bytes(),
                    _ => {
                        let member = Member { number: PEERS[peer] as u16, boot: 0 };
                        Hello { joining: self.byte() == 1, members: vec![member] }.encode()
                    }
                };
                self.say(peer, Kind::Hello, 0, 0, 0, &body);
            }
            3 => {
                let kinds = [Kind::Open, Kind::Opened, Kind::Reset, Kind::Frame, Kind::Ack, Kind::Opened];
                let (peer, kind) = (usize::from(self.byte()) % PEERS.len(), kinds[usize::from(self.byte() % 6)]);
                let (association, seq, ack, body) = (self.byte(), self.byte(), self.byte(), self.bytes());
                if matches!(kind, Kind::Open | Kind::Opened) {
                    self.seqs[peer] = 0;
                }
                let association = self.association(peer, association);
                self.say(peer, kind, association, seq.into(), ack.into(), &body);
            }
            4 | 5 => {
                let (peer, association, ack) = (usize::from(self.byte()) % PEERS.len(), self.byte(), self.byte());
                let mut body = Vec::new();
                for _ in 0..=self.byte() % 4 {
                    self.item().encode(&mut body);
                }
                let seq = self.seqs[peer];
                self.seqs[peer] += 1;
                let association = self.association(peer, association);
                self.say(peer, Kind::Frame, association, seq, ack.into(), &body);
            }
            6 => {
                let (purpose, id, body, last) = (self.purpose(), self.id(), self.bytes(), self.byte() != 0);
                if self.byte() == 0 {
                    self.tokens += 1;
                    let token = self.tokens;
                    if self.node.admit(purpose, &id, token) == Admission::Later {
                        self.waiting.insert(token);
                    }
                } else {
                    let stream = self.node.ask(self.now, purpose, &id, b"head", &body, last);
                    assert!(self.asked.insert(stream), "a name is given out twice");
                }
                self.node.flush(self.now);
            }
            _ => self.process(),
        }
    }

    /// Mostly the association that the node has asked for.
    fn association(&self, peer: usize, association: u8) -> u32 {
        if association < 128 && self.associations[peer] > 0 { self.associations[peer] } else { association.into() }
    }

    fn say(&mut self, peer: usize, kind: Kind, association: u32, seq: u64, ack: u64, body: &[u8]) {
        let yours = if kind == Kind::Hello { 0 } else { self.now };
        let header = Header { kind, from: PEERS[peer], to: RUN, association, seq, ack, time: self.now + 1, yours };
        self.node.receive(self.now, &seal(&key(), &header, body));
    }

    fn item(&mut self) -> Item {
        let ticket = u32::from(self.byte());
        let (flag, other) = (self.byte() & 1 == 1, self.byte());
        match self.byte() % 10 {
            0 | 1 => {
                let expires = self.now + 20 * u64::from(other);
                let (purpose, id, body) = (self.purpose(), self.id(), self.bytes());
                Item::Request { ticket, purpose, expires, id, head: b"head".to_vec(), body, last: flag }
            }
            2 => Item::Taken { ticket },
            3 => {
                let status = if other & 1 == 0 { 101 } else { 200 };
                Item::Answer { ticket, status, head: vec![], body: self.bytes(), last: flag }
            }
            4 => Item::Claimed { ticket, state: self.bytes() },
            5 => Item::Data { ticket, asker: flag, body: self.bytes(), last: other & 1 == 1 },
            6 => Item::Credit { ticket, asker: flag, bytes: u32::from(other) << (other & 31) },
            7 => {
                let moved = Why::Moved(1 + u64::from(other % 10));
                let why = [Why::Gone, Why::Unknown, Why::Busy, Why::Late, moved][usize::from(other % 5)];
                Item::Cut { ticket, asker: flag, why }
            }
            8 => Item::Done { ticket },
            _ => Item::Released { id: self.id() },
        }
    }

    /// The process does something with one of its streams.
    fn process(&mut self) {
        let (deed, at, length) = (self.byte() % 8, usize::from(self.byte()), usize::from(self.byte()) * 100);
        let streams = if deed < 3 { &self.fresh } else { if deed < 5 { &self.served } else { &self.asked } };
        let Some(stream) = streams.iter().nth(at % streams.len().max(1)).copied() else { return };
        match deed {
            0 => {
                let last = at & 1 == 0;
                let status = if last { 200 } else { 101 };
                self.node.answer(stream, status, b"head", &vec![0; length.min(MAX_PIECE)], last);
                self.fresh.remove(&stream);
            }
            1 => {
                self.node.refuse(stream, Why::Unknown);
                self.fresh.remove(&stream);
                self.served.remove(&stream);
            }
            2 => {
                self.node.give(stream, b"state");
                self.fresh.remove(&stream);
                self.served.remove(&stream);
            }
            3 | 5 => {
                let room = self.node.room(stream);
                self.node.send(stream, &vec![0; length.min(room)], at & 16 == 0);
            }
            4 => {
                self.node.cut(stream);
                self.fresh.remove(&stream);
                self.served.remove(&stream);
            }
            6 => {
                self.node.done(stream);
                self.asked.remove(&stream);
            }
            _ => self.node.consumed(stream, length),
        }
        self.node.flush(self.now);
    }

    fn act(&mut self) {
        while let Some(action) = self.node.next_action() {
            match action {
                Action::Publish { message, .. } => {
                    assert!(message.len() <= MAX_MESSAGE);
                    let (header, _) = open(&key(), &message).expect("a node understands itself");
                    if let (Kind::Open, Some(peer)) = (header.kind, PEERS.iter().position(|run| *run == header.to)) {
                        self.associations[peer] = header.association;
                    }
                }
                Action::Joined(_)
                | Action::NumberTaken(_)
                | Action::Lost(..)
                | Action::Done(_)
                | Action::Writable(_) => {}
                Action::Serve { stream, head, body, .. } => {
                    assert!(head.len() <= MAX_PIECE && body.len() <= MAX_PIECE);
                    // a peer may use a number again, for instance after its session has moved
                    self.fresh.insert(stream);
                    self.served.insert(stream);
                }
                Action::Answer { stream, .. } => assert!(self.asked.contains(&stream), "it was asked for"),
                Action::Data { .. } => {}
                Action::Failed { stream, failure } => {
                    assert!(self.asked.remove(&stream), "a request fails twice");
                    match failure {
                        Failure::Unavailable
                        | Failure::Unknown
                        | Failure::TooLarge
                        | Failure::Cut
                        | Failure::Here
                        | Failure::Again => {}
                    }
                }
                Action::Gone(stream) | Action::Moved(stream) => {
                    self.fresh.remove(&stream);
                    assert!(self.served.remove(&stream), "the end of a request is told twice");
                }
                Action::Claimed { stream, .. } => assert!(self.asked.remove(&stream), "it was asked for"),
                Action::Proceed(token) => assert!(self.waiting.remove(&token), "it waits"),
            }
        }
    }

    fn check(&self) {
        let held = self.node.held();
        assert!(held.peers <= MAX_PEERS && held.asked <= MAX_ASKED && held.served <= MAX_PEERS * MAX_SERVED);
        assert!(held.waiting <= MAX_HELD && held.moved <= MAX_MOVED, "{held:?}");
        assert!(held.sessions <= held.asked + held.served, "{held:?}");
    }
}
