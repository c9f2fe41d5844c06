//! The queue from the I/O threads to the owner's thread.
//!
//! Producers append events, and the owner takes all of them at once. An I/O thread wakes the owner once, at the end of
//! its turn (see `super::wake_batch`).

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::Notify;

use super::contract::Kind;
use super::events::Batch;
use super::wake_batch::{self, WakesOwner};
use crate::session::ChannelId;

/// Bytes of all events that the owner may have still to take. Above that no connection is read.
const MAX_QUEUED: usize = 64 << 20;

/// Who reads for the owner, and waits while the owner has too much to take.
pub(crate) trait Stalled: Send + Sync + 'static {
    /// Has the reader wait from now on. Returns whether it did not wait before.
    fn stall(&self) -> bool;

    /// Lets the reader go on.
    fn resume(&self);
}

/// The queue of events from the I/O threads to the owner.
#[derive(Clone)]
pub struct EventQueue(Arc<Shared>);

struct Shared {
    queued: Mutex<Queued>,
    wake: Box<dyn Fn() + Send + Sync>,
    /// Whether the owner's thread can read connections itself.
    #[cfg(feature = "owner-reads")]
    owner_reads: AtomicBool,
    /// Number of bytes of the events that wait, and of those in the owner's batch that it has not taken.
    waiting: AtomicUsize,
    in_hand: AtomicUsize,
    /// Number of the owner's turns that have ended.
    turns: AtomicU32,
    /// Readers that wait until there are fewer events.
    stalled: Mutex<Vec<Weak<dyn Stalled>>>,
    has_stalled: AtomicBool,
    /// Notifies POSTs that wait until there are fewer events.
    room: Notify,
    /// The connections whose peers do not take what is to be written.
    blocked: Mutex<HashSet<ChannelId>>,
}

#[derive(Default)]
struct Queued {
    batch: Batch,
    /// Whether the owner has been woken for these events.
    told: bool,
    /// Number of batches that have begun, modulo 256.
    begun: u8,
}

/// One batch of this many is timed, because two looks at a clock take as long as much of the work for one message.
const TIMED: u8 = 8;

impl Queued {
    /// Notes the time, for some batches.
    fn begin_batch(&mut self) {
        self.begun = self.begun.wrapping_add(1);
        if self.begun % TIMED == 0 {
            self.batch.since = Some(Instant::now());
        }
    }
}

/// Number of events for which the owner is woken before the end of a turn.
const ENOUGH: usize = 64;

