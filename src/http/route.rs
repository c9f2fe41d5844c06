//! Checks a request and finds out what it is for: the checks of `verify` in lib/server/base-server.js, and of the
//! handshake.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use super::head;
use super::listener::{Listener, OpenConnection};
use super::polling::Reply;
use super::query::{Query, Transport};
use crate::runtime::contract::{ERROR_TYPE, Refusal};
use crate::runtime::{Refused, SessionCell};
use crate::session::Revision;

/// The purpose of a valid request.
#[derive(Debug)]
pub(super) enum Wanted {
    /// A new session.
    New,
    /// An existing session.
    Existing(Arc<SessionCell>),
}

impl Refusal {
    /// The status of the answer.
    pub(super) fn status(self) -> StatusCode {
        if self == Self::Draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_REQUEST }
    }
}

impl Listener {
    /// Counts a request that asks for no upgrade and is refused, and returns its answer.
    pub(super) fn refuse(&self, refusal: Refusal) -> Reply {
        self.count_refusal(Some(refusal));
        let (code, message) = (refusal.code() as u32, refusal.message());
        let body = format!("{{\"code\":{code},\"message\":\"{message}\"}}");
        let mut response = Response::new(Full::from(Bytes::from(body)));
        *response.status_mut() = refusal.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, const { HeaderValue::from_static(ERROR_TYPE) });
        self.add_retry(refusal, headers);
        response
    }

    /// Tells the client when to try again if the listener refuses all new sessions. The client's next request may go
    /// to another process if it needs another connection.
    pub(super) fn add_retry(&self, refusal: Refusal, headers: &mut HeaderMap) {
        if refusal == Refusal::Draining {
            headers.insert(RETRY_AFTER, HeaderValue::from(self.retry_after()));
            headers.insert(CONNECTION, const { HeaderValue::from_static("close") });
        }
    }

    /// Has refusals reported to the owner from now on, as long as not too many wait.
    pub fn tell_refusals(&self) {
        self.tells_refusals.store(true, SeqCst);
    }

    /// Reports a refusal to the owner, if it wants them and not too many wait.
    pub(super) fn tell(&self, refusal: Refusal, parts: &Parts, query: &Query<'_>, ends: &OpenConnection) {
        if !self.tells_refusals.load(SeqCst) {
            return;
        }
        let Ok(place) = self.places_of_refusals.clone().try_acquire_owned() else { return };
        let refused = Refused { head: head::head(parts, query, &ends.text, "", None), _place: place };
        self.options.queue.with(|batch| refused.tell(refusal as u32, self.options.handle, batch));
    }

    /// Checks a request. The first fault counts. `upgrade` says that it asks for a WebSocket.
    pub(super) fn judge(&self, method: &Method, query: &Query<'_>, upgrade: bool) -> Result<Wanted, Refusal> {
        if query.sid().is_none() {
            self.check_drain()?;
        }
        let settings = &self.options.settings;
        let transport = query.transport().filter(|transport| settings.open_packet(*transport).is_some());
        let transport = transport.ok_or(Refusal::UnknownTransport)?;
        if let Some(sid) = query.sid() {
            let session = self.registry.get(sid).ok_or(Refusal::UnknownSid)?;
            if !upgrade && session.is_polling() != (transport == Transport::Polling) {
                return Err(Refusal::TransportMismatch);
            }
            if session.encoding().revision != query.revision() {
                return Err(Refusal::ProtocolMismatch);
            }
            if !upgrade && transport != Transport::Polling {
                return Err(Refusal::TransportHandshake);
            }
            return Ok(Wanted::Existing(session));
        }
        if method != Method::GET {
            return Err(Refusal::BadHandshakeMethod);
        }
        if transport == Transport::WebSocket && !upgrade {
            return Err(Refusal::TransportHandshake);
        }
        // an upgrade is checked as a WebSocket handshake first
        if !upgrade {
            self.check_revision(query)?;
        }
        Ok(Wanted::New)
    }

    /// Whether new sessions are opened at all.
    pub(super) fn check_drain(&self) -> Result<(), Refusal> {
        if self.is_draining() { Err(Refusal::Draining) } else { Ok(()) }
    }

    /// Whether new sessions may speak this revision of the protocol.
    pub(super) fn check_revision(&self, query: &Query<'_>) -> Result<(), Refusal> {
        let is_allowed = query.revision() == Revision::V4 || self.options.settings.allows_v3;
        if is_allowed { Ok(()) } else { Err(Refusal::UnsupportedProtocolVersion) }
    }
}
