//! An association: items from one node to another and back, each exactly once and in order, until it breaks.

use std::collections::{BTreeMap, VecDeque};

use super::message::{Item, Kind, MAX_BODY, Millis};

/// Frames that may be on the way.
pub const WINDOW: usize = 32;

/// The most bytes that wait to be sent before more is refused.
pub const MAX_QUEUED: usize = 4 * 1024 * 1024;

/// An association breaks when no frame is acknowledged, or nothing is heard, for this time.
pub const GIVE_UP: Millis = 4_000;

/// After this time a frame is sent again; then after twice the time.
const RESEND: Millis = 200;

const MAX_RESEND: Millis = 1_000;

/// Frames that are sent again at a time.
const RESENT: usize = 8;

/// An acknowledgement waits for a frame to go with for this time.
const ACK_DELAY: Millis = 20;

/// The peer does not follow the protocol, or cannot be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken;

/// One end of an association.
#[derive(Debug)]
pub struct Association {
    number: u32,
    /// Frames that have not been sent yet; the last one is filled up.
    queue: VecDeque<Vec<u8>>,
    queued: usize,
    /// Frames that have been sent and are not acknowledged.
    sent: VecDeque<Vec<u8>>,
    /// The number of the first frame of `sent`.
    first: u64,
    /// The number of the frame that is delivered next.
    expected: u64,
    /// Frames that came before their turn.
    early: BTreeMap<u64, Vec<u8>>,
    ack_at: Option<Millis>,
    resend_at: Millis,
    resend_wait: Millis,
    /// When a frame was acknowledged, or the first one sent.
    progress_at: Millis,
}

