//! Frame headers in (RFC 6455, 5.2), checked as early and in the same order as `ws` does (C-2).

use super::error::FrameError;
use super::frame::{FIN, LENGTH_16, LENGTH_64, MASK, MAX_CONTROL, OpCode, RSV1};
use super::limits::Limits;

/// RSV2 and RSV3.
const RSV23: u8 = 0x30;
/// Two bytes, a 64-bit length, and the mask.
pub(super) const MAX_HEADER: usize = 14;
/// The largest length `ws` reads: JavaScript's `Number.MAX_SAFE_INTEGER`.
const MAX_LENGTH: u64 = (1 << 53) - 1;

/// A header that passed every check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// The last, or only, frame of its message.
    pub fin: bool,
    /// The first frame of a compressed message.
    pub rsv1: bool,
    pub opcode: OpCode,
    pub mask: [u8; 4],
    /// Bytes of payload.
    pub len: u64,
    /// Bytes of the header itself.
    pub size: usize,
}

/// What the rules for the next header depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub limits: Limits,
    /// permessage-deflate was negotiated: RSV1 is allowed on the first frame of a message.
    pub deflate: bool,
    /// The fragmented message under way, if any.
    pub message: Option<Fragmented>,
}

/// How far a fragmented message has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragmented {
    /// Frames so far.
    pub frames: u32,
    /// Bytes of payload so far, as on the wire.
    pub received: u64,
}

/// Reads a header from the start of `bytes`. `None` means that more bytes are needed; a fault is
/// reported as soon as the bytes that prove it are there.
pub(super) fn parse(bytes: &[u8], context: &Context) -> Result<Option<Header>, FrameError> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let opcode = check_bits(*first, *second, context)?;
    let (len, length_size) = match (second & !MASK, rest) {
        (LENGTH_16, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
        (LENGTH_64, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8),
        (LENGTH_16 | LENGTH_64, _) => return Ok(None),
        (short, _) => (u64::from(short), 0),
    };
    check_length(len, opcode, context)?;
    let Some([m0, m1, m2, m3, ..]) = rest.get(length_size..) else {
        return Ok(None);
    };
    Ok(Some(Header {
        fin: first & FIN != 0,
        rsv1: first & RSV1 != 0,
        opcode,
        mask: [*m0, *m1, *m2, *m3],
        len,
        size: 2 + length_size + 4,
    }))
}

/// The checks that need the first two bytes.
fn check_bits(first: u8, second: u8, context: &Context) -> Result<OpCode, FrameError> {
    let rsv1 = first & RSV1 != 0;
    if first & RSV23 != 0 {
        return Err(FrameError::Rsv23Set);
    }
    if rsv1 && !context.deflate {
        return Err(FrameError::Rsv1Set);
    }
    let bits = first & 0x0f;
    let opcode = OpCode::from_bits(bits).ok_or(FrameError::InvalidOpcode(bits))?;
    if opcode.is_control() {
        check_control_bits(first, second, opcode)?;
    } else {
        let continues = opcode == OpCode::Continuation;
        if continues && rsv1 {
            return Err(FrameError::Rsv1Set);
        }
        if continues != context.message.is_some() {
            return Err(FrameError::InvalidOpcode(bits));
        }
    }
    if second & MASK == 0 {
        return Err(FrameError::MaskMissing);
    }
    Ok(opcode)
}

fn check_control_bits(first: u8, second: u8, opcode: OpCode) -> Result<(), FrameError> {
    if first & FIN == 0 {
        return Err(FrameError::ControlFragmented);
    }
    if first & RSV1 != 0 {
        return Err(FrameError::Rsv1Set);
    }
    let len = second & !MASK;
    if usize::from(len) > MAX_CONTROL || (opcode == OpCode::Close && len == 1) {
        return Err(FrameError::InvalidControlLength(len));
    }
    Ok(())
}

/// The checks that need the length, done before any of the payload arrives.
fn check_length(len: u64, opcode: OpCode, context: &Context) -> Result<(), FrameError> {
    if len > MAX_LENGTH {
        return Err(FrameError::LengthTooLarge);
    }
    if opcode.is_control() {
        return Ok(());
    }
    let Limits { max_payload, max_fragments, .. } = context.limits;
    let Fragmented { frames, received } = context.message.unwrap_or(Fragmented { frames: 0, received: 0 });
    if max_payload > 0 && len > 0 && received.saturating_add(len) > max_payload {
        return Err(FrameError::MessageTooBig);
    }
    if max_fragments > 0 && frames >= max_fragments {
        return Err(FrameError::TooManyFragments);
    }
    Ok(())
}
