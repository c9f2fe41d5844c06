//! The sessions of one listener by their id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::runtime::SessionCell;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Registry {
    sessions: Mutex<HashMap<String, Arc<SessionCell>>>,
}

impl Registry {
    pub fn insert(&self, sid: String, session: Arc<SessionCell>) {
        self.lock().insert(sid, session);
    }

    pub fn remove(&self, sid: &str) {
        self.lock().remove(sid);
    }

    pub fn get(&self, sid: &str) -> Option<Arc<SessionCell>> {
        self.lock().get(sid).cloned()
    }

    /// The engine goes away: a session and its place here know each other.
    pub fn clear(&self) {
        let sessions = std::mem::take(&mut *self.lock());
        drop(sessions);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<SessionCell>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
