//! The session: a state machine without I/O, clock or threads.
//!
//! Everything hard about Engine.IO is decided here: heartbeats of both protocol revisions, polls that
//! overlap, the upgrade that loses nothing, closing in every state. A runtime (see `crate::runtime`)
//! feeds it what happened together with the current time, and carries out the [`Action`]s it answers.

mod action;
mod close;
mod heartbeat;
mod id;
mod machine;
mod timing;
mod upgrade;

pub use action::{Action, Delivery, ProbeEnd, Relayed, Start};
pub use close::{Fault, Reason};
pub use heartbeat::Taken;
pub use id::{IdGenerator, LENGTH as ID_LENGTH};
pub use machine::Session;
pub use timing::{Millis, Timing};

/// The Engine.IO protocol revision (`EIO` query parameter) a session speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revision {
    /// Revision 3: the client pings, the server answers.
    V3,
    /// Revision 4: the server pings, the client answers.
    V4,
}

/// What the ping of a client that tries a connection out says, and the pong that answers it.
pub const PROBE: &str = "probe";

/// Names one message-oriented connection (a WebSocket or a transport driven from JavaScript).
pub type ChannelId = u32;

/// Names one pending poll (a GET request that waits for packets) of a session.
pub type PollId = u32;

/// A packet on its way to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutPacket {
    /// The packet type.
    pub kind: crate::protocol::PacketType,
    /// Its content.
    pub data: OutData,
}

/// The content of an [`OutPacket`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutData {
    /// No content: only the type digit goes out.
    None,
    /// UTF-8 text.
    Text(String),
    /// Bytes: a binary frame on WebSocket, base64 where the transport has only text.
    Binary(Vec<u8>),
}

impl OutPacket {
    /// A packet without content.
    pub fn bare(kind: crate::protocol::PacketType) -> Self {
        Self { kind, data: OutData::None }
    }
}
