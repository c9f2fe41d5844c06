//! Drives sessions: carries bytes and time into the pure parts and their decisions out again.
//!
//! Two kinds of threads meet here. The owner's thread (JavaScript, in the Node binding) calls into
//! [`SessionCell`] and [`Connection`]; I/O threads read sockets and keep time. Both take a session's
//! lock for a step of its state machine only, never across I/O. What the owner has to know goes
//! through one [`EventQueue`].

mod commands;
mod connection;
mod events;
mod few;
mod handles;
mod io;
mod leftovers;
mod looks;
mod opened;
mod outbox;
mod poll_encoding;
mod reader;
mod readers;
mod receive;
mod session_cell;
mod socket_options;
#[cfg_attr(windows, path = "stream_windows.rs")]
mod stream;
mod turn;

pub use commands::{Command, Commands};
pub use connection::{Accepted, Binding, Compression, Connection, End};
pub use events::{BY_POST, Batch, Data, Event, EventQueue, Kind};
pub use few::FEW;
pub use handles::{Handles, NONE, Table};
pub use io::{IoThread, run};
pub use opened::{Opened, Refused};
pub use outbox::{Outbox, Phase};
pub use poll_encoding::PollEncoding;
pub use reader::start_reading;
pub use session_cell::{Locked, NewSession, PollAnswer, Responder, SessionCell, Updates};
pub use socket_options::{set_keep_alive, set_type_of_service, type_of_service};
pub use stream::Stream;

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

use crate::session::Millis;

/// Milliseconds of a monotonic clock that started with the process: the runtime's, so that tests can turn it.
pub fn now() -> Millis {
    start().elapsed().as_millis() as Millis
}

/// When [`now`] will be so much.
pub(crate) fn instant_of(time: Millis) -> Instant {
    start() + Duration::from_millis(time)
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}
