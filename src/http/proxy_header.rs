//! The header of the PROXY protocol, versions 1 and 2, in which a proxy tells whose connection it forwards; and the
//! addresses from which it is believed. The protocol: <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Bytes of the longest header that is read: addresses, and what a proxy adds to those of version 2, which is skipped.
pub const MAX_PROXY_HEADER: usize = 4096;

/// The beginning of version 1, which is a line of text.
const TEXT: &[u8] = b"PROXY ";

/// Bytes of the longest header of version 1, with its line end.
const MAX_TEXT: usize = 107;

/// The beginning of version 2.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of version 2 before the addresses: its beginning, a byte each for version and command, and for the family of
/// the addresses, and two for the length of what follows.
const BINARY_HEAD: usize = 16;

/// What a proxy has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Number of bytes of the header. The client's follow.
    pub length: usize,
    /// The client's address and port; `None`: the proxy speaks for itself, or knows no IP address.
    pub client: Option<SocketAddr>,
}

/// Why the bytes are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidProxyHeader {
    /// They begin in another way.
    Beginning,
    /// The line of version 1 has something other than two addresses of its family and two ports.
    Line,
    /// A version, a command or a family that version 2 does not have, or fewer bytes than the family's addresses have.
    Block,
    /// It is longer than is allowed.
    Length,
}

impl InvalidProxyHeader {
    /// A text for people.
    pub fn message(self) -> &'static str {
        match self {
            Self::Beginning => "expected a header of the PROXY protocol",
            Self::Line => "expected two addresses of one family and two ports in the header of version 1",
            Self::Block => "expected a command and addresses in the header of version 2",
            Self::Length => "the header is longer than is allowed",
        }
    }
}

impl ProxyHeader {
    /// Reads the header at the beginning of a connection; `None`: more bytes are needed, of which there are fewer than
    /// [`MAX_PROXY_HEADER`].
    ///
    /// # Errors
    /// The bytes are not a header, also if more follow.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, InvalidProxyHeader> {
        if may_begin_with(bytes, BINARY) {
            Self::parse_binary(bytes)
        } else if may_begin_with(bytes, TEXT) {
            Self::parse_text(bytes)
        } else {
            Err(InvalidProxyHeader::Beginning)
        }
    }

    fn parse_text(bytes: &[u8]) -> Result<Option<Self>, InvalidProxyHeader> {
        let within = &bytes[..bytes.len().min(MAX_TEXT)];
        let Some(end) = memchr::memchr(b'\n', within) else {
            return if within.len() < MAX_TEXT { Ok(None) } else { Err(InvalidProxyHeader::Length) };
        };
        let line = within[..end].strip_suffix(b"\r").ok_or(InvalidProxyHeader::Line)?;
        let line = std::str::from_utf8(line).map_err(|_| InvalidProxyHeader::Line)?;
        let client = client_of_line(line).ok_or(InvalidProxyHeader::Line)?;
        Ok(Some(Self { length: end + 1, client }))
    }

    fn parse_binary(bytes: &[u8]) -> Result<Option<Self>, InvalidProxyHeader> {
        let Some((&[.., command, family, high, low], block)) = bytes.split_first_chunk::<BINARY_HEAD>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let read: fn(&[u8]) -> Option<Option<SocketAddr>> = match (command, family) {
            // the proxy's own connection: the family is ignored
            (0x20, _) | (0x21, 0x00) => |_| Some(None),
            (0x21, 0x11 | 0x12) => |block| client_of_block::<4>(block).map(Some),
            (0x21, 0x21 | 0x22) => |block| client_of_block::<16>(block).map(Some),
            // two paths of UNIX sockets
            (0x21, 0x31 | 0x32) => |block| block.get(..216).map(|_| None),
            _ => return Err(InvalidProxyHeader::Block),
        };
        if BINARY_HEAD + length > MAX_PROXY_HEADER {
            return Err(InvalidProxyHeader::Length);
        }
        match block.get(..length) {
            Some(block) => match read(block) {
                Some(client) => Ok(Some(Self { length: BINARY_HEAD + length, client })),
                None => Err(InvalidProxyHeader::Block),
            },
            None => Ok(None),
        }
    }
}

/// Whether the bytes begin with these, as far as they have come.
fn may_begin_with(bytes: &[u8], beginning: &[u8]) -> bool {
    let length = bytes.len().min(beginning.len());
    bytes[..length] == beginning[..length]
}

