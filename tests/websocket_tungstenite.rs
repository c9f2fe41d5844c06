//! Decoder and frame writer against tungstenite as the client: what one writes, the other reads.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::rc::Rc;

use engine_io_native::websocket::{Decoder, Limits, Message, OpCode, write_close, write_header};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode as ClientOpCode};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Message as ClientMessage, WebSocket};

/// The client's view of a connection held in memory.
#[derive(Clone, Default)]
struct Wire {
    to_server: Rc<RefCell<Vec<u8>>>,
    to_client: Rc<RefCell<VecDeque<u8>>>,
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.to_client.borrow_mut().read(buf)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.to_server.borrow_mut().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client and an echo server that answers as an engine would: pings with pongs, a close with a
/// close.
struct Pair {
    wire: Wire,
    client: WebSocket<Wire>,
    server: Decoder,
}

impl Pair {
    fn new() -> Self {
        let wire = Wire::default();
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        Self {
            client: WebSocket::from_raw_socket(wire.clone(), Role::Client, Some(config)),
            server: Decoder::new(Limits { max_payload: 0, max_chunks: 0, ..Limits::default() }),
            wire,
        }
    }

    /// Delivers what the client wrote, in chunks of the given size, and sends the answers back.
    fn serve(&mut self, chunk: usize) {
        let stream = self.wire.to_server.take();
        let mut out = Vec::new();
        for chunk in stream.chunks(chunk) {
            let fed = self.server.feed(&mut chunk.to_vec(), |message| {
                let (opcode, payload) = match &message {
                    Message::Text(text) => (OpCode::Text, &text[..]),
                    Message::Binary(bytes) => (OpCode::Binary, &bytes[..]),
                    Message::Ping(bytes) => (OpCode::Pong, *bytes),
                    Message::Pong(_) => return ControlFlow::Continue(()),
                    Message::Close { code, reason } => {
                        write_close(&mut out, *code, reason);
                        return ControlFlow::Break(());
                    }
                };
                write_header(&mut out, opcode, false, payload.len());
                out.extend_from_slice(payload);
                ControlFlow::Continue(())
            });
            assert_eq!(fed, Ok(()));
        }
        self.wire.to_client.borrow_mut().extend(out);
    }

    fn echo(&mut self, message: ClientMessage, chunk: usize) -> ClientMessage {
        self.client.send(message).expect("written to memory");
        self.serve(chunk);
        self.client.read().expect("answered")
    }
}

/// Lengths around every border of the header's forms and of the vector lanes.
const LENGTHS: [usize; 22] =
    [0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 33, 63, 64, 125, 126, 127, 4096, 65_535, 65_536, 65_537, 300_000];

#[test]
fn binary_messages_of_every_length_come_back() {
    let mut pair = Pair::new();
    for len in LENGTHS {
        let payload: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
        for chunk in [usize::MAX, 65_536, 1000, 7] {
            let message = ClientMessage::binary(payload.clone());
            assert_eq!(pair.echo(message.clone(), chunk), message, "{len} in chunks of {chunk}");
        }
    }
}

#[test]
fn text_messages_of_every_length_come_back() {
    let mut pair = Pair::new();
    for len in LENGTHS {
        let message = ClientMessage::text("aé€😀".chars().cycle().take(len).collect::<String>());
        for chunk in [usize::MAX, 65_536, 1000, 7] {
            assert_eq!(pair.echo(message.clone(), chunk), message, "{len} in chunks of {chunk}");
        }
    }
}

#[test]
fn a_ping_comes_back_as_a_pong() {
    let answer = Pair::new().echo(ClientMessage::Ping("are you there".into()), 3);
    assert_eq!(answer, ClientMessage::Pong("are you there".into()));
}

#[test]
fn fragments_come_back_as_one_message() {
    let mut pair = Pair::new();
    let data = |opcode, part: &str, fin| {
        ClientMessage::Frame(Frame::message(part.to_owned(), ClientOpCode::Data(opcode), fin))
    };
    for chunk in [usize::MAX, 1] {
        for message in [
            data(Data::Text, "Hello ", false),
            ClientMessage::Ping("between".into()),
            data(Data::Continue, "", false),
            data(Data::Continue, "wörld", true),
        ] {
            pair.client.send(message).expect("written to memory");
        }
        pair.serve(chunk);
        assert_eq!(pair.client.read().expect("pong"), ClientMessage::Pong("between".into()));
        assert_eq!(pair.client.read().expect("text"), ClientMessage::text("Hello wörld"));
    }
}

#[test]
fn the_closing_handshake_completes() {
    for close in [None, Some(CloseFrame { code: 4000.into(), reason: "enough".into() })] {
        let mut pair = Pair::new();
        pair.client.close(close.clone()).expect("written to memory");
        pair.serve(usize::MAX);
        assert_eq!(pair.client.read().expect("close"), ClientMessage::Close(close));
        let after = pair.client.read();
        assert!(matches!(after, Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::Io(_))));
    }
}

#[test]
fn many_messages_in_chunks_of_random_sizes_come_back_in_order() {
    let mut pair = Pair::new();
    let mut state = 5u32;
    let mut random = |bound: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % bound
    };
    for _ in 0..300 {
        let sent: Vec<_> = (0..random(20))
            .map(|i| match random(3) {
                0 => ClientMessage::text(format!("{i}").repeat(random(400) as usize)),
                1 => ClientMessage::binary(vec![i as u8; random(3000) as usize]),
                _ => ClientMessage::text("€"),
            })
            .collect();
        for message in &sent {
            pair.client.send(message.clone()).expect("written to memory");
        }
        pair.serve(1 + random(2000) as usize);
        for message in sent {
            assert_eq!(pair.client.read().expect("echoed"), message);
        }
    }
}
