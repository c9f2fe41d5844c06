//! The readers of an I/O thread in one task. A task for each takes three times the memory.

use std::cell::RefCell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use super::reader::Reader;
use crate::runtime::channel::connection::Connection;

thread_local! {
    static ARRIVALS: RefCell<Option<UnboundedSender<Reader>>> = const { RefCell::new(None) };
}

/// Starts reading the socket of a connection; ends with the connection. `early` has been read from it already.
pub fn start_reading(connection: Arc<Connection>, early: Vec<u8>) {
    start(Reader::new(connection.clone(), early));
    connection.flush();
}

/// Runs a reader on this thread until its connection is over. On other threads than I/O threads it gets its own task.
fn start(reader: Reader) {
    ARRIVALS.with_borrow(|arrivals| match arrivals {
        // a thread that is stopping gives the reader back, so that it is dropped
        Some(arrivals) => drop(arrivals.send(reader)),
        None => drop(tokio::spawn(reader)),
    });
}

/// The readers of this thread.
pub(super) struct Readers(AbortHandle);

impl Readers {
    pub(super) fn begin() -> Self {
        let (sender, mut arrivals) = unbounded_channel();
        ARRIVALS.set(Some(sender));
        let mut readers = FuturesUnordered::new();
        Self(tokio::spawn(poll_fn(move |cx| advance(&mut arrivals, &mut readers, cx))).abort_handle())
    }
}

impl Drop for Readers {
    /// Connections that are still read end.
    fn drop(&mut self) {
        ARRIVALS.set(None);
        self.0.abort();
    }
}

fn advance(
    arrivals: &mut UnboundedReceiver<Reader>,
    readers: &mut FuturesUnordered<Reader>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    while let Poll::Ready(Some(reader)) = arrivals.poll_recv(cx) {
        readers.push(reader);
    }
    loop {
        // a panic ends the one connection in which it happens: it has been printed, and its reader is dropped
        match catch_unwind(AssertUnwindSafe(|| readers.poll_next_unpin(cx))) {
            Ok(Poll::Ready(Some(()))) | Err(_) => {}
            Ok(Poll::Ready(None) | Poll::Pending) => return Poll::Pending,
        }
    }
}
