//! Rules that stand in both languages, by the tables of examples in `tests/tables`: the JavaScript side reads them in
//! `__test__/behaviour/tables.test.js`, as well as the original.
#![cfg(unix)]

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine_io_native::http::{BodyLimits, CompressionOptions, Listener, ListenerOptions, Settings};
use engine_io_native::protocol::v3::{
    PayloadEncoder, PayloadForm, V3Packet, decode_payload_binary, decode_payload_text,
};
use engine_io_native::protocol::{Data, PacketType, ParseError};
use engine_io_native::runtime::{Batch, Command, Commands, Event, EventQueue, Kind, Opened, run};
use engine_io_native::session::Timing;
use engine_io_native::websocket::{Decoder, FrameError, Limits, OpCode, write_masked};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

fn table(name: &str) -> Value {
    let file = format!("{}/tests/tables/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn rows<'a>(table: &'a Value, name: &str) -> &'a [Value] {
    let rows = table[name].as_array().unwrap();
    assert!(!rows.is_empty());
    rows
}

/// The bytes of `{ "base64": … }`, if the value is that.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    value.get("base64").map(|text| STANDARD.decode(text.as_str().unwrap()).unwrap())
}

fn shown(bytes: &[u8]) -> Value {
    json!({ "base64": STANDARD.encode(bytes) })
}

#[test]
fn payloads_of_protocol_3_are_encoded_as_the_table_says() {
    for row in rows(&table("v3-payloads"), "encode") {
        let packets = row["packets"].as_array().unwrap();
        let any_binary = packets.iter().any(|packet| bytes(&packet[1]).is_some());
        let form = PayloadForm::choose(row["supportsBinary"].as_bool().unwrap(), any_binary);
        let mut encoder = PayloadEncoder::new(form);
        for packet in packets {
            let kind = PacketType::ALL.into_iter().find(|kind| packet[0] == kind.name()).unwrap();
            match bytes(&packet[1]) {
                Some(bytes) => encoder.push_binary(&bytes),
                None => encoder.push_text(kind, packet[1].as_str().unwrap_or_default()),
            }
        }
        let payload = encoder.finish();
        let payload = match form {
            PayloadForm::Text => json!(String::from_utf8(payload).unwrap()),
            PayloadForm::Binary => shown(&payload),
        };
        assert_eq!(payload, row["payload"], "{row}");
    }
}

#[test]
fn payloads_of_protocol_3_are_decoded_as_the_table_says() {
    fn packet(decoded: Result<V3Packet<'_>, ParseError>) -> Value {
        let Ok(packet) = decoded else { return json!(["error"]) };
        let kind = packet.kind.map(PacketType::name);
        match packet.data {
            Data::None => json!([kind]),
            Data::Text(text) => json!([kind, text]),
            Data::Binary(bytes) => json!([kind, shown(&bytes)]),
        }
    }
    for row in rows(&table("v3-payloads"), "decode") {
        let packets: Vec<_> = match bytes(&row["payload"]) {
            Some(body) => decode_payload_binary(&body).map(packet).collect(),
            None => decode_payload_text(row["payload"].as_str().unwrap()).map(packet).collect(),
        };
        assert_eq!(json!(packets), row["packets"], "{row}");
    }
}

// ---- requests, to the native listener --------------------------------------------------------

/// Headers that an answer has only if the table says so.
const HEADERS: [&str; 8] = [
    "content-type",
    "cache-control",
    "x-xss-protection",
    "upgrade",
    "sec-websocket-accept",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "content-encoding",
];

/// What every request has, and every upgrade; a row may give others.
const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

struct Server {
    queue: EventQueue,
    commands: Commands,
    /// The I/O thread.
    io: JoinHandle<()>,
    listener: Arc<Listener>,
    /// What the owner has heard of.
    opened: RefCell<Vec<Event>>,
}

