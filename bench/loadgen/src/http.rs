//! As much of an HTTP/1.1 client as keep-alive polling needs.

use crate::args::Args;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub fn head_end(buf: &[u8]) -> Option<usize> {
    buf.windows(4).position(|w| w == b"\r\n\r\n").map(|p| p + 4)
}

/// The request of a poll; without a session: of a handshake.
pub fn poll(a: &Args, sid: Option<&str>) -> Vec<u8> {
    let (path, port) = (&a.path, a.port);
    let sid = sid.map_or(String::new(), |sid| format!("&sid={sid}"));
    format!("GET {path}?EIO=4&transport=polling{sid} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\n\r\n")
        .into_bytes()
}

/// Opens a session by polling, and waits for it.
pub fn open(a: &Args, port: u16) -> Result<String, String> {
    let session = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(&poll(a, None))?;
        let (mut bytes, mut buffer) = (vec![], [0; 4096]);
        loop {
            match parse(&bytes) {
                Ok(Some(r)) => return Ok(bytes[r.body].to_vec()),
                Ok(None) => {}
                Err(e) => return Err(std::io::Error::other(e)),
            }
            let n = stream.read(&mut buffer)?;
            if n == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&buffer[..n]);
        }
    };
    let body = session().map_err(|e| format!("handshake at port {port}: {e}"))?;
    Ok(sid(&body)?.to_owned())
}

/// The session of a handshake's answer.
pub fn sid(body: &[u8]) -> Result<&str, &'static str> {
    let sid = body.strip_prefix(b"0{\"sid\":\"").and_then(|b| b.split(|x| *x == b'"').next());
    sid.filter(|s| s.len() >= 16).and_then(|s| std::str::from_utf8(s).ok()).ok_or("not a handshake")
}

pub struct Response {
    pub status: u16,
    pub body: std::ops::Range<usize>,
    /// Bytes of the whole response.
    pub len: usize,
}

fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    for line in head.split(|b| *b == b'\n') {
        if line.len() > name.len() && line[name.len()] == b':' && line[..name.len()].eq_ignore_ascii_case(name) {
            return Some(line[name.len() + 1..].trim_ascii());
        }
    }
    None
}

/// The next whole response on a connection that stays open, or None when more bytes are needed.
pub fn response(buf: &[u8]) -> Result<Option<Response>, String> {
    let head = &buf[..head_end(buf).unwrap_or(0)];
    if header(head, b"connection").is_some_and(|v| v.eq_ignore_ascii_case(b"close")) {
        return Err("the server closed a keep-alive connection".into());
    }
    parse(buf)
}

fn parse(buf: &[u8]) -> Result<Option<Response>, String> {
    let Some(end) = head_end(buf) else { return Ok(None) };
    let head = &buf[..end];
    if head.len() < 12 || !head.starts_with(b"HTTP/1.1 ") {
        return Err("not an HTTP/1.1 response".into());
    }
    let status = std::str::from_utf8(&head[9..12]).ok().and_then(|s| s.parse().ok()).ok_or("bad status line")?;
    let Some(len) = header(head, b"content-length") else {
        return Err("response without Content-Length".into());
    };
    let len: usize = std::str::from_utf8(len).ok().and_then(|s| s.parse().ok()).ok_or("bad Content-Length")?;
    if buf.len() < end + len {
        return Ok(None);
    }
    Ok(Some(Response { status, body: end..end + len, len: end + len }))
}
