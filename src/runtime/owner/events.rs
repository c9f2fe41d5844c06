//! What an I/O thread tells the owner's thread, in batches.
//!
//! Small contents lie one after the other in one buffer per batch.

use std::any::Any;
use std::fmt::Debug;
use std::time::Instant;

use super::contract::{Kind, NO_HANDLE, ProbeEndCode, ReasonCode};
use crate::session::{ChannelId, ProbeEnd, Reason};

/// The content of an event.
#[derive(Debug, Default)]
pub enum EventData {
    /// Nothing.
    #[default]
    None,
    /// ASCII text in the batch's buffer.
    Ascii {
        /// Where it starts.
        start: u32,
        /// Its length in bytes.
        len: u32,
    },
    /// UTF-8 text in the batch's buffer.
    Utf8 {
        /// Where it starts.
        start: u32,
        /// Its length in bytes.
        len: u32,
    },
    /// Bytes in the batch's buffer.
    Bytes {
        /// Where it starts.
        start: u32,
        /// Its length in bytes.
        len: u32,
    },
    /// UTF-8 text too large to be copied around.
    OwnedText(Vec<u8>),
    /// Bytes too large to be copied around.
    OwnedBytes(Vec<u8>),
    /// What a room above hands over with the event.
    Attached(Box<dyn Attachment>),
}

/// Something of a room above this one that travels with an event, and is freed with it.
pub trait Attachment: Any + Debug + Send {
    /// The text that the owner gets.
    fn text(&self) -> &str;

    /// The attachment itself, for those who know its type.
    fn as_any(&self) -> &dyn Any;
}

/// One thing the owner has to know.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// A session, a connection, a listener or a body, depending on `kind`.
    pub target: u32,
    /// A number whose meaning depends on `kind`.
    pub arg: u32,
    /// The connection that is charged for the event until it is taken, or [`BY_POST`], or [`NO_HANDLE`].
    pub charged: u32,
    /// The content.
    pub data: EventData,
}

/// Value of [`Event::charged`] for messages of a POST: their session is charged.
pub const BY_POST: u32 = u32::MAX;

/// Events in order.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events.
    pub events: Vec<Event>,
    /// Small contents, one after the other.
    pub bytes: Vec<u8>,
    /// Number of bytes of contents in allocations of their own.
    large: usize,
    /// When the first event was queued, if that was noted.
    pub since: Option<Instant>,
}

/// Bytes from which on a content has its own allocation.
pub(super) const OWN_ALLOCATION_FROM: usize = 16 * 1024;

/// Bytes of an event besides its content, so that empty messages count, too.
pub(crate) const EVENT_COST: usize = size_of::<Event>();

impl Batch {
    /// Appends an event without content.
    pub fn push(&mut self, kind: Kind, target: u32, arg: u32) {
        self.events.push(Event { kind, target, arg, charged: NO_HANDLE, data: EventData::None });
    }

    /// Charges a connection for the last event until the owner takes it. Returns the number of bytes.
    pub fn charge(&mut self, connection: ChannelId) -> usize {
        let Some(event) = self.events.last_mut() else { return 0 };
        event.charged = connection;
        self.events.last().map_or(0, |event| self.cost(event))
    }

    /// Charges the session of a POST for all events so far. Returns the number of bytes.
    pub fn charge_post(&mut self) -> usize {
        self.events.iter_mut().for_each(|event| event.charged = BY_POST);
        self.events.iter().map(|event| self.cost(event)).sum()
    }

    /// The bytes that an event occupies while it waits to be taken.
    pub fn cost(&self, event: &Event) -> usize {
        self.content(&event.data).len() + EVENT_COST
    }

    /// Appends an event with text, which must be valid UTF-8.
    pub fn push_text(&mut self, kind: Kind, target: u32, arg: u32, text: &[u8]) {
        let data = if text.len() >= OWN_ALLOCATION_FROM {
            self.large += text.len();
            EventData::OwnedText(text.to_vec())
        } else {
            let (start, len) = self.store(text);
            if text.is_ascii() { EventData::Ascii { start, len } } else { EventData::Utf8 { start, len } }
        };
        self.events.push(Event { kind, target, arg, charged: NO_HANDLE, data });
    }

