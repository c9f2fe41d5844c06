//! The I/O threads: they read sockets, flush outboxes and keep time.

pub(super) mod busy_check;
#[cfg_attr(not(feature = "owner-reads"), path = "owner_reads_off.rs")]
pub(super) mod owner_reads;
pub(super) mod reader;
pub(super) mod reader_set;
#[cfg_attr(windows, path = "registration_windows.rs")]
pub(super) mod registration;
pub(super) mod thread;
