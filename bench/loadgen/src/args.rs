//! Command line: `loadgen SCENARIO --port N [--key value ...]`.

pub struct Args {
    pub scenario: String,
    pub port: u16,
    pub path: String,
    pub conns: usize,
    pub size: usize,
    pub inflight: usize,
    pub binary: bool,
    /// Socket.IO framing on top: CONNECT to the default namespace, event "m".
    pub sio: bool,
    /// Plain WebSocket peer: no open packet, no packet types.
    pub raw: bool,
    pub tls: bool,
    /// permessage-deflate, with JSON as messages.
    pub deflate: bool,
    pub warmup: f64,
    pub duration: f64,
    /// Server process whose CPU is read at the very start and end of the measured interval.
    pub server_pid: i32,
    /// Processes whose CPU is added.
    pub other_pids: Vec<i32>,
    /// Ports of processes that serve each other's sessions: where sessions are opened, in turn, and where their other
    /// connections go, in turn. Without fronts these go where the session was opened.
    pub owners: Vec<u16>,
    pub fronts: Vec<u16>,
    /// forged: requests per second.
    pub rate: f64,
    pub ack_every: usize,
    pub steps: Vec<usize>,
}

impl Args {
    /// The processes of the server.
    pub fn pids(&self) -> impl Iterator<Item = i32> + '_ {
        std::iter::once(self.server_pid).chain(self.other_pids.iter().copied())
    }
    /// Where session `i` is opened.
    pub fn owner(&self, i: usize) -> u16 {
        if self.owners.is_empty() { self.port } else { self.owners[i % self.owners.len()] }
    }
    /// Where connection `n` goes, which is one of session `i`.
    pub fn front(&self, i: usize, n: usize) -> u16 {
        if self.fronts.is_empty() { self.owner(i) } else { self.fronts[n % self.fronts.len()] }
    }
}

pub fn parse(argv: &[String]) -> Result<Args, String> {
    let mut a = Args {
        scenario: argv.first().cloned().ok_or("usage: loadgen SCENARIO --port N [...]")?,
        port: 0,
        path: "/engine.io/".into(),
        conns: 100,
        size: 64,
        inflight: 1,
        binary: false,
        sio: false,
        raw: false,
        tls: false,
        deflate: false,
        warmup: 1.0,
        duration: 2.0,
        server_pid: 0,
        other_pids: vec![],
        owners: vec![],
        fronts: vec![],
        rate: 1000.0,
        ack_every: 100,
        steps: vec![],
    };
    let mut it = argv[1..].iter();
    while let Some(k) = it.next() {
        match k.as_str() {
            "--binary" => a.binary = true,
            "--sio" => a.sio = true,
            "--raw" => a.raw = true,
            "--tls" => a.tls = true,
            "--deflate" => a.deflate = true,
            _ => {
                let v = it.next().ok_or(format!("{k} needs a value"))?;
                fn n<T: std::str::FromStr>(k: &str, v: &str) -> Result<T, String> {
                    v.parse().map_err(|_| format!("bad value for {k}: {v}"))
                }
                fn all<T: std::str::FromStr>(k: &str, v: &str) -> Result<Vec<T>, String> {
                    v.split(',').map(|x| n(k, x)).collect()
                }
                match k.as_str() {
                    "--port" => a.port = n(k, v)?,
                    "--path" => a.path = v.clone(),
                    "--conns" => a.conns = n(k, v)?,
                    "--size" => a.size = n(k, v)?,
                    "--inflight" => a.inflight = n(k, v)?,
                    "--warmup" => a.warmup = n(k, v)?,
                    "--duration" => a.duration = n(k, v)?,
                    "--server-pid" => a.server_pid = n(k, v)?,
                    "--other-pids" => a.other_pids = all(k, v)?,
                    "--owners" => a.owners = all(k, v)?,
                    "--fronts" => a.fronts = all(k, v)?,
                    "--rate" => a.rate = n(k, v)?,
                    "--ack-every" => a.ack_every = n(k, v)?,
                    "--steps" => a.steps = all(k, v)?,
                    _ => return Err(format!("unknown option {k}")),
                }
            }
        }
    }
    if a.port == 0 {
        return Err("--port is needed".into());
    }
    if a.size < 5 {
        return Err("--size must be at least 5".into());
    }
    if let Some(last) = a.steps.last() {
        a.conns = *last;
    }
    Ok(a)
}
