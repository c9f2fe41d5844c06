//! A seeded simulator of sessions, for the property that scenarios cannot show: whatever the order in
//! which things happen, nothing is lost, doubled or left behind.
//!
//! * [`subject`]: the machine under test, and what must come of each of its inputs; with a [`ledger`] of
//!   all it was told and all it decided, where what must hold after every step is checked.
//! * [`owner`]: the JavaScript side, with its mirrors that lag behind, its `writeBuffer` and its rules.
//! * [`client`]: an engine.io-client; in rude lives also one that breaks every rule.
//! * [`life`]: one session with its owner, its client and the network between them.
//! * [`world`]: many lives, one clock, and the choice of what happens next.
//!
//! Worlds are numbered by their seeds and do not depend on each other. Environment:
//!
//! * `SIMULATION_STEPS`: how many steps to run at least (whole worlds are run);
//! * `SIMULATION_SEED`: the seed of the first world, decimal.

mod client;
mod ledger;
mod life;
mod owner;
pub mod rng;
mod subject;
mod world;

use std::collections::BTreeMap;
use std::time::Instant;

use super::replay::{Replayed, run_or_tell, setting};
pub use life::Manners;
use rng::Rng;
use world::World;

/// Sessions that live at the same time in a world.
const LIVES: usize = 16;

/// What a run has been through, for the report and to see that nothing is left out.
#[derive(Debug, Default)]
pub struct Count {
    pub worlds: u64,
    pub steps: u64,
    pub sessions: u64,
    pub upgrades: u64,
    pub failed_upgrades: u64,
    /// Messages that arrived, in both directions.
    pub messages: u64,
    /// Messages whose loss was reported by the end of their session.
    pub reported_lost: u64,
    /// Sessions by the way they ended, faults by their message.
    pub ends: BTreeMap<String, u64>,
    /// The most batches that ever waited inside a machine.
    pub most_batches: usize,
}

/// Runs worlds until enough steps are made.
///
/// # Panics
/// When something does not hold, after printing how to see it again.
pub fn run(test: &str, manners: Manners, default_steps: u64) -> Count {
    let steps = setting("SIMULATION_STEPS").unwrap_or(default_steps);
    let mut seed = setting("SIMULATION_SEED").unwrap_or(1);
    let start = Instant::now();
    let mut count = Count::default();
    while count.steps < steps {
        run_world(test, seed, manners, &mut count);
        seed = seed.wrapping_add(1);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{test}: {count:?} in {seconds:.1} s");
    count
}

/// Runs a world of one session at a time whose dice were thrown before.
pub fn replay(dice: &[u8], manners: Manners) {
    World::new(Rng::tape(dice), 1, manners, false).run(&mut Count::default());
}

fn run_world(test: &str, seed: u64, manners: Manners, count: &mut Count) {
    let command = format!(
        "SIMULATION_SEED={seed} SIMULATION_STEPS=1 cargo test --no-default-features --test simulation -- --exact {test}"
    );
    let make = |is_traced| World::new(Rng::new(seed), LIVES, manners, is_traced);
    run_or_tell(seed, count, make, "session", &command);
}

impl Replayed for World {
    type Count = Count;

    fn run(&mut self, count: &mut Count) {
        Self::run(self, count);
    }

    fn trace(&self) -> Vec<&str> {
        Self::trace(self).iter().map(String::as_str).collect()
    }
}
