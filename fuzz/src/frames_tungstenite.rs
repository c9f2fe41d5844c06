//! The frame machine against tungstenite: both make the same of a stream, and fail at the same place.

use std::io::{Cursor, Read, Write};

use engine_io_native::websocket::{Decoder, Limits};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

use crate::stream::{Received, build, receive};

const LIMIT: usize = 100_000;

/// The bytes are frames, see [`build`].
pub fn run(data: &[u8]) {
    let stream = build(data);
    let limits = Limits { max_payload: LIMIT as u64, max_fragments: 0, max_chunks: 0, max_text: 0 };
    let (mut ours, result) = receive(&mut Decoder::new(limits), &stream, &[]);
    let (mut theirs, mut failed) = tungstenite(&stream);

    // tungstenite takes a close code it does not allow for a close frame and answers 1002; ours calls it an
    // error, as `ws` does. The code 1014 ("bad gateway") is allowed by `ws`, whose rules ours are, only.
    let violation = Received::Close(Some(1002), b"Protocol violation".to_vec());
    if theirs.last() == Some(&violation) {
        let is_1014 = matches!(ours.last(), Some(Received::Close(Some(1014), _)));
        if result.is_err() || is_1014 {
            theirs.pop();
            failed = result.is_err();
        }
        if is_1014 {
            ours.pop();
        }
    }
    // An error may be found before or after a message that comes out with it; compare what came before.
    assert_eq!(result.is_err(), failed, "ours: {result:?}, messages {ours:?}\ntheirs: {theirs:?}");
    if failed {
        let both = ours.len().min(theirs.len());
        ours.truncate(both);
        theirs.truncate(both);
    }
    assert_eq!(ours, theirs);
}

fn tungstenite(stream: &[u8]) -> (Vec<Received>, bool) {
    let config =
        WebSocketConfig::default().max_message_size(Some(LIMIT)).max_frame_size(Some(LIMIT)).read_buffer_size(4096);
    let mut socket = WebSocket::from_raw_socket(Wire(Cursor::new(stream)), Role::Server, Some(config));
    let mut received = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => received.push(Received::Text(text.as_bytes().to_vec())),
            Ok(Message::Binary(bytes)) => received.push(Received::Binary(bytes.to_vec())),
            Ok(Message::Ping(bytes)) => received.push(Received::Ping(bytes.to_vec())),
            Ok(Message::Pong(bytes)) => received.push(Received::Pong(bytes.to_vec())),
            Ok(Message::Close(frame)) => {
                let code = frame.as_ref().map(|frame| u16::from(frame.code));
                let reason = frame.map_or(Vec::new(), |frame| frame.reason.as_bytes().to_vec());
                received.push(Received::Close(code, reason));
                return (received, false);
            }
            Ok(Message::Frame(_)) => unreachable!("only whole messages are read"),
            Err(tungstenite::Error::Io(_)) => return (received, false),
            Err(_) => return (received, true),
        }
    }
}

/// A connection that delivers a stream, then waits; what is written to it is forgotten.
struct Wire<'a>(Cursor<&'a [u8]>);

impl Read for Wire<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(std::io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
