//! From received bytes to a session's inputs and the owner's events.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::connection::{Binding, Connection};
use super::outbox::Ending;
use crate::runtime::clock::now;
use crate::runtime::owner::commands::Command;
use crate::runtime::owner::contract::{Kind, WITH_FAULT};
use crate::runtime::owner::counts::count;
use crate::runtime::owner::events::Batch;
use crate::runtime::session::cell::Locked;
use crate::session::Fault;
use crate::websocket::{Message, OpCode};

/// Bytes of messages, after inflating, after which the rest of a read is left for the next turn, so that others are
/// read meanwhile. Messages that JavaScript does not hear of meet no other bound.
const MAX_DECODED: usize = 256 * 1024;

/// Whether ping frames have come in, and whether there were more than are answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pings {
    None,
    Answered,
    TooMany,
}

impl Connection {
    /// Decodes bytes behind those that were left undecoded, and acts on the messages: events go to `batch`, answers to
    /// the outbox. When the owner has enough to take, the rest is left undecoded.
    pub(crate) fn receive(self: &Arc<Self>, bytes: &mut [u8], batch: &mut Batch) {
        if self.tapped.load(Relaxed) {
            batch.push_bytes(Kind::Bytes, self.handle, 0, bytes);
            self.owe(batch.charge(self.handle));
        }
        let binding = self.binding();
        let mut decoder = self.decoder();
        let (mut decoded, mut frames) = (0, 0);
        let mut pings = Pings::None;
        let is_shown = self.shows_messages.load(SeqCst);
        let mut on_message = |message: Message<'_>, session: Option<&mut Locked<'_>>, batch: &mut Batch| {
            decoded += message.size();
            frames += 1;
            let flow = self.on_message(message, session.filter(|_| !is_shown), &mut pings, batch);
            if decoded > MAX_DECODED { ControlFlow::Break(()) } else { flow }
        };
        let result = match &binding {
            Binding::Session(cell) => {
                let mut session = cell.lock(now());
                let result = decoder.feed(bytes, |message| on_message(message, Some(&mut session), batch));
                session.finish(batch);
                result
            }
            Binding::Owner | Binding::Unbound => decoder.feed(bytes, |message| on_message(message, None, batch)),
        };
        self.has_undecoded.store(decoder.has_undecoded(), SeqCst);
        drop(decoder);
        count(|counts| {
            counts.frames_received.add(frames);
            counts.bytes_received.add(bytes.len());
        });
        if pings != Pings::None {
            self.flush();
        }
        if pings == Pings::TooMany && self.is_piped() {
            // bytes that wait for the owner are still written
            self.peer_ended(batch);
        } else if pings == Pings::TooMany {
            // the thread that reads the connection reports its end
            self.terminate();
        }
        if let Err(error) = result {
            let text = format!("{}: {error}", error.name());
            self.end_by(
                Ending::Fault(error.close_code()),
                |batch| self.report_closed(Some(Fault::Frame(text)), batch),
                batch,
            );
        }
    }

    /// Handles the end of the peer's side. Returns whether nothing is awaited.
    pub(crate) fn peer_ended(self: &Arc<Self>, batch: &mut Batch) -> bool {
        self.end_by(Ending::PeerEnded, |batch| self.report_closed(None, batch), batch)
    }

    /// Handles an end that has come in. The owner's answers to earlier messages go out first, and what it sends behind
    /// others, if there are messages to answer, or if it is sending, and if it is going to hear of the end. `tell`
    /// reports it, and returns whether the owner hears.
    /// Returns whether the end has begun at once.
    fn end_by(self: &Arc<Self>, ending: Ending, tell: impl FnOnce(&mut Batch) -> bool, batch: &mut Batch) -> bool {
        // in this order: a request of the owner's becomes an event under the lock, see `tell_drained`
        let is_answered = !self.outbox().is_used_by_owner() && self.is_answered();
        let is_put_off = self.put_off(ending);
        let is_told = tell(batch);
        if is_put_off && is_told && !is_answered {
            return false;
        }
        if self.begin_put_off() {
            self.commands().send(Command::Flush(self.clone()));
        }
        true
    }

    fn on_message(
        self: &Arc<Self>,
        message: Message<'_>,
        session: Option<&mut Locked<'_>>,
        pings: &mut Pings,
        batch: &mut Batch,
    ) -> ControlFlow<()> {
        match (message, session) {
            (Message::Text(text), Some(session)) => session.receive_text(&**self, &text, batch),
            (Message::Binary(bytes), Some(session)) => session.receive_binary(&**self, &bytes, batch),
            (Message::Text(text), None) => {
                batch.push_text(Kind::ConnectionMessage, self.handle, 1, &text);
                self.owe(batch.charge(self.handle));
            }
            (Message::Binary(bytes), None) => {
                batch.push_bytes(Kind::ConnectionMessage, self.handle, 1, &bytes);
                self.owe(batch.charge(self.handle));
            }
            (Message::Ping(payload), _) => {
                let mut is_answered = true;
                self.enqueue(|outbox| is_answered = outbox.pong(payload));
                *pings = (*pings).max(if is_answered { Pings::Answered } else { Pings::TooMany });
                self.show_control(OpCode::Ping, payload, batch);
            }
            (Message::Pong(payload), _) => self.show_control(OpCode::Pong, payload, batch),
            (Message::Close { code, reason }, session) => {
                let ending = Ending::CloseReceived(code, reason.into());
                self.end_by(
                    ending,
                    |batch| match session {
                        Some(session) => session.channel_closed(self.handle, None, batch),
                        None => {
                            batch.push(Kind::ConnectionClosed, self.handle, 0);
                            true
                        }
                    },
                    batch,
                );
            }
        }
        if self.is_paused() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Reports a ping or pong frame, if the owner wants them.
    fn show_control(&self, opcode: OpCode, payload: &[u8], batch: &mut Batch) {
        if self.shows_control.load(Relaxed) {
            batch.push_bytes(Kind::ControlFrame, self.handle, opcode as u32, payload);
            self.owe(batch.charge(self.handle));
        }
    }

    /// Reports to the receiver that the connection is closed. Returns whether the owner hears of it. An owner that
    /// decodes a session's messages tells the session itself, because undecoded messages came before the end.
    pub(crate) fn report_closed(self: &Arc<Self>, fault: Option<Fault>, batch: &mut Batch) -> bool {
        self.report_closed_to(self.binding(), fault, batch)
    }

    pub(crate) fn report_closed_to(
        self: &Arc<Self>,
        binding: Binding,
        fault: Option<Fault>,
        batch: &mut Batch,
    ) -> bool {
        match binding {
            Binding::Session(cell) if !self.shows_messages.load(SeqCst) => {
                let mut session = cell.lock(now());
                if let Some(fault) = fault.as_ref().filter(|_| !session.inner.machine.minds(self.handle)) {
                    // the session has left this transport, so that the transport hears of it
                    batch.push_text(Kind::ConnectionClosed, self.handle, WITH_FAULT, fault.message().as_bytes());
                }
                let ends_session = session.channel_closed(self.handle, fault, batch);
                session.finish(batch);
                return ends_session;
            }
            _ => match fault {
                Some(fault) => {
                    batch.push_text(Kind::ConnectionClosed, self.handle, WITH_FAULT, fault.message().as_bytes());
                }
                None => batch.push(Kind::ConnectionClosed, self.handle, 0),
            },
        }
        true
    }
}
