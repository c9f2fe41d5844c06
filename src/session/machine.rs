//! The session's states and what each event does to them.

use std::sync::Arc;

use super::action::{Action, Delivery, ProbeEnd, Relayed, Start};
use super::heartbeat::{Beat, Heartbeat, Taken};
use super::timing::Timing;
use super::upgrade::Upgrade;
use super::{ChannelId, Fault, Millis, OutData, OutPacket, PROBE, PollId, Reason, Revision};
use crate::protocol::PacketType;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// `close()` was called; packets still go out, nothing comes in any more.
    Closing,
    Closed,
}

#[derive(Debug)]
pub(super) enum Transport {
    Polling(Box<Polling>),
    Channel(ChannelId),
}

#[derive(Debug, Default)]
pub(super) struct Polling {
    /// The poll that waits for packets.
    pub(super) poll: Option<PollId>,
    /// Whether a POST is in progress.
    pub(super) posting: bool,
    /// A ping or pong that found no poll.
    pub(super) heartbeat: Option<PacketType>,
    /// Packets that were handed over just after another thread had answered the poll.
    pub(super) waiting: Vec<OutPacket>,
    pub(super) waiting_compress: bool,
    /// When a graceful close stops waiting.
    close_at: Option<Millis>,
}

/// The state of one session, see [`crate::session`].
#[derive(Debug)]
pub struct Session {
    pub(super) revision: Revision,
    pub(super) timing: Arc<Timing>,
    state: State,
    pub(super) transport: Transport,
    pub(super) upgrade: Option<Box<Upgrade>>,
    pub(super) heartbeat: Heartbeat,
    pub(super) relayed: Relayed,
}

impl Session {
    /// A session that has just been opened. Its open packet is the first to be sent by the owner.
    pub fn new(now: Millis, revision: Revision, timing: Arc<Timing>, start: Start) -> Self {
        Self {
            revision,
            state: State::Open,
            transport: match start {
                Start::Polling => Transport::Polling(Box::default()),
                Start::Channel(channel) => Transport::Channel(channel),
            },
            upgrade: None,
            heartbeat: Heartbeat::start(now, revision, &timing),
            timing,
            relayed: Relayed::Nothing,
        }
    }

    /// Sets which of the engine's own packets the owner sends.
    pub fn set_relayed(&mut self, relayed: Relayed) {
        self.relayed = relayed;
    }

    /// Whether the owner sends the engine's own packets on the current transport.
    pub fn is_relayed(&self) -> bool {
        match self.relayed {
            Relayed::Nothing => false,
            Relayed::Polls => matches!(self.transport, Transport::Polling(_)),
            Relayed::Everything => true,
        }
    }

    /// The protocol revision of the session.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether the session has ended.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether packets that come from `channel` (`None`: a POST) reach the application.
    pub fn listens_to(&self, channel: Option<ChannelId>) -> bool {
        self.state == State::Open
            && match (&self.transport, channel) {
                (Transport::Polling(_), None) => true,
                (Transport::Channel(current), Some(channel)) => *current == channel,
                _ => false,
            }
    }

    /// Handles a packet of a payload that ends the session (`None`: something other than a packet), which the owner has
    /// heard. If the owner has begun to close the session meanwhile, the packet ends it all the same.
    pub fn receive_heard(&mut self, now: Millis, kind: Option<PacketType>, out: &mut Vec<Action>) {
        let is_closing = self.state == State::Closing;
        if is_closing {
            self.state = State::Open;
        }
        match kind {
            Some(_) => drop(self.receive(now, None, kind, false, out)),
            None => self.receive_garbage(None, out),
        }
        if is_closing && self.state == State::Open {
            self.state = State::Closing;
        }
    }

    /// Whether the end of a channel concerns the session.
    pub fn minds(&self, channel: ChannelId) -> bool {
        let is_current = matches!(self.transport, Transport::Channel(current) if current == channel);
        self.is_probing(channel) || (is_current && self.state != State::Closed)
    }

    /// Whether the session's transport is HTTP long-polling.
    pub fn polls(&self) -> bool {
        matches!(self.transport, Transport::Polling(_))
    }

    // ---- HTTP long-polling -------------------------------------------------------------------

