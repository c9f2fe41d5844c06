//! Reads the socket of a connection until that is over.

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Sleep;

use super::owner_reads::{self, Loan, Next};
use super::registration::Registration;
use crate::runtime::channel::connection::Connection;
use crate::runtime::channel::end::End;
use crate::runtime::channel::outbox::Phase;
use crate::runtime::channel::pipe::Pipe;
use crate::runtime::owner::contract;
use crate::runtime::owner::events::Batch;

/// Time after which a peer is cut off that owes its close frame, or the end of its side after a failure, as in `ws`.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(contract::CLOSE_TIMEOUT as u64);

/// Reads a socket; see `super::reader_set` for who polls it.
pub(super) struct Reader {
    /// Set from the first read on, except while the owner's thread reads, when the reactor would be woken for nothing.
    registration: Option<Registration>,
    connection: Arc<Connection>,
    /// Fields that most connections need for a moment only, if ever.
    rare: Option<Box<Rare>>,
}

#[derive(Default)]
struct Rare {
    /// Bytes that came with the upgrade request.
    early: Vec<u8>,
    /// The timer that runs once the end has begun.
    patience: Option<Pin<Box<Sleep>>>,
    /// Set while the owner's thread reads.
    loan: Option<Loan>,
    /// The peer's side has ended, and only what was accepted before is still to be written.
    has_read_all: bool,
}

/// The size of the buffer that all connections of an I/O thread read into.
const READ_BUFFER: usize = 64 * 1024;

/// Number of reads of one connection before others have their turn.
const MAX_READS: usize = 16;

thread_local! {
    static SCRATCH: RefCell<(Box<[u8]>, Batch)> =
        RefCell::new((vec![0; READ_BUFFER].into_boxed_slice(), Batch::default()));
}

impl Reader {
    /// `early` has been read already.
    pub(super) fn new(connection: Arc<Connection>, early: Vec<u8>) -> Self {
        let rare = (!early.is_empty()).then(|| Box::new(Rare { early, ..Rare::default() }));
        Self { registration: None, connection, rare }
    }

    /// Reads until there is nothing more, and returns the number of reads. Ready when the connection is over.
    fn read(&mut self, cx: &mut Context<'_>) -> (Poll<()>, usize) {
        SCRATCH.with_borrow_mut(|(buffer, batch)| {
            let (mut reads, mut received) = (0, false);
            let result = loop {
                if self.connection.is_paused() || self.connection.queue.stalls(&self.connection) {
                    break Poll::Pending;
                }
                if (received && self.connection.has_undecoded.load(SeqCst)) || reads == MAX_READS {
                    // this connection goes on when all others and the timers have had their turn
                    break pin!(tokio::task::yield_now()).poll(cx);
                }
                if self.connection.has_undecoded.load(SeqCst) {
                    self.connection.receive(&mut [], batch);
                    received = true;
                    continue;
                }
                if let Some(mut rare) = self.rare.take() {
                    if !rare.early.is_empty() {
                        self.connection.receive(&mut std::mem::take(&mut rare.early), batch);
                        received = true;
                        continue;
                    }
                    let has_read_all = rare.has_read_all;
                    self.rare = Some(rare);
                    if has_read_all {
                        break Poll::Pending;
                    }
                }
                let Some(Pipe::Socket(stream)) = self.connection.pipe.get() else { break Poll::Ready(()) };
                if self.registration.is_none() && !self.connection.is_read_by_owner() {
                    self.registration = Registration::of(&self.connection, false);
                    if self.registration.is_none() {
                        break Poll::Ready(());
                    }
                }
                match Registration::poll_read(self.registration.as_ref(), stream, cx, buffer) {
                    Poll::Pending => break Poll::Pending,
                    Poll::Ready(Ok(0)) => {
                        let is_answer = self.connection.outbox().phase >= Phase::Ending;
                        self.connection.note_end(if is_answer { End::PeerFollowed } else { End::PeerEnded });
                        self.connection.peer_ended(batch);
                        self.rare.get_or_insert_default().has_read_all = true;
                        break Poll::Pending;
                    }
                    Poll::Ready(Ok(length)) => {
                        self.connection.count_read(length);
                        self.connection.receive(&mut buffer[..length], batch);
                        received = true;
                    }
                    Poll::Ready(Err(error)) => {
                        self.connection.note_end(End::ReadFailed(error.raw_os_error().unwrap_or_default()));
                        break Poll::Ready(());
                    }
                }
                reads += 1;
            };
            if reads > 0 && !self.connection.is_read_by_owner() {
                let is_single = reads == 1 && batch.events.len() == 1 && result.is_pending();
                if let Some(loan) = owner_reads::lend(&self.connection, is_single, batch) {
                    self.rare.get_or_insert_default().loan = Some(loan);
                    // the reactor would wake this task for what the owner's thread reads
                    self.registration = None;
                }
            }
            self.connection.queue.append(batch);
            (result, reads)
        })
    }

