//! An I/O thread: one single-threaded runtime that reads sockets, flushes outboxes and keeps time.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_util::time::{DelayQueue, delay_queue::Key};

use super::commands::{Command, Commands, SessionKey};
use super::reader::{Stream, start_reading};
use super::now;
use super::readers;
use super::session_cell::SessionCell;
use super::turn::Turns;
use crate::session::Millis;

/// The handle of a running I/O thread.
#[derive(Debug)]
pub struct IoThread {
    commands: Commands,
    thread: Option<JoinHandle<()>>,
}

impl IoThread {
    /// Starts a thread.
    ///
    /// # Errors
    /// When the system gives no thread, no epoll or no eventfd.
    pub fn start(name: &str) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().max_blocking_threads(2).build()?;
        let commands = Commands::default();
        let receiver = commands.clone();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            // as a task: to wake one from its own thread takes no system call
            .spawn(move || runtime.block_on(async { drop(tokio::spawn(run(receiver)).await) }))?;
        Ok(Self { commands, thread: Some(thread) })
    }

    /// Where to send commands.
    pub fn commands(&self) -> &Commands {
        &self.commands
    }

    /// Ends the thread: all its connections are cut off. Waits for the step it is in, not for I/O.
    pub fn stop(&mut self) {
        self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The timers of the sessions, at most one per session.
#[derive(Default)]
struct Timers {
    queue: DelayQueue<Arc<SessionCell>>,
    keys: HashMap<SessionKey, Key>,
}

impl Timers {
    fn arm(&mut self, cell: Arc<SessionCell>, deadline: Millis) {
        let delay = Duration::from_millis(deadline.saturating_sub(now()));
        match self.keys.get(&SessionKey::of(&cell)) {
            Some(key) => self.queue.reset(key, delay),
            None => {
                let session = SessionKey::of(&cell);
                self.keys.insert(session, self.queue.insert(cell, delay));
            }
        }
    }

    fn disarm(&mut self, session: SessionKey) {
        if let Some(key) = self.keys.remove(&session) {
            self.queue.try_remove(&key);
        }
    }
}

/// What an I/O thread does until it is told to stop.
pub async fn run(commands: Commands) {
    let turns = Turns::begin();
    readers::begin();
    let mut timers = Timers::default();
    let mut taken = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = commands.ready() => {
                commands.take(&mut taken);
                for command in taken.drain(..) {
                    if matches!(command, Command::Stop) {
                        return commands.close();
                    }
                    contain(|| carry_out(command, &mut timers));
                }
                if commands.has_any() {
                    // sockets have their turn, however much the owner asks for
                    tokio::task::yield_now().await;
                }
            }
            () = turns.end() => turns.catch_up(),
            Some(expired) = std::future::poll_fn(|cx| timers.queue.poll_expired(cx)), if !timers.queue.is_empty() => {
                let cell = expired.into_inner();
                timers.keys.remove(&SessionKey::of(&cell));
                contain(|| cell.timer_fired());
            }
        }
    }
}

/// A fault of ours in one connection's work is not to end the work for all: the panic has been printed.
fn contain(work: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(work));
}

fn carry_out(command: Command, timers: &mut Timers) {
    match command {
        Command::Flush(connections) => connections.into_iter().for_each(|connection| connection.flush()),
        Command::FlushOne(connection) => connection.flush(),
        Command::Arm(cell, deadline) => timers.arm(cell, deadline),
        Command::Disarm(session) => timers.disarm(session),
        Command::Adopt { connection, socket, unix, early } => match open(socket, unix) {
            Ok(stream) => start_reading(connection, stream, early),
            Err(_) => connection.ended(),
        },
        Command::Start { connection, stream, early } => start_reading(connection, stream, early),
        Command::Compress(job) => job.start(),
        Command::Answer(responder, answer) => drop(responder.send(answer)),
        // one that the client does not wait for any more comes back, and is dropped
        Command::Decide(asked, verdict) => drop(asked.send(verdict)),
        Command::Listen(listener, socket) => listener.start(socket),
        Command::Stop => {}
    }
}

fn open(socket: OwnedFd, unix: bool) -> io::Result<Stream> {
    if unix {
        tokio::net::UnixStream::from_std(socket.into()).map(Stream::Unix)
    } else {
        tokio::net::TcpStream::from_std(socket.into()).map(Stream::Tcp)
    }
}
