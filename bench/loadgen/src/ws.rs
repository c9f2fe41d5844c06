//! WebSocket frames as a client writes and reads them, and the upgrade request.

use crate::sha1;

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// xorshift64*: masks must be random (ws skips an all-zero mask), not secret.
pub struct Rng(u64);

impl Rng {
    pub fn new() -> Rng {
        Rng(crate::net::now() ^ ((std::process::id() as u64) << 32) | 1)
    }
    pub fn next_u32(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545F4914F6CDD1D) >> 32) as u32
    }
    /// A mask of which no byte is zero.
    pub fn mask(&mut self) -> [u8; 4] {
        loop {
            let m = self.next_u32().to_ne_bytes();
            if m.iter().all(|b| *b != 0) {
                return m;
            }
        }
    }
}

impl Default for Rng {
    fn default() -> Self {
        Rng::new()
    }
}

pub fn push_header(out: &mut Vec<u8>, opcode: u8, len: usize, mask: bool) {
    let m = if mask { 0x80 } else { 0 };
    out.push(0x80 | opcode);
    if len < 126 {
        out.push(m | len as u8);
    } else if len < 65536 {
        out.push(m | 126);
        out.extend_from_slice(&(len as u16).to_be_bytes());
    } else {
        out.push(m | 127);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

/// Set in the first byte of a frame whose message is compressed.
pub const RSV1: u8 = 0x40;

/// One masked frame, ready to send. `opcode` may carry RSV1.
pub fn masked(rng: &mut Rng, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut f = Vec::with_capacity(payload.len() + 14);
    push_header(&mut f, opcode, payload.len(), true);
    let mask = rng.mask();
    f.extend_from_slice(&mask);
    f.extend(payload.iter().enumerate().map(|(i, b)| b ^ mask[i & 3]));
    f
}

pub struct Frame {
    pub opcode: u8,
    pub start: usize,
    pub end: usize,
    pub compressed: bool,
}

/// The next whole frame of a server, or None when more bytes are needed.
#[inline]
pub fn next_frame(buf: &[u8]) -> Result<Option<Frame>, String> {
    if buf.len() < 2 {
        return Ok(None);
    }
    if buf[0] & 0xb0 != 0x80 {
        return Err(format!("unexpected frame byte 0x{:02x} (fragment or reserved bits)", buf[0]));
    }
    if buf[1] & 0x80 != 0 {
        return Err("the server masked a frame".into());
    }
    let (start, len) = match buf[1] {
        126 => {
            if buf.len() < 4 {
                return Ok(None);
            }
            (4, u16::from_be_bytes([buf[2], buf[3]]) as usize)
        }
        127 => {
            if buf.len() < 10 {
                return Ok(None);
            }
            (10, u64::from_be_bytes(buf[2..10].try_into().unwrap()) as usize)
        }
        n => (2, n as usize),
    };
    if buf.len() < start + len {
        return Ok(None);
    }
    Ok(Some(Frame { opcode: buf[0] & 0x0f, start, end: start + len, compressed: buf[0] & RSV1 != 0 }))
}

pub struct Upgrade {
    pub request: Vec<u8>,
    key: String,
    accept: String,
    deflate: bool,
}

impl Upgrade {
    pub fn new(rng: &mut Rng, path: &str, port: u16, deflate: bool) -> Upgrade {
        let mut k = [0u8; 16];
        for c in k.chunks_mut(4) {
            c.copy_from_slice(&rng.next_u32().to_ne_bytes());
        }
        let key = sha1::base64(&k);
        let accept = sha1::accept(&key);
        let mut upgrade = Upgrade { request: vec![], key, accept, deflate };
        upgrade.request = upgrade.request_for(path, port);
        upgrade
    }
    /// The request with another target.
    pub fn request_for(&self, path: &str, port: u16) -> Vec<u8> {
        let sep = if path.contains('?') { "" } else { "?EIO=4&transport=websocket" };
        format!(
            "GET {path}{sep} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n{}\r\n",
            self.key,
            if self.deflate { crate::deflate::OFFER } else { "" }
        )
        .into_bytes()
    }
    /// Length of the 101 response once it is whole and right.
    pub fn check(&self, buf: &[u8]) -> Result<Option<usize>, String> {
        let Some(end) = crate::http::head_end(buf) else { return Ok(None) };
        let head = String::from_utf8_lossy(&buf[..end]);
        if !head.starts_with("HTTP/1.1 101") {
            return Err(format!("upgrade refused: {}", head.lines().next().unwrap_or("")));
        }
        let header = |name: &str| {
            head.lines()
                .filter_map(|l| l.split_once(':'))
                .find(|(k, _)| k.eq_ignore_ascii_case(name))
                .map(|(_, v)| v.trim())
        };
        if header("sec-websocket-accept") != Some(&self.accept) {
            return Err("wrong Sec-WebSocket-Accept".into());
        }
        let agreed = header("sec-websocket-extensions").is_some_and(|v| v.starts_with("permessage-deflate"));
        if agreed != self.deflate {
            return Err(format!("permessage-deflate: offered {}, agreed {agreed}", self.deflate));
        }
        Ok(Some(end))
    }
}
