//! Members of one machine, their directory and the messages on their links.
#![cfg(unix)]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use engine_io_native::cluster::directory::{Census, Choice, Directory};
use engine_io_native::cluster::id::{Key, Member};
use engine_io_native::cluster::link::Incoming;
use engine_io_native::cluster::peers::{Owner, Peers};
use engine_io_native::cluster::wire::{Decoder, Hello, Malformed, encode};
use engine_io_native::runtime::contract::{PeerMessage, PeerSent};
use engine_io_native::runtime::{EventQueue, IoThread};

/// A directory that goes with its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("engine.io-native-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A member with an I/O thread of its own.
struct Process {
    peers: Arc<Peers>,
    wakes: Receiver<()>,
    taken: Vec<Incoming>,
    thread: IoThread,
}

impl Process {
    fn join(directory: &Scratch) -> Self {
        let thread = IoThread::start("test").unwrap();
        let (wake, wakes) = channel();
        let wake = std::sync::Mutex::new(wake);
        let queue = EventQueue::new(move || {
            let _ = wake.lock().unwrap().send(());
        });
        let peers =
            Peers::join(&directory.0, None, (false, Choice::Lowest, false), (1, queue, thread.commands().clone()))
                .unwrap();
        Self { peers, wakes, taken: Vec::new(), thread }
    }

    /// The next message of this kind; others are dropped.
    fn next(&mut self, kind: PeerMessage) -> Incoming {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            self.taken.extend(self.peers.take(64));
            if let Some(at) = self.taken.iter().position(|message| message.kind == kind as u8) {
                return self.taken.remove(at);
            }
            assert!(Instant::now() < end, "no {kind:?} came");
            let _ = self.wakes.recv_timeout(Duration::from_millis(20));
        }
    }

    fn link(&mut self, peer: Member) -> u32 {
        let link = self.peers.link(peer);
        assert_eq!(self.next(PeerMessage::Up).link, link);
        link
    }

    fn send(&self, link: u32, kind: PeerMessage, body: &[u8], descriptor: Option<OwnedFd>) {
        assert_eq!(self.peers.send(link, kind as u8, 7, (b"head", body), descriptor), PeerSent::Yes);
        self.peers.flush();
    }
}

#[test]
fn members_get_the_lowest_free_numbers_and_count_boots() {
    let scratch = Scratch::new("numbers");
    let take_seat = || Directory::open(&scratch.0).unwrap().take_seat(Choice::Lowest).unwrap();
    let (one, two) = (take_seat(), take_seat());
    assert_eq!([one.0.member.number, two.0.member.number], [0, 1]);
    let before = one.0.member;
    drop(one);
    let again = take_seat();
    assert_eq!(again.0.member, Member { number: 0, boot: before.boot.wrapping_add(1) });
    drop((again, two));
    assert_eq!(scratch.names(), ["0.lock", "1.lock"]);
}

#[test]
fn members_with_others_on_other_machines_spread_their_numbers_and_take_them_again() {
    let scratches: Vec<_> = (0..4).map(|machine| Scratch::new(&format!("machine-{machine}"))).collect();
    let numbers = || -> Vec<_> {
        let directories = scratches.iter().map(|scratch| Directory::open(&scratch.0).unwrap());
        let seats: Vec<_> = directories.map(|directory| directory.take_seat(Choice::Spread).unwrap().0).collect();
        seats.iter().map(|seat| seat.member.number).collect()
    };
    let before = numbers();
    assert!(before.iter().any(|number| *number != before[0]), "{before:?}");
    assert_eq!(numbers(), before);
}

#[test]
fn a_number_that_is_given_is_taken_or_refused() {
    let scratch = Scratch::new("given");
    let take_seat = |number| Directory::open(&scratch.0).unwrap().take_seat(Choice::Given(number));
    let seat = take_seat(5).unwrap();
    assert_eq!(seat.0.member.number, 5);
    let error = take_seat(5).unwrap_err().to_string();
    assert!(error.contains("expected the number 5 to be free"), "{error}");
    drop(seat);
    assert_eq!(take_seat(5).unwrap().0.member.number, 5);
}

#[test]
fn a_number_that_others_have_for_a_moment_is_waited_for() {
    let scratch = Scratch::new("moment");
    let directory = Directory::open(&scratch.0).unwrap();
    let seat = directory.take_seat(Choice::Given(5)).unwrap();
    let (begin, begun) = channel();
    let looks = std::thread::spawn(move || {
        begin.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        drop(seat);
    });
    begun.recv().unwrap();
    assert_eq!(directory.take_seat(Choice::Given(5)).unwrap().0.member.number, 5);
    looks.join().unwrap();
}

