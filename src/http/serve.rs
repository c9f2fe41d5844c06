//! Serves a connection: routes its requests.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use super::body::BodyLimits;
use super::coalesced_stream::{HttpState, Joined};
use super::head_timer::HeadTimer;
use super::listener::{Listener, OpenConnection};
use super::polling::{self, Answerer, Destroyed, Post, Reply};
use super::query::Query;
use super::route::Wanted;
use super::strict::MAX_HEAD;
use super::upgrade::{is_upgrade, upgrade};
use crate::runtime::contract::Refusal;
use crate::runtime::{Open, SessionCell, Stream};

/// The time that a client has for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

impl Listener {
    /// Serves one connection on the current runtime, whose addresses are these: none for a UNIX socket. `first`: bytes
    /// that have been read from it.
    pub(super) fn serve<S>(
        self: Arc<Self>,
        stream: S,
        remote: Option<SocketAddr>,
        local: Option<SocketAddr>,
        first: Vec<u8>,
    ) where
        S: AsyncRead + AsyncWrite + TryInto<Stream> + Unpin + Send + 'static,
    {
        let closes = self.closes.load(SeqCst);
        let text_of = |end| format!("{}\0{}\0", SocketAddr::ip(&end), end.port());
        let text = [remote, local].map(|end| end.map_or_else(|| "\0\0".to_owned(), text_of)).concat().into();
        let state = Arc::<HttpState>::default();
        let stream = Joined::new(stream, state.clone(), first);
        let ends = Arc::new(OpenConnection { open: Open::new(self.clone()), state, text });
        let service = service_fn(move |request| answer::<S>(ends.clone(), request));
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(HeadTimer::default())
                .header_read_timeout(HEAD_TIMEOUT)
                .title_case_headers(true)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            let (mut connection, mut closed) = (pin!(connection), pin!(self.closed.notified()));
            // this wakes the task; whether the listener has closed is read from the count, which costs less
            poll_fn(|cx| Poll::Ready(closed.as_mut().poll(cx).is_ready())).await;
            let mut is_draining = false;
            // the end of a connection concerns its requests, which have heard of it
            let _ = poll_fn(|cx| {
                if !is_draining && self.closes.load(SeqCst) != closes {
                    is_draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                connection.as_mut().poll(cx)
            })
            .await;
        });
    }
}

/// The kind of a request.
enum Asks {
    Poll(Arc<SessionCell>, Answerer),
    Post(Arc<SessionCell>, Post, BodyLimits),
    Refuse(Reply),
    /// Other requests are rare, and boxed because hyper moves this value for every request.
    Other(Pin<Box<dyn Future<Output = Result<Reply, Destroyed>> + Send>>),
}

/// Answers a request.
fn answer<S>(ends: Arc<OpenConnection>, request: Request<Incoming>) -> impl Future<Output = Result<Reply, Destroyed>>
where
    S: AsyncRead + AsyncWrite + TryInto<Stream> + Unpin + Send + 'static,
{
    let state = ends.state.clone();
    let asks = Asks::of::<S>(ends, request);
    async move {
        let mut reply = match asks {
            Asks::Poll(session, answerer) => polling::poll(session, answerer).await,
            Asks::Post(session, post, limits) => polling::post(session, post, limits).await?,
            Asks::Refuse(reply) => reply,
            Asks::Other(answer) => answer.await?,
        };
        // bytes behind a request for another protocol were not checked, and must not be read as a request
        if state.is_last() && reply.status() != StatusCode::SWITCHING_PROTOCOLS {
            reply.headers_mut().insert(CONNECTION, const { HeaderValue::from_static("close") });
        }
        Ok(reply)
    }
}

impl Asks {
    fn of<S>(ends: Arc<OpenConnection>, request: Request<Incoming>) -> Self
    where
        S: AsyncRead + AsyncWrite + TryInto<Stream> + Unpin + Send + 'static,
    {
        let listener = ends.open.counter();
        let settings = &listener.options.settings;
        let target = request.uri();
        // an absolute target starts with a scheme
        let is_ours = target.scheme().is_none()
            && target.path_and_query().is_some_and(|target| target.as_str().starts_with(&settings.path));
        if !is_ours {
            let mut response = Response::new(Full::from(Bytes::from_static(b"Not Implemented")));
            *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
            return Self::Refuse(response);
        }
        if settings.websocket.is_some() && is_upgrade(&request) {
            return Self::Other(Box::pin(upgrade::<S>(ends, request)));
        }
        let (parts, incoming) = request.into_parts();
        let query = Query::of(&parts.uri);
        match listener.judge(&parts.method, &query, false) {
            Err(refusal) => {
                listener.tell(refusal, &parts, &query, &ends);
                Self::Refuse(listener.refuse(refusal))
            }
            Ok(Wanted::Existing(session)) => match parts.method {
                Method::GET => Self::Poll(session, Answerer::of(parts, settings.compression)),
                Method::POST => Self::Post(session, Post::of(parts, incoming), settings.bodies),
                _ => Self::Refuse(polling::bare(StatusCode::INTERNAL_SERVER_ERROR)),
            },
            Ok(Wanted::New) => match listener.places.clone().try_acquire_owned() {
                Ok(place) => match open_polling(Some(place), &ends, parts) {
                    Ok((session, answerer)) => Self::Poll(session, answerer),
                    Err(refusal) => Self::Refuse(listener.refuse(refusal)),
                },
                Err(_) => Self::Other(Box::pin(open_later(ends, parts))),
            },
        }
    }
}

/// Opens a session that polls. The request is its first poll.
fn open_polling(
    place: Option<OwnedSemaphorePermit>,
    ends: &OpenConnection,
    parts: Parts,
) -> Result<(Arc<SessionCell>, Answerer), Refusal> {
    let listener = ends.open.counter();
    let settings = &listener.options.settings;
    listener.check_drain()?;
    let sid = listener.next_id().ok_or(Refusal::Exhausted)?;
    let cookie = settings.cookie.as_ref().map(|(before, after)| [before, &*sid, after].concat());
    let session = listener.open(place, sid, &Query::of(&parts.uri), None, &parts, ends).ok_or(Refusal::Exhausted)?;
    Ok((session, Answerer::of(parts, settings.compression).with_cookie(cookie)))
}

/// Opens such a session when the owner has heard of more sessions.
async fn open_later(ends: Arc<OpenConnection>, parts: Parts) -> Result<Reply, Destroyed> {
    let place = ends.open.counter().place().await;
    Ok(match open_polling(place, &ends, parts) {
        Ok((session, answerer)) => polling::poll(session, answerer).await,
        Err(refusal) => ends.open.counter().refuse(refusal),
    })
}
