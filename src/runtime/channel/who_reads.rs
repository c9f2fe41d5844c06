//! Which thread reads a connection: its I/O thread, or the owner's.

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

/// Who reads a connection. Nobody reads while the other does, nor waits for it.
#[derive(Debug, Default)]
pub(crate) struct WhoReads {
    state: AtomicU8,
    /// How often the owner's thread has read; wraps around.
    owner_reads: AtomicU8,
}

const IO_THREAD: u8 = 0;
const OWNER: u8 = 1;
/// One of them does so now, while it is the owner's.
const BUSY: u8 = 2;

impl WhoReads {
    /// Whether the connection is left to the owner's thread.
    pub(crate) fn is_owner(&self) -> bool {
        self.state.load(SeqCst) != IO_THREAD
    }

    /// From now on the owner's thread reads.
    pub(crate) fn leave_to_owner(&self) {
        self.state.store(OWNER, SeqCst);
    }

    /// Takes the right to read what is left to the owner's thread. False if the other side is just reading, or has
    /// taken the connection back. [`WhoReads::leave_to_owner`] or [`WhoReads::take_back`] has to follow.
    pub(crate) fn take_turn(&self) -> bool {
        self.state.compare_exchange(OWNER, BUSY, SeqCst, SeqCst).is_ok()
    }

    /// From now on the I/O thread reads.
    pub(crate) fn take_back(&self) {
        self.state.store(IO_THREAD, SeqCst);
    }

    /// The owner's thread reads once more.
    pub(crate) fn count_owner_read(&self) {
        self.owner_reads.fetch_add(1, SeqCst);
    }

    /// How often the owner's thread has read, modulo 256.
    pub(crate) fn owner_reads(&self) -> u8 {
        self.owner_reads.load(SeqCst)
    }
}
