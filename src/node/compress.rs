//! Compression and JSONP for polls that Node's HTTP server carries.

use napi::bindgen_prelude::{JsValue, Unknown};
use napi::{Env, Error, Result, Status};
use napi_derive::napi;

use super::convert::{Content, with_content};
use super::engine::Engine;
use crate::http::{CompressionJob, CompressionOptions, ContentEncoding};
use crate::protocol::jsonp;
use crate::runtime::Command;

/// The option `httpCompression`.
#[napi(object)]
pub struct HttpCompression {
    /// Bytes below which a payload is not compressed. With NaN all payloads are compressed.
    pub threshold: f64,
    /// zlib's level, 0 to 9.
    pub level: u32,
    pub window_bits: u32,
}

impl From<HttpCompression> for CompressionOptions {
    fn from(options: HttpCompression) -> Self {
        let window_bits = options.window_bits.clamp(9, 15) as u8;
        Self { threshold: options.threshold, level: options.level, window_bits }
    }
}

#[napi]
impl Engine {
    /// The encoding that an `Accept-Encoding` header prefers: `gzip`, `deflate` or neither.
    #[napi]
    pub fn content_encoding(&self, accepted: String) -> Option<&'static str> {
        ContentEncoding::negotiate(&accepted).map(ContentEncoding::name)
    }

    /// The script of a JSONP response.
    #[napi]
    pub fn wrap_jsonp(&self, index: String, payload: String) -> String {
        jsonp::wrap(&index, &payload)
    }

    /// The payload in a form that a JSONP client posted.
    #[napi]
    pub fn unwrap_form(&self, body: String) -> Option<String> {
        jsonp::unwrap_form(&body)
    }

    /// Compresses a body on another thread. Returns a number, with which the event `Compressed` follows.
    #[napi]
    pub fn compress(&self, env: Env, body: Unknown<'_>, encoding: String, options: HttpCompression) -> Result<u32> {
        let body = with_content(env.raw(), body.raw(), |body| match body {
            Content::None => Vec::new(),
            Content::Text(bytes) | Content::Binary(bytes) => bytes.to_vec(),
        })?;
        let encoding = match encoding.as_str() {
            "gzip" => ContentEncoding::Gzip,
            "deflate" => ContentEncoding::Deflate,
            other => return Err(Error::new(Status::InvalidArg, format!("expected gzip or deflate, got {other}"))),
        };
        let commands = self.io.next_commands()?;
        // comes again after two thousand million others
        let number = self.last_body.get() % (i32::MAX as u32) + 1;
        self.last_body.set(number);
        let job = CompressionJob { number, body, encoding, options: options.into(), queue: self.queue.clone() };
        commands.send(Command::Run(Box::new(move || job.start())));
        Ok(number)
    }
}
