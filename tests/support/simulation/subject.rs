//! The machine under test: what must come of each of its inputs.

use std::collections::VecDeque;
use std::sync::Arc;

use engine_io_native::protocol::PacketType;
use engine_io_native::session::{
    Action, ChannelId, Delivery, Fault, Millis, OutData, OutPacket, PollId, ProbeEnd, Reason, Revision, Session, Start,
    Timing,
};

use crate::support::session::{CLOSE_GRACE, bare, probe_answer};

const NOOP_INTERVAL: Millis = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Closing,
    Closed,
}

/// What the heartbeat of the protocol demands next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Beat {
    /// `excused`: the pong to the last ping may still come.
    PingAt {
        at: Millis,
        excused: bool,
    },
    PongBy {
        sent: Millis,
        deadline: Millis,
        extended: bool,
    },
    ClientPingBy(Millis),
}

#[derive(Debug)]
pub(super) struct Probe {
    pub(super) channel: ChannelId,
    pub(super) deadline: Millis,
    pub(super) noop_at: Option<Millis>,
}

/// The machine with a ledger of all it was told and all it decided.
#[derive(Debug)]
pub struct Subject {
    pub(super) machine: Session,
    pub(super) revision: Revision,
    pub(super) timing: Arc<Timing>,
    pub state: State,
    /// The channel it sends by; `None`: polling.
    pub channel: Option<ChannelId>,
    pub poll: Option<PollId>,
    pub posting: bool,
    pub(super) probe: Option<Probe>,
    pub(super) beat: Beat,
    pub(super) close_at: Option<Millis>,
    /// A heartbeat packet that has not gone out.
    pub(super) owed: Option<PacketType>,
    /// Messages that were handed over and have not gone out.
    pub handed: VecDeque<u64>,
    /// How many batches they came in.
    pub batches: usize,
    /// Channels that the machine knows and nobody has closed.
    pub(super) channels: Vec<ChannelId>,
    pub ended: Option<Reason>,
    /// Whether the current step ended it.
    pub(super) just_ended: bool,
}

impl Subject {
    pub fn new(now: Millis, revision: Revision, timing: Arc<Timing>, channel: Option<ChannelId>) -> Self {
        let start = channel.map_or(Start::Polling, Start::Channel);
        let subject = Self {
            machine: Session::new(now, revision, timing.clone(), start),
            revision,
            state: State::Open,
            channel,
            poll: None,
            posting: false,
            probe: None,
            beat: Beat::PingAt { at: 0, excused: false },
            close_at: None,
            owed: None,
            handed: VecDeque::new(),
            batches: 0,
            channels: channel.into_iter().collect(),
            ended: None,
            just_ended: false,
            timing,
        };
        let subject = Self { beat: subject.fresh_beat(now), ..subject };
        subject.check_timer();
        subject
    }

    pub fn next_deadline(&self) -> Option<Millis> {
        self.machine.next_deadline()
    }

    /// Whether there is still a packet anywhere in the machine.
    pub fn holds_packets(&self) -> bool {
        format!("{:?}", self.machine).contains("OutPacket")
    }

    pub fn probed_channel(&self) -> Option<ChannelId> {
        self.probe.as_ref().map(|probe| probe.channel)
    }

    // ---- polls and POSTs ---------------------------------------------------------------------

