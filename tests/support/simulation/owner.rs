//! The JavaScript side (`lib/session/socket.js`, `lib/transports/`): what it believes, and its rules.

use std::collections::VecDeque;

use engine_io_native::session::{ChannelId, PollId, Reason};

use super::life::{Answer, Life, Thread};
use super::rng::Rng;
use super::subject::{State, message};

/// The ways in which sessions are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Behind Node's HTTP server: requests are handled on the owner's thread.
    Attached,
    /// By the engine's own listener: requests are handled on an I/O thread.
    Listening,
}

/// What the owner is told.
#[derive(Debug)]
pub enum Event {
    Message(u64),
    Answer(PollId, Answer),
    PollReady,
    AbortPost,
    Upgraded(ChannelId),
    UpgradeFailed,
    Closed(Reason),
}

/// The transport as the owner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mirror {
    Polling,
    Channel(ChannelId),
}

#[derive(Debug)]
pub struct Owner {
    pub style: Style,
    /// Whether messages on a channel go to it directly, as JavaScript does, or through the machine.
    direct: bool,
    pub state: State,
    mirror: Mirror,
    /// `transport.writable`.
    writable: bool,
    /// The poll that it believes to be pending.
    poll: Option<PollId>,
    buffer: Vec<u64>,
    /// What I/O threads have told and the owner has not looked at.
    pub events: VecDeque<Event>,
    upgrading: bool,
    upgraded: bool,
    close_after_drain: bool,
    /// The current transport has been told to close.
    transport_closing: bool,
    pub closes: u32,
    next_message: u64,
    pub heard: u64,
    pub upgrades: u64,
    pub failed_upgrades: u64,
    /// The application answers so many more messages by messages of its own.
    echoes: u64,
    /// Polls used up by an I/O thread, for which the owner believed itself writable.
    stale_polls: usize,
    pub most_batches: usize,
}

impl Owner {
    pub fn new(rng: &mut Rng, channel: Option<ChannelId>) -> Self {
        Self {
            style: if rng.one_in(2) { Style::Attached } else { Style::Listening },
            direct: !rng.one_in(4),
            state: State::Open,
            mirror: channel.map_or(Mirror::Polling, Mirror::Channel),
            writable: channel.is_some(),
            poll: None,
            buffer: Vec::new(),
            events: VecDeque::new(),
            upgrading: false,
            upgraded: channel.is_some(),
            close_after_drain: false,
            transport_closing: false,
            closes: 0,
            next_message: 1,
            heard: 0,
            upgrades: 0,
            failed_upgrades: 0,
            echoes: 0,
            stale_polls: 0,
            most_batches: 0,
        }
    }

    /// Whether responses are written by the owner's thread.
    pub fn answers_polls(&self) -> bool {
        self.style == Style::Attached
    }

    /// The client of a poll went away.
    pub fn forget_poll(&mut self, poll: PollId) {
        if self.poll == Some(poll) {
            self.poll = None;
            self.writable = false;
        }
    }
}

impl Life {
    // ---- the application ---------------------------------------------------------------------

    /// `socket.send()`. `quiet`: it does not become an echo.
    pub fn app_sends(&mut self, quiet: bool) {
        if self.owner.state != State::Open {
            return;
        }
        let id = self.owner.next_message;
        self.owner.next_message += 1;
        self.note(|_| format!("the application sends {id}"));
        self.owner.buffer.push(id);
        self.undelivered.push_back(id);
        if !quiet {
            self.owner.echoes += 1;
        }
        self.flush();
    }

    /// `socket.close(discard)`.
    pub fn app_closes(&mut self, discard: bool) {
        if discard && self.owner.state != State::Closed {
            return self.close_owners_transport(true);
        }
        if self.owner.state != State::Open {
            return;
        }
        self.owner.state = State::Closing;
        if self.owner.buffer.is_empty() {
            return self.close_owners_transport(false);
        }
        self.subject.begin_close();
        self.owner.close_after_drain = true;
    }

    fn close_owners_transport(&mut self, discard: bool) {
        if self.owner.transport_closing && !discard {
            return;
        }
        self.owner.transport_closing = true;
        let actions = match self.owner.mirror {
            Mirror::Polling => self.subject.close_transport(self.now, discard),
            Mirror::Channel(id) => {
                if let Some(channel) = self.channel(id) {
                    channel.shut = true;
                }
                self.subject.close(&Reason::ForcedClose)
            }
        };
        self.carry_out(actions, Thread::Owner);
    }

    // ---- sending -----------------------------------------------------------------------------

