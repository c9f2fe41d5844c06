//! The sockets below connections, where they cannot leave tokio's reactor: the same as `stream`.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::connection::Connection;

/// A stream socket.
#[derive(Debug)]
pub struct Stream(TcpStream);

/// Nothing: the socket has its place as long as it is there.
#[derive(Debug)]
pub(crate) struct Registration;

impl Registration {
    pub(crate) fn of(_: &Arc<Connection>, _for_writing: bool) -> Option<Self> {
        Some(Self)
    }

    pub(crate) fn is_for_writing(&self) -> bool {
        true
    }
}

impl TryFrom<TcpStream> for Stream {
    type Error = io::Error;

    fn try_from(stream: TcpStream) -> io::Result<Self> {
        Ok(Self(stream))
    }
}

impl Stream {
    pub(crate) fn poll_read(
        &self,
        _: Option<&Registration>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(length) if length > 0 && length < buffer.len() => {
                    let drained = || Err(io::ErrorKind::WouldBlock.into());
                    let _: io::Result<()> = self.0.try_io(Interest::READABLE, drained);
                    return Poll::Ready(Ok(length));
                }
                result => return Poll::Ready(result),
            }
        }
    }

    pub(crate) fn try_write(&self, bytes: &[u8], _more: bool) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    pub(crate) fn poll_write(&self, _: &Registration, cx: &mut Context<'_>, write: impl FnOnce() -> bool) -> Poll<()> {
        if ready!(self.0.poll_write_ready(cx)).is_err() {
            return Poll::Pending;
        }
        write();
        Poll::Ready(())
    }

    /// The socket itself.
    pub(crate) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.0)
    }
}
