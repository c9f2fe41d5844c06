//! Accepts connections and routes their requests.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
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
use tokio::net::TcpListener;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::body::BodyLimits;
use super::coalesced_stream::{HttpState, Joined};
use super::head_timer::HeadTimer;
use super::polling::{self, Answerer, Destroyed, Post, Reply};
use super::query::Query;
use super::route::{Transport, Wanted};
use super::upgrade::{is_upgrade, upgrade};
use super::{Bound, CompressionOptions};
use crate::runtime::contract::Refusal;
use crate::runtime::{Commands, EventQueue, Handles, Kind, Registry, SessionCell, Stream};
use crate::session::{IdGenerator, OutData, Timing};
use crate::websocket::deflate;

/// What a listener is made of.
#[derive(Debug)]
pub struct ListenerOptions {
    /// The number by which the owner knows the listener.
    pub id: u32,
    pub settings: Settings,
    pub queue: EventQueue,
    /// The I/O thread that serves the listener.
    pub commands: Commands,
    /// For sessions that are opened here.
    pub sessions: Handles,
    /// For their connections.
    pub connections: Handles,
}

/// What the owner's options say, once and for all.
#[derive(Debug)]
pub struct Settings {
    /// Requests whose target starts with this belong to the engine.
    pub path: String,
    pub timing: Arc<Timing>,
    /// What the open packet of a polling session says after the id; none: there is no such transport.
    pub polling: Option<String>,
    /// The same for WebSocket.
    pub websocket: Option<String>,
    /// The message that follows the open packet of a session that polls.
    pub initial: Option<OutData>,
    /// Clients of protocol 3 are served.
    pub allows_v3: bool,
    pub bodies: BodyLimits,
    /// The limit of a WebSocket message in bytes; 0: none.
    pub max_payload: u64,
    /// See [`crate::websocket::Limits::max_chunks`].
    pub max_chunks: u32,
    pub compression: Option<CompressionOptions>,
    /// What the cookie of a polling handshake says before and after the id.
    pub cookie: Option<(String, String)>,
    pub deflate: Option<DeflateSettings>,
}

/// The option `perMessageDeflate`.
#[derive(Debug)]
pub struct DeflateSettings {
    pub options: deflate::Options,
    /// zlib's level, 0 to 9.
    pub level: u32,
    /// Messages below this many bytes are sent as they are.
    pub from: usize,
}

impl Settings {
    /// What the open packet of a session on this transport says after the id; none: there is no such transport.
    pub(super) fn open_packet(&self, transport: Transport) -> Option<&str> {
        match transport {
            Transport::Polling => self.polling.as_deref(),
            Transport::WebSocket => self.websocket.as_deref(),
        }
    }
}

/// While the owner has heard of this many sessions less than there are, no more are opened: their handshakes wait.
/// As many refusals wait to be told; further ones are not.
const MAX_UNTAKEN: usize = 1024;

/// The time that a client has for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// The limit of a request's head in bytes.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// See the module's documentation.
#[derive(Debug)]
pub struct Listener {
    pub(super) options: ListenerOptions,
    pub registry: Arc<Registry>,
    ids: Mutex<IdGenerator>,
    /// Places among the sessions that the owner has not heard of.
    pub(super) places: Arc<Semaphore>,
    takes_upgrades: AtomicBool,
    pub(super) tells_refusals: AtomicBool,
    /// Places among the refusals that the owner has not heard of.
    pub(super) places_of_refusals: Arc<Semaphore>,
    /// Connections that are open, plus one while the listener accepts more.
    open: AtomicUsize,
    /// Sockets that listen.
    accepting: AtomicUsize,
    /// How often it has been closed: it may be bound again.
    closes: AtomicUsize,
    closed: Notify,
}

/// Both ends of a connection that speaks HTTP.
#[derive(Debug)]
pub struct OpenConnection {
    pub(super) open: Open,
    pub(super) state: Arc<HttpState>,
    /// Address and port of the client's end, then of ours, each followed by NUL; empty for a UNIX socket.
    pub text: Box<str>,
}

