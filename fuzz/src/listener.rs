//! From the bytes of clients to sessions: the engine's own listener, all of it but the sockets.
//!
//! Up to four clients write raw bytes to hyper and the listener's service, over stream pairs and on a clock that the
//! input turns. An owner does what JavaScript does with what it is told (see `owner`).
//!
//! The input: a byte of options, then steps, divided by `FE FE`. Of a step's first byte, bits 0-1 name the client, bits
//! 2-4 what happens; the rest are the bytes that the client sends, or the step's argument.
//! The last client comes through a proxy, which has to tell its address by the PROXY protocol first.
//! `sid=s1`, `sid=s2`, … stand for the ids of the sessions that began with polls, in order.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use engine_io_native::http::{
    BodyLimits, CompressionOptions, DeflateSettings, Listener, ListenerOptions, Proxies, Settings,
};
use engine_io_native::runtime::{Command, Commands, EventQueue, Handles};
use engine_io_native::session::{OutData, Timing};
use engine_io_native::websocket::deflate::Options;

use crate::memory;
use crate::owner::{Owner, PING_INTERVAL_MS, PING_TIMEOUT_MS, Setup, UPGRADE_TIMEOUT_MS};

/// After so long without a byte from any client every connection must have ended: the slowest, that of a client that
/// owes the rest of a body, after 300 s, and then what it had begun.
const SILENCE: Duration = Duration::from_secs(420);

/// What a run may take, in bytes: for each client hyper's and the kernel's buffers, the contexts of permessage-deflate
/// and some messages of `Setup::MAX_MESSAGE`; and a MiB of messages that the owner has not taken.
const MEMORY: usize = 16 << 20;

/// What stays for the next run: buffers of the thread.
const KEPT: usize = 1 << 20;

/// The client that connects through a proxy, whose connections have to begin with a header of the PROXY protocol.
const PROXIED: usize = 3;

/// The address of this proxy.
const PROXY: &str = "127.0.0.2";

pub fn run(data: &[u8]) {
    let [options, script @ ..] = data else { return };
    // as Node does; libFuzzer's `main` does not
    // SAFETY: ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let before = memory::live();
    memory::reset_peak();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .event_interval(1)
        .build()
        .expect("a runtime");
    runtime.block_on(play(Setup::from_bits(*options), script));
    assert_eq!(runtime.metrics().num_alive_tasks(), 0, "tasks are left");
    drop(runtime);
    let peak = memory::peak().saturating_sub(before);
    assert!(peak < MEMORY, "{peak} bytes at the peak");
    let left = memory::live().saturating_sub(before);
    assert!(left < KEPT, "{left} bytes are left");
}

async fn play(setup: Setup, script: &[u8]) {
    let queue = EventQueue::new(|| {});
    let commands = Commands::default();
    let handles = Handles::default();
    let open = || Some("\",\"upgrades\":[]}".to_owned());
    let settings = Settings {
        path: "/engine.io/".to_owned(),
        timing: Arc::new(Timing::new(PING_INTERVAL_MS, PING_TIMEOUT_MS, UPGRADE_TIMEOUT_MS)),
        polling: open(),
        websocket: open(),
        initial: setup.compress.then(|| OutData::Text("hi".to_owned())),
        allows_v3: setup.v3,
        bodies: BodyLimits::new(setup.max_message as f64, 100.0, 30_000),
        max_payload: setup.max_message,
        max_chunks: 100,
        compression: setup.compress.then_some(CompressionOptions { threshold: 10.0, level: 6, window_bits: 15 }),
        cookie: setup.v3.then(|| ("io=".to_owned(), "; Path=/".to_owned())),
        deflate: setup.deflate.then(|| DeflateSettings { options: Options::default(), level: 1, from: 10 }),
        proxies: Some(Proxies::Ranges(vec![PROXY.parse().expect("an address")])),
    };
    let listener = Listener::new(ListenerOptions {
        handle: 0,
        settings,
        queue: queue.clone(),
        commands: commands.clone(),
        sessions: handles.clone(),
        connections: handles,
    });
    if setup.refusals {
        listener.tell_refusals();
    }
    let io = tokio::spawn(engine_io_native::runtime::run(commands.clone()));

    let mut world = World {
        owner: Owner::new(setup, queue, listener.clone()),
        listener: listener.clone(),
        clients: Default::default(),
    };
    for step in script.split_pairs() {
        world.step(step).await;
    }
    world.owner.blocked = false;
    for client in world.clients.iter_mut().flatten() {
        client.deaf = false;
    }
    world.pass(SILENCE).await;
    for (number, client) in world.clients.iter().enumerate() {
        assert!(client.as_ref().is_none_or(|client| client.ended), "client {number} waits for ever");
    }
    world.clients = Default::default();
    // what waits for a peer that may still answer a close: 30 s
    world.pass(Duration::from_millis(35_000 + PING_INTERVAL_MS + PING_TIMEOUT_MS)).await;
    world.owner.assert_over();
    drop(world);
    assert_eq!(Arc::strong_count(&listener), 1, "a connection is left");
    commands.send(Command::Stop);
    io.await.expect("the I/O task has not panicked");
    // what it has ended ends
    tokio::task::yield_now().await;
}

