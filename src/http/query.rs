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
        let mut query = Self::default();
        for pair in uri.query()?.split('&') {
            let (name, value) = pair.split_once('=')?;
            if pair.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
                return None;
            }
            match name {
                "sid" => query.sid = Some(value),
                "transport" => query.transport = Some(value),
                "EIO" => query.eio = Some(value),
                "j" | "b64" => query.special = true,
                _ => {}
            }
        }
        Some(query)
    }

    /// None where the target has anything that a URL parser would change or refuse: the owner has one.
    pub fn of_handshake(uri: &'a Uri) -> Option<Self> {
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./~&=!*:@".contains(&byte);
        let target = uri.path_and_query()?.as_str();
        let is_plain = target.bytes().filter(|&byte| byte != b'?').all(usual) && !target.starts_with("//");
        if is_plain { Self::of(uri) } else { None }
    }
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