#[test]
fn a_free_number_at_which_others_look_is_taken() {
    for choice in [Choice::Lowest, Choice::Spread] {
        let scratch = Scratch::new("looked-at");
        let directory = Directory::open(&scratch.0).unwrap();
        let number = directory.take_seat(choice).unwrap().0.member.number;
        let looks = fs::File::open(scratch.0.join(format!("{number}.lock"))).unwrap();
        // SAFETY: the descriptor is open.
        assert_eq!(unsafe { libc::flock(looks.as_raw_fd(), libc::LOCK_SH) }, 0);
        let looks = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            drop(looks);
        });
        assert_eq!(directory.take_seat(choice).unwrap().0.member.number, number);
        looks.join().unwrap();
    }
}

#[test]
fn the_directory_tells_the_nodes_of_members_that_have_gone() {
    let scratch = Scratch::new("former");
    let directory = Directory::open(&scratch.0).unwrap();
    let take_seat = || directory.take_seat(Choice::Given(5)).unwrap().0;
    let mut members = Vec::new();
    for run in 1..=12 {
        let seat = take_seat();
        seat.note_run(run).unwrap();
        assert_eq!(directory.former_run(seat.member), None, "it is there");
        members.push(seat.member);
    }
    let runs: Vec<_> = members.iter().map(|member| directory.former_run(*member)).collect();
    assert_eq!(runs[..4], [None; 4], "the last eight are known");
    assert_eq!(runs[4..], (5..=12).map(Some).collect::<Vec<_>>());

    let seat = take_seat();
    assert_eq!(directory.former_run(seat.member), None, "it is there, and no node");
    assert_eq!(directory.former_run(members[11]), Some(12), "its number belongs to another one");
    assert_eq!(directory.former_run(Member { number: 6, ..members[11] }), None);
    assert_eq!(scratch.names(), ["5.lock", "5.sock"]);
    fs::write(scratch.0.join("6.lock"), [7, 1, 2, 3]).unwrap();
    assert_eq!(directory.former_run(Member { number: 6, boot: 7 }), None);
    fs::write(scratch.0.join("6.lock"), []).unwrap();
    assert_eq!(directory.former_run(Member { number: 6, boot: 0 }), None);
}

#[test]
fn the_directory_tells_who_is_there_and_who_of_them_is_a_node_of_a_bus() {
    let scratch = Scratch::new("census");
    let open = |is_for_nodes| Directory::open(&scratch.0).unwrap().for_nodes(is_for_nodes);
    let (plain, for_nodes) = (open(false), open(true));
    let other = plain.take_seat(Choice::Given(5)).unwrap();
    // before it has noted which node it is, too
    let node = for_nodes.take_seat(Choice::Given(6)).unwrap();
    let (nodes, others) = (vec![node.0.member], vec![other.0.member]);
    let expected = Census { nodes, others: others.clone(), ..Census::default() };
    assert_eq!(plain.count(), expected);
    node.0.note_run(7).unwrap();
    assert_eq!(for_nodes.count(), expected);

    let member = node.0.member;
    drop(node);
    assert_eq!(plain.count(), Census { others, has_lost_nodes: true, ..Census::default() });
    assert_eq!(plain.former_run(member), Some(7));
    drop(for_nodes.take_seat(Choice::Given(6)).unwrap());
    let unknown = Member { boot: member.boot.wrapping_add(1), ..member };
    assert_eq!(plain.former_run(unknown), None, "it has not noted which node it was");
    drop((other, plain.take_seat(Choice::Given(6)).unwrap()));
    assert_eq!(plain.count(), Census::default(), "the last member with each number was no node");
}

