//! Sessions that an I/O thread opens by itself, on their way to the owner.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::connection::Connection;
use super::session_cell::SessionCell;

/// A session that the owner has not heard of.
#[derive(Debug)]
pub struct Opened {
    pub session: Arc<SessionCell>,
    /// The WebSocket it speaks by, if it does.
    pub connection: Option<Arc<Connection>>,
    /// The request that opened it, see `head` in src/http/request.rs.
    pub head: String,
    _untaken: Untaken,
}

impl Opened {
    pub fn new(session: Arc<SessionCell>, connection: Option<Arc<Connection>>, head: String, untaken: Untaken) -> Self {
        Self { session, connection, head, _untaken: untaken }
    }
}

/// Counts what the owner has not heard of, until it is dropped.
#[derive(Debug)]
pub struct Untaken(Arc<AtomicUsize>);

impl Untaken {
    pub fn one_more(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count.clone())
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
