//! The engine of one JavaScript environment: its I/O threads, its event queue and its handles.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use napi::bindgen_prelude::{Function, JsValue};
use napi::{Env, Result};
use napi_derive::napi;

use super::io_threads::IoThreads;
use super::state::{MAX_BUFFER, State, delay};
use super::tables::exhausted;
use super::wake::Waker;
use crate::runtime::{Batch, Opened};
use crate::session::Timing;
use crate::websocket::set_max_text;

/// The engine of one JavaScript environment.
#[napi]
pub struct Engine {
    pub(super) state: Rc<State>,
}

#[napi]
impl Engine {
    /// `on_wake` is called when there are events to drain; `io_threads` I/O threads do the work.
    #[napi(constructor)]
    pub fn new(env: Env, on_wake: Function<'_, (), ()>, io_threads: u32) -> Result<Self> {
        // what may fail comes first, so that it can be tried again
        let io = IoThreads::of_environment(io_threads)?;
        let state = Rc::new(State::new(io, Arc::new(Waker::new(env.raw(), on_wake.raw())?)));
        // no thread may use the waker after the environment's end. Hooks run in reverse order, so that this one runs
        // before the waker's own; the hook of the first engine ends the threads for all.
        env.add_env_cleanup_hook(state.clone(), |state| {
            state.waker.close();
            state.io.stop();
            state.tables.clear();
            let untaken = [state.taking.clear(), state.queue.take(Batch::default())];
            for event in untaken.into_iter().flat_map(|batch| batch.events) {
                if let Some(opened) = Opened::of(&event) {
                    opened.connection.iter().for_each(|connection| connection.abandon());
                }
            }
        })?;
        Ok(Self { state })
    }

    /// Sets how long a string and how large a Buffer can be. A message is refused that cannot be given to JavaScript.
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

    /// Waits until the I/O threads have done everything that was asked for, at most a second each, because the process
    /// is about to exit.
    #[napi]
    pub fn finish(&self) {
        self.flush(0);
        self.io.finish();
    }

    /// Enters the timing of a server, in ms. Returns the handle to name it by.
    #[napi]
    pub fn timing(&self, ping_interval: f64, ping_timeout: f64, upgrade_timeout: f64) -> Result<u32> {
        let timing = Timing::new(delay(ping_interval), delay(ping_timeout), delay(upgrade_timeout));
        let mut timings = self.tables.timings.borrow_mut();
        let handle = timings.handles().take().ok_or_else(|| exhausted("servers"))?;
        timings.put(handle, Arc::new(timing));
        Ok(handle)
    }

    /// Changes the timing of a server.
    #[napi]
    pub fn set_timing(&self, timing: u32, ping_interval: f64, ping_timeout: f64, upgrade_timeout: f64) {
        if let Some(timing) = self.tables.timings.borrow().get(timing) {
            timing.set(delay(ping_interval), delay(ping_timeout), delay(upgrade_timeout));
        }
    }

    /// Forgets the timing of a server. Open sessions keep it.
    #[napi]
    pub fn drop_timing(&self, timing: u32) {
        self.tables.timings.borrow_mut().release(timing);
    }

    /// Number of calls with a stale handle since the engine started. They had no effect.
    #[napi]
    pub fn stale_calls(&self) -> f64 {
        self.tables.stale() as f64
    }
}

impl std::ops::Deref for Engine {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}
