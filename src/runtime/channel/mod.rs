//! One WebSocket connection: its socket, what waits to be written to it, and what comes in.

pub mod connection;
pub mod inbound;
pub mod outbox;
#[cfg_attr(windows, path = "socket_windows.rs")]
pub mod socket;
pub mod socket_options;
pub mod unannounced;
