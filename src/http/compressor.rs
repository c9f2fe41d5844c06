//! Compresses bodies of the owner's responses off its thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

use super::encoding::{CompressionOptions, ContentEncoding};
use crate::runtime::{EventQueue, Kind};

/// Bytes from which on a body is compressed on a thread of its own, so that the connections of the I/O thread do not
/// wait for it.
const OWN_THREAD_FROM: usize = 64 * 1024;

/// A body to compress for the owner.
pub struct CompressionJob {
    /// The owner's number for it.
    pub number: u32,
    /// The body as it is.
    pub body: Vec<u8>,
    /// How it is to be compressed.
    pub encoding: ContentEncoding,
    /// The options of the compression.
    pub options: CompressionOptions,
    /// Receives the compressed body.
    pub queue: EventQueue,
}

impl CompressionJob {
    /// Compresses the body on a thread of the runtime. `Kind::Compressed` follows.
    pub fn start(self) {
        if self.body.len() < OWN_THREAD_FROM {
            self.run();
        } else {
            let _ = apart(|| self.run());
        }
    }

    fn run(self) {
        let encoded = self.encoding.encode(&self.body, self.options);
        self.queue.with(|batch| match encoded {
            Some(bytes) => batch.push_bytes(Kind::Compressed, self.number, 0, &bytes),
            None => batch.push(Kind::Compressed, self.number, 0),
        });
    }
}

/// The body of one of the engine's own responses.
pub(super) async fn compress(body: Vec<u8>, encoding: ContentEncoding, options: CompressionOptions) -> Option<Vec<u8>> {
    if body.len() < OWN_THREAD_FROM {
        return encoding.encode(&body, options);
    }
    match apart(move || encoding.encode(&body, options)) {
        Ok(task) => task.await.ok().flatten().flatten(),
        Err(encoded) => encoded.flatten(),
    }
}

/// Does a piece of work on a thread of the runtime, or here if the system gives none; then the outcome is the error.
/// Both are `None` if the other place has done it.
fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<Option<T>>, Option<T>> {
    let work = Arc::new(Mutex::new(Some(work)));
    let take = move || work.lock().unwrap_or_else(PoisonError::into_inner).take();
    let take_there = take.clone();
    // the runtime panics if it cannot start a thread, and keeps the task for a later one
    let spawn = move || tokio::task::spawn_blocking(move || take_there().map(|work| work()));
    catch_unwind(AssertUnwindSafe(spawn)).map_err(|_| take().map(|work| work()))
}

impl std::fmt::Debug for CompressionJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompressionJob").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_though_the_system_gives_no_thread() {
        // no address space has room for such a stack
        let runtime = tokio::runtime::Builder::new_current_thread().thread_stack_size(1 << 60).build().unwrap();
        runtime.block_on(async {
            assert_eq!(apart(|| 1).err(), Some(Some(1)));
        });
    }

    #[test]
    fn work_is_done_on_a_thread_of_its_own() {
        let here = std::thread::current().id();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let there = runtime.block_on(async { apart(|| std::thread::current().id()).unwrap().await.unwrap() });
        assert!(there.is_some_and(|there| there != here));
    }
}
