//! What is fuzzed: one module per target, each a function over bytes that panics when something does not
//! hold. `fuzz_targets/` hands them to libFuzzer; `README.md` tells how to run them.

pub mod cluster;
pub mod deflate;
pub mod frames;
pub mod frames_tungstenite;
pub mod handshake;
pub mod jsonp;
pub mod listener;
pub mod packet;
pub mod payload_v3;
pub mod payload_v4;
pub mod proxy_header;
pub mod session;

mod memory;
mod owner;
mod stream;

/// The simulator of the package's own tests: the target `session` plays it from a tape.
#[path = "../../tests/support/mod.rs"]
mod support;
