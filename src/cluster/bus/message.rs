//! What nodes say to each other: the bytes of a message, and the items that a frame holds.
//!
//! ```text
//! version 1 | kind 1 | from 8 | to 8 | association 4 | seq 8 | ack 8 | time 8 | yours 8 | body, at most 64 KiB |
//! tag 16
//! ```
//!
//! Numbers are big-endian. The tag covers all bytes before it.

use super::super::id::{Key, Member};

/// A point in time or a length of time, in milliseconds of a node's own monotonic clock.
pub type Millis = u64;

/// Names one life of a node: 64 random bits, never 0.
pub type Run = u64;

/// The id of a session as it stands in `sid`.
pub type Id = Vec<u8>;

/// The version of the messages. A node refuses all others.
pub const VERSION: u8 = 1;

/// Bytes before the body.
pub const HEADER: usize = 54;

/// The most bytes that a body has.
pub const MAX_BODY: usize = 64 * 1024;

/// The most bytes that a message has.
pub const MAX_MESSAGE: usize = HEADER + MAX_BODY + TAG;

/// The most bytes of one piece: the head of a request or of an answer, or the bytes that follow it in the same item.
pub const MAX_PIECE: usize = 24 * 1024;

/// The longest id of a session. Applications may make ids of their own.
pub const MAX_ID: usize = 64;

/// The most members that a node stands for.
pub const MAX_MEMBERS: usize = 256;

/// Clocks show less than this, so that sums of times do not overflow.
const MAX_TIME: Millis = 1 << 53;

const TAG: usize = 16;

/// Tells tags of these messages from those of everything else that is made with the key.
const DOMAIN: u8 = 0x42;

/// What a message is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Membership: to all nodes, or to one. The body is a [`Hello`].
    Hello = 1,
    /// An association is asked for.
    Open = 2,
    /// An association is agreed to.
    Opened = 3,
    /// The sender does not know the association.
    Reset = 4,
    /// Items of an association.
    Frame = 5,
    /// Frames have arrived.
    Ack = 6,
}

/// What stands before the body of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What the message is for.
    pub kind: Kind,
    /// The sender.
    pub from: Run,
    /// The receiver; 0 if all nodes are meant.
    pub to: Run,
    /// The number of the association.
    pub association: u32,
    /// The number of the frame.
    pub seq: u64,
    /// The number of the first frame of the receiver's that the sender waits for.
    pub ack: u64,
    /// The sender's time.
    pub time: Millis,
    /// What the receiver's clock has shown at least when the message was sent; 0 if the sender does not know.
    pub yours: Millis,
}

/// Why a message is dropped before it is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It is too short or too long.
    Size,
    /// It has another version.
    Version,
    /// The tag was made with another key, or for other bytes.
    Tag,
    /// The tag is right and the content is not: the sender does not follow the protocol.
    Content,
}

/// The message of a header and a body.
pub fn seal(key: &Key, header: &Header, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + body.len() + TAG);
    bytes.extend([VERSION, header.kind as u8]);
    for number in [header.from, header.to] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(header.association.to_be_bytes());
    for number in [header.seq, header.ack, header.time, header.yours] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend_from_slice(body);
    let tag = key.tag(DOMAIN, &bytes);
    bytes.extend(tag);
    bytes
}

/// The header and the body of a message.
///
/// # Errors
/// When the message is not one of a node with this key and this version.
pub fn open<'a>(key: &Key, message: &'a [u8]) -> Result<(Header, &'a [u8]), Refused> {
    if message.len() < HEADER + TAG || message.len() > MAX_MESSAGE {
        return Err(Refused::Size);
    }
    if message[0] != VERSION {
        return Err(Refused::Version);
    }
    let (bytes, tag) = message.split_at(message.len() - TAG);
    // all bytes are compared, so that the time does not tell how many are right
    if key.tag(DOMAIN, bytes).iter().zip(tag).fold(0, |wrong, (a, b)| wrong | (a ^ b)) != 0 {
        return Err(Refused::Tag);
    }
    let mut reader = Reader(&bytes[1..]);
    let header = reader.header().ok_or(Refused::Content)?;
    Ok((header, reader.0))
}

/// What a node tells all others about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The first member is not settled yet: its number is asked for.
    pub joining: bool,
    /// The members that the node stands for, the one of new sessions first.
    pub members: Vec<Member>,
}

