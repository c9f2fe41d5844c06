//! The decoder on what hostile clients send: one row of the catalogue's table C-2 after the other.

use std::ops::ControlFlow;

use engine_io_native::websocket::{Decoder, FrameError, Limits, Message, OpCode, write_masked};

const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// A frame of arbitrary first byte, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_masked(&mut out, OpCode::Text, payload, MASK);
    out[0] = first;
    out
}

/// Feeds everything at once and byte by byte, which must end alike: the number of messages and the
/// fault.
fn fault_within(limits: Limits, stream: &[u8]) -> (usize, Option<FrameError>) {
    let run = |chunk: usize| {
        let mut decoder = Decoder::new(limits);
        let mut messages = 0;
        for chunk in stream.chunks(chunk) {
            let fed = decoder.feed(&mut chunk.to_vec(), |_| {
                messages += 1;
                ControlFlow::Continue(())
            });
            if let Err(error) = fed {
                assert_eq!(decoder.retained(), 0);
                assert_eq!(decoder.feed(&mut [0xff; 9], |_| panic!("told after a fault")), Ok(()));
                return (messages, Some(error));
            }
        }
        (messages, None)
    };
    let whole = run(stream.len().max(1));
    assert_eq!(whole, run(1));
    whole
}

fn fault(stream: &[u8]) -> Option<FrameError> {
    fault_within(Limits::default(), stream).1
}

#[test]
fn an_unmasked_frame_is_refused() {
    assert_eq!(fault(&[0x81, 0x01, b'4']), Some(FrameError::MaskMissing));
}

#[test]
fn rsv1_is_refused_without_an_extension() {
    for first in [0xc1, 0xc2, 0xc9, 0xc0] {
        assert_eq!(fault(&frame(first, b"4")), Some(FrameError::Rsv1Set));
    }
}

#[test]
fn rsv2_and_rsv3_are_refused_before_anything_else() {
    for first in [0xa1, 0x91, 0xf1, 0x33] {
        assert_eq!(fault(&[first, 0x01]), Some(FrameError::Rsv23Set));
    }
}

#[test]
fn reserved_opcodes_are_refused() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        assert_eq!(fault(&frame(0x80 | opcode, b"")), Some(FrameError::InvalidOpcode(opcode)));
    }
}

#[test]
fn a_continuation_needs_something_to_continue() {
    assert_eq!(fault(&frame(0x80, b"a")), Some(FrameError::InvalidOpcode(0)));
    let whole_then_continuation = [frame(0x81, b"4"), frame(0x80, b"a")].concat();
    assert_eq!(fault_within(Limits::default(), &whole_then_continuation), (1, Some(FrameError::InvalidOpcode(0))));
}

#[test]
fn a_message_must_not_begin_inside_another() {
    for (first, second) in [(0x01, 0x81), (0x01, 0x82), (0x02, 0x01)] {
        let stream = [frame(first, b"4"), frame(second, b"4")].concat();
        assert_eq!(fault(&stream), Some(FrameError::InvalidOpcode(second & 0x0f)));
    }
}

#[test]
fn control_frames_must_not_be_fragmented() {
    for first in [0x08, 0x09, 0x0a] {
        assert_eq!(fault(&frame(first, b"")), Some(FrameError::ControlFragmented));
    }
}

#[test]
fn control_frames_hold_at_most_125_bytes() {
    assert_eq!(fault_within(Limits::default(), &frame(0x89, &[0; 125])), (1, None));
    assert_eq!(fault(&frame(0x89, &[0; 126])), Some(FrameError::InvalidControlLength(126)));
    assert_eq!(fault(&frame(0x8a, &[0; 70_000])), Some(FrameError::InvalidControlLength(127)));
}

#[test]
fn a_close_payload_of_one_byte_is_refused() {
    assert_eq!(fault(&frame(0x88, &[3])), Some(FrameError::InvalidControlLength(1)));
}

#[test]
fn close_codes_are_judged_like_ws_does() {
    for code in 0..=u16::MAX {
        let valid = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let expected = if valid { (1, None) } else { (0, Some(FrameError::InvalidCloseCode(code))) };
        assert_eq!(fault_within(Limits::default(), &frame(0x88, &code.to_be_bytes())), expected);
    }
}

#[test]
fn a_close_reason_must_be_utf8() {
    assert_eq!(fault(&frame(0x88, b"\x03\xe8\xff")), Some(FrameError::InvalidUtf8));
}

