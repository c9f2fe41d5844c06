//! The benchmark's application on engineioxide: TASK=echo|receive|broadcast|hold|connect, ACK_EVERY=n, THREADS=n,
//! OPTS={"pingInterval":ms,"pingTimeout":ms}. One thread by default, as the native engine's single I/O thread.

use bytes::Bytes;
use engineioxide::config::EngineIoConfig;
use engineioxide::handler::EngineIoHandler;
use engineioxide::service::EngineIoService;
use engineioxide::{DisconnectReason, Socket, Str};
use hyper_util::rt::TokioIo;
use std::io::BufRead;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, RwLock};
use std::time::Duration;

#[derive(Debug, Default)]
struct Count {
    messages: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug, PartialEq)]
enum Task {
    Echo,
    Receive,
    Broadcast,
    Hold,
}

#[derive(Debug)]
struct App {
    task: Task,
    every: u64,
    all: RwLock<Vec<Arc<Socket<Count>>>>,
}

impl App {
    fn count(&self, socket: &Socket<Count>, len: usize) {
        let n = socket.data.messages.fetch_add(1, Relaxed) + 1;
        let bytes = socket.data.bytes.fetch_add(len as u64, Relaxed) + len as u64;
        if n % self.every == 0 {
            let _ = socket.emit(format!("{n} {bytes}"));
        }
    }
}

// A full buffer loses the message; the load generator would notice.
impl EngineIoHandler for App {
    type Data = Count;

    fn on_connect(self: Arc<Self>, socket: Arc<Socket<Count>>) {
        if self.task == Task::Broadcast {
            self.all.write().unwrap().push(socket);
        }
    }
    fn on_disconnect(&self, socket: Arc<Socket<Count>>, _: DisconnectReason) {
        if self.task == Task::Broadcast {
            self.all.write().unwrap().retain(|s| s.id != socket.id);
        }
    }
    fn on_message(self: &Arc<Self>, m: Str, socket: Arc<Socket<Count>>) {
        match self.task {
            Task::Echo => drop(socket.emit(m)),
            Task::Receive => self.count(&socket, m.as_str().len()),
            Task::Broadcast => self.all.read().unwrap().iter().for_each(|s| drop(s.emit(m.clone()))),
            Task::Hold => {}
        }
    }
    fn on_binary(self: &Arc<Self>, m: Bytes, socket: Arc<Socket<Count>>) {
        match self.task {
            Task::Echo => drop(socket.emit_binary(m)),
            Task::Receive => self.count(&socket, m.len()),
            Task::Broadcast => self.all.read().unwrap().iter().for_each(|s| drop(s.emit_binary(m.clone()))),
            Task::Hold => {}
        }
    }
}

fn env<T: std::str::FromStr>(key: &str) -> Option<T> {
    std::env::var(key).ok()?.parse().ok()
}

/// A number of the options' JSON; not worth a parser.
fn option(json: &str, key: &str) -> Option<u64> {
    let rest = json.split_once(&format!("\"{key}\":"))?.1;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn main() {
    unsafe {
        let mut r: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut r);
        r.rlim_cur = r.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &r);
    }
    let task = match std::env::var("TASK").as_deref() {
        Ok("receive") => Task::Receive,
        Ok("broadcast" | "broadcast-pre") => Task::Broadcast,
        Ok("hold" | "connect") => Task::Hold,
        _ => Task::Echo,
    };
    let opts = std::env::var("OPTS").unwrap_or_default();
    let ms = |key, default| Duration::from_millis(option(&opts, key).unwrap_or(default));
    let config = EngineIoConfig::builder()
        .req_path("/engine.io")
        .ping_interval(ms("pingInterval", 25_000))
        .ping_timeout(ms("pingTimeout", 20_000))
        .max_buffer_size(1024)
        .max_payload(10_000_000)
        .build();
    let app = Arc::new(App { task, every: env("ACK_EVERY").unwrap_or(100), all: RwLock::default() });
    let service = EngineIoService::with_config(app, config);
    let threads = env("THREADS").unwrap_or(1);
    let runtime = if threads == 1 {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
    };
    std::thread::spawn(|| {
        // No counters of its own: an empty answer keeps the protocol of the other servers. The end of stdin ends it.
        for _ in std::io::stdin().lock().lines() {
            println!(r#"{{"event":"report"}}"#);
        }
        std::process::exit(0);
    });
    runtime.expect("runtime").block_on(async move {
        let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.expect("listen");
        let port = listener.local_addr().unwrap().port();
        println!(r#"{{"event":"listening","port":{port},"pid":{}}}"#, std::process::id());
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            let service = service.clone();
            tokio::spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            });
        }
    });
}