    /// A poll arrived. `more` tells that the owner has packets at hand and sends them next, so that
    /// a waiting heartbeat joins them in one payload.
    pub fn poll(&mut self, poll: PollId, more: bool, out: &mut Vec<Action>) {
        // an owner that sends what waits for a poll sends the last packets, too
        let is_relayed = self.is_relayed();
        let Transport::Polling(polling) = &mut self.transport else {
            out.push(Action::RejectPoll { poll });
            return;
        };
        if self.state == State::Closed {
            out.push(Action::RejectPoll { poll });
            return;
        }
        if polling.poll.is_some() {
            out.push(Action::RejectPoll { poll });
            self.close(Reason::TransportError(Fault::PollOverlap), out);
            return;
        }
        polling.poll = Some(poll);
        if polling.close_at.is_some() && !is_relayed {
            let mut packets = polling.take_waiting();
            if packets.is_empty() {
                packets.push(OutPacket::bare(PacketType::Noop));
            }
            packets.push(OutPacket::bare(PacketType::Close));
            polling.poll = None;
            out.push(Action::AnswerPoll { poll, packets, compress: false });
            self.close(Reason::ForcedClose, out);
        } else if !polling.waiting.is_empty() || (polling.heartbeat.is_some() && !more) {
            polling.answer(Vec::new(), false, out);
        }
    }

    /// The client went away while its poll was pending.
    pub fn poll_aborted(&mut self, poll: PollId, out: &mut Vec<Action>) {
        if let Transport::Polling(polling) = &mut self.transport {
            if polling.poll == Some(poll) {
                polling.poll = None;
                self.close(Reason::TransportError(Fault::PollAborted), out);
            }
        }
    }

    /// A POST begins. False if it must be refused with `400`: the session is over or has moved, or
    /// there is one already, which also ends the session.
    pub fn post_started(&mut self, out: &mut Vec<Action>) -> bool {
        match &mut self.transport {
            _ if self.state == State::Closed => false,
            Transport::Polling(polling) if polling.posting => {
                self.close(Reason::TransportError(Fault::DataOverlap), out);
                false
            }
            Transport::Polling(polling) => {
                polling.posting = true;
                true
            }
            Transport::Channel(_) => false,
        }
    }

    /// A POST has been read to its end, or is no longer read.
    pub fn post_finished(&mut self) {
        if let Transport::Polling(polling) = &mut self.transport {
            polling.posting = false;
        }
    }

    /// The client went away in the middle of a POST.
    pub fn post_aborted(&mut self, out: &mut Vec<Action>) {
        if let Transport::Polling(polling) = &mut self.transport {
            polling.posting = false;
            self.close(Reason::TransportError(Fault::DataAborted), out);
        }
    }

    // ---- packets -----------------------------------------------------------------------------

    /// A packet came in from `channel` (`None`: by POST). `kind` is `None` for a v3 packet of an
    /// unknown type; `probe` tells that its data is exactly `probe`.
    pub fn receive(
        &mut self,
        now: Millis,
        channel: Option<ChannelId>,
        kind: Option<PacketType>,
        probe: bool,
        out: &mut Vec<Action>,
    ) -> Delivery {
        if let Some(channel) = channel {
            if self.is_probing(channel) {
                self.receive_on_probe(now, channel, kind, probe, out);
                return Delivery::Drop;
            }
        }
        if channel.is_none() && kind == Some(PacketType::Close) {
            // a close packet concerns the transport, also while the session is closing
            self.transport_closed(out);
            return Delivery::Drop;
        }
        if !self.listens_to(channel) {
            return Delivery::Drop;
        }
        if kind != Some(PacketType::Pong) {
            self.heartbeat.sign_of_life(now, &self.timing);
        }
        match (kind, self.revision) {
            (Some(PacketType::Message), _) => return Delivery::Message,
            (Some(PacketType::Pong), Revision::V4) => self.heartbeat.beat(now, &self.timing),
            (Some(PacketType::Ping), Revision::V3) => {
                self.heartbeat.beat(now, &self.timing);
                self.send_heartbeat(PacketType::Pong, out);
            }
            (Some(PacketType::Ping | PacketType::Pong), _) => {
                self.close(Reason::TransportError(Fault::HeartbeatDirection), out);
            }
            _ => {}
        }
        Delivery::Packet
    }

    /// Something other than a packet came in from `channel`.
    pub fn receive_garbage(&mut self, channel: Option<ChannelId>, out: &mut Vec<Action>) {
        match channel {
            Some(channel) if self.is_probing(channel) => self.abandon_upgrade(ProbeEnd::GivenUp, out),
            _ if self.listens_to(channel) => self.close(Reason::ParseError, out),
            _ => {}
        }
    }

