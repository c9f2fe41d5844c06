//! The bus, the network, the clients, and what goes wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engine_io_native::cluster::bus::message::{Header, Item, Kind, Purpose, Run, open, seal};
use engine_io_native::cluster::id::Key;

use super::super::simulation::rng::Rng;
use super::Count;
use super::client::{Client, State};
use super::ledger::Ledger;
use super::process::{Effect, Process, Request, UPGRADE, bytes_of};

/// How long things go wrong in a world, and how long they may take to come right, in milliseconds.
const TROUBLE: u64 = 120_000;
const CALM: u64 = 36_000;

/// No POST and no upgrade waits longer for its answer, and no poll.
const BOUND: u64 = 30_000;
const POLL_BOUND: u64 = 40_000;

const TRACE: usize = 400;

#[derive(Clone, Debug)]
enum Event {
    Bus {
        run: Run,
        message: Vec<u8>,
    },
    Wake {
        run: Run,
    },
    Arrive {
        conn: u64,
        run: Run,
        body: Vec<u8>,
    },
    Reply {
        conn: u64,
        status: u16,
        numbers: Vec<u32>,
    },
    Up {
        conn: u64,
        number: u32,
    },
    Down {
        conn: u64,
        numbers: Vec<u32>,
    },
    /// The client's side of a connection has ended.
    Gone {
        conn: u64,
    },
    Client {
        client: usize,
    },
    Poll {
        client: usize,
    },
    Post {
        client: usize,
    },
    Upgrade {
        client: usize,
    },
    Application,
    Trouble,
    Attack,
    Restart {
        slot: usize,
    },
}

#[derive(Debug)]
struct Conn {
    client: usize,
    run: Run,
    /// `None` for the handshake.
    purpose: Option<Purpose>,
    since: u64,
    answered: bool,
    /// Bytes of a connection do not overtake each other.
    up_at: u64,
    down_at: u64,
}

#[derive(Debug)]
pub struct World {
    rng: Rng,
    now: u64,
    order: u64,
    events: BTreeMap<(u64, u64), Event>,
    key: Key,
    processes: Vec<Option<Process>>,
    boots: Vec<u8>,
    numbers: Vec<Option<u16>>,
    clients: Vec<Client>,
    conns: BTreeMap<u64, Conn>,
    next_conn: u64,
    ledger: Ledger,
    // the bus
    loss: u64,
    repeats: u64,
    delay: u64,
    late: u64,
    /// From the first to the second nothing arrives.
    apart: BTreeSet<(usize, usize)>,
    /// What is sent from the first to the second alone waits until this time. What is sent to all arrives.
    stalled: BTreeMap<(usize, usize), u64>,
    down: bool,
    /// Nothing goes wrong in this world, so no request may fail.
    calm: bool,
    crashes: u64,
    attacks: bool,
    recorded: VecDeque<(Run, Vec<u8>)>,
    trouble: bool,
    leaving: bool,
    trace: Option<VecDeque<String>>,
    count: Count,
}

impl World {
    pub fn new(mut rng: Rng, traced: bool) -> Self {
        let key = Key::new(&[7; Key::LENGTH]);
        let count = rng.within(2, 4) as usize;
        let clients = rng.within(2, 8) as usize;
        // the choice of the operator, or the nodes' own
        let chosen = rng.one_in(2);
        let numbers = (0..count).map(|slot| chosen.then_some(slot as u16 + 1)).collect();
        let calm = rng.one_in(4);
        let loss = if calm { 0 } else { *rng.pick(&[0, 10, 50, 200]) };
        let repeats = if calm { 0 } else { *rng.pick(&[0, 20, 200]) };
        let late = if calm { 0 } else { *rng.pick(&[0, 5, 50]) };
        let mut world = Self {
            now: 1_000_000,
            order: 0,
            events: BTreeMap::new(),
            key,
            processes: (0..count).map(|_| None).collect(),
            boots: vec![0; count],
            numbers,
            clients: Vec::new(),
            conns: BTreeMap::new(),
            next_conn: 1,
            ledger: Ledger::default(),
            loss,
            repeats,
            late,
            delay: *rng.pick(&[2, 20, 200, 600]),
            apart: BTreeSet::new(),
            stalled: BTreeMap::new(),
            down: false,
            calm,
            crashes: if calm { 0 } else { *rng.pick(&[0, 800, 4_000, 20_000]) },
            attacks: rng.one_in(2),
            recorded: VecDeque::new(),
            trouble: true,
            leaving: false,
            trace: traced.then(VecDeque::new),
            count: Count::default(),
            rng,
        };
        for slot in 0..count {
            world.start(slot);
        }
        for client in 0..clients {
            let (retries, upgrades) = (!world.rng.one_in(3), !world.rng.one_in(3));
            world.clients.push(Client::new(retries, upgrades));
            let after = if calm { 6_000 } else { 0 } + world.rng.within(0, 8_000);
            world.after(after, Event::Client { client });
        }
        world.after(3_000, Event::Application);
        if !calm {
            world.after(2_000, Event::Trouble);
        }
        world.after(1_000, Event::Attack);
        world
    }

