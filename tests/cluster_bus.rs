//! Nodes on a bus: what they do for each other, and what they answer to messages that no honest node sends.

use std::collections::{BTreeMap, VecDeque};

use engine_io_native::cluster::bus::action::{Action, Admission, Failure, Stream};
use engine_io_native::cluster::bus::association::{GIVE_UP, MAX_QUEUED, WINDOW};
use engine_io_native::cluster::bus::message::{
    Header, Hello, Item, Kind, MAX_PIECE, Millis, Purpose, Run, VERSION, Why, open, seal,
};
use engine_io_native::cluster::bus::node::{
    ACCEPT, CREDIT, Config, Dropped, FORGET, HELLO, JOIN, MARGIN, MAX_AGE, MAX_HELD, MAX_HELD_OF_SESSION, MAX_OTHERS,
    MAX_PEERS, MAX_SERVED, Node, SILENT, SOON, START,
};
use engine_io_native::cluster::id::{Key, Member};

fn key() -> Key {
    Key::new(&[7; Key::LENGTH])
}

/// Nodes, and a bus that delivers at once.
struct Bus {
    now: Millis,
    nodes: BTreeMap<Run, Node>,
    /// What the nodes want of their processes.
    actions: BTreeMap<Run, VecDeque<Action>>,
    /// The requests of which the owners have heard that the client has the answer.
    done: Vec<Stream>,
    /// All that was published: sender, receiver, message.
    published: Vec<(Run, Option<Run>, Vec<u8>)>,
    /// From the first to the second nothing arrives.
    apart: Vec<(Run, Run)>,
}

impl Bus {
    /// Nodes of these runs, whose numbers are their runs. They know each other.
    fn new(runs: &[Run]) -> Self {
        let mut bus = Self {
            now: 50_000,
            nodes: BTreeMap::new(),
            actions: BTreeMap::new(),
            done: Vec::new(),
            published: Vec::new(),
            apart: Vec::new(),
        };
        for run in runs {
            bus.start(*run, Some(*run as u16), 0);
        }
        bus.pass(JOIN + HELLO);
        for run in runs {
            assert_eq!(bus.nodes[run].associated().count(), runs.len() - 1);
            assert_eq!(bus.next(*run), Some(Action::Joined(Member { number: *run as u16, boot: 0 })));
        }
        bus
    }

    fn start(&mut self, run: Run, number: Option<u16>, boot: u8) {
        self.nodes.insert(run, Node::new(self.now, Config { key: key(), run, number, boot, longest_poll: 60_000 }));
        self.run();
    }

    /// Time passes.
    fn pass(&mut self, time: Millis) {
        let end = self.now + time;
        loop {
            let due = self.nodes.values().map(Node::due).min().unwrap();
            if due > end {
                break;
            }
            self.now = self.now.max(due);
            for node in self.nodes.values_mut().filter(|node| node.due() <= due) {
                node.tick(self.now);
            }
            self.run();
        }
        self.now = end;
    }

    /// Everything that is due now happens.
    fn run(&mut self) {
        loop {
            let mut messages = Vec::new();
            for (run, node) in &mut self.nodes {
                node.flush(self.now);
                while let Some(action) = node.next_action() {
                    match action {
                        Action::Publish { to, message } => messages.push((*run, to, message)),
                        Action::Done(stream) => self.done.push(stream),
                        action => self.actions.entry(*run).or_default().push_back(action),
                    }
                }
            }
            if messages.is_empty() {
                return;
            }
            for (from, to, message) in messages {
                for (run, node) in &mut self.nodes {
                    if to.is_none_or(|to| to == *run) && !self.apart.contains(&(from, *run)) {
                        node.receive(self.now, &message);
                    }
                }
                self.published.push((from, to, message));
            }
        }
    }

    fn separate(&mut self, a: Run, b: Run) {
        self.apart.extend([(a, b), (b, a)]);
    }

    fn next(&mut self, run: Run) -> Option<Action> {
        self.run();
        self.actions.get_mut(&run)?.pop_front()
    }

    fn node(&mut self, run: Run) -> &mut Node {
        self.nodes.get_mut(&run).unwrap()
    }

    fn ask(&mut self, run: Run, purpose: Purpose, id: &[u8]) -> Stream {
        let now = self.now;
        let stream = self.node(run).ask(now, purpose, id, b"head", b"body", true);
        self.run();
        stream
    }

    /// The next action is that a request is to be served.
    fn serve(&mut self, run: Run) -> (Stream, bool) {
        match self.next(run) {
            Some(Action::Serve { stream, claimable, head, body, last: true, .. }) => {
                assert_eq!((head, body), (b"head".to_vec(), b"body".to_vec()));
                (stream, claimable)
            }
            action => panic!("a request is to be served, not {action:?}"),
        }
    }

    fn answer(&mut self, run: Run, stream: Stream, status: u16) {
        let last = status != 101;
        self.node(run).answer(stream, status, b"h", b"b", last);
        self.run();
    }

    fn assert_answered(&mut self, run: Run, stream: Stream, status: u16) {
        let answer = Action::Answer { stream, status, head: b"h".into(), body: b"b".into(), last: status != 101 };
        assert_eq!(self.next(run), Some(answer));
    }

    fn assert_fails(&mut self, run: Run, stream: Stream, failure: Failure) {
        assert_eq!(self.next(run), Some(Action::Failed { stream, failure }));
    }

    fn assert_idle(&mut self) {
        self.run();
        for (run, node) in &self.nodes {
            let held = node.held();
            assert_eq!((held.asked, held.served, held.waiting, held.sessions), (0, 0, 0, 0), "{run}: {held:?}");
        }
        assert!(self.actions.values().all(VecDeque::is_empty), "{:?}", self.actions);
    }
}

fn id_of(number: u16) -> Vec<u8> {
    key().issue([3; 9], Member { number, boot: 0 }).to_vec()
}

#[test]
fn a_request_is_served_by_its_owner_and_answered_where_it_came_in() {
    let mut bus = Bus::new(&[1, 2, 3]);
    for purpose in [Purpose::Poll, Purpose::Post] {
        let asked = bus.ask(1, purpose, &id_of(2));
        let (served, claimable) = bus.serve(2);
        assert!(!claimable);
        bus.answer(2, served, 200);
        bus.assert_answered(1, asked, 200);
        bus.run();
        assert_eq!(bus.done, []);
        bus.node(1).done(asked);
        bus.assert_idle();
        assert_eq!(std::mem::take(&mut bus.done), [served]);
    }
}

