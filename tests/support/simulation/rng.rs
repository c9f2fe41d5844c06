//! The dice: numbers that look random and are the same for the same seed on every machine (SplitMix64), or
//! numbers from a tape that a fuzzer writes.

use std::collections::VecDeque;

#[derive(Clone, Debug)]
pub enum Rng {
    Seeded(u64),
    /// What is left of the tape.
    Tape(VecDeque<u8>),
}

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self::Seeded(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn tape(bytes: &[u8]) -> Self {
        Self::Tape(bytes.iter().copied().collect())
    }

    /// Whether a tape has been read to its end; zeros follow.
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Tape(tape) if tape.is_empty())
    }

    fn next(&mut self) -> u64 {
        match self {
            Self::Seeded(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            }
            Self::Tape(tape) => u64::from(tape.pop_front().unwrap_or(0)),
        }
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        match self {
            Self::Seeded(_) => self.next() % end,
            // as many bytes as the range needs
            Self::Tape(_) if end <= 256 => self.next() % end,
            Self::Tape(_) => (self.next() << 8 | self.next()) % end,
        }
    }

    /// A number in a range, both ends included.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// An index of a slice that is not empty.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }
}
