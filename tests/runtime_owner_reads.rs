//! A few connections that talk are left to their owner's thread to read, and taken back when that does not pay.
#![cfg(unix)]
#![cfg(feature = "owner-reads")]

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use engine_io_native::runtime::{Batch, Binding, Connection, EventQueue, FEW, IoThread, Kind};
use engine_io_native::websocket::{OpCode, write_masked};
use support::connection::adopt;

const PATIENCE: Duration = Duration::from_secs(10);

struct Owner {
    queue: EventQueue,
    woken: Receiver<()>,
    io: IoThread,
    seen: Vec<(Kind, u32)>,
}

impl Owner {
    fn new() -> Self {
        let (wake, woken) = sync_channel(1);
        let queue = EventQueue::new(move || {
            let _ = wake.try_send(());
        });
        Self { queue, woken, io: IoThread::start("io").unwrap(), seen: Vec::new() }
    }

    fn that_reads() -> Self {
        let owner = Self::new();
        owner.queue.offer_reading();
        owner
    }

    /// A connection whose messages come as events, and its peer.
    fn connect(&self, handle: u32) -> (Arc<Connection>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let connection = adopt(handle, ours, &self.io, &self.queue);
        connection.bind(Binding::Owner);
        (connection, theirs)
    }

    fn take(&mut self) {
        self.seen.extend(self.queue.take(Batch::default()).events.iter().map(|event| (event.kind, event.target)));
    }

    /// Waits until an event has come, and forgets what has come until then.
    fn wait(&mut self, kind: Kind, target: u32) {
        let end = Instant::now() + PATIENCE;
        loop {
            self.take();
            if let Some(position) = self.seen.iter().position(|event| *event == (kind, target)) {
                self.seen.drain(..=position);
                return;
            }
            let rest = end.checked_duration_since(Instant::now()).expect("an event in time");
            let _ = self.woken.recv_timeout(rest);
        }
    }

