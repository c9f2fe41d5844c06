//! Connections and sessions that have ended on an I/O thread. The owner drops its references later. Freeing them and
//! closing a socket takes several times as long as dropping a reference, so that the I/O thread keeps each until it has
//! the last reference. It looks at them from time to time while there are any; no wake-up is needed for that.

use std::any::Any;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

/// Time to the first look. A socket stays open that much longer if the owner is quick.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Longest time between looks. It doubles while the owner has not dropped most of the references.
const MAX_PAUSE: Duration = Duration::from_secs(1);

thread_local! {
    static LEFTOVERS: RefCell<Option<Vec<Leftover>>> = const { RefCell::new(None) };
}

/// A value to which another thread may have a reference.
type Leftover = Arc<dyn Any + Send + Sync>;

fn is_shared(leftover: &Leftover) -> bool {
    Arc::strong_count(leftover) > 1
}

/// Frees a value on this thread once it has the last reference. On other threads than I/O threads the last holder frees
/// it.
pub(crate) fn free_later<T: Send + Sync + 'static>(leftover: &Arc<T>) {
    // a thread that ends may have none any more
    let _ = LEFTOVERS.try_with(|leftovers| {
        if let Some(leftovers) = &mut *leftovers.borrow_mut() {
            leftovers.push(leftover.clone());
            if leftovers.len() == 1 {
                tokio::spawn(look_after());
            }
        }
    });
}

async fn look_after() {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        let (left, freed) = free();
        if left == 0 {
            return;
        }
        pause = if left > freed { MAX_PAUSE.min(pause * 2) } else { FIRST_PAUSE };
    }
}

/// Frees the values that have no other reference. Returns how many are left, and how many were freed.
fn free() -> (usize, usize) {
    let (kept, freed): (Vec<_>, Vec<_>) = LEFTOVERS.take().unwrap_or_default().into_iter().partition(is_shared);
    // not while the table is borrowed, because freeing a value may add others
    let counts = (kept.len(), freed.len());
    LEFTOVERS.set(Some(kept));
    drop(freed);
    counts
}

/// The values of this thread that wait to be freed.
pub(crate) struct Leftovers(());

impl Leftovers {
    pub(crate) fn begin() -> Self {
        LEFTOVERS.set(Some(Vec::new()));
        Self(())
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        drop(LEFTOVERS.take());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn seconds(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_ended_is_freed_once_nobody_else_has_it_however_long_that_takes() {
        let _leftovers = Leftovers::begin();
        for holds in [0, 1, 100] {
            let thing = Arc::new(());
            let freed = Arc::downgrade(&thing);
            free_later(&thing);
            seconds(holds).await;
            assert!(freed.upgrade().is_some(), "freed while it is held");
            drop(thing);
            seconds(2).await;
            assert!(freed.upgrade().is_none(), "not freed after {holds} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_thread_ends_with_what_is_left() {
        let leftovers = Leftovers::begin();
        let thing = Arc::new(());
        free_later(&thing);
        drop(leftovers);
        assert_eq!(Arc::strong_count(&thing), 1);
    }

    #[test]
    fn elsewhere_the_last_holder_frees() {
        let thing = Arc::new(());
        free_later(&thing);
        assert_eq!(Arc::strong_count(&thing), 1);
    }
}
