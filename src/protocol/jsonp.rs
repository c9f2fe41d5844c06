//! JSONP: polling responses wrapped in a script call, request bodies wrapped in a form (B-10).

use std::borrow::Cow;
use std::fmt::Write as _;

/// Number of pairs that `querystring.parse` reads. It ignores the rest.
const MAX_PAIRS: usize = 1000;

/// Keeps the ASCII digits of the `j` parameter only, so that nothing a client writes there can
/// become script.
pub fn sanitize_index(index: &str) -> String {
    index.chars().filter(char::is_ascii_digit).collect()
}

/// The body of a response: the call `___eio[<index>]("<payload>");`.
///
/// The argument is a JSON string in which U+2028 and U+2029 are escaped too, because JavaScript
/// before 2019 took them for line ends. `/` and `<` stay as they are.
pub fn wrap(index: &str, payload: &str) -> String {
    let mut out = String::with_capacity(payload.len() + payload.len() / 8 + index.len() + 16);
    out.push_str("___eio[");
    out.extend(index.chars().filter(char::is_ascii_digit));
    out.push_str("](\"");
    push_escaped(payload, &mut out);
    out.push_str("\");");
    out
}

/// The body of a response with a binary payload, written as `JSON.stringify` writes a Buffer. Clients of JSONP should
/// not ask for one.
pub fn wrap_binary(index: &str, payload: &[u8]) -> String {
    let bytes: Vec<_> = payload.iter().map(u8::to_string).collect();
    format!("___eio[{}]({{\"type\":\"Buffer\",\"data\":[{}]}});", sanitize_index(index), bytes.join(","))
}

/// The payload inside a posted form: field `d`, then the two rules for line feeds.
///
/// `None` when the field is missing or repeated; the original then ignores the body and still
/// answers `ok`.
pub fn unwrap_form(body: &str) -> Option<String> {
    let mut pairs = body
        .split('&')
        .take(MAX_PAIRS)
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(key, _)| form_decode(key) == "d");
    let (_, value) = pairs.next()?;
    if pairs.next().is_some() {
        return None;
    }
    Some(unescape_line_feeds(&form_decode(value)))
}

/// Appends `text` as the inside of a JSON string literal, escapes as `JSON.stringify` chooses them.
fn push_escaped(text: &str, out: &mut String) {
    let mut copied = 0;
    for (at, c) in text.char_indices() {
        let escape = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '\u{2028}' => "\\u2028",
            '\u{2029}' => "\\u2029",
            '\0'..='\u{1f}' => "",
            _ => continue,
        };
        out.push_str(text.get(copied..at).unwrap_or_default());
        if escape.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push_str(escape);
        }
        copied = at + c.len_utf8();
    }
    out.push_str(text.get(copied..).unwrap_or_default());
}

/// Clients write a line feed as `\n` and a backslash followed by `n` as `\\n`, because some
/// browsers turn bare line feeds in forms into CR LF.
///
/// A lone backslash before `n` makes a line feed; of two or more, one is dropped.
fn unescape_line_feeds(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut backslashes = 0usize;
    for c in text.chars() {
        if c == 'n' && backslashes > 0 {
            out.pop();
            out.push(if backslashes == 1 { '\n' } else { 'n' });
        } else {
            out.push(c);
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
    }
    out
}

/// Decodes one key or value of a form as Node's `querystring` does: `+` is a space, percent escapes
/// are UTF-8, and what is malformed never fails but is kept or replaced.
pub(crate) fn form_decode(text: &str) -> Cow<'_, str> {
    let text = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    if !has_escape(text.as_bytes()) {
        return text;
    }
    match decode_strictly(text.as_bytes()) {
        Some(decoded) => Cow::Owned(decoded),
        None => Cow::Owned(decode_leniently(&text)),
    }
}

fn has_escape(text: &[u8]) -> bool {
    memchr::memchr_iter(b'%', text).any(|at| escaped_byte(text.get(at..).unwrap_or_default()).is_some())
}

/// The byte behind a leading `%XX`.
fn escaped_byte(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = *text else {
        return None;
    };
    let hex = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(hex(high)? << 4 | hex(low)?).ok()
}

/// `decodeURIComponent`: every `%` begins an escape, and each run of escapes is UTF-8 by itself.
fn decode_strictly(text: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(&first) = rest.first() {
        if first != b'%' {
            let run = memchr::memchr(b'%', rest).unwrap_or(rest.len());
            let (plain, after) = rest.split_at_checked(run)?;
            out.extend_from_slice(plain);
            rest = after;
            continue;
        }
        let run = out.len();
        while rest.first() == Some(&b'%') {
            out.push(escaped_byte(rest)?);
            rest = rest.get(3..)?;
        }
        simdutf8::basic::from_utf8(out.get(run..)?).ok()?;
    }
    String::from_utf8(out).ok()
}