#[test]
fn ids_of_a_node_that_leaves_are_unknown_at_once() {
    let mut bus = Bus::new(&[1, 2]);
    let now = bus.now;
    assert!(bus.node(1).knows(now, &id_of(2)) && !bus.node(1).knows(now, &id_of(3)));
    bus.node(2).leave(now);
    bus.run();
    bus.nodes.remove(&2);
    assert!(!bus.node(1).knows(now, &id_of(2)));
    let asked = bus.ask(1, Purpose::Poll, &id_of(2));
    bus.assert_fails(1, asked, Failure::Unknown);
}

#[test]
fn a_client_that_goes_before_or_after_the_answer_is_reported_to_the_owner() {
    let mut bus = Bus::new(&[1, 2]);
    let asked = bus.ask(1, Purpose::Poll, &id_of(2));
    let (served, _) = bus.serve(2);
    bus.node(1).cut(asked);
    assert_eq!(bus.next(2), Some(Action::Gone(served)));

    let asked = bus.ask(1, Purpose::Poll, &id_of(2));
    let (served, _) = bus.serve(2);
    bus.node(1).cut(asked);
    bus.node(2).answer(served, 200, b"h", b"b", true);
    assert_eq!(bus.next(2), Some(Action::Lost(served, id_of(2))));
    bus.assert_idle();
}

#[test]
fn an_owner_that_cannot_be_reached_is_answered_503_and_one_that_does_not_exist_400() {
    let mut bus = Bus::new(&[1, 2]);
    let forged = bus.ask(1, Purpose::Poll, b"AAAAAAAAAAAAAAAAAAAA");
    bus.assert_fails(1, forged, Failure::Unknown);
    let never_there = bus.ask(1, Purpose::Poll, &id_of(77));
    bus.assert_fails(1, never_there, Failure::Unknown);
    let boot_before = key().issue([0; 9], Member { number: 2, boot: 9 });
    let ended = bus.ask(1, Purpose::Poll, &boot_before);
    bus.assert_fails(1, ended, Failure::Unknown);
    let refused = bus.ask(1, Purpose::Poll, &id_of(2));
    let (served, _) = bus.serve(2);
    bus.node(2).refuse(served, Why::Unknown);
    bus.assert_fails(1, refused, Failure::Unknown);
    // as an id of its own that its process does not know
    let own = bus.ask(1, Purpose::Poll, &id_of(1));
    bus.assert_fails(1, own, Failure::Unknown);

    bus.separate(1, 2);
    bus.pass(GIVE_UP + 1);
    let cut_off = bus.ask(1, Purpose::Poll, &id_of(2));
    bus.assert_fails(1, cut_off, Failure::Unavailable);
    bus.pass(FORGET);
    let forgotten = bus.ask(1, Purpose::Poll, &id_of(2));
    bus.assert_fails(1, forgotten, Failure::Unknown);
    // while it does not hear itself either, it cannot tell
    bus.apart.push((1, 1));
    bus.pass(GIVE_UP);
    let silent = bus.ask(1, Purpose::Poll, &id_of(2));
    bus.assert_fails(1, silent, Failure::Unavailable);
    bus.assert_idle();
}

#[test]
fn a_new_node_exchanges_requests_with_the_others_from_its_first_hello_on() {
    let mut bus = Bus::new(&[4, 6]);
    bus.start(5, Some(5), 0);
    for number in [4, 6] {
        bus.ask(5, Purpose::Poll, &id_of(number));
    }
    assert_eq!((bus.next(4), bus.next(6)), (None, None));
    bus.pass(0);
    bus.serve(4);
    bus.serve(6);
}

#[test]
fn a_new_node_keeps_requests_until_it_can_tell_whether_another_one_has_the_session() {
    let mut bus = Bus::new(&[1]);
    bus.start(5, Some(5), 0);
    let early = bus.ask(5, Purpose::Poll, &id_of(2));
    bus.pass(JOIN + HELLO - 1);
    assert_eq!(bus.next(5), Some(Action::Joined(Member { number: 5, boot: 0 })));
    assert_eq!(bus.next(5), None);
    bus.pass(HELLO);
    bus.assert_fails(5, early, Failure::Unknown);
    bus.assert_idle();
}

#[test]
fn a_new_node_sends_requests_when_it_hears_their_owner() {
    let mut bus = Bus::new(&[1, 2]);
    // its client is not connected
    bus.separate(2, 5);
    bus.apart.push((5, 5));
    bus.start(5, Some(5), 0);
    let early = bus.ask(5, Purpose::Poll, &id_of(2));
    let gone = bus.ask(5, Purpose::Poll, &id_of(2));
    bus.pass(START - 3 * HELLO);
    assert_eq!(bus.next(2), None);
    bus.node(5).cut(gone);
    bus.apart.clear();
    bus.pass(2 * HELLO);
    let (served, _) = bus.serve(2);
    bus.answer(2, served, 200);
    assert_eq!(bus.next(5), Some(Action::Joined(Member { number: 5, boot: 0 })));
    bus.assert_answered(5, early, 200);
    bus.node(5).done(early);
    assert_eq!(bus.next(2), None, "the client of the other one has gone");
    bus.assert_idle();
}

#[test]
fn a_new_node_keeps_requests_for_a_time_and_not_more_than_some() {
    let mut bus = Bus::new(&[1, 2]);
    bus.separate(2, 5);
    bus.apart.push((5, 5));
    bus.start(5, None, 0);
    for _ in 0..MAX_HELD {
        bus.ask(5, Purpose::Poll, &id_of(2));
    }
    let above = bus.ask(5, Purpose::Poll, &id_of(2));
    bus.assert_fails(5, above, Failure::Unavailable);
    bus.pass(START - 1);
    assert!(matches!(bus.next(5), Some(Action::Joined(_))));
    assert_eq!(bus.next(5), None);
    bus.pass(1);
    for _ in 0..MAX_HELD {
        assert!(matches!(bus.next(5), Some(Action::Failed { failure: Failure::Unavailable, .. })));
    }
    let later = bus.ask(5, Purpose::Poll, &id_of(2));
    bus.assert_fails(5, later, Failure::Unavailable);
    bus.assert_idle();
}

#[test]
fn a_request_that_is_not_taken_fails_when_it_cannot_be_taken_any_more() {
    let mut bus = Bus::new(&[1, 2]);
    bus.apart.push((1, 2));
    let asked = bus.ask(1, Purpose::Post, &id_of(2));
    bus.pass(ACCEPT);
    assert_eq!(bus.next(1), None, "the association has broken, but the request may be on the way");
    bus.pass(MARGIN);
    bus.assert_fails(1, asked, Failure::Unavailable);

    // what the bus has kept for that time does not count
    let late = bus.published.iter().rfind(|(from, to, message)| {
        (*from, *to) == (1, Some(2)) && open(&key(), message).unwrap().0.kind == Kind::Frame
    });
    let late = late.unwrap().2.clone();
    let now = bus.now;
    bus.node(2).receive(now, &late);
    assert_eq!(bus.next(2), None);
}

