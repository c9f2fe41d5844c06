//! Sessions, and their polls and POSTs that come through Node's HTTP server.

use std::sync::Arc;

use napi::bindgen_prelude::{Array, JsValue};
use napi::{Env, Error, Result, Status, sys};
use napi_derive::napi;

use super::convert::{Content, Raw, null, to_content, with_content};
use super::counts::{count_sent, count_taken, size_of_data};
use super::engine::Engine;
use super::state::{State, delay};
use super::tables::exhausted;
use super::wake::check;
use crate::protocol::PacketType;
use crate::runtime::contract::ReasonCode;
use crate::runtime::{
    Batch, Binding, Channel, Kind, Locked, NO_HANDLE, NewSession, PollEncoding, SendStatus, SessionCell, now,
};
use crate::session::{Fault, OutPacket, Relayed, Revision, Session, Start};

#[napi]
impl Engine {
    /// Sets whether every packet of the session is reported, not only messages.
    #[napi]
    pub fn set_verbose(&self, session: u32, verbose: bool) {
        if let Some(cell) = self.tables.session(session) {
            cell.set_verbose(verbose);
        }
    }

    /// Sets which of the session's heartbeats JavaScript sends, after the event `SendPacket`. See [`Relayed`].
    #[napi]
    pub fn set_relayed(&self, session: u32, relayed: u32) {
        if let Some(cell) = self.tables.session(session) {
            cell.set_relayed(Relayed::from_number(relayed));
        }
    }

    /// From now on JavaScript sends the session's pings and ends it when its client is silent. `[ms until the next ping
    /// or the end, whether an answer is waited for, whether a packet has put its deadline off]`, each as a number; null
    /// if it does already, or the session is over.
    #[napi]
    pub fn take_heartbeat(&self, session: u32) -> Option<Vec<f64>> {
        let mut taken = None;
        self.tables.session(session)?.step(|session, _| taken = session.inner.machine.take_heartbeat(session.now));
        taken.map(|taken| vec![taken.left as f64, f64::from(taken.is_waiting), f64::from(taken.is_extended)])
    }

    /// Number of bytes of answers to polls that the native listener has not handed to the kernel.
    #[napi]
    pub fn unread_answers(&self, session: u32) -> f64 {
        self.tables.session(session).map_or(0.0, |cell| cell.unread_answers() as f64)
    }

    /// Whether a POST's body has more than `limit` packets.
    #[napi]
    pub fn has_more_packets(&self, session: u32, body: &[u8], binary: bool, limit: u32) -> bool {
        self.tables.session(session).is_some_and(|cell| cell.encoding().has_more_packets(body, binary, limit as usize))
    }

    /// Ends the session if its heartbeat's deadline has passed. Its client has polled, and other data was read.
    #[napi]
    pub fn end_past_deadline(&self, env: Env, session: u32) -> Result<Raw> {
        self.step(env.raw(), session, |session, _| {
            session.inner.machine.end_past_deadline(session.now, &mut session.actions);
        })
    }

    /// Sends packets, `[type, content, …]`, by the session's current transport.
    #[napi]
    pub fn send_packets(&self, env: Env, session: u32, packets: Array<'_>, compress: bool) -> Result<Raw> {
        self.state.send_packets(env.raw(), session, read_packets(&env, &packets)?, compress)
    }

    /// From now on nothing comes in.
    #[napi]
    pub fn begin_close(&self, session: u32) {
        if let Some(cell) = self.tables.session(session) {
            cell.step(|session, _| session.inner.machine.begin_close());
        }
    }

    /// Closes the session's transport, see `Session::close_transport`.
    #[napi]
    pub fn close_transport(&self, env: Env, session: u32, grace: Option<f64>) -> Result<Raw> {
        let grace = grace.map(delay);
        self.step(env.raw(), session, |session, _| {
            session.inner.machine.close_transport(session.now, grace, &mut session.actions);
        })
    }

