//! Sessions under their locks, and the seam at which a transport joins them: see [`channel`].

pub(super) mod cell;
pub(super) mod channel;
pub(super) mod inbound;
pub(super) mod payload;
pub(super) mod registry;