#[test]
fn text_must_be_utf8() {
    for text in [&b"4\xff"[..], b"4\xe2\x82", b"4\xed\xa0\x80", b"4\xc0\xaf", b"4\xf4\x90\x80\x80"] {
        assert_eq!(fault(&frame(0x81, text)), Some(FrameError::InvalidUtf8));
        let fragmented = [frame(0x01, text), frame(0x80, b"")].concat();
        assert_eq!(fault(&fragmented), Some(FrameError::InvalidUtf8));
    }
}

#[test]
fn broken_text_fails_before_the_message_is_complete() {
    assert_eq!(fault(&frame(0x01, b"4\xff")), Some(FrameError::InvalidUtf8));
    let begun = &frame(0x81, &[&b"4\xff"[..], &[b'a'; 100]].concat())[..20];
    assert_eq!(fault(begun), Some(FrameError::InvalidUtf8));
}

#[test]
fn lengths_beyond_2_to_the_53_are_refused_at_the_header() {
    for len in [1u64 << 53, 1 << 63, u64::MAX] {
        let stream = [&[0x82, 0xff][..], &len.to_be_bytes()].concat();
        assert_eq!(fault(&stream), Some(FrameError::LengthTooLarge));
    }
    let unlimited = Limits { max_payload: 0, ..Limits::default() };
    let stream = [&[0x82, 0xff][..], &((1u64 << 53) - 1).to_be_bytes(), &MASK, &[0; 100]].concat();
    assert_eq!(fault_within(unlimited, &stream), (0, None));
}

#[test]
fn a_frame_beyond_the_limit_is_refused_at_the_header() {
    let limits = Limits { max_payload: 1000, ..Limits::default() };
    assert_eq!(fault_within(limits, &frame(0x82, &[0; 1000])), (1, None));
    assert_eq!(fault_within(limits, &[0x82, 0xfe, 0x03, 0xe9]), (0, Some(FrameError::MessageTooBig)));
}

#[test]
fn the_limit_counts_the_sum_of_the_fragments() {
    let limits = Limits { max_payload: 10, ..Limits::default() };
    let exact = [frame(0x02, &[0; 6]), frame(0x80, &[0; 4])].concat();
    assert_eq!(fault_within(limits, &exact), (1, None));
    let header = &frame(0x80, &[0; 5])[..2];
    let beyond = [&frame(0x02, &[0; 6])[..], header].concat();
    assert_eq!(fault_within(limits, &beyond), (0, Some(FrameError::MessageTooBig)));
    let messages = [exact.clone(), exact].concat();
    assert_eq!(fault_within(limits, &messages), (2, None));
}

#[test]
fn control_frames_do_not_count_to_the_limit() {
    let limits = Limits { max_payload: 10, ..Limits::default() };
    let stream = [frame(0x02, &[0; 6]), frame(0x89, &[0; 100]), frame(0x80, &[0; 4])].concat();
    assert_eq!(fault_within(limits, &stream), (2, None));
}

#[test]
fn empty_fragments_count_to_their_limit() {
    let empty = |count: usize| [frame(0x02, b""), frame(0x00, b"").repeat(count - 1)].concat();
    let last = frame(0x80, b"");
    assert_eq!(fault_within(Limits::default(), &[empty(16_383), last].concat()), (1, None));
    assert_eq!(fault(&[empty(16_384), frame(0x00, b"")].concat()), Some(FrameError::TooManyFragments));
}

/// What comes of a stream of these pieces with at most three of a frame.
fn of_three_chunks(pieces: &[&[u8]]) -> Result<usize, FrameError> {
    let mut decoder = Decoder::new(Limits { max_chunks: 3, ..Limits::default() });
    let mut messages = 0;
    for piece in pieces {
        decoder.feed(&mut piece.to_vec(), |_| {
            messages += 1;
            ControlFlow::Continue(())
        })?;
    }
    Ok(messages)
}

