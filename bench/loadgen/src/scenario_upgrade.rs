//! A session as engine.io-client makes it: handshake by polling, a GET that waits, the probe over WebSocket, the
//! upgrade, one message and its echo, close; then again on new connections.

use crate::ctx::{Ctx, Scenario};
use crate::http;
use crate::net::{self, Io, small_write};
use crate::payload::Pool;
use crate::ws::{self, Rng, Upgrade};

/// The server's; a session is over before the answer is due.
const HEARTBEAT: &[u8] = b"2";

#[derive(PartialEq, Clone, Copy, Default)]
enum State {
    #[default]
    Idle,
    /// Handshake by polling.
    Shaking,
    /// The GET waits; the WebSocket is being opened.
    Upgrading,
    Probing,
    /// The probe is answered; the GET that waits is not.
    Pausing,
    Talking,
    Closing,
}

struct Side {
    /// -1: none.
    fd: i32,
    connected: bool,
    rbuf: Vec<u8>,
}

impl Default for Side {
    fn default() -> Self {
        Side { fd: -1, connected: false, rbuf: vec![] }
    }
}

#[derive(Default)]
struct Slot {
    state: State,
    /// Polling, WebSocket.
    sides: [Side; 2],
    sid: String,
    upgrade: Option<Upgrade>,
    /// The GET that waited is answered.
    polled: bool,
    variant: usize,
    began: u64,
    echoed: u64,
    close_seen: bool,
}

pub struct PollUpgrade {
    slots: Vec<Slot>,
    pool: Pool,
    rng: Rng,
    probe: Vec<u8>,
    upgraded: Vec<u8>,
    close: Vec<u8>,
    n: u64,
}

impl PollUpgrade {
    pub fn new(c: &mut Ctx) -> PollUpgrade {
        let mut rng = Rng::new();
        PollUpgrade {
            slots: vec![],
            pool: Pool::new(&c.args, &mut rng),
            probe: ws::masked(&mut rng, ws::TEXT, b"2probe"),
            upgraded: ws::masked(&mut rng, ws::TEXT, b"5"),
            close: ws::masked(&mut rng, ws::CLOSE, &1000u16.to_be_bytes()),
            rng,
            n: 0,
        }
    }

    fn open(&mut self, c: &mut Ctx, i: usize, side: usize) -> Result<(), String> {
        let port = if side == 0 { c.args.owner(i) } else { c.args.front(i, self.n as usize) };
        let fd = net::connect(port, self.n).map_err(|e| format!("connect: {e}"))?;
        c.ep.add(fd, (i * 2 + side) as u64, net::OUT);
        self.slots[i].sides[side] = Side { fd, ..Side::default() };
        Ok(())
    }

    fn begin(&mut self, c: &mut Ctx, i: usize) {
        self.n += 1;
        let s = &mut self.slots[i];
        s.state = State::Shaking;
        s.polled = false;
        s.close_seen = false;
        s.variant = self.pool.variant(i, self.n);
        s.began = net::now();
        if let Err(e) = self.open(c, i, 0) {
            c.error(e);
            c.fatal = true;
        }
    }

    fn end(&mut self, i: usize) {
        self.slots[i].state = State::Idle;
        for side in &mut self.slots[i].sides {
            if side.fd >= 0 {
                net::close(side.fd);
                side.fd = -1;
            }
        }
    }

    fn connected(&mut self, c: &mut Ctx, i: usize, side: usize) -> Result<(), String> {
        let s = &mut self.slots[i];
        let fd = s.sides[side].fd;
        net::connected(fd)?;
        s.sides[side].connected = true;
        c.ep.set(fd, (i * 2 + side) as u64, net::IN);
        if side == 0 {
            return small_write(fd, &http::poll(&c.args, None));
        }
        let target = format!("{}?EIO=4&transport=websocket&sid={}", c.args.path, s.sid);
        let upgrade = Upgrade::new(&mut self.rng, &target, c.args.port, false);
        small_write(fd, &s.upgrade.insert(upgrade).request)
    }

    fn response(&mut self, c: &mut Ctx, i: usize) -> Result<(), String> {
        let s = &mut self.slots[i];
        let Some(r) = http::response(&s.sides[0].rbuf)? else { return Ok(()) };
        let body = s.sides[0].rbuf[r.body].to_vec();
        s.sides[0].rbuf.drain(..r.len);
        if r.status != 200 || !s.sides[0].rbuf.is_empty() {
            return Err(format!("status {}, {} bytes after the response", r.status, s.sides[0].rbuf.len()));
        }
        if s.state == State::Shaking {
            s.sid = http::sid(&body)?.to_owned();
            s.state = State::Upgrading;
            small_write(s.sides[0].fd, &http::poll(&c.args, Some(&s.sid)))?;
            return self.open(c, i, 1);
        }
        if body == HEARTBEAT && !s.polled {
            return small_write(s.sides[0].fd, &http::poll(&c.args, Some(&s.sid)));
        }
        if body != b"6" || s.polled {
            return Err(format!("not a noop: {:?}", String::from_utf8_lossy(&body[..body.len().min(40)])));
        }
        s.polled = true;
        self.paused(i)
    }

