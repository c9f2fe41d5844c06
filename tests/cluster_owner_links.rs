//! Links that the owner's thread reads: before it does, meanwhile, and when it does not any more.
#![cfg(all(unix, feature = "owner-reads"))]

use std::collections::VecDeque;
use std::fs;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use engine_io_native::cluster::directory::{Choice, Directory};
use engine_io_native::cluster::id::Member;
use engine_io_native::cluster::link::Incoming;
use engine_io_native::cluster::owner_links::OwnerLink;
use engine_io_native::cluster::peers::Peers;
use engine_io_native::runtime::contract::{PeerMessage, PeerSent};
use engine_io_native::runtime::{Batch, EventQueue, IoThread, Kind};

/// A directory that goes with its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("engine.io-native-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A member whose owner reads the links, as this test tells it to.
struct Process {
    peers: Arc<Peers>,
    queue: EventQueue,
    wakes: Receiver<()>,
    links: Vec<OwnerLink>,
    taken: VecDeque<Incoming>,
    /// Ends the links before the test ends.
    _thread: IoThread,
}

impl Process {
    fn join(directory: &Path) -> Self {
        let thread = IoThread::start("test").unwrap();
        let (wake, wakes) = channel();
        let wake = std::sync::Mutex::new(wake);
        let queue = EventQueue::new(move || {
            let _ = wake.lock().unwrap().send(());
        });
        queue.offer_reading();
        let terms = (1, queue.clone(), thread.commands().clone());
        let peers = Peers::join(directory, None, (false, Choice::Lowest, false), terms).unwrap();
        Self { peers, queue, wakes, links: Vec::new(), taken: VecDeque::new(), _thread: thread }
    }

    /// Waits until this comes to something.
    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            self.queue.take(Batch::default());
            self.links.extend(OwnerLink::all_new(&self.peers));
            if let Some(found) = look(self) {
                return found;
            }
            assert!(Instant::now() < end, "{what} did not come");
            let _ = self.wakes.recv_timeout(Duration::from_millis(5));
        }
    }

    /// Waits until the owner is asked to read another link.
    fn left(&mut self) -> OwnerLink {
        self.until("a link to read", |process| process.links.pop())
    }

    /// The next message, without reading.
    fn taken(&mut self) -> Option<Incoming> {
        self.taken.extend(self.peers.take(64));
        self.taken.pop_front()
    }

    /// The next message, of this kind.
    fn next(&mut self, kind: PeerMessage, link: Option<&OwnerLink>) -> Incoming {
        let message = self.until(&format!("{kind:?}"), |process| {
            if let Some(link) = link {
                link.read(&mut Batch::default());
            }
            process.taken()
        });
        assert_eq!(message.kind, kind as u8);
        message
    }

    fn send(&self, link: u32, kind: PeerMessage, body: &[u8], descriptor: Option<OwnedFd>) {
        assert_eq!(self.peers.send(link, kind as u8, 7, (b"head", body), descriptor), PeerSent::Yes);
        self.peers.flush();
    }
}

/// Two members, the link from the first to the second, and that link as both owners have it to read.
fn linked(scratch: &Scratch) -> (Process, Process, u32, OwnerLink, OwnerLink) {
    let (mut one, mut two) = (Process::join(&scratch.0), Process::join(&scratch.0));
    let link = one.peers.link(two.peers.member());
    assert_eq!(one.next(PeerMessage::Up, None).link, link);
    let (of_one, of_two) = (one.left(), two.left());
    (one, two, link, of_one, of_two)
}

fn connection() -> (UnixStream, OwnedFd) {
    let (mine, theirs) = UnixStream::pair().unwrap();
    (mine, theirs.into())
}

