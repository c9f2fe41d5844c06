//! The listener's patience with slow clients, on a clock that the test turns.
#![cfg(unix)]

use std::sync::Arc;
use std::time::Duration;

use engine_io_native::http::{BodyLimits, Listener, ListenerOptions, Proxies, Settings};
use engine_io_native::runtime::{Commands, EventQueue};
use engine_io_native::session::Timing;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;

fn listener(proxies: Option<Proxies>) -> Arc<Listener> {
    let settings = Settings {
        path: "/engine.io/".to_owned(),
        timing: Arc::new(Timing::new(1_000_000, 1_000_000, 1_000_000)),
        polling: Some("\",\"upgrades\":[]}".to_owned()),
        websocket: None,
        initial: None,
        allows_v3: false,
        bodies: BodyLimits::new(1e6, 10_000.0, 30_000),
        max_payload: 0,
        max_chunks: 0,
        compression: None,
        cookie: None,
        deflate: None,
        proxies,
    };
    Listener::new(ListenerOptions {
        handle: 0,
        settings,
        queue: EventQueue::new(|| {}),
        commands: Commands::default(),
        sessions: Default::default(),
        connections: Default::default(),
    })
}

/// Opens a session, sends `request` with its id in place of `SID`, and nothing more: what comes back before the end of
/// the connection, and when that was.
async fn outcome(request: &str) -> (String, Duration) {
    let listener = listener(None);
    let (mut client, server) = UnixStream::pair().unwrap();
    listener.clone().serve_stream(server, None);
    client.write_all(b"GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut opened = Vec::new();
    while !opened.ends_with(b"]}") {
        client.read_buf(&mut opened).await.unwrap();
    }
    let opened = String::from_utf8(opened).unwrap();
    let sid = opened.split("0{\"sid\":\"").nth(1).unwrap().split('"').next().unwrap();
    let start = Instant::now();
    client.write_all(request.replace("SID", sid).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    listener.registry.clear();
    (String::from_utf8(answer).unwrap(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_ended_after_a_minute() {
    let (answer, after) = outcome("GET /engine.io/ HTTP/1.1\r\nHost: ").await;
    assert_eq!((answer.as_str(), after.as_secs()), ("", 60));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up_after_its_time() {
    let request =
        "POST /engine.io/?EIO=4&transport=polling&sid=SID HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n4he";
    let (answer, after) = outcome(request).await;
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"), "{answer}");
    assert_eq!(after.as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_body_in_more_pieces_than_allowed_is_refused() {
    let post =
        "POST /engine.io/?EIO=4&transport=polling&sid=SID HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (answer, after) = outcome(&[post, &"1\r\n4\r\n".repeat(10_001)].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\n"), "{answer}");
    assert_eq!(after.as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_is_answered_before_its_body_comes() {
    for target in ["/other", "/engine.io/?EIO=4&transport=polling&sid=unknown", "/engine.io/?EIO=4&transport=polling"] {
        let request = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n4he");
        let (answer, after) = outcome(&request).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 501 "), "{answer}");
        assert_eq!(after.as_secs(), 0, "{target}");
    }
}

/// Sends these bytes as a proxy and nothing more: when the connection ended, and how many were refused for their header.
async fn proxied(bytes: &[u8]) -> (Duration, u32) {
    let listener = listener(Some(Proxies::All));
    let (mut client, server) = UnixStream::pair().unwrap();
    listener.clone().serve_stream(server, None);
    let start = Instant::now();
    client.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), "");
    let after = start.elapsed();
    while listener.open_connections() > 0 {
        tokio::task::yield_now().await;
    }
    (after, *listener.refusals().last().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_proxy_has_five_seconds_for_its_header() {
    for bytes in ["", "P", "PROXY TCP4 203.0.113.9 ", "\r\n\r\n\0\r\nQUIT\n\x21\x11"] {
        let (after, refused) = proxied(bytes.as_bytes()).await;
        assert_eq!((after.as_secs(), refused), (5, 1), "{bytes:?}");
    }
    let (after, refused) = proxied(b"GET /engine.io/ HTTP/1.1\r\n").await;
    assert_eq!((after.as_secs(), refused), (0, 1));
    // from then on it is a connection as any other
    let (after, refused) = proxied(b"PROXY UNKNOWN\r\nGET /engine.io/ HTTP/1.1\r\n").await;
    assert_eq!((after.as_secs(), refused), (60, 0));
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_closes_does_not_wait_for_headers() {
    let listener = listener(Some(Proxies::All));
    let (mut client, server) = UnixStream::pair().unwrap();
    listener.clone().serve_stream(server, None);
    client.write_all(b"PROXY ").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(listener.open_connections(), 1);
    listener.close();
    let start = Instant::now();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(start.elapsed().as_secs(), 0);
    assert_eq!((listener.open_connections(), listener.refusals().last()), (0, Some(&0)));
}
