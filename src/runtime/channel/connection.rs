//! One WebSocket connection: its socket or pipe, its outbox and the receiver of its messages.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use socket2::SockRef;

use super::end::End;
use super::open_count::Open;
use super::outbox::{Ending, Outbox, Phase};
use super::pipe::Pipe;
use super::socket::Stream;
use super::who_reads::WhoReads;
use crate::runtime::clock::now;
use crate::runtime::owner::commands::{self, Command};
use crate::runtime::owner::contract::{END_SHIFT, Kind, SendStatus};
use crate::runtime::owner::deferred_drop::free_later;
use crate::runtime::owner::events::Batch;
use crate::runtime::owner::queue::{EventQueue, Stalled};
use crate::runtime::session::cell::SessionCell;
use crate::runtime::session::channel::Channel;
use crate::session::{ChannelId, Fault, OutPacket, Revision};
use crate::websocket::{Decoder, Deflate};

/// The way to an I/O thread that serves connections.
pub type Commands = commands::Commands<Connection>;

/// Bytes of a connection's messages that the owner may have still to take. Above that the connection is not read.
const MAX_OWED: usize = 1 << 20;

/// Number of the owner's turns after which its listeners have answered a message. A listener answers at once or in the
/// next tick, which is over after one turn; the second is for safety.
const TURNS_TO_ANSWER: u32 = 2;

/// Above this many unwritten bytes a connection counts as congested: the owner waits for
/// [`Kind::Drained`] before it hands over more.
const CONGESTED: usize = 64 * 1024;

/// Bytes that the owner's thread writes by itself. Sending 16 KiB takes less than twice as long as sending one byte.
const LITTLE: usize = 16 * 1024;

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
    outbox: Mutex<Outbox>,
    pub(crate) pipe: OnceLock<Pipe>,
    /// The compressor of a connection with permessage-deflate; used while `Outbox::writing` is set.
    deflate: Option<Box<Mutex<Deflate>>>,
    /// The name of the connection in events and calls.
    pub handle: ChannelId,
    /// The first cause of the end, see [`End`]; 0 if there is none yet.
    end: AtomicU32,
    /// Receives what the owner has to know.
    pub queue: EventQueue,
    commands: Commands,
    bound: Mutex<Bound>,
    decoder: Mutex<Decoder>,
    /// Wakes the task that reads the socket.
    pub(crate) task: OnceLock<Waker>,
    /// Number of bytes of messages that the owner has not taken.
    owed: AtomicUsize,
    /// Number of bytes that were read from the socket. One thread at a time reads and writes this.
    read: AtomicU64,
    /// Number of the owner's turns that had ended when it took the last message, see [`EventQueue::end_turn`].
    taken_in: AtomicU32,
    /// The time of the last read or write, in ms plus 1; 0 if it is not noted. It wraps around after seven weeks, which
    /// is longer than any timeout.
    active: AtomicU32,
    pub(crate) who_reads: WhoReads,
    pub(crate) paused: AtomicBool,
    /// Whether the owner has kept the connection from being read since [`Channel::take_unheard`].
    fell_behind: AtomicBool,
    /// Whether reading waits until the peer has read what waits for it, see [`Connection::throttle`].
    pub(crate) throttled: AtomicBool,
    /// Whether the owner has stopped the reading, see [`Connection::stop_reading`].
    stopped: AtomicBool,
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
    is_stalled: AtomicBool,
    /// Whether the connection has ended.
    pub(crate) over: AtomicBool,
    /// Whether the connection was cut off before everything was written.
    lost: AtomicBool,
}

#[derive(Debug)]
struct Bound {
    to: Binding,
    /// The listener that counts the connection.
    counted: Option<Open>,
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
    /// A connection without a socket or pipe.
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

    fn bound(&self) -> MutexGuard<'_, Bound> {
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

    /// Has the owner carry the bytes, by [`Connection::take_output`] and [`Connection::input`].
    pub fn use_owner_pipe(&self) {
        let _ = self.pipe.set(Pipe::Owner);
    }

