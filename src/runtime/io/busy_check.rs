//! While the owner may be busy in a listener with what this thread has brought, the thread checks every 2 ms for what
//! the owner has asked for, so that a slow listener does not delay what it has sent.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::runtime::channel::connection::{Commands, Connection};
use crate::runtime::owner::commands::Looking;

/// The time from one look to the next.
pub(super) const LOOK: Duration = Duration::from_millis(2);

/// The timer of the thread's next look, if the owner may be busy.
pub(super) struct BusyCheck {
    next: Pin<Box<Sleep>>,
    looking: Option<Looking<Connection>>,
}

impl BusyCheck {
    pub(super) fn new() -> Self {
        Self { next: Box::pin(sleep(LOOK)), looking: None }
    }

    /// Starts looking, because the owner has been woken.
    pub(super) fn begin(&mut self, commands: &Commands) {
        if self.looking.is_none() {
            self.next.as_mut().reset(Instant::now() + LOOK);
            self.looking = Some(commands.looking());
        }
    }

    /// Waits for the next look, if one is planned.
    pub(super) async fn next(&mut self) {
        match self.looking {
            Some(_) => self.next.as_mut().await,
            None => pending().await,
        }
    }

    /// Has this thread do what it is asked for. The last look is at an owner whose turn is over.
    pub(super) fn look(&mut self, commands: &Commands) {
        if commands.has_any() || commands.are_held() {
            self.next.as_mut().reset(Instant::now() + LOOK);
            commands.look();
        } else {
            self.looking = None;
        }
    }
}
