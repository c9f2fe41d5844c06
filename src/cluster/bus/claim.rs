//! Which sessions may change their owner, and how long the application waits to hear of one.
//!
//! A session of which the application has not heard is a few numbers, so another node can take it over. That pays only
//! if its client's WebSocket comes in elsewhere. So the application hears of a new session at once, unless requests for
//! other nodes' sessions have been seen lately: then it hears at the upgrade, or when a short time is over. A message
//! waits meanwhile.

use super::message::Millis;

/// How long a request for another node's session is remembered.
pub const LATELY: Millis = 10_000;

/// The longest time for which the application does not hear of a session.
pub const HOLD: Millis = 300;

/// Decides how long new sessions of this process are held back.
#[derive(Debug, Default)]
pub struct HoldBack {
    foreign_at: Option<Millis>,
}

impl HoldBack {
    /// A request for a session of another node has come, or another node's for a session of this one.
    pub fn foreign_request(&mut self, now: Millis) {
        self.foreign_at = Some(now);
    }

    /// A session that opens now.
    pub fn open(&self, now: Millis) -> Ownership {
        let seen = self.foreign_at.is_some_and(|at| now < at + LATELY);
        if seen { Ownership::Unheard { until: now + HOLD } } else { Ownership::Heard }
    }
}

/// Whether a session may change its owner, as the node that opened it knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ownership {
    /// The application has not heard of it, and hears at this time.
    Unheard {
        /// The time.
        until: Millis,
    },
    /// The application has heard of it, so it stays.
    Heard,
    /// Another node owns it. It does not come back.
    Moved,
}

impl Ownership {
    /// The application has to hear of the session: it is upgraded here, it ends, or the time is over.
    /// Returns whether it is the first time.
    pub fn announce(&mut self) -> bool {
        let first = matches!(self, Self::Unheard { .. });
        if first {
            *self = Self::Heard;
        }
        first
    }

    /// Another node asks for the session: it moves if the application has not heard of it. Returns whether it moves.
    pub fn claim(&mut self) -> bool {
        let moves = matches!(self, Self::Unheard { .. });
        if moves {
            *self = Self::Moved;
        }
        moves
    }

    /// Whether the time is over, and [`Ownership::announce`] is due.
    pub fn is_due(&self, now: Millis) -> bool {
        matches!(self, Self::Unheard { until } if now >= *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_foreign_requests_the_application_hears_at_once() {
        let mut hold = HoldBack::default();
        assert_eq!(hold.open(5), Ownership::Heard);
        hold.foreign_request(5);
        assert_eq!(hold.open(6), Ownership::Unheard { until: 6 + HOLD });
        assert_eq!(hold.open(5 + LATELY), Ownership::Heard);
    }

    #[test]
    fn a_session_is_announced_once_or_moves_once() {
        let mut session = Ownership::Unheard { until: 300 };
        assert!(!session.is_due(299) && session.is_due(300));
        assert!(session.announce() && !session.announce());
        assert!(!session.claim() && !session.is_due(300));

        let mut session = Ownership::Unheard { until: 300 };
        assert!(session.claim() && !session.claim());
        assert!(!session.announce() && !session.is_due(300));
    }
}
