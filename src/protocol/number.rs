//! JavaScript's `Number(string)`, because the original lets it judge lengths and versions sent by
//! clients.

/// What `Number(text)` yields in JavaScript (ECMA-262 `StringToNumber`): surrounding white space is
/// ignored, the empty string is 0, and decimal, `0x`, `0o`, `0b` and `Infinity` forms are known.
/// `None` is `NaN`.
pub(crate) fn js_number(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_js_white_space);
    match text.as_bytes() {
        [] => Some(0.0),
        [b'0', b'x' | b'X', digits @ ..] => in_radix(digits, 16),
        [b'0', b'o' | b'O', digits @ ..] => in_radix(digits, 8),
        [b'0', b'b' | b'B', digits @ ..] => in_radix(digits, 2),
        _ => decimal(text),
    }
}

/// White space and line terminators of ECMA-262. Rust's own notion differs in U+0085 and U+FEFF.
fn is_js_white_space(c: char) -> bool {
    c == '\u{feff}' || (c != '\u{85}' && c.is_whitespace())
}

/// A prefixed integer. No sign, no fraction, at least one digit.
fn in_radix(digits: &[u8], radix: u32) -> Option<f64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0.0, |value, &digit| {
        let digit = char::from(digit).to_digit(radix)?;
        Some(value * f64::from(radix) + f64::from(digit))
    })
}

/// A decimal literal. Rust's parser accepts the same grammar once its spellings of infinity and
/// NaN, which JavaScript does not know, are kept away from it.
fn decimal(text: &str) -> Option<f64> {
    let (sign, magnitude) = match text.as_bytes() {
        [b'-', ..] => (-1.0, text.get(1..)?),
        [b'+', ..] => (1.0, text.get(1..)?),
        _ => (1.0, text),
    };
    if magnitude == "Infinity" {
        return Some(sign * f64::INFINITY);
    }
    let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    if !magnitude.bytes().all(plain) || magnitude.starts_with(['+', '-']) {
        return None;
    }
    magnitude.parse::<f64>().ok().map(|value| sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_that_number_reads() {
        // Each expectation was printed by Node 20.
        for (text, expected) in [
            ("", 0.0),
            (" \t\n\u{a0}\u{feff}\u{2028}", 0.0),
            ("13", 13.0),
            (" 2 ", 2.0),
            ("+3", 3.0),
            ("-1", -1.0),
            ("2.5", 2.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e1", 10.0),
            ("1E+1", 10.0),
            ("10e-1", 1.0),
            ("007", 7.0),
            ("0x1F", 31.0),
            ("0B11", 3.0),
            ("0o17", 15.0),
            ("-Infinity", f64::NEG_INFINITY),
            ("1e999", f64::INFINITY),
        ] {
            assert_eq!(js_number(text), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn everything_else_is_nan() {
        for text in [
            "x", "1x", "1 2", "0x", "-0x1", "0b2", "0o8", "inf", "infinity", "nan", "NaN", ".", "e5", "1e", "--1",
            "+-1", "+", "1_0", "1n", "1,0", "\u{85}1", "\u{660}",
        ] {
            assert_eq!(js_number(text), None, "{text:?}");
        }
    }
}
