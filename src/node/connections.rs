//! WebSocket connections: taking sockets over, sending, closing.

use std::sync::atomic::Ordering::SeqCst;

use napi::bindgen_prelude::{Either, Unknown};
use napi::{Env, Error, Result, Status};
use napi_derive::napi;

use super::convert::{Content, raw_value, with_content};
use super::counts::count_sent;
use super::deflate::{DeflateOptions, DeflateTerms};
use super::engine::Engine;
use super::state::{MAX_BUFFER, State};
use super::tables::exhausted;
use crate::protocol::PacketType;
use crate::runtime::contract::{MODE_NOW, SMALL_ROOM};
use crate::runtime::{Binding, Connection, MessageCompression, Outbox, SendStatus};
use crate::websocket::{Decoder, HandshakeError, Limits, OpCode, UpgradeRequest, check as check_upgrade};

/// The outcome of checking an upgrade request.
#[napi(object)]
#[derive(Default)]
pub struct UpgradeCheck {
    /// `Sec-WebSocket-Accept` of an acceptable request.
    pub accept: Option<String>,
    /// `Sec-WebSocket-Protocol` to answer.
    pub protocol: Option<String>,
    /// What was agreed on compression.
    pub deflate: Option<DeflateTerms>,
    /// What is wrong, see [`HandshakeError`].
    pub fault: Option<u32>,
    /// The HTTP status of a refusal.
    pub status: Option<u32>,
    /// The text of a refusal.
    pub message: Option<String>,
}

/// How a peer has ended a WebSocket.
#[napi(object)]
pub struct PeerClose {
    pub code: u32,
    pub reason: String,
}

#[napi]
impl Engine {
    /// Checks the WebSocket part of an upgrade request. `extensions` is read only with `deflate`. Returns the bare
    /// value of `Sec-WebSocket-Accept` if nothing else was negotiated.
    #[napi]
    #[allow(clippy::too_many_arguments)]
    pub fn check_upgrade(
        &self,
        method: String,
        upgrade: Option<String>,
        key: Option<String>,
        version: Option<String>,
        protocol: Option<String>,
        extensions: Option<String>,
        deflate: Option<DeflateOptions>,
    ) -> Either<String, UpgradeCheck> {
        let request = UpgradeRequest {
            method: &method,
            upgrade: upgrade.as_deref(),
            key: key.as_deref(),
            version: version.as_deref(),
            protocol: protocol.as_deref(),
        };
        let accepted = match check_upgrade(&request) {
            Ok(accepted) => accepted,
            Err(error) => return Either::B(refusal(error)),
        };
        let deflate = match deflate.zip(extensions).map(|(options, offers)| options.negotiate(&offers)).transpose() {
            Ok(terms) => terms.flatten(),
            Err(error) => return Either::B(refusal(error)),
        };
        if accepted.protocol.is_none() && deflate.is_none() {
            return Either::A(accepted.accept);
        }
        Either::B(UpgradeCheck {
            accept: Some(accepted.accept),
            protocol: accepted.protocol,
            deflate,
            ..Default::default()
        })
    }

    /// Takes a connection over, see [`State::adopt`].
    #[napi]
    pub fn adopt(
        &self,
        fd: i32,
        response: &[u8],
        early: &[u8],
        max_payload: f64,
        max_chunks: u32,
        deflate: Option<DeflateTerms>,
    ) -> Result<u32> {
        self.state.adopt(fd, response, early, ends(max_payload, max_chunks, deflate))
    }

    /// A handle for a channel that JavaScript drives.
    #[napi]
    pub fn open_channel(&self) -> Result<u32> {
        let mut connections = self.tables.connections.borrow_mut();
        let handle = connections.handles().take().ok_or_else(|| exhausted("connections"))?;
        connections.put_bare(handle);
        Ok(handle)
    }

    /// Releases a channel that JavaScript drives.
    #[napi]
    pub fn drop_channel(&self, channel: u32) {
        self.release_connection(channel);
    }

    /// Sends a message as it is, without a packet type.
    #[napi]
    pub fn connection_send_message(&self, env: Env, connection: u32, data: Unknown<'_>) -> Result<u32> {
        let connections = self.tables.connections.borrow();
        let Some(connection) = connections.get(connection) else { return Ok(SendStatus::Closed as u32) };
        with_content(env.raw(), raw_value(&data), |content| {
            self.enqueue(connection, |outbox| match content {
                Content::None => outbox.message(OpCode::Text, &[], &[]),
                Content::Text(text) => outbox.message(OpCode::Text, &[], text),
                Content::Binary(bytes) => outbox.message(OpCode::Binary, &[], bytes),
            })
        })
    }

