//! Processes that serve each other's sessions.

pub mod id;
