//! Accepts connections and routes their requests.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, UPGRADE};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};

use super::body::{self, Body};
use super::head_timer::HeadTimer;
use super::joined::Joined;
use super::polling::{self, Answerer, Destroyed, Post, Reply};
use super::request::{self, Asked, Requests, Verdict};
use super::{CompressionOptions, Handshakes, Registry};
use crate::server::{Commands, EventQueue, Handles, Kind, SessionCell, Stream};
use crate::session::IdGenerator;

/// What a listener is made of.
#[derive(Debug)]
pub struct ListenerOptions {
    /// The number by which the owner knows the listener.
    pub id: u32,
    /// Requests whose target starts with this belong to the engine.
    pub path: String,
    pub queue: EventQueue,
    /// The I/O thread that serves the listener.
    pub commands: Commands,
    pub requests: Arc<Requests>,
    /// For sessions that are opened here.
    pub sessions: Handles,
    /// For their connections.
    pub connections: Handles,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Listener {
    pub(super) options: ListenerOptions,
    pub registry: Arc<Registry>,
    /// The option `maxHttpBufferSize`, as the bits of a floating point number.
    max_body: AtomicU64,
    compression: Mutex<Option<CompressionOptions>>,
    handshakes: Mutex<Option<Arc<Handshakes>>>,
    ids: Mutex<IdGenerator>,
    /// Sessions that were opened here and that the owner has not heard of yet.
    pub(super) untaken: Arc<AtomicUsize>,
    /// Connections that are open, plus one while the listener itself is.
    open: AtomicUsize,
    stop: Notify,
    is_closed: AtomicBool,
    closed: Notify,
}

/// Both ends of a connection that speaks HTTP.
#[derive(Debug)]
pub struct OpenConnection {
    open: Open,
    /// Whether its request is switching protocols.
    switches: Arc<AtomicBool>,
    /// Address and port of the client's end, then of ours, each followed by NUL: as a head has them.
    pub text: Box<str>,
}

/// While it lives, the listener is not fully closed.
#[derive(Debug)]
pub struct Open(Arc<Listener>);

impl Open {
    fn new(listener: &Arc<Listener>) -> Self {
        listener.open.fetch_add(1, SeqCst);
        Self(listener.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Binds a listening socket as Node does: on all addresses of both families unless a host is given,
/// backlog 511.
///
/// # Errors
/// Those of `socket`, `bind` and `listen`: the port is taken, or reserved for the superuser.
pub fn bind(port: u16) -> io::Result<std::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let open = |domain, address: SocketAddr| -> io::Result<std::net::TcpListener> {
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(false)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(511)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    match open(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EINVAL)) => {
            open(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, port).into())
        }
        result => result,
    }
}

impl Listener {
    pub fn new(options: ListenerOptions) -> Arc<Self> {
        Arc::new(Self {
            options,
            registry: Arc::default(),
            max_body: AtomicU64::new(1e6f64.to_bits()),
            compression: Mutex::default(),
            handshakes: Mutex::default(),
            ids: Mutex::default(),
            untaken: Arc::default(),
            open: AtomicUsize::new(1),
            stop: Notify::new(),
            is_closed: AtomicBool::new(false),
            closed: Notify::new(),
        })
    }

    /// What the owner's options and hooks ask for. Without `handshakes` the owner sees all of them.
    pub fn configure(
        &self,
        max_body: f64,
        direct: bool,
        compression: Option<CompressionOptions>,
        handshakes: Option<Handshakes>,
    ) {
        *self.handshakes.lock().unwrap_or_else(PoisonError::into_inner) = handshakes.map(Arc::new);
        *self.compression.lock().unwrap_or_else(PoisonError::into_inner) = compression;
        self.max_body.store(max_body.to_bits(), SeqCst);
        self.registry.set_direct(direct);
    }

    pub(super) fn handshakes(&self) -> Option<Arc<Handshakes>> {
        self.handshakes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An id for a new session; none if the system has no randomness to give, which the owner reports.
    pub(super) fn next_id(&self) -> Option<String> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).next_id().ok()
    }