#[test]
fn an_association_that_breaks_ends_the_session_of_an_answer_that_may_be_lost() {
    let mut bus = Bus::new(&[1, 2]);
    let poll = bus.ask(1, Purpose::Poll, &id_of(2));
    let (served, _) = bus.serve(2);
    let waits = bus.ask(1, Purpose::Poll, &key().issue([4; 9], Member { number: 2, boot: 0 }));
    let (waiting, _) = bus.serve(2);
    bus.separate(1, 2);
    bus.answer(2, served, 200);
    assert_eq!(bus.node(2).admit(Purpose::Poll, &id_of(2), 5), Admission::Later);
    assert_eq!(bus.node(2).admit(Purpose::Post, &id_of(2), 6), Admission::Now);
    bus.pass(GIVE_UP + 1);
    bus.assert_fails(1, poll, Failure::Unavailable);
    bus.assert_fails(1, waits, Failure::Unavailable);
    assert_eq!(bus.next(2), Some(Action::Lost(served, id_of(2))));
    assert_eq!(bus.next(2), Some(Action::Gone(waiting)));
    assert_eq!(bus.next(2), Some(Action::Proceed(5)), "after the session has ended");
    bus.assert_idle();
}

#[test]
fn the_next_request_waits_until_the_answer_before_is_settled() {
    let mut bus = Bus::new(&[1, 2, 3]);
    let first = bus.ask(1, Purpose::Post, &id_of(2));
    let (served, _) = bus.serve(2);
    bus.answer(2, served, 200);
    bus.assert_answered(1, first, 200);
    let second = bus.ask(3, Purpose::Post, &id_of(2));
    assert_eq!(bus.next(2), None);
    bus.node(1).done(first);
    let (served, _) = bus.serve(2);
    bus.answer(2, served, 200);
    bus.assert_answered(3, second, 200);
    bus.node(3).done(second);
    bus.assert_idle();
}

#[test]
fn requests_that_wait_go_on_when_their_session_ends() {
    let mut bus = Bus::new(&[1, 2, 3]);
    let id = id_of(2);
    let first = bus.ask(1, Purpose::Poll, &id);
    let (served, _) = bus.serve(2);
    bus.answer(2, served, 200);
    bus.assert_answered(1, first, 200);
    assert!(!bus.node(2).over(&id_of(3)));
    assert_eq!(bus.node(2).admit(Purpose::Poll, &id, 7), Admission::Later);
    let foreign = bus.ask(3, Purpose::Poll, &id);
    assert_eq!(bus.next(2), None);
    assert!(bus.node(2).over(&id));
    assert_eq!(bus.next(2), Some(Action::Proceed(7)));
    let (served, _) = bus.serve(2);
    bus.node(2).refuse(served, Why::Unknown);
    bus.assert_fails(3, foreign, Failure::Unknown);
    assert_eq!(bus.node(2).admit(Purpose::Poll, &id, 8), Admission::Now);
    bus.node(1).done(first);
    bus.run();
    bus.assert_idle();
}

#[test]
fn requests_that_wait_have_a_bound() {
    let mut bus = Bus::new(&[1, 2]);
    let first = bus.ask(1, Purpose::Post, &id_of(2));
    let (served, _) = bus.serve(2);
    bus.answer(2, served, 200);
    bus.assert_answered(1, first, 200);
    for token in 0..MAX_HELD_OF_SESSION as u64 {
        assert_eq!(bus.node(2).admit(Purpose::Post, &id_of(2), token), Admission::Later);
    }
    assert_eq!(bus.node(2).admit(Purpose::Post, &id_of(2), 9_999), Admission::Never);
    let refused = bus.ask(1, Purpose::Post, &id_of(2));
    bus.assert_fails(1, refused, Failure::Unavailable);
}

#[test]
fn requests_that_wait_for_all_sessions_have_a_bound() {
    let mut bus = Bus::new(&[1, 2]);
    let ids: Vec<_> = (0..=MAX_HELD / MAX_HELD_OF_SESSION)
        .map(|at| key().issue([at as u8; 9], Member { number: 2, boot: 0 }).to_vec())
        .collect();
    for id in &ids {
        let first = bus.ask(1, Purpose::Post, id);
        let (served, _) = bus.serve(2);
        bus.answer(2, served, 200);
        bus.assert_answered(1, first, 200);
    }
    let (last, others) = ids.split_last().unwrap();
    for id in others {
        for token in 0..MAX_HELD_OF_SESSION as u64 {
            assert_eq!(bus.node(2).admit(Purpose::Post, id, token), Admission::Later);
        }
    }
    assert_eq!(bus.node(2).admit(Purpose::Post, last, 9_999), Admission::Never);
}

#[test]
fn a_long_body_and_a_long_answer_come_in_pieces_as_far_as_credit_goes() {
    let mut bus = Bus::new(&[1, 2]);
    let now = bus.now;
    let asked = bus.node(1).ask(now, Purpose::Post, &id_of(2), b"head", b"body", false);
    assert_eq!(bus.node(1).room(asked), 0, "before the owner has taken the request");
    assert_eq!(bus.next(1), Some(Action::Writable(asked)));
    let Some(Action::Serve { stream: served, last: false, .. }) = bus.next(2) else { panic!("it is served") };
    let mut sent = 0;
    while bus.node(1).room(asked) > 0 {
        let room = bus.node(1).room(asked);
        assert!(bus.node(1).send(asked, &vec![1; room], false));
        sent += room;
    }
    assert_eq!(sent, CREDIT as usize);
    assert!(!bus.node(1).send(asked, b"x", false), "beyond the credit");
    let mut came = 0;
    while let Some(Action::Data { stream, body, last: false }) = bus.next(2) {
        assert_eq!(stream, served);
        came += body.len();
    }
    assert_eq!(came, sent);
    bus.node(2).consumed(served, came);
    assert_eq!(bus.next(1), Some(Action::Writable(asked)));
    assert!(bus.node(1).room(asked) >= MAX_PIECE);
    assert!(bus.node(1).send(asked, b"end", true));
    assert_eq!(bus.next(2), Some(Action::Data { stream: served, body: b"end".into(), last: true }));

    bus.node(2).answer(served, 200, b"h", b"b", false);
    assert!(bus.node(2).send(served, b"end", true));
    bus.run();
    let answer = Action::Answer { stream: asked, status: 200, head: b"h".into(), body: b"b".into(), last: false };
    assert_eq!(bus.next(1), Some(answer));
    assert_eq!(bus.next(1), Some(Action::Data { stream: asked, body: b"end".into(), last: true }));
    bus.node(1).done(asked);
    bus.assert_idle();
}