    fn flush(&mut self) {
        if self.owner.state == State::Closed || !self.owner.writable || self.owner.buffer.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.owner.buffer);
        self.owner.writable = false;
        match self.owner.mirror {
            Mirror::Channel(id) if self.owner.direct => {
                self.write(id, batch.iter().map(|id| message(*id)).collect());
            }
            Mirror::Polling | Mirror::Channel(_) => {
                let actions = self.subject.send(&batch, batch[0] % 2 == 0);
                self.carry_out(actions, Thread::Owner);
                let waiting = self.subject.batches;
                let limit = match self.owner.style {
                    Style::Attached => 1,
                    Style::Listening => 1 + self.owner.stale_polls,
                };
                assert!(waiting <= limit, "{waiting} batches wait in the machine, not {limit}");
                self.owner.most_batches = self.owner.most_batches.max(waiting);
            }
        }
        // `drain`
        if std::mem::take(&mut self.owner.close_after_drain) {
            self.close_owners_transport(false);
        }
    }

    /// A channel has taken everything: more may follow.
    pub fn owner_may_write(&mut self) {
        if matches!(self.owner.mirror, Mirror::Channel(_)) && self.owner.state != State::Closed {
            self.owner.writable = true;
            self.flush();
        }
    }

    // ---- polls on the owner's thread -----------------------------------------------------------

    pub fn owner_polled(&mut self, poll: PollId) {
        if self.owner.poll.is_some() {
            // an overlap, unless the first has just been answered by another thread
            let actions = self.subject.poll(poll, false);
            return self.carry_out(actions, Thread::Owner);
        }
        let more = !self.owner.buffer.is_empty();
        self.owner.poll = Some(poll);
        let actions = self.subject.poll(poll, more);
        self.carry_out(actions, Thread::Owner);
        if self.owner.poll != Some(poll) {
            return;
        }
        self.owner.writable = true;
        self.flush();
        if more && self.owner.poll == Some(poll) && self.owner.writable {
            let actions = self.subject.send(&[], false);
            self.carry_out(actions, Thread::Owner);
        }
    }

    // ---- what the owner hears ----------------------------------------------------------------

    pub fn owner_hears(&mut self, event: Event) {
        self.note(|_| format!("           .. the owner hears {event:?}"));
        match event {
            Event::Message(id) => self.app_receives(id),
            Event::Answer(poll, answer) => {
                if self.owner.poll == Some(poll) {
                    self.owner.poll = None;
                    self.owner.writable = false;
                }
                // its client may be gone
                if self.polls.iter().any(|(known, _)| *known == poll) {
                    self.respond(poll, answer);
                }
            }
            Event::PollReady => {
                if self.owner.mirror == Mirror::Polling {
                    if self.subject.poll.is_none() && self.subject.batches > 0 {
                        self.owner.stale_polls += 1;
                    } else if self.subject.batches == 0 {
                        self.owner.stale_polls = 0;
                    }
                    self.owner.writable = true;
                    self.flush();
                }
            }
            Event::AbortPost => {
                // whoever serves it destroys the request, unless it has just come to its end
                if !self.posts.is_empty() {
                    let (conn, _) = self.posts.remove(0);
                    self.responses.push((conn, Answer::Destroyed));
                    let actions = self.subject.post_aborted();
                    self.carry_out(actions, Thread::Owner);
                }
            }
            Event::Upgraded(channel) => self.owner_upgraded(channel),
            Event::UpgradeFailed => {
                self.owner.upgrading = false;
                self.owner.failed_upgrades += 1;
            }
            Event::Closed(_) => {
                assert_eq!(self.subject.state, State::Closed);
                self.owner.closes += 1;
                self.owner.state = State::Closed;
                self.owner.buffer.clear();
            }
        }
    }

    fn owner_upgraded(&mut self, channel: ChannelId) {
        self.owner.upgrading = false;
        self.owner.upgrades += 1;
        if self.owner.state == State::Closed {
            return;
        }
        self.owner.upgraded = true;
        self.owner.mirror = Mirror::Channel(channel);
        self.owner.transport_closing = false;
        self.owner.writable = true;
        self.flush();
        if self.owner.state == State::Closing {
            self.close_owners_transport(false);
        }
    }

    /// A client asks for an upgrade. False if it is refused.
    pub fn owner_starts_upgrade(&mut self, channel: ChannelId) -> bool {
        let idle = self.owner.state != State::Closed && !self.owner.upgrading && !self.owner.upgraded;
        // sometimes the machine itself is asked, though the owner would refuse
        let asked = idle || self.manners == super::Manners::Rude;
        if !asked || !self.subject.start_upgrade(self.now, channel) {
            return false;
        }
        self.owner.upgrading = true;
        true
    }

    fn app_receives(&mut self, id: u64) {
        if self.owner.state != State::Open {
            return;
        }
        self.owner.heard += 1;
        if self.manners == super::Manners::Polite {
            assert_eq!(id, self.owner.heard, "messages of the client are lost, doubled or out of order");
        }
        if self.owner.echoes > 0 {
            self.owner.echoes -= 1;
            self.app_sends(true);
        }
    }
}
