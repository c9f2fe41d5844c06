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

use std::time::Instant;

use super::replay::{Replayed, run_or_tell, setting};
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
    let command =
        format!("CLUSTER_SEED={seed} CLUSTER_STEPS=1 cargo test --no-default-features --test cluster_simulation");
    run_or_tell(seed, count, |is_traced| World::new(Rng::new(seed), is_traced), "world", &command);
}

impl Replayed for World {
    type Count = Count;

    fn run(&mut self, count: &mut Count) {
        Self::run(self, count);
    }

    fn trace(&self) -> Vec<&str> {
        Self::trace(self).collect()
    }
}
