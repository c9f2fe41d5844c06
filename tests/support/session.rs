//! A session on a bench: time stands still until a test moves it, and what the machine decides is
//! handed back instead of being carried out.

use std::sync::Arc;

use engine_io_native::protocol::PacketType;
use engine_io_native::session::{
    Action, ChannelId, Delivery, Fault, Millis, OutData, OutPacket, PollId, Reason, Revision, Session, Start, Timing,
};

/// The defaults of the original, in ms.
pub const PING_INTERVAL: Millis = 25_000;
pub const PING_TIMEOUT: Millis = 20_000;
pub const UPGRADE_TIMEOUT: Millis = 10_000;
/// How long a graceful close waits for the next poll.
pub const CLOSE_GRACE: Millis = 30_000;

/// The channel of a session that starts on one.
pub const FIRST: ChannelId = 1;
/// A channel that tries to take over.
pub const SECOND: ChannelId = 2;

pub struct Bench {
    pub session: Session,
    pub now: Millis,
    pub timing: Arc<Timing>,
}

impl Bench {
    pub fn new(revision: Revision, start: Start) -> Self {
        let timing = Arc::new(Timing::new(PING_INTERVAL, PING_TIMEOUT, UPGRADE_TIMEOUT));
        Self { session: Session::new(0, revision, timing.clone(), start), now: 0, timing }
    }

    /// A polling session of protocol 4.
    pub fn polling() -> Self {
        Self::new(Revision::V4, Start::Polling)
    }

    /// A polling session of protocol 3.
    pub fn polling_v3() -> Self {
        Self::new(Revision::V3, Start::Polling)
    }

    /// A session of protocol 4 on the channel [`FIRST`].
    pub fn channel() -> Self {
        Self::new(Revision::V4, Start::Channel(FIRST))
    }

    /// A session of protocol 3 on the channel [`FIRST`].
    pub fn channel_v3() -> Self {
        Self::new(Revision::V3, Start::Channel(FIRST))
    }

    /// A polling session whose client has opened [`SECOND`].
    pub fn upgrading() -> Self {
        let mut bench = Self::polling();
        assert!(bench.start_upgrade(SECOND));
        bench
    }

    /// The same after the probe.
    pub fn probed() -> Self {
        let mut bench = Self::upgrading();
        bench.probe(SECOND);
        bench
    }

    /// A session that has moved to [`SECOND`].
    pub fn upgraded(revision: Revision) -> Self {
        let mut bench = Self::new(revision, Start::Polling);
        assert!(bench.start_upgrade(SECOND));
        bench.probe(SECOND);
        assert_eq!(bench.packet_on(SECOND, PacketType::Upgrade), [Action::Upgraded { channel: SECOND }]);
        bench
    }

    /// What one step of the machine decides.
    pub fn step(&mut self, step: impl FnOnce(&mut Session, Millis, &mut Vec<Action>)) -> Vec<Action> {
        let mut actions = Vec::new();
        step(&mut self.session, self.now, &mut actions);
        actions
    }

    // ---- what clients do ---------------------------------------------------------------------

    pub fn poll(&mut self, poll: PollId) -> Vec<Action> {
        self.step(|session, _, out| session.poll(poll, false, out))
    }

    /// A poll for which the owner has packets at hand.
    pub fn poll_with_more(&mut self, poll: PollId) -> Vec<Action> {
        self.step(|session, _, out| session.poll(poll, true, out))
    }

    pub fn abort_poll(&mut self, poll: PollId) -> Vec<Action> {
        self.step(|session, _, out| session.poll_aborted(poll, out))
    }

    /// Begins a POST: whether it may go on, and what else is to be done.
    pub fn begin_post(&mut self) -> (bool, Vec<Action>) {
        let mut started = false;
        let actions = self.step(|session, _, out| started = session.post_started(out));
        (started, actions)
    }

    pub fn abort_post(&mut self) -> Vec<Action> {
        self.step(|session, _, out| session.post_aborted(out))
    }

    /// A packet on some channel, or by POST.
    pub fn receive(&mut self, channel: Option<ChannelId>, kind: PacketType) -> (Delivery, Vec<Action>) {
        self.receive_any(channel, Some(kind), false)
    }

