//! One WebSocket connection: its pipe, its outbox and the receiver of its messages. What it does stands in
//! the files beside this one: `inbound`, `flow`, `writing`, `piped`, `closing` and `activity`.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use socket2::SockRef;

use super::open_count::Open;
use super::outbox::{Ending, Outbox};
use super::pipe::Pipe;
use super::socket::Stream;
#[cfg(feature = "owner-reads")]
use super::who_reads::WhoReads;
use crate::runtime::owner::commands;
use crate::runtime::owner::queue::EventQueue;
use crate::runtime::session::cell::SessionCell;
use crate::runtime::session::channel::Channel;
use crate::session::{ChannelId, OutPacket, Revision};
use crate::websocket::{Decoder, Deflate};

/// The way to an I/O thread that serves connections.
pub type Commands = commands::Commands<Connection>;

/// Number of the owner's turns after which its listeners have answered a message. A listener answers at once or in the
/// next tick, which is over after one turn; the second is for safety.
pub(super) const TURNS_TO_ANSWER: u32 = 2;

/// The receiver of a connection's messages.
#[derive(Clone, Debug)]
pub enum Binding {
    /// There is no receiver yet. The connection is not read, so that nothing is lost.
    Unbound,
    /// JavaScript, message by message.
    Owner,
    /// A session: as its transport or as a probe.
    Session(Arc<SessionCell>),
}

/// One WebSocket connection. The order of the fields matters: those that an outgoing message touches lie close to the
/// counts of the `Arc`, so that they are fetched together from the other thread's cache.
#[derive(Debug)]
#[repr(C)]
pub struct Connection {
    pub(super) outbox: Mutex<Outbox>,
    pub(crate) pipe: OnceLock<Pipe>,
    /// The compressor of a connection with permessage-deflate; used while `Outbox::writing` is set.
    pub(super) deflate: Option<Box<Mutex<Deflate>>>,
    /// The name of the connection in events and calls.
    pub handle: ChannelId,
    /// The first cause of the end, see [`End`]; 0 if there is none yet.
    pub(super) end: AtomicU32,
    /// Receives what the owner has to know.
    pub queue: EventQueue,
    pub(super) commands: Commands,
    pub(super) bound: Mutex<Bound>,
    pub(super) decoder: Mutex<Decoder>,
    /// Wakes the task that reads the socket.
    pub(crate) task: OnceLock<Waker>,
    /// Number of bytes of messages that the owner has not taken.
    pub(super) owed: AtomicUsize,
    /// Number of bytes that were read from the socket. One thread at a time reads and writes this.
    pub(super) read: AtomicU64,
    /// Number of the owner's turns that had ended when it took the last message, see [`EventQueue::end_turn`].
    pub(super) taken_in: AtomicU32,
    /// The time of the last read or write, in ms plus 1; 0 if it is not noted. It wraps around after seven weeks, which
    /// is longer than any timeout.
    pub(super) active: AtomicU32,
    #[cfg(feature = "owner-reads")]
    pub(crate) who_reads: WhoReads,
    pub(crate) paused: AtomicBool,
    /// Whether the owner has kept the connection from being read since [`Channel::take_unheard`].
    pub(super) fell_behind: AtomicBool,
    /// Whether reading waits until the peer has read what waits for it, see [`Connection::throttle`].
    pub(crate) throttled: AtomicBool,
    /// Whether the owner has stopped the reading, see [`Connection::stop_reading`].
    pub(super) stopped: AtomicBool,
    /// Whether the owner gets the bytes that come in, see [`Connection::tap`].
    pub(crate) tapped: AtomicBool,
    /// Whether the owner hears of ping and pong frames.
    pub(crate) shows_control: AtomicBool,
    /// Whether the owner gets a session's messages undecoded, see [`Connection::show_messages`].
    pub(crate) shows_messages: AtomicBool,
    /// Whether reading waits until the owner has heard that the session is over, see [`Connection::put_off`].
    pub(crate) winds_up: AtomicBool,
    /// Whether the decoder has more messages.
    pub(crate) has_undecoded: AtomicBool,
    /// Whether reading waits until the owner has taken the events of all connections, see [`EventQueue::stalls`].
    pub(super) is_stalled: AtomicBool,
    /// Whether the connection has ended.
    pub(crate) over: AtomicBool,
    /// Whether the owner cuts the connection off once the write in progress is over.
    pub(super) cuts_next: AtomicBool,
    /// Whether the connection was cut off before everything was written.
    pub(super) lost: AtomicBool,
}

#[derive(Debug)]
pub(super) struct Bound {
    pub(super) to: Binding,
    /// The listener that counts the connection.
    pub(super) counted: Option<Open>,
}

/// The sending side of permessage-deflate.
#[derive(Debug)]
pub struct MessageCompression {
    /// The compressor.
    pub deflate: Deflate,
    /// Messages below this many bytes are sent as they are.
    pub from: usize,
}

