//! The queue from the I/O threads to the owner's thread.
//!
//! Producers append, the owner takes everything at once; it is woken once for all that it then finds: by an I/O
//! thread at the end of its turn (see `super::wake_batch`). Small contents lie one after the other in one buffer per batch.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::contract::{Kind, NO_HANDLE, ProbeEndCode, ReasonCode};
use super::wake_batch;
use crate::runtime::channel::connection::Connection;
use crate::runtime::channel::unannounced::{Opened, Refused};
use crate::session::{ChannelId, Fault, ProbeEnd, Reason};

/// The content of an event.
#[derive(Debug, Default)]
pub enum EventData {
    #[default]
    None,
    /// ASCII text in the batch's buffer.
    Ascii { start: u32, len: u32 },
    /// UTF-8 text in the batch's buffer.
    Utf8 { start: u32, len: u32 },
    /// Bytes in the batch's buffer.
    Bytes { start: u32, len: u32 },
    /// UTF-8 text too large to be copied around.
    OwnedText(Vec<u8>),
    /// Bytes too large to be copied around.
    OwnedBytes(Vec<u8>),
    /// A new session or connection; its content is the head of the request.
    Opened(Box<Opened>),
    /// A request that was refused; its content is the head.
    Refused(Box<Refused>),
}

/// One thing the owner has to know.
#[derive(Debug)]
pub struct Event {
    pub kind: Kind,
    /// A session, a connection, a listener or a body, depending on `kind`.
    pub target: u32,
    pub arg: u32,
    /// Who is charged for the event until it is taken: a connection, [`BY_POST`], or [`NO_HANDLE`] for nobody.
    pub charged: u32,
    pub data: EventData,
}

/// [`Event::charged`] of what came by POST: its session is charged.
pub const BY_POST: u32 = u32::MAX;

/// Events in order.
#[derive(Debug, Default)]
pub struct Batch {
    pub events: Vec<Event>,
    pub bytes: Vec<u8>,
    /// Bytes of contents in allocations of their own.
    large: usize,
}

/// While the owner has this many bytes of events altogether still to take, no connection is read.
const MAX_QUEUED: usize = 64 << 20;

/// From this size on a content travels in its own allocation.
const OWN_ALLOCATION_FROM: usize = 16 * 1024;

/// What an event takes besides its content: empty messages fill the memory, too.
const EVENT_COST: usize = size_of::<Event>();

impl Batch {
    /// Appends an event without content.
    pub fn push(&mut self, kind: Kind, target: u32, arg: u32) {
        self.events.push(Event { kind, target, arg, charged: NO_HANDLE, data: EventData::None });
    }

    /// Has a connection owe for the last event until the owner takes it. Returns by how many bytes.
    pub fn charge(&mut self, connection: ChannelId) -> usize {
        let Some(event) = self.events.last_mut() else { return 0 };
        event.charged = connection;
        self.events.last().map_or(0, |event| self.cost(event))
    }

    /// Has the session that a POST came for owe for all of its events so far. Returns by how many bytes.
    pub fn charge_post(&mut self) -> usize {
        self.events.iter_mut().for_each(|event| event.charged = BY_POST);
        self.events.iter().map(|event| self.cost(event)).sum()
    }

    /// The bytes that an event occupies while it waits to be taken.
    pub fn cost(&self, event: &Event) -> usize {
        self.content(&event.data).len() + EVENT_COST
    }

    /// Appends an event with text, which must be valid UTF-8.
    pub fn push_text(&mut self, kind: Kind, target: u32, arg: u32, text: &[u8]) {
        let data = if text.len() >= OWN_ALLOCATION_FROM {
            self.large += text.len();
            EventData::OwnedText(text.to_vec())
        } else {
            let (start, len) = self.store(text);
            if text.is_ascii() { EventData::Ascii { start, len } } else { EventData::Utf8 { start, len } }
        };
        self.events.push(Event { kind, target, arg, charged: NO_HANDLE, data });
    }

    /// Appends an event with bytes.
    pub fn push_bytes(&mut self, kind: Kind, target: u32, arg: u32, bytes: &[u8]) {
        let data = if bytes.len() >= OWN_ALLOCATION_FROM {
            self.large += bytes.len();
            EventData::OwnedBytes(bytes.to_vec())
        } else {
            let (start, len) = self.store(bytes);
            EventData::Bytes { start, len }
        };
        self.events.push(Event { kind, target, arg, charged: NO_HANDLE, data });
    }

    /// Appends a [`Kind::Closed`] event.
    pub fn push_closed(&mut self, session: u32, reason: &Reason) {
        let code = ReasonCode::of(reason) as u32;
        match reason {
            Reason::TransportError(fault) => {
                self.push_text(Kind::Closed, session, code, fault.message().as_bytes());
            }
            _ => self.push(Kind::Closed, session, code),
        }
    }

