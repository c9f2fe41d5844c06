//! The Node-API binding: the only place that knows JavaScript. It decides nothing; it carries values
//! across and keeps the numbers by which JavaScript names sessions, connections and listeners.
//!
//! All methods run on the JavaScript thread of one environment (the main thread or a worker); each
//! environment has an [`engine::Engine`] of its own, nothing is shared between them.

mod compress;
mod deflate;
mod engine;
mod fast;
mod listen;
mod outcome;
mod pipe;
mod polling;
mod sockets;
mod values;
mod wake;
#[cfg(unix)]
mod watch;
mod websocket;

pub use engine::Engine;
