//! Packets and payloads of protocol 3 for the wire.

use crate::protocol::base64;
use crate::protocol::packet::PacketType;

/// The two forms of a polling payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadForm {
    /// `<length>:<packet>`, lengths in UTF-16 units, bytes as base64. Sent as `text/plain;
    /// charset=UTF-8`.
    Text,
    /// `<0|1><digits>0xff<packet>`, lengths in bytes. Sent as `application/octet-stream`.
    Binary,
}

impl PayloadForm {
    /// The form the original chooses: binary only for a client that supports it (no `b64=1`) *and*
    /// a payload with at least one binary message.
    pub fn choose(supports_binary: bool, any_binary: bool) -> Self {
        if supports_binary && any_binary { Self::Binary } else { Self::Text }
    }
}

/// Builds a polling payload packet by packet.
#[derive(Clone, Debug)]
pub struct PayloadEncoder {
    form: PayloadForm,
    out: Vec<u8>,
}

impl PayloadEncoder {
    /// An encoder for the form that [`PayloadForm::choose`] gave.
    pub fn new(form: PayloadForm) -> Self {
        Self { form, out: Vec::new() }
    }

    /// The form of the payload.
    pub fn form(&self) -> PayloadForm {
        self.form
    }

    /// Appends a packet with text, possibly empty.
    pub fn push_text(&mut self, kind: PacketType, text: &str) {
        match self.form {
            PayloadForm::Text => self.push_text_length(1 + text.encode_utf16().count()),
            PayloadForm::Binary => self.push_binary_length(0, 1 + text.len()),
        }
        encode_text_frame(kind, text, &mut self.out);
    }

    /// Appends a binary message.
    pub fn push_binary(&mut self, bytes: &[u8]) {
        match self.form {
            PayloadForm::Text => {
                self.push_text_length(2 + bytes.len().div_ceil(3) * 4);
                encode_base64_frame(bytes, &mut self.out);
            }
            PayloadForm::Binary => {
                self.push_binary_length(1, 1 + bytes.len());
                encode_binary_frame(bytes, &mut self.out);
            }
        }
    }

    /// Whether no packet was pushed.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Bytes of the payload so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// The payload; valid UTF-8 in the text form. Without packets the text form is `0:`.
    pub fn finish(self) -> Vec<u8> {
        match self.form {
            PayloadForm::Text if self.out.is_empty() => b"0:".to_vec(),
            _ => self.out,
        }
    }

    fn push_text_length(&mut self, units: usize) {
        self.out.extend_from_slice(units.to_string().as_bytes());
        self.out.push(b':');
    }

    fn push_binary_length(&mut self, form: u8, bytes: usize) {
        self.out.push(form);
        self.out.extend(bytes.to_string().bytes().map(|digit| digit - b'0'));
        self.out.push(0xff);
    }
}

/// Appends the payload of a WebSocket text frame.
pub fn encode_text_frame(kind: PacketType, text: &str, out: &mut Vec<u8>) {
    out.reserve(1 + text.len());
    out.push(kind.digit());
    out.extend_from_slice(text.as_bytes());
}

/// Appends the payload of a WebSocket binary frame that carries a binary message.
pub fn encode_binary_frame(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(1 + bytes.len());
    out.push(PacketType::Message as u8);
    out.extend_from_slice(bytes);
}

/// Appends a binary message as text, for clients that asked for `b64=1`.
pub fn encode_base64_frame(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'b');
    out.push(PacketType::Message.digit());
    base64::encode_into(bytes, out);
}
