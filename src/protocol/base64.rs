//! Base64 as Node's `Buffer` writes and reads it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Appends the standard alphabet with padding, as `buffer.toString("base64")` prints it.
pub(crate) fn encode_into(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    // Padded base64 takes four characters for every three bytes begun.
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = out.get_mut(start..).and_then(|room| STANDARD.encode_slice(bytes, room).ok());
    out.truncate(start + written.unwrap_or(0));
}

/// Decodes as `Buffer.from(text, "base64")` does, which never fails: both alphabets may be mixed,
/// characters outside of them are skipped, the first `=` ends the data, and a lone last character
/// is dropped.
///
/// What well-behaved clients send takes the fast, strict path.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    match STANDARD.decode(text) {
        Ok(bytes) => bytes,
        // Node looks at the low byte of each UTF-16 unit only, so that `Ł` (U+0141) reads as `A`.
        Err(_) => decode_leniently(text.encode_utf16().map(|unit| unit as u8), text.len()),
    }
}

/// [`decode`] for text of which each byte is one character (protocol 3, strings in binary
/// payloads).
pub(crate) fn decode_latin1(bytes: &[u8]) -> Vec<u8> {
    match STANDARD.decode(bytes) {
        Ok(decoded) => decoded,
        Err(_) => decode_leniently(bytes.iter().copied(), bytes.len()),
    }
}

fn decode_leniently(characters: impl Iterator<Item = u8>, at_most: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(at_most / 4 * 3 + 2);
    let mut bits = 0u32;
    let mut held = 0u32;
    for sextet in characters.take_while(|&c| c != b'=').filter_map(sextet) {
        bits = bits << 6 | u32::from(sextet);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

fn sextet(character: u8) -> Option<u8> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_whatever_node_decodes() {
        // Each expectation was printed by `Buffer.from(text, "base64")` in Node 20.
        let cases: [(&str, &[u8]); 24] = [
            ("", b""),
            ("AQID", &[1, 2, 3]),
            ("AQI=", &[1, 2]),
            ("AQI", &[1, 2]),
            ("AQ==", &[1]),
            ("AQ", &[1]),
            ("A", b""),
            ("A=QID", b""),
            ("=AQID", b""),
            ("====", b""),
            ("!!!!", b""),
            ("AQ=D", &[1]),
            ("AQID=AQID", &[1, 2, 3]),
            ("AQI=QQ==", &[1, 2]),
            ("AQIDBBBB====x", &[1, 2, 3, 4, 16, 65]),
            ("-_-_", &[0xfb, 0xff, 0xbf]),
            ("+/+/", &[0xfb, 0xff, 0xbf]),
            ("!!AQ!!ID", &[1, 2, 3]),
            ("AQ ID\n", &[1, 2, 3]),
            ("é€AQID", &[1, 2, 3]),
            ("Ab\u{141}cd", &[0x01, 0xb0, 0x1c]),
            ("\u{141}\u{151}ID", &[1, 2, 3]),
            ("AQ\u{13d}ID", &[1]),
            ("AQ😀ID", &[1]),
        ];
        for (text, expected) in cases {
            assert_eq!(decode(text), expected, "{text:?}");
        }
    }

    #[test]
    fn bits_left_over_are_dropped() {
        // "AR" holds 12 bits, of which the last four do not make a byte.
        assert_eq!(decode("AR=="), [1]);
        assert_eq!(decode("AR"), [1]);
    }

    #[test]
    fn encoding_appends_padded_standard_base64() {
        let mut out = b"4".to_vec();
        encode_into(&[1, 2, 3, 0xfb, 0xff], &mut out);
        assert_eq!(out, b"4AQID+/8=");
        encode_into(&[], &mut out);
        assert_eq!(out, b"4AQID+/8=");
    }
}
