//! Sessions and connections that an I/O thread has opened and of which the owner has not heard.

use std::any::Any;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::connection::Connection;
use crate::runtime::owner::contract::{Kind, NO_HANDLE};
use crate::runtime::owner::events::{Attachment, Batch, Event};
use crate::runtime::session::cell::SessionCell;

/// A request that was refused.
#[derive(Debug)]
pub struct Refused {
    /// See `src/http/head.rs`.
    pub head: String,
    /// The place among the refusals; free again when the owner has taken this one.
    pub _place: OwnedSemaphorePermit,
}

/// A session that the owner has not heard of, or a connection that is to take one over.
#[derive(Debug)]
pub struct Opened {
    /// The new session, or the one that the connection is to take over.
    pub session: Arc<SessionCell>,
    /// The WebSocket of the session, or the one that its client probes.
    pub connection: Option<Arc<Connection>>,
    /// The request that opened it, see `src/http/head.rs`.
    pub head: String,
    _place: Option<OwnedSemaphorePermit>,
}

impl Opened {
    /// The place among the unannounced; free again when the owner has taken this one.
    pub fn new(
        session: Arc<SessionCell>,
        connection: Option<Arc<Connection>>,
        head: String,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { session, connection, head, _place: place }
    }

    /// Tells of a session that `listener` has opened: [`Kind::Opened`].
    pub fn tell(self, listener: u32, batch: &mut Batch) {
        batch.push_attached(Kind::Opened, self.session.handle, listener, self);
    }

    /// Tells of a connection that is to take over its session: [`Kind::Probing`].
    pub fn tell_probing(self, batch: &mut Batch) {
        let channel = self.connection.as_ref().map_or(NO_HANDLE, |connection| connection.handle);
        batch.push_attached(Kind::Probing, self.session.handle, channel, self);
    }

    /// What an event tells of; none if it tells of something else.
    pub fn of(event: &Event) -> Option<&Self> {
        event.attached()
    }
}

impl Attachment for Opened {
    fn text(&self) -> &str {
        &self.head
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Refused {
    /// Tells of a request that `listener` has refused: [`Kind::Refused`].
    pub fn tell(self, refusal: u32, listener: u32, batch: &mut Batch) {
        batch.push_attached(Kind::Refused, refusal, listener, self);
    }
}

impl Attachment for Refused {
    fn text(&self) -> &str {
        &self.head
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
