//! What the options of a server say to its listener.

use std::sync::Arc;

use super::body::BodyLimits;
use super::encoding::CompressionOptions;
use super::proxy_header::Proxies;
use super::query::Transport;
use crate::session::{OutData, Timing};
use crate::websocket::deflate;

/// The owner's options. They do not change.
#[derive(Debug)]
pub struct Settings {
    /// Requests whose target starts with this belong to the engine.
    pub path: String,
    /// The intervals and timeouts of sessions.
    pub timing: Arc<Timing>,
    /// The part of a polling session's open packet behind the id; `None` if polling is not allowed.
    pub polling: Option<String>,
    /// The part of a WebSocket session's open packet behind the id; `None` if WebSocket is not allowed.
    pub websocket: Option<String>,
    /// The message that follows the open packet of a session that polls.
    pub initial: Option<OutData>,
    /// Clients of protocol 3 are served.
    pub allows_v3: bool,
    /// The limits of a POST's body.
    pub bodies: BodyLimits,
    /// The limit of a WebSocket message in bytes; 0 means no limit.
    pub max_payload: u64,
    /// See [`crate::websocket::Limits::max_chunks`].
    pub max_chunks: u32,
    /// The compression of polls' responses; none: they are sent as they are.
    pub compression: Option<CompressionOptions>,
    /// The parts of a polling handshake's cookie before and after the id.
    pub cookie: Option<(String, String)>,
    /// permessage-deflate; none: it is not negotiated.
    pub deflate: Option<DeflateSettings>,
    /// The proxies that tell by the PROXY protocol whose connections they forward; none: it is not read.
    pub proxies: Option<Proxies>,
}

/// The option `perMessageDeflate`.
#[derive(Debug)]
pub struct DeflateSettings {
    /// The parameters that are negotiated.
    pub options: deflate::Options,
    /// zlib's level, 0 to 9.
    pub level: u32,
    /// Messages below this many bytes are sent as they are.
    pub from: usize,
}

impl Settings {
    /// The part of the open packet behind the id for a session on this transport; `None` if the transport is not
    /// allowed.
    pub(super) fn open_packet(&self, transport: Transport) -> Option<&str> {
        match transport {
            Transport::Polling => self.polling.as_deref(),
            Transport::WebSocket => self.websocket.as_deref(),
        }
    }
}
