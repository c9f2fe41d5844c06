//! Accepts connections and routes their requests.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot, watch};

use super::body::{self, Body};
use super::polling::{self, Destroyed, Reply};
use super::request::{self, Asked, Requests, Verdict};
use super::{CompressionOptions, Handshakes, Registry};
use crate::server::{Commands, EventQueue, Kind, Numbers, Stream};
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
    pub sessions: Numbers,
    /// For their connections.
    pub connections: Numbers,
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
    drain: watch::Sender<bool>,
}

/// Both ends of a connection that speaks HTTP.
#[derive(Debug)]
pub struct OpenConnection {
    _open: Open,
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
            drain: watch::Sender::new(false),
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
        self.drain.send_replace(true);
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
        let _ = stream.set_nodelay(true);
        let local = stream.local_addr().unwrap_or(remote);
        self.serve_stream(stream, remote, local);
    }

    /// Serves one connection on the current runtime.
    pub fn serve_stream<S>(self: Arc<Self>, stream: S, remote: SocketAddr, local: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Into<Stream> + Unpin + Send + 'static,
    {
        let text = [remote, local].map(|end| format!("{}\0{}\0", end.ip(), end.port())).concat().into();
        let ends = Arc::new(OpenConnection { _open: Open::new(&self), text });
        let mut drain = self.drain.subscribe();
        let service = service_fn(move |request| {
            let (listener, ends) = (self.clone(), ends.clone());
            async move { listener.answer::<S>(request, ends).await }
        });
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(std::time::Duration::from_secs(60))
                .title_case_headers(true)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                // how a connection ends concerns its requests, which have been told
                _ = connection.as_mut() => return,
                _ = drain.wait_for(|drain| *drain) => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        });
    }

    async fn answer<S>(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        ends: Arc<OpenConnection>,
    ) -> Result<Reply, Destroyed>
    where
        S: AsyncRead + AsyncWrite + Into<Stream> + Unpin + Send + 'static,
    {
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        if !target.starts_with(&self.options.path) {
            let mut response = Response::new(Full::from(Bytes::from_static(b"Not Implemented")));
            *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
            return Ok(response);
        }
        if is_upgrade(&request) {
            let upgrade = hyper::upgrade::on(&mut request);
            let (parts, _) = request.into_parts();
            let verdict = match self.open_websocket(&parts, &ends) {
                Some((response, connection)) => Some(Verdict::Accept(response, connection)),
                None => self.ask(Kind::UpgradeRequest, request::head(&parts, &ends, "", None), Vec::new()).await,
            };
            return match verdict {
                Some(Verdict::Accept(response, connection)) => {
                    connection.keep(Open::new(&self));
                    tokio::spawn(request::switch::<S>(upgrade, connection));
                    Ok(reply(response))
                }
                Some(Verdict::Respond(response)) => Ok(reply(response)),
                Some(Verdict::Destroy) | None => Err(Destroyed),
            };
        }
        let (parts, incoming) = request.into_parts();
        let max_body = f64::from_bits(self.max_body.load(SeqCst));
        if self.registry.is_direct() {
            if let Some(session) = polling::session_of(&parts, |sid| self.registry.get(sid)) {
                return match parts.method {
                    hyper::Method::GET => Ok(polling::poll(session, parts, self.compression()).await),
                    _ => polling::post(session, parts, incoming, max_body).await,
                };
            }
        }
        if let Some(session) = self.open_polling(&parts, &ends) {
            return Ok(polling::poll(session, parts, self.compression()).await);
        }
        let head = request::head(&parts, &ends, "", None);
        let body = match parts.method {
            hyper::Method::GET | hyper::Method::HEAD => Vec::new(),
            _ => match body::read(incoming, max_body).await {
                Body::Complete(body) => body.into(),
                refused => return Ok(polling::refusal(&refused)),
            },
        };
        match self.ask(Kind::Request, head, body).await {
            Some(Verdict::Respond(response)) => Ok(reply(response)),
            _ => Err(Destroyed),
        }
    }

    fn compression(&self) -> Option<CompressionOptions> {
        *self.compression.lock().unwrap_or_else(PoisonError::into_inner)
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

fn is_upgrade(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    headers.contains_key(UPGRADE)
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
