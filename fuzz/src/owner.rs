//! What JavaScript does with what the engine tells it, as far as a listener and its sessions need it: it decides
//! requests, opens sessions, answers messages, and is told of every end.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use engine_io_native::http::{Listener, OwnerResponse, Requests, Switching, Verdict};
use engine_io_native::protocol::PacketType;
use engine_io_native::server::{
    BY_POST, Batch, Binding, Commands, Compression, Connection, Data, Event, EventQueue, Kind, Locked, NewSession,
    Numbers, Opened, PollEncoding, SessionCell, now,
};
use engine_io_native::session::{OutData, OutPacket, PollId, Reason, Revision, Session, Start, Timing};
use engine_io_native::websocket::deflate::{Options, negotiate};
use engine_io_native::websocket::{Decoder, Deflate, Inflate, Limits, UpgradeRequest, check};

pub const PING_INTERVAL_MS: u64 = 5_000;
pub const PING_TIMEOUT_MS: u64 = 4_000;
pub const UPGRADE_TIMEOUT_MS: u64 = 3_000;

/// Options of the server.
#[derive(Clone, Copy)]
pub struct Setup {
    /// Polls and POSTs are served without the owner where possible.
    pub direct: bool,
    pub compress: bool,
    pub deflate: bool,
    v3: bool,
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
            direct: !bit(0),
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
    requests: Arc<Requests>,
    listener: Arc<Listener>,
    commands: Commands,
    timing: Arc<Timing>,
    /// It takes no events, like a thread that is busy.
    pub blocked: bool,
    sessions: HashMap<u32, Known>,
    connections: HashMap<u32, Arc<Connection>>,
    /// Of sessions and connections; none is used twice.
    numbers: Numbers,
    all_sessions: Vec<Weak<SessionCell>>,
    all_connections: Vec<Weak<Connection>>,
    sids: Vec<String>,
}

/// A session as JavaScript knows it.
struct Known {
    cell: Arc<SessionCell>,
    connection: Option<Arc<Connection>>,
    /// The poll that waits here, and its request.
    poll: Option<(PollId, u32)>,
    last_poll: PollId,
    /// Packets that wait for a poll.
    buffer: Vec<OutPacket>,
    closed: bool,
    /// The listener opened it, and did not know who listens.
    was_opened: bool,
}