    pub fn receive_any(
        &mut self,
        channel: Option<ChannelId>,
        kind: Option<PacketType>,
        probe: bool,
    ) -> (Delivery, Vec<Action>) {
        let mut delivery = Delivery::Drop;
        let actions = self.step(|session, now, out| delivery = session.receive(now, channel, kind, probe, out));
        (delivery, actions)
    }

    /// A packet in a whole POST.
    pub fn post(&mut self, kind: PacketType) -> (Delivery, Vec<Action>) {
        let (started, actions) = self.begin_post();
        assert!(started && actions.is_empty());
        self.session.post_finished();
        self.receive(None, kind)
    }

    /// A packet on a channel, its delivery aside.
    pub fn packet_on(&mut self, channel: ChannelId, kind: PacketType) -> Vec<Action> {
        self.receive(Some(channel), kind).1
    }

    pub fn probe(&mut self, channel: ChannelId) -> Vec<Action> {
        self.receive_any(Some(channel), Some(PacketType::Ping), true).1
    }

    pub fn start_upgrade(&mut self, channel: ChannelId) -> bool {
        self.session.start_upgrade(self.now, channel)
    }

    pub fn channel_closed(&mut self, channel: ChannelId) -> Vec<Action> {
        self.step(|session, _, out| session.channel_closed(channel, None, out))
    }

    pub fn channel_failed(&mut self, channel: ChannelId, fault: Fault) -> Vec<Action> {
        self.step(|session, _, out| session.channel_closed(channel, Some(fault), out))
    }

    pub fn garbage(&mut self, channel: Option<ChannelId>) -> Vec<Action> {
        self.step(|session, _, out| session.receive_garbage(channel, out))
    }

    // ---- what the application does -----------------------------------------------------------

    pub fn send(&mut self, text: &str) -> Vec<Action> {
        self.send_all(vec![message(text)], false)
    }

    pub fn send_all(&mut self, packets: Vec<OutPacket>, compress: bool) -> Vec<Action> {
        self.step(|session, _, out| session.send(packets, compress, out))
    }

    pub fn close_transport(&mut self) -> Vec<Action> {
        self.step(|session, now, out| session.close_transport(now, Some(CLOSE_GRACE), out))
    }

    pub fn discard(&mut self) -> Vec<Action> {
        self.step(|session, now, out| session.close_transport(now, None, out))
    }

    // ---- time --------------------------------------------------------------------------------

    /// Lets time pass as a driver would: a tick at each deadline, and nothing between.
    pub fn wait(&mut self, ms: Millis) -> Vec<Action> {
        let end = self.now + ms;
        let mut actions = Vec::new();
        while let Some(deadline) = self.session.next_deadline().filter(|deadline| *deadline <= end) {
            assert!(deadline >= self.now, "a deadline that has passed was left standing");
            self.now = deadline;
            self.session.tick(deadline, &mut actions);
        }
        self.now = end;
        actions
    }

    /// Time from now until the machine wants to be called.
    pub fn timer(&self) -> Option<Millis> {
        self.session.next_deadline().map(|deadline| deadline - self.now)
    }
}

// ---- packets and actions in short ------------------------------------------------------------

pub fn message(text: &str) -> OutPacket {
    OutPacket { kind: PacketType::Message, data: OutData::Text(text.into()) }
}

pub fn bare(kind: PacketType) -> OutPacket {
    OutPacket::bare(kind)
}

pub fn probe_answer() -> OutPacket {
    OutPacket { kind: PacketType::Pong, data: OutData::Text("probe".into()) }
}

/// The answer to a poll, not to be compressed.
pub fn answer<const N: usize>(poll: PollId, packets: [OutPacket; N]) -> Action {
    Action::AnswerPoll { poll, packets: packets.into(), compress: false }
}

/// The answer to a poll that may be compressed, as every one that the heartbeat brings about.
pub fn compressible<const N: usize>(poll: PollId, packets: [OutPacket; N]) -> Action {
    Action::AnswerPoll { poll, packets: packets.into(), compress: true }
}

pub fn send<const N: usize>(channel: ChannelId, packets: [OutPacket; N]) -> Action {
    Action::Send { channel, packets: packets.into() }
}

pub fn failed(fault: Fault) -> Action {
    Action::Closed(Reason::TransportError(fault))
}
