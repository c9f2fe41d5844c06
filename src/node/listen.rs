//! The engine's own listener.

use napi::bindgen_prelude::{Buffer, Unknown};
use napi::{Env, Error, Result, Status};
use napi_derive::napi;

use super::compress::HttpCompression;
use super::deflate::DeflateTerms;
use super::engine::{Engine, exhausted, raw};
use super::values::{Content, with_content};
use super::websocket::{ends, max_payload_of};
use crate::websocket::max_text;
use crate::http::{Handshakes, Listener, ListenerOptions, OwnerResponse, Switching, Verdict, bind};
use crate::server::Command;

/// A bound listener.
#[napi(object)]
pub struct Listening {
    /// The number to name it by.
    pub listener: u32,
    pub address: String,
    pub family: String,
    pub port: u32,
}

/// Handshakes that JavaScript need not see, see [`Handshakes`].
#[napi(object)]
pub struct DirectHandshakes {
    /// See `Engine.timing`.
    pub timing: u32,
    pub polling: Option<String>,
    pub websocket: Option<String>,
    pub max_payload: f64,
}

#[napi]
impl Engine {
    /// Binds a port on all addresses and serves requests whose target starts with `path`. The error's
    /// message is the name of the system's error: `EADDRINUSE`, `EACCES`, ….
    #[napi]
    pub fn listen(&self, port: u32, path: String) -> Result<Listening> {
        let port = u16::try_from(port).map_err(|_| Error::new(Status::InvalidArg, "ERR_SOCKET_BAD_PORT"))?;
        let socket = bind(port).map_err(|error| Error::new(Status::GenericFailure, error_name(&error)))?;
        let address = socket.local_addr().map_err(|error| Error::new(Status::GenericFailure, error_name(&error)))?;
        let mut listeners = self.listeners.borrow_mut();
        let commands = self.next_commands()?;
        let id = listeners.handles().take().ok_or_else(|| exhausted("listeners"))?;
        let listener = Listener::new(ListenerOptions {
            id,
            commands: commands.clone(),
            path,
            queue: self.queue.clone(),
            requests: self.requests.clone(),
            sessions: self.sessions.borrow().handles().clone(),
            connections: self.connections.borrow().handles().clone(),
        });
        commands.send(Command::Listen(listener.clone(), socket));
        listeners.put(id, listener);
        Ok(Listening {
            listener: id,
            address: address.ip().to_string(),
            family: if address.is_ipv6() { "IPv6" } else { "IPv4" }.to_owned(),
            port: address.port().into(),
        })
    }

    /// The limit of request bodies in bytes, whether polls and POSTs of living sessions are served
    /// without asking JavaScript, how those are compressed, and which handshakes JavaScript need not see.
    #[napi]
    pub fn configure_listener(
        &self,
        listener: u32,
        max_body: f64,
        direct: bool,
        compression: Option<HttpCompression>,
        handshakes: Option<DirectHandshakes>,
    ) {
        let timings = self.timings.borrow();
        let handshakes = handshakes.and_then(|direct| {
            let timing = timings.get(direct.timing)?.clone();
            let max_payload = max_payload_of(direct.max_payload);
            Some(Handshakes { timing, polling: direct.polling, websocket: direct.websocket, max_payload })
        });
        if let Some(listener) = self.listeners.borrow().get(listener) {
            // a body is shown to JavaScript, or the texts in it are
            let max_body = if max_text() > 0 { max_body.min(max_text().into()) } else { max_body };
            listener.configure(max_body, direct, compression.map(Into::into), handshakes);
        }
    }

    /// Stops accepting; `ListenerClosed` follows when all connections are gone.
    #[napi]
    pub fn close_listener(&self, listener: u32) {
        if let Some(listener) = self.listeners.borrow().get(listener) {
            listener.close();
        }
    }

    /// JavaScript is done with the listener, and forgets its handle.
    #[napi]
    pub fn drop_listener(&self, listener: u32) {
        let released = self.listeners.borrow_mut().release(listener);
        drop(released);
    }

    /// The number of the session that a listener knows by this id.
    #[napi]
    pub fn find_session(&self, sid: String) -> Option<u32> {
        let listeners = self.listeners.borrow();
        listeners.values().find_map(|listener| listener.registry.get(&sid)).map(|session| session.handle)
    }

    /// The body of a request.
    #[napi]
    pub fn request_body(&self, request: u32) -> Buffer {
        self.requests.take_body(request).into()
    }

    /// Answers a request; `headers`: names and values, each followed by NUL; `body`: text or bytes.
    #[napi]
    pub fn respond(&self, env: Env, request: u32, status: u32, headers: String, body: Unknown<'_>) -> Result<()> {
        let body = with_content(env.raw(), raw(&body), |body| match body {
            Content::None => Vec::new(),
            Content::Text(body) | Content::Binary(body) => body.to_vec(),
        })?;
        self.requests.decide(request, Verdict::Respond(response(status, &headers, body)));
        Ok(())
    }

    /// Switches an upgrade request's connection to WebSocket. Returns the connection's number.
    #[napi]
    pub fn accept(
        &self,
        request: u32,
        headers: String,
        max_payload: f64,
        deflate: Option<DeflateTerms>,
    ) -> Result<u32> {
        let connection = self.new_connection(ends(max_payload, deflate))?;
        let handle = connection.handle;
        self.requests.decide(request, Verdict::Accept(response(101, &headers, Vec::new()), Switching::new(connection)));
        Ok(handle)
    }

    /// Cuts a request's connection off.
    #[napi]
    pub fn destroy_request(&self, request: u32) {
        self.requests.decide(request, Verdict::Destroy);
    }
}

fn response(status: u32, headers: &str, body: Vec<u8>) -> OwnerResponse {
    let mut fields = headers.split('\0');
    let mut pairs = Vec::new();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        pairs.push((name.to_owned(), value.to_owned()));
    }
    OwnerResponse { status: u16::try_from(status).unwrap_or(500), headers: pairs, body }
}

fn error_name(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "EADDRINUSE".to_owned(),
        std::io::ErrorKind::PermissionDenied => "EACCES".to_owned(),
        std::io::ErrorKind::AddrNotAvailable => "EADDRNOTAVAIL".to_owned(),
        _ => error.to_string(),
    }
}
