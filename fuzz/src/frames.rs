//! The frame machine, with and without permessage-deflate.

use engine_io_native::websocket::deflate::{Inflate, Options, negotiate};
use engine_io_native::websocket::{Decoder, Limits};

use crate::stream::{Received, build, receive};

const OFFERS: [&str; 3] = [
    "permessage-deflate",
    "permessage-deflate; client_no_context_takeover",
    "permessage-deflate; client_max_window_bits=9; client_no_context_takeover",
];

/// First byte: bit 0 raw bytes instead of built frames, bits 1-2 permessage-deflate (0: none), bits 3-4 the
/// limit, bits 5-6 the number of fragments; then two sizes of chunks; the rest is the stream.
pub fn run(data: &[u8]) {
    let [setup, sizes @ ..] = data else { return };
    let Some((sizes, content)) = sizes.split_at_checked(2) else { return };
    let limits = Limits {
        max_payload: [0, 10, 1_000, 100_000][usize::from(setup >> 3 & 3)],
        max_fragments: [0, 1, 3, 100][usize::from(setup >> 5 & 3)],
        // the same stream is fed in pieces and as a whole
        max_chunks: 0,
        max_text: 0,
    };
    let offer = usize::from(setup >> 1 & 3).checked_sub(1).and_then(|offer| OFFERS.get(offer));
    let decoder = || match offer {
        None => Decoder::new(limits),
        Some(offer) => {
            let agreement = negotiate(offer, &Options::default()).expect("sound").expect("offered");
            Decoder::with_inflate(limits, Inflate::new(&agreement))
        }
    };
    let stream = if setup & 1 == 0 { build(content) } else { content.to_vec() };

    let mut whole = decoder();
    let (received, result) = receive(&mut whole, &stream, &[]);
    let mut cut = decoder();
    let (received_cut, result_cut) = receive(&mut cut, &stream, sizes);
    assert_eq!(received_cut, received, "chunks make a difference");
    if offer.is_none() {
        assert_eq!(result_cut, result, "chunks make a difference");
    } else {
        // which of several faults of a compressed message is found first depends on how far it was inflated
        assert_eq!(result_cut.is_err(), result.is_err(), "chunks make a difference");
    }

    for message in &received {
        let len = match message {
            Received::Text(text) => {
                assert!(std::str::from_utf8(text).is_ok(), "a text that is not UTF-8");
                text.len()
            }
            Received::Binary(bytes) => bytes.len(),
            Received::Ping(bytes) | Received::Pong(bytes) => {
                assert!(bytes.len() <= 125);
                0
            }
            Received::Close(code, reason) => {
                assert!(reason.len() <= 123 && std::str::from_utf8(reason).is_ok());
                assert!(code.is_none_or(|code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)));
                0
            }
        };
        assert!(limits.max_payload == 0 || len as u64 <= limits.max_payload, "a message above the limit");
    }
    let closes = received.iter().position(|message| matches!(message, Received::Close(..)));
    assert!(closes.is_none_or(|at| at + 1 == received.len()), "something follows a close frame");
    if limits.max_payload > 0 {
        // twice the limit, and what one more frame header and the bookkeeping take
        assert!(cut.retained() as u64 <= 2 * limits.max_payload + 8_192, "{} bytes retained", cut.retained());
    }
    // after an error or a close nothing is listened to
    if result.is_err() || closes.is_some() {
        assert_eq!(whole.retained(), 0);
        assert_eq!(receive(&mut whole, &build(&[0x81, 1, b'x']), &[]), (vec![], Ok(())));
    }
}
