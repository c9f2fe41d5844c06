//! One session with its owner, its client and the network between them.

use std::collections::VecDeque;
use std::sync::Arc;

use engine_io_native::protocol::PacketType;
use engine_io_native::session::{
    Action, ChannelId, Delivery, Fault, Millis, OutPacket, PollId, Reason, Revision, Timing,
};

use super::Count;
use super::client::{Client, Via};
use super::owner::{Event, Owner};
use super::rng::Rng;
use super::subject::{State, Subject};

/// How the other side behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// As engine.io-client does, over a network that may fail.
    Polite,
    /// Anything at any time.
    Rude,
}

/// One of the client's HTTP requests. The number names the connection it came by.
#[derive(Debug)]
pub struct Request {
    pub conn: u32,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub enum Content {
    Poll,
    Post(Vec<Up>),
}

/// A packet on its way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Up {
    Message(u64),
    Other(PacketType),
    /// A ping with the data `probe`.
    Probe,
    /// A v3 packet of an unknown type.
    Unknown,
    /// No packet at all.
    Garbage,
}

#[derive(Debug)]
pub enum Answer {
    Packets(Vec<OutPacket>),
    /// `ok`, to a POST.
    Done,
    /// `400`.
    Refused,
    /// The connection was destroyed.
    Destroyed,
}

/// A connection that carries packets both ways.
#[derive(Debug)]
pub struct Channel {
    pub id: ChannelId,
    pub up: VecDeque<Up>,
    pub down: VecDeque<OutPacket>,
    /// Closed by the server; what is in `down` still arrives.
    pub shut: bool,
    /// Gone, and since when it is gone the server has to be told.
    pub gone: bool,
    pub told: bool,
}

/// Which thread of the server takes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    /// The owner's: it sees at once what comes of it.
    Owner,
    /// An I/O thread: the owner finds out later.
    Io,
}

#[derive(Debug)]
pub struct Life {
    pub subject: Subject,
    pub owner: Owner,
    pub client: Client,
    pub manners: Manners,
    // the network
    pub requests: Vec<Request>,
    pub responses: Vec<(u32, Answer)>,
    pub channels: Vec<Channel>,
    /// Polls that the server has not answered.
    pub polls: Vec<(PollId, u32)>,
    /// POSTs whose body is still coming, oldest first.
    pub posts: Vec<(u32, Vec<Up>)>,
    /// A POST that an I/O thread has read and not answered: the owner has not got round to it.
    pub unsettled: Option<u32>,
    /// Connections that the client has cut and the server does not know of.
    pub cut: Vec<u32>,
    pub next_conn: u32,
    pub next_poll: PollId,
    pub next_channel: ChannelId,
    /// Messages that the application has sent and the client has not seen.
    pub undelivered: VecDeque<u64>,
    pub arrived: u64,
    pub trace: Option<Vec<String>>,
    pub now: Millis,
}

impl Life {
    pub fn new(rng: &mut Rng, now: Millis, timing: &Arc<Timing>, manners: Manners, traced: bool) -> Self {
        let revision = if rng.one_in(3) { Revision::V3 } else { Revision::V4 };
        let channel = rng.one_in(6).then_some(1);
        let mut life = Self {
            subject: Subject::new(now, revision, timing.clone(), channel),
            owner: Owner::new(rng, channel),
            client: Client::new(revision, channel),
            manners,
            requests: Vec::new(),
            responses: Vec::new(),
            channels: Vec::new(),
            polls: Vec::new(),
            posts: Vec::new(),
            unsettled: None,
            cut: Vec::new(),
            next_conn: 1,
            next_poll: 1,
            next_channel: 2,
            undelivered: VecDeque::new(),
            arrived: 0,
            trace: traced.then(Vec::new),
            now,
        };
        life.channels.extend(channel.map(Channel::new));
        life.note(|life| format!("{revision:?}, {channel:?}, owner {:?}", life.owner.style));
        life
    }