#[test]
fn members_with_another_key_are_strangers_and_not_among_the_others() {
    let scratch = Scratch::new("strangers");
    let open = |key: u8| Directory::open(&scratch.0).unwrap().for_key(&Key::new(&[key; 32]));
    let (one, two) = (open(1), open(2).for_nodes(true));
    let any = Directory::open(&scratch.0).unwrap();
    let (first, second) = (one.take_seat(Choice::Given(5)).unwrap(), two.take_seat(Choice::Given(6)).unwrap());
    let others = vec![first.0.member];
    assert_eq!(one.count(), Census { others: others.clone(), strangers: 1, ..Census::default() });
    assert_eq!((two.count().nodes, two.count().strangers), (vec![second.0.member], 1));
    assert_eq!(any.count().strangers, 0, "a directory that is looked at without a key");
    drop(second);
    assert_eq!(one.count(), Census { others, ..Census::default() }, "the node was not one of these");
    for run in 1..=9 {
        two.take_seat(Choice::Given(6)).unwrap().0.note_run(run).unwrap();
    }
    let member = two.take_seat(Choice::Given(6)).unwrap().0.member;
    let former = |ago: u8| two.former_run(Member { boot: member.boot.wrapping_sub(ago), ..member });
    assert_eq!((former(1), former(7), former(8)), (Some(9), Some(3), None), "the mark is not one of the nodes");
    fs::write(scratch.0.join("6.lock"), [7, 1, 2, 3]).unwrap();
    let third = two.take_seat(Choice::Given(6)).unwrap();
    assert_eq!(one.count().strangers, 1, "a short file is filled up");
    drop(third);
    let _fourth = any.take_seat(Choice::Given(6)).unwrap();
    assert_eq!(one.count().strangers, 0);
}

#[test]
fn a_member_that_changes_its_number_answers_by_both() {
    let scratch = Scratch::new("changes");
    let (mut one, mut two) = (Process::join(&scratch), Process::join(&scratch));
    let before = two.peers.member();
    let early = two.peers.issue().unwrap();
    assert!(two.peers.change_number().unwrap(), "there is an id of the former number");
    let after = two.peers.member();
    assert_ne!(before.number, after.number);
    let late = two.peers.issue().unwrap();
    for (id, member) in [(early, before), (late, after)] {
        assert_eq!((one.peers.owner_of(&id), two.peers.owner_of(&id)), (Owner::Peer(member), Owner::Mine));
        let link = one.link(member);
        one.send(link, PeerMessage::Request, b"body", None);
        assert_eq!(two.next(PeerMessage::Request).head, "head");
    }
    assert_eq!(two.peers.others(), [one.peers.member()]);
    let mut others = one.peers.others();
    others.sort_unstable();
    let mut both = [before, after];
    both.sort_unstable();
    assert_eq!(others, both);
    let retaken = Member { boot: before.boot.wrapping_add(1), ..before };
    assert_eq!(two.peers.owner_of(&key_id(&scratch, retaken)), Owner::Gone);
    for _ in 0..3 {
        two.peers.change_number().unwrap();
    }
    assert!(two.peers.change_number().is_err());
}

/// An id of a member, made with the key of the directory.
fn key_id(scratch: &Scratch, member: Member) -> [u8; 20] {
    Key::new(&Directory::open(&scratch.0).unwrap().key().unwrap()).issue([1; 9], member)
}

