//! Between the owner's thread and the I/O threads: what the owner hears, what it asks for, and the handles by which it
//! names things.

pub(super) mod commands;
pub mod contract;
pub(super) mod deferred_drop;
pub(super) mod events;
pub(super) mod handles;
pub(super) mod wake_batch;
