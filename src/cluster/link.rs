//! A link of a member to one of its peers: what waits to be written, and what has come.
//!
//! Messages wait in the link until they are flushed: the owner's thread writes what the kernel takes at once, and the
//! link's task the rest.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::id::{Key, Member};
use super::os::{Descriptor, Stream};
use super::wire::{Decoder, Hello, Malformed, Message, encode};
use crate::runtime::contract::{PeerMessage, PeerSent};

/// The kinds of messages that carry a descriptor.
const MOVES: [u8; 2] = [PeerMessage::Move as u8, PeerMessage::AskMove as u8];

/// The kinds of messages that may be large.
const REQUESTS: [u8; 3] = [PeerMessage::Request as u8, PeerMessage::Ask as u8, PeerMessage::Serve as u8];

/// Bytes that may wait in a link when a request is added. For what else begins something it is twice as many, so that
/// large bodies do not keep upgrades from being sent.
const MAX_WAITING: usize = 16 << 20;

/// Descriptors that may wait in a link. The connections of upgrades that were given up stay open until they are written.
const MAX_DESCRIPTORS: usize = 512;

/// Bytes of memory that a link keeps for messages.
const MAX_KEPT: usize = 64 * 1024;

/// Bytes of a hello at most.
const MAX_HELLO: usize = 64;

/// Bytes of a read.
pub(super) const READ_BUFFER: usize = 64 * 1024;

/// What a message costs besides its bytes.
const MESSAGE_COST: usize = 100;

/// A message for the owner.
#[derive(Debug)]
pub struct Incoming {
    /// The link on which it came.
    pub link: u32,
    /// What it is.
    pub kind: u8,
    /// What it belongs to.
    pub number: u32,
    /// Text.
    pub head: String,
    /// Bytes.
    pub body: bytes::Bytes,
    /// The descriptor of a connection that moves.
    pub descriptor: Option<Descriptor>,
}

/// A link to a peer.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) number: u32,
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// What has come so far, while the link is left to the owner to read.
    left: Mutex<Option<Reading>>,
    /// Notified when the owner does not read the link, or has read it to its end.
    pub(super) returned: Notify,
}

/// What waits in a link.
#[derive(Debug, Default)]
struct Waiting {
    out: Outgoing,
    /// The stream, while the link is served and its task writes nothing: who holds the lock may write.
    idle: Option<Arc<Stream>>,
}

/// Bytes to write, and the descriptors that go with some of them.
#[derive(Debug, Default)]
struct Outgoing {
    bytes: Vec<u8>,
    /// Each with the place of its message.
    descriptors: VecDeque<(usize, Descriptor)>,
}

/// What is being written, and how far.
#[derive(Debug, Default)]
pub(super) struct Writing {
    out: Outgoing,
    at: usize,
}

