//! Who pings whom, and until when.

use super::{Millis, Revision, Timing};

/// The heartbeat of an open session. Exactly one deadline is armed at any time, unless the owner has taken it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heartbeat {
    /// v4: the next ping goes out at this time. `excused`: the pong to the last one may still come.
    Rest { ping_at: Millis, excused: bool },
    /// v4: a ping is out. The first packet other than a pong moves the deadline once (6.6.11). `excused`: it is the
    /// second one, and no packet has come since the first.
    Waiting { sent: Millis, deadline: Millis, extended: bool, excused: bool },
    /// v3: the client pings before this time. `excused`: it was given more time than it had.
    Listening { deadline: Millis, excused: bool },
    /// The owner sends pings and counts the time.
    Owners,
}

/// What the owner goes on with when it takes a heartbeat over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Time until the next ping, or until the peer is gone.
    pub left: Millis,
    /// Whether the peer is waited for.
    pub is_waiting: bool,
    /// Whether a packet has moved the deadline already.
    pub is_extended: bool,
}

/// What the heartbeat wants when its time has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Send a ping.
    Ping,
    /// The peer is gone.
    Dead,
}

impl Heartbeat {
    pub(super) fn start(now: Millis, revision: Revision, timing: &Timing) -> Self {
        match revision {
            Revision::V3 => {
                Self::Listening { deadline: now + timing.ping_interval() + timing.ping_timeout(), excused: false }
            }
            Revision::V4 => Self::Rest { ping_at: now + timing.ping_interval(), excused: false },
        }
    }

    /// When the next thing is due.
    pub(super) fn deadline(&self) -> Option<Millis> {
        match *self {
            Self::Rest { ping_at, .. } => Some(ping_at),
            Self::Waiting { deadline, .. } | Self::Listening { deadline, .. } => Some(deadline),
            Self::Owners => None,
        }
    }

    /// From now on the heartbeat is the owner's. `None`: it is already.
    pub(super) fn take(&mut self, now: Millis) -> Option<Taken> {
        let left = self.deadline()?.saturating_sub(now);
        let taken = match std::mem::replace(self, Self::Owners) {
            Self::Waiting { extended, .. } => Taken { left, is_waiting: true, is_extended: extended },
            Self::Listening { .. } => Taken { left, is_waiting: true, is_extended: false },
            Self::Rest { .. } | Self::Owners => Taken { left, is_waiting: false, is_extended: false },
        };
        Some(taken)
    }

    /// Whether a deadline has passed, for which the peer was excused, and it has not been heard since.
    pub(super) fn is_excused(&self) -> bool {
        match *self {
            Self::Rest { excused, .. } | Self::Waiting { excused, .. } | Self::Listening { excused, .. } => excused,
            Self::Owners => false,
        }
    }

    /// Time has passed; `None` while nothing is due.
    pub(super) fn due(&mut self, now: Millis, timing: &Timing) -> Option<Beat> {
        if now < self.deadline()? {
            return None;
        }
        match self {
            Self::Rest { excused, .. } => {
                let deadline = now + timing.ping_timeout();
                *self = Self::Waiting { sent: now, deadline, extended: false, excused: *excused };
                Some(Beat::Ping)
            }
            Self::Waiting { .. } | Self::Listening { .. } => Some(Beat::Dead),
            Self::Owners => None,
        }
    }

    /// A packet other than a heartbeat came in.
    pub(super) fn sign_of_life(&mut self, now: Millis, timing: &Timing) {
        if let Self::Waiting { deadline, extended, excused, .. } = self {
            *excused = false;
            if !std::mem::replace(extended, true) {
                *deadline = now + timing.ping_timeout();
            }
        }
    }

    /// The peer's part of the heartbeat came in: a pong in v4, a ping in v3.
    pub(super) fn beat(&mut self, now: Millis, timing: &Timing) {
        *self = match *self {
            Self::Owners => Self::Owners,
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
    pub(super) fn excuse(&mut self, now: Millis, timing: &Timing) {
        match *self {
            Self::Rest { .. } | Self::Owners => {}
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
    pub(super) fn moved(&mut self, now: Millis, timing: &Timing) {
        match self {
            Self::Rest { .. } | Self::Owners => {}
            Self::Waiting { deadline, .. } => *deadline = now + timing.ping_timeout(),
            Self::Listening { deadline, .. } => *deadline = now + timing.ping_interval() + timing.ping_timeout(),
        }
    }
}
