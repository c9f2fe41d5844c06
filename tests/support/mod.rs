//! What the test suites share. Each of them uses a part of it.
#![allow(dead_code)]

pub mod cluster;
#[cfg(unix)]
pub mod connection;
pub mod replay;
pub mod session;
pub mod simulation;
