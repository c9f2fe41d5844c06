//! What the owner's stream asks of a connection past its WebSocket: bytes as they are, the end of our side, counts, times.
#![cfg(unix)]

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use engine_io_native::runtime::{Batch, Binding, Command, Connection, EventQueue, IoThread, Kind};
use engine_io_native::websocket::{OpCode, write_close, write_masked};
use support::connection::adopt;

const PATIENCE: Duration = Duration::from_secs(10);

/// The upper half of `arg` in `ConnectionEnded`, and the codes that stand for none.
const CUT_OFF: u32 = 1;
const PEER_ENDED: u32 = 3;
const CLOSED: u32 = 4;
const PEER_FOLLOWED: u32 = 5;
const READ_FAILED: u32 = 0x4000;
const NO_CLOSE_FRAME: u32 = 1006;

/// `arg` of `ConnectionClosed` with a fault.
const WITH_FAULT: u32 = 1;

/// Bytes of a message that no socket takes at once.
const LARGE: usize = 16 << 20;

struct Owner {
    queue: EventQueue,
    woken: Receiver<()>,
    io: IoThread,
    seen: Vec<(Kind, u32, Vec<u8>)>,
}

impl Owner {
    fn new() -> Self {
        let (wake, woken) = sync_channel(1);
        let queue = EventQueue::new(move || {
            let _ = wake.try_send(());
        });
        Self { queue, woken, io: IoThread::start("io").unwrap(), seen: Vec::new() }
    }

    fn connect(&self) -> (Arc<Connection>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_read_timeout(Some(PATIENCE)).unwrap();
        let connection = adopt(1, ours, &self.io, &self.queue);
        connection.bind(Binding::Owner);
        (connection, theirs)
    }

    /// The `arg` and the content of the next event of a kind.
    fn wait(&mut self, kind: Kind) -> (u32, Vec<u8>) {
        let end = Instant::now() + PATIENCE;
        loop {
            let batch = self.queue.take(Batch::default());
            self.seen
                .extend(batch.events.iter().map(|event| (event.kind, event.arg, batch.content(&event.data).to_vec())));
            if let Some(position) = self.seen.iter().position(|event| event.0 == kind) {
                let (_, arg, content) = self.seen.remove(position);
                return (arg, content);
            }
            let rest = end.checked_duration_since(Instant::now()).expect("an event in time");
            let _ = self.woken.recv_timeout(rest);
        }
    }
}

fn message(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    write_masked(&mut frame, OpCode::Text, text.as_bytes(), [1, 2, 3, 4]);
    frame
}

fn read(peer: &mut UnixStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    peer.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn raw_bytes_go_behind_frames_and_before_later_ones() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    connection.write(|outbox| {
        outbox.message(OpCode::Text, &[], b"one");
        assert!(outbox.raw(b"raw"));
        outbox.message(OpCode::Text, &[], b"two");
    });
    connection.report_drain();
    assert_eq!(read(&mut peer, 13), b"\x81\x03oneraw\x81\x03two");
    owner.wait(Kind::Drained);
    assert_eq!(connection.bytes_written(), 13);
}

#[test]
fn an_event_that_was_on_its_way_does_not_answer_a_later_request() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    let first = connection.report_drain();
    // the peer does not read yet, so that the second request has to wait
    let long = vec![b'x'; 8 << 20];
    connection.write(|outbox| outbox.message(OpCode::Text, &[], &long));
    let second = connection.report_drain();
    assert_ne!(first, second);
    assert_eq!(owner.wait(Kind::Drained).0, first);
    read(&mut peer, 10 + long.len());
    assert_eq!(owner.wait(Kind::Drained).0, second);
}

#[test]
fn the_end_of_the_peers_side_before_ours_is_told_as_such() {
    let mut owner = Owner::new();
    let (_connection, peer) = owner.connect();
    drop(peer);
    assert_eq!(owner.wait(Kind::ConnectionEnded).0, PEER_ENDED << 16 | NO_CLOSE_FRAME);
}

/// Has a connection send more than the kernel takes, and the peer end its side. Nothing has been read yet.
fn blocked_with_the_peers_side_ended(owner: &mut Owner) -> (Arc<Connection>, UnixStream) {
    let (connection, peer) = owner.connect();
    connection.write(|outbox| outbox.message(OpCode::Binary, &[], &vec![7; LARGE]));
    connection.report_drain();
    peer.shutdown(Shutdown::Write).unwrap();
    owner.wait(Kind::ConnectionClosed);
    connection.conclude();
    (connection, peer)
}

