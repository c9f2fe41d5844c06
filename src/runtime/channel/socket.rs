//! The sockets below connections.

use std::io::{self, Read};
use std::os::fd::OwnedFd;

use socket2::{SockRef, Socket};
use tokio::net::{TcpStream, UnixStream};

/// A connected, non-blocking stream socket of any family.
#[derive(Debug)]
pub struct Stream(Socket);

impl From<OwnedFd> for Stream {
    fn from(socket: OwnedFd) -> Self {
        Self(socket.into())
    }
}

impl TryFrom<TcpStream> for Stream {
    type Error = io::Error;

    fn try_from(stream: TcpStream) -> io::Result<Self> {
        Ok(Self(stream.into_std()?.into()))
    }
}

impl TryFrom<UnixStream> for Stream {
    type Error = io::Error;

    fn try_from(stream: UnixStream) -> io::Result<Self> {
        Ok(Self(stream.into_std()?.into()))
    }
}

impl Stream {
    /// Reads what is there.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(buffer)
    }

    /// Writes what the kernel takes. With `more` the kernel may wait for the next bytes before it sends.
    pub(crate) fn try_write(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        #[cfg(target_os = "linux")]
        let flags = libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
        #[cfg(not(target_os = "linux"))]
        let flags = {
            let _ = more;
            0
        };
        self.0.send_with_flags(bytes, flags)
    }

    /// The socket itself.
    pub(crate) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.0)
    }
}
