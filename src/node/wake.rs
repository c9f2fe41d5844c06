//! Waking the JavaScript thread.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use napi::bindgen_prelude::{Function, JsValue};
use napi::{Env, Error, Result, Status, sys};
use napi_derive::napi;

/// A threadsafe function that calls one JavaScript function without arguments.
#[derive(Debug)]
pub(super) struct Waker {
    function: sys::napi_threadsafe_function,
    /// Set when the environment ends. The function must not be used any more.
    closed: AtomicBool,
}

// SAFETY: napi_call_threadsafe_function may be called from any thread as long as the function has not
// been released. It is released by the environment's teardown only, which first stops and joins the I/O
// threads (see `Engine`); the other calls are made on the JavaScript thread.
unsafe impl Send for Waker {}
// SAFETY: as above; the pointer itself is never changed.
unsafe impl Sync for Waker {}

impl Waker {
    /// Makes a waker for `callback`. It does not keep the process alive until [`Waker::hold`]. Async hooks see the
    /// callback as the waker's resource.
    pub(super) fn new(env: sys::napi_env, callback: sys::napi_value) -> Result<Self> {
        let mut name = ptr::null_mut();
        let mut function = ptr::null_mut();
        let text = "engine.io-native";
        // SAFETY: env and callback are valid for this call, made on the JavaScript thread; the out
        // pointers are valid; the call-js callback is a function for the whole life of the process.
        unsafe {
            check(sys::napi_create_string_utf8(env, text.as_ptr().cast(), text.len() as isize, &mut name))?;
            check(sys::napi_create_threadsafe_function(
                env,
                callback,
                callback,
                name,
                0,
                1,
                ptr::null_mut(),
                None,
                ptr::null_mut(),
                Some(call),
                &mut function,
            ))?;
            check(sys::napi_unref_threadsafe_function(env, function))?;
        }
        Ok(Self { function, closed: AtomicBool::new(false) })
    }

    /// Has the callback called in a later phase of the event loop.
    pub(super) fn wake(&self) {
        if !self.closed.load(SeqCst) {
            // SAFETY: the function is alive while `closed` is false, see the Send impl.
            unsafe {
                sys::napi_call_threadsafe_function(
                    self.function,
                    ptr::null_mut(),
                    sys::ThreadsafeFunctionCallMode::nonblocking,
                );
            }
        }
    }

    /// Keeps the process alive, or stops doing so.
    pub(super) fn hold(&self, env: sys::napi_env, hold: bool) {
        if self.closed.load(SeqCst) {
            return;
        }
        // SAFETY: called on the JavaScript thread with its environment; the function is alive.
        unsafe {
            if hold {
                sys::napi_ref_threadsafe_function(env, self.function);
            } else {
                sys::napi_unref_threadsafe_function(env, self.function);
            }
        }
    }

    /// Stops all calls, because the environment ends.
    pub(super) fn close(&self) {
        self.closed.store(true, SeqCst);
    }
}

unsafe extern "C" fn call(env: sys::napi_env, callback: sys::napi_value, _context: *mut c_void, _data: *mut c_void) {
    if env.is_null() || callback.is_null() {
        return;
    }
    let mut this = ptr::null_mut();
    let mut result = ptr::null_mut();
    // SAFETY: Node calls this on the JavaScript thread with a valid environment and callback.
    unsafe {
        sys::napi_get_undefined(env, &mut this);
        hand_on(env, sys::napi_call_function(env, this, callback, 0, ptr::null(), &mut result));
    }
}

/// Calls a function from the event loop, while no JavaScript is running. Ticks and microtasks follow.
#[cfg(all(unix, feature = "owner-reads"))]
pub(super) fn call_back(env: sys::napi_env, callback: sys::napi_ref) {
    let mut scope = ptr::null_mut();
    let mut function = ptr::null_mut();
    let mut this = ptr::null_mut();
    let mut result = ptr::null_mut();
    // SAFETY: on the JavaScript thread, with its environment and a reference of it that is never deleted.
    unsafe {
        if sys::napi_open_handle_scope(env, &mut scope) != sys::Status::napi_ok {
            return;
        }
        sys::napi_get_reference_value(env, callback, &mut function);
        sys::napi_get_global(env, &mut this);
        let none = ptr::null_mut();
        hand_on(env, sys::napi_make_callback(env, none, this, function, 0, ptr::null(), &mut result));
        sys::napi_close_handle_scope(env, scope);
    }
}

/// Calls a function at once and outside of any async context, so that resources that it makes belong to no request.
// In tests nothing is registered with Node.
#[cfg_attr(test, allow(dead_code))]
#[napi]
pub(super) fn call_in_no_context(env: Env, function: Function<'_, (), ()>) -> Result<()> {
    let (env, function) = (env.raw(), function.raw());
    let (mut this, mut result) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: env and the function belong to the running call; out pointers are valid. JavaScript is running, so that
    // no ticks follow. Hooks take `this` for the context, so that it is an object of its own.
    unsafe {
        check(sys::napi_create_object(env, &mut this))?;
        check(sys::napi_make_callback(env, ptr::null_mut(), this, function, 0, ptr::null(), &mut result))
    }
}

/// Reports an exception as uncaught, as Node does for one in a native stream's callback.
///
/// # Safety
/// On the JavaScript thread, with its environment.
unsafe fn hand_on(env: sys::napi_env, status: sys::napi_status) {
    if status == sys::Status::napi_pending_exception {
        let mut exception = ptr::null_mut();
        // SAFETY: as the caller promises.
        unsafe {
            if sys::napi_get_and_clear_last_exception(env, &mut exception) == sys::Status::napi_ok {
                sys::napi_fatal_exception(env, exception);
            }
        }
    }
}

/// A status as a result.
#[inline]
pub(super) fn check(status: sys::napi_status) -> Result<()> {
    if status == sys::Status::napi_ok {
        Ok(())
    } else {
        Err(Error::new(Status::from(status), format!("Node-API call failed with status {status}")))
    }
}
