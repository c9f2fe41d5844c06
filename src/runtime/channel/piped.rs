//! A connection whose bytes the owner carries (TLS sockets and other streams that only JavaScript can read).

use std::sync::Arc;

use super::connection::Connection;
use super::outbox::Phase;
use super::pipe::Pipe;
use crate::runtime::owner::contract::Kind;
use crate::runtime::owner::counts::count;
use crate::runtime::owner::events::Batch;

impl Connection {
    /// Has the owner carry the bytes, by [`Connection::take_output`] and [`Connection::input`].
    pub fn use_owner_pipe(&self) {
        let _ = self.pipe.set(Pipe::Owner);
    }

    /// Whether the owner carries the bytes.
    pub(crate) fn is_piped(&self) -> bool {
        matches!(self.pipe.get(), Some(Pipe::Owner))
    }

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
        let frames = outbox.take_frame_count();
        let bytes = outbox.take_frames().into_vec();
        drop(outbox);
        count(|counts| {
            counts.frames_sent.add(frames);
            counts.bytes_sent.add(bytes.len());
        });
        if phase == Phase::Ending {
            // the end of our side comes next
            self.queue.push(Kind::PipeReady, self.handle, 0);
        }
        (bytes, phase)
    }

    /// Notes that what [`Connection::take_output`] gave waits in the owner's stream. Until
    /// [`Connection::output_written`] the peer counts as slow.
    pub fn block_output(&self) {
        self.block(&mut self.outbox());
    }

    /// Notes that what was taken has been written. Returns whether that was all; otherwise the owner takes the rest
    /// next, or ends our side.
    pub fn output_written(&self) -> bool {
        let mut outbox = self.outbox();
        self.unblock(&mut outbox);
        if !outbox.is_clear() {
            return false;
        }
        let is_ending = outbox.phase == Phase::Ending;
        if std::mem::take(&mut outbox.report_drain) {
            self.tell_drained(outbox);
        }
        !is_ending
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
}
