//! A few connections that talk, one message at a time, are read by their owner's thread: that saves each message a change
//! of thread, which is most of what it waits for where few share one. The I/O thread looks after such a connection and
//! reads it again when more talk, when one sends more at once, or when the owner's thread has no time.
//!
//! The reader knows of this as a [`Loan`]: it asks for one after each read, and a loan says when the reader has to read.
//! Without loans ([`lend`] gives none) everything works as well, but for the time that a lone message takes.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;

use tokio::time::{Instant, Sleep, sleep};

use super::busy_check::LOOK;
use crate::runtime::channel::connection::Connection;
use crate::runtime::channel::end::End;
use crate::runtime::channel::outbox::Phase;
use crate::runtime::channel::pipe::Pipe;
use crate::runtime::owner::commands::Looking;
use crate::runtime::owner::contract::Kind;
use crate::runtime::owner::events::Batch;

/// This many connections at most are read by the owner's thread. From about twenty on enough of them share a change of thread.
pub const FEW: usize = 16;

/// A connection is lent after this many single messages, while no more than [`FEW`] talk, and none sends several at once.
const SHOWN_FROM: u8 = 8;

/// This many looks that find nothing new end a loan: looking costs more than the next message would save.
const SILENT_LOOKS: u8 = 10;

/// A connection that the owner's thread reads, and how the I/O thread looks after it.
pub(super) struct Loan {
    /// The next look.
    next: Pin<Box<Sleep>>,
    /// Has the thread look at what the owner sends, too.
    _looking: Looking<Connection>,
    /// How often the owner had read at the last look.
    owner_reads: u8,
    silent: u8,
}

/// What a loan asks of the reader.
pub(super) enum Next {
    /// Nothing: the loan wakes its task.
    Wait,
    /// The loan is over, and the connection the reader's again.
    End,
    /// To read now, and to say what came of it, see [`Loan::has_read`].
    Read,
}

/// Lends a connection to its owner's thread, if it has shown that it is one of few that talk. `is_single`: a single message
/// has just been read. The owner is told in `batch`.
pub(super) fn lend(connection: &Arc<Connection>, is_single: bool, batch: &mut Batch) -> Option<Loan> {
    // to decompress is not the owner's work
    let is_lent = talks(connection, is_single)
        && connection.queue.owner_reads()
        && !connection.is_held_up()
        && !connection.compresses()
        && connection.outbox().phase == Phase::Open;
    is_lent.then(|| {
        let owner_reads = connection.who_reads.owner_reads();
        let looking = connection.commands().looking();
        connection.who_reads.leave_to_owner();
        batch.push(Kind::LeftToOwner, connection.handle, 0);
        Loan { next: Box::pin(sleep(LOOK)), _looking: looking, owner_reads, silent: 0 }
    })
}

impl Loan {
    /// Looks after the connection.
    pub(super) fn next(&mut self, connection: &Arc<Connection>, cx: &mut Context<'_>) -> Next {
        loop {
            if !connection.is_read_by_owner() {
                return Next::End;
            }
            let is_open = connection.outbox().phase == Phase::Open;
            if self.next.as_mut().poll(cx).is_pending() && is_open {
                return Next::Wait;
            }
            self.next.as_mut().reset(Instant::now() + LOOK);
            connection.commands().look();
            let owner_reads = connection.who_reads.owner_reads();
            let has_read = std::mem::replace(&mut self.owner_reads, owner_reads) != owner_reads;
            if is_open && has_read && talks_among_few(connection) {
                self.silent = 0;
                continue;
            }
            if !connection.who_reads.take_turn() {
                // the owner's thread is just reading
                if self.next.as_mut().poll(cx).is_pending() {
                    return Next::Wait;
                }
                continue;
            }
            self.silent += 1;
            return Next::Read;
        }
    }

