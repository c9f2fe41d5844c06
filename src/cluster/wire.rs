//! What members say to each other on a link: messages in frames.
//!
//! ```text
//! length of the rest (4) | kind (1) | number (4) | length of the head (4) | head | body     all little-endian
//! ```
//!
//! The first message of each side is a [`Hello`]. What the others mean, [`PeerMessage`] says.

use bytes::{Buf, Bytes, BytesMut};

use super::id::{Key, Member};
use crate::runtime::contract::PeerMessage;

/// Bytes of a frame before the head.
const HEADER: usize = 13;

/// Bytes of a frame after its length, at most: more than a string or a Buffer of JavaScript is likely to hold.
const MAX_FRAME: usize = 1 << 30;

/// The kind of a [`Hello`].
const HELLO: u8 = PeerMessage::Hello as u8;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: u8,
    /// What it belongs to.
    pub number: u32,
    /// Text.
    pub head: Bytes,
    /// Bytes.
    pub body: Bytes,
}

/// A peer that does not keep to the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Appends the frame of a message. Returns false, and appends nothing, if the message is too large.
pub fn encode(kind: u8, number: u32, head: &[u8], body: &[u8], into: &mut Vec<u8>) -> bool {
    let length = HEADER - 4 + head.len() + body.len();
    if length > MAX_FRAME {
        return false;
    }
    into.reserve(4 + length);
    into.extend_from_slice(&(length as u32).to_le_bytes());
    into.push(kind);
    into.extend_from_slice(&number.to_le_bytes());
    into.extend_from_slice(&(head.len() as u32).to_le_bytes());
    into.extend_from_slice(head);
    into.extend_from_slice(body);
    true
}

/// Takes messages out of a stream of bytes. It holds the bytes that have come, and no more.
#[derive(Debug, Default)]
pub struct Decoder(BytesMut);

impl Decoder {
    /// Takes bytes that have come.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Whether the next message is longer than this, as far as it has come.
    pub fn expects_more_than(&self, length: usize) -> bool {
        self.0.first_chunk().is_some_and(|first| u32::from_le_bytes(*first) as usize > length)
    }

    /// The next message, if all of it has come.
    ///
    /// # Errors
    /// When the peer does not keep to the format. The stream cannot be read any further.
    pub fn take(&mut self) -> Result<Option<Message>, Malformed> {
        if self.0.len() < 4 {
            return Ok(None);
        }
        let length = (&self.0[..4]).get_u32_le() as usize;
        if !(HEADER - 4..=MAX_FRAME).contains(&length) {
            return Err(Malformed);
        }
        if self.0.len() < 4 + length {
            return Ok(None);
        }
        let mut frame = self.0.split_to(4 + length).freeze();
        frame.advance(4);
        let (kind, number, head) = (frame.get_u8(), frame.get_u32_le(), frame.get_u32_le() as usize);
        if head > frame.len() {
            return Err(Malformed);
        }
        let head = frame.split_to(head);
        Ok(Some(Message { kind, number, head, body: frame }))
    }
}

/// The first message of each side of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Who says it.
    pub from: Member,
    /// To whom.
    pub to: Member,
}

/// The version of the messages. Members of different versions do not understand each other.
const VERSION: u32 = 1;

/// The domain of the tag of a hello, see [`Key::tag`].
const DOMAIN: u8 = 2;

impl Hello {
    /// The message, which only holders of the key can make.
    pub fn encode(self, key: &Key, into: &mut Vec<u8>) {
        let members = self.members();
        encode(HELLO, VERSION, &members, &key.tag(DOMAIN, &members), into);
    }

    /// The hello in a message; `None` if it is something else, or of another version, or made with another key.
    pub fn decode(message: &Message, key: &Key) -> Option<Self> {
        let members: [u8; 6] = (*message.head).try_into().ok()?;
        let [a, b, from_boot, c, d, to_boot] = members;
        let is_right = message.kind == HELLO && message.number == VERSION && *message.body == key.tag(DOMAIN, &members);
        is_right.then_some(Self {
            from: Member { number: u16::from_be_bytes([a, b]), boot: from_boot },
            to: Member { number: u16::from_be_bytes([c, d]), boot: to_boot },
        })
    }

    fn members(self) -> [u8; 6] {
        let [a, b] = self.from.number.to_be_bytes();
        let [c, d] = self.to.number.to_be_bytes();
        [a, b, self.from.boot, c, d, self.to.boot]
    }
}
