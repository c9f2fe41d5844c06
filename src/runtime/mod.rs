//! Drives sessions: carries bytes and time into the pure parts and their decisions out again.
//!
//! Two kinds of threads meet here. The owner's thread (JavaScript, in the Node binding) calls into
//! [`SessionCell`] and [`Connection`]; I/O threads read sockets and keep time. Both take a session's
//! lock for a step of its state machine only, never across I/O. What the owner has to know goes
//! through one [`EventQueue`].
//!
//! The rooms, from the bottom to the top; each uses those below it only:
//!
//! * `owner`: between the owner's thread and the I/O threads.
//! * `session`: sessions under their locks, and [`Channel`], the seam for transports.
//! * `channel`: the WebSocket connection, which is a [`Channel`].
//! * `io`: the I/O threads.

mod channel;
mod clock;
mod io;
mod owner;
mod session;

pub use channel::connection::{Binding, Commands, Connection, MessageCompression};
pub use channel::end::End;
pub use channel::open_count::{CountsOpen, Open};
pub use channel::outbox::{Outbox, Phase};
pub use channel::socket::Stream;
pub use channel::socket_options::{set_keep_alive, set_type_of_service, type_of_service};
pub use channel::unannounced::{Opened, Refused};
pub use clock::now;
#[cfg(feature = "owner-reads")]
pub use io::owner_reads::FEW;
pub use io::reader_set::start_reading;
pub use io::thread::{IoThread, run};
pub use owner::commands::{IoTasks, PollAnswer, Responder};
pub use owner::contract::{self, Kind, NO_HANDLE, SendStatus};
pub use owner::counts::{self, Count, Counts, Histogram};
pub use owner::events::{BY_POST, Batch, Event, EventData};
pub use owner::handles::{Handles, Table};
pub use owner::queue::EventQueue;
pub use session::cell::{Locked, NewSession, SessionCell, Updates};
pub use session::channel::Channel;
pub use session::payload::PollEncoding;

/// What an I/O thread that serves connections can be asked to do.
pub type Command = owner::commands::Command<Connection>;

/// The sessions of one listener by their id.
pub type Registry = session::registry::Registry<SessionCell>;
