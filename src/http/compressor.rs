//! Bodies that the owner's responses carry, compressed off its thread.

use super::{CompressionOptions, ContentEncoding};
use crate::server::{EventQueue, Kind};

/// From this size on a body is compressed on a thread of its own, so that the connections of the I/O
/// thread need not wait for it.
const LARGE: usize = 64 * 1024;

/// A body to compress for the owner.
pub struct CompressionJob {
    /// The owner's number for it.
    pub id: u32,
    pub body: Vec<u8>,
    pub encoding: ContentEncoding,
    pub options: CompressionOptions,
    pub queue: EventQueue,
}

impl CompressionJob {
    /// Does it, on a runtime's thread. `Kind::Compressed` follows.
    pub fn start(self) {
        if self.body.len() < LARGE {
            self.run();
        } else {
            tokio::task::spawn_blocking(|| self.run());
        }
    }

    fn run(self) {
        let encoded = self.encoding.encode(&self.body, self.options);
        self.queue.with(|batch| match encoded {
            Some(bytes) => batch.push_bytes(Kind::Compressed, self.id, 0, &bytes),
            None => batch.push(Kind::Compressed, self.id, 0),
        });
    }
}

/// The body of one of the engine's own responses.
pub async fn compress(body: Vec<u8>, encoding: ContentEncoding, options: CompressionOptions) -> Option<Vec<u8>> {
    if body.len() < LARGE {
        return encoding.encode(&body, options);
    }
    tokio::task::spawn_blocking(move || encoding.encode(&body, options)).await.ok().flatten()
}

impl std::fmt::Debug for CompressionJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompressionJob").field("id", &self.id).finish_non_exhaustive()
    }
}
