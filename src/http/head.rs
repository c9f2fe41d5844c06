//! The head of a request in the form in which JavaScript gets it.

use hyper::header::HeaderMap;
use hyper::http::request::Parts;

use super::query::Query;
use crate::runtime::contract::HEAD_NAMES;

/// The head of a request as one string: fields, see [`HeadField`], that NUL separates, which no header can contain.
/// `ends`: see `OpenConnection`.
///
/// [`HeadField`]: crate::runtime::contract::HeadField
pub(super) fn head(parts: &Parts, query: &Query<'_>, ends: &str, sid: &str, connection: Option<u32>) -> String {
    let mut head = beginning(parts, query, ends, sid, connection);
    push_headers(&mut head, &parts.headers);
    head
}

/// The head of a request without its headers.
pub(super) fn beginning(parts: &Parts, query: &Query<'_>, ends: &str, sid: &str, connection: Option<u32>) -> String {
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
        match HEAD_NAMES.iter().position(|known| name == known) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::contract::HeadField;

    #[test]
    fn the_fields_of_a_head_are_where_the_contract_says() {
        let request = hyper::Request::builder()
            .method("POST")
            .uri("/e/?EIO=4&b64=1")
            .header("X-Other", "\u{e9}")
            .header("Host", "h")
            .body(());
        let (parts, ()) = request.unwrap().into_parts();
        let text = head(&parts, &Query::of(&parts.uri), "1.2.3.4\x005\x006.7.8.9\x0010\0", "sid", Some(77));
        let fields: Vec<_> = text.split('\0').collect();
        for (field, expected) in [
            (HeadField::Sid, "sid"),
            (HeadField::Connection, "77"),
            (HeadField::IsSpecial, "1"),
            (HeadField::RemoteAddress, "1.2.3.4"),
            (HeadField::RemotePort, "5"),
            (HeadField::LocalAddress, "6.7.8.9"),
            (HeadField::LocalPort, "10"),
            (HeadField::Method, "POST"),
            (HeadField::Target, "/e/?EIO=4&b64=1"),
            (HeadField::Version, "1.1"),
        ] {
            assert_eq!(fields[field as usize], expected, "{field:?}");
        }
        let headers = &fields[HeadField::Headers as usize..];
        // UTF-8 as Node reads it, which is Latin-1
        assert_eq!(headers, ["x-other", "\u{c3}\u{a9}", "\u{1}", "h", ""]);
    }
}