    pub fn trace(&self) -> impl Iterator<Item = &str> {
        self.trace.iter().flatten().map(String::as_str)
    }

    pub fn run(&mut self, count: &mut Count) {
        let end = self.now + TROUBLE;
        while self.now < end && !self.rng.has_ended() {
            self.step();
        }
        self.heal();
        self.run_until(self.now + CALM);
        self.check_delivered();
        self.leaving = true;
        for client in 0..self.clients.len() {
            self.leave(client);
        }
        self.run_until(self.now + CALM);
        for process in self.processes.iter().flatten() {
            process.assert_idle();
        }
        for (id, story) in &self.ledger.stories {
            assert!(!story.announced || story.ended, "`close` never came for {}", String::from_utf8_lossy(id));
            let (sent, got) = (story.sent + story.client_sent, story.got + story.client_got);
            self.count.messages += u64::from(got);
            self.count.reported_lost += u64::from(sent - got);
        }
        self.add_to(count);
    }

    fn run_until(&mut self, end: u64) {
        while self.now < end {
            self.step();
        }
    }

    fn add_to(&mut self, count: &mut Count) {
        for process in self.processes.iter().flatten() {
            self.count.claims += process.claims;
            self.count.relays += process.relays;
        }
        let mine = std::mem::take(&mut self.count);
        count.worlds += 1;
        count.sessions += self.ledger.stories.len() as u64;
        for (sum, more) in [
            (&mut count.steps, mine.steps),
            (&mut count.claims, mine.claims),
            (&mut count.relays, mine.relays),
            (&mut count.messages, mine.messages),
            (&mut count.reported_lost, mine.reported_lost),
            (&mut count.bus_messages, mine.bus_messages),
            (&mut count.bus_lost, mine.bus_lost),
            (&mut count.bus_repeated, mine.bus_repeated),
            (&mut count.attacks, mine.attacks),
            (&mut count.partitions, mine.partitions),
            (&mut count.outages, mine.outages),
            (&mut count.crashes, mine.crashes),
        ] {
            *sum += more;
        }
        for (status, times) in mine.answers {
            *count.answers.entry(status).or_default() += times;
        }
        count.longest = count.longest.max(mine.longest);
        count.longest_poll = count.longest_poll.max(mine.longest_poll);
        count.most_bytes = count.most_bytes.max(mine.most_bytes);
    }

    // ---- time ----

    fn after(&mut self, time: u64, event: Event) {
        self.at(self.now + time, event);
    }

    fn at(&mut self, time: u64, event: Event) {
        self.order += 1;
        self.events.insert((time, self.order), event);
    }

