//! The query of a request's target, as far as it can be read without decoding anything.

use hyper::Uri;

/// The parameters that matter; of a repeated one the last counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    pub sid: Option<&'a str>,
    pub transport: Option<&'a str>,
    pub eio: Option<&'a str>,
    /// The client asks for JSONP or for text only.
    pub special: bool,
}

impl<'a> Query<'a> {
    /// None where there are escapes, or parameters without a value.
    pub fn of(uri: &'a Uri) -> Option<Self> {
        let text = uri.query()?;
        if memchr::memchr2(b'%', b'+', text.as_bytes()).is_some() {
            return None;
        }
        let mut query = Self::default();
        let mut rest = Some(text);
        while let Some(pairs) = rest {
            let (pair, others) = split_at_byte(pairs, b'&').map_or((pairs, None), |(pair, others)| (pair, Some(others)));
            let (name, value) = split_at_byte(pair, b'=')?;
            match name {
                "sid" => query.sid = Some(value),
                "transport" => query.transport = Some(value),
                "EIO" => query.eio = Some(value),
                "j" | "b64" => query.special = true,
                _ => {}
            }
            rest = others;
        }
        Some(query)
    }

    /// None where the target has anything that a URL parser would change or refuse: the owner has one.
    pub fn of_handshake(uri: &'a Uri) -> Option<Self> {
        let target = uri.path_and_query()?.as_str();
        let is_plain = target.bytes().all(|byte| PLAIN[usize::from(byte)]) && !target.starts_with("//");
        if is_plain { Self::of(uri) } else { None }
    }
}

/// What no URL parser changes.
const PLAIN: [bool; 256] = {
    let (mut plain, mut byte) = ([false; 256], 0);
    while byte < 256 {
        plain[byte] = matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9')
            || matches!(byte as u8, b'_' | b'-' | b'.' | b'/' | b'~' | b'&' | b'=' | b'!' | b'*' | b':' | b'@' | b'?');
        byte += 1;
    }
    plain
};

/// As `str::split_once`, which takes its time for an ASCII character.
fn split_at_byte(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.as_bytes().iter().position(|&other| other == byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(target: &str) -> Option<(Option<String>, Option<String>, bool)> {
        let uri = target.parse().unwrap();
        let query = Query::of_handshake(&uri)?;
        Some((query.sid.map(str::to_owned), query.transport.map(str::to_owned), query.special))
    }

    #[test]
    fn the_last_of_repeated_parameters_counts() {
        assert_eq!(of("/e/?sid=a&transport=x&transport=polling&t=1"), Some((Some("a".into()), Some("polling".into()), false)));
    }

    #[test]
    fn jsonp_and_text_only_clients_are_special() {
        for parameter in ["j=1", "b64=1", "b64="] {
            assert_eq!(of(&format!("/e/?transport=polling&{parameter}")), Some((None, Some("polling".into()), true)));
        }
    }

    #[test]
    fn what_a_url_parser_would_change_is_left_to_one() {
        for target in ["/e/?a=%41", "/e/?a=b+c", "/e/?a", "/e/", "//e/?a=b", "/e/?a=b'c", "/e/?", "/e/?a=b&&c=d"] {
            assert_eq!(of(target), None, "{target}");
        }
    }
}
