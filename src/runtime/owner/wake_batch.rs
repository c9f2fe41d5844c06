//! Puts the waking of owners off to the end of an I/O thread's turn. A wake-up costs a system call here and a change of
//! thread there, which the events of all ready sockets can share.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::Notify;

/// What wakes an owner.
pub(crate) trait WakesOwner: Send + Sync {
    /// Wakes the owner, unless that has been done, or there is nothing to take any more.
    fn wake_now(&self);
}

/// The turns of this thread.
pub(crate) struct Turns {
    end: Arc<Notify>,
}

struct Turn {
    /// Owners that have to be woken.
    untold: Vec<Arc<dyn WakesOwner>>,
    end: Arc<Notify>,
}

thread_local! {
    static TURN: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// Puts a wake-up off to the end of this thread's turn. Returns false on a thread without turns.
pub(super) fn put_off<O: WakesOwner + 'static>(owner: impl FnOnce() -> Arc<O>) -> bool {
    TURN.with_borrow_mut(|turn| {
        let Some(turn) = turn else { return false };
        turn.untold.push(owner());
        if turn.untold.len() == 1 {
            // this runs behind the tasks that are ready now
            turn.end.notify_one();
        }
        true
    })
}

impl Turns {
    pub(crate) fn begin() -> Self {
        let end = Arc::new(Notify::new());
        TURN.set(Some(Turn { untold: Vec::new(), end: end.clone() }));
        Self { end }
    }

    /// Waits for the end of a turn in which something was put off.
    pub(crate) async fn end(&self) {
        self.end.notified().await;
    }

    /// Wakes the owners.
    pub(crate) fn catch_up(&self) {
        let untold = TURN.with_borrow_mut(|turn| turn.as_mut().map(|turn| std::mem::take(&mut turn.untold)));
        untold.into_iter().flatten().for_each(|owner| owner.wake_now());
    }
}

impl Drop for Turns {
    /// Wakes the owners at once, because there are no more turns.
    fn drop(&mut self) {
        self.catch_up();
        TURN.set(None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;
    use crate::runtime::{Batch, EventQueue, Kind};

    fn queue() -> (EventQueue, Arc<AtomicUsize>) {
        let wakes = Arc::new(AtomicUsize::new(0));
        let count = wakes.clone();
        (
            EventQueue::new(move || {
                count.fetch_add(1, SeqCst);
            }),
            wakes,
        )
    }

    async fn io_thread() -> tokio::task::JoinHandle<()> {
        let thread = tokio::spawn(async {
            let turns = Turns::begin();
            loop {
                turns.end().await;
                turns.catch_up();
            }
        });
        tokio::task::yield_now().await;
        thread
    }

    #[tokio::test]
    async fn the_owner_is_woken_once_for_all_that_a_turn_brought() {
        io_thread().await;
        let (queue, wakes) = queue();
        let tasks: Vec<_> = (0..10)
            .map(|session| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.push(Kind::Pinged, session, 0) })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        tokio::task::yield_now().await;
        assert_eq!(wakes.load(SeqCst), 1);
        assert_eq!(queue.take(Batch::default()).events.len(), 10);
    }

    #[tokio::test]
    async fn the_owner_is_woken_at_once_when_there_is_enough() {
        io_thread().await;
        let (queue, wakes) = queue();
        for session in 0..100 {
            queue.push(Kind::Pinged, session, 0);
        }
        assert_eq!(wakes.load(SeqCst), 1);
        tokio::task::yield_now().await;
        assert_eq!(wakes.load(SeqCst), 1, "and not again");
    }

    #[tokio::test]
    async fn nobody_is_woken_for_what_has_been_taken_meanwhile() {
        io_thread().await;
        let (queue, wakes) = queue();
        queue.push(Kind::Pinged, 1, 0);
        queue.take(Batch::default());
        tokio::task::yield_now().await;
        assert_eq!(wakes.load(SeqCst), 0);
    }

    #[tokio::test]
    async fn a_thread_that_ends_wakes_whoever_it_still_owes_that() {
        let thread = io_thread().await;
        let (queue, wakes) = queue();
        queue.push(Kind::Pinged, 1, 0);
        thread.abort();
        let _ = thread.await;
        assert_eq!(wakes.load(SeqCst), 1);
    }
}
