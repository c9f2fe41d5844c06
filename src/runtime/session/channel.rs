//! The seam for transports.
//!
//! A transport that carries messages is a [`Channel`]. Its session calls it to send and to close, and asks for its
//! state. A channel hands what comes in to its session, under the session's lock: [`Locked::receive_text`] and
//! [`Locked::receive_binary`] for messages, [`Locked::channel_closed`] for its end.
//!
//! [`Locked::receive_text`]: super::cell::Locked::receive_text
//! [`Locked::receive_binary`]: super::cell::Locked::receive_binary
//! [`Locked::channel_closed`]: super::cell::Locked::channel_closed

use std::fmt::Debug;
use std::sync::Arc;

use crate::session::{ChannelId, OutPacket, Revision};

/// A connection that carries messages, as its session sees it. All methods are called under the session's lock, from
/// any thread, and must not wait or call the session.
pub trait Channel: Debug + Send + Sync {
    /// The handle by which the session's machine and the owner name the channel.
    fn id(&self) -> ChannelId;

    /// Sends packets; `base64`: the client takes no binary frames.
    fn send(self: Arc<Self>, packets: &[OutPacket], revision: Revision, base64: bool);

    /// Closes the channel in an orderly way.
    fn close(self: Arc<Self>);

    /// Closes the channel when the owner has heard that the session has ended, and has sent its last data. The owner
    /// hears of it next.
    fn close_behind_owner(&self);

    /// Notes that the owner has events of this many bytes to take from this channel, which is not read while there are
    /// too many.
    fn owe(&self, bytes: usize);

    /// Whether the peer was not read because of the owner at any time since the last call. Its silence does not end the
    /// session then.
    fn take_unheard(&self) -> bool;

    /// Whether the channel's bytes pass through the owner's thread, so that only the owner can tell silence from unread
    /// data.
    fn is_carried_by_owner(&self) -> bool;
}