impl Owner {
    pub fn new(
        setup: Setup,
        queue: EventQueue,
        requests: Arc<Requests>,
        listener: Arc<Listener>,
        commands: Commands,
        numbers: Numbers,
        timing: Arc<Timing>,
    ) -> Self {
        Self {
            setup,
            queue,
            requests,
            listener,
            commands,
            timing,
            blocked: false,
            sessions: HashMap::new(),
            connections: HashMap::new(),
            numbers,
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
            (4, Some(session)) => self.send(session, OutPacket { kind: PacketType::Message, data: OutData::Binary(vec![7; 9]) }),
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
                    if let Some(connection) = self.connections.get(&(connection - 1)) {
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
            Kind::Request => return self.on_request(target, &Head::parse(content)),
            Kind::UpgradeRequest => return self.on_upgrade(target, &Head::parse(content)),
            Kind::RequestAborted => return self.on_aborted(target),
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
            Kind::ListenerClosed | Kind::Compressed => return,
            Kind::Opened => {
                let Data::Opened(opened) = &event.data else { panic!("nothing was opened") };
                return self.on_opened(target, opened);
            }
            Kind::SessionReleased => {
                let known = self.sessions.remove(&target).expect("released once");
                assert!(known.closed, "released before its end");
                return;
            }
            _ => {}
        }
        let Some(known) = self.sessions.get_mut(&target) else { panic!("{:?} of an unknown session", event.kind) };
        if event.kind == Kind::Due {
            let updates = known.cell.tick_by_owner();
            return self.take(&updates);
        }
        if known.closed {
            // a step of the owner's overtakes what is queued: JavaScript ignores what comes after `close`
            assert!(event.kind != Kind::Closed, "closed twice");
            return;
        }
        match event.kind {
            Kind::Message => {
                if self.setup.fatal {
                    self.close(target);
                } else if self.setup.echo {
                    let data = match event.data {
                        Data::Bytes { .. } | Data::OwnedBytes(_) => OutData::Binary(content.to_vec()),
                        _ => OutData::Text(String::from_utf8(content.to_vec()).expect("texts are UTF-8")),
                    };
                    self.send(target, OutPacket { kind: PacketType::Message, data });
                }
            }
            Kind::Packet => assert!(self.setup.verbose || known.was_opened, "told though nobody listens"),
            Kind::Pinged => assert!(self.setup.verbose, "told though nobody listens"),
            Kind::AnswerPoll | Kind::AnswerPollPlain => {
                let (poll, request) = known.poll.take().expect("a poll waits");
                assert_eq!(poll, event.arg, "an answer for another poll");
                self.respond(request, 200, content.to_vec());
            }
            // the poll that was refused is answered by whoever showed it to the machine
            Kind::RejectPoll | Kind::AbortPost | Kind::Upgrading | Kind::UpgradeFailed => {}
            Kind::PollReady => self.flush(target),
            Kind::Upgraded => {
                known.connection = self.connections.get(&event.arg).cloned();
                self.flush(target);
            }
            Kind::Closed => {
                known.closed = true;
                if let Some(connection) = &known.connection {
                    connection.conclude();
                }
                assert!(known.poll.is_none(), "the poll that waits gets no answer");
                self.queue.push(Kind::SessionReleased, target, 0);
            }
            other => panic!("{other:?} of a session"),
        }
    }

    // ---- requests ----------------------------------------------------------------------------

    fn on_request(&mut self, request: u32, head: &Head<'_>) {
        if head.query("transport") != Some("polling") {
            return self.refuse(request);
        }
        let Some(sid) = head.query("sid") else { return self.on_handshake(request, head) };
        let cell = self.listener.registry.get(sid);
        let Some(cell) = cell.filter(|cell| cell.encoding().revision == head.revision() && cell.is_polling()) else {
            return self.refuse(request);
        };
        match head.method {
            "GET" => self.on_poll(request, cell.handle),
            "POST" => self.on_post(request, &cell, head),
            _ => self.refuse(request),
        }
    }

    fn on_handshake(&mut self, request: u32, head: &Head<'_>) {
        if head.method != "GET" || (head.revision() == Revision::V3 && !self.setup.v3) {
            return self.refuse(request);
        }
        let session = self.open(head, None);
        self.on_poll(request, session);
        self.send(session, OutPacket { kind: PacketType::Open, data: OutData::Text(format!("{{\"sid\":\"s{session}\"}}")) });
    }

    fn on_poll(&mut self, request: u32, session: u32) {
        let Some(known) = self.sessions.get_mut(&session).filter(|known| !known.closed) else { return self.refuse(request) };
        if known.poll.is_some() {
            self.fail(session);
            return self.refuse(request);
        }
        known.last_poll += 1;
        let poll = known.last_poll;
        known.poll = Some((poll, request));
        let mut rejected = false;
        let updates = known.cell.step(|locked, _| locked.inner.machine.poll(poll, false, &mut locked.actions));
        for event in &updates.events {
            rejected |= event.kind == Kind::RejectPoll && event.arg == poll;
        }
        if rejected {
            known.poll = None;
            self.refuse(request);
        }
        self.take(&updates);
        self.flush(session);
    }

    fn on_post(&mut self, request: u32, cell: &Arc<SessionCell>, head: &Head<'_>) {
        let body = self.requests.take_body(request);
        let binary = head.header("content-type") == Some("application/octet-stream");
        let mut started = false;
        let mut updates = cell.step(|locked, _| started = locked.inner.machine.post_started(&mut locked.actions));
        self.take(&updates);
        if !started {
            return self.refuse(request);
        }
        updates = cell.step(|locked, batch| {
            locked.inner.machine.post_finished();
            locked.receive_payload(&body, binary, batch);
        });
        self.take(&updates);
        self.respond(request, 200, b"ok".to_vec());
    }

    fn on_upgrade(&mut self, request: u32, head: &Head<'_>) {
        let wanted = UpgradeRequest {
            method: head.method,
            upgrade: head.header("upgrade"),
            key: head.header("sec-websocket-key"),
            version: head.header("sec-websocket-version"),
            protocol: head.header("sec-websocket-protocol"),
        };
        let Ok(accepted) = check(&wanted) else { return self.refuse(request) };
        if head.query("transport") != Some("websocket") || (head.revision() == Revision::V3 && !self.setup.v3) {
            return self.refuse(request);
        }
        let mut session = None;
        if let Some(sid) = head.query("sid") {
            session = self.sessions.values().find(|known| !known.closed && format!("s{}", known.cell.handle) == sid);
            if session.is_none_or(|known| known.cell.encoding().revision != head.revision()) {
                return self.refuse(request);
            }
        }
        let session = session.map(|known| known.cell.clone());

        let limits = Limits { max_payload: self.setup.max_message, max_fragments: 100, max_text: 0 };
        let offer = head.header("sec-websocket-extensions").filter(|_| self.setup.deflate);
        let agreement = offer.and_then(|offer| negotiate(offer, &Options::default()).ok().flatten());
        let mut headers = vec![
            ("Upgrade".to_owned(), "websocket".to_owned()),
            ("Connection".to_owned(), "Upgrade".to_owned()),
            ("Sec-WebSocket-Accept".to_owned(), accepted.accept),
        ];
        let (decoder, compression) = match agreement {
            Some(agreement) => {
                headers.push(("Sec-WebSocket-Extensions".to_owned(), agreement.header.clone()));
                let compression = Compression { deflate: Deflate::new(&agreement, 1), from: 10 };
                (Decoder::with_inflate(limits, Inflate::new(&agreement)), Some(compression))
            }
            None => (Decoder::new(limits), None),
        };
        let handle = self.numbers.take();
        let connection = Connection::new(handle, self.queue.clone(), self.commands.clone(), decoder, compression);
        self.connections.insert(handle, connection.clone());
        self.all_connections.push(Arc::downgrade(&connection));
        let response = OwnerResponse { status: 101, headers, body: Vec::new() };
        self.requests.decide(request, Verdict::Accept(response, Switching::new(connection.clone())));
        match session {
            None => {
                let session = self.open(head, Some(connection));
                self.send(session, OutPacket { kind: PacketType::Open, data: OutData::Text("{}".to_owned()) });
            }
            Some(cell) => {
                let mut started = false;
                let updates = cell.step(|locked, _| started = locked.start_upgrade(&connection));
                self.take(&updates);
                if started {
                    connection.bind(Binding::Session(cell));
                } else {
                    connection.close();
                }
            }
        }
    }

    /// The client of a request went away.
    fn on_aborted(&mut self, request: u32) {
        let waiting = self.sessions.iter_mut().find(|(_, known)| known.poll.is_some_and(|(_, waiting)| waiting == request));
        let Some((session, known)) = waiting else { return };
        let Some((poll, _)) = known.poll.take() else { return };
        let session = *session;
        self.step(session, |locked, _| locked.inner.machine.poll_aborted(poll, &mut locked.actions));
    }

    fn refuse(&mut self, request: u32) {
        self.respond(request, 400, b"{\"code\":3}".to_vec());
    }

    fn respond(&mut self, request: u32, status: u16, body: Vec<u8>) {
        let headers = vec![("Content-Type".to_owned(), "text/plain".to_owned())];
        self.requests.decide(request, Verdict::Respond(OwnerResponse { status, headers, body }));
    }

    // ---- sessions ----------------------------------------------------------------------------

    fn open(&mut self, head: &Head<'_>, connection: Option<Arc<Connection>>) -> u32 {
        let handle = self.numbers.take();
        let revision = head.revision();
        let sid = format!("s{handle}");
        let start = connection.as_ref().map_or(Start::Polling, |connection| Start::Channel(connection.handle));
        let binary = head.query("b64").is_none();
        let new = NewSession {
            handle,
            machine: Session::new(now(), revision, self.timing.clone(), start),
            encoding: PollEncoding { revision, binary, jsonp: head.query("j").map(Into::into) },
            base64: !binary,
            transport: connection.clone(),
            listed: Some((self.listener.registry.clone(), sid.clone())),
            verbose: Some(self.setup.verbose),
        };
        let cell = SessionCell::new(new, self.queue.clone(), self.commands.clone());
        cell.open(true);
        self.all_sessions.push(Arc::downgrade(&cell));
        self.sids.push(sid);
        self.know(handle, cell, connection, false);
        handle
    }

    /// The listener has opened a session.
    fn on_opened(&mut self, session: u32, opened: &Opened) {
        opened.session.set_verbose(self.setup.verbose);
        self.all_sessions.push(Arc::downgrade(&opened.session));
        if let Some(connection) = &opened.connection {
            self.connections.insert(connection.handle, connection.clone());
            self.all_connections.push(Arc::downgrade(connection));
        }
        self.know(session, opened.session.clone(), opened.connection.clone(), true);
    }

    fn know(&mut self, session: u32, cell: Arc<SessionCell>, connection: Option<Arc<Connection>>, was_opened: bool) {
        let known = Known { cell, connection, poll: None, last_poll: 0, buffer: Vec::new(), closed: false, was_opened };
        self.sessions.insert(session, known);
    }

    fn send(&mut self, session: u32, packet: OutPacket) {
        if let Some(known) = self.sessions.get_mut(&session).filter(|known| !known.closed) {
            known.buffer.push(packet);
            self.flush(session);
        }
    }

    /// Hands what waits over to the transport.
    fn flush(&mut self, session: u32) {
        let Some(known) = self.sessions.get_mut(&session).filter(|known| !known.closed) else { return };
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

    fn fail(&mut self, session: u32) {
        self.step(session, |locked, _| locked.inner.machine.close(Reason::TransportClose, &mut locked.actions));
    }
}

fn text(text: &str) -> OutPacket {
    OutPacket { kind: PacketType::Message, data: OutData::Text(text.to_owned()) }
}

/// The head of a request, as the listener gives it.
struct Head<'a> {
    method: &'a str,
    query: &'a str,
    headers: Vec<(&'a str, &'a str)>,
}

impl<'a> Head<'a> {
    fn parse(head: &'a [u8]) -> Self {
        let head = std::str::from_utf8(head).expect("a head is text");
        let mut fields = head.split('\0').skip(2);
        let method = fields.next().unwrap_or("");
        let target = fields.next().unwrap_or("");
        let mut fields = fields.skip(5);
        let mut headers = Vec::new();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            headers.push((name, value));
        }
        Self { method, query: target.split_once('?').map_or("", |(_, query)| query), headers }
    }

    /// The last value of a parameter.
    fn query(&self, name: &str) -> Option<&'a str> {
        self.query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name).map(|(_, value)| value).last()
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn revision(&self) -> Revision {
        if self.query("EIO") == Some("4") { Revision::V4 } else { Revision::V3 }
    }
}
