//! Polling payloads of protocol 3, both forms.

use engine_io_native::protocol::v3::{self, PayloadEncoder, PayloadForm, V3Packet};
use engine_io_native::protocol::{Data, PacketType, ParseError};

/// The bytes are the body of a POST.
pub fn run(data: &[u8]) {
    let body = String::from_utf8_lossy(data);
    check(v3::decode_payload_text(&body));
    check(v3::decode_payload_binary(data));
}

fn check<'a>(decoder: impl Iterator<Item = Result<V3Packet<'a>, ParseError>>) {
    let mut failed = false;
    let mut packets = Vec::new();
    for packet in decoder {
        assert!(!failed, "nothing follows an error");
        match packet {
            Ok(packet) => packets.push(packet),
            Err(_) => failed = true,
        }
    }
    // what a server or client can write
    packets.retain(|packet| match packet.data {
        Data::Binary(_) => packet.kind == Some(PacketType::Message),
        Data::None | Data::Text(_) => packet.kind.is_some(),
    });
    if !packets.is_empty() {
        for form in [PayloadForm::Text, PayloadForm::Binary] {
            round_trip(&packets, form);
        }
    }
}

fn round_trip(packets: &[V3Packet<'_>], form: PayloadForm) {
    let mut payload = PayloadEncoder::new(form);
    for packet in packets {
        match (&packet.data, packet.kind) {
            (Data::None, Some(kind)) => payload.push_text(kind, ""),
            (Data::Text(text), Some(kind)) => payload.push_text(kind, text),
            (Data::Binary(bytes), _) => payload.push_binary(bytes),
            (_, None) => panic!("text has a type"),
        }
    }
    assert_eq!(payload.len(), payload.clone().finish().len());
    let body = payload.finish();
    let decoded: Result<Vec<_>, _> = match form {
        PayloadForm::Text => {
            let body = String::from_utf8(body).expect("the text form is UTF-8");
            v3::decode_payload_text(&body).map(|packet| packet.map(owned)).collect()
        }
        PayloadForm::Binary => v3::decode_payload_binary(&body).map(|packet| packet.map(owned)).collect(),
    };
    assert_eq!(decoded.as_deref(), Ok(packets), "{form:?}");
}

fn owned(packet: V3Packet<'_>) -> V3Packet<'static> {
    V3Packet { kind: packet.kind, data: packet.data.into_owned() }
}
