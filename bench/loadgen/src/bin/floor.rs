//! What the kernel allows: one thread, raw epoll, frames unmasked in place and written back. It speaks just enough
//! Engine.IO over WebSocket for the load generator (upgrade, open packet, messages, close handshake), keeps no
//! session, and sends no pings. TASK=echo|receive|broadcast|connect|hold, ACK_EVERY=n.

use loadgen::net::{self, Epoll, Io, Sock};
use loadgen::{http, sha1, ws};

struct Conn {
    sock: Sock,
    open: bool,
    closing: bool,
    n: u64,
    bytes: u64,
}

fn main() {
    net::raise_nofile();
    let task = std::env::var("TASK").unwrap_or("echo".into());
    let every: u64 = std::env::var("ACK_EVERY").ok().and_then(|x| x.parse().ok()).unwrap_or(100);
    let (lfd, port) =
        net::listen(std::env::var("PORT").ok().and_then(|p| p.parse().ok()).unwrap_or(0)).expect("listen");
    let mut ep = Epoll::new();
    const LISTEN: u64 = u64::MAX;
    const STDIN: u64 = u64::MAX - 1;
    ep.add(lfd, LISTEN, net::IN);
    ep.add(0, STDIN, net::IN);
    println!(r#"{{"event":"listening","port":{port},"pid":{}}}"#, std::process::id());
    let mut conns: Vec<Option<Conn>> = vec![];
    let mut free: Vec<usize> = vec![];
    let mut buf = vec![0u8; 512 * 1024];
    let mut out: Vec<u8> = vec![];
    let mut cast: Vec<u8> = vec![];
    loop {
        let n = ep.wait(-1);
        for e in 0..n {
            let (token, flags) = ep.event(e);
            if token == LISTEN {
                while let Some(fd) = net::accept(lfd) {
                    net::nodelay(fd);
                    let i = free.pop().unwrap_or_else(|| {
                        conns.push(None);
                        conns.len() - 1
                    });
                    conns[i] = Some(Conn { sock: Sock::new(fd), open: false, closing: false, n: 0, bytes: 0 });
                    ep.add(fd, i as u64, net::IN);
                }
                continue;
            }
            if token == STDIN {
                let mut l = [0u8; 512];
                let r = unsafe { libc::read(0, l.as_mut_ptr() as _, l.len()) };
                if r <= 0 {
                    return;
                }
                // No counters of its own: an empty answer keeps the protocol of the other servers.
                for _ in l[..r as usize].iter().filter(|b| **b == b'\n') {
                    println!(r#"{{"event":"report"}}"#);
                }
                continue;
            }
            let i = token as usize;
            let Some(c) = conns[i].as_mut() else { continue };
            if flags & net::OUT != 0 {
                let _ = c.sock.flush(&ep, token);
            }
            if flags & (net::IN | net::ERR) == 0 {
                continue;
            }
            let n = match net::read(c.sock.fd, &mut buf) {
                Io::Bytes(n) => n,
                Io::Block => continue,
                _ => {
                    net::close(c.sock.fd);
                    conns[i] = None;
                    free.push(i);
                    continue;
                }
            };
            let mut r = std::mem::take(&mut c.sock.rbuf);
            let whole = r.is_empty();
            if !whole {
                r.extend_from_slice(&buf[..n]);
            }
            let data: &mut [u8] = if whole { &mut buf[..n] } else { &mut r[..] };
            let mut off = 0;
            out.clear();
            cast.clear();
            if !c.open {
                if let Some(end) = http::head_end(data) {
                    let head = String::from_utf8_lossy(&data[..end]);
                    let key = head
                        .lines()
                        .find_map(|l| l.split_once(':').filter(|(k, _)| k.eq_ignore_ascii_case("sec-websocket-key")))
                        .map(|(_, v)| v.trim().to_string())
                        .unwrap_or_default();
                    out.extend_from_slice(
                        format!(
                            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                             Sec-WebSocket-Accept: {}\r\n\r\n",
                            sha1::accept(&key)
                        )
                        .as_bytes(),
                    );
                    let open = br#"0{"sid":"floorfloorfloorfloor","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
                    ws::push_header(&mut out, ws::TEXT, open.len(), false);
                    out.extend_from_slice(open);
                    c.open = true;
                    off = end;
                }
            }
            while c.open && !c.closing {
                // A masked frame: header, mask, payload.
                let d = &mut data[off..];
                if d.len() < 6 {
                    break;
                }
                let (h, len) = match d[1] & 0x7f {
                    126 if d.len() >= 8 => (4, u16::from_be_bytes([d[2], d[3]]) as usize),
                    127 if d.len() >= 14 => (10, u64::from_be_bytes(d[2..10].try_into().unwrap()) as usize),
                    126 | 127 => break,
                    n => (2, n as usize),
                };
                if d.len() < h + 4 + len {
                    break;
                }
                let opcode = d[0] & 15;
                let mask: [u8; 4] = d[h..h + 4].try_into().unwrap();
                let m8 = u64::from_ne_bytes([mask, mask].concat().try_into().unwrap());
                let p = &mut d[h + 4..h + 4 + len];
                let (words, tail) = p.as_chunks_mut::<8>();
                for w in words {
                    *w = (u64::from_ne_bytes(*w) ^ m8).to_ne_bytes();
                }
                for (k, b) in tail.iter_mut().enumerate() {
                    *b ^= mask[k & 3];
                }
                off += h + 4 + len;
                let p = &*p;
                if opcode == ws::CLOSE {
                    ws::push_header(&mut out, ws::CLOSE, len, false);
                    out.extend_from_slice(p);
                    c.closing = true;
                } else if opcode == ws::TEXT && p == b"3" || opcode > 2 {
                } else if task == "receive" {
                    c.n += 1;
                    c.bytes += (len - (opcode == ws::TEXT) as usize) as u64;
                    if c.n % every == 0 {
                        let a = format!("4{} {}", c.n, c.bytes);
                        ws::push_header(&mut out, ws::TEXT, a.len(), false);
                        out.extend_from_slice(a.as_bytes());
                    }
                } else if task == "broadcast" {
                    ws::push_header(&mut cast, opcode, len, false);
                    cast.extend_from_slice(p);
                } else {
                    ws::push_header(&mut out, opcode, len, false);
                    out.extend_from_slice(p);
                }
            }
            if whole {
                r.extend_from_slice(&buf[off..n]);
            } else {
                r.drain(..off);
            }
            // An idle connection holds no buffer.
            c.sock.rbuf = if r.is_empty() { Vec::new() } else { r };
            if !out.is_empty() {
                let _ = c.sock.send(&ep, token, &out);
            }
            if c.closing {
                net::close(c.sock.fd);
                conns[i] = None;
                free.push(i);
            }
            if !cast.is_empty() {
                for (k, c) in conns.iter_mut().enumerate() {
                    if let Some(c) = c {
                        let _ = c.sock.send(&ep, k as u64, &cast);
                    }
                }
            }
        }
    }
}
