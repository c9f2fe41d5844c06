//! The numbers of all threads for `server.metrics()`.

use napi_derive::napi;

use super::engine::Engine;
use crate::runtime::{Count, Counts, Histogram};

/// What the engine's threads have counted since they started, and what waits now.
#[napi(object)]
pub struct EngineMetrics {
    pub messages_received: f64,
    pub message_bytes_received: f64,
    pub messages_sent: f64,
    pub message_bytes_sent: f64,
    pub frames_received: f64,
    pub bytes_received: f64,
    pub frames_sent: f64,
    pub bytes_sent: f64,
    pub polls: f64,
    pub poll_bytes: f64,
    pub posts: f64,
    pub post_bytes: f64,
    pub congestions: f64,
    /// In events.
    pub batches: HistogramOfEngine,
    /// In microseconds.
    pub delays: HistogramOfEngine,
    /// Bytes of the events that JavaScript has still to take.
    pub untaken: f64,
    pub stale_calls: f64,
    /// The connections whose peers do not take what is to be written.
    pub blocked: Vec<u32>,
}

/// See [`Histogram`].
#[napi(object)]
pub struct HistogramOfEngine {
    pub bounds: Vec<u32>,
    pub counts: Vec<f64>,
    pub sum: f64,
}

impl<const N: usize> From<&Histogram<N>> for HistogramOfEngine {
    fn from(histogram: &Histogram<N>) -> Self {
        let (bounds, counts, sum) = histogram.read();
        Self {
            bounds: bounds.to_vec(),
            counts: counts.into_iter().map(|count| count as f64).collect(),
            sum: sum as f64,
        }
    }
}

#[napi]
impl Engine {
    /// The numbers of all of this environment's threads.
    #[napi]
    pub fn metrics(&self) -> EngineMetrics {
        let mut all = self.io.counts();
        all.push(self.counts.clone());
        let sum = |which: fn(&Counts) -> &Count| all.iter().map(|counts| which(counts).get()).sum::<u64>() as f64;
        EngineMetrics {
            messages_received: sum(|counts| &counts.messages_received),
            message_bytes_received: sum(|counts| &counts.message_bytes_received),
            messages_sent: sum(|counts| &counts.messages_sent),
            message_bytes_sent: sum(|counts| &counts.message_bytes_sent),
            frames_received: sum(|counts| &counts.frames_received),
            bytes_received: sum(|counts| &counts.bytes_received),
            frames_sent: sum(|counts| &counts.frames_sent),
            bytes_sent: sum(|counts| &counts.bytes_sent),
            polls: sum(|counts| &counts.polls),
            poll_bytes: sum(|counts| &counts.poll_bytes),
            posts: sum(|counts| &counts.posts),
            post_bytes: sum(|counts| &counts.post_bytes),
            congestions: sum(|counts| &counts.congestions),
            // this thread alone takes batches
            batches: (&self.counts.batches).into(),
            delays: (&self.counts.delays).into(),
            untaken: self.queue.untaken() as f64,
            stale_calls: self.tables.stale() as f64,
            blocked: self.queue.blocked(),
        }
    }

    /// How often a listener has refused a request, by the reasons in the order of `Refusal::ALL`, and at last as a
    /// WebSocket handshake.
    #[napi]
    pub fn refusals(&self, listener: u32) -> Vec<u32> {
        self.tables.listener(listener).map_or_else(Vec::new, |listener| listener.refusals())
    }
}
