//! Non-blocking TCP and epoll, nothing more; TLS slots in at `Sock`.

use crate::tls::Tls;
use std::io;

pub const IN: u32 = libc::EPOLLIN as u32;
pub const OUT: u32 = libc::EPOLLOUT as u32;
pub const ERR: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;

pub fn now() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

fn check(r: i32) -> io::Result<i32> {
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(r) }
}

pub struct Epoll {
    fd: i32,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> Epoll {
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).expect("epoll_create1");
        Epoll { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; 1024] }
    }
    fn ctl(&self, op: i32, fd: i32, token: u64, interest: u32) {
        let mut e = libc::epoll_event { events: interest, u64: token };
        check(unsafe { libc::epoll_ctl(self.fd, op, fd, &mut e) }).expect("epoll_ctl");
    }
    pub fn add(&self, fd: i32, token: u64, interest: u32) {
        self.ctl(libc::EPOLL_CTL_ADD, fd, token, interest);
    }
    pub fn set(&self, fd: i32, token: u64, interest: u32) {
        self.ctl(libc::EPOLL_CTL_MOD, fd, token, interest);
    }
    /// Number of events; read them with `event`.
    pub fn wait(&mut self, timeout_ms: i32) -> usize {
        let n = unsafe { libc::epoll_wait(self.fd, self.events.as_mut_ptr(), self.events.len() as i32, timeout_ms) };
        n.max(0) as usize
    }
    pub fn event(&self, i: usize) -> (u64, u32) {
        let e = self.events[i];
        (e.u64, e.events)
    }
}

impl Default for Epoll {
    fn default() -> Self {
        Epoll::new()
    }
}

fn addr(ip: u32, port: u16) -> libc::sockaddr_in {
    let mut a: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    a.sin_family = libc::AF_INET as u16;
    a.sin_port = port.to_be();
    a.sin_addr.s_addr = ip.to_be();
    a
}

fn socket() -> io::Result<i32> {
    check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) })
}

pub fn nodelay(fd: i32) {
    let one: i32 = 1;
    unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &one as *const i32 as _, 4) };
}

/// Starts a connection to 127.x.y.z; `n` spreads over 200 loopback addresses, so that closed connections lingering
/// in TIME_WAIT never exhaust the ports.
pub fn connect(port: u16, n: u64) -> io::Result<i32> {
    let fd = socket()?;
    nodelay(fd);
    let a = addr(0x7f000001 + (n % 200) as u32, port);
    let r = unsafe { libc::connect(fd, &a as *const _ as _, std::mem::size_of_val(&a) as u32) };
    if r < 0 {
        let e = io::Error::last_os_error();
        if e.raw_os_error() != Some(libc::EINPROGRESS) {
            close(fd);
            return Err(e);
        }
    }
    Ok(fd)
}

/// How a connection that was started came out.
pub fn connected(fd: i32) -> Result<(), String> {
    let mut e: i32 = 0;
    let mut l: u32 = 4;
    unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, &mut e as *mut i32 as _, &mut l) };
    if e == 0 { Ok(()) } else { Err(format!("connect: {}", io::Error::from_raw_os_error(e))) }
}

pub fn listen(port: u16) -> io::Result<(i32, u16)> {
    let fd = socket()?;
    let one: i32 = 1;
    unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, &one as *const i32 as _, 4) };
    let mut a = addr(0, port);
    let mut l = std::mem::size_of_val(&a) as u32;
    check(unsafe { libc::bind(fd, &a as *const _ as _, l) })?;
    check(unsafe { libc::listen(fd, 4096) })?;
    check(unsafe { libc::getsockname(fd, &mut a as *mut _ as _, &mut l) })?;
    Ok((fd, u16::from_be(a.sin_port)))
}

