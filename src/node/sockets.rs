//! Functions for the `net.Socket` of a connection: its bytes and its end past the WebSocket, socket options, addresses.

use std::io;

use napi::{Env, Result};
use napi_derive::napi;
use socket2::{SockAddr, SockRef};

use super::convert::{Raw, buffer_value};
use super::engine::Engine;
use crate::runtime::{set_keep_alive, set_type_of_service, type_of_service};
use crate::websocket::{OpCode, write_header};

/// One end of a connection.
#[napi(object)]
pub struct Name {
    pub address: String,
    pub family: String,
    pub port: u16,
}

/// Bytes that wait to pass through the application's stream.
#[napi(object, object_from_js = false)]
pub struct Relayed {
    pub bytes: Raw,
    /// The end of our side follows.
    pub ends: bool,
}

#[napi]
impl Engine {
    /// Writes bytes as they are, behind those that wait. The event `Drained` follows when they are written. Returns
    /// false, and writes nothing, if this side has been ended.
    #[napi]
    pub fn write_raw(&self, connection: u32, bytes: &[u8]) -> bool {
        let Some(connection) = self.tables.connection(connection) else { return false };
        let mut is_accepted = false;
        self.enqueue(&connection, |outbox| is_accepted = outbox.raw(bytes));
        if is_accepted {
            connection.report_drain();
        }
        is_accepted
    }

    /// Refuses further frames, because this side of the stream is about to be ended, or the connection is cut off next.
    #[napi]
    pub fn refuse_frames(&self, connection: u32, is_cut: bool) {
        let Some(connection) = self.tables.connection(connection) else { return };
        if is_cut {
            connection.begin_cut();
        } else {
            connection.outbox().refuse_frames();
            connection.begin_end();
        }
    }

    /// Ends this side of the stream behind what waits, without a close frame. The `Drained` event follows.
    #[napi]
    pub fn end_stream(&self, connection: u32) -> bool {
        let Some(connection) = self.tables.connection(connection) else { return false };
        self.enqueue(&connection, |outbox| outbox.end_stream());
        connection.report_drain();
        connection.begin_end();
        true
    }

    /// Cuts the connection off with a reset.
    #[napi]
    pub fn reset_connection(&self, connection: u32) {
        if let Some(connection) = self.tables.connection(connection) {
            connection.reset();
        }
    }

    /// Stops or resumes reading the connection.
    #[napi]
    pub fn stop_reading(&self, connection: u32, stop: bool) {
        if let Some(connection) = self.tables.connection(connection) {
            connection.stop_reading(stop);
        }
    }

    /// Has the messages of the connection's session reported undecoded.
    #[napi]
    pub fn show_messages(&self, connection: u32) {
        if let Some(connection) = self.tables.connection(connection) {
            connection.show_messages();
        }
    }

    /// Starts or stops reporting a copy of what comes in.
    #[napi]
    pub fn tap(&self, connection: u32, tap: bool) {
        if let Some(connection) = self.tables.connection(connection) {
            connection.tap(tap);
        }
    }

    /// Has ping and pong frames reported.
    #[napi]
    pub fn show_control_frames(&self, connection: u32) {
        if let Some(connection) = self.tables.connection(connection) {
            connection.show_control_frames();
        }
    }

    /// Sends a ping or pong frame (`opcode`: 9 or 10) of at most 125 bytes.
    #[napi]
    pub fn send_control_frame(&self, connection: u32, opcode: u8, payload: &[u8]) {
        let opcode = if opcode == 9 { OpCode::Ping } else { OpCode::Pong };
        if let Some(connection) = self.tables.connection(connection) {
            let mut frame = Vec::with_capacity(2 + payload.len());
            write_header(&mut frame, opcode, false, payload.len());
            frame.extend_from_slice(payload);
            self.enqueue(&connection, |outbox| outbox.frame(&frame));
        }
    }

    /// Has JavaScript take what has to be written by `takeRelayed`, after an event `PipeReady`, and hand it back by
    /// `writeRaw`.
    #[napi]
    pub fn relay(&self, connection: u32) {
        if let Some(connection) = self.tables.connection(connection) {
            connection.relay();
        }
    }

    /// Has frames written directly again, those that wait included.
    #[napi]
    pub fn unrelay(&self, connection: u32) {
        if let Some(connection) = self.tables.connection(connection) {
            self.enqueue(&connection, |outbox| outbox.unrelay());
        }
    }

    /// Takes the frames that have to be written.
    #[napi]
    pub fn take_relayed(&self, env: Env, connection: u32) -> Result<Relayed> {
        let taken = self.tables.connection(connection).map(|connection| connection.outbox().take_relayed());
        let (bytes, ends) = taken.unwrap_or_default();
        Ok(Relayed { bytes: buffer_value(env.raw(), &bytes)?, ends })
    }

    /// Returns for how many ms nothing has been read or written. Traffic is noted from the first call on.
    #[napi]
    pub fn idle(&self, connection: u32) -> f64 {
        self.tables.connection(connection).map_or(0.0, |connection| connection.idle() as f64)
    }

    /// Returns 0, or a negative error number as libuv does.
    #[napi]
    pub fn set_no_delay(&self, connection: u32, on: bool) -> i32 {
        self.set_option(connection, |socket| socket.set_tcp_nodelay(on))
    }

    /// Sets keep-alive. The times are in seconds; 0 leaves an option as it is.
    #[napi]
    pub fn set_keep_alive(&self, connection: u32, on: bool, delay: u32, interval: u32, count: u32) -> i32 {
        self.set_option(connection, |socket| set_keep_alive(&socket, on, delay, interval, count))
    }

    /// Returns 0, or an errno.
    #[napi]
    pub fn set_type_of_service(&self, connection: u32, tos: u32) -> i32 {
        self.set_option(connection, |socket| set_type_of_service(&socket, tos))
    }

    /// Returns the type of service, or a negative error number.
    #[napi]
    pub fn type_of_service(&self, connection: u32) -> i32 {
        let Some(connection) = self.tables.connection(connection) else {
            return error_number(&io::ErrorKind::NotConnected.into());
        };
        connection
            .with_socket(|socket| type_of_service(&socket))
            .map_or_else(|error| error_number(&error), |tos| tos as i32)
    }

    /// The peer's address; none for a UNIX socket or a socket that is no longer connected.
    #[napi]
    pub fn peer_name(&self, connection: u32) -> Option<Name> {
        self.tables.connection(connection)?.with_socket(|socket| socket.peer_addr()).ok().and_then(name)
    }

    /// The local address.
    #[napi]
    pub fn local_name(&self, connection: u32) -> Option<Name> {
        self.tables.connection(connection)?.with_socket(|socket| socket.local_addr()).ok().and_then(name)
    }

    fn set_option(&self, connection: u32, set: impl FnOnce(SockRef<'_>) -> io::Result<()>) -> i32 {
        let Some(connection) = self.tables.connection(connection) else { return 0 };
        connection.with_socket(set).map_or_else(|error| error_number(&error), |()| 0)
    }
}

fn error_number(error: &io::Error) -> i32 {
    -error.raw_os_error().unwrap_or(1)
}

fn name(address: SockAddr) -> Option<Name> {
    let address = address.as_socket()?;
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    Some(Name { address: address.ip().to_string(), family: family.to_owned(), port: address.port() })
}
