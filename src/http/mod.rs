//! The native listener, behind `listen(port, { listener: 'native' })`: hyper parses; handshakes, polls, POSTs and
//! upgrades are decided and served here, without asking the owner.

mod accept;
mod body;
mod bound;
mod coalesced_stream;
mod compressor;
mod encoding;
mod head;
mod head_timer;
mod listener;
mod open_session;
mod polling;
mod proxied;
mod proxy_header;
mod query;
mod route;
mod serve;
mod settings;
mod strict;
mod upgrade;

pub use body::BodyLimits;
pub use bound::{Bound, Place};
pub use compressor::CompressionJob;
pub use encoding::{CompressionOptions, ContentEncoding};
pub use listener::{Listener, ListenerOptions};
pub use proxy_header::{AddressRange, InvalidProxyHeader, MAX_PROXY_HEADER, Proxies, ProxyHeader};
pub use settings::{DeflateSettings, Settings};
