//! Polling payloads of protocol 4.

use engine_io_native::protocol::{Data, v4};

/// The bytes are the body of a POST.
pub fn run(data: &[u8]) {
    let body = String::from_utf8_lossy(data);
    let mut decoder = v4::decode_payload(&body);
    let mut payload = v4::PayloadEncoder::new();
    let mut packets = Vec::new();
    let mut failed = false;
    for packet in &mut decoder {
        assert!(!failed, "nothing follows an error");
        let Ok(packet) = packet else {
            failed = true;
            continue;
        };
        match &packet.data {
            Data::None => payload.push_text(packet.kind, ""),
            Data::Text(text) => payload.push_text(packet.kind, text),
            Data::Binary(bytes) => payload.push_binary(bytes),
        }
        packets.push(packet);
    }
    assert!(decoder.next().is_none(), "the end is the end");
    if packets.is_empty() {
        assert!(failed, "there is no empty payload");
        return;
    }
    assert_eq!(payload.len(), payload.clone().finish().len());
    let again = String::from_utf8(payload.finish()).expect("payloads are UTF-8");
    let decoded: Result<Vec<_>, _> = v4::decode_payload(&again).collect();
    assert_eq!(decoded.as_ref(), Ok(&packets));
}