    /// Ends the session for a reason that JavaScript found; `message`: that of a transport error. See [`ReasonCode`].
    #[napi]
    pub fn fail(&self, env: Env, session: u32, reason: u32, message: Option<String>) -> Result<Raw> {
        let reason = ReasonCode::reason(reason, message.unwrap_or_default())
            .ok_or_else(|| Error::new(Status::InvalidArg, format!("expected the code of a reason, got {reason}")))?;
        self.step(env.raw(), session, |session, _| session.inner.machine.close(reason, &mut session.actions))
    }

    /// Starts an upgrade of the session to a connection. Returns false if the connection must be closed.
    #[napi]
    pub fn start_upgrade(&self, session: u32, connection: u32) -> bool {
        let Some(cell) = self.tables.session(session) else { return false };
        if !self.tables.connections.borrow().has(connection) {
            return false;
        }
        let connection_of = self.tables.connection(connection);
        let mut started = false;
        cell.step(|session, _| {
            started = match &connection_of {
                Some(connection) => session.start_upgrade(connection.clone()),
                None => session.start_upgrade_on(connection),
            }
        });
        if let (true, Some(connection)) = (started, connection_of) {
            connection.bind(Binding::Session(cell));
        }
        started
    }

    /// A packet came in by a channel that JavaScript drives (`null`: by the session's transport).
    /// `kind` is the packet's type, or anything else, such as `NOT_A_PACKET`.
    #[napi]
    pub fn receive(&self, env: Env, session: u32, channel: Option<u32>, kind: u32, probe: bool) -> Result<Raw> {
        self.step(env.raw(), session, |session, _| match packet_type(kind) {
            Ok(kind) => {
                session.inner.machine.receive(session.now, channel, Some(kind), probe, &mut session.actions);
            }
            Err(_) => session.inner.machine.receive_garbage(channel, &mut session.actions),
        })
    }

    /// Handles the packet that ends the session behind messages of a payload, which JavaScript has seen.
    #[napi]
    pub fn end_payload(&self, env: Env, session: u32) -> Result<Raw> {
        self.step(env.raw(), session, |session, batch| session.end_payload(batch))
    }

    /// Handles the end of a channel that JavaScript drives, with a fault or without.
    #[napi]
    pub fn channel_closed(&self, env: Env, session: u32, channel: u32, fault: Option<String>) -> Result<Raw> {
        self.step(env.raw(), session, |session, batch| {
            session.channel_closed(channel, fault.map(Fault::Frame), batch);
        })
    }
}

/// Functions that `super::raw` exports. Each request of Node's HTTP server calls them.
impl State {
    /// Does what is due for a session after the event `Due`.
    pub(super) fn tick(&self, env: sys::napi_env, session: u32) -> Result<Raw> {
        let updates = self.tables.session(session).map(|cell| cell.tick_by_owner());
        self.give(env, &updates.unwrap_or_default())
    }

    /// Opens a session. The caller sends the open packet, and flushes in this turn of the event loop.
    ///
    /// `timing`: see `Engine::timing`; `connection`: that of a session that starts on a channel, else 0;
    /// `supports_binary`: the client takes binary frames and payloads; `jsonp`: the callback's index of a
    /// JSONP session.
    pub(super) fn open_session(
        &self,
        timing: u32,
        protocol: u32,
        connection: u32,
        supports_binary: bool,
        jsonp: Option<String>,
    ) -> Result<u32> {
        let revision = if protocol == 3 { Revision::V3 } else { Revision::V4 };
        let timing = self.tables.timing(timing)?;
        if connection != NO_HANDLE && !self.tables.connections.borrow().has(connection) {
            return Err(Error::new(Status::InvalidArg, "the session's connection has ended"));
        }
        let start = if connection == NO_HANDLE { Start::Polling } else { Start::Channel(connection) };
        let transport = self.tables.connection(connection);
        let commands = match &transport {
            Some(connection) => connection.commands().clone(),
            None => self.io.next_commands()?,
        };
        self.hold_commands();
        let mut sessions = self.tables.sessions.borrow_mut();
        let handle = sessions.handles().take().ok_or_else(|| exhausted("sessions"))?;
        let cell = SessionCell::new(
            NewSession {
                handle,
                machine: Session::new(now(), revision, timing, start),
                encoding: PollEncoding { revision, binary: supports_binary, jsonp: jsonp.map(String::into_boxed_str) },
                base64: !supports_binary,
                transport: transport.clone().map(|connection| connection as Arc<dyn Channel>),
                listed: None,
                verbose: Some(false),
            },
            self.queue.clone(),
            commands.tasks(),
        );
        cell.open(true);
        if let Some(connection) = transport {
            connection.bind(Binding::Session(cell.clone()));
        }
        sessions.put(handle, cell);
        Ok(handle)
    }