impl Server {
    fn new(allows_v3: bool, threshold: Option<f64>) -> Self {
        let (queue, commands) = (EventQueue::new(|| {}), Commands::default());
        let open = |upgrades: &str| {
            Some(format!(
                "\",\"upgrades\":[{upgrades}],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":10}}"
            ))
        };
        let listener = Listener::new(ListenerOptions {
            handle: 1,
            settings: Settings {
                path: "/engine.io/".to_owned(),
                timing: Arc::new(Timing::new(25_000, 20_000, 10_000)),
                polling: open("\"websocket\""),
                websocket: open(""),
                initial: None,
                allows_v3,
                bodies: BodyLimits::new(10.0, 10_000.0, 30_000),
                max_payload: 10,
                max_chunks: 0,
                compression: threshold.map(|threshold| CompressionOptions { threshold, level: 6, window_bits: 15 }),
                cookie: None,
                deflate: None,
                proxies: None,
            },
            queue: queue.clone(),
            commands: commands.clone(),
            sessions: Default::default(),
            connections: Default::default(),
        });
        let io = tokio::spawn(run(commands.clone()));
        Self { queue, commands, io, listener, opened: RefCell::default() }
    }

    async fn send(&self, request: &str) -> UnixStream {
        let (mut client, server) = UnixStream::pair().unwrap();
        self.listener.clone().serve_stream(server, None);
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }

    /// Opens the session that a row is about: its id, and its client if that must stay.
    async fn open(&self, what: &str) -> (String, UnixStream) {
        let (query, upgrade) = match what {
            "polling" => ("EIO=4&transport=polling", false),
            "polling of protocol 3" => ("EIO=3&transport=polling", false),
            "websocket" => ("EIO=4&transport=websocket", true),
            _ => panic!("an unknown kind of session: {what}"),
        };
        let row = json!({ "method": "GET", "isUpgrade": upgrade });
        let mut client = self.send(&request(&row, &format!("/engine.io/?{query}"))).await;
        let text = read(&mut client, |text| text.contains("maxPayload\":10}")).await;
        let sid = text.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap();
        (sid.to_owned(), client)
    }

    /// Does what the owner does: it comes to the packets that end a session.
    async fn own(&self) -> ! {
        loop {
            for event in self.queue.take(Batch::default()).events {
                if Opened::of(&event).is_some() {
                    self.opened.borrow_mut().push(event);
                } else if event.kind == Kind::PayloadEnd {
                    let opened = self.opened.borrow();
                    let of_session = |known: &&Opened| known.session.handle == event.target;
                    let known = opened.iter().filter_map(Opened::of).find(of_session).expect("a session is told first");
                    known.session.step_queued(|locked, batch| locked.end_payload(batch));
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// What knows each other is parted, which is the owner's and its I/O thread's to do.
    async fn close(self) {
        self.commands.send(Command::Stop);
        self.io.await.unwrap();
        let events = self.queue.take(Batch::default()).events;
        for opened in self.opened.take().iter().chain(&events).filter_map(Opened::of) {
            opened.connection.iter().for_each(|connection| connection.abandon());
        }
        self.listener.registry.clear();
    }
}

fn request(row: &Value, target: &str) -> String {
    let is_upgrade = row["isUpgrade"] == true;
    let body = row["body"].as_str().unwrap_or_default();
    let mut headers = vec![("Host".to_owned(), "x".to_owned())];
    if is_upgrade {
        headers.extend(UPGRADE.map(|(name, value)| (name.to_owned(), value.to_owned())));
    } else {
        headers.push(("Connection".to_owned(), "close".to_owned()));
        headers.push(("Content-Length".to_owned(), body.len().to_string()));
    }
    for (name, value) in row["headers"].as_object().into_iter().flatten() {
        headers.retain(|(known, _)| known != name);
        headers.extend(value.as_str().map(|value| (name.clone(), value.to_owned())));
    }
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{} {target} HTTP/1.1\r\n{lines}\r\n{body}", row["method"].as_str().unwrap())
}

/// What comes in, until that is enough or the connection ends.
async fn read(client: &mut UnixStream, is_enough: impl Fn(&str) -> bool) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if is_enough(&text) || client.read_buf(&mut bytes).await.unwrap() == 0 {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}

async fn answer_to(row: &Value) -> Value {
    let server = Server::new(row["allowEIO3"] == true, row["threshold"].as_f64());
    let session = match row["session"].as_str() {
        Some(what) => Some(server.open(what).await),
        None => None,
    };
    let sid = session.as_ref().map_or("", |(sid, _)| sid);
    let mut client = server.send(&request(row, &row["target"].as_str().unwrap().replace("SID", sid))).await;
    let is_switched = |text: &str| text.starts_with("HTTP/1.1 101 ") && text.contains("\r\n\r\n");
    let text = tokio::select! {
        text = read(&mut client, is_switched) => text,
        _ = server.own() => unreachable!("the owner goes on"),
    };
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let headers: serde_json::Map<_, _> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), json!(value)))
        .filter(|(name, _)| HEADERS.contains(&&**name))
        .collect();
    drop(session);
    drop(client);
    server.close().await;
    let mut answer = json!({ "status": status, "headers": headers });
    // where compression is at stake, the headers say whether the body is compressed
    if row.get("threshold").is_none() {
        answer["body"] = json!(if status == 101 { String::new() } else { without_id(body) });
    }
    answer
}

/// A body with `SID` in the place of a new session's id.
fn without_id(body: &str) -> String {
    for start in ["\"sid\":\"", "\\\"sid\\\":\\\""] {
        if let Some(at) = body.find(start).map(|at| at + start.len()) {
            return format!("{}SID{}", &body[..at], &body[at + 20..]);
        }
    }
    body.to_owned()
}

#[tokio::test]
async fn requests_are_answered_as_the_table_says() {
    let table = table("requests");
    let mut wrong = Vec::new();
    for row in table.as_array().unwrap() {
        // the native listener refuses some upgrades before it switches protocols
        let expected = row.get("nativeAnswer").unwrap_or(&row["answer"]);
        let answer = answer_to(row).await;
        if answer != *expected {
            wrong.push(format!("{}: {answer} instead of {expected}", row["name"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// ---- close frames -----------------------------------------------------------------------------

#[test]
fn close_frames_carry_the_codes_that_the_table_allows_and_no_others() {
    let table = table("close-codes");
    for (name, is_allowed) in [("allowed", true), ("refused", false)] {
        for code in rows(&table, name) {
            let code = u16::try_from(code.as_u64().unwrap()).unwrap();
            let mut frame = Vec::new();
            write_masked(&mut frame, OpCode::Close, &code.to_be_bytes(), [1, 2, 3, 4]);
            let fed = Decoder::new(Limits::default()).feed(&mut frame, |_| ControlFlow::Continue(()));
            let expected = if is_allowed { Ok(()) } else { Err(FrameError::InvalidCloseCode(code)) };
            assert_eq!(fed, expected, "{code}");
        }
    }
}
