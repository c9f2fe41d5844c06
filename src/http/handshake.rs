//! Handshakes in which the owner has no say: the session is opened here, and the owner told.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use hyper::Method;
use hyper::header::{
    HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::request::Parts;

use super::listener::{Listener, OpenConnection};
use super::query::Query;
use super::request::{self, OwnerResponse, Switching};
use crate::protocol::PacketType;
use crate::server::{Connection, NewSession, Opened, PollEncoding, SessionCell, Untaken, now};
use crate::session::{OutData, OutPacket, Revision, Session, Start, Timing};
use crate::websocket::{Decoder, Limits, UpgradeRequest, check};

/// What the owner says once about all handshakes that it need not see.
#[derive(Debug)]
pub struct Handshakes {
    pub timing: Arc<Timing>,
    /// What the open packet of a polling session says after the id; none: the owner sees to these.
    pub polling: Option<String>,
    /// The same for WebSocket.
    pub websocket: Option<String>,
    /// The limit of a WebSocket message in bytes; 0: none.
    pub max_payload: u64,
}

/// While the owner has heard of so many sessions less than there are, it sees to handshakes itself: so many as
/// it can, and no more wait for it than there are connections.
const MAX_UNTAKEN: usize = 1024;

impl Listener {
    /// Opens a polling session, whose open packet waits for the poll that this request is.
    pub(super) fn open_polling(&self, parts: &Parts, ends: &OpenConnection) -> Option<Arc<SessionCell>> {
        if parts.method != Method::GET {
            return None;
        }
        let handshakes = self.handshakes()?;
        let packet = handshakes.polling.as_deref()?;
        self.opens(parts, "polling")?;
        let sid = self.next_id()?;
        self.open(&handshakes, sid, packet, None, parts, ends)
    }

    /// Opens a session on the WebSocket that this request becomes, with its open packet in the outbox.
    pub(super) fn open_websocket(&self, parts: &Parts, ends: &OpenConnection) -> Option<(OwnerResponse, Switching)> {
        let handshakes = self.handshakes()?;
        let packet = handshakes.websocket.as_deref()?;
        self.opens(parts, "websocket")?;
        let accepted = check(&UpgradeRequest {
            method: parts.method.as_str(),
            upgrade: single(&parts.headers, UPGRADE)?,
            key: single(&parts.headers, SEC_WEBSOCKET_KEY)?,
            version: single(&parts.headers, SEC_WEBSOCKET_VERSION)?,
            protocol: single(&parts.headers, SEC_WEBSOCKET_PROTOCOL)?,
        });
        let accepted = accepted.ok()?;
        let sid = self.next_id()?;
        let options = &self.options;
        let decoder = Decoder::new(Limits { max_payload: handshakes.max_payload, ..Limits::default() });
        let (queue, commands) = (options.queue.clone(), options.commands.clone());
        let connection = Connection::new(options.connections.take()?, queue, commands, decoder, None);
        if self.open(&handshakes, sid, packet, Some(&connection), parts, ends).is_none() {
            options.connections.give_back(connection.handle);
            return None;
        }
        let mut headers = vec![
            ("upgrade".to_owned(), "websocket".to_owned()),
            ("connection".to_owned(), "Upgrade".to_owned()),
            ("sec-websocket-accept".to_owned(), accepted.accept),
        ];
        headers.extend(accepted.protocol.map(|protocol| ("sec-websocket-protocol".to_owned(), protocol)));
        Some((OwnerResponse { status: 101, headers, body: Vec::new() }, Switching::new(connection)))
    }

    /// Whether the request wants a new session by this transport, with nothing special about it.
    fn opens(&self, parts: &Parts, transport: &str) -> Option<()> {
        let query = Query::of_handshake(&parts.uri)?;
        let is_usual = query.sid.is_none() && query.transport == Some(transport) && query.eio == Some("4");
        (is_usual && !query.special && self.untaken.load(SeqCst) < MAX_UNTAKEN).then_some(())
    }

    fn open(
        &self,
        handshakes: &Handshakes,
        sid: String,
        packet: &str,
        connection: Option<&Arc<Connection>>,
        parts: &Parts,
        ends: &OpenConnection,
    ) -> Option<Arc<SessionCell>> {
        let options = &self.options;
        let handle = options.sessions.take()?;
        let start = connection.map_or(Start::Polling, |connection| Start::Channel(connection.handle));
        let mut machine = Session::new(now(), Revision::V4, handshakes.timing.clone(), start);
        let open = OutPacket { kind: PacketType::Open, data: OutData::Text(["{\"sid\":\"", &sid, packet].concat()) };
        match connection {
            // to be written when the socket has been taken back from hyper
            Some(connection) => drop(connection.enqueue(|outbox| outbox.packets(&[open], Revision::V4, false))),
            None => machine.send(vec![open], true, &mut Vec::new()),
        }
        let head = request::head(parts, ends, &sid, connection.map(|connection| connection.handle));
        let session = SessionCell::new(
            NewSession {
                handle,
                machine,
                encoding: PollEncoding { revision: Revision::V4, binary: true, jsonp: None },
                base64: false,
                transport: connection.cloned(),
                listed: connection.is_none().then(|| (self.registry.clone(), sid)),
                verbose: None,
            },
            options.queue.clone(),
            options.commands.clone(),
        );
        let opened = Opened::new(session.clone(), connection.cloned(), head, Untaken::one_more(&self.untaken));
        options.queue.with(|batch| batch.push_opened(handle, options.id, opened));
        // what comes of it follows that
        session.open(false);
        Some(session)
    }
}

/// The value of a header that is given at most once.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<Option<&str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(HeaderValue::to_str).transpose().ok()?;
    values.next().is_none().then_some(first)
}
