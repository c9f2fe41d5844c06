//! Requests that the owner answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::joined::Joined;
use super::listener::{Open, OpenConnection};
use crate::server::{Command, Commands, Connection, Stream};

/// A complete response, as the owner gives it.
#[derive(Debug)]
pub struct OwnerResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl OwnerResponse {
    /// The headers that are valid on the wire; the owner has checked them, so none should be missing.
    pub fn valid_headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.headers.iter().filter_map(|(name, value)| {
            let value: Vec<u8> = value.chars().map(|c| u8::try_from(c).ok()).collect::<Option<_>>()?;
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&value).ok()?))
        })
    }
}

/// What the owner decided.
#[derive(Debug)]
pub enum Verdict {
    Respond(OwnerResponse),
    /// Switch protocols; the connection is the one that goes on.
    Accept(OwnerResponse, Switching),
    /// Cut the connection off without an answer.
    Destroy,
}

/// A connection that waits for its socket. The client may go away at any time until then: the connection
/// ends wherever this is dropped.
#[derive(Debug)]
pub struct Switching(Option<Arc<Connection>>);

impl Switching {
    pub fn new(connection: Arc<Connection>) -> Self {
        Self(Some(connection))
    }

    /// Has the listener count the connection while it is open.
    pub fn keep(&self, counted: Open) {
        if let Some(connection) = &self.0 {
            connection.keep(counted);
        }
    }
}

impl Drop for Switching {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.ended();
        }
    }
}

/// A request that waits for its verdict.
#[derive(Debug)]
pub struct Asked {
    pub verdict: oneshot::Sender<Verdict>,
    pub body: Vec<u8>,
    /// The I/O thread that waits.
    pub commands: Commands,
}

/// All requests that wait, across the listeners of one owner. Numbers are not used again soon: the news
/// that a client went away may cross its request's verdict.
#[derive(Debug, Default)]
pub struct Requests {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    asked: HashMap<u32, Asked>,
    last: u32,
}

impl Requests {
    pub fn add(&self, asked: Asked) -> u32 {
        let mut waiting = self.lock();
        waiting.last = waiting.last.wrapping_add(1);
        let number = waiting.last;
        waiting.asked.insert(number, asked);
        number
    }

    /// Takes the body of a request.
    pub fn take_body(&self, request: u32) -> Vec<u8> {
        self.lock().asked.get_mut(&request).map(|asked| std::mem::take(&mut asked.body)).unwrap_or_default()
    }

    /// Tells the verdict. The second of two counts for nothing, nor one that comes too late.
    pub fn decide(&self, request: u32, verdict: Verdict) {
        let asked = self.lock().asked.remove(&request);
        if let Some(asked) = asked {
            asked.commands.send_by_owner(Command::Decide(asked.verdict, verdict));
        }
    }

    /// The client has gone away.
    pub(super) fn forget(&self, request: u32) {
        let forgotten = self.lock().asked.remove(&request);
        drop(forgotten);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names of headers that nearly every request has. In a head each is one character, its place here plus 1: JavaScript
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

/// The head of a request as one string: fields separated by NUL, which no header can contain. The id of the session
/// that was opened for it and the number of its connection, or nothing; method, target, version, remote address and
/// port, local address and port, then names (see [`COMMON`]) and values in turn.
pub fn head(parts: &Parts, ends: &OpenConnection, sid: &str, connection: Option<u32>) -> String {
    let mut head = String::with_capacity(512);
    head.push_str(sid);
    head.push('\0');
    if let Some(connection) = connection {
        head.push_str(&connection.to_string());
    }
    head.push('\0');
    let version = if parts.version == hyper::Version::HTTP_10 { "1.0" } else { "1.1" };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    for field in [parts.method.as_str(), target, version] {
        head.push_str(field);
        head.push('\0');
    }
    head.push_str(&ends.text);
    for (name, value) in &parts.headers {
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
    head
}

/// Goes on with an accepted upgrade: takes the socket back from hyper.
pub async fn switch<S>(upgrade: OnUpgrade, mut switching: Switching)
where
    S: AsyncRead + AsyncWrite + TryInto<Stream> + Unpin + Send + 'static,
{
    let stream = match upgrade.await {
        Ok(upgraded) => upgraded.downcast::<TokioIo<Joined<S>>>().ok(),
        Err(_) => None,
    };
    let Some(parts) = stream else { return };
    if let Some(connection) = switching.0.take() {
        let (stream, response) = parts.io.into_inner().into_parts();
        connection.outbox().put_first(response);
        match stream.try_into() {
            Ok(stream) => {
                connection.use_socket(stream);
                crate::server::start_reading(connection, parts.read_buf.to_vec());
            }
            Err(_) => connection.ended(),
        }
    }
}
