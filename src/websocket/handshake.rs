//! The opening handshake, server side (RFC 6455, 4.2), checked in the order of `ws` (C-1).

use std::collections::HashSet;
use std::error::Error;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use super::token::{is_space, is_token_byte};
use crate::protocol::number::js_number;

/// Appended to the client's key before hashing (RFC 6455, 1.3).
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The first lines of the response that switches protocols.
pub const SWITCHING_PROTOCOLS: [&str; 3] =
    ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"];

/// The header `Upgrade` of a request and of the response to it.
pub const UPGRADE: &str = "websocket";

/// The header `Sec-WebSocket-Version` of nearly all requests.
pub const USUAL_VERSION: &str = "13";

/// The names of the headers of the handshake.
pub mod names {
    /// Of the request: the key.
    pub const KEY: &str = "Sec-WebSocket-Key";
    /// Of the request: the version. Of its refusal: the versions that are accepted.
    pub const VERSION: &str = "Sec-WebSocket-Version";
    /// Of the request: the subprotocols that the client offers. Of the response: the one that was selected.
    pub const PROTOCOL: &str = "Sec-WebSocket-Protocol";
    /// Of the request: the extensions that the client offers. Of the response: those that were accepted.
    pub const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
    /// Of the response: the answer to the key.
    pub const ACCEPT: &str = "Sec-WebSocket-Accept";
}

/// The header `Sec-WebSocket-Version` of the answer to [`HandshakeError::Version`]: the versions that are accepted.
pub const VERSIONS: &str = "13, 8";

/// The value of `Sec-WebSocket-Accept` for a value of `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize();
    STANDARD.encode(digest)
}

/// The parts of a request that are checked. A header given more than once has to be joined with
/// `, `, as Node does.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpgradeRequest<'a> {
    /// The method, case-sensitive.
    pub method: &'a str,
    /// `Upgrade`.
    pub upgrade: Option<&'a str>,
    /// `Sec-WebSocket-Key`.
    pub key: Option<&'a str>,
    /// `Sec-WebSocket-Version`.
    pub version: Option<&'a str>,
    /// `Sec-WebSocket-Protocol`.
    pub protocol: Option<&'a str>,
}

/// The values of the 101 response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: String,
    /// The value of `Sec-WebSocket-Protocol`, if the client offered any: the first.
    pub protocol: Option<String>,
}

/// Why a request cannot become a WebSocket. Answered with a plain response and the end of the
/// connection; the engine emits nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// Not a GET.
    Method,
    /// `Upgrade` is not `websocket`, in any case and nothing besides.
    Upgrade,
    /// `Sec-WebSocket-Key` is not 16 bytes in base64.
    Key,
    /// `Sec-WebSocket-Version` is neither 13 nor 8.
    Version,
    /// `Sec-WebSocket-Protocol` is not a list of distinct tokens.
    Protocol,
    /// `Sec-WebSocket-Extensions` is malformed or no offer of permessage-deflate can be accepted.
    /// Never returned by [`check`]: with the option `perMessageDeflate` off the header is not
    /// looked at; with it on, the error of [`deflate::negotiate`](super::deflate::negotiate)
    /// converts into this.
    Extensions,
    /// The engine was closed. Never returned by [`check`], which does not know.
    Closed,
}

impl HandshakeError {
    /// The status of the HTTP response.
    pub fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::Closed => 503,
            _ => 400,
        }
    }

    /// The body of the HTTP response.
    pub fn message(self) -> &'static str {
        match self {
            Self::Method => "Invalid HTTP method",
            Self::Upgrade => "Invalid Upgrade header",
            Self::Key => "Missing or invalid Sec-WebSocket-Key header",
            Self::Version => "Missing or invalid Sec-WebSocket-Version header",
            Self::Protocol => "Invalid Sec-WebSocket-Protocol header",
            Self::Extensions => "Invalid or unacceptable Sec-WebSocket-Extensions header",
            Self::Closed => "Service Unavailable",
        }
    }
}

impl Handshake {
    /// The response that switches protocols; `extensions`: the value of `Sec-WebSocket-Extensions`.
    pub fn response(&self, extensions: Option<&str>) -> String {
        let mut response = SWITCHING_PROTOCOLS.join("\r\n");
        // base64, a token of the client, and the answer to its offer are all valid values
        let headers = [
            (names::ACCEPT, Some(&*self.accept)),
            (names::PROTOCOL, self.protocol.as_deref()),
            (names::EXTENSIONS, extensions),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                response.extend(["\r\n", name, ": ", value]);
            }
        }
        response.push_str("\r\n\r\n");
        response
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl Error for HandshakeError {}

/// Checks a request. The first fault counts.
pub fn check(request: &UpgradeRequest<'_>) -> Result<Handshake, HandshakeError> {
    if request.method != "GET" {
        return Err(HandshakeError::Method);
    }
    if !request.upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")) {
        return Err(HandshakeError::Upgrade);
    }
    let key = request.key.filter(|key| is_key(key)).ok_or(HandshakeError::Key)?;
    // `ws` converts the header to a number, so `0xd` and `13.0` are 13 as well.
    let version = request.version.and_then(js_number);
    if version != Some(13.0) && version != Some(8.0) {
        return Err(HandshakeError::Version);
    }
    let protocol = request.protocol.map(first_protocol).transpose()?;
    Ok(Handshake { accept: accept_key(key), protocol: protocol.map(str::to_owned) })
}

