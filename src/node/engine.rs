//! The engine of one JavaScript environment: its I/O threads, its event queue and its numbers.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use napi::bindgen_prelude::{Function, JsValue, Unknown};
use napi::{Env, Error, Result, Status, sys};
use napi_derive::napi;

use super::call_result::Outcome;
use super::convert::{Raw, content_value, undefined};
use super::wake::{Waker, check};
use crate::http::Listener;
use crate::runtime::contract::{MORE_EVENTS, UNFIT};
use crate::runtime::{
    BY_POST, Batch, Command, Commands, Connection, Event, EventData, EventQueue, IoThread, Kind, NO_HANDLE,
    SessionCell, Table,
};
use crate::session::{IdGenerator, Timing};
use crate::websocket::set_max_text;

/// So many bytes of events are handed over at once: what JavaScript has in hand is not to be much more than what it has room for.
const MAX_BATCH: usize = 1 << 20;

/// The largest Buffer in bytes: that of V8, so the same in all environments; 0 as long as nobody has said.
pub(super) static MAX_BUFFER: AtomicU64 = AtomicU64::new(0);

/// See the module's documentation.
#[napi]
pub struct Engine {
    pub(super) state: Rc<State>,
}

/// What the engine's methods and its fast functions (see `super::raw`) share.
pub struct State {
    pub(super) waker: Arc<Waker>,
    pub(super) queue: EventQueue,
    io: IoThreads,
    next_io: Cell<usize>,
    pub(super) sessions: RefCell<Table<Arc<SessionCell>>>,
    /// A channel that JavaScript drives has a handle only.
    pub(super) connections: RefCell<Table<Arc<Connection>>>,
    pub(super) timings: RefCell<Table<Arc<Timing>>>,
    pub(super) listeners: RefCell<Table<Arc<Listener>>>,
    /// The number of the last body that was to be compressed.
    pub(super) last_body: Cell<u32>,
    /// Whether the first recipients of a broadcast have gone ahead in this turn.
    pub(super) has_gone_ahead: Cell<bool>,
    /// Whether there was a flush since events were taken.
    has_flushed: Cell<bool>,
    /// The batch that JavaScript is taking, and how far it has come.
    taking: RefCell<Batch>,
    taken: Cell<usize>,
    /// The contents on their way, of the running callback only.
    contents: RefCell<Vec<sys::napi_value>>,
    ids: RefCell<IdGenerator>,
    /// The frame of a broadcast, for its further recipients.
    pub(super) shared: RefCell<Arc<[u8]>>,
    pub(super) outcome: Outcome,
    pub(super) input: RefCell<super::pipes::Input>,
    #[cfg(unix)]
    pub(super) watching: super::uv_poll::Watching,
}

#[napi]
impl Engine {
    /// `on_wake` is called when there are events to drain; `io_threads` I/O threads do the work.
    #[napi(constructor)]
    pub fn new(env: Env, on_wake: Function<'_, (), ()>, io_threads: u32) -> Result<Self> {
        // first what may fail: it can be tried again
        let io = io_threads_of_environment(io_threads.clamp(1, 64))
            .map_err(|error| Error::new(Status::GenericFailure, error.to_string()))?;
        let waker = Arc::new(Waker::new(env.raw(), on_wake.raw())?);
        let wake = waker.clone();
        let queue = EventQueue::new(move || wake.wake());
        let state = Rc::new(State {
            waker,
            queue,
            io,
            next_io: Cell::new(0),
            sessions: table(),
            connections: table(),
            timings: table(),
            listeners: table(),
            last_body: Cell::new(0),
            has_gone_ahead: Cell::default(),
            has_flushed: Cell::default(),
            taking: RefCell::default(),
            taken: Cell::new(0),
            contents: RefCell::default(),
            ids: RefCell::default(),
            shared: RefCell::default(),
            outcome: Outcome::default(),
            input: RefCell::default(),
            #[cfg(unix)]
            watching: super::uv_poll::Watching::default(),
        });
        // the environment's end: no thread may use the waker after it. Hooks run in reverse order, so
        // this one before the waker's own; the first engine's ends the threads for all.
        env.add_env_cleanup_hook(state.clone(), |state| {
            state.waker.close();
            state.io.borrow_mut().clear();
            drop(state.sessions.borrow_mut().drain());
            state.connections.borrow_mut().drain().for_each(|connection| connection.abandon());
            let untaken = [state.taking.take(), state.queue.take(Batch::default())];
            for event in untaken.into_iter().flat_map(|batch| batch.events) {
                if let EventData::Opened(opened) = event.data {
                    opened.connection.iter().for_each(|connection| connection.abandon());
                }
            }
            state.listeners.borrow_mut().drain().for_each(|listener| listener.registry.clear());
        })?;
        Ok(Self { state })
    }

    /// The functions that are called for every message, without the cost of methods. What calls bring about is said in
    /// `outcome`, a `Uint32Array` of two elements, and by what they return, see `Outcome`.
    #[napi]
    pub fn fast(&self, env: Env, outcome: Unknown<'_>) -> Result<Raw> {
        self.state.outcome.lies_in(env.raw(), raw(&outcome))?;
        super::raw::functions(env.raw(), &self.state).map(Raw)
    }