#[test]
fn an_answer_that_has_begun_fails_by_the_end_of_the_connection() {
    let mut bus = Bus::new(&[1, 2]);
    let asked = bus.ask(1, Purpose::Poll, &id_of(2));
    let (served, _) = bus.serve(2);
    bus.node(2).answer(served, 200, b"h", b"b", false);
    assert!(matches!(bus.next(1), Some(Action::Answer { last: false, .. })));
    bus.separate(1, 2);
    bus.pass(GIVE_UP + 1);
    bus.assert_fails(1, asked, Failure::Cut);
    assert_eq!(bus.next(2), Some(Action::Lost(served, id_of(2))));
    bus.assert_idle();
}

#[test]
fn a_websocket_of_a_session_that_stays_is_relayed_until_one_side_ends() {
    let mut bus = Bus::new(&[1, 2]);
    let asked = bus.ask(1, Purpose::Upgrade, &id_of(2));
    let (served, claimable) = bus.serve(2);
    assert!(claimable, "as far as the node knows");
    bus.answer(2, served, 101);
    bus.assert_answered(1, asked, 101);
    for (from, to, sender, receiver) in [(1, 2, asked, served), (2, 1, served, asked)] {
        assert!(bus.node(from).send(sender, b"frames", false));
        assert_eq!(bus.next(to), Some(Action::Data { stream: receiver, body: b"frames".into(), last: false }));
    }
    bus.pass(200_000);
    assert_eq!(bus.next(1), None, "a relay lasts");
    assert!(bus.node(2).send(served, b"", true));
    assert_eq!(bus.next(1), Some(Action::Data { stream: asked, body: vec![], last: true }));
    assert!(bus.node(1).send(asked, b"", true));
    bus.node(1).done(asked);
    assert_eq!(bus.next(2), Some(Action::Data { stream: served, body: vec![], last: true }));
    bus.assert_idle();

    let asked = bus.ask(1, Purpose::Upgrade, &id_of(2));
    let (served, _) = bus.serve(2);
    bus.answer(2, served, 101);
    bus.assert_answered(1, asked, 101);
    bus.separate(1, 2);
    bus.pass(GIVE_UP + 1);
    bus.assert_fails(1, asked, Failure::Cut);
    assert_eq!(bus.next(2), Some(Action::Gone(served)));
    bus.assert_idle();
}

#[test]
fn a_claimed_session_moves_with_its_waiting_polls_and_is_found_at_its_new_owner() {
    let mut bus = Bus::new(&[1, 2, 3]);
    let id = id_of(2);
    let poll = bus.ask(3, Purpose::Poll, &id);
    let (waiting, _) = bus.serve(2);
    let upgrade = bus.ask(1, Purpose::Upgrade, &id);
    assert_eq!(bus.node(1).admit(Purpose::Poll, &id, 8), Admission::Later, "while it is claimed");
    let (claim, true) = bus.serve(2) else { panic!("it is claimable") };
    bus.node(2).give(claim, b"state");
    assert_eq!(bus.next(2), Some(Action::Moved(waiting)));
    let claimed = Action::Claimed { stream: upgrade, id: id.clone(), state: b"state".into() };
    assert_eq!(bus.next(1), Some(claimed));
    assert_eq!(bus.next(1), Some(Action::Proceed(8)));
    // the poll that waited at the former owner comes to the new one by itself
    let (moved, _) = bus.serve(1);
    bus.answer(1, moved, 200);
    bus.assert_answered(3, poll, 200);
    bus.node(3).done(poll);
    // a second claim comes too late, and is relayed by the new owner
    let second = bus.ask(3, Purpose::Upgrade, &id);
    let (relayed, _) = bus.serve(1);
    bus.answer(1, relayed, 101);
    bus.assert_answered(3, second, 101);
    bus.node(1).cut(relayed);
    bus.assert_fails(3, second, Failure::Cut);
    assert_eq!(bus.node(2).held().moved, 1);
    bus.node(1).released(&id);
    bus.run();
    assert_eq!(bus.node(2).held().moved, 0);
    bus.assert_idle();
}

#[test]
fn a_post_that_was_not_presented_moves_with_its_session() {
    let mut bus = Bus::new(&[1, 2, 3]);
    let id = id_of(2);
    let (here, there) = (bus.ask(1, Purpose::Post, &id), bus.ask(3, Purpose::Post, &id));
    let served = [bus.serve(2).0, bus.serve(2).0];
    let upgrade = bus.ask(1, Purpose::Upgrade, &id);
    let (claim, true) = bus.serve(2) else { panic!("it is claimable") };
    assert!(!bus.node(2).give(claim, &vec![0; MAX_PIECE + 1]), "it is too long to be sent");
    assert!(bus.node(2).give(claim, b"state"));
    assert_eq!(served.map(|stream| bus.next(2) == Some(Action::Moved(stream))), [true, true]);
    assert_eq!(bus.next(1), Some(Action::Claimed { stream: upgrade, id, state: b"state".into() }));
    // what came in at the new owner is to be presented there, and the rest comes by itself
    bus.assert_fails(1, here, Failure::Here);
    let (moved, _) = bus.serve(1);
    bus.answer(1, moved, 200);
    bus.assert_answered(3, there, 200);
    bus.node(3).done(there);
    bus.node(1).released(&id_of(2));
    bus.run();
    bus.assert_idle();
}

#[test]
fn a_post_of_which_pieces_were_sent_is_asked_for_once_more_when_its_session_has_moved() {
    let mut bus = Bus::new(&[1, 2, 3]);
    let id = id_of(2);
    let now = bus.now;
    let [here, there] = [1, 3].map(|run| bus.node(run).ask(now, Purpose::Post, &id, b"head", b"body", false));
    bus.run();
    for (run, stream) in [(1, here), (3, there)] {
        assert!(matches!(bus.next(2), Some(Action::Serve { last: false, .. })));
        assert_eq!(bus.next(run), Some(Action::Writable(stream)));
        assert!(bus.node(run).send(stream, b"more", false));
    }
    bus.ask(1, Purpose::Upgrade, &id);
    let mut claim = None;
    while let Some(action) = bus.next(2) {
        if let Action::Serve { stream, claimable: true, .. } = action {
            claim = Some(stream);
        }
    }
    assert!(bus.node(2).give(claim.unwrap(), b"state"));
    assert!(matches!(bus.next(1), Some(Action::Claimed { .. })));
    bus.assert_fails(1, here, Failure::Here);
    bus.assert_fails(3, there, Failure::Again);
}

