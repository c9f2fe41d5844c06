//! Engine.IO sessions and transports.
//!
//! Bytes come in on the left and events go out on the right:
//!
//! ```text
//! socket / pipe ── websocket (frames) ──┐
//!                                       ├─ protocol (packets) ── session (state machine) ── events ── owner
//! hyper ── http (polls, POSTs) ─────────┘                            │                                  │
//! socket / pipe ◄── outbox ◄── frames, payloads ◄────────────────────┴──────────────────────────────────┘
//! ```
//!
//! [`protocol`], [`websocket`] and [`session`] are pure. [`runtime`] and [`http`] move bytes and time into
//! them; [`cluster`] passes to other processes what is theirs. [`node`] is the only place that knows Node-API.

// Not in Cargo.toml: every test would have to be told that its helpers are its own.
#![warn(unreachable_pub)]

#[deny(unsafe_code)]
pub mod cluster;
#[forbid(unsafe_code)]
pub mod http;
#[forbid(unsafe_code)]
pub mod protocol;
#[deny(unsafe_code)]
pub mod runtime;
#[forbid(unsafe_code)]
pub mod session;
#[forbid(unsafe_code)]
pub mod websocket;

#[cfg(feature = "node")]
pub mod node;
