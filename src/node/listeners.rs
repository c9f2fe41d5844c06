//! Native listeners.

use std::net::IpAddr;

use napi::bindgen_prelude::{Either, Uint8Array};
use napi::{Error, Result, Status};
use napi_derive::napi;

use super::compress::HttpCompression;
use super::connections::max_payload_of;
use super::deflate::DeflateOptions;
use super::engine::Engine;
use super::state::delay;
use super::tables::exhausted;
use crate::http::{BodyLimits, Bound, Listener, ListenerOptions, Place, Proxies, ProxyHeader, Settings};
use crate::session::OutData;
use crate::websocket::max_text;

/// The settings of a listener, see [`Settings`].
#[napi(object)]
pub struct ListenerSettings {
    pub path: String,
    /// See `Engine.timing`.
    pub timing: u32,
    pub polling: Option<String>,
    pub websocket: Option<String>,
    /// The message that follows the open packet of a session that polls.
    pub initial: Option<Either<String, Uint8Array>>,
    pub allows_v3: bool,
    pub max_http_buffer_size: f64,
    pub max_buffered_chunks: f64,
    /// The limit of pieces in the form that the WebSocket decoder takes.
    pub max_chunks: u32,
    pub http_request_body_timeout: f64,
    pub compression: Option<HttpCompression>,
    /// The parts of a polling handshake's cookie before and after the id.
    pub cookie: Option<Vec<String>>,
    pub deflate: Option<DeflateOptions>,
    /// The proxies that tell by the PROXY protocol whose connections they forward: all that connect, or addresses and
    /// ranges. Without this it is not read.
    pub proxies: Option<Either<bool, Vec<String>>>,
}

/// Where to listen: at a path, or at a port.
#[napi(object)]
pub struct ListenOptions {
    pub path: Option<String>,
    pub port: Option<u32>,
    /// An IP address; without it all addresses of both families.
    pub host: Option<String>,
    pub backlog: i32,
    pub ipv6_only: bool,
    pub reuse_port: bool,
}

/// The address of a listening port.
#[napi(object)]
pub struct Listening {
    pub address: String,
    pub family: String,
    pub port: u32,
}

/// What a proxy has told about a connection.
#[napi(object)]
pub struct ProxyTells {
    /// Bytes of its header.
    pub length: u32,
    /// The client; without an address the proxy has told none.
    pub address: Option<String>,
    pub port: Option<u32>,
}

#[napi]
impl Engine {
    /// Reads the header of the PROXY protocol at the beginning of a connection of Node's. Without a result more bytes are
    /// needed. Bytes that are not a header throw.
    #[napi]
    pub fn read_proxy_header(&self, bytes: &[u8]) -> Result<Option<ProxyTells>> {
        let header =
            ProxyHeader::parse(bytes).map_err(|error| Error::new(Status::InvalidArg, error.message().to_owned()))?;
        Ok(header.map(|header| ProxyTells {
            length: header.length as u32,
            address: header.client.map(|client| client.ip().to_string()),
            port: header.client.map(|client| client.port().into()),
        }))
    }

    /// A listener that is not bound yet. Returns its handle.
    #[napi]
    pub fn open_listener(&self, settings: ListenerSettings) -> Result<u32> {
        let timing = self.tables.timing(settings.timing)?;
        let settings = Settings {
            path: settings.path,
            timing,
            polling: settings.polling,
            websocket: settings.websocket,
            initial: settings.initial.map(|data| match data {
                Either::A(text) => OutData::Text(text),
                Either::B(bytes) => OutData::Binary(bytes.to_vec()),
            }),
            allows_v3: settings.allows_v3,
            bodies: BodyLimits::new(
                body_limit(settings.max_http_buffer_size),
                settings.max_buffered_chunks,
                delay(settings.http_request_body_timeout) as u32,
            ),
            max_payload: max_payload_of(settings.max_http_buffer_size),
            max_chunks: settings.max_chunks,
            compression: settings.compression.map(Into::into),
            cookie: settings.cookie.and_then(|parts| <[String; 2]>::try_from(parts).ok()).map(Into::into),
            deflate: settings.deflate.map(Into::into),
            proxies: settings.proxies.map(proxies_of).transpose()?,
        };
        let commands = self.io.next_commands()?;
        let mut listeners = self.tables.listeners.borrow_mut();
        let handle = listeners.handles().take().ok_or_else(|| exhausted("listeners"))?;
        let listener = Listener::new(ListenerOptions {
            handle,
            settings,
            queue: self.queue.clone(),
            commands,
            sessions: self.tables.sessions.borrow().handles().clone(),
            connections: self.tables.connections.borrow().handles().clone(),
        });
        listeners.put(handle, listener);
        Ok(handle)
    }

