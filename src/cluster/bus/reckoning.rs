//! What a peer's clock shows at least, without a common clock.

use super::message::Millis;

/// How long a reading counts in full; it counts for twice as long at most. Clocks drift apart: 1 % in this time is not
/// much beside the times that are measured with it.
const FRESH: Millis = 8_000;

/// A lower bound of a peer's clock.
///
/// Each message says what the sender's clock showed. It took some time to arrive, so the sender's clock shows at least
/// this now, and the largest difference from the own clock is the best bound. A message that comes late, or once more,
/// does not change it.
#[derive(Debug, Default)]
pub struct Reckoning {
    best: Option<i128>,
    before: Option<i128>,
    since: Millis,
}

impl Reckoning {
    /// A message has come that was sent at `theirs`.
    pub fn heard(&mut self, now: Millis, theirs: Millis) {
        self.age(now);
        let difference = i128::from(theirs) - i128::from(now);
        self.best = self.best.max(Some(difference));
    }

    /// What the peer's clock shows at least; `None` if it has not been heard of lately.
    pub fn theirs(&mut self, now: Millis) -> Option<Millis> {
        self.age(now);
        let difference = self.best.max(self.before)?;
        u64::try_from(difference + i128::from(now)).ok()
    }

    fn age(&mut self, now: Millis) {
        let passed = now.saturating_sub(self.since);
        if passed >= 2 * FRESH {
            (self.before, self.best, self.since) = (None, None, now);
        } else if passed >= FRESH {
            (self.before, self.best, self.since) = (self.best, None, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_that_was_fastest_counts_and_late_ones_change_nothing() {
        let mut clock = Reckoning::default();
        assert_eq!(clock.theirs(1_000), None);
        clock.heard(1_000, 500_000); // on the way for any time
        clock.heard(1_100, 500_090);
        assert_eq!(clock.theirs(1_100), Some(500_100));
        clock.heard(1_200, 500_250); // faster than the first
        assert_eq!(clock.theirs(1_300), Some(500_350));
        clock.heard(1_400, 500_000); // once more, or late
        assert_eq!(clock.theirs(1_400), Some(500_450));
    }

    #[test]
    fn a_reading_is_forgotten_after_a_while() {
        let mut clock = Reckoning::default();
        clock.heard(100_000, 7);
        assert_eq!(clock.theirs(100_000 + FRESH + 1), Some(7 + FRESH + 1));
        assert_eq!(clock.theirs(100_000 + 2 * FRESH + 1), None);
    }
}
