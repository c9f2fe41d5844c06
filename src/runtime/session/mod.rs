//! Sessions under their locks.

pub mod cell;
pub mod payload;
pub mod registry;
