//! Bytes on their way to one peer, and how far the connection's end has come.

mod compression;
mod ending;
mod frames;

use std::sync::Arc;

use crate::protocol::PacketType;
use crate::runtime::owner::contract::{MAX_WAITING_ANSWERS, MAX_WAITING_PONGS};
use crate::runtime::owner::counts::count;
use crate::session::{OutData, OutPacket, Revision};
use crate::websocket::{OpCode, write_header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(crate) use self::compression::Uncompressed;
use self::compression::{Deflating, Pending};
pub(crate) use self::ending::Ending;
pub use self::ending::Phase;
pub(crate) use self::frames::Frames;

/// Bytes of the room for a second frame and more. Growing step by step would copy them each time.
const SMALL_FRAMES: usize = 448;

/// Bytes that wait to be written to one peer, and how far the connection's end has come.
#[derive(Debug)]
pub struct Outbox {
    /// Bytes of which the kernel has taken a part, and the length of that part. They go out before `bytes`.
    pub(crate) started: Option<Box<(Frames, usize)>>,
    /// What waits to be written.
    pub bytes: Frames,
    /// Fields that few connections need, or need for a short time.
    rare: Option<Box<Rare>>,
    /// How far the end has come.
    pub phase: Phase,
    /// A thread is writing, and has taken the bytes out.
    pub writing: bool,
    /// The kernel takes no more bytes for now.
    pub blocked: bool,
    /// A thread has been asked to flush.
    pub dirty: bool,
    /// The owner wants [`crate::runtime::Kind::Drained`] once all is written.
    pub report_drain: bool,
    /// Number of times that the owner has asked for it. The event tells up to which of them it answers.
    pub reports: u32,
    /// The peer's close frame came in: nothing follows it.
    pub heard_close: bool,
    /// The peer has ended its side of the connection below.
    pub has_peer_ended: bool,
    /// Number of pongs in the bytes that wait, and in those that were taken last.
    waiting_pongs: u8,
    taken_pongs: u8,
    waiting_answers: u32,
    /// The code of the peer's close frame; 0 if none came.
    peer_code: u16,
    /// Number of frames that were appended and not counted yet.
    frames: u16,
    /// Number of bytes that have been taken to be written.
    taken: u64,
}

/// See [`Outbox::rare`].
#[derive(Debug, Default)]
struct Rare {
    /// The state of permessage-deflate.
    deflating: Option<Deflating>,
    /// The end, which is put off until the owner has heard of it, see [`Outbox::put_off`].
    ending: Option<Ending>,
    /// The reason in the peer's close frame.
    peer_reason: Vec<u8>,
    /// Frames that the owner takes and hands back by [`Outbox::raw`], see [`Outbox::relay`].
    relayed: Option<Vec<u8>>,
}

impl Outbox {
    /// An empty outbox. With permessage-deflate, messages of at least `deflate_from` bytes are compressed.
    pub fn new(deflate_from: Option<usize>) -> Self {
        let deflating = deflate_from.map(|from| Deflating { pending: Vec::new(), compressing: false, from });
        Self {
            started: None,
            bytes: Frames::default(),
            rare: deflating.map(|deflating| Box::new(Rare { deflating: Some(deflating), ..Rare::default() })),
            phase: Phase::Open,
            writing: false,
            blocked: false,
            dirty: false,
            report_drain: false,
            reports: 0,
            heard_close: false,
            has_peer_ended: false,
            waiting_pongs: 0,
            taken_pongs: 0,
            waiting_answers: 0,
            peer_code: 0,
            frames: 0,
            taken: 0,
        }
    }

    /// Whether the kernel has taken everything that was handed over.
    pub fn is_clear(&self) -> bool {
        self.has_nothing_else() && !self.writing
    }

    /// Whether nothing waits, except for a write in progress.
    pub fn has_nothing_else(&self) -> bool {
        self.started.is_none() && self.bytes.is_empty() && self.pending().is_empty() && self.relayed().is_empty()
    }

    /// Whether the owner may be about to send more: it has sent something in its current turn, or waits until
    /// everything is written.
    pub(crate) fn is_used_by_owner(&self) -> bool {
        self.dirty || self.report_drain
    }

    /// Whether nothing is awaited: both close frames have passed or the peer's side has ended, and our side has been
    /// ended.
    pub fn is_complete(&self) -> bool {
        (self.heard_close || self.has_peer_ended) && self.phase == Phase::Ended
    }

    /// Number of bytes that have not been written. Messages to be compressed count with their plain length.
    pub fn unwritten(&self) -> usize {
        self.started.as_deref().map_or(0, |(bytes, written)| bytes.len() - written) + self.waiting()
    }

    /// Number of all bytes that were handed over.
    pub fn total(&self) -> u64 {
        self.taken + self.waiting() as u64
    }

    /// Number of bytes that have not been taken to be written.
    fn waiting(&self) -> usize {
        let pending = self.pending().iter().map(|pending| match pending {
            Pending::Message(_, bytes) | Pending::Frames(bytes) => bytes.len(),
        });
        self.bytes.len() + pending.sum::<usize>() + self.relayed().len()
    }

    fn relayed(&self) -> &[u8] {
        self.rare.as_ref().and_then(|rare| rare.relayed.as_deref()).unwrap_or_default()
    }

    /// Whether frames pass through the owner, see [`Outbox::relay`].
    pub fn is_relayed(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.relayed.is_some())
    }

    /// Whether the owner has something to take, or our side's end to see to.
    pub fn awaits_owner(&self) -> bool {
        self.is_relayed() && (!self.relayed().is_empty() || self.phase == Phase::Ending)
    }

    /// Has the owner take frames and hand them back from now on, so that a `write` of the application sees them.
    pub fn relay(&mut self) {
        if self.phase < Phase::Ending {
            self.rare.get_or_insert_default().relayed.get_or_insert_default();
        }
    }

    /// Has frames written directly again.
    pub fn unrelay(&mut self) {
        if let Some(relayed) = self.rare.as_mut().and_then(|rare| rare.relayed.take()) {
            self.bytes.own().extend_from_slice(&relayed);
        }
    }

    /// Takes the frames that wait to pass through the owner. Also returns whether the end of our side follows them.
    pub fn take_relayed(&mut self) -> (Vec<u8>, bool) {
        let relayed = self.rare.as_mut().and_then(|rare| rare.relayed.as_mut()).map(std::mem::take);
        (relayed.unwrap_or_default(), self.phase == Phase::Ending)
    }

    /// Appends bytes as they are. Returns false, and appends nothing, once our side has been ended.
    pub fn raw(&mut self, bytes: &[u8]) -> bool {
        if self.phase >= Phase::Ending && !(self.phase == Phase::Ending && self.is_relayed()) {
            return false;
        }
        if self.is_relayed() { self.bytes.own() } else { self.frames() }.extend_from_slice(bytes);
        true
    }

    /// Refuses further frames, because the owner is about to end our side of the stream.
    pub fn refuse_frames(&mut self) {
        self.phase = self.phase.max(Phase::CloseSent);
    }

    /// Has the rest written and our side of the stream ended, because the owner has ended it.
    pub fn end_stream(&mut self) {
        self.unrelay();
        self.end();
    }

    fn pending(&self) -> &[Pending] {
        self.rare.as_ref().and_then(|rare| rare.deflating.as_ref()).map_or(&[], |deflating| &deflating.pending)
    }

    /// Whether messages wait to be compressed.
    pub(crate) fn awaits_compression(&self) -> bool {
        !self.pending().is_empty()
    }

    fn deflating(&mut self) -> Option<&mut Deflating> {
        self.rare.as_mut()?.deflating.as_mut()
    }

    fn count_frame(&mut self) {
        self.frames = self.frames.checked_add(1).unwrap_or_else(|| {
            count(|counts| counts.frames_sent.add(u16::MAX.into()));
            1
        });
    }

    /// Number of frames that were appended since the last call.
    pub fn take_frame_count(&mut self) -> usize {
        std::mem::take(&mut self.frames).into()
    }

    /// Takes the bytes to write next.
    pub fn take_frames(&mut self) -> Frames {
        self.taken += self.bytes.len() as u64;
        self.taken_pongs = std::mem::take(&mut self.waiting_pongs);
        std::mem::take(&mut self.bytes)
    }

    /// Takes the messages that have to be compressed before they can be written. [`Outbox::compressed`] follows.
    pub fn take_pending(&mut self) -> Option<Uncompressed> {
        let deflating = self.deflating().filter(|deflating| !deflating.pending.is_empty())?;
        deflating.compressing = true;
        Some(Uncompressed(std::mem::take(&mut deflating.pending)))
    }

    /// Appends the frames of what [`Outbox::take_pending`] gave.
    pub fn compressed(&mut self, frames: &[u8]) {
        if let Some(deflating) = self.deflating() {
            deflating.compressing = false;
        }
        if self.phase != Phase::Dead {
            self.ready_frames().extend_from_slice(frames);
        }
    }

    /// The place of frames that need no compression.
    fn ready_frames(&mut self) -> &mut Vec<u8> {
        match self.rare.as_mut().and_then(|rare| rare.relayed.as_mut()) {
            Some(relayed) => relayed,
            None => self.bytes.own(),
        }
    }

    /// The place of complete frames.
    fn frames(&mut self) -> &mut Vec<u8> {
        if self.rare.is_none() {
            return self.bytes.own();
        }
        if !self.deflating().is_some_and(|it| it.compressing || !it.pending.is_empty()) {
            return self.ready_frames();
        }
        let Some(deflating) = self.rare.as_mut().and_then(|rare| rare.deflating.as_mut()) else {
            return self.bytes.own();
        };
        if !matches!(deflating.pending.last(), Some(Pending::Frames(_))) {
            deflating.pending.push(Pending::Frames(Vec::new()));
        }
        match deflating.pending.last_mut() {
            Some(Pending::Frames(frames)) => frames,
            _ => self.bytes.own(),
        }
    }

    /// Appends a text or binary message frame. Nothing goes out after a close frame.
    pub fn message(&mut self, opcode: OpCode, prefix: &[u8], payload: &[u8]) {
        let len = prefix.len() + payload.len();
        if self.phase != Phase::Open {
            return;
        }
        if let Some(deflating) = self.deflating().filter(|deflating| len >= deflating.from) {
            deflating.pending.push(Pending::Message(opcode, [prefix, payload].concat()));
            self.count_frame();
            return;
        }
        self.plain_message(opcode, prefix, payload);
    }

    /// Appends a text or binary message frame that is not compressed.
    pub fn plain_message(&mut self, opcode: OpCode, prefix: &[u8], payload: &[u8]) {
        if self.phase == Phase::Open {
            self.count_frame();
            let len = prefix.len() + payload.len();
            let frames = self.frames();
            // a second frame is a sign of more
            frames.reserve((10 + len).max(if frames.is_empty() { 0 } else { SMALL_FRAMES }));
            write_header(frames, opcode, false, len);
            frames.extend_from_slice(prefix);
            frames.extend_from_slice(payload);
        }
    }

    /// Appends bytes that are a frame already.
    pub fn frame(&mut self, frame: &[u8]) {
        if self.phase == Phase::Open {
            self.frames().extend_from_slice(frame);
        }
    }

    /// Appends a frame that many connections send. It is not copied if nothing else waits.
    pub fn shared_frame(&mut self, frame: &Arc<[u8]>) {
        if self.phase == Phase::Open {
            self.count_frame();
        }
        if self.phase == Phase::Open && self.bytes.is_empty() && self.rare.is_none() {
            self.bytes = Frames::Shared(frame.clone());
        } else {
            self.frame(frame);
        }
    }

    /// Appends packets, one frame each. `base64`: the client asked for text only (`b64`).
    pub fn packets(&mut self, packets: &[OutPacket], revision: Revision, base64: bool) {
        for OutPacket { kind, data } in packets {
            let digit = [kind.digit()];
            if *kind == PacketType::Pong && !self.may_answer() {
                continue;
            }
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

    /// Puts bytes before all others. Nothing has been written yet.
    pub fn put_first(&mut self, mut bytes: Vec<u8>) {
        bytes.extend_from_slice(&self.bytes);
        self.bytes = Frames::Own(bytes);
    }

    /// Answers a ping frame. Returns false if too many answers wait already, so that the connection has to be cut off.
    pub fn pong(&mut self, payload: &[u8]) -> bool {
        if self.phase != Phase::Open {
            return true;
        }
        let is_being_written = self.writing || self.blocked || self.started.is_some();
        let taken = if is_being_written { self.taken_pongs } else { 0 };
        if self.waiting_pongs + taken >= MAX_WAITING_PONGS {
            return false;
        }
        self.waiting_pongs += 1;
        self.count_frame();
        let frames = self.frames();
        write_header(frames, OpCode::Pong, false, payload.len());
        frames.extend_from_slice(payload);
        true
    }

    /// Whether one more answer may wait for a peer that does not read.
    fn may_answer(&mut self) -> bool {
        /// Bytes of the longest answer.
        const LEN: usize = 10;
        if self.is_clear() {
            self.waiting_answers = 0;
        }
        let waiting = self.waiting_answers as usize + LEN;
        let may = waiting <= MAX_WAITING_ANSWERS;
        if may {
            self.waiting_answers = waiting as u32;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::deflate::{Options, negotiate};

    #[test]
    fn the_frame_of_a_broadcast_is_shared_where_nothing_waits_and_keeps_its_place_where_something_does() {
        let frame: Arc<[u8]> = (*b"\x81\x024a").into();
        let mut outbox = Outbox::new(None);
        outbox.shared_frame(&frame);
        assert_eq!(Arc::strong_count(&frame), 2);
        outbox.message(OpCode::Text, b"4", b"b");
        outbox.shared_frame(&frame);
        assert_eq!(Arc::strong_count(&frame), 1, "both are copies now");
        assert_eq!(*outbox.take_frames(), *b"\x81\x024a\x81\x024b\x81\x024a");
        outbox.close(None, &[]);
        outbox.shared_frame(&frame);
        assert_eq!(*outbox.take_frames(), *b"\x88\x00", "nothing follows a close frame");
    }

    #[test]
    fn as_many_pings_are_answered_as_wait_to_be_written_and_no_more() {
        let mut outbox = Outbox::new(None);
        assert!((0..60).all(|_| outbox.pong(b"a")));
        assert!(!outbox.pong(b"a"), "the 61st");
        let taken = outbox.take_frames();
        assert_eq!(taken.len(), 60 * 3);
        outbox.writing = true;
        assert!(!outbox.pong(b"a"), "they are being written");
        outbox.writing = false;
        outbox.started = Some(Box::new((taken, 100)));
        assert!(!outbox.pong(b"a"), "the kernel has not taken all of them");
        outbox.started = None;
        outbox.message(OpCode::Text, b"4", b"a");
        assert!((0..60).all(|_| outbox.pong(b"a")), "those that are written do not count, also if other frames wait");
        assert!(!outbox.pong(b"a"));
        outbox.close(None, &[]);
        assert!(outbox.pong(b"a"), "nothing is answered any more");
    }

    #[test]
    fn what_the_owner_sends_before_it_has_heard_of_the_end_goes_out_first() {
        let endings = [
            (Ending::Session, &b"\x81\x024a\x88\x00"[..], Phase::CloseSent, false),
            (Ending::Fault(1002), b"\x81\x024a\x88\x02\x03\xea", Phase::Ending, false),
            (Ending::CloseReceived(Some(1001), (*b"b").into()), b"\x81\x024a\x88\x03\x03\xe9b", Phase::Ending, true),
            (Ending::PeerEnded, b"\x81\x024a", Phase::Ending, false),
        ];
        for (ending, expected, phase, heard_close) in endings {
            let mut outbox = Outbox::new(None);
            assert!(outbox.put_off(ending));
            assert!(outbox.put_off(Ending::Session), "what the peer did counts");
            outbox.message(OpCode::Text, b"4", b"a");
            outbox.conclude();
            outbox.conclude();
            outbox.message(OpCode::Text, b"4", b"late");
            assert_eq!((&*outbox.bytes, outbox.phase, outbox.heard_close), (expected, phase, heard_close));
        }
    }

    #[test]
    fn an_owner_that_closes_before_it_has_heard_of_the_end_ends_the_connection() {
        let mut outbox = Outbox::new(None);
        outbox.put_off(Ending::CloseReceived(Some(1000), Box::default()));
        outbox.close(Some(4000), &[]);
        assert_eq!((&*outbox.bytes, outbox.phase, outbox.heard_close), (&b"\x88\x02\x0f\xa0"[..], Phase::Ending, true));
        assert!(!outbox.put_off(Ending::Session), "it has begun");
        let mut outbox = Outbox::new(None);
        outbox.close(None, &[]);
        assert!(!outbox.put_off(Ending::CloseReceived(None, Box::default())));
        assert_eq!((&*outbox.bytes, outbox.phase, outbox.heard_close), (&b"\x88\x00"[..], Phase::Ending, true));
    }

    #[test]
    fn nothing_overtakes_a_message_that_is_being_compressed() {
        let agreement = negotiate("permessage-deflate", &Options::default()).unwrap().unwrap();
        let mut deflate = crate::websocket::Deflate::new(&agreement, 6);
        let mut outbox = Outbox::new(Some(10));
        outbox.message(OpCode::Text, b"4", b"a message to be compressed");
        let taken = outbox.take_pending().unwrap();
        // meanwhile, on another thread
        outbox.message(OpCode::Text, b"4", b"short");
        outbox.close(None, &[]);
        let first = taken.compress(&mut deflate);
        outbox.compressed(&first);
        let then = outbox.take_pending().unwrap().compress(&mut deflate);
        outbox.compressed(&then);
        assert_eq!(*outbox.bytes, [&first[..], b"\x81\x064short\x88\x00"].concat());
    }
}
