//! Joins the parts of a response. One `send` takes the kernel less time than `writev` with a head and a body of a few
//! hundred bytes, and saves more than the copy costs. The response that precedes a WebSocket needs no `send` of its
//! own. Requests are checked on their way in, see `super::strict`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::strict::Strict;

/// Bytes of a response that are copied at most. A longer one is not joined.
const MAX_LENGTH: usize = 1024;

/// Bytes that replace a fault in a request. No head and no line of a chunk may have them, so that hyper refuses the
/// request, with 400 if that is still possible. hyper parses a head that comes in pieces when its end is there.
const FAULT: &[u8] = b"\0\r\n\r\n";

/// Shared by the stream below hyper and the requests above it.
#[derive(Debug, Default)]
pub(super) struct HttpState {
    /// A request is about to switch protocols. What hyper writes from then on is kept.
    switches: AtomicBool,
    /// A request asks for another protocol, or is invalid. It is the last one.
    is_last: AtomicBool,
}

impl HttpState {
    /// A request switches protocols.
    pub(super) fn switch(&self) {
        self.switches.store(true, SeqCst);
    }

    /// Whether another request must not follow.
    pub(super) fn is_last(&self) -> bool {
        self.is_last.load(SeqCst)
    }
}

/// A stream that hyper reads from and writes to.
#[derive(Debug)]
pub(super) struct Joined<S> {
    stream: S,
    state: Arc<HttpState>,
    strict: Strict,
    /// What has been read already, and hyper has not seen.
    first: Vec<u8>,
    /// What is left of [`FAULT`].
    fault: &'static [u8],
    kept: Vec<u8>,
}

impl<S> Joined<S> {
    /// `first`: bytes that have been read from the stream.
    pub(super) fn new(stream: S, state: Arc<HttpState>, first: Vec<u8>) -> Self {
        Self { stream, state, strict: Strict::default(), first, fault: &[], kept: Vec::new() }
    }

    /// Returns the stream, bytes that have to be written to it first, and those that have been read from it and hyper
    /// has not seen.
    pub(super) fn into_parts(self) -> (S, Vec<u8>, Vec<u8>) {
        (self.stream, self.kept, self.first)
    }
}

impl<S> Joined<S> {
    /// Has hyper read bytes that it refuses.
    fn give_fault(&mut self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (now, later) = self.fault.split_at(self.fault.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.fault = later;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Joined<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.fault.is_empty() {
            return self.give_fault(buffer);
        }
        let before = buffer.filled().len();
        if self.first.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        } else {
            let length = self.first.len().min(buffer.remaining());
            let rest = self.first.split_off(length);
            buffer.put_slice(&std::mem::replace(&mut self.first, rest));
        }
        if self.state.is_last() {
            return Poll::Ready(Ok(()));
        }
        let checked = self.strict.check(&buffer.filled()[before..]);
        if self.strict.is_last() {
            self.state.is_last.store(true, SeqCst);
        }
        if let Err(at) = checked {
            buffer.set_filled(before + at);
            self.fault = FAULT;
            return self.give_fault(buffer);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Joined<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.state.switches.load(SeqCst) {
            self.kept.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.state.switches.load(SeqCst) {
            pieces.iter().for_each(|piece| self.kept.extend_from_slice(piece));
            return Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()));
        }
        let mut joined = [0; MAX_LENGTH];
        let mut length = 0;
        for piece in pieces {
            let Some(room) = joined.get_mut(length..length + piece.len()) else {
                return Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
            };
            room.copy_from_slice(piece);
            length += piece.len();
        }
        Pin::new(&mut self.stream).poll_write(cx, &joined[..length])
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// The kind and the length of each write.
    #[derive(Default)]
    struct Log(Vec<(&'static str, usize)>);

    impl AsyncWrite for Log {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.push(("write", bytes.len()));
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let length = pieces.iter().map(|piece| piece.len()).sum();
            self.0.push(("writev", length));
            Poll::Ready(Ok(length))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn pieces_are_joined_up_to_the_limit_and_not_copied_beyond() {
        let mut stream = Joined::new(Log::default(), Arc::default(), Vec::new());
        for [head, body] in [[140, 2], [24, 1000], [25, 1000], [140, 100_000], [2000, 2]] {
            let (head, body) = (vec![b'h'; head], vec![b'b'; body]);
            let pieces = [IoSlice::new(&head), IoSlice::new(&body)];
            let written = poll_fn(|cx| Pin::new(&mut stream).poll_write_vectored(cx, &pieces)).await.unwrap();
            assert_eq!(written, head.len() + body.len());
        }
        let written = [("write", 142), ("write", 1024), ("writev", 1025), ("writev", 100_140), ("writev", 2002)];
        assert_eq!(stream.stream.0, written);
    }

    #[tokio::test]
    async fn what_comes_after_the_decision_to_switch_is_kept_in_order() {
        let state = Arc::<HttpState>::default();
        let mut stream = Joined::new(Log::default(), state.clone(), Vec::new());
        poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, b"before")).await.unwrap();
        state.switch();
        let pieces = [IoSlice::new(b"HTTP/1.1 101 "), IoSlice::new(b"Switching Protocols\r\n")];
        let length = poll_fn(|cx| Pin::new(&mut stream).poll_write_vectored(cx, &pieces)).await.unwrap();
        assert_eq!(length, 34);
        assert_eq!(poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, b"\r\n")).await.unwrap(), 2);
        let (Log(written), kept, _) = stream.into_parts();
        assert_eq!(written, [("write", 6)]);
        assert_eq!(kept, b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
    }
}