    fn step(&mut self) {
        let Some(((at, _), event)) = self.events.pop_first() else { panic!("a world without events") };
        self.now = at;
        self.count.steps += 1;
        if let Some(trace) = &mut self.trace {
            trace.push_back(describe(&self.key, at, &event));
            if trace.len() > TRACE {
                trace.pop_front();
            }
        }
        self.happen(event);
        if self.count.steps % 512 == 0 {
            self.check_bounds();
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Bus { run, message } => {
                if let Some(slot) = self.slot_of(run) {
                    self.process(slot, |process, now, ledger| process.message(now, &message, ledger));
                }
            }
            Event::Wake { run } => {
                if let Some(slot) = self.slot_of(run) {
                    let process = self.processes[slot].as_mut().unwrap();
                    if process.wake_at == Some(self.now) {
                        process.wake_at = None;
                        self.process(slot, Process::wake);
                    }
                }
            }
            Event::Arrive { conn, run, body } => self.arrive(conn, run, body),
            Event::Reply { conn, status, numbers } => self.reply(conn, status, &numbers),
            Event::Up { conn, number } => {
                let Some(slot) = self.conns.get(&conn).and_then(|conn| self.slot_of(conn.run)) else { return };
                self.process(slot, |process, now, ledger| process.web_socket(now, conn, number, ledger));
            }
            Event::Down { conn, numbers } => {
                let Some(client) = self.conns.get(&conn).map(|conn| conn.client) else { return };
                if self.clients[client].socket == Some(conn) && self.clients[client].state == State::Open {
                    self.client_gets(client, &numbers);
                }
            }
            Event::Gone { conn } => {
                let Some(gone) = self.conns.remove(&conn) else { return };
                if let Some(slot) = self.slot_of(gone.run) {
                    self.process(slot, |process, now, ledger| process.client_gone(now, conn, ledger));
                }
            }
            Event::Client { client } => self.client(client),
            Event::Poll { client } => self.poll(client),
            Event::Post { client } => self.post(client),
            Event::Upgrade { client } => self.upgrade(client),
            Event::Application => self.application(),
            Event::Trouble => self.make_trouble(),
            Event::Attack => self.attack(),
            Event::Restart { slot } => {
                if self.processes[slot].is_none() {
                    self.start(slot);
                }
            }
        }
    }

    fn slot_of(&self, run: Run) -> Option<usize> {
        self.processes.iter().position(|process| process.as_ref().is_some_and(|process| process.run == run))
    }

    /// Has a process do something, and carries out what comes of it.
    fn process(&mut self, slot: usize, deed: impl FnOnce(&mut Process, u64, &mut Ledger)) {
        let Some(process) = &mut self.processes[slot] else { return };
        deed(process, self.now, &mut self.ledger);
        let effects = std::mem::take(&mut process.effects);
        let run = process.run;
        let due = process.due(self.now);
        if process.wake_at.is_none_or(|at| due < at) {
            process.wake_at = Some(due);
            self.at(due, Event::Wake { run });
        }
        for effect in effects {
            // a process may crash between any two of its effects
            if self.trouble && self.crashes > 0 && self.rng.one_in(self.crashes) {
                return self.crash(slot);
            }
            self.effect(slot, effect);
        }
    }

    fn effect(&mut self, slot: usize, effect: Effect) {
        match effect {
            Effect::Publish { to, message } => self.publish(slot, to, message),
            Effect::Reply { conn, status, numbers } => {
                let at = self.down_at(conn);
                self.at(at, Event::Reply { conn, status, numbers });
            }
            Effect::WebSocket { conn, numbers } => {
                let at = self.down_at(conn);
                self.at(at, Event::Down { conn, numbers });
            }
            Effect::Cut { conn } => {
                let at = self.down_at(conn);
                self.at(at, Event::Reply { conn, status: 0, numbers: vec![] });
            }
        }
    }

    /// When the next bytes of a connection arrive at the client.
    fn down_at(&mut self, conn: u64) -> u64 {
        let at = self.now + self.rng.within(1, 10);
        let Some(conn) = self.conns.get_mut(&conn) else { return at };
        conn.down_at = at.max(conn.down_at + 1);
        conn.down_at
    }

    // ---- the bus ----

