//! Handshakes, upgrades and refusals of the native listener, without an owner that is asked.
#![cfg(unix)]

use std::sync::Arc;

use engine_io_native::http::{BodyLimits, Listener, ListenerOptions, Settings};
use engine_io_native::runtime::{Batch, Command, Commands, EventQueue, Kind, Opened, run};
use engine_io_native::session::Timing;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const POLLING: &str = "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n";
const WEBSOCKET: &str = "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn listener(queue: &EventQueue, commands: &Commands) -> Arc<Listener> {
    let rest = Some("\",\"upgrades\":[]}".to_owned());
    Listener::new(ListenerOptions {
        handle: 7,
        settings: Settings {
            path: "/engine.io/".to_owned(),
            timing: Arc::new(Timing::new(25_000, 20_000, 10_000)),
            polling: rest.clone(),
            websocket: rest,
            initial: None,
            allows_v3: false,
            bodies: BodyLimits::new(1e6, 10_000.0, 30_000),
            max_payload: 0,
            max_chunks: 0,
            compression: None,
            cookie: Some(("io=".to_owned(), "; Path=/".to_owned())),
            deflate: None,
            proxies: None,
        },
        queue: queue.clone(),
        commands: commands.clone(),
        sessions: Default::default(),
        connections: Default::default(),
    })
}

fn connect(listener: &Arc<Listener>) -> UnixStream {
    let (client, server) = UnixStream::pair().unwrap();
    listener.clone().serve_stream(server, None);
    client
}

/// Makes a request: what comes back, to the end of an open packet.
async fn answer(client: &mut UnixStream, request: &str) -> String {
    client.write_all(request.as_bytes()).await.unwrap();
    read_until(client, "]}").await
}

