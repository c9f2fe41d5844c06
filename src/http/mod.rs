//! The engine's own HTTP front, behind `listen()`: hyper parses, polls and POSTs of living sessions are
//! served here, everything else (handshakes, upgrades, errors, hooks) is asked of the owner.

mod body;
mod compressor;
mod encoding;
mod listener;
mod polling;
mod registry;
mod request;

pub use compressor::CompressionJob;
pub use encoding::{CompressionOptions, ContentEncoding};
pub use listener::{Listener, ListenerOptions, OpenConnection, bind};
pub use registry::Registry;
pub use request::{OwnerResponse, Requests, Switching, Verdict};
