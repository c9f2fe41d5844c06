//! The binary payload of protocol 3: `<0 = string | 1 = binary> <decimal digits as bytes> 0xff
//! <packet>`.
//!
//! The original accepts more than clients write, in ways that shift where the next packet begins.
//! The quirks are kept, because a payload that one accepts and the other refuses would be a
//! difference: digit bytes above 9 count as all of their decimal digits, both in the value and in
//! the size of the header, and a length that is too long takes what there is (B-12).

use std::iter::FusedIterator;

use super::decode::{V3Packet, decode_packet_binary, decode_packet_utf8};
use crate::protocol::packet::ParseError;

/// The byte that ends a length.
pub const LENGTH_END: u8 = 0xff;

/// The number of digits after which the original does not read a length any further: those of the largest number.
pub const MAX_DIGITS: usize = 310;

/// Decodes a binary payload packet by packet; the iterator ends after the first error.
///
/// A broken length anywhere in the body is the only thing reported, as the original splits the
/// whole body before it decodes the first packet. An empty body holds no packets.
pub fn decode_payload_binary(body: &[u8]) -> BinaryPayloadIter<'_> {
    let mut rest = body;
    while !rest.is_empty() {
        match split(rest) {
            Some(part) => rest = part.rest,
            None => {
                return BinaryPayloadIter { state: State::Broken };
            }
        }
    }
    BinaryPayloadIter { state: State::Sound(body) }
}

/// The packets of a binary payload; see [`decode_payload_binary`].
#[derive(Clone, Debug)]
pub struct BinaryPayloadIter<'a> {
    state: State<'a>,
}

#[derive(Clone, Debug)]
enum State<'a> {
    /// All lengths of the payload are well-formed; this is the rest of it.
    Sound(&'a [u8]),
    /// A length is malformed, and the error has not been returned yet.
    Broken,
}

impl<'a> Iterator for BinaryPayloadIter<'a> {
    type Item = Result<V3Packet<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = match std::mem::replace(&mut self.state, State::Sound(&[])) {
            State::Broken => return Some(Err(ParseError::InvalidLength)),
            State::Sound([]) => return None,
            State::Sound(rest) => rest,
        };
        let Part { is_string, packet, rest } = split(rest)?;
        let decoded = if is_string { decode_packet_utf8(packet) } else { Ok(decode_packet_binary(packet)) };
        if decoded.is_ok() {
            self.state = State::Sound(rest);
        }
        Some(decoded)
    }
}

impl FusedIterator for BinaryPayloadIter<'_> {}

/// A packet and what follows it.
struct Part<'a> {
    is_string: bool,
    packet: &'a [u8],
    rest: &'a [u8],
}

/// Splits one packet off a body that is not empty, `None` if its length never ends.
///
/// Consumes at least one byte, and at least as many as it looked at for the length: splitting a
/// whole body is linear.
fn split(body: &[u8]) -> Option<Part<'_>> {
    let (&form, mut bytes) = body.split_first()?;
    // Digits read so far, and their value. More than fits is more than any body.
    let mut digits = 0usize;
    let mut length = 0usize;
    loop {
        let (&byte, after) = bytes.split_first()?;
        if byte == LENGTH_END {
            break;
        }
        if digits > MAX_DIGITS {
            return None;
        }
        let (count, scale) = match byte {
            0..=9 => (1, 10),
            10..=99 => (2, 100),
            _ => (3, 1000),
        };
        digits += count;
        length = length.saturating_mul(scale).saturating_add(usize::from(byte));
        bytes = after;
    }
    // The original finds the packet by the number of digits, not of bytes; the end mark is skipped
    // after that. Without any digits nothing but the first byte is consumed, since the length is
    // then NaN.
    let tail = from(body, digits + 1);
    let (packet, rest) = if digits == 0 {
        (&[][..], tail)
    } else {
        let packet = from(tail, 1);
        packet.split_at_checked(length).unwrap_or((packet, &[]))
    };
    Some(Part { is_string: form == 0, packet, rest })
}

fn from(bytes: &[u8], start: usize) -> &[u8] {
    bytes.get(start..).unwrap_or_default()
}
