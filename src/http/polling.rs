//! Serves polls and POSTs of open sessions without the owner.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use http_body_util::Full;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, SET_COOKIE,
    USER_AGENT, X_XSS_PROTECTION,
};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use tokio::sync::oneshot;

use super::body::{self, Body, BodyLimits};
use super::compressor;
use super::encoding::{CompressionOptions, ContentEncoding};
use crate::runtime::contract::{self, BINARY_PAYLOAD_TYPE, OLD_IE, POST_ANSWER, POST_ANSWER_TYPE, TEXT_PAYLOAD_TYPE};
use crate::runtime::counts::count;
use crate::runtime::{Locked, PollAnswer, SessionCell};
use crate::session::{Fault, PollId, Reason, Revision};

pub(super) type Reply = Response<Full<Bytes>>;

/// The request gets no answer, and its connection is cut off.
#[derive(Debug)]
pub(super) struct Destroyed;

impl std::fmt::Display for Destroyed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request was destroyed")
    }
}

impl std::error::Error for Destroyed {}

/// The parts of a request that its answer needs. None of its bytes are kept, because they lie in the connection's read
/// buffer, and hyper makes another buffer for the next bytes while a part of this one is in use.
pub(super) struct Answerer {
    old_ie: bool,
    compression: Option<(ContentEncoding, CompressionOptions)>,
    /// The emptied headers of the request: room for those of the response, which hyper gives to the next request.
    headers: HeaderMap,
    cookie: Option<HeaderValue>,
}

impl Answerer {
    pub(super) fn of(parts: Parts, compression: Option<CompressionOptions>) -> Self {
        let mut headers = parts.headers;
        let old_ie = is_old_ie(&headers);
        let compression =
            compression.and_then(|options| accepted_encoding(&headers).map(|encoding| (encoding, options)));
        headers.clear();
        Self { old_ie, compression, headers, cookie: None }
    }

    /// Has the answer set a cookie. The owner has made sure that it is a valid value.
    pub(super) fn with_cookie(mut self, cookie: Option<String>) -> Self {
        self.cookie = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok());
        self
    }

    /// hyper adds the length.
    fn ok(self, content_type: HeaderValue, body: Bytes) -> Reply {
        let mut response = Response::new(Full::new(body));
        let headers = response.headers_mut();
        *headers = self.headers;
        headers.insert(CONTENT_TYPE, content_type);
        if self.old_ie {
            headers.insert(X_XSS_PROTECTION, const { HeaderValue::from_static(contract::XSS_PROTECTION[1]) });
        }
        headers.insert(CACHE_CONTROL, const { HeaderValue::from_static(contract::CACHE_CONTROL) });
        if let Some(cookie) = self.cookie {
            headers.insert(SET_COOKIE, cookie);
        }
        response
    }
}

/// Serves a GET: the response comes when there are packets.
pub(super) async fn poll(session: Arc<SessionCell>, answerer: Answerer) -> Reply {
    let (responder, answer) = oneshot::channel();
    let mut poll = 0;
    session.step_queued(|session, batch| poll = session.poll(responder, batch));
    count(|counts| counts.polls.add(1));
    let mut guard = PollGuard { session: Some(session), poll };
    let answer = answer.await;
    let Some(session) = guard.session.take() else { return bare(StatusCode::BAD_REQUEST) };
    match answer {
        Ok(PollAnswer::Payload { body, binary, compress }) => {
            count(|counts| counts.poll_bytes.add(body.len()));
            let content_type = match binary {
                true => const { HeaderValue::from_static(BINARY_PAYLOAD_TYPE) },
                false => const { HeaderValue::from_static(TEXT_PAYLOAD_TYPE) },
            };
            let wanted = answerer.compression.filter(|(_, options)| {
                let is_small = (body.len() as f64) < options.threshold;
                compress && !is_small
            });
            match wanted {
                Some((encoding, options)) => {
                    // as in the original if zlib fails; an empty body would look like an answer
                    let Some(body) = Box::pin(compressor::compress(body, encoding, options)).await else {
                        return bare(StatusCode::INTERNAL_SERVER_ERROR);
                    };
                    let mut response = answerer.ok(content_type, counted(&session, body));
                    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
                    response
                }
                None => answerer.ok(content_type, counted(&session, body)),
            }
        }
        Ok(PollAnswer::Rejected) | Err(_) => bare(StatusCode::BAD_REQUEST),
    }
}

