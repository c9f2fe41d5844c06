//! Bytes in, messages out.
//!
//! The decoder owns no read buffer: the caller reads into one shared by all connections and feeds
//! what came. A message that lies whole in there is unmasked in place and borrowed; only what is
//! incomplete at the end is copied. Between messages a decoder holds no heap memory at all (except
//! an inflate window that the peer may refer back to), since memory of idle connections is a
//! headline figure.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::assembly::Assembly;
use super::deflate::Inflate;
use super::error::FrameError;
use super::frame::OpCode;
use super::header::{self, Context, Header, MAX_HEADER};
use super::limits::Limits;
use super::mask::{rotate, unmask};
use super::message::Message;

/// The receiving end of one connection, server side.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// The beginning of a header that the network cut.
    head: [u8; MAX_HEADER],
    head_len: u8,
    /// A close frame or an error ended the stream: everything further is ignored.
    ended: bool,
    /// Boxed, because most connections have nothing pending most of the time.
    pending: Option<Box<Pending>>,
    /// Present if permessage-deflate was negotiated.
    inflate: Option<Box<Inflate>>,
}

/// What is left over between two reads.
#[derive(Debug, Default)]
struct Pending {
    /// The frame whose payload is incomplete.
    frame: Option<Frame>,
    /// The pieces in which its payload has come in so far.
    chunks: u32,
    /// What arrived of the payload of a control frame.
    control: Vec<u8>,
    /// The data message that is incomplete.
    message: Option<Assembly>,
    /// Bytes that are not decoded yet, from `undecoded_from` on, because the consumer had enough.
    undecoded: Vec<u8>,
    undecoded_from: usize,
}

/// A frame whose payload is incomplete.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: OpCode,
    fin: bool,
    /// The mask, turned to the next byte of payload.
    mask: [u8; 4],
    /// Bytes of payload to come.
    missing: u64,
}

/// Why the rest of a chunk is not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The consumer has enough for now.
    Paused,
    /// A close frame ended the stream.
    Closed,
}

/// Whether to go on with the chunk.
type Flow = Result<ControlFlow<Stop>, FrameError>;

impl Decoder {
    /// A decoder without extensions: RSV1 is a fault.
    pub fn new(limits: Limits) -> Self {
        Self { limits, head: [0; MAX_HEADER], head_len: 0, ended: false, pending: None, inflate: None }
    }

    /// A decoder for a connection that negotiated permessage-deflate.
    pub fn with_inflate(limits: Limits, inflate: Inflate) -> Self {
        Self { inflate: Some(Box::new(inflate)), ..Self::new(limits) }
    }

    /// Takes the next bytes of the stream and hands out every message they complete, in order.
    ///
    /// `chunk` is unmasked in place, its content afterwards is of no use. When `on_message` breaks,
    /// it gets no more messages in this call: the rest of the chunk is kept as it is, and the next
    /// call goes on with that, which may have nothing new to add. After a close frame and after an
    /// error, everything is ignored.
    ///
    /// # Errors
    ///
    /// The first violation of the protocol or of the limits. Messages before it were handed out.
    pub fn feed<F>(&mut self, chunk: &mut [u8], mut on_message: F) -> Result<(), FrameError>
    where
        F: FnMut(Message<'_>) -> ControlFlow<()>,
    {
        if self.ended {
            return Ok(());
        }
        if let Err(error) = self.count_chunk(chunk) {
            self.end();
            return Err(error);
        }
        if self.has_undecoded() {
            return self.feed_undecoded(chunk, on_message);
        }
        match self.run(chunk, &mut on_message) {
            Ok((ControlFlow::Continue(()), _)) => Ok(()),
            Ok((ControlFlow::Break(Stop::Paused), rest)) => {
                if !rest.is_empty() {
                    let pending = self.pending.get_or_insert_default();
                    pending.undecoded = rest.to_vec();
                    pending.undecoded_from = 0;
                }
                Ok(())
            }
            Ok((ControlFlow::Break(Stop::Closed), _)) => {
                self.end();
                Ok(())
            }
            Err(error) => {
                self.end();
                Err(error)
            }
        }
    }

    /// Counts a chunk that goes on with a frame.
    fn count_chunk(&mut self, chunk: &[u8]) -> Result<(), FrameError> {
        let max = self.limits.max_chunks;
        let Some(pending) = self.pending.as_mut().filter(|pending| pending.frame.is_some() && !chunk.is_empty()) else {
            return Ok(());
        };
        if max > 0 && pending.chunks >= max {
            return Err(FrameError::TooManyChunks);
        }
        pending.chunks = pending.chunks.saturating_add(1);
        Ok(())
    }

    /// Whether the consumer had enough before the end of a chunk: [`Decoder::feed`] has more to
    /// hand out.
    pub fn has_undecoded(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| !pending.undecoded.is_empty())
    }

