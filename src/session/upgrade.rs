//! Moving a session from polling to a better transport without losing, doubling or reordering a packet.

use super::action::{Action, ProbeEnd};
use super::machine::{Session, Transport};
use super::timing::NOOP_INTERVAL;
use super::{ChannelId, Millis, OutPacket};
use crate::protocol::PacketType;

/// A channel that a client probes.
#[derive(Debug)]
pub(super) struct Upgrade {
    channel: ChannelId,
    /// When the client must have completed the upgrade.
    deadline: Millis,
    /// After the probe: when a pending poll is next answered with a `noop`, so that the client,
    /// which waits for its poll to return, can go on.
    noop_at: Option<Millis>,
}

impl Upgrade {
    pub(super) fn next_deadline(&self) -> Millis {
        self.noop_at.map_or(self.deadline, |noop_at| noop_at.min(self.deadline))
    }
}

impl Session {
    /// A channel was opened for this session. False if it must be closed: an upgrade is under way
    /// already, or the session is over.
    pub fn start_upgrade(&mut self, now: Millis, channel: ChannelId) -> bool {
        if self.is_closed() || self.upgrade.is_some() {
            return false;
        }
        let deadline = now + self.timing.upgrade_timeout();
        self.upgrade = Some(Box::new(Upgrade { channel, deadline, noop_at: None }));
        true
    }

    /// Whether a client probes the channel.
    pub fn is_probing(&self, channel: ChannelId) -> bool {
        self.upgrade.as_ref().is_some_and(|upgrade| upgrade.channel == channel)
    }

    pub(super) fn receive_on_probe(
        &mut self,
        now: Millis,
        channel: ChannelId,
        kind: Option<PacketType>,
        probe: bool,
        out: &mut Vec<Action>,
    ) {
        match kind {
            Some(PacketType::Ping) if probe => {
                if let Some(upgrade) = &mut self.upgrade {
                    upgrade.noop_at = Some(now + NOOP_INTERVAL);
                }
                out.push(Action::Send { channel, packets: vec![OutPacket::probe_pong()] });
                out.push(Action::Upgrading { channel });
            }
            Some(PacketType::Upgrade) if !self.is_closed() => self.complete_upgrade(now, channel, out),
            _ => self.abandon_upgrade(ProbeEnd::GivenUp, out),
        }
    }

    fn complete_upgrade(&mut self, now: Millis, channel: ChannelId, out: &mut Vec<Action>) {
        self.upgrade = None;
        let mut waiting = match &mut self.transport {
            Transport::Polling(polling) => polling.take_waiting(),
            Transport::Channel(_) => Vec::new(),
        };
        self.end_transport(out);
        self.transport = Transport::Channel(channel);
        self.heartbeat.moved(now, &self.timing);
        if !waiting.is_empty() {
            out.push(Action::Send { channel, packets: std::mem::take(&mut waiting) });
        }
        out.push(Action::Upgraded { channel });
    }

    /// Gives the upgrade up, and closes the channel if it is not closed yet.
    pub(super) fn abandon_upgrade(&mut self, end: ProbeEnd, out: &mut Vec<Action>) {
        let Some(Upgrade { channel, .. }) = self.upgrade.take().map(|upgrade| *upgrade) else { return };
        if matches!(end, ProbeEnd::GivenUp | ProbeEnd::SessionEnded) {
            out.push(Action::CloseChannel { channel });
        }
        out.push(Action::UpgradeFailed { channel, end });
    }

    pub(super) fn tick_upgrade(&mut self, now: Millis, out: &mut Vec<Action>) {
        let relayed = self.is_relayed();
        let Some(upgrade) = &mut self.upgrade else { return };
        if now >= upgrade.deadline {
            return self.abandon_upgrade(ProbeEnd::GivenUp, out);
        }
        if upgrade.noop_at.is_some_and(|noop_at| now >= noop_at) {
            upgrade.noop_at = Some(now + NOOP_INTERVAL);
            if relayed {
                out.push(Action::Relay { kind: PacketType::Noop });
            } else if let Transport::Polling(polling) = &mut self.transport {
                if polling.poll.is_some() {
                    polling.answer(vec![OutPacket::bare(PacketType::Noop)], false, out);
                }
            }
        }
    }
}
