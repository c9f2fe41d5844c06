//! Protocol 4: single packets and polling payloads.

use engine_io_native::protocol::v4::{
    PayloadEncoder, decode_payload, decode_text, encode_base64_frame, encode_text_frame,
};
use engine_io_native::protocol::{Data, Packet, PacketType, ParseError};

fn text(kind: PacketType, text: &str) -> Result<Packet<'_>, ParseError> {
    Ok(Packet { kind, data: Data::Text(text.into()) })
}

fn bare(kind: PacketType) -> Result<Packet<'static>, ParseError> {
    Ok(Packet { kind, data: Data::None })
}

fn binary(bytes: &[u8]) -> Result<Packet<'_>, ParseError> {
    Ok(Packet { kind: PacketType::Message, data: Data::Binary(bytes.into()) })
}

fn payload(body: &str) -> Vec<Result<Packet<'_>, ParseError>> {
    decode_payload(body).collect()
}

#[test]
fn a_text_frame_is_a_type_digit_and_text() {
    assert_eq!(decode_text("4hello"), text(PacketType::Message, "hello"));
    assert_eq!(decode_text("2probe"), text(PacketType::Ping, "probe"));
    assert_eq!(decode_text("4€😀"), text(PacketType::Message, "€😀"));
}

#[test]
fn a_lone_type_digit_has_no_data() {
    assert_eq!(decode_text("4"), bare(PacketType::Message));
    assert_eq!(decode_text("3"), bare(PacketType::Pong));
}

#[test]
fn text_is_borrowed_from_the_frame() {
    let frame = "4hello";
    let Ok(Packet { data: Data::Text(std::borrow::Cow::Borrowed(text)), .. }) = decode_text(frame) else {
        panic!("not borrowed");
    };
    assert_eq!(text.as_ptr(), frame[1..].as_ptr());
}

#[test]
fn b_marks_a_binary_message_in_base64() {
    assert_eq!(decode_text("bAQID"), binary(&[1, 2, 3]));
    assert_eq!(decode_text("b"), binary(&[]));
    assert_eq!(decode_text("b!!!!"), binary(&[]));
}

#[test]
fn an_empty_frame_and_an_unknown_type_are_errors() {
    assert_eq!(decode_text(""), Err(ParseError::Empty));
    for frame in ["7", "x", "hello", "😀", "é4", " 4", "B4AQID"] {
        assert_eq!(decode_text(frame), Err(ParseError::UnknownType), "{frame}");
    }
}

#[test]
fn a_payload_is_split_at_record_separators() {
    assert_eq!(
        payload("4hello\u{1e}bAQID\u{1e}4€\u{1e}2"),
        [
            text(PacketType::Message, "hello"),
            binary(&[1, 2, 3]),
            text(PacketType::Message, "€"),
            bare(PacketType::Ping)
        ]
    );
}

#[test]
fn an_empty_body_is_one_empty_packet() {
    assert_eq!(payload(""), [Err(ParseError::Empty)]);
}

#[test]
fn decoding_stops_after_the_first_error() {
    assert_eq!(payload("4a\u{1e}x\u{1e}4b"), [text(PacketType::Message, "a"), Err(ParseError::UnknownType)]);
    assert_eq!(payload("4a\u{1e}"), [text(PacketType::Message, "a"), Err(ParseError::Empty)]);
}

#[test]
fn a_payload_of_separators_stops_at_the_first() {
    assert_eq!(payload(&"\u{1e}".repeat(1 << 20)), [Err(ParseError::Empty)]);
}

#[test]
fn the_examples_of_the_catalogue_are_encoded_byte_for_byte() {
    let mut encoder = PayloadEncoder::new();
    assert!(encoder.is_empty());
    encoder.push_text(PacketType::Message, "hello");
    encoder.push_binary(&[1, 2, 3]);
    encoder.push_text(PacketType::Message, "€");
    encoder.push_text(PacketType::Message, "");
    encoder.push_text(PacketType::Noop, "");
    assert!(!encoder.is_empty());
    assert_eq!(encoder.len(), 21);
    assert_eq!(encoder.finish(), "4hello\u{1e}bAQID\u{1e}4€\u{1e}4\u{1e}6".as_bytes());
}

#[test]
fn frames_are_appended_to_what_is_there() {
    let mut out = b"head".to_vec();
    encode_text_frame(PacketType::Open, "{}", &mut out);
    encode_base64_frame(&[1, 2], &mut out);
    assert_eq!(out, b"head0{}bAQI=");
}

#[test]
fn what_is_encoded_decodes_to_the_same_packets() {
    let mut encoder = PayloadEncoder::new();
    let bytes: Vec<u8> = (0..=255).collect();
    for len in 0..=bytes.len() {
        encoder.push_binary(&bytes[..len]);
        encoder.push_text(PacketType::Message, &"ü".repeat(len));
    }
    let body = String::from_utf8(encoder.finish()).expect("a payload is UTF-8");
    let mut packets = decode_payload(&body);
    for len in 0..=bytes.len() {
        assert_eq!(packets.next(), Some(binary(&bytes[..len])));
        let string = "ü".repeat(len);
        let expected = if len == 0 { bare(PacketType::Message) } else { text(PacketType::Message, &string) };
        assert_eq!(packets.next(), Some(expected));
    }
    assert_eq!(packets.next(), None);
}
