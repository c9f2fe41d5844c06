//! What a peer sends.

use std::borrow::Cow;

/// What the peer sent. It is borrowed from the read buffer if it is complete there, otherwise owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message; valid UTF-8.
    Text(Cow<'a, [u8]>),
    /// A binary message.
    Binary(Cow<'a, [u8]>),
    /// A ping, to be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// A pong, which needs no reaction.
    Pong(&'a [u8]),
    /// The peer closes. Nothing comes after it.
    Close {
        /// A status code that may stand in a close frame, or none.
        code: Option<u16>,
        /// At most 123 bytes; valid UTF-8.
        reason: &'a [u8],
    },
}

impl Message<'_> {
    /// The length of the content in bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(content) | Self::Binary(content) => content.len(),
            Self::Ping(content) | Self::Pong(content) | Self::Close { reason: content, .. } => content.len(),
        }
    }
}
