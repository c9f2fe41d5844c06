//! The I/O threads: they read sockets, flush outboxes and keep time.

pub mod busy_check;
pub mod owner_reads;
pub mod reader;
pub mod reader_set;
pub mod thread;
