//! Connections whose bytes JavaScript carries: TLS sockets and any other Duplex.

use napi::{Env, Result};
use napi_derive::napi;

use super::connections::ends;
use super::convert::{Raw, buffer_value};
use super::deflate::DeflateTerms;
use super::engine::Engine;
use super::state::{Input, State};
use crate::runtime::Phase;
use crate::runtime::contract::{INPUT_WAITS, TakeStatus};

/// Bytes that are taken in one step.
const PIECE: usize = 64 * 1024;

/// Bytes that are taken in one call at most.
const MAX_TAKEN: usize = 1 << 30;

#[napi]
impl Engine {
    /// Opens a connection whose bytes JavaScript carries. Returns its handle.
    #[napi]
    pub fn open_pipe(&self, max_payload: f64, max_chunks: u32, deflate: Option<DeflateTerms>) -> Result<u32> {
        let connection = self.new_connection(ends(max_payload, max_chunks, deflate))?;
        connection.use_owner_pipe();
        Ok(connection.handle)
    }

    /// Whether the input has to be paused.
    #[napi]
    pub fn is_paused(&self, connection: u32) -> bool {
        self.tables.connection(connection).is_some_and(|connection| connection.is_paused())
    }

    /// Takes what `pipeTake` has just found no space for.
    #[napi]
    pub fn pipe_take_large(&self, env: Env) -> Result<Raw> {
        buffer_value(env.raw(), &std::mem::take(&mut self.input.borrow_mut().large))
    }

    /// Notes that what was taken waits in the stream.
    #[napi]
    pub fn pipe_block(&self, connection: u32) {
        if let Some(connection) = self.tables.connection(connection) {
            connection.block_output();
        }
    }

    /// Notes that what was taken has been written. Returns whether that was all; otherwise the rest has to be taken
    /// next, or the end of our side.
    #[napi]
    pub fn pipe_written(&self, connection: u32) -> bool {
        self.tables.connection(connection).is_none_or(|connection| connection.output_written())
    }

    /// Handles the end of the stream; drain next. Returns whether the connection is over; otherwise our side has still
    /// to be ended.
    #[napi]
    pub fn pipe_finished(&self, connection: u32) -> bool {
        let Some(connection) = self.tables.connection(connection) else { return true };
        connection.input_ended(&mut self.input.borrow_mut().batch)
    }

    /// Handles a stream that has closed, or whose peer has ended its side. `is_cut` says that what waits to be written
    /// is lost.
    #[napi]
    pub fn pipe_ended(&self, connection: u32, is_cut: bool) {
        if let Some(connection) = self.tables.connection(connection) {
            if is_cut {
                connection.note_cut();
            }
            connection.ended();
        }
    }
}

impl State {
    /// Handles bytes that came in; without any, the bytes that wait. Their events are queued. Returns how many of them
    /// were taken, plus [`WAITS`] if the rest, and the next bytes, have to wait until JavaScript has taken the events.
    pub(super) fn pipe_input(&self, connection: u32, bytes: &[u8]) -> u32 {
        let Some(connection) = self.tables.connection(connection) else { return bytes.len().min(MAX_TAKEN) as u32 };
        let Input { bytes: copy, batch, .. } = &mut *self.input.borrow_mut();
        let mut taken = 0;
        // in pieces as large as reads of sockets, because a piece may be left undecoded
        while taken == 0 || taken < bytes.len() && taken < MAX_TAKEN && !connection.is_held_up() {
            let piece = &bytes[taken..bytes.len().min(taken + PIECE)];
            copy.clear();
            copy.extend_from_slice(piece);
            connection.input(copy, batch);
            taken += piece.len();
            if bytes.is_empty() {
                break;
            }
        }
        taken as u32 | if connection.is_held_up() { INPUT_WAITS } else { 0 }
    }

    /// Copies the bytes to write into `into`. Returns their number, or a [`TakeStatus`].
    pub(super) fn pipe_take(&self, connection: u32, into: &mut [u8]) -> u32 {
        let (bytes, phase) = match self.tables.connection(connection) {
            Some(connection) => connection.take_output(),
            None => (Vec::new(), Phase::Dead),
        };
        if let Some(into) = into.get_mut(..bytes.len()) {
            into.copy_from_slice(&bytes);
            return match phase {
                _ if !bytes.is_empty() => bytes.len() as u32,
                Phase::Ending => TakeStatus::End as u32,
                Phase::Dead => TakeStatus::Destroy as u32,
                _ => 0,
            };
        }
        self.input.borrow_mut().large = bytes;
        TakeStatus::Large as u32
    }
}
