//! Counts open connections.

use std::fmt::Debug;
use std::sync::Arc;

/// A counter of open connections.
pub trait CountsOpen: Debug + Send + Sync {
    /// Counts one more.
    fn opened(&self);

    /// Counts one less.
    fn closed(&self);
}

/// Counts as an open connection while it lives.
#[derive(Debug)]
pub struct Open<C: CountsOpen + ?Sized = dyn CountsOpen>(Arc<C>);

impl<C: CountsOpen + ?Sized> Open<C> {
    /// Counts from now on.
    pub fn new(counter: Arc<C>) -> Self {
        counter.opened();
        Self(counter)
    }

    /// The counter.
    pub fn counter(&self) -> &Arc<C> {
        &self.0
    }
}

impl<C: CountsOpen + ?Sized> Drop for Open<C> {
    fn drop(&mut self) {
        self.0.closed();
    }
}
