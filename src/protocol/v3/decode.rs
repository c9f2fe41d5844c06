//! Single packets of protocol 3.

use crate::protocol::base64;
use crate::protocol::packet::{Data, PacketType, ParseError};

/// One packet of protocol 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V3Packet<'a> {
    /// The packet type. `None` only for binary data whose type is missing or unknown: such a packet
    /// is announced (`packet` event with `type: undefined`) and has no other effect.
    pub kind: Option<PacketType>,
    /// What follows the type.
    pub data: Data<'a>,
}

/// Decodes a WebSocket text frame or one packet of a text payload: `4hello`, or `b4AQID` for bytes.
pub fn decode_packet_text(frame: &str) -> Result<V3Packet<'_>, ParseError> {
    let &first = frame.as_bytes().first().ok_or(ParseError::Empty)?;
    let rest = frame.get(1..).ok_or(ParseError::UnknownType)?;
    if first == b'b' {
        let mut characters = rest.chars();
        let kind = characters.next().and_then(|c| u8::try_from(c).ok()).and_then(PacketType::from_digit);
        return Ok(V3Packet { kind, data: Data::Binary(base64::decode(characters.as_str()).into()) });
    }
    let kind = PacketType::from_digit(first).ok_or(ParseError::UnknownType)?;
    Ok(V3Packet { kind: Some(kind), data: Data::from_text(rest) })
}

/// Decodes a WebSocket binary frame or a binary packet of a binary payload: the first byte is the
/// type, as a plain number.
pub fn decode_packet_binary(frame: &[u8]) -> V3Packet<'_> {
    match frame {
        [kind, data @ ..] => V3Packet { kind: PacketType::from_number(*kind), data: Data::Binary(data.into()) },
        [] => V3Packet { kind: None, data: Data::Binary((&[]).into()) },
    }
}

/// Decodes a string of a binary payload.
///
/// The original holds it with one byte in each UTF-16 unit and decodes UTF-8 after it has looked
/// for base64. UTF-8 here includes lone surrogates, which turn into U+FFFD; anything else malformed
/// is an error.
pub(super) fn decode_packet_utf8(bytes: &[u8]) -> Result<V3Packet<'_>, ParseError> {
    if let [b'b', rest @ ..] = bytes {
        let (kind, data) = match rest {
            [kind, data @ ..] => (PacketType::from_digit(*kind), data),
            [] => (None, rest),
        };
        return Ok(V3Packet { kind, data: Data::Binary(base64::decode_latin1(data).into()) });
    }
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => decode_packet_text(text),
        Err(_) => {
            let text = replace_surrogates(bytes).ok_or(ParseError::InvalidUtf8)?;
            let packet = decode_packet_text(&text)?;
            Ok(V3Packet { kind: packet.kind, data: packet.data.into_owned() })
        }
    }
}

/// Reads UTF-8 that may contain surrogates encoded on their own (three bytes each).
fn replace_surrogates(bytes: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        match std::str::from_utf8(rest) {
            Ok(text) => {
                out.push_str(text);
                return Some(out);
            }
            Err(error) => {
                let (valid, broken) = rest.split_at_checked(error.valid_up_to())?;
                out.push_str(std::str::from_utf8(valid).ok()?);
                match broken {
                    [0xed, 0xa0..=0xbf, 0x80..=0xbf, after @ ..] => {
                        out.push(char::REPLACEMENT_CHARACTER);
                        rest = after;
                    }
                    _ => return None,
                }
            }
        }
    }
}
