//! Reading request bodies up to a limit, of size and of time.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};

/// A client that takes longer than this for a body is given up, as by the `requestTimeout` of Node's HTTP server.
const PATIENCE: Duration = Duration::from_secs(300);

/// What became of reading a body.
#[derive(Debug)]
pub enum Body {
    Complete(Bytes),
    /// More bytes than allowed came; the rest is not read.
    TooLarge,
    /// The client went away or broke the framing.
    Aborted,
    /// It did not come in time.
    TooSlow,
}

/// Gives the reading of a body so much time.
pub async fn in_time(reading: impl Future<Output = Body>) -> Body {
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or(Body::TooSlow)
}

/// Reads a body of at most `limit` bytes. The announced length is not trusted for allocation.
pub async fn read_all(mut body: Incoming, limit: f64) -> Body {
    let mut first = Bytes::new();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Body::Aborted };
        let Ok(data) = frame.into_data() else { continue };
        // compared as the original does, in floating point: Infinity is no limit, NaN neither
        if (first.len() + bytes.len() + data.len()) as f64 > limit {
            return Body::TooLarge;
        }
        if first.is_empty() && bytes.is_empty() {
            // most bodies are no more than that, and not copied
            first = data;
        } else {
            bytes.extend_from_slice(&std::mem::take(&mut first));
            bytes.extend_from_slice(&data);
        }
    }
    Body::Complete(if bytes.is_empty() { first } else { bytes.into() })
}
