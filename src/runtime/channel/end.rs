//! The causes of a connection's end.

use crate::runtime::owner::contract::{ERRNO_MASK, EndCode};

/// The cause of a connection's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// This side has cut the connection off, or a timeout has.
    CutOff,
    /// This side has reset it.
    Reset,
    /// The peer has ended its side.
    PeerEnded,
    /// Both close frames have passed, and our side has been ended.
    Closed,
    /// The peer has ended its side behind ours.
    PeerFollowed,
    /// Reading failed with this error number.
    ReadFailed(i32),
    /// Writing failed with this error number.
    WriteFailed(i32),
}

impl End {
    /// The upper half of `arg` in [`Kind::ConnectionEnded`].
    ///
    /// [`Kind::ConnectionEnded`]: crate::runtime::Kind::ConnectionEnded
    pub(super) fn code(self) -> u32 {
        let failure = |code: EndCode, errno: i32| code as u32 | errno as u32 & ERRNO_MASK;
        match self {
            Self::CutOff => EndCode::CutOff as u32,
            Self::Reset => EndCode::Reset as u32,
            Self::PeerEnded => EndCode::PeerEnded as u32,
            Self::Closed => EndCode::Closed as u32,
            Self::PeerFollowed => EndCode::PeerFollowed as u32,
            Self::ReadFailed(errno) => failure(EndCode::ReadFailed, errno),
            Self::WriteFailed(errno) => failure(EndCode::WriteFailed, errno),
        }
    }
}
