//! Processes that serve each other's sessions over a bus that fails in every way.
//!
//! `support/cluster` says what is simulated and what is checked. More steps, and other seeds:
//!
//! ```text
//! CLUSTER_STEPS=100000000 CLUSTER_SEED=1000000 \
//!   cargo test --release --no-default-features --test cluster_simulation -- --nocapture
//! ```

mod support;

use support::cluster::run;

const STEPS: u64 = 1_000_000;

#[test]
fn no_message_is_lost_without_a_report_or_delivered_twice_and_each_session_has_one_owner() {
    let count = run(STEPS);
    if count.steps < STEPS {
        return; // a replay, or a short run
    }
    // a simulation that does not come to a place proves nothing about it
    assert!(count.sessions > 1_000 && count.claims > 100 && count.relays > 100, "{count:?}");
    assert!(count.messages > 100_000 && count.reported_lost > 1_000, "{count:?}");
    assert!(count.bus_lost > 1_000 && count.bus_repeated > 1_000 && count.attacks > 1_000, "{count:?}");
    assert!(count.partitions > 100 && count.outages > 20 && count.crashes > 100, "{count:?}");
    for status in [0, 101, 200, 400, 503] {
        assert!(count.answers.get(&status).is_some_and(|times| *times > 50), "{status}: {count:?}");
    }
}
