//! Requests that become WebSockets, to open a session or to upgrade one.

use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use super::coalesced_stream::Joined;
use super::head;
use super::listener::{Listener, OpenConnection};
use super::polling::{Destroyed, Reply};
use super::query::{Query, Transport};
use super::route::Wanted;
use crate::runtime::contract::{Refusal, UPGRADE_REFUSAL_TYPE};
use crate::runtime::{Binding, Connection, MessageCompression, Open, Opened, SessionCell, Stream, start_reading};
use crate::websocket::deflate::negotiate;
use crate::websocket::{
    Decoder, Deflate, Handshake, HandshakeError, Inflate, Limits, UpgradeRequest, VERSIONS, check, handshake,
};

/// Whether a request asks for another protocol. In HTTP/1.0 the header has to be ignored (RFC 9110, 7.8).
pub(super) fn is_upgrade(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    request.version() == Version::HTTP_11
        && headers.contains_key(UPGRADE)
        && headers.get_all(CONNECTION).iter().any(|value| {
            value
                .as_bytes()
                .split(|&byte| byte == b',')
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        })
}

/// Answers a request for another protocol.
pub(super) async fn upgrade<S>(ends: Arc<OpenConnection>, mut request: Request<Incoming>) -> Result<Reply, Destroyed>
where
    S: AsyncRead + AsyncWrite + TryInto<Stream> + Unpin + Send + 'static,
{
    let listener = ends.open.counter();
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let query = Query::of(&parts.uri);
    let (Switch { reply, head }, connection) = match listener.accept(&parts, &query, &ends).await {
        Ok(accepted) => accepted,
        Err(refused) => {
            match refused {
                Refused::Engine(refusal) => {
                    listener.count_refusal(Some(refusal));
                    listener.tell(refusal, &parts, &query, &ends);
                }
                Refused::WebSocket(_) => listener.count_refusal(None),
            }
            return Ok(refused.reply(listener));
        }
    };
    connection.keep(Open::new(listener.clone()));
    ends.state.switch();
    tokio::spawn(switch::<S>(upgrade, Switching(Some(connection)), head));
    Ok(reply)
}

/// The beginning of the response that switches protocols.
const HEAD_START: &str = "HTTP/1.1 101 ";

/// The response that switches protocols.
struct Switch {
    /// The response for hyper, which hands the stream over behind it.
    reply: Reply,
    /// The response as it is sent, because hyper spells names in other ways and adds a date.
    head: Vec<u8>,
}

impl Switch {
    fn to(handshake: &Handshake, extensions: Option<&str>) -> Self {
        let mut reply = super::polling::bare(StatusCode::SWITCHING_PROTOCOLS);
        let headers = reply.headers_mut();
        headers.insert(UPGRADE, const { HeaderValue::from_static(handshake::UPGRADE) });
        headers.insert(CONNECTION, const { HeaderValue::from_static("Upgrade") });
        Self { reply, head: handshake.response(extensions).into_bytes() }
    }
}

/// Why a request does not become a WebSocket.
enum Refused {
    /// It is refused as an Engine.IO request.
    Engine(Refusal),
    /// It is refused as a WebSocket handshake.
    WebSocket(HandshakeError),
}

impl Refused {
    /// The last answer on its connection.
    fn reply(&self, listener: &Listener) -> Reply {
        let (status, message) = match self {
            Self::Engine(refusal) => (refusal.status().as_u16(), refusal.message()),
            Self::WebSocket(error) => (error.status(), error.message()),
        };
        let mut reply = Response::new(Full::from(Bytes::from_static(message.as_bytes())));
        *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        let headers = reply.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static(UPGRADE_REFUSAL_TYPE));
        if let Self::Engine(refusal) = self {
            listener.add_retry(*refusal, headers);
        }
        if matches!(self, Self::WebSocket(HandshakeError::Version)) {
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSIONS));
        }
        reply
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Engine(refusal)
    }
}

impl From<HandshakeError> for Refused {
    fn from(error: HandshakeError) -> Self {
        Self::WebSocket(error)
    }
}

impl Listener {
    /// Makes the response to an upgrade request and its connection, which is given to a session.
    async fn accept(
        self: &Arc<Self>,
        parts: &Parts,
        query: &Query<'_>,
        ends: &OpenConnection,
    ) -> Result<(Switch, Arc<Connection>), Refused> {
        let wanted = self.judge(&parts.method, query, true)?;
        let (switch, decoder, compression) = self.handshake(parts)?;
        // a session that polls cannot begin on a WebSocket
        if query.transport() != Some(Transport::WebSocket) {
            return Err(Refusal::TransportHandshake.into());
        }
        if matches!(wanted, Wanted::New) {
            self.check_revision(query)?;
        }
        let options = &self.options;
        let place = self.place().await;
        if matches!(wanted, Wanted::New) {
            self.check_drain()?;
        }
        let handle = options.connections.take().ok_or(Refusal::Exhausted)?;
        let (queue, commands) = (options.queue.clone(), options.commands.clone());
        let connection = Connection::new(handle, queue, commands, decoder, compression);
        let refused = match wanted {
            Wanted::New => {
                let opened =
                    self.next_id().and_then(|sid| self.open(place, sid, query, Some(&connection), parts, ends));
                opened.is_none().then_some(Refusal::Exhausted)
            }
            // a session that has been upgraded, or is being upgraded, is refused
            Wanted::Existing(session) => {
                (!probe(&session, &connection, place, parts, query, ends)).then_some(Refusal::TransportHandshake)
            }
        };
        match refused {
            None => Ok((switch, connection)),
            Some(refusal) => {
                options.connections.give_back(handle);
                Err(refusal.into())
            }
        }
    }

