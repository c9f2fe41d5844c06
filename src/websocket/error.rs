//! What a peer can do wrong once the connection is a WebSocket.

use std::error::Error;
use std::fmt;

/// A violation of the framing rules. It ends the connection: the engine sends a close frame with
/// [`close_code`](Self::close_code) and closes the session with the reason `transport error`.
///
/// `Display` prints the message `ws` gives its error, since the original hands it to the
/// application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A client frame without mask (RFC 6455, 5.1).
    MaskMissing,
    /// RSV1 without permessage-deflate, on a control frame, or on a continuation.
    Rsv1Set,
    /// RSV2 or RSV3: no extension defines them.
    Rsv23Set,
    /// A reserved opcode, a continuation of nothing, or a new message inside a fragmented one.
    /// Holds the opcode.
    InvalidOpcode(u8),
    /// A control frame in fragments.
    ControlFragmented,
    /// A control frame with more than 125 bytes, or a close frame with one. Holds the length as it
    /// stands in the second byte of the frame: 126 and 127 announce longer forms.
    InvalidControlLength(u8),
    /// A close code that must not be sent.
    InvalidCloseCode(u16),
    /// A text message or a close reason that is not UTF-8.
    InvalidUtf8,
    /// A length that JavaScript could not count, above 2^53 - 1 bytes.
    LengthTooLarge,
    /// The frame, the sum of the fragments, or the inflated message exceeds the limit.
    MessageTooBig,
    /// A text is longer than the owner's strings can be; both in UTF-16 code units.
    TextTooLong {
        /// The length of the text.
        length: u64,
        /// The limit.
        max: u32,
    },
    /// More fragments in a message than the limit.
    TooManyFragments,
    /// A frame that comes in more pieces than the limit.
    TooManyChunks,
    /// The compressed data are broken. Holds zlib's message.
    Inflate(Box<str>),
}

impl FrameError {
    /// The status code of the close frame that answers the violation.
    pub fn close_code(&self) -> u16 {
        match self {
            Self::MaskMissing
            | Self::Rsv1Set
            | Self::Rsv23Set
            | Self::InvalidOpcode(_)
            | Self::ControlFragmented
            | Self::InvalidControlLength(_)
            | Self::InvalidCloseCode(_) => 1002,
            Self::InvalidUtf8 | Self::Inflate(_) => 1007,
            Self::TooManyFragments | Self::TooManyChunks => 1008,
            Self::LengthTooLarge | Self::MessageTooBig | Self::TextTooLong { .. } => 1009,
        }
    }

    /// The class of the JavaScript error in `ws`, part of the description the application sees.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidUtf8 | Self::Inflate(_) => "Error",
            _ => "RangeError",
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const INVALID: &str = "Invalid WebSocket frame: ";
        match self {
            Self::MaskMissing => write!(f, "{INVALID}MASK must be set"),
            Self::Rsv1Set => write!(f, "{INVALID}RSV1 must be clear"),
            Self::Rsv23Set => write!(f, "{INVALID}RSV2 and RSV3 must be clear"),
            Self::InvalidOpcode(opcode) => write!(f, "{INVALID}invalid opcode {opcode}"),
            Self::ControlFragmented => write!(f, "{INVALID}FIN must be set"),
            Self::InvalidControlLength(length) => {
                write!(f, "{INVALID}invalid payload length {length}")
            }
            Self::InvalidCloseCode(code) => write!(f, "{INVALID}invalid status code {code}"),
            Self::InvalidUtf8 => write!(f, "{INVALID}invalid UTF-8 sequence"),
            Self::LengthTooLarge => f.write_str("Unsupported WebSocket frame: payload length > 2^53 - 1"),
            Self::MessageTooBig => f.write_str("Max payload size exceeded"),
            Self::TextTooLong { length, max } => {
                write!(f, "Text of {length} characters received, where a string of JavaScript has at most {max}")
            }
            Self::TooManyFragments => f.write_str("Too many message fragments"),
            Self::TooManyChunks => f.write_str("Too many buffered chunks"),
            Self::Inflate(message) => f.write_str(message),
        }
    }
}

impl Error for FrameError {}
