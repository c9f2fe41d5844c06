//! Between the owner's thread and the I/O threads: what the owner hears, what it asks for, the handles by which it
//! names things, and what an I/O thread puts off for its sake.

pub(super) mod commands;
pub mod contract;
pub mod counts;
pub(super) mod deferred_drop;
pub(super) mod events;
pub(super) mod handles;
pub(super) mod queue;
pub(super) mod wake_batch;