/// The client in a line of version 1; `None` for an invalid line.
fn client_of_line(line: &str) -> Option<Option<SocketAddr>> {
    let mut fields = line.split(' ').skip(1);
    let family = fields.next()?;
    if family == "UNKNOWN" {
        // what follows is to be ignored
        return Some(None);
    }
    let mut address = || IpAddr::from_str(fields.next()?).ok();
    let (client, server) = (address()?, address()?);
    let mut port = || {
        let digits = fields.next()?;
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        digits.parse().ok().filter(|_: &u16| is_plain)
    };
    let (client_port, _) = (port()?, port()?);
    let is_family = match family {
        "TCP4" => client.is_ipv4() && server.is_ipv4(),
        "TCP6" => client.is_ipv6() && server.is_ipv6(),
        _ => false,
    };
    (is_family && fields.next().is_none()).then_some(Some(SocketAddr::new(client, client_port)))
}

/// The client in the addresses of version 2, of `LENGTH` bytes each; `None` if there are fewer bytes.
fn client_of_block<const LENGTH: usize>(block: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; LENGTH]>,
{
    let (client, rest) = block.split_first_chunk::<LENGTH>()?;
    let (_, ports) = rest.split_first_chunk::<LENGTH>()?;
    let (&[client_high, client_low, ..], _) = ports.split_first_chunk::<4>()?;
    Some(SocketAddr::new(IpAddr::from(*client), u16::from_be_bytes([client_high, client_low])))
}

/// The proxies whose connections have to begin with a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proxies {
    /// All that connect.
    All,
    /// Those with an address in one of the ranges.
    Ranges(Vec<AddressRange>),
}

impl Proxies {
    /// Whether a connection from this address begins with a header; `None`: from a UNIX socket.
    pub fn have(&self, address: Option<IpAddr>) -> bool {
        match self {
            Self::All => true,
            Self::Ranges(ranges) => address.is_some_and(|address| ranges.iter().any(|range| range.has(address))),
        }
    }
}

/// Addresses that begin with the same bits. IPv4 addresses are those IPv6 addresses to which they are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    first: u128,
    /// Number of bits that may differ.
    free: u32,
}

impl AddressRange {
    fn has(&self, address: IpAddr) -> bool {
        (number_of(address) ^ self.first).checked_shr(self.free).unwrap_or(0) == 0
    }
}

/// An address, or the range `address/bits`.
impl FromStr for AddressRange {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address = IpAddr::from_str(address).map_err(|_| ())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), |bits| bits.parse::<u32>().map_err(|_| ()))?;
        Ok(Self { first: number_of(address), free: all.checked_sub(bits).ok_or(())? })
    }
}

fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the bytes are, however they come: the length and the client of the header.
    fn parsed(bytes: &[u8]) -> Result<Option<(usize, Option<String>)>, InvalidProxyHeader> {
        let whole = ProxyHeader::parse(bytes);
        for length in 0..bytes.len() {
            match (ProxyHeader::parse(&bytes[..length]), whole) {
                (Ok(None), _) => {}
                // what is decided early is decided in the same way
                (early, _) => assert_eq!(early, whole, "{length} bytes of {bytes:x?}"),
            }
        }
        let told = |header: ProxyHeader| (header.length, header.client.map(|client| client.to_string()));
        whole.map(|header| header.map(told))
    }

    fn client(address: &str) -> Option<String> {
        Some(address.to_owned())
    }

    fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = (block.len() as u16).to_be_bytes();
        [BINARY, &[command, family, length[0], length[1]], block].concat()
    }

    const IPV4: &[u8] = &[203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x67, 0, 80];
    const IPV6: [u8; 36] = {
        let mut block = [0; 36];
        (block[0], block[1], block[2], block[3], block[15]) = (0x20, 0x01, 0x0d, 0xb8, 9);
        (block[31], block[32], block[33], block[35]) = (1, 0x12, 0x67, 80);
        block
    };

    #[test]
    fn a_line_of_version_1_tells_the_client() {
        for (line, expected) in [
            ("TCP4 203.0.113.9 10.0.0.1 4711 80", client("203.0.113.9:4711")),
            ("TCP4 0.0.0.0 255.255.255.255 0 65535", client("0.0.0.0:0")),
            ("TCP6 2001:db8::9 ::1 4711 80", client("[2001:db8::9]:4711")),
            ("TCP6 2001:0DB8:0:0:0:0:0:9 ::1 4711 80", client("[2001:db8::9]:4711")),
            ("TCP6 ::ffff:203.0.113.9 ::1 4711 80", client("[::ffff:203.0.113.9]:4711")),
            (
                "TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
                client("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
            ),
            ("UNKNOWN", None),
            ("UNKNOWN ", None),
            ("UNKNOWN something that a proxy adds \r to it", None),
        ] {
            let header = format!("PROXY {line}\r\n");
            let expected = Ok(Some((header.len(), expected)));
            assert_eq!(parsed(header.as_bytes()), expected, "{line}");
            assert_eq!(parsed([header.as_bytes(), b"GET / HTTP/1.1\r\n"].concat().as_slice()), expected, "{line}");
        }
    }

    #[test]
    fn a_line_that_says_anything_else_is_invalid() {
        for line in [
            "",
            " ",
            "TCP4",
            "TCP4 203.0.113.9 10.0.0.1 4711",
            "TCP4 203.0.113.9 10.0.0.1 4711 80 ",
            "TCP4 203.0.113.9 10.0.0.1 4711 80 1",
            "TCP4  203.0.113.9 10.0.0.1 4711 80",
            " TCP4 203.0.113.9 10.0.0.1 4711 80",
            "TCP4\t203.0.113.9 10.0.0.1 4711 80",
            "TCP4 2001:db8::9 ::1 4711 80",
            "TCP4 203.0.113.9 ::1 4711 80",
            "TCP6 203.0.113.9 10.0.0.1 4711 80",
            "TCP6 2001:db8::9 10.0.0.1 4711 80",
            "TCP6 [2001:db8::9] ::1 4711 80",
            "TCP6 fe80::1%eth0 ::1 4711 80",
            "TCP4 203.0.113.09 10.0.0.1 4711 80",
            "TCP4 203.0.113 10.0.0.1 4711 80",
            "TCP4 203.0.113.256 10.0.0.1 4711 80",
            "TCP4 example.org 10.0.0.1 4711 80",
            "TCP4 203.0.113.9 10.0.0.1 65536 80",
            "TCP4 203.0.113.9 10.0.0.1 -1 80",
            "TCP4 203.0.113.9 10.0.0.1 +4711 80",
            "TCP4 203.0.113.9 10.0.0.1 04711 80",
            "TCP4 203.0.113.9 10.0.0.1 00 80",
            "TCP4 203.0.113.9 10.0.0.1 0x10 80",
            "TCP4 203.0.113.9 10.0.0.1 4711 http",
            "TCP5 203.0.113.9 10.0.0.1 4711 80",
            "tcp4 203.0.113.9 10.0.0.1 4711 80",
            "UNKNOWNS",
            "unknown",
            "TCP4 203.0.113.9 10.0.0.1 4711 80\r",
            "TCP4 203.0.113.9 10.0.0.1 4711 8\u{0}",
        ] {
            assert_eq!(parsed(format!("PROXY {line}\r\n").as_bytes()), Err(InvalidProxyHeader::Line), "{line}");
        }
        let bare = parsed(b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\n");
        assert_eq!(bare, Err(InvalidProxyHeader::Line));
        assert_eq!(parsed(b"PROXY UNKNOWN \xff\r\n"), Err(InvalidProxyHeader::Line));
    }

    #[test]
    fn a_line_has_at_most_107_bytes() {
        let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
        assert_eq!(parsed(line(107).as_bytes()), Ok(Some((107, None))));
        assert_eq!(parsed(line(108).as_bytes()), Err(InvalidProxyHeader::Length));
        assert_eq!(parsed("PROXY ".as_bytes()), Ok(None));
        assert_eq!(parsed(&line(107).as_bytes()[..106]), Ok(None));
    }

    #[test]
    fn a_block_of_version_2_tells_the_client() {
        let unix = [b'/'; 216];
        let with_more = [IPV4, &[0x03, 0, 4, 1, 2, 3, 4, 0x04, 0, 1, 0]].concat();
        for (command, family, block, expected) in [
            (0x21, 0x11, IPV4, client("203.0.113.9:4711")),
            (0x21, 0x12, IPV4, client("203.0.113.9:4711")),
            (0x21, 0x21, &IPV6, client("[2001:db8::9]:4711")),
            (0x21, 0x22, &IPV6, client("[2001:db8::9]:4711")),
            (0x21, 0x11, &with_more, client("203.0.113.9:4711")),
            (0x21, 0x00, &[], None),
            (0x21, 0x00, IPV4, None),
            (0x21, 0x31, &unix, None),
            (0x21, 0x32, &unix, None),
            (0x20, 0x00, &[], None),
            (0x20, 0x11, IPV4, None),
            (0x20, 0x11, &[], None),
            (0x20, 0xff, &[1, 2, 3], None),
            (0x21, 0x11, &[7; MAX_PROXY_HEADER - BINARY_HEAD], client("7.7.7.7:1799")),
        ] {
            let header = binary(command, family, block);
            assert_eq!(parsed(&header), Ok(Some((header.len(), expected.clone()))), "{command:x} {family:x}");
            let followed = parsed(&[&header, b"GET / HTTP/1.1\r\n".as_slice()].concat());
            assert_eq!(followed, Ok(Some((header.len(), expected))), "{command:x} {family:x}");
        }
    }

    #[test]
    fn a_block_that_says_anything_else_is_invalid() {
        for (command, family, block) in [
            (0x11, 0x11, IPV4),
            (0x01, 0x11, IPV4),
            (0x31, 0x11, IPV4),
            (0x22, 0x11, IPV4),
            (0x2f, 0x11, IPV4),
            (0x21, 0x10, IPV4),
            (0x21, 0x13, IPV4),
            (0x21, 0x01, IPV4),
            (0x21, 0x41, IPV4),
            (0x21, 0xff, IPV4),
            (0x21, 0x11, &IPV4[..11]),
            (0x21, 0x11, &[]),
            (0x21, 0x21, &IPV6[..35]),
            (0x21, 0x31, &[b'/'; 215]),
        ] {
            assert_eq!(
                parsed(&binary(command, family, block)),
                Err(InvalidProxyHeader::Block),
                "{command:x} {family:x}"
            );
        }
        let long = binary(0x21, 0x11, &[0; MAX_PROXY_HEADER - BINARY_HEAD + 1]);
        assert_eq!(parsed(&long[..BINARY_HEAD]), Err(InvalidProxyHeader::Length));
    }

    #[test]
    fn bytes_that_begin_in_another_way_are_no_header() {
        for bytes in [
            "GET / HTTP/1.1\r\n",
            "P ",
            "PROXX TCP4",
            "proxy TCP4",
            "PROXY\tTCP4",
            "\r\n\r\n\0\r\nQUIT\r",
            "\r\n\r\nGET",
            "\n",
            "\0",
            "\u{16}\u{3}\u{1}",
        ] {
            assert_eq!(parsed(bytes.as_bytes()), Err(InvalidProxyHeader::Beginning), "{bytes:?}");
        }
        for bytes in ["", "P", "PROXY", "\r", "\r\n\r\n\0\r\nQUIT"] {
            assert_eq!(parsed(bytes.as_bytes()), Ok(None), "{bytes:?}");
        }
    }

    #[test]
    fn a_range_has_the_addresses_that_begin_with_its_bits() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", vec!["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], vec!["9.255.255.255", "11.0.0.0"]),
            ("192.0.2.1", vec!["192.0.2.1", "::ffff:192.0.2.1"], vec!["192.0.2.0", "::1", "::192.0.2.1"]),
            ("0.0.0.0/0", vec!["1.2.3.4", "::ffff:1.2.3.4"], vec!["::1", "2001:db8::1"]),
            ("10.1.2.3/8", vec!["10.9.9.9"], vec!["1.1.2.3"]),
            ("::1/128", vec!["::1"], vec!["::2", "0.0.0.1", "127.0.0.1"]),
            ("fe80::/10", vec!["fe80::1", "febf::1"], vec!["fec0::1"]),
            ("::/0", vec!["2001:db8::1", "1.2.3.4"], vec![]),
        ] {
            let proxies = Proxies::Ranges(vec![range.parse().unwrap()]);
            for address in inside {
                assert!(proxies.have(Some(address.parse().unwrap())), "{range} has {address}");
            }
            for address in outside {
                assert!(!proxies.have(Some(address.parse().unwrap())), "{range} has not {address}");
            }
            assert!(!proxies.have(None), "{range} has no UNIX socket");
        }
        for range in ["", "x", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "/8", "localhost"] {
            assert!(AddressRange::from_str(range).is_err(), "{range}");
        }
        assert!(Proxies::All.have(None) && Proxies::All.have(Some([1, 2, 3, 4].into())));
        assert!(!Proxies::Ranges(Vec::new()).have(Some([127, 0, 0, 1].into())));
    }
}