fn accepted_encoding(request: &HeaderMap) -> Option<ContentEncoding> {
    let mut values = request.get_all(ACCEPT_ENCODING).iter();
    let (first, second) = (values.next()?, values.next());
    if second.is_none() {
        return ContentEncoding::negotiate(first.to_str().ok()?);
    }
    let all: Vec<_> = request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).collect();
    ContentEncoding::negotiate(&all.join(", "))
}

/// A body that is counted for the session until the kernel has taken it. Small bodies are taken at once.
fn counted(session: &Arc<SessionCell>, body: Vec<u8>) -> Bytes {
    if body.len() < 16 * 1024 { Bytes::from(body) } else { Bytes::from_owner(session.count_answer(body)) }
}

/// Dropped with the request when the client goes away.
struct PollGuard {
    session: Option<Arc<SessionCell>>,
    poll: PollId,
}

impl Drop for PollGuard {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let poll = self.poll;
            session.step_queued(|session, _| session.inner.machine.poll_aborted(poll, &mut session.actions));
        }
    }
}

/// Bytes of bodies that do not wait until other events were taken. They may be a pong (`d=1%3A2` is the longest), and
/// take as many bytes on the wire as in the queue.
const HEARTBEAT: u64 = 8;

/// A POST whose body is still to be read.
pub(super) struct Post {
    body: Incoming,
    binary: bool,
    answerer: Answerer,
}

impl Post {
    pub(super) fn of(parts: Parts, body: Incoming) -> Self {
        let binary = parts.headers.get(CONTENT_TYPE).is_some_and(|value| value == BINARY_PAYLOAD_TYPE);
        Self { body, binary, answerer: Answerer::of(parts, None) }
    }
}

/// Serves a POST.
///
/// # Errors
/// The session ended or moved meanwhile. The request has to be destroyed, as in the original.
pub(super) async fn post(session: Arc<SessionCell>, post: Post, limits: BodyLimits) -> Result<Reply, Destroyed> {
    let Post { body, binary, answerer } = post;
    let is_heartbeat = body.size_hint().upper().is_some_and(|length| length <= HEARTBEAT);
    if session.is_queue_full() && !is_heartbeat {
        // the body is not read, so that all clients together are bounded
        Box::pin(session.has_room()).await;
    }
    let mut reading = pin!(body::read_all(body, limits));
    let settled = match poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await {
        Poll::Ready(Body::Complete(body)) => receive_at_once(&session, &body, binary),
        read => Box::pin(receive_later(&session, read, reading, (binary, is_heartbeat, limits.time))).await,
    };
    match settled {
        Ok(true) => {}
        Ok(false) => {
            // the next POST must not come before the owner has taken this one
            let _finish = FinishGuard(session.clone());
            session.settled().await;
        }
        Err(Refused::AtOnce) => return Ok(bare(StatusCode::BAD_REQUEST)),
        Err(Refused::Unread) => return Ok(closing(StatusCode::BAD_REQUEST)),
        Err(Refused::Body(body)) => return Ok(refusal(&body)),
        Err(Refused::Destroyed) => return Err(Destroyed),
    }
    Ok(answerer.ok(const { HeaderValue::from_static(POST_ANSWER_TYPE) }, Bytes::from_static(POST_ANSWER.as_bytes())))
}

fn count_post(body: &[u8]) {
    count(|counts| {
        counts.posts.add(1);
        counts.post_bytes.add(body.len());
    });
}

/// Why a POST is not taken.
enum Refused {
    /// The POST may not begin.
    AtOnce,
    /// The POST may not begin, and the rest of its body is not awaited.
    Unread,
    /// The body cannot be taken.
    Body(Body),
    /// The session ended or moved meanwhile.
    Destroyed,
}

/// Takes a body that came with its request in one step, so that nothing comes in between. Returns whether that was all;
/// otherwise the owner is awaited.
fn receive_at_once(session: &Arc<SessionCell>, body: &[u8], binary: bool) -> Result<bool, Refused> {
    let (mut began, mut settled) = (false, false);
    session.step_queued(|session, batch| {
        began = begin(session, binary);
        if began {
            count_post(body);
            session.receive_payload(body, binary, batch);
            session.cell.owe_post(batch);
            settled = session.answers_post_at_once();
            if settled {
                session.inner.machine.post_finished();
            }
        }
    });
    if began { Ok(settled) } else { Err(Refused::AtOnce) }
}

