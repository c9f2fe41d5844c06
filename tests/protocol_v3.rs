//! Protocol 3: single packets, text payloads, binary payloads.

use engine_io_native::protocol::v3::{
    PayloadEncoder, PayloadForm, V3Packet, decode_packet_binary, decode_packet_text, decode_payload_binary,
    decode_payload_text, encode_base64_frame, encode_binary_frame,
};
use engine_io_native::protocol::{Data, PacketType, ParseError};

type Decoded<'a> = Result<V3Packet<'a>, ParseError>;

fn message(text: &str) -> Decoded<'_> {
    Ok(V3Packet { kind: Some(PacketType::Message), data: Data::Text(text.into()) })
}

fn bare(kind: PacketType) -> Decoded<'static> {
    Ok(V3Packet { kind: Some(kind), data: Data::None })
}

fn binary(kind: Option<PacketType>, bytes: &[u8]) -> V3Packet<'_> {
    V3Packet { kind, data: Data::Binary(bytes.into()) }
}

fn in_text(body: &str) -> Vec<Decoded<'_>> {
    decode_payload_text(body).collect()
}

fn in_binary(body: &[u8]) -> Vec<Decoded<'_>> {
    decode_payload_binary(body).collect()
}

const MESSAGE: Option<PacketType> = Some(PacketType::Message);

#[test]
fn a_text_frame_is_a_type_digit_and_text() {
    assert_eq!(decode_packet_text("4hello"), message("hello"));
    assert_eq!(decode_packet_text("2"), bare(PacketType::Ping));
    assert_eq!(decode_packet_text(""), Err(ParseError::Empty));
    assert_eq!(decode_packet_text("7a"), Err(ParseError::UnknownType));
    assert_eq!(decode_packet_text("€"), Err(ParseError::UnknownType));
}

#[test]
fn base64_carries_a_type_of_its_own() {
    assert_eq!(decode_packet_text("b4AQID"), Ok(binary(MESSAGE, &[1, 2, 3])));
    assert_eq!(decode_packet_text("b4"), Ok(binary(MESSAGE, &[])));
}

#[test]
fn an_unknown_type_in_binary_data_is_a_packet_without_type() {
    assert_eq!(decode_packet_text("b9AQID"), Ok(binary(None, &[1, 2, 3])));
    assert_eq!(decode_packet_text("b"), Ok(binary(None, &[])));
    assert_eq!(decode_packet_text("b€"), Ok(binary(None, &[])));
    assert_eq!(decode_packet_binary(&[9, 1, 2]), binary(None, &[1, 2]));
    assert_eq!(decode_packet_binary(&[]), binary(None, &[]));
}

#[test]
fn the_first_byte_of_a_binary_frame_is_the_type() {
    assert_eq!(decode_packet_binary(&[4, 1, 2]), binary(MESSAGE, &[1, 2]));
    assert_eq!(decode_packet_binary(&[4]), binary(MESSAGE, &[]));
    assert_eq!(decode_packet_binary(b"4"), binary(None, &[]));
}

#[test]
fn lengths_in_a_text_payload_count_utf16_units() {
    assert_eq!(in_text("6:4hello2:4€3:4😀"), [message("hello"), message("€"), message("😀")]);
    assert_eq!(in_text("6:b4AQID1:4"), [Ok(binary(MESSAGE, &[1, 2, 3])), bare(PacketType::Message)]);
}

#[test]
fn lengths_pass_however_javascript_spells_them() {
    for length in ["2", " 2", "\u{feff}2\n", "0x2", "0b10", "2e0", "2.0", "+2", "20e-1", "002"] {
        assert_eq!(in_text(&format!("{length}:4a")), [message("a")], "{length:?}");
    }
    assert_eq!(in_text("1e1:4123456789"), [message("123456789")]);
}

#[test]
fn any_other_length_is_an_error_after_what_precedes_it() {
    for rest in [
        "2.5:4a",
        "NaN:4a",
        "-1:4a",
        "-2:4a",
        ":4a",
        "3:4a",
        "Infinity:4a",
        "1e400:4a",
        "x",
        "2",
        "1_0:4a",
        "9007199254740993:4a",
    ] {
        let body = format!("2:4z{rest}");
        assert_eq!(in_text(&body), [message("z"), Err(ParseError::InvalidLength)], "{rest:?}");
    }
    assert_eq!(in_text("1:4a"), [bare(PacketType::Message), Err(ParseError::InvalidLength)]);
}

#[test]
fn an_empty_text_payload_is_an_error_and_an_empty_packet_is_nothing() {
    assert_eq!(in_text(""), [Err(ParseError::Empty)]);
    assert_eq!(in_text("0:"), []);
    assert_eq!(in_text("0: :-0:2:4a"), [message("a")]);
}

#[test]
fn an_unknown_type_ends_a_text_payload() {
    assert_eq!(in_text("2:4a1:92:4b"), [message("a"), Err(ParseError::UnknownType)]);
}

#[test]
fn a_length_that_ends_within_a_surrogate_pair_yields_half_and_then_an_error() {
    assert_eq!(in_text("2:4😀"), [message("\u{fffd}"), Err(ParseError::InvalidLength)]);
}

#[test]
fn a_binary_payload_holds_strings_and_bytes() {
    let body = b"\x00\x06\xff4hello\x01\x04\xff\x04\x01\x02\x03\x00\x04\xff4\xe2\x82\xac";
    assert_eq!(in_binary(body), [message("hello"), Ok(binary(MESSAGE, &[1, 2, 3])), message("€")]);
}

