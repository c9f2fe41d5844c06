//! JSONP: the form that clients post, and the script that answers them.

use engine_io_native::protocol::jsonp;

/// The bytes are a form; the same, an index and a payload divided by the first line feed.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(payload) = jsonp::unwrap_form(&text) {
        assert!(payload.len() <= 3 * text.len(), "a form does not grow beyond replaced bytes");
    }
    let (index, payload) = text.split_once('\n').unwrap_or((&text, ""));
    let digits = jsonp::sanitize_index(index);
    assert!(digits.bytes().all(|byte| byte.is_ascii_digit()));
    let script = jsonp::wrap(index, payload);
    let literal = script
        .strip_prefix(&format!("___eio[{digits}]("))
        .and_then(|rest| rest.strip_suffix(");"))
        .expect("nothing but a call");
    let inside: String = serde_json::from_str(literal).expect("the argument is a string literal");
    assert_eq!(inside, payload);
    // what ends a line in old JavaScript must not stand in a literal
    assert!(!literal.contains(['\u{2028}', '\u{2029}', '\n', '\r']));
}
