//! What waits to be compressed on a connection with permessage-deflate.

use crate::websocket::{Deflate, OpCode, write_header};

/// Something to send on a connection with permessage-deflate, in order.
#[derive(Debug)]
pub(super) enum Pending {
    /// A message that the next flush compresses.
    Message(OpCode, Vec<u8>),
    /// Complete frames.
    Frames(Vec<u8>),
}

/// Messages that a connection with permessage-deflate has still to compress.
#[derive(Debug)]
pub(super) struct Deflating {
    /// Messages and frames that come after the outbox's bytes.
    pub(super) pending: Vec<Pending>,
    /// A thread compresses what was in `pending`. Nothing may overtake it until it is among the bytes.
    pub(super) compressing: bool,
    /// Bytes from which on a message is compressed.
    pub(super) from: usize,
}

/// Messages taken out of an outbox to be compressed.
#[derive(Debug)]
pub struct Uncompressed(pub(super) Vec<Pending>);

impl Uncompressed {
    /// The frames to write.
    pub fn compress(self, deflate: &mut Deflate) -> Vec<u8> {
        let mut frames = Vec::new();
        let mut payload = Vec::new();
        for pending in self.0 {
            match pending {
                Pending::Frames(bytes) => frames.extend_from_slice(&bytes),
                Pending::Message(opcode, message) => {
                    payload.clear();
                    let compressed = deflate.compress(&message, &mut payload);
                    let payload = if compressed { &payload } else { &message };
                    write_header(&mut frames, opcode, compressed, payload.len());
                    frames.extend_from_slice(payload);
                }
            }
        }
        frames
    }
}