    pub fn poll(&mut self, poll: PollId, more: bool) -> Vec<Action> {
        let mut out = Vec::new();
        self.machine.poll(poll, more, &mut out);
        let refusal = Action::RejectPoll { poll };
        if self.state == State::Closed || self.channel.is_some() {
            assert_eq!(out, [refusal], "a poll that nobody can serve is refused and does nothing else");
            return out;
        }
        if self.poll.is_some() {
            let at = out.iter().position(|action| *action == refusal).expect("the second of two polls is refused");
            let rest: Vec<_> = out.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, action)| action).collect();
            self.take(&rest, None);
            self.assert_ended(&[Reason::TransportError(Fault::PollOverlap)]);
            assert!(at + 1 < out.len(), "a refusal after the end");
            return out;
        }
        self.poll = Some(poll);
        let waits = !self.handed.is_empty() || (self.owed.is_some() && !more);
        let closes = self.close_at.is_some();
        self.take_all(&out, None);
        assert!(!(waits && self.poll.is_some()), "a poll is answered at once with what waits");
        if closes {
            self.assert_ended(&[Reason::ForcedClose]);
        } else {
            self.assert_not_ended();
        }
        out
    }

    pub fn poll_aborted(&mut self, poll: PollId) -> Vec<Action> {
        let mut out = Vec::new();
        self.machine.poll_aborted(poll, &mut out);
        if self.poll == Some(poll) {
            self.poll = None;
            self.take_all(&out, None);
            self.assert_ended(&[Reason::TransportError(Fault::PollAborted)]);
        } else {
            assert_eq!(out, [], "the abort of a poll that is not pending means nothing");
        }
        out
    }

    pub fn post_started(&mut self) -> (bool, Vec<Action>) {
        let mut out = Vec::new();
        let started = self.machine.post_started(&mut out);
        let free = self.state != State::Closed && self.channel.is_none() && !self.posting;
        assert_eq!(started, free, "a POST is accepted by a polling session without another one");
        let overlaps = self.posting;
        self.take_all(&out, None);
        if overlaps {
            self.assert_ended(&[Reason::TransportError(Fault::DataOverlap)]);
        } else {
            assert_eq!(out, []);
        }
        self.posting = started;
        (started, out)
    }

    pub fn post_finished(&mut self) {
        self.machine.post_finished();
        self.posting = false;
        self.check_timer();
    }

    pub fn post_aborted(&mut self) -> Vec<Action> {
        let mut out = Vec::new();
        self.machine.post_aborted(&mut out);
        let matters = self.posting;
        self.posting = false;
        self.take_all(&out, None);
        if matters {
            self.assert_ended(&[Reason::TransportError(Fault::DataAborted)]);
        }
        out
    }

    // ---- packets -----------------------------------------------------------------------------

    pub fn receive(
        &mut self,
        now: Millis,
        channel: Option<ChannelId>,
        kind: Option<PacketType>,
        is_probe: bool,
    ) -> (Delivery, Vec<Action>) {
        let mut out = Vec::new();
        let delivery = self.machine.receive(now, channel, kind, is_probe, &mut out);
        let probing = channel.is_some() && self.probed_channel() == channel;
        let heard = self.state == State::Open && self.channel == channel && !probing;
        if probing {
            self.received_on_probe(now, kind, is_probe, &out);
        } else if channel.is_none() && kind == Some(PacketType::Close) {
            let ends = self.state != State::Closed && self.channel.is_none();
            self.take_all(&out, None);
            assert_eq!(ends, !out.is_empty(), "a posted close packet ends a living session");
            if ends {
                self.assert_ended(&[Reason::TransportClose]);
            }
        } else if heard {
            self.received(now, kind, &out);
        } else {
            assert_eq!(out, [], "packets that nobody listens to have no effect");
        }
        let closes = channel.is_none() && kind == Some(PacketType::Close);
        let expected = match kind {
            _ if !heard || closes => Delivery::Drop,
            Some(PacketType::Message) => Delivery::Message,
            _ => Delivery::Packet,
        };
        assert_eq!(delivery, expected);
        (delivery, out)
    }

    fn received(&mut self, now: Millis, kind: Option<PacketType>, out: &[Action]) {
        let wrong = match self.revision {
            Revision::V3 => PacketType::Pong,
            Revision::V4 => PacketType::Ping,
        };
        match (kind, self.revision) {
            (Some(kind), _) if kind == wrong => {
                self.take_all(out, None);
                return self.assert_ended(&[Reason::TransportError(Fault::HeartbeatDirection)]);
            }
            (Some(PacketType::Pong), _) => self.beat = self.beaten(now),
            (Some(PacketType::Ping), _) => {
                self.beat = self.beaten(now);
                self.owed = Some(PacketType::Pong);
                self.take_all(out, None);
                let sent = self.owed.is_none();
                assert_eq!(sent, self.channel.is_some() || !out.is_empty(), "a ping is answered as soon as possible");
                return self.assert_not_ended();
            }
            _ => self.extend(now),
        }
        self.take_all(out, None);
        assert_eq!(out, []);
    }

    fn received_on_probe(&mut self, now: Millis, kind: Option<PacketType>, is_probe: bool, out: &[Action]) {
        let probe = self.probe.as_mut().expect("there is a probe");
        let channel = probe.channel;
        match kind {
            Some(PacketType::Ping) if is_probe => {
                probe.noop_at = Some(now + NOOP_INTERVAL);
                let answer = Action::Send { channel, packets: vec![probe_answer()] };
                assert_eq!(out, [answer, Action::Upgrading { channel }]);
                self.take_all(out, None);
            }
            Some(PacketType::Upgrade) => {
                self.take_all(out, Some(now));
                assert_eq!(self.channel, Some(channel), "the upgrade packet moves the session");
                assert!(self.handed.is_empty() && self.owed.is_none(), "what waited has moved along");
            }
            _ => self.gave_up(channel, out),
        }
        self.assert_not_ended();
    }

    pub fn garbage(&mut self, channel: Option<ChannelId>) -> Vec<Action> {
        let mut out = Vec::new();
        self.machine.receive_garbage(channel, &mut out);
        if let Some(channel) = channel.filter(|channel| self.probed_channel() == Some(*channel)) {
            self.gave_up(channel, &out);
        } else if self.state == State::Open && self.channel == channel {
            self.take_all(&out, None);
            self.assert_ended(&[Reason::ParseError]);
        } else {
            assert_eq!(out, [], "garbage that nobody listens to has no effect");
        }
        out
    }

    fn gave_up(&mut self, channel: ChannelId, out: &[Action]) {
        assert_eq!(out, [Action::CloseChannel { channel }, Action::UpgradeFailed { channel, end: ProbeEnd::GivenUp }]);
        self.take_all(out, None);
        self.assert_not_ended();
    }

    pub fn send(&mut self, ids: &[u64], compress: bool) -> Vec<Action> {
        let packets = ids.iter().map(|id| message(*id)).collect();
        let mut out = Vec::new();
        let could = self.state != State::Closed && (self.channel.is_some() || self.poll.is_some());
        if self.state != State::Closed && !ids.is_empty() {
            self.handed.extend(ids);
            self.batches += 1;
        }
        self.machine.send(packets, compress, &mut out);
        self.take_all(&out, None);
        assert!(!could || self.handed.is_empty(), "a transport that can take packets gets them at once");
        assert!(!could || self.channel.is_some() || self.owed.is_none(), "a heartbeat waits no longer than its poll");
        self.assert_not_ended();
        out
    }

    // ---- channels ----------------------------------------------------------------------------

    pub fn start_upgrade(&mut self, now: Millis, channel: ChannelId) -> bool {
        let started = self.machine.start_upgrade(now, channel);
        assert_eq!(started, self.state != State::Closed && self.probe.is_none());
        if started {
            self.probe = Some(Probe { channel, deadline: now + self.timing.upgrade_timeout(), noop_at: None });
            self.channels.push(channel);
        }
        self.check_timer();
        started
    }

    pub fn channel_closed(&mut self, channel: ChannelId, fault: Option<Fault>) -> Vec<Action> {
        let mut out = Vec::new();
        self.machine.channel_closed(channel, fault.clone(), &mut out);
        if self.probed_channel() == Some(channel) {
            self.channels.retain(|known| *known != channel);
            let end = fault.map_or(ProbeEnd::Closed, ProbeEnd::Failed);
            assert_eq!(out, [Action::UpgradeFailed { channel, end }]);
            self.take_all(&out, None);
            self.assert_not_ended();
        } else if self.state != State::Closed && self.channel == Some(channel) {
            self.take_all(&out, None);
            self.assert_ended(&[fault.map_or(Reason::TransportClose, Reason::TransportError)]);
        } else {
            assert_eq!(out, [], "the end of a channel that is not in use means nothing");
        }
        out
    }

    // ---- the end -----------------------------------------------------------------------------

    pub fn begin_close(&mut self) {
        self.machine.begin_close();
        if self.state == State::Open {
            self.state = State::Closing;
        }
        self.check_timer();
    }

    pub fn close_transport(&mut self, now: Millis, discard: bool) -> Vec<Action> {
        let mut out = Vec::new();
        let waits = self.state != State::Closed && self.channel.is_none() && self.poll.is_none() && !discard;
        let was_closed = self.state == State::Closed;
        self.machine.close_transport(now, (!discard).then_some(CLOSE_GRACE), &mut out);
        if self.state == State::Open {
            self.state = State::Closing;
        }
        if waits {
            self.close_at.get_or_insert(now + CLOSE_GRACE);
            let expected = if self.posting { vec![Action::AbortPost] } else { Vec::new() };
            assert_eq!(out, expected, "a client between two polls is waited for");
        }
        let kept = self.handed.len();
        self.take_all(&out, None);
        if waits {
            self.assert_not_ended();
        } else if was_closed {
            assert_eq!(out, []);
        } else {
            assert!(discard || kept == 0, "an orderly close loses nothing");
            self.assert_ended(&[Reason::ForcedClose]);
        }
        out
    }

    pub fn close(&mut self, reason: &Reason) -> Vec<Action> {
        let mut out = Vec::new();
        let was_closed = self.state == State::Closed;
        self.machine.close(reason.clone(), &mut out);
        if was_closed {
            assert_eq!(out, []);
        } else {
            self.take_all(&out, None);
            self.assert_ended(std::slice::from_ref(reason));
        }
        out
    }

    // ---- time --------------------------------------------------------------------------------

    /// The driver knows that the peer may have spoken without being heard.
    pub fn excuse(&mut self, now: Millis) {
        self.machine.excuse(now);
        self.excused(now);
        self.check_timer();
    }

    /// The driver comes late.
    pub fn excuse_if_late(&mut self, now: Millis) {
        let late = match self.beat {
            Beat::PingAt { .. } => None,
            Beat::PongBy { deadline, .. } | Beat::ClientPingBy(deadline) => now.checked_sub(deadline),
        };
        let late = late.filter(|_| self.state != State::Closed);
        assert_eq!(self.machine.is_overdue(now), late.is_some());
        self.machine.excuse_if_late(now);
        if late.is_some_and(|late| late > self.timing.ping_timeout() / 4) {
            self.excused(now);
        }
        self.check_timer();
    }

    pub fn is_overdue(&self, now: Millis) -> bool {
        self.machine.is_overdue(now)
    }

    pub fn tick(&mut self, now: Millis) -> Vec<Action> {
        let mut out = Vec::new();
        self.machine.tick(now, &mut out);
        if self.state == State::Closed {
            assert_eq!(out, []);
            return out;
        }
        if self.close_at.is_some_and(|close_at| now >= close_at) {
            self.take_all(&out, None);
            self.assert_ended(&[Reason::ForcedClose]);
            return out;
        }
        let given_up = self.probe.as_ref().is_some_and(|probe| now >= probe.deadline);
        let mut polled = self.poll.is_some();
        let mut released = false;
        let mut must_answer = false;
        if let Some(probe) = self.probe.as_mut().filter(|_| !given_up) {
            if probe.noop_at.is_some_and(|noop_at| now >= noop_at) {
                probe.noop_at = Some(now + NOOP_INTERVAL);
                released = polled;
                polled = false;
            }
        }
        let (mut pings, mut dies) = (false, false);
        match self.beat {
            Beat::PingAt { at, .. } if now >= at => {
                self.beat = Beat::PongBy { sent: now, deadline: now + self.timing.ping_timeout(), extended: false };
                pings = self.state == State::Open;
                must_answer = pings && polled;
            }
            Beat::PongBy { deadline, .. } | Beat::ClientPingBy(deadline) => dies = now >= deadline,
            Beat::PingAt { .. } => {}
        }
        let probe_before = self.probed_channel();
        let mut rest = &out[..];
        if released {
            // the noop first: a ping that is due at the same time waits for the next poll
            let noop = out.first().expect("a poll is released by a noop every 100 ms");
            let is_noop = |packets: &Vec<OutPacket>| packets.last() == Some(&bare(PacketType::Noop));
            assert!(matches!(noop, Action::AnswerPoll { packets, .. } if is_noop(packets)), "{noop:?} is no noop");
            self.enter(&[noop], None);
            rest = &out[1..];
        }
        if pings {
            self.owed = Some(PacketType::Ping);
        }
        self.take_all(rest, None);
        assert_eq!(given_up || (dies && probe_before.is_some()), probe_before.is_some() && self.probe.is_none());
        assert_eq!(pings, out.contains(&Action::Pinged), "a ping goes out exactly when it is due");
        assert!(!must_answer || self.poll.is_none(), "a poll that is to be released was left pending");
        if dies {
            self.assert_ended(&[Reason::PingTimeout]);
        } else {
            self.assert_not_ended();
            assert!(!pings || self.channel.is_none() || self.owed.is_none(), "a ping was not sent");
            assert!(self.machine.next_deadline() > Some(now), "the timer would spin");
        }
        out
    }
}

/// A message that can be told from all others.
pub fn message(id: u64) -> OutPacket {
    OutPacket { kind: PacketType::Message, data: OutData::Text(id.to_string()) }
}

pub fn message_id(packet: &OutPacket) -> Option<u64> {
    match (packet.kind, &packet.data) {
        (PacketType::Message, OutData::Text(text)) => text.parse().ok(),
        _ => None,
    }
}

/// A packet of the heartbeat; not the answer to a probe.
pub fn is_beat(packet: &OutPacket) -> bool {
    matches!(packet.kind, PacketType::Ping | PacketType::Pong) && packet.data == OutData::None
}