impl Hello {
    /// The body of the message.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.joining)];
        for member in self.members.iter().take(MAX_MEMBERS) {
            bytes.extend(member.number.to_be_bytes());
            bytes.push(member.boot);
        }
        bytes
    }

    /// What a body says; `None` if it is not one of a hello.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let joining = reader.flag()?;
        if reader.0.len() % 3 != 0 || reader.0.len() > 3 * MAX_MEMBERS {
            return None;
        }
        let members = reader
            .0
            .chunks_exact(3)
            .map(|three| Member { number: u16::from_be_bytes([three[0], three[1]]), boot: three[2] })
            .collect();
        Some(Self { joining, members })
    }
}

/// What a request wants of a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Purpose {
    /// A GET that waits for packets.
    Poll = 1,
    /// A POST with packets.
    Post = 2,
    /// A WebSocket, which takes the session over if its owner lets it go, and is relayed if not.
    Upgrade = 3,
}

/// Why a stream ends before its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// The client, or the side that says so, has gone.
    Gone,
    /// The owner has no such session.
    Unknown,
    /// The owner has too much to do.
    Busy,
    /// The request came too late and was not looked at.
    Late,
    /// The session belongs to this node now.
    Moved(Run),
}

/// What a frame holds, one after the other. The ticket is the number of a request at the node where it came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A request for a session of the receiver's.
    Request {
        /// Its number.
        ticket: u32,
        /// What it wants.
        purpose: Purpose,
        /// From this time of the receiver's clock on it must not be looked at.
        expires: Millis,
        /// The session.
        id: Id,
        /// The head of the request, as the two processes agree.
        head: Vec<u8>,
        /// The first bytes of its body.
        body: Vec<u8>,
        /// No more bytes follow.
        last: bool,
    },
    /// The request has reached its session.
    Taken {
        /// The request.
        ticket: u32,
    },
    /// The answer to a request. For an upgrade with status 101 both sides send data from now on.
    Answer {
        /// The request.
        ticket: u32,
        /// The status.
        status: u16,
        /// The head of the answer, as the two processes agree.
        head: Vec<u8>,
        /// The first bytes of its body.
        body: Vec<u8>,
        /// No more bytes follow.
        last: bool,
    },
    /// The session has a new owner: the receiver.
    Claimed {
        /// The upgrade.
        ticket: u32,
        /// What is to be known about the session.
        state: Vec<u8>,
    },
    /// More bytes of a request, an answer or a relay.
    Data {
        /// The request.
        ticket: u32,
        /// The sender has made the request.
        asker: bool,
        /// The bytes.
        body: Vec<u8>,
        /// No more bytes follow.
        last: bool,
    },
    /// The receiver may send more bytes.
    Credit {
        /// The request.
        ticket: u32,
        /// The sender has made the request.
        asker: bool,
        /// The number of bytes.
        bytes: u32,
    },
    /// The request, answer or relay ends here.
    Cut {
        /// The request.
        ticket: u32,
        /// The sender has made the request.
        asker: bool,
        /// The reason.
        why: Why,
    },
    /// The whole answer was handed to the client's connection.
    Done {
        /// The request.
        ticket: u32,
    },
    /// A session that the sender has claimed has ended.
    Released {
        /// The session.
        id: Id,
    },
}