    /// Stops accepting, ends idle connections and lets the others finish.
    pub fn close(&self) {
        self.stop.notify_one();
        self.is_closed.store(true, SeqCst);
        self.closed.notify_waiters();
    }

    fn release(&self) {
        if self.open.fetch_sub(1, SeqCst) == 1 {
            self.options.queue.push(Kind::ListenerClosed, self.options.id, 0);
        }
    }

    /// Accepts connections on the current runtime until closed.
    pub fn start(self: Arc<Self>, socket: std::net::TcpListener) {
        let Ok(socket) = TcpListener::from_std(socket) else { return self.release() };
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = self.stop.notified() => break,
                    accepted = socket.accept() => match accepted {
                        Ok((stream, remote)) => self.clone().serve(stream, remote),
                        // out of descriptors or memory: give the others time to end
                        Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
                    }
                }
            }
            drop(socket);
            self.release();
        });
    }

    fn serve(self: Arc<Self>, stream: TcpStream, remote: SocketAddr) {
        // on Linux it has that from the listening socket
        #[cfg(not(target_os = "linux"))]
        let _ = stream.set_nodelay(true);
        let local = stream.local_addr().unwrap_or(remote);
        self.serve_stream(stream, remote, local);
    }

    /// Serves one connection on the current runtime.
    pub fn serve_stream<S>(self: Arc<Self>, stream: S, remote: SocketAddr, local: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + TryInto<Stream> + Unpin + Send + 'static,
    {
        let text = [remote, local].map(|end| format!("{}\0{}\0", end.ip(), end.port())).concat().into();
        let switches = Arc::new(AtomicBool::new(false));
        let stream = Joined::new(stream, switches.clone());
        let ends = Arc::new(OpenConnection { open: Open::new(&self), switches, text });
        let service = service_fn(move |request| answer::<S>(ends.clone(), request));
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(HeadTimer::default())
                .header_read_timeout(std::time::Duration::from_secs(60))
                .title_case_headers(true)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            let (mut connection, mut closed) = (pin!(connection), pin!(self.closed.notified()));
            // has this task woken; whether it has come to pass is asked of the flag, which costs less
            poll_fn(|cx| Poll::Ready(closed.as_mut().poll(cx).is_ready())).await;
            let mut is_draining = false;
            // how a connection ends concerns its requests, which have been told
            let _ = poll_fn(|cx| {
                if !is_draining && self.is_closed.load(SeqCst) {
                    is_draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                connection.as_mut().poll(cx)
            })
            .await;
        });
    }

    fn compression(&self) -> Option<CompressionOptions> {
        *self.compression.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn max_body(&self) -> f64 {
        f64::from_bits(self.max_body.load(SeqCst))
    }

    /// Asks the owner, and tells it when the client goes away before it has answered.
    async fn ask(&self, kind: Kind, head: String, body: Vec<u8>) -> Option<Verdict> {
        let (verdict, decided) = oneshot::channel();
        let commands = self.options.commands.clone();
        let request = self.options.requests.add(Asked { verdict, body, commands });
        self.options.queue.with(|batch| batch.push_text(kind, request, self.options.id, head.as_bytes()));
        let mut guard = AskGuard { listener: self, request, waiting: true };
        let verdict = decided.await.ok();
        guard.waiting = false;
        verdict
    }
}

/// What a request is taken for.
enum Asks {
    Poll(Arc<SessionCell>, Answerer),
    Post(Arc<SessionCell>, Post, f64),
    /// Rare, and therefore in a box: hyper moves what it gets for every request.
    Other(Pin<Box<dyn Future<Output = Result<Reply, Destroyed>> + Send>>),
}

/// Answers a request.
fn answer<S>(ends: Arc<OpenConnection>, request: Request<Incoming>) -> impl Future<Output = Result<Reply, Destroyed>>
where
    S: AsyncRead + AsyncWrite + TryInto<Stream> + Unpin + Send + 'static,
{
    let asks = Asks::of::<S>(ends, request);
    async {
        match asks {
            Asks::Poll(session, answerer) => Ok(polling::poll(session, answerer).await),
            Asks::Post(session, post, limit) => polling::post(session, post, limit).await,
            Asks::Other(answer) => answer.await,
        }
    }
}