/// While it lives, the listener is not fully closed.
#[derive(Debug)]
pub struct Open(pub(super) Arc<Listener>);

impl Open {
    pub(super) fn new(listener: &Arc<Listener>) -> Self {
        listener.open.fetch_add(1, SeqCst);
        Self(listener.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Self(listener) = self;
        if listener.open.fetch_sub(1, SeqCst) == 1 {
            listener.options.queue.push(Kind::ListenerClosed, listener.options.id, 0);
        }
    }
}

impl Listener {
    pub fn new(options: ListenerOptions) -> Arc<Self> {
        Arc::new(Self {
            options,
            registry: Arc::default(),
            ids: Mutex::default(),
            places: Arc::new(Semaphore::new(MAX_UNTAKEN)),
            takes_upgrades: AtomicBool::new(true),
            tells_refusals: AtomicBool::new(false),
            places_of_refusals: Arc::new(Semaphore::new(MAX_UNTAKEN)),
            open: AtomicUsize::new(0),
            accepting: AtomicUsize::new(0),
            closes: AtomicUsize::new(0),
            closed: Notify::new(),
        })
    }

    /// Whether WebSockets are accepted.
    pub fn set_takes_upgrades(&self, takes: bool) {
        self.takes_upgrades.store(takes, SeqCst);
    }

    pub(super) fn takes_upgrades(&self) -> bool {
        self.takes_upgrades.load(SeqCst)
    }

