//! Checks the framing of requests as strictly as Node's HTTP server, before hyper sees the bytes. hyper accepts a bare
//! line feed as the end of a line, requests without `Host`, a second `Content-Length` of the same value, and one beside
//! `Transfer-Encoding`. If a proxy reads such bytes in another way, one client's bytes become another's request.

/// The limit of a request's head in bytes.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// Bytes of the longest line with a chunk's size and its extensions.
const MAX_CHUNK_LINE: usize = 256;

/// Follows the requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Strict {
    expects: Expects,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// Number of bytes in the lines of this head or of these trailers.
    length: usize,
    head: Head,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expects {
    #[default]
    RequestLine,
    Header,
    /// This many bytes of a body.
    Body(u64),
    ChunkSize,
    /// This many bytes of a chunk, and the end of its line.
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// Bytes of another protocol, or anything after a fault. They are not checked.
    Anything,
}

/// What the lines of a head have told so far.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    is_1_1: bool,
    hosts: u32,
    length: Option<u64>,
    is_chunked: bool,
    has_upgrade: bool,
    asks_for_upgrade: bool,
}

/// An invalid line.
#[derive(Debug)]
struct Fault;

impl Strict {
    /// Whether a request asked for another protocol. What follows it is not checked, so that another request must not
    /// follow.
    pub(super) fn is_last(&self) -> bool {
        self.expects == Expects::Anything
    }

    /// Checks the next bytes.
    ///
    /// # Errors
    /// The index of the first byte that is not allowed.
    pub(super) fn check(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match self.expects {
                Expects::Anything => return Ok(()),
                Expects::Body(left) | Expects::Chunk(left) => {
                    let taken = left.min(rest.len() as u64);
                    at += taken as usize;
                    self.expects = match self.expects {
                        Expects::Body(_) if taken == left => Expects::RequestLine,
                        Expects::Body(_) => Expects::Body(left - taken),
                        _ if taken == left => Expects::ChunkEnd,
                        _ => Expects::Chunk(left - taken),
                    };
                }
                _ => match memchr::memchr(b'\n', rest) {
                    Some(end) => {
                        self.take_line(&rest[..end]).map_err(|Fault| self.fail(at + end))?;
                        at += end + 1;
                    }
                    None => {
                        self.line.extend_from_slice(rest);
                        return if self.line.len() > self.longest() { Err(self.fail(at)) } else { Ok(()) };
                    }
                },
            }
        }
        Ok(())
    }

    fn fail(&mut self, at: usize) -> usize {
        self.expects = Expects::Anything;
        at
    }

    fn longest(&self) -> usize {
        match self.expects {
            Expects::ChunkSize | Expects::ChunkEnd => MAX_CHUNK_LINE,
            _ => MAX_HEAD,
        }
    }

    /// Takes a line without its line feed. Its beginning may have come before.
    fn take_line(&mut self, end: &[u8]) -> Result<(), Fault> {
        if self.line.is_empty() {
            return self.on_line(end);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(end);
        self.on_line(&line)
    }

    fn on_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let line = line.strip_suffix(b"\r").ok_or(Fault)?;
        if memchr::memchr(b'\r', line).is_some() || line.len() > self.longest() {
            return Err(Fault);
        }
        self.length += line.len();
        match self.expects {
            // empty lines before a request are ignored
            Expects::RequestLine if line.is_empty() => {}
            Expects::RequestLine => {
                self.head = Head { is_1_1: line.ends_with(b" HTTP/1.1"), ..Head::default() };
                self.expects = Expects::Header;
            }
            Expects::Header if line.is_empty() => self.expects = self.head.end()?,
            Expects::Header => self.head.take(line)?,
            Expects::ChunkSize => {
                let size = chunk_size(line)?;
                self.length = 0;
                self.expects = if size == 0 { Expects::Trailer } else { Expects::Chunk(size) };
            }
            Expects::ChunkEnd if line.is_empty() => self.expects = Expects::ChunkSize,
            Expects::Trailer if line.is_empty() => self.expects = Expects::RequestLine,
            Expects::Trailer if self.length <= MAX_HEAD => {}
            _ => return Err(Fault),
        }
        Ok(())
    }
}

