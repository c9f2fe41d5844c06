//! What the engine's methods and its raw functions share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use napi::{Error, Result, Status, sys};

use super::call_result::Outcome;
use super::drain::Taking;
use super::io_threads::IoThreads;
use super::tables::Tables;
#[cfg(unix)]
use super::uv_poll::Watching;
use super::wake::Waker;
use crate::runtime::{Batch, EventQueue};
use crate::session::IdGenerator;

/// The largest Buffer in bytes: that of V8, so the same in all environments; 0 as long as nobody has said.
pub(super) static MAX_BUFFER: AtomicU64 = AtomicU64::new(0);

/// The state of one engine.
pub struct State {
    pub(super) waker: Arc<Waker>,
    pub(super) queue: EventQueue,
    pub(super) io: IoThreads,
    /// What JavaScript names by handles.
    pub(super) tables: Tables,
    /// The events on their way to JavaScript.
    pub(super) taking: Taking,
    /// What a call brings about beside its result.
    pub(super) outcome: Outcome,
    pub(super) broadcast: Broadcast,
    pub(super) input: RefCell<Input>,
    /// The number of the last body that was to be compressed.
    pub(super) last_body: Cell<u32>,
    ids: RefCell<IdGenerator>,
    /// The connections that this thread reads.
    #[cfg(unix)]
    pub(super) watching: Rc<Watching>,
}

/// A broadcast under way.
#[derive(Default)]
pub(super) struct Broadcast {
    /// The frame, for its further recipients.
    pub(super) frame: RefCell<Arc<[u8]>>,
    /// Whether the first recipients have gone ahead in this turn.
    pub(super) has_gone_ahead: Cell<bool>,
}

/// Where the bytes that come in through JavaScript's pipes are unmasked.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) bytes: Vec<u8>,
    pub(super) batch: Batch,
    /// What `pipeTake` has found no space for.
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
            last_body: Cell::new(0),
            ids: RefCell::default(),
            #[cfg(unix)]
            watching: Rc::default(),
        }
    }

    /// A session id: 20 characters of `[A-Za-z0-9_-]`.
    pub(super) fn generate_id(&self) -> Result<String> {
        self.ids
            .borrow_mut()
            .next_id()
            .map_err(|error| Error::new(Status::GenericFailure, format!("no random bytes: {error}")))
    }

    /// Has everything written that was handed over since the last call, and everything done that was held
    /// back. Up to `here` connections are written to by this thread: that saves the messages a change of
    /// thread on an idle engine.
    pub(super) fn flush(&self, here: usize) {
        self.broadcast.has_gone_ahead.set(false);
        self.taking.has_flushed.set(true);
        self.io.flush(here);
    }

    /// From now until the next flush, which is sure to come, what the I/O threads are asked for can wait.
    pub(super) fn hold_commands(&self) {
        self.io.hold();
    }

    /// Takes events, see `Taking::drain`. What they have JavaScript ask for waits for the flush that follows.
    pub(super) fn drain(&self, env: sys::napi_env, meta: &mut [u32], take: sys::napi_value) -> Result<u32> {
        let taken = self.taking.drain(env, &self.queue, &self.tables, meta, take)?;
        if taken > 0 {
            self.hold_commands();
        }
        Ok(taken)
    }

    /// JavaScript is done with a session, and forgets its handle.
    pub(super) fn release_session(&self, session: u32) {
        let released = self.tables.sessions.borrow_mut().release(session);
        drop(released);
    }

    /// The same for a connection, or a channel that JavaScript drives.
    pub(super) fn release_connection(&self, connection: u32) {
        #[cfg(unix)]
        self.watching.unwatch_ended(connection);
        let released = self.tables.connections.borrow_mut().release(connection);
        drop(released);
    }
}

/// A period as Node's timers take it: below 1 ms, above 2^31-1 ms or not a number means 1 ms.
pub(super) fn period(ms: f64) -> u64 {
    if (1.0..=2_147_483_647.0).contains(&ms) { ms as u64 } else { 1 }
}