    /// How long a string and how large a Buffer can be here: a message is refused that cannot be given to JavaScript.
    #[napi]
    pub fn limit_contents(&self, string: u32, buffer: f64) {
        set_max_text(string);
        MAX_BUFFER.store(buffer as u64, SeqCst);
    }

    /// Keeps the process alive, or stops doing so.
    #[napi]
    pub fn hold(&self, env: Env, hold: bool) {
        self.waker.hold(env.raw(), hold);
    }

    /// The process is about to exit: waits until the I/O threads have done everything that was asked for, but no longer than
    /// a second each.
    #[napi]
    pub fn finish(&self) {
        self.flush(0);
        for thread in self.io.borrow().iter() {
            let (done, is_done) = sync_channel(1);
            thread.commands().send(Command::Finish(done));
            let _ = is_done.recv_timeout(Duration::from_secs(1));
        }
    }

    /// The periods of a server, in ms. Returns the handle to name them by.
    #[napi]
    pub fn timing(&self, ping_interval: f64, ping_timeout: f64, upgrade_timeout: f64) -> Result<u32> {
        let timing = Timing::new(period(ping_interval), period(ping_timeout), period(upgrade_timeout));
        let mut timings = self.timings.borrow_mut();
        let handle = timings.handles().take().ok_or_else(|| exhausted("servers"))?;
        timings.put(handle, Arc::new(timing));
        Ok(handle)
    }

    /// Changes the periods of a server.
    #[napi]
    pub fn set_timing(&self, timing: u32, ping_interval: f64, ping_timeout: f64, upgrade_timeout: f64) {
        if let Some(timing) = self.timings.borrow().get(timing) {
            timing.set(period(ping_interval), period(ping_timeout), period(upgrade_timeout));
        }
    }

    /// A server's sessions are gone, or keep what they have.
    #[napi]
    pub fn drop_timing(&self, timing: u32) {
        self.timings.borrow_mut().release(timing);
    }

    /// How often anything was asked of a stale handle since the engine started. Nothing ever came of it.
    #[napi]
    pub fn stale_calls(&self) -> f64 {
        let stale = self.sessions.borrow().stale()
            + self.connections.borrow().stale()
            + self.timings.borrow().stale()
            + self.listeners.borrow().stale();
        stale as f64
    }
}

impl std::ops::Deref for Engine {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl State {
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
        self.has_gone_ahead.set(false);
        self.has_flushed.set(true);
        let io = self.io.borrow();
        if here > 0 && (1..=here).contains(&io.iter().map(|thread| thread.commands().waiting()).sum()) {
            for thread in io.iter() {
                thread.commands().take_waiting().iter().for_each(|connection| connection.flush_by_owner());
            }
        }
        io.iter().for_each(|thread| thread.commands().release());
    }

    /// From now until the next flush, which is sure to come, what the I/O threads are asked for can wait.
    pub(super) fn hold_commands(&self) {
        self.io.borrow().iter().for_each(|thread| thread.commands().hold());
    }

    /// Takes events, at most as many as `meta` has room for (three numbers each: kind, target, arg), and calls
    /// `take` with their contents: one call costs less than as many elements of an array. A batch ends at [`MAX_BATCH`] bytes,
    /// too. Returns how many there were, plus [`MORE_EVENTS`] if there are more at hand.
    pub(super) fn drain(&self, env: sys::napi_env, meta: &mut [u32], take: sys::napi_value) -> Result<u32> {
        if self.has_flushed.replace(false) {
            self.queue.end_turn();
        }
        let mut batch = self.taking.borrow_mut();
        let mut position = self.taken.get();
        if position >= batch.events.len() {
            let emptied = std::mem::take(&mut *batch);
            *batch = self.queue.take(emptied);
            position = 0;
        }
        let mut contents = self.contents.borrow_mut();
        contents.clear();
        let mut size = 0;
        for (event, meta) in batch.events[position..].iter().zip(meta.chunks_exact_mut(3)) {
            let content = content_value(env, &batch, event);
            let unfit = if content.is_ok() { 0 } else { UNFIT };
            meta.copy_from_slice(&[event.kind as u32 + unfit, event.target, event.arg]);
            contents.push(content.or_else(|_| nothing_instead(env))?);
            size += batch.cost(event);
            if size >= MAX_BATCH {
                break;
            }
        }
        let count = contents.len();
        if count == 0 {
            return Ok(0);
        }
        // it may fail for want of stack: then nothing has been taken
        hand_over(env, take, &contents)?;
        let end = position + count;
        self.note_taken(&batch, &batch.events[position..end]);
        // JavaScript has copies
        batch.events[position..end].iter_mut().for_each(Event::free);
        self.queue.taken(size);
        self.taken.set(end);
        self.hold_commands();
        let more = if end < batch.events.len() { MORE_EVENTS } else { 0 };
        Ok(count as u32 | more)
    }

