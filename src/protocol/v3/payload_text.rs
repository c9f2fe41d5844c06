//! The text payload of protocol 3: `<length>:<packet>` over and over.

use std::borrow::Cow;
use std::iter::FusedIterator;

use super::decode::{V3Packet, decode_packet_text};
use crate::protocol::number::js_number;
use crate::protocol::packet::ParseError;

/// Decodes a text payload packet by packet; the iterator ends after the first error.
///
/// Lengths count UTF-16 units and are read by JavaScript's `Number`, so ` 2`, `0x2` and `2e0` all
/// pass for 2. An empty body is an error, while a packet of length 0 is skipped in silence (B-12).
pub fn decode_payload_text(body: &str) -> TextPayloadIter<'_> {
    TextPayloadIter { rest: Some(body), started: false }
}

/// The packets of a text payload; see [`decode_payload_text`].
#[derive(Clone, Debug)]
pub struct TextPayloadIter<'a> {
    /// The rest of the body; `None` once the end or an error was reached.
    rest: Option<&'a str>,
    started: bool,
}

impl<'a> TextPayloadIter<'a> {
    /// Splits one length-prefixed packet off. `Ok(None)` is the end of the payload.
    fn split(&mut self) -> Result<Option<Part<'a>>, ParseError> {
        let Some(rest) = self.rest.take() else {
            return Ok(None);
        };
        if rest.is_empty() {
            return if self.started { Ok(None) } else { Err(ParseError::Empty) };
        }
        self.started = true;
        let (length, after) = rest.split_once(':').ok_or(ParseError::InvalidLength)?;
        let units = parse_length(length).ok_or(ParseError::InvalidLength)?;
        let part = Part::take(after, units).ok_or(ParseError::InvalidLength)?;
        self.rest = Some(part.rest);
        Ok(Some(part))
    }
}

impl<'a> Iterator for TextPayloadIter<'a> {
    type Item = Result<V3Packet<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let decoded = match self.split() {
                Ok(None) => return None,
                Ok(Some(part)) => match part.packet {
                    Cow::Borrowed("") => continue,
                    Cow::Borrowed(packet) => decode_packet_text(packet),
                    Cow::Owned(packet) => decode_packet_text(&packet)
                        .map(|V3Packet { kind, data }| V3Packet { kind, data: data.into_owned() }),
                },
                Err(error) => Err(error),
            };
            if decoded.is_err() {
                self.rest = None;
            }
            return Some(decoded);
        }
    }
}

impl FusedIterator for TextPayloadIter<'_> {}

/// A packet and what follows it.
struct Part<'a> {
    packet: Cow<'a, str>,
    rest: &'a str,
}

impl<'a> Part<'a> {
    /// Takes exactly `units` UTF-16 units, `None` if there are not that many.
    fn take(text: &'a str, units: usize) -> Option<Self> {
        // No text has more units than bytes: spares scanning for lengths that cannot fit.
        if units > text.len() {
            return None;
        }
        let mut left = units;
        let mut characters = text.chars();
        while left > 0 {
            let before = characters.as_str();
            let width = characters.next()?.len_utf16();
            if width > left {
                // The length ends inside a surrogate pair. JavaScript hands out the lone first
                // half, which becomes U+FFFD here, and fails on the second half, as no length
                // begins with it.
                let whole = text.get(..text.len() - before.len())?;
                let packet = Cow::Owned(format!("{whole}\u{fffd}"));
                return Some(Self { packet, rest: before });
            }
            left -= width;
        }
        let rest = characters.as_str();
        let packet = Cow::Borrowed(text.get(..text.len() - rest.len())?);
        Some(Self { packet, rest })
    }
}

/// Reads a length as the original does: the value of `Number(text)` must be the number of units that
/// are then found, which rules out fractions, negative numbers and infinity. An empty text before
/// the colon is an error, although white space alone counts as zero.
fn parse_length(text: &str) -> Option<usize> {
    // The lengths that clients write need no floating point.
    if !text.is_empty() && text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    let value = if text.is_empty() { None } else { js_number(text) }?;
    // 2^53 is far more than any body and still exact.
    let whole = (0.0..=9_007_199_254_740_992.0).contains(&value) && value.fract() == 0.0;
    whole.then_some(value as usize)
}