impl Asks {
    fn of<S>(ends: Arc<OpenConnection>, request: Request<Incoming>) -> Self
    where
        S: AsyncRead + AsyncWrite + TryInto<Stream> + Unpin + Send + 'static,
    {
        let Open(listener) = &ends.open;
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        if !target.starts_with(&listener.options.path) {
            return Self::Other(Box::pin(async {
                let mut response = Response::new(Full::from(Bytes::from_static(b"Not Implemented")));
                *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
                Ok(response)
            }));
        }
        if is_upgrade(&request) {
            return Self::Other(Box::pin(upgrade::<S>(ends, request)));
        }
        let (parts, incoming) = request.into_parts();
        let session = match listener.registry.is_direct() {
            true => polling::session_of(&parts, |sid| listener.registry.get(sid)),
            false => None,
        };
        match session.or_else(|| listener.open_polling(&parts, &ends)) {
            Some(session) if parts.method == Method::GET => {
                Self::Poll(session, Answerer::of(parts, listener.compression()))
            }
            Some(session) => Self::Post(session, Post::of(parts, incoming), listener.max_body()),
            None => Self::Other(Box::pin(ask_for_answer(ends, parts, incoming))),
        }
    }
}

/// Has the owner answer.
async fn ask_for_answer(ends: Arc<OpenConnection>, parts: Parts, body: Incoming) -> Result<Reply, Destroyed> {
    let Open(listener) = &ends.open;
    let head = request::head(&parts, &ends, "", None);
    let body = match parts.method {
        Method::GET | Method::HEAD => Vec::new(),
        _ => match body::read(body, listener.max_body()).await {
            Body::Complete(body) => body.into(),
            refused => return Ok(polling::refusal(&refused)),
        },
    };
    match listener.ask(Kind::Request, head, body).await {
        Some(Verdict::Respond(response)) => Ok(reply(response)),
        _ => Err(Destroyed),
    }
}

async fn upgrade<S>(ends: Arc<OpenConnection>, mut request: Request<Incoming>) -> Result<Reply, Destroyed>
where
    S: AsyncRead + AsyncWrite + TryInto<Stream> + Unpin + Send + 'static,
{
    let Open(listener) = &ends.open;
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let verdict = match listener.open_websocket(&parts, &ends) {
        Some((response, connection)) => Some(Verdict::Accept(response, connection)),
        None => listener.ask(Kind::UpgradeRequest, request::head(&parts, &ends, "", None), Vec::new()).await,
    };
    match verdict {
        Some(Verdict::Accept(response, connection)) => {
            connection.keep(Open::new(listener));
            ends.switches.store(true, SeqCst);
            tokio::spawn(request::switch::<S>(upgrade, connection));
            Ok(reply(response))
        }
        Some(Verdict::Respond(response)) => Ok(reply(response)),
        Some(Verdict::Destroy) | None => Err(Destroyed),
    }
}

struct AskGuard<'a> {
    listener: &'a Listener,
    request: u32,
    waiting: bool,
}

impl Drop for AskGuard<'_> {
    fn drop(&mut self) {
        if self.waiting {
            self.listener.options.requests.forget(self.request);
            self.listener.options.queue.push(Kind::RequestAborted, self.request, 0);
        }
    }
}

/// HTTP/1.0 knows no upgrade: there the header is to be ignored (RFC 9110, 7.8).
fn is_upgrade(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    request.version() == Version::HTTP_11
        && headers.contains_key(UPGRADE)
        && headers.get_all(CONNECTION).iter().any(|value| {
            value.as_bytes().split(|&byte| byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        })
}

fn reply(response: super::OwnerResponse) -> Reply {
    let headers: Vec<_> = response.valid_headers().collect();
    let mut reply = Response::new(Full::from(response.body));
    *reply.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        reply.headers_mut().append(name, value);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_connections_do_not_delay_small_segments() {
        let listener = TcpListener::from_std(bind(0).unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert!(!cfg!(target_os = "linux") || stream.nodelay().unwrap());
    }
}
