//! The bytes of frames that wait to be written.

use std::ops::Deref;
use std::sync::Arc;

/// Frames that wait to be written.
#[derive(Debug)]
pub enum Frames {
    Own(Vec<u8>),
    /// Frames of a broadcast, which also wait on other connections.
    Shared(Arc<[u8]>),
}

impl Frames {
    /// The bytes, so that more can be appended.
    pub(super) fn own(&mut self) -> &mut Vec<u8> {
        if let Self::Shared(bytes) = self {
            *self = Self::Own(bytes.to_vec());
        }
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(_) => unreachable!("made our own above"),
        }
    }

    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes.to_vec(),
        }
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Deref for Frames {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}
