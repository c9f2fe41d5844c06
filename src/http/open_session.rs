//! Opens sessions for handshakes, and reports them to the owner.

use std::sync::Arc;

use hyper::http::request::Parts;
use tokio::sync::OwnedSemaphorePermit;

use super::head;
use super::listener::{Listener, OpenConnection};
use super::query::{Query, Transport};
use crate::protocol::PacketType;
use crate::runtime::{Binding, Channel, Connection, NewSession, Opened, PollEncoding, SessionCell, now};
use crate::session::{OutData, OutPacket, Relayed, Session, Start};

impl Listener {
    /// Takes a place among the sessions of which the owner has not heard; waits while there is none.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().acquire_owned().await.ok()
    }

    /// Opens a session on a WebSocket connection, or with its open packet waiting for a poll. `None` if there are two
    /// million.
    pub(super) fn open(
        &self,
        place: Option<OwnedSemaphorePermit>,
        sid: String,
        query: &Query<'_>,
        connection: Option<&Arc<Connection>>,
        parts: &Parts,
        ends: &OpenConnection,
    ) -> Option<Arc<SessionCell>> {
        let options = &self.options;
        let settings = &options.settings;
        let handle = options.sessions.take()?;
        let (revision, base64) = (query.revision(), query.is_text_only());
        let start = connection.map_or(Start::Polling, |connection| Start::Channel(connection.handle));
        let transport = if connection.is_some() { Transport::WebSocket } else { Transport::Polling };
        let rest = settings.open_packet(transport).unwrap_or_default();
        let packet = OutPacket { kind: PacketType::Open, data: OutData::Text(["{\"sid\":\"", &sid, rest].concat()) };
        let mut machine = Session::new(now(), revision, settings.timing.clone(), start);
        match connection {
            // written when the socket has been taken back from hyper
            Some(connection) => drop(connection.enqueue(|outbox| outbox.packets(&[packet], revision, base64))),
            None => {
                // what waits for a poll is the owner's, heartbeats too: they keep their order
                machine.set_relayed(Relayed::Polls);
                let message = settings.initial.clone().map(|data| OutPacket { kind: PacketType::Message, data });
                machine.send([Some(packet), message].into_iter().flatten().collect(), true, &mut Vec::new());
            }
        }
        let head = head::head(parts, query, &ends.text, &sid, connection.map(|connection| connection.handle));
        let jsonp = if connection.is_none() { query.jsonp() } else { None };
        let session = SessionCell::new(
            NewSession {
                handle,
                machine,
                encoding: PollEncoding { revision, binary: !base64, jsonp },
                base64,
                transport: connection.map(|connection| connection.clone() as Arc<dyn Channel>),
                listed: connection.is_none().then(|| (self.registry.clone(), sid)),
                verbose: None,
            },
            options.queue.clone(),
            options.commands.tasks(),
        );
        let opened = Opened::new(session.clone(), connection.cloned(), head, place);
        options.queue.with(|batch| opened.tell(options.handle, batch));
        // what comes of it follows that
        session.open(false);
        if let Some(connection) = connection {
            connection.bind(Binding::Session(session.clone()));
        }
        Some(session)
    }
}
