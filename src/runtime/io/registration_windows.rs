//! A connection's place in the reactor: sockets cannot leave it here, and have it as long as they are there.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;

use crate::runtime::channel::connection::Connection;
use crate::runtime::channel::socket::Stream;

/// Empty, because a socket cannot leave tokio's reactor here.
#[derive(Debug)]
pub(super) struct Registration;

impl Registration {
    pub(super) fn of(_: &Arc<Connection>, _for_writing: bool) -> Option<Self> {
        Some(Self)
    }

    pub(super) fn is_for_writing(&self) -> bool {
        true
    }

    pub(super) fn poll_read(
        _: Option<&Self>,
        stream: &Stream,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let stream = stream.tcp();
        loop {
            ready!(stream.poll_read_ready(cx))?;
            match stream.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(length) if length > 0 && length < buffer.len() => {
                    let drained = || Err(io::ErrorKind::WouldBlock.into());
                    let _: io::Result<()> = stream.try_io(Interest::READABLE, drained);
                    return Poll::Ready(Ok(length));
                }
                result => return Poll::Ready(result),
            }
        }
    }

    pub(super) fn poll_write(&self, stream: &Stream, cx: &mut Context<'_>, write: impl FnOnce() -> bool) -> Poll<()> {
        if ready!(stream.tcp().poll_write_ready(cx)).is_err() {
            return Poll::Pending;
        }
        write();
        Poll::Ready(())
    }
}