impl Head {
    fn take(&mut self, line: &[u8]) -> Result<(), Fault> {
        // a line that continues the one before
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err(Fault);
        }
        let colon = memchr::memchr(b':', line).ok_or(Fault)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        match name.first().map(u8::to_ascii_lowercase) {
            Some(b'h') if name.eq_ignore_ascii_case(b"host") => self.hosts += 1,
            Some(b'u') if name.eq_ignore_ascii_case(b"upgrade") => self.has_upgrade = true,
            Some(b'c') if name.eq_ignore_ascii_case(b"connection") => {
                self.asks_for_upgrade |=
                    value.split(|&byte| byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
            }
            Some(b'c') if name.eq_ignore_ascii_case(b"content-length") => {
                let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
                let number = std::str::from_utf8(value).ok().filter(|_| is_number).and_then(|value| value.parse().ok());
                if self.length.replace(number.ok_or(Fault)?).is_some() {
                    return Err(Fault);
                }
            }
            Some(b't') if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault);
                }
                self.is_chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns what follows the head.
    fn end(&self) -> Result<Expects, Fault> {
        let has_host = self.hosts == 1 || (self.hosts == 0 && !self.is_1_1);
        let upgrades = self.is_1_1 && self.has_upgrade && self.asks_for_upgrade;
        match (self.length, self.is_chunked) {
            _ if !has_host => Err(Fault),
            (Some(_), true) => Err(Fault),
            (None | Some(0), false) if upgrades => Ok(Expects::Anything),
            (Some(1..), _) | (_, true) if upgrades => Err(Fault),
            (None, true) => Ok(Expects::ChunkSize),
            (None | Some(0), false) => Ok(Expects::RequestLine),
            (Some(length), false) => Ok(Expects::Body(length)),
        }
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, Fault> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, rest) = line.split_at(digits);
    if size.len() > 15 || !(rest.is_empty() || rest.starts_with(b";")) {
        return Err(Fault);
    }
    std::str::from_utf8(size).ok().and_then(|size| u64::from_str_radix(size, 16).ok()).ok_or(Fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place of the first fault, however the bytes are cut; none: all is in order.
    fn fault(bytes: &str) -> Option<usize> {
        let bytes = bytes.as_bytes();
        let whole = Strict::default().check(bytes).err();
        for size in [1, 2, 7] {
            let mut strict = Strict::default();
            let mut found = None;
            for (index, piece) in bytes.chunks(size).enumerate() {
                if let Err(at) = strict.check(piece) {
                    found = Some(index * size + at);
                    break;
                }
            }
            assert_eq!(found, whole, "in pieces of {size}");
        }
        whole
    }

    const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    #[test]
    fn requests_in_a_row_with_bodies_of_all_kinds_are_in_order() {
        let post = "POST / HTTP/1.1\r\nhost: x\r\nContent-Length: 3 \r\n\r\n\n\r\n";
        let chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\n\n\r\nA;x=1\r\n0123456789\r\n0\r\nX: y\r\n\r\n";
        let old = "GET / HTTP/1.0\r\n\r\n";
        let empty = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
        let stray = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n";
        assert_eq!(fault(&[GET, post, "\r\n", chunked, old, empty, stray, GET].concat()), None);
    }

    #[test]
    fn what_follows_an_upgrade_is_nobodys_to_check() {
        let upgrade = "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(fault(&[upgrade, "\n\n\n"].concat()), None);
        let mut strict = Strict::default();
        strict.check(upgrade.as_bytes()).unwrap();
        assert!(strict.is_last());
        let with_body = upgrade.replace("Host", "Content-Length: 1\r\nHost");
        assert_eq!(fault(&with_body), Some(with_body.len() - 1));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_a_fault() {
        for head in [
            "GET / HTTP/1.1\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nNoColon\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
        ] {
            assert!(fault(head).is_some(), "{head:?}");
            assert!(fault(&[GET, head].concat()).is_some_and(|at| at >= GET.len()), "{head:?}");
        }
        for body in [
            "1\n",
            "g\r\n",
            "\r\n",
            " 1\r\n",
            "1 \r\n",
            "0x1\r\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "fffffffffffffffff\r\n",
            "0\r\nA: b\n",
        ] {
            let request = ["POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", body].concat();
            assert!(fault(&request).is_some(), "{body:?}");
        }
    }

    #[test]
    fn lines_that_do_not_end_are_not_kept() {
        let mut strict = Strict::default();
        assert!((0..1000).any(|_| strict.check(&[b'x'; 100]).is_err()));
        assert!(strict.line.capacity() < 4 * MAX_HEAD);
        let mut strict = Strict::default();
        strict.check(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        assert!((0..1000).any(|_| strict.check(b"0").is_err()));
        let mut strict = Strict::default();
        strict.check(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n").unwrap();
        assert!((0..10_000).any(|_| strict.check(b"A: b\r\n").is_err()));
    }
}
