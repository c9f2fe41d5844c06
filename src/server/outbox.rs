//! Bytes on their way to one peer, and how far the connection's end has come.

use crate::session::{OutData, OutPacket, Revision};
use crate::protocol::PacketType;
use crate::websocket::{OpCode, write_close, write_header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Pongs for the peer's ping frames wait up to this many bytes; then the oldest pings stay unanswered,
/// which RFC 6455 (5.5.3) allows.
const MAX_WAITING_PONGS: usize = 16 * 1024;

/// How far the end of a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Open,
    /// Our close frame is in the buffer or out; the peer's is awaited.
    CloseSent,
    /// Both sides are done: write what is left, end our side, wait for the peer's end.
    Ending,
    /// Our side of the connection has been ended.
    Ended,
    /// Gone. Nothing is written any more.
    Dead,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Outbox {
    pub bytes: Vec<u8>,
    pub phase: Phase,
    /// A write is under way on some thread, with the bytes taken out.
    pub writing: bool,
    /// The kernel takes no more for now.
    pub blocked: bool,
    /// Somebody has been told to flush.
    pub dirty: bool,
    /// The owner wants [`super::Kind::Drained`] once all is written.
    pub report_drain: bool,
    waiting_pongs: usize,
}

impl Outbox {
    pub fn new() -> Self {
        Self {
            bytes: Vec::new(),
            phase: Phase::Open,
            writing: false,
            blocked: false,
            dirty: false,
            report_drain: false,
            waiting_pongs: 0,
        }
    }

    /// Whether everything handed over is with the kernel.
    pub fn is_clear(&self) -> bool {
        self.bytes.is_empty() && !self.writing
    }

    /// Appends a text or binary message frame. Nothing goes out after a close frame.
    pub fn message(&mut self, opcode: OpCode, prefix: &[u8], payload: &[u8]) {
        if self.phase == Phase::Open {
            self.bytes.reserve(10 + prefix.len() + payload.len());
            write_header(&mut self.bytes, opcode, false, prefix.len() + payload.len());
            self.bytes.extend_from_slice(prefix);
            self.bytes.extend_from_slice(payload);
        }
    }

    /// Appends bytes that are a frame already.
    pub fn frame(&mut self, frame: &[u8]) {
        if self.phase == Phase::Open {
            self.bytes.extend_from_slice(frame);
        }
    }

    /// Appends packets, one frame each. `base64`: the client asked for text only (`b64`).
    pub fn packets(&mut self, packets: &[OutPacket], revision: Revision, base64: bool) {
        for OutPacket { kind, data } in packets {
            let digit = [kind.digit()];
            match (data, revision, base64) {
                (OutData::None, ..) => self.message(OpCode::Text, &digit, &[]),
                (OutData::Text(text), ..) => self.message(OpCode::Text, &digit, text.as_bytes()),
                (OutData::Binary(bytes), ..) => self.binary(*kind, bytes, revision, base64),
            }
        }
    }

    /// Appends a packet with binary content.
    pub fn binary(&mut self, kind: PacketType, bytes: &[u8], revision: Revision, base64: bool) {
        match (revision, base64) {
            (Revision::V4, false) => self.message(OpCode::Binary, &[], bytes),
            (Revision::V3, false) => self.message(OpCode::Binary, &[kind as u8], bytes),
            (Revision::V4, true) => self.message(OpCode::Text, b"b", STANDARD.encode(bytes).as_bytes()),
            (Revision::V3, true) => {
                self.message(OpCode::Text, &[b'b', kind.digit()], STANDARD.encode(bytes).as_bytes());
            }
        }
    }

    /// Answers a ping frame.
    pub fn pong(&mut self, payload: &[u8]) {
        if self.is_clear() {
            self.waiting_pongs = 0;
        }
        if self.phase == Phase::Open && self.waiting_pongs + payload.len() + 2 <= MAX_WAITING_PONGS {
            self.waiting_pongs += payload.len() + 2;
            write_header(&mut self.bytes, OpCode::Pong, false, payload.len());
            self.bytes.extend_from_slice(payload);
        }
    }

    /// Starts the closing handshake from our side.
    pub fn close(&mut self) {
        if self.phase == Phase::Open {
            write_close(&mut self.bytes, None, &[]);
            self.phase = Phase::CloseSent;
        }
    }

    /// The peer's close frame came in: echo it if we have not sent ours, then end.
    pub fn close_received(&mut self, code: Option<u16>, reason: &[u8]) {
        if self.phase == Phase::Open {
            write_close(&mut self.bytes, code, reason);
        }
        self.end();
    }

    /// The peer broke the protocol: say so and end.
    pub fn fail(&mut self, code: u16) {
        if self.phase == Phase::Open {
            write_close(&mut self.bytes, Some(code), &[]);
        }
        self.end();
    }

    /// Writes what is left and ends our side.
    pub fn end(&mut self) {
        self.phase = self.phase.max(Phase::Ending);
    }

    /// The connection is gone.
    pub fn kill(&mut self) {
        self.phase = Phase::Dead;
        self.bytes = Vec::new();
    }
}