    /// Once the probe and the GET are answered: the upgrade, and the message.
    fn paused(&mut self, i: usize) -> Result<(), String> {
        let s = &mut self.slots[i];
        if s.state == State::Pausing && s.polled {
            s.state = State::Talking;
            let fd = s.sides[1].fd;
            small_write(fd, &self.upgraded)?;
            small_write(fd, &self.pool.frames[s.variant])?;
        }
        Ok(())
    }

    fn frames(&mut self, i: usize) -> Result<(), String> {
        loop {
            let s = &mut self.slots[i];
            let side = &mut s.sides[1];
            if s.state == State::Upgrading {
                let upgrade = s.upgrade.as_ref().ok_or("read before the upgrade was asked for")?;
                let Some(n) = upgrade.check(&side.rbuf)? else { return Ok(()) };
                side.rbuf.drain(..n);
                s.state = State::Probing;
                small_write(side.fd, &self.probe)?;
            }
            let Some(f) = ws::next_frame(&side.rbuf)? else { return Ok(()) };
            let payload = side.rbuf[f.start..f.end].to_vec();
            side.rbuf.drain(..f.end);
            match (s.state, f.opcode) {
                (State::Probing, ws::TEXT) if payload == b"3probe" => {
                    s.state = State::Pausing;
                    self.paused(i)?;
                }
                (State::Talking, _) if f.opcode == self.pool.opcode && payload == self.pool.plain[s.variant] => {
                    s.echoed = net::now();
                    s.state = State::Closing;
                    small_write(side.fd, &self.close)?;
                }
                (State::Closing, ws::CLOSE) => s.close_seen = true,
                (State::Talking | State::Closing, ws::TEXT) if payload == HEARTBEAT => {}
                (_, o) => {
                    let what = String::from_utf8_lossy(&payload[..payload.len().min(40)]).into_owned();
                    return Err(format!("unexpected frame, opcode {o}: {what:?}"));
                }
            }
        }
    }

    fn handle(&mut self, c: &mut Ctx, i: usize, side: usize, flags: u32, buf: &mut [u8]) -> Result<(), String> {
        let fd = self.slots[i].sides[side].fd;
        if fd < 0 {
            return Ok(());
        }
        if !self.slots[i].sides[side].connected {
            return if flags & (net::OUT | net::ERR) == 0 { Ok(()) } else { self.connected(c, i, side) };
        }
        if flags & (net::IN | net::ERR) == 0 {
            return Ok(());
        }
        match net::read(fd, buf) {
            Io::Bytes(n) => {
                self.slots[i].sides[side].rbuf.extend_from_slice(&buf[..n]);
                if side == 0 { self.response(c, i) } else { self.frames(i) }
            }
            Io::Block => Ok(()),
            Io::Eof if side == 1 && self.slots[i].close_seen => {
                self.end(i);
                // Latency is the time until the echo over the WebSocket.
                c.done(self.slots[i].echoed - self.slots[i].began);
                if c.running {
                    self.begin(c, i);
                }
                Ok(())
            }
            Io::Eof => Err(format!("end of stream of {}", ["polling", "the WebSocket"][side])),
            Io::Err(e) => Err(e.to_string()),
        }
    }
}

impl Scenario for PollUpgrade {
    fn connect(&mut self, c: &mut Ctx, _: usize) -> bool {
        self.slots.resize_with(c.args.conns, Slot::default);
        true
    }

    fn start(&mut self, c: &mut Ctx) {
        (0..self.slots.len()).for_each(|i| self.begin(c, i));
    }

    fn event(&mut self, c: &mut Ctx, token: u64, flags: u32, buf: &mut [u8]) {
        let (i, side) = (token as usize / 2, token as usize % 2);
        if let Err(e) = self.handle(c, i, side, flags, buf) {
            self.end(i);
            c.error(e);
            if c.running && !c.fatal {
                self.begin(c, i);
            }
        }
    }

    fn drained(&self, _: &Ctx) -> bool {
        self.slots.iter().all(|s| s.state == State::Idle)
    }
}
