//! What is counted on the JavaScript thread.

use crate::protocol::PacketType;
use crate::runtime::{Batch, Counts, Event, Kind, SendStatus};
use crate::session::OutData;

/// Counts what JavaScript has taken.
pub(super) fn count_taken(counts: &Counts, batch: &Batch, events: &[Event]) {
    let (mut messages, mut bytes) = (0, 0);
    for event in events {
        match event.kind {
            Kind::Message => {
                messages += 1;
                bytes += batch.content(&event.data).len();
            }
            Kind::AnswerPoll | Kind::AnswerPollPlain => counts.poll_bytes.add(batch.content(&event.data).len()),
            _ => {}
        }
    }
    if messages > 0 {
        counts.messages_received.add(messages);
        counts.message_bytes_received.add(bytes);
    }
}

/// Counts messages that JavaScript has handed over to be sent, with the length of their contents.
pub(super) fn count_sent(counts: &Counts, kind: PacketType, status: u32, messages: usize, bytes: usize) {
    if kind == PacketType::Message && status != SendStatus::Closed as u32 {
        counts.messages_sent.add(messages);
        counts.message_bytes_sent.add(bytes);
    }
}

/// Number of bytes of a packet's content.
pub(super) fn size_of_data(data: &OutData) -> usize {
    match data {
        OutData::None => 0,
        OutData::Text(text) => text.len(),
        OutData::Binary(bytes) => bytes.len(),
    }
}
