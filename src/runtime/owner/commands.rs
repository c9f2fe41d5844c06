//! Requests of the owner to the I/O threads.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio_util::time::delay_queue::Key;

use crate::session::Millis;

/// A request to an I/O thread. `C` is the type of connections. Frequent requests have a variant without an allocation;
/// [`Command::Run`] is for all others.
pub enum Command<C> {
    /// Write what waits in an outbox.
    Flush(Arc<C>),
    /// Read the socket of a connection; these bytes have been read from it already.
    Adopt { connection: Arc<C>, early: Vec<u8> },
    /// Call an alarm at a time.
    Arm(Arc<dyn Alarm>, Millis),
    /// Stop an alarm.
    Disarm(Arc<dyn Alarm>),
    /// Answer a poll.
    Answer(Responder, PollAnswer),
    /// Call this on the thread, which has tokio's runtime.
    Run(Box<dyn FnOnce() + Send>),
    /// Report when everything that was asked for before has been done.
    Finish(SyncSender<()>),
    /// End the thread and everything on it.
    Stop,
}

/// An object with one timer on an I/O thread.
pub trait Alarm: Debug + Send + Sync {
    /// The place where the thread keeps the timer's key.
    fn timer(&self) -> &Mutex<Option<Key>>;

    /// Called when the time has come.
    fn ring(self: Arc<Self>);
}

/// An answer to a poll, for the task that waits for it.
#[derive(Debug)]
pub enum PollAnswer {
    /// A payload of packets.
    Payload {
        /// The bytes.
        body: Vec<u8>,
        /// Whether the payload is binary.
        binary: bool,
        /// Whether a packet of it wants compression.
        compress: bool,
    },
    /// The poll is refused (`400`).
    Rejected,
}

/// Takes the answer to one poll.
pub type Responder = oneshot::Sender<PollAnswer>;

/// Requests of a session to its I/O thread. `by_owner` says that this is the owner's thread, see
/// [`Commands::send_by_owner`].
pub trait IoTasks: Debug + Send + Sync {
    /// Sets an alarm.
    fn arm(&self, alarm: Arc<dyn Alarm>, time: Millis, by_owner: bool);

    /// Unsets an alarm.
    fn disarm(&self, alarm: Arc<dyn Alarm>, by_owner: bool);

    /// Has a poll answered.
    fn answer(&self, responder: Responder, answer: PollAnswer, by_owner: bool);
}

/// The requests to an I/O thread. Waking it costs a system call, and the owner often has many requests in one turn of
/// its loop, so that they wait between [`Commands::hold`] and [`Commands::release`]. The thread does not wait for an
/// owner that takes long: it looks by itself, see [`Commands::mark`].
pub struct Commands<C>(Arc<Shared<C>>);

struct Shared<C> {
    queue: Mutex<Queue<C>>,
    wake: Notify,
    held: AtomicBool,
    /// Number of `Looking` guards; while there are any the thread looks for work every 2 ms.
    looks: AtomicU32,
}

struct Queue<C> {
    commands: Vec<Command<C>>,
    /// Connections whose outboxes have to be written.
    dirty: Vec<Arc<C>>,
    /// Whether the thread has been woken for these connections.
    is_told: bool,
    closed: bool,
}

impl<C> Commands<C> {
    /// Sends a command. It is dropped if the thread has ended.
    pub fn send(&self, command: Command<C>) {
        self.0.send(command, false);
    }

    /// Sends a command from the owner's thread.
    pub fn send_by_owner(&self, command: Command<C>) {
        self.0.send(command, true);
    }

    /// Holds requests back until [`Commands::release`], which the owner calls before it waits for anything.
    pub fn hold(&self) {
        self.0.held.store(true, SeqCst);
    }

    /// Has the thread do what was held back and marked, because the owner's turn is over.
    pub fn release(&self) {
        self.0.held.store(false, SeqCst);
        if self.has_any() {
            self.wake();
        }
    }

    /// Has a connection's outbox written when the owner's turn is over, or when the thread looks by itself, because a
    /// turn may be long. A thread that does not look is woken for the first connection, unless `is_piped`: the owner
    /// writes its own pipe. Returns how many connections wait.
    pub(crate) fn mark_for_flush(&self, connection: &Arc<C>, is_piped: bool) -> usize {
        let mut queue = self.lock();
        if queue.closed {
            return 0;
        }
        queue.dirty.push(connection.clone());
        let waiting = queue.dirty.len();
        let is_told = queue.is_told;
        queue.is_told |= self.0.looks.load(SeqCst) == 0 && !is_piped;
        let tell = queue.is_told && !is_told;
        drop(queue);
        if tell {
            self.wake();
        }
        waiting
    }

