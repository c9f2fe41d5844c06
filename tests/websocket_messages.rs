//! The decoder on what well-behaved clients send, however the network cuts it.

use std::borrow::Cow;
use std::ops::ControlFlow;

use engine_io_native::websocket::{Decoder, FrameError, Limits, Message, OpCode, write_masked};

const MASK: [u8; 4] = [0x9a, 0x01, 0x7f, 0xc3];

/// A message with its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, Vec<u8>),
}

impl From<Message<'_>> for Got {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.into_owned()),
            Message::Binary(bytes) => Self::Binary(bytes.into_owned()),
            Message::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Message::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Message::Close { code, reason } => Self::Close(code, reason.to_vec()),
        }
    }
}

fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_masked(&mut out, opcode, payload, MASK);
    out
}

/// A frame with the FIN bit cleared.
fn fragment(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut out = frame(opcode, payload);
    out[0] &= 0x7f;
    out
}

/// Feeds `stream` in chunks of the given size.
fn decode(decoder: &mut Decoder, stream: &[u8], chunk: usize) -> Result<Vec<Got>, FrameError> {
    let mut got = Vec::new();
    for chunk in stream.chunks(chunk) {
        decoder.feed(&mut chunk.to_vec(), |message| {
            got.push(message.into());
            ControlFlow::Continue(())
        })?;
    }
    Ok(got)
}

fn decode_all(stream: &[u8]) -> Result<Vec<Got>, FrameError> {
    decode(&mut Decoder::new(Limits::default()), stream, stream.len().max(1))
}

/// A stream with every kind of frame and of length.
fn conversation() -> (Vec<u8>, Vec<Got>) {
    let long = "€".repeat(100).into_bytes();
    let longer = vec![0xa5; 70_000];
    let mut stream = Vec::new();
    for part in [
        frame(OpCode::Text, b"4hello"),
        frame(OpCode::Binary, b""),
        frame(OpCode::Ping, b"are you there"),
        frame(OpCode::Text, &long),
        fragment(OpCode::Text, &long[..100]),
        frame(OpCode::Ping, b"between"),
        fragment(OpCode::Continuation, b""),
        frame(OpCode::Pong, b""),
        frame(OpCode::Continuation, &long[100..]),
        frame(OpCode::Binary, &longer),
        fragment(OpCode::Binary, &[1]),
        frame(OpCode::Continuation, &[]),
        frame(OpCode::Close, b"\x03\xe8bye"),
    ] {
        stream.extend(part);
    }
    let got = vec![
        Got::Text(b"4hello".to_vec()),
        Got::Binary(vec![]),
        Got::Ping(b"are you there".to_vec()),
        Got::Text(long.clone()),
        Got::Ping(b"between".to_vec()),
        Got::Pong(vec![]),
        Got::Text(long),
        Got::Binary(longer),
        Got::Binary(vec![1]),
        Got::Close(Some(1000), b"bye".to_vec()),
    ];
    (stream, got)
}

#[test]
fn several_frames_in_one_chunk_come_out_in_order() {
    let (stream, expected) = conversation();
    assert_eq!(decode_all(&stream), Ok(expected));
}

#[test]
fn a_stream_split_in_two_at_any_byte_yields_the_same() {
    let (stream, expected) = conversation();
    // Every border within the small frames, and a sample within the long one.
    let borders = (0..1200).chain((1200..stream.len()).step_by(997)).chain(stream.len() - 60..stream.len());
    for border in borders {
        let mut decoder = Decoder::new(Limits::default());
        let (head, tail) = stream.split_at(border);
        let mut got = decode(&mut decoder, head, head.len().max(1)).expect("sound");
        got.extend(decode(&mut decoder, tail, tail.len().max(1)).expect("sound"));
        assert_eq!(got, expected, "split at {border}");
    }
}