async fn read_until(client: &mut UnixStream, end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn sid_of(answer: &str) -> &str {
    answer.split("0{\"sid\":\"").nth(1).unwrap().split('"').next().unwrap()
}

/// What knows each other is parted, which is the owner's and its I/O thread's to do.
async fn part(listener: &Listener, queue: &EventQueue, commands: &Commands) {
    commands.send(Command::Stop);
    run(commands.clone()).await;
    for event in queue.take(Batch::default()).events {
        if let Some(opened) = Opened::of(&event) {
            opened.connection.iter().for_each(|connection| connection.abandon());
        }
    }
    listener.registry.clear();
}

#[tokio::test]
async fn a_polling_session_is_opened_before_its_owner_hears_of_it() {
    let (queue, commands) = (EventQueue::new(|| {}), Commands::default());
    let listener = listener(&queue, &commands);
    let answer = answer(&mut connect(&listener), POLLING).await;
    let sid = sid_of(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\n"), "{answer}");
    assert!(answer.contains(&format!("\r\nSet-Cookie: io={sid}; Path=/\r\n")), "{answer}");
    assert!(listener.registry.get(sid).is_some());
    let batch = queue.take(Batch::default());
    let [event] = batch.events.as_slice() else { panic!("{:?}", batch.events) };
    let Some(opened) = Opened::of(event) else { panic!("{event:?}") };
    assert_eq!((event.kind, event.arg, event.target), (Kind::Opened, 7, opened.session.handle));
    assert!(opened.connection.is_none());
    let fields: Vec<_> = opened.head.split('\0').collect();
    assert_eq!(fields[..3], [sid, "", ""]);
    assert_eq!(fields[7..10], ["GET", "/engine.io/?EIO=4&transport=polling", "1.1"]);
    part(&listener, &queue, &commands).await;
}

#[tokio::test]
async fn a_websocket_session_says_open_right_behind_the_response() {
    let (queue, commands) = (EventQueue::new(|| {}), Commands::default());
    let listener = listener(&queue, &commands);
    let mut client = connect(&listener);
    let text = answer(&mut client, WEBSOCKET).await;
    assert!(
        text.starts_with("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"),
        "{text}"
    );
    assert!(text.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"), "{text}");
    assert!(text.contains("0{\"sid\":\""), "{text}");
    let batch = queue.take(Batch::default());
    let Some(opened) = Opened::of(&batch.events[0]) else { panic!("{:?}", batch.events) };
    let connection = opened.connection.as_ref().unwrap();
    assert!(opened.head.contains(&format!("\0{}\0\0", connection.handle)));
    connection.abandon();
    part(&listener, &queue, &commands).await;
}

#[tokio::test]
async fn a_session_has_one_connection_at_a_time_that_tries_to_take_it_over() {
    let (queue, commands) = (EventQueue::new(|| {}), Commands::default());
    let listener = listener(&queue, &commands);
    let opened = answer(&mut connect(&listener), POLLING).await;
    drop(queue.take(Batch::default()));
    let upgrade = WEBSOCKET.replace("EIO=4", &format!("EIO=4&sid={}", sid_of(&opened)));
    let mut first = connect(&listener);
    first.write_all(upgrade.as_bytes()).await.unwrap();
    assert!(read_until(&mut first, "\r\n\r\n").await.starts_with("HTTP/1.1 101 "));
    let batch = queue.take(Batch::default());
    let [event] = batch.events.as_slice() else { panic!("{:?}", batch.events) };
    let Some(probing) = Opened::of(event) else { panic!("{event:?}") };
    let connection = probing.connection.clone().unwrap();
    assert_eq!((event.kind, event.target, event.arg), (Kind::Probing, probing.session.handle, connection.handle));
    let mut second = connect(&listener);
    second.write_all(upgrade.as_bytes()).await.unwrap();
    let mut refused = String::new();
    second.read_to_string(&mut refused).await.unwrap();
    assert!(refused.starts_with("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"), "{refused}");
    assert!(refused.ends_with("\r\n\r\nBad request"), "{refused}");
    connection.abandon();
    drop((batch, connection));
    part(&listener, &queue, &commands).await;
}

#[tokio::test]
async fn handshakes_wait_while_the_owner_has_not_heard_of_so_many_sessions() {
    let (queue, commands) = (EventQueue::new(|| {}), Commands::default());
    let listener = listener(&queue, &commands);
    let mut client = connect(&listener);
    for _ in 0..1024 {
        answer(&mut client, POLLING).await;
    }
    client.write_all(POLLING.as_bytes()).await.unwrap();
    let mut websocket = connect(&listener);
    websocket.write_all(WEBSOCKET.as_bytes()).await.unwrap();
    let in_vain = async { tokio::join!(client.readable(), websocket.readable()) };
    tokio::time::timeout(std::time::Duration::from_millis(50), in_vain).await.expect_err("an answer");
    let batch = queue.take(Batch::default());
    assert_eq!(batch.events.iter().filter(|event| event.kind == Kind::Opened).count(), 1024);
    // it has heard of them all
    drop(batch);
    read_until(&mut client, "]}").await;
    assert!(read_until(&mut websocket, "]}").await.starts_with("HTTP/1.1 101 "));
    part(&listener, &queue, &commands).await;
}

#[tokio::test]
async fn refusals_are_told_to_an_owner_that_wants_to_know_as_far_as_it_hears_them() {
    let (queue, commands) = (EventQueue::new(|| {}), Commands::default());
    let listener = listener(&queue, &commands);
    let mut client = connect(&listener);
    let refused = POLLING.replace("polling", "pigeon");
    answer_refused(&mut client, &refused).await;
    assert!(queue.take(Batch::default()).is_empty());
    listener.tell_refusals();
    for _ in 0..1100 {
        answer_refused(&mut client, &refused).await;
    }
    let batch = queue.take(Batch::default());
    assert_eq!(batch.events.iter().filter(|event| event.kind == Kind::Refused).count(), 1024);
    assert_eq!((batch.events[0].target, batch.events[0].arg), (0, 7));
    drop(batch);
    answer_refused(&mut client, &refused).await;
    assert_eq!(queue.take(Batch::default()).events.len(), 1);
}

async fn answer_refused(client: &mut UnixStream, request: &str) {
    client.write_all(request.as_bytes()).await.unwrap();
    read_until(client, "{\"code\":0,\"message\":\"Transport unknown\"}").await;
}

#[tokio::test]
async fn each_fault_has_its_code() {
    let (queue, commands) = (EventQueue::new(|| {}), Commands::default());
    let listener = listener(&queue, &commands);
    let opened = answer(&mut connect(&listener), POLLING).await;
    let of_session = POLLING.replace("EIO=4", &format!("EIO=4&sid={}", sid_of(&opened)));
    let other = |from: &str, to: &str| POLLING.replace(from, to);
    let mut answers = Vec::new();
    for request in [
        other("polling", "webtransport"),
        other("EIO=4", "EIO=4&sid=unknown"),
        other("GET", "OPTIONS"),
        other("polling", "websocket"),
        of_session.replace("polling", "websocket"),
        of_session.replace("EIO=4", "EIO=3"),
        other("EIO=4", "EIO=3"),
        of_session.replace("GET", "DELETE"),
        other("/engine.io/", "/engine.io"),
        other("/engine.io/", "http://x/engine.io/"),
        WEBSOCKET.replace("websocket HTTP", "polling HTTP"),
        WEBSOCKET.replace("HTTP/1.1", "HTTP/1.0"),
        WEBSOCKET.replace("Version: 13", "Version: 12"),
        WEBSOCKET.replace("Key: dGhl", "Key: "),
    ] {
        let mut client = connect(&listener);
        client.write_all(request.replace("Host: x", "Host: x\r\nConnection: close").as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        let status = answer.get(9..12).unwrap_or_default();
        answers.push(format!("{status} {}", answer.split("\r\n\r\n").nth(1).unwrap()));
    }
    let bad = "400 {\"code\":3,\"message\":\"Bad request\"}";
    assert_eq!(
        answers,
        [
            "400 {\"code\":0,\"message\":\"Transport unknown\"}",
            "400 {\"code\":1,\"message\":\"Session ID unknown\"}",
            "400 {\"code\":2,\"message\":\"Bad handshake method\"}",
            bad,
            bad,
            bad,
            "400 {\"code\":5,\"message\":\"Unsupported protocol version\"}",
            "500 ",
            "501 Not Implemented",
            "501 Not Implemented",
            "400 Bad request",
            bad,
            "400 Missing or invalid Sec-WebSocket-Version header",
            "400 Missing or invalid Sec-WebSocket-Key header",
        ]
    );
    part(&listener, &queue, &commands).await;
}

#[tokio::test]
async fn a_post_that_ends_its_session_is_answered_behind_the_poll() {
    let (queue, commands) = (EventQueue::new(|| {}), Commands::default());
    let listener = listener(&queue, &commands);
    let io = tokio::spawn(run(commands.clone()));
    let (mut polling, mut posting) = (connect(&listener), connect(&listener));
    let opened = answer(&mut polling, POLLING).await;
    let target = format!("/engine.io/?EIO=4&transport=polling&sid={} HTTP/1.1\r\nHost: x\r\n", sid_of(&opened));
    polling.write_all(format!("GET {target}\r\n").as_bytes()).await.unwrap();
    while !queue.take(Batch::default()).events.iter().any(|event| event.kind == Kind::PollReady) {
        tokio::task::yield_now().await;
    }
    posting.write_all(format!("POST {target}Content-Length: 1\r\n\r\n1").as_bytes()).await.unwrap();
    read_until(&mut posting, "ok").await;
    let mut polled = [0; 1024];
    let length = polling.try_read(&mut polled).expect("the poll has been answered");
    assert!(polled[..length].ends_with(b"\r\n\r\n6"), "{}", String::from_utf8_lossy(&polled[..length]));
    commands.send(Command::Stop);
    io.await.unwrap();
    listener.registry.clear();
}