/// What `querystring` falls back to when the strict way fails: escapes become bytes, other
/// characters the low byte of their UTF-16 units, and the whole is read as UTF-8 with replacement.
fn decode_leniently(text: &str) -> String {
    let units: Vec<u16> = text.encode_utf16().collect();
    let hex = |at: usize| {
        let digit = char::from_u32(u32::from(*units.get(at)?))?;
        digit.to_digit(16)
    };
    let mut out = Vec::with_capacity(units.len());
    let mut at = 0;
    while let Some(&unit) = units.get(at) {
        let escape = if unit == u16::from(b'%') { hex(at + 1).zip(hex(at + 2)) } else { None };
        match escape {
            Some((high, low)) => {
                out.push((high << 4 | low) as u8);
                at += 3;
            }
            None => {
                out.push(unit as u8);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_digits_of_the_index_are_kept() {
        assert_eq!(sanitize_index("alert(1)//"), "1");
        assert_eq!(sanitize_index(""), "");
        assert_eq!(sanitize_index("12٣4"), "124");
        assert_eq!(wrap("x7](", "4"), "___eio[7](\"4\");");
    }

    #[test]
    fn the_payload_is_a_json_string_that_old_javascript_can_read() {
        assert_eq!(
            wrap("0", "4a\"\\\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}</\u{2028}\u{2029}€😀"),
            "___eio[0](\"4a\\\"\\\\\\n\\r\\t\\b\\f\\u0000\\u001f\u{7f}</\\u2028\\u2029€😀\");"
        );
        assert_eq!(wrap("3", ""), "___eio[3](\"\");");
    }

    #[test]
    fn apart_from_the_line_separators_the_literal_is_what_serde_json_writes() {
        let text: String = (0u32..0x2027).filter_map(char::from_u32).collect();
        assert_eq!(wrap("", &text), format!("___eio[]({});", serde_json::to_string(&text).unwrap_or_default()));
    }

    #[test]
    fn a_form_yields_its_field_d() {
        assert_eq!(unwrap_form("d=4hello").as_deref(), Some("4hello"));
        assert_eq!(unwrap_form("a=1&d=4hello&b=2").as_deref(), Some("4hello"));
        assert_eq!(unwrap_form("%64=4a+b%E2%82%AC%1e4%26").as_deref(), Some("4a b€\u{1e}4&"));
        assert_eq!(unwrap_form("d=4a=b").as_deref(), Some("4a=b"));
        assert_eq!(unwrap_form("d").as_deref(), Some(""));
        assert_eq!(unwrap_form("d=").as_deref(), Some(""));
    }

    #[test]
    fn a_binary_payload_is_written_as_a_buffer() {
        assert_eq!(wrap_binary("3a", &[1, 2, 255, 4, 0]), r#"___eio[3]({"type":"Buffer","data":[1,2,255,4,0]});"#);
        assert_eq!(wrap_binary("", &[]), r#"___eio[]({"type":"Buffer","data":[]});"#);
    }

    #[test]
    fn a_missing_or_repeated_field_yields_nothing() {
        for body in ["", "x=1", "d=4a&d=4b", "d&d", "D=4a", "d[]=4a"] {
            assert_eq!(unwrap_form(body), None, "{body:?}");
        }
    }

    #[test]
    fn malformed_escapes_are_read_as_querystring_reads_them() {
        // Each expectation was printed by `querystring.parse` in Node 20.
        for (body, expected) in [
            ("d=100%", "100%"),
            ("d=%4", "%4"),
            ("d=%zz€", "%zz€"),
            ("d=%41%", "A%"),
            ("d=%ff", "\u{fffd}"),
            ("d=%e2%82", "\u{fffd}"),
            ("d=%ed%a0%80", "\u{fffd}\u{fffd}\u{fffd}"),
            ("d=%41%zz€", "A%zz\u{fffd}"),
            ("d=%41%é", "A%\u{fffd}"),
        ] {
            assert_eq!(unwrap_form(body).as_deref(), Some(expected), "{body:?}");
        }
    }

    #[test]
    fn pairs_beyond_the_thousandth_are_not_seen() {
        let padding = "x=1&".repeat(MAX_PAIRS - 1);
        assert_eq!(unwrap_form(&format!("{padding}d=4a")).as_deref(), Some("4a"));
        assert_eq!(unwrap_form(&format!("x&{padding}d=4a")), None);
    }

    #[test]
    fn a_single_backslash_before_n_is_a_line_feed_and_a_double_one_loses_one() {
        for (text, expected) in [
            (r"a\nb", "a\nb"),
            (r"a\\nb", r"a\nb"),
            (r"a\\\nb", r"a\\nb"),
            (r"\n\\n\n", "\n\\n\n"),
            (r"\n\n", "\n\n"),
            (r"\t\\", r"\t\\"),
            ("n\\", "n\\"),
        ] {
            assert_eq!(unescape_line_feeds(text), expected, "{text:?}");
        }
    }
}
