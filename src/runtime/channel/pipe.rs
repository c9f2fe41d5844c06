//! The way by which bytes leave and enter a connection.

use std::io;
use std::net::Shutdown;

use socket2::SockRef;

use super::socket::Stream;

/// The way by which bytes leave and enter.
#[derive(Debug)]
pub(crate) enum Pipe {
    Socket(Stream),
    /// The owner carries the bytes (TLS sockets and other streams that only JavaScript can read).
    Owner,
}

impl Pipe {
    /// Writes until everything is written or the kernel refuses, and returns how far it came. The last bytes before the
    /// end of our side leave with it in one segment.
    pub(super) fn write(&self, bytes: &[u8], is_last: bool) -> (usize, io::Result<()>) {
        let Pipe::Socket(stream) = self else { return (0, Ok(())) };
        let mut written = 0;
        while written < bytes.len() {
            match stream.try_write(&bytes[written..], is_last) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }

    /// The socket itself.
    pub(crate) fn socket(&self) -> Option<SockRef<'_>> {
        match self {
            Pipe::Socket(stream) => Some(stream.socket()),
            Pipe::Owner => None,
        }
    }

    pub(super) fn shutdown(&self, how: Shutdown) {
        let _ = self.socket().map(|socket| socket.shutdown(how));
    }
}
