//! Counting what is open.

use std::fmt::Debug;
use std::sync::Arc;

/// Who wants to know how many connections are open.
pub trait CountsOpen: Debug + Send + Sync {
    /// One more is open.
    fn opened(&self);

    /// One less is open.
    fn closed(&self);
}

/// Counts as one that is open, while it lives.
#[derive(Debug)]
pub struct Open<C: CountsOpen + ?Sized = dyn CountsOpen>(Arc<C>);

impl<C: CountsOpen + ?Sized> Open<C> {
    pub fn new(counter: Arc<C>) -> Self {
        counter.opened();
        Self(counter)
    }

    /// Who counts it.
    pub fn counter(&self) -> &Arc<C> {
        &self.0
    }
}

impl<C: CountsOpen + ?Sized> Drop for Open<C> {
    fn drop(&mut self) {
        self.0.closed();
    }
}