    /// The reader has read; `found`: there was something, or the end. Whether the loan goes on.
    pub(super) fn has_read(&self, connection: &Arc<Connection>, found: bool) -> bool {
        let goes_on = !found
            && self.silent < SILENT_LOOKS
            && connection.outbox().phase == Phase::Open
            && talks_among_few(connection);
        if goes_on {
            connection.who_reads.leave_to_owner();
        } else {
            connection.who_reads.take_back();
        }
        goes_on
    }

    /// The loan is over: the connection has to show again that it talks.
    pub(super) fn end(self, connection: &Arc<Connection>) {
        forget(connection);
    }
}

thread_local! {
    /// Up to [`FEW`].
    static TALKERS: RefCell<Vec<Talker>> = const { RefCell::new(Vec::new()) };
}

/// A connection of this thread that talks, and how many single messages it has sent.
struct Talker {
    connection: *const Connection,
    messages: u8,
}

/// Notes that a connection has sent a single message, or several. Whether it has shown by now that it is one of few.
fn talks(connection: &Arc<Connection>, single: bool) -> bool {
    let connection = Arc::as_ptr(connection);
    TALKERS.with_borrow_mut(|talkers| {
        if !single {
            talkers.clear();
            return false;
        }
        if let Some(talker) = talkers.iter_mut().find(|talker| talker.connection == connection) {
            talker.messages = talker.messages.saturating_add(1);
            return talker.messages >= SHOWN_FROM;
        }
        if talkers.len() == FEW {
            // one too many: all begin again
            talkers.clear();
        }
        talkers.push(Talker { connection, messages: 1 });
        false
    })
}

/// Whether no more than few have talked since it did, and none has sent several at once.
fn talks_among_few(connection: &Arc<Connection>) -> bool {
    TALKERS.with_borrow(|talkers| talkers.iter().any(|talker| talker.connection == Arc::as_ptr(connection)))
}

/// This one has to show again that it talks.
fn forget(connection: &Arc<Connection>) {
    TALKERS.with_borrow_mut(|talkers| talkers.retain(|talker| talker.connection != Arc::as_ptr(connection)));
}

/// The owner's turn, which ends when it is dropped.
struct Turn<'a> {
    connection: &'a Connection,
    /// Whether the owner reads the connection next, too.
    goes_on: bool,
}

impl Connection {
    /// The owner's thread does not read it.
    pub fn decline_reading(&self) {
        if self.who_reads.take_turn() {
            self.who_reads.take_back();
            self.wake();
        }
    }

    /// Reads what is there, on the owner's thread. Whether the owner is to drain. `batch` is empty and stays so. Ends
    /// [`Connection::is_read_by_owner`] when it is time to.
    pub fn read_by_owner(self: &Arc<Self>, buffer: &mut [u8], batch: &mut Batch) -> bool {
        if !self.who_reads.take_turn() {
            return false;
        }
        let mut turn = Turn { connection: self, goes_on: false };
        self.who_reads.count_owner_read();
        if self.is_held_up() || self.queue.is_full() {
            return false;
        }
        // past the reactor, which knows what its own thread has seen only
        match self.pipe.get().and_then(Pipe::socket).map(|socket| (&*socket).read(buffer)) {
            Some(Ok(length)) if length > 0 => {
                self.count_read(length);
                self.receive(&mut buffer[..length], batch);
                let has_events = !batch.is_empty();
                let is_single = batch.events.len() <= 1 && length < buffer.len();
                self.queue.append_silently(batch);
                if is_single && !self.is_held_up() && self.outbox().phase == Phase::Open {
                    turn.goes_on = true;
                }
                has_events
            }
            Some(Err(error)) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                turn.goes_on = true;
                false
            }
            // the end: the I/O thread meets it, too, but an error only once
            Some(Err(error)) => {
                self.note_end(End::ReadFailed(error.raw_os_error().unwrap_or_default()));
                false
            }
            _ => false,
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.connection.outbox().kill();
        }
        if self.goes_on {
            self.connection.who_reads.leave_to_owner();
        } else {
            self.connection.who_reads.take_back();
            self.connection.wake();
        }
    }
}
