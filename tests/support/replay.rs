//! What simulations share: settings from the environment, and how a world that failed is run again.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

/// A world of a simulation.
pub trait Replayed {
    /// What a run has been through.
    type Count: Default;

    /// Runs the world to its end. It panics when something does not hold.
    fn run(&mut self, count: &mut Self::Count);

    /// The last steps, if the world writes them down.
    fn trace(&self) -> Vec<&str>;
}

/// Runs the world that `make` makes of `seed`. `make` is told whether the steps are written down.
///
/// # Panics
/// When something does not hold, after running the world once more and printing its last steps. `subject` is what the
/// steps are of, and `command` runs the world again.
pub fn run_or_tell<W: Replayed>(
    seed: u64,
    count: &mut W::Count,
    make: impl Fn(bool) -> W,
    subject: &str,
    command: &str,
) {
    let mut world = make(false);
    // the world is not looked at again after a panic
    if catch_unwind(AssertUnwindSafe(|| world.run(count))).is_ok() {
        return;
    }
    // once more, writing down what happens
    let mut again = make(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| again.run(&mut W::Count::default())));
    let error = outcome.err().map_or("it did not fail again: the simulation itself is not deterministic".into(), text);
    eprintln!("\n--- the last steps of the {subject} that failed (seed {seed})\n");
    for line in again.trace() {
        eprintln!("{line}");
    }
    panic!("{error}\n\nTo see it again:\n\n  {command}\n");
}

fn text(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// The number in an environment variable, if it is set.
pub fn setting<T: FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {value:?}")))
}
