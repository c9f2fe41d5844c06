//! A session with its channels, shared between the owner's thread and the I/O threads.

mod locked;

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};
use tokio_util::time::delay_queue::Key;

use super::channel::Channel;
use super::payload::PollEncoding;
use super::registry::Registry;
use crate::protocol::{Data, PacketType};
use crate::runtime::clock::now;
use crate::runtime::owner::commands::{Alarm, IoTasks, PollAnswer, Responder};
use crate::runtime::owner::contract::{Kind, MAX_OWNER_POLL, OVERDUE};
use crate::runtime::owner::events::Batch;
use crate::runtime::owner::queue::EventQueue;
use crate::session::{Action, Millis, PollId, Relayed, Session};

/// The events that a call from the owner's thread has caused.
pub type Updates = Batch;

/// A session with its connections, shared between the owner's thread and the I/O threads.
#[derive(Debug)]
pub struct SessionCell {
    /// The name of the session in events and calls.
    pub handle: u32,
    encoding: PollEncoding,
    /// The client takes no binary frames (`b64`).
    base64: bool,
    /// Whether the owner wants to see every packet: [`NO`], [`YES`], or [`UNSAID`].
    verbose: AtomicU8,
    /// The earliest time for which a timer is set; `u64::MAX` if there is none, [`TOLD`] if the owner ticks next.
    armed: AtomicU64,
    /// The timer, which belongs to its I/O thread.
    timer: Mutex<Option<Key>>,
    queue: EventQueue,
    tasks: Arc<dyn IoTasks>,
    inner: Mutex<Inner>,
    /// The place of the session in the native listener's registry.
    listed: Option<Box<Listed>>,
}

const NO: u8 = 0;
const YES: u8 = 1;

/// The owner has not said whether it wants packets. It sees those that come in, as it may be about to listen.
const UNSAID: u8 = 2;

/// Value of `SessionCell::armed`: the timer has run out and the owner has been told.
const TOLD: u64 = 0;

/// Value of `SessionCell::armed`: the owner has ticked, and the timer that would have done without it may still be set.
const LATE: u64 = u64::MAX - 1;

/// Bytes of a polling session's messages that the owner may have still to take. Above that its POSTs are not answered.
const MAX_OWED: usize = 1 << 20;

/// The first number of polls that a native listener serves. The owner's numbers stay below.
const OWN_POLLS: PollId = MAX_OWNER_POLL + 1;

/// The place of a session among those of a listener.
#[derive(Debug)]
pub(crate) struct Listed {
    registry: Arc<Registry<SessionCell>>,
    sid: String,
    /// Number of bytes of messages from POSTs that the owner has not taken.
    owed: AtomicUsize,
    settled: Notify,
    /// Number of bytes of answers that have not been written.
    unread: AtomicUsize,
    /// Tells the listener to destroy the POST that it reads.
    post_aborted: Notify,
}

/// The body of an answer that is on its way; counted while it lives.
#[derive(Debug)]
pub struct Unread {
    body: Vec<u8>,
    session: Arc<SessionCell>,
}

impl AsRef<[u8]> for Unread {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if let Some(listed) = &self.session.listed {
            listed.unread.fetch_sub(self.body.len(), SeqCst);
        }
    }
}

#[derive(Debug)]
pub struct Inner {
    pub machine: Session,
    transport: Option<Arc<dyn Channel>>,
    probe: Option<Arc<dyn Channel>>,
    responder: Option<(PollId, Responder)>,
    next_poll: PollId,
    /// The packet that ends the session, behind packets of the same payload that the owner has still to see.
    pub(super) put_off: Option<Box<PayloadEnd>>,
}

/// A packet of a payload that ends the session.
#[derive(Debug)]
pub(crate) enum PayloadEnd {
    /// Something other than a packet.
    Garbage,
    /// The client's close, or a heartbeat in the wrong direction.
    Packet(PacketType, Data<'static>),
    /// A packet that the owner, which listens to packets, has heard of; `None`: something other than a packet.
    Heard(Option<PacketType>),
}

/// A session under its lock, for one or more steps of its machine.
pub struct Locked<'a> {
    /// The session.
    pub cell: &'a Arc<SessionCell>,
    /// What the lock protects.
    pub inner: MutexGuard<'a, Inner>,
    /// What the steps so far have brought about.
    pub actions: Vec<Action>,
    /// The time of the steps.
    pub now: Millis,
    /// Whether the steps run on the owner's thread. Then commands reach the tasks of the I/O thread, because waking
    /// tasks from another thread one by one costs a system call each.
    by_owner: bool,
}

