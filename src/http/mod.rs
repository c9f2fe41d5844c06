//! The native listener, behind `listen(port, { listener: 'native' })`: hyper parses; handshakes, polls, POSTs and upgrades
//! are decided and served here, without asking the owner.

mod body;
mod bound;
mod compressor;
mod encoding;
mod handshake;
mod head;
mod head_timer;
mod joined;
mod listener;
mod polling;
mod query;
mod registry;
mod route;
mod strict;
mod upgrade;

pub use body::BodyLimits;
pub use bound::{Bound, Place};
pub use compressor::CompressionJob;
pub use encoding::{CompressionOptions, ContentEncoding};
pub use listener::{Accepting, DeflateSettings, Listener, ListenerOptions, Open, OpenConnection, Settings};
pub use registry::Registry;
