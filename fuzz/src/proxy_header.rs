//! The header of the PROXY protocol.

use std::net::IpAddr;

use engine_io_native::http::{MAX_PROXY_HEADER, ProxyHeader};

/// The bytes are the beginning of a connection.
pub fn run(data: &[u8]) {
    let whole = ProxyHeader::parse(data);
    // what is decided about the beginning stays so, whatever follows; and the header ends where it says
    let mut decided = false;
    for length in 0..data.len().min(MAX_PROXY_HEADER + 1) {
        let early = ProxyHeader::parse(&data[..length]);
        decided |= early != Ok(None);
        assert!(!decided || early == whole, "{length} bytes");
        if let Ok(Some(header)) = early {
            assert!(header.length <= length);
        }
    }
    let header = match whole {
        Ok(Some(header)) => header,
        Ok(None) => return assert!(data.len() < MAX_PROXY_HEADER, "it needs more than is read"),
        Err(error) => return assert!(!error.message().is_empty()),
    };
    assert!((15..=MAX_PROXY_HEADER).contains(&header.length) && header.length <= data.len());
    assert_eq!(ProxyHeader::parse(&data[..header.length]), whole);
    assert_eq!(ProxyHeader::parse(&data[..header.length - 1]), Ok(None));
    // both versions tell it in the same way
    let Some(client) = header.client else { return };
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let text = format!("PROXY {family} {ip} {ip} {port} 80\r\n", ip = client.ip(), port = client.port());
    let told = ProxyHeader { length: text.len(), client: Some(client) };
    assert_eq!(ProxyHeader::parse(text.as_bytes()), Ok(Some(told)), "{text}");
    let (family, address) = match client.ip() {
        IpAddr::V4(address) => (0x11, address.octets().to_vec()),
        IpAddr::V6(address) => (0x21, address.octets().to_vec()),
    };
    let block = [&address[..], &address, &client.port().to_be_bytes(), &[0, 80]].concat();
    let binary = [b"\r\n\r\n\0\r\nQUIT\n\x21", &[family, 0, block.len() as u8][..], &block].concat();
    let told = ProxyHeader { length: binary.len(), client: Some(client) };
    assert_eq!(ProxyHeader::parse(&binary), Ok(Some(told)), "{binary:x?}");
}
