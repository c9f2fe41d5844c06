//! The option `perMessageDeflate` across the boundary.

use napi_derive::napi;

use crate::http::DeflateSettings;
use crate::runtime::MessageCompression;
use crate::runtime::contract::{COMPRESSION_LEVEL, COMPRESSION_THRESHOLD};
use crate::websocket::deflate::{Agreement, ContextTakeover, Options, WindowBits, negotiate};
use crate::websocket::{Decoder, Deflate, HandshakeError, Inflate, Limits};

/// The server's options, by their names in `ws`.
#[napi(object)]
pub struct DeflateOptions {
    pub server_no_context_takeover: Option<bool>,
    pub client_no_context_takeover: Option<bool>,
    /// 8 to 15; 0 for `false`.
    pub server_max_window_bits: Option<u32>,
    /// 8 to 15; 0 for `false`.
    pub client_max_window_bits: Option<u32>,
    /// See [`DeflateTerms`].
    pub level: Option<u32>,
    /// See [`DeflateTerms`].
    pub threshold: Option<u32>,
}

/// What both sides agreed on, together with what only the server decides.
#[napi(object)]
pub struct DeflateTerms {
    pub server_no_context_takeover: bool,
    pub client_no_context_takeover: bool,
    pub server_max_window_bits: Option<u32>,
    pub client_max_window_bits: Option<u32>,
    /// `Sec-WebSocket-Extensions` of the response.
    pub header: String,
    /// zlib's level, 0 to 9; 6 by default.
    pub level: Option<u32>,
    /// Messages below this many bytes are sent as they are; 1024 by default.
    pub threshold: Option<u32>,
}

impl DeflateOptions {
    /// Accepts one of the client's offers. `None` if there is none.
    pub fn negotiate(&self, offers: &str) -> Result<Option<DeflateTerms>, HandshakeError> {
        let agreement = negotiate(offers, &self.options()).map_err(HandshakeError::from)?;
        Ok(agreement.map(|agreement| DeflateTerms {
            server_no_context_takeover: agreement.server_no_context_takeover,
            client_no_context_takeover: agreement.client_no_context_takeover,
            server_max_window_bits: agreement.server_max_window_bits.map(u32::from),
            client_max_window_bits: agreement.client_max_window_bits.map(u32::from),
            header: agreement.header,
            level: self.level,
            threshold: self.threshold,
        }))
    }

    fn options(&self) -> Options {
        Options {
            server_no_context_takeover: context_takeover(self.server_no_context_takeover),
            client_no_context_takeover: context_takeover(self.client_no_context_takeover),
            server_max_window_bits: window_bits(self.server_max_window_bits),
            client_max_window_bits: window_bits(self.client_max_window_bits),
        }
    }
}

impl From<DeflateOptions> for DeflateSettings {
    fn from(options: DeflateOptions) -> Self {
        let level = options.level.unwrap_or(COMPRESSION_LEVEL);
        let from = options.threshold.unwrap_or(COMPRESSION_THRESHOLD) as usize;
        Self { options: options.options(), level, from }
    }
}

impl DeflateTerms {
    /// Both ends of a connection on these terms.
    pub fn ends(self, limits: Limits) -> (Decoder, Option<MessageCompression>) {
        let agreement = Agreement {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: self.server_max_window_bits.map(bits),
            client_max_window_bits: self.client_max_window_bits.map(bits),
            header: self.header,
        };
        let deflate = Deflate::new(&agreement, self.level.unwrap_or(COMPRESSION_LEVEL));
        let from = self.threshold.unwrap_or(COMPRESSION_THRESHOLD) as usize;
        let decoder = Decoder::with_inflate(limits, Inflate::new(&agreement));
        (decoder, Some(MessageCompression { deflate, from }))
    }
}

fn context_takeover(no_context_takeover: Option<bool>) -> ContextTakeover {
    match no_context_takeover {
        None => ContextTakeover::AsOffered,
        Some(false) => ContextTakeover::Keep,
        Some(true) => ContextTakeover::Drop,
    }
}

fn window_bits(option: Option<u32>) -> WindowBits {
    match option {
        None => WindowBits::AsOffered,
        Some(0) => WindowBits::Unlimited,
        Some(number) => WindowBits::Bits(bits(number)),
    }
}

fn bits(number: u32) -> u8 {
    number.clamp(8, 15) as u8
}