/// The parts of a new session.
#[derive(Debug)]
pub struct NewSession {
    /// The name of the session in events and calls.
    pub handle: u32,
    /// The state machine.
    pub machine: Session,
    /// How payloads are written.
    pub encoding: PollEncoding,
    /// The client takes no binary frames (`b64`).
    pub base64: bool,
    /// The connection that carries the session; none: it polls.
    pub transport: Option<Arc<dyn Channel>>,
    /// The table of the listener that serves the session's polls, and the id there.
    pub listed: Option<(Arc<Registry<SessionCell>>, String)>,
    /// Whether the owner wants to see every packet; `None` if it has not heard of the session.
    pub verbose: Option<bool>,
}

impl SessionCell {
    /// Makes a session, which is opened next.
    pub fn new(new: NewSession, queue: EventQueue, tasks: Arc<dyn IoTasks>) -> Arc<Self> {
        let NewSession { handle, machine, encoding, base64, transport, listed, verbose } = new;
        Arc::new(Self {
            handle,
            encoding,
            base64,
            verbose: AtomicU8::new(verbose.map_or(UNSAID, u8::from)),
            armed: AtomicU64::new(u64::MAX),
            timer: Mutex::default(),
            queue,
            tasks,
            inner: Mutex::new(Inner {
                machine,
                transport,
                probe: None,
                responder: None,
                next_poll: OWN_POLLS,
                put_off: None,
            }),
            listed: listed.map(|(registry, sid)| {
                Box::new(Listed {
                    registry,
                    sid,
                    owed: AtomicUsize::new(0),
                    settled: Notify::new(),
                    unread: AtomicUsize::new(0),
                    post_aborted: Notify::new(),
                })
            }),
        })
    }

    /// Makes the session known to its timer and the listener; `by_owner`: on the owner's thread. Its transport is the
    /// caller's to bind.
    pub fn open(self: &Arc<Self>, by_owner: bool) {
        if let Some(listed) = &self.listed {
            listed.registry.insert(listed.sid.clone(), self.clone());
        }
        let mut batch = Batch::default();
        let mut locked = self.lock(now());
        locked.by_owner = by_owner;
        locked.finish(&mut batch);
    }

    /// Whether packets that come in are shown to the owner.
    pub fn shows_packets(&self) -> bool {
        self.verbose.load(SeqCst) != NO
    }

    /// Has packets shown to the owner, or not.
    pub fn set_verbose(&self, verbose: bool) {
        self.verbose.store(u8::from(verbose), SeqCst);
    }

    /// Sets which heartbeats the owner sends.
    pub fn set_relayed(self: &Arc<Self>, relayed: Relayed) {
        let mut session = self.lock(now());
        session.inner.machine.set_relayed(relayed);
        // this step decides nothing, but the timer may belong to the I/O thread again
        session.finish(&mut Batch::default());
    }

    /// Whether frames must be text.
    pub fn wants_base64(&self) -> bool {
        self.base64
    }

    /// The id by which a listener finds the session; empty without a listener.
    pub fn sid(&self) -> &str {
        self.listed.as_ref().map_or("", |listed| &listed.sid)
    }

    /// How payloads are written.
    pub fn encoding(&self) -> &PollEncoding {
        &self.encoding
    }

    /// Whether the session's transport is HTTP long-polling, also while it closes.
    pub fn is_polling(self: &Arc<Self>) -> bool {
        self.lock(0).inner.machine.polls()
    }

