//! The listener's patience with slow clients, on a clock that the test turns.

use std::sync::Arc;
use std::time::Duration;

use engine_io_native::http::{Listener, ListenerOptions};
use engine_io_native::server::{Commands, EventQueue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;

/// Sends `request` and nothing more: what comes back before the end of the connection, and when that was.
async fn outcome(request: &[u8]) -> (String, Duration) {
    let listener = Listener::new(ListenerOptions {
        id: 0,
        path: "/engine.io/".to_owned(),
        queue: EventQueue::new(|| {}),
        requests: Arc::default(),
        commands: Commands::default(),
        sessions: Default::default(),
        connections: Default::default(),
    });
    let (mut client, server) = UnixStream::pair().unwrap();
    let address = ([127, 0, 0, 1], 80).into();
    let start = Instant::now();
    listener.serve_stream(server, address, address);
    client.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    (String::from_utf8(answer).unwrap(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_ended_after_a_minute() {
    let (answer, after) = outcome(b"GET /engine.io/ HTTP/1.1\r\nHost: ").await;
    assert_eq!((answer.as_str(), after.as_secs()), ("", 60));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up_after_five_minutes() {
    let request = b"POST /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n4he";
    let (answer, after) = outcome(request).await;
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"), "{answer}");
    assert_eq!(after.as_secs(), 300);
}
