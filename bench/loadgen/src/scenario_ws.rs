//! Everything that lives on open WebSockets: echo, receive, broadcast, hold.

use crate::ctx::{Ctx, Scenario};
use crate::deflate::Inflate;
use crate::http;
use crate::net::{self, Io, Sock};
use crate::payload::Pool;
use crate::tls::{self, Tls};
use crate::ws::{self, Rng, Upgrade};

#[derive(PartialEq, Clone, Copy)]
enum State {
    Connecting,
    Upgrading,
    /// Waits for the open packet (and for Socket.IO's answer to CONNECT).
    Opening,
    /// Waits for the answer to the probe: the session was opened by polling.
    Probing,
    Open,
    Dead,
}

struct Conn {
    sock: Sock,
    state: State,
    /// Messages sent / received (receive: blocks sent / acknowledged).
    sent: u64,
    got: u64,
    /// When each message in flight left, by sequence number.
    left: Vec<u64>,
    inflate: Option<Box<Inflate>>,
    /// The upgrade request, if it is not that of all others.
    request: Vec<u8>,
}

#[derive(PartialEq)]
enum Kind {
    Echo,
    Receive,
    Broadcast,
    Hold,
}

pub struct Ws {
    kind: Kind,
    conns: Vec<Conn>,
    pool: Pool,
    upgrade: Upgrade,
    pong: Vec<u8>,
    probe: Vec<u8>,
    upgraded: Vec<u8>,
    sio_connect: Vec<u8>,
    rng: Rng,
    tls: Option<tls::Config>,
    plain: Vec<u8>,
    open: usize,
    scratch: Vec<u8>,
    /// receive: a run of `ack_every` frames, sent as one.
    block: Vec<u8>,
    /// broadcast: round in progress, when its trigger left, deliveries still due.
    round: u64,
    round_left: u64,
    due: usize,
}

/// receive: blocks a client may have unacknowledged.
const WINDOW: u64 = 3;

impl Ws {
    pub fn new(c: &mut Ctx) -> Ws {
        let mut rng = Rng::new();
        let pool = Pool::new(&c.args, &mut rng);
        let kind = match c.args.scenario.as_str() {
            "echo" => Kind::Echo,
            "receive" => Kind::Receive,
            "broadcast" => Kind::Broadcast,
            _ => Kind::Hold,
        };
        let mut block = vec![];
        if kind == Kind::Receive {
            for i in 0..c.args.ack_every {
                // Fresh masks throughout; contents cycle through the pool.
                block.extend(ws::masked(&mut rng, pool.opcode, &pool.plain[i % pool.plain.len()]));
            }
        }
        let upgrade = Upgrade::new(&mut rng, &c.args.path, c.args.port, c.args.deflate);
        Ws {
            kind,
            conns: vec![],
            upgrade,
            pong: ws::masked(&mut rng, ws::TEXT, b"3"),
            probe: ws::masked(&mut rng, ws::TEXT, b"2probe"),
            upgraded: ws::masked(&mut rng, ws::TEXT, b"5"),
            sio_connect: ws::masked(&mut rng, ws::TEXT, b"40"),
            pool,
            rng,
            tls: c.args.tls.then(tls::Config::new),
            plain: vec![],
            open: 0,
            scratch: vec![],
            block,
            round: 0,
            round_left: 0,
            due: 0,
        }
    }

    #[cold]
    fn lost(&mut self, c: &mut Ctx, i: usize, why: &str) {
        let conn = &mut self.conns[i];
        if conn.state == State::Dead {
            return;
        }
        conn.state = State::Dead;
        net::close(conn.sock.fd);
        c.error(format!("connection {i}: {why}"));
        c.fatal = true;
    }

    fn write(&mut self, c: &mut Ctx, i: usize, what: What) {
        let data = match what {
            What::Upgrade => &self.upgrade.request,
            What::Pong => &self.pong,
            What::Probe => &self.probe,
            What::Upgraded => &self.upgraded,
            What::SioConnect => &self.sio_connect,
            What::Scratch => &self.scratch,
            What::Block => &self.block,
            What::Variant(v) => &self.pool.frames[v],
        };
        if let Err(e) = self.conns[i].sock.send(&c.ep, i as u64, data) {
            self.lost(c, i, &e.to_string());
        }
    }

