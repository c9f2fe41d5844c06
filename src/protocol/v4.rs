//! Protocol 4, the current one (`EIO=4`).
//!
//! A text frame is a type digit and text. Binary messages are bare binary frames on WebSocket and
//! `b` plus base64 where only text fits. A polling payload joins such packets with the record
//! separator `0x1e`; there is no escaping, so a message that contains the separator arrives in
//! pieces (B-12).

use std::iter::FusedIterator;

use super::base64;
use super::packet::{Data, Packet, PacketType, ParseError};

/// Between two packets of a payload: ASCII record separator.
pub const SEPARATOR: u8 = 0x1e;

/// The first character of a binary message in text form.
const BASE64_MARK: u8 = b'b';

/// Decodes one packet: a WebSocket text frame or one part of a polling payload.
///
/// Base64 is read as leniently as the original does; `b!!!!` is a message without bytes (B-8.7).
pub fn decode_text(frame: &str) -> Result<Packet<'_>, ParseError> {
    let &first = frame.as_bytes().first().ok_or(ParseError::Empty)?;
    // No character of a known type is longer than one byte; any other fails here.
    let rest = frame.get(1..).ok_or(ParseError::UnknownType)?;
    if first == BASE64_MARK {
        let data = Data::Binary(base64::decode(rest).into());
        return Ok(Packet { kind: PacketType::Message, data });
    }
    let kind = PacketType::from_digit(first).ok_or(ParseError::UnknownType)?;
    Ok(Packet { kind, data: Data::from_text(rest) })
}

/// Decodes a polling payload packet by packet.
///
/// The iterator ends after the first error, as the original delivers what precedes the error and
/// nothing after it. An empty body is one empty packet and therefore an error (B-8.7).
pub fn decode_payload(body: &str) -> PayloadIter<'_> {
    PayloadIter { rest: Some(body) }
}

/// The packets of a polling payload; see [`decode_payload`].
#[derive(Clone, Debug)]
pub struct PayloadIter<'a> {
    /// The rest of the body; `None` once the last part or an error was returned.
    rest: Option<&'a str>,
}

impl<'a> Iterator for PayloadIter<'a> {
    type Item = Result<Packet<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let part = match memchr::memchr(SEPARATOR, rest.as_bytes()) {
            Some(at) => {
                self.rest = rest.get(at + 1..);
                rest.get(..at)?
            }
            None => rest,
        };
        let packet = decode_text(part);
        if packet.is_err() {
            self.rest = None;
        }
        Some(packet)
    }
}

impl FusedIterator for PayloadIter<'_> {}

/// Builds a polling payload packet by packet.
#[derive(Clone, Debug, Default)]
pub struct PayloadEncoder {
    out: Vec<u8>,
}

impl PayloadEncoder {
    /// An encoder that holds no packet and no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a packet with text, possibly empty.
    pub fn push_text(&mut self, kind: PacketType, text: &str) {
        self.separate();
        encode_text_frame(kind, text, &mut self.out);
    }

    /// Appends a binary message. Polling is always base64 in protocol 4, also if the client
    /// supports binary data.
    pub fn push_binary(&mut self, bytes: &[u8]) {
        self.separate();
        encode_base64_frame(bytes, &mut self.out);
    }

    /// Whether no packet was pushed. A payload has at least one packet.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Bytes of the payload so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// The payload, valid UTF-8.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Every packet takes at least its type digit, so nothing written means no packet yet.
    fn separate(&mut self) {
        if !self.out.is_empty() {
            self.out.push(SEPARATOR);
        }
    }
}

/// Appends the text form of a packet with text: the payload of a WebSocket text frame.
pub fn encode_text_frame(kind: PacketType, text: &str, out: &mut Vec<u8>) {
    out.reserve(1 + text.len());
    out.push(kind.digit());
    out.extend_from_slice(text.as_bytes());
}

/// Appends the text form of a binary message, for clients that asked for `b64=1` and for polling.
pub fn encode_base64_frame(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(BASE64_MARK);
    base64::encode_into(bytes, out);
}
