//! The packet: a type and, perhaps, text or bytes.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// The seven packet types, the same in protocol 3 and 4. On the wire the type is one ASCII digit,
/// except in the binary frames of protocol 3, where it is the plain number.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketType {
    /// Sent once by the server: the handshake (a JSON object).
    Open = 0,
    /// Asks the other side to close the transport.
    Close = 1,
    /// Heartbeat request: from the server in protocol 4, from the client in protocol 3.
    Ping = 2,
    /// Heartbeat answer.
    Pong = 3,
    /// What the application sent.
    Message = 4,
    /// Sent by the client to finish the upgrade of a session.
    Upgrade = 5,
    /// Says nothing: releases a poll that waits while the session is being upgraded.
    Noop = 6,
}

impl PacketType {
    /// All types, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::Open, Self::Close, Self::Ping, Self::Pong, Self::Message, Self::Upgrade, Self::Noop];

    /// The type behind an ASCII digit, `None` for anything but `'0'..='6'`.
    pub fn from_digit(ascii: u8) -> Option<Self> {
        Self::from_number(ascii.wrapping_sub(b'0'))
    }

    /// The type behind a plain number, as in the first byte of a protocol 3 binary frame.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The ASCII digit that stands for the type on the wire.
    pub fn digit(self) -> u8 {
        b'0' + self as u8
    }

    /// The name the JavaScript API uses for the type, as in `packet.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Close => "close",
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Message => "message",
            Self::Upgrade => "upgrade",
            Self::Noop => "noop",
        }
    }
}

/// What a packet carries. Borrowed from the input where the wire holds it verbatim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// Nothing after the type. An empty text counts as this, too: JavaScript sees `undefined`, not `""`.
    None,
    /// Text, never empty when it comes out of a decoder.
    Text(Cow<'a, str>),
    /// Bytes, possibly none.
    Binary(Cow<'a, [u8]>),
}

impl<'a> Data<'a> {
    /// The text after a type digit; an empty one is [`Data::None`].
    pub(crate) fn from_text(text: impl Into<Cow<'a, str>>) -> Self {
        let text = text.into();
        if text.is_empty() { Self::None } else { Self::Text(text) }
    }

    /// Bytes of content: UTF-8 for text, 0 for none.
    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether the content has no bytes. Binary data without bytes is empty, too.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Converts the data to a form that owns its memory.
    pub fn into_owned(self) -> Data<'static> {
        match self {
            Self::None => Data::None,
            Self::Text(text) => Data::Text(Cow::Owned(text.into_owned())),
            Self::Binary(bytes) => Data::Binary(Cow::Owned(bytes.into_owned())),
        }
    }
}

/// One decoded packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The packet type.
    pub kind: PacketType,
    /// What follows the type.
    pub data: Data<'a>,
}

/// Why a payload or a frame is not a packet. Every variant ends the session with the reason `parse
/// error`. The original has only one kind; the variants serve tests and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Not even a type: an empty frame, an empty part between two separators, or an empty body.
    Empty,
    /// The first character is neither a known type digit nor the `b` of base64.
    UnknownType,
    /// Protocol 3: a length prefix that is missing, no whole number, or does not match what
    /// follows.
    InvalidLength,
    /// Protocol 3: a string in a binary payload is not UTF-8.
    InvalidUtf8,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty packet",
            Self::UnknownType => "unknown packet type",
            Self::InvalidLength => "invalid packet length",
            Self::InvalidUtf8 => "packet is not valid UTF-8",
        })
    }
}

impl Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_types_map_one_to_one() {
        for digit in 0..=u8::MAX {
            match PacketType::from_digit(digit) {
                Some(kind) => assert_eq!(kind.digit(), digit),
                None => assert!(!(b'0'..=b'6').contains(&digit)),
            }
        }
    }

    #[test]
    fn the_names_are_those_of_the_javascript_api() {
        let names: Vec<_> = (b'0'..=b'6').filter_map(PacketType::from_digit).map(PacketType::name).collect();
        assert_eq!(names, ["open", "close", "ping", "pong", "message", "upgrade", "noop"]);
    }

    #[test]
    fn empty_text_is_no_data() {
        assert_eq!(Data::from_text(""), Data::None);
    }
}
