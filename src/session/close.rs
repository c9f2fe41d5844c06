//! Why a session ended, in the words the application sees.

use std::borrow::Cow;

/// The `reason` of a session's `close` event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The transport failed or the peer broke a rule; the fault becomes the event's description.
    TransportError(Fault),
    /// The peer closed the connection or sent a close packet by POST.
    TransportClose,
    /// A packet could not be decoded.
    ParseError,
    /// The peer missed the heartbeat's deadline.
    PingTimeout,
    /// The application closed the session.
    ForcedClose,
}

impl Reason {
    /// The text of the event's first argument.
    pub fn text(&self) -> &'static str {
        match self {
            Reason::TransportError(_) => "transport error",
            Reason::TransportClose => "transport close",
            Reason::ParseError => "parse error",
            Reason::PingTimeout => "ping timeout",
            Reason::ForcedClose => "forced close",
        }
    }
}

/// What went wrong with a transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A second poll while one was pending.
    PollOverlap,
    /// A second POST while one was in progress.
    DataOverlap,
    /// The client went away while its poll was pending.
    PollAborted,
    /// The client went away in the middle of a POST.
    DataAborted,
    /// A POST with more bytes than allowed.
    BodyTooLarge,
    /// A POST in more pieces than allowed.
    TooManyChunks,
    /// A POST that takes longer than allowed.
    BodyTimeout,
    /// A binary POST in protocol 4.
    InvalidContent,
    /// A ping from a v4 client or a pong from a v3 client.
    HeartbeatDirection,
    /// An invalid WebSocket frame, `ErrorName: message` as the original words it.
    Frame(String),
    /// The connection failed while writing to it.
    Write(String),
}

impl Fault {
    /// The message of the error object that describes the fault.
    pub fn message(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Fault::PollOverlap => "overlap from client",
            Fault::DataOverlap => "data request overlap from client",
            Fault::PollAborted => "poll connection closed prematurely",
            Fault::DataAborted => "data request connection closed prematurely",
            Fault::BodyTooLarge => "payload too large",
            Fault::TooManyChunks => "too many chunks",
            Fault::BodyTimeout => "http request timeout",
            Fault::InvalidContent => "invalid content",
            Fault::HeartbeatDirection => "invalid heartbeat direction",
            Fault::Frame(text) => return Cow::Borrowed(text),
            Fault::Write(_) => "write error",
        })
    }

    /// Whether the error is of type `TransportError`: all but the heartbeat's, which the original
    /// raises in the session and not in the transport.
    pub fn is_transport_error(&self) -> bool {
        !matches!(self, Fault::HeartbeatDirection)
    }
}
