//! One process: a node, the sessions that it owns, and the requests that came in at it.

use std::collections::{BTreeMap, VecDeque};

use engine_io_native::cluster::bus::action::{Action, Admission, Failure, Stream};
use engine_io_native::cluster::bus::claim::{HoldBack, Ownership};
use engine_io_native::cluster::bus::message::{MAX_PIECE, Millis, Purpose, Run, Why};
use engine_io_native::cluster::bus::node::{Config, Node};
use engine_io_native::cluster::id::{Key, Member};

use super::ledger::{Id, Ledger};

/// The message on a WebSocket by which the client leaves polling.
pub const UPGRADE: u32 = u32::MAX;

/// A poll that finds no messages is answered after this time, as by a ping.
const PING: Millis = 5_000;

/// A session whose client does nothing ends after this time.
const DEAD: Millis = 12_000;

const SCAN: Millis = 300;

/// What a process does to the world.
#[derive(Debug)]
pub enum Effect {
    Publish { to: Option<Run>, message: Vec<u8> },
    Reply { conn: u64, status: u16, numbers: Vec<u32> },
    WebSocket { conn: u64, numbers: Vec<u32> },
    Cut { conn: u64 },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Conn(u64),
    Stream(Stream),
}

#[derive(Debug)]
struct Session {
    ownership: Ownership,
    poll: Option<Way>,
    polled_at: Millis,
    post: Option<Way>,
    /// The body of that POST, if it waits until the application hears of the session.
    held: Option<Vec<u8>>,
    socket: Option<Way>,
    upgraded: bool,
    out: VecDeque<u32>,
    seen_at: Millis,
}

impl Session {
    fn new(now: Millis, ownership: Ownership) -> Self {
        Self {
            ownership,
            poll: None,
            polled_at: now,
            post: None,
            held: None,
            socket: None,
            upgraded: false,
            out: VecDeque::new(),
            seen_at: now,
        }
    }
}

/// A request that came in here.
#[derive(Clone, Debug)]
pub struct Request {
    pub conn: u64,
    pub purpose: Purpose,
    pub id: Id,
    pub body: Vec<u8>,
}

/// A request that is presented to a session.
struct Presented {
    way: Way,
    purpose: Purpose,
    /// `None` if more of it follows.
    body: Option<Vec<u8>>,
    claimable: bool,
}

#[derive(Debug)]
struct Asked {
    request: Request,
    relays: bool,
    status: u16,
    received: Vec<u8>,
}

#[derive(Debug)]
struct Served {
    id: Id,
    purpose: Purpose,
    received: Vec<u8>,
}

#[derive(Debug, Default)]
struct Sending {
    bytes: Vec<u8>,
    last: bool,
}

#[derive(Debug)]
pub struct Process {
    pub slot: usize,
    pub run: Run,
    pub node: Node,
    pub member: Option<Member>,
    pub effects: Vec<Effect>,
    pub claims: u64,
    pub relays: u64,
    /// When the world wakes it next.
    pub wake_at: Option<u64>,
    key: Key,
    offset: i64,
    drift: i64,
    hold: HoldBack,
    sessions: BTreeMap<Id, Session>,
    asked: BTreeMap<Stream, Asked>,
    served: BTreeMap<Stream, Served>,
    sending: BTreeMap<Stream, Sending>,
    waiting: BTreeMap<u64, Request>,
    tokens: u64,
    scan_at: Millis,
}

