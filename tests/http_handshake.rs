//! Handshakes that the listener sees to by itself, and when it leaves them to its owner.

use std::sync::Arc;

use engine_io_native::http::{Handshakes, Listener, ListenerOptions};
use engine_io_native::server::{Batch, Command, Commands, Data, EventQueue, Kind, run};
use engine_io_native::session::Timing;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const POLLING: &str = "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n";
const WEBSOCKET: &str = "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn listener(queue: &EventQueue, commands: &Commands) -> Arc<Listener> {
    let listener = Listener::new(ListenerOptions {
        id: 7,
        path: "/engine.io/".to_owned(),
        queue: queue.clone(),
        requests: Arc::default(),
        commands: commands.clone(),
        sessions: Default::default(),
        connections: Default::default(),
    });
    let rest = Some("\",\"upgrades\":[]}".to_owned());
    let handshakes = Handshakes {
        timing: Arc::new(Timing::new(25_000, 20_000, 10_000)),
        polling: rest.clone(),
        websocket: rest,
        max_payload: 0,
    };
    listener.configure(1e6, true, None, Some(handshakes));
    listener
}

fn connect(listener: &Arc<Listener>) -> UnixStream {
    let (client, server) = UnixStream::pair().unwrap();
    let address = ([127, 0, 0, 1], 80).into();
    listener.clone().serve_stream(server, address, address);
    client
}

/// Makes a request: what comes back, to the end of an open packet.
async fn answer(client: &mut UnixStream, request: &str) -> String {
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"]}") {
        assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// What knows each other is parted, which is the owner's and its I/O thread's to do.
async fn part(listener: &Listener, queue: &EventQueue, commands: &Commands) {
    commands.send(Command::Stop);
    run(commands.clone()).await;
    for event in queue.take(Batch::default()).events {
        if let Data::Opened(opened) = event.data {
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
    let sid = answer.split("0{\"sid\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\n"), "{answer}");
    assert!(listener.registry.get(sid).is_some());
    let batch = queue.take(Batch::default());
    let [event] = batch.events.as_slice() else { panic!("{:?}", batch.events) };
    let Data::Opened(opened) = &event.data else { panic!("{event:?}") };
    assert_eq!((event.kind, event.arg, event.target), (Kind::Opened, 7, opened.session.handle));
    assert!(opened.connection.is_none());
    let fields: Vec<_> = opened.head.split('\0').collect();
    assert_eq!(&fields[..4], [sid, "", "GET", "/engine.io/?EIO=4&transport=polling"]);
    part(&listener, &queue, &commands).await;
}

#[tokio::test]
async fn a_websocket_session_says_open_right_behind_the_response() {
    let (queue, commands) = (EventQueue::new(|| {}), Commands::default());
    let listener = listener(&queue, &commands);
    let mut client = connect(&listener);
    let text = answer(&mut client, WEBSOCKET).await;
    assert!(text.starts_with("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"), "{text}");
    assert!(text.contains("\r\nSec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{text}");
    assert!(text.contains("0{\"sid\":\""), "{text}");
    let batch = queue.take(Batch::default());
    let Data::Opened(opened) = &batch.events[0].data else { panic!("{:?}", batch.events) };
    let connection = opened.connection.as_ref().unwrap();
    assert!(opened.head.contains(&format!("\0{}\0GET\0", connection.handle)));
    connection.abandon();
    part(&listener, &queue, &commands).await;
}

#[tokio::test]
async fn an_owner_that_hears_of_nothing_is_asked_after_so_many_sessions() {
    let (queue, commands) = (EventQueue::new(|| {}), Commands::default());
    let listener = listener(&queue, &commands);
    let mut client = connect(&listener);
    for _ in 0..1024 {
        answer(&mut client, POLLING).await;
    }
    client.write_all(POLLING.as_bytes()).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_millis(50), client.readable()).await.expect_err("an answer");
    let batch = queue.take(Batch::default());
    let kinds: Vec<_> = batch.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Opened).count(), 1024);
    assert_eq!(kinds.last(), Some(&Kind::Request));
    // it has heard of them all: the next one needs no asking
    drop(batch);
    answer(&mut connect(&listener), POLLING).await;
    part(&listener, &queue, &commands).await;
}

#[tokio::test]
async fn what_is_not_plainly_a_handshake_is_shown_to_the_owner() {
    let (queue, commands) = (EventQueue::new(|| {}), Commands::default());
    let listener = listener(&queue, &commands);
    let other = |from: &str, to: &str| POLLING.replace(from, to);
    let requests = [
        other("EIO=4", "EIO=3"),
        other("EIO=4", "EIO=4&j=1"),
        other("EIO=4", "EIO=4&b64=1"),
        other("EIO=4", "EIO=4&sid=unknown"),
        other("EIO=4", "EIO=%34"),
        other("polling", "websocket"),
        other("GET", "OPTIONS"),
        WEBSOCKET.replace("Version: 13", "Version: 12"),
        WEBSOCKET.replace("Host: x", "Sec-WebSocket-Version: 13"),
    ];
    let mut clients = Vec::new();
    for request in requests {
        let mut client = connect(&listener);
        client.write_all(request.as_bytes()).await.unwrap();
        clients.push(client);
        let batch = loop {
            tokio::task::yield_now().await;
            let batch = queue.take(Batch::default());
            if !batch.is_empty() {
                break batch;
            }
        };
        assert!(matches!(batch.events[0].kind, Kind::Request | Kind::UpgradeRequest), "{request}: {:?}", batch.events);
    }
}
