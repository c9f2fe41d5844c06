//! What a peer may make us hold.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Frames of one message by default, as in `ws` (`maxFragments`).
pub const MAX_FRAGMENTS: u32 = 16 * 1024;

/// What a peer may make the decoder hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message: the sum of its fragments on the wire, and again after inflating. 0 is
    /// unlimited.
    pub max_payload: u64,
    /// Frames of one message, empty ones included. 0 is unlimited.
    pub max_fragments: u32,
    /// Pieces in which the payload of one frame may come in: the calls of [`crate::websocket::Decoder::feed`] that it
    /// takes. 0 is unlimited.
    pub max_chunks: u32,
    /// UTF-16 code units of a text, as the owner's strings have a limit. 0 is unlimited.
    pub max_text: u32,
}

/// See [`set_max_text`].
static MAX_TEXT: AtomicU32 = AtomicU32::new(0);

/// Sets how long the owner's strings can be, in UTF-16 code units. All owners of a process have the same limit, that of
/// their JavaScript engine. It is the default of [`Limits`] from now on.
pub fn set_max_text(max: u32) {
    MAX_TEXT.store(max, Relaxed);
}

/// How long the owner's strings can be; 0 is unlimited.
pub fn max_text() -> u32 {
    MAX_TEXT.load(Relaxed)
}

impl Default for Limits {
    /// The defaults of the original: 1,000,000 bytes (`maxHttpBufferSize`), [`MAX_FRAGMENTS`] frames and 10,000 pieces
    /// (`maxBufferedChunks`). For texts see [`set_max_text`].
    fn default() -> Self {
        Self { max_payload: 1_000_000, max_fragments: MAX_FRAGMENTS, max_chunks: 10_000, max_text: max_text() }
    }
}