    /// Does the work of [`Decoder::feed`] if bytes of an earlier call are left.
    fn feed_undecoded<F>(&mut self, chunk: &[u8], mut on_message: F) -> Result<(), FrameError>
    where
        F: FnMut(Message<'_>) -> ControlFlow<()>,
    {
        let pending = self.pending.get_or_insert_default();
        let mut undecoded = std::mem::take(&mut pending.undecoded);
        let from = std::mem::take(&mut pending.undecoded_from);
        self.drop_pending_if_empty();
        undecoded.extend_from_slice(chunk);
        let len = undecoded.len();
        let left = match self.run(undecoded.get_mut(from..).unwrap_or_default(), &mut on_message) {
            Ok((ControlFlow::Continue(()), _)) => 0,
            Ok((ControlFlow::Break(Stop::Paused), rest)) => rest.len(),
            Ok((ControlFlow::Break(Stop::Closed), _)) => {
                self.end();
                0
            }
            Err(error) => {
                self.end();
                return Err(error);
            }
        };
        if left > 0 {
            // the rest stays where it is: moving it after each message would be quadratic work
            let pending = self.pending.get_or_insert_default();
            pending.undecoded = undecoded;
            pending.undecoded_from = len - left;
        }
        Ok(())
    }

    fn end(&mut self) {
        self.ended = true;
        self.pending = None;
        self.inflate = None;
    }

    /// Bytes of heap memory held for incomplete messages; 0 between messages.
    pub fn retained(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| {
            size_of::<Pending>()
                + pending.control.capacity()
                + pending.message.as_ref().map_or(0, Assembly::retained)
                + pending.undecoded.capacity()
        })
    }

    /// Returns what is left of the chunk where it stops.
    fn run<'c>(
        &mut self,
        mut chunk: &'c mut [u8],
        on_message: &mut impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<(ControlFlow<Stop>, &'c mut [u8]), FrameError> {
        loop {
            let flow;
            (flow, chunk) = match self.pending.as_ref().and_then(|pending| pending.frame) {
                Some(frame) => self.resume_frame(frame, chunk, on_message)?,
                None => match self.read_header(chunk)? {
                    Some((header, rest)) => self.begin_frame(&header, rest, on_message)?,
                    None => return Ok((ControlFlow::Continue(()), &mut [])),
                },
            };
            if flow.is_break() || chunk.is_empty() {
                return Ok((flow, chunk));
            }
        }
    }

