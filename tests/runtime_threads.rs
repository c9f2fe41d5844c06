//! An I/O thread and its owner's thread at work on the same connections. Under a thread sanitizer this looks for data
//! races in what only happens between threads: the event queue, outboxes, flow control and wake-ups.
#![cfg(unix)]

mod support;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use engine_io_native::protocol::PacketType;
use engine_io_native::runtime::{
    Batch, Binding, Channel, Connection, EventQueue, IoThread, Kind, NO_HANDLE, NewSession, PollEncoding, SessionCell,
    now,
};
use engine_io_native::session::{OutData, OutPacket, Revision, Session, Start, Timing};
use engine_io_native::websocket::{OpCode, write_masked};
use support::connection::adopt;

const CLIENTS: u32 = 4;
const MESSAGES: usize = 300;
/// More than a connection may owe its owner in all, so that reading stops and goes on.
const LENGTH: usize = 10_000;

#[test]
fn messages_between_an_io_thread_and_its_owner_arrive_once_and_in_order() {
    let (wake, woken) = mpsc::sync_channel(1);
    let queue = EventQueue::new(move || {
        let _ = wake.try_send(());
    });
    let mut io = IoThread::start("io").unwrap();
    let timing = Arc::new(Timing::new(50, 600_000, 10_000));
    let mut peers = HashMap::new();
    let clients: Vec<_> = (1..=CLIENTS)
        .map(|number| {
            let (ours, theirs) = UnixStream::pair().unwrap();
            peers.insert(number, open(number, ours, &io, &queue, &timing));
            thread::spawn(move || talk(theirs))
        })
        .collect();

    let mut counts = vec![0; CLIENTS as usize];
    let (mut closed, mut ended) = (0, 0);
    while closed < CLIENTS || ended < CLIENTS {
        woken.recv_timeout(Duration::from_secs(20)).expect("something happens");
        io.commands().hold();
        loop {
            let batch = queue.take(Batch::default());
            if batch.is_empty() {
                break;
            }
            for event in &batch.events {
                let (_, connection) = &peers[&event.target];
                if event.charged != NO_HANDLE {
                    connection.settle(batch.cost(event));
                }
                match event.kind {
                    Kind::Message => {
                        let count = &mut counts[event.target as usize - 1];
                        assert_eq!(batch.content(&event.data), message(*count));
                        *count += 1;
                        let data = OutData::Text(String::from_utf8(message(*count - 1)).unwrap());
                        let packets = [OutPacket { kind: PacketType::Message, data }];
                        let (_, flush) = connection.enqueue(|outbox| outbox.packets(&packets, Revision::V4, false));
                        if flush {
                            io.commands().mark(connection);
                        }
                    }
                    Kind::Closed => {
                        closed += 1;
                        connection.conclude();
                    }
                    Kind::ConnectionEnded => ended += 1,
                    _ => {}
                }
            }
            // few from here, as JavaScript does
            if io.commands().waiting() <= 2 {
                io.commands().take_waiting().iter().for_each(|connection| connection.flush_by_owner());
            }
            thread::sleep(Duration::from_micros(200));
        }
        io.commands().release();
    }
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!((closed, ended), (CLIENTS, CLIENTS));
    assert_eq!(counts, vec![MESSAGES; CLIENTS as usize]);
    io.stop();
    for (cell, connection) in peers.into_values() {
        assert_eq!(Arc::strong_count(&cell), 1, "somebody holds the session");
        drop(cell);
        assert_eq!(Arc::strong_count(&connection), 1, "somebody holds the connection");
    }
}

#[test]
fn a_connection_ends_when_both_close_frames_have_passed_though_the_peer_keeps_its_side_open() {
    let (wake, woken) = mpsc::sync_channel(1);
    let queue = EventQueue::new(move || {
        let _ = wake.try_send(());
    });
    let mut io = IoThread::start("io").unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let timing = Arc::new(Timing::new(600_000, 600_000, 10_000));
    let peer = open(1, ours, &io, &queue, &timing);
    let mut close = Vec::new();
    write_masked(&mut close, OpCode::Close, &1000u16.to_be_bytes(), [1, 2, 3, 4]);
    theirs.write_all(&close).unwrap();

    // a peer that owes its close frame has 30 s
    let mut seen = Vec::new();
    while !seen.contains(&Kind::ConnectionEnded) {
        woken.recv_timeout(Duration::from_secs(10)).expect("the connection ends");
        seen.extend(queue.take(Batch::default()).events.iter().map(|event| event.kind));
        if seen.contains(&Kind::Closed) {
            peer.1.conclude();
        }
    }
    assert_eq!(seen.iter().filter(|&&kind| kind == Kind::Closed).count(), 1, "{seen:?}");
    let mut received = Vec::new();
    theirs.read_to_end(&mut received).unwrap();
    assert_eq!(received, [0x88, 2, 0x03, 0xE8], "the answer, and the end");
    io.stop();
    drop(peer);
}

fn message(number: usize) -> Vec<u8> {
    format!("{number:LENGTH$}").into_bytes()
}

type Peer = (Arc<SessionCell>, Arc<Connection>);

/// A session on a connection that the I/O thread reads.
fn open(number: u32, socket: UnixStream, io: &IoThread, queue: &EventQueue, timing: &Arc<Timing>) -> Peer {
    let connection = adopt(number, socket, io, queue);
    let new = NewSession {
        handle: number,
        machine: Session::new(now(), Revision::V4, timing.clone(), Start::Channel(number)),
        encoding: PollEncoding { revision: Revision::V4, binary: true, jsonp: None },
        base64: false,
        transport: Some(connection.clone() as Arc<dyn Channel>),
        listed: None,
        verbose: Some(false),
    };
    let cell = SessionCell::new(new, queue.clone(), io.commands().tasks());
    cell.open(false);
    connection.bind(Binding::Session(cell.clone()));
    (cell, connection)
}

/// A client that sends all it has, answers pings, wants everything back and goes.
fn talk(mut socket: UnixStream) {
    let mut writer = socket.try_clone().unwrap();
    let sender = thread::spawn(move || {
        for number in 0..MESSAGES {
            let mut frame = Vec::new();
            write_masked(&mut frame, OpCode::Text, &[b"4".to_vec(), message(number)].concat(), [1, 2, 3, 4]);
            writer.write_all(&frame).unwrap();
        }
    });
    let mut received = 0;
    while received < MESSAGES {
        let payload = read_frame(&mut socket);
        match payload.first() {
            Some(b'4') => {
                assert!(payload[1..] == message(received), "message {received}");
                received += 1;
            }
            Some(b'2') => {}
            other => panic!("{other:?}"),
        }
    }
    sender.join().unwrap();
}

fn read_frame(socket: &mut UnixStream) -> Vec<u8> {
    let mut head = [0; 2];
    socket.read_exact(&mut head).unwrap();
    let mut len = usize::from(head[1]);
    if len == 126 {
        let mut extended = [0; 2];
        socket.read_exact(&mut extended).unwrap();
        len = usize::from(u16::from_be_bytes(extended));
    }
    let mut payload = vec![0; len];
    socket.read_exact(&mut payload).unwrap();
    payload
}