    /// Notes what comes of events that JavaScript has taken.
    fn note_taken(&self, batch: &Batch, events: &[Event]) {
        let mut connections = self.connections.borrow_mut();
        let mut sessions = self.sessions.borrow_mut();
        // what the connection of the last event owes no more
        let (mut debtor, mut paid) = (NO_HANDLE, 0);
        for event in events {
            if let EventData::Opened(opened) = &event.data {
                if event.kind == Kind::Opened {
                    sessions.put(event.target, opened.session.clone());
                }
                if let Some(connection) = &opened.connection {
                    connections.put(connection.handle, connection.clone());
                }
            }
            if event.charged == BY_POST {
                if let Some(session) = sessions.find(event.target) {
                    session.settle(batch.cost(event));
                }
            } else if event.charged != NO_HANDLE {
                if event.charged != debtor {
                    settle(&connections, debtor, paid);
                    (debtor, paid) = (event.charged, 0);
                }
                paid += batch.cost(event);
            }
        }
        settle(&connections, debtor, paid);
    }

    /// JavaScript is done with a session, and forgets its handle.
    pub(super) fn release_session(&self, session: u32) {
        let released = self.sessions.borrow_mut().release(session);
        drop(released);
    }

    /// The same for a connection, or a channel that JavaScript drives.
    pub(super) fn release_connection(&self, connection: u32) {
        #[cfg(unix)]
        self.unwatch_ended(connection);
        let released = self.connections.borrow_mut().release(connection);
        drop(released);
    }

    pub(super) fn session(&self, session: u32) -> Option<Arc<SessionCell>> {
        self.sessions.borrow().get(session).cloned()
    }

    pub(super) fn connection(&self, connection: u32) -> Option<Arc<Connection>> {
        self.connections.borrow().get(connection).cloned()
    }

    /// The I/O thread for the next connection or polling session.
    pub(super) fn next_commands(&self) -> Result<Commands> {
        let io = self.io.borrow();
        let index = self.next_io.get();
        self.next_io.set(index.wrapping_add(1));
        match io.get(index % io.len().max(1)) {
            Some(thread) => Ok(thread.commands().clone()),
            None => Err(Error::new(Status::Closing, "the engine has been stopped")),
        }
    }
}

/// What stands for a content that could not be made; the failure is JavaScript's to tell, by the event's kind.
fn nothing_instead(env: sys::napi_env) -> Result<sys::napi_value> {
    let mut exception = ptr::null_mut();
    // SAFETY: env belongs to the running callback; the out pointer is valid. Without an exception it gives `undefined`.
    check(unsafe { sys::napi_get_and_clear_last_exception(env, &mut exception) })?;
    undefined(env)
}

/// The owner has taken what a connection was charged for.
fn settle(connections: &Table<Arc<Connection>>, charged: u32, bytes: usize) {
    if let Some(connection) = connections.find(charged) {
        connection.settle(bytes);
    }
}

/// Calls a function of ours, which does nothing but keep its arguments.
fn hand_over(env: sys::napi_env, take: sys::napi_value, contents: &[sys::napi_value]) -> Result<()> {
    let (this, mut result) = (undefined(env)?, ptr::null_mut());
    // SAFETY: env, the function and the contents belong to the running callback.
    check(unsafe { sys::napi_call_function(env, this, take, contents.len(), contents.as_ptr(), &mut result) })
}

/// An empty table. `ENGINE_IO_NATIVE_PANIC_ON_STALE` makes a debug build panic where a stale handle is passed in.
fn table<T>() -> RefCell<Table<T>> {
    let mut table = Table::default();
    if std::env::var_os("ENGINE_IO_NATIVE_PANIC_ON_STALE").is_some() {
        table.panic_on_stale();
    }
    RefCell::new(table)
}

/// The error for one more of what there are two million of already.
pub(super) fn exhausted(what: &str) -> Error {
    Error::new(Status::GenericFailure, format!("expected fewer than 2,097,152 {what} at a time"))
}

/// The raw value of an argument.
pub(super) fn raw(value: &Unknown<'_>) -> sys::napi_value {
    value.raw()
}

/// `null`.
pub(super) fn null(env: sys::napi_env) -> Result<Raw> {
    let mut value = ptr::null_mut();
    // SAFETY: env belongs to the running callback.
    check(unsafe { sys::napi_get_null(env, &mut value) })?;
    Ok(Raw(value))
}

/// The I/O threads of one environment. Each loading of the module makes an engine (test runners load it once
/// per file); they share the threads, which end with the environment.
type IoThreads = Rc<RefCell<Vec<IoThread>>>;

thread_local! {
    static IO_THREADS: RefCell<Weak<RefCell<Vec<IoThread>>>> = const { RefCell::new(Weak::new()) };
}

fn io_threads_of_environment(count: u32) -> std::io::Result<IoThreads> {
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

/// A period as Node's timers take it: below 1 ms, above 2^31-1 ms or not a number means 1 ms.
pub(super) fn period(ms: f64) -> u64 {
    if (1.0..=2_147_483_647.0).contains(&ms) { ms as u64 } else { 1 }
}
