//! The engine's own listener: what its connections and sessions have in common.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, Semaphore};

use super::coalesced_stream::HttpState;
use super::settings::Settings;
use crate::runtime::contract::Refusal;
use crate::runtime::{Commands, CountsOpen, EventQueue, Handles, Kind, Open, Registry, now};
use crate::session::{IdGenerator, Millis};

/// The parts of a listener.
#[derive(Debug)]
pub struct ListenerOptions {
    /// The owner's handle of the listener.
    pub handle: u32,
    /// How requests are served.
    pub settings: Settings,
    /// Receives what the owner has to know.
    pub queue: EventQueue,
    /// The I/O thread that serves the listener.
    pub commands: Commands,
    /// The handles of sessions that are opened here.
    pub sessions: Handles,
    /// The handles of their connections.
    pub connections: Handles,
}

/// Number of sessions of which the owner may not have heard. Above that no more are opened, and their handshakes wait.
/// As many refusals may wait to be reported; further ones are not reported.
const MAX_UNTAKEN: usize = 1024;

/// Accepts connections and serves their requests.
#[derive(Debug)]
pub struct Listener {
    pub(super) options: ListenerOptions,
    /// The sessions that the listener serves, by their ids.
    pub registry: Arc<Registry>,
    ids: Mutex<IdGenerator>,
    /// Places among the sessions of which the owner has not heard.
    pub(super) places: Arc<Semaphore>,
    takes_upgrades: AtomicBool,
    /// While new sessions are refused, the time at which clients may try again; otherwise 0.
    drained_at: AtomicU64,
    pub(super) tells_refusals: AtomicBool,
    /// Places among the refusals of which the owner has not heard.
    pub(super) places_of_refusals: Arc<Semaphore>,
    /// How often a request was refused: by a [`Refusal`], and as a WebSocket handshake.
    refusals: [AtomicU32; Refusal::ALL.len() + 1],
    /// How often a connection was ended that did not begin with a proxy's header.
    invalid_proxy_headers: AtomicU32,
    /// Number of open connections, plus one while the listener accepts more.
    open: AtomicUsize,
    /// Sockets that listen.
    pub(super) accepting: AtomicUsize,
    /// Number of times that the listener was closed. It may be bound again.
    pub(super) closes: AtomicUsize,
    pub(super) closed: Notify,
}

/// Both ends of a connection that speaks HTTP.
#[derive(Debug)]
pub(super) struct OpenConnection {
    pub(super) open: Open<Listener>,
    pub(super) state: Arc<HttpState>,
    /// Address and port of the client's end, then of ours, each followed by NUL; empty for a UNIX socket.
    pub text: Box<str>,
}

/// The listener is not fully closed while anything is open.
impl CountsOpen for Listener {
    fn opened(&self) {
        self.open.fetch_add(1, SeqCst);
    }

    fn closed(&self) {
        if self.open.fetch_sub(1, SeqCst) == 1 {
            self.options.queue.push(Kind::ListenerClosed, self.options.handle, 0);
        }
    }
}

impl Listener {
    /// A listener that does not listen yet.
    pub fn new(options: ListenerOptions) -> Arc<Self> {
        Arc::new(Self {
            options,
            registry: Arc::default(),
            ids: Mutex::default(),
            places: Arc::new(Semaphore::new(MAX_UNTAKEN)),
            takes_upgrades: AtomicBool::new(true),
            drained_at: AtomicU64::new(0),
            tells_refusals: AtomicBool::new(false),
            places_of_refusals: Arc::new(Semaphore::new(MAX_UNTAKEN)),
            refusals: std::array::from_fn(|_| AtomicU32::new(0)),
            invalid_proxy_headers: AtomicU32::new(0),
            open: AtomicUsize::new(0),
            accepting: AtomicUsize::new(0),
            closes: AtomicUsize::new(0),
            closed: Notify::new(),
        })
    }

    /// Counts a refusal; `None`: as a WebSocket handshake.
    pub(super) fn count_refusal(&self, refusal: Option<Refusal>) {
        let [engine @ .., handshake] = &self.refusals;
        refusal.and_then(|refusal| engine.get(refusal as usize)).unwrap_or(handshake).fetch_add(1, Relaxed);
    }

    /// Counts a connection that should have begun with a proxy's header, and did not.
    pub(super) fn count_invalid_proxy_header(&self) {
        self.invalid_proxy_headers.fetch_add(1, Relaxed);
    }

    /// How often requests were refused: by the reasons in the order of [`Refusal::ALL`], as a WebSocket handshake, and
    /// for want of a proxy's header.
    pub fn refusals(&self) -> Vec<u32> {
        self.refusals.iter().chain([&self.invalid_proxy_headers]).map(|count| count.load(Relaxed)).collect()
    }

    /// Whether WebSockets are accepted.
    pub fn set_takes_upgrades(&self, takes: bool) {
        self.takes_upgrades.store(takes, SeqCst);
    }

    pub(super) fn takes_upgrades(&self) -> bool {
        self.takes_upgrades.load(SeqCst)
    }

    /// Refuses new sessions from now on. Their clients are told to try again after `patience` ms.
    pub fn drain(&self, patience: Millis) {
        self.drained_at.store(now().saturating_add(patience).max(1), SeqCst);
    }

    /// Whether new sessions are refused, because the owner is about to stop.
    pub(super) fn is_draining(&self) -> bool {
        self.drained_at.load(SeqCst) != 0
    }

    /// The seconds after which a client may try again whose session was refused; at least 1.
    pub(super) fn retry_after(&self) -> u64 {
        self.drained_at.load(SeqCst).saturating_sub(now()).div_ceil(1000).max(1)
    }

    /// Makes an id for a new session; `None` if the system gives no random bytes.
    pub(super) fn next_id(&self) -> Option<String> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).next_id().ok()
    }

    /// Number of open connections, plus one while the listener accepts more.
    pub fn open_connections(&self) -> usize {
        self.open.load(SeqCst)
    }

    /// Stops accepting, ends idle connections and lets the others finish.
    pub fn close(&self) {
        self.closes.fetch_add(1, SeqCst);
        self.closed.notify_waiters();
    }

    /// Whether it has a listening socket. It has one for a moment after it was closed.
    pub fn is_accepting(&self) -> bool {
        self.accepting.load(SeqCst) > 0
    }
}
