//! CPU from outside: the server's threads, ourselves, the whole machine. Read at the same instant as the message
//! counters, so that figures per message divide like by like.

use std::fs;

#[derive(Clone, Default)]
pub struct Thread {
    pub tid: i32,
    pub name: String,
    pub ns: u64,
}

#[derive(Clone, Default)]
pub struct Sample {
    /// The process's own clock: exact, with threads that have ended.
    pub total_ns: u64,
    /// The same of each process.
    pub processes: Vec<u64>,
    pub threads: Vec<Thread>,
    pub rss: u64,
}

fn clock(id: libc::clockid_t) -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    if unsafe { libc::clock_gettime(id, &mut t) } != 0 {
        return 0;
    }
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

pub fn own_ns() -> u64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

pub fn sample(pid: i32) -> Option<Sample> {
    if pid <= 0 {
        return None;
    }
    // MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED), what clock_getcpuclockid(3) returns.
    let total_ns = clock((!pid << 3) | 2);
    let mut threads = vec![];
    for e in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let dir = e.path();
        let tid: i32 = e.file_name().to_string_lossy().parse().unwrap_or(0);
        let ns = fs::read_to_string(dir.join("schedstat"))
            .ok()
            .and_then(|s| s.split_whitespace().next().and_then(|x| x.parse().ok()));
        let name = fs::read_to_string(dir.join("comm")).unwrap_or_default().trim().to_string();
        if let Some(ns) = ns {
            threads.push(Thread { tid, name, ns });
        }
    }
    let rss = fs::read_to_string(format!("/proc/{pid}/statm"))
        .ok()
        .and_then(|s| s.split_whitespace().nth(1).and_then(|x| x.parse::<u64>().ok()))
        .unwrap_or(0)
        * 4096;
    Some(Sample { total_ns, processes: vec![total_ns], threads, rss })
}

/// Several processes together.
pub fn sample_all(pids: impl Iterator<Item = i32>) -> Option<Sample> {
    pids.map(sample).reduce(|all, next| {
        let (mut all, next) = all.zip(next)?;
        all.total_ns += next.total_ns;
        all.processes.extend(next.processes);
        all.threads.extend(next.threads);
        all.rss += next.rss;
        Some(all)
    })?
}

/// (busy, stolen) ticks of all cores together.
pub fn machine() -> (u64, u64) {
    let s = fs::read_to_string("/proc/stat").unwrap_or_default();
    let f: Vec<u64> =
        s.lines().next().unwrap_or("").split_whitespace().skip(1).filter_map(|x| x.parse().ok()).collect();
    if f.len() < 8 { (0, 0) } else { (f[0] + f[1] + f[2] + f[5] + f[6], f[7]) }
}

pub fn tick_ns() -> u64 {
    1_000_000_000 / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64
}
