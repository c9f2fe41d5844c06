//! The query of a request's target.

use std::borrow::Cow;

use hyper::Uri;

use crate::protocol::jsonp::form_decode;
use crate::session::Revision;

/// The transports that a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Polling,
    WebSocket,
}

/// The parameters that the engine reads. The last value of a repeated one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query<'a> {
    sid: Cow<'a, str>,
    transport: Cow<'a, str>,
    eio: Cow<'a, str>,
    b64: Cow<'a, str>,
    jsonp: Option<Cow<'a, str>>,
}

impl<'a> Query<'a> {
    pub(super) fn of(uri: &'a Uri) -> Self {
        let mut query = Self::default();
        let mut rest = uri.query();
        while let Some(pairs) = rest {
            let (pair, others) =
                split_at_byte(pairs, b'&').map_or((pairs, None), |(pair, others)| (pair, Some(others)));
            let (name, value) = split_at_byte(pair, b'=').unwrap_or((pair, ""));
            match &*form_decode(name) {
                "sid" => query.sid = form_decode(value),
                "transport" => query.transport = form_decode(value),
                "EIO" => query.eio = form_decode(value),
                "b64" => query.b64 = form_decode(value),
                "j" => query.jsonp = Some(form_decode(value)),
                _ => {}
            }
            rest = others;
        }
        query
    }

    /// The id of the session that the request belongs to.
    pub(super) fn sid(&self) -> Option<&str> {
        (!self.sid.is_empty()).then_some(&*self.sid)
    }

    pub(super) fn transport(&self) -> Option<Transport> {
        match &*self.transport {
            "polling" => Some(Transport::Polling),
            "websocket" => Some(Transport::WebSocket),
            _ => None,
        }
    }

    /// The protocol's revision: 3 unless 4 is asked for.
    pub(super) fn revision(&self) -> Revision {
        if self.eio == "4" { Revision::V4 } else { Revision::V3 }
    }

    /// Whether the query asks for protocol 4 without `b64` and without JSONP.
    pub(super) fn is_plain(&self) -> bool {
        self.revision() == Revision::V4 && self.b64.is_empty() && self.jsonp.is_none()
    }

    /// Whether the client takes text only (`b64`).
    pub(super) fn is_text_only(&self) -> bool {
        !self.b64.is_empty()
    }

    /// The index of a JSONP client's callback. Only digits are kept, because it becomes part of a script.
    pub(super) fn jsonp(&self) -> Option<Box<str>> {
        self.jsonp.as_ref().map(|index| index.chars().filter(char::is_ascii_digit).collect::<String>().into())
    }
}

/// Splits at an ASCII character, faster than `str::split_once`.
fn split_at_byte(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.as_bytes().iter().position(|&other| other == byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(target: &str, check: impl Fn(Query<'_>)) {
        check(Query::of(&target.parse().unwrap()));
    }

    #[test]
    fn the_last_of_repeated_parameters_counts() {
        of("/e/?sid=a&transport=x&EIO=4&transport=polling&t=1", |query| {
            assert_eq!((query.sid(), query.transport()), (Some("a"), Some(Transport::Polling)));
            assert_eq!((query.revision(), query.is_text_only(), query.jsonp()), (Revision::V4, false, None));
        });
    }

    #[test]
    fn escapes_are_read() {
        of("/e/?%73id=a%2Db+c&transport=%77ebsocket&EIO=%34&x=%ff%", |query| {
            assert_eq!((query.sid(), query.transport()), (Some("a-b c"), Some(Transport::WebSocket)));
            assert_eq!(query.revision(), Revision::V4);
        });
    }

    #[test]
    fn what_is_empty_counts_as_missing_but_the_index_of_a_callback() {
        of("/e/?sid=&transport&EIO&b64=&j", |query| {
            assert_eq!((query.sid(), query.transport(), query.revision()), (None, None, Revision::V3));
            assert_eq!((query.is_text_only(), query.jsonp()), (false, Some("".into())));
        });
        of("/e/?b64=1&j=1x2%00", |query| {
            assert_eq!((query.is_text_only(), query.jsonp()), (true, Some("12".into())));
        });
        for target in ["/e/", "/e/?", "/e/?&&="] {
            of(target, |query| assert_eq!(query, Query::default()));
        }
    }
}
