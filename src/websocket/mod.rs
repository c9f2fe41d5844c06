//! WebSocket for a server, as far as it needs no I/O: handshake rules, frames out, frames in, and
//! the permessage-deflate extension.
//!
//! * [`handshake`]: may this request become a WebSocket, and what is the answer?
//! * [`frame`]: writes frames.
//! * [`decoder`]: bytes in, whole messages out ([`Decoder`]).
//! * [`deflate`]: permessage-deflate, RFC 7692.
//!
//! The rules are those of RFC 6455 as `ws` 8.21 applies them, with its status codes and error
//! messages, because the original shows both to the application.

pub mod decoder;
pub mod deflate;
pub mod error;
pub mod frame;
pub mod handshake;
pub mod mask;

mod assembly;
mod header;
mod limits;
mod message;
mod token;

pub use decoder::Decoder;
pub use deflate::{Deflate, Inflate};
pub use error::FrameError;
pub use frame::{MAX_CONTROL, OpCode, write_close, write_header, write_masked};
pub use handshake::{Handshake, HandshakeError, SWITCHING_PROTOCOLS, UpgradeRequest, VERSIONS, accept_key, check};
pub use limits::{Limits, MAX_FRAGMENTS, max_text, set_max_text};
pub use mask::unmask;
pub use message::Message;
