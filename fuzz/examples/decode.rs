//! Decodes what `differential.js` asks, for the comparison with the decoders of the original and of `ws`.
//!
//! Standard input: requests of a byte that names the decoder, a length of four bytes (little endian) and the
//! input. Standard output: one line of JSON for each. The decoder 0 asks for what was printed.

use std::io::{BufReader, BufWriter, Read, Write};
use std::ops::ControlFlow;

use engine_io_native::protocol::v3::{self, V3Packet};
use engine_io_native::protocol::{Data, Packet, PacketType, ParseError, jsonp, v4};
use engine_io_native::websocket::deflate::{Inflate, Options, negotiate};
use engine_io_native::websocket::{Decoder, FrameError, Limits, Message, UpgradeRequest, check};
use engine_io_native_fuzz::handshake::server_options;
use serde_json::{Value, json};

fn main() -> std::io::Result<()> {
    let mut input = BufReader::new(std::io::stdin().lock());
    let mut output = BufWriter::new(std::io::stdout().lock());
    let mut head = [0; 5];
    while input.read_exact(&mut head).is_ok() {
        let [decoder, length @ ..] = head;
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        input.read_exact(&mut bytes)?;
        if decoder == 0 {
            output.flush()?;
            continue;
        }
        writeln!(output, "{}", decode(decoder, &bytes))?;
    }
    output.flush()
}

fn decode(decoder: u8, bytes: &[u8]) -> Value {
    // as a POST is read: with replacement
    let text = String::from_utf8_lossy(bytes);
    match decoder {
        b'4' => list(v4::decode_payload(&text).map(|packet| packet.map(of_v4))),
        b'p' => list(std::iter::once(v4::decode_text(&text).map(of_v4))),
        b't' => list(v3::decode_payload_text(&text).map(|packet| packet.map(of_v3))),
        b'b' => list(v3::decode_payload_binary(bytes).map(|packet| packet.map(of_v3))),
        b'q' => list(std::iter::once(v3::decode_packet_text(&text).map(of_v3))),
        b'B' => list(std::iter::once(Ok(of_v3(v3::decode_packet_binary(bytes))))),
        b'f' => json!(jsonp::unwrap_form(&text)),
        b'e' => extensions(bytes),
        b's' => protocols(&text),
        b'w' => frames(bytes, Decoder::new(LIMITS)),
        b'z' => compressed_frames(bytes),
        other => panic!("unknown decoder {other}"),
    }
}

/// Two bytes of options and a Sec-WebSocket-Extensions header: the answer, nothing, or a refusal.
fn extensions(bytes: &[u8]) -> Value {
    let Some(([first, second], header)) = bytes.split_first_chunk() else { return json!("too short") };
    match negotiate(&String::from_utf8_lossy(header), &server_options([*first, *second])) {
        Ok(agreement) => json!(agreement.map(|agreement| agreement.header)),
        Err(_) => json!(false),
    }
}

/// A Sec-WebSocket-Protocol header: the first protocol, or a refusal.
fn protocols(header: &str) -> Value {
    let request = UpgradeRequest {
        method: "GET",
        upgrade: Some("websocket"),
        key: Some("dGhlIHNhbXBsZSBub25jZQ=="),
        version: Some("13"),
        protocol: Some(header),
    };
    check(&request).map_or(json!(false), |accepted| json!(accepted.protocol))
}

const LIMITS: Limits = Limits { max_payload: 1000, max_fragments: 0, max_chunks: 0, max_text: 0 };

/// A stream of frames: its messages, and the error that ends it.
fn frames(bytes: &[u8], decoder: Decoder) -> Value {
    let (mut list, result) = received(bytes, decoder);
    if let Err(error) = result {
        list.push(json!(["error", format!("{}: {error}", error.name())]));
    }
    json!(list)
}

/// The same with permessage-deflate, as a client gets that offers it without parameters.
fn compressed_frames(bytes: &[u8]) -> Value {
    let agreement = negotiate("permessage-deflate", &Options::default()).expect("sound").expect("offered");
    let (mut list, result) = received(bytes, Decoder::with_inflate(LIMITS, Inflate::new(&agreement)));
    if result.is_err() {
        list.push(json!(["error"]));
    }
    json!(list)
}

fn received(bytes: &[u8], mut decoder: Decoder) -> (Vec<Value>, Result<(), FrameError>) {
    let mut list = Vec::new();
    let result = decoder.feed(&mut bytes.to_vec(), |message| {
        list.push(match message {
            Message::Text(text) => json!(["text", String::from_utf8_lossy(&text)]),
            Message::Binary(bytes) => json!(["binary", bytes.as_ref()]),
            Message::Ping(bytes) => json!(["ping", bytes]),
            Message::Pong(bytes) => json!(["pong", bytes]),
            Message::Close { code, reason } => json!([format!("close {}", code.unwrap_or(1005)), reason]),
        });
        ControlFlow::Continue(())
    });
    (list, result)
}

fn list(packets: impl Iterator<Item = Result<Value, ParseError>>) -> Value {
    packets.map(|packet| packet.unwrap_or_else(|_| json!(["error"]))).collect()
}

fn of_v4(packet: Packet<'_>) -> Value {
    value(Some(packet.kind), &packet.data)
}

fn of_v3(packet: V3Packet<'_>) -> Value {
    value(packet.kind, &packet.data)
}

fn value(kind: Option<PacketType>, data: &Data<'_>) -> Value {
    let kind = kind.map(PacketType::name);
    match data {
        Data::None => json!([kind]),
        Data::Text(text) => json!([kind, text]),
        Data::Binary(bytes) => json!([kind, bytes.as_ref()]),
    }
}