#[test]
fn a_stream_in_chunks_of_any_size_yields_the_same() {
    let (stream, expected) = conversation();
    for chunk in [1, 2, 3, 5, 7, 13, 64, 125, 1000, 4096, 65_536] {
        let mut decoder = Decoder::new(Limits { max_chunks: 0, ..Limits::default() });
        assert_eq!(decode(&mut decoder, &stream, chunk).as_ref(), Ok(&expected), "chunks of {chunk}");
    }
}

#[test]
fn a_whole_message_is_borrowed_and_a_cut_one_is_owned() {
    let mut stream = frame(OpCode::Text, b"4hello");
    let mut decoder = Decoder::new(Limits::default());
    let mut kinds = Vec::new();
    let mut note = |message: Message<'_>| {
        kinds.push(matches!(message, Message::Text(Cow::Borrowed(_))));
        ControlFlow::Continue(())
    };
    assert_eq!(decoder.feed(&mut stream.clone(), &mut note), Ok(()));
    let (head, tail) = stream.split_at_mut(8);
    assert_eq!(decoder.feed(head, &mut note), Ok(()));
    assert_eq!(decoder.feed(tail, &mut note), Ok(()));
    assert_eq!(kinds, [true, false]);
}

#[test]
fn between_messages_the_decoder_holds_no_memory() {
    let (stream, _) = conversation();
    let mut decoder = Decoder::new(Limits::default());
    assert_eq!(decoder.retained(), 0);
    let close = stream.len() - 11;
    decode(&mut decoder, &stream[..close], 100).expect("sound");
    assert_eq!(decoder.retained(), 0);
    assert!(size_of::<Decoder>() <= 56);
}

#[test]
fn an_announced_length_allocates_nothing_by_itself() {
    let mut header = vec![0x82, 0x80 | 127];
    header.extend_from_slice(&900_000u64.to_be_bytes());
    header.extend_from_slice(&MASK);
    let mut decoder = Decoder::new(Limits::default());
    assert_eq!(decode(&mut decoder, &header, 1), Ok(vec![]));
    assert!(decoder.retained() < 512, "{}", decoder.retained());
    assert_eq!(decode(&mut decoder, &[0; 100], 1), Ok(vec![]));
    assert!(decoder.retained() <= 4096 + 512, "{}", decoder.retained());
    assert_eq!(decode(&mut decoder, &[0; 100_000], 1000), Ok(vec![]));
    assert!(decoder.retained() <= 2 * 100_100 + 512, "{}", decoder.retained());
}

#[test]
fn a_cut_message_is_handed_out_without_spare_memory() {
    let payload = vec![7; 300_000];
    let stream = frame(OpCode::Binary, &payload);
    let mut decoder = Decoder::new(Limits::default());
    let mut capacity = 0;
    for chunk in stream.chunks(65_536) {
        let fed = decoder.feed(&mut chunk.to_vec(), |message| {
            if let Message::Binary(Cow::Owned(bytes)) = message {
                capacity = bytes.capacity();
            }
            ControlFlow::Continue(())
        });
        assert_eq!(fed, Ok(()));
    }
    assert_eq!(capacity, payload.len());
}

#[test]
fn lengths_need_not_be_minimal() {
    let mut stream = vec![0x82, 0x80 | 126, 0, 1, 0, 0, 0, 0, 9];
    stream.extend([0x81, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, b'4']);
    assert_eq!(decode_all(&stream), Ok(vec![Got::Binary(vec![9]), Got::Text(b"4".to_vec())]));
}

#[test]
fn a_close_frame_may_be_empty() {
    assert_eq!(decode_all(&frame(OpCode::Close, b"")), Ok(vec![Got::Close(None, vec![])]));
}

