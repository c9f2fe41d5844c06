//! The other side: an engine.io-client, and one that breaks the rules.

use std::collections::VecDeque;

use engine_io_native::protocol::PacketType;
use engine_io_native::session::{ChannelId, OutPacket, Revision};

use super::life::{Answer, Channel, Content, Life, Request, Up};
use super::rng::Rng;
use super::subject::{is_beat, message_id};
use super::{Manners, life};

/// How the client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    Polling,
    Channel(ChannelId),
    /// It closed, or lost its connection.
    Gone,
}

/// How far an upgrade has come, as the client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opened,
    Probed,
    /// The probe was answered: polling pauses.
    Answered,
}

#[derive(Debug)]
pub struct Client {
    revision: Revision,
    pub via: Via,
    /// It is there, but does nothing any more: a half-open connection.
    silent: bool,
    /// It left by its own wish or by a fault, before the server said good-bye.
    left: bool,
    poll: Option<u32>,
    post: Option<u32>,
    outbox: VecDeque<u64>,
    pub sent: u64,
    /// A pong (v4) or a ping (v3) is due.
    beat_due: bool,
    upgrade: Option<(ChannelId, Stage)>,
}

impl Client {
    pub fn new(revision: Revision, channel: Option<ChannelId>) -> Self {
        Self {
            revision,
            via: channel.map_or(Via::Polling, Via::Channel),
            silent: false,
            left: false,
            poll: None,
            post: None,
            outbox: VecDeque::new(),
            sent: 0,
            beat_due: false,
            upgrade: None,
        }
    }

    /// Whether it still takes part.
    pub fn is_there(&self) -> bool {
        self.via != Via::Gone && !self.silent
    }

    /// Whether it heard the end from the server.
    pub fn was_served(&self) -> bool {
        !self.left && !self.silent
    }

    /// Whether it has nothing left to send.
    pub fn is_idle(&self) -> bool {
        self.outbox.is_empty() && self.post.is_none()
    }

    fn is_paused(&self) -> bool {
        matches!(self.upgrade, Some((_, Stage::Answered)))
    }

    fn may_poll(&self) -> bool {
        self.via == Via::Polling && !self.silent && !self.is_paused() && self.poll.is_none()
    }

    fn may_post(&self) -> bool {
        self.via == Via::Polling && !self.silent && !self.is_paused() && self.post.is_none()
    }
}

impl Life {
    // ---- in order ----------------------------------------------------------------------------

    /// Everything that the client can do next, as a well-behaved one does it.
    pub fn client_acts_in_order(&mut self) {
        self.client_polls();
        self.client_posts();
        self.client_writes();
        self.client_upgrades();
    }

    pub fn client_sends(&mut self) -> bool {
        if !self.client.is_there() {
            return false;
        }
        self.client.sent += 1;
        self.client.outbox.push_back(self.client.sent);
        true
    }

    pub fn client_polls(&mut self) -> bool {
        if !self.client.may_poll() {
            return false;
        }
        let conn = self.request(Content::Poll);
        self.client.poll = Some(conn);
        true
    }

    pub fn client_posts(&mut self) -> bool {
        if !self.client.may_post() {
            return false;
        }
        let body = self.client_takes(4);
        if body.is_empty() {
            return false;
        }
        let conn = self.request(Content::Post(body));
        self.client.post = Some(conn);
        true
    }

    /// Sends what waits on the current channel.
    pub fn client_writes(&mut self) -> bool {
        let Via::Channel(id) = self.client.via else { return false };
        if self.client.silent {
            return false;
        }
        let packets = self.client_takes(3);
        let any = !packets.is_empty();
        if let Some(channel) = self.channel(id) {
            channel.up.extend(packets);
        }
        any
    }

    fn client_takes(&mut self, at_most: usize) -> Vec<Up> {
        let mut packets = Vec::new();
        if std::mem::take(&mut self.client.beat_due) {
            packets.push(Up::Other(match self.client.revision {
                Revision::V3 => PacketType::Ping,
                Revision::V4 => PacketType::Pong,
            }));
        }
        let take = self.client.outbox.len().min(at_most);
        packets.extend(self.client.outbox.drain(..take).map(Up::Message));
        packets
    }

