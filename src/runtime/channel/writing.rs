//! What goes out: frames are appended to the outbox, compressed and written.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::connection::{Commands, Connection};
use super::end::End;
use super::outbox::{Outbox, Phase};
use super::pipe::Pipe;
use crate::runtime::owner::commands::Command;
use crate::runtime::owner::contract::{Kind, SendStatus};
use crate::runtime::owner::counts::count;
use crate::runtime::owner::events::EVENT_COST;

/// Above this many unwritten bytes a connection counts as congested: the owner waits for
/// [`Kind::Drained`] before it hands over more.
const CONGESTED: usize = 64 * 1024;

/// Bytes that the owner's thread writes by itself. Sending 16 KiB takes less than twice as long as sending one byte.
const LITTLE: usize = 16 * 1024;

impl Connection {
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
            self.tell_drained(outbox);
        } else {
            outbox.report_drain = true;
        }
        number
    }

    /// Tells the owner that everything is written. It may have waited for that to send more, so that the event counts
    /// as something that it has to answer, see [`Connection::is_answered`].
    pub(super) fn tell_drained(&self, outbox: MutexGuard<'_, Outbox>) {
        let number = outbox.reports;
        // under the lock, so that a thread that finds no request any more finds the charge
        self.owe(EVENT_COST);
        drop(outbox);
        self.unthrottle();
        self.queue.with(|batch| {
            batch.push(Kind::Drained, self.handle, number);
            batch.charge(self.handle);
        });
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
            let frames = outbox.take_frame_count();
            let is_last = outbox.phase == Phase::Ending && outbox.has_nothing_else() && !outbox.is_relayed();
            drop(outbox);
            self.note_activity();
            let unwritten = &bytes[written_before..];
            // before the peer can know of them
            count(|counts| {
                counts.frames_sent.add(frames);
                counts.bytes_sent.add(unwritten.len());
            });
            let (written, result) = pipe.write(unwritten, is_last);
            if written < unwritten.len() {
                count(|counts| counts.bytes_sent.take_back(unwritten.len() - written));
            }
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
                    self.block(&mut outbox);
                    self.wake();
                    return;
                }
                Err(error) => {
                    // the reading task ends the connection
                    self.note_end(End::WriteFailed(error.raw_os_error().unwrap_or_default()));
                    if outbox.has_peer_ended {
                        // as in the original, what was sent counts as lost, not as written
                        self.lost.store(true, SeqCst);
                        outbox.report_drain = false;
                    }
                    outbox.kill();
                    self.wake();
                    break;
                }
            }
        }
        self.after_write(outbox, pipe);
    }

    /// Writes what waits on the owner's thread, as far as the kernel takes it now. Compressing much is left to the I/O
    /// thread. Returns whether that was all; `None` if another thread is writing, or has to compress first.
    pub fn flush_now(self: &Arc<Self>) -> Option<bool> {
        let mut outbox = self.outbox();
        if outbox.awaits_compression() && outbox.unwritten() > LITTLE && !outbox.blocked {
            // a thread that was asked before compresses this, too
            if std::mem::take(&mut outbox.dirty) {
                self.commands.send(Command::Flush(self.clone()));
            }
            return None;
        }
        drop(outbox);
        self.flush();
        let outbox = self.outbox();
        (!outbox.writing).then(|| outbox.is_clear() && outbox.phase != Phase::Dead)
    }

    /// Writes what waits, as far as the kernel takes it now, and returns the number of bytes that it does not take.
    /// Compressing is left to the I/O thread. Little that waits for a thread which is writing counts as taken: the kernel
    /// has refused nothing, and that thread writes it next.
    pub fn refused(&self) -> usize {
        if !self.compresses() {
            self.flush();
        }
        let outbox = self.outbox();
        let unwritten = outbox.unwritten();
        if outbox.writing && !outbox.blocked && unwritten <= LITTLE { 0 } else { unwritten }
    }

    /// Notes that the peer does not take what is to be written.
    pub(super) fn block(&self, outbox: &mut Outbox) {
        outbox.blocked = true;
        if outbox.phase != Phase::Dead {
            self.queue.note_blocked(self.handle, true);
        }
        count(|counts| counts.congestions.add(1));
    }

    /// Notes that the peer takes more, or never will.
    pub(super) fn unblock(&self, outbox: &mut Outbox) {
        if std::mem::take(&mut outbox.blocked) {
            self.queue.note_blocked(self.handle, false);
        }
    }

    /// Writes on, because the kernel takes more. Returns whether it has refused again.
    pub(crate) fn flush_blocked(&self) -> bool {
        self.unblock(&mut self.outbox());
        self.flush();
        self.outbox().blocked
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

    fn after_write(&self, mut outbox: MutexGuard<'_, Outbox>, pipe: &Pipe) {
        if outbox.phase == Phase::Ending && !outbox.is_relayed() {
            outbox.phase = Phase::Ended;
            pipe.shutdown(Shutdown::Write);
        }
        if outbox.phase != Phase::Open {
            self.wake();
        }
        if std::mem::take(&mut outbox.report_drain) {
            self.tell_drained(outbox);
        }
    }

    /// Compresses waiting messages outside the lock.
    pub(super) fn compress<'a>(&'a self, mut outbox: MutexGuard<'a, Outbox>) -> MutexGuard<'a, Outbox> {
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
}

impl Commands {
    /// Has a connection's outbox written, see [`commands::Commands::mark_for_flush`].
    pub fn mark(&self, connection: &Arc<Connection>) -> usize {
        self.mark_for_flush(connection, connection.is_piped())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::runtime::{Batch, EventQueue, MessageCompression};
    use crate::websocket::deflate::{Options, negotiate};
    use crate::websocket::{Decoder, Deflate, Limits, OpCode};

    /// A connection whose I/O thread does nothing. Messages of at least `deflate_from` bytes are compressed.
    fn connect(deflate_from: Option<usize>) -> (Arc<Connection>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let queue = EventQueue::new(|| {});
        let decoder = Decoder::new(Limits::default());
        let compression = deflate_from.map(|from| {
            let agreement = negotiate("permessage-deflate", &Options::default()).unwrap().unwrap();
            MessageCompression { deflate: Deflate::new(&agreement, 6), from }
        });
        let connection = Connection::new(1, queue, Commands::default(), decoder, compression);
        connection.use_socket(OwnedFd::from(ours).into());
        (connection, theirs)
    }

    #[test]
    fn an_answered_request_for_drained_is_charged_before_it_is_seen_to_be_answered() {
        let (connection, _peer) = connect(None);
        connection.enqueue(|outbox| outbox.message(OpCode::Text, b"4", b"a"));
        connection.report_drain();
        let mut writer = None;
        connection.queue.with_silently(|_| {
            // it waits for the queue when it has written
            let connection = connection.clone();
            writer = Some(std::thread::spawn({
                let connection = connection.clone();
                move || connection.flush()
            }));
            while connection.outbox().is_used_by_owner() {
                std::thread::yield_now();
            }
            assert!(!connection.is_answered());
        });
        writer.unwrap().join().unwrap();
        let batch = connection.queue.take(Batch::default());
        assert_eq!(batch.events.iter().map(|event| event.kind).collect::<Vec<_>>(), [Kind::Drained]);
        connection.settle(batch.cost(&batch.events[0]));
        assert_eq!(connection.owed.load(SeqCst), 0, "it is charged once");
    }

    #[test]
    fn little_that_another_thread_writes_next_is_not_refused() {
        let (connection, _peer) = connect(None);
        let send = |length: usize| connection.enqueue(|outbox| outbox.message(OpCode::Text, b"4", &vec![b'a'; length]));
        connection.outbox().writing = true;
        send(10);
        assert!(connection.outbox().unwritten() > 0);
        assert_eq!(connection.refused(), 0);
        connection.outbox().blocked = true;
        assert_eq!(connection.refused(), connection.outbox().unwritten());
        connection.outbox().blocked = false;
        send(LITTLE);
        assert_eq!(connection.refused(), connection.outbox().unwritten());
        connection.outbox().writing = false;
        assert_eq!(connection.refused(), 0);
    }

    #[test]
    fn the_owners_thread_compresses_little_and_leaves_much_to_the_io_thread() {
        let (connection, _peer) = connect(Some(1));
        connection.enqueue(|outbox| outbox.message(OpCode::Text, b"4", &[b'a'; 1000]));
        assert_eq!(connection.flush_now(), Some(true));
        connection.enqueue(|outbox| outbox.message(OpCode::Text, b"4", &[b'a'; LITTLE]));
        for _ in 0..2 {
            assert_eq!(connection.flush_now(), None);
            assert_eq!(connection.outbox().unwritten(), 1 + LITTLE);
        }
        let mut commands = Vec::new();
        connection.commands().take(&mut commands, &mut Vec::new());
        assert!(matches!(&commands[..], [Command::Flush(_)]), "it has been asked once");
        // what that thread does
        connection.flush();
        assert_eq!(connection.flush_now(), Some(true));
    }
}
