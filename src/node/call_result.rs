//! The events that a call has caused, on their way to JavaScript.

use std::cell::Cell;
use std::ptr::{self, NonNull};

use napi::{Error, Result, Status, sys};

use super::convert::{Raw, content_value, uint32s, undefined};
use super::wake::check;
use crate::runtime::Batch;
use crate::runtime::contract::SEVERAL_EVENTS;

/// Tells JavaScript which events a call has caused, besides the result of the call. Most calls cause one event, and
/// elements of an array would take many times as long.
#[derive(Debug, Default)]
pub(super) struct Outcome(Cell<Option<NonNull<u32>>>);

impl Outcome {
    /// Sets the `Uint32Array` of two elements that receives kind and argument.
    pub(super) fn lies_in(&self, env: sys::napi_env, array: sys::napi_value) -> Result<()> {
        let (place, len) = uint32s(env, array)?;
        if len < 2 {
            return Err(Error::new(Status::InvalidArg, format!("expected a Uint32Array of two elements, got {len}")));
        }
        let mut reference = ptr::null_mut();
        // SAFETY: env and the array belong to the running callback; the out pointer is valid. The reference is for the
        // environment's life, during which the array's buffer is not detached, so that its memory stays where it is.
        check(unsafe { sys::napi_create_reference(env, array, 1, &mut reference) })?;
        self.0.set(Some(place));
        Ok(())
    }

    /// Gives the events of a step. For a single event the array gets kind and `arg`, and the content is returned. For
    /// several it gets [`SEVERAL_EVENTS`], and a flat array `[kind, arg, content, …]` is returned. Without events it
    /// gets 0.
    pub(super) fn give(&self, env: sys::napi_env, updates: &Batch) -> Result<Raw> {
        let (kind, arg) = match &updates.events[..] {
            [] => (0, 0),
            [event] => (event.kind as u32, event.arg),
            _ => (SEVERAL_EVENTS, 0),
        };
        let Some(place) = self.0.get() else {
            return Err(Error::new(Status::GenericFailure, "expected fast() to be called before this function"));
        };
        // SAFETY: two elements are there, see `lies_in`; JavaScript does not run meanwhile.
        unsafe {
            place.write(kind);
            place.add(1).write(arg);
        }
        match &updates.events[..] {
            [] => undefined(env),
            [event] => content_value(env, updates, event),
            _ => array_value(env, updates),
        }
        .map(Raw)
    }
}

fn array_value(env: sys::napi_env, updates: &Batch) -> Result<sys::napi_value> {
    let mut array = ptr::null_mut();
    // SAFETY: env belongs to the running callback; out pointers are valid.
    unsafe {
        check(sys::napi_create_array_with_length(env, updates.events.len() * 3, &mut array))?;
        for (index, event) in updates.events.iter().enumerate() {
            let mut number = ptr::null_mut();
            let index = index as u32 * 3;
            check(sys::napi_create_uint32(env, event.kind as u32, &mut number))?;
            check(sys::napi_set_element(env, array, index, number))?;
            check(sys::napi_create_uint32(env, event.arg, &mut number))?;
            check(sys::napi_set_element(env, array, index + 1, number))?;
            let content = content_value(env, updates, event)?;
            check(sys::napi_set_element(env, array, index + 2, content))?;
        }
    }
    Ok(array)
}
