//! The sessions of one listener by their id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The sessions of one listener by their ids.
#[derive(Debug)]
pub struct Registry<S> {
    sessions: Mutex<HashMap<String, Arc<S>>>,
}

impl<S> Registry<S> {
    pub fn insert(&self, sid: String, session: Arc<S>) {
        self.lock().insert(sid, session);
    }

    pub fn remove(&self, sid: &str) {
        self.lock().remove(sid);
    }

    pub fn get(&self, sid: &str) -> Option<Arc<S>> {
        self.lock().get(sid).cloned()
    }

    /// Drops all sessions, because the engine ends. Otherwise a session and its place here would keep each other.
    pub fn clear(&self) {
        let sessions = std::mem::take(&mut *self.lock());
        drop(sessions);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<S>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Default for Registry<S> {
    fn default() -> Self {
        Self { sessions: Mutex::default() }
    }
}
