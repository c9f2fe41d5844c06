//! Inflating what the client sends.

use flate2::{Decompress, DecompressError, FlushDecompress, Status};

use super::{Agreement, MAX_WINDOW_BITS, TRAILER, zlib_window_bits};
use crate::websocket::error::FrameError;

/// The first room for inflated bytes, and the smallest number of bytes by which it grows.
const MIN_ROOM: usize = 1024;

/// The receiving end of a connection with permessage-deflate.
///
/// zlib's state (about 47 KiB with the default window) is created with the first compressed
/// message. It stays as long as later messages may refer to earlier ones, otherwise it goes after
/// every message.
#[derive(Debug)]
pub struct Inflate {
    stream: Option<Box<Decompress>>,
    window_bits: u8,
    /// The client starts each message afresh.
    no_context_takeover: bool,
    /// The current frame contained a final block; the rest of it is ignored.
    ended: bool,
}

impl Inflate {
    /// The receiving end as negotiated.
    pub fn new(agreement: &Agreement) -> Self {
        Self {
            stream: None,
            window_bits: agreement.client_max_window_bits.map_or(MAX_WINDOW_BITS, zlib_window_bits),
            no_context_takeover: agreement.client_no_context_takeover,
            ended: false,
        }
    }

    /// Inflates a part of a frame, appending to `out`, which must not exceed `max_payload` bytes
    /// (0: no limit). Stops as soon as it does, so that a bomb costs no more memory than the limit.
    pub(in crate::websocket) fn push(
        &mut self,
        mut input: &[u8],
        out: &mut Vec<u8>,
        max_payload: u64,
    ) -> Result<(), FrameError> {
        let max = if max_payload == 0 { usize::MAX } else { usize::try_from(max_payload).unwrap_or(usize::MAX) };
        let bits = self.window_bits;
        let stream = self.stream.get_or_insert_with(|| Box::new(Decompress::new_with_window_bits(false, bits)));
        while !self.ended {
            if out.len() == out.capacity() {
                // One byte more than allowed proves the excess.
                let allowed = max.saturating_sub(out.len()).saturating_add(1);
                out.reserve_exact(out.len().max(input.len()).max(MIN_ROOM).min(allowed));
            }
            let (before_in, before_out) = (stream.total_in(), out.len());
            let status = stream.decompress_vec(input, out, FlushDecompress::Sync).map_err(broken)?;
            if out.len() > max {
                return Err(FrameError::MessageTooBig);
            }
            let consumed = usize::try_from(stream.total_in() - before_in).unwrap_or(usize::MAX);
            input = input.get(consumed..).unwrap_or_default();
            self.ended = status == Status::StreamEnd;
            let stuck = consumed == 0 && out.len() == before_out;
            // Room left over means that zlib holds nothing back.
            if stuck || (input.is_empty() && out.len() < out.capacity()) {
                break;
            }
        }
        Ok(())
    }

    /// Ends a frame, with `fin` the message. Data that stop in the middle of a block make a short
    /// message and no error, as in the original.
    pub(in crate::websocket) fn end_frame(
        &mut self,
        fin: bool,
        out: &mut Vec<u8>,
        max_payload: u64,
    ) -> Result<(), FrameError> {
        if fin {
            self.push(&TRAILER, out, max_payload)?;
        }
        // After a final block the peer starts a new stream (RFC 7692, 7.2.3.4).
        if self.ended || (fin && self.no_context_takeover) {
            self.stream = None;
            self.ended = false;
        }
        Ok(())
    }
}

fn broken(error: DecompressError) -> FrameError {
    FrameError::Inflate(error.message().unwrap_or("invalid deflate data").into())
}
