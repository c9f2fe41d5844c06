//! The I/O threads: they read sockets, flush outboxes and keep time.

pub(super) mod busy_check;
pub(super) mod owner_reads;
pub(super) mod reader;
pub(super) mod reader_set;
pub(super) mod thread;
