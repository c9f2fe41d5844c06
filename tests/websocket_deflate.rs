//! permessage-deflate: negotiation, inflating, deflating.

use std::ops::ControlFlow;

use engine_io_native::websocket::deflate::{
    Agreement, ContextTakeover, ExtensionError, Options, WindowBits, negotiate,
};
use engine_io_native::websocket::{
    Decoder, Deflate, FrameError, HandshakeError, Inflate, Limits, Message, OpCode, write_masked,
};

fn answer(header: &str) -> Result<Option<String>, ExtensionError> {
    answer_with(header, Options::default())
}

fn answer_with(header: &str, options: Options) -> Result<Option<String>, ExtensionError> {
    negotiate(header, &options).map(|agreement| agreement.map(|agreement| agreement.header))
}

fn agreement(header: &str) -> Agreement {
    negotiate(header, &Options::default()).expect("acceptable").expect("offered")
}

fn accepted(header: &str) -> Result<Option<String>, ExtensionError> {
    Ok(Some(header.to_owned()))
}

/// A compressed frame as a client sends it; `fin` and RSV1 as given by the first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_masked(&mut out, OpCode::Text, payload, [5, 6, 7, 8]);
    out[0] = first;
    out
}

fn decoder(max_payload: u64, agreement: &Agreement) -> Decoder {
    Decoder::with_inflate(Limits { max_payload, ..Limits::default() }, Inflate::new(agreement))
}

/// Everything a stream yields: messages as bytes, then the fault.
fn decode(decoder: &mut Decoder, stream: &[u8], chunk: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let mut got = Vec::new();
    for chunk in stream.chunks(chunk) {
        let fed = decoder.feed(&mut chunk.to_vec(), |message| {
            if let Message::Text(bytes) | Message::Binary(bytes) = message {
                got.push(bytes.into_owned());
            }
            ControlFlow::Continue(())
        });
        if let Err(error) = fed {
            return (got, Some(error));
        }
    }
    (got, None)
}

fn compress(deflate: &mut Deflate, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(deflate.compress(message, &mut out));
    out
}

#[test]
fn a_plain_offer_is_accepted_plainly() {
    assert_eq!(answer("permessage-deflate"), accepted("permessage-deflate"));
    assert_eq!(answer("x-foo; a=1; a=2, permessage-deflate"), accepted("permessage-deflate"));
    assert_eq!(answer("x-foo"), Ok(None));
}

#[test]
fn a_bare_client_window_is_not_answered_and_a_numeric_one_is() {
    assert_eq!(answer("permessage-deflate; client_max_window_bits"), accepted("permessage-deflate"));
    assert_eq!(
        answer("permessage-deflate; client_max_window_bits=10"),
        accepted("permessage-deflate; client_max_window_bits=10")
    );
}

#[test]
fn parameters_are_answered_in_the_order_of_the_offer() {
    let header = "permessage-deflate; server_max_window_bits=\"1\\0\"; client_no_context_takeover; \
                  server_no_context_takeover";
    let expected = "permessage-deflate; server_max_window_bits=10; client_no_context_takeover; \
                    server_no_context_takeover";
    assert_eq!(answer(header), accepted(expected));
    let agreed = agreement(header);
    assert_eq!(agreed.server_max_window_bits, Some(10));
    assert_eq!(agreed.client_max_window_bits, None);
    assert!(agreed.client_no_context_takeover && agreed.server_no_context_takeover);
}

#[test]
fn the_options_of_the_server_add_parameters() {
    let options = Options {
        server_no_context_takeover: ContextTakeover::Drop,
        client_no_context_takeover: ContextTakeover::Drop,
        server_max_window_bits: WindowBits::Bits(11),
        client_max_window_bits: WindowBits::Bits(12),
    };
    assert_eq!(
        answer_with("permessage-deflate; client_max_window_bits", options),
        accepted(
            "permessage-deflate; client_max_window_bits=12; server_no_context_takeover; \
             client_no_context_takeover; server_max_window_bits=11"
        )
    );
}

#[test]
fn the_first_acceptable_offer_wins() {
    let options = Options { server_max_window_bits: WindowBits::Bits(12), ..Options::default() };
    assert_eq!(
        answer_with(
            "permessage-deflate; server_max_window_bits=10, permessage-deflate; client_no_context_takeover",
            options
        ),
        accepted("permessage-deflate; client_no_context_takeover; server_max_window_bits=12")
    );
    assert_eq!(
        answer_with("permessage-deflate; server_max_window_bits=10", options),
        Err(ExtensionError::Unacceptable)
    );
}

#[test]
fn options_that_are_false_refuse_offers() {
    let keep = Options { server_no_context_takeover: ContextTakeover::Keep, ..Options::default() };
    assert_eq!(answer_with("permessage-deflate; server_no_context_takeover", keep), Err(ExtensionError::Unacceptable));
    let unlimited = Options {
        server_max_window_bits: WindowBits::Unlimited,
        client_max_window_bits: WindowBits::Unlimited,
        ..Options::default()
    };
    assert_eq!(
        answer_with("permessage-deflate; server_max_window_bits=15", unlimited),
        Err(ExtensionError::Unacceptable)
    );
    assert_eq!(answer_with("permessage-deflate; client_max_window_bits=10", unlimited), accepted("permessage-deflate"));
}

