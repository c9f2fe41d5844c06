//! One WebSocket connection: its socket, what waits to be written to it, and what comes in.

pub(super) mod connection;
pub(super) mod inbound;
pub(super) mod outbox;
#[cfg_attr(windows, path = "socket_windows.rs")]
pub(super) mod socket;
pub(super) mod socket_options;
pub(super) mod unannounced;
