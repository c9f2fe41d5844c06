//! The engine's own HTTP front, behind `listen()`: hyper parses, polls and POSTs of living sessions are
//! served here, and handshakes in which the owner has no say; everything else (upgrades, errors, hooks) is asked of
//! the owner.

mod body;
mod compressor;
mod encoding;
mod handshake;
mod head_timer;
mod joined;
mod listener;
mod polling;
mod query;
mod registry;
mod request;

pub use compressor::CompressionJob;
pub use encoding::{CompressionOptions, ContentEncoding};
pub use handshake::Handshakes;
pub use listener::{Listener, ListenerOptions, Open, OpenConnection, bind};
pub use registry::Registry;
pub use request::{OwnerResponse, Requests, Switching, Verdict};
