//! Whether a connection is read: it waits while the owner has too much to take, and while the peer does not read.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::connection::{Binding, Connection, TURNS_TO_ANSWER};
use crate::runtime::owner::queue::Stalled;

/// Bytes of a connection's messages that the owner may have still to take. Above that the connection is not read.
const MAX_OWED: usize = 1 << 20;

impl Connection {
    /// Notes that the owner has events of this many bytes to take.
    pub(crate) fn owe(&self, bytes: usize) {
        if self.owed.fetch_add(bytes, SeqCst) + bytes > MAX_OWED {
            self.fell_behind.store(true, SeqCst);
            self.paused.store(true, SeqCst);
        }
    }

    /// Notes that the owner has taken messages of this many bytes.
    pub fn settle(&self, bytes: usize) {
        self.taken_in.store(self.queue.turns(), Relaxed);
        let left = self.owed.fetch_sub(bytes, SeqCst).saturating_sub(bytes);
        if left <= MAX_OWED / 2 && self.paused.load(SeqCst) && !matches!(self.binding(), Binding::Unbound) {
            self.paused.store(false, SeqCst);
            self.wake();
        }
    }

    /// Whether the owner has taken all messages and has had time to answer them: it has come for more in later turns of
    /// its loop.
    pub(crate) fn is_answered(&self) -> bool {
        self.owed.load(SeqCst) == 0 && self.queue.turns().wrapping_sub(self.taken_in.load(Relaxed)) >= TURNS_TO_ANSWER
    }

    /// Whether the connection must not be read for now.
    pub fn is_paused(&self) -> bool {
        self.paused.load(SeqCst)
            || self.throttled.load(SeqCst)
            || self.stopped.load(Relaxed)
            || self.winds_up.load(SeqCst)
    }

    /// Whether bytes that were read, or are read next, have to wait.
    pub fn is_held_up(&self) -> bool {
        self.is_paused() || self.has_undecoded.load(SeqCst)
    }

    /// Stops reading until the owner allows it again.
    pub fn stop_reading(&self, stop: bool) {
        self.stopped.store(stop, SeqCst);
        if !stop {
            self.wake();
        }
    }

    /// Drops every reason not to read, because the end has begun. Returns whether there was one.
    pub(crate) fn read_to_the_end(&self) -> bool {
        let reasons = [&self.paused, &self.throttled, &self.stopped, &self.winds_up];
        reasons.map(|reason| reason.swap(false, SeqCst)).contains(&true)
    }

    /// Stops reading until the peer has read everything that waits for it, then reports [`Kind::Drained`].
    pub fn throttle(&self) {
        self.throttled.store(true, SeqCst);
        self.report_drain();
    }

    /// Reads on, because the peer has read what waited for it.
    pub(super) fn unthrottle(&self) {
        if self.throttled.swap(false, SeqCst) {
            self.wake();
        }
    }

    /// Notes that the peer is not read because of the owner.
    pub(super) fn fall_behind(&self) {
        self.fell_behind.store(true, SeqCst);
    }
}

impl Stalled for Connection {
    fn stall(&self) -> bool {
        self.fall_behind();
        !self.is_stalled.swap(true, SeqCst)
    }

    fn resume(&self) {
        self.is_stalled.store(false, SeqCst);
        self.wake();
    }
}