    /// Drops the reference to the session, because the engine ends. Otherwise session and connection would keep each
    /// other.
    pub fn abandon(&self) {
        let mut current = self.bound();
        self.over.store(true, SeqCst);
        let binding = std::mem::replace(&mut current.to, Binding::Unbound);
        drop(current);
        drop(binding);
    }

    /// The commands of the connection's I/O thread.
    pub fn commands(&self) -> &Commands {
        &self.commands
    }

    /// Lets the reading task notice that the end has begun.
    pub fn begin_end(&self) {
        self.winds_up.store(false, SeqCst);
        self.wake();
    }

    pub(crate) fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    // ---- flow control ------------------------------------------------------------------------

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

    /// Stops reading until the owner allows it again.
    pub fn stop_reading(&self, stop: bool) {
        self.stopped.store(stop, SeqCst);
        if !stop {
            self.wake();
        }
    }

    /// Reads on whatever the reason was to stop, because the end has begun. Returns whether there was a reason.
    pub(crate) fn read_to_the_end(&self) -> bool {
        let reasons = [&self.paused, &self.throttled, &self.stopped, &self.winds_up];
        reasons.map(|reason| reason.swap(false, SeqCst)).contains(&true)
    }

    // ---- what the owner's stream asks --------------------------------------------------------

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

    /// Counts bytes that were read from the socket. Called by the one thread that reads.
    pub(crate) fn count_read(&self, bytes: usize) {
        self.read.store(self.read.load(Relaxed) + bytes as u64, Relaxed);
        self.note_activity();
    }

