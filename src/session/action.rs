//! What a session is told and what it answers: the words between the machine and its runtime.

use super::{ChannelId, Fault, OutPacket, PollId, Reason};
use crate::protocol::PacketType;

/// What the runtime has to do for a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Write packets to a channel, in order.
    Send {
        /// The channel.
        channel: ChannelId,
        /// The packets.
        packets: Vec<OutPacket>,
    },
    /// Answer a pending poll with these packets (`200`).
    AnswerPoll {
        /// The poll.
        poll: PollId,
        /// The packets.
        packets: Vec<OutPacket>,
        /// Whether a packet wants compression.
        compress: bool,
    },
    /// Answer a poll that must not be served (`400`).
    RejectPoll {
        /// The poll.
        poll: PollId,
    },
    /// Destroy the POST request that is in progress.
    AbortPost,
    /// Close a channel: an orderly close without a code.
    CloseChannel {
        /// The channel.
        channel: ChannelId,
    },
    /// A ping went out. JavaScript hears of it only if it has a listener.
    Pinged,
    /// The owner has to send a heartbeat, or the noop of an upgrade, see [`Session::set_relayed`](super::Session::set_relayed).
    Relay {
        /// The type of the packet.
        kind: PacketType,
    },
    /// The client probes a channel for an upgrade.
    Upgrading {
        /// The channel.
        channel: ChannelId,
    },
    /// The session has moved to this channel.
    Upgraded {
        /// The channel.
        channel: ChannelId,
    },
    /// The session does not move to this channel. Where the session ends, `Closed` follows.
    UpgradeFailed {
        /// The channel.
        channel: ChannelId,
        /// Why it does not.
        end: ProbeEnd,
    },
    /// The end. Nothing follows.
    Closed(Reason),
}

/// What happens to a packet that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Not for the application: the session is closing, or the packet was part of an upgrade.
    Drop,
    /// A message for the application.
    Message,
    /// For listeners of all packets only.
    Packet,
}

/// The transport a session starts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// HTTP long-polling.
    Polling,
    /// A message channel.
    Channel(ChannelId),
}

/// Why a session does not move to a channel that its client probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeEnd {
    /// The client took too long, or sent something other than a probe: the channel is closed.
    GivenUp,
    /// The session ends; the channel is closed.
    SessionEnded,
    /// The client closed the channel.
    Closed,
    /// The channel failed.
    Failed(Fault),
}

/// Which of the engine's own packets (heartbeats, the noop of an upgrade) the owner sends.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relayed {
    /// None: the engine carries the session alone.
    Nothing = 0,
    /// Those to a client that polls: what waits for a poll is the owner's. From the upgrade on they are the engine's,
    /// whether the owner has heard of it or not.
    Polls = 1,
    /// All, because a method that packets pass was replaced there.
    Everything = 2,
}

impl Relayed {
    /// The variant of this number; those above the largest are everything, too.
    pub fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Nothing,
            1 => Self::Polls,
            _ => Self::Everything,
        }
    }
}