    /// The next step of an upgrade that has begun.
    pub fn client_upgrades(&mut self) -> bool {
        if self.client.silent || self.client.via != Via::Polling {
            return false;
        }
        match self.client.upgrade {
            Some((id, Stage::Opened)) => {
                self.client.upgrade = Some((id, Stage::Probed));
                self.channel(id).expect("it was opened").up.push_back(Up::Probe);
                true
            }
            Some((id, Stage::Answered)) if self.client.poll.is_none() && self.client.post.is_none() => {
                self.client.upgrade = None;
                self.client.via = Via::Channel(id);
                self.channel(id).expect("it was opened").up.push_back(Up::Other(PacketType::Upgrade));
                true
            }
            _ => false,
        }
    }

    pub fn client_opens_channel(&mut self) -> bool {
        if self.client.silent || self.client.via != Via::Polling || self.client.upgrade.is_some() {
            return false;
        }
        if let Some(id) = self.open_channel() {
            self.client.upgrade = Some((id, Stage::Opened));
        }
        true
    }

    /// A connection for the session, `None` if the server refused it.
    fn open_channel(&mut self) -> Option<ChannelId> {
        let id = self.next_channel;
        self.next_channel += 1;
        let accepted = self.owner_starts_upgrade(id);
        self.note(|_| format!("channel {id} opens, accepted: {accepted}"));
        if accepted {
            self.channels.push(Channel::new(id));
        }
        accepted.then_some(id)
    }

    /// Time for the client's heartbeat (v3).
    pub fn client_beats(&mut self) -> bool {
        let beats = self.client.revision == Revision::V3 && self.client.is_there();
        self.client.beat_due |= beats;
        beats
    }

    fn request(&mut self, content: Content) -> u32 {
        let conn = self.next_conn;
        self.next_conn += 1;
        self.requests.push(Request { conn, content });
        conn
    }

    // ---- what reaches the client -------------------------------------------------------------

    pub fn client_answered(&mut self, conn: u32, answer: Answer) {
        let (polled, posted) = (self.client.poll == Some(conn), self.client.post == Some(conn));
        if !polled && !posted {
            return; // it does not wait for this one any more
        }
        if polled {
            self.client.poll = None;
        } else {
            self.client.post = None;
        }
        match answer {
            Answer::Packets(packets) => {
                for packet in packets {
                    self.client_receives(None, packet);
                }
            }
            Answer::Done => {}
            Answer::Refused | Answer::Destroyed => {
                self.note(|_| "the client was refused and gives up".into());
                self.client_goes();
            }
        }
    }

    pub fn client_receives(&mut self, channel: Option<ChannelId>, packet: OutPacket) {
        if self.manners == Manners::Rude {
            // it may have dropped or doubled its requests: what it sees proves nothing
            if let Some(id) = message_id(&packet) {
                let before = self.undelivered.len();
                self.undelivered.retain(|waiting| *waiting != id);
                self.arrived += (before - self.undelivered.len()) as u64;
            }
        } else if let Some(id) = message_id(&packet) {
            if self.client.via == Via::Gone {
                return;
            }
            assert_eq!(self.undelivered.pop_front(), Some(id), "lost, doubled or out of order at the client");
            self.arrived += 1;
        }
        if self.client.silent {
            return;
        }
        match packet.kind {
            PacketType::Ping if is_beat(&packet) => self.client.beat_due = true,
            PacketType::Pong if !is_beat(&packet) => {
                if let Some((id, stage)) = &mut self.client.upgrade {
                    if channel == Some(*id) && *stage == Stage::Probed {
                        *stage = Stage::Answered;
                    }
                }
            }
            PacketType::Close if self.client.via == Via::Polling => {
                self.client.via = Via::Gone;
                self.client.upgrade = None;
                self.client_cuts();
            }
            _ => {}
        }
    }

    /// A channel is no more, as the client sees it.
    pub fn client_lost(&mut self, id: ChannelId) {
        if self.client.via == Via::Channel(id) {
            self.client.via = Via::Gone;
            // its upgrade packet may have come too late for a server that had given the upgrade up
            self.client.left |= self.subject.channel != Some(id);
        }
        if self.client.upgrade.is_some_and(|(probed, _)| probed == id) {
            self.client.upgrade = None;
        }
    }

    // ---- faults ------------------------------------------------------------------------------