pub fn bytes_of(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn numbers_of(bytes: &[u8]) -> Vec<u32> {
    assert_eq!(bytes.len() % 4, 0, "a message was cut in two");
    bytes.chunks_exact(4).map(|four| u32::from_be_bytes(four.try_into().unwrap())).collect()
}

/// Takes the whole numbers from the front.
fn take_numbers(bytes: &mut Vec<u8>) -> Vec<u32> {
    let whole = bytes.len() / 4 * 4;
    let rest = bytes.split_off(whole);
    numbers_of(&std::mem::replace(bytes, rest))
}

impl Process {
    pub fn new(world: u64, slot: usize, key: Key, run: Run, boot: u8, number: Option<u16>, clock: (i64, i64)) -> Self {
        let (offset, drift) = clock;
        let now = local(world, offset, drift);
        let node = Node::new(now, Config { key: key.clone(), run, number, boot, longest_poll: 4 * PING });
        Self {
            slot,
            run,
            node,
            member: None,
            effects: Vec::new(),
            claims: 0,
            relays: 0,
            wake_at: None,
            key,
            offset,
            drift,
            hold: HoldBack::default(),
            sessions: BTreeMap::new(),
            asked: BTreeMap::new(),
            served: BTreeMap::new(),
            sending: BTreeMap::new(),
            waiting: BTreeMap::new(),
            tokens: 0,
            scan_at: now,
        }
    }

    pub fn now(&self, world: u64) -> Millis {
        local(world, self.offset, self.drift)
    }

    /// The world's time at which the process has to be woken.
    pub fn due(&self, world: u64) -> u64 {
        let due = self.node.due().min(self.scan_at);
        let ahead = due.saturating_sub(self.now(world));
        let mut at = world + ahead.saturating_sub(ahead / 256).max(1);
        while self.now(at) < due {
            at += 1;
        }
        at
    }

    pub fn has_sessions(&self) -> bool {
        !self.sessions.is_empty()
    }

    pub fn owns(&self, id: &[u8]) -> bool {
        self.sessions.contains_key(id)
    }

    /// Sessions to which the application may send, in order.
    pub fn announced(&self) -> Vec<Id> {
        let heard = |session: &&Session| session.ownership == Ownership::Heard;
        self.sessions.iter().filter(|(_, session)| heard(session)).map(|(id, _)| id.clone()).collect()
    }

    /// Everything that the process has begun is over.
    pub fn assert_idle(&self) {
        assert!(self.sessions.is_empty(), "sessions are left that nobody ends: {:?}", self.sessions);
        assert!(self.asked.is_empty() && self.waiting.is_empty(), "requests are left without an answer");
        assert!(self.served.is_empty(), "requests of other nodes are left: {:?}", self.served);
        let held = self.node.held();
        assert_eq!((held.asked, held.served, held.waiting, held.sessions), (0, 0, 0, 0), "{held:?}");
    }

    pub fn wake(&mut self, world: u64, ledger: &mut Ledger) {
        let now = self.now(world);
        self.node.tick(now);
        self.act(now, ledger);
        if now < self.scan_at {
            return;
        }
        self.scan_at = now + SCAN;
        for id in self.sessions.keys().cloned().collect::<Vec<_>>() {
            let session = self.sessions.get_mut(&id).unwrap();
            if session.ownership.is_due(now) {
                self.announce(&id, ledger);
            }
            let session = self.sessions.get_mut(&id).unwrap();
            if session.upgraded {
                continue;
            }
            if session.poll.is_some() {
                session.seen_at = now;
                if now >= session.polled_at + PING {
                    self.answer_poll(&id);
                }
            } else if now >= session.seen_at + DEAD {
                self.close(&id, ledger);
            }
        }
        self.finish(now, ledger);
    }

    pub fn message(&mut self, world: u64, message: &[u8], ledger: &mut Ledger) {
        let now = self.now(world);
        self.node.receive(now, message);
        self.finish(now, ledger);
    }

    /// Does what the node wants until it wants nothing more.
    fn finish(&mut self, now: Millis, ledger: &mut Ledger) {
        self.act(now, ledger);
        self.node.flush(now);
        self.act(now, ledger);
        self.node.flush(now);
        self.act(now, ledger);
    }

    fn act(&mut self, now: Millis, ledger: &mut Ledger) {
        while let Some(action) = self.node.next_action() {
            self.action(now, action, ledger);
        }
    }

    // ---- clients ----

    pub fn open(&mut self, world: u64, conn: u64, random: [u8; 9], ledger: &mut Ledger) -> Option<Id> {
        let Some(member) = self.member else {
            self.effects.push(Effect::Reply { conn, status: 503, numbers: vec![] });
            return None;
        };
        let now = self.now(world);
        let id = self.key.issue(random, member).to_vec();
        let ownership = self.hold.open(now);
        self.sessions.insert(id.clone(), Session::new(now, ownership));
        ledger.opened(&id, self.slot);
        if ownership == Ownership::Heard {
            ledger.announced(&id, self.slot);
        }
        self.effects.push(Effect::Reply { conn, status: 200, numbers: vec![] });
        Some(id)
    }

    pub fn request(&mut self, world: u64, request: Request, ledger: &mut Ledger) {
        let now = self.now(world);
        self.arrive(now, request, ledger);
        self.finish(now, ledger);
    }

    fn arrive(&mut self, now: Millis, request: Request, ledger: &mut Ledger) {
        self.tokens += 1;
        match self.node.admit(request.purpose, &request.id, self.tokens) {
            Admission::Later => drop(self.waiting.insert(self.tokens, request)),
            Admission::Never => self.effects.push(Effect::Reply { conn: request.conn, status: 503, numbers: vec![] }),
            Admission::Now if self.sessions.contains_key(&request.id) => self.present_here(now, request, ledger),
            Admission::Now => self.ask(now, request),
        }
    }

    fn present_here(&mut self, now: Millis, request: Request, ledger: &mut Ledger) {
        let Request { conn, purpose, id, body } = request;
        self.present(now, &id, Presented { way: Way::Conn(conn), purpose, body: Some(body), claimable: false }, ledger);
    }

    fn ask(&mut self, now: Millis, request: Request) {
        self.hold.foreign_request(now);
        let length = request.body.len().min(MAX_PIECE);
        let (first, rest) = request.body.split_at(length);
        let (head, last) = (b"head", rest.is_empty());
        let stream = self.node.ask(now, request.purpose, &request.id, head, first, last);
        if !last {
            self.sending.insert(stream, Sending { bytes: rest.to_vec(), last: true });
        }
        self.asked.insert(stream, Asked { request, relays: false, status: 0, received: Vec::new() });
    }

    /// The client's side of a connection has ended.
    pub fn client_gone(&mut self, world: u64, conn: u64, ledger: &mut Ledger) {
        let now = self.now(world);
        self.waiting.retain(|_, request| request.conn != conn);
        let asked = self.asked.iter().find(|(_, asked)| asked.request.conn == conn).map(|(stream, _)| *stream);
        if let Some(stream) = asked {
            self.asked.remove(&stream);
            self.sending.remove(&stream);
            self.node.cut(stream);
        }
        self.way_gone(Way::Conn(conn), ledger);
        self.finish(now, ledger);
    }

    fn way_gone(&mut self, way: Way, ledger: &mut Ledger) {
        let some = Some(way);
        let uses = |session: &Session| session.poll == some || session.post == some || session.socket == some;
        let Some((id, session)) = self.sessions.iter_mut().find(|(_, session)| uses(session)) else { return };
        if session.socket == some && !session.upgraded {
            session.socket = None;
        } else {
            let id = id.clone();
            self.close(&id, ledger);
        }
    }

    pub fn web_socket(&mut self, world: u64, conn: u64, number: u32, ledger: &mut Ledger) {
        let now = self.now(world);
        let asked = self.asked.iter().find(|(_, asked)| asked.request.conn == conn).map(|(stream, _)| *stream);
        if let Some(stream) = asked {
            self.relay(stream, &[number]);
        } else {
            let some = Some(Way::Conn(conn));
            let found = self.sessions.iter().find(|(_, session)| session.socket == some).map(|(id, _)| id.clone());
            if let Some(id) = found {
                self.socket_message(&id, number, ledger);
            }
        }
        self.finish(now, ledger);
    }

    pub fn application_sends(&mut self, world: u64, id: &Id, count: u32, ledger: &mut Ledger) {
        let now = self.now(world);
        let numbers = ledger.application_sends(id, count);
        self.sessions.get_mut(id).unwrap().out.extend(numbers);
        self.flush(id);
        self.finish(now, ledger);
    }

    /// Ends a session as the application does.
    pub fn application_closes(&mut self, world: u64, id: &Id, ledger: &mut Ledger) {
        let now = self.now(world);
        self.close(id, ledger);
        self.finish(now, ledger);
    }

    pub fn crash(self, ledger: &mut Ledger) {
        for id in self.sessions.keys() {
            ledger.ended(id, self.slot);
        }
    }

    // ---- sessions ----

    fn announce(&mut self, id: &Id, ledger: &mut Ledger) {
        if self.sessions.get_mut(id).unwrap().ownership.announce() {
            ledger.announced(id, self.slot);
            let session = self.sessions.get_mut(id).unwrap();
            if let Some(body) = session.held.take() {
                let way = session.post.take().unwrap();
                self.posted(way, id, &body, ledger);
            }
        }
    }

    fn present(&mut self, now: Millis, id: &Id, request: Presented, ledger: &mut Ledger) {
        let Presented { way, purpose, body, claimable } = request;
        let Some(session) = self.sessions.get_mut(id) else { return self.reply(way, 400, &[]) };
        session.seen_at = now;
        match purpose {
            Purpose::Poll if session.poll.is_some() => {
                self.reply(way, 400, &[]);
                self.close(id, ledger);
            }
            Purpose::Poll if session.upgraded => self.reply(way, 400, &[]),
            Purpose::Poll => {
                (session.poll, session.polled_at) = (Some(way), now);
                if !session.out.is_empty() || session.socket.is_some() {
                    self.answer_poll(id);
                }
            }
            Purpose::Post if session.post.is_some() => {
                self.reply(way, 400, &[]);
                self.close(id, ledger);
            }
            Purpose::Post => match body {
                None => {
                    session.post = Some(way);
                    self.announce(id, ledger);
                }
                Some(body) if matches!(session.ownership, Ownership::Unheard { .. }) => {
                    (session.post, session.held) = (Some(way), Some(body));
                }
                Some(body) => self.posted(way, id, &body, ledger),
            },
            Purpose::Upgrade if session.socket.is_some() => self.reply(way, 400, &[]),
            Purpose::Upgrade => {
                if let (true, Way::Stream(stream)) = (claimable, way) {
                    if matches!(session.ownership, Ownership::Unheard { .. }) {
                        // without the other node the session stays
                        if self.node.give(stream, b"state") {
                            self.given(now, stream, id, ledger);
                        }
                        return;
                    }
                }
                self.announce(id, ledger);
                let session = self.sessions.get_mut(id).unwrap();
                session.socket = Some(way);
                let polls = session.poll.is_some();
                self.relays += u64::from(matches!(way, Way::Stream(_)));
                self.reply(way, 101, &[]);
                if polls {
                    self.answer_poll(id);
                }
            }
        }
    }

    fn given(&mut self, now: Millis, stream: Stream, id: &Id, ledger: &mut Ledger) {
        self.claims += 1;
        ledger.given(id, self.slot);
        let mut session = self.sessions.remove(id).unwrap();
        assert!(session.ownership.claim());
        assert!(session.out.is_empty());
        self.served.retain(|other, served| *other == stream || served.id != *id);
        self.served.remove(&stream);
        if let (Some(Way::Conn(conn)), Some(body)) = (session.post, session.held) {
            self.ask(now, Request { conn, purpose: Purpose::Post, id: id.clone(), body });
        }
        if let Some(Way::Conn(conn)) = session.poll {
            self.ask(now, Request { conn, purpose: Purpose::Poll, id: id.clone(), body: vec![] });
        }
    }

    fn posted(&mut self, way: Way, id: &Id, body: &[u8], ledger: &mut Ledger) {
        self.announce(id, ledger);
        ledger.application_gets(id, &numbers_of(body), self.slot);
        self.reply(way, 200, &[]);
    }

    fn socket_message(&mut self, id: &Id, number: u32, ledger: &mut Ledger) {
        if number == UPGRADE {
            self.sessions.get_mut(id).unwrap().upgraded = true;
            self.flush(id);
        } else {
            ledger.application_gets(id, &[number], self.slot);
        }
    }

    fn answer_poll(&mut self, id: &Id) {
        let session = self.sessions.get_mut(id).unwrap();
        if let Some(way) = session.poll.take() {
            let numbers: Vec<u32> = session.out.drain(..).collect();
            self.reply(way, 200, &numbers);
        }
    }

    fn flush(&mut self, id: &Id) {
        let session = self.sessions.get_mut(id).unwrap();
        if !session.upgraded {
            if !session.out.is_empty() {
                self.answer_poll(id);
            }
            return;
        }
        let numbers: Vec<u32> = session.out.drain(..).collect();
        match session.socket {
            Some(Way::Conn(conn)) => self.effects.push(Effect::WebSocket { conn, numbers }),
            Some(Way::Stream(stream)) => self.relay(stream, &numbers),
            None => panic!("a session has upgraded to nothing"),
        }
    }

    fn close(&mut self, id: &Id, ledger: &mut Ledger) {
        let Some(session) = self.sessions.remove(id) else { return };
        ledger.ended(id, self.slot);
        self.node.over(id);
        for way in [session.poll, session.post].into_iter().flatten() {
            self.reply(way, 400, &[]);
        }
        match session.socket {
            Some(Way::Conn(conn)) => self.effects.push(Effect::Cut { conn }),
            Some(Way::Stream(stream)) => {
                self.served.remove(&stream);
                self.sending.remove(&stream);
                self.node.cut(stream);
            }
            None => {}
        }
        self.node.released(id);
    }

    fn reply(&mut self, way: Way, status: u16, numbers: &[u32]) {
        let stream = match way {
            Way::Conn(conn) => {
                return self.effects.push(Effect::Reply { conn, status, numbers: numbers.to_vec() });
            }
            Way::Stream(stream) => stream,
        };
        if status == 400 {
            self.served.remove(&stream);
            return self.node.refuse(stream, Why::Unknown);
        }
        let bytes = bytes_of(numbers);
        let (first, rest) = bytes.split_at(bytes.len().min(MAX_PIECE));
        let last = rest.is_empty() && status != 101;
        self.node.answer(stream, status, b"head", first, last);
        if status == 101 {
            return;
        }
        self.served.remove(&stream);
        if !last {
            self.sending.insert(stream, Sending { bytes: rest.to_vec(), last: true });
            self.pump(stream);
        }
    }

    fn relay(&mut self, stream: Stream, numbers: &[u32]) {
        self.sending.entry(stream).or_default().bytes.extend(bytes_of(numbers));
        self.pump(stream);
    }

    fn pump(&mut self, stream: Stream) {
        let Some(sending) = self.sending.get_mut(&stream) else { return };
        loop {
            let room = self.node.room(stream);
            let length = room.min(sending.bytes.len());
            let ends = length == sending.bytes.len();
            if length == 0 && !(ends && sending.last) || room == 0 && !sending.bytes.is_empty() {
                break;
            }
            let rest = sending.bytes.split_off(length);
            let piece = std::mem::replace(&mut sending.bytes, rest);
            assert!(self.node.send(stream, &piece, ends && sending.last), "there was room");
            if ends {
                break;
            }
        }
        if sending.bytes.is_empty() {
            self.sending.remove(&stream);
        }
    }

    // ---- the node ----

    fn action(&mut self, now: Millis, action: Action, ledger: &mut Ledger) {
        match action {
            Action::Publish { to, message } => self.effects.push(Effect::Publish { to, message }),
            Action::Joined(member) => self.member = Some(member),
            Action::NumberTaken(_) => {}
            Action::Serve { stream, purpose, id, claimable, head, body, last } => {
                assert_eq!(head, b"head");
                self.hold.foreign_request(now);
                let received = if last { Vec::new() } else { body.clone() };
                self.served.insert(stream, Served { id: id.clone(), purpose, received });
                let request = Presented { way: Way::Stream(stream), purpose, body: last.then_some(body), claimable };
                self.present(now, &id, request, ledger);
            }
            Action::Answer { stream, status, head, body, last } => {
                assert_eq!(head, b"head");
                let asked = self.asked.get_mut(&stream).expect("it was asked for");
                (asked.status, asked.received) = (status, body);
                if status == 101 {
                    asked.relays = true;
                    let conn = asked.request.conn;
                    self.effects.push(Effect::Reply { conn, status, numbers: vec![] });
                } else if last {
                    self.answered(stream);
                }
            }
            Action::Data { stream: stream @ Stream::Asked(_), body, last } => {
                let asked = self.asked.get_mut(&stream).expect("it was asked for");
                asked.received.extend_from_slice(&body);
                let conn = asked.request.conn;
                if asked.relays {
                    let numbers = take_numbers(&mut asked.received);
                    self.effects.push(Effect::WebSocket { conn, numbers });
                }
                self.node.consumed(stream, body.len());
                if last && self.asked[&stream].relays {
                    self.asked.remove(&stream);
                    self.effects.push(Effect::Cut { conn });
                    self.node.cut(stream);
                } else if last {
                    self.answered(stream);
                }
            }
            Action::Data { stream, body, last } => {
                self.node.consumed(stream, body.len());
                let Some(served) = self.served.get_mut(&stream) else { return };
                served.received.extend_from_slice(&body);
                let id = served.id.clone();
                if served.purpose == Purpose::Upgrade {
                    for number in take_numbers(&mut served.received) {
                        if self.sessions.get(&id).is_some_and(|session| session.socket == Some(Way::Stream(stream))) {
                            self.socket_message(&id, number, ledger);
                        }
                    }
                } else if last {
                    let body = std::mem::take(&mut served.received);
                    self.sessions.get_mut(&id).unwrap().post = None;
                    self.posted(Way::Stream(stream), &id, &body, ledger);
                }
            }
            Action::Writable(stream) => self.pump(stream),
            Action::Failed { stream, failure } => {
                self.sending.remove(&stream);
                // it may fail within the call that asks: the request is noted after it
                let Some(asked) = self.asked.remove(&stream) else { panic!("it was not asked for") };
                let conn = asked.request.conn;
                match failure {
                    Failure::Unavailable => self.effects.push(Effect::Reply { conn, status: 503, numbers: vec![] }),
                    Failure::Unknown | Failure::TooLarge => {
                        self.effects.push(Effect::Reply { conn, status: 400, numbers: vec![] });
                    }
                    Failure::Cut => self.effects.push(Effect::Cut { conn }),
                    Failure::Here => self.present_here(now, asked.request, ledger),
                    Failure::Again => self.arrive(now, asked.request, ledger),
                }
            }
            Action::Gone(stream) => {
                self.served.remove(&stream);
                self.sending.remove(&stream);
                self.way_gone(Way::Stream(stream), ledger);
            }
            Action::Done(_) => {}
            Action::Moved(stream) => {
                self.served.remove(&stream);
                self.sending.remove(&stream);
            }
            Action::Lost(_, id) => self.close(&id, ledger),
            Action::Claimed { stream, id, state } => {
                assert_eq!(state, b"state");
                let asked = self.asked.remove(&stream).expect("it was asked for");
                ledger.claimed(&id, self.slot);
                let mut session = Session::new(now, Ownership::Unheard { until: now });
                session.socket = Some(Way::Conn(asked.request.conn));
                let before = self.sessions.insert(id.clone(), session);
                assert!(before.is_none(), "a process claims what it owns");
                self.announce(&id, ledger);
                self.effects.push(Effect::Reply { conn: asked.request.conn, status: 101, numbers: vec![] });
            }
            Action::Proceed(token) => {
                if let Some(request) = self.waiting.remove(&token) {
                    self.arrive(now, request, ledger);
                }
            }
        }
    }

    fn answered(&mut self, stream: Stream) {
        let asked = self.asked.remove(&stream).expect("it was asked for");
        let numbers = numbers_of(&asked.received);
        self.effects.push(Effect::Reply { conn: asked.request.conn, status: asked.status, numbers });
        self.node.done(stream);
    }
}

fn local(world: u64, offset: i64, drift: i64) -> Millis {
    let world = world as i64;
    (offset + world + world * drift / 1_000_000) as Millis
}
