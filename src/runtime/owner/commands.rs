//! What the I/O threads are asked to do, and how it gets to them.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio_util::time::delay_queue::Key;

use crate::session::Millis;

/// What an I/O thread can be asked to do. `C` is a connection, whatever that is: what is frequent has a variant of its own,
/// without an allocation; [`Command::Run`] is for everything else.
pub enum Command<C> {
    /// Write what waits in an outbox.
    Flush(Arc<C>),
    /// Read the socket of a connection; these bytes have been read from it already.
    Adopt { connection: Arc<C>, early: Vec<u8> },
    /// Have an alarm ring at a time.
    Arm(Arc<dyn Alarm>, Millis),
    /// The alarm is not to ring any more.
    Disarm(Arc<dyn Alarm>),
    /// Answer a poll.
    Answer(Responder, PollAnswer),
    /// Call this on the thread, where tokio's runtime is at hand.
    Run(Box<dyn FnOnce() + Send>),
    /// Say so when everything that was asked for before has been done.
    Finish(SyncSender<()>),
    /// End the thread and everything on it.
    Stop,
}

/// What has one timer on an I/O thread.
pub trait Alarm: Debug + Send + Sync {
    /// Where the thread keeps the timer's key.
    fn timer(&self) -> &Mutex<Option<Key>>;

    /// The time has come.
    fn ring(self: Arc<Self>);
}

/// An answer to a poll, for the task that waits for it.
#[derive(Debug)]
pub enum PollAnswer {
    Payload { body: Vec<u8>, binary: bool, compress: bool },
    Rejected,
}

/// Takes the answer to one poll.
pub type Responder = oneshot::Sender<PollAnswer>;

/// What a session asks of its I/O thread. `by_owner`: on the owner's thread, see [`Commands::send_by_owner`].
pub trait IoTasks: Debug + Send + Sync {
    /// Sets an alarm.
    fn arm(&self, alarm: Arc<dyn Alarm>, time: Millis, by_owner: bool);

    /// Unsets an alarm.
    fn disarm(&self, alarm: Arc<dyn Alarm>, by_owner: bool);

    /// Has a poll answered.
    fn answer(&self, responder: Responder, answer: PollAnswer, by_owner: bool);
}

/// The way to an I/O thread. Waking it costs a system call, and the owner often has many things to ask for
/// in one turn of its loop: between [`Commands::hold`] and [`Commands::release`] what it asks for waits. An owner that
/// takes its time is not waited for: the thread looks by itself, see [`Commands::mark`].
pub struct Commands<C>(Arc<Shared<C>>);

struct Shared<C> {
    queue: Mutex<Queue<C>>,
    wake: Notify,
    held: AtomicBool,
    /// For how many reasons the thread looks every now and then.
    looks: AtomicU32,
}

struct Queue<C> {
    commands: Vec<Command<C>>,
    /// Connections whose outboxes are to be written.
    dirty: Vec<Arc<C>>,
    /// Whether the thread has been woken for them.
    is_told: bool,
    closed: bool,
}

impl<C> Commands<C> {
    /// Asks for something. A thread that has ended does nothing any more: then the command is dropped.
    pub fn send(&self, command: Command<C>) {
        self.0.send(command, false);
    }

    /// The same from the owner's thread.
    pub fn send_by_owner(&self, command: Command<C>) {
        self.0.send(command, true);
    }

    /// The owner will call [`Commands::release`] before it waits for anything.
    pub fn hold(&self) {
        self.0.held.store(true, SeqCst);
    }

    /// The owner's turn is over: has the thread see to what was held back and marked.
    pub fn release(&self) {
        self.0.held.store(false, SeqCst);
        if self.has_any() {
            self.wake();
        }
    }

    /// Has a connection's outbox written when the owner's turn is over, or when the thread looks by itself: a turn may be
    /// long. A thread that does not look now is woken for the first, unless `is_piped`: the owner's own pipe is its own
    /// business. Returns how many wait by now.
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

    /// How many connections wait.
    pub fn waiting(&self) -> usize {
        self.lock().dirty.len()
    }

    /// Takes the connections that wait, for the owner's thread to see to, unless this thread is on its way.
    pub fn take_waiting(&self) -> Vec<Arc<C>> {
        let mut queue = self.lock();
        if queue.is_told { Vec::new() } else { std::mem::take(&mut queue.dirty) }
    }

    /// Has the thread see to what it has been asked for.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// The thread looks every now and then from now on, until what this gives is dropped.
    pub(crate) fn looking(&self) -> Looking<C> {
        self.0.looks.fetch_add(1, SeqCst);
        Looking(self.clone())
    }

    /// Has the thread see to what waits, whether the owner's turn is over or not.
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
        // commands own connections and sessions, whose ends are no business of this lock
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

/// As long as it is there, its thread looks every now and then.
#[derive(Debug)]
pub(crate) struct Looking<C>(Commands<C>);

impl<C> Drop for Looking<C> {
    /// What is marked from now on wakes the thread; what has been is seen to.
    fn drop(&mut self) {
        self.0.0.looks.fetch_sub(1, SeqCst);
        self.0.look();
    }
}