#[test]
fn the_quirks_of_binary_payloads_are_those_of_the_original() {
    // Each expectation was printed by the original's parser.
    // A type byte other than 0 and 1 counts as binary.
    assert_eq!(in_binary(b"\x07\x02\xff\x04\x01"), [Ok(binary(MESSAGE, &[1]))]);
    // A length that is too long takes what is there.
    assert_eq!(in_binary(b"\x00\x09\xff4a"), [message("a")]);
    // A digit byte of 12 counts as two digits, so the first byte after the mark is skipped.
    assert_eq!(in_binary(b"\x00\x0c\xff_4hello"), [message("hello")]);
    // No digits at all: an empty packet, and parsing goes on at the end mark.
    assert_eq!(in_binary(b"\x01\xff\x02\xff\x04\x01"), [Ok(binary(None, &[])), Ok(binary(MESSAGE, &[1]))]);
    // Base64 inside a string.
    assert_eq!(in_binary(b"\x00\x06\xffb4AQID"), [Ok(binary(MESSAGE, &[1, 2, 3]))]);
    // An unknown type is told, and the next packet follows.
    assert_eq!(in_binary(b"\x01\x01\xff\x09\x00\x02\xff4a"), [Ok(binary(None, &[])), message("a")]);
    assert_eq!(in_binary(b""), []);
}

#[test]
fn a_length_without_end_spoils_the_whole_binary_payload() {
    assert_eq!(in_binary(b"\x00\x02\xff4a\x00\x01"), [Err(ParseError::InvalidLength)]);
    let mut endless = vec![0; 400];
    assert_eq!(in_binary(&endless), [Err(ParseError::InvalidLength)]);
    endless[312] = 0xff;
    assert_eq!(in_binary(&endless[..313]), [Err(ParseError::Empty)]);
}

#[test]
fn strings_in_a_binary_payload_must_be_utf8_though_surrogates_pass() {
    assert_eq!(in_binary(b"\x00\x02\xff4\xff\x00\x02\xff4a"), [Err(ParseError::InvalidUtf8)]);
    assert_eq!(in_binary(b"\x00\x04\xff4\xe2\x82"), [Err(ParseError::InvalidUtf8)]);
    assert_eq!(in_binary(b"\x00\x05\xff4\xed\xa0\x80b"), [message("\u{fffd}b")]);
}

#[test]
fn hostile_binary_payloads_take_linear_time() {
    for byte in [0x00, 0x01, 0x09, 0xfe, 0xff] {
        let body = vec![byte; 1 << 20];
        assert!(decode_payload_binary(&body).count() <= body.len());
    }
}

fn encode(form: PayloadForm, fill: impl FnOnce(&mut PayloadEncoder)) -> Vec<u8> {
    let mut encoder = PayloadEncoder::new(form);
    fill(&mut encoder);
    encoder.finish()
}

#[test]
fn the_binary_form_needs_a_client_for_it_and_a_reason() {
    assert_eq!(PayloadForm::choose(true, true), PayloadForm::Binary);
    assert_eq!(PayloadForm::choose(true, false), PayloadForm::Text);
    assert_eq!(PayloadForm::choose(false, true), PayloadForm::Text);
    assert_eq!(PayloadForm::choose(false, false), PayloadForm::Text);
}

#[test]
fn the_text_examples_of_the_catalogue_are_encoded_byte_for_byte() {
    let body = encode(PayloadForm::Text, |payload| {
        payload.push_text(PacketType::Message, "hello");
        payload.push_text(PacketType::Message, "€");
        payload.push_text(PacketType::Message, "😀");
    });
    assert_eq!(body, "6:4hello2:4€3:4😀".as_bytes());
    assert_eq!(body.len(), 21);
    let body = encode(PayloadForm::Text, |payload| {
        payload.push_text(PacketType::Message, "hello");
        payload.push_binary(&[1, 2, 3]);
        payload.push_text(PacketType::Message, "€");
        payload.push_text(PacketType::Message, "");
    });
    assert_eq!(body, "6:4hello6:b4AQID2:4€1:4".as_bytes());
}

#[test]
fn the_binary_example_of_the_catalogue_is_encoded_byte_for_byte() {
    let body = encode(PayloadForm::Binary, |payload| {
        payload.push_text(PacketType::Message, "hello");
        payload.push_binary(&[1, 2, 3]);
        payload.push_text(PacketType::Message, "€");
    });
    assert_eq!(body, b"\x00\x06\xff4hello\x01\x04\xff\x04\x01\x02\x03\x00\x04\xff4\xe2\x82\xac");
    let body = encode(PayloadForm::Binary, |payload| payload.push_binary(&[7; 122]));
    assert_eq!(body[..6], [1, 1, 2, 3, 0xff, 4]);
}

#[test]
fn a_payload_without_packets_is_0_in_text_and_nothing_in_binary() {
    assert_eq!(encode(PayloadForm::Text, |_| ()), b"0:");
    assert_eq!(encode(PayloadForm::Binary, |_| ()), b"");
}

#[test]
fn binary_messages_on_websocket_have_a_type_byte_or_base64() {
    let mut out = Vec::new();
    encode_binary_frame(&[1, 2, 3], &mut out);
    assert_eq!(out, [4, 1, 2, 3]);
    out.clear();
    encode_base64_frame(&[1, 2, 3], &mut out);
    assert_eq!(out, b"b4AQID");
}
