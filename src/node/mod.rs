//! The Node-API binding: the only place that knows JavaScript. It decides nothing; it carries values
//! across and keeps the handles by which JavaScript names sessions, connections and listeners.
//!
//! All methods run on the JavaScript thread of one environment (the main thread or a worker); each
//! environment has an [`engine::Engine`] of its own, nothing is shared between them.

mod bus;
mod call_result;
mod compress;
mod connections;
mod convert;
mod counts;
mod deflate;
mod drain;
mod engine;
mod io_threads;
mod listeners;
mod metrics;
mod owner_reads;
mod peers;
mod pipes;
mod raw;
mod sessions;
mod sockets;
mod state;
mod tables;
#[cfg(all(unix, feature = "owner-reads"))]
mod uv_poll;
mod wake;

pub use engine::Engine;
