//! Polls with ids that nobody has made, at a fixed rate, on keep-alive connections. Each must be answered 400.

use crate::ctx::{Ctx, Scenario};
use crate::http;
use crate::net::{self, Io, Sock};
use crate::ws::Rng;

/// The event of the clock.
const CLOCK: u64 = u64::MAX - 1;

/// The end of a refusal, which has a body without a length.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct Conn {
    sock: Sock,
    connected: bool,
    /// When its request left; 0: it has none.
    left: u64,
}

pub struct Forged {
    conns: Vec<Conn>,
    connected: usize,
    /// Connections without a request.
    free: Vec<usize>,
    rng: Rng,
    began: u64,
    sent: u64,
    clock: i32,
}

impl Forged {
    pub fn new(_: &mut Ctx) -> Forged {
        Forged { conns: vec![], connected: 0, free: vec![], rng: Rng::new(), began: 0, sent: 0, clock: -1 }
    }

    fn fail(&mut self, c: &mut Ctx, i: usize, why: &str) {
        c.error(format!("connection {i}: {why}"));
        c.fatal = true;
    }

    /// Sends what is due. What finds no free connection is left out.
    fn send_due(&mut self, c: &mut Ctx) {
        let due = ((net::now() - self.began) as f64 / 1e9 * c.args.rate) as u64;
        while self.sent < due && c.running {
            self.sent += 1;
            let Some(i) = self.free.pop() else { continue };
            let sid: String = (0..20).map(|_| ALPHABET[self.rng.next_u32() as usize >> 7 & 63] as char).collect();
            let request = http::poll(&c.args, Some(&sid));
            let conn = &mut self.conns[i];
            conn.left = net::now();
            if let Err(e) = conn.sock.send(&c.ep, i as u64, &request) {
                return self.fail(c, i, &e.to_string());
            }
        }
    }

    fn read(&mut self, c: &mut Ctx, i: usize, buf: &mut [u8]) {
        let conn = &mut self.conns[i];
        match net::read(conn.sock.fd, buf) {
            Io::Bytes(n) => conn.sock.rbuf.extend_from_slice(&buf[..n]),
            Io::Block => return,
            Io::Eof => return self.fail(c, i, "end of stream"),
            Io::Err(e) => return self.fail(c, i, &e.to_string()),
        }
        let answer = &conn.sock.rbuf;
        if !answer.starts_with(&b"HTTP/1.1 400 "[..answer.len().min(13)]) || conn.left == 0 {
            let what = String::from_utf8_lossy(&answer[..answer.len().min(40)]).into_owned();
            self.fail(c, i, &format!("expected a refusal, got {what:?}"));
        } else if answer.ends_with(LAST_CHUNK) {
            conn.sock.rbuf.clear();
            c.done(net::now() - std::mem::take(&mut conn.left));
            self.free.push(i);
        }
    }
}

impl Scenario for Forged {
    fn connect(&mut self, c: &mut Ctx, target: usize) -> bool {
        while self.conns.len() < target && self.conns.len() - self.connected < 64 {
            let i = self.conns.len();
            let Ok(fd) = net::connect(c.args.front(i, i), i as u64) else {
                self.fail(c, i, "connect failed");
                return false;
            };
            c.ep.add(fd, i as u64, net::IN | net::OUT);
            self.conns.push(Conn { sock: Sock::new(fd), connected: false, left: 0 });
        }
        self.connected == target
    }

    fn start(&mut self, c: &mut Ctx) {
        self.began = net::now();
        // each millisecond
        let every = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        let spec = libc::itimerspec { it_interval: every, it_value: every };
        unsafe {
            self.clock = libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC);
            libc::timerfd_settime(self.clock, 0, &spec, std::ptr::null_mut());
        }
        c.ep.add(self.clock, CLOCK, net::IN);
    }

    fn event(&mut self, c: &mut Ctx, token: u64, flags: u32, buf: &mut [u8]) {
        if token == CLOCK {
            // how often it has gone off is not needed
            unsafe { libc::read(self.clock, buf.as_mut_ptr() as _, 8) };
            return self.send_due(c);
        }
        let i = token as usize;
        if flags & net::OUT != 0 {
            if self.conns[i].connected {
                if let Err(e) = self.conns[i].sock.flush(&c.ep, token) {
                    return self.fail(c, i, &e.to_string());
                }
            } else {
                if let Err(e) = net::connected(self.conns[i].sock.fd) {
                    return self.fail(c, i, &e);
                }
                self.conns[i].connected = true;
                self.connected += 1;
                self.free.push(i);
                c.ep.set(self.conns[i].sock.fd, token, net::IN);
            }
        }
        if flags & (net::IN | net::ERR) != 0 {
            self.read(c, i, buf);
        }
    }

    fn drained(&self, _: &Ctx) -> bool {
        self.free.len() == self.conns.len()
    }
}
