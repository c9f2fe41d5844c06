//! The seam for transports.
//!
//! A transport that carries messages is a [`Channel`]: its session asks it to send, to close, and what it is worth knowing of.
//! What comes in, a channel hands to its session under the session's lock: [`Locked::receive_text`] and
//! [`Locked::receive_binary`] for messages, [`Locked::channel_closed`] for its end.
//!
//! [`Locked::receive_text`]: super::cell::Locked::receive_text
//! [`Locked::receive_binary`]: super::cell::Locked::receive_binary
//! [`Locked::channel_closed`]: super::cell::Locked::channel_closed

use std::fmt::Debug;
use std::sync::Arc;

use crate::session::{ChannelId, OutPacket, Revision};

/// A connection that carries messages, as its session sees it. All of it is called under the session's lock, from any thread,
/// and must not wait or call the session.
pub trait Channel: Debug + Send + Sync {
    /// The number by which the session's machine and the owner know the channel.
    fn id(&self) -> ChannelId;

    /// Sends packets; `base64`: the client takes no binary frames.
    fn send(self: Arc<Self>, packets: &[OutPacket], revision: Revision, base64: bool);

    /// Closes the channel in an orderly way.
    fn close(self: Arc<Self>);

    /// The session has ended on this channel, of which the owner hears next. The channel closes when the owner has heard of
    /// it and has sent what it still has to send.
    fn close_behind_owner(&self);

    /// Notes that the owner has events of this channel to take that occupy this many bytes: it is not read while they are too
    /// many.
    fn owe(&self, bytes: usize);

    /// Whether the owner is the reason that the peer is not heard, or was since the last call: then silence is no reason to
    /// end the session.
    fn take_unheard(&self) -> bool;

    /// Whether the channel's bytes pass through the owner's thread, so that only the owner can tell silence from what it has
    /// still to read.
    fn is_carried_by_owner(&self) -> bool;
}
