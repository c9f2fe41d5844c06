//! What JavaScript does with what the engine tells it, as far as a listener and its sessions need it: it answers
//! messages, closes sessions, and is told of every end.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use engine_io_native::http::Listener;
use engine_io_native::protocol::PacketType;
use engine_io_native::runtime::{
    BY_POST, Batch, Connection, Event, EventData, EventQueue, Kind, Locked, Opened, SessionCell,
};
use engine_io_native::session::{OutData, OutPacket, Reason};

pub const PING_INTERVAL_MS: u64 = 5_000;
pub const PING_TIMEOUT_MS: u64 = 4_000;
pub const UPGRADE_TIMEOUT_MS: u64 = 3_000;

/// Options of the server.
#[derive(Clone, Copy)]
pub struct Setup {
    /// It wants to hear of refusals.
    pub refusals: bool,
    pub compress: bool,
    pub deflate: bool,
    pub v3: bool,
    /// Messages are sent back.
    echo: bool,
    /// A message ends the session.
    fatal: bool,
    /// Every packet is told.
    verbose: bool,
    /// In bytes: of a body, and of a message.
    pub max_message: u64,
}

impl Setup {
    pub fn from_bits(bits: u8) -> Self {
        let bit = |number: u8| bits >> number & 1 != 0;
        Self {
            refusals: bit(0),
            compress: bit(1),
            deflate: bit(2),
            v3: bit(3),
            echo: bit(4),
            fatal: bit(5),
            verbose: bit(6),
            max_message: if bit(7) { 100 } else { 100_000 },
        }
    }
}

pub struct Owner {
    setup: Setup,
    queue: EventQueue,
    listener: Arc<Listener>,
    /// It takes no events, like a thread that is busy.
    pub blocked: bool,
    sessions: HashMap<u32, Known>,
    /// Those that are over; no handle is given back.
    ended: HashSet<u32>,
    connections: HashMap<u32, Arc<Connection>>,
    all_sessions: Vec<Weak<SessionCell>>,
    all_connections: Vec<Weak<Connection>>,
    /// Of sessions that began with polls, in order.
    pub sids: Vec<String>,
}

/// A session as JavaScript knows it.
struct Known {
    cell: Arc<SessionCell>,
    connection: Option<Arc<Connection>>,
    /// Packets that wait for a poll.
    buffer: Vec<OutPacket>,
}

impl Owner {
    pub fn new(setup: Setup, queue: EventQueue, listener: Arc<Listener>) -> Self {
        Self {
            setup,
            queue,
            listener,
            blocked: false,
            sessions: HashMap::new(),
            ended: HashSet::new(),
            connections: HashMap::new(),
            all_sessions: Vec::new(),
            all_connections: Vec::new(),
            sids: Vec::new(),
        }
    }

    /// Takes what there is to take. Whether there was something.
    pub fn work(&mut self) -> bool {
        let mut worked = false;
        while !self.blocked {
            let batch = self.queue.take(Batch::default());
            if batch.is_empty() {
                break;
            }
            worked = true;
            self.take(&batch);
        }
        worked
    }

