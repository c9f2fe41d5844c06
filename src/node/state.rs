//! The state that the engine's methods and its raw functions share.

use std::cell::{Cell, RefCell};
#[cfg(all(unix, feature = "owner-reads"))]
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use napi::{Error, Result, Status, sys};

use super::call_result::Outcome;
use super::drain::Taking;
use super::io_threads::IoThreads;
use super::tables::Tables;
#[cfg(all(unix, feature = "owner-reads"))]
use super::uv_poll::Watching;
use super::wake::Waker;
use crate::runtime::{Batch, Counts, EventQueue, counts};
use crate::session::IdGenerator;

/// Bytes of the largest Buffer. It is a limit of V8 and the same in all environments; 0 until JavaScript has set it.
pub(super) static MAX_BUFFER: AtomicU64 = AtomicU64::new(0);

/// The state of one engine.
pub struct State {
    pub(super) waker: Arc<Waker>,
    pub(super) queue: EventQueue,
    pub(super) io: IoThreads,
    /// The objects that JavaScript names by handles.
    pub(super) tables: Tables,
    /// The events on their way to JavaScript.
    pub(super) taking: Taking,
    /// The events of a call, besides its result.
    pub(super) outcome: Outcome,
    pub(super) broadcast: Broadcast,
    pub(super) input: RefCell<Input>,
    /// What this thread counts.
    pub(super) counts: Arc<Counts>,
    /// The number of the last body for compression.
    pub(super) last_body: Cell<u32>,
    ids: RefCell<IdGenerator>,
    /// The connections that this thread reads.
    #[cfg(all(unix, feature = "owner-reads"))]
    pub(super) watching: Rc<Watching>,
}

/// A broadcast under way.
#[derive(Default)]
pub(super) struct Broadcast {
    /// The frame, for its further recipients.
    pub(super) frame: RefCell<Arc<[u8]>>,
    /// The length of the message's content; `None` for another packet.
    pub(super) message: Cell<Option<usize>>,
    /// Whether the I/O thread has been woken for the first recipients in this turn.
    pub(super) has_gone_ahead: Cell<bool>,
}

/// The buffer in which bytes of JavaScript's pipes are unmasked.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) bytes: Vec<u8>,
    pub(super) batch: Batch,
    /// Bytes for which `pipeTake` has found no space.
    pub(super) large: Vec<u8>,
}

impl State {
    pub(super) fn new(io: IoThreads, waker: Arc<Waker>) -> Self {
        let wake = waker.clone();
        Self {
            waker,
            queue: EventQueue::new(move || wake.wake()),
            io,
            tables: Tables::new(),
            taking: Taking::default(),
            outcome: Outcome::default(),
            broadcast: Broadcast::default(),
            input: RefCell::default(),
            counts: counts::of_this_thread(),
            last_body: Cell::new(0),
            ids: RefCell::default(),
            #[cfg(all(unix, feature = "owner-reads"))]
            watching: Rc::default(),
        }
    }

    /// A session id: 20 characters of `[A-Za-z0-9_-]`.
    pub(super) fn generate_id(&self) -> Result<String> {
        self.ids
            .borrow_mut()
            .next_id()
            .map_err(|error| Error::new(Status::GenericFailure, format!("the system gave no random bytes: {error}")))
    }

    /// Has everything written that was handed over since the last call, and everything done that was held back. This
    /// thread writes to up to `here` connections itself, which saves a change of thread on an idle engine.
    pub(super) fn flush(&self, here: usize) {
        self.broadcast.has_gone_ahead.set(false);
        self.taking.has_flushed.set(true);
        self.io.flush(here);
    }

    /// Lets requests for the I/O threads wait until the next flush, which is sure to come.
    pub(super) fn hold_commands(&self) {
        self.io.hold();
    }

    /// Takes events, see `Taking::drain`. Requests that JavaScript makes for them wait for the flush that follows.
    pub(super) fn drain(&self, env: sys::napi_env, meta: &mut [u32], take: sys::napi_value) -> Result<u32> {
        let taken = self.taking.drain(env, &self.queue, &self.tables, &self.counts, meta, take)?;
        if taken > 0 {
            self.hold_commands();
        }
        Ok(taken)
    }

    /// Releases a session, whose handle JavaScript forgets.
    pub(super) fn release_session(&self, session: u32) {
        let released = self.tables.sessions.borrow_mut().release(session);
        drop(released);
    }

    /// Releases a connection, or a channel that JavaScript drives.
    pub(super) fn release_connection(&self, connection: u32) {
        #[cfg(all(unix, feature = "owner-reads"))]
        self.watching.unwatch_ended(connection);
        let released = self.tables.connections.borrow_mut().release(connection);
        drop(released);
    }
}

/// A delay as Node's timers take it: below 1 ms, above 2^31-1 ms or not a number means 1 ms.
pub(super) fn delay(ms: f64) -> u64 {
    if (1.0..=2_147_483_647.0).contains(&ms) { ms as u64 } else { 1 }
}
