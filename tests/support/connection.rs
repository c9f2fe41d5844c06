//! A connection on an I/O thread.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use engine_io_native::runtime::{Command, Connection, EventQueue, IoThread};
use engine_io_native::websocket::{Decoder, Limits};

/// Has an I/O thread take a socket over. Nobody reads it until the connection is bound.
pub fn adopt(number: u32, socket: UnixStream, io: &IoThread, queue: &EventQueue) -> Arc<Connection> {
    socket.set_nonblocking(true).unwrap();
    let commands = io.commands().clone();
    let connection = Connection::new(number, queue.clone(), commands.clone(), Decoder::new(Limits::default()), None);
    connection.use_socket(OwnedFd::from(socket).into());
    commands.send(Command::Adopt { connection: connection.clone(), early: Vec::new() });
    connection
}
