//! What both sides of a request do: bytes, credit, and its early end.

use super::super::action::Stream;
use super::super::association::Association;
use super::super::message::{Item, MAX_PIECE, Run, Why};
use super::{CREDIT, Flow, Node};

impl Node {
    /// The bytes that [`Node::send`] and [`Node::answer`] take now. After less than asked for [`Action::Writable`]
    /// follows.
    pub fn room(&mut self, stream: Stream) -> usize {
        let Some((flow, association)) = self.flow(stream) else { return 0 };
        let room = (flow.may_send as usize).min(association.room()).min(MAX_PIECE);
        if room < MAX_PIECE {
            let run = self.peer_of(stream);
            if let Some(peer) = self.peers.get_mut(&run) {
                peer.blocked.insert(stream);
            }
        }
        room
    }

    /// Sends bytes: at most [`Node::room`]. Returns whether the stream is there and takes them.
    pub fn send(&mut self, stream: Stream, bytes: &[u8], last: bool) -> bool {
        let Some((flow, association)) = self.flow(stream) else { return false };
        let (Ok(length), false) = (u32::try_from(bytes.len()), flow.sent_last) else { return false };
        if length > flow.may_send || bytes.len() > MAX_PIECE {
            return false;
        }
        flow.may_send -= length;
        flow.sent_last = last;
        let (Stream::Asked(ticket) | Stream::Served(_, ticket)) = stream;
        let asker = matches!(stream, Stream::Asked(_));
        association.push(&Item::Data { ticket, asker, body: bytes.to_vec(), last });
        if let Stream::Asked(ticket) = stream {
            // what was sent in pieces is not here to be sent again
            self.asked.entry(ticket).and_modify(|asked| asked.request = None);
        }
        true
    }

    /// Bytes of [`Action::Data`] are used, so the other side may send more.
    pub fn consumed(&mut self, stream: Stream, bytes: usize) {
        let Some((flow, association)) = self.flow(stream) else { return };
        flow.used = flow.used.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if flow.used >= CREDIT / 4 && !flow.came_last {
            let bytes = std::mem::take(&mut flow.used).min(CREDIT.saturating_sub(flow.may_come));
            flow.may_come += bytes;
            let (Stream::Asked(ticket) | Stream::Served(_, ticket)) = stream;
            association.push(&Item::Credit { ticket, asker: matches!(stream, Stream::Asked(_)), bytes });
        }
    }

    /// Ends a stream: the client has gone, or the session. Nothing follows.
    pub fn cut(&mut self, stream: Stream) {
        match stream {
            Stream::Asked(ticket) => {
                self.cut_asked(ticket);
                self.remove_asked(ticket);
            }
            Stream::Served(run, ticket) => self.cut_served(run, ticket, Why::Gone),
        }
    }

    pub(super) fn peer_of(&self, stream: Stream) -> Run {
        match stream {
            Stream::Asked(ticket) => self.asked.get(&ticket).map_or(0, |asked| asked.peer),
            Stream::Served(run, _) => run,
        }
    }

    pub(super) fn flow(&mut self, stream: Stream) -> Option<(&mut Flow, &mut Association)> {
        match stream {
            Stream::Asked(ticket) => {
                let asked = self.asked.get_mut(&ticket).filter(|asked| !asked.doomed)?;
                let association = self.peers.get_mut(&asked.peer)?.association.as_mut()?;
                Some((&mut asked.flow, association))
            }
            Stream::Served(run, ticket) => {
                let peer = self.peers.get_mut(&run)?;
                Some((&mut peer.served.get_mut(&ticket)?.flow, peer.association.as_mut()?))
            }
        }
    }
}