#[test]
fn the_owner_reads_messages_in_their_order_and_drains_in_the_same_turn() {
    let scratch = Scratch::new("owner-order");
    let (one, mut two, link, of_one, of_two) = linked(&scratch);
    let (_mine, theirs) = connection();
    one.send(link, PeerMessage::Request, b"first", None);
    one.send(link, PeerMessage::Move, b"second", Some(theirs));
    one.send(link, PeerMessage::Request, b"third", None);
    // nobody reads it before the owner does
    std::thread::sleep(Duration::from_millis(20));
    assert!(two.taken().is_none());

    two.queue.take(Batch::default());
    while two.wakes.try_recv().is_ok() {}
    assert!(of_two.read(&mut Batch::default()));
    let events = two.queue.take(Batch::default());
    assert_eq!(events.events.iter().map(|event| event.kind).collect::<Vec<_>>(), [Kind::Peers]);
    assert!(two.wakes.try_recv().is_err(), "the owner knows it already");
    let messages: Vec<_> = std::iter::from_fn(|| two.taken()).collect();
    let bodies: Vec<_> = messages.iter().map(|message| &*message.body).collect();
    assert_eq!(bodies, [&b"first"[..], b"second", b"third"]);
    assert_eq!(messages.iter().map(|message| message.descriptor.is_some()).collect::<Vec<_>>(), [false, true, false]);
    assert!(!of_two.read(&mut Batch::default()), "there is nothing more");

    two.send(messages[0].link, PeerMessage::Answer, b"answer", None);
    let mut one = one;
    assert_eq!(*one.next(PeerMessage::Answer, Some(&of_one)).body, *b"answer");
}

#[test]
fn large_messages_and_many_descriptors_pass_whoever_reads_first() {
    let scratch = Scratch::new("owner-large");
    let (one, mut two, link, _of_one, of_two) = linked(&scratch);
    let mut ends = Vec::new();
    for index in 0..50_u8 {
        let (mine, theirs) = connection();
        ends.push(mine);
        one.send(link, PeerMessage::Request, &vec![index; 100_000], None);
        one.send(link, PeerMessage::Move, &[index], Some(theirs));
    }
    for (index, mine) in ends.iter_mut().enumerate() {
        // in the middle of what has come, the I/O thread goes on
        let reads = (index < 20).then_some(&of_two);
        if index == 20 {
            of_two.decline();
        }
        let request = two.next(PeerMessage::Request, reads);
        assert!(request.body.len() == 100_000 && request.body.iter().all(|&byte| usize::from(byte) == index));
        let moved = two.next(PeerMessage::Move, reads);
        assert_eq!(*moved.body, [index as u8]);
        drop(moved.descriptor.unwrap());
        assert_eq!(mine.read(&mut [0]).unwrap(), 0, "nobody else has the descriptor");
    }
    assert!(!of_two.is_left());
}

#[test]
fn a_link_that_the_owner_declines_is_read_by_the_io_thread() {
    let scratch = Scratch::new("owner-declines");
    let (one, mut two, link, _of_one, of_two) = linked(&scratch);
    one.send(link, PeerMessage::Request, b"before", None);
    of_two.decline();
    one.send(link, PeerMessage::Request, b"after", None);
    assert_eq!(*two.next(PeerMessage::Request, None).body, *b"before");
    assert_eq!(*two.next(PeerMessage::Request, None).body, *b"after");
    assert!(!of_two.is_left());
    assert!(!of_two.read(&mut Batch::default()));
    one.peers.leave();
    two.next(PeerMessage::Down, None);
}

#[test]
fn the_owner_reads_nothing_while_it_has_too_much_to_take() {
    let scratch = Scratch::new("owner-full");
    let (one, mut two, link, _of_one, of_two) = linked(&scratch);
    let body = vec![0; 1 << 20];
    // what waits here does not keep what begins something from being sent
    let send = || one.peers.send(link, PeerMessage::Answer as u8, 7, (b"", &body), None);
    for _ in 0..24 {
        assert_eq!(send(), PeerSent::Yes);
    }
    one.peers.flush();
    let (mut untaken, mut looks) = (0, 0);
    // the peer's I/O thread may need a while
    while looks < 500 {
        looks = if of_two.read(&mut Batch::default()) { 0 } else { looks + 1 };
        std::thread::sleep(Duration::from_millis(1));
    }
    while let Some(message) = two.taken() {
        untaken += message.body.len();
    }
    assert!((16 << 20..=18 << 20).contains(&untaken), "{untaken} bytes were read");
    for _ in untaken >> 20..24 {
        two.next(PeerMessage::Answer, Some(&of_two));
    }
}