#[test]
fn everything_after_a_close_frame_is_ignored() {
    let mut stream = frame(OpCode::Close, b"\x03\xe8");
    stream.extend(frame(OpCode::Text, b"4late"));
    stream.extend([0xff; 20]);
    assert_eq!(decode_all(&stream), Ok(vec![Got::Close(Some(1000), vec![])]));
    let mut decoder = Decoder::new(Limits::default());
    assert_eq!(decode(&mut decoder, &stream, 1), Ok(vec![Got::Close(Some(1000), vec![])]));
}

#[test]
fn after_a_break_the_rest_waits_for_the_next_call() {
    let mut stream = Vec::new();
    for text in ["1", "2", "3", "4"] {
        stream.extend(frame(OpCode::Text, text.as_bytes()));
    }
    let cut = stream.len() - 3;
    let mut decoder = Decoder::new(Limits::default());
    let mut one = |chunk: &[u8]| {
        let mut got = Vec::new();
        let fed = decoder.feed(&mut chunk.to_vec(), |message| {
            got.push(format!("{message:?}"));
            ControlFlow::Break(())
        });
        assert_eq!(fed, Ok(()));
        (got.concat(), decoder.has_undecoded(), decoder.retained() > 0)
    };
    let (first, rest, holds) = one(&stream[..cut]);
    assert!(first.contains("[49]") && rest && holds, "{first}");
    let (second, rest, _) = one(&[]);
    assert!(second.contains("[50]") && rest, "{second}");
    let (third, rest, _) = one(&stream[cut..]);
    assert!(third.contains("[51]") && rest, "{third}");
    let (fourth, rest, holds) = one(&[]);
    assert!(fourth.contains("[52]") && !rest && !holds, "{fourth}");
    assert_eq!(one(&[]), (String::new(), false, false));
}

#[test]
fn a_fault_behind_a_break_is_found_when_the_rest_is_decoded() {
    let mut stream = frame(OpCode::Text, b"1");
    stream.extend([0xff, 0xff]);
    let mut decoder = Decoder::new(Limits::default());
    assert_eq!(decoder.feed(&mut stream, |_| ControlFlow::Break(())), Ok(()));
    assert!(decoder.feed(&mut [], |_| panic!("there is nothing more")).is_err());
    assert!(!decoder.has_undecoded());
}

#[test]
fn a_text_that_is_longer_than_the_owners_strings_is_a_fault() {
    let limits = Limits { max_text: 10, ..Limits::default() };
    for (text, fits) in [
        ("0123456789", true),
        ("0123456789a", false),
        ("€€€€€€€€€€", true),
        ("😀😀😀😀😀", true),
        ("😀😀😀😀😀a", false),
    ] {
        let (head, tail) = text.as_bytes().split_at(4);
        let mut stream = fragment(OpCode::Text, head);
        stream.extend(frame(OpCode::Continuation, tail));
        let mut got = 0;
        let fed = Decoder::new(limits).feed(&mut stream, |_| {
            got += 1;
            ControlFlow::Continue(())
        });
        assert_eq!((fed.is_ok(), got), (fits, usize::from(fits)), "{text}: {fed:?}");
        assert!(fed.is_ok() || fed.is_err_and(|error| error.close_code() == 1009 && error.to_string().contains("11 ")));
    }
    // bytes are not characters
    let mut stream = fragment(OpCode::Binary, &[0; 20]);
    stream.extend(frame(OpCode::Continuation, &[0; 20]));
    assert_eq!(Decoder::new(limits).feed(&mut stream, |_| ControlFlow::Continue(())), Ok(()));
}

#[test]
fn a_character_may_be_cut_by_frames_and_chunks() {
    let mut stream = fragment(OpCode::Text, b"4\xe2");
    stream.extend(fragment(OpCode::Continuation, b"\x82"));
    stream.extend(frame(OpCode::Continuation, b"\xac!"));
    for chunk in 1..stream.len() {
        let mut decoder = Decoder::new(Limits::default());
        let got = decode(&mut decoder, &stream, chunk);
        assert_eq!(got, Ok(vec![Got::Text("4€!".into())]));
    }
}