pub fn accept(fd: i32) -> Option<i32> {
    let c = unsafe {
        libc::accept4(fd, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
    };
    (c >= 0).then_some(c)
}

pub enum Io {
    Bytes(usize),
    Block,
    Eof,
    Err(io::Error),
}

#[inline]
pub fn read(fd: i32, buf: &mut [u8]) -> Io {
    let n = unsafe { libc::recv(fd, buf.as_mut_ptr() as _, buf.len(), 0) };
    if n > 0 {
        return Io::Bytes(n as usize);
    }
    if n == 0 {
        return Io::Eof;
    }
    let e = io::Error::last_os_error();
    if e.kind() == io::ErrorKind::WouldBlock || e.kind() == io::ErrorKind::Interrupted { Io::Block } else { Io::Err(e) }
}

#[inline]
pub fn write(fd: i32, buf: &[u8]) -> Io {
    let n = unsafe { libc::send(fd, buf.as_ptr() as _, buf.len(), libc::MSG_NOSIGNAL) };
    if n >= 0 {
        return Io::Bytes(n as usize);
    }
    let e = io::Error::last_os_error();
    if e.kind() == io::ErrorKind::WouldBlock || e.kind() == io::ErrorKind::Interrupted { Io::Block } else { Io::Err(e) }
}

/// Writes what any socket takes at once.
pub fn small_write(fd: i32, data: &[u8]) -> Result<(), String> {
    match write(fd, data) {
        Io::Bytes(n) if n == data.len() => Ok(()),
        Io::Err(e) => Err(e.to_string()),
        _ => Err("short write".into()),
    }
}

pub fn close(fd: i32) {
    unsafe { libc::close(fd) };
}

/// Soft limit of descriptors raised to the hard one; returns what we got.
pub fn raise_nofile() -> u64 {
    unsafe {
        let mut r: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut r);
        r.rlim_cur = r.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &r);
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut r);
        r.rlim_cur
    }
}

/// A socket with what could not be written yet, and what was read but is not yet a whole frame or response.
pub struct Sock {
    pub fd: i32,
    pub rbuf: Vec<u8>,
    wbuf: Vec<u8>,
    woff: usize,
    tls: Option<Box<Tls>>,
    /// TLS: encrypted bytes wait for the socket.
    tls_blocked: bool,
}

impl Sock {
    pub fn new(fd: i32) -> Sock {
        Sock { fd, rbuf: Vec::new(), wbuf: Vec::new(), woff: 0, tls: None, tls_blocked: false }
    }
    pub fn with_tls(fd: i32, tls: Tls) -> Sock {
        Sock { tls: Some(Box::new(tls)), ..Sock::new(fd) }
    }
    /// `again`: call once more, even when epoll does not say so.
    #[inline]
    pub fn read(&mut self, ep: &Epoll, token: u64, buf: &mut [u8]) -> (Io, bool) {
        let Some(tls) = &mut self.tls else { return (read(self.fd, buf), false) };
        let r = tls.read(self.fd, buf);
        if tls.wants_write() && !self.tls_blocked {
            match tls.flush(self.fd) {
                Ok(done) => self.block_tls(ep, token, !done),
                Err(e) => return (Io::Err(e), false),
            }
        }
        let again = matches!(r, Io::Bytes(_));
        (r, again)
    }
    fn block_tls(&mut self, ep: &Epoll, token: u64, blocked: bool) {
        if blocked != self.tls_blocked {
            self.tls_blocked = blocked;
            ep.set(self.fd, token, if blocked { IN | OUT } else { IN });
        }
    }
    pub fn blocked(&self) -> bool {
        self.woff < self.wbuf.len() || self.tls_blocked
    }
    #[inline]
    pub fn send(&mut self, ep: &Epoll, token: u64, data: &[u8]) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            let done = tls.send(self.fd, data)?;
            self.block_tls(ep, token, !done);
            return Ok(());
        }
        if self.blocked() {
            self.wbuf.extend_from_slice(data);
            return Ok(());
        }
        let n = match write(self.fd, data) {
            Io::Bytes(n) => n,
            Io::Err(e) => return Err(e),
            _ => 0,
        };
        if n < data.len() {
            self.wbuf.clear();
            self.woff = 0;
            self.wbuf.extend_from_slice(&data[n..]);
            ep.set(self.fd, token, IN | OUT);
        }
        Ok(())
    }
    /// On EPOLLOUT: true once everything is out.
    pub fn flush(&mut self, ep: &Epoll, token: u64) -> io::Result<bool> {
        if let Some(tls) = &mut self.tls {
            let done = tls.flush(self.fd)?;
            self.block_tls(ep, token, !done);
            return Ok(done);
        }
        while self.blocked() {
            match write(self.fd, &self.wbuf[self.woff..]) {
                Io::Bytes(n) => self.woff += n,
                Io::Err(e) => return Err(e),
                _ => return Ok(false),
            }
        }
        self.wbuf.clear();
        self.woff = 0;
        ep.set(self.fd, token, IN);
        Ok(true)
    }
}