    /// An id for a new session; none if the system has no randomness to give.
    pub(super) fn next_id(&self) -> Option<String> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).next_id().ok()
    }

    /// Connections that are open, plus one while the listener accepts more.
    pub fn open_connections(&self) -> usize {
        self.open.load(SeqCst)
    }

    /// Stops accepting, ends idle connections and lets the others finish.
    pub fn close(&self) {
        self.closes.fetch_add(1, SeqCst);
        self.closed.notify_waiters();
    }

    /// Has an I/O thread accept connections until closed. The listener counts as open from now on.
    pub fn listen(self: &Arc<Self>, bound: Bound) {
        self.accepting.fetch_add(1, SeqCst);
        let accepting = Accepting { open: Open::new(self), closes: self.closes.load(SeqCst) };
        self.options.commands.send(crate::runtime::Command::Listen(accepting, bound));
    }

    /// Whether it has a socket that listens; for a moment after it has been closed, too.
    pub fn is_accepting(&self) -> bool {
        self.accepting.load(SeqCst) > 0
    }

    /// Serves one connection on the current runtime. `ends`: of TCP, the client's and ours.
    pub fn serve_stream<S>(self: Arc<Self>, stream: S, ends: Option<[SocketAddr; 2]>)
    where
        S: AsyncRead + AsyncWrite + TryInto<Stream> + Unpin + Send + 'static,
    {
        let closes = self.closes.load(SeqCst);
        let text = match ends {
            Some(ends) => ends.map(|end| format!("{}\0{}\0", end.ip(), end.port())).concat().into(),
            None => "\0\0\0\0".into(),
        };
        let state = Arc::<HttpState>::default();
        let stream = Joined::new(stream, state.clone());
        let ends = Arc::new(OpenConnection { open: Open::new(&self), state, text });
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
            // has this task woken; whether it has come to pass is asked of the count, which costs less
            poll_fn(|cx| Poll::Ready(closed.as_mut().poll(cx).is_ready())).await;
            let mut is_draining = false;
            // how a connection ends concerns its requests, which have been told
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

/// A listener on its way to its I/O thread.
#[derive(Debug)]
pub struct Accepting {
    open: Open,
    closes: usize,
}

impl Drop for Accepting {
    fn drop(&mut self) {
        let Open(listener) = &self.open;
        listener.accepting.fetch_sub(1, SeqCst);
    }
}

impl Accepting {
    /// Accepts connections on the current runtime until the listener is closed.
    pub fn start(self, bound: Bound) {
        tokio::spawn(async move {
            match bound {
                Bound::Port(socket) => {
                    let Ok(socket) = TcpListener::from_std(socket) else { return };
                    self.accept(
                        |cx| socket.poll_accept(cx),
                        |listener, (stream, remote)| {
                            // on Linux it has that from the listening socket
                            #[cfg(not(target_os = "linux"))]
                            let _ = stream.set_nodelay(true);
                            let local = stream.local_addr().unwrap_or(remote);
                            listener.serve_stream(stream, Some([remote, local]));
                        },
                    )
                    .await;
                }
                #[cfg(unix)]
                Bound::Path(socket, path) => {
                    let socket = tokio::net::UnixListener::from_std(socket);
                    if let Ok(socket) = &socket {
                        self.accept(
                            |cx| socket.poll_accept(cx),
                            |listener, (stream, _)| {
                                listener.serve_stream(stream, None);
                            },
                        )
                        .await;
                    }
                    drop(socket);
                    let _ = std::fs::remove_file(path);
                }
            }
        });
    }

    async fn accept<T>(
        &self,
        next: impl Fn(&mut Context<'_>) -> Poll<io::Result<T>>,
        serve: impl Fn(Arc<Listener>, T),
    ) {
        let Open(listener) = &self.open;
        loop {
            let closed = listener.closed.notified();
            if listener.closes.load(SeqCst) != self.closes {
                return;
            }
            tokio::select! {
                () = closed => {}
                accepted = poll_fn(&next) => match accepted {
                    Ok(accepted) => serve(listener.clone(), accepted),
                    // out of descriptors or memory: give the others time to end
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        }
    }
}

/// What a request is taken for.
enum Asks {
    Poll(Arc<SessionCell>, Answerer),
    Post(Arc<SessionCell>, Post, BodyLimits),
    Refuse(Reply),
    /// Rare, and therefore in a box: hyper moves what it gets for every request.
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
        // what came behind a request for another protocol was not checked, and must not be taken for a request
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
        let Open(listener) = &ends.open;
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
                Self::Refuse(refusal.reply())
            }
            Ok(Wanted::Existing(session)) => match parts.method {
                Method::GET => Self::Poll(session, Answerer::of(parts, settings.compression)),
                Method::POST => Self::Post(session, Post::of(parts, incoming), settings.bodies),
                _ => Self::Refuse(polling::bare(StatusCode::INTERNAL_SERVER_ERROR)),
            },
            Ok(Wanted::New) => match listener.places.clone().try_acquire_owned() {
                Ok(place) => match open_polling(Some(place), &ends, parts) {
                    Ok((session, answerer)) => Self::Poll(session, answerer),
                    Err(refusal) => Self::Refuse(refusal.reply()),
                },
                Err(_) => Self::Other(Box::pin(open_later(ends, parts))),
            },
        }
    }
}

/// Opens a session that polls, of which the request is the first poll.
fn open_polling(
    place: Option<OwnedSemaphorePermit>,
    ends: &OpenConnection,
    parts: Parts,
) -> Result<(Arc<SessionCell>, Answerer), Refusal> {
    let Open(listener) = &ends.open;
    let settings = &listener.options.settings;
    let sid = listener.next_id().ok_or(Refusal::Exhausted)?;
    let cookie = settings.cookie.as_ref().map(|(before, after)| [before, &*sid, after].concat());
    let session = listener.open(place, sid, &Query::of(&parts.uri), None, &parts, ends).ok_or(Refusal::Exhausted)?;
    Ok((session, Answerer::of(parts, settings.compression).with_cookie(cookie)))
}

/// The same when the owner has heard of more sessions.
async fn open_later(ends: Arc<OpenConnection>, parts: Parts) -> Result<Reply, Destroyed> {
    let place = ends.open.0.place().await;
    Ok(match open_polling(place, &ends, parts) {
        Ok((session, answerer)) => polling::poll(session, answerer).await,
        Err(refusal) => refusal.reply(),
    })
}
