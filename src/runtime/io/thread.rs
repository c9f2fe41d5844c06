//! An I/O thread: one single-threaded runtime that reads sockets, flushes outboxes and keeps time.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio_util::time::{DelayQueue, delay_queue::Key};

use super::busy_check::BusyCheck;
use super::reader_set::{Readers, start_reading};
use crate::runtime::channel::connection::{Commands, Connection};
use crate::runtime::clock::instant_of;
use crate::runtime::owner::commands::{Alarm, Command};
use crate::runtime::owner::counts::{self, Counts};
use crate::runtime::owner::deferred_drop::Leftovers;
use crate::runtime::owner::wake_batch::Turns;
use crate::session::Millis;

/// The handle of a running I/O thread.
#[derive(Debug)]
pub struct IoThread {
    commands: Commands,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

impl IoThread {
    /// Starts a thread.
    ///
    /// # Errors
    /// When the system gives no thread, no epoll or no eventfd.
    pub fn start(name: &str) -> io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().max_blocking_threads(2).build()?;
        let commands = Commands::default();
        let receiver = commands.clone();
        let counts = Arc::<Counts>::default();
        let counted = counts.clone();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            // as a task, because waking a task from its own thread takes no system call
            .spawn(move || {
                counts::begin(counted);
                runtime.block_on(async { drop(tokio::spawn(run(receiver)).await) });
            })?;
        Ok(Self { commands, counts, thread: Some(thread) })
    }

    /// The commands of the thread.
    pub fn commands(&self) -> &Commands {
        &self.commands
    }

    /// What the thread has counted.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Ends the thread and cuts all its connections off. Waits for the current step, not for I/O.
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

/// The timers of the sessions. Each session has at most one, and keeps its key.
#[derive(Default)]
struct Timers(DelayQueue<Arc<dyn Alarm>>);

impl Timers {
    fn arm(&mut self, alarm: Arc<dyn Alarm>, deadline: Millis) {
        let deadline = instant_of(deadline);
        let mut key = timer_of(&*alarm);
        match *key {
            Some(key) => self.0.reset_at(&key, deadline),
            None => *key = Some(self.0.insert_at(alarm.clone(), deadline)),
        }
    }

    fn disarm(&mut self, alarm: &dyn Alarm) {
        if let Some(key) = timer_of(alarm).take() {
            self.0.try_remove(&key);
        }
    }
}

fn timer_of(alarm: &dyn Alarm) -> MutexGuard<'_, Option<Key>> {
    alarm.timer().lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs an I/O thread until it is told to stop.
pub async fn run(commands: Commands) {
    let turns = Turns::begin();
    let _readers = Readers::begin();
    let _leftovers = Leftovers::begin();
    let mut timers = Timers::default();
    let mut busy_check = BusyCheck::new();
    let (mut taken, mut dirty) = (Vec::new(), Vec::new());
    loop {
        tokio::select! {
            biased;
            () = commands.ready() => {
                commands.take(&mut taken, &mut dirty);
                let stops = taken.iter().any(|command| matches!(command, Command::Stop));
                taken.drain(..).for_each(|command| contain(|| carry_out(command, &mut timers)));
                flush(&mut dirty);
                if stops {
                    return commands.close();
                }
                if commands.has_any() {
                    // sockets have their turn however much the owner asks for
                    tokio::task::yield_now().await;
                }
            }
            () = turns.end() => {
                turns.catch_up();
                busy_check.begin(&commands);
            }
            () = busy_check.next() => busy_check.look(&commands),
            Some(expired) = std::future::poll_fn(|cx| timers.0.poll_expired(cx)), if !timers.0.is_empty() => {
                let alarm = expired.into_inner();
                *timer_of(&*alarm) = None;
                contain(|| alarm.ring());
            }
        }
    }
}

/// Keeps a panic in one connection's work from ending the work for all. The panic has been printed.
fn contain(work: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(work));
}

/// Writes what waits in outboxes.
fn flush(connections: &mut Vec<Arc<Connection>>) {
    connections.drain(..).for_each(|connection| contain(|| connection.flush()));
}

/// Reports once the tasks that are ready have had their turn, because some of them do what was asked for.
fn finish(done: SyncSender<()>) {
    tokio::spawn(async move {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        let _ = done.send(());
    });
}

fn carry_out(command: Command<Connection>, timers: &mut Timers) {
    match command {
        Command::Flush(connection) => connection.flush(),
        Command::Adopt { connection, early } => start_reading(connection, early),
        Command::Arm(alarm, deadline) => timers.arm(alarm, deadline),
        Command::Disarm(alarm) => timers.disarm(&*alarm),
        // an answer for which the client no longer waits comes back and is dropped
        Command::Answer(responder, answer) => drop(responder.send(answer)),
        Command::Run(work) => work(),
        Command::Finish(done) => finish(done),
        Command::Stop => {}
    }
}
