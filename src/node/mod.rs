//! The Node-API binding: the only place that knows JavaScript. It decides nothing; it carries values
//! across and keeps the numbers by which JavaScript names sessions, connections and listeners.
//!
//! All methods run on the JavaScript thread of one environment (the main thread or a worker); each
//! environment has an [`engine::Engine`] of its own, nothing is shared between them.

mod call_result;
mod compress;
mod connections;
mod convert;
mod deflate;
mod engine;
mod listeners;
mod pipes;
mod raw;
mod sessions;
mod sockets;
#[cfg(unix)]
mod uv_poll;
mod wake;

pub use engine::Engine;