/// 22 characters of base64 and two of padding. The bits that 16 bytes leave unused may be set.
fn is_key(key: &str) -> bool {
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.strip_suffix("==").is_some_and(|digits| digits.bytes().all(base64))
}

/// The first item of `Sec-WebSocket-Protocol`, provided that the whole list is sound: tokens, no
/// two the same, with white space around commas but neither before the first nor after the last.
fn first_protocol(header: &str) -> Result<&str, HandshakeError> {
    if header.starts_with([' ', '\t']) || header.ends_with([' ', '\t']) {
        return Err(HandshakeError::Protocol);
    }
    let space = |c: char| c.is_ascii() && is_space(c as u8);
    let mut first = None;
    let mut seen = HashSet::new();
    for item in header.split(',') {
        let name = item.trim_matches(space);
        if name.is_empty() || !name.bytes().all(is_token_byte) || !seen.insert(name) {
            return Err(HandshakeError::Protocol);
        }
        first = first.or(Some(name));
    }
    first.ok_or(HandshakeError::Protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn request() -> UpgradeRequest<'static> {
        UpgradeRequest {
            method: "GET",
            upgrade: Some("websocket"),
            key: Some(KEY),
            version: Some("13"),
            protocol: None,
        }
    }

    fn protocol(header: &str) -> Result<Option<String>, HandshakeError> {
        check(&UpgradeRequest { protocol: Some(header), ..request() }).map(|accepted| accepted.protocol)
    }

    #[test]
    fn the_example_of_rfc_6455_is_accepted() {
        let accepted = check(&request());
        assert_eq!(accepted, Ok(Handshake { accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into(), protocol: None }));
    }

    #[test]
    fn the_first_fault_in_the_order_of_ws_decides() {
        let mut bad = UpgradeRequest {
            method: "POST",
            upgrade: Some("websocket, foo"),
            key: Some("x"),
            version: Some("12"),
            protocol: Some(","),
        };
        let mut seen = Vec::new();
        for fix in [
            |r: &mut UpgradeRequest| r.method = "GET",
            |r: &mut UpgradeRequest| r.upgrade = Some("WebSocket"),
            |r: &mut UpgradeRequest| r.key = Some(KEY),
            |r: &mut UpgradeRequest| r.version = Some("8"),
            |r: &mut UpgradeRequest| r.protocol = None,
        ] {
            seen.extend(check(&bad).err().map(|error| (error.status(), error.message())));
            fix(&mut bad);
        }
        assert_eq!(
            seen,
            [
                (405, "Invalid HTTP method"),
                (400, "Invalid Upgrade header"),
                (400, "Missing or invalid Sec-WebSocket-Key header"),
                (400, "Missing or invalid Sec-WebSocket-Version header"),
                (400, "Invalid Sec-WebSocket-Protocol header"),
            ]
        );
        assert!(check(&bad).is_ok());
    }

    #[test]
    fn the_upgrade_header_must_name_websocket_alone() {
        for upgrade in [None, Some(""), Some("h2c"), Some("websocket, foo"), Some("websocket ")] {
            let checked = check(&UpgradeRequest { upgrade, ..request() });
            assert_eq!(checked, Err(HandshakeError::Upgrade), "{upgrade:?}");
        }
        assert!(check(&UpgradeRequest { upgrade: Some("WEBSOCKET"), ..request() }).is_ok());
    }

    #[test]
    fn a_key_is_22_base64_characters_and_padding() {
        for key in [
            None,
            Some(""),
            Some("dGhlIHNhbXBsZSBub25jZQ="),
            Some("dGhlIHNhbXBsZSBub25jZQ==="),
            Some("dGhlIHNhbXBsZSBub25j-Q=="),
            Some("dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="),
            Some("dGhlIHNhbXBsZSBub25jé=="),
        ] {
            let checked = check(&UpgradeRequest { key, ..request() });
            assert_eq!(checked, Err(HandshakeError::Key), "{key:?}");
        }
        assert!(check(&UpgradeRequest { key: Some("//////////++++++++++zz=="), ..request() }).is_ok());
    }

    #[test]
    fn versions_13_and_8_pass_however_javascript_spells_them() {
        for version in ["13", "8", "0xd", "13.0", "0b1000"] {
            assert!(check(&UpgradeRequest { version: Some(version), ..request() }).is_ok());
        }
        for version in [None, Some(""), Some("12"), Some("13, 13"), Some("13x"), Some("-13")] {
            let checked = check(&UpgradeRequest { version, ..request() });
            assert_eq!(checked, Err(HandshakeError::Version), "{version:?}");
        }
    }

    #[test]
    fn the_first_protocol_offered_is_chosen() {
        assert_eq!(protocol("foo"), Ok(Some("foo".into())));
        assert_eq!(protocol("foo,bar , \tbaz"), Ok(Some("foo".into())));
    }

    #[test]
    fn a_malformed_list_of_protocols_is_refused() {
        for header in ["", ",", "a,", ",a", "a,,b", "a, ,b", "a b", "a, a", " a", "a ", "a;b", "a,\"b\"", "é", "a,b\t"]
        {
            assert_eq!(protocol(header), Err(HandshakeError::Protocol), "{header:?}");
        }
    }

    #[test]
    fn long_lists_of_protocols_take_linear_time() {
        let spaces = format!("a,{}b", " ".repeat(1 << 20));
        assert_eq!(protocol(&spaces), Ok(Some("a".into())));
        let many: Vec<String> = (0..100_000).map(|i| format!("p{i}")).collect();
        assert_eq!(protocol(&many.join(",")), Ok(Some("p0".into())));
    }
}
