//! The head of a request in the form in which JavaScript gets it.

use hyper::header::HeaderMap;
use hyper::http::request::Parts;

use super::query::Query;

/// Names of headers that nearly every request has. A head has each as one character, its index here plus 1, because JavaScript
/// keeps the head as long as the session.
const COMMON: [&str; 8] = [
    "host",
    "connection",
    "upgrade",
    "user-agent",
    "accept-encoding",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
];

/// The head of a request as one string: fields separated by NUL, which no header can contain. The id of the session that
/// was opened for it, and the handle of its connection, or nothing; whether the query has more to say than [`is_plain`];
/// `ends`, see `OpenConnection`; method, target, version; then names (see [`COMMON`]) and values in turn.
///
/// [`is_plain`]: Query::is_plain
pub fn head(parts: &Parts, query: &Query<'_>, ends: &str, sid: &str, connection: Option<u32>) -> String {
    let mut head = beginning(parts, query, ends, sid, connection);
    push_headers(&mut head, &parts.headers);
    head
}

/// The head of a request without its headers.
pub fn beginning(parts: &Parts, query: &Query<'_>, ends: &str, sid: &str, connection: Option<u32>) -> String {
    let mut head = String::with_capacity(512);
    head.push_str(sid);
    head.push('\0');
    if let Some(connection) = connection {
        head.push_str(&connection.to_string());
    }
    head.push('\0');
    head.push_str(if query.is_plain() { "" } else { "1" });
    head.push('\0');
    head.push_str(ends);
    let version = if parts.version == hyper::Version::HTTP_10 { "1.0" } else { "1.1" };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    for field in [parts.method.as_str(), target, version] {
        head.push_str(field);
        head.push('\0');
    }
    head
}

fn push_headers(head: &mut String, headers: &HeaderMap) {
    for (name, value) in headers {
        match COMMON.iter().position(|common| name == common) {
            Some(place) => head.push(char::from(place as u8 + 1)),
            None => head.push_str(name.as_str()),
        }
        head.push('\0');
        match value.to_str() {
            Ok(value) => head.push_str(value),
            Err(_) => head.extend(value.as_bytes().iter().map(|&byte| char::from(byte))),
        }
        head.push('\0');
    }
}