impl Item {
    /// Appends the item, with its length before it.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.extend([0; 4]);
        match self {
            Self::Request { ticket, purpose, expires, id, head, body, last } => {
                put(bytes, 1, *ticket);
                bytes.extend([*purpose as u8, u8::from(*last)]);
                bytes.extend(expires.to_be_bytes());
                put_piece(bytes, id);
                put_piece(bytes, head);
                bytes.extend_from_slice(body);
            }
            Self::Taken { ticket } => put(bytes, 2, *ticket),
            Self::Answer { ticket, status, head, body, last } => {
                put(bytes, 3, *ticket);
                bytes.extend(status.to_be_bytes());
                bytes.push(u8::from(*last));
                put_piece(bytes, head);
                bytes.extend_from_slice(body);
            }
            Self::Claimed { ticket, state } => {
                put(bytes, 4, *ticket);
                bytes.extend_from_slice(state);
            }
            Self::Data { ticket, asker, body, last } => {
                put(bytes, 5, *ticket);
                bytes.extend([u8::from(*asker), u8::from(*last)]);
                bytes.extend_from_slice(body);
            }
            Self::Credit { ticket, asker, bytes: count } => {
                put(bytes, 6, *ticket);
                bytes.push(u8::from(*asker));
                bytes.extend(count.to_be_bytes());
            }
            Self::Cut { ticket, asker, why } => {
                put(bytes, 7, *ticket);
                bytes.push(u8::from(*asker));
                let (code, run) = match why {
                    Why::Gone => (1, 0),
                    Why::Unknown => (2, 0),
                    Why::Busy => (3, 0),
                    Why::Late => (4, 0),
                    Why::Moved(run) => (5, *run),
                };
                bytes.push(code);
                bytes.extend(run.to_be_bytes());
            }
            Self::Done { ticket } => put(bytes, 8, *ticket),
            Self::Released { id } => {
                put(bytes, 9, 0);
                bytes.extend_from_slice(id);
            }
        }
        let length = u32::try_from(bytes.len() - start - 4).unwrap_or(u32::MAX);
        bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// The items of a frame; `None` if one of them is not right.
    pub fn decode_all(frame: &[u8]) -> Option<Vec<Self>> {
        let mut frame = Reader(frame);
        let mut items = Vec::new();
        while !frame.0.is_empty() {
            let length = frame.u32()? as usize;
            items.push(Self::decode(frame.take(length)?)?);
        }
        Some(items)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let kind = reader.u8()?;
        let ticket = reader.u32()?;
        let item = match kind {
            1 => Self::Request {
                ticket,
                purpose: reader.purpose()?,
                last: reader.flag()?,
                expires: reader.u64()?,
                id: reader.id()?,
                head: reader.piece()?,
                body: reader.rest(MAX_PIECE)?,
            },
            2 => Self::Taken { ticket },
            3 => Self::Answer {
                ticket,
                status: reader.u16()?,
                last: reader.flag()?,
                head: reader.piece()?,
                body: reader.rest(MAX_PIECE)?,
            },
            4 => Self::Claimed { ticket, state: reader.rest(MAX_PIECE)? },
            5 => Self::Data { ticket, asker: reader.flag()?, last: reader.flag()?, body: reader.rest(MAX_PIECE)? },
            6 => Self::Credit { ticket, asker: reader.flag()?, bytes: reader.u32()? },
            7 => Self::Cut { ticket, asker: reader.flag()?, why: reader.why()? },
            8 => Self::Done { ticket },
            9 => Self::Released { id: reader.rest(MAX_ID)? },
            _ => return None,
        };
        reader.0.is_empty().then_some(item)
    }
}

fn put(bytes: &mut Vec<u8>, kind: u8, ticket: u32) {
    bytes.push(kind);
    bytes.extend(ticket.to_be_bytes());
}