    /// Locks the session for steps at `now`.
    pub fn lock(self: &Arc<Self>, now: Millis) -> Locked<'_> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { cell: self, inner, actions: Vec::new(), now, by_owner: false }
    }

    /// Runs steps from the owner's thread. Their events are returned, not queued.
    pub fn step(self: &Arc<Self>, steps: impl FnOnce(&mut Locked<'_>, &mut Updates)) -> Updates {
        let mut updates = Updates::default();
        let mut locked = self.lock(now());
        locked.by_owner = true;
        steps(&mut locked, &mut updates);
        locked.finish(&mut updates);
        updates
    }

    /// Runs steps from an I/O thread. Their events are queued for the owner.
    pub fn step_queued(self: &Arc<Self>, steps: impl FnOnce(&mut Locked<'_>, &mut Batch)) {
        let mut batch = Batch::default();
        let mut locked = self.lock(now());
        steps(&mut locked, &mut batch);
        locked.apply(&mut batch);
        // under the lock, so that the order of events is the order of steps
        let wake = self.queue.append_silently(&mut batch);
        locked.finish(&mut batch);
        debug_assert!(batch.is_empty(), "what was left out of the queue would be another session's");
        if wake {
            self.queue.wake();
        }
    }

    /// Called when the timer has run out. If the owner carries the session's bytes, only the owner can tell silence
    /// from unread data, so that it is told and ticks. A session that polls a native listener is ticked without the
    /// owner if the owner has not done so for a while.
    fn timer_fired(self: &Arc<Self>) {
        self.step_queued(|session, batch| {
            let overdue = session.inner.machine.is_overdue(session.now);
            if session.is_carried_by_owner() {
                let can_wait = self.listed.is_none() || !session.inner.machine.may_tick_alone();
                if !can_wait && self.armed.load(SeqCst) == TOLD {
                    // the owner has been busy since it was told; the requests of this client do not need it
                    self.armed.store(u64::MAX, SeqCst);
                    return session.inner.machine.tick_alone(session.now, &mut session.actions);
                }
                self.armed.store(TOLD, SeqCst);
                if !can_wait {
                    let late = session.now + session.inner.machine.patience();
                    self.tasks.arm(self.clone(), late, false);
                }
                return batch.push(Kind::Due, self.handle, if overdue { OVERDUE } else { 0 });
            }
            self.armed.store(u64::MAX, SeqCst);
            if overdue && session.inner.transport.as_ref().is_some_and(|channel| channel.take_unheard()) {
                session.inner.machine.excuse(session.now);
            }
            session.inner.machine.tick(session.now, &mut session.actions);
        });
    }

    /// Ticks, because the owner has read what waited, after [`Kind::Due`].
    pub fn tick_by_owner(self: &Arc<Self>) -> Updates {
        let _ = self.armed.compare_exchange(TOLD, LATE, SeqCst, SeqCst);
        self.step(|session, _| {
            session.inner.machine.excuse_if_late(session.now);
            session.inner.machine.tick(session.now, &mut session.actions);
        })
    }

    /// Charges the session for the events of a POST, see [`SessionCell::settled`].
    pub fn owe_post(&self, batch: &mut Batch) {
        if let Some(listed) = &self.listed {
            listed.owed.fetch_add(batch.charge_post(), SeqCst);
        }
    }

    /// Counts the bytes of an answer until the kernel has taken them.
    pub fn count_answer(self: &Arc<Self>, body: Vec<u8>) -> Unread {
        if let Some(listed) = &self.listed {
            listed.unread.fetch_add(body.len(), SeqCst);
        }
        Unread { body, session: self.clone() }
    }

    /// Bytes of answers on their way.
    pub fn unread_answers(&self) -> usize {
        self.listed.as_ref().map_or(0, |listed| listed.unread.load(SeqCst))
    }

    /// Notes that the owner has taken messages of this many bytes that came by POST.
    pub fn settle(&self, bytes: usize) {
        if let Some(listed) = &self.listed {
            let before = listed.owed.fetch_sub(bytes, SeqCst);
            if before > MAX_OWED && before.saturating_sub(bytes) <= MAX_OWED {
                listed.settled.notify_waiters();
            }
        }
    }

    /// Notified when the POST in progress has to be destroyed; `None` if no listener reads it.
    pub fn post_aborted(&self) -> Option<Notified<'_>> {
        self.listed.as_ref().map(|listed| listed.post_aborted.notified())
    }

    /// Whether the owner has too many events to take altogether.
    pub fn is_queue_full(&self) -> bool {
        self.queue.is_full()
    }

    /// Waits while it has.
    pub async fn has_room(&self) {
        self.queue.has_room().await;
    }

    /// Whether the owner has too many messages of this session's POSTs to take.
    pub fn is_overfed(&self) -> bool {
        self.listed.as_ref().is_some_and(|listed| listed.owed.load(SeqCst) > MAX_OWED)
    }

    /// Waits while it has, or while it has still to come to a packet of a POST that ends the session. A poll that this end
    /// has answered is then on its way.
    pub async fn settled(self: &Arc<Self>) {
        let Some(listed) = &self.listed else { return };
        loop {
            let settled = listed.settled.notified();
            let (is_settled, is_closed) = {
                let locked = self.lock(0);
                (locked.is_settled(), locked.inner.machine.is_closed())
            };
            match (is_settled, is_closed) {
                (true, true) => return self.answered().await,
                (true, false) => return,
                _ => settled.await,
            }
        }
    }

    /// Waits until the I/O thread has come to the answers to polls that were given before.
    async fn answered(&self) {
        let (responder, answer) = oneshot::channel();
        self.tasks.answer(responder, PollAnswer::Rejected, false);
        let _ = answer.await;
    }

    /// Has a POST that waits look again, see [`SessionCell::settled`].
    pub(super) fn tell_settled(&self) {
        if let Some(listed) = &self.listed {
            listed.settled.notify_waiters();
        }
    }
}

impl Alarm for SessionCell {
    fn timer(&self) -> &Mutex<Option<Key>> {
        &self.timer
    }

    fn ring(self: Arc<Self>) {
        self.timer_fired();
    }
}
