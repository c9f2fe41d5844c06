//! Which thread reads a connection: its I/O thread, or the owner's.

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

/// Which thread reads a connection. A thread neither reads while the other does nor waits for it.
#[derive(Debug, Default)]
pub(crate) struct WhoReads {
    state: AtomicU8,
    /// Number of reads of the owner's thread; wraps around.
    owner_reads: AtomicU8,
}

const IO_THREAD: u8 = 0;
const OWNER: u8 = 1;
/// The owner's thread is reading now.
const BUSY: u8 = 2;

impl WhoReads {
    /// Whether the connection is left to the owner's thread.
    pub(crate) fn is_owner(&self) -> bool {
        self.state.load(SeqCst) != IO_THREAD
    }

    /// Has the owner's thread read from now on.
    pub(crate) fn leave_to_owner(&self) {
        self.state.store(OWNER, SeqCst);
    }

    /// Takes the right to read a connection that is left to the owner's thread. Returns false if the other side is
    /// reading, or has taken the connection back. [`WhoReads::leave_to_owner`] or [`WhoReads::take_back`] has to
    /// follow.
    pub(crate) fn take_turn(&self) -> bool {
        self.state.compare_exchange(OWNER, BUSY, SeqCst, SeqCst).is_ok()
    }

    /// Has the I/O thread read from now on.
    pub(crate) fn take_back(&self) {
        self.state.store(IO_THREAD, SeqCst);
    }

    /// Counts a read of the owner's thread.
    pub(crate) fn count_owner_read(&self) {
        self.owner_reads.fetch_add(1, SeqCst);
    }

    /// Number of reads of the owner's thread, modulo 256.
    pub(crate) fn owner_reads(&self) -> u8 {
        self.owner_reads.load(SeqCst)
    }
}
