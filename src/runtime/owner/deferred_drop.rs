//! Connections and sessions that have ended on an I/O thread. The owner lets go of them later; to free them, and to close
//! a socket, takes the owner's thread several times as long as to let go. So the I/O thread keeps each until nobody else
//! has it, and looks after them now and then as long as there are any: nobody wakes it for that.

use std::any::Any;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

/// The time to the first look, which is all that a socket stays open longer if the owner is quick.
const PERIOD: Duration = Duration::from_millis(5);

/// An owner that has not come round to most of what there was is given twice the time, up to this.
const MAX_PERIOD: Duration = Duration::from_secs(1);

thread_local! {
    static LEFTOVERS: RefCell<Option<Vec<Leftover>>> = const { RefCell::new(None) };
}

/// What somebody else may have, too.
type Leftover = Arc<dyn Any + Send + Sync>;

fn is_shared(leftover: &Leftover) -> bool {
    Arc::strong_count(leftover) > 1
}

/// Frees something on this thread, once nobody else has it; where this is no I/O thread, its last holder does.
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
    let mut period = PERIOD;
    loop {
        tokio::time::sleep(period).await;
        let (left, freed) = free();
        if left == 0 {
            return;
        }
        period = if left > freed { MAX_PERIOD.min(period * 2) } else { PERIOD };
    }
}

/// Frees what nobody else has. Returns how much is left, and how much was freed.
fn free() -> (usize, usize) {
    let (kept, freed): (Vec<_>, Vec<_>) = LEFTOVERS.take().unwrap_or_default().into_iter().partition(is_shared);
    // not while the table is borrowed: what is freed here may have more to be freed later
    let counts = (kept.len(), freed.len());
    LEFTOVERS.set(Some(kept));
    drop(freed);
    counts
}

/// The leftovers of this thread, as long as it is there.
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
