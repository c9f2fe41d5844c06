//! A seeded simulation of processes that serve each other's sessions over a bus, on virtual time.
//!
//! * [`process`]: the node under test with a small model of a server around it: sessions with polls, POSTs and
//!   WebSockets, and clocks that differ and drift.
//! * [`ledger`]: what must never happen, checked at each step.
//! * [`client`]: clients behind a load balancer that chooses any process for each request. They poll, post and upgrade;
//!   some try again after a 503.
//! * [`world`]: the bus with delay, loss, duplication, reordering, partitions and outages; processes that crash at any
//!   step and come back; an attacker who changes, repeats and forges messages.
//!
//! Worlds are numbered by their seeds and do not depend on each other. Environment:
//!
//! * `CLUSTER_STEPS`: how many steps to run at least (whole worlds are run);
//! * `CLUSTER_SEED`: the seed of the first world, decimal.

mod client;
mod ledger;
mod process;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::time::Instant;

use super::simulation::rng::Rng;
use world::World;

/// What a run has been through, for the report and to see that nothing is left out.
#[derive(Debug, Default)]
pub struct Count {
    pub worlds: u64,
    pub steps: u64,
    pub sessions: u64,
    pub claims: u64,
    pub relays: u64,
    /// Messages that arrived, in both directions.
    pub messages: u64,
    /// Messages that did not, on sessions whose end was reported.
    pub reported_lost: u64,
    /// Answers to clients, by status; 0 is a connection that was cut.
    pub answers: std::collections::BTreeMap<u16, u64>,
    pub bus_messages: u64,
    pub bus_lost: u64,
    pub bus_repeated: u64,
    pub attacks: u64,
    pub partitions: u64,
    pub outages: u64,
    pub crashes: u64,
    /// The longest that a POST or an upgrade, and a poll, had to wait for an answer, in milliseconds.
    pub longest: u64,
    pub longest_poll: u64,
    /// The most bytes that the associations of a process held.
    pub most_bytes: usize,
}

/// Runs worlds until enough steps are made.
///
/// # Panics
/// When something does not hold, after printing how to see it again.
pub fn run(default_steps: u64) -> Count {
    let steps = setting("CLUSTER_STEPS").unwrap_or(default_steps);
    let mut seed = setting("CLUSTER_SEED").unwrap_or(1);
    let start = Instant::now();
    let mut count = Count::default();
    while count.steps < steps {
        run_world(seed, &mut count);
        seed = seed.wrapping_add(1);
    }
    println!("{count:?} in {:.1} s", start.elapsed().as_secs_f64());
    count
}

fn run_world(seed: u64, count: &mut Count) {
    let mut world = World::new(Rng::new(seed), false);
    // the world is not looked at again after a panic
    if catch_unwind(AssertUnwindSafe(|| world.run(count))).is_ok() {
        return;
    }
    // once more, writing down what happens
    let mut again = World::new(Rng::new(seed), true);
    let outcome = catch_unwind(AssertUnwindSafe(|| again.run(&mut Count::default())));
    let error = outcome.err().map_or("it did not fail again: the simulation itself is not deterministic".into(), text);
    eprintln!("\n--- the last steps of the world that failed (seed {seed})\n");
    for line in again.trace() {
        eprintln!("{line}");
    }
    panic!(
        "{error}\n\nTo see it again:\n\n  CLUSTER_SEED={seed} CLUSTER_STEPS=1 \
         cargo test --no-default-features --test cluster_simulation\n"
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
