//! A data message that does not lie in one piece in the read buffer: cut by the network, fragmented
//! by the peer, or compressed.

use std::borrow::Cow;

use super::deflate::Inflate;
use super::error::FrameError;
use super::frame::OpCode;
use super::header::{Fragmented, Header};
use super::message::Message;

/// The first allocation for a message that has only begun, in bytes, unless less is announced or
/// twice what arrived is more. What a peer merely announces costs no memory.
const FIRST_CAPACITY: usize = 4 * 1024;

/// A message under construction.
#[derive(Debug)]
pub(super) struct Assembly {
    is_text: bool,
    compressed: bool,
    frames: u32,
    /// Bytes of payload on the wire, over all fragments whose header arrived.
    received: u64,
    /// The message so far, unmasked and inflated.
    buf: Vec<u8>,
    /// How much of a text is known to be UTF-8; up to three bytes less than `buf` within a
    /// character.
    checked: usize,
}

impl Assembly {
    /// A message whose first frame has the given header.
    pub(super) fn begin(header: &Header) -> Self {
        Self {
            is_text: header.opcode == OpCode::Text,
            compressed: header.rsv1,
            frames: 1,
            received: header.len,
            buf: Vec::new(),
            checked: 0,
        }
    }

    /// Counts the header of a continuation.
    pub(super) fn continue_with(&mut self, header: &Header) {
        self.frames = self.frames.saturating_add(1);
        self.received = self.received.saturating_add(header.len);
    }

    /// How far the message has come, for the check of the next header.
    pub(super) fn progress(&self) -> Fragmented {
        Fragmented { frames: self.frames, received: self.received }
    }

    /// Bytes of memory held.
    pub(super) fn retained(&self) -> usize {
        self.buf.capacity()
    }

    /// Appends unmasked payload. `to_come` is what the current frame still lacks afterwards, in
    /// bytes.
    pub(super) fn push(
        &mut self,
        part: &[u8],
        to_come: u64,
        inflate: Option<&mut Inflate>,
        max_payload: u64,
    ) -> Result<(), FrameError> {
        match inflate {
            Some(inflate) if self.compressed => inflate.push(part, &mut self.buf, max_payload)?,
            _ => {
                grow(&mut self.buf, part.len(), to_come);
                self.buf.extend_from_slice(part);
            }
        }
        self.check_utf8()
    }

    /// Ends a frame. With `fin` set the message is complete.
    pub(super) fn end_frame(
        &mut self,
        fin: bool,
        inflate: Option<&mut Inflate>,
        max_payload: u64,
    ) -> Result<(), FrameError> {
        if let (Some(inflate), true) = (inflate, self.compressed) {
            inflate.end_frame(fin, &mut self.buf, max_payload)?;
            self.check_utf8()?;
        }
        if fin && self.is_text && self.checked < self.buf.len() {
            return Err(FrameError::InvalidUtf8);
        }
        Ok(())
    }

    /// Whether a complete text has at most `max` UTF-16 code units (0: no limit).
    pub(super) fn check_length(&self, max: u32) -> Result<(), FrameError> {
        // it has no more of them than bytes
        if !self.is_text || max == 0 || self.buf.len() <= max as usize {
            return Ok(());
        }
        let text = std::str::from_utf8(&self.buf).unwrap_or_default();
        let length = text.chars().map(char::len_utf16).sum::<usize>() as u64;
        if length <= u64::from(max) {
            return Ok(());
        }
        Err(FrameError::TextTooLong { length, max })
    }

    /// Hands the complete message over with its memory.
    pub(super) fn into_message(self) -> Message<'static> {
        let payload = Cow::Owned(self.buf);
        if self.is_text { Message::Text(payload) } else { Message::Binary(payload) }
    }

    /// Checks the part of a text that was not checked yet, so that a long one fails where it
    /// breaks.
    fn check_utf8(&mut self) -> Result<(), FrameError> {
        if !self.is_text {
            return Ok(());
        }
        let fresh = self.buf.get(self.checked..).unwrap_or_default();
        match simdutf8::compat::from_utf8(fresh) {
            Ok(_) => self.checked = self.buf.len(),
            // The end may lie within a character.
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(FrameError::InvalidUtf8),
        }
        Ok(())
    }
}

/// Makes room for `part` bytes of which `to_come` more are announced. Doubles, but never beyond
/// what is announced, so that a complete message wastes little.
fn grow(buf: &mut Vec<u8>, part: usize, to_come: u64) {
    let needed = buf.len().saturating_add(part);
    if needed <= buf.capacity() {
        return;
    }
    let announced = needed.saturating_add(usize::try_from(to_come).unwrap_or(usize::MAX));
    let wanted = needed.saturating_mul(2).max(FIRST_CAPACITY);
    buf.reserve_exact(wanted.min(announced) - buf.len());
}
