//! WebSocket connect + close: TCP, upgrade, open packet, close handshake, end of stream; then again.

use crate::ctx::{Ctx, Scenario};
use crate::net::{self, Io};
use crate::ws::{self, Rng, Upgrade};

#[derive(PartialEq, Clone, Copy, Default)]
enum State {
    /// Without a connection.
    #[default]
    Idle,
    Connecting,
    Upgrading,
    Opening,
    Closing,
}

#[derive(Default)]
struct Slot {
    fd: i32,
    state: State,
    rbuf: Vec<u8>,
    began: u64,
    opened: u64,
    close_seen: bool,
}

pub struct Connect {
    slots: Vec<Slot>,
    upgrade: Upgrade,
    close: Vec<u8>,
    n: u64,
}

impl Connect {
    pub fn new(c: &mut Ctx) -> Connect {
        let mut rng = Rng::new();
        Connect {
            slots: vec![],
            upgrade: Upgrade::new(&mut rng, &c.args.path, c.args.port, false),
            close: ws::masked(&mut rng, ws::CLOSE, &1000u16.to_be_bytes()),
            n: 0,
        }
    }

    fn begin(&mut self, c: &mut Ctx, i: usize) {
        self.n += 1;
        let s = &mut self.slots[i];
        match net::connect(c.args.port, self.n) {
            Ok(fd) => {
                c.ep.add(fd, i as u64, net::OUT);
                s.fd = fd;
                s.state = State::Connecting;
                s.began = net::now();
                s.close_seen = false;
                s.rbuf.clear();
            }
            Err(e) => {
                c.error(format!("connect: {e}"));
                c.fatal = true;
            }
        }
    }

    fn fail(&mut self, c: &mut Ctx, i: usize, why: String) {
        net::close(self.slots[i].fd);
        self.slots[i].state = State::Idle;
        c.error(why);
        if c.running && !c.fatal {
            self.begin(c, i);
        }
    }

    fn advance(&mut self, c: &mut Ctx, i: usize) -> Result<(), String> {
        loop {
            let s = &mut self.slots[i];
            match s.state {
                State::Upgrading => {
                    let Some(n) = self.upgrade.check(&s.rbuf)? else { return Ok(()) };
                    s.rbuf.drain(..n);
                    s.state = State::Opening;
                    if c.args.raw {
                        s.opened = net::now();
                        s.state = State::Closing;
                        net::small_write(s.fd, &self.close)?;
                    }
                }
                State::Opening | State::Closing => {
                    let Some(f) = ws::next_frame(&s.rbuf)? else { return Ok(()) };
                    let open = s.rbuf[f.start..f.end].starts_with(b"0{\"sid\"");
                    s.rbuf.drain(..f.end);
                    match (f.opcode, s.state) {
                        (ws::TEXT, State::Opening) if open => {
                            s.opened = net::now();
                            s.state = State::Closing;
                            net::small_write(s.fd, &self.close)?;
                        }
                        (ws::CLOSE, State::Closing) => s.close_seen = true,
                        (ws::TEXT, State::Closing) => {}
                        (o, _) => return Err(format!("unexpected frame, opcode {o}")),
                    }
                }
                _ => return Ok(()),
            }
        }
    }
}

impl Scenario for Connect {
    fn connect(&mut self, c: &mut Ctx, _: usize) -> bool {
        self.slots.resize_with(c.args.conns, Slot::default);
        true
    }

    fn start(&mut self, c: &mut Ctx) {
        (0..self.slots.len()).for_each(|i| self.begin(c, i));
    }

    fn event(&mut self, c: &mut Ctx, token: u64, flags: u32, buf: &mut [u8]) {
        let i = token as usize;
        let fd = self.slots[i].fd;
        if self.slots[i].state == State::Connecting {
            if let Err(e) = net::connected(fd) {
                return self.fail(c, i, e);
            }
            self.slots[i].state = State::Upgrading;
            c.ep.set(fd, token, net::IN);
            if let Err(e) = net::small_write(fd, &self.upgrade.request) {
                self.fail(c, i, e);
            }
            return;
        }
        if flags & (net::IN | net::ERR) == 0 || self.slots[i].state == State::Idle {
            return;
        }
        match net::read(fd, buf) {
            Io::Bytes(n) => {
                self.slots[i].rbuf.extend_from_slice(&buf[..n]);
                if let Err(e) = self.advance(c, i) {
                    self.fail(c, i, e);
                }
            }
            Io::Block => {}
            Io::Eof if self.slots[i].close_seen => {
                net::close(fd);
                self.slots[i].state = State::Idle;
                // Latency is the time until the session was open.
                c.done(self.slots[i].opened - self.slots[i].began);
                if c.running {
                    self.begin(c, i);
                }
            }
            Io::Eof => self.fail(c, i, "end of stream without a close frame".into()),
            Io::Err(e) => self.fail(c, i, e.to_string()),
        }
    }

    fn drained(&self, _: &Ctx) -> bool {
        self.slots.iter().all(|s| s.state == State::Idle)
    }
}