#[test]
fn what_becomes_of_a_refused_upgrade_is_heard_after_the_session_has_moved() {
    let mut bus = Bus::new(&[1, 2]);
    let refused = bus.ask(1, Purpose::Upgrade, &id_of(2));
    let (answered, _) = bus.serve(2);
    bus.answer(2, answered, 0);
    bus.ask(1, Purpose::Upgrade, &id_of(2));
    let (claim, _) = bus.serve(2);
    assert!(bus.node(2).give(claim, b"state"));
    bus.assert_answered(1, refused, 0);
    bus.node(1).done(refused);
    bus.run();
    assert_eq!(bus.done, [answered]);
}

#[test]
fn a_session_is_not_given_to_a_node_whose_client_has_gone() {
    let mut bus = Bus::new(&[1, 2]);
    let upgrade = bus.ask(1, Purpose::Upgrade, &id_of(2));
    let (claim, _) = bus.serve(2);
    bus.node(1).cut(upgrade);
    bus.run();
    assert!(!bus.node(2).give(claim, b"state"));
    assert_eq!(bus.next(2), Some(Action::Gone(claim)));
    assert_eq!(bus.node(2).held().moved, 0);
    bus.assert_idle();
}

#[test]
fn a_session_whose_new_owner_is_gone_is_unknown_after_a_while() {
    let mut bus = Bus::new(&[1, 2, 3]);
    bus.ask(1, Purpose::Upgrade, &id_of(2));
    let (claim, _) = bus.serve(2);
    bus.node(2).give(claim, b"state");
    bus.run();
    bus.nodes.remove(&1);
    bus.pass(GIVE_UP + 1);
    let poll = bus.ask(3, Purpose::Poll, &id_of(2));
    bus.assert_fails(3, poll, Failure::Unavailable);
    bus.pass(FORGET);
    let poll = bus.ask(3, Purpose::Poll, &id_of(2));
    let (served, _) = bus.serve(2);
    bus.node(2).refuse(served, Why::Unknown);
    bus.assert_fails(3, poll, Failure::Unknown);
    assert_eq!(bus.node(2).held().moved, 0);
}

#[test]
fn a_claim_that_is_answered_too_late_leaves_the_session_without_an_owner() {
    let mut bus = Bus::new(&[1, 2]);
    let upgrade = bus.ask(1, Purpose::Upgrade, &id_of(2));
    let (claim, _) = bus.serve(2);
    bus.node(1).cut(upgrade);
    bus.node(2).give(claim, b"state");
    bus.run();
    assert_eq!(bus.next(1), None);
    assert_eq!(bus.node(2).held().moved, 0);
    let poll = bus.ask(1, Purpose::Poll, &id_of(2));
    let (served, _) = bus.serve(2);
    bus.node(2).refuse(served, Why::Unknown);
    bus.assert_fails(1, poll, Failure::Unknown);
    bus.assert_idle();
}

#[test]
fn nodes_with_the_same_number_settle_who_has_it() {
    let mut bus = Bus::new(&[8]);
    bus.start(4, Some(8), 0);
    bus.start(9, None, 0);
    bus.pass(10 * JOIN);
    assert_eq!(bus.next(4), Some(Action::NumberTaken(8)));
    assert_eq!(bus.next(4), None, "it is said once, and the number is not given out");
    let Some(Action::Joined(member)) = bus.next(9) else { panic!("a node picks a number") };
    assert_ne!(member.number, 8);
    bus.nodes.remove(&8);
    bus.pass(2 * JOIN + FORGET);
    assert_eq!(bus.next(4), Some(Action::Joined(Member { number: 8, boot: 0 })));
}

#[test]
fn nodes_that_took_the_same_number_apart_are_both_found_when_they_meet() {
    let mut bus = Bus::new(&[1, 2]);
    bus.separate(20, 30);
    bus.start(20, None, 0);
    bus.pass(JOIN + HELLO);
    let Some(Action::Joined(member)) = bus.next(20) else { panic!("it joins") };
    bus.start(30, Some(member.number), 1);
    // 1 and 2 know of 20, and the number of 30 is chosen by its operator
    bus.pass(JOIN + HELLO);
    let other = Member { boot: 1, ..member };
    assert_eq!(bus.next(30), Some(Action::Joined(other)));
    bus.apart.clear();
    bus.pass(3 * JOIN);
    let Some(Action::Joined(new)) = bus.next(20) else { panic!("the smaller run takes another number") };
    assert_ne!(new.number, member.number);
    for (member, run) in [(member, 20), (other, 30), (new, 20)] {
        let id = key().issue([1; 9], member);
        let asked = bus.ask(1, Purpose::Poll, &id);
        let (served, _) = bus.serve(run);
        bus.answer(run, served, 200);
        bus.assert_answered(1, asked, 200);
        bus.node(1).done(asked);
    }
    bus.assert_idle();
}

#[test]
fn a_node_that_takes_another_number_is_found_by_both() {
    for has_issued in [true, false] {
        let mut bus = Bus::new(&[1, 2, 8]);
        bus.start(4, Some(8), 3);
        bus.pass(JOIN);
        assert_eq!(bus.next(4), Some(Action::NumberTaken(8)));
        let (now, former, new) = (bus.now, Member { number: 8, boot: 3 }, Member { number: 50, boot: 1 });
        bus.node(4).renumber(now, new, has_issued);
        bus.pass(2 * JOIN);
        assert_eq!(bus.next(4), Some(Action::Joined(new)));
        let [old_id, new_id] = [former, new].map(|member| key().issue([1; 9], member));
        let now = bus.now;
        assert_eq!(bus.node(1).knows(now, &old_id), has_issued);
        for id in [Some(new_id), has_issued.then_some(old_id)].into_iter().flatten() {
            let asked = bus.ask(1, Purpose::Poll, &id);
            let (served, _) = bus.serve(4);
            bus.answer(4, served, 200);
            bus.assert_answered(1, asked, 200);
            bus.node(1).done(asked);
        }
        bus.assert_idle();
    }
}

#[test]
fn a_node_that_keeps_its_number_says_it_once_in_its_hellos() {
    let mut bus = Bus::new(&[8]);
    bus.separate(4, 8);
    bus.start(4, Some(8), 0);
    bus.pass(2 * JOIN);
    assert!(matches!(bus.next(4), Some(Action::Joined(_))));
    bus.apart.clear();
    bus.pass(10 * JOIN);
    assert_eq!(bus.next(4), Some(Action::NumberTaken(8)));
    bus.assert_idle();
}

#[test]
fn a_node_tells_whether_an_id_is_of_one_node_and_of_no_other() {
    let mut bus = Bus::new(&[1, 2]);
    assert!(bus.node(1).is_of(&id_of(2), 2));
    assert!(!bus.node(1).is_of(&id_of(2), 1));
    assert!(!bus.node(1).is_of(&id_of(3), 2), "no node is known");
    assert!(!bus.node(1).is_of(b"not made with the key", 2));
    bus.start(30, Some(2), 0);
    bus.pass(JOIN);
    assert!(!bus.node(1).is_of(&id_of(2), 2), "there are two");
}

