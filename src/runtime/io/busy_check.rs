//! An owner's listener may take its time, and what it has sent is not to wait until that is over: while the owner is likely to be
//! busy with what this thread has brought, the thread looks every now and then what is asked of it.

use std::future::pending;
use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep};

use super::owner_reads::LOOK;
use crate::runtime::owner::commands::{Commands, Looking};

pub(crate) struct Looks {
    next: Pin<Box<Sleep>>,
    looking: Option<Looking>,
}

impl Looks {
    pub(crate) fn new() -> Self {
        Self { next: Box::pin(sleep(LOOK)), looking: None }
    }

    /// The owner has been woken.
    pub(crate) fn begin(&mut self, commands: &Commands) {
        if self.looking.is_none() {
            self.next.as_mut().reset(Instant::now() + LOOK);
            self.looking = Some(commands.looking());
        }
    }

    /// Waits for the next look, if there is to be one.
    pub(crate) async fn next(&mut self) {
        match self.looking {
            Some(_) => self.next.as_mut().await,
            None => pending().await,
        }
    }

    /// Has this thread see to what is asked of it; the last look is at an owner whose turn is over.
    pub(crate) fn look(&mut self, commands: &Commands) {
        if commands.has_any() || commands.are_held() {
            self.next.as_mut().reset(Instant::now() + LOOK);
            commands.look();
        } else {
            self.looking = None;
        }
    }
}