#[test]
fn what_was_accepted_goes_out_behind_the_end_of_the_peers_side() {
    let mut owner = Owner::new();
    let (_connection, mut peer) = blocked_with_the_peers_side_ended(&mut owner);
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 10 + LARGE);
    assert_eq!(owner.wait(Kind::ConnectionEnded).0, PEER_ENDED << 16 | NO_CLOSE_FRAME);
    let kinds: Vec<_> = owner.seen.iter().map(|event| event.0).collect();
    assert_eq!(kinds, [Kind::Drained, Kind::ConnectionClosed], "nothing is told twice meanwhile");
}

#[test]
fn what_was_accepted_does_not_count_as_written_if_the_peer_goes_away_behind_the_end_of_its_side() {
    let mut owner = Owner::new();
    let (_connection, peer) = blocked_with_the_peers_side_ended(&mut owner);
    drop(peer);
    assert_eq!(owner.wait(Kind::ConnectionEnded).0, PEER_ENDED << 16 | NO_CLOSE_FRAME);
    let seen: Vec<_> = owner.seen.iter().map(|event| (event.0, event.1)).collect();
    assert_eq!(seen, [(Kind::ConnectionClosed, WITH_FAULT)]);
}

#[test]
fn the_end_of_the_peers_side_waits_for_what_follows_a_message_that_is_being_written() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    connection.write(|outbox| outbox.message(OpCode::Binary, &[], &vec![7; LARGE]));
    connection.report_drain();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_follows(&mut owner, &connection, &mut peer);
}

#[test]
fn the_end_of_the_peers_side_waits_for_what_follows_a_message_of_which_the_owner_has_not_heard_that_it_is_written() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    connection.report_drain();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_follows(&mut owner, &connection, &mut peer);
}

#[test]
fn the_end_of_the_peers_side_waits_for_what_the_owner_sends_in_the_same_turn() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    // what is sent on a new connection is written when it is first read
    let mut ping = Vec::new();
    write_masked(&mut ping, OpCode::Ping, b"x", [1, 2, 3, 4]);
    peer.write_all(&ping).unwrap();
    assert_eq!(read(&mut peer, 3), b"\x8a\x01x");
    let (_, must_flush) = connection.enqueue(|outbox| outbox.message(OpCode::Text, &[], b"first"));
    assert!(must_flush);
    peer.shutdown(Shutdown::Write).unwrap();
    assert_follows(&mut owner, &connection, &mut peer);
}

#[test]
fn a_connection_whose_end_the_owner_has_heard_of_is_read_while_it_has_still_to_be_written() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    connection.write(|outbox| outbox.message(OpCode::Binary, &[], &vec![7; LARGE]));
    connection.report_drain();
    wait_until(|| connection.outbox().blocked);
    peer.write_all(&close_frame()).unwrap();
    owner.wait(Kind::ConnectionClosed);
    connection.conclude();
    let read = connection.bytes_read();
    peer.write_all(&message("late")).unwrap();
    // and so meets the bound of its patience
    wait_until(|| connection.bytes_read() > read);
}

fn wait_until(is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "expected it in time");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends one more message when the owner has heard of the end of the peer's side, which gets it.
fn assert_follows(owner: &mut Owner, connection: &Arc<Connection>, peer: &mut UnixStream) {
    owner.wait(Kind::ConnectionClosed);
    connection.write(|outbox| outbox.message(OpCode::Text, &[], b"more"));
    connection.flush();
    connection.conclude();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert!(all.ends_with(b"\x81\x04more"), "{} bytes", all.len());
    assert_eq!(owner.wait(Kind::ConnectionEnded).0, PEER_ENDED << 16 | NO_CLOSE_FRAME);
    let told = owner.seen.iter().filter(|event| event.0 == Kind::ConnectionClosed).count();
    assert_eq!(told, 1, "the end of the connection, and nothing twice");
}

#[test]
fn our_side_ends_behind_what_waits_and_nothing_follows() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    connection.write(|outbox| {
        outbox.message(OpCode::Text, &[], b"one");
        outbox.refuse_frames();
        outbox.message(OpCode::Text, &[], b"late");
        assert!(outbox.raw(b"last"));
        outbox.end_stream();
        assert!(!outbox.raw(b"later"));
    });
    connection.begin_end();
    connection.report_drain();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"\x81\x03onelast");
    owner.wait(Kind::Drained);
    // what the peer still sends is heard
    peer.write_all(&message("up")).unwrap();
    assert_eq!(owner.wait(Kind::ConnectionMessage).1, b"up");
    drop(peer);
    assert_eq!(owner.wait(Kind::ConnectionEnded).0, PEER_FOLLOWED << 16 | NO_CLOSE_FRAME);
}