#[test]
fn of_two_nodes_with_a_number_and_boot_the_one_that_is_heard_is_asked() {
    for (silent, heard) in [(20, 30), (30, 20)] {
        let mut bus = Bus::new(&[1]);
        bus.separate(20, 30);
        for run in [20, 30] {
            bus.start(run, Some(9), 0);
        }
        bus.pass(2 * JOIN);
        for run in [20, 30] {
            assert!(matches!(bus.next(run), Some(Action::Joined(_))));
        }
        bus.nodes.remove(&silent);
        bus.pass(6_000);
        assert_eq!(bus.node(1).associated().collect::<Vec<_>>(), [heard]);
        let asked = bus.ask(1, Purpose::Poll, &id_of(9));
        let (served, _) = bus.serve(heard);
        bus.node(heard).refuse(served, Why::Unknown);
        bus.assert_fails(1, asked, Failure::Unavailable);
    }
}

#[test]
fn a_node_stands_for_the_members_of_its_machine() {
    let mut bus = Bus::new(&[1, 2]);
    let now = bus.now;
    bus.node(2).stand_for(now, &[Member { number: 40, boot: 3 }]);
    bus.pass(2 * SOON);
    let id = key().issue([1; 9], Member { number: 40, boot: 3 });
    bus.ask(1, Purpose::Poll, &id);
    let (served, _) = bus.serve(2);
    bus.node(2).refuse(served, Why::Unknown);

    // the process has gone
    let now = bus.now;
    bus.node(2).stand_for(now, &[]);
    bus.pass(2 * SOON);
    assert!(!bus.node(1).knows(now, &id));
}

#[test]
fn a_new_node_is_told_that_a_session_is_unknown_also_by_a_node_that_stands_for_its_process_no_more() {
    let mut bus = Bus::new(&[2]);
    let (now, member) = (bus.now, Member { number: 40, boot: 3 });
    bus.node(2).stand_for(now, &[member]);
    bus.start(5, Some(5), 0);
    bus.pass(2 * SOON);
    let asked = bus.ask(5, Purpose::Poll, &key().issue([1; 9], member));
    let (served, _) = bus.serve(2);
    // the hello comes before the answer
    let now = bus.now;
    bus.node(2).stand_for(now, &[]);
    bus.pass(2 * SOON);
    bus.node(2).refuse(served, Why::Unknown);
    bus.assert_fails(5, asked, Failure::Unknown);
    bus.assert_idle();
}

#[test]
fn a_process_is_reached_by_each_of_the_nodes_that_stand_for_it() {
    let mut bus = Bus::new(&[1, 2, 3]);
    let member = Member { number: 40, boot: 3 };
    let id = key().issue([1; 9], member);
    for run in [2, 3] {
        let now = bus.now;
        bus.node(run).stand_for(now, &[member]);
    }
    bus.pass(2 * SOON);
    for gone in [2, 3] {
        bus.ask(1, Purpose::Poll, &id);
        bus.serve(gone);
        bus.nodes.remove(&gone);
        // in between a node is asked that may have gone
        bus.pass(GIVE_UP + ACCEPT);
        while bus.next(1).is_some() {}
    }
    let asked = bus.ask(1, Purpose::Poll, &id);
    bus.assert_fails(1, asked, Failure::Unavailable);
}

#[test]
fn sessions_of_the_processes_for_which_a_node_stood_are_not_unknown_when_it_leaves() {
    let mut bus = Bus::new(&[1, 2]);
    let now = bus.now;
    bus.node(2).stand_for(now, &[Member { number: 40, boot: 3 }]);
    bus.pass(2 * SOON);
    let (now, id) = (bus.now, key().issue([1; 9], Member { number: 40, boot: 3 }));
    bus.node(2).leave(now);
    bus.run();
    bus.nodes.remove(&2);
    assert!(!bus.node(1).knows(now, &id_of(2)));
    assert!(bus.node(1).knows(now, &id));
    bus.pass(GIVE_UP + HELLO);
    let asked = bus.ask(1, Purpose::Poll, &id);
    bus.assert_fails(1, asked, Failure::Unavailable);
}

#[test]
fn a_node_stands_for_a_bounded_number_of_members() {
    let mut bus = Bus::new(&[1, 2]);
    let members: Vec<_> = (0..=MAX_OTHERS as u16).map(|at| Member { number: 1000 + at, boot: 0 }).collect();
    let now = bus.now;
    assert_eq!(bus.node(2).stand_for(now, &members), 1);
    bus.pass(2 * SOON);
    let id = |member| key().issue([1; 9], member);
    assert!(bus.node(1).knows(now, &id(members[MAX_OTHERS - 1])));
    assert!(!bus.node(1).knows(now, &id(members[MAX_OTHERS])));
}

#[test]
fn an_association_that_one_side_has_lost_is_opened_again_at_the_next_hello() {
    for (from, to) in [(1, 2), (2, 1)] {
        let mut bus = Bus::new(&[1, 2]);
        // one of them hears nothing for a while, and the other hears all
        bus.apart.push((from, to));
        bus.pass(GIVE_UP);
        bus.apart.clear();
        bus.pass(2 * HELLO);
        let asked = bus.ask(1, Purpose::Poll, &id_of(2));
        let (served, _) = bus.serve(2);
        bus.answer(2, served, 200);
        bus.assert_answered(1, asked, 200);
    }
}

#[test]
fn a_node_that_has_forgotten_an_association_finds_one_that_has_not() {
    for (from, to) in [(1, 2), (2, 1)] {
        let mut bus = Bus::new(&[1, 2]);
        for time in [GIVE_UP, GIVE_UP, FORGET] {
            bus.apart.push((from, to));
            bus.pass(time + 1);
            bus.apart.clear();
            bus.pass(2 * HELLO);
        }
        bus.pass(HELLO);
        assert_eq!(bus.node(1).associated().count() + bus.node(2).associated().count(), 2);
    }
}

// ---- hostile input ----