    /// Asks for the event `Drained` when everything that was handed over is written. Returns the number of the request,
    /// see [`Connection::report_drain`].
    #[napi]
    pub fn report_drain(&self, connection: u32) -> u32 {
        self.tables.connection(connection).map_or(0, |connection| connection.report_drain())
    }

    /// Number of bytes that were handed over and not written.
    #[napi]
    pub fn buffered_amount(&self, connection: u32) -> f64 {
        self.tables.connection(connection).map_or(0.0, |connection| connection.outbox().unwritten() as f64)
    }

    /// The code of the peer's close frame, or what stands for a missing one, and its reason; nothing for a stale handle.
    #[napi]
    pub fn peer_close(&self, connection: u32) -> Option<PeerClose> {
        let connection = self.tables.connection(connection)?;
        let outbox = connection.outbox();
        let (code, reason) = outbox.peer_close();
        Some(PeerClose { code: code.into(), reason: String::from_utf8_lossy(reason).into_owned() })
    }

    /// Writes what waits, and returns the number of bytes that the kernel does not take, see [`Connection::refused`].
    #[napi]
    pub fn refused_amount(&self, connection: u32) -> f64 {
        self.tables.connection(connection).map_or(0.0, |connection| connection.refused() as f64)
    }

    /// Stops reading the connection until its peer has read what waits for it.
    #[napi]
    pub fn throttle(&self, connection: u32) {
        if let Some(connection) = self.tables.connection(connection) {
            connection.throttle();
        }
    }

    /// Starts the closing handshake.
    #[napi]
    pub fn close_connection(&self, connection: u32, code: Option<u32>, reason: Option<String>) {
        let code = code.and_then(|code| u16::try_from(code).ok());
        if let Some(connection) = self.tables.connection(connection) {
            self.enqueue(&connection, |outbox| outbox.close(code, reason.unwrap_or_default().as_bytes()));
            connection.begin_end();
        }
    }

    /// Ends a connection so that its peer reports an error: writes `response`, which is not a WebSocket frame, and ends
    /// the stream without a closing handshake.
    #[napi]
    pub fn refuse_connection(&self, connection: u32, response: &[u8]) {
        if let Some(connection) = self.tables.connection(connection) {
            self.enqueue(&connection, |outbox| {
                outbox.frame(response);
                outbox.end();
            });
            connection.begin_end();
        }
    }

    /// Writes what waits, as far as the kernel takes it now. Returns whether that was all; `null` if another thread is
    /// writing, or compresses first.
    #[napi]
    pub fn flush_connection(&self, connection: u32) -> Option<bool> {
        self.tables.connection(connection).map_or(Some(false), |connection| connection.flush_now())
    }

    /// Cuts the connection off.
    #[napi]
    pub fn terminate_connection(&self, connection: u32) {
        if let Some(connection) = self.tables.connection(connection) {
            connection.terminate();
        }
    }

    /// Has the connection's messages reported one by one. Returns false if a session gets them, as it does while a
    /// client probes the connection.
    #[napi]
    pub fn bind_to_owner(&self, connection: u32) -> bool {
        let Some(connection) = self.tables.connection(connection) else { return false };
        let is_free = matches!(connection.binding(), Binding::Unbound);
        if is_free {
            connection.bind(Binding::Owner);
        }
        is_free
    }
}

