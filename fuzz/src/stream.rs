//! Bytes of the fuzzer turned into a stream of frames.

use engine_io_native::websocket::{Decoder, FrameError, Message};
use std::ops::ControlFlow;

/// What a receiver made of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, Vec<u8>),
}

/// Frames of a client. Each takes a byte of bits and opcode, a byte of length and mask, and its payload:
///
/// * first byte: FIN, RSV1-3, opcode, as on the wire;
/// * second byte: 0-124 bytes of payload follow; 125: 126 of them, repeated; 126: 70,000, once per stream;
///   127: announced but missing, the last frame. The top bit takes the mask away, as rarely happens.
pub fn build(mut data: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = Vec::new();
    let mut large = 70_000;
    while let [first, second, rest @ ..] = data {
        let masked = *second < 0xf0;
        let size = usize::from(second & 0x7f);
        let (payload, rest) = match size {
            125 | 126 => {
                let (seed, rest) = rest.split_at(rest.len().min(4));
                let len = if size == 125 { 126 } else { std::mem::replace(&mut large, 126) };
                (seed.iter().copied().cycle().take(len).collect(), rest)
            }
            127 => (Vec::new(), &[][..]),
            _ => {
                let (payload, rest) = rest.split_at(rest.len().min(size));
                (payload.to_vec(), rest)
            }
        };
        out.push(*first);
        let mask_bit = if masked { 0x80 } else { 0 };
        match (size, payload.len()) {
            (127, _) => {
                out.push(mask_bit | 127);
                out.extend((1u64 << 40).to_be_bytes());
            }
            (_, len @ 0..126) => out.push(mask_bit | len as u8),
            (_, len @ 126..65_536) => {
                out.push(mask_bit | 126);
                out.extend((len as u16).to_be_bytes());
            }
            (_, len) => {
                out.push(mask_bit | 127);
                out.extend((len as u64).to_be_bytes());
            }
        }
        if masked {
            out.extend(MASK);
            out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            out.extend(payload);
        }
        data = rest;
    }
    out
}

/// Feeds a stream in chunks whose sizes come from `sizes`, over and over, with a pause after every other message; no
/// sizes: at once.
pub fn receive(decoder: &mut Decoder, stream: &[u8], sizes: &[u8]) -> (Vec<Received>, Result<(), FrameError>) {
    let mut received = Vec::new();
    let mut rest = stream;
    // long streams in larger chunks, or all the time goes into copying
    let scale = 1 + stream.len() / 4096;
    let is_whole = sizes.is_empty();
    let mut sizes = sizes.iter().map(|size| (usize::from(*size) + 1) * scale).cycle();
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(rest.len()).min(rest.len());
        let (chunk, after) = rest.split_at(size);
        let mut take = |message: Message<'_>| {
            received.push(match message {
                Message::Text(text) => Received::Text(text.into_owned()),
                Message::Binary(bytes) => Received::Binary(bytes.into_owned()),
                Message::Ping(bytes) => Received::Ping(bytes.to_vec()),
                Message::Pong(bytes) => Received::Pong(bytes.to_vec()),
                Message::Close { code, reason } => Received::Close(code, reason.to_vec()),
            });
            let pauses = !is_whole && received.len() % 2 == 1;
            if pauses { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut fed = decoder.feed(&mut chunk.to_vec(), &mut take);
        while fed.is_ok() && decoder.has_undecoded() {
            fed = decoder.feed(&mut [], &mut take);
        }
        if fed.is_err() {
            return (received, fed);
        }
        rest = after;
    }
    (received, Ok(()))
}
