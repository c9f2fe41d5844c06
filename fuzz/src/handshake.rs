//! The headers of an upgrade request.

use engine_io_native::websocket::deflate::{ContextTakeover, Options, WindowBits, negotiate};
use engine_io_native::websocket::{Deflate, Inflate, UpgradeRequest, check};

/// Lines: two bytes of options, then method, `Upgrade`, key, version, protocols, extensions. A line `-` is a
/// header that is missing.
pub fn run(data: &[u8]) {
    let Some((options, text)) = data.split_at_checked(2) else { return };
    let text = String::from_utf8_lossy(text);
    let mut lines = text.splitn(6, '\n').map(|line| Some(line).filter(|line| *line != "-"));
    let mut next = || lines.next().flatten();
    let method = next().unwrap_or("GET");
    let request = UpgradeRequest { method, upgrade: next(), key: next(), version: next(), protocol: next() };
    match check(&request) {
        Ok(accepted) => {
            assert_eq!(accepted.accept.len(), 28);
            let offered: Vec<_> = request.protocol.unwrap_or("").split(',').map(str::trim).collect();
            match &accepted.protocol {
                Some(chosen) => assert_eq!(Some(&chosen.as_str()), offered.first()),
                None => assert_eq!(request.protocol, None),
            }
            assert_eq!(request.key.map(str::len), Some(24));
        }
        Err(error) => assert!(matches!(error.status(), 400 | 405) && !error.message().is_empty()),
    }
    if let Some(header) = next() {
        extensions(header, &server_options([options[0], options[1]]));
    }
}

fn extensions(header: &str, options: &Options) {
    let Ok(Some(agreement)) = negotiate(header, options) else { return };
    for bits in [agreement.server_max_window_bits, agreement.client_max_window_bits].into_iter().flatten() {
        assert!((8..=15).contains(&bits));
    }
    assert!(agreement.header.starts_with("permessage-deflate"));
    assert!(agreement.header.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{}", agreement.header);
    for name in
        ["server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits", "client_max_window_bits"]
    {
        assert!(agreement.header.matches(name).count() <= 1, "{name} is answered twice");
    }
    // the answer says what was agreed: read as an offer, it comes to the same
    let again = negotiate(&agreement.header, &Options::default()).expect("sound").expect("not empty");
    assert_eq!(agreement, again);
    // and both ends work with it
    let mut compressed = Vec::new();
    assert!(Deflate::new(&agreement, 1).compress(b"hello", &mut compressed));
    let _ = Inflate::new(&agreement);
}

/// Options of the server, from two bytes: `differential.js` reads them in the same way.
pub fn server_options([first, second]: [u8; 2]) -> Options {
    let takeover = |bits: u8| match bits & 3 {
        0 => ContextTakeover::Keep,
        1 => ContextTakeover::Drop,
        _ => ContextTakeover::AsOffered,
    };
    let window = |bits: u8| match bits & 15 {
        0 => WindowBits::Unlimited,
        bits @ 8..=15 => WindowBits::Bits(bits),
        _ => WindowBits::AsOffered,
    };
    Options {
        server_no_context_takeover: takeover(first),
        client_no_context_takeover: takeover(first >> 2),
        server_max_window_bits: window(second),
        client_max_window_bits: window(second >> 4),
    }
}
