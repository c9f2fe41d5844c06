//! The I/O threads of an environment.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use napi::{Error, Result, Status};

use crate::runtime::{Command, Commands, Counts, IoThread};

/// The I/O threads of one environment. Each loading of the module makes an engine (test runners load it once
/// per file); they share the threads, which end with the environment.
type Threads = Rc<RefCell<Vec<IoThread>>>;

thread_local! {
    static IO_THREADS: RefCell<Weak<RefCell<Vec<IoThread>>>> = const { RefCell::new(Weak::new()) };
}

fn io_threads_of_environment(count: u32) -> std::io::Result<Threads> {
    IO_THREADS.with_borrow_mut(|shared| {
        if let Some(threads) = shared.upgrade().filter(|threads| !threads.borrow().is_empty()) {
            return Ok(threads);
        }
        let threads = (0..count).map(|index| IoThread::start(&format!("engine.io-{index}")));
        let threads = Rc::new(RefCell::new(threads.collect::<std::io::Result<Vec<_>>>()?));
        *shared = Rc::downgrade(&threads);
        Ok(threads)
    })
}

/// The I/O threads as one engine uses them.
pub(super) struct IoThreads {
    threads: Threads,
    /// The thread for the next connection.
    next: Cell<usize>,
}

impl IoThreads {
    /// Returns the threads of the environment. Starts this many if there are none.
    pub(super) fn of_environment(count: u32) -> Result<Self> {
        let threads = io_threads_of_environment(count.clamp(1, 64))
            .map_err(|error| Error::new(Status::GenericFailure, error.to_string()))?;
        Ok(Self { threads, next: Cell::new(0) })
    }

    /// The I/O thread for the next connection or polling session.
    pub(super) fn next_commands(&self) -> Result<Commands> {
        let threads = self.threads.borrow();
        let index = self.next.get();
        self.next.set(index.wrapping_add(1));
        match threads.get(index % threads.len().max(1)) {
            Some(thread) => Ok(thread.commands().clone()),
            None => Err(Error::new(Status::Closing, "the engine has been stopped")),
        }
    }

    /// Has the threads do what was held back. This thread writes to up to `here` connections itself, see
    /// `State::flush`.
    pub(super) fn flush(&self, here: usize) {
        let threads = self.threads.borrow();
        if here > 0 && (1..=here).contains(&threads.iter().map(|thread| thread.commands().waiting()).sum()) {
            for thread in threads.iter() {
                thread.commands().take_waiting().iter().for_each(|connection| connection.flush_by_owner());
            }
        }
        threads.iter().for_each(|thread| thread.commands().release());
    }

    /// Lets requests wait for the next flush.
    pub(super) fn hold(&self) {
        self.threads.borrow().iter().for_each(|thread| thread.commands().hold());
    }

    /// Waits until the threads have done everything that was asked for, at most a second each.
    pub(super) fn finish(&self) {
        for thread in self.threads.borrow().iter() {
            let (done, is_done) = sync_channel(1);
            thread.commands().send(Command::Finish(done));
            let _ = is_done.recv_timeout(Duration::from_secs(1));
        }
    }

    /// What each of the threads has counted.
    pub(super) fn counts(&self) -> Vec<Arc<Counts>> {
        self.threads.borrow().iter().map(|thread| thread.counts().clone()).collect()
    }

    /// Ends the threads, for all engines of the environment.
    pub(super) fn stop(&self) {
        self.threads.borrow_mut().clear();
    }
}
