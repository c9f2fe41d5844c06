//! Protocol 3, the former one (`EIO=3`, or none given), served with the option `allowEIO3`.
//!
//! Differences from protocol 4: payloads are length-prefixed, in a text and a binary form. Binary
//! data has its own type, as a first byte or after the `b` of base64. An unknown type in binary data
//! is not an error but a packet without a type, which the JavaScript API shows as `type: undefined`
//! (B-12).

mod decode;
mod encode;
mod payload_binary;
mod payload_text;

pub use decode::{V3Packet, decode_packet_binary, decode_packet_text};
pub use encode::{PayloadEncoder, PayloadForm, encode_base64_frame, encode_binary_frame, encode_text_frame};
pub use payload_binary::{BinaryPayloadIter, LENGTH_END, MAX_DIGITS, decode_payload_binary};
pub use payload_text::{TextPayloadIter, decode_payload_text};
