//! Writes the payloads of one session, and counts the packets of payloads before they are read.

use crate::protocol::{jsonp, text_of, v3, v4};
use crate::session::{OutData, OutPacket, Revision};

/// The form of payloads that a client has asked for in its handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollEncoding {
    /// The revision of the protocol.
    pub revision: Revision,
    /// Binary payloads are allowed (v3 only).
    pub binary: bool,
    /// JSONP: the index of the callback.
    pub jsonp: Option<Box<str>>,
}

impl PollEncoding {
    /// The payload, and whether it is binary.
    pub fn encode(&self, packets: &[OutPacket]) -> (Vec<u8>, bool) {
        let (body, binary) = match self.revision {
            Revision::V4 => {
                let mut payload = v4::PayloadEncoder::new();
                for OutPacket { kind, data } in packets {
                    match data {
                        OutData::None => payload.push_text(*kind, ""),
                        OutData::Text(text) => payload.push_text(*kind, text),
                        OutData::Binary(bytes) => payload.push_binary(bytes),
                    }
                }
                (payload.finish(), false)
            }
            Revision::V3 => {
                let any_binary = packets.iter().any(|packet| matches!(packet.data, OutData::Binary(_)));
                let form = v3::PayloadForm::choose(self.binary, any_binary);
                let mut payload = v3::PayloadEncoder::new(form);
                for OutPacket { kind, data } in packets {
                    match data {
                        OutData::None => payload.push_text(*kind, ""),
                        OutData::Text(text) => payload.push_text(*kind, text),
                        OutData::Binary(bytes) => payload.push_binary(bytes),
                    }
                }
                (payload.finish(), form == v3::PayloadForm::Binary)
            }
        };
        match &self.jsonp {
            Some(index) if binary => (jsonp::wrap_binary(index, &body).into_bytes(), false),
            Some(index) => (jsonp::wrap(index, &text_of(&body)).into_bytes(), false),
            None => (body, binary),
        }
    }

    /// Whether a POST's body has more than `limit` packets.
    pub fn has_more_packets(&self, body: &[u8], binary: bool, limit: usize) -> bool {
        let form = self.jsonp.as_ref().map(|_| jsonp::unwrap_form(&text_of(body)));
        let form = form.map(Option::unwrap_or_default);
        let body = form.as_ref().map_or(body, |form| form.as_bytes());
        match self.revision {
            Revision::V4 => memchr::memchr_iter(v4::SEPARATOR, body).nth(limit.saturating_sub(1)).is_some(),
            Revision::V3 if binary => v3::decode_payload_binary(body).nth(limit).is_some(),
            Revision::V3 => v3::decode_payload_text(&text_of(body)).nth(limit).is_some(),
        }
    }
}