/// A piece of at most [`MAX_PIECE`] bytes, with its length before it.
fn put_piece(bytes: &mut Vec<u8>, piece: &[u8]) {
    debug_assert!(piece.len() <= MAX_PIECE);
    let length = u16::try_from(piece.len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.extend_from_slice(&piece[..usize::from(length)]);
}

/// Bytes that are read from the front. What is not there is `None`.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn header(&mut self) -> Option<Header> {
        let kind = match self.u8()? {
            1 => Kind::Hello,
            2 => Kind::Open,
            3 => Kind::Opened,
            4 => Kind::Reset,
            5 => Kind::Frame,
            6 => Kind::Ack,
            _ => return None,
        };
        let header = Header {
            kind,
            from: self.u64()?,
            to: self.u64()?,
            association: self.u32()?,
            seq: self.u64()?,
            ack: self.u64()?,
            time: self.u64()?,
            yours: self.u64()?,
        };
        let times = header.time <= MAX_TIME && header.yours <= MAX_TIME;
        (times && header.from != 0 && (header.to != 0 || kind == Kind::Hello)).then_some(header)
    }

    fn purpose(&mut self) -> Option<Purpose> {
        match self.u8()? {
            1 => Some(Purpose::Poll),
            2 => Some(Purpose::Post),
            3 => Some(Purpose::Upgrade),
            _ => None,
        }
    }

    fn why(&mut self) -> Option<Why> {
        let code = self.u8()?;
        let run = self.u64()?;
        match (code, run) {
            (1, 0) => Some(Why::Gone),
            (2, 0) => Some(Why::Unknown),
            (3, 0) => Some(Why::Busy),
            (4, 0) => Some(Why::Late),
            (5, 1..) => Some(Why::Moved(run)),
            _ => None,
        }
    }

    fn piece(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(self.u16()?);
        (length <= MAX_PIECE).then(|| self.take(length).map(<[u8]>::to_vec))?
    }

    fn id(&mut self) -> Option<Id> {
        self.piece().filter(|id| id.len() <= MAX_ID)
    }

    fn rest(&mut self, most: usize) -> Option<Vec<u8>> {
        (self.0.len() <= most).then(|| std::mem::take(&mut self.0).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(&[byte; Key::LENGTH])
    }

    const HEADER_OF_A_FRAME: Header =
        Header { kind: Kind::Frame, from: 1, to: 2, association: 3, seq: 4, ack: 5, time: 6, yours: 7 };

    fn items() -> Vec<Item> {
        let (id, head, body) = (b"a-session".to_vec(), b"head".to_vec(), b"body".to_vec());
        let mut items = vec![
            Item::Taken { ticket: 2 },
            Item::Answer { ticket: 3, status: 200, head: head.clone(), body: body.clone(), last: true },
            Item::Claimed { ticket: 4, state: body.clone() },
            Item::Data { ticket: 5, asker: true, body: body.clone(), last: false },
            Item::Credit { ticket: 6, asker: false, bytes: 70_000 },
            Item::Done { ticket: u32::MAX },
            Item::Released { id: id.clone() },
        ];
        for purpose in [Purpose::Poll, Purpose::Post, Purpose::Upgrade] {
            let (id, head, body) = (id.clone(), head.clone(), body.clone());
            items.push(Item::Request { ticket: 1, purpose, expires: 9, id, head, body, last: false });
        }
        for why in [Why::Gone, Why::Unknown, Why::Busy, Why::Late, Why::Moved(8)] {
            items.push(Item::Cut { ticket: 7, asker: true, why });
        }
        items
    }

    #[test]
    fn a_message_opens_to_what_was_sealed() {
        let message = seal(&key(1), &HEADER_OF_A_FRAME, b"body");
        assert_eq!(open(&key(1), &message), Ok((HEADER_OF_A_FRAME, &b"body"[..])));
    }

    #[test]
    fn a_changed_bit_or_a_missing_byte_anywhere_is_refused() {
        let message = seal(&key(1), &HEADER_OF_A_FRAME, b"body");
        for at in 0..message.len() {
            for bit in 0..8 {
                let mut changed = message.clone();
                changed[at] ^= 1 << bit;
                let expected = if at == 0 { Refused::Version } else { Refused::Tag };
                assert_eq!(open(&key(1), &changed), Err(expected), "bit {bit} of byte {at}");
            }
            assert!(open(&key(1), &message[..at]).is_err(), "{at} bytes");
        }
        assert_eq!(open(&key(2), &message), Err(Refused::Tag));
        assert_eq!(open(&key(1), &vec![VERSION; MAX_MESSAGE + 1]), Err(Refused::Size));
    }

    #[test]
    fn a_header_that_no_node_writes_is_refused_with_a_right_tag_too() {
        let headers = [
            Header { from: 0, ..HEADER_OF_A_FRAME },
            Header { to: 0, ..HEADER_OF_A_FRAME },
            Header { time: u64::MAX, ..HEADER_OF_A_FRAME },
            Header { yours: u64::MAX, ..HEADER_OF_A_FRAME },
        ];
        for header in headers {
            assert_eq!(open(&key(1), &seal(&key(1), &header, b"")), Err(Refused::Content));
        }
    }

    #[test]
    fn items_decode_to_themselves() {
        let mut frame = Vec::new();
        items().iter().for_each(|item| item.encode(&mut frame));
        assert_eq!(Item::decode_all(&frame), Some(items()));
    }

    #[test]
    fn an_item_that_is_cut_short_or_too_long_is_none() {
        for item in items() {
            let mut frame = Vec::new();
            item.encode(&mut frame);
            for length in 1..frame.len() {
                assert_eq!(Item::decode_all(&frame[..length]), None, "{item:?}, {length} bytes");
            }
        }
        let mut frame = Vec::new();
        Item::Released { id: vec![0; MAX_ID + 1] }.encode(&mut frame);
        assert_eq!(Item::decode_all(&frame), None);
        let mut frame = Vec::new();
        Item::Data { ticket: 1, asker: true, body: vec![0; MAX_PIECE + 1], last: true }.encode(&mut frame);
        assert_eq!(Item::decode_all(&frame), None);
    }

    #[test]
    fn a_hello_decodes_to_itself_and_has_a_bound() {
        let members = (0..MAX_MEMBERS as u16).map(|number| Member { number, boot: 7 }).collect::<Vec<_>>();
        let hello = Hello { joining: true, members };
        let mut bytes = hello.encode();
        assert_eq!(Hello::decode(&bytes), Some(hello));
        bytes.extend([0, 1, 2]);
        assert_eq!(Hello::decode(&bytes), None);
        assert_eq!(Hello::decode(&[2]), None);
        assert_eq!(Hello::decode(&[0, 1]), None);
    }
}