    fn publish(&mut self, from: usize, to: Option<Run>, message: Vec<u8>) {
        let only = to;
        let to: Vec<(usize, Run)> = match to {
            Some(run) => self.slot_of(run).map(|slot| (slot, run)).into_iter().collect(),
            None => self.processes.iter().flatten().map(|process| (process.slot, process.run)).collect(),
        };
        for (slot, run) in to {
            self.count.bus_messages += 1;
            if self.recorded.len() < 64 {
                self.recorded.push_back((run, message.clone()));
            } else if self.rng.one_in(100) {
                self.recorded.pop_front();
            }
            let apart = self.apart.contains(&(from, slot));
            if self.trouble && (self.down || apart || self.rng.below(1_000) < self.loss) {
                self.count.bus_lost += 1;
                continue;
            }
            let times = if self.trouble && self.rng.below(1_000) < self.repeats { 2 } else { 1 };
            self.count.bus_repeated += times - 1;
            for _ in 0..times {
                let late = self.trouble && self.rng.below(1_000) < self.late;
                let mut delay = if late { self.rng.within(0, 15_000) } else { self.rng.within(1, self.delay) };
                if let (true, Some(_), Some(until)) = (self.trouble, only, self.stalled.get(&(from, slot))) {
                    delay = delay.max(until.saturating_sub(self.now));
                }
                self.after(delay, Event::Bus { run, message: message.clone() });
            }
        }
    }

    fn attack(&mut self) {
        if !self.trouble || !self.attacks {
            return;
        }
        let after = self.rng.within(20, 500);
        self.after(after, Event::Attack);
        let Some((run, mut message)) = self.recorded.get(self.rng.index(64)).cloned() else { return };
        self.count.attacks += 1;
        let at = self.rng.index(message.len());
        match self.rng.below(6) {
            0 => message[at] ^= 1 << self.rng.below(8),
            1 => message.truncate(at),
            2 => {
                let header = Header {
                    kind: Kind::Frame,
                    from: 9,
                    to: run,
                    association: 1,
                    seq: 0,
                    ack: 0,
                    time: 5,
                    yours: self.now,
                };
                message = seal(&Key::new(&[8; Key::LENGTH]), &header, &message);
            }
            // as it was, once more, also to another node
            3 => {
                let slot = self.rng.index(self.processes.len());
                if let Some(process) = &self.processes[slot] {
                    let run = process.run;
                    return self.after(1, Event::Bus { run, message });
                }
            }
            _ => {}
        }
        self.after(1, Event::Bus { run, message });
    }

    // ---- trouble ----

    fn start(&mut self, slot: usize) {
        let run = self.rng.below(1 << 16) << 32 | self.rng.below(1 << 16) << 8 | 1;
        self.boots[slot] = self.boots[slot].wrapping_add(1);
        let clock = (self.rng.below(1 << 16) as i64 * 100, self.rng.within(0, 4_000) as i64 - 2_000);
        let number = self.numbers[slot];
        let process = Process::new(self.now, slot, self.key.clone(), run, self.boots[slot], number, clock);
        self.processes[slot] = Some(process);
        self.process(slot, Process::wake);
    }

    fn crash(&mut self, slot: usize) {
        let Some(process) = self.processes[slot].take() else { return };
        self.count.crashes += 1;
        self.count.claims += process.claims;
        self.count.relays += process.relays;
        let run = process.run;
        process.crash(&mut self.ledger);
        let conns: Vec<u64> = self.conns.iter().filter(|(_, conn)| conn.run == run).map(|(conn, _)| *conn).collect();
        for conn in conns {
            let at = self.down_at(conn);
            self.at(at, Event::Reply { conn, status: 0, numbers: vec![] });
        }
        let after = self.rng.within(10, 12_000);
        self.after(after, Event::Restart { slot });
    }

    fn make_trouble(&mut self) {
        if !self.trouble {
            return;
        }
        let after = self.rng.within(500, 8_000);
        self.after(after, Event::Trouble);
        match self.rng.below(8) {
            0 => {
                self.down = !self.down;
                self.count.outages += u64::from(self.down);
            }
            1..=4 => {
                let (a, b) = (self.rng.index(self.processes.len()), self.rng.index(self.processes.len()));
                match self.rng.below(4) {
                    0 => self.apart.extend([(a, b), (b, a)]),
                    1 => self.apart.extend([(a, b)]),
                    _ => {
                        let until = self.now + self.rng.within(3_000, 9_000);
                        self.stalled.insert((a, b), until);
                    }
                }
                self.count.partitions += 1;
            }
            5 => {
                self.apart.clear();
                self.down = false;
            }
            6 if self.crashes > 0 => {
                let slot = self.rng.index(self.processes.len());
                self.crash(slot);
            }
            _ => self.delay = *self.rng.pick(&[2, 20, 200, 600]),
        }
    }

