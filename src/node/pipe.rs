//! Connections whose bytes JavaScript carries: TLS sockets and any other Duplex.

use napi::{Env, Result};
use napi_derive::napi;

use super::deflate::DeflateTerms;
use super::engine::Engine;
use super::values::{Raw, buffer_value, number_value};
use crate::server::Phase;

/// `pipe_take`: nothing to do.
const NOTHING: u32 = 0;
/// `pipe_take`: our side is to be ended.
const END: u32 = 1;
/// `pipe_take`: the connection is to be cut off.
const DESTROY: u32 = 2;

#[napi]
impl Engine {
    /// Opens a connection that JavaScript carries bytes for. Returns its number.
    #[napi]
    pub fn open_pipe(&self, max_payload: f64, deflate: Option<DeflateTerms>) -> Result<u32> {
        let connection = self.new_connection(max_payload, deflate)?;
        connection.use_owner_pipe();
        Ok(connection.handle)
    }

    /// Bytes came in. What they bring about is queued; drain next.
    #[napi]
    pub fn pipe_input(&self, connection: u32, bytes: &[u8]) {
        if let Some(connection) = self.connection(connection) {
            connection.input(&mut bytes.to_vec());
        }
    }

    /// Whether the input is to be paused.
    #[napi]
    pub fn is_paused(&self, connection: u32) -> bool {
        self.connection(connection).is_some_and(|connection| connection.is_paused())
    }

    /// Takes what is to be written: a Buffer, or without bytes 0, 1 (our side is to be ended) or 2 (the
    /// connection is to be cut off).
    #[napi]
    pub fn pipe_take(&self, env: Env, connection: u32) -> Result<Raw> {
        let (bytes, phase) = match self.connection(connection) {
            Some(connection) => connection.take_output(),
            None => (Vec::new(), Phase::Dead),
        };
        if bytes.is_empty() {
            return number_value(env.raw(), match phase {
                Phase::Ending => END,
                Phase::Dead => DESTROY,
                _ => NOTHING,
            });
        }
        buffer_value(env.raw(), &bytes)
    }

    /// What was taken has been written.
    #[napi]
    pub fn pipe_written(&self, connection: u32) {
        if let Some(connection) = self.connection(connection) {
            connection.output_written();
        }
    }

    /// The stream is gone.
    #[napi]
    pub fn pipe_ended(&self, connection: u32) {
        if let Some(connection) = self.connection(connection) {
            connection.ended();
        }
    }
}