#[test]
fn a_client_window_can_only_be_chosen_for_clients_that_know_the_parameter() {
    let options = Options { client_max_window_bits: WindowBits::Bits(10), ..Options::default() };
    assert_eq!(answer_with("permessage-deflate", options), Err(ExtensionError::Unacceptable));
    assert_eq!(answer_with("permessage-deflate; client_max_window_bits=9", options), Err(ExtensionError::Unacceptable));
    assert_eq!(
        answer_with("permessage-deflate; client_max_window_bits=15", options),
        accepted("permessage-deflate; client_max_window_bits=10")
    );
}

#[test]
fn one_bad_parameter_spoils_every_offer() {
    for offer in [
        "permessage-deflate; foo",
        "permessage-deflate; __proto__",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=9.5",
    ] {
        let header = format!("permessage-deflate, {offer}");
        assert_eq!(answer(&header), Err(ExtensionError::Parameter), "{header}");
    }
    assert_eq!(HandshakeError::from(ExtensionError::Parameter).status(), 400);
}

#[test]
fn a_malformed_header_is_refused() {
    for header in [
        "",
        " a",
        "a ",
        ",",
        "a,",
        "a;",
        "a;b=",
        "a;b=\"",
        "a;b=\"\"",
        "a;b=\"c",
        "a;b=\"c d\"",
        "a b",
        "a=b",
        "a;b =c",
        "a;b= c",
        "é",
        "a;b=\"c\"d",
        "a;b=\"c\" ",
        "a;b=\"\\",
    ] {
        assert_eq!(answer(header), Err(ExtensionError::Syntax), "{header:?}");
    }
}

#[test]
fn long_headers_take_linear_time() {
    let spaces = format!("permessage-deflate;{}foo", " ".repeat(1 << 20));
    assert_eq!(answer(&spaces), Err(ExtensionError::Parameter));
    let parameters = format!("permessage-deflate{}", "; client_no_context_takeover".repeat(50_000));
    assert_eq!(answer(&parameters), Err(ExtensionError::Parameter));
    let offers = "permessage-deflate,".repeat(50_000) + "x";
    assert_eq!(answer(&offers), accepted("permessage-deflate"));
}

#[test]
fn the_examples_of_rfc_7692_are_inflated() {
    let agreed = agreement("permessage-deflate");
    // 7.2.3.1: one block; 7.2.3.2: the same again, sharing the window; 7.2.3.3: stored; 7.2.3.4:
    // final block; 7.2.3.5: two blocks.
    let mut stream = Vec::new();
    for payload in [
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
        &[0xf2, 0x00, 0x11, 0x00, 0x00],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
    ] {
        stream.extend(frame(0xc1, payload));
    }
    for chunk in [stream.len(), 1, 5] {
        let got = decode(&mut decoder(100, &agreed), &stream, chunk);
        assert_eq!(got, (vec![b"Hello".to_vec(); 5], None));
    }
}