    pub fn note(&mut self, text: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = format!("{:>9} ms  {}", self.now, text(self));
            self.trace.iter_mut().for_each(|trace| trace.push(line.clone()));
        }
    }

    pub fn channel(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|channel| channel.id == id)
    }

    // ---- the server's I/O --------------------------------------------------------------------

    /// Carries out what the machine decided.
    pub fn carry_out(&mut self, actions: Vec<Action>, thread: Thread) {
        for action in actions {
            self.note(|_| format!("           => {action:?}"));
            match action {
                Action::Send { channel, packets } => self.write(channel, packets),
                Action::CloseChannel { channel } => {
                    let channel = self.channel(channel).expect("a channel that was opened");
                    channel.shut = true;
                }
                Action::AnswerPoll { poll, packets, .. } => {
                    self.answer(poll, Answer::Packets(packets), thread);
                }
                Action::RejectPoll { poll } => self.answer(poll, Answer::Refused, thread),
                Action::AbortPost => self.tell(Event::AbortPost, thread),
                Action::Upgraded { channel } => self.tell(Event::Upgraded(channel), thread),
                Action::UpgradeFailed { .. } => self.tell(Event::UpgradeFailed, thread),
                Action::Closed(reason) => self.tell(Event::Closed(reason), thread),
                Action::Pinged | Action::Relay { .. } | Action::Upgrading { .. } => {}
            }
        }
    }

    fn tell(&mut self, event: Event, thread: Thread) {
        match thread {
            Thread::Owner => self.owner_hears(event),
            Thread::Io => self.owner.events.push_back(event),
        }
    }

    fn answer(&mut self, poll: PollId, answer: Answer, thread: Thread) {
        if self.owner.answers_polls() {
            self.tell(Event::Answer(poll, answer), thread);
        } else {
            self.respond(poll, answer);
        }
    }

    /// Puts packets on a channel; those for a channel that has been closed are lost.
    pub fn write(&mut self, channel: ChannelId, packets: Vec<OutPacket>) {
        if let Some(channel) = self.channel(channel).filter(|channel| !channel.shut && !channel.gone) {
            channel.down.extend(packets);
        }
    }

    /// Sends the response to a poll on its way.
    pub fn respond(&mut self, poll: PollId, answer: Answer) {
        let at = self.polls.iter().position(|(known, _)| *known == poll).expect("a poll is answered once");
        let (_, conn) = self.polls.remove(at);
        self.responses.push((conn, answer));
    }

    // ---- what arrives at the server ----------------------------------------------------------

    pub fn poll_arrives(&mut self, conn: u32) {
        let poll = self.next_poll;
        self.next_poll += 1;
        self.polls.push((poll, conn));
        self.note(|_| format!("poll {poll} arrives"));
        if self.owner.answers_polls() {
            self.owner_polled(poll);
        } else {
            let actions = self.subject.poll(poll, false);
            self.carry_out(actions, Thread::Io);
            if self.subject.poll == Some(poll) {
                self.owner.events.push_back(Event::PollReady);
            }
        }
    }

    /// The server notices that a connection has been cut.
    pub fn notice_cut(&mut self, conn: u32) {
        self.cut.retain(|cut| *cut != conn);
        if let Some(at) = self.polls.iter().position(|(_, polled)| *polled == conn) {
            let (poll, _) = self.polls.remove(at);
            self.note(|_| format!("poll {poll} is seen to be aborted"));
            self.owner.forget_poll(poll);
            let actions = self.subject.poll_aborted(poll);
            self.carry_out(actions, self.request_thread());
        }
        if let Some(at) = self.posts.iter().position(|(posted, _)| *posted == conn) {
            self.posts.remove(at);
            self.note(|_| "the POST is seen to be aborted".into());
            let actions = self.subject.post_aborted();
            self.carry_out(actions, self.request_thread());
        }
    }

    /// A client cut the connection of a poll just when it was answered, and may have polled again.
    pub fn late_abort(&mut self, rng: &mut Rng) -> bool {
        let poll = rng.below(u64::from(self.next_poll)) as PollId;
        if self.subject.poll == Some(poll) {
            return false;
        }
        self.note(|_| format!("poll {poll}, which is not pending, is seen to be aborted"));
        let actions = self.subject.poll_aborted(poll);
        assert!(actions.is_empty());
        true
    }

    pub fn post_arrives(&mut self, conn: u32, body: Vec<Up>) {
        let (started, actions) = self.subject.post_started();
        self.note(|_| format!("POST {body:?} begins: {started}"));
        if started {
            self.posts.push((conn, body));
        } else {
            self.responses.push((conn, Answer::Refused));
        }
        self.carry_out(actions, self.request_thread());
    }

    /// The body of the oldest POST is complete, or was too large.
    pub fn post_completes(&mut self, too_large: bool) {
        if self.posts.is_empty() || self.unsettled.is_some() {
            return;
        }
        let (conn, body) = self.posts.remove(0);
        let thread = self.request_thread();
        if too_large {
            self.subject.post_finished();
            self.note(|_| "the POST was too large".into());
            self.responses.push((conn, Answer::Refused));
            return;
        }
        if thread == Thread::Owner {
            self.subject.post_finished();
        }
        for up in body {
            self.receive(None, up, thread);
            if up == Up::Garbage {
                break;
            }
        }
        match thread {
            Thread::Owner => self.responses.push((conn, Answer::Done)),
            Thread::Io => self.unsettled = Some(conn),
        }
    }

    /// The owner has got round to what came by POST: it is answered, if anybody waits for that.
    pub fn post_settles(&mut self) -> bool {
        let Some(conn) = self.unsettled.take() else { return false };
        self.subject.post_finished();
        if let Some(at) = self.cut.iter().position(|cut| *cut == conn) {
            self.cut.remove(at);
        } else {
            self.responses.push((conn, Answer::Done));
        }
        true
    }

    pub fn receive(&mut self, channel: Option<ChannelId>, up: Up, thread: Thread) {
        self.note(|_| format!("{up:?} arrives, channel {channel:?}"));
        if up == Up::Garbage {
            let actions = self.subject.garbage(channel);
            return self.carry_out(actions, thread);
        }
        let (kind, is_probe) = match up {
            Up::Message(_) => (Some(PacketType::Message), false),
            Up::Other(kind) => (Some(kind), false),
            Up::Probe => (Some(PacketType::Ping), true),
            Up::Unknown | Up::Garbage => (None, false),
        };
        let (delivery, actions) = self.subject.receive(self.now, channel, kind, is_probe);
        if let (Delivery::Message, Up::Message(id)) = (delivery, up) {
            self.tell(Event::Message(id), thread);
        }
        self.carry_out(actions, thread);
    }

    /// Requests are served by the owner's thread behind Node's HTTP server, else by an I/O thread.
    fn request_thread(&self) -> Thread {
        if self.owner.answers_polls() { Thread::Owner } else { Thread::Io }
    }

    /// The server hears of a channel's end.
    pub fn channel_ends(&mut self, id: ChannelId, fault: bool) {
        let Some(channel) = self.channel(id).filter(|channel| !channel.told) else { return };
        channel.gone = true;
        channel.told = true;
        self.note(|_| format!("channel {id} ends"));
        let fault = fault.then(|| Fault::Frame("RangeError: bad frame".into()));
        let actions = self.subject.channel_closed(id, fault);
        self.carry_out(actions, Thread::Io);
    }

    /// A timer has fired, perhaps long after it was due.
    pub fn timer_fires(&mut self, now: Millis) {
        self.now = now;
        let unheard = |life: &Self| life.channels.iter().any(|channel| !channel.told && !channel.up.is_empty());
        if self.owner.answers_polls() {
            self.subject.excuse_if_late(now);
        } else if self.subject.is_overdue(now) && unheard(self) {
            self.note(|_| "the client is excused: it may have spoken".into());
            self.subject.excuse(now);
        }
        self.tick(now);
    }

    pub fn tick(&mut self, now: Millis) {
        self.now = now;
        self.note(|_| "tick".into());
        let actions = self.subject.tick(now);
        self.carry_out(actions, Thread::Io);
    }

    // ---- the end -----------------------------------------------------------------------------

    /// Whether the life may be buried: everybody knows that it is over.
    pub fn is_over(&self) -> bool {
        self.subject.state == State::Closed && self.owner.state == State::Closed && self.owner.events.is_empty()
    }

    /// What must be true of a life that is over.
    pub fn bury(&self, count: &mut Count) {
        assert_eq!(self.owner.closes, 1, "the owner hears of the end exactly once");
        assert!(!self.subject.holds_packets(), "packets are left behind");
        for channel in &self.channels {
            assert!(channel.shut || channel.told, "channel {} is left behind", channel.id);
        }
        count.sessions += 1;
        count.messages += self.arrived + self.owner.heard;
        count.reported_lost += self.undelivered.len() as u64;
        count.upgrades += self.owner.upgrades;
        count.failed_upgrades += self.owner.failed_upgrades;
        let end = match &self.subject.ended {
            Some(Reason::TransportError(Fault::Frame(_))) => "broken frame".into(),
            Some(Reason::TransportError(fault)) => fault.message().into_owned(),
            ended => ended.as_ref().map_or("", Reason::text).to_owned(),
        };
        *count.ends.entry(end).or_default() += 1;
    }

    /// Plays the life to its end in good order. Returns the steps it took.
    ///
    /// A client that is there gets everything, before and after the application asks to close. One that
    /// is gone is found out within the time the heartbeat allows.
    pub fn settle(&mut self, timing: &Timing) -> u64 {
        let mut steps = 0;
        if self.manners == Manners::Polite && self.client.is_there() {
            let quiet = |life: &Self| life.undelivered.is_empty() && life.client.is_idle();
            // some rounds at least: a heartbeat may be on its last moments
            steps += self.rounds(|life, round| round > 20 && quiet(life) && life.owner.heard == life.client.sent);
            let open = self.subject.state == State::Open && self.client.is_there();
            if open {
                assert!(self.undelivered.is_empty(), "{:?} never arrive", self.undelivered);
                assert!(self.client.is_idle(), "the client cannot get rid of its messages");
                assert_eq!(self.owner.heard, self.client.sent, "messages of the client are missing");
            }
            for _ in 0..3 {
                self.app_sends(true);
            }
            self.note(|_| "the application closes".into());
            self.app_closes(false);
            steps += self.rounds(|life, _| life.is_over());
            if open && self.client.was_served() {
                assert_eq!(self.subject.ended, Some(Reason::ForcedClose));
                assert!(self.undelivered.is_empty(), "an orderly close lost {:?}", self.undelivered);
            }
        }
        // whoever does not answer is given up, sooner or later
        let limit = self.now
            + 2 * (timing.ping_interval() + 2 * timing.ping_timeout() + timing.upgrade_timeout())
            + crate::support::session::CLOSE_GRACE;
        while let Some(deadline) = self.subject.next_deadline() {
            assert!(deadline <= limit, "a silent client is still supervised at {deadline}");
            self.tick(deadline.max(self.now));
            steps += 1;
        }
        while let Some(event) = self.owner.events.pop_front() {
            self.owner_hears(event);
        }
        assert!(self.is_over(), "the owner has not heard of the end");
        steps
    }

    /// Gives everybody a turn, 10 ms apart, until `done` or for 20 s.
    fn rounds(&mut self, done: impl Fn(&Self, u64) -> bool) -> u64 {
        for round in 0..2000 {
            if done(self, round) {
                return round;
            }
            let now = self.now + 10;
            while let Some(deadline) = self.subject.next_deadline().filter(|deadline| *deadline <= now) {
                self.tick(deadline.max(self.now));
            }
            self.now = now;
            while let Some(event) = self.owner.events.pop_front() {
                self.owner_hears(event);
            }
            self.owner_may_write();
            for request in std::mem::take(&mut self.requests) {
                self.request_arrives(request);
            }
            self.post_completes(false);
            self.post_settles();
            for conn in std::mem::take(&mut self.cut) {
                self.notice_cut(conn);
            }
            for at in 0..self.channels.len() {
                while self.frame_arrives(at) {}
            }
            for (conn, answer) in std::mem::take(&mut self.responses) {
                self.client_answered(conn, answer);
            }
            for at in 0..self.channels.len() {
                while self.frame_returns(at) {}
            }
            if round % 16 == 0 {
                self.client_beats();
            }
            self.client_acts_in_order();
        }
        2000
    }

    pub fn request_arrives(&mut self, Request { conn, content }: Request) {
        match content {
            Content::Poll => self.poll_arrives(conn),
            Content::Post(body) => self.post_arrives(conn, body),
        }
    }

    /// The next frame on a channel reaches the server. False if there is none.
    pub fn frame_arrives(&mut self, at: usize) -> bool {
        let channel = &mut self.channels[at];
        let id = channel.id;
        if channel.told {
            return false;
        }
        if let Some(up) = channel.up.pop_front() {
            // what comes after the server's close frame has no effect on a closed session
            self.receive(Some(id), up, Thread::Io);
            return true;
        }
        if channel.gone {
            let fault = self.manners == Manners::Rude && id % 3 == 0;
            self.channel_ends(id, fault);
            return true;
        }
        false
    }

    /// The next frame on a channel, or its end, reaches the client. False if there is none.
    pub fn frame_returns(&mut self, at: usize) -> bool {
        let channel = &mut self.channels[at];
        let id = channel.id;
        if channel.gone {
            return false;
        }
        if let Some(packet) = channel.down.pop_front() {
            self.client_receives(Some(id), packet);
            return true;
        }
        if channel.shut {
            channel.gone = true;
            self.note(|_| format!("the client sees channel {id} closed"));
            self.client_lost(id);
            return true;
        }
        false
    }

    /// Whether the client is on a channel, for those who choose what happens next.
    pub fn is_on_channel(&self) -> bool {
        matches!(self.client.via, Via::Channel(_))
    }
}

impl Channel {
    pub fn new(id: ChannelId) -> Self {
        Self { id, up: VecDeque::new(), down: VecDeque::new(), shut: false, gone: false, told: false }
    }
}
