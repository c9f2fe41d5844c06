//! Single packets, as they come in WebSocket frames.

use engine_io_native::protocol::v3::{self, V3Packet};
use engine_io_native::protocol::{Data, Packet, PacketType, v4};

/// The bytes are a frame: text as far as they are UTF-8, and binary.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(packet) = v4::decode_text(&text) {
        round_trip_v4(&packet);
    }
    if let Ok(packet) = v3::decode_packet_text(&text) {
        round_trip_v3(&packet);
    }
    let packet = v3::decode_packet_binary(data);
    if packet.kind == Some(PacketType::Message) {
        let Data::Binary(bytes) = &packet.data else { panic!("binary frames hold bytes") };
        let mut frame = Vec::new();
        v3::encode_binary_frame(bytes, &mut frame);
        assert_eq!(frame, data);
    }
}

/// What was decoded encodes to something that decodes to the same.
fn round_trip_v4(packet: &Packet<'_>) {
    let mut frame = Vec::new();
    match &packet.data {
        Data::None => v4::encode_text_frame(packet.kind, "", &mut frame),
        Data::Text(text) => {
            assert!(!text.is_empty(), "empty text is no data");
            v4::encode_text_frame(packet.kind, text, &mut frame);
        }
        Data::Binary(bytes) => v4::encode_base64_frame(bytes, &mut frame),
    }
    let frame = String::from_utf8(frame).expect("text frames are UTF-8");
    assert_eq!(v4::decode_text(&frame).as_ref(), Ok(packet));
}

fn round_trip_v3(packet: &V3Packet<'_>) {
    let mut frame = Vec::new();
    match (&packet.data, packet.kind) {
        (Data::None, Some(kind)) => v3::encode_text_frame(kind, "", &mut frame),
        (Data::Text(text), Some(kind)) => v3::encode_text_frame(kind, text, &mut frame),
        (Data::Binary(bytes), Some(PacketType::Message)) => v3::encode_base64_frame(bytes, &mut frame),
        (Data::Binary(_), _) => return,
        (_, None) => panic!("text has a type"),
    }
    let frame = String::from_utf8(frame).expect("text frames are UTF-8");
    assert_eq!(v3::decode_packet_text(&frame).as_ref(), Ok(packet));
}