impl Link {
    pub(super) fn new(number: u32) -> Self {
        Self { number, waiting: Mutex::default(), wake: Notify::new(), left: Mutex::default(), returned: Notify::new() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has come so far, while the link is left to the owner to read.
    pub(super) fn left(&self) -> MutexGuard<'_, Option<Reading>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message, see [`Peers::send`](super::peers::Peers::send). The second value tells whether it is the first that
    /// waits.
    pub(super) fn add(
        &self,
        kind: u8,
        number: u32,
        (head, body): (&[u8], &[u8]),
        descriptor: Option<Descriptor>,
    ) -> (PeerSent, bool) {
        let out = &mut self.waiting().out;
        let at = out.bytes.len();
        let most = if REQUESTS.contains(&kind) { MAX_WAITING } else { 2 * MAX_WAITING };
        let is_full = at > most || descriptor.is_some() && out.descriptors.len() >= MAX_DESCRIPTORS;
        if begins(kind) && is_full {
            return (PeerSent::Later, false);
        }
        if !encode(kind, number, head, body, &mut out.bytes) {
            return (PeerSent::No, false);
        }
        if let Some(descriptor) = descriptor {
            out.descriptors.push_back((at, descriptor));
        }
        (PeerSent::Yes, at == 0)
    }

    /// Takes what waits. If that is nothing, others may write to the stream.
    fn take(&self, stream: &Arc<Stream>) -> Outgoing {
        let mut waiting = self.waiting();
        waiting.idle = waiting.out.bytes.is_empty().then(|| stream.clone());
        std::mem::take(&mut waiting.out)
    }

    /// Drops what waits: its descriptors are closed, and so is the stream.
    pub(super) fn clear(&self) {
        drop(std::mem::take(&mut *self.waiting()));
    }

    /// Has what waits written: here, as far as the kernel takes it at once, and the rest by the link's task.
    pub(super) fn flush(&self) {
        if !self.write_at_once() {
            self.wake.notify_one();
        }
    }

    /// Writes what waits, as far as this can be done without waiting. Returns whether that was everything.
    fn write_at_once(&self) -> bool {
        let mut waiting = self.waiting();
        let Waiting { out, idle: Some(stream) } = &mut *waiting else { return waiting.out.bytes.is_empty() };
        let mut at = 0;
        while at < out.bytes.len() {
            match out.send(stream, at, Stream::send) {
                Ok(length) => at += length,
                // its task writes the rest, or meets the error
                Err(_) => break,
            }
        }
        out.drop_first(at);
        out.bytes.is_empty()
    }
}

impl Outgoing {
    /// Sends bytes from a place on, once. Returns how many the kernel has taken.
    fn send(
        &mut self,
        stream: &Stream,
        at: usize,
        send: impl FnOnce(&Stream, &[u8], Option<&Descriptor>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        // a descriptor goes with the first byte of its message
        let mut next = self.descriptors.iter().map(|(at, descriptor)| (*at, descriptor)).peekable();
        let descriptor = next.next_if(|(place, _)| *place == at).map(|(_, descriptor)| descriptor);
        let end = next.peek().map_or(self.bytes.len(), |(place, _)| *place);
        let length = send(stream, &self.bytes[at..end], descriptor)?;
        if descriptor.is_some() {
            self.descriptors.pop_front();
        }
        Ok(length)
    }

    /// Forgets the first bytes, which have been sent.
    fn drop_first(&mut self, count: usize) {
        if count == self.bytes.len() && self.bytes.capacity() > MAX_KEPT {
            self.bytes = Vec::new();
        } else {
            self.bytes.drain(..count);
        }
        for (place, _) in &mut self.descriptors {
            *place -= count;
        }
    }
}

pub(super) async fn greet(stream: &Stream, key: &Key, from: Member, to: Member) -> io::Result<()> {
    let mut writing = Writing::default();
    Hello { from, to }.encode(key, &mut writing.out.bytes);
    writing.write(stream).await
}

/// Whether a message begins something. What belongs to something that has begun is sent in any case.
fn begins(kind: u8) -> bool {
    use PeerMessage::{Ask, AskCarry, AskFail, AskMove, Carry, Fail, Find, Move, Present, Request, Serve};
    [Request, Move, Carry, Fail, Find, Ask, AskMove, AskCarry, AskFail, Serve, Present]
        .iter()
        .any(|&one| one as u8 == kind)
}

impl Incoming {
    /// A message of this member to itself.
    pub(super) fn note(link: &Link, kind: u8) -> Self {
        Self { link: link.number, kind, number: 0, head: String::new(), body: bytes::Bytes::new(), descriptor: None }
    }

    pub(super) fn cost(&self) -> usize {
        self.head.len() + self.body.len() + MESSAGE_COST
    }
}

impl Writing {
    /// Writes what waits in a link, and with `goes_on` what comes to wait.
    pub(super) async fn write_all(&mut self, link: &Link, stream: &Arc<Stream>, goes_on: bool) -> io::Result<()> {
        loop {
            self.write(stream).await?;
            let wake = link.wake.notified();
            self.out = link.take(stream);
            if self.out.bytes.is_empty() {
                if !goes_on {
                    return Ok(());
                }
                wake.await;
            }
        }
    }

    /// Writes the rest of what is being written. It can be called again if it was dropped before its end.
    async fn write(&mut self, stream: &Stream) -> io::Result<()> {
        while self.at < self.out.bytes.len() {
            stream.writable().await?;
            match self.out.send(stream, self.at, Stream::try_send) {
                Ok(length) => self.at += length,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        *self = Self::default();
        Ok(())
    }
}

/// What has come on a link and is not a whole message yet.
#[derive(Debug, Default)]
pub(super) struct Reading {
    decoder: Decoder,
    descriptors: VecDeque<Option<Descriptor>>,
}

thread_local! {
    /// What all links of a thread read into.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BUFFER].into_boxed_slice());
}

impl Reading {
    /// Reads once. Returns the number of bytes, 0 at the end of the link.
    pub(super) fn receive(&mut self, stream: &Stream) -> io::Result<usize> {
        BUFFER.with_borrow_mut(|buffer| {
            let length = stream.try_receive(buffer, &mut self.descriptors)?;
            self.decoder.feed(&buffer[..length]);
            Ok(length)
        })
    }

    /// Reads once as soon as there is something. Returns false at the end of the link.
    pub(super) async fn more(&mut self, stream: &Stream) -> bool {
        loop {
            if stream.readable().await.is_err() {
                return false;
            }
            match self.receive(stream) {
                Ok(length) => return length > 0,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(_) => return false,
            }
        }
    }

    /// The number of descriptors that have come without their messages.
    pub(super) fn descriptors(&self) -> usize {
        self.descriptors.len()
    }

    /// The next message, if all of it has come.
    pub(super) fn next(&mut self, link: &Link) -> Result<Option<Incoming>, Malformed> {
        let Some(message) = self.decoder.take()? else {
            // at most one belongs to a message whose end has not come
            return if self.descriptors.len() > 1 { Err(Malformed) } else { Ok(None) };
        };
        let descriptor = if MOVES.contains(&message.kind) { self.descriptors.pop_front().flatten() } else { None };
        let head = std::str::from_utf8(&message.head).map_err(|_| Malformed)?.to_owned();
        if message.kind >= PeerMessage::Up as u8 {
            return Err(Malformed);
        }
        let Message { kind, number, body, .. } = message;
        Ok(Some(Incoming { link: link.number, kind, number, head, body, descriptor }))
    }

    /// The first message; `None` if it is something else, or if the link ends.
    pub(super) async fn hello(&mut self, stream: &Stream, key: &Key) -> Option<Hello> {
        loop {
            if let Some(message) = self.decoder.take().ok()? {
                return Hello::decode(&message, key);
            }
            // before the hello, nothing long is kept of anybody
            if self.decoder.expects_more_than(MAX_HELLO) || !self.more(stream).await {
                return None;
            }
        }
    }
}