#[test]
fn the_end_of_a_link_comes_behind_all_that_was_sent() {
    let scratch = Scratch::new("owner-end");
    let (one, mut two, link, of_one, of_two) = linked(&scratch);
    for index in 0..200_u8 {
        one.send(link, PeerMessage::Request, &[index; 10_000], None);
    }
    one.peers.leave();
    for index in 0..200_u8 {
        assert_eq!(two.next(PeerMessage::Request, Some(&of_two)).body[0], index);
    }
    two.next(PeerMessage::Down, Some(&of_two));
    assert!(!of_two.is_left());
    // the own end of it, too: the owner's event loop sees that there is nothing to watch
    let mut one = one;
    one.next(PeerMessage::Down, None);
    assert!(!of_one.is_left() && !of_one.read(&mut Batch::default()));
}

#[test]
fn what_was_sent_before_the_end_is_read_although_nothing_can_be_written_any_more() {
    let scratch = Scratch::new("owner-broken");
    let (mut one, mut two, link, of_one, of_two) = linked(&scratch);
    one.send(link, PeerMessage::Request, b"", None);
    let request = two.next(PeerMessage::Request, Some(&of_two));
    two.send(request.link, PeerMessage::Answer, b"answer", None);
    two.peers.leave();
    two.next(PeerMessage::Down, None);
    // the I/O thread meets the error of the second, which the owner has not written
    for _ in 0..2 {
        one.peers.send(link, PeerMessage::Request as u8, 8, (b"", b""), None);
        one.peers.flush();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(one.taken().is_none());
    assert_eq!(*one.next(PeerMessage::Answer, Some(&of_one)).body, *b"answer");
    one.next(PeerMessage::Down, Some(&of_one));
}

#[test]
fn a_link_that_the_io_thread_ends_is_not_read_any_more() {
    let scratch = Scratch::new("owner-left");
    let (one, mut two, link, _of_one, of_two) = linked(&scratch);
    one.send(link, PeerMessage::Request, b"unread", None);
    two.peers.leave();
    two.next(PeerMessage::Down, None);
    assert!(!of_two.read(&mut Batch::default()));
    assert!(two.taken().is_none());
    // a watch of the descriptor notices
    let mut watched = UnixStream::from(duplicate(of_two.fd()));
    watched.set_nonblocking(true).unwrap();
    let error = watched.read(&mut [0; 64]).map_err(|error| error.kind());
    assert_ne!(error, Err(ErrorKind::WouldBlock));
}

#[test]
fn a_number_is_free_although_the_owner_has_links_of_the_member_still_to_give_back() {
    let scratch = Scratch::new("owner-number");
    let (one, two, _link, _of_one, of_two) = linked(&scratch);
    let member = two.peers.member();
    two.peers.leave();
    let again = Directory::open(&scratch.0).unwrap().take_seat(Choice::Given(member.number)).unwrap().0;
    assert_eq!(again.member, Member { boot: member.boot.wrapping_add(1), ..member });
    assert_eq!(one.peers.others(), [again.member]);
    drop((two, of_two));
    assert_eq!(one.peers.others(), [again.member]);
}

/// Another descriptor of the same file.
fn duplicate(descriptor: i32) -> OwnedFd {
    engine_io_native::cluster::descriptors::duplicate(descriptor).unwrap()
}

#[test]
fn a_peer_that_does_not_keep_to_the_format_loses_its_link() {
    let scratch = Scratch::new("owner-malformed");
    let (one, mut two, link, of_one, of_two) = linked(&scratch);
    for _ in 0..2 {
        one.send(link, PeerMessage::Request, b"", Some(fs::File::open("/dev/null").unwrap().into()));
    }
    two.next(PeerMessage::Request, Some(&of_two));
    two.until("the end", |_| {
        of_two.read(&mut Batch::default());
        (!of_two.is_left()).then_some(())
    });
    let mut one = one;
    one.next(PeerMessage::Down, Some(&of_one));
}

#[test]
fn links_end_with_their_io_thread_and_the_owner_who_has_not_read_them() {
    let scratch = Scratch::new("owner-thread");
    let (one, two, link, of_one, of_two) = linked(&scratch);
    let (mut mine, theirs) = connection();
    one.send(link, PeerMessage::Move, b"unread", Some(theirs));
    drop((two, of_two));
    // the descriptor that nobody has taken is closed
    assert_eq!(mine.read(&mut [0]).unwrap(), 0);
    let mut one = one;
    one.next(PeerMessage::Down, Some(&of_one));
}
