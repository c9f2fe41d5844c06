//! HTTP long-polling over keep-alive connections: handshakes, and echo with one connection for GET and one for POST.

use crate::ctx::{Ctx, Scenario};
use crate::http;
use crate::net::{self, Io, Sock};
use crate::payload::Pool;
use crate::ws::Rng;

struct Half {
    sock: Sock,
    connected: bool,
    /// A request is out.
    busy: bool,
    left: u64,
}

struct Client {
    /// 0: GET, 1: POST.
    half: [Half; 2],
    sid: String,
    get: Vec<u8>,
    seq: u64,
    got: u64,
    posted_at: u64,
    pong: bool,
}

pub struct Polling {
    echo: bool,
    clients: Vec<Client>,
    pool: Pool,
    handshake: Vec<u8>,
    host: String,
    connected: usize,
    shaken: usize,
}

impl Polling {
    pub fn new(c: &mut Ctx) -> Polling {
        let mut rng = Rng::new();
        Polling {
            echo: c.args.scenario == "poll-echo",
            clients: vec![],
            pool: Pool::new(&c.args, &mut rng),
            handshake: http::poll(&c.args, None),
            host: format!("127.0.0.1:{}", c.args.port),
            connected: 0,
            shaken: 0,
        }
    }

    fn halves(&self) -> usize {
        if self.echo { 2 } else { 1 }
    }

    #[cold]
    fn fail(&mut self, c: &mut Ctx, i: usize, why: &str) {
        c.error(format!("client {i}: {why}"));
        c.fatal = true;
    }

    fn request(&mut self, c: &mut Ctx, i: usize, h: usize, data: &[u8]) {
        let half = &mut self.clients[i].half[h];
        half.busy = true;
        half.left = net::now();
        if let Err(e) = half.sock.send(&c.ep, (i * 2 + h) as u64, data) {
            self.fail(c, i, &e.to_string());
        }
    }

    fn send_get(&mut self, c: &mut Ctx, i: usize) {
        let get = std::mem::take(&mut self.clients[i].get);
        self.request(c, i, 0, &get);
        self.clients[i].get = get;
    }

    /// The next message of a client (with the pong it may owe), and a GET to fetch the answer.
    fn round(&mut self, c: &mut Ctx, i: usize) {
        if !self.clients[i].half[0].busy {
            self.send_get(c, i);
        }
        let cl = &mut self.clients[i];
        let msg = &self.pool.plain[self.pool.variant(i, cl.seq)];
        let pong: &[u8] = if std::mem::take(&mut cl.pong) { b"3\x1e" } else { b"" };
        cl.seq += 1;
        cl.posted_at = net::now();
        let mut req = format!(
            "POST {}?EIO=4&transport=polling&sid={} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n\
             Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\r\n",
            c.args.path,
            cl.sid,
            self.host,
            pong.len() + msg.len()
        )
        .into_bytes();
        req.extend_from_slice(pong);
        req.extend_from_slice(msg);
        self.request(c, i, 1, &req);
    }

    fn response(&mut self, c: &mut Ctx, i: usize, h: usize, status: u16, body: &[u8]) {
        let now = net::now();
        self.clients[i].half[h].busy = false;
        if status != 200 {
            let s = format!("status {status}: {:?}", String::from_utf8_lossy(&body[..body.len().min(60)]));
            return self.fail(c, i, &s);
        }
        if !self.echo || self.clients[i].sid.is_empty() {
            let sid = match http::sid(body) {
                Ok(sid) => sid,
                Err(e) => return self.fail(c, i, e),
            };
            if !self.echo {
                c.done(now - self.clients[i].half[0].left);
                if c.running {
                    let r = std::mem::take(&mut self.handshake);
                    self.request(c, i, 0, &r);
                    self.handshake = r;
                }
                return;
            }
            self.clients[i].get = http::poll(&c.args, Some(sid));
            self.clients[i].sid = sid.to_owned();
            self.shaken += 1;
            return;
        }
        if h == 1 {
            if body != b"ok" {
                return self.fail(c, i, "POST not answered by ok");
            }
        } else {
            for p in body.split(|b| *b == 0x1e) {
                if p == b"2" {
                    c.pings += 1;
                    self.clients[i].pong = true;
                } else if p == b"6" {
                } else {
                    let cl = &mut self.clients[i];
                    if cl.got == cl.seq || p != &self.pool.plain[self.pool.variant(i, cl.got)][..] {
                        let s = format!("wrong packet {:?}", String::from_utf8_lossy(&p[..p.len().min(40)]));
                        return self.fail(c, i, &s);
                    }
                    cl.got += 1;
                    c.done(now - cl.posted_at);
                }
            }
        }
        let cl = &self.clients[i];
        if cl.got < cl.seq {
            if !cl.half[0].busy {
                self.send_get(c, i); // only a ping came
            }
        } else if !cl.half[1].busy && c.running {
            self.round(c, i);
        }
    }
}

