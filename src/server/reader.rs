//! The tasks that read sockets.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::connection::{Connection, Pipe};
use super::events::Batch;
use super::outbox::Phase;

/// A peer that does not end the connection after the closing handshake is cut off after this time,
/// as `ws` does.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The task that reads a socket.
struct Reader<R> {
    connection: Arc<Connection>,
    socket: R,
    /// What most connections have for a moment only, if ever: there is a reader for each.
    rare: Option<Box<Rare>>,
}

#[derive(Default)]
struct Rare {
    /// Bytes that came with the upgrade request.
    early: Vec<u8>,
    /// Runs once the end has begun.
    patience: Option<Pin<Box<Sleep>>>,
}

/// Starts reading a socket that now belongs to `connection`; ends with the connection.
pub fn start_reading(connection: Arc<Connection>, stream: Stream, early: Vec<u8>) {
    match stream {
        Stream::Tcp(stream) => {
            let (read, write) = stream.into_split();
            start(connection, read, Pipe::Tcp(write), early);
        }
        Stream::Unix(stream) => {
            let (read, write) = stream.into_split();
            start(connection, read, Pipe::Unix(write), early);
        }
    }
}

/// A stream socket of either family.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(tokio::net::UnixStream),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<tokio::net::UnixStream> for Stream {
    fn from(stream: tokio::net::UnixStream) -> Self {
        Self::Unix(stream)
    }
}

fn start<R: AsyncRead + Unpin + Send + 'static>(connection: Arc<Connection>, socket: R, pipe: Pipe, early: Vec<u8>) {
    let _ = connection.pipe.set(pipe);
    let rare = (!early.is_empty()).then(|| Box::new(Rare { early, patience: None }));
    tokio::spawn(Reader { connection: connection.clone(), socket, rare });
    connection.flush();
}

/// The size of the buffer that all connections of an I/O thread read into.
const READ_BUFFER: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<(Box<[u8]>, Batch)> =
        RefCell::new((vec![0; READ_BUFFER].into_boxed_slice(), Batch::default()));
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads until nothing is there. Ready when the connection is over.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        SCRATCH.with_borrow_mut(|(buffer, batch)| {
            let result = loop {
                if self.connection.is_paused() {
                    break Poll::Pending;
                }
                if let Some(mut rare) = self.rare.take() {
                    if !rare.early.is_empty() {
                        self.connection.receive(&mut std::mem::take(&mut rare.early), batch);
                        continue;
                    }
                    self.rare = Some(rare);
                }
                let mut into = ReadBuf::new(buffer);
                match Pin::new(&mut self.socket).poll_read(cx, &mut into) {
                    Poll::Pending => break Poll::Pending,
                    Poll::Ready(Err(_)) => break Poll::Ready(()),
                    Poll::Ready(Ok(())) if into.filled().is_empty() => break Poll::Ready(()),
                    Poll::Ready(Ok(())) => self.connection.receive(into.filled_mut(), batch),
                }
            };
            self.connection.queue.append(batch);
            result
        })
    }
}

impl<R> Drop for Reader<R> {
    /// The thread ends with connections open, or the task has panicked: the peer is told by the end of the
    /// stream, the owner by the usual event.
    fn drop(&mut self) {
        if !self.connection.over.load(SeqCst) {
            self.connection.ended();
        }
    }
}

impl<R: AsyncRead + Unpin> Future for Reader<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let connection = self.connection.clone();
        connection.task.get_or_init(|| cx.waker().clone());
        let over = self.read(cx).is_ready();
        if connection.outbox().blocked {
            if let Some(pipe) = connection.pipe.get() {
                while connection.outbox().blocked {
                    if pipe.poll_write_ready(cx).is_pending() {
                        break;
                    }
                    connection.outbox().blocked = false;
                    connection.flush();
                }
            }
        }
        let phase = connection.outbox().phase;
        if over || phase == Phase::Dead {
            connection.ended();
            return Poll::Ready(());
        }
        if phase != Phase::Open {
            // a closing connection is read to its end, whoever it was bound to
            if connection.paused.swap(false, SeqCst) | connection.throttled.swap(false, SeqCst) {
                cx.waker().wake_by_ref();
            }
            let rare = self.rare.get_or_insert_default();
            let patience = rare.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(CLOSE_TIMEOUT)));
            ready!(patience.as_mut().poll(cx));
            connection.ended();
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