    fn heal(&mut self) {
        self.trouble = false;
        self.delay = self.delay.min(20);
        for slot in 0..self.processes.len() {
            if self.processes[slot].is_none() {
                self.start(slot);
            }
        }
    }

    // ---- checks ----

    fn check_bounds(&mut self) {
        for conn in self.conns.values().filter(|conn| !conn.answered) {
            let bound = if conn.purpose == Some(Purpose::Poll) { POLL_BOUND } else { BOUND };
            assert!(self.now - conn.since <= bound, "a request is not answered: {conn:?}");
        }
        for process in self.processes.iter().flatten() {
            let held = process.node.held();
            assert!(held.peers <= 64 && held.asked <= 64 && held.served <= 64, "{held:?}");
            assert!(held.waiting <= 64 && held.sessions <= 128 && held.bytes < 4 << 20, "{held:?}");
            self.count.most_bytes = self.count.most_bytes.max(held.bytes);
        }
    }

    /// All is well again: what was sent has arrived, on all sessions that live.
    fn check_delivered(&self) {
        for process in self.processes.iter().flatten() {
            assert_eq!(
                process.node.associated().count() + 1,
                self.processes.len(),
                "nodes do not find each other again"
            );
            assert!(process.member.is_some(), "a node has not got a number");
        }
        for client in self.clients.iter().filter(|client| client.state == State::Open) {
            let story = &self.ledger.stories[&client.id];
            assert!(!story.ended, "a client has not heard that its session has ended: {client:?}");
            let owner = story.owner.and_then(|slot| self.processes[slot].as_ref());
            assert!(owner.is_some_and(|owner| owner.owns(&client.id)), "a session has no owner: {client:?}");
            assert_eq!(story.got, story.sent, "messages are lost without a report: {client:?}");
            assert_eq!(
                story.client_got, story.client_sent,
                "messages of a client are lost without a report: {client:?}"
            );
        }
    }

    // ---- applications ----

    fn application(&mut self) {
        if !self.trouble {
            return;
        }
        let after = self.rng.within(20, 600);
        self.after(after, Event::Application);
        let slot = self.rng.index(self.processes.len());
        let Some(process) = &self.processes[slot] else { return };
        let sessions = process.announced();
        if sessions.is_empty() {
            return;
        }
        let id = self.rng.pick(&sessions).clone();
        if self.rng.one_in(200) {
            return self.process(slot, |process, now, ledger| process.application_closes(now, &id, ledger));
        }
        let count = if self.rng.one_in(200) { self.rng.within(5_000, 30_000) } else { self.rng.within(1, 4) } as u32;
        self.process(slot, |process, now, ledger| process.application_sends(now, &id, count, ledger));
    }

    // ---- clients ----

    /// Sends a request to any process.
    fn send(&mut self, client: usize, purpose: Option<Purpose>, body: Vec<u8>) -> u64 {
        let conn = self.next_conn;
        self.next_conn += 1;
        let slot = self.rng.index(self.processes.len());
        let run = self.processes[slot].as_ref().map_or(0, |process| process.run);
        let now = self.now;
        let noted = Conn { client, run, purpose, since: now, answered: false, up_at: now, down_at: now };
        self.conns.insert(conn, noted);
        let after = self.rng.within(1, 10);
        self.conns.get_mut(&conn).unwrap().up_at += after;
        self.after(after, Event::Arrive { conn, run, body });
        conn
    }

    fn arrive(&mut self, conn: u64, run: Run, body: Vec<u8>) {
        let Some(noted) = self.conns.get(&conn) else { return };
        let (client, purpose) = (noted.client, noted.purpose);
        let Some(slot) = self.slot_of(run) else {
            return self.after(1, Event::Reply { conn, status: 0, numbers: vec![] });
        };
        let Some(purpose) = purpose else {
            let random = std::array::from_fn(|_| self.rng.below(256) as u8);
            let mut id = None;
            self.process(slot, |process, now, ledger| id = process.open(now, conn, random, ledger));
            self.clients[client].id = id.unwrap_or_default();
            return;
        };
        let id = self.clients[client].id.clone();
        self.process(slot, |process, now, ledger| {
            process.request(now, Request { conn, purpose, id, body }, ledger);
        });
    }

