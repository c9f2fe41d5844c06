//! How our side of a connection ends.

use super::Outbox;
use super::frames::Frames;
use crate::runtime::owner::contract::NO_CLOSE_FRAME;
use crate::websocket::write_close;

/// How far the end of a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Frames go both ways.
    Open,
    /// Our close frame is in the buffer or out; the peer's is awaited.
    CloseSent,
    /// Both sides are done: the rest is written, our side is ended, and the peer's end is awaited.
    Ending,
    /// Our side of the connection has been ended.
    Ended,
    /// The connection has ended. Nothing is written any more.
    Dead,
}

/// How our side ends once the owner has heard that the session is over. Data that the owner sends until then goes out
/// before.
#[derive(Debug)]
pub enum Ending {
    /// The session is over: the closing handshake begins, see [`Outbox::close`].
    Session,
    /// The peer broke the protocol, see [`Outbox::fail`].
    Fault(u16),
    /// The peer's close frame came in, see [`Outbox::close_received`].
    CloseReceived(Option<u16>, Box<[u8]>),
    /// The peer has ended its side of the connection below.
    PeerEnded,
}

/// Stands for the code of a close frame without one (RFC 6455, 7.1.5).
const NO_CODE: u16 = 1005;

impl Outbox {
    /// The code and the reason of the peer's close frame, or the code that stands for a missing one.
    pub fn peer_close(&self) -> (u16, &[u8]) {
        // the frame may have come and still have to be answered
        if let Some(Ending::CloseReceived(code, reason)) = self.rare.as_ref().and_then(|rare| rare.ending.as_ref()) {
            return (code.unwrap_or(NO_CODE), reason);
        }
        let code = if self.heard_close { self.peer_code } else { NO_CLOSE_FRAME };
        (code, self.rare.as_ref().map_or(&[], |rare| &rare.peer_reason))
    }

    fn close_frame(&mut self, code: Option<u16>, reason: &[u8]) {
        self.count_frame();
        write_close(self.frames(), code, reason);
    }

    /// Starts the closing handshake from our side.
    pub fn close(&mut self, code: Option<u16>, reason: &[u8]) {
        if self.phase == Phase::Open {
            self.close_frame(code, reason);
            self.phase = Phase::CloseSent;
        }
        self.conclude();
    }

    /// Has our side end once the owner has heard of it. Data that the owner sends until then is sent. The first thing
    /// that the peer did counts. Returns false if the end has begun already; then it goes on.
    pub fn put_off(&mut self, ending: Ending) -> bool {
        self.has_peer_ended |= matches!(ending, Ending::PeerEnded);
        if self.phase != Phase::Open {
            self.carry_out(ending);
            return false;
        }
        let put_off = &mut self.rare.get_or_insert_default().ending;
        if matches!(put_off, None | Some(Ending::Session)) {
            *put_off = Some(ending);
        }
        true
    }

    /// Whether the end still has to be carried out when the owner has heard of it, and no thread does so or has been
    /// asked to.
    pub fn is_end_due(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.ending.is_some())
            || (self.phase == Phase::Ending && !self.dirty && !self.writing)
    }

    /// Carries the end out, because the owner has heard of it.
    pub fn conclude(&mut self) {
        if let Some(ending) = self.rare.as_mut().and_then(|rare| rare.ending.take()) {
            self.carry_out(ending);
        }
    }

    fn carry_out(&mut self, ending: Ending) {
        match ending {
            Ending::Session => self.close(None, &[]),
            Ending::Fault(code) => self.fail(code),
            Ending::CloseReceived(code, reason) => self.close_received(code, &reason),
            Ending::PeerEnded => self.end(),
        }
    }

    /// Handles the peer's close frame: echoes it if ours was not sent, and ends.
    pub fn close_received(&mut self, code: Option<u16>, reason: &[u8]) {
        if self.phase == Phase::Open {
            self.close_frame(code, reason);
        }
        self.heard_close = true;
        self.peer_code = code.unwrap_or(NO_CODE);
        if !reason.is_empty() {
            self.rare.get_or_insert_default().peer_reason = reason.to_vec();
        }
        self.end();
    }

    /// Sends the peer a close frame with a code, because it broke the protocol, and ends.
    pub fn fail(&mut self, code: u16) {
        if self.phase == Phase::Open {
            self.close_frame(Some(code), &[]);
        }
        self.end();
    }

    /// Has the rest written and our side ended.
    pub fn end(&mut self) {
        self.phase = self.phase.max(Phase::Ending);
    }

    /// Marks the connection as ended.
    pub fn kill(&mut self) {
        self.phase = Phase::Dead;
        self.started = None;
        self.bytes = Frames::default();
        if let Some(rare) = &mut self.rare {
            rare.ending = None;
            rare.relayed = None;
            if let Some(deflating) = &mut rare.deflating {
                deflating.pending = Vec::new();
            }
        }
    }
}