    /// Sends packets: at once where the transport can take them, with the next poll otherwise.
    /// Nothing is sent on a closed session.
    pub fn send(&mut self, packets: Vec<OutPacket>, compress: bool, out: &mut Vec<Action>) {
        if self.state == State::Closed {
            return;
        }
        match &mut self.transport {
            // the owner announced packets but sent none: the waiting heartbeat is sent alone
            Transport::Polling(polling) if packets.is_empty() => {
                if polling.heartbeat.is_some() {
                    polling.answer(packets, compress, out);
                }
            }
            Transport::Channel(_) if packets.is_empty() => {}
            Transport::Channel(channel) => out.push(Action::Send { channel: *channel, packets }),
            Transport::Polling(polling) if polling.poll.is_some() => polling.answer(packets, compress, out),
            Transport::Polling(polling) => {
                polling.waiting.extend(packets);
                polling.waiting_compress |= compress;
            }
        }
    }

    pub(super) fn send_heartbeat(&mut self, kind: PacketType, out: &mut Vec<Action>) {
        if self.is_relayed() {
            out.push(Action::Relay { kind });
            return;
        }
        match &mut self.transport {
            Transport::Channel(channel) => {
                out.push(Action::Send { channel: *channel, packets: vec![OutPacket::bare(kind)] });
            }
            Transport::Polling(polling) => {
                polling.heartbeat = Some(kind);
                if polling.poll.is_some() {
                    polling.answer(Vec::new(), true, out);
                }
            }
        }
    }

    // ---- the end -----------------------------------------------------------------------------

    /// The application called `close()` while packets wait: from now on nothing comes in.
    pub fn begin_close(&mut self) {
        if self.state == State::Open {
            self.state = State::Closing;
        }
    }

    /// Closes the transport, and with it the session: at once if it can be told so, else (a polling client
    /// between two polls) with its next poll, at the latest after `grace`. `None` does not wait. A POST in
    /// progress is destroyed; its end, when it comes first, is the session's.
    pub fn close_transport(&mut self, now: Millis, grace: Option<Millis>, out: &mut Vec<Action>) {
        self.begin_close();
        if self.state == State::Closed {
            return;
        }
        match (&mut self.transport, grace) {
            (Transport::Polling(polling), Some(grace)) if polling.poll.is_none() => {
                polling.close_at.get_or_insert(now + grace);
                if polling.posting {
                    polling.posting = false;
                    out.push(Action::AbortPost);
                }
            }
            _ => self.close(Reason::ForcedClose, out),
        }
    }

    /// A channel is gone: by an orderly close, or with a fault.
    pub fn channel_closed(&mut self, channel: ChannelId, fault: Option<Fault>, out: &mut Vec<Action>) {
        if self.is_probing(channel) {
            self.abandon_upgrade(fault.map_or(ProbeEnd::Closed, ProbeEnd::Failed), out);
        } else if matches!(self.transport, Transport::Channel(current) if current == channel) {
            match fault {
                Some(fault) => self.close(Reason::TransportError(fault), out),
                None => self.close(Reason::TransportClose, out),
            }
        }
    }

    /// The peer closed a polling transport by a close packet: a pending poll ends with a `noop`.
    fn transport_closed(&mut self, out: &mut Vec<Action>) {
        let Transport::Polling(polling) = &mut self.transport else { return };
        if let Some(poll) = polling.poll.take() {
            let packets = vec![OutPacket::bare(PacketType::Noop)];
            out.push(Action::AnswerPoll { poll, packets, compress: false });
        }
        self.close(Reason::TransportClose, out);
    }