    /// Appends a [`Kind::UpgradeFailed`] event.
    pub fn push_upgrade_failed(&mut self, session: u32, end: &ProbeEnd) {
        let code = ProbeEndCode::of(end) as u32;
        match end {
            ProbeEnd::Failed(fault) => {
                self.push_text(Kind::UpgradeFailed, session, code, fault.message().as_bytes());
            }
            _ => self.push(Kind::UpgradeFailed, session, code),
        }
    }

    /// Appends a [`Kind::Opened`] event.
    pub fn push_opened(&mut self, session: u32, listener: u32, opened: Opened) {
        let data = EventData::Opened(Box::new(opened));
        self.events.push(Event { kind: Kind::Opened, target: session, arg: listener, charged: NO_HANDLE, data });
    }

    /// Appends a [`Kind::Probing`] event.
    pub fn push_probing(&mut self, probing: Opened) {
        let target = probing.session.handle;
        let arg = probing.connection.as_ref().map_or(NO_HANDLE, |connection| connection.handle);
        let data = EventData::Opened(Box::new(probing));
        self.events.push(Event { kind: Kind::Probing, target, arg, charged: NO_HANDLE, data });
    }

    /// Appends a [`Kind::Refused`] event.
    pub fn push_refused(&mut self, refusal: u32, listener: u32, refused: Refused) {
        let data = EventData::Refused(Box::new(refused));
        self.events.push(Event { kind: Kind::Refused, target: refusal, arg: listener, charged: NO_HANDLE, data });
    }

    /// The detail of a fault that goes into the error's `description`.
    pub fn fault_detail(fault: &Fault) -> Option<&str> {
        match fault {
            Fault::Write(detail) => Some(detail),
            _ => None,
        }
    }

    /// The bytes of an event's content.
    pub fn content<'a>(&'a self, data: &'a EventData) -> &'a [u8] {
        match data {
            EventData::None => &[],
            EventData::Ascii { start, len } | EventData::Utf8 { start, len } | EventData::Bytes { start, len } => {
                let start = *start as usize;
                self.bytes.get(start..start + *len as usize).unwrap_or(&[])
            }
            EventData::OwnedText(bytes) | EventData::OwnedBytes(bytes) => bytes,
            EventData::Opened(opened) => opened.head.as_bytes(),
            EventData::Refused(refused) => refused.head.as_bytes(),
        }
    }

    fn store(&mut self, content: &[u8]) -> (u32, u32) {
        // a batch is far below 4 GiB: the queue stops its producers long before, see `Connection::owe`
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(content);
        (start, content.len() as u32)
    }

