//! The sockets below connections, where they cannot leave tokio's reactor.

use std::io;

use socket2::SockRef;
use tokio::net::TcpStream;

/// A stream socket.
#[derive(Debug)]
pub struct Stream(TcpStream);

impl TryFrom<TcpStream> for Stream {
    type Error = io::Error;

    fn try_from(stream: TcpStream) -> io::Result<Self> {
        Ok(Self(stream))
    }
}

impl Stream {
    /// The socket in the reactor.
    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.0
    }

    pub(crate) fn try_write(&self, bytes: &[u8], _more: bool) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    /// The socket itself.
    pub(crate) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.0)
    }
}