struct World {
    owner: Owner,
    listener: Arc<Listener>,
    clients: [Option<Client>; 4],
}

impl World {
    async fn step(&mut self, step: &[u8]) {
        let [first, bytes @ ..] = step else { return };
        let number = usize::from(first & 3);
        let argument = bytes.first().copied().unwrap_or(0);
        let bytes = &self.named(bytes);
        match first >> 2 & 7 {
            0 | 1 => self.client(number).send(bytes),
            2 => {
                self.client(number).send(bytes);
                self.client(number).half_close();
            }
            3 => {
                self.client(number).send(bytes);
                self.clients[number] = None;
            }
            4 => return self.pass(Duration::from_millis(u64::from(argument) * 100)).await,
            5 => {
                // a byte at a time
                for byte in bytes.iter().take(64) {
                    self.client(number).send(&[*byte]);
                    self.settle().await;
                }
                self.client(number).send(bytes.get(64..).unwrap_or(&[]));
            }
            6 => self.owner.act(argument),
            _ => {
                let client = self.client(number);
                client.deaf = !client.deaf;
            }
        }
        self.settle().await;
    }

    /// The bytes with the ids of sessions in place of what stands for them.
    fn named(&self, bytes: &[u8]) -> Vec<u8> {
        const NAME: &[u8] = b"sid=s";
        let mut named = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some(at) = rest.windows(NAME.len()).position(|window| window == NAME) {
            let (before, name) = rest.split_at(at);
            named.extend_from_slice(before);
            let digits = name[NAME.len()..].iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
            let (name, after) = name.split_at(NAME.len() + digits);
            let number = name[NAME.len()..].iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
            match number.checked_sub(1).and_then(|index| self.owner.sids.get(index)) {
                Some(sid) => {
                    named.extend_from_slice(b"sid=");
                    named.extend_from_slice(sid.as_bytes());
                }
                None => named.extend_from_slice(name),
            }
            rest = after;
        }
        named.extend_from_slice(rest);
        named
    }

    /// A client that is connected.
    fn client(&mut self, number: usize) -> &mut Client {
        let listener = &self.listener;
        self.clients[number].get_or_insert_with(|| {
            let (ours, theirs) = UnixStream::pair().expect("a pair of streams");
            theirs.set_nonblocking(true).expect("a stream");
            ours.set_nonblocking(true).expect("a stream");
            let stream = tokio::net::UnixStream::from_std(ours).expect("a stream");
            let at = |address: Ipv4Addr, port| SocketAddr::from((address, port));
            let address = if number == PROXIED { PROXY.parse().expect("an address") } else { Ipv4Addr::LOCALHOST };
            let ends = [at(address, 40_000 + number as u16), at(Ipv4Addr::LOCALHOST, 80)];
            listener.clone().serve_stream(stream, Some(ends));
            Client { stream: theirs, deaf: false, ended: false }
        })
    }

    /// Lets everything happen that can happen now. (A pause of a millisecond is over when nobody else has anything to do.)
    async fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..1_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let mut busy = self.owner.work();
            for client in self.clients.iter_mut().flatten() {
                busy |= client.hear();
            }
            quiet = if busy { 0 } else { quiet + 1 };
            if quiet == 3 {
                return;
            }
        }
    }

    /// Time passes, while there are sessions in steps that are short enough for the owner to tick in time.
    async fn pass(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            let step = Duration::from_millis(if self.owner.has_sessions() { PING_TIMEOUT_MS / 8 } else { 60_000 });
            tokio::time::sleep_until(end.min(tokio::time::Instant::now() + step)).await;
            self.settle().await;
        }
    }
}

struct Client {
    stream: UnixStream,
    /// It does not read.
    deaf: bool,
    /// The server has ended the connection.
    ended: bool,
}

impl Client {
    /// Sends what the kernel takes; the server may be gone.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write(bytes);
    }

    fn half_close(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// Reads what there is. Whether there was something.
    fn hear(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let mut heard = false;
        while !self.deaf && !self.ended {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) | Ok(0) => self.ended = true,
                Ok(_) => heard = true,
            }
        }
        heard
    }
}

trait SplitPairs {
    /// What stands between pairs of `FE`.
    fn split_pairs(&self) -> impl Iterator<Item = &[u8]>;
}

impl SplitPairs for [u8] {
    fn split_pairs(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let all = rest.take()?;
            let Some(at) = all.windows(2).position(|pair| pair == [0xfe, 0xfe]) else { return Some(all) };
            rest = all.get(at + 2..);
            all.get(..at)
        })
    }
}
