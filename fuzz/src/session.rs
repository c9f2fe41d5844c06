//! The session machine: the simulator of the package's tests with the fuzzer at the dice.

use crate::support::simulation::{Manners, replay};

/// First byte: manners of the client; the rest are dice.
pub fn run(data: &[u8]) {
    let [manners, dice @ ..] = data else { return };
    let manners = if manners & 1 == 0 { Manners::Polite } else { Manners::Rude };
    replay(dice, manners);
}
