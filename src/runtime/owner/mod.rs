//! Between the owner's thread and the I/O threads: what the owner hears, what it asks for, and the handles by which it
//! names things.

pub mod commands;
pub mod contract;
pub mod deferred_drop;
pub mod events;
pub mod handles;
pub mod wake_batch;
