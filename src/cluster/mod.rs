//! Processes that serve each other's sessions.

pub mod bus;
pub mod id;
