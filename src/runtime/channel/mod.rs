//! A WebSocket connection as a session's channel: its pipe, what waits to be written to it, and what comes
//! in.

mod activity;
mod closing;
pub(super) mod connection;
pub(super) mod end;
mod flow;
pub(super) mod inbound;
pub(super) mod open_count;
pub(super) mod outbox;
pub(super) mod pipe;
mod piped;
#[cfg_attr(windows, path = "socket_windows.rs")]
pub(super) mod socket;
pub(super) mod socket_options;
pub(super) mod unannounced;
#[cfg(feature = "owner-reads")]
pub(super) mod who_reads;
mod writing;
