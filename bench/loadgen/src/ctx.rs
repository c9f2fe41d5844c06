//! What all scenarios share: phases, counters, errors, the report.

use crate::args::Args;
use crate::hist::Hist;
use crate::net::{self, Epoll};
use crate::proc;
use std::fmt::Write;

pub struct Ctx {
    pub args: Args,
    pub ep: Epoll,
    pub messages: u64,
    pub hist: Hist,
    /// Sending is allowed.
    pub running: bool,
    pub fatal: bool,
    pub pings: u64,
    /// The server's CPU while connections were opened: all threads, main thread.
    opening: Option<(u64, u64)>,
    errors: u64,
    samples: Vec<String>,
}

pub trait Scenario {
    /// Opens what can be opened now; true once everything is open.
    fn connect(&mut self, c: &mut Ctx, target: usize) -> bool;
    /// First messages.
    fn start(&mut self, c: &mut Ctx);
    fn event(&mut self, c: &mut Ctx, token: u64, flags: u32, buf: &mut [u8]);
    /// Nothing is owed by the server any more (asked after sending has stopped).
    fn drained(&self, c: &Ctx) -> bool;
    /// A silence of this many seconds is an error; None when silence is normal.
    fn silence(&self) -> Option<f64> {
        Some(5.0)
    }
}

struct Mark {
    t: u64,
    own: u64,
    server: Option<proc::Sample>,
    machine: (u64, u64),
}

const STDIN: u64 = u64::MAX;

impl Ctx {
    pub fn new(args: Args) -> Ctx {
        Ctx {
            args,
            ep: Epoll::new(),
            messages: 0,
            hist: Hist::default(),
            running: false,
            fatal: false,
            pings: 0,
            opening: None,
            errors: 0,
            samples: vec![],
        }
    }

    #[cold]
    pub fn error(&mut self, what: impl Into<String>) {
        self.errors += 1;
        if self.samples.len() < 5 {
            self.samples.push(what.into());
        }
        if self.errors >= 20 {
            self.fatal = true;
        }
    }

    #[inline]
    pub fn done(&mut self, latency_ns: u64) {
        self.messages += 1;
        self.hist.add(latency_ns);
    }

    /// Whether a thread is the main one of a process of the server.
    fn is_main(&self, tid: i32) -> bool {
        self.args.pids().any(|pid| pid == tid)
    }

    fn mark(&self) -> Mark {
        // The server first and last sampled at the same distance from our own clock.
        let server = proc::sample_all(self.args.pids());
        Mark { t: net::now(), own: proc::own_ns(), server, machine: proc::machine() }
    }

    fn turn(&mut self, s: &mut dyn Scenario, buf: &mut [u8], timeout: i32) -> bool {
        let n = self.ep.wait(timeout);
        let mut stdin = false;
        for i in 0..n {
            let (token, flags) = self.ep.event(i);
            if token == STDIN {
                stdin = true;
            } else {
                s.event(self, token, flags, buf);
            }
        }
        stdin
    }

    /// Runs until `t`, true if nothing fatal happened.
    fn until(&mut self, s: &mut dyn Scenario, buf: &mut [u8], t: u64) -> bool {
        let (mut seen, mut seen_at) = (self.messages + self.pings, net::now());
        loop {
            let now = net::now();
            if now >= t {
                return !self.fatal;
            }
            let ms = ((t - now) / 1_000_000 + 1).min(50) as i32;
            self.turn(s, buf, ms);
            if self.fatal {
                return false;
            }
            let m = self.messages + self.pings;
            if m != seen {
                (seen, seen_at) = (m, net::now());
            } else if s.silence().is_some_and(|x| net::now() - seen_at > (x * 1e9) as u64) {
                self.error("stalled: the server went silent");
                return false;
            }
        }
    }

    fn open(&mut self, s: &mut dyn Scenario, buf: &mut [u8], target: usize) -> bool {
        let give_up = net::now() + 30_000_000_000;
        while !s.connect(self, target) {
            self.turn(s, buf, 20);
            if net::now() > give_up {
                self.error("connecting took more than 30 s");
                self.fatal = true;
            }
            if self.fatal {
                return false;
            }
        }
        true
    }