    /// Sends a close packet (polling) or closes the channel.
    pub fn client_closes(&mut self) -> bool {
        if !self.client.is_there() {
            return false;
        }
        self.note(|_| "the client closes".into());
        match self.client.via {
            Via::Polling if self.client.post.is_none() => {
                let conn = self.request(Content::Post(vec![Up::Other(PacketType::Close)]));
                // it goes on to wait for its poll
                self.client.post = Some(conn);
                self.client.left = true;
                self.client.silent = true;
            }
            _ => drop(self.client_goes()),
        }
        true
    }

    /// The client's process ends: all its connections are cut.
    pub fn client_goes(&mut self) -> bool {
        if self.client.via == Via::Gone {
            return false;
        }
        self.client.left = true;
        self.client.via = Via::Gone;
        self.client.upgrade = None;
        self.client_cuts();
        true
    }

    fn client_cuts(&mut self) {
        let lost = self.client.poll.take().into_iter().chain(self.client.post.take());
        self.cut.extend(lost);
        for channel in &mut self.channels {
            channel.gone = true;
        }
    }

    /// From now on nothing comes from it, while its connections stay.
    pub fn client_falls_silent(&mut self) -> bool {
        self.note(|_| "the client falls silent".into());
        self.client.silent = true;
        true
    }

    /// The channel of an upgrade, or the current one, breaks.
    pub fn channel_breaks(&mut self, rng: &mut Rng) -> bool {
        let alive: Vec<_> = self.channels.iter().filter(|channel| !channel.gone).map(|channel| channel.id).collect();
        if alive.is_empty() {
            return false;
        }
        let id = *rng.pick(&alive);
        self.note(|_| format!("channel {id} breaks"));
        self.channel(id).expect("it is one of them").gone = true;
        if self.client.via == Via::Channel(id) {
            self.client.left = true;
        }
        self.client_lost(id);
        true
    }

    // ---- bad manners -------------------------------------------------------------------------

    /// Something that no client does.
    pub fn client_misbehaves(&mut self, rng: &mut Rng) -> bool {
        let kinds = [
            PacketType::Open,
            PacketType::Close,
            PacketType::Ping,
            PacketType::Pong,
            PacketType::Upgrade,
            PacketType::Noop,
        ];
        let any = match rng.below(9) {
            0 => Up::Unknown,
            1 => Up::Probe,
            2 if rng.one_in(4) => Up::Garbage,
            3 => Up::Message(0),
            4 => Up::Other(PacketType::Pong),
            _ => Up::Other(*rng.pick(&kinds)),
        };
        match rng.below(10) {
            // a duplicate of a request, now or much later; an overlap if the first is still there
            0 => drop(self.request(Content::Poll)),
            1 => drop(self.request(Content::Post(vec![any, Up::Message(0)]))),
            2 => {
                if let Some(at) = self.requests.len().checked_sub(1) {
                    let request = &self.requests[rng.index(at + 1)];
                    let copy = Request { conn: request.conn + 1_000_000, content: request.content.clone() };
                    self.requests.push(copy);
                }
            }
            // a request is cut, before or after it arrived
            3 => {
                let polls = self.polls.iter().map(|(_, conn)| *conn);
                let all: Vec<_> = polls.chain(self.posts.iter().map(|(conn, _)| *conn)).collect();
                if all.is_empty() {
                    return false;
                }
                self.cut.push(*rng.pick(&all));
            }
            4 => return self.open_channel().is_some(),
            _ => {
                let alive: Vec<_> =
                    self.channels.iter().filter(|channel| !channel.gone).map(|channel| channel.id).collect();
                if alive.is_empty() {
                    return false;
                }
                let id = *rng.pick(&alive);
                self.channel(id).expect("it is one of them").up.push_back(any);
            }
        }
        true
    }

    /// A stranger's packet, from a channel that the session has never seen or does not use any more.
    pub fn foreign_packet(&mut self, rng: &mut Rng) -> bool {
        let id = rng.below(u64::from(self.next_channel) + 2) as ChannelId;
        let in_use = self.subject.channel == Some(id) || self.subject.probed_channel() == Some(id);
        if in_use {
            return false;
        }
        let up = *rng.pick(&[Up::Message(0), Up::Probe, Up::Garbage, Up::Other(PacketType::Upgrade)]);
        self.receive(Some(id), up, life::Thread::Io);
        let actions = self.subject.channel_closed(id, None);
        assert!(actions.is_empty());
        true
    }
}