    /// Number of connections that wait.
    pub fn waiting(&self) -> usize {
        self.lock().dirty.len()
    }

    /// Takes the connections that wait, so that the owner's thread writes them, unless the I/O thread is about to.
    pub fn take_waiting(&self) -> Vec<Arc<C>> {
        let mut queue = self.lock();
        if queue.is_told { Vec::new() } else { std::mem::take(&mut queue.dirty) }
    }

    /// Wakes the thread to do what it has been asked for.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Notes that the thread looks every 2 ms until the returned guard is dropped.
    pub(crate) fn looking(&self) -> Looking<C> {
        self.0.looks.fetch_add(1, SeqCst);
        Looking(self.clone())
    }

    /// Has the thread do what waits, even if the owner's turn is not over.
    pub(crate) fn look(&self) {
        if self.has_any() {
            self.wake();
        }
    }

    /// Whether the owner is in a turn at whose end it calls [`Commands::release`].
    pub(crate) fn are_held(&self) -> bool {
        self.0.held.load(SeqCst)
    }

    /// Waits until there is something to take.
    pub(crate) async fn ready(&self) {
        self.0.wake.notified().await;
    }

    /// Takes everything; both are empty and give their allocations back.
    pub(crate) fn take(&self, commands: &mut Vec<Command<C>>, dirty: &mut Vec<Arc<C>>) {
        let mut queue = self.lock();
        std::mem::swap(&mut queue.commands, commands);
        std::mem::swap(&mut queue.dirty, dirty);
        queue.is_told = false;
    }

    pub(crate) fn has_any(&self) -> bool {
        let queue = self.lock();
        !queue.commands.is_empty() || !queue.dirty.is_empty()
    }

    /// The thread ends.
    pub(crate) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        let left = (std::mem::take(&mut queue.commands), std::mem::take(&mut queue.dirty));
        drop(queue);
        // dropping commands may end connections and sessions, which must not happen under this lock
        drop(left);
    }

    fn lock(&self) -> MutexGuard<'_, Queue<C>> {
        self.0.lock()
    }
}

impl<C: Send + Sync + 'static> Commands<C> {
    /// What sessions ask for, which know no connections.
    pub fn tasks(&self) -> Arc<dyn IoTasks> {
        self.0.clone()
    }
}

impl<C> Shared<C> {
    fn send(&self, command: Command<C>, by_owner: bool) {
        if self.push(command) && !(by_owner && self.held.load(SeqCst)) {
            self.wake.notify_one();
        }
    }

    fn push(&self, command: Command<C>) -> bool {
        let mut queue = self.lock();
        if queue.closed {
            drop(queue);
            drop(command);
            return false;
        }
        queue.commands.push(command);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Queue<C>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Send + Sync> IoTasks for Shared<C> {
    fn arm(&self, alarm: Arc<dyn Alarm>, time: Millis, by_owner: bool) {
        self.send(Command::Arm(alarm, time), by_owner);
    }

    fn disarm(&self, alarm: Arc<dyn Alarm>, by_owner: bool) {
        self.send(Command::Disarm(alarm), by_owner);
    }

    fn answer(&self, responder: Responder, answer: PollAnswer, by_owner: bool) {
        self.send(Command::Answer(responder, answer), by_owner);
    }
}

impl<C> Clone for Commands<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> Default for Commands<C> {
    fn default() -> Self {
        let queue = Queue { commands: Vec::new(), dirty: Vec::new(), is_told: false, closed: false };
        Self(Arc::new(Shared {
            queue: Mutex::new(queue),
            wake: Notify::new(),
            held: AtomicBool::new(false),
            looks: AtomicU32::new(0),
        }))
    }
}

impl<C> Debug for Commands<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commands").finish_non_exhaustive()
    }
}

impl<C> Debug for Shared<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IoTasks").finish_non_exhaustive()
    }
}

/// A guard: while it exists, its thread looks for work every 2 ms.
#[derive(Debug)]
pub(crate) struct Looking<C>(Commands<C>);

impl<C> Drop for Looking<C> {
    /// Has the thread do what is marked; connections that are marked from now on wake it.
    fn drop(&mut self) {
        self.0.0.looks.fetch_sub(1, SeqCst);
        self.0.look();
    }
}