impl Scenario for Polling {
    fn connect(&mut self, c: &mut Ctx, target: usize) -> bool {
        while self.clients.len() < target && self.clients.len() * self.halves() - self.connected < 64 {
            let i = self.clients.len();
            let mut sid = String::new();
            if self.echo && !c.args.owners.is_empty() {
                match http::open(&c.args, c.args.owner(i)) {
                    Ok(opened) => sid = opened,
                    Err(e) => {
                        c.error(e);
                        c.fatal = true;
                        return false;
                    }
                }
                self.shaken += 1;
            }
            let make = |h: usize| {
                let fd = net::connect(c.args.front(i, i * 2 + h), i as u64).unwrap_or(-1);
                if fd >= 0 {
                    c.ep.add(fd, (i * 2 + h) as u64, net::IN | net::OUT);
                }
                Half { sock: Sock::new(fd), connected: false, busy: false, left: 0 }
            };
            let a = make(0);
            let b =
                if self.echo { make(1) } else { Half { sock: Sock::new(-1), connected: false, busy: false, left: 0 } };
            if a.sock.fd < 0 || (self.echo && b.sock.fd < 0) {
                c.error("connect failed");
                c.fatal = true;
                return false;
            }
            self.clients.push(Client {
                half: [a, b],
                get: if sid.is_empty() { vec![] } else { http::poll(&c.args, Some(&sid)) },
                sid,
                seq: 0,
                got: 0,
                posted_at: 0,
                pong: false,
            });
        }
        self.connected == target * self.halves() && (!self.echo || self.shaken == target)
    }

    fn start(&mut self, c: &mut Ctx) {
        for i in 0..self.clients.len() {
            if self.echo {
                self.round(c, i);
            } else {
                let r = self.handshake.clone();
                self.request(c, i, 0, &r);
            }
        }
    }

    fn event(&mut self, c: &mut Ctx, token: u64, flags: u32, buf: &mut [u8]) {
        let (i, h) = (token as usize / 2, token as usize % 2);
        if flags & net::OUT != 0 {
            let half = &mut self.clients[i].half[h];
            if !half.connected {
                if let Err(e) = net::connected(half.sock.fd) {
                    return self.fail(c, i, &e);
                }
                half.connected = true;
                c.ep.set(half.sock.fd, token, net::IN);
                self.connected += 1;
                if self.echo && h == 0 && self.clients[i].sid.is_empty() {
                    let r = self.handshake.clone();
                    self.request(c, i, 0, &r);
                }
            } else if let Err(e) = half.sock.flush(&c.ep, token) {
                return self.fail(c, i, &e.to_string());
            }
        }
        if flags & (net::IN | net::ERR) == 0 {
            return;
        }
        let n = match net::read(self.clients[i].half[h].sock.fd, buf) {
            Io::Bytes(n) => n,
            Io::Block => return,
            Io::Eof => return self.fail(c, i, "end of stream"),
            Io::Err(e) => return self.fail(c, i, &e.to_string()),
        };
        let mut r = std::mem::take(&mut self.clients[i].half[h].sock.rbuf);
        let whole = r.is_empty();
        if !whole {
            r.extend_from_slice(&buf[..n]);
        }
        let data = if whole { &buf[..n] } else { &r[..] };
        let mut used = 0;
        match http::response(data) {
            Ok(Some(x)) => {
                used = x.len;
                let body = &data[x.body];
                self.response(c, i, h, x.status, body);
            }
            Ok(None) => {}
            Err(e) => return self.fail(c, i, &e),
        }
        if used > 0 && used < data.len() {
            return self.fail(c, i, "bytes after the response");
        }
        if whole {
            if used == 0 {
                r.extend_from_slice(&buf[..n]);
            }
        } else {
            r.drain(..used);
        }
        self.clients[i].half[h].sock.rbuf = r;
    }

    fn drained(&self, _: &Ctx) -> bool {
        self.clients.iter().all(|x| !x.half[1].busy && (self.echo && x.got == x.seq || !self.echo && !x.half[0].busy))
    }
}
