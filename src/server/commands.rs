//! What the I/O threads are asked to do, and how it gets to them.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::connection::Connection;
use super::stream::Stream;
use super::session_cell::{PollAnswer, Responder, SessionCell};
use crate::http::{CompressionJob, Listener, Verdict};
use crate::session::Millis;

/// What an I/O thread can be asked to do.
#[derive(Debug)]
pub enum Command {
    /// Write what waits in the outboxes.
    Flush(Vec<Arc<Connection>>),
    /// The same for one.
    FlushOne(Arc<Connection>),
    /// Wake the session's machine at a time.
    Arm(Arc<SessionCell>, Millis),
    /// The session needs no timer any more.
    Disarm(Arc<SessionCell>),
    /// Take a connected socket over; the bytes have been read from it already.
    #[cfg(unix)]
    Adopt { connection: Arc<Connection>, socket: std::os::fd::OwnedFd, early: Vec<u8> },
    /// Go on with a socket of the engine's own listener.
    Start { connection: Arc<Connection>, stream: Stream, early: Vec<u8> },
    /// Compress a body.
    Compress(CompressionJob),
    /// Answer a poll.
    Answer(Responder, PollAnswer),
    /// Answer a request that the owner was asked about.
    Decide(oneshot::Sender<Verdict>, Verdict),
    /// Accept connections.
    Listen(Arc<Listener>, std::net::TcpListener),
    /// End the thread and everything on it.
    Stop,
}

/// The way to an I/O thread. Waking it costs a system call, and the owner often has many things to ask for
/// in one turn of its loop: between [`Commands::hold`] and [`Commands::release`] what it asks for waits.
#[derive(Clone, Debug, Default)]
pub struct Commands(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Notify,
    held: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    commands: Vec<Command>,
    closed: bool,
}

impl Commands {
    /// Asks for something. A thread that has ended does nothing any more: then the command is dropped.
    pub fn send(&self, command: Command) {
        if self.push(command) {
            self.0.wake.notify_one();
        }
    }

    /// The same from the owner's thread.
    pub fn send_by_owner(&self, command: Command) {
        if self.push(command) && !self.0.held.load(SeqCst) {
            self.0.wake.notify_one();
        }
    }

    /// The owner will call [`Commands::release`] before it waits for anything.
    pub fn hold(&self) {
        self.0.held.store(true, SeqCst);
    }

    /// Has the thread see to what was held back.
    pub fn release(&self) {
        self.0.held.store(false, SeqCst);
        if self.has_any() {
            self.0.wake.notify_one();
        }
    }

    /// Whether both lead to the same thread.
    pub fn leads_to(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Waits until there is something to take.
    pub(super) async fn ready(&self) {
        self.0.wake.notified().await;
    }

    /// Takes everything; `taken` is empty and gives its allocation back.
    pub(super) fn take(&self, taken: &mut Vec<Command>) {
        std::mem::swap(&mut self.lock().commands, taken);
    }

    pub(super) fn has_any(&self) -> bool {
        !self.lock().commands.is_empty()
    }

    /// The thread ends.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        let left = std::mem::take(&mut queue.commands);
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
