//! Sessions under their locks.

pub(super) mod cell;
pub(super) mod payload;
pub(super) mod registry;
