//! Reading request bodies up to limits of size, of pieces and of time.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};

/// The limits of a request's body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes.
    pub size: u64,
    /// Pieces in which it comes.
    pub chunks: u32,
    /// Milliseconds.
    pub time: u32,
}

impl BodyLimits {
    /// The limits that the options of a server set. A value that is not a number sets no limit of the size.
    pub fn new(size: f64, chunks: f64, time: u32) -> Self {
        let or_none = |limit: f64| if limit.is_nan() { f64::INFINITY } else { limit };
        // these casts saturate
        Self { size: or_none(size) as u64, chunks: or_none(chunks) as u32, time }
    }
}

/// The outcome of reading a body.
#[derive(Debug)]
pub(super) enum Body {
    Complete(Bytes),
    /// More bytes than allowed came; the rest is not read.
    TooLarge,
    /// More pieces than allowed came.
    TooManyChunks,
    /// The client went away or broke the framing.
    Aborted,
    /// It did not come in time.
    TooSlow,
}

/// Limits the reading of a body to this many milliseconds.
pub(super) async fn in_time(time: u32, reading: impl Future<Output = Body>) -> Body {
    tokio::time::timeout(Duration::from_millis(time.into()), reading).await.unwrap_or(Body::TooSlow)
}

/// Reads a body within the limits of its size and its pieces. The announced length is not trusted for allocation.
pub(super) async fn read_all(mut body: Incoming, limits: BodyLimits) -> Body {
    let mut first = Bytes::new();
    let mut bytes = Vec::new();
    let mut chunks: u32 = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Body::Aborted };
        let Ok(data) = frame.into_data() else { continue };
        if (first.len() + bytes.len() + data.len()) as u64 > limits.size {
            return Body::TooLarge;
        }
        chunks = chunks.saturating_add(1);
        if chunks > limits.chunks {
            return Body::TooManyChunks;
        }
        if first.is_empty() && bytes.is_empty() {
            // most bodies are a single chunk, which is not copied
            first = data;
        } else {
            bytes.extend_from_slice(&std::mem::take(&mut first));
            bytes.extend_from_slice(&data);
        }
    }
    Body::Complete(if bytes.is_empty() { first } else { bytes.into() })
}
