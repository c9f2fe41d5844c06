//! The time limit of request heads. hyper makes a timer when it begins to wait for a head, and drops it when the head
//! is there. Here all timers of a connection share one timer of tokio, which is moved only when it has run out too
//! early.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// The timer of one connection, which one task drives.
#[derive(Debug, Default)]
pub(super) struct HeadTimer {
    unused: Arc<Unused>,
}

/// Keeps the timer while no head is awaited.
type Unused = Mutex<Option<Running>>;

#[derive(Debug)]
struct Running {
    sleep: Pin<Box<tokio::time::Sleep>>,
    /// Whether the timer knows which task to wake.
    polled: bool,
}

struct HeadSleep {
    deadline: Instant,
    running: Option<Running>,
    unused: Arc<Unused>,
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let running = self.unused.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(HeadSleep { deadline, running, unused: self.unused.clone() })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let deadline = this.deadline.into();
        let running = this
            .running
            .get_or_insert_with(|| Running { sleep: Box::pin(tokio::time::sleep_until(deadline)), polled: false });
        if running.sleep.deadline() > deadline {
            running.sleep.as_mut().reset(deadline);
        } else if running.polled && !running.sleep.is_elapsed() {
            return Poll::Pending;
        }
        running.polled = true;
        loop {
            ready!(running.sleep.as_mut().poll(cx));
            if running.sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            running.sleep.as_mut().reset(deadline);
        }
    }
}

impl Drop for HeadSleep {
    fn drop(&mut self) {
        *self.unused.lock().unwrap_or_else(PoisonError::into_inner) = self.running.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn wait(timer: &HeadTimer, seconds: u32) -> Duration {
        let start = timer.now();
        timer.sleep(SECOND * seconds).await;
        timer.now() - start
    }

    fn whole_seconds(time: Duration) -> u64 {
        (time + SECOND / 2).as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_the_whole_time_whenever_those_before_it_came() {
        let timer = HeadTimer::default();
        assert_eq!(whole_seconds(wait(&timer, 60).await), 60);
        for _ in 0..3 {
            let in_time = tokio::time::timeout(SECOND * 40, timer.sleep(SECOND * 60)).await;
            assert!(in_time.is_err(), "the timer ran out before its time");
        }
        assert_eq!(whole_seconds(wait(&timer, 60).await), 60);
        assert_eq!(whole_seconds(wait(&timer, 5).await), 5);
    }
}
