//! The owner's turns: what it asks for in one goes out at its end, or before, if that takes long.
#![cfg(unix)]

mod support;

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use engine_io_native::runtime::{Binding, Command, Connection, EventQueue, IoThread};
use engine_io_native::websocket::{OpCode, write_masked};
use support::connection::adopt;

const PATIENCE: Duration = Duration::from_secs(10);

/// A connection on an I/O thread, its peer, and what tells that the owner has been woken.
fn connect() -> (IoThread, Arc<Connection>, UnixStream, Receiver<()>) {
    let (wake, woken) = sync_channel(1);
    let queue = EventQueue::new(move || {
        let _ = wake.try_send(());
    });
    let io = IoThread::start("io").unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    let connection = adopt(1, ours, &io, &queue);
    connection.bind(Binding::Owner);
    (io, connection, theirs, woken)
}

/// What JavaScript does when it sends.
fn send(connection: &Arc<Connection>) {
    let (_, must_flush) = connection.enqueue(|outbox| outbox.message(OpCode::Text, &[], b"now"));
    if must_flush {
        connection.commands().mark(connection);
    }
}

fn hears(peer: &mut UnixStream) {
    let mut frame = [0; 5];
    peer.read_exact(&mut frame).unwrap();
    assert_eq!(frame, *b"\x81\x03now");
}

#[test]
fn what_is_sent_outside_of_a_turn_goes_out_at_once() {
    let (_io, connection, mut peer, _woken) = connect();
    for _ in 0..20 {
        send(&connection);
        hears(&mut peer);
    }
}

#[test]
fn what_the_io_thread_has_been_woken_for_is_not_the_owners_to_write() {
    let (io, connection, mut peer, _woken) = connect();
    for _ in 0..20 {
        send(&connection);
        assert!(io.commands().take_waiting().is_empty());
        hears(&mut peer);
    }
}

#[test]
fn what_is_sent_in_a_turn_that_takes_long_goes_out_before_its_end() {
    let (io, connection, mut peer, woken) = connect();
    for _ in 0..20 {
        let mut message = Vec::new();
        write_masked(&mut message, OpCode::Text, b"a message", [1, 2, 3, 4]);
        std::io::Write::write_all(&mut peer, &message).unwrap();
        woken.recv_timeout(PATIENCE).unwrap();
        io.commands().hold();
        for _ in 0..3 {
            send(&connection);
            hears(&mut peer);
        }
        connection.queue.take(Default::default());
        io.commands().release();
    }
}

#[test]
fn what_has_been_sent_goes_out_before_the_io_thread_ends() {
    let (mut io, connection, mut peer, _woken) = connect();
    io.commands().hold();
    send(&connection);
    io.stop();
    hears(&mut peer);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "then the end of the stream");
}

#[test]
fn an_io_thread_has_finished_once_everything_before_has_been_done() {
    let (io, connection, mut peer, _woken) = connect();
    peer.set_nonblocking(true).unwrap();
    for _ in 0..20 {
        send(&connection);
        let (done, is_done) = sync_channel(1);
        io.commands().send(Command::Finish(done));
        is_done.recv_timeout(PATIENCE).unwrap();
        hears(&mut peer);
    }
}