#[test]
fn what_is_relayed_goes_out_when_the_owner_hands_it_back() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    connection.write(|outbox| outbox.message(OpCode::Text, &[], b"before"));
    assert_eq!(read(&mut peer, 8), b"\x81\x06before");
    connection.relay();
    connection.write(|outbox| outbox.message(OpCode::Text, &[], b"after"));
    owner.wait(Kind::PipeReady);
    let (bytes, ends) = connection.outbox().take_relayed();
    assert_eq!((&bytes[..], ends), (&b"\x81\x05after"[..], false));
    connection.write(|outbox| {
        outbox.raw(b"<");
        outbox.raw(&bytes);
    });
    assert_eq!(read(&mut peer, 8), b"<\x81\x05after");
    // a close frame passes the owner, too, and our side ends when the owner's has
    connection.close();
    owner.wait(Kind::PipeReady);
    let mut close = Vec::new();
    write_close(&mut close, None, &[]);
    assert_eq!(connection.outbox().take_relayed(), (close.clone(), false));
    let mut answer = Vec::new();
    write_masked(&mut answer, OpCode::Close, &[], [1, 2, 3, 4]);
    peer.write_all(&answer).unwrap();
    owner.wait(Kind::PipeReady);
    assert_eq!(connection.outbox().take_relayed(), (Vec::new(), true));
    connection.write(|outbox| {
        outbox.raw(&close);
        outbox.end_stream();
    });
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert_eq!(all, close);
    assert_eq!(owner.wait(Kind::ConnectionEnded).0, CLOSED << 16 | 1005);
}

#[test]
fn a_tap_gets_the_bytes_beside_the_messages() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    connection.tap(true);
    let frame = message("up");
    peer.write_all(&frame).unwrap();
    assert_eq!(owner.wait(Kind::Bytes).1, frame);
    assert_eq!(owner.wait(Kind::ConnectionMessage).1, b"up");
    assert_eq!(connection.bytes_read(), frame.len() as u64);
    connection.tap(false);
    peer.write_all(&frame).unwrap();
    owner.wait(Kind::ConnectionMessage);
    assert!(owner.seen.iter().all(|event| event.0 != Kind::Bytes));
}

#[test]
fn bytes_that_a_tap_has_not_taken_stop_the_reading() {
    let owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    connection.tap(true);
    peer.set_nonblocking(true).unwrap();
    // pongs of no length, of which nobody hears but the tap
    let pongs: Vec<u8> = [0x8a, 0x80, 0, 0, 0, 0].repeat(10_000);
    let mut sent = 0;
    let end = Instant::now() + PATIENCE;
    while !connection.is_paused() && Instant::now() < end {
        match peer.write(&pongs[sent % pongs.len()..]) {
            Ok(written) => sent += written,
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    assert!(connection.is_paused());
    assert!(connection.bytes_read() < 4 << 20, "{} bytes", connection.bytes_read());
}

#[test]
fn ping_and_pong_frames_are_told_to_those_who_listen() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    let frames = |opcode| {
        let mut frame = Vec::new();
        write_masked(&mut frame, opcode, b"x", [1, 2, 3, 4]);
        frame
    };
    peer.write_all(&frames(OpCode::Pong)).unwrap();
    peer.write_all(&message("a")).unwrap();
    owner.wait(Kind::ConnectionMessage);
    assert!(owner.seen.iter().all(|event| event.0 != Kind::ControlFrame));
    connection.show_control_frames();
    peer.write_all(&frames(OpCode::Ping)).unwrap();
    peer.write_all(&frames(OpCode::Pong)).unwrap();
    assert_eq!(owner.wait(Kind::ControlFrame), (9, b"x".to_vec()));
    assert_eq!(owner.wait(Kind::ControlFrame), (10, b"x".to_vec()));
    assert_eq!(read(&mut peer, 3), b"\x8a\x01x");
}

#[test]
fn what_is_stopped_is_not_read_until_it_goes_on_or_ends() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    connection.stop_reading(true);
    // a read that has begun is over
    let (done, is_done) = sync_channel(1);
    owner.io.commands().send(Command::Finish(done));
    is_done.recv_timeout(PATIENCE).unwrap();
    peer.write_all(&message("a")).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(connection.bytes_read(), 0);
    connection.stop_reading(false);
    assert_eq!(owner.wait(Kind::ConnectionMessage).1, b"a");
    connection.stop_reading(true);
    connection.close();
    drop(peer);
    owner.wait(Kind::ConnectionEnded);
}

