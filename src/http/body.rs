//! Reading request bodies up to a limit.

use http_body_util::BodyExt;
use hyper::body::Incoming;

/// What became of reading a body.
#[derive(Debug)]
pub enum Body {
    Complete(Vec<u8>),
    /// More bytes than allowed came; the rest is not read.
    TooLarge,
    /// The client went away or broke the framing.
    Aborted,
}

/// Reads a body of at most `limit` bytes. The announced length is not trusted for allocation.
pub async fn read(mut body: Incoming, limit: f64) -> Body {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Body::Aborted };
        let Ok(data) = frame.into_data() else { continue };
        // compared as the original does, in floating point: Infinity is no limit, NaN neither
        if (bytes.len() + data.len()) as f64 > limit {
            return Body::TooLarge;
        }
        bytes.extend_from_slice(&data);
    }
    Body::Complete(bytes)
}
