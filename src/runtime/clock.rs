//! The clock of the runtime.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

use crate::session::Millis;

/// Milliseconds of a monotonic clock that started with the process: tokio's, so that tests can turn it.
pub fn now() -> Millis {
    start().elapsed().as_millis() as Millis
}

/// The instant at which [`now`] returns `time`.
pub(crate) fn instant_of(time: Millis) -> Instant {
    start() + Duration::from_millis(time)
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}