    /// Checks the WebSocket part of a request. Returns the response, and both sides of the connection.
    fn handshake(&self, parts: &Parts) -> Result<(Switch, Decoder, Option<MessageCompression>), HandshakeError> {
        let joined = |name| joined(&parts.headers, name);
        let accepted = check(&UpgradeRequest {
            method: parts.method.as_str(),
            upgrade: joined(UPGRADE).as_deref(),
            key: joined(SEC_WEBSOCKET_KEY).as_deref(),
            version: joined(SEC_WEBSOCKET_VERSION).as_deref(),
            protocol: joined(SEC_WEBSOCKET_PROTOCOL).as_deref(),
        })?;
        let settings = &self.options.settings;
        let offers = settings.deflate.as_ref().zip(joined(SEC_WEBSOCKET_EXTENSIONS));
        let agreement = match offers {
            Some((deflate, offers)) => negotiate(&offers, &deflate.options)?.map(|agreement| (deflate, agreement)),
            None => None,
        };
        // a request that is wrong is told so, as `ws` does
        if !self.takes_upgrades() {
            return Err(HandshakeError::Closed);
        }
        let extensions = agreement.as_ref().map(|(_, agreement)| agreement.header.as_str());
        let switch = Switch::to(&accepted, extensions);
        let limits = Limits { max_payload: settings.max_payload, max_chunks: settings.max_chunks, ..Limits::default() };
        Ok(match agreement {
            Some((deflate, agreement)) => {
                let compression =
                    MessageCompression { deflate: Deflate::new(&agreement, deflate.level), from: deflate.from };
                (switch, Decoder::with_inflate(limits, Inflate::new(&agreement)), Some(compression))
            }
            None => (switch, Decoder::new(limits), None),
        })
    }
}

/// Starts an upgrade of a session to a connection. Returns false if it is refused.
fn probe(
    session: &Arc<SessionCell>,
    connection: &Arc<Connection>,
    place: Option<OwnedSemaphorePermit>,
    parts: &Parts,
    query: &Query<'_>,
    ends: &OpenConnection,
) -> bool {
    let mut started = false;
    session.step_queued(|locked, batch| {
        started = locked.inner.machine.polls() && locked.start_upgrade(connection.clone());
        if started {
            let head = head::beginning(parts, query, &ends.text, "", Some(connection.handle));
            Opened::new(session.clone(), Some(connection.clone()), head, place).tell_probing(batch);
        }
    });
    if started {
        connection.bind(Binding::Session(session.clone()));
    }
    started
}

/// Replaces hyper's head, which comes last in what hyper has written, behind the answers to earlier requests.
fn replace_head(written: &mut Vec<u8>, head: &[u8]) {
    let start = HEAD_START.as_bytes();
    if let Some(at) = written.windows(start.len()).rposition(|window| window == start) {
        written.truncate(at);
        written.extend_from_slice(head);
    }
}

/// Joins the values of a header as Node does.
fn joined(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let values: Vec<_> = headers.get_all(name).iter().map(HeaderValue::to_str).collect::<Result<_, _>>().ok()?;
    (!values.is_empty()).then(|| values.join(", "))
}

/// A connection that waits for its socket. The client may go at any time until then, so that the connection ends when
/// this is dropped.
struct Switching(Option<Arc<Connection>>);

impl Drop for Switching {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.ended();
        }
    }
}

/// Goes on with an accepted upgrade: takes the socket back from hyper and sends `head` in place of hyper's response.
async fn switch<S>(upgrade: OnUpgrade, mut switching: Switching, head: Vec<u8>)
where
    S: AsyncRead + AsyncWrite + TryInto<Stream> + Unpin + Send + 'static,
{
    let stream = match upgrade.await {
        Ok(upgraded) => upgraded.downcast::<TokioIo<Joined<S>>>().ok(),
        Err(_) => None,
    };
    let Some(parts) = stream else { return };
    if let Some(connection) = switching.0.take() {
        let (stream, mut first, unread) = parts.io.into_inner().into_parts();
        replace_head(&mut first, &head);
        connection.outbox().put_first(first);
        match stream.try_into() {
            Ok(stream) => {
                connection.use_socket(stream);
                start_reading(connection, [&parts.read_buf, unread.as_slice()].concat());
            }
            Err(_) => connection.ended(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::contract::XSS_PROTECTION;
    use crate::websocket::handshake::names;

    /// hyper names headers in constants of its own.
    #[test]
    fn headers_have_one_name() {
        let pairs = [
            (SEC_WEBSOCKET_KEY, names::KEY),
            (SEC_WEBSOCKET_VERSION, names::VERSION),
            (SEC_WEBSOCKET_PROTOCOL, names::PROTOCOL),
            (SEC_WEBSOCKET_EXTENSIONS, names::EXTENSIONS),
            (hyper::header::X_XSS_PROTECTION, XSS_PROTECTION[0]),
        ];
        for (name, text) in pairs {
            assert!(name.as_str().eq_ignore_ascii_case(text), "{text}");
        }
    }
}
