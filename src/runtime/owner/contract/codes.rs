//! What the codes of the contract say, and which code stands for what.

use super::{DRAINING, ErrorCode, ProbeEndCode, ReasonCode};
use crate::session::{Fault, ProbeEnd, Reason};

impl ErrorCode {
    /// All codes, in order.
    pub const ALL: [Self; 6] = [
        Self::UnknownTransport,
        Self::UnknownSid,
        Self::BadHandshakeMethod,
        Self::BadRequest,
        Self::Forbidden,
        Self::UnsupportedProtocolVersion,
    ];

    /// What clients read.
    pub fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSid => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedProtocolVersion => "Unsupported protocol version",
        }
    }
}

/// Why the native listener refuses a request: the target of [`Kind::Refused`](super::Kind::Refused).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The query names no transport that the listener serves.
    UnknownTransport = 0,
    /// The query names a session that is not there.
    UnknownSid = 1,
    /// A session is opened by GET only.
    BadHandshakeMethod = 2,
    /// The session uses another transport.
    TransportMismatch = 3,
    /// The session speaks another protocol.
    ProtocolMismatch = 4,
    /// The request does not lead to its transport.
    TransportHandshake = 5,
    /// The system has no randomness to give, or the engine no handle.
    Exhausted = 6,
    /// The client speaks protocol 3, which the server does not allow.
    UnsupportedProtocolVersion = 7,
    /// The listener opens no more sessions, because the owner is about to stop.
    Draining = 8,
}

impl Refusal {
    /// All refusals, in order.
    pub const ALL: [Self; 9] = [
        Self::UnknownTransport,
        Self::UnknownSid,
        Self::BadHandshakeMethod,
        Self::TransportMismatch,
        Self::ProtocolMismatch,
        Self::TransportHandshake,
        Self::Exhausted,
        Self::UnsupportedProtocolVersion,
        Self::Draining,
    ];

    /// The code that clients get.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::UnknownTransport => ErrorCode::UnknownTransport,
            Self::UnknownSid => ErrorCode::UnknownSid,
            Self::BadHandshakeMethod => ErrorCode::BadHandshakeMethod,
            Self::TransportMismatch | Self::ProtocolMismatch | Self::TransportHandshake | Self::Exhausted => {
                ErrorCode::BadRequest
            }
            Self::UnsupportedProtocolVersion => ErrorCode::UnsupportedProtocolVersion,
            Self::Draining => ErrorCode::Forbidden,
        }
    }

    /// The text that clients get.
    pub fn message(self) -> &'static str {
        if self == Self::Draining { DRAINING } else { self.code().message() }
    }

    /// What the `context` of a `connection_error` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownTransport => "UNKNOWN_TRANSPORT",
            Self::UnknownSid => "UNKNOWN_SID",
            Self::BadHandshakeMethod => "BAD_HANDSHAKE_METHOD",
            Self::TransportMismatch => "TRANSPORT_MISMATCH",
            Self::ProtocolMismatch => "PROTOCOL_MISMATCH",
            Self::TransportHandshake => "TRANSPORT_HANDSHAKE_ERROR",
            Self::Exhausted => "ID_GENERATION_ERROR",
            Self::UnsupportedProtocolVersion => "UNSUPPORTED_PROTOCOL_VERSION",
            Self::Draining => "DRAINING",
        }
    }
}

impl ReasonCode {
    /// All codes, in order.
    pub const ALL: [Self; 6] = [
        Self::TransportError,
        Self::Fault,
        Self::TransportClose,
        Self::ParseError,
        Self::PingTimeout,
        Self::ForcedClose,
    ];

    /// The code of a reason.
    pub fn of(reason: &Reason) -> Self {
        match reason {
            Reason::TransportError(fault) if !fault.is_transport_error() => Self::Fault,
            Reason::TransportError(_) => Self::TransportError,
            Reason::TransportClose => Self::TransportClose,
            Reason::ParseError => Self::ParseError,
            Reason::PingTimeout => Self::PingTimeout,
            Reason::ForcedClose => Self::ForcedClose,
        }
    }

    /// The reason that the owner has found; `message`: that of a transport error. None for an unknown code.
    pub fn reason(code: u32, message: String) -> Option<Reason> {
        let code = Self::ALL.into_iter().find(|known| *known as u32 == code)?;
        Some(match code {
            Self::TransportError | Self::Fault if message == Fault::InvalidContent.message() => {
                Reason::TransportError(Fault::InvalidContent)
            }
            Self::TransportError | Self::Fault => Reason::TransportError(Fault::Frame(message)),
            Self::TransportClose => Reason::TransportClose,
            Self::ParseError => Reason::ParseError,
            Self::PingTimeout => Reason::PingTimeout,
            Self::ForcedClose => Reason::ForcedClose,
        })
    }

    /// The text of the application's `close` event.
    #[cfg(test)]
    pub(super) fn text(self) -> &'static str {
        Self::reason(self as u32, String::new()).map_or("", |reason| reason.text())
    }
}

impl ProbeEndCode {
    /// The code of an end.
    pub fn of(end: &ProbeEnd) -> Self {
        match end {
            ProbeEnd::GivenUp => Self::GivenUp,
            ProbeEnd::SessionEnded => Self::SessionEnded,
            ProbeEnd::Closed => Self::Closed,
            ProbeEnd::Failed(_) => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_comes_back_as_it_went_out() {
        let fault = || Fault::Frame("why".to_owned());
        let reasons = [
            Reason::TransportError(fault()),
            Reason::TransportError(Fault::InvalidContent),
            Reason::TransportClose,
            Reason::ParseError,
            Reason::PingTimeout,
            Reason::ForcedClose,
        ];
        for reason in reasons {
            let message = match &reason {
                Reason::TransportError(fault) => fault.message().into_owned(),
                _ => String::new(),
            };
            assert_eq!(ReasonCode::reason(ReasonCode::of(&reason) as u32, message), Some(reason));
        }
        assert_eq!(ReasonCode::of(&Reason::TransportError(Fault::HeartbeatDirection)), ReasonCode::Fault);
        assert_eq!(ReasonCode::reason(6, String::new()), None);
    }
}