impl State {
    /// Takes over the TCP or UNIX connection behind a descriptor, of which the caller keeps its own copy, non-blocking
    /// as libuv made it: writes `response` and goes on with `early`, the bytes that Node has read already. Returns the
    /// connection's handle. The caller flushes in this turn of the event loop.
    #[cfg_attr(not(unix), allow(unused_variables))]
    pub(super) fn adopt(&self, fd: i32, response: &[u8], early: &[u8], ends: Ends) -> Result<u32> {
        #[cfg(not(unix))]
        return Err(Error::new(Status::GenericFailure, "descriptors cannot be taken over on this platform"));
        #[cfg(unix)]
        {
            use std::os::fd::{FromRawFd, OwnedFd};
            // SAFETY: fcntl on any number is harmless; a descriptor it returns is new and ours alone.
            let socket = unsafe {
                let fd = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3);
                if fd < 0 {
                    return Err(os_error("cannot take the connection over"));
                }
                OwnedFd::from_raw_fd(fd)
            };
            let connection = self.new_connection(ends)?;
            connection.use_socket(socket.into());
            connection.outbox().raw(response);
            self.hold_commands();
            let command = crate::runtime::Command::Adopt { connection: connection.clone(), early: early.to_vec() };
            connection.commands().send_by_owner(command);
            Ok(connection.handle)
        }
    }

    pub(super) fn new_connection(&self, (decoder, compression): Ends) -> Result<std::sync::Arc<Connection>> {
        let commands = self.io.next_commands()?;
        let mut connections = self.tables.connections.borrow_mut();
        let handle = connections.handles().take().ok_or_else(|| exhausted("connections"))?;
        let connection = Connection::new(handle, self.queue.clone(), commands, decoder, compression);
        connections.put(handle, connection.clone());
        Ok(connection)
    }

    pub(super) fn enqueue(&self, connection: &std::sync::Arc<Connection>, fill: impl FnOnce(&mut Outbox)) -> u32 {
        self.enqueue_counted(connection, fill).0
    }

    /// Appends what is sent by a mode, see `MODE_NOW`.
    pub(super) fn enqueue_by(
        &self,
        connection: &std::sync::Arc<Connection>,
        mode: u32,
        fill: impl FnOnce(&mut Outbox),
    ) -> u32 {
        if mode & MODE_NOW == 0 {
            return self.enqueue(connection, fill);
        }
        let (status, _) = connection.enqueue(fill);
        connection.flush_now();
        status as u32
    }

    /// Appends the frame of a broadcast. After its first recipients the I/O thread is woken, so that it starts while
    /// JavaScript goes on.
    pub(super) fn enqueue_shared(&self, connection: &std::sync::Arc<Connection>) -> u32 {
        let (status, waiting) =
            self.enqueue_counted(connection, |outbox| outbox.shared_frame(&self.broadcast.frame.borrow()));
        if waiting == FIRST && !self.broadcast.has_gone_ahead.replace(true) {
            connection.commands().wake();
        }
        if let Some(bytes) = self.broadcast.message.get() {
            count_sent(&self.counts, PacketType::Message, status, 1, bytes);
        }
        status
    }

    /// Also returns how many connections wait, if this one waits from now on; otherwise 0.
    fn enqueue_counted(&self, connection: &std::sync::Arc<Connection>, fill: impl FnOnce(&mut Outbox)) -> (u32, usize) {
        let (status, must_flush) = connection.enqueue(fill);
        let waiting = if must_flush { connection.commands().mark(connection) } else { 0 };
        (status as u32, waiting)
    }
}

/// This many recipients of a broadcast are worth a wake-up while JavaScript goes on.
const FIRST: usize = SMALL_ROOM as usize + 1;

/// The receiving and the sending side of a connection.
pub(super) type Ends = (Decoder, Option<MessageCompression>);

/// Both sides of a connection with limits of a message, see [`Limits`], and with the agreed compression.
pub(super) fn ends(max_payload: f64, max_chunks: u32, deflate: Option<DeflateTerms>) -> Ends {
    let limits = Limits { max_payload: max_payload_of(max_payload), max_chunks, ..Limits::default() };
    match deflate {
        Some(terms) => terms.ends(limits),
        None => (Decoder::new(limits), None),
    }
}

/// The limit of a message in bytes; 0 means no limit. Infinity, NaN, zero and negative numbers set no limit, as in the
/// original, except for the longest content that can be given to JavaScript.
pub(super) fn max_payload_of(limit: f64) -> u64 {
    let max = MAX_BUFFER.load(SeqCst);
    let limit = if limit.is_finite() && limit > 0.0 { limit as u64 } else { max };
    if max > 0 { limit.min(max) } else { limit }
}

fn refusal(error: HandshakeError) -> UpgradeCheck {
    UpgradeCheck {
        fault: Some(error as u32),
        status: Some(error.status().into()),
        message: Some(error.message().to_owned()),
        ..Default::default()
    }
}

#[cfg(unix)]
fn os_error(what: &str) -> Error {
    Error::new(Status::GenericFailure, format!("{what}: {}", std::io::Error::last_os_error()))
}