#[test]
fn a_frame_may_come_in_as_many_pieces_as_are_allowed() {
    let whole = frame(0x82, b"0123456789");
    let (head, payload) = whole.split_at(6);
    let pieces = |n: usize| {
        let (first, rest) = payload.split_at(payload.len() - n + 1);
        [&[[head, first].concat()][..], &rest.chunks(1).map(<[u8]>::to_vec).collect::<Vec<_>>()].concat()
    };
    let fed = |pieces: Vec<Vec<u8>>| of_three_chunks(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
    assert_eq!(fed(pieces(3)), Ok(1));
    assert_eq!(fed(pieces(4)), Err(FrameError::TooManyChunks));
    // each frame counts for itself, and what is not there does not count
    assert_eq!(fed([pieces(3), pieces(3)].concat()), Ok(2));
    let empty = vec![vec![]; 9];
    assert_eq!(fed([pieces(3)[..1].to_vec(), empty, pieces(3)[1..].to_vec()].concat()), Ok(1));
    // a piece may have the end of one frame and the beginning of the next
    let joined = [pieces(3)[2].clone(), pieces(3)[0].clone()].concat();
    assert_eq!(fed([pieces(3)[..2].to_vec(), vec![joined], pieces(3)[1..].to_vec()].concat()), Ok(2));
}

#[test]
fn every_fault_has_the_code_class_and_message_of_ws() {
    let prefixed = |text: &str| format!("Invalid WebSocket frame: {text}");
    for (error, code, name, message) in [
        (FrameError::MaskMissing, 1002, "RangeError", prefixed("MASK must be set")),
        (FrameError::Rsv1Set, 1002, "RangeError", prefixed("RSV1 must be clear")),
        (FrameError::Rsv23Set, 1002, "RangeError", prefixed("RSV2 and RSV3 must be clear")),
        (FrameError::InvalidOpcode(3), 1002, "RangeError", prefixed("invalid opcode 3")),
        (FrameError::ControlFragmented, 1002, "RangeError", prefixed("FIN must be set")),
        (FrameError::InvalidControlLength(126), 1002, "RangeError", prefixed("invalid payload length 126")),
        (FrameError::InvalidCloseCode(1005), 1002, "RangeError", prefixed("invalid status code 1005")),
        (FrameError::InvalidUtf8, 1007, "Error", prefixed("invalid UTF-8 sequence")),
        (
            FrameError::LengthTooLarge,
            1009,
            "RangeError",
            "Unsupported WebSocket frame: payload length > 2^53 - 1".into(),
        ),
        (FrameError::MessageTooBig, 1009, "RangeError", "Max payload size exceeded".into()),
        (FrameError::TooManyFragments, 1008, "RangeError", "Too many message fragments".into()),
        (FrameError::TooManyChunks, 1008, "RangeError", "Too many buffered chunks".into()),
        (FrameError::Inflate("invalid block type".into()), 1007, "Error", "invalid block type".into()),
    ] {
        assert_eq!((error.close_code(), error.name(), error.to_string()), (code, name, message));
    }
}

/// A small generator with a fixed seed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// What a decoder makes of a stream fed in pieces chosen by `next_piece`.
fn trace(stream: &[u8], mut next_piece: impl FnMut() -> usize) -> Vec<String> {
    let mut decoder = Decoder::new(Limits { max_payload: 300, max_fragments: 5, max_chunks: 0, max_text: 0 });
    let mut trace = Vec::new();
    let mut rest = stream.to_vec();
    while !rest.is_empty() {
        let mut tail = rest.split_off(next_piece().clamp(1, rest.len()));
        std::mem::swap(&mut rest, &mut tail);
        let fed = decoder.feed(&mut tail, |message| {
            trace.push(match message {
                Message::Text(text) => {
                    assert!(std::str::from_utf8(&text).is_ok());
                    format!("text {text:?}")
                }
                message => format!("{message:?}"),
            });
            ControlFlow::Continue(())
        });
        assert!(decoder.retained() < 1500);
        if let Err(error) = fed {
            trace.push(error.to_string());
            break;
        }
    }
    trace
}

#[test]
fn random_streams_end_the_same_however_they_are_cut() {
    let mut random = Random(7);
    for _ in 0..20_000 {
        let mut stream = Vec::new();
        for _ in 0..random.below(8) {
            let payload: Vec<u8> = (0..random.below(150)).map(|_| b"a\xc3\xa9"[random.below(3)]).collect();
            let first = [0x81, 0x82, 0x01, 0x02, 0x80, 0x00, 0x89, 0x8a, 0x88][random.below(9)];
            stream.extend(frame(first, &payload));
        }
        for _ in 0..random.below(3) {
            if !stream.is_empty() {
                let at = random.below(stream.len());
                stream[at] = random.below(256) as u8;
            }
        }
        let bytewise = trace(&stream, || 1);
        assert_eq!(trace(&stream, || random.below(60)), bytewise, "{stream:02x?}");
        assert_eq!(trace(&stream, || usize::MAX), bytewise, "{stream:02x?}");
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut random = Random(11);
    for _ in 0..20_000 {
        let stream: Vec<u8> = (0..random.below(200)).map(|_| random.below(256) as u8).collect();
        trace(&stream, || 1 + random.below(20));
    }
}