/// Takes a body that is still to come, or a request without one.
async fn receive_later(
    session: &Arc<SessionCell>,
    read: Poll<Body>,
    reading: impl Future<Output = Body>,
    (binary, is_heartbeat, time): (bool, bool, u32),
) -> Result<bool, Refused> {
    // this listens before the POST counts as begun, so that nothing is missed in between
    let Some(aborted) = session.post_aborted() else { return Err(Refused::Unread) };
    let mut aborted = pin!(aborted);
    aborted.as_mut().enable();
    let mut began = false;
    session.step_queued(|session, _| began = begin(session, binary));
    if !began {
        return Err(Refused::Unread);
    }
    let mut guard = PostGuard { session: Some(session.clone()) };
    let read = match read {
        Poll::Ready(read) => read,
        Poll::Pending => tokio::select! {
            read = read_with_room(session, body::in_time(time, reading), is_heartbeat) => read,
            () = aborted => return Err(Refused::Destroyed),
        },
    };
    let fault = match read {
        Body::Complete(body) => {
            guard.session = None;
            session.step_queued(|session, batch| {
                count_post(&body);
                session.receive_payload(&body, binary, batch);
                session.cell.owe_post(batch);
            });
            return Ok(false);
        }
        Body::TooLarge => Fault::BodyTooLarge,
        Body::TooManyChunks => Fault::TooManyChunks,
        Body::TooSlow => Fault::BodyTimeout,
        // the guard ends the session
        Body::Aborted => return Err(Refused::Body(read)),
    };
    guard.session = None;
    session.step_queued(|session, _| session.inner.machine.close(Reason::TransportError(fault), &mut session.actions));
    Err(Refused::Body(read))
}

/// Reads the rest of a body, and waits while the owner has too many events to take altogether.
async fn read_with_room(session: &Arc<SessionCell>, reading: impl Future<Output = Body>, is_heartbeat: bool) -> Body {
    let read = reading.await;
    if !is_heartbeat {
        session.has_room().await;
    }
    read
}

/// Begins a POST. False if it is refused, which has ended the session.
fn begin(session: &mut Locked<'_>, binary: bool) -> bool {
    if !session.inner.machine.post_started(&mut session.actions) {
        return false;
    }
    let is_refused = binary && session.inner.machine.revision() == Revision::V4;
    if is_refused {
        session.inner.machine.post_finished();
        session.inner.machine.close(Reason::TransportError(Fault::InvalidContent), &mut session.actions);
    }
    !is_refused
}

/// Dropped with the request when the client goes away.
struct PostGuard {
    session: Option<Arc<SessionCell>>,
}

impl Drop for PostGuard {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.step_queued(|session, _| session.inner.machine.post_aborted(&mut session.actions));
        }
    }
}

/// Ends a POST that has been read, whether its client waits for the answer or not.
struct FinishGuard(Arc<SessionCell>);

impl Drop for FinishGuard {
    fn drop(&mut self) {
        self.0.step_queued(|session, _| session.inner.machine.post_finished());
    }
}

/// Whether the client is an old Internet Explorer, which mistakes payloads for cross-site scripting.
fn is_old_ie(request: &HeaderMap) -> bool {
    request.get(USER_AGENT).is_some_and(|agent| {
        OLD_IE.iter().any(|mark| memchr::memmem::find(agent.as_bytes(), mark.as_bytes()).is_some())
    })
}

/// The answer to a request whose body was not read.
pub(super) fn refusal(body: &Body) -> Reply {
    match body {
        Body::TooLarge | Body::TooManyChunks => closing(StatusCode::PAYLOAD_TOO_LARGE),
        Body::TooSlow => closing(StatusCode::REQUEST_TIMEOUT),
        Body::Aborted | Body::Complete(_) => bare(StatusCode::BAD_REQUEST),
    }
}

pub(super) fn bare(status: StatusCode) -> Reply {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// An empty answer that is the connection's last one.
pub(super) fn closing(status: StatusCode) -> Reply {
    let mut reply = bare(status);
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}