    /// Has a listener listen. The message of an error is the number of the system's error, or a text if it has no
    /// number. Returns the address, unless it is a path.
    #[napi]
    pub fn bind_listener(&self, listener: u32, options: ListenOptions) -> Result<Option<Listening>> {
        let listener = self
            .tables
            .listener(listener)
            .ok_or_else(|| Error::new(Status::InvalidArg, "expected the handle of a listener, got a stale one"))?;
        let place = place_of(&options)?;
        let bound = Bound::at(&place, options.backlog).map_err(|error| {
            let reason = error.raw_os_error().map_or_else(|| error.to_string(), |number| number.to_string());
            Error::new(Status::GenericFailure, reason)
        })?;
        let address = bound.address().map(|address| Listening {
            address: address.ip().to_string(),
            family: if address.is_ipv6() { "IPv6" } else { "IPv4" }.to_owned(),
            port: address.port().into(),
        });
        listener.listen(bound);
        Ok(address)
    }

    /// Stops accepting. `ListenerClosed` follows when all connections have ended.
    #[napi]
    pub fn close_listener(&self, listener: u32) {
        if let Some(listener) = self.tables.listener(listener) {
            listener.close();
        }
    }

    /// Whether a listener has a listening socket. It has one for a moment after it was closed.
    #[napi]
    pub fn is_accepting(&self, listener: u32) -> bool {
        self.tables.listener(listener).is_some_and(|listener| listener.is_accepting())
    }

    /// Releases a listener, whose handle JavaScript forgets.
    #[napi]
    pub fn drop_listener(&self, listener: u32) {
        let released = self.tables.listeners.borrow_mut().release(listener);
        drop(released);
    }

    /// Sets whether a listener accepts WebSockets.
    #[napi]
    pub fn set_takes_upgrades(&self, listener: u32, takes: bool) {
        if let Some(listener) = self.tables.listener(listener) {
            listener.set_takes_upgrades(takes);
        }
    }

    /// Has a listener refuse new sessions from now on, whose clients are told to try again after `patience` ms.
    #[napi]
    pub fn drain_listener(&self, listener: u32, patience: f64) {
        if let Some(listener) = self.tables.listener(listener) {
            listener.drain(delay(patience));
        }
    }

    /// Has refusals reported from now on.
    #[napi]
    pub fn tell_refusals(&self, listener: u32) {
        if let Some(listener) = self.tables.listener(listener) {
            listener.tell_refusals();
        }
    }

    /// Number of open connections of a listener, plus one while it accepts more.
    #[napi]
    pub fn open_connections(&self, listener: u32) -> u32 {
        self.tables.listener(listener).map_or(0, |listener| listener.open_connections() as u32)
    }

    /// The handle of a listener's session with this id.
    #[napi]
    pub fn find_session(&self, listener: u32, sid: String) -> Option<u32> {
        self.tables.listener(listener)?.registry.get(&sid).map(|session| session.handle)
    }
}

/// The limit of a body, whose texts become strings of JavaScript, which have a limit of their own.
fn body_limit(limit: f64) -> f64 {
    if max_text() > 0 { limit.min(max_text().into()) } else { limit }
}

fn proxies_of(proxies: Either<bool, Vec<String>>) -> Result<Proxies> {
    let range = |text: &String| {
        let invalid = || Error::new(Status::InvalidArg, format!("expected an IP address or a range, got {text}"));
        text.parse().map_err(|()| invalid())
    };
    match proxies {
        Either::A(true) => Ok(Proxies::All),
        Either::A(false) => Ok(Proxies::Ranges(Vec::new())),
        Either::B(ranges) => ranges.iter().map(range).collect::<Result<_>>().map(Proxies::Ranges),
    }
}

fn place_of(options: &ListenOptions) -> Result<Place> {
    if let Some(path) = &options.path {
        return Ok(Place::Path(path.into()));
    }
    let invalid = |what: &str| Error::new(Status::InvalidArg, what.to_owned());
    let port = options.port.and_then(|port| u16::try_from(port).ok()).ok_or_else(|| invalid("no port"))?;
    // a scope id, `%eth0`, is not understood
    let host = options.host.as_deref().map(str::parse::<IpAddr>).transpose().map_err(|_| invalid("no IP address"))?;
    Ok(Place::Port { port, host, ipv6_only: options.ipv6_only, shared: options.reuse_port })
}