impl Association {
    /// An association with this number.
    pub fn new(number: u32) -> Self {
        Self {
            number,
            queue: VecDeque::new(),
            queued: 0,
            sent: VecDeque::new(),
            first: 0,
            expected: 0,
            early: BTreeMap::new(),
            ack_at: None,
            resend_at: 0,
            resend_wait: RESEND,
            progress_at: 0,
        }
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The bytes that may be queued before more is refused.
    pub fn room(&self) -> usize {
        MAX_QUEUED.saturating_sub(self.queued)
    }

    /// The bytes that the association holds.
    pub fn memory(&self) -> usize {
        let sent = self.sent.iter().map(Vec::len).sum::<usize>();
        self.queued + sent + self.early.values().map(Vec::len).sum::<usize>()
    }

    /// Queues an item. [`Association::transmit`] sends it.
    pub fn push(&mut self, item: &Item) {
        let mut bytes = Vec::new();
        item.encode(&mut bytes);
        debug_assert!(bytes.len() <= MAX_BODY);
        self.queued += bytes.len();
        match self.queue.back_mut() {
            Some(frame) if frame.len() + bytes.len() <= MAX_BODY => frame.append(&mut bytes),
            _ => self.queue.push_back(bytes),
        }
    }

    /// Hands out what is to be published now: kind, number and acknowledgement of a message, and its body.
    ///
    /// # Errors
    /// When the association has broken.
    pub fn transmit(&mut self, now: Millis, publish: &mut impl FnMut(Kind, u64, u64, &[u8])) -> Result<(), Broken> {
        let mut spoken = false;
        if !self.sent.is_empty() {
            if now >= self.progress_at + GIVE_UP {
                return Err(Broken);
            }
            if now >= self.resend_at {
                for (at, frame) in self.sent.iter().take(RESENT).enumerate() {
                    publish(Kind::Frame, self.first + at as u64, self.expected, frame);
                }
                self.resend_wait = (2 * self.resend_wait).min(MAX_RESEND);
                self.resend_at = now + self.resend_wait;
                spoken = true;
            }
        }
        while self.sent.len() < WINDOW {
            let Some(frame) = self.queue.pop_front() else { break };
            if self.sent.is_empty() {
                (self.progress_at, self.resend_wait, self.resend_at) = (now, RESEND, now + RESEND);
            }
            self.queued -= frame.len();
            publish(Kind::Frame, self.first + self.sent.len() as u64, self.expected, &frame);
            self.sent.push_back(frame);
            spoken = true;
        }
        if spoken {
            self.ack_at = None;
        } else if self.ack_at.is_some_and(|at| now >= at) {
            self.ack_at = None;
            publish(Kind::Ack, 0, self.expected, &[]);
        }
        Ok(())
    }

    /// The peer has acknowledged the frames before this one.
    ///
    /// # Errors
    /// When there are no such frames.
    pub fn acknowledged(&mut self, now: Millis, ack: u64) -> Result<(), Broken> {
        if ack > self.first + self.sent.len() as u64 {
            return Err(Broken);
        }
        if ack > self.first {
            self.sent.drain(..(ack - self.first) as usize);
            self.first = ack;
            (self.progress_at, self.resend_wait, self.resend_at) = (now, RESEND, now + RESEND);
        }
        Ok(())
    }

    /// A frame has come. Returns those whose turn it is.
    ///
    /// # Errors
    /// When the peer sends more than it may.
    pub fn accept(&mut self, now: Millis, seq: u64, frame: &[u8]) -> Result<Vec<Vec<u8>>, Broken> {
        if seq < self.expected {
            self.ack_at = Some(now); // the acknowledgement was lost
            return Ok(Vec::new());
        }
        if seq - self.expected >= WINDOW as u64 || frame.is_empty() {
            return Err(Broken);
        }
        self.ack_at.get_or_insert(now + ACK_DELAY);
        self.early.insert(seq, frame.to_vec());
        let mut frames = Vec::new();
        while let Some(frame) = self.early.remove(&self.expected) {
            self.expected += 1;
            frames.push(frame);
        }
        Ok(frames)
    }

    /// When [`Association::transmit`] is to be called again.
    pub fn due(&self) -> Option<Millis> {
        let sent = (!self.sent.is_empty()).then(|| self.resend_at.min(self.progress_at + GIVE_UP));
        [sent, self.ack_at].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Message = (Kind, u64, u64, Vec<u8>);

    fn transmit(association: &mut Association, now: Millis) -> Result<Vec<Message>, Broken> {
        let mut messages = Vec::new();
        association.transmit(now, &mut |kind, seq, ack, body| messages.push((kind, seq, ack, body.to_vec())))?;
        Ok(messages)
    }

    fn data(length: usize) -> Item {
        Item::Data { ticket: 1, asker: true, body: vec![0; length], last: false }
    }

    #[test]
    fn items_of_one_turn_share_a_frame_and_large_ones_have_their_own() {
        let mut association = Association::new(1);
        (0..3).for_each(|_| association.push(&data(10)));
        let frames = transmit(&mut association, 0).unwrap();
        assert_eq!(frames.len(), 1);
        assert_eq!(Item::decode_all(&frames[0].3), Some(vec![data(10); 3]));
        (0..4).for_each(|_| association.push(&data(24 * 1024)));
        assert_eq!(transmit(&mut association, 0).unwrap().len(), 2);
    }

    #[test]
    fn frames_that_come_twice_late_or_out_of_order_are_delivered_once_and_in_order() {
        let mut association = Association::new(1);
        assert_eq!(association.accept(0, 1, b"b"), Ok(vec![]));
        assert_eq!(association.accept(0, 1, b"b"), Ok(vec![]));
        assert_eq!(association.accept(0, 0, b"a"), Ok(vec![b"a".to_vec(), b"b".to_vec()]));
        assert_eq!(association.accept(0, 0, b"a"), Ok(vec![]));
        assert_eq!(transmit(&mut association, 0).unwrap(), [(Kind::Ack, 0, 2, vec![])]);
    }

    #[test]
    fn a_frame_is_sent_again_until_it_is_acknowledged_or_the_association_breaks() {
        let mut association = Association::new(1);
        association.push(&data(1));
        assert_eq!(transmit(&mut association, 0).unwrap().len(), 1);
        assert_eq!(transmit(&mut association, RESEND - 1).unwrap().len(), 0);
        assert_eq!(transmit(&mut association, RESEND).unwrap()[0].1, 0);
        association.acknowledged(RESEND, 1).unwrap();
        assert_eq!(association.due(), None);
        association.push(&data(1));
        assert_eq!(transmit(&mut association, RESEND).unwrap()[0].1, 1);
        assert_eq!(transmit(&mut association, RESEND + GIVE_UP), Err(Broken));
    }

    #[test]
    fn a_peer_that_acknowledges_what_was_not_sent_or_exceeds_the_window_breaks_the_association() {
        let mut association = Association::new(1);
        assert_eq!(association.acknowledged(0, 1), Err(Broken));
        assert_eq!(association.accept(0, WINDOW as u64, b"a"), Err(Broken));
        assert_eq!(association.accept(0, u64::MAX, b"a"), Err(Broken));
        assert_eq!(association.accept(0, 0, b""), Err(Broken));
    }

    #[test]
    fn the_window_bounds_what_is_on_the_way() {
        let mut association = Association::new(1);
        (0..WINDOW + 5).for_each(|_| association.push(&data(24 * 1024)));
        (0..WINDOW + 5).for_each(|_| association.push(&data(24 * 1024)));
        assert_eq!(transmit(&mut association, 0).unwrap().len(), WINDOW);
        association.acknowledged(1, 3).unwrap();
        assert_eq!(transmit(&mut association, 1).unwrap().len(), 3);
    }
}
