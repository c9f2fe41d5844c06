//! Converts values between the languages without the detours of general conversions.

use std::cell::RefCell;
use std::ptr;

use napi::bindgen_prelude::{JsValue, Unknown};
use napi::{Error, Result, Status, sys};

use super::wake::check;
use crate::protocol::text_of;
use crate::runtime::{Batch, Event, EventData};
use crate::session::OutData;

/// UTF-8 bytes of the longest text that is read in one step.
const SCRATCH: usize = 16 * 1024;

/// Bytes that are made a string if they are ASCII.
const MAX_ASCII: usize = 64 * 1024;

thread_local! {
    static TEXT: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// The content of a value: text, bytes, or nothing for `undefined` and `null`.
pub(super) enum Content<'a> {
    None,
    Text(&'a [u8]),
    Binary(&'a [u8]),
}

impl Content<'_> {
    /// Number of bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Text(bytes) | Self::Binary(bytes) => bytes.len(),
        }
    }
}

/// Hands the content of a string or a Uint8Array to `use_it`. Lone surrogates become U+FFFD.
pub(super) fn with_content<T>(
    env: sys::napi_env,
    value: sys::napi_value,
    use_it: impl FnOnce(Content<'_>) -> T,
) -> Result<T> {
    TEXT.with_borrow_mut(|scratch| {
        let mut len = 0;
        // SAFETY: env and value belong to the running callback. The buffer has `scratch.len()` writable bytes, Node
        // writes at most that many including a terminating NUL, and nothing if the value is not a string.
        let status = unsafe {
            sys::napi_get_value_string_utf8(env, value, scratch.as_mut_ptr().cast(), scratch.len(), &mut len)
        };
        if status == sys::Status::napi_string_expected {
            return with_bytes(env, value, use_it);
        }
        check(status)?;
        // a character may need up to 3 bytes more than were left, so that the text may have been cut off
        if len + 4 < scratch.len() {
            return Ok(use_it(Content::Text(&scratch[..len])));
        }
        let text = long_text(env, value)?;
        Ok(use_it(Content::Text(&text)))
    })
}

/// Hands the content of a value other than a string to `use_it`.
fn with_bytes<T>(env: sys::napi_env, value: sys::napi_value, use_it: impl FnOnce(Content<'_>) -> T) -> Result<T> {
    let mut kind = 0;
    // SAFETY: env and value belong to the running callback; the out pointer is valid.
    check(unsafe { sys::napi_typeof(env, value, &mut kind) })?;
    if matches!(kind, sys::ValueType::napi_undefined | sys::ValueType::napi_null) {
        return Ok(use_it(Content::None));
    }
    let mut data = ptr::null_mut();
    let mut len = 0;
    // SAFETY: a value other than a buffer makes the call fail; the memory is only read before control goes back to
    // JavaScript.
    let bytes = unsafe {
        if sys::napi_get_buffer_info(env, value, &mut data, &mut len) != sys::Status::napi_ok {
            return Err(Error::new(Status::InvalidArg, "expected a string or a Uint8Array"));
        }
        if len == 0 { &[][..] } else { std::slice::from_raw_parts(data.cast::<u8>(), len) }
    };
    Ok(use_it(Content::Binary(bytes)))
}

fn long_text(env: sys::napi_env, value: sys::napi_value) -> Result<Vec<u8>> {
    let mut len = 0;
    // SAFETY: with a null buffer Node only measures; then the buffer has room for the text and a NUL.
    unsafe {
        check(sys::napi_get_value_string_utf8(env, value, ptr::null_mut(), 0, &mut len))?;
        let mut text = vec![0u8; len + 1];
        check(sys::napi_get_value_string_utf8(env, value, text.as_mut_ptr().cast(), text.len(), &mut len))?;
        text.truncate(len);
        Ok(text)
    }
}

/// The content of a value in memory of its own.
pub(super) fn to_content(env: sys::napi_env, value: sys::napi_value) -> Result<OutData> {
    with_content(env, value, |content| match content {
        Content::None => OutData::None,
        Content::Text(text) => OutData::Text(text_of(text).into_owned()),
        Content::Binary(bytes) => OutData::Binary(bytes.to_vec()),
    })
}

/// A string or Buffer with the content of an event; `undefined` if it has none.
pub(super) fn content_value(env: sys::napi_env, batch: &Batch, event: &Event) -> Result<sys::napi_value> {
    let bytes = batch.content(&event.data);
    let mut value = ptr::null_mut();
    let (data, len) = (bytes.as_ptr().cast(), bytes.len() as isize);
    // SAFETY: the bytes are alive during the calls, which copy them; Ascii and text contents are what
    // they say by construction of the batch.
    unsafe {
        check(match &event.data {
            EventData::None => return undefined(env),
            EventData::Ascii { .. } => sys::napi_create_string_latin1(env, data, len, &mut value),
            EventData::Attached(_) if bytes.is_ascii() => sys::napi_create_string_latin1(env, data, len, &mut value),
            EventData::Utf8 { .. } | EventData::OwnedText(_) | EventData::Attached(_) => {
                sys::napi_create_string_utf8(env, data, len, &mut value)
            }
            EventData::Bytes { .. } | EventData::OwnedBytes(_) => {
                let mut copy = ptr::null_mut();
                sys::napi_create_buffer_copy(env, bytes.len(), bytes.as_ptr().cast(), &mut copy, &mut value)
            }
        })?;
    }
    Ok(value)
}

pub(super) fn undefined(env: sys::napi_env) -> Result<sys::napi_value> {
    let mut value = ptr::null_mut();
    // SAFETY: env belongs to the running callback; the out pointer is valid.
    check(unsafe { sys::napi_get_undefined(env, &mut value) })?;
    Ok(value)
}

/// The address and the length of a `Uint32Array`.
pub(super) fn uint32s(env: sys::napi_env, array: sys::napi_value) -> Result<(ptr::NonNull<u32>, usize)> {
    let (mut kind, mut len, mut data) = (0, 0, ptr::null_mut());
    let (mut buffer, mut offset) = (ptr::null_mut(), 0);
    // SAFETY: env and the array belong to the running callback; out pointers are valid.
    check(unsafe {
        sys::napi_get_typedarray_info(env, array, &mut kind, &mut len, &mut data, &mut buffer, &mut offset)
    })?;
    match ptr::NonNull::new(data.cast()) {
        Some(data) if kind == sys::TypedarrayType::uint32_array => Ok((data, len)),
        _ => Err(Error::new(Status::InvalidArg, "expected a Uint32Array")),
    }
}

/// A Buffer with a copy of the bytes.
pub(super) fn buffer_value(env: sys::napi_env, bytes: &[u8]) -> Result<Raw> {
    let (mut copy, mut value) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: env belongs to the running callback; the bytes are copied during the call.
    check(unsafe { sys::napi_create_buffer_copy(env, bytes.len(), bytes.as_ptr().cast(), &mut copy, &mut value) })?;
    Ok(Raw(value))
}

/// A string.
pub(super) fn text_value(env: sys::napi_env, text: &str) -> Result<Raw> {
    let mut value = ptr::null_mut();
    let (data, len) = (text.as_ptr().cast(), text.len() as isize);
    // SAFETY: env belongs to the running callback; the text is copied during the call.
    check(unsafe { sys::napi_create_string_utf8(env, data, len, &mut value) })?;
    Ok(Raw(value))
}

/// A string if the bytes are ASCII, otherwise a Buffer with a copy of them. A string is the cheaper one.
pub(super) fn ascii_or_bytes(env: sys::napi_env, bytes: &[u8]) -> Result<Raw> {
    if bytes.len() > MAX_ASCII || !bytes.is_ascii() {
        return buffer_value(env, bytes);
    }
    let mut value = ptr::null_mut();
    // SAFETY: as above.
    check(unsafe { sys::napi_create_string_latin1(env, bytes.as_ptr().cast(), bytes.len() as isize, &mut value) })?;
    Ok(Raw(value))
}

/// A raw value as the result of a method.
pub struct Raw(pub sys::napi_value);

impl napi::bindgen_prelude::ToNapiValue for Raw {
    unsafe fn to_napi_value(_env: sys::napi_env, value: Self) -> Result<sys::napi_value> {
        Ok(value.0)
    }
}

/// The raw value of an argument.
pub(super) fn raw_value(value: &Unknown<'_>) -> sys::napi_value {
    value.raw()
}

/// `null`.
pub(super) fn null(env: sys::napi_env) -> Result<Raw> {
    let mut value = ptr::null_mut();
    // SAFETY: env belongs to the running callback.
    check(unsafe { sys::napi_get_null(env, &mut value) })?;
    Ok(Raw(value))
}