impl Connection {
    /// A connection without a pipe.
    pub fn new(
        handle: ChannelId,
        queue: EventQueue,
        commands: Commands,
        decoder: Decoder,
        compression: Option<MessageCompression>,
    ) -> Arc<Self> {
        let (deflate, deflate_from) = compression.map(|c| (Box::new(Mutex::new(c.deflate)), c.from)).unzip();
        let long_ago = queue.turns().wrapping_sub(TURNS_TO_ANSWER);
        Arc::new(Self {
            handle,
            queue,
            commands,
            pipe: OnceLock::new(),
            outbox: Mutex::new(Outbox::new(deflate_from)),
            deflate,
            bound: Mutex::new(Bound { to: Binding::Unbound, counted: None }),
            decoder: Mutex::new(decoder),
            task: OnceLock::new(),
            #[cfg(feature = "owner-reads")]
            who_reads: WhoReads::default(),
            owed: AtomicUsize::new(0),
            read: AtomicU64::new(0),
            taken_in: AtomicU32::new(long_ago),
            active: AtomicU32::new(0),
            paused: AtomicBool::new(true),
            fell_behind: AtomicBool::new(false),
            throttled: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            tapped: AtomicBool::new(false),
            shows_control: AtomicBool::new(false),
            shows_messages: AtomicBool::new(false),
            winds_up: AtomicBool::new(false),
            has_undecoded: AtomicBool::new(false),
            is_stalled: AtomicBool::new(false),
            over: AtomicBool::new(false),
            cuts_next: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            end: AtomicU32::new(0),
        })
    }

    /// Keeps the listener from being fully closed while the connection is open.
    pub fn keep(&self, counted: Open) {
        self.bound().counted = Some(counted);
    }

    /// Locks what waits to be written.
    pub fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn decoder(&self) -> MutexGuard<'_, Decoder> {
        self.decoder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the connection belongs to.
    pub fn binding(&self) -> Binding {
        self.bound().to.clone()
    }

    pub(super) fn bound(&self) -> MutexGuard<'_, Bound> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the receiver of the messages, and starts reading.
    pub fn bind(self: &Arc<Self>, binding: Binding) {
        let mut current = self.bound();
        let over = self.over.load(SeqCst);
        if !over {
            current.to = binding.clone();
        }
        drop(current);
        if over {
            // the peer was quicker, and its end has not been reported
            if let Binding::Session(cell) = binding {
                cell.step_queued(|session, batch| {
                    session.channel_closed(self.handle, self.write_fault(), batch);
                });
            }
            return;
        }
        self.paused.store(false, SeqCst);
        self.wake();
    }

    /// Sets the connection's socket, before it is read.
    pub fn use_socket(&self, stream: Stream) {
        let _ = self.pipe.set(Pipe::Socket(stream));
    }

    /// The commands of the connection's I/O thread.
    pub fn commands(&self) -> &Commands {
        &self.commands
    }

    pub(crate) fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// Starts or stops reporting a copy of everything that comes in, by [`Kind::Bytes`].
    pub fn tap(&self, tap: bool) {
        self.tapped.store(tap, SeqCst);
    }

    /// Has ping and pong frames reported by [`Kind::ControlFrame`].
    pub fn show_control_frames(&self) {
        self.shows_control.store(true, SeqCst);
    }

    /// Has a session's messages reported undecoded by [`Kind::ConnectionMessage`], also those that the session would
    /// drop. The owner decodes them and tells the session of the packets.
    pub fn show_messages(&self) {
        self.shows_messages.store(true, SeqCst);
    }

    /// Calls `f` with the socket, for its options and addresses, if there is one.
    pub fn with_socket<T>(&self, f: impl FnOnce(SockRef<'_>) -> io::Result<T>) -> io::Result<T> {
        let socket = self.pipe.get().and_then(Pipe::socket).ok_or(io::ErrorKind::NotConnected)?;
        f(socket)
    }

    /// Has the owner take frames from now on, see [`Outbox::relay`].
    pub fn relay(&self) {
        self.outbox().relay();
    }

    /// The descriptor of the socket.
    #[cfg(unix)]
    pub fn fd(&self) -> Option<std::os::fd::RawFd> {
        use std::os::fd::AsRawFd;
        self.pipe.get()?.socket().map(|socket| socket.as_raw_fd())
    }
}

impl Channel for Connection {
    fn id(&self) -> ChannelId {
        self.handle
    }

    fn send(self: Arc<Self>, packets: &[OutPacket], revision: Revision, base64: bool) {
        self.write(|outbox| outbox.packets(packets, revision, base64));
    }

    fn close(self: Arc<Self>) {
        Connection::close(&self);
    }

    fn close_behind_owner(&self) {
        self.put_off(Ending::Session);
    }

    fn owe(&self, bytes: usize) {
        Connection::owe(self, bytes);
    }

    fn take_unheard(&self) -> bool {
        self.fell_behind.swap(false, SeqCst) || self.paused.load(SeqCst)
    }

    fn is_carried_by_owner(&self) -> bool {
        self.is_piped()
    }
}