impl EventQueue {
    /// `wake` is called from any thread when there are events for which the owner has not been woken.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            queued: Mutex::default(),
            wake: Box::new(wake),
            #[cfg(feature = "owner-reads")]
            owner_reads: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            in_hand: AtomicUsize::new(0),
            turns: AtomicU32::new(0),
            stalled: Mutex::default(),
            has_stalled: AtomicBool::new(false),
            room: Notify::new(),
            blocked: Mutex::default(),
        }))
    }

    /// The owner's thread can read connections itself, see [`Kind::LeftToOwner`].
    #[cfg(feature = "owner-reads")]
    pub fn offer_reading(&self) {
        self.0.owner_reads.store(true, SeqCst);
    }

    /// Whether the owner's thread can read connections itself.
    pub(crate) fn owner_reads(&self) -> bool {
        #[cfg(feature = "owner-reads")]
        return self.0.owner_reads.load(SeqCst);
        #[cfg(not(feature = "owner-reads"))]
        false
    }

    /// Appends a batch and leaves it empty.
    pub fn append(&self, batch: &mut Batch) {
        if self.append_silently(batch) {
            self.wake();
        }
    }

    /// Appends a batch without waking the owner: the caller is the owner and drains next, or holds a lock that the
    /// owner is likely to want. Returns whether [`EventQueue::wake`] has to follow.
    pub fn append_silently(&self, batch: &mut Batch) -> bool {
        if batch.is_empty() {
            return false;
        }
        self.with_silently(|queued| queued.append(batch))
    }

    /// Has the owner take the events. An I/O thread puts that off to the end of its turn, so that all of its sockets
    /// share a wake-up, unless there are enough events for one.
    pub fn wake(&self) {
        let is_enough = self.lock().batch.events.len() >= ENOUGH;
        let is_put_off = wake_batch::put_off(|| self.0.clone());
        if is_enough || !is_put_off {
            self.0.wake_now();
        }
    }

    /// Appends one event.
    pub fn push(&self, kind: Kind, target: u32, arg: u32) {
        self.with(|batch| batch.push(kind, target, arg));
    }

    /// Lets `fill` append events under the queue's lock.
    pub fn with(&self, fill: impl FnOnce(&mut Batch)) {
        if self.with_silently(fill) {
            self.wake();
        }
    }

    /// Lets `fill` append events without waking the owner, see [`EventQueue::append_silently`].
    pub fn with_silently(&self, fill: impl FnOnce(&mut Batch)) -> bool {
        let mut queued = self.lock();
        let was_empty = queued.batch.is_empty();
        fill(&mut queued.batch);
        if was_empty && !queued.batch.is_empty() {
            queued.begin_batch();
        }
        self.0.waiting.store(queued.batch.size(), SeqCst);
        was_empty && !queued.batch.is_empty() || !queued.told && queued.batch.events.len() >= ENOUGH
    }

    /// Takes all events; `emptied` gives its allocation back to the queue.
    pub fn take(&self, mut emptied: Batch) -> Batch {
        emptied.reset();
        let mut queued = self.lock();
        queued.told = false;
        let batch = std::mem::replace(&mut queued.batch, emptied);
        self.0.waiting.store(0, SeqCst);
        self.0.in_hand.store(batch.size(), SeqCst);
        drop(queued);
        self.taken(0);
        batch
    }

    /// Notes that the owner comes for more in another turn of its loop, so that it has handled what it took before.
    pub fn end_turn(&self) {
        self.0.turns.fetch_add(1, SeqCst);
    }

    /// Number of the owner's turns that have ended, modulo 2^32.
    pub fn turns(&self) -> u32 {
        self.0.turns.load(SeqCst)
    }

    /// Notes that the owner has taken events of this many bytes out of what [`EventQueue::take`] gave it.
    pub fn taken(&self, bytes: usize) {
        let left = self.0.in_hand.load(SeqCst).saturating_sub(bytes);
        self.0.in_hand.store(left, SeqCst);
        if self.0.has_stalled.load(SeqCst) && left + self.0.waiting.load(SeqCst) <= MAX_QUEUED / 2 {
            self.resume_stalled();
        }
    }

    /// Whether the owner has too many events to take altogether.
    pub(crate) fn is_full(&self) -> bool {
        self.untaken() > MAX_QUEUED
    }

    /// Whether a reader has to wait until the owner has taken events. It is resumed then.
    pub(crate) fn stalls<R: Stalled>(&self, reader: &Arc<R>) -> bool {
        if !self.is_full() {
            return false;
        }
        if reader.stall() {
            let reader: Weak<R> = Arc::downgrade(reader);
            self.stalled().push(reader);
            self.0.has_stalled.store(true, SeqCst);
        }
        if !self.is_full() {
            // the owner may have looked before
            self.resume_stalled();
        }
        true
    }

    /// Waits while the owner has too many events to take altogether.
    pub(crate) async fn has_room(&self) {
        while self.is_full() {
            let room = self.0.room.notified();
            self.0.has_stalled.store(true, SeqCst);
            if !self.is_full() {
                // the owner may have looked before
                self.resume_stalled();
            }
            room.await;
        }
    }

    /// Number of bytes of the events that the owner has still to take.
    pub fn untaken(&self) -> usize {
        self.0.waiting.load(SeqCst) + self.0.in_hand.load(SeqCst)
    }

    /// Notes whether a connection's peer does not take what is to be written. Called under the lock of its outbox.
    pub(crate) fn note_blocked(&self, connection: ChannelId, is_blocked: bool) {
        let mut blocked = self.0.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        if is_blocked {
            blocked.insert(connection);
        } else {
            blocked.remove(&connection);
        }
    }

    /// The connections whose peers do not take what is to be written.
    pub fn blocked(&self) -> Vec<ChannelId> {
        self.0.blocked.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn resume_stalled(&self) {
        self.0.has_stalled.store(false, SeqCst);
        self.0.room.notify_waiters();
        let stalled = std::mem::take(&mut *self.stalled());
        stalled.iter().filter_map(Weak::upgrade).for_each(|reader| reader.resume());
    }

    fn stalled(&self) -> MutexGuard<'_, Vec<Weak<dyn Stalled>>> {
        self.0.stalled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Queued> {
        self.0.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queued> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WakesOwner for Shared {
    fn wake_now(&self) {
        let mut queued = self.lock();
        let wanted = !queued.told && !queued.batch.is_empty();
        queued.told |= wanted;
        drop(queued);
        if wanted {
            (self.wake)();
        }
    }
}

impl std::fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventQueue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::events::OWN_ALLOCATION_FROM;
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    fn queue() -> (EventQueue, Arc<AtomicUsize>) {
        let wakes = Arc::new(AtomicUsize::new(0));
        let count = wakes.clone();
        (
            EventQueue::new(move || {
                count.fetch_add(1, SeqCst);
            }),
            wakes,
        )
    }

    #[test]
    fn the_owner_is_woken_once_per_burst() {
        let (queue, wakes) = queue();
        for _ in 0..10 {
            queue.push(Kind::Pinged, 1, 0);
        }
        assert_eq!(wakes.load(SeqCst), 1);
        assert_eq!(queue.take(Batch::default()).events.len(), 10);
        queue.push(Kind::Pinged, 1, 0);
        assert_eq!(wakes.load(SeqCst), 2);
    }

    #[test]
    fn contents_survive_the_merging_of_batches() {
        let (queue, _) = queue();
        for text in ["one", "zwölf", &"x".repeat(OWN_ALLOCATION_FROM)] {
            queue.with(|batch| batch.push_text(Kind::Message, 7, 0, text.as_bytes()));
        }
        let batch = queue.take(Batch::default());
        let contents: Vec<_> = batch.events.iter().map(|event| batch.content(&event.data).to_vec()).collect();
        assert_eq!(contents, [b"one".to_vec(), "zwölf".as_bytes().to_vec(), vec![b'x'; OWN_ALLOCATION_FROM]]);
    }
}