    /// An answer, or the end of a connection: status 0.
    fn reply(&mut self, conn: u64, status: u16, numbers: &[u32]) {
        let Some(noted) = self.conns.get_mut(&conn) else { return };
        let (client, purpose, waited) = (noted.client, noted.purpose, self.now - noted.since);
        if !std::mem::replace(&mut noted.answered, true) {
            *self.count.answers.entry(status).or_default() += 1;
            let longest = match purpose {
                Some(Purpose::Poll) => &mut self.count.longest_poll,
                _ => &mut self.count.longest,
            };
            *longest = (*longest).max(waited);
            let fails = self.calm && ![200, 101].contains(&status);
            let ended = self.ledger.stories.get(&self.clients[client].id).is_some_and(|story| story.ended);
            assert!(!fails || ended, "{status} while nothing goes wrong: {noted:?}");
        } else {
            assert!(status == 0, "a request is answered twice: {noted:?}");
        }
        if status != 101 {
            self.conns.remove(&conn);
        }
        match purpose {
            None if self.clients[client].state == State::Opening => {
                if status == 200 {
                    self.opened(client);
                } else {
                    self.clients[client].state = State::New;
                    self.after(1_000, Event::Client { client });
                }
            }
            Some(Purpose::Poll) if self.clients[client].poll == Some(conn) => {
                self.clients[client].poll = None;
                match status {
                    200 => {
                        self.clients[client].polls_again = false;
                        self.client_gets(client, numbers);
                        self.finish_upgrade(client);
                        self.poll(client);
                    }
                    503 if self.clients[client].retries => {
                        self.clients[client].polls_again = true;
                        let after = self.rng.within(200, 1_500);
                        self.after(after, Event::Poll { client });
                    }
                    _ => self.leave(client),
                }
            }
            Some(Purpose::Post) if self.clients[client].post == Some(conn) => {
                let state = &mut self.clients[client];
                state.post = None;
                match status {
                    200 => {
                        state.sent += std::mem::take(&mut state.posting);
                        self.finish_upgrade(client);
                        let after = self.rng.within(10, 4_000);
                        self.after(after, Event::Post { client });
                    }
                    503 if state.retries => {
                        let after = self.rng.within(200, 1_500);
                        self.after(after, Event::Post { client });
                    }
                    _ => self.leave(client),
                }
            }
            Some(Purpose::Upgrade) if self.clients[client].socket == Some(conn) => match status {
                101 => {
                    self.clients[client].socket_open = true;
                    self.finish_upgrade(client);
                }
                // before it has left polling, a failed WebSocket changes nothing
                _ if !self.clients[client].upgraded => {
                    (self.clients[client].socket, self.clients[client].socket_open) = (None, false);
                    self.poll(client);
                    self.after(500, Event::Post { client });
                    if self.rng.one_in(2) {
                        self.after(2_000, Event::Upgrade { client });
                    }
                }
                _ => self.leave(client),
            },
            _ => {}
        }
    }

    fn client(&mut self, client: usize) {
        match self.clients[client].state {
            State::New if !self.leaving => {
                self.clients[client].state = State::Opening;
                self.send(client, None, vec![]);
            }
            State::Open => self.leave(client),
            _ => {}
        }
    }

    fn opened(&mut self, client: usize) {
        self.clients[client].state = State::Open;
        let wants_upgrade = self.clients[client].wants_upgrade;
        self.poll(client);
        let (post, upgrade) = (self.rng.within(10, 3_000), self.rng.within(1, 200));
        self.after(post, Event::Post { client });
        if wants_upgrade {
            self.after(upgrade, Event::Upgrade { client });
        }
        // it leaves one day, so that there are new sessions
        if self.trouble && self.rng.one_in(2) {
            let after = self.rng.within(500, 30_000);
            self.after(after, Event::Client { client });
        }
    }

