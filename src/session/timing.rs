//! The timing of a server, by which its sessions live.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A point in time or a length of time, in milliseconds of a monotonic clock.
pub type Millis = u64;

/// How often an upgrade in progress answers a pending poll with a `noop`, as in the original.
pub(super) const NOOP_INTERVAL: Millis = 100;

/// The lengths of time that options set. Shared by all sessions of a server, because the original reads
/// `server.opts` anew each time: a changed option acts on living sessions too.
#[derive(Debug)]
pub struct Timing {
    ping_interval: AtomicU64,
    ping_timeout: AtomicU64,
    upgrade_timeout: AtomicU64,
}

impl Timing {
    /// All in milliseconds.
    pub fn new(ping_interval: Millis, ping_timeout: Millis, upgrade_timeout: Millis) -> Self {
        Self {
            ping_interval: AtomicU64::new(ping_interval),
            ping_timeout: AtomicU64::new(ping_timeout),
            upgrade_timeout: AtomicU64::new(upgrade_timeout),
        }
    }

    /// Replaces all three; they act from each session's next deadline on.
    pub fn set(&self, ping_interval: Millis, ping_timeout: Millis, upgrade_timeout: Millis) {
        self.ping_interval.store(ping_interval, Relaxed);
        self.ping_timeout.store(ping_timeout, Relaxed);
        self.upgrade_timeout.store(upgrade_timeout, Relaxed);
    }

    /// Time between two pings.
    pub fn ping_interval(&self) -> Millis {
        self.ping_interval.load(Relaxed)
    }

    /// Time the peer has to answer.
    pub fn ping_timeout(&self) -> Millis {
        self.ping_timeout.load(Relaxed)
    }

    /// Time a client has to complete an upgrade.
    pub fn upgrade_timeout(&self) -> Millis {
        self.upgrade_timeout.load(Relaxed)
    }
}