#[test]
fn what_is_forged_cut_short_of_another_version_or_another_key_is_dropped() {
    let mut bus = Bus::new(&[1, 2]);
    bus.ask(1, Purpose::Post, &id_of(2));
    bus.serve(2);
    let (now, message) = (bus.now, bus.published.last().unwrap().2.clone());
    let Dropped { refused: 0, misdirected, stale, violations: 0 } = bus.node(2).dropped() else { panic!() };
    let mut refused = 0;
    for at in 0..message.len() {
        let mut forged = message.clone();
        forged[at] ^= 1;
        for hostile in [&forged[..], &message[..at]] {
            bus.node(2).receive(now, hostile);
            refused += 1;
        }
    }
    let (header, body) = open(&key(), &message).unwrap();
    bus.node(2).receive(now, &seal(&Key::new(&[8; 32]), &header, body));
    let mut other_version = message.clone();
    other_version[0] = VERSION + 1;
    bus.node(2).receive(now, &other_version);
    assert_eq!(bus.node(2).dropped(), Dropped { refused: refused + 2, misdirected, stale, violations: 0 });
    assert_eq!(bus.next(2), None);
}

#[test]
fn a_conversation_that_is_repeated_changes_nothing() {
    let mut bus = Bus::new(&[1, 2]);
    let asked = bus.ask(1, Purpose::Post, &id_of(2));
    let (served, _) = bus.serve(2);
    bus.answer(2, served, 200);
    bus.assert_answered(1, asked, 200);
    bus.node(1).done(asked);
    bus.assert_idle();
    // at once, after a while, when the sender has been forgotten, and at a new life of the receiver
    for wait in [0, GIVE_UP + 1, MAX_AGE, FORGET] {
        bus.pass(wait);
        if wait == FORGET {
            bus.nodes.remove(&1);
            bus.pass(FORGET + HELLO);
            assert_eq!(bus.node(2).held().peers, 0);
        }
        for (_, _, message) in bus.published.clone() {
            for run in [1, 2] {
                let now = bus.now;
                if let Some(node) = bus.nodes.get_mut(&run) {
                    node.receive(now, &message);
                }
            }
        }
        bus.assert_idle();
    }
    assert_eq!(bus.node(2).associated().count(), 0, "a repeated hello does not bring a node back to life");
}

/// A peer that has the key and does not follow the protocol.
struct Liar {
    association: u32,
    seq: u64,
}

impl Liar {
    const RUN: Run = 9;

    /// It has an association with node 1.
    fn associate(bus: &mut Bus) -> Self {
        let hello = Hello { joining: false, members: vec![Member { number: 9, boot: 0 }] };
        Self::say(bus, Kind::Hello, 0, 0, 0, &hello.encode());
        bus.run();
        let headers = bus.published.iter().map(|(_, _, message)| open(&key(), message).unwrap().0);
        let asked = |header: &Header| header.kind == Kind::Open && header.to == Self::RUN;
        let association = headers.rev().find(asked).unwrap().association;
        let liar = Self { association, seq: 0 };
        Self::say(bus, Kind::Opened, liar.association, 0, 0, &[]);
        assert!(bus.node(1).associated().any(|run| run == Self::RUN));
        liar
    }

    fn say(bus: &mut Bus, kind: Kind, association: u32, seq: u64, ack: u64, body: &[u8]) {
        let (now, yours) = (bus.now, if kind == Kind::Hello { 0 } else { bus.now });
        let header = Header { kind, from: Self::RUN, to: 1, association, seq, ack, time: now, yours };
        bus.node(1).receive(now, &seal(&key(), &header, body));
    }

    fn items(&mut self, bus: &mut Bus, items: &[Item]) {
        let mut frame = Vec::new();
        items.iter().for_each(|item| item.encode(&mut frame));
        Self::say(bus, Kind::Frame, self.association, self.seq, 0, &frame);
        self.seq += 1;
    }
}

fn request(bus: &Bus, ticket: u32) -> Item {
    let (id, expires) = (id_of(1), bus.now + ACCEPT);
    Item::Request { ticket, purpose: Purpose::Post, expires, id, head: vec![], body: vec![], last: false }
}

#[test]
fn a_peer_that_does_not_follow_the_protocol_loses_its_association() {
    type Lie = fn(&mut Bus, &mut Liar);
    let lies: [(&str, Lie); 14] = [
        ("items that are not items", |bus, liar| Liar::say(bus, Kind::Frame, liar.association, 0, 0, b"garbage")),
        ("an empty frame", |bus, liar| Liar::say(bus, Kind::Frame, liar.association, 0, 0, b"")),
        ("a frame beyond the window", |bus, liar| {
            Liar::say(bus, Kind::Frame, liar.association, WINDOW as u64, 0, b"x");
        }),
        ("an acknowledgement of what was not sent", |bus, liar| {
            Liar::say(bus, Kind::Ack, liar.association, 0, u64::MAX, b"");
        }),
        ("a request twice", |bus, liar| {
            let request = request(bus, 1);
            liar.items(bus, &[request.clone(), request]);
        }),
        ("a request that lives for ever", |bus, liar| {
            let mut request = request(bus, 1);
            if let Item::Request { expires, .. } = &mut request {
                *expires = u64::MAX;
            }
            liar.items(bus, &[request]);
        }),
        ("more data than there is credit", |bus, liar| {
            let data = Item::Data { ticket: 1, asker: true, body: vec![0; MAX_PIECE], last: false };
            let request = request(bus, 1);
            liar.items(bus, &[request, data.clone()]);
            liar.items(bus, &[data.clone(), data.clone()]);
        }),
        ("data after the last", |bus, liar| {
            let data = Item::Data { ticket: 1, asker: true, body: vec![], last: true };
            let request = request(bus, 1);
            liar.items(bus, &[request, data.clone(), data]);
        }),
        ("settled before it is answered", |bus, liar| {
            let request = request(bus, 1);
            liar.items(bus, &[request, Item::Done { ticket: 1 }]);
        }),
        ("credit without end", |bus, liar| {
            let request = request(bus, 1);
            liar.items(bus, &[request, Item::Credit { ticket: 1, asker: true, bytes: u32::MAX }]);
        }),
        ("an answer to what was not taken", |bus, liar| {
            let Stream::Asked(ticket) = bus.ask(1, Purpose::Poll, &id_of(9)) else { unreachable!() };
            liar.items(bus, &[Item::Answer { ticket, status: 200, head: vec![], body: vec![], last: true }]);
        }),
        ("two answers", |bus, liar| {
            let Stream::Asked(ticket) = bus.ask(1, Purpose::Poll, &id_of(9)) else { unreachable!() };
            let answer = Item::Answer { ticket, status: 200, head: vec![], body: vec![], last: true };
            liar.items(bus, &[Item::Taken { ticket }, answer.clone(), answer]);
        }),
        ("a session for a poll", |bus, liar| {
            let Stream::Asked(ticket) = bus.ask(1, Purpose::Poll, &id_of(9)) else { unreachable!() };
            liar.items(bus, &[Item::Taken { ticket }, Item::Claimed { ticket, state: vec![] }]);
        }),
        ("taken twice", |bus, liar| {
            let Stream::Asked(ticket) = bus.ask(1, Purpose::Poll, &id_of(9)) else { unreachable!() };
            liar.items(bus, &[Item::Taken { ticket }, Item::Taken { ticket }]);
        }),
    ];
    for (name, lie) in lies {
        let mut bus = Bus::new(&[1]);
        let mut liar = Liar::associate(&mut bus);
        lie(&mut bus, &mut liar);
        assert_eq!(bus.node(1).dropped().violations, 1, "{name}");
        assert_eq!(bus.node(1).associated().count(), 0, "{name}");
        bus.pass(ACCEPT + MARGIN);
        let held = bus.node(1).held();
        assert_eq!((held.asked, held.served, held.sessions), (0, 0, 0), "{name}");
    }
}