#[test]
fn the_first_member_makes_the_key_and_others_read_it() {
    let scratch = Scratch::new("key");
    let directory = Directory::open(&scratch.0).unwrap();
    let key = directory.key().unwrap();
    assert_eq!(Directory::open(&scratch.0).unwrap().key().unwrap(), key);
    assert_eq!(scratch.names(), ["key"]);
    assert_eq!(fs::metadata(scratch.0.join("key")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn many_members_that_start_at_once_agree_on_the_key_and_share_no_number() {
    let scratch = Scratch::new("at-once");
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let path = scratch.0.clone();
            std::thread::spawn(move || {
                let directory = Directory::open(&path).unwrap();
                (directory.key().unwrap(), directory.take_seat(Choice::Lowest).unwrap())
            })
        })
        .collect();
    let joined: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let mut numbers: Vec<_> = joined.iter().map(|(_, (seat, _))| seat.member.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 8);
    assert!(joined.iter().all(|(key, _)| *key == joined[0].0));
}

#[test]
fn messages_come_in_order_with_the_descriptors_that_belong_to_them() {
    let scratch = Scratch::new("messages");
    let (mut one, mut two) = (Process::join(&scratch), Process::join(&scratch));
    let link = one.link(two.peers.member());
    assert_eq!(one.peers.link(two.peers.member()), link, "there is one link");
    let mut ends = Vec::new();
    for index in 0..50_u8 {
        let (mine, theirs) = UnixStream::pair().unwrap();
        ends.push(mine);
        one.send(link, PeerMessage::Request, &vec![index; 100_000], None);
        one.send(link, PeerMessage::Move, &[index], Some(theirs.into()));
    }
    for (index, mine) in ends.iter_mut().enumerate() {
        let request = two.next(PeerMessage::Request);
        assert_eq!((&*request.head, request.number, request.body.len()), ("head", 7, 100_000));
        assert!(request.body.iter().all(|&byte| usize::from(byte) == index));
        let moved = two.next(PeerMessage::Move);
        assert_eq!(*moved.body, [index as u8]);
        let mut theirs = UnixStream::from(moved.descriptor.unwrap());
        theirs.write_all(&[index as u8]).unwrap();
        let mut byte = [0];
        mine.read_exact(&mut byte).unwrap();
        assert_eq!(usize::from(byte[0]), index);
    }
    // the answers go back on the same link
    let request = {
        one.send(link, PeerMessage::Request, b"", None);
        two.next(PeerMessage::Request)
    };
    two.send(request.link, PeerMessage::Answer, b"answer", None);
    assert_eq!(*one.next(PeerMessage::Answer).body, *b"answer");
}

#[test]
fn descriptors_that_wait_in_a_link_are_bounded() {
    let scratch = Scratch::new("waiting");
    let (mut one, two) = (Process::join(&scratch), Process::join(&scratch));
    let link = one.link(two.peers.member());
    let descriptor = || Some(OwnedFd::from(fs::File::open("/dev/null").unwrap()));
    let move_one = || one.peers.send(link, PeerMessage::Move as u8, 0, (b"head", b""), descriptor());
    // nothing is flushed, as if the peer did not read
    let sent = (0..2000).take_while(|_| move_one() == PeerSent::Yes).count();
    assert_eq!(sent, 512);
    assert_eq!(move_one(), PeerSent::Later);
    let request = one.peers.send(link, PeerMessage::Request as u8, 0, (b"head", b""), None);
    assert_eq!(request, PeerSent::Yes, "what needs none goes on");
}

#[test]
fn a_link_is_not_read_while_its_owner_does_not_take_messages() {
    let scratch = Scratch::new("bounded");
    let (mut one, mut two) = (Process::join(&scratch), Process::join(&scratch));
    let link = one.link(two.peers.member());
    let body = vec![0; 1 << 20];
    // the peer takes some 16 MiB, and as many wait here; then requests are not taken for now, but what is small is
    let (mut sent, mut refused) = (0, 0);
    // the I/O threads may need a while
    while refused < 50 {
        if one.peers.send(link, PeerMessage::Request as u8, 0, (b"", &body), None) == PeerSent::Yes {
            one.peers.flush();
            (sent, refused) = (sent + 1, 0);
            assert!(sent < 200);
        } else {
            refused += 1;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(sent > 24, "{sent} MiB were sent");
    let request = || one.peers.send(link, PeerMessage::Request as u8, 0, (b"", b"late"), None);
    assert_eq!(request(), PeerSent::Later);
    assert_eq!(one.peers.send(link, PeerMessage::Fail as u8, 0, (b"", b""), None), PeerSent::Yes);
    for _ in 0..sent {
        assert_eq!(two.next(PeerMessage::Request).body.len(), 1 << 20);
    }
    one.send(link, PeerMessage::Done, b"", None);
    two.next(PeerMessage::Done);
}

#[test]
fn what_a_member_sends_before_it_leaves_arrives_and_then_its_links_end() {
    let scratch = Scratch::new("leave");
    let (mut one, mut two) = (Process::join(&scratch), Process::join(&scratch));
    let peer = two.peers.member();
    let link = one.link(peer);
    one.send(link, PeerMessage::Request, b"", None);
    let request = two.next(PeerMessage::Request);
    two.send(request.link, PeerMessage::Answer, &vec![1; 1 << 20], None);
    two.peers.leave();
    drop(two.peers);
    assert_eq!(one.next(PeerMessage::Answer).body.len(), 1 << 20);
    assert_eq!(one.next(PeerMessage::Down).link, link);
    drop(two.thread);
    assert!(!scratch.0.join("1.sock").exists());
    // its ids are dead as soon as a link to it could not be made
    let id = Key::new(&Directory::open(&scratch.0).unwrap().key().unwrap()).issue([1; 9], peer);
    assert_eq!(one.peers.owner_of(&id), Owner::Peer(peer));
    let link = one.peers.link(peer);
    assert_eq!(one.next(PeerMessage::Down).link, link);
    assert_eq!(one.peers.owner_of(&id), Owner::Gone);
    assert_eq!(one.peers.send(link, PeerMessage::Request as u8, 0, (b"", b""), None), PeerSent::No);
}

/// The other end of a stream closes it long before a member would give up.
fn ends_at_once(stream: &mut UnixStream) {
    stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let result = stream.read_to_end(&mut Vec::new());
    // a reset is an end, too
    assert!(!result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "the stream is still open");
}

#[test]
fn what_waits_for_peers_ends_when_the_member_leaves() {
    use std::os::unix::net::UnixListener;
    let scratch = Scratch::new("leave-waiting");
    let one = Process::join(&scratch);
    let mut silent = UnixStream::connect(scratch.0.join("0.sock")).unwrap();
    let listener = UnixListener::bind(scratch.0.join("1.sock")).unwrap();
    one.peers.link(Member { number: 1, boot: 3 });
    let (mut asked, _) = listener.accept().unwrap();
    let mut hello = [0];
    asked.read_exact(&mut hello).unwrap();
    one.peers.leave();
    ends_at_once(&mut silent);
    ends_at_once(&mut asked);
}

#[test]
fn the_numbers_of_a_member_that_leaves_are_free_at_once() {
    let scratch = Scratch::new("leave-number");
    let (mut one, two) = (Process::join(&scratch), Process::join(&scratch));
    let former = two.peers.member();
    two.peers.change_number().unwrap();
    let members = [former, two.peers.member()];
    let link = one.link(former);
    two.peers.leave();
    let directory = Directory::open(&scratch.0).unwrap();
    let seats = members.map(|member| {
        assert!(!directory.has(member));
        directory.take_seat(Choice::Given(member.number)).unwrap().0
    });
    for (seat, member) in seats.iter().zip(members) {
        assert_eq!(seat.member, Member { boot: member.boot.wrapping_add(1), ..member });
    }
    // what is left of the member leaves its successors alone
    assert_eq!(one.next(PeerMessage::Down).link, link);
    drop(two);
    assert_eq!(directory.members().len(), 3);
}

#[test]
fn links_of_a_member_that_joins_again_have_other_numbers() {
    let scratch = Scratch::new("link-numbers");
    let (mut one, mut two) = (Process::join(&scratch), Process::join(&scratch));
    let before = one.link(two.peers.member());
    one.peers.leave();
    one = Process::join(&scratch);
    let after = one.link(two.peers.member());
    assert_ne!(before, after);
    assert_eq!(one.peers.send(before, PeerMessage::Request as u8, 0, (b"", b""), None), PeerSent::No);
    one.send(after, PeerMessage::Request, b"", None);
    two.next(PeerMessage::Request);
}

#[test]
fn a_member_that_has_the_number_of_another_is_not_taken_for_it() {
    let scratch = Scratch::new("successor");
    let mut one = Process::join(&scratch);
    let gone = Process::join(&scratch);
    let member = gone.peers.member();
    drop(gone);
    let next = Process::join(&scratch);
    assert_eq!(next.peers.member().number, member.number);
    let link = one.peers.link(member);
    assert_eq!(one.next(PeerMessage::Down).link, link);
    one.link(next.peers.member());
    let key = Key::new(&Directory::open(&scratch.0).unwrap().key().unwrap());
    assert_eq!(one.peers.owner_of(&key.issue([2; 9], next.peers.member())), Owner::Peer(next.peers.member()));
    assert_eq!(next.peers.owner_of(&key.issue([2; 9], member)), Owner::Gone);
    assert_eq!(one.peers.owner_of(&key.issue([2; 9], one.peers.member())), Owner::Mine);
    assert_eq!(one.peers.owner_of(b"something else"), Owner::Unknown);
    assert_eq!(one.peers.others(), [next.peers.member()]);
}

#[test]
fn a_stranger_who_reaches_the_socket_gets_no_link() {
    let scratch = Scratch::new("stranger");
    let mut one = Process::join(&scratch);
    let wrong = Key::new(&[9; 32]);
    let hello = Hello { from: Member { number: 5, boot: 0 }, to: one.peers.member() };
    let mut forged = Vec::new();
    hello.encode(&wrong, &mut forged);
    let mut no_hello = Vec::new();
    assert!(encode(PeerMessage::Request as u8, 0, b"x", b"", &mut no_hello));
    for bytes in [forged, no_hello, b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 100]] {
        let mut stream = UnixStream::connect(scratch.0.join("0.sock")).unwrap();
        stream.write_all(&bytes).unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        // the end, or a reset because bytes were left unread
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"");
    }
    assert!(one.peers.take(64).is_empty());
    let mut two = Process::join(&scratch);
    let link = two.link(one.peers.member());
    two.send(link, PeerMessage::Request, b"", None);
    one.next(PeerMessage::Request);
}

#[test]
fn connections_that_say_nothing_are_bounded() {
    let scratch = Scratch::new("silent");
    let (one, mut other) = (Process::join(&scratch), Process::join(&scratch));
    let path = scratch.0.join(format!("{}.sock", one.peers.member().number));
    let strangers: Vec<_> = (0..128).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let link = other.peers.link(one.peers.member());
    let _ = other.wakes.recv_timeout(Duration::from_millis(300));
    assert!(other.peers.take(64).is_empty(), "the link waits until there is room");
    drop(strangers);
    assert_eq!(other.next(PeerMessage::Up).link, link);
}

#[test]
fn a_peer_that_sends_descriptors_without_connections_loses_its_link() {
    let scratch = Scratch::new("descriptors");
    let (mut one, mut two) = (Process::join(&scratch), Process::join(&scratch));
    let link = two.link(one.peers.member());
    for _ in 0..2 {
        let descriptor = OwnedFd::from(fs::File::open("/dev/null").unwrap());
        two.send(link, PeerMessage::Request, b"", Some(descriptor));
    }
    let asked = one.next(PeerMessage::Request);
    assert!(asked.descriptor.is_none());
    assert_eq!(one.next(PeerMessage::Down).link, asked.link);
    assert_eq!(two.next(PeerMessage::Down).link, link);
}

#[test]
fn messages_are_read_from_any_pieces() {
    let mut bytes = Vec::new();
    for index in 0..20_u32 {
        assert!(encode(index as u8, index, &vec![b'h'; index as usize], &vec![1; 3 * index as usize], &mut bytes));
    }
    for size in [1, 2, 3, 7, 64, bytes.len()] {
        let mut decoder = Decoder::default();
        let mut count = 0;
        for piece in bytes.chunks(size) {
            decoder.feed(piece);
            while let Some(message) = decoder.take().unwrap() {
                assert_eq!((message.kind, message.number), (count as u8, count));
                assert_eq!((message.head.len(), message.body.len()), (count as usize, 3 * count as usize));
                count += 1;
            }
        }
        assert_eq!(count, 20);
    }
}

#[test]
fn frames_with_impossible_lengths_are_malformed() {
    for bytes in [&[0, 0, 0, 0][..], &[8, 0, 0, 0], &[1, 0, 0, 0x40], &[9, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0]] {
        let mut decoder = Decoder::default();
        decoder.feed(bytes);
        assert_eq!(decoder.take(), Err(Malformed), "{bytes:?}");
    }
}

#[test]
fn a_hello_that_a_member_has_said_to_another_one_proves_nothing() {
    use std::os::unix::net::UnixListener;
    let scratch = Scratch::new("repeated");
    let mut one = Process::join(&scratch);
    // it has gone, and its name is taken by somebody without the key who has heard it say hello
    let dead = Member { number: 1, boot: 3 };
    let key = Key::new(&Directory::open(&scratch.0).unwrap().key().unwrap());
    let mut heard = Vec::new();
    Hello { from: dead, to: Member { number: 9, boot: 200 } }.encode(&key, &mut heard);
    let hello_length = heard.len();
    let listener = UnixListener::bind(scratch.0.join("1.sock")).unwrap();
    let stranger = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = Vec::new();
        stream.write_all(&heard).unwrap();
        stream.read_to_end(&mut got).unwrap();
        got
    });
    let link = one.peers.link(dead);
    assert_eq!(one.next(PeerMessage::Down).link, link);
    assert_eq!(stranger.join().unwrap().len(), hello_length, "the hello of this member, and nothing else");
}

#[test]
fn a_member_that_does_not_listen_yet_is_not_noted_as_gone() {
    let scratch = Scratch::new("early");
    let mut one = Process::join(&scratch);
    let (seat, bound) = Directory::open(&scratch.0).unwrap().take_seat(Choice::Lowest).unwrap();
    let member = seat.member;
    drop(bound);
    let link = one.peers.link(member);
    assert_eq!(one.next(PeerMessage::Down).link, link);
    let key = Key::new(&Directory::open(&scratch.0).unwrap().key().unwrap());
    assert_eq!(one.peers.owner_of(&key.issue([2; 9], member)), Owner::Peer(member));
}