    /// Echo: `n` next messages of a connection, in one write.
    fn send_next(&mut self, c: &mut Ctx, i: usize, n: usize, now: u64) {
        let mut v = 0;
        let batch = n > 1;
        if batch {
            self.scratch.clear();
        }
        for _ in 0..n {
            let conn = &mut self.conns[i];
            v = self.pool.variant(i, conn.sent);
            let slots = conn.left.len() as u64;
            conn.left[(conn.sent % slots) as usize] = now;
            conn.sent += 1;
            if batch {
                self.scratch.extend_from_slice(&self.pool.frames[v]);
            }
        }
        self.write(c, i, if batch { What::Scratch } else { What::Variant(v) });
    }

    fn send_block(&mut self, c: &mut Ctx, i: usize) {
        while c.running {
            let conn = &mut self.conns[i];
            if conn.sock.blocked() || conn.sent - conn.got >= WINDOW || conn.state != State::Open {
                return;
            }
            conn.left[(conn.sent % WINDOW) as usize] = net::now();
            conn.sent += 1;
            self.write(c, i, What::Block);
        }
    }

    fn trigger(&mut self, c: &mut Ctx) {
        self.due = self.conns.len();
        self.round_left = net::now();
        let v = self.pool.variant(0, self.round);
        self.write(c, 0, What::Variant(v));
    }

    /// One message from the server. Returns how many messages may follow (echo).
    #[inline]
    fn message(&mut self, c: &mut Ctx, i: usize, opcode: u8, p: &[u8], now: u64) -> usize {
        match self.kind {
            Kind::Echo => {
                let conn = &mut self.conns[i];
                if conn.got == conn.sent {
                    c.error("a message nobody sent");
                    return 0;
                }
                let want = &self.pool.plain[self.pool.variant(i, conn.got)];
                if opcode != self.pool.opcode || p != &want[..] {
                    self.mismatch(c, i, p);
                    return 0;
                }
                let slots = conn.left.len() as u64;
                let t = conn.left[(conn.got % slots) as usize];
                conn.got += 1;
                c.done(now - t);
                1
            }
            Kind::Broadcast => {
                let want = &self.pool.plain[self.pool.variant(0, self.round)];
                let conn = &mut self.conns[i];
                if opcode != self.pool.opcode || p != &want[..] || conn.got != self.round {
                    self.mismatch(c, i, p);
                    return 0;
                }
                conn.got += 1;
                c.done(now - self.round_left);
                self.due -= 1;
                if self.due == 0 {
                    self.round += 1;
                    if c.running {
                        self.trigger(c);
                    }
                }
                0
            }
            Kind::Receive => {
                let every = c.args.ack_every as u64;
                let conn = &mut self.conns[i];
                let n = (conn.got + 1) * every;
                let want = format!("{n} {}", n * c.args.size as u64);
                let p = if c.args.raw { p } else { p.strip_prefix(b"4").unwrap_or_default() };
                if p != want.as_bytes() || conn.got >= conn.sent {
                    c.error(format!("acknowledgement {:?}, expected {want:?}", String::from_utf8_lossy(p)));
                    c.fatal = true;
                    return 0;
                }
                let t = conn.left[(conn.got % WINDOW) as usize];
                conn.got += 1;
                c.messages += every;
                c.hist.add(now - t);
                self.send_block(c, i);
                0
            }
            Kind::Hold => {
                c.error("a message on an idle connection");
                0
            }
        }
    }

    #[cold]
    fn mismatch(&mut self, c: &mut Ctx, i: usize, p: &[u8]) {
        c.error(format!(
            "connection {i}: wrong message ({} bytes, starts {:?}) in place {}",
            p.len(),
            String::from_utf8_lossy(&p[..p.len().min(24)]),
            self.conns[i].got
        ));
        c.fatal = true;
    }

    /// A data frame's contents. Returns how many messages may follow (echo).
    #[inline]
    fn packet(&mut self, c: &mut Ctx, i: usize, opcode: u8, p: &[u8], now: u64) -> usize {
        let engine = !c.args.raw && opcode == ws::TEXT;
        if engine && p == b"2" {
            c.pings += 1;
            if self.kind == Kind::Hold {
                c.done(0);
            }
            self.write(c, i, What::Pong);
        } else if self.conns[i].state == State::Opening {
            self.opening(c, i, p);
        } else if self.conns[i].state == State::Probing && p == b"3probe" {
            self.write(c, i, What::Upgraded);
            if c.args.sio {
                self.conns[i].state = State::Opening;
                self.write(c, i, What::SioConnect);
            } else {
                self.opened(i);
            }
        } else if engine && p == b"6" {
        } else {
            return self.message(c, i, opcode, p, now);
        }
        0
    }

