//! Engine.IO load generator. One thread, raw epoll, no allocation on the hot path.
//!
//! `net` sockets and epoll · `ws` frames and the upgrade · `http` keep-alive requests · `payload` what is sent and
//! expected back · `hist` latencies · `proc` the server's CPU from outside · `ctx` phases, errors and the result ·
//! `tls`, `deflate` · `scenario_ws`, `scenario_connect`, `scenario_polling`, `scenario_upgrade`, `scenario_forged` the
//! workloads.

pub mod args;
pub mod ctx;
pub mod deflate;
pub mod hist;
pub mod http;
pub mod net;
pub mod payload;
pub mod proc;
pub mod scenario_connect;
pub mod scenario_forged;
pub mod scenario_polling;
pub mod scenario_upgrade;
pub mod scenario_ws;
pub mod sha1;
pub mod tls;
pub mod ws;
