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
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::time::Instant;

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
    let mut world = World::new(Rng::new(seed), LIVES, manners, false);
    // the world is not looked at again after a panic
    if catch_unwind(AssertUnwindSafe(|| world.run(count))).is_ok() {
        return;
    }
    // the same once more, writing down what happens
    let mut again = World::new(Rng::new(seed), LIVES, manners, true);
    let outcome = catch_unwind(AssertUnwindSafe(|| again.run(&mut Count::default())));
    let error = outcome.err().map_or("it did not fail again: the simulator itself is not deterministic".into(), text);
    eprintln!("\n--- the last steps of the session that failed (seed {seed})\n");
    for line in again.trace() {
        eprintln!("{line}");
    }
    panic!(
        "{error}\n\nTo see it again:\n\n  SIMULATION_SEED={seed} SIMULATION_STEPS=1 \
         cargo test --no-default-features --test simulation -- --exact {test}\n"
    );
}

fn text(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {value:?}")))
}
