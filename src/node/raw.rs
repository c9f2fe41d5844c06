//! The functions that run for every message, as plain Node-API callbacks: a generated method costs
//! about 150 ns more per call, which is half of what sending a small message takes.

mod calls;

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use napi::bindgen_prelude::Unknown;
use napi::{Env, Error, Result, Status, sys};
use napi_derive::napi;

use super::convert::{Raw, raw_value, to_content};
use super::engine::Engine;
use super::state::State;
use super::wake::check;
use crate::session::OutData;

type Args<const N: usize> = [sys::napi_value; N];

#[napi]
impl Engine {
    /// The functions that are called for every message, without the cost of methods. The events of a call are in
    /// `outcome`, a `Uint32Array` of two elements, and in its result, see `Outcome`.
    #[napi]
    pub fn fast(&self, env: Env, outcome: Unknown<'_>) -> Result<Raw> {
        self.state.outcome.lies_in(env.raw(), raw_value(&outcome))?;
        calls::functions(env.raw(), &self.state).map(Raw)
    }
}

type RawCallback = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

fn add(
    env: sys::napi_env,
    object: sys::napi_value,
    state: &Rc<State>,
    name: &str,
    callback: RawCallback,
) -> Result<()> {
    let mut function = ptr::null_mut();
    let data = Rc::into_raw(state.clone()).cast_mut().cast::<c_void>();
    let (chars, len) = (name.as_ptr().cast(), name.len() as isize);
    // SAFETY: the name is copied; `data` is a reference to the state that the function owns and that the
    // finalizer gives back when the function is collected, after which it cannot be called.
    unsafe {
        check(sys::napi_create_function(env, chars, len, Some(callback), data, &mut function))?;
        check(sys::napi_add_finalizer(env, function, data, Some(forget), ptr::null_mut(), ptr::null_mut()))?;
        let mut key = ptr::null_mut();
        check(sys::napi_create_string_utf8(env, chars, len, &mut key))?;
        check(sys::napi_set_property(env, object, key, function))
    }
}

unsafe extern "C" fn forget(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: see `add`: made by Rc::into_raw there, given back once.
    drop(unsafe { Rc::from_raw(data.cast_const().cast::<State>()) });
}

/// One of the functions.
trait Fast<const N: usize> {
    type Output: Output;

    fn run(env: sys::napi_env, state: &State, args: Args<N>) -> Result<Self::Output>;
}

/// The result of a function.
trait Output {
    fn value(self, env: sys::napi_env) -> Result<sys::napi_value>;
}

impl Output for u32 {
    fn value(self, env: sys::napi_env) -> Result<sys::napi_value> {
        let mut value = ptr::null_mut();
        // SAFETY: env belongs to the running callback.
        check(unsafe { sys::napi_create_uint32(env, self, &mut value) })?;
        Ok(value)
    }
}

impl Output for f64 {
    fn value(self, env: sys::napi_env) -> Result<sys::napi_value> {
        let mut value = ptr::null_mut();
        // SAFETY: env belongs to the running callback.
        check(unsafe { sys::napi_create_double(env, self, &mut value) })?;
        Ok(value)
    }
}

impl Output for Raw {
    fn value(self, _env: sys::napi_env) -> Result<sys::napi_value> {
        Ok(self.0)
    }
}

unsafe extern "C" fn callback<const N: usize, F: Fast<N>>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let mut args = [ptr::null_mut(); N];
    let mut count = N;
    let mut data = ptr::null_mut();
    let mut result = ptr::null_mut();
    // SAFETY: Node calls this on the JavaScript thread with valid env and info. `data` is the state of
    // `add`, alive while the function is; a panic must not leave an extern function.
    unsafe {
        let status = sys::napi_get_cb_info(env, info, &mut count, args.as_mut_ptr(), ptr::null_mut(), &mut data);
        let done = check(status).and_then(|()| {
            let state = &*data.cast::<State>();
            catch_unwind(AssertUnwindSafe(|| F::run(env, state, args)?.value(env))).unwrap_or_else(|_| {
                Err(Error::new(
                    Status::GenericFailure,
                    "a function of engine.io-native panicked, see its message on stderr",
                ))
            })
        });
        match done {
            Ok(value) => result = value,
            Err(error) => {
                let mut pending = false;
                sys::napi_is_exception_pending(env, &mut pending);
                if !pending {
                    let message = std::ffi::CString::new(error.reason.as_str()).unwrap_or_default();
                    sys::napi_throw_type_error(env, ptr::null(), message.as_ptr());
                }
            }
        }
    }
    result
}

fn flag(env: sys::napi_env, value: sys::napi_value) -> Result<bool> {
    let mut flag = false;
    // SAFETY: env and value belong to the running callback.
    check(unsafe { sys::napi_get_value_bool(env, value, &mut flag) })?;
    Ok(flag)
}

fn number(env: sys::napi_env, value: sys::napi_value) -> Result<u32> {
    let mut number = 0;
    // SAFETY: env and value belong to the running callback.
    check(unsafe { sys::napi_get_value_uint32(env, value, &mut number) })?;
    Ok(number)
}

fn int(env: sys::napi_env, value: sys::napi_value) -> Result<i32> {
    let mut number = 0;
    // SAFETY: env and value belong to the running callback.
    check(unsafe { sys::napi_get_value_int32(env, value, &mut number) })?;
    Ok(number)
}

/// A string, or `None` for `undefined`.
fn text(env: sys::napi_env, value: sys::napi_value) -> Result<Option<String>> {
    Ok(match to_content(env, value)? {
        OutData::Text(text) => Some(text),
        _ => None,
    })
}
