//! A connection's place in the reactor.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::runtime::channel::connection::Connection;
use crate::runtime::channel::socket::Stream;

/// A connection's place in the reactor of the I/O thread that reads it, until this is dropped.
#[derive(Debug)]
pub(super) struct Registration {
    reactor: AsyncFd<Registered>,
    /// Whether the reactor also reports when the kernel takes more bytes.
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
    /// Has the reactor of this thread watch a connection's socket. `None` if it cannot, or if there is no socket.
    #[allow(unsafe_code)]
    pub(super) fn of(connection: &Arc<Connection>, for_writing: bool) -> Option<Self> {
        let registered = Registered { fd: connection.fd()?, _connection: connection.clone() };
        // most sockets can be written to, which would be an event at once
        let interest = if for_writing { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        // SAFETY: a connection that has a socket has the same one until it is freed, which is not before `registered`
        // is.
        let reactor = unsafe { AsyncFd::register_with_interest(registered, interest) }.ok()?;
        Some(Self { reactor, for_writing })
    }

    pub(super) fn is_for_writing(&self) -> bool {
        self.for_writing
    }

    /// Reads the bytes that have come. With a registration, a read that does not fill the buffer has drained the
    /// socket, so that the next call waits for the reactor without asking the kernel again. Without one, nothing wakes
    /// the task.
    pub(super) fn poll_read(
        registration: Option<&Self>,
        stream: &Stream,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = match registration {
                Some(registration) => Some(ready!(registration.reactor.poll_read_ready(cx))?),
                None => None,
            };
            let result = stream.read(buffer);
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

    /// Ready once the kernel takes more and `write` has been called, whose result says whether it has refused again.
    pub(super) fn poll_write(&self, _: &Stream, cx: &mut Context<'_>, write: impl FnOnce() -> bool) -> Poll<()> {
        // this fails when the thread ends
        let Ok(mut guard) = ready!(self.reactor.poll_write_ready(cx)) else { return Poll::Pending };
        if write() {
            guard.clear_ready();
        }
        Poll::Ready(())
    }
}
