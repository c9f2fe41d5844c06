//! Lets the owner's thread read a few connections that send one message at a time. This saves each message a change of
//! thread, which is most of its latency if few share one. The I/O thread checks such a connection, and reads it again
//! when more connections talk, when one sends several messages at once, or when the owner's thread has no time.
//!
//! The reader knows of this as a [`Loan`]: it asks for one after each read, and a loan says when the reader has to
//! read. Without the feature `owner-reads` there are no loans (`owner_reads_off`): everything works, but a lone message
//! takes longer.

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

/// Largest number of connections that the owner's thread reads. From about twenty on enough of them share a change of
/// thread.
pub const FEW: usize = 16;

/// Number of single messages after which a connection is lent, if at most [`FEW`] connections talk and none sends
/// several at once.
const SHOWN_FROM: u8 = 8;

/// Number of looks without a new message that end a loan. More looks would cost more than the next message saves.
const SILENT_LOOKS: u8 = 10;

/// A connection that the owner's thread reads, and how the I/O thread checks it.
pub(super) struct Loan {
    /// The next look.
    next: Pin<Box<Sleep>>,
    /// The guard that also has the thread look for what the owner sends.
    _looking: Looking<Connection>,
    /// Number of the owner's reads at the last look.
    owner_reads: u8,
    silent: u8,
}

/// What the reader has to do.
pub(super) enum Next {
    /// To wait: the loan wakes its task.
    Wait,
    /// To end the loan and to read the connection again.
    End,
    /// To read now, and to report the result, see [`Loan::has_read`].
    Read,
}

/// Lends a connection to its owner's thread, if it is one of few that talk. `is_single` says that a single message has
/// just been read. The owner hears of the loan in `batch`.
pub(super) fn lend(connection: &Arc<Connection>, is_single: bool, batch: &mut Batch) -> Option<Loan> {
    // connections with compression stay here
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
                // the owner's thread is reading
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

/// A connection of this thread that talks, and the number of single messages that it has sent.
struct Talker {
    connection: *const Connection,
    messages: u8,
}

/// Notes that a connection has sent a single message, or several. Returns whether it is now one of few that talk.
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
            // one too many, so that all begin again
            talkers.clear();
        }
        talkers.push(Talker { connection, messages: 1 });
        false
    })
}

/// Whether at most [`FEW`] connections have talked since this one, and none has sent several messages at once.
fn talks_among_few(connection: &Arc<Connection>) -> bool {
    TALKERS.with_borrow(|talkers| talkers.iter().any(|talker| talker.connection == Arc::as_ptr(connection)))
}

/// Has a connection start again as one that does not talk.
fn forget(connection: &Arc<Connection>) {
    TALKERS.with_borrow_mut(|talkers| talkers.retain(|talker| talker.connection != Arc::as_ptr(connection)));
}

/// The owner's right to read, which ends when this is dropped.
struct Turn<'a> {
    connection: &'a Connection,
    /// Whether the owner reads the connection next, too.
    goes_on: bool,
}

impl Connection {
    /// Whether the owner's thread reads it.
    pub fn is_read_by_owner(&self) -> bool {
        self.who_reads.is_owner()
    }

    /// The owner's thread does not read it.
    pub fn decline_reading(&self) {
        if self.who_reads.take_turn() {
            self.who_reads.take_back();
            self.wake();
        }
    }

    /// Reads on the owner's thread. Returns whether the owner has to drain. `batch` is empty and stays so. Ends
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
        // without the reactor, which knows only what its own thread has seen
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
            // the I/O thread finds the end, too, but an error is reported only once
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
