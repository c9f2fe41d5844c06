//! The Engine.IO packet codecs: pure functions between bytes and packets, no I/O and no state of a
//! session.
//!
//! * [`packet`]: the packet types both protocol revisions share.
//! * [`v4`]: the current protocol (`EIO=4`): one packet per frame, payloads joined by `0x1e`.
//! * [`v3`]: the former protocol (`EIO=3`, option `allowEIO3`): length-prefixed payloads, text and binary.
//! * [`jsonp`]: the JSONP wrapping of polling responses and the form its clients post.
//!
//! Everything here reads data sent by strangers: nothing panics, and every decoder takes time
//! linear in its input.

pub mod jsonp;
pub mod packet;
pub mod v3;
pub mod v4;

pub(crate) mod base64;
pub(crate) mod number;

use std::borrow::Cow;

pub use packet::{Data, Packet, PacketType, ParseError};

/// Decodes bytes as text, with U+FFFD for anything other than UTF-8.
pub(crate) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    simdutf8::basic::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}
