//! The sockets below connections.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::{SockRef, Socket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpStream, UnixStream};

use super::connection::Connection;

/// A connected, non-blocking stream socket of any family.
#[derive(Debug)]
pub struct Stream(Socket);

/// A connection's place in the reactor of the I/O thread that reads it, until this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    reactor: AsyncFd<Registered>,
    /// Whether the reactor tells when the kernel takes more, too.
    for_writing: bool,
}

/// Keeps the descriptor open.
#[derive(Debug)]
struct Registered {
    fd: RawFd,
    _connection: Arc<Connection>,
}

impl AsRawFd for Registered {
    fn as_raw_fd(&self) -> RawFd {
        self.fd
    }
}

impl Registration {
    /// Has the reactor of this thread watch a connection's socket. None if it cannot, or if there is no socket.
    #[allow(unsafe_code)]
    pub(crate) fn of(connection: &Arc<Connection>, for_writing: bool) -> Option<Self> {
        let registered = Registered { fd: connection.fd()?, _connection: connection.clone() };
        // a socket that can be written to, as most can, would be an event at once
        let interest = if for_writing { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        // SAFETY: a connection that has a socket has the same one until it is freed, which is not before `registered` is.
        let reactor = unsafe { AsyncFd::register_with_interest(registered, interest) }.ok()?;
        Some(Self { reactor, for_writing })
    }

    pub(crate) fn is_for_writing(&self) -> bool {
        self.for_writing
    }
}

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
    /// Reads what is there. With a registration, a buffer that it does not fill has drained the socket: then the next call
    /// waits for the reactor, without asking the kernel again. Without one, nothing wakes the task.
    pub(crate) fn poll_read(
        &self,
        registration: Option<&Registration>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = match registration {
                Some(registration) => Some(ready!(registration.reactor.poll_read_ready(cx))?),
                None => None,
            };
            let result = (&self.0).read(buffer);
            let is_drained = match &result {
                Ok(length) => (1..buffer.len()).contains(length),
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
            if let (true, Some(guard)) = (is_drained, &mut guard) {
                guard.clear_ready();
            }
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if is_drained && guard.is_some() => {}
                Err(_) if is_drained => return Poll::Pending,
                result => return Poll::Ready(result),
            }
        }
    }

    /// Writes what the kernel takes; with `more`, the kernel may wait for what comes next before it sends.
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

    /// Ready once the kernel takes more and `write` has been called, which tells whether it has refused again.
    pub(crate) fn poll_write(
        &self,
        registration: &Registration,
        cx: &mut Context<'_>,
        write: impl FnOnce() -> bool,
    ) -> Poll<()> {
        // it fails where the thread ends
        let Ok(mut guard) = ready!(registration.reactor.poll_write_ready(cx)) else { return Poll::Pending };
        if write() {
            guard.clear_ready();
        }
        Poll::Ready(())
    }

    /// The socket itself.
    pub(crate) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.0)
    }
}
