//! What is sent and what must come back. A pool of different messages with prebuilt masked frames; the message of
//! connection c with sequence number s is variant (c + s) mod pool, so a loss, a swap or a stranger's message shows.

use crate::args::Args;
use crate::deflate;
use crate::ws::{self, Rng};

pub struct Pool {
    /// Engine.IO encoded (with the packet type where there is one), as it must come back.
    pub plain: Vec<Vec<u8>>,
    /// The payloads as masked frames.
    pub frames: Vec<Vec<u8>>,
    pub opcode: u8,
}

impl Pool {
    pub fn new(a: &Args, rng: &mut Rng) -> Pool {
        let n = if a.size <= 4096 { 61 } else { 17 }.max(a.inflight * 2 + 1);
        let opcode = if a.binary { ws::BINARY } else { ws::TEXT };
        let mut plain = Vec::new();
        for v in 0..n {
            let mut body: Vec<u8> = Vec::with_capacity(a.size);
            if a.deflate {
                json(&mut body, v, a.size, rng);
            } else if a.binary {
                body.extend_from_slice(&(v as u32).to_be_bytes());
                while body.len() < a.size {
                    body.extend_from_slice(&rng.next_u32().to_ne_bytes());
                }
            } else {
                body.extend_from_slice(format!("{v:04} ").as_bytes());
                const T: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .";
                while body.len() < a.size {
                    body.push(T[rng.next_u32() as usize & 63]);
                }
            }
            body.truncate(a.size);
            plain.push(if a.binary {
                body
            } else if a.sio {
                [b"42[\"m\",\"", &body[..], b"\"]"].concat()
            } else if a.raw {
                body
            } else {
                [b"4", &body[..]].concat()
            });
        }
        let frames = plain
            .iter()
            .map(|p| {
                if a.deflate {
                    ws::masked(rng, opcode | ws::RSV1, &deflate::compress(p))
                } else {
                    ws::masked(rng, opcode, p)
                }
            })
            .collect();
        Pool { plain, frames, opcode }
    }
    #[inline]
    pub fn variant(&self, conn: usize, seq: u64) -> usize {
        (conn as u64 + seq) as usize % self.plain.len()
    }
}

/// JSON as applications send it: an array of like objects, numbers and words that differ.
fn json(out: &mut Vec<u8>, v: usize, size: usize, rng: &mut Rng) {
    const WORDS: [&str; 12] =
        ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo", "lima"];
    out.extend_from_slice(format!(r#"{{"type":"update","seq":{v:04},"items":["#).as_bytes());
    const END: &[u8] = br#"],"pad":""}"#;
    loop {
        let item = format!(
            r#"{}{{"id":{},"user":"{}","text":"{} {} {}","x":{:.3},"done":{}}}"#,
            if out.ends_with(b"[") { "" } else { "," },
            rng.next_u32(),
            WORDS[rng.next_u32() as usize % WORDS.len()],
            WORDS[rng.next_u32() as usize % WORDS.len()],
            WORDS[rng.next_u32() as usize % WORDS.len()],
            WORDS[rng.next_u32() as usize % WORDS.len()],
            rng.next_u32() as f64 / 1e6,
            rng.next_u32() & 1 == 0
        );
        if out.len() + item.len() + END.len() > size {
            break;
        }
        out.extend_from_slice(item.as_bytes());
    }
    let pad = size.saturating_sub(out.len() + END.len());
    out.extend_from_slice(&END[..END.len() - 2]);
    out.resize(out.len() + pad, b'.');
    out.extend_from_slice(&END[END.len() - 2..]);
}
