//! The links that the owner's thread reads. A message is for the owner in any case, so that this saves each message the
//! wake-ups of an I/O thread, and of the owner by it. What comes while the owner has no time waits in the socket, and
//! behind that at the member that has sent it. A link that the owner cannot watch is read by its I/O thread.

use std::io;
#[cfg(unix)]
use std::os::fd::RawFd;
use std::sync::Arc;

use super::link::{Link, READ_BUFFER, Reading};
use super::os::Stream;
use super::peers::Peers;
use crate::runtime::Batch;

/// Number of reads of one link before others have their turn.
const MAX_READS: usize = 16;

/// A link that the owner's thread is asked to read.
#[derive(Debug)]
pub struct OwnerLink {
    peers: Arc<Peers>,
    link: Arc<Link>,
    stream: Arc<Stream>,
}

impl OwnerLink {
    /// The links that an owner has not been asked to read before. It reads each from now on, or declines.
    pub fn all_new(peers: &Arc<Peers>) -> Vec<Self> {
        let links = peers.take_left().into_iter();
        links.map(|(link, stream)| Self { peers: peers.clone(), link, stream }).collect()
    }

    /// The descriptor, which stays open as long as this.
    #[cfg(unix)]
    pub fn fd(&self) -> RawFd {
        self.stream.fd()
    }

    /// Whether the owner has to read it. Otherwise it has ended, or its I/O thread reads it.
    pub fn is_left(&self) -> bool {
        self.link.left().is_some()
    }

    /// Has the I/O thread read the link from now on.
    pub fn decline(&self) {
        self.link.returned.notify_one();
    }

    /// Reads what has come, unless the owner has too much to take. Returns whether the owner has to drain. `batch` is
    /// empty and stays so.
    pub fn read(&self, batch: &mut Batch) -> bool {
        // held until the messages are in the inbox, so that the note of the link's end comes behind them
        let mut left = self.link.left();
        let Some(reading) = &mut *left else { return false };
        let mut reads = 0;
        let is_over = loop {
            if reads == MAX_READS || self.peers.is_full() {
                break false;
            }
            reads += 1;
            match self.read_once(reading, batch) {
                Ok(true) => {}
                Ok(false) => break false,
                Err(error) => break !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
            }
        };
        let has_events = !batch.is_empty();
        self.peers.append_silently(batch);
        if is_over {
            *left = None;
            self.link.returned.notify_one();
        }
        has_events
    }

    /// Reads once. Returns whether there may be more.
    fn read_once(&self, reading: &mut Reading, batch: &mut Batch) -> io::Result<bool> {
        let before = reading.descriptors();
        let length = reading.receive(&self.stream)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // a descriptor ends a read
        let has_more = length == READ_BUFFER || reading.descriptors() > before;
        while let Some(message) = reading.next(&self.link).map_err(|_| io::ErrorKind::InvalidData)? {
            self.peers.put_silently(message, batch);
        }
        Ok(has_more)
    }
}
