//! Connections whose bytes JavaScript carries: TLS sockets and any other Duplex.

use napi::bindgen_prelude::Buffer;
use napi::Result;
use napi_derive::napi;

use super::deflate::DeflateTerms;
use super::engine::Engine;
use crate::server::Phase;

/// What a piped connection wants written.
#[napi(object)]
pub struct PipeOutput {
    pub bytes: Option<Buffer>,
    /// Our side is to be ended after the bytes.
    pub end: bool,
    /// The connection is to be cut off.
    pub destroy: bool,
}

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

    /// Takes what is to be written.
    #[napi]
    pub fn pipe_take(&self, connection: u32) -> PipeOutput {
        let Some(connection) = self.connection(connection) else {
            return PipeOutput { bytes: None, end: false, destroy: true };
        };
        let (bytes, phase) = connection.take_output();
        PipeOutput {
            bytes: (!bytes.is_empty()).then(|| bytes.into()),
            end: phase == Phase::Ending,
            destroy: phase == Phase::Dead,
        }
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
