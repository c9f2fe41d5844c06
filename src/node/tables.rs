//! The objects that JavaScript names by handles.

use std::cell::RefCell;
use std::sync::Arc;

use napi::{Error, Result, Status};

use crate::cluster::peers::Peers;
use crate::http::Listener;
use crate::runtime::{Connection, SessionCell, Table};
use crate::session::Timing;

/// The tables of one engine.
pub(super) struct Tables {
    pub(super) sessions: RefCell<Table<Arc<SessionCell>>>,
    /// The connections. A channel that JavaScript drives has a handle only.
    pub(super) connections: RefCell<Table<Arc<Connection>>>,
    pub(super) timings: RefCell<Table<Arc<Timing>>>,
    pub(super) listeners: RefCell<Table<Arc<Listener>>>,
    /// The members of clusters.
    pub(super) members: RefCell<Table<Arc<Peers>>>,
}

impl Tables {
    pub(super) fn new() -> Self {
        Self { sessions: table(), connections: table(), timings: table(), listeners: table(), members: table() }
    }

    pub(super) fn session(&self, session: u32) -> Option<Arc<SessionCell>> {
        self.sessions.borrow().get(session).cloned()
    }

    pub(super) fn connection(&self, connection: u32) -> Option<Arc<Connection>> {
        self.connections.borrow().get(connection).cloned()
    }

    pub(super) fn timing(&self, timing: u32) -> Result<Arc<Timing>> {
        let timing = self.timings.borrow().get(timing).cloned();
        timing
            .ok_or_else(|| Error::new(Status::InvalidArg, "expected the handle of a server's timing, got a stale one"))
    }

    pub(super) fn listener(&self, listener: u32) -> Option<Arc<Listener>> {
        self.listeners.borrow().get(listener).cloned()
    }

    /// Number of calls with a stale handle.
    pub(super) fn stale(&self) -> u64 {
        self.members.borrow().stale()
            + self.sessions.borrow().stale()
            + self.connections.borrow().stale()
            + self.timings.borrow().stale()
            + self.listeners.borrow().stale()
    }

    /// Drops references between sessions and connections, because the environment ends.
    pub(super) fn clear(&self) {
        drop(self.sessions.borrow_mut().drain());
        self.connections.borrow_mut().drain().for_each(|connection| connection.abandon());
        self.listeners.borrow_mut().drain().for_each(|listener| listener.registry.clear());
        drop(self.members.borrow_mut().drain());
    }
}

/// An empty table. `ENGINE_IO_NATIVE_PANIC_ON_STALE` makes a debug build panic where a stale handle is passed in.
fn table<T>() -> RefCell<Table<T>> {
    let mut table = Table::default();
    if std::env::var_os("ENGINE_IO_NATIVE_PANIC_ON_STALE").is_some() {
        table.panic_on_stale();
    }
    RefCell::new(table)
}

/// The error for one more handle when two million are in use.
pub(super) fn exhausted(what: &str) -> Error {
    Error::new(Status::GenericFailure, format!("expected fewer than 2,097,152 {what} at a time"))
}
