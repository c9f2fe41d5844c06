//! Whatever happens in whatever order: nothing is lost, doubled or left behind.
//!
//! See `support/simulation` for what is simulated and what is checked. More steps, and other seeds:
//!
//! ```text
//! SIMULATION_STEPS=100000000 SIMULATION_SEED=1000000 \
//!   cargo test --release --no-default-features --test simulation -- --nocapture
//! ```

mod support;

use support::simulation::{Count, Manners, run};

/// Of each of the two: together four million, in about three seconds of a debug build.
const STEPS: u64 = 2_000_000;

/// The ways to end that every client can bring about.
const COMMON_ENDS: [&str; 4] =
    ["forced close", "ping timeout", "transport close", "poll connection closed prematurely"];

/// The ways to end that only a client without manners brings about.
const RUDE_ENDS: [&str; 6] = [
    "broken frame",
    "data request connection closed prematurely",
    "data request overlap from client",
    "invalid heartbeat direction",
    "overlap from client",
    "parse error",
];

/// A simulation that does not come to a place proves nothing about it.
fn assert_seen(count: &Count, ends: &[&str]) {
    if count.steps < STEPS {
        return; // a replay, or a short run
    }
    for end in ends {
        assert!(count.ends.contains_key(*end), "no session ended with {end}");
    }
    assert!(count.sessions > 10_000 && count.upgrades > 5_000 && count.failed_upgrades > 5_000);
    assert!(count.messages > 100_000 && count.reported_lost > 10_000);
}

#[test]
fn sessions_of_clients_that_follow_the_protocol_lose_nothing() {
    let count = run("sessions_of_clients_that_follow_the_protocol_lose_nothing", Manners::Polite, STEPS);
    assert_seen(&count, &COMMON_ENDS);
}

#[test]
fn sessions_of_clients_that_break_every_rule_end_once_and_leave_nothing_behind() {
    let count =
        run("sessions_of_clients_that_break_every_rule_end_once_and_leave_nothing_behind", Manners::Rude, STEPS);
    assert_seen(&count, &COMMON_ENDS);
    assert_seen(&count, &RUDE_ENDS);
}