    /// Reads a header from the start of the chunk, or from what is left of the previous one and the
    /// chunk. Returns it with the rest of the chunk; `None` if it is incomplete, which then is
    /// kept.
    fn read_header<'c>(&mut self, chunk: &'c mut [u8]) -> Result<Option<(Header, &'c mut [u8])>, FrameError> {
        let context = Context {
            limits: self.limits,
            deflate: self.inflate.is_some(),
            message: self.pending.as_ref().and_then(|p| p.message.as_ref()).map(Assembly::progress),
        };
        if self.head_len == 0 {
            if let Some(header) = header::parse(chunk, &context)? {
                return Ok(Some((header, chunk.get_mut(header.size..).unwrap_or_default())));
            }
        }
        let kept = usize::from(self.head_len);
        let mut filled = kept;
        for (slot, byte) in self.head.iter_mut().skip(kept).zip(chunk.iter()) {
            *slot = *byte;
            filled += 1;
        }
        match header::parse(self.head.get(..filled).unwrap_or_default(), &context)? {
            Some(header) => {
                self.head_len = 0;
                let used = header.size.saturating_sub(kept);
                Ok(Some((header, chunk.get_mut(used..).unwrap_or_default())))
            }
            None => {
                self.head_len = filled as u8;
                Ok(None)
            }
        }
    }

    /// Takes the payload of a frame whose header was just read. Returns the rest of the chunk.
    fn begin_frame<'c>(
        &mut self,
        header: &Header,
        chunk: &'c mut [u8],
        on_message: &mut impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<(ControlFlow<Stop>, &'c mut [u8]), FrameError> {
        let (payload, rest) = split(chunk, header.len);
        unmask(payload, header.mask, 0);
        let missing = header.len - payload.len() as u64;
        if missing > 0 {
            self.keep(header, payload, missing)?;
            return Ok((ControlFlow::Continue(()), rest));
        }
        let flow = if header.opcode.is_control() {
            control(header.opcode, payload, on_message)?
        } else {
            self.whole_data_frame(header, payload, on_message)?
        };
        Ok((flow, rest))
    }

    /// A data frame that lies whole in the chunk.
    fn whole_data_frame(
        &mut self,
        header: &Header,
        payload: &[u8],
        on_message: &mut impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Flow {
        let max = self.limits.max_payload;
        let inflate = self.inflate.as_deref_mut();
        match header.opcode {
            // The hot path: a message in one frame, not compressed, borrowed from the read buffer.
            OpCode::Text if header.fin && !header.rsv1 => {
                simdutf8::basic::from_utf8(payload).map_err(|_| FrameError::InvalidUtf8)?;
                Ok(after(on_message(Message::Text(Cow::Borrowed(payload)))))
            }
            OpCode::Binary if header.fin && !header.rsv1 => {
                Ok(after(on_message(Message::Binary(Cow::Borrowed(payload)))))
            }
            OpCode::Text | OpCode::Binary if header.fin => {
                let mut message = Assembly::begin(header);
                push_frame(&mut message, payload, true, inflate, max)?;
                message.check_length(self.limits.max_text)?;
                Ok(after(on_message(message.into_message())))
            }
            _ => {
                let pending = self.pending.get_or_insert_default();
                let message = join(&mut pending.message, header);
                push_frame(message, payload, header.fin, inflate, max)?;
                if header.fin { self.deliver(on_message) } else { Ok(ControlFlow::Continue(())) }
            }
        }
    }

    /// Keeps the beginning of a frame whose payload goes on in a later chunk.
    fn keep(&mut self, header: &Header, payload: &[u8], missing: u64) -> Result<(), FrameError> {
        let pending = self.pending.get_or_insert_default();
        pending.frame =
            Some(Frame { opcode: header.opcode, fin: header.fin, mask: rotate(header.mask, payload.len()), missing });
        pending.chunks = u32::from(!payload.is_empty());
        if header.opcode.is_control() {
            pending.control.extend_from_slice(payload);
            return Ok(());
        }
        let message = join(&mut pending.message, header);
        message.push(payload, missing, self.inflate.as_deref_mut(), self.limits.max_payload)
    }

    /// Goes on with the payload of a kept frame. Returns the rest of the chunk.
    fn resume_frame<'c>(
        &mut self,
        frame: Frame,
        chunk: &'c mut [u8],
        on_message: &mut impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<(ControlFlow<Stop>, &'c mut [u8]), FrameError> {
        let (part, rest) = split(chunk, frame.missing);
        unmask(part, frame.mask, 0);
        let missing = frame.missing - part.len() as u64;
        let max = self.limits.max_payload;
        let mut inflate = self.inflate.as_deref_mut();
        let pending = self.pending.get_or_insert_default();
        let is_control = frame.opcode.is_control();
        if is_control {
            pending.control.extend_from_slice(part);
        } else if let Some(message) = &mut pending.message {
            message.push(part, missing, inflate.as_deref_mut(), max)?;
        }
        if missing > 0 {
            pending.frame = Some(Frame { mask: rotate(frame.mask, part.len()), missing, ..frame });
            return Ok((ControlFlow::Continue(()), rest));
        }
        pending.frame = None;
        let flow = if is_control {
            let payload = std::mem::take(&mut pending.control);
            self.drop_pending_if_empty();
            control(frame.opcode, &payload, on_message)?
        } else {
            if let Some(message) = &mut pending.message {
                message.end_frame(frame.fin, inflate, max)?;
            }
            if frame.fin { self.deliver(on_message)? } else { ControlFlow::Continue(()) }
        };
        Ok((flow, rest))
    }

    /// Hands the assembled message out and forgets it.
    fn deliver(&mut self, on_message: &mut impl FnMut(Message<'_>) -> ControlFlow<()>) -> Flow {
        let message = self.pending.as_mut().and_then(|pending| pending.message.take());
        self.drop_pending_if_empty();
        let Some(message) = message else {
            return Ok(ControlFlow::Continue(()));
        };
        message.check_length(self.limits.max_text)?;
        Ok(after(on_message(message.into_message())))
    }

    fn drop_pending_if_empty(&mut self) {
        if self.pending.as_ref().is_some_and(|p| p.frame.is_none() && p.message.is_none() && p.undecoded.is_empty()) {
            self.pending = None;
        }
    }
}

/// What follows a message that was handed out.
fn after(flow: ControlFlow<()>) -> ControlFlow<Stop> {
    match flow {
        ControlFlow::Continue(()) => ControlFlow::Continue(()),
        ControlFlow::Break(()) => ControlFlow::Break(Stop::Paused),
    }
}

/// Splits the payload, or as much of it as there is, off a chunk.
fn split(chunk: &mut [u8], len: u64) -> (&mut [u8], &mut [u8]) {
    let at = usize::try_from(len).unwrap_or(usize::MAX).min(chunk.len());
    chunk.split_at_mut(at)
}

/// The message that a data frame belongs to: the one under way, or a new one.
fn join<'m>(message: &'m mut Option<Assembly>, header: &Header) -> &'m mut Assembly {
    match message {
        Some(message) => {
            message.continue_with(header);
            message
        }
        None => message.insert(Assembly::begin(header)),
    }
}