    fn note_activity(&self) {
        if self.active.load(Relaxed) != 0 {
            self.active.store(stamp(), Relaxed);
        }
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

    /// Calls `f` with the socket, for its options and addresses, if there is one.
    pub fn with_socket<T>(&self, f: impl FnOnce(SockRef<'_>) -> io::Result<T>) -> io::Result<T> {
        let socket = self.pipe.get().and_then(Pipe::socket).ok_or(io::ErrorKind::NotConnected)?;
        f(socket)
    }

    /// Has the owner take frames from now on, see [`Outbox::relay`].
    pub fn relay(&self) {
        self.outbox().relay();
    }

    /// Notes that the peer is not read because of the owner.
    fn fall_behind(&self) {
        self.fell_behind.store(true, SeqCst);
    }

    /// Whether bytes that were read, or are read next, have to wait.
    pub fn is_held_up(&self) -> bool {
        self.is_paused() || self.has_undecoded.load(SeqCst)
    }

    /// Stops reading until the peer has read everything that waits for it, then reports [`Kind::Drained`].
    pub fn throttle(&self) {
        self.throttled.store(true, SeqCst);
        self.report_drain();
    }

    /// Reads on, because the peer has read what waited for it.
    fn unthrottle(&self) {
        if self.throttled.swap(false, SeqCst) {
            self.wake();
        }
    }

    /// Whether the owner's thread reads it.
    pub fn is_read_by_owner(&self) -> bool {
        self.who_reads.is_owner()
    }

    /// The descriptor of the socket.
    #[cfg(unix)]
    pub fn fd(&self) -> Option<std::os::fd::RawFd> {
        use std::os::fd::AsRawFd;
        self.pipe.get()?.socket().map(|socket| socket.as_raw_fd())
    }

    /// Whether the owner carries the bytes.
    pub(crate) fn is_piped(&self) -> bool {
        matches!(self.pipe.get(), Some(Pipe::Owner))
    }

    // ---- out ---------------------------------------------------------------------------------

    /// Lets `fill` append to the outbox and has it flushed. From the owner's thread prefer
    /// [`Connection::enqueue`] and one flush for many connections.
    pub fn write(self: &Arc<Self>, fill: impl FnOnce(&mut Outbox)) {
        let (_, dirty) = self.enqueue(fill);
        if dirty {
            self.commands.send(Command::Flush(self.clone()));
        }
    }

    /// Lets `fill` append to the outbox. If the second value is true, the caller has to arrange a
    /// [`Connection::flush`].
    pub fn enqueue(&self, fill: impl FnOnce(&mut Outbox)) -> (SendStatus, bool) {
        let mut outbox = self.outbox();
        if outbox.phase == Phase::Dead {
            return (SendStatus::Closed, false);
        }
        let accepted = match outbox.phase {
            Phase::Open => SendStatus::Flowing,
            _ => SendStatus::Closed,
        };
        fill(&mut outbox);
        let congested = outbox.blocked || outbox.unwritten() > CONGESTED;
        let must_flush = !outbox.dirty && !outbox.blocked;
        outbox.dirty = true;
        match accepted {
            SendStatus::Flowing if congested => (SendStatus::Congested, must_flush),
            accepted => (accepted, must_flush),
        }
    }

    /// Asks for [`Kind::Drained`] once everything handed over so far has been written. Returns the number of the
    /// request. The event has the number of the last request that it answers: an event of a smaller number was on its
    /// way before.
    pub fn report_drain(&self) -> u32 {
        let mut outbox = self.outbox();
        // 0 stands for none
        outbox.reports = outbox.reports.wrapping_add(1).max(1);
        let number = outbox.reports;
        if (outbox.is_clear() && !outbox.blocked) || outbox.phase == Phase::Dead {
            drop(outbox);
            self.unthrottle();
            self.queue.push(Kind::Drained, self.handle, number);
        } else {
            outbox.report_drain = true;
        }
        number
    }

    /// Reads the memory that [`Connection::flush`] is going to read.
    pub(crate) fn fetch(&self) {
        std::hint::black_box(self.outbox.is_poisoned());
    }

    /// Writes as much as the kernel takes. It may be called from any thread and never waits.
    pub fn flush(&self) {
        let Some(pipe) = self.pipe.get() else { return };
        let mut outbox = self.outbox();
        let dirty = std::mem::take(&mut outbox.dirty);
        if matches!(pipe, Pipe::Owner) {
            drop(outbox);
            if dirty {
                self.queue.push(Kind::PipeReady, self.handle, 0);
            }
            return;
        }
        if dirty && outbox.awaits_owner() {
            self.queue.push(Kind::PipeReady, self.handle, 0);
        }
        if outbox.writing || outbox.blocked {
            return;
        }
        loop {
            outbox = self.compress(outbox);
            let (bytes, written_before) = match outbox.started.take() {
                Some(started) => *started,
                None if outbox.bytes.is_empty() => break,
                None => (outbox.take_frames(), 0),
            };
            outbox.writing = true;
            let is_last = outbox.phase == Phase::Ending && outbox.has_nothing_else() && !outbox.is_relayed();
            drop(outbox);
            self.note_activity();
            let (written, result) = pipe.write(&bytes[written_before..], is_last);
            outbox = self.outbox();
            outbox.writing = false;
            let written = written_before + written;
            if written < bytes.len() && outbox.phase == Phase::Dead {
                self.lost.store(true, SeqCst);
            } else if written < bytes.len() {
                // the rest stays where it is: moving that of a large message at each write would cost more than the
                // writes
                outbox.started = Some(Box::new((bytes, written)));
            }
            match result {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    outbox.blocked = true;
                    self.wake();
                    return;
                }
                Err(error) => {
                    // the reading task ends the connection
                    self.note_end(End::WriteFailed(error.raw_os_error().unwrap_or_default()));
                    outbox.kill();
                    self.wake();
                    break;
                }
            }
        }
        self.after_write(outbox, pipe);
    }

    /// Writes on the owner's thread. Compressing and copying much is left to the I/O thread.
    pub fn flush_by_owner(self: &Arc<Self>) {
        // a connection that is not read yet is on its way to the I/O thread, which flushes it
        let is_new = self.task.get().is_none() && !self.is_piped();
        if is_new || self.compresses() || self.outbox().unwritten() > LITTLE {
            self.commands.send_by_owner(Command::Flush(self.clone()));
        } else {
            self.flush();
        }
    }

    /// Compresses waiting messages outside the lock.
    fn compress<'a>(&'a self, mut outbox: MutexGuard<'a, Outbox>) -> MutexGuard<'a, Outbox> {
        if let Some(deflate) = &self.deflate {
            while let Some(pending) = outbox.take_pending() {
                outbox.writing = true;
                drop(outbox);
                let frames = pending.compress(&mut deflate.lock().unwrap_or_else(PoisonError::into_inner));
                outbox = self.outbox();
                outbox.writing = false;
                outbox.compressed(&frames);
            }
        }
        outbox
    }

    /// Whether flushing compresses.
    pub fn compresses(&self) -> bool {
        self.deflate.is_some()
    }

    fn after_write(&self, mut outbox: MutexGuard<'_, Outbox>, pipe: &Pipe) {
        if outbox.phase == Phase::Ending && !outbox.is_relayed() {
            outbox.phase = Phase::Ended;
            pipe.shutdown(Shutdown::Write);
        }
        if outbox.phase != Phase::Open {
            self.wake();
        }
        let report_drain = std::mem::take(&mut outbox.report_drain);
        let number = outbox.reports;
        drop(outbox);
        if report_drain {
            self.unthrottle();
            self.queue.push(Kind::Drained, self.handle, number);
        }
    }

    /// Has our side end once the owner has heard that the session is over, which is reported next. Until then nothing
    /// is read, and data that the owner sends is sent. Returns false if the end has begun already; then it goes on with
    /// the next flush.
    pub(crate) fn put_off(&self, ending: Ending) -> bool {
        let is_put_off = self.outbox().put_off(ending);
        if is_put_off {
            self.winds_up.store(true, SeqCst);
        }
        is_put_off
    }

    /// Lets our side end, because the owner has heard that the session is over. The I/O thread does it, as it takes two
    /// or three system calls. Returns whether it has been asked; most ends are not put off.
    pub fn conclude(self: &Arc<Self>) -> bool {
        if !self.outbox().is_end_due() {
            self.winds_up.store(false, SeqCst);
            return false;
        }
        let must_flush = self.begin_put_off();
        if must_flush {
            self.commands.send_by_owner(Command::Flush(self.clone()));
        }
        must_flush
    }

    /// Begins the end that was put off. Returns whether a [`Connection::flush`] has to follow.
    pub(crate) fn begin_put_off(&self) -> bool {
        let (_, must_flush) = self.enqueue(Outbox::conclude);
        self.winds_up.store(false, SeqCst);
        must_flush
    }

    /// Closes in an orderly way; the peer has 30 s to answer.
    pub fn close(self: &Arc<Self>) {
        self.write(|outbox| outbox.close(None, &[]));
        self.begin_end();
    }

    /// Cuts the connection off.
    pub fn terminate(&self) {
        self.note_cut();
        self.outbox().kill();
        self.wake();
        if matches!(self.pipe.get(), Some(Pipe::Owner)) {
            self.queue.push(Kind::PipeReady, self.handle, 0);
        }
    }

    /// Cuts the connection off with a reset.
    pub fn reset(&self) {
        let _ = self.with_socket(|socket| socket.set_linger(Some(Duration::ZERO)));
        self.note_end(End::Reset);
        self.terminate();
    }

    /// Notes that this side cuts the connection off, and whether data that was accepted is lost by that.
    pub fn note_cut(&self) {
        let outbox = self.outbox();
        if outbox.phase == Phase::Open && (!outbox.has_nothing_else() || outbox.blocked) {
            self.lost.store(true, SeqCst);
        }
        self.note_end(End::CutOff);
    }

    /// Notes a cause of the end. The first one counts.
    pub(crate) fn note_end(&self, end: End) {
        let _ = self.end.compare_exchange(0, end.code(), SeqCst, SeqCst);
    }

    /// The fault of an end that has lost data which was accepted.
    fn write_fault(&self) -> Option<Fault> {
        self.lost
            .load(SeqCst)
            .then(|| Fault::Write("the connection was destroyed before everything was written".to_owned()))
    }

    // ---- the owner's pipe --------------------------------------------------------------------

    /// The bytes to write, and how far the connection's end has come. They count as written, unless
    /// [`Connection::block_output`] follows.
    pub fn take_output(&self) -> (Vec<u8>, Phase) {
        let mut outbox = self.compress(self.outbox());
        outbox.dirty = false;
        let phase = outbox.phase;
        if outbox.bytes.is_empty() {
            if phase == Phase::Ending {
                outbox.phase = Phase::Ended;
            }
            return (Vec::new(), phase);
        }
        let bytes = outbox.take_frames().into_vec();
        drop(outbox);
        if phase == Phase::Ending {
            // the end of our side comes next
            self.queue.push(Kind::PipeReady, self.handle, 0);
        }
        (bytes, phase)
    }

    /// Notes that what [`Connection::take_output`] gave waits in the owner's stream. Until
    /// [`Connection::output_written`] the peer counts as slow.
    pub fn block_output(&self) {
        self.outbox().blocked = true;
    }

    /// Notes that what was taken has been written. Returns whether that was all; otherwise the owner takes the rest
    /// next.
    pub fn output_written(&self) -> bool {
        let mut outbox = self.outbox();
        outbox.blocked = false;
        if !outbox.is_clear() || outbox.phase == Phase::Ending {
            return false;
        }
        if std::mem::take(&mut outbox.report_drain) {
            let number = outbox.reports;
            drop(outbox);
            self.unthrottle();
            self.queue.push(Kind::Drained, self.handle, number);
        }
        true
    }

    /// Handles bytes from the owner's pipe. The owner drains next. `batch` is empty and stays so.
    pub fn input(self: &Arc<Self>, bytes: &mut [u8], batch: &mut Batch) {
        self.receive(bytes, batch);
        self.queue.append_silently(batch);
    }

    /// Handles the end of the peer's side: the owner's answers to earlier messages go out, then our side is ended, too.
    /// Returns whether nothing is awaited. `batch` as in [`Connection::input`].
    pub fn input_ended(self: &Arc<Self>, batch: &mut Batch) -> bool {
        let is_over = self.peer_ended(batch);
        self.queue.append_silently(batch);
        is_over
    }

    /// Reports the end of the connection to its receiver. Called once, when nothing more comes.
    pub fn ended(self: &Arc<Self>) {
        let mut outbox = self.outbox();
        let is_complete = outbox.is_complete();
        let (code, reason) = outbox.peer_close();
        let reason = reason.to_vec();
        outbox.kill();
        drop(outbox);
        self.note_end(if is_complete { End::Closed } else { End::CutOff });
        let end = self.end.load(SeqCst);
        // a reset must not be preceded by a FIN
        if let (Some(pipe), false) = (self.pipe.get(), is_complete || end == End::Reset.code()) {
            pipe.shutdown(Shutdown::Both);
        }
        let mut current = self.bound();
        self.over.store(true, SeqCst);
        let binding = std::mem::replace(&mut current.to, Binding::Unbound);
        let counted = current.counted.take();
        drop(current);
        let mut batch = Batch::default();
        self.report_closed_to(binding, self.write_fault(), &mut batch);
        let arg = end << END_SHIFT | u32::from(code);
        if reason.is_empty() {
            batch.push(Kind::ConnectionEnded, self.handle, arg);
        } else {
            batch.push_bytes(Kind::ConnectionEnded, self.handle, arg, &reason);
        }
        self.queue.append(&mut batch);
        drop(counted);
        free_later(self);
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

impl Commands {
    /// Has a connection's outbox written, see [`commands::Commands::mark_for_flush`].
    pub fn mark(&self, connection: &Arc<Connection>) -> usize {
        self.mark_for_flush(connection, connection.is_piped())
    }
}

/// The time in ms plus 1, in the range of `Connection::active`; never 0.
fn stamp() -> u32 {
    ((now() + 1) as u32).max(1)
}