    pub fn has_sessions(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// Does something of its own accord, to the youngest session.
    pub fn act(&mut self, argument: u8) {
        let youngest = self.sessions.keys().max().copied();
        match (argument % 8, youngest) {
            (0, _) => self.blocked = !self.blocked,
            (1, _) => self.listener.close(),
            (2, Some(session)) => self.send(session, text("from the server")),
            (3, Some(session)) => self.send(session, text(&"large ".repeat(20_000))),
            (4, Some(session)) => {
                self.send(session, OutPacket { kind: PacketType::Message, data: OutData::Binary(vec![7; 9]) })
            }
            (5, Some(session)) => self.close(session),
            (6, Some(session)) => self.step(session, |locked, _| {
                locked.inner.machine.close(Reason::ForcedClose, &mut locked.actions);
            }),
            (_, Some(session)) => {
                if let Some(connection) = self.sessions.get(&session).and_then(|known| known.connection.clone()) {
                    connection.throttle();
                }
            }
            _ => {}
        }
    }

    /// Everything has ended and nothing is held.
    pub fn assert_over(&self) {
        assert!(self.sessions.is_empty(), "sessions without an end: {:?}", self.sessions.keys());
        assert!(self.connections.is_empty(), "connections without an end: {:?}", self.connections.keys());
        assert!(self.all_sessions.iter().all(|cell| cell.upgrade().is_none()), "a session is held");
        assert!(self.all_connections.iter().all(|connection| connection.upgrade().is_none()), "a connection is held");
        assert!(self.sids.iter().all(|sid| self.listener.registry.get(sid).is_none()), "an id is still known");
    }

    // ---- events ------------------------------------------------------------------------------

    fn take(&mut self, batch: &Batch) {
        for event in &batch.events {
            match event.charged {
                0 => {}
                BY_POST => {
                    if let Some(known) = self.sessions.get(&event.target) {
                        known.cell.settle(batch.cost(event));
                    }
                }
                connection => {
                    if let Some(connection) = self.connections.get(&connection) {
                        connection.settle(batch.cost(event));
                    }
                }
            }
            self.on(event, batch.content(&event.data));
        }
    }

    fn on(&mut self, event: &Event, content: &[u8]) {
        let target = event.target;
        match event.kind {
            Kind::ConnectionEnded => {
                assert!(self.connections.remove(&target).is_some(), "a connection ends twice");
                return;
            }
            Kind::Drained | Kind::ConnectionMessage | Kind::ConnectionClosed | Kind::PipeReady => {
                // unbound connections may close; nothing else is theirs, and none of it comes after their end
                let connection = self.connections.get(&target);
                let connection = connection.unwrap_or_else(|| panic!("{:?} of an unknown connection", event.kind));
                if event.kind == Kind::ConnectionClosed {
                    connection.conclude();
                }
                return;
            }
            Kind::ListenerClosed => return,
            Kind::Refused => {
                assert!(self.setup.refusals, "told though nobody listens");
                return;
            }
            Kind::Opened => {
                let Some(opened) = Opened::of(event) else { panic!("nothing was opened") };
                return self.on_opened(target, opened);
            }
            Kind::Probing => {
                let Some(opened) = Opened::of(event) else { panic!("nothing was opened") };
                return self.know_connection(opened);
            }
            _ => {}
        }
        let Some(known) = self.sessions.get_mut(&target) else {
            // a step of the owner's overtakes what is queued: JavaScript ignores what comes after `close`
            assert!(self.ended.contains(&target), "{:?} of an unknown session", event.kind);
            assert!(event.kind != Kind::Closed, "closed twice");
            return;
        };
        if event.kind == Kind::Due {
            let updates = known.cell.tick_by_owner();
            return self.take(&updates);
        }
        match event.kind {
            Kind::Message => {
                if self.setup.fatal {
                    self.close(target);
                } else if self.setup.echo {
                    let data = match event.data {
                        EventData::Bytes { .. } | EventData::OwnedBytes(_) => OutData::Binary(content.to_vec()),
                        _ => OutData::Text(String::from_utf8(content.to_vec()).expect("texts are UTF-8")),
                    };
                    self.send(target, OutPacket { kind: PacketType::Message, data });
                }
            }
            // those from before the owner had heard of the session are told
            Kind::Packet => {}
            Kind::Pinged => assert!(self.setup.verbose, "told though nobody listens"),
            Kind::Upgrading | Kind::PollTaken => {}
            // the event does not name the connection whose end may wait for this
            Kind::UpgradeFailed => self.connections.values().for_each(|connection| drop(connection.conclude())),
            Kind::PollReady => self.flush(target),
            Kind::PayloadEnd => self.step(target, |locked, batch| locked.end_payload(batch)),
            // a heartbeat or the noop of an upgrade, which keep their place among what waits for a poll
            Kind::SendPacket => {
                let kind = u8::try_from(event.arg).ok().and_then(PacketType::from_number);
                let kind = kind.unwrap_or_else(|| panic!("packet type {} to send", event.arg));
                self.send(target, OutPacket { kind, data: OutData::None });
            }
            Kind::Upgraded => {
                known.connection = self.connections.get(&event.arg).cloned();
                self.flush(target);
            }
            Kind::Closed => {
                if let Some(connection) = &known.connection {
                    connection.conclude();
                }
                self.sessions.remove(&target);
                self.ended.insert(target);
            }
            other => panic!("{other:?} of a session"),
        }
    }

    // ---- sessions ----------------------------------------------------------------------------

    /// The listener has opened a session.
    fn on_opened(&mut self, session: u32, opened: &Opened) {
        opened.session.set_verbose(self.setup.verbose);
        self.all_sessions.push(Arc::downgrade(&opened.session));
        if !opened.session.sid().is_empty() {
            self.sids.push(opened.session.sid().to_owned());
        }
        self.know_connection(opened);
        let (cell, connection) = (opened.session.clone(), opened.connection.clone());
        self.sessions.insert(session, Known { cell, connection, buffer: Vec::new() });
    }

    fn know_connection(&mut self, opened: &Opened) {
        if let Some(connection) = &opened.connection {
            self.connections.insert(connection.handle, connection.clone());
            self.all_connections.push(Arc::downgrade(connection));
        }
    }

    fn send(&mut self, session: u32, packet: OutPacket) {
        if let Some(known) = self.sessions.get_mut(&session) {
            known.buffer.push(packet);
            self.flush(session);
        }
    }

    /// Hands what waits over to the transport.
    fn flush(&mut self, session: u32) {
        let Some(known) = self.sessions.get_mut(&session) else { return };
        let packets = std::mem::take(&mut known.buffer);
        match &known.connection {
            Some(connection) => {
                let revision = known.cell.encoding().revision;
                let base64 = known.cell.wants_base64();
                connection.write(|outbox| outbox.packets(&packets, revision, base64));
            }
            None => self.step(session, |locked, _| locked.inner.machine.send(packets, true, &mut locked.actions)),
        }
    }

    fn close(&mut self, session: u32) {
        self.step(session, |locked, _| {
            locked.inner.machine.begin_close();
            locked.inner.machine.close_transport(locked.now, Some(30_000), &mut locked.actions);
        });
    }

    fn step(&mut self, session: u32, steps: impl FnOnce(&mut Locked<'_>, &mut Batch)) {
        if let Some(known) = self.sessions.get(&session) {
            let updates = known.cell.step(steps);
            self.take(&updates);
        }
    }
}

fn text(text: &str) -> OutPacket {
    OutPacket { kind: PacketType::Message, data: OutData::Text(text.to_owned()) }
}