#[test]
fn uncompressed_messages_may_come_between_compressed_ones() {
    let agreed = agreement("permessage-deflate");
    let compressed = frame(0xc1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    let stream = [frame(0x81, b"4a"), compressed, frame(0x82, b"b")].concat();
    let got = decode(&mut decoder(100, &agreed), &stream, stream.len());
    assert_eq!(got, (vec![b"4a".to_vec(), b"Hello".to_vec(), b"b".to_vec()], None));
}

#[test]
fn only_the_first_fragment_carries_rsv1() {
    let agreed = agreement("permessage-deflate");
    let payload = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let stream = [frame(0x41, &payload[..3]), frame(0x00, b""), frame(0x80, &payload[3..])].concat();
    for chunk in [stream.len(), 1] {
        let got = decode(&mut decoder(100, &agreed), &stream, chunk);
        assert_eq!(got, (vec![b"Hello".to_vec()], None));
    }
    let twice = [frame(0x41, &payload[..3]), frame(0xc0, &payload[3..])].concat();
    assert_eq!(decode(&mut decoder(100, &agreed), &twice, 99).1, Some(FrameError::Rsv1Set));
    assert_eq!(decode(&mut decoder(100, &agreed), &frame(0xc9, b""), 99).1, Some(FrameError::Rsv1Set));
}

#[test]
fn an_empty_compressed_frame_is_an_empty_message() {
    let agreed = agreement("permessage-deflate");
    for payload in [&[][..], &[0x00]] {
        let got = decode(&mut decoder(100, &agreed), &frame(0xc1, payload), 99);
        assert_eq!(got, (vec![vec![]], None));
    }
}

#[test]
fn broken_data_are_reported_in_zlibs_words() {
    let agreed = agreement("permessage-deflate");
    let (got, fault) = decode(&mut decoder(100, &agreed), &frame(0xc1, &[0x07]), 99);
    assert_eq!((got, fault), (vec![], Some(FrameError::Inflate("invalid block type".into()))));
}

#[test]
fn truncated_data_make_a_short_message() {
    let agreed = agreement("permessage-deflate");
    // A stored block of five bytes of which two are there; the trailer is taken for its content.
    let stream = frame(0xc2, &[0x00, 0x05, 0x00, 0xfa, 0xff, b'H']);
    let got = decode(&mut decoder(100, &agreed), &stream, 99);
    assert_eq!(got, (vec![b"H\x00\x00\xff\xff".to_vec()], None));
}

#[test]
fn inflated_text_must_be_utf8() {
    let agreed = agreement("permessage-deflate");
    let payload = compress(&mut Deflate::new(&agreed, 6), b"4\xff");
    assert_eq!(decode(&mut decoder(100, &agreed), &frame(0xc1, &payload), 99).1, Some(FrameError::InvalidUtf8));
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    let agreed = agreement("permessage-deflate");
    let bomb = compress(&mut Deflate::new(&agreed, 9), &vec![0; 2_000_000]);
    assert!(bomb.len() < 4_000);
    for chunk in [usize::MAX, 100] {
        let mut decoder = decoder(20_000, &agreed);
        let got = decode(&mut decoder, &frame(0xc2, &bomb), chunk);
        assert_eq!(got, (vec![], Some(FrameError::MessageTooBig)));
        assert_eq!(decoder.retained(), 0);
    }
}

#[test]
fn the_limit_is_inclusive_after_inflating() {
    let agreed = agreement("permessage-deflate");
    let payload = compress(&mut Deflate::new(&agreed, 6), &vec![b'a'; 5000]);
    let stream = frame(0xc2, &payload);
    assert_eq!(decode(&mut decoder(5000, &agreed), &stream, 9).1, None);
    assert_eq!(decode(&mut decoder(4999, &agreed), &stream, 9).1, Some(FrameError::MessageTooBig));
}

/// Messages that share a lot, so that a window pays.
fn messages() -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = (0..16)
        .map(|i| format!("4{{\"event\":\"position\",\"x\":{},\"y\":{}}}", i * 37 % 11, i).repeat(i * i).into_bytes())
        .collect();
    messages.push((0..40_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect());
    messages.push(vec![7; 100_000]);
    messages.push(vec![]);
    messages.push(vec![]);
    messages.push(b"4after".to_vec());
    messages
}

#[test]
fn what_is_deflated_inflates_to_the_same_under_any_agreement() {
    for bits in [8, 9, 12, 15] {
        for parameters in ["", "; server_no_context_takeover; client_no_context_takeover"] {
            let agreed = agreement(&format!(
                "permessage-deflate; server_max_window_bits={bits}; client_max_window_bits={bits}{parameters}"
            ));
            let mut deflate = Deflate::new(&agreed, 6);
            let mut decoder = decoder(0, &agreed);
            for message in messages() {
                let stream = frame(0xc2, &compress(&mut deflate, &message));
                assert_eq!(decode(&mut decoder, &stream, 1000), (vec![message], None));
            }
        }
    }
}

#[test]
fn a_context_makes_repeated_messages_small() {
    let message = messages()[5].clone();
    let twice = |header: &str| {
        let mut deflate = Deflate::new(&agreement(header), 6);
        (compress(&mut deflate, &message).len(), compress(&mut deflate, &message).len())
    };
    let (first, second) = twice("permessage-deflate");
    assert!(second < first / 2);
    let (first, second) = twice("permessage-deflate; server_no_context_takeover");
    assert_eq!(first, second);
}

#[test]
fn repeats_are_looked_for_in_the_last_8_kib_unless_another_window_was_agreed_on() {
    let noise = |mut state: u32, len: u32| -> Vec<u8> {
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        };
        (0..len).map(|_| next()).collect()
    };
    let again = |server_max_window_bits, between| {
        let options = Options { server_max_window_bits, ..Options::default() };
        let agreed = negotiate("permessage-deflate", &options).expect("acceptable").expect("offered");
        let mut deflate = Deflate::new(&agreed, 6);
        let message = noise(7, 1000);
        compress(&mut deflate, &message);
        compress(&mut deflate, &noise(12345, between));
        compress(&mut deflate, &message).len() < 100
    };
    let usual = WindowBits::default();
    assert_eq!((again(usual, 5_000), again(usual, 10_000)), (true, false));
    let full = WindowBits::Bits(15);
    assert_eq!((again(full, 10_000), again(full, 25_000)), (true, true));
}

#[test]
fn compressed_payloads_are_appended() {
    let mut deflate = Deflate::new(&agreement("permessage-deflate"), 6);
    let mut out = b"head".to_vec();
    assert!(deflate.compress(b"Hello", &mut out));
    assert_eq!(out, b"head\xf2\x48\xcd\xc9\xc9\x07\x00");
}
