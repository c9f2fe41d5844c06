//! What is counted for `server.metrics()`.
//!
//! Each thread counts for itself, so that no two threads write to the same number. Adding is a load and a store. A reader
//! adds up what the threads have counted.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A number that one thread counts up and any thread may read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to the number. Only the thread that the number belongs to may call this.
    pub fn add(&self, more: usize) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more as u64), Relaxed);
    }

    /// Takes back what was added too much. Only the thread that the number belongs to may call this.
    pub fn take_back(&self, less: usize) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(less as u64), Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Numbers of events of a batch up to which the batch is counted in the histogram's buckets.
pub const BATCH_BOUNDS: [u32; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// Delays up to which they are counted in the histogram's buckets, in microseconds.
pub const DELAY_BOUNDS: [u32; 14] =
    [50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000];

/// Number of values by their size: one bucket for each bound, and one for what is larger.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: [u32; N],
    buckets: [Count; N],
    larger: Count,
    sum: Count,
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: [u32; N]) -> Self {
        Self {
            bounds,
            buckets: std::array::from_fn(|_| Count::default()),
            larger: Count::default(),
            sum: Count::default(),
        }
    }

    fn add(&self, value: usize) {
        let at = self.bounds.partition_point(|&bound| (bound as usize) < value);
        self.buckets.get(at).unwrap_or(&self.larger).add(1);
        self.sum.add(value);
    }

    /// The bounds, the number of values in each bucket and above all bounds, and the sum of the values.
    pub fn read(&self) -> (&[u32], Vec<u64>, u64) {
        let counts = self.buckets.iter().chain([&self.larger]).map(Count::get).collect();
        (&self.bounds, counts, self.sum.get())
    }
}

/// What one thread has counted.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counts {
    /// WebSocket messages and control frames that have come in.
    pub frames_received: Count,
    /// Bytes of WebSocket connections that have come in.
    pub bytes_received: Count,
    /// WebSocket frames that have gone out.
    pub frames_sent: Count,
    /// Bytes of WebSocket connections that have gone out.
    pub bytes_sent: Count,
    /// How often a peer was too slow to take what was to be written.
    pub congestions: Count,
    /// GET requests of polling clients.
    pub polls: Count,
    /// Bytes of the payloads that have answered them, before compression.
    pub poll_bytes: Count,
    /// POST requests of polling clients.
    pub posts: Count,
    /// Bytes of their bodies.
    pub post_bytes: Count,
    /// Messages that the owner has taken.
    pub messages_received: Count,
    /// Bytes of their contents.
    pub message_bytes_received: Count,
    /// Messages that the owner has handed over.
    pub messages_sent: Count,
    /// Bytes of their contents.
    pub message_bytes_sent: Count,
    /// Sizes of the batches that the owner has taken, in events.
    pub batches: Histogram<{ BATCH_BOUNDS.len() }>,
    /// How long the first event of a batch has waited for the owner, in microseconds.
    pub delays: Histogram<{ DELAY_BOUNDS.len() }>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            frames_received: Count::default(),
            bytes_received: Count::default(),
            frames_sent: Count::default(),
            bytes_sent: Count::default(),
            congestions: Count::default(),
            polls: Count::default(),
            poll_bytes: Count::default(),
            posts: Count::default(),
            post_bytes: Count::default(),
            messages_received: Count::default(),
            message_bytes_received: Count::default(),
            messages_sent: Count::default(),
            message_bytes_sent: Count::default(),
            batches: Histogram::new(BATCH_BOUNDS),
            delays: Histogram::new(DELAY_BOUNDS),
        }
    }
}

impl Counts {
    /// Counts a batch of this many events that the owner has taken.
    pub fn count_batch(&self, events: usize) {
        self.batches.add(events);
    }

    /// Counts the time that the first event of a batch has waited.
    pub fn count_delay(&self, delay: Duration) {
        self.delays.add(delay.as_micros() as usize);
    }
}

thread_local! {
    static MINE: OnceCell<Arc<Counts>> = const { OnceCell::new() };
}

/// Has this thread, which has not counted anything yet, count in `counts`.
pub(crate) fn begin(counts: Arc<Counts>) {
    MINE.with(|mine| drop(mine.set(counts)));
}

/// What this thread counts.
pub fn of_this_thread() -> Arc<Counts> {
    MINE.with(|mine| mine.get_or_init(Arc::default).clone())
}

/// Lets `add` count for this thread. A thread that is ending counts nothing.
pub(crate) fn count(add: impl FnOnce(&Counts)) {
    let _ = MINE.try_with(|mine| add(mine.get_or_init(Arc::default)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::new([1, 2, 4]);
        [1, 2, 3, 4, 5, 100].into_iter().for_each(|value| histogram.add(value));
        assert_eq!(histogram.read(), (&[1, 2, 4][..], vec![1, 1, 2, 2], 115));
    }

    #[test]
    fn a_thread_counts_for_itself() {
        let counts = Arc::<Counts>::default();
        let theirs = counts.clone();
        let thread = std::thread::spawn(move || {
            begin(theirs);
            count(|counts| counts.polls.add(2));
            count(|counts| counts.polls.add(1));
        });
        thread.join().unwrap();
        assert_eq!((counts.polls.get(), of_this_thread().polls.get()), (3, 0));
    }
}