    fn append(&mut self, other: &mut Batch) {
        if self.is_empty() && other.events.len() > self.events.capacity() {
            return std::mem::swap(self, other);
        }
        let offset = self.bytes.len() as u32;
        self.bytes.append(&mut other.bytes);
        self.large += std::mem::take(&mut other.large);
        self.events.extend(other.events.drain(..).map(|mut event| {
            match &mut event.data {
                EventData::Ascii { start, .. } | EventData::Utf8 { start, .. } | EventData::Bytes { start, .. } => {
                    *start += offset;
                }
                _ => {}
            }
            event
        }));
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The bytes that all of it occupies while it waits to be taken.
    fn size(&self) -> usize {
        self.bytes.len() + self.large + self.events.len() * EVENT_COST
    }
}

impl Event {
    /// Lets go of a content that has an allocation of its own: the owner has taken it.
    pub fn free(&mut self) {
        if matches!(self.data, EventData::OwnedText(_) | EventData::OwnedBytes(_)) {
            self.data = EventData::None;
        }
    }
}

/// See the module's documentation.
#[derive(Clone)]
pub struct EventQueue(Arc<Shared>);

struct Shared {
    queued: Mutex<Queued>,
    wake: Box<dyn Fn() + Send + Sync>,
    /// Whether the owner's thread can read connections itself.
    owner_reads: AtomicBool,
    /// The bytes of the events that wait, and of those that the owner has in hand and not taken yet.
    waiting: AtomicUsize,
    in_hand: AtomicUsize,
    /// How many turns of the owner's have ended.
    turns: AtomicU32,
    /// Connections that are not read until there are fewer.
    stalled: Mutex<Vec<Weak<Connection>>>,
    has_stalled: AtomicBool,
    /// Tells POSTs that wait for the same.
    room: Notify,
}

#[derive(Default)]
struct Queued {
    batch: Batch,
    /// Whether the owner has been woken for it.
    told: bool,
}

/// So many events are worth a wake-up, whatever may follow in the same turn.
const ENOUGH: usize = 64;

impl EventQueue {
    /// `wake` is called from any thread when there is something to take of which the owner has not been told.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            queued: Mutex::default(),
            wake: Box::new(wake),
            owner_reads: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            in_hand: AtomicUsize::new(0),
            turns: AtomicU32::new(0),
            stalled: Mutex::default(),
            has_stalled: AtomicBool::new(false),
            room: Notify::new(),
        }))
    }

    /// The owner's thread can read connections itself, see [`Kind::LeftToOwner`].
    pub fn offer_reading(&self) {
        self.0.owner_reads.store(true, SeqCst);
    }

    pub(crate) fn owner_reads(&self) -> bool {
        self.0.owner_reads.load(SeqCst)
    }

    /// Appends a batch and leaves it empty.
    pub fn append(&self, batch: &mut Batch) {
        if self.append_silently(batch) {
            self.wake();
        }
    }

    /// Appends a batch without waking the owner: the caller is the owner and drains next, or holds a lock that
    /// the owner is likely to want. Whether somebody has to [`EventQueue::wake`] the owner.
    pub fn append_silently(&self, batch: &mut Batch) -> bool {
        if batch.is_empty() {
            return false;
        }
        self.with_silently(|queued| queued.append(batch))
    }

    /// Has the owner take what there is. An I/O thread puts that off to the end of its turn, so that all that its
    /// sockets bring shares a wake-up, unless there is enough for one.
    pub fn wake(&self) {
        let is_enough = self.lock().batch.events.len() >= ENOUGH;
        let is_put_off = wake_batch::put_off(self);
        if is_enough || !is_put_off {
            self.wake_now();
        }
    }

    /// Wakes the owner, unless that has been done.
    pub(crate) fn wake_now(&self) {
        let mut queued = self.lock();
        let wanted = !queued.told && !queued.batch.is_empty();
        queued.told |= wanted;
        drop(queued);
        if wanted {
            (self.0.wake)();
        }
    }

    /// Appends one event.
    pub fn push(&self, kind: Kind, target: u32, arg: u32) {
        self.with(|batch| batch.push(kind, target, arg));
    }

    /// Appends what `fill` appends. That is done under the queue's lock.
    pub fn with(&self, fill: impl FnOnce(&mut Batch)) {
        if self.with_silently(fill) {
            self.wake();
        }
    }

    /// The same without waking the owner, see [`EventQueue::append_silently`].
    pub fn with_silently(&self, fill: impl FnOnce(&mut Batch)) -> bool {
        let mut queued = self.lock();
        let was_empty = queued.batch.is_empty();
        fill(&mut queued.batch);
        self.0.waiting.store(queued.batch.size(), SeqCst);
        was_empty && !queued.batch.is_empty() || !queued.told && queued.batch.events.len() >= ENOUGH
    }

    /// Takes all events; `emptied` gives its allocation back to the queue.
    pub fn take(&self, mut emptied: Batch) -> Batch {
        emptied.events.clear();
        emptied.bytes.clear();
        emptied.large = 0;
        if emptied.bytes.capacity() > 1 << 20 {
            emptied.bytes = Vec::new();
        }
        if emptied.events.capacity() > 1 << 14 {
            emptied.events = Vec::new();
        }
        let mut queued = self.lock();
        queued.told = false;
        let batch = std::mem::replace(&mut queued.batch, emptied);
        self.0.waiting.store(0, SeqCst);
        self.0.in_hand.store(batch.size(), SeqCst);
        drop(queued);
        self.taken(0);
        batch
    }

    /// The owner comes for more in another turn of its loop: it has handled what it took before, and had that written.
    pub fn end_turn(&self) {
        self.0.turns.fetch_add(1, SeqCst);
    }

    /// How many turns of the owner's have ended, modulo 2^32.
    pub fn turns(&self) -> u32 {
        self.0.turns.load(SeqCst)
    }

    /// The owner has taken events of so many bytes out of what [`EventQueue::take`] gave it.
    pub fn taken(&self, bytes: usize) {
        let left = self.0.in_hand.load(SeqCst).saturating_sub(bytes);
        self.0.in_hand.store(left, SeqCst);
        if self.0.has_stalled.load(SeqCst) && left + self.0.waiting.load(SeqCst) <= MAX_QUEUED / 2 {
            self.resume_stalled();
        }
    }

    /// Whether the owner has too much to take altogether.
    pub(crate) fn is_full(&self) -> bool {
        self.0.waiting.load(SeqCst) + self.0.in_hand.load(SeqCst) > MAX_QUEUED
    }

    /// Whether a connection is to wait until the owner has taken what there is; then its task is woken.
    pub(crate) fn stalls(&self, connection: &Arc<Connection>) -> bool {
        if !self.is_full() {
            return false;
        }
        connection.fall_behind();
        if !connection.is_stalled.swap(true, SeqCst) {
            self.stalled().push(Arc::downgrade(connection));
            self.0.has_stalled.store(true, SeqCst);
        }
        if !self.is_full() {
            // the owner may have looked before
            self.resume_stalled();
        }
        true
    }

    /// Waits while the owner has too much to take altogether.
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

    fn resume_stalled(&self) {
        self.0.has_stalled.store(false, SeqCst);
        self.0.room.notify_waiters();
        let stalled = std::mem::take(&mut *self.stalled());
        for connection in stalled.iter().filter_map(Weak::upgrade) {
            connection.is_stalled.store(false, SeqCst);
            connection.wake();
        }
    }

    fn stalled(&self) -> MutexGuard<'_, Vec<Weak<Connection>>> {
        self.0.stalled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Queued> {
        self.0.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventQueue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
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
