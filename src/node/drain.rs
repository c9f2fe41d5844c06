//! Hands events over to JavaScript.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::Arc;

use napi::{Result, sys};

use super::convert::{content_value, undefined};
use super::counts::count_taken;
use super::tables::Tables;
use super::wake::check;
use crate::runtime::contract::{MORE_EVENTS, NEXT_TURN, UNFIT};
use crate::runtime::{BY_POST, Batch, Connection, Counts, Event, EventQueue, Kind, NO_HANDLE, Opened, Table};

/// Bytes of events that are handed over at once, so that JavaScript does not get much more than it may have to take.
const MAX_BATCH: usize = 1 << 20;

/// The most bytes that Node.js reads from a socket at once. What is sent in answer to a message is on its way before the
/// next read, so that a message with more bytes comes in a turn of its own.
const ONE_READ: usize = 64 * 1024;

/// The batch that JavaScript is taking.
#[derive(Default)]
pub(super) struct Taking {
    batch: RefCell<Batch>,
    /// How far JavaScript has come in the batch.
    position: Cell<usize>,
    /// The contents on their way, of the running callback only.
    contents: RefCell<Vec<sys::napi_value>>,
    /// The connection of the last event that was taken in this turn.
    last: Cell<u32>,
    /// Whether there was a flush since events were taken.
    pub(super) has_flushed: Cell<bool>,
}

impl Taking {
    /// Takes events, at most as many as `meta` has room for (three numbers each: kind, target, arg), and calls `take`
    /// with their contents, because one call costs less than as many elements of an array. A batch also ends at
    /// [`MAX_BATCH`] bytes, and before a message that comes in a later turn, see [`ONE_READ`]. Returns the number of events, plus
    /// [`MORE_EVENTS`] if there are more, plus [`NEXT_TURN`] if these are for a later turn.
    pub(super) fn drain(
        &self,
        env: sys::napi_env,
        queue: &EventQueue,
        tables: &Tables,
        counts: &Counts,
        meta: &mut [u32],
        take: sys::napi_value,
    ) -> Result<u32> {
        if self.has_flushed.replace(false) {
            queue.end_turn();
            self.last.set(NO_HANDLE);
        }
        let mut batch = self.batch.borrow_mut();
        let mut position = self.position.get();
        if position >= batch.events.len() {
            let emptied = std::mem::take(&mut *batch);
            *batch = queue.take(emptied);
            position = 0;
            self.position.set(0);
        }
        let mut contents = self.contents.borrow_mut();
        contents.clear();
        let mut size = 0;
        let mut more = 0;
        for (event, meta) in batch.events[position..].iter().zip(meta.chunks_exact_mut(3)) {
            let cost = batch.cost(event);
            let last = self.last.replace(event.charged);
            if cost > ONE_READ && event.charged == last && ![NO_HANDLE, BY_POST].contains(&last) {
                self.last.set(NO_HANDLE);
                more = NEXT_TURN;
                break;
            }
            let content = content_value(env, &batch, event);
            let unfit = if content.is_ok() { 0 } else { UNFIT };
            meta.copy_from_slice(&[event.kind as u32 + unfit, event.target, event.arg]);
            contents.push(content.or_else(|_| nothing_instead(env))?);
            size += cost;
            if size >= MAX_BATCH {
                break;
            }
        }
        let count = contents.len();
        let end = position + count;
        if end < batch.events.len() {
            more |= MORE_EVENTS;
        }
        if count == 0 {
            return Ok(more);
        }
        if let Some(since) = batch.since {
            counts.count_delay(since.elapsed());
        }
        // if this fails because the stack is full, nothing has been taken
        hand_over(env, take, &contents)?;
        note_taken(tables, &batch, &batch.events[position..end]);
        counts.count_batch(count);
        count_taken(counts, &batch, &batch.events[position..end]);
        // JavaScript has copies
        batch.events[position..end].iter_mut().for_each(Event::free);
        queue.taken(size);
        self.position.set(end);
        Ok(count as u32 | more)
    }

    /// What JavaScript has not taken, at the end of the environment.
    pub(super) fn clear(&self) -> Batch {
        self.batch.take()
    }
}

/// Notes what comes of events that JavaScript has taken.
fn note_taken(tables: &Tables, batch: &Batch, events: &[Event]) {
    let mut connections = tables.connections.borrow_mut();
    let mut sessions = tables.sessions.borrow_mut();
    // what the connection of the last event owes no more
    let (mut debtor, mut paid) = (NO_HANDLE, 0);
    for event in events {
        if let Some(opened) = Opened::of(event) {
            if event.kind == Kind::Opened {
                sessions.put(event.target, opened.session.clone());
            }
            if let Some(connection) = &opened.connection {
                connections.put(connection.handle, connection.clone());
            }
        }
        if event.charged == BY_POST {
            if let Some(session) = sessions.find(event.target) {
                session.settle(batch.cost(event));
            }
        } else if event.charged != NO_HANDLE {
            if event.charged != debtor {
                settle(&connections, debtor, paid);
                (debtor, paid) = (event.charged, 0);
            }
            paid += batch.cost(event);
        }
    }
    settle(&connections, debtor, paid);
}

/// Returns `undefined` for a content that could not be made. JavaScript reports the failure, by the event's kind.
fn nothing_instead(env: sys::napi_env) -> Result<sys::napi_value> {
    let mut exception = ptr::null_mut();
    // SAFETY: env belongs to the running callback; the out pointer is valid. Without an exception it gives `undefined`.
    check(unsafe { sys::napi_get_and_clear_last_exception(env, &mut exception) })?;
    undefined(env)
}

/// Notes that the owner has taken what a connection was charged for.
fn settle(connections: &Table<Arc<Connection>>, charged: u32, bytes: usize) {
    if let Some(connection) = connections.find(charged) {
        connection.settle(bytes);
    }
}

/// Calls a function of this package, which only keeps its arguments.
fn hand_over(env: sys::napi_env, take: sys::napi_value, contents: &[sys::napi_value]) -> Result<()> {
    let (this, mut result) = (undefined(env)?, ptr::null_mut());
    // SAFETY: env, the function and the contents belong to the running callback.
    check(unsafe { sys::napi_call_function(env, this, take, contents.len(), contents.as_ptr(), &mut result) })
}