fn push_frame(
    message: &mut Assembly,
    payload: &[u8],
    fin: bool,
    mut inflate: Option<&mut Inflate>,
    max_payload: u64,
) -> Result<(), FrameError> {
    message.push(payload, 0, inflate.as_deref_mut(), max_payload)?;
    message.end_frame(fin, inflate, max_payload)
}

/// Hands out a control frame. A close frame ends the stream.
fn control(opcode: OpCode, payload: &[u8], on_message: &mut impl FnMut(Message<'_>) -> ControlFlow<()>) -> Flow {
    match opcode {
        OpCode::Ping => Ok(after(on_message(Message::Ping(payload)))),
        OpCode::Pong => Ok(after(on_message(Message::Pong(payload)))),
        _ => {
            let (code, reason) = match payload {
                [high, low, reason @ ..] => (Some(u16::from_be_bytes([*high, *low])), reason),
                _ => (None, &[][..]),
            };
            if let Some(code) = code.filter(|&code| !is_close_code(code)) {
                return Err(FrameError::InvalidCloseCode(code));
            }
            simdutf8::basic::from_utf8(reason).map_err(|_| FrameError::InvalidUtf8)?;
            let _ = on_message(Message::Close { code, reason });
            Ok(ControlFlow::Break(Stop::Closed))
        }
    }
}

/// Whether a code may stand in a close frame: the registered ones that are not reserved for local
/// use, and those left to libraries and applications.
fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