    /// Reads, or checks what the owner's thread reads. Ready when the connection is over.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(mut loan) = self.take_loan() else {
                let (result, _) = self.read(cx);
                if result.is_pending() && self.has_loan() {
                    // just lent: the first look comes later
                    continue;
                }
                return result;
            };
            match loan.next(&self.connection, cx) {
                Next::Wait => {
                    self.put_loan(loan);
                    return Poll::Pending;
                }
                Next::End => loan.end(&self.connection),
                Next::Read => {
                    let (result, reads) = self.read(cx);
                    if loan.has_read(&self.connection, reads > 0 || result.is_ready()) {
                        self.put_loan(loan);
                        continue;
                    }
                    loan.end(&self.connection);
                    if result.is_ready() {
                        return result;
                    }
                    // once more, so that the reactor wakes the task
                }
            }
        }
    }

    fn has_loan(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.loan.is_some())
    }

    fn take_loan(&mut self) -> Option<Loan> {
        self.rare.as_mut()?.loan.take()
    }

    fn put_loan(&mut self, loan: Loan) {
        self.rare.get_or_insert_default().loan = Some(loan);
    }

    /// Writes what a full socket has kept waiting, once it takes more. The socket may have to be read again after a new
    /// registration.
    fn write(&mut self, cx: &mut Context<'_>) {
        let connection = &self.connection;
        let Some(Pipe::Socket(stream)) = connection.pipe.get() else { return };
        while connection.outbox().blocked {
            let registration = match self.registration.take().filter(Registration::is_for_writing) {
                None => Registration::of(connection, true),
                registration => registration,
            };
            self.registration = registration;
            // the next read finds a socket that cannot be watched
            let Some(registration) = &self.registration else { return };
            if registration.poll_write(stream, cx, || connection.flush_blocked()).is_pending() {
                return;
            }
        }
    }
}

impl Drop for Reader {
    /// Called when the thread ends with open connections, or when the task has panicked. The peer sees the end of the
    /// stream, and the owner gets the usual event.
    fn drop(&mut self) {
        if !self.connection.over.load(SeqCst) {
            self.connection.ended();
        }
    }
}

impl Future for Reader {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let connection = self.connection.clone();
        connection.task.get_or_init(|| cx.waker().clone());
        self.write(cx);
        let over = self.advance(cx).is_ready();
        if !over && connection.is_read_by_owner() {
            // the connection must not end while the owner reads it
            return Poll::Pending;
        }
        if connection.outbox().phase == Phase::Ending {
            connection.flush();
        }
        let outbox = connection.outbox();
        let (phase, is_complete) = (outbox.phase, outbox.is_complete());
        drop(outbox);
        if over || is_complete || phase == Phase::Dead {
            connection.ended();
            return Poll::Ready(());
        }
        if phase != Phase::Open {
            // a closing connection is read to its end, for any receiver
            if connection.read_to_the_end() {
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
