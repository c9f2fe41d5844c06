'use strict'
// One run of one row on one engine: child processes, figures, medians and ratios.
const { spawn, spawnSync } = require('child_process')
const fs = require('fs')
const os = require('os')
const path = require('path')
const peers = require('./peers')

const crate = path.join(__dirname, 'loadgen')
const loadgen = path.join(crate, 'target', 'release', 'loadgen')

function fail(message) {
  console.error(`bench: ${message}`)
  process.exit(2)
}

/** The load generator; cargo decides what is up to date. */
function buildLoadgen() {
  const r = spawnSync('cargo', ['build', '--release', '--locked', '--quiet'], {
    cwd: crate,
    env: { ...process.env, CARGO_TARGET_DIR: path.join(crate, 'target') },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (r.error)
    fail('the load generator is written in Rust and cargo was not found: install Rust from https://rustup.rs')
  if (r.status !== 0) fail('building bench/loadgen failed (see above)')
}

// --- children --------------------------------------------------------------------------------------------------------

const children = new Set()
const killAll = () => {
  for (const c of children) c.kill('SIGKILL')
}
process.on('exit', killAll)
for (const s of ['SIGINT', 'SIGTERM']) process.on(s, () => process.exit(130))

/** A child that talks in JSON lines. */
class Child {
  constructor(command, args, env, cpus) {
    if (cpus) [command, args] = ['taskset', ['-c', cpus, command, ...args]]
    this.lines = []
    this.waiting = null
    this.stderr = ''
    this.onEvent = () => {}
    this.process = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
    children.add(this.process)
    let rest = ''
    this.process.stdout.setEncoding('utf8').on('data', (s) => {
      const l = (rest + s).split('\n')
      rest = l.pop()
      for (const x of l) {
        let e
        try {
          e = JSON.parse(x)
        } catch {
          continue
        }
        this.onEvent(e)
        this.lines.push(e)
      }
      this.wake()
    })
    this.process.stderr.setEncoding('utf8').on('data', (s) => {
      this.stderr = (this.stderr + s).slice(-4000)
    })
    this.process.stdin.on('error', () => {})
    this.ended = new Promise((resolve) => {
      const end = (why) => {
        children.delete(this.process)
        this.end ??= why
        this.wake()
        resolve()
      }
      this.process.on('error', (e) => end(e.message))
      this.process.on('close', (code, signal) => end(`ended with ${signal || code}`))
    })
  }
  wake() {
    if (this.waiting) this.waiting()
  }
  write(s) {
    this.process.stdin.write(s + '\n')
  }
  /** The next line whose event is one of `names`. */
  async next(names, seconds) {
    const deadline = Date.now() + seconds * 1000
    for (;;) {
      const i = this.lines.findIndex((e) => names.includes(e.event))
      if (i >= 0) return this.lines.splice(i, 1)[0]
      if (this.end) throw new Error(`${this.end}${this.why()}`)
      const left = deadline - Date.now()
      if (left <= 0) throw new Error(`no answer (${names}) within ${seconds} s${this.why()}`)
      await new Promise((resolve) => {
        const t = setTimeout(resolve, left)
        this.waiting = () => {
          clearTimeout(t)
          resolve()
        }
      })
      this.waiting = null
    }
  }
  /** The line of stderr that says most. */
  why() {
    const l = this.stderr.split('\n').filter((x) => x.trim() && !/^\s+at /.test(x))
    const best = l.find((x) => /Error/.test(x)) || l[l.length - 1]
    return best ? `: ${best.trim()}` : ''
  }
  async stop() {
    this.process.stdin.end()
    const t = setTimeout(() => this.process.kill('SIGKILL'), 3000)
    await this.ended
    clearTimeout(t)
  }
}

async function startServer(o, engine, server) {
  const env = { ...server.env }
  if (o.ioThreads && engine.peer === peers.native) env.ENGINE_IO_NATIVE_IO_THREADS = String(o.ioThreads)
  const s = engine.peer.start({ ...server, env })
  const child = new Child(s.command, s.args, s.env, o.pin)
  try {
    const { port, pid, workers } = await child.next(['listening'], 15)
    return { child, port, pid, workers }
  } catch (e) {
    await child.stop()
    throw e
  }
}

function startLoad(o, row, engine, server, extra) {
  const args = [row.scenario, '--port', server.port, '--server-pid', server.pid]
  for (const [k, v] of Object.entries({ ...row.load, ...engine.peer.load, ...extra })) {
    if (v === true) args.push(`--${k}`)
    else args.push(`--${k}`, v)
  }
  let cpus
  if (o.pin) {
    const taken = new Set(o.pin.split(','))
    cpus =
      os
        .cpus()
        .map((_, i) => String(i))
        .filter((i) => !taken.has(i))
        .join(',') || undefined
  }
  return new Child(loadgen, args.map(String), {}, cpus)
}

// --- one run ---------------------------------------------------------------------------------------------------------

const times = (o, row) => ({
  warmup: Math.max(o.warmup, row.minWarmup || 0),
  duration: Math.max(o.duration, row.minDuration || 0),
})

async function runMessages(o, row, engine) {
  const server = await startServer(o, engine, row.server)
  const t = times(o, row)
  const load = startLoad(o, row, engine, server, t)
  try {
    // The server counts over the same interval on its own; the load generator reads the CPU at the same instants.
    load.onEvent = (e) => {
      if (e.event === 'measuring') server.child.write('mark')
      if (e.event === 'measured') server.child.write('report')
    }
    const r = await load.next(['result'], t.warmup + t.duration + 60)
    if (r.errors) throw new Error(`${r.errors} errors, first: ${r.error_samples[0]}`)
    if (!r.messages) throw new Error('no message got through')
    if (!r.server) throw new Error('the server process vanished')
    const seen = engine.peer.js ? await server.child.next(['report'], 10) : {}
    const n = r.messages
    return {
      total: r.server.total_ns / n / 1e3,
      js: engine.peer.js ? r.server.main_ns / n / 1e3 : null,
      io: engine.peer.js ? r.server.other_ns / n / 1e3 : null,
      rate: r.rate,
      p50: row.scenario === 'hold' ? null : r.p50_us, // a heartbeat has no latency to speak of
      p99: row.scenario === 'hold' ? null : r.p99_us,
      jsBusy: engine.peer.js ? r.server.main_ns / r.seconds / 1e9 : null,
      loadCpu: r.own_cpu_us_per_message,
      loadBusy: r.own_cpu_share,
      foreign: r.foreign_cores + r.steal_cores,
      messages: n,
      seconds: r.seconds,
      rss: r.server.rss,
      connectTotal: r.opening && r.opening.total_ns / row.load.conns / 1e3,
      connectJs: r.opening && engine.peer.js ? r.opening.main_ns / row.load.conns / 1e3 : null,
      connectRate: row.load.conns / r.connect_seconds,
      totalPerSecond: r.server.total_ns / r.seconds / 1e6,
      jsPerSecond: engine.peer.js ? r.server.main_ns / r.seconds / 1e6 : null,
      handles: seen.handles,
      // A busy event loop reads its orders late, so both are taken as rates over the server's own interval.
      serverCounted: seen.messages === undefined ? undefined : seen.messages * (r.seconds / seen.seconds),
      serverSeconds: seen.seconds,
      // CPU per message as the server reads its own counters: a cross-check of the outside view.
      selfTotal:
        seen.jsNs === undefined ? undefined : ((seen.jsNs + seen.otherNs) / n / 1e3) * (r.seconds / seen.seconds),
      threads: r.server.threads,
    }
  } finally {
    await load.stop()
    await server.child.stop()
  }
}

async function runMemory(o, row, engine) {
  const server = await startServer(o, engine, { ...row.server, smallYoung: row.kind === 'memory' && !row.nodeDefaults })
  const steps = row.steps || (o.quick ? [500, 1500, 2500] : [1000, 2000, 3000, 4000, 5000])
  const load = startLoad(o, row, engine, server, { steps: steps.join(',') })
  try {
    const points = []
    for (const n of steps) {
      await load.next(['step'], 40)
      await new Promise((r) => setTimeout(r, 200))
      server.child.write('gc')
      const m = await server.child.next(['report'], 15)
      if (m.open !== undefined && m.open !== n) throw new Error(`${n} connections, the server counts ${m.open}`)
      m.rss ??= +fs.readFileSync(`/proc/${server.pid}/statm`, 'utf8').split(' ')[1] * 4096
      points.push({ n, rss: m.rss, heap: (m.heapUsed || 0) + (m.external || 0), handles: m.handles })
      load.write('go')
    }
    const r = await load.next(['result'], 20)
    if (r.errors) throw new Error(`${r.errors} errors, first: ${r.error_samples[0]}`)
    return { memory: slope(points, 'rss') / 1024, heap: slope(points, 'heap') / 1024, foreign: 0, points }
  } finally {
    await load.stop()
    await server.child.stop()
  }
}

function slope(points, key) {
  const mean = (f) => points.reduce((a, p) => a + f(p), 0) / points.length
  const x = mean((p) => p.n)
  const y = mean((p) => p[key])
  return mean((p) => (p.n - x) * (p[key] - y)) / mean((p) => (p.n - x) ** 2)
}

// --- statistics ------------------------------------------------------------------------------------------------------

const METRICS = [
  'total',
  'js',
  'io',
  'rate',
  'p50',
  'p99',
  'memory',
  'heap',
  'jsBusy',
  'loadCpu',
  'loadBusy',
  'foreign',
]

function median(a) {
  const s = a.filter((x) => x !== null && x !== undefined && Number.isFinite(x)).sort((x, y) => x - y)
  if (!s.length) return null
  const m = s.length >> 1
  return s.length % 2 ? s[m] : (s[m - 1] + s[m]) / 2
}

const QUIET = 0.15

/** Foreign load of each round: the worst of its runs. */
function rounds(engines, runs) {
  const good = engines.map((e) => runs[e.id]).filter((r) => !r.error)
  const n = good.length ? Math.min(...good.map((r) => r.samples.length)) : 0
  return Array.from({ length: n }, (_, i) => Math.max(...good.map((r) => r.samples[i].foreign)))
}

function keepQuietest(engines, runs, n) {
  const keep = rounds(engines, runs)
    .map((x, i) => [x, i])
    .sort((a, b) => a[0] - b[0])
    .slice(0, n)
    .map((x) => x[1])
    .sort((a, b) => a - b)
  for (const e of engines) if (!runs[e.id].error) runs[e.id].samples = keep.map((i) => runs[e.id].samples[i])
}

/** Medians per engine, and the median of the ratios pair by pair: what drifts hits both halves of a pair alike. */
function summarise(o, row, runs) {
  const out = {}
  for (const e of o.engines) {
    const mine = runs[e.id]
    if (mine.error) {
      out[e.id] = { error: mine.error }
      continue
    }
    const s = { median: {}, ratio: {}, low: {}, high: {} }
    for (const m of METRICS) {
      s.median[m] = median(mine.samples.map((x) => x[m]))
      const ref = runs[o.reference]
      if (e.id === o.reference || !ref || ref.error) continue
      const q = mine.samples
        .map((x, i) => x[m] / ref.samples[i][m])
        .filter((x, i) => Number.isFinite(x) && mine.samples[i][m] !== null && ref.samples[i][m] !== null)
      if (!q.length) continue
      s.ratio[m] = median(q)
      s.low[m] = Math.min(...q)
      s.high[m] = Math.max(...q)
    }
    s.notes = []
    if (s.median.loadBusy > 0.95) s.notes.push('load generator saturated: the rate is its limit')
    if (s.median.foreign > QUIET)
      s.notes.push(`other processes, or other guests of the host, took ${s.median.foreign.toFixed(2)} cores`)
    // Orders reach the server through its event loop: an interval much shorter than ours means it read them late.
    const late = median(mine.samples.map((x) => Math.abs(x.seconds - x.serverSeconds)))
    if (late > 0.1)
      s.notes.push(
        `the server's event loop read a line on stdin ${late.toFixed(2)} s late: is other I/O starved under this load?`,
      )
    const self = late > 0.1 ? null : median(mine.samples.map((x) => x.selfTotal / x.total))
    if (self && Math.abs(self - 1) > 0.1) s.notes.push(`server's own CPU count differs: ${self.toFixed(2)}`)
    const counted = late > 0.1 ? null : median(mine.samples.map((x) => x.serverCounted / x.messages))
    if (counted && /echo|receive/.test(row.scenario) && Math.abs(counted - 1) > 0.03)
      s.notes.push(`the server counted ${counted.toFixed(3)} times the messages`)
    out[e.id] = s
  }
  const mine = runs.native
  for (const e of o.engines) {
    // The aim is less CPU than these in every row they share.
    if (!e.peer.rival || !mine || mine.error || runs[e.id].error) continue
    const q = mine.samples.map((x, i) => x.total / runs[e.id].samples[i].total).filter(Number.isFinite)
    if (q.length) out[e.id].native = { ratio: median(q), low: Math.min(...q), high: Math.max(...q) }
  }
  return out
}

/** Starts and stops the server once; says why in the error when that fails. */
async function tryEngine(o, engine, server = { mode: 'attach', task: 'echo', env: {} }) {
  if (engine.peer.prepare) engine.peer.prepare()
  const s = await startServer(o, engine, server)
  await s.child.stop()
}

// --- progress --------------------------------------------------------------------------------------------------------

const seconds = (s) =>
  s >= 90 ? `${Math.floor(s / 60)} min ${String(Math.round(s % 60)).padStart(2, '0')} s` : `${Math.round(s)} s`

function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text}`)
  else if (text) process.stderr.write(text + '\n')
}

const machine = () => ({
  cpu: os.cpus()[0].model,
  cores: os.cpus().length,
  memoryGiB: Math.round(os.totalmem() / 2 ** 30),
  kernel: os.release().split('-')[0],
  node: process.version,
})

module.exports = {
  Child,
  fail,
  buildLoadgen,
  tryEngine,
  startLoad,
  startServer,
  times,
  runMessages,
  runMemory,
  median,
  rounds,
  keepQuietest,
  summarise,
  QUIET,
  seconds,
  progress,
  machine,
}
