//! What the I/O threads are asked to do, and how it gets to them.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::http::{Accepting, Bound, CompressionJob};
use crate::runtime::channel::connection::Connection;
use crate::runtime::channel::socket::Stream;
use crate::runtime::session::cell::{PollAnswer, Responder, SessionCell};
use crate::session::Millis;

/// What an I/O thread can be asked to do.
#[derive(Debug)]
pub enum Command {
    /// Write what waits in an outbox.
    Flush(Arc<Connection>),
    /// Wake the session's machine at a time.
    Arm(Arc<SessionCell>, Millis),
    /// The session needs no timer any more.
    Disarm(Arc<SessionCell>),
    /// Read the socket of a connection; these bytes have been read from it already.
    #[cfg(unix)]
    Adopt { connection: Arc<Connection>, early: Vec<u8> },
    /// Go on with a socket of the engine's own listener.
    Start { connection: Arc<Connection>, stream: Stream, early: Vec<u8> },
    /// Compress a body.
    Compress(CompressionJob),
    /// Answer a poll.
    Answer(Responder, PollAnswer),
    /// Accept connections.
    Listen(Accepting, Bound),
    /// Say so when everything that was asked for before has been done.
    Finish(SyncSender<()>),
    /// End the thread and everything on it.
    Stop,
}

/// The way to an I/O thread. Waking it costs a system call, and the owner often has many things to ask for
/// in one turn of its loop: between [`Commands::hold`] and [`Commands::release`] what it asks for waits. An owner that
/// takes its time is not waited for: the thread looks by itself, see [`Commands::mark`].
#[derive(Clone, Debug, Default)]
pub struct Commands(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Notify,
    held: AtomicBool,
    /// For how many reasons the thread looks every now and then.
    looks: AtomicU32,
}

#[derive(Debug, Default)]
struct Queue {
    commands: Vec<Command>,
    /// Connections whose outboxes are to be written.
    dirty: Vec<Arc<Connection>>,
    /// Whether the thread has been woken for them.
    is_told: bool,
    closed: bool,
}

impl Commands {
    /// Asks for something. A thread that has ended does nothing any more: then the command is dropped.
    pub fn send(&self, command: Command) {
        if self.push(command) {
            self.wake();
        }
    }

    /// The same from the owner's thread.
    pub fn send_by_owner(&self, command: Command) {
        if self.push(command) && !self.0.held.load(SeqCst) {
            self.wake();
        }
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
    /// long. A thread that does not look now is woken for the first; the owner's own pipe is its own business. Returns how
    /// many wait by now.
    pub fn mark(&self, connection: &Arc<Connection>) -> usize {
        let mut queue = self.lock();
        if queue.closed {
            return 0;
        }
        queue.dirty.push(connection.clone());
        let waiting = queue.dirty.len();
        let is_told = queue.is_told;
        queue.is_told |= self.0.looks.load(SeqCst) == 0 && !connection.is_piped();
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
    pub fn take_waiting(&self) -> Vec<Arc<Connection>> {
        let mut queue = self.lock();
        if queue.is_told { Vec::new() } else { std::mem::take(&mut queue.dirty) }
    }

    /// Has the thread see to what it has been asked for.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// The thread looks every now and then from now on, until what this gives is dropped.
    pub(crate) fn looking(&self) -> Looking {
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
    pub(crate) fn take(&self, commands: &mut Vec<Command>, dirty: &mut Vec<Arc<Connection>>) {
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

    fn push(&self, command: Command) -> bool {
        let mut queue = self.lock();
        if queue.closed {
            drop(queue);
            drop(command);
            return false;
        }
        queue.commands.push(command);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As long as it is there, its thread looks every now and then.
#[derive(Debug)]
pub(crate) struct Looking(Commands);

impl Drop for Looking {
    /// What is marked from now on wakes the thread; what has been is seen to.
    fn drop(&mut self) {
        self.0.0.looks.fetch_sub(1, SeqCst);
        self.0.look();
    }
}