    /// Handles all whole frames in `data`; returns the bytes used.
    fn frames(&mut self, c: &mut Ctx, i: usize, data: &[u8], now: u64) -> usize {
        let mut off = 0;
        let mut follow = 0;
        while self.conns[i].state != State::Dead {
            let f = match ws::next_frame(&data[off..]) {
                Ok(Some(f)) => f,
                Ok(None) => break,
                Err(e) => {
                    self.lost(c, i, &e);
                    break;
                }
            };
            let p = &data[off + f.start..off + f.end];
            off += f.end;
            // Only what the server really compressed counts, or a server that forgets to would look fast.
            let due = c.args.deflate && f.opcode <= ws::BINARY && p.len() > 256;
            if f.compressed || due {
                match (&mut self.conns[i].inflate, f.compressed) {
                    (Some(z), true) => {
                        let mut plain = std::mem::take(&mut self.plain);
                        let r = z.message(p, &mut plain);
                        let n = match r {
                            Ok(()) => self.packet(c, i, f.opcode, &plain, now),
                            Err(e) => {
                                self.lost(c, i, &e);
                                0
                            }
                        };
                        self.plain = plain;
                        follow += n;
                    }
                    (_, true) => self.lost(c, i, "a compressed frame"),
                    (_, false) => self.lost(c, i, "a long message that is not compressed"),
                }
                continue;
            }
            match f.opcode {
                ws::TEXT | ws::BINARY => follow += self.packet(c, i, f.opcode, p, now),
                ws::PING => {
                    let f = ws::masked(&mut self.rng, ws::PONG, p);
                    if let Err(e) = self.conns[i].sock.send(&c.ep, i as u64, &f) {
                        self.lost(c, i, &e.to_string());
                    }
                }
                ws::PONG => {}
                ws::CLOSE => {
                    let code = p.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    self.lost(c, i, &format!("the server closed it with {code}"))
                }
                o => self.lost(c, i, &format!("opcode {o}")),
            }
        }
        if follow > 0 && c.running && self.conns[i].state == State::Open {
            self.send_next(c, i, follow, now);
        }
        off
    }

    fn opening(&mut self, c: &mut Ctx, i: usize, p: &[u8]) {
        if p.starts_with(b"0{\"sid\"") {
            if c.args.sio {
                self.write(c, i, What::SioConnect);
            } else {
                self.opened(i);
            }
        } else if c.args.sio && p.starts_with(b"40{") {
            self.opened(i);
        } else {
            let s = format!("expected the open packet, got {:?}", String::from_utf8_lossy(&p[..p.len().min(40)]));
            self.lost(c, i, &s);
        }
    }

    fn opened(&mut self, i: usize) {
        self.conns[i].state = State::Open;
        self.open += 1;
    }

    fn feed(&mut self, c: &mut Ctx, i: usize, data: &[u8], now: u64) {
        // Leftovers are rare: only then is anything copied.
        if self.conns[i].sock.rbuf.is_empty() {
            let used = self.consume(c, i, data, now);
            if used < data.len() {
                self.conns[i].sock.rbuf.extend_from_slice(&data[used..]);
            }
        } else {
            let mut r = std::mem::take(&mut self.conns[i].sock.rbuf);
            r.extend_from_slice(data);
            let used = self.consume(c, i, &r, now);
            r.drain(..used);
            if !r.is_empty() || self.kind != Kind::Hold {
                self.conns[i].sock.rbuf = r;
            }
        }
    }

    fn consume(&mut self, c: &mut Ctx, i: usize, data: &[u8], now: u64) -> usize {
        let mut off = 0;
        if self.conns[i].state == State::Upgrading {
            match self.upgrade.check(data) {
                Ok(Some(n)) => {
                    off = n;
                    if c.args.raw {
                        self.opened(i);
                    } else if !c.args.owners.is_empty() {
                        self.conns[i].state = State::Probing;
                        self.write(c, i, What::Probe);
                    } else {
                        self.conns[i].state = State::Opening;
                    }
                }
                Ok(None) => return 0,
                Err(e) => {
                    self.lost(c, i, &e);
                    return 0;
                }
            }
        }
        off + self.frames(c, i, &data[off..], now)
    }
}