    /// Takes a poll. `more` says that packets follow at once. The only event is `Due` if the poll was not taken, see
    /// `Locked::poll_by_owner`.
    pub(super) fn poll(&self, env: sys::napi_env, session: u32, poll: u32, more: bool) -> Result<Raw> {
        self.step(env, session, |session, batch| {
            session.poll_by_owner(poll, more, batch);
            if !batch.events.iter().any(|event| event.kind == Kind::Due) {
                self.counts.polls.add(1);
            }
        })
    }

    /// Begins a POST. Returns `null` if it may go on, otherwise the events of the refusal; `Due` if it was put off, as
    /// a poll that is not taken.
    pub(super) fn post_started(&self, env: sys::napi_env, session: u32) -> Result<Raw> {
        let mut started = false;
        let done = self.step(env, session, |session, batch| started = session.post_by_owner(batch))?;
        if !started {
            return Ok(done);
        }
        self.counts.posts.add(1);
        null(env)
    }

    /// Handles the packets of a POST that has been read. Without a body it was answered in another way.
    pub(super) fn post_finished(
        &self,
        env: sys::napi_env,
        session: u32,
        body: sys::napi_value,
        binary: bool,
    ) -> Result<Raw> {
        with_content(env, body, |body| {
            self.counts.post_bytes.add(body.len());
            self.step(env, session, |session, batch| {
                session.inner.machine.post_finished();
                match body {
                    Content::None => {}
                    Content::Text(body) | Content::Binary(body) => session.receive_payload(body, binary, batch),
                }
            })
        })?
    }

    /// Sends packets by the session's current transport.
    pub(super) fn send_packets(
        &self,
        env: sys::napi_env,
        session: u32,
        packets: Vec<OutPacket>,
        compress: bool,
    ) -> Result<Raw> {
        for packet in &packets {
            count_sent(&self.counts, packet.kind, SendStatus::Flowing as u32, 1, size_of_data(&packet.data));
        }
        self.step(env, session, |session, _| session.inner.machine.send(packets, compress, &mut session.actions))
    }

    /// The events of a step of a session.
    fn step(&self, env: sys::napi_env, session: u32, step: impl FnOnce(&mut Locked<'_>, &mut Batch)) -> Result<Raw> {
        let updates = self.tables.session(session).map(|cell| cell.step(step));
        self.give(env, &updates.unwrap_or_default())
    }

    /// Gives the events of a call to JavaScript.
    fn give(&self, env: sys::napi_env, updates: &Batch) -> Result<Raw> {
        count_taken(&self.counts, updates, &updates.events);
        self.outcome.give(env, updates)
    }
}

/// A packet's type by its number.
pub(super) fn packet_type(number: u32) -> Result<PacketType> {
    let kind = u8::try_from(number).ok().and_then(PacketType::from_number);
    kind.ok_or_else(|| {
        Error::new(Status::InvalidArg, format!("expected the number of a packet type, 0 to 6, got {number}"))
    })
}

/// Reads `[type, content, …]`.
fn read_packets(env: &Env, packets: &Array<'_>) -> Result<Vec<OutPacket>> {
    let env = env.raw();
    let array = packets.raw();
    let mut list = Vec::with_capacity(packets.len() as usize / 2);
    for index in (0..packets.len()).step_by(2) {
        let mut kind = 0;
        let mut value = std::ptr::null_mut();
        // SAFETY: the array belongs to the running callback; out pointers are valid.
        let data = unsafe {
            check(sys::napi_get_element(env, array, index, &mut value))?;
            check(sys::napi_get_value_uint32(env, value, &mut kind))?;
            check(sys::napi_get_element(env, array, index + 1, &mut value))?;
            to_content(env, value)?
        };
        list.push(OutPacket { kind: packet_type(kind)?, data });
    }
    Ok(list)
}