#[test]
fn what_a_peer_says_about_requests_that_do_not_exist_changes_nothing() {
    let mut bus = Bus::new(&[1]);
    let mut liar = Liar::associate(&mut bus);
    let ticket = 77;
    let mut items = vec![
        Item::Taken { ticket },
        Item::Answer { ticket, status: 200, head: vec![], body: vec![], last: true },
        Item::Claimed { ticket, state: vec![] },
        Item::Done { ticket },
        Item::Released { id: id_of(1) },
    ];
    for asker in [false, true] {
        items.push(Item::Data { ticket, asker, body: vec![1], last: false });
        items.push(Item::Credit { ticket, asker, bytes: 5 });
        items.push(Item::Cut { ticket, asker, why: Why::Moved(1) });
    }
    liar.items(&mut bus, &items);
    assert_eq!(bus.node(1).associated().count(), 1);
    bus.assert_idle();
}

#[test]
fn nodes_that_send_each_other_around_are_not_followed_for_long() {
    let mut bus = Bus::new(&[1, 2]);
    let mut liar = Liar::associate(&mut bus);
    let Stream::Asked(ticket) = bus.ask(1, Purpose::Poll, &id_of(9)) else { unreachable!() };
    liar.items(&mut bus, &[Item::Cut { ticket, asker: false, why: Why::Moved(Liar::RUN) }]);
    bus.assert_fails(1, Stream::Asked(ticket), Failure::Unavailable);
    let Stream::Asked(ticket) = bus.ask(1, Purpose::Poll, &id_of(9)) else { unreachable!() };
    liar.items(&mut bus, &[Item::Cut { ticket, asker: false, why: Why::Moved(2) }]);
    let (served, _) = bus.serve(2);
    bus.node(2).refuse(served, Why::Unknown);
    bus.assert_fails(1, Stream::Asked(ticket), Failure::Unknown);
}

#[test]
fn a_head_that_the_bus_does_not_carry_is_refused_for_good() {
    let mut bus = Bus::new(&[1, 2]);
    let now = bus.now;
    let mut ask = |length: usize| bus.node(1).ask(now, Purpose::Poll, &id_of(2), &vec![b'a'; length], b"", false);
    let (carried, refused) = (ask(MAX_PIECE), ask(MAX_PIECE + 1));
    bus.assert_fails(1, refused, Failure::TooLarge);
    bus.run();
    assert!(matches!(bus.next(2), Some(Action::Serve { head, .. }) if head.len() == MAX_PIECE));
    assert_ne!(carried, refused);
}

#[test]
fn a_peer_that_floods_meets_bounds() {
    let mut bus = Bus::new(&[1]);
    let mut liar = Liar::associate(&mut bus);
    for first in (0..MAX_SERVED as u32 + 100).step_by(100) {
        let items: Vec<_> = (first..first + 100).map(|ticket| request(&bus, ticket)).collect();
        liar.items(&mut bus, &items);
        // it acknowledges nothing
    }
    let held = bus.node(1).held();
    assert_eq!(held.served, MAX_SERVED);
    assert!(held.bytes < MAX_QUEUED, "{held:?}");

    let now = bus.now;
    for run in 100..100 + 2 * MAX_PEERS as u64 {
        let hello = Hello { joining: false, members: vec![Member { number: run as u16, boot: 0 }] };
        let header =
            Header { kind: Kind::Hello, from: run, to: 0, association: 0, seq: 0, ack: 0, time: now, yours: 0 };
        bus.node(1).receive(now, &seal(&key(), &header, &hello.encode()));
    }
    assert_eq!(bus.node(1).held().peers, MAX_PEERS);
    assert_eq!(bus.node(1).associated().count(), 1, "those with an association stay");
    bus.pass(FORGET + GIVE_UP);
    assert_eq!(bus.node(1).held().peers, 0);
}

#[test]
fn of_too_many_nodes_those_that_came_first_stay_until_they_are_silent() {
    let mut bus = Bus::new(&[1]);
    let say = |bus: &mut Bus, runs: std::ops::Range<u64>| {
        let now = bus.now;
        for run in runs {
            let hello = Hello { joining: false, members: vec![Member { number: run as u16, boot: 0 }] };
            let header =
                Header { kind: Kind::Hello, from: run, to: 0, association: 0, seq: 0, ack: 0, time: now, yours: 0 };
            bus.node(1).receive(now, &seal(&key(), &header, &hello.encode()));
        }
    };
    let (first, more) = (100..100 + MAX_PEERS as u64, 1000..1010);
    for _ in 0..3 {
        say(&mut bus, first.clone());
        say(&mut bus, more.clone());
        bus.pass(HELLO);
    }
    let knows = |bus: &mut Bus, run: u64| {
        let now = bus.now;
        let id = id_of(run as u16);
        bus.node(1).knows(now, &id)
    };
    assert!(knows(&mut bus, 100) && !knows(&mut bus, 1000));
    bus.pass(SILENT);
    say(&mut bus, more);
    assert!(knows(&mut bus, 1000));
    assert_eq!(bus.node(1).held().peers, MAX_PEERS);
}

#[test]
fn a_peer_that_reads_nothing_is_given_up() {
    let mut bus = Bus::new(&[1]);
    Liar::associate(&mut bus);
    let mut asked = 0;
    loop {
        let now = bus.now;
        let stream = bus.node(1).ask(now, Purpose::Post, &id_of(9), b"", &vec![0; MAX_PIECE], true);
        if bus.next(1).is_some_and(|action| action == Action::Failed { stream, failure: Failure::Unavailable }) {
            break;
        }
        asked += 1;
        assert!(asked < 1_000);
    }
    let most = MAX_QUEUED + 2 * WINDOW * 64 * 1024;
    assert!(bus.node(1).held().bytes < most, "{:?}", bus.node(1).held());
    bus.pass(ACCEPT + MARGIN);
    assert_eq!(bus.actions[&1].len(), asked);
    let held = bus.node(1).held();
    assert_eq!((held.asked, held.bytes), (0, 0));
}
