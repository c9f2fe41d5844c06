//! permessage-deflate: what one end compresses the other inflates, whatever was agreed.

use engine_io_native::websocket::deflate::{Agreement, Options, negotiate};
use engine_io_native::websocket::{Decoder, Deflate, Inflate, Limits};

use crate::stream::{Received, receive};

/// First byte: bit 0 and 1 the takeover of contexts, bits 2-4 the window, bit 5 garbage instead of a round
/// trip; second byte: zlib's level and the size of the messages; the rest is content.
pub fn run(data: &[u8]) {
    let [setup, second, content @ ..] = data else { return };
    let agreement = agreement(*setup);
    let limits = Limits { max_payload: 65_536, max_fragments: 0, max_chunks: 0, max_text: 0 };
    let mut decoder = Decoder::with_inflate(limits, Inflate::new(&agreement));
    // few messages: most of the time goes into setting zlib up
    let size = content.len() / 8 + usize::from(second >> 4) * 40 + 1;
    if setup & 32 != 0 {
        for part in content.chunks(size) {
            let (received, result) = receive(&mut decoder, &frame(part), &[]);
            assert!(received.len() <= 1 && (result.is_err() || received.len() == 1 || decoder_ended(&mut decoder)));
            for message in received {
                let Received::Binary(bytes) = message else { panic!("{message:?}") };
                assert!(bytes.len() <= 65_536, "a bomb went off");
            }
        }
        return;
    }
    // the server's end, read by a client that agreed on the mirrored terms
    let mut deflate = Deflate::new(&mirrored(&agreement), u32::from(second & 15));
    for part in content.chunks(size) {
        let mut compressed = Vec::new();
        assert!(deflate.compress(part, &mut compressed), "zlib failed");
        let read = receive(&mut decoder, &frame(&compressed), &[3, 0, 17]);
        assert_eq!(read, (vec![Received::Binary(part.to_vec())], Ok(())));
    }
}

/// Whether nothing is listened to any more.
fn decoder_ended(decoder: &mut Decoder) -> bool {
    receive(decoder, &[0x89, 0x80, 0, 0, 0, 0], &[]).0.is_empty()
}

fn agreement(setup: u8) -> Agreement {
    let mut offer = format!("permessage-deflate; client_max_window_bits={}", 8 + (setup >> 2 & 7));
    if setup & 1 != 0 {
        offer += "; client_no_context_takeover";
    }
    if setup & 2 != 0 {
        offer += "; server_no_context_takeover";
    }
    negotiate(&offer, &Options::default()).expect("sound").expect("offered")
}

/// The client's terms as the server's.
fn mirrored(agreement: &Agreement) -> Agreement {
    Agreement {
        server_no_context_takeover: agreement.client_no_context_takeover,
        client_no_context_takeover: agreement.server_no_context_takeover,
        server_max_window_bits: agreement.client_max_window_bits,
        client_max_window_bits: agreement.server_max_window_bits,
        header: String::new(),
    }
}

/// A compressed binary message with a mask of zeros.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xc2];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(len).expect("chunks are small").to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
