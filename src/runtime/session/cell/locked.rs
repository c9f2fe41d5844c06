//! What happens to a session under its lock: steps of its machine, and what they bring about.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::{Listed, Locked, OWN_POLLS, TOLD, YES};
use crate::protocol::PacketType;
use crate::runtime::owner::commands::{PollAnswer, Responder};
use crate::runtime::owner::contract::{Kind, OVERDUE};
use crate::runtime::owner::deferred_drop::free_later;
use crate::runtime::owner::events::Batch;
use crate::runtime::session::channel::Channel;
use crate::session::{Action, ChannelId, Fault, OutData, OutPacket, PollId};

/// A packet with which the engine answers a poll without ending the session or its transport.
const OWN_ANSWERS: [PacketType; 3] = [PacketType::Ping, PacketType::Pong, PacketType::Noop];

impl Locked<'_> {
    /// Whether a POST need not wait for the owner, see [`SessionCell::settled`].
    pub(super) fn is_settled(&self) -> bool {
        self.inner.machine.is_closed() || (!self.cell.is_overfed() && self.inner.put_off.is_none())
    }

    /// Whether a POST that has been read is answered at once. One that ends the session is answered behind its poll.
    pub fn answers_post_at_once(&self) -> bool {
        !self.inner.machine.is_closed() && self.is_settled()
    }

    /// Starts an upgrade to a channel. Returns false if the channel must be closed; otherwise the caller binds it to
    /// the session.
    pub fn start_upgrade(&mut self, channel: Arc<dyn Channel>) -> bool {
        let started = self.start_upgrade_on(channel.id());
        if started {
            self.inner.probe = Some(channel);
        }
        started
    }

    /// Starts an upgrade to a channel that JavaScript drives.
    pub fn start_upgrade_on(&mut self, channel: ChannelId) -> bool {
        self.inner.machine.start_upgrade(self.now, channel)
    }

    /// Handles the end of a channel. Returns whether the owner hears of it, because it has ended the session or an
    /// upgrade.
    pub fn channel_closed(&mut self, channel: ChannelId, fault: Option<Fault>, batch: &mut Batch) -> bool {
        let was_closed = self.inner.machine.is_closed();
        let was_probing = self.inner.machine.is_probing(channel);
        self.inner.machine.channel_closed(channel, fault, &mut self.actions);
        // the connection ends by itself
        self.actions.retain(|action| !matches!(action, Action::CloseChannel { channel: closed } if *closed == channel));
        self.apply(batch);
        was_probing || (!was_closed && self.inner.machine.is_closed())
    }

    /// Whether the session's requests, bytes or heartbeats pass through the owner's thread.
    pub(super) fn is_carried_by_owner(&self) -> bool {
        match (&self.inner.transport, &self.cell.listed) {
            _ if self.inner.machine.is_relayed() => true,
            (Some(channel), _) => channel.is_carried_by_owner(),
            (None, Some(_)) => !self.inner.machine.polls(),
            (None, None) => true,
        }
    }

    /// Takes a poll of the native listener.
    pub fn poll(&mut self, responder: Responder, batch: &mut Batch) -> PollId {
        let poll = self.inner.next_poll;
        self.inner.next_poll = poll.wrapping_add(1) | OWN_POLLS;
        // even if its timer has not run out yet
        self.inner.machine.end_past_deadline(self.now, &mut self.actions);
        self.apply(batch);
        // on an overlap the first poll is answered before the second is refused, so that both need a responder
        let first = self.inner.responder.replace((poll, responder));
        self.inner.machine.poll(poll, false, &mut self.actions);
        if let Some((first_poll, first)) = first {
            let second = self.inner.responder.replace((first_poll, first));
            self.apply(batch);
            self.inner.responder = second;
            if let Some((_, second)) = self.inner.responder.take() {
                let _ = second.send(PollAnswer::Rejected);
            }
        } else {
            self.apply(batch);
            if self.inner.responder.is_some() {
                batch.push(Kind::PollReady, self.cell.handle, poll);
            }
        }
        poll
    }

    /// Takes a poll that arrived at the owner. `more`: see [`Session::poll`]. A poll that is too late is not taken: the
    /// owner first reads other data, which may be the answer to the ping ([`Kind::Due`]). A poll is not taken either if
    /// the session has moved and the owner has not heard of it.
    pub fn poll_by_owner(&mut self, poll: PollId, more: bool, batch: &mut Batch) {
        if !self.inner.machine.polls() || self.inner.machine.is_past_deadline(self.now) {
            batch.push(Kind::Due, self.cell.handle, OVERDUE);
        } else {
            self.inner.machine.poll(poll, more, &mut self.actions);
        }
    }

    /// Begins a POST that arrived at the owner, see [`Session::post_started`]. It is put off if the session has moved,
    /// as polls are.
    pub fn post_by_owner(&mut self, batch: &mut Batch) -> bool {
        if !self.inner.machine.polls() {
            batch.push(Kind::Due, self.cell.handle, 0);
            return false;
        }
        self.inner.machine.post_started(&mut self.actions)
    }

    /// Carries out what the machine decided so far.
    pub fn apply(&mut self, batch: &mut Batch) {
        let session = self.cell.handle;
        for action in std::mem::take(&mut self.actions) {
            match action {
                // the answer to a probe goes out when the owner has heard of it, because the client then goes on
                Action::Send { channel, .. } if self.inner.machine.is_probing(channel) => {}
                Action::Send { channel, packets } => self.send(channel, packets, batch),
                // an owner that carries the polls answers the last one when it closes the transport
                Action::AnswerPoll { .. } if self.cell.listed.is_none() && self.has_left_polling() => {}
                Action::AnswerPoll { poll, packets, compress } => self.answer(poll, packets, compress, batch),
                Action::RejectPoll { poll } => match self.take_responder(poll) {
                    Some(responder) => drop(responder.send(PollAnswer::Rejected)),
                    // a missing responder of a listener refuses the poll by being dropped
                    None if self.cell.listed.is_some() => {}
                    None => batch.push(Kind::RejectPoll, session, poll),
                },
                // the owner ends its POST by itself, too
                Action::AbortPost => {
                    if let Some(listed) = &self.cell.listed {
                        listed.post_aborted.notify_waiters();
                    }
                }
                Action::CloseChannel { channel: id } => match self.channel(id) {
                    // the owner hears of that next; until then it may answer what came before, a probe for example
                    Some(channel) if !self.by_owner && self.ends_with(id) => channel.close_behind_owner(),
                    Some(channel) => channel.close(),
                    None => batch.push(Kind::CloseChannel, session, id),
                },
                Action::Pinged => {
                    if self.cell.verbose.load(SeqCst) == YES {
                        batch.push(Kind::Pinged, session, 0);
                    }
                }
                Action::Relay { kind } => {
                    batch.push(Kind::SendPacket, session, kind as u32);
                    self.charge(self.inner.transport.as_deref(), batch);
                }
                Action::Upgrading { channel: id } => {
                    batch.push(Kind::Upgrading, session, id);
                    self.charge(self.channel(id).as_deref(), batch);
                }
                Action::Upgraded { channel } => {
                    self.inner.transport = self.inner.probe.take();
                    batch.push(Kind::Upgraded, session, channel);
                }
                Action::UpgradeFailed { end, .. } => {
                    self.inner.probe = None;
                    batch.push_upgrade_failed(session, &end);
                }
                Action::Closed(reason) => {
                    // dropping the responder refuses a poll that was not answered
                    self.inner.responder = None;
                    if let Some(Listed { registry, sid, settled, .. }) = self.cell.listed.as_deref() {
                        settled.notify_waiters();
                        registry.remove(sid);
                    }
                    batch.push_closed(session, &reason);
                    free_later(self.cell);
                }
            }
        }
    }

    /// Has a channel owe for the last event until the owner has taken it. What the owner's own steps bring about it has
    /// at once.
    pub(crate) fn charge<C: Channel + ?Sized>(&self, channel: Option<&C>, batch: &mut Batch) {
        if let (Some(channel), false) = (channel, self.by_owner) {
            channel.owe(batch.charge(channel.id()));
        }
    }

    /// Carries out the rest, sets the timer and releases the lock.
    pub fn finish(mut self, batch: &mut Batch) {
        self.apply(batch);
        let armed = self.cell.armed.load(SeqCst);
        match self.inner.machine.next_deadline() {
            Some(deadline) if deadline < armed || (armed == TOLD && !self.is_carried_by_owner()) => {
                self.cell.armed.store(deadline, SeqCst);
                self.cell.tasks.arm(self.cell.clone(), deadline, self.by_owner);
            }
            None if armed != u64::MAX => {
                self.cell.armed.store(u64::MAX, SeqCst);
                self.cell.tasks.disarm(self.cell.clone(), self.by_owner);
            }
            _ => {}
        }
    }

    /// Whether the session has ended on this channel, or goes on without it after a probe: the owner hears of that next.
    fn ends_with(&self, id: ChannelId) -> bool {
        let is = |channel: &Option<Arc<dyn Channel>>| channel.as_ref().is_some_and(|channel| channel.id() == id);
        if self.inner.machine.is_closed() { is(&self.inner.transport) } else { is(&self.inner.probe) }
    }

    /// Whether the session has ended, or moved to a channel.
    fn has_left_polling(&self) -> bool {
        self.inner.machine.is_closed() || !self.inner.machine.polls()
    }

    fn channel(&self, id: ChannelId) -> Option<Arc<dyn Channel>> {
        let known = [&self.inner.transport, &self.inner.probe];
        known.into_iter().flatten().find(|channel| channel.id() == id).cloned()
    }

    fn send(&self, id: ChannelId, packets: Vec<OutPacket>, batch: &mut Batch) {
        match self.channel(id) {
            Some(channel) => channel.send(&packets, self.inner.machine.revision(), self.cell.base64),
            None => {
                for OutPacket { kind, data } in &packets {
                    let kind = *kind as u32;
                    match data {
                        OutData::None => batch.push(Kind::SendPacket, self.cell.handle, kind),
                        OutData::Text(text) => {
                            batch.push_text(Kind::SendPacket, self.cell.handle, kind, text.as_bytes());
                        }
                        OutData::Binary(bytes) => batch.push_bytes(Kind::SendPacket, self.cell.handle, kind, bytes),
                    }
                }
            }
        }
    }

    fn take_responder(&mut self, poll: PollId) -> Option<Responder> {
        self.inner.responder.take_if(|(waiting, _)| *waiting == poll).map(|(_, responder)| responder)
    }

    fn answer(&mut self, poll: PollId, packets: Vec<OutPacket>, compress: bool, batch: &mut Batch) {
        let (body, binary) = self.cell.encoding.encode(&packets);
        match self.take_responder(poll) {
            Some(responder) => {
                let answer = PollAnswer::Payload { body, binary, compress };
                if self.by_owner {
                    self.cell.tasks.answer(responder, answer, true);
                } else {
                    let _ = responder.send(answer);
                    // packets that the owner sends now wait for another poll
                    if packets.iter().any(|packet| OWN_ANSWERS.contains(&packet.kind)) {
                        batch.push(Kind::PollTaken, self.cell.handle, poll);
                    }
                }
            }
            None => {
                let kind = if compress { Kind::AnswerPoll } else { Kind::AnswerPollPlain };
                if binary {
                    batch.push_bytes(kind, self.cell.handle, poll, &body);
                } else {
                    batch.push_text(kind, self.cell.handle, poll, &body);
                }
            }
        }
    }
}