    /// Waits until the I/O thread reads the connection.
    fn wait_until_taken_back(&mut self, connection: &Connection) {
        let end = Instant::now() + PATIENCE;
        while connection.is_read_by_owner() {
            assert!(Instant::now() < end, "never taken back");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A connection that has been left to the owner; by now it may have been taken back.
    fn lone(&mut self) -> (Arc<Connection>, UnixStream) {
        let (connection, mut peer) = self.connect(1);
        self.show_alone(&mut peer);
        (connection, peer)
    }

    fn show_alone(&mut self, peer: &mut UnixStream) {
        for _ in 0..8 {
            say(peer, 1);
            self.wait(Kind::ConnectionMessage, 1);
        }
        self.wait(Kind::LeftToOwner, 1);
    }
}

/// Sends messages in one write.
fn say(peer: &mut UnixStream, count: usize) {
    let mut frames = Vec::new();
    for _ in 0..count {
        write_masked(&mut frames, OpCode::Text, b"a message", [1, 2, 3, 4]);
    }
    peer.write_all(&frames).unwrap();
}

fn read(connection: &Arc<Connection>) -> bool {
    connection.read_by_owner(&mut [0; 1024], &mut Batch::default())
}

#[test]
fn the_owner_reads_a_connection_that_alone_sends_single_messages() {
    let mut owner = Owner::that_reads();
    let (connection, mut peer) = owner.lone();
    for _ in 0..100 {
        say(&mut peer, 1);
        let is_read = read(&connection);
        if is_read {
            owner.take();
            assert!(owner.seen.contains(&(Kind::ConnectionMessage, 1)));
            if connection.is_read_by_owner() {
                return;
            }
        }
        // the I/O thread was quicker, or has taken it back
        owner.wait(Kind::ConnectionMessage, 1);
        owner.wait_until_taken_back(&connection);
        owner.show_alone(&mut peer);
    }
    panic!("the I/O thread is always quicker");
}

/// Whether a reactor of this process is woken by what the connection's peer sends.
#[cfg(target_os = "linux")]
fn wakes_a_reactor(connection: &Connection) -> bool {
    let fd = connection.fd().unwrap().to_string();
    std::fs::read_dir("/proc/self/fdinfo").unwrap().any(|entry| {
        let info = std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        info.lines()
            .filter_map(|line| line.strip_prefix("tfd:"))
            .any(|rest| rest.split_whitespace().next() == Some(&fd))
    })
}

#[test]
#[cfg(target_os = "linux")]
fn the_io_thread_is_not_woken_by_what_the_owner_reads() {
    let mut owner = Owner::that_reads();
    let (connection, mut peer) = owner.lone();
    for _ in 0..100 {
        let wakes = wakes_a_reactor(&connection);
        let is_with_owner = connection.is_read_by_owner();
        owner.wait_until_taken_back(&connection);
        say(&mut peer, 1);
        owner.wait(Kind::ConnectionMessage, 1);
        if is_with_owner {
            assert!(!wakes);
            assert!(wakes_a_reactor(&connection), "it is the I/O thread's again");
            return;
        }
        owner.show_alone(&mut peer);
    }
    panic!("the I/O thread is always quicker");
}

#[test]
fn what_a_full_socket_keeps_waiting_goes_out_while_the_owner_reads() {
    const LENGTH: usize = 8 << 20;
    let mut owner = Owner::that_reads();
    let (connection, mut peer) = owner.lone();
    connection.enqueue(|outbox| outbox.message(OpCode::Binary, &[], &vec![7; LENGTH]));
    connection.flush();
    let end = Instant::now() + PATIENCE;
    while !connection.outbox().blocked {
        assert!(Instant::now() < end, "never blocked");
        std::thread::sleep(Duration::from_millis(1));
    }
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut frame = vec![0; 10 + LENGTH];
    peer.read_exact(&mut frame).unwrap();
    assert!(frame[10..].iter().all(|&byte| byte == 7));
    say(&mut peer, 1);
    while !read(&connection) && connection.is_read_by_owner() {}
    owner.wait(Kind::ConnectionMessage, 1);
}

#[test]
fn nothing_is_left_to_an_owner_that_does_not_read() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect(1);
    for _ in 0..20 {
        say(&mut peer, 1);
        owner.wait(Kind::ConnectionMessage, 1);
        assert!(!connection.is_read_by_owner());
    }
}

#[test]
fn each_of_a_few_connections_that_talk_in_turn_is_left_to_the_owner() {
    let mut owner = Owner::that_reads();
    let mut all: Vec<_> = (1..=FEW as u32).map(|number| owner.connect(number)).collect();
    for round in 1..=8 {
        for (number, (_, peer)) in (1..).zip(&mut all) {
            say(peer, 1);
            owner.wait(Kind::ConnectionMessage, number);
            if round == 8 {
                owner.wait(Kind::LeftToOwner, number);
            }
        }
    }
}

#[test]
fn nothing_is_left_to_the_owner_while_more_connections_talk() {
    let mut owner = Owner::that_reads();
    let mut all: Vec<_> = (1..=FEW as u32 + 1).map(|number| owner.connect(number)).collect();
    for _ in 0..20 {
        for (number, (connection, peer)) in (1..).zip(&mut all) {
            say(peer, 1);
            owner.wait(Kind::ConnectionMessage, number);
            assert!(!connection.is_read_by_owner());
        }
    }
}

#[test]
fn nothing_is_left_to_the_owner_while_one_sends_more_at_once() {
    let mut owner = Owner::that_reads();
    let ((one, mut first), (_other, mut second)) = (owner.connect(1), owner.connect(2));
    for _ in 0..20 {
        say(&mut first, 1);
        owner.wait(Kind::ConnectionMessage, 1);
        say(&mut second, 2);
        owner.wait(Kind::ConnectionMessage, 2);
        owner.wait(Kind::ConnectionMessage, 2);
        assert!(!one.is_read_by_owner());
    }
}

#[test]
fn a_message_that_the_owner_has_no_time_to_read_comes_from_the_io_thread() {
    let mut owner = Owner::that_reads();
    let (connection, mut peer) = owner.lone();
    say(&mut peer, 1);
    owner.wait(Kind::ConnectionMessage, 1);
    owner.wait_until_taken_back(&connection);
    assert!(!read(&connection), "it is the I/O thread's");
}

#[test]
fn a_connection_that_falls_silent_is_taken_back() {
    let mut owner = Owner::that_reads();
    let (connection, mut peer) = owner.lone();
    owner.wait_until_taken_back(&connection);
    say(&mut peer, 1);
    owner.wait(Kind::ConnectionMessage, 1);
}

#[test]
fn a_connection_is_taken_back_when_too_many_talk() {
    let mut owner = Owner::that_reads();
    let (connection, mut peer) = owner.lone();
    let mut others: Vec<_> = (2..=FEW as u32 + 1).map(|number| owner.connect(number)).collect();
    for (number, (_, other)) in (2..).zip(&mut others) {
        say(other, 1);
        owner.wait(Kind::ConnectionMessage, number);
    }
    let end = Instant::now() + PATIENCE;
    while connection.is_read_by_owner() {
        assert!(Instant::now() < end, "never taken back");
        say(&mut peer, 1);
        read(&connection);
        owner.take();
        std::thread::sleep(Duration::from_micros(500));
    }
}

#[test]
fn the_owner_gives_a_connection_back_that_sends_more_at_once() {
    let mut owner = Owner::that_reads();
    let (connection, mut peer) = owner.lone();
    say(&mut peer, 3);
    read(&connection);
    owner.wait_until_taken_back(&connection);
    for _ in 0..3 {
        owner.wait(Kind::ConnectionMessage, 1);
    }
    say(&mut peer, 1);
    owner.wait(Kind::ConnectionMessage, 1);
}

#[test]
fn an_owner_that_cannot_watch_it_declines() {
    let mut owner = Owner::that_reads();
    let (connection, mut peer) = owner.lone();
    connection.decline_reading();
    assert!(!connection.is_read_by_owner());
    say(&mut peer, 1);
    owner.wait(Kind::ConnectionMessage, 1);
}

#[test]
fn the_end_of_the_stream_ends_the_connection_whoever_meets_it() {
    for reads in [true, false] {
        let mut owner = Owner::that_reads();
        let (connection, peer) = owner.lone();
        drop(peer);
        if reads {
            read(&connection);
        }
        owner.wait(Kind::ConnectionClosed, 1);
        connection.conclude();
        owner.wait(Kind::ConnectionEnded, 1);
        assert!(!connection.is_read_by_owner());
    }
}

#[test]
fn a_connection_that_is_cut_off_ends_while_the_owner_has_it() {
    let mut owner = Owner::that_reads();
    let (connection, _peer) = owner.lone();
    connection.terminate();
    owner.wait(Kind::ConnectionEnded, 1);
    assert!(!connection.is_read_by_owner());
    assert!(!read(&connection));
}

#[test]
fn the_io_thread_ends_while_the_owner_has_a_connection() {
    let mut owner = Owner::that_reads();
    let (_connection, _peer) = owner.lone();
    owner.io.stop();
    owner.wait(Kind::ConnectionEnded, 1);
}