#[test]
fn the_time_since_the_last_byte_is_told() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    assert_eq!(connection.idle(), 0);
    std::thread::sleep(Duration::from_millis(300));
    assert!(connection.idle() >= 290);
    let start = Instant::now();
    let is_since_start = || u128::from(connection.idle()) <= start.elapsed().as_millis() + 1;
    peer.write_all(&message("a")).unwrap();
    owner.wait(Kind::ConnectionMessage);
    assert!(is_since_start());
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    let is_since_start = || u128::from(connection.idle()) <= start.elapsed().as_millis() + 1;
    connection.write(|outbox| outbox.message(OpCode::Text, &[], b"down"));
    read(&mut peer, 6);
    assert!(is_since_start());
}

#[test]
fn the_end_tells_its_cause_and_the_peers_code_and_reason() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    let mut close = Vec::new();
    write_masked(&mut close, OpCode::Close, &[&4001u16.to_be_bytes()[..], b"bye"].concat(), [1, 2, 3, 4]);
    peer.write_all(&close).unwrap();
    // the answer waits until the owner has heard
    owner.wait(Kind::ConnectionClosed);
    connection.conclude();
    assert_eq!(owner.wait(Kind::ConnectionEnded), (CLOSED << 16 | 4001, b"bye".to_vec()));

    let (connection, _peer) = owner.connect();
    connection.terminate();
    assert_eq!(owner.wait(Kind::ConnectionEnded).0, CUT_OFF << 16 | NO_CLOSE_FRAME);

    // a peer that goes with bytes unread resets the connection
    let (connection, mut peer) = owner.connect();
    connection.write(|outbox| outbox.message(OpCode::Text, &[], b"unread"));
    read(&mut peer, 1);
    drop(peer);
    let (arg, _) = owner.wait(Kind::ConnectionEnded);
    #[cfg(target_os = "linux")]
    assert_eq!(arg, (READ_FAILED | libc::ECONNRESET as u32) << 16 | NO_CLOSE_FRAME);
    let _ = (arg, READ_FAILED);
}

fn close_frame() -> Vec<u8> {
    let mut close = Vec::new();
    write_masked(&mut close, OpCode::Close, &1000u16.to_be_bytes(), [1, 2, 3, 4]);
    close
}

const CLOSE_ECHO: &[u8] = b"\x88\x02\x03\xe8";

#[test]
fn the_end_of_a_peer_that_has_said_nothing_waits_for_nobody() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    peer.write_all(&close_frame()).unwrap();
    assert_eq!(read(&mut peer, 4), CLOSE_ECHO);
    owner.wait(Kind::ConnectionClosed);
    assert!(!connection.conclude(), "nothing is left to do");
}

#[test]
fn an_end_waits_for_answers_until_the_owner_has_come_back_twice() {
    let mut owner = Owner::new();
    for turns in 0..=2 {
        let (connection, mut peer) = owner.connect();
        peer.write_all(&message("question")).unwrap();
        let mut taken = 0;
        while taken == 0 {
            let batch = owner.queue.take(Batch::default());
            let messages = batch.events.iter().filter(|event| event.kind == Kind::ConnectionMessage);
            taken = messages.map(|event| batch.cost(event)).sum();
        }
        connection.settle(taken);
        (0..turns).for_each(|_| owner.queue.end_turn());
        peer.write_all(&close_frame()).unwrap();
        owner.wait(Kind::ConnectionClosed);
        if turns < 2 {
            connection.write(|outbox| outbox.message(OpCode::Text, &[], b"answer"));
            assert_eq!(read(&mut peer, 8), b"\x81\x06answer");
            assert!(connection.conclude());
        }
        assert_eq!(read(&mut peer, 4), CLOSE_ECHO);
    }
}

#[test]
fn what_is_not_relayed_after_all_goes_out_in_order() {
    let mut owner = Owner::new();
    let (connection, mut peer) = owner.connect();
    connection.relay();
    connection.write(|outbox| outbox.message(OpCode::Text, &[], b"one"));
    owner.wait(Kind::PipeReady);
    connection.write(|outbox| {
        outbox.unrelay();
        assert!(outbox.raw(b"two"));
    });
    assert_eq!(read(&mut peer, 8), b"\x81\x03onetwo");
    assert_eq!(connection.outbox().take_relayed(), (Vec::new(), false));
}
