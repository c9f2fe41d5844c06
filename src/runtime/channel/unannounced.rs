//! Sessions and connections that an I/O thread opens by itself, on their way to the owner.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::connection::Connection;
use crate::runtime::session::cell::SessionCell;

/// A request that was refused.
#[derive(Debug)]
pub struct Refused {
    /// See `src/http/head.rs`.
    pub head: String,
    /// Free again when the owner has taken this.
    pub _place: OwnedSemaphorePermit,
}

/// A session that the owner has not heard of, or a connection that is to take one over.
#[derive(Debug)]
pub struct Opened {
    pub session: Arc<SessionCell>,
    /// The WebSocket it speaks by, if it does, or tries out.
    pub connection: Option<Arc<Connection>>,
    /// The request that opened it, see `src/http/head.rs`.
    pub head: String,
    _place: Option<OwnedSemaphorePermit>,
}

impl Opened {
    /// `place`: free again when the owner has taken this.
    pub fn new(
        session: Arc<SessionCell>,
        connection: Option<Arc<Connection>>,
        head: String,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { session, connection, head, _place: place }
    }
}
