//! A few connections that talk, one message at a time, are read by their owner's thread: that saves each message a change
//! of thread, which is most of what it waits for where few share one. The I/O thread looks after such a connection and
//! reads it again when more talk, when one sends more at once, or when the owner's thread has no time.

use std::cell::RefCell;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::time::Duration;

use crate::runtime::channel::connection::{Connection, End, Pipe};
use crate::runtime::channel::outbox::Phase;
use crate::runtime::owner::events::Batch;

/// So many connections may be read by the owner's thread. From about twenty on enough of them share a change of thread.
pub const FEW: usize = 16;

/// After so many single messages, while no more than [`FEW`] talk, and none sends several at once.
const SHOWN_FROM: u8 = 8;

/// How often the I/O thread looks whether the owner's thread reads.
pub(crate) const LOOK: Duration = Duration::from_millis(2);

/// So many looks that find nothing new end it: looking costs more than the next message would save.
pub(crate) const SILENT_LOOKS: u8 = 10;

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
pub(crate) fn talks(connection: &Arc<Connection>, single: bool) -> bool {
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
pub(crate) fn talks_among_few(connection: &Arc<Connection>) -> bool {
    TALKERS.with_borrow(|talkers| talkers.iter().any(|talker| talker.connection == Arc::as_ptr(connection)))
}

/// This one has to show again that it talks.
pub(crate) fn forget(connection: &Arc<Connection>) {
    TALKERS.with_borrow_mut(|talkers| talkers.retain(|talker| talker.connection != Arc::as_ptr(connection)));
}

/// Who reads a connection.
#[derive(Debug, Default)]
pub(crate) struct WhoReads {
    state: AtomicU8,
    /// How often the owner's thread has read; wraps around.
    pub(crate) owner_reads: AtomicU8,
}

const IO_THREAD: u8 = 0;
const OWNER: u8 = 1;
/// One of them does so now, while it is the owner's.
const BUSY: u8 = 2;

/// The owner's turn, which ends when it is dropped.
struct Turn<'a> {
    connection: &'a Connection,
    next: u8,
}

impl Connection {
    /// Whether the owner's thread reads it.
    pub fn is_read_by_owner(&self) -> bool {
        self.who_reads.state.load(SeqCst) != IO_THREAD
    }

    /// From now on the owner's thread reads it.
    pub(crate) fn leave_to_owner(&self) {
        self.who_reads.state.store(OWNER, SeqCst);
    }

    /// Takes the right to read what is left to the owner's thread. False if the other side is just reading, or has
    /// taken the connection back.
    pub(crate) fn take_turn(&self) -> bool {
        self.who_reads.state.compare_exchange(OWNER, BUSY, SeqCst, SeqCst).is_ok()
    }

    /// From now on the I/O thread reads it, whose turn it is.
    pub(crate) fn take_back(&self) {
        self.who_reads.state.store(IO_THREAD, SeqCst);
    }

    /// The owner's thread does not read it.
    pub fn decline_reading(&self) {
        if self.take_turn() {
            self.take_back();
            self.wake();
        }
    }

    /// The descriptor to watch for that.
    #[cfg(unix)]
    pub fn fd(&self) -> Option<std::os::fd::RawFd> {
        use std::os::fd::AsRawFd;
        self.pipe.get()?.socket().map(|socket| socket.as_raw_fd())
    }

    /// Reads what is there, on the owner's thread. Whether the owner is to drain. `batch` is empty and stays so. Ends
    /// [`Connection::is_read_by_owner`] when it is time to.
    pub fn read_by_owner(self: &Arc<Self>, buffer: &mut [u8], batch: &mut Batch) -> bool {
        if !self.take_turn() {
            return false;
        }
        let mut turn = Turn { connection: self, next: IO_THREAD };
        self.who_reads.owner_reads.fetch_add(1, SeqCst);
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
                    turn.next = OWNER;
                }
                has_events
            }
            Some(Err(error)) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                turn.next = OWNER;
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
        self.connection.who_reads.state.store(self.next, SeqCst);
        if self.next == IO_THREAD {
            self.connection.wake();
        }
    }
}
