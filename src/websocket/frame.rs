//! Frames out (RFC 6455, 5.2).

/// The bit that marks the last frame of a message.
pub(super) const FIN: u8 = 0x80;
/// The bit that permessage-deflate sets on the first frame of a compressed message.
pub(super) const RSV1: u8 = 0x40;
/// The bit, in the second byte, that says a mask follows.
pub(super) const MASK: u8 = 0x80;
/// The longest payload of a control frame, in bytes.
pub const MAX_CONTROL: usize = 125;
/// The second byte of a header whose length follows in 16 bits.
pub(super) const LENGTH_16: u8 = 126;
/// The second byte of a header whose length follows in 64 bits.
pub(super) const LENGTH_64: u8 = 127;

/// What a frame is.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpCode {
    /// The next fragment of a message.
    Continuation = 0,
    /// A text message or its first fragment.
    Text = 1,
    /// A binary message or its first fragment.
    Binary = 2,
    /// The closing handshake.
    Close = 8,
    /// Asks for a pong with the same payload.
    Ping = 9,
    /// Answers a ping.
    Pong = 10,
}

impl OpCode {
    /// The opcode behind the low four bits of a header, `None` for the reserved ones.
    pub fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Close, ping and pong: never fragmented, never long, allowed between the fragments of a
    /// message.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Appends the header of a server's frame: FIN set, no mask, the shortest form of the length (in
/// bytes). `rsv1` says that the payload is compressed. The payload is for the caller to append.
pub fn write_header(out: &mut Vec<u8>, opcode: OpCode, rsv1: bool, len: usize) {
    push_header(out, FIN | if rsv1 { RSV1 } else { 0 } | opcode as u8, 0, len);
}

/// Appends a whole close frame. Without a code there is no payload at all, which the peer sees as
/// 1005.
///
/// A reason longer than the 123 bytes that fit is cut, between characters if it is UTF-8.
pub fn write_close(out: &mut Vec<u8>, code: Option<u16>, reason: &[u8]) {
    let Some(code) = code else {
        return write_header(out, OpCode::Close, false, 0);
    };
    let reason = cut(reason, MAX_CONTROL - 2);
    write_header(out, OpCode::Close, false, 2 + reason.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason);
}

/// Appends a whole frame as a client sends it, masked. For tests and benchmarks.
pub fn write_masked(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8], mask: [u8; 4]) {
    push_header(out, FIN | opcode as u8, MASK, payload.len());
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
}

fn push_header(out: &mut Vec<u8>, first: u8, mask: u8, len: usize) {
    if len <= MAX_CONTROL {
        out.extend_from_slice(&[first, mask | len as u8]);
    } else if let Ok(len) = u16::try_from(len) {
        let [high, low] = len.to_be_bytes();
        out.extend_from_slice(&[first, mask | LENGTH_16, high, low]);
    } else {
        out.extend_from_slice(&[first, mask | LENGTH_64]);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

/// The longest prefix of at most `max` bytes that does not end inside a UTF-8 sequence.
fn cut(text: &[u8], max: usize) -> &[u8] {
    let Some(next) = text.get(max) else {
        return text;
    };
    let is_continuation = |byte: u8| byte & 0xc0 == 0x80;
    let mut end = max;
    if is_continuation(*next) {
        let start = text.get(..max).and_then(|head| head.iter().rposition(|&b| !is_continuation(b)));
        end = start.unwrap_or(max);
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(opcode: OpCode, rsv1: bool, len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        write_header(&mut out, opcode, rsv1, len);
        out
    }

    #[test]
    fn lengths_take_their_shortest_form() {
        assert_eq!(header(OpCode::Text, false, 0), [0x81, 0]);
        assert_eq!(header(OpCode::Text, false, 125), [0x81, 125]);
        assert_eq!(header(OpCode::Binary, false, 126), [0x82, 126, 0, 126]);
        assert_eq!(header(OpCode::Binary, false, 65_535), [0x82, 126, 0xff, 0xff]);
        assert_eq!(header(OpCode::Binary, false, 65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn rsv1_marks_a_compressed_message() {
        assert_eq!(header(OpCode::Text, true, 1), [0xc1, 1]);
    }

    #[test]
    fn a_close_frame_without_code_is_empty() {
        let mut out = Vec::new();
        write_close(&mut out, None, b"ignored");
        assert_eq!(out, [0x88, 0]);
    }

    #[test]
    fn a_close_frame_holds_code_and_reason() {
        let mut out = Vec::new();
        write_close(&mut out, Some(1002), b"no");
        assert_eq!(out, [0x88, 4, 0x03, 0xea, b'n', b'o']);
    }

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        let reason = format!("a{}", "€".repeat(41)); // 124 bytes
        let mut out = Vec::new();
        write_close(&mut out, Some(1000), reason.as_bytes());
        assert_eq!(out.len(), 2 + 2 + 121);
        assert_eq!(out[4..], reason.as_bytes()[..121]);
        out.clear();
        write_close(&mut out, Some(1000), &[0x80; 200]);
        assert_eq!(out.len(), 2 + 2 + 123);
    }

    #[test]
    fn a_masked_frame_is_the_example_of_rfc_6455() {
        let mut out = Vec::new();
        write_masked(&mut out, OpCode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }
}