    fn poll(&mut self, client: usize) {
        let state = &self.clients[client];
        // once the WebSocket is there, it leaves polling as soon as no request is under way
        let stops = state.upgraded || state.socket_open && !state.polls_again;
        if state.state == State::Open && state.poll.is_none() && !stops {
            self.clients[client].poll = Some(self.send(client, Some(Purpose::Poll), vec![]));
        }
    }

    fn post(&mut self, client: usize) {
        let state = &self.clients[client];
        if state.state != State::Open || state.post.is_some() || state.posting == 0 && !self.trouble {
            return;
        }
        let again = state.posting;
        if state.upgraded && again == 0 {
            let number = state.sent;
            let socket = state.socket.unwrap();
            self.clients[client].sent += 1;
            let id = self.clients[client].id.clone();
            self.ledger.client_sends(&id, number + 1);
            self.up(socket, number);
            let after = self.rng.within(5, 1_500);
            return self.after(after, Event::Post { client });
        }
        let state = &self.clients[client];
        if state.socket_open && again == 0 {
            return; // it is about to leave polling, and goes on after that
        }
        let count = match again {
            0 if self.rng.one_in(200) => self.rng.within(5_000, 30_000) as u32,
            0 => self.rng.within(1, 4) as u32,
            again => again,
        };
        let state = &mut self.clients[client];
        state.posting = count;
        let numbers: Vec<u32> = (state.sent..state.sent + count).collect();
        let id = state.id.clone();
        self.ledger.client_sends(&id, state.sent + count);
        self.clients[client].post = Some(self.send(client, Some(Purpose::Post), bytes_of(&numbers)));
    }

    fn up(&mut self, conn: u64, number: u32) {
        let delay = self.rng.within(1, 10);
        let Some(noted) = self.conns.get_mut(&conn) else { return };
        noted.up_at = (self.now + delay).max(noted.up_at + 1);
        let at = noted.up_at;
        self.at(at, Event::Up { conn, number });
    }

    fn upgrade(&mut self, client: usize) {
        let state = &self.clients[client];
        if state.state == State::Open && state.socket.is_none() && !state.upgraded {
            self.clients[client].socket = Some(self.send(client, Some(Purpose::Upgrade), vec![]));
        }
    }

    /// Leaves polling for the WebSocket as soon as no request is under way.
    fn finish_upgrade(&mut self, client: usize) {
        if self.clients[client].may_upgrade() {
            self.clients[client].upgraded = true;
            let socket = self.clients[client].socket.unwrap();
            self.up(socket, UPGRADE);
            self.after(5, Event::Post { client });
        }
    }

    fn client_gets(&mut self, client: usize, numbers: &[u32]) {
        let id = self.clients[client].id.clone();
        self.ledger.client_gets(&id, numbers);
    }

    /// The client closes, and its connections end. Another one comes in its place.
    fn leave(&mut self, client: usize) {
        let state = &mut self.clients[client];
        if state.state == State::Closed {
            return;
        }
        let (retries, upgrades) = (state.retries, state.wants_upgrade);
        state.state = State::Closed;
        for conn in [state.poll.take(), state.post.take(), state.socket.take()].into_iter().flatten() {
            let after = self.rng.within(1, 10);
            self.after(after, Event::Gone { conn });
        }
        if !self.leaving {
            let new = self.clients.len();
            self.clients.push(Client::new(retries, upgrades));
            let after = self.rng.within(100, 3_000);
            self.after(after, Event::Client { client: new });
        }
    }
}

fn describe(key: &Key, at: u64, event: &Event) -> String {
    let line = match event {
        Event::Bus { run, message } => match open(key, message) {
            Ok((header, body)) => {
                let Header { kind, from, to: _, association, seq, ack, time, yours } = header;
                let items = if kind == Kind::Frame { Item::decode_all(body) } else { None };
                let items = items.iter().flatten().map(|item| format!("{item:?}")).collect::<Vec<_>>().join("; ");
                format!(
                    "{at} {from:x} -> {run:x} {kind:?} {association}.{seq} ack {ack} time {time} yours {yours} {items}"
                )
            }
            Err(refused) => format!("{at} -> {run:x} {refused:?}"),
        },
        event => format!("{at} {event:x?}"),
    };
    line.chars().take(400).collect()
}