    /// Ends the session. The first reason counts.
    pub fn close(&mut self, reason: Reason, out: &mut Vec<Action>) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        self.end_transport(out);
        if self.upgrade.is_some() {
            self.abandon_upgrade(ProbeEnd::SessionEnded, out);
        }
        out.push(Action::Closed(reason));
    }

    /// Tells the peer on the current transport that it is over.
    pub(super) fn end_transport(&mut self, out: &mut Vec<Action>) {
        match &mut self.transport {
            Transport::Channel(channel) => out.push(Action::CloseChannel { channel: *channel }),
            Transport::Polling(polling) => {
                if polling.posting {
                    polling.posting = false;
                    out.push(Action::AbortPost);
                }
                if let Some(poll) = polling.poll.take() {
                    let packets = vec![OutPacket::bare(PacketType::Close)];
                    out.push(Action::AnswerPoll { poll, packets, compress: false });
                }
                **polling = Polling::default();
            }
        }
    }

    // ---- time --------------------------------------------------------------------------------

    /// The time at which [`Session::tick`] wants to be called; `None` once closed, or while nothing will be due.
    pub fn next_deadline(&self) -> Option<Millis> {
        if self.state == State::Closed {
            return None;
        }
        let upgrade = self.upgrade.as_ref().map(|upgrade| upgrade.next_deadline());
        [self.heartbeat.deadline(), upgrade, self.close_at()].into_iter().flatten().min()
    }

    /// Hands the heartbeat to the owner, which sends pings and ends the session from now on. `None` if it does already.
    pub fn take_heartbeat(&mut self, now: Millis) -> Option<Taken> {
        self.heartbeat.take(now)
    }

    fn close_at(&self) -> Option<Millis> {
        match &self.transport {
            Transport::Polling(polling) => polling.close_at,
            Transport::Channel(_) => None,
        }
    }

    /// Whether [`Session::tick`] would now find that the peer is gone. A runtime that may hold unread input
    /// of the peer reads it first.
    pub fn is_overdue(&self, now: Millis) -> bool {
        self.overdue(now).is_some()
    }

    /// For how long the peer's time has been over.
    fn overdue(&self, now: Millis) -> Option<Millis> {
        if self.state == State::Closed || matches!(self.heartbeat, Heartbeat::Rest { .. }) {
            return None;
        }
        now.checked_sub(self.heartbeat.deadline()?)
    }

    /// Whether a poll that arrives now is too late because the heartbeat's deadline has passed: a poll does not answer
    /// a ping. A peer that could not be read may answer late, but may not poll late.
    pub fn is_past_deadline(&self, now: Millis) -> bool {
        self.is_overdue(now) || (self.state != State::Closed && self.heartbeat.is_excused())
    }

    /// Ends a session whose client polls too late.
    pub fn end_past_deadline(&mut self, now: Millis, out: &mut Vec<Action>) {
        if self.is_past_deadline(now) {
            self.close(Reason::PingTimeout, out);
        }
    }

    /// Gives the peer one more ping, because until now it could not be read, through no fault of its own.
    pub fn excuse(&mut self, now: Millis) {
        self.heartbeat.excuse(now, &self.timing);
    }

    /// Excuses the peer if the deadline passed more than a quarter of `pingTimeout` ago: the runtime was kept from its
    /// work, and the peer could not be read.
    pub fn excuse_if_late(&mut self, now: Millis) {
        if self.overdue(now).is_some_and(|late| late > self.timing.ping_timeout() / 4) {
            self.excuse(now);
        }
    }

    /// Does what is due at this time.
    pub fn tick(&mut self, now: Millis, out: &mut Vec<Action>) {
        if self.state == State::Closed {
            return;
        }
        if self.close_at().is_some_and(|close_at| now >= close_at) {
            return self.close(Reason::ForcedClose, out);
        }
        self.tick_upgrade(now, out);
        match self.heartbeat.due(now, &self.timing) {
            Some(Beat::Dead) => self.close(Reason::PingTimeout, out),
            // a closing session sends no more pings, but its deadline stays armed
            Some(Beat::Ping) if self.state == State::Open => {
                self.send_heartbeat(PacketType::Ping, out);
                if !self.is_relayed() {
                    out.push(Action::Pinged);
                }
            }
            _ => {}
        }
    }

    /// Whether only the order of packets has the owner send heartbeats, so that they can go without it.
    pub fn may_tick_alone(&self) -> bool {
        self.relayed == Relayed::Polls && matches!(self.transport, Transport::Polling(_))
    }

    /// How long the owner may take to tick before [`Session::tick_alone`].
    pub fn patience(&self) -> Millis {
        self.timing.ping_timeout() / 4
    }

    /// Does what is due without the owner, which is busy. Packets of the client that the owner has not read may wait, so
    /// that silence ends nothing.
    pub fn tick_alone(&mut self, now: Millis, out: &mut Vec<Action>) {
        if self.is_overdue(now) {
            self.excuse(now);
        }
        let relayed = std::mem::replace(&mut self.relayed, Relayed::Nothing);
        self.tick(now, out);
        self.relayed = relayed;
    }
}

impl Polling {
    /// Everything that waits for a poll, oldest first.
    pub(super) fn take_waiting(&mut self) -> Vec<OutPacket> {
        let mut packets = std::mem::take(&mut self.waiting);
        packets.extend(self.heartbeat.take().map(OutPacket::bare));
        packets
    }

    /// Answers the pending poll with what waits, followed by `packets`.
    pub(super) fn answer(&mut self, packets: Vec<OutPacket>, compress: bool, out: &mut Vec<Action>) {
        let Some(poll) = self.poll.take() else { return };
        let compress = compress | std::mem::take(&mut self.waiting_compress);
        let mut all = self.take_waiting();
        if all.is_empty() {
            all = packets;
        } else {
            all.extend(packets);
        }
        out.push(Action::AnswerPoll { poll, packets: all, compress });
    }
}

impl OutPacket {
    /// The answer to a probe.
    pub(super) fn probe_pong() -> Self {
        Self { kind: PacketType::Pong, data: OutData::Text(PROBE.into()) }
    }
}