enum What {
    Upgrade,
    Pong,
    Probe,
    Upgraded,
    SioConnect,
    Scratch,
    Block,
    Variant(usize),
}

impl Scenario for Ws {
    fn connect(&mut self, c: &mut Ctx, target: usize) -> bool {
        // Opening a session by polling blocks, and the server bounds the time that upgrades may take.
        let most = if c.args.owners.is_empty() { 64 } else { 4 };
        while self.conns.len() < target && self.conns.len() - self.open < most {
            let i = self.conns.len();
            let mut request = vec![];
            if !c.args.owners.is_empty() {
                match http::open(&c.args, c.args.owner(i)) {
                    Ok(sid) => {
                        let target = format!("{}?EIO=4&transport=websocket&sid={sid}", c.args.path);
                        request = self.upgrade.request_for(&target, c.args.front(i, i));
                    }
                    Err(e) => {
                        c.error(e);
                        c.fatal = true;
                        return false;
                    }
                }
            }
            match net::connect(c.args.front(i, i), i as u64) {
                Ok(fd) => {
                    c.ep.add(fd, i as u64, net::IN | net::OUT);
                    let slots = if self.kind == Kind::Receive { WINDOW as usize } else { c.args.inflight };
                    let left = if self.kind == Kind::Hold { vec![] } else { vec![0; slots] };
                    let sock = match &self.tls {
                        Some(t) => Sock::with_tls(fd, Tls::new(t)),
                        None => Sock::new(fd),
                    };
                    let inflate = c.args.deflate.then(Box::default);
                    self.conns.push(Conn { sock, state: State::Connecting, sent: 0, got: 0, left, inflate, request });
                }
                Err(e) => {
                    c.error(format!("connect: {e}"));
                    c.fatal = true;
                    return false;
                }
            }
        }
        self.open >= target
    }

    fn start(&mut self, c: &mut Ctx) {
        match self.kind {
            Kind::Echo => {
                for i in 0..self.conns.len() {
                    self.send_next(c, i, c.args.inflight, net::now());
                }
            }
            Kind::Receive => (0..self.conns.len()).for_each(|i| self.send_block(c, i)),
            Kind::Broadcast => self.trigger(c),
            Kind::Hold => {}
        }
    }

    fn event(&mut self, c: &mut Ctx, token: u64, flags: u32, buf: &mut [u8]) {
        let i = token as usize;
        if self.conns[i].state == State::Dead {
            return;
        }
        if flags & net::OUT != 0 {
            if self.conns[i].state == State::Connecting {
                if let Err(e) = net::connected(self.conns[i].sock.fd) {
                    return self.lost(c, i, &e);
                }
                self.conns[i].state = State::Upgrading;
                c.ep.set(self.conns[i].sock.fd, token, net::IN);
                self.scratch = std::mem::take(&mut self.conns[i].request);
                self.write(c, i, if self.scratch.is_empty() { What::Upgrade } else { What::Scratch });
            } else {
                match self.conns[i].sock.flush(&c.ep, token) {
                    Ok(true) if self.kind == Kind::Receive && self.conns[i].state == State::Open => {
                        self.send_block(c, i)
                    }
                    Ok(_) => {}
                    Err(e) => return self.lost(c, i, &e.to_string()),
                }
            }
        }
        if flags & (net::IN | net::ERR) != 0 {
            let mut again = true;
            while again && self.conns[i].state != State::Dead {
                let (r, more) = self.conns[i].sock.read(&c.ep, token, buf);
                again = more;
                match r {
                    Io::Bytes(n) => {
                        let now = net::now();
                        self.feed(c, i, &buf[..n], now);
                    }
                    Io::Block => {}
                    Io::Eof => self.lost(c, i, "end of stream"),
                    Io::Err(e) => self.lost(c, i, &e.to_string()),
                }
            }
        }
    }

    fn drained(&self, _: &Ctx) -> bool {
        match self.kind {
            Kind::Broadcast => self.due == 0,
            _ => self.conns.iter().all(|x| x.sent == x.got),
        }
    }

    fn silence(&self) -> Option<f64> {
        if self.kind == Kind::Hold { None } else { Some(5.0) }
    }
}
