//! Drives sessions: carries bytes and time into the pure parts and their decisions out again.
//!
//! Two kinds of threads meet here. The owner's thread (JavaScript, in the Node binding) calls into
//! [`SessionCell`] and [`Connection`]; I/O threads read sockets and keep time. Both take a session's
//! lock for a step of its state machine only, never across I/O. What the owner has to know goes
//! through one [`EventQueue`].

mod channel;
mod clock;
mod io;
mod owner;
mod session;

pub use channel::connection::{Binding, Connection, End, MessageCompression};
pub use channel::outbox::{Outbox, Phase};
pub use channel::socket::Stream;
pub use channel::socket_options::{set_keep_alive, set_type_of_service, type_of_service};
pub use channel::unannounced::{Opened, Refused};
pub use clock::now;
pub use io::owner_reads::FEW;
pub use io::reader::start_reading;
pub use io::thread::{IoThread, run};
pub use owner::commands::{Command, Commands};
pub use owner::contract::{self, Kind, NO_HANDLE, SendStatus};
pub use owner::events::{BY_POST, Batch, Event, EventData, EventQueue};
pub use owner::handles::{Handles, Table};
pub use session::cell::{Locked, NewSession, PollAnswer, Responder, SessionCell, Updates};
pub use session::payload::PollEncoding;
pub use session::registry::Registry;
