//! The seam for transports: one that is added here, in memory, carries a session from its handshake to its end.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine_io_native::protocol::PacketType;
use engine_io_native::runtime::{
    Batch, Channel, Event, EventQueue, IoThread, Kind, NewSession, PollEncoding, SessionCell, now,
};
use engine_io_native::session::{ChannelId, OutData, OutPacket, Revision, Session, Start, Timing};

const PATIENCE: Duration = Duration::from_secs(10);
const ID: ChannelId = 7;

/// Our end of a pair of queues: all that a transport has to be.
#[derive(Debug)]
struct Memory {
    to_client: Mutex<Option<Sender<String>>>,
    owed: AtomicUsize,
}

impl Channel for Memory {
    fn id(&self) -> ChannelId {
        ID
    }

    fn send(self: Arc<Self>, packets: &[OutPacket], _: Revision, _: bool) {
        for OutPacket { kind, data } in packets {
            let OutData::Text(text) = data else { return self.write(kind.digit() as char, "") };
            self.write(kind.digit() as char, text);
        }
    }

    fn close(self: Arc<Self>) {
        *self.to_client.lock().unwrap() = None;
    }

    fn close_behind_owner(&self) {
        *self.to_client.lock().unwrap() = None;
    }

    fn owe(&self, bytes: usize) {
        self.owed.fetch_add(bytes, SeqCst);
    }

    fn take_unheard(&self) -> bool {
        false
    }

    fn is_carried_by_owner(&self) -> bool {
        false
    }
}

impl Memory {
    fn write(&self, digit: char, text: &str) {
        if let Some(client) = &*self.to_client.lock().unwrap() {
            let _ = client.send(format!("{digit}{text}"));
        }
    }
}

/// A session on such a transport, its client and its owner.
struct Pair {
    session: Arc<SessionCell>,
    transport: Arc<Memory>,
    from_server: Receiver<String>,
    queue: EventQueue,
    woken: Receiver<()>,
    _io: IoThread,
}

impl Pair {
    fn open(ping_interval: u64, ping_timeout: u64) -> Self {
        let (wake, woken) = sync_channel(1);
        let queue = EventQueue::new(move || {
            let _ = wake.try_send(());
        });
        let io = IoThread::start("io").unwrap();
        let (to_client, from_server) = channel();
        let transport = Arc::new(Memory { to_client: Mutex::new(Some(to_client)), owed: AtomicUsize::new(0) });
        let timing = Arc::new(Timing::new(ping_interval, ping_timeout, 10_000));
        let new = NewSession {
            handle: 1,
            machine: Session::new(now(), Revision::V4, timing, Start::Channel(ID)),
            encoding: PollEncoding { revision: Revision::V4, binary: true, jsonp: None },
            base64: false,
            transport: Some(transport.clone()),
            listed: None,
            verbose: Some(false),
        };
        let session = SessionCell::new(new, queue.clone(), io.commands().tasks());
        let open = OutPacket { kind: PacketType::Open, data: OutData::Text("{\"sid\":\"x\"}".to_owned()) };
        transport.clone().send(&[open], Revision::V4, false);
        session.open(false);
        Self { session, transport, from_server, queue, woken, _io: io }
    }

    fn client_hears(&self) -> String {
        self.from_server.recv_timeout(PATIENCE).expect("a message for the client")
    }

    /// The client sends a text.
    fn client_sends(&self, text: &str) {
        self.session.step_queued(|session, batch| session.receive_text(&*self.transport, text.as_bytes(), batch));
    }

    fn owner_sends(&self, text: &str) {
        let packet = OutPacket { kind: PacketType::Message, data: OutData::Text(text.to_owned()) };
        self.session.step(|session, _| session.inner.machine.send(vec![packet], true, &mut session.actions));
    }

    /// The next events that the owner is told of, with their contents.
    fn owner_hears(&self) -> Vec<(Kind, u32, Vec<u8>)> {
        self.woken.recv_timeout(PATIENCE).expect("an event for the owner");
        let batch = self.queue.take(Batch::default());
        let told = |event: &Event| (event.kind, event.target, batch.content(&event.data).to_vec());
        batch.events.iter().map(told).collect()
    }
}

#[test]
fn messages_go_both_ways_behind_the_open_packet() {
    let pair = Pair::open(25_000, 20_000);
    assert_eq!(pair.client_hears(), "0{\"sid\":\"x\"}");
    pair.client_sends("4hello");
    assert_eq!(pair.owner_hears(), [(Kind::Message, 1, b"hello".to_vec())]);
    assert!(pair.transport.owed.load(SeqCst) > "hello".len(), "the transport knows what its owner has to take");
    pair.owner_sends("welcome");
    assert_eq!(pair.client_hears(), "4welcome");
}

#[test]
fn heartbeats_come_from_the_io_thread() {
    let pair = Pair::open(20, 60_000);
    pair.client_hears();
    assert_eq!(pair.client_hears(), "2");
    pair.client_sends("3");
    assert_eq!(pair.client_hears(), "2");
}

#[test]
fn a_client_that_does_not_answer_ends_the_session_and_its_transport() {
    let pair = Pair::open(20, 20);
    let heard: Vec<_> = pair.from_server.iter().skip(1).collect();
    assert_eq!(heard, ["2"], "and then the end");
    assert!(matches!(pair.owner_hears()[..], [(Kind::Closed, 1, _)]));
}

#[test]
fn the_end_of_the_transport_is_the_sessions() {
    let pair = Pair::open(25_000, 20_000);
    let mut ends = false;
    pair.session.step_queued(|session, batch| ends = session.channel_closed(ID, None, batch));
    assert!(ends);
    assert!(matches!(pair.owner_hears()[..], [(Kind::Closed, 1, _)]));
}

#[test]
fn the_end_of_the_session_is_the_transports() {
    let pair = Pair::open(25_000, 20_000);
    pair.client_hears();
    pair.session.step(|session, _| {
        session.inner.machine.begin_close();
        session.inner.machine.close_transport(session.now, None, &mut session.actions);
    });
    pair.from_server.recv_timeout(PATIENCE).expect_err("the end");
    assert!(pair.transport.to_client.lock().unwrap().is_none());
}
