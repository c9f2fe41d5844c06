//! How much has passed a connection's socket, and when the last of it did.

use std::sync::atomic::Ordering::Relaxed;

use super::connection::Connection;
use crate::runtime::clock::now;

impl Connection {
    /// Counts bytes that were read from the socket. Called by the one thread that reads.
    pub(crate) fn count_read(&self, bytes: usize) {
        self.read.store(self.read.load(Relaxed) + bytes as u64, Relaxed);
        self.note_activity();
    }

    /// Number of bytes that were read from the socket.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// Number of bytes that were handed over to be written.
    pub fn bytes_written(&self) -> u64 {
        self.outbox().total()
    }

    /// For how many ms nothing has been read or written. Activity is noted from the first call on.
    pub fn idle(&self) -> u64 {
        match self.active.load(Relaxed) {
            0 => {
                self.active.store(stamp(), Relaxed);
                0
            }
            last => match stamp().wrapping_sub(last) {
                // another thread has just noted activity
                u32::MAX => 0,
                idle => idle.into(),
            },
        }
    }

    pub(super) fn note_activity(&self) {
        if self.active.load(Relaxed) != 0 {
            self.active.store(stamp(), Relaxed);
        }
    }
}

/// The time in ms plus 1, in the range of `Connection::active`; never 0.
fn stamp() -> u32 {
    ((now() + 1) as u32).max(1)
}
