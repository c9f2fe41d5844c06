//! The ledger of the machine under test: what must hold whatever it decides.

use engine_io_native::protocol::PacketType;
use engine_io_native::session::{Action, Millis, OutPacket, Reason, Revision};

use super::subject::{Beat, State, Subject, is_beat, message_id};
use crate::support::session::{bare, probe_answer};

impl Subject {
    pub(super) fn take_all(&mut self, actions: &[Action], moves_at: Option<Millis>) {
        let actions: Vec<&Action> = actions.iter().collect();
        self.take(&actions, moves_at);
    }

    /// Enters what was decided in a step.
    pub(super) fn take(&mut self, actions: &[&Action], moves_at: Option<Millis>) {
        self.enter(actions, moves_at);
        self.check_timer();
    }

    /// Enters actions. `moves_at`: an upgrade may be completed by them.
    pub(super) fn enter(&mut self, actions: &[&Action], moves_at: Option<Millis>) {
        let ends = actions.iter().any(|action| matches!(action, Action::Closed(_)));
        self.just_ended = ends;
        let moves = actions.iter().any(|action| matches!(action, Action::Upgraded { .. }));
        for &action in actions {
            assert!(self.state != State::Closed, "{action:?} after the end");
            match action {
                Action::AnswerPoll { poll, packets, .. } => {
                    assert_eq!(self.poll.take(), Some(*poll), "an answer to a poll that is not pending");
                    let farewell = *packets == [bare(PacketType::Close)] && (ends || moves);
                    if farewell || (ends && *packets == [bare(PacketType::Noop)]) {
                        continue;
                    }
                    self.sent(packets);
                    assert!(self.handed.is_empty(), "an answer leaves nothing behind");
                    assert_eq!(self.owed, None, "an answer takes the heartbeat along");
                    let beats = packets.iter().filter(|packet| is_beat(packet)).count();
                    assert!(beats <= 1, "{beats} heartbeats in one answer");
                }
                Action::Send { channel, packets } => {
                    if self.channel == Some(*channel) || (moves && self.probed_channel() == Some(*channel)) {
                        self.sent(packets);
                    } else {
                        assert_eq!(self.probed_channel(), Some(*channel), "a packet on a channel not in use");
                        assert_eq!(*packets, [probe_answer()], "a packet on a channel under probe");
                    }
                }
                Action::RejectPoll { .. } => panic!("{action:?} without a reason"),
                Action::AbortPost => assert!(std::mem::take(&mut self.posting), "no POST is in progress"),
                Action::CloseChannel { channel } => {
                    let told = self.channels.len();
                    self.channels.retain(|known| known != channel);
                    assert_eq!(told, self.channels.len() + 1, "channel {channel} is closed already");
                }
                Action::Pinged | Action::Relay { .. } => {}
                Action::Upgrading { channel } => assert_eq!(self.probed_channel(), Some(*channel)),
                Action::Upgraded { channel } => {
                    let now = moves_at.expect("an upgrade out of nothing");
                    assert_eq!(self.probe.take().map(|probe| probe.channel), Some(*channel));
                    self.channel = Some(*channel);
                    self.close_at = None;
                    self.moved(now);
                    assert_eq!((self.poll, self.posting), (None, false), "polling goes on after the upgrade");
                    assert_eq!(self.channels, [*channel], "the former channel is closed");
                }
                Action::UpgradeFailed { channel, .. } => {
                    assert_eq!(self.probe.take().map(|probe| probe.channel), Some(*channel));
                    assert!(!self.channels.contains(channel), "channel {channel} is left behind");
                }
                Action::Closed(reason) => {
                    self.state = State::Closed;
                    self.ended = Some(reason.clone());
                    assert_eq!((self.poll, self.posting), (None, false), "a request is left behind");
                    assert!(self.probe.is_none(), "an upgrade is left behind");
                    assert!(self.channels.is_empty(), "channels are left behind");
                    self.close_at = None;
                }
            }
        }
    }

    /// Packets on their way: messages in the order in which they were handed over.
    pub(super) fn sent(&mut self, packets: &[OutPacket]) {
        assert!(!packets.is_empty(), "an answer or a frame without packets");
        for packet in packets {
            if let Some(id) = message_id(packet) {
                assert_eq!(self.handed.pop_front(), Some(id), "lost, doubled or out of order");
            } else if self.owed == Some(packet.kind) && is_beat(packet) {
                self.owed = None;
            }
        }
        if self.handed.is_empty() {
            self.batches = 0;
        }
    }

    /// The timer is set for what comes next, and for nothing once all is over.
    pub(super) fn check_timer(&self) {
        assert_eq!(self.machine.is_closed(), self.state == State::Closed);
        if self.state == State::Closed {
            assert_eq!(self.machine.next_deadline(), None, "a timer after the end");
            return;
        }
        let (Beat::PingAt { at: beat, .. } | Beat::PongBy { deadline: beat, .. } | Beat::ClientPingBy(beat)) =
            self.beat;
        let probe = self.probe.as_ref();
        let all = [Some(beat), probe.map(|probe| probe.deadline), probe.and_then(|probe| probe.noop_at), self.close_at];
        assert_eq!(self.machine.next_deadline(), all.into_iter().flatten().min(), "the timer");
    }

    pub(super) fn assert_ended(&self, reasons: &[Reason]) {
        assert!(self.just_ended, "the session should have ended with {reasons:?}");
        let ended = self.ended.as_ref().expect("there is a reason");
        assert!(reasons.contains(ended), "ended with {ended:?} instead of {reasons:?}");
    }

    pub(super) fn assert_not_ended(&self) {
        assert!(!self.just_ended, "there is no reason to end, but: {:?}", self.ended);
    }

    pub(super) fn fresh_beat(&self, now: Millis) -> Beat {
        match self.revision {
            Revision::V3 => Beat::ClientPingBy(now + self.timing.ping_interval() + self.timing.ping_timeout()),
            Revision::V4 => Beat::PingAt { at: now + self.timing.ping_interval(), excused: false },
        }
    }

    /// The heartbeat after the peer's part of it. A pong that is late does not put the next ping off: the
    /// peer counts from the last one.
    pub(super) fn beaten(&self, now: Millis) -> Beat {
        match self.beat {
            Beat::PingAt { at, excused: true } => Beat::PingAt { at, excused: false },
            Beat::PongBy { sent, deadline, .. } if now > deadline => {
                Beat::PingAt { at: now.max(sent + self.timing.ping_interval()), excused: false }
            }
            _ => self.fresh_beat(now),
        }
    }

    /// The peer gets another chance.
    pub(super) fn excused(&mut self, now: Millis) {
        self.beat = match self.beat {
            Beat::PongBy { sent, .. } => {
                Beat::PingAt { at: now.max(sent + self.timing.ping_interval()), excused: true }
            }
            Beat::ClientPingBy(deadline) => Beat::ClientPingBy(deadline.max(now + self.timing.ping_timeout())),
            rest => rest,
        };
    }

    pub(super) fn extend(&mut self, now: Millis) {
        if let Beat::PongBy { deadline, extended: extended @ false, .. } = &mut self.beat {
            *deadline = now + self.timing.ping_timeout();
            *extended = true;
        }
    }

    /// After an upgrade the peer has its full time again.
    pub(super) fn moved(&mut self, now: Millis) {
        match &mut self.beat {
            Beat::PingAt { .. } => {}
            Beat::PongBy { deadline, .. } => *deadline = now + self.timing.ping_timeout(),
            Beat::ClientPingBy(deadline) => {
                *deadline = now + self.timing.ping_interval() + self.timing.ping_timeout();
            }
        }
    }
}
