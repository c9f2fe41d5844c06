//! What stands in for `owner_reads` without the feature `owner-reads`: no connection is lent, so that its I/O thread
//! reads each.

use std::sync::Arc;
use std::task::Context;

use crate::runtime::channel::connection::Connection;
use crate::runtime::owner::events::Batch;

/// A loan, of which there are none.
pub(super) enum Loan {}

/// What the reader has to do for a loan.
#[expect(dead_code, reason = "there are no loans")]
pub(super) enum Next {
    Wait,
    End,
    Read,
}

/// Lends nothing.
pub(super) fn lend(_: &Arc<Connection>, _is_single: bool, _: &mut Batch) -> Option<Loan> {
    None
}

impl Loan {
    pub(super) fn next(&mut self, _: &Arc<Connection>, _: &mut Context<'_>) -> Next {
        match *self {}
    }

    pub(super) fn has_read(&self, _: &Arc<Connection>, _found: bool) -> bool {
        match *self {}
    }

    pub(super) fn end(self, _: &Arc<Connection>) {
        match self {}
    }
}

impl Connection {
    /// Whether the owner's thread reads it.
    pub fn is_read_by_owner(&self) -> bool {
        false
    }

    /// The owner's thread does not read it.
    pub fn decline_reading(&self) {}
}