    /// Appends an event with bytes.
    pub fn push_bytes(&mut self, kind: Kind, target: u32, arg: u32, bytes: &[u8]) {
        let data = if bytes.len() >= OWN_ALLOCATION_FROM {
            self.large += bytes.len();
            EventData::OwnedBytes(bytes.to_vec())
        } else {
            let (start, len) = self.store(bytes);
            EventData::Bytes { start, len }
        };
        self.events.push(Event { kind, target, arg, charged: NO_HANDLE, data });
    }

    /// Appends a [`Kind::Closed`] event.
    pub fn push_closed(&mut self, session: u32, reason: &Reason) {
        let code = ReasonCode::of(reason) as u32;
        match reason {
            Reason::TransportError(fault) => {
                self.push_text(Kind::Closed, session, code, fault.message().as_bytes());
            }
            _ => self.push(Kind::Closed, session, code),
        }
    }

    /// Appends a [`Kind::UpgradeFailed`] event.
    pub fn push_upgrade_failed(&mut self, session: u32, end: &ProbeEnd) {
        let code = ProbeEndCode::of(end) as u32;
        match end {
            ProbeEnd::Failed(fault) => {
                self.push_text(Kind::UpgradeFailed, session, code, fault.message().as_bytes());
            }
            _ => self.push(Kind::UpgradeFailed, session, code),
        }
    }

    /// Appends an event with an attachment.
    pub fn push_attached(&mut self, kind: Kind, target: u32, arg: u32, attachment: impl Attachment) {
        let data = EventData::Attached(Box::new(attachment));
        self.events.push(Event { kind, target, arg, charged: NO_HANDLE, data });
    }

    /// The bytes of an event's content.
    pub fn content<'a>(&'a self, data: &'a EventData) -> &'a [u8] {
        match data {
            EventData::None => &[],
            EventData::Ascii { start, len } | EventData::Utf8 { start, len } | EventData::Bytes { start, len } => {
                let start = *start as usize;
                self.bytes.get(start..start + *len as usize).unwrap_or(&[])
            }
            EventData::OwnedText(bytes) | EventData::OwnedBytes(bytes) => bytes,
            EventData::Attached(attachment) => attachment.text().as_bytes(),
        }
    }

    fn store(&mut self, content: &[u8]) -> (u32, u32) {
        // a batch is far below 4 GiB, because the queue stops its producers long before, see `Connection::owe`
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(content);
        (start, content.len() as u32)
    }

    pub(super) fn append(&mut self, other: &mut Batch) {
        if self.is_empty() && other.events.len() > self.events.capacity() {
            return std::mem::swap(self, other);
        }
        let offset = self.bytes.len() as u32;
        self.bytes.append(&mut other.bytes);
        self.large += std::mem::take(&mut other.large);
        self.events.extend(other.events.drain(..).map(|mut event| {
            match &mut event.data {
                EventData::Ascii { start, .. } | EventData::Utf8 { start, .. } | EventData::Bytes { start, .. } => {
                    *start += offset;
                }
                _ => {}
            }
            event
        }));
    }

    /// Empties the batch, and keeps its allocations unless they are unusually large.
    pub(super) fn reset(&mut self) {
        self.events.clear();
        self.bytes.clear();
        self.large = 0;
        self.since = None;
        if self.bytes.capacity() > 1 << 20 {
            self.bytes = Vec::new();
        }
        if self.events.capacity() > 1 << 14 {
            self.events = Vec::new();
        }
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The bytes that all events occupy while they wait to be taken.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.large + self.events.len() * EVENT_COST
    }
}

impl Event {
    /// What is attached to the event, if it is of this type.
    pub fn attached<T: Attachment>(&self) -> Option<&T> {
        match &self.data {
            EventData::Attached(attachment) => attachment.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// Frees a content with its own allocation, because the owner has taken it.
    pub fn free(&mut self) {
        if matches!(self.data, EventData::OwnedText(_) | EventData::OwnedBytes(_)) {
            self.data = EventData::None;
        }
    }
}
