//! How a connection ends: in an orderly way, cut off, or behind what the owner has still to send. An end that the peer
//! brings about begins in `inbound`.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::connection::{Binding, Connection};
use super::end::End;
use super::outbox::{Ending, Outbox, Phase};
use super::pipe::Pipe;
use crate::runtime::owner::commands::Command;
use crate::runtime::owner::contract::{END_SHIFT, Kind};
use crate::runtime::owner::deferred_drop::free_later;
use crate::runtime::owner::events::Batch;
use crate::session::Fault;

impl Connection {
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

    /// Has our side end once the owner has heard that the session is over, which is reported next. Until then nothing
    /// is read, and data that the owner sends is sent. Returns false if the end has begun already; then it goes on with
    /// the next flush.
    pub(crate) fn put_off(&self, ending: Ending) -> bool {
        let mut outbox = self.outbox();
        let is_put_off = outbox.put_off(ending);
        if is_put_off {
            // under the lock: another thread may carry the end out next
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
        if !must_flush {
            // the peer's time to take what waits begins
            self.wake();
        }
        must_flush
    }

    /// Lets the reading task notice that the end has begun.
    pub fn begin_end(&self) {
        self.winds_up.store(false, SeqCst);
        self.wake();
    }

    /// Reports the end of the connection to its receiver. Called once, when nothing more comes.
    pub fn ended(self: &Arc<Self>) {
        let mut outbox = self.outbox();
        let is_complete = outbox.is_complete();
        let (code, reason) = outbox.peer_close();
        let reason = reason.to_vec();
        outbox.kill();
        self.unblock(&mut outbox);
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

    /// Drops the reference to the session, because the engine ends. Otherwise session and connection would keep each
    /// other.
    pub fn abandon(&self) {
        let mut current = self.bound();
        self.over.store(true, SeqCst);
        let binding = std::mem::replace(&mut current.to, Binding::Unbound);
        drop(current);
        drop(binding);
    }

    /// Refuses further frames, because this side cuts the connection off once the write in progress is over.
    pub fn begin_cut(&self) {
        let mut outbox = self.outbox();
        if outbox.phase == Phase::Open {
            self.cuts_next.store(true, SeqCst);
            outbox.refuse_frames();
        }
    }

    /// Notes that this side cuts the connection off, and whether data that was accepted is lost by that.
    pub fn note_cut(&self) {
        let outbox = self.outbox();
        let was_open = outbox.phase == Phase::Open || self.cuts_next.load(SeqCst);
        if was_open && (!outbox.has_nothing_else() || outbox.blocked) {
            self.lost.store(true, SeqCst);
        }
        self.note_end(End::CutOff);
    }

    /// Notes a cause of the end. The first one counts.
    pub(crate) fn note_end(&self, end: End) {
        let _ = self.end.compare_exchange(0, end.code(), SeqCst, SeqCst);
    }

    /// The fault of an end that has lost data which was accepted.
    pub(super) fn write_fault(&self) -> Option<Fault> {
        self.lost
            .load(SeqCst)
            .then(|| Fault::Write("the connection was destroyed before everything was written".to_owned()))
    }
}