    /// The whole run. Prints events as JSON lines; the last one is the result. Returns the exit code.
    pub fn run(mut self, s: &mut dyn Scenario) -> i32 {
        let mut buf = vec![0u8; 512 * 1024];
        if !self.args.steps.is_empty() {
            return self.run_steps(s, &mut buf);
        }
        let conns = self.args.conns;
        let o = self.mark();
        let opened = self.open(s, &mut buf, conns);
        let connect_s = (net::now() - o.t) as f64 / 1e9;
        self.opening = proc::sample_all(self.args.pids()).zip(o.server).map(|(y, x)| {
            let main = |s: &proc::Sample| s.threads.iter().filter(|t| self.is_main(t.tid)).map(|t| t.ns).sum::<u64>();
            (y.total_ns.saturating_sub(x.total_ns), main(&y).saturating_sub(main(&x)))
        });
        let mut a = self.mark();
        let mut b = self.mark();
        let mut messages = 0;
        if opened {
            println!(r#"{{"event":"ready","conns":{conns},"connect_seconds":{connect_s:.3}}}"#);
            self.running = true;
            s.start(&mut self);
            let t = net::now() + (self.args.warmup * 1e9) as u64;
            if self.until(s, &mut buf, t) {
                println!(r#"{{"event":"measuring"}}"#);
                self.messages = 0;
                self.hist.clear();
                a = self.mark();
                let end = a.t + (self.args.duration * 1e9) as u64;
                self.until(s, &mut buf, end);
                b = self.mark();
                messages = self.messages;
                println!(r#"{{"event":"measured"}}"#);
            }
            // What is in flight must still arrive, each message in its place.
            self.running = false;
            let give_up = net::now() + 5_000_000_000;
            while !self.fatal && !s.drained(&self) {
                self.turn(s, &mut buf, 20);
                if net::now() > give_up {
                    self.error("messages still missing 5 s after the last one was sent");
                    break;
                }
            }
        }
        self.report(&a, &b, messages, connect_s)
    }

    /// Memory: opens step by step and waits at each for a line on stdin, while answering pings.
    fn run_steps(&mut self, s: &mut dyn Scenario, buf: &mut [u8]) -> i32 {
        self.ep.add(0, STDIN, net::IN);
        for n in self.args.steps.clone() {
            if !self.open(s, buf, n) {
                break;
            }
            println!(r#"{{"event":"step","conns":{n}}}"#);
            while !self.fatal {
                if self.turn(s, buf, 1000) {
                    let mut l = [0u8; 256];
                    let r = unsafe { libc::read(0, l.as_mut_ptr() as _, l.len()) };
                    if r <= 0 {
                        return 1;
                    }
                    break;
                }
            }
        }
        let m = self.mark();
        self.report(&m, &m, 0, 0.0)
    }

    fn report(&self, a: &Mark, b: &Mark, messages: u64, connect_s: f64) -> i32 {
        let secs = (b.t - a.t) as f64 / 1e9;
        let n = messages.max(1) as f64;
        let own = (b.own - a.own) as f64;
        let r3 = |x: f64| if x.is_finite() { (x * 1000.0).round() / 1000.0 } else { 0.0 };
        let mut o = String::new();
        let _ = write!(
            o,
            r#"{{"event":"result","scenario":"{}","conns":{},"size":{},"inflight":{},"messages":{messages},"seconds":{},"rate":{},"p50_us":{},"p99_us":{},"p999_us":{},"max_us":{},"mean_us":{},"pings":{},"connect_seconds":{},"own_cpu_us_per_message":{},"own_cpu_share":{}"#,
            self.args.scenario,
            self.args.conns,
            self.args.size,
            self.args.inflight,
            r3(secs),
            r3(messages as f64 / secs),
            r3(self.hist.q_us(0.5)),
            r3(self.hist.q_us(0.99)),
            r3(self.hist.q_us(0.999)),
            r3(self.hist.max as f64 / 1e3),
            r3(self.hist.mean_us()),
            self.pings,
            r3(connect_s),
            r3(own / n / 1e3),
            r3(own / secs / 1e9),
        );
        let mut server = 0.0;
        if let (Some(x), Some(y)) = (&a.server, &b.server) {
            server = y.total_ns.saturating_sub(x.total_ns) as f64;
            let mut by: Vec<(String, i32, f64)> = vec![];
            let mut main = 0.0;
            for t in &y.threads {
                let before = x.threads.iter().find(|o| o.tid == t.tid).map_or(0, |o| o.ns);
                let d = t.ns.saturating_sub(before) as f64;
                if self.is_main(t.tid) {
                    main += d;
                }
                by.push((t.name.clone(), t.tid, d));
            }
            by.sort_by(|p, q| q.2.total_cmp(&p.2));
            // The two clocks differ by up to a scheduler tick; a single-threaded server must not show a share below 0.
            let main = if main > server { server } else { main };
            let _ = write!(
                o,
                r#","server":{{"total_ns":{server},"main_ns":{main},"other_ns":{},"cores":{},"rss":{},"threads":["#,
                server - main,
                r3(server / secs / 1e9),
                y.rss
            );
            for (i, (name, tid, d)) in by.iter().filter(|t| t.2 > 0.0).take(8).enumerate() {
                let name: String = name.chars().filter(|c| *c != '"' && *c != '\\').collect();
                let _ = write!(
                    o,
                    r#"{}{{"name":"{name}","main":{},"ns":{d}}}"#,
                    if i > 0 { "," } else { "" },
                    self.is_main(*tid)
                );
            }
            o.push_str(r#"],"processes":["#);
            for (i, (x, y)) in x.processes.iter().zip(&y.processes).enumerate() {
                let _ = write!(o, "{}{}", if i > 0 { "," } else { "" }, y.saturating_sub(*x));
            }
            o.push_str("]}");
        }
        if let Some((total, main)) = self.opening {
            let _ = write!(o, r#","opening":{{"total_ns":{total},"main_ns":{main}}}"#);
        }
        let tick = proc::tick_ns() as f64;
        let busy = (b.machine.0 - a.machine.0) as f64 * tick;
        let steal = (b.machine.1 - a.machine.1) as f64 * tick;
        let _ = write!(
            o,
            r#","foreign_cores":{},"steal_cores":{},"errors":{},"error_samples":["#,
            r3(((busy - own - server) / secs / 1e9).max(0.0)),
            r3(steal / secs / 1e9),
            self.errors
        );
        for (i, e) in self.samples.iter().enumerate() {
            let e: String = e.chars().map(|c| if c == '"' || c == '\\' || c < ' ' { '\'' } else { c }).collect();
            let _ = write!(o, r#"{}"{e}""#, if i > 0 { "," } else { "" });
        }
        o.push_str("]}");
        println!("{o}");
        (self.errors > 0) as i32
    }
}
