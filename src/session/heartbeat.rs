//! Who pings whom, and until when.

use super::{Millis, Revision, Timing};

/// The heartbeat of an open session. Exactly one deadline is armed at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// v4: the next ping goes out at this time. `excused`: the pong to the last one may still come.
    Rest { ping_at: Millis, excused: bool },
    /// v4: a ping is out. The first packet other than a pong moves the deadline once (6.6.11). `excused`: it is the second
    /// one, and no packet has come since the first.
    Waiting { sent: Millis, deadline: Millis, extended: bool, excused: bool },
    /// v3: the client pings before this time. `excused`: it was given more time than it had.
    Listening { deadline: Millis, excused: bool },
}

/// What the heartbeat wants when its time has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Beat {
    /// Send a ping.
    Ping,
    /// The peer is gone.
    Dead,
}

impl Heartbeat {
    pub fn start(now: Millis, revision: Revision, timing: &Timing) -> Self {
        match revision {
            Revision::V3 => Self::Listening {
                deadline: now + timing.ping_interval() + timing.ping_timeout(),
                excused: false,
            },
            Revision::V4 => Self::Rest { ping_at: now + timing.ping_interval(), excused: false },
        }
    }

    pub fn deadline(&self) -> Millis {
        match *self {
            Self::Rest { ping_at, .. } => ping_at,
            Self::Waiting { deadline, .. } | Self::Listening { deadline, .. } => deadline,
        }
    }

    /// Whether a deadline has passed, for which the peer was excused, and it has not been heard since.
    pub fn is_excused(&self) -> bool {
        match *self {
            Self::Rest { excused, .. } | Self::Waiting { excused, .. } | Self::Listening { excused, .. } => excused,
        }
    }

    /// Time has passed; `None` while nothing is due.
    pub fn due(&mut self, now: Millis, timing: &Timing) -> Option<Beat> {
        if now < self.deadline() {
            return None;
        }
        match self {
            Self::Rest { excused, .. } => {
                let deadline = now + timing.ping_timeout();
                *self = Self::Waiting { sent: now, deadline, extended: false, excused: *excused };
                Some(Beat::Ping)
            }
            Self::Waiting { .. } | Self::Listening { .. } => Some(Beat::Dead),
        }
    }

    /// A packet other than a heartbeat came in.
    pub fn sign_of_life(&mut self, now: Millis, timing: &Timing) {
        if let Self::Waiting { deadline, extended, excused, .. } = self {
            *excused = false;
            if !std::mem::replace(extended, true) {
                *deadline = now + timing.ping_timeout();
            }
        }
    }

    /// The peer's part of the heartbeat came in: a pong in v4, a ping in v3.
    pub fn beat(&mut self, now: Millis, timing: &Timing) {
        *self = match *self {
            Self::Listening { .. } => Self::start(now, Revision::V3, timing),
            // a pong that is read late: the peer counts the time until the next ping from the last one
            Self::Rest { ping_at, excused: true } => Self::Rest { ping_at, excused: false },
            Self::Waiting { sent, deadline, .. } if now > deadline => {
                Self::Rest { ping_at: now.max(sent + timing.ping_interval()), excused: false }
            }
            _ => Self::start(now, Revision::V4, timing),
        };
    }

    /// The peer may have spoken without being heard: pings go on, because it expects them, as if it had answered.
    pub fn excuse(&mut self, now: Millis, timing: &Timing) {
        match *self {
            Self::Rest { .. } => {}
            Self::Waiting { sent, .. } => {
                *self = Self::Rest { ping_at: now.max(sent + timing.ping_interval()), excused: true };
            }
            Self::Listening { deadline, .. } => {
                *self = Self::Listening { deadline: deadline.max(now + timing.ping_timeout()), excused: true };
            }
        }
    }

    /// The session moved to another transport: the peer has its full time again, and stays
    /// supervised. (The original forgets the deadline here.)
    pub fn moved(&mut self, now: Millis, timing: &Timing) {
        match self {
            Self::Rest { .. } => {}
            Self::Waiting { deadline, .. } => *deadline = now + timing.ping_timeout(),
            Self::Listening { deadline, .. } => *deadline = now + timing.ping_interval() + timing.ping_timeout(),
        }
    }
}
