'use strict'
// npm run bench -- --cluster: what it costs that any process serves any session. Each row compares ways to serve the same
// load; the first one is the reference. CPU is that of all processes of the server together.
const fs = require('fs')
const os = require('os')
const path = require('path')
const peers = require('./peers')
const results = require('./results')
const { num } = require('./report')
const { fail, startServer, startLoad, times, median, progress, seconds, machine } = require('./measure')

// A way: the number of processes, without `alone` members of a cluster. Sessions are opened at the `owners` in turn; other
// connections go to the `fronts` in turn, or without them to the session's owner, as behind a perfect sticky balancer.
const local = { name: 'at its owner', processes: 2, owners: [0], fronts: [0] }
const foreign = (name) => ({ name, processes: 2, owners: [0], fronts: [1] })
const four = [
  { name: 'one process', processes: 1, alone: true, owners: [0] },
  { name: 'four, sticky', processes: 4, alone: true, owners: [0, 1, 2, 3] },
  { name: 'four, any', processes: 4, owners: [0, 1, 2, 3], fronts: [1, 2, 3, 0] },
  { name: 'engine.io, four, sticky', processes: 4, alone: true, engine: 'upstream', owners: [0, 1, 2, 3] },
]
const plain = { name: 'without `cluster`', processes: 1, alone: true, owners: [0] }
const member = { name: 'with `cluster`', processes: 2, owners: [0] }
const flood = { scenario: 'forged', load: { conns: 64, rate: 20_000 } }

const rows = [
  {
    id: 'echo',
    title: 'WebSocket: echo, 100 connections, 64 B',
    scenario: 'echo',
    load: { conns: 100, size: 64 },
    ways: [local, foreign('moved to its owner')],
    bar: 1.03,
  },
  {
    id: 'upgrade',
    title: 'session: handshake by polling, upgrade, one echo, close',
    scenario: 'poll-upgrade',
    load: { conns: 16, size: 64 },
    ways: [local, foreign('the upgrade moved')],
    bar: 1.3,
    // there are some 150 sessions a second, because upgrades wait for 100 ms: V8 compiles for long
    minWarmup: 9,
    minDuration: 4,
  },
  {
    id: 'poll',
    title: 'polling: echo by POST and GET, 100 clients, 64 B',
    scenario: 'poll-echo',
    load: { conns: 100, size: 64 },
    ways: [local, foreign('both forwarded')],
    bar: 2,
    minWarmup: 5,
  },
  { id: 'forged', title: 'polls with forged ids, 20,000 a second', ...flood, ways: [plain, member] },
  {
    id: 'beside',
    title: 'one client, WebSocket echo, beside such polls',
    scenario: 'echo',
    load: { conns: 1, size: 64 },
    ways: [
      { ...plain, name: 'no such polls' },
      { ...plain, flood },
      { ...member, flood },
    ],
  },
  {
    id: 'four-echo',
    title: 'WebSocket: echo, 200 connections, 64 B',
    scenario: 'echo',
    load: { conns: 200, size: 64 },
    ways: four,
  },
  {
    id: 'four-poll',
    title: 'polling: echo by POST and GET, 200 clients, 64 B',
    scenario: 'poll-echo',
    load: { conns: 200, size: 64 },
    ways: four,
  },
]

/** One run of one way. */
async function measure(o, row, way) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-bench-'))
  const options = way.alone ? {} : { cluster: { directory } }
  const server = { mode: 'attach', task: 'echo', env: { OPTS: JSON.stringify(options) } }
  const engine = { peer: peers[way.engine ?? 'native'] }
  const processes = []
  const loads = []
  try {
    for (let i = 0; i < way.processes; i++) processes.push(await startServer(o, engine, server))
    const portsOf = (indices) => indices.map((i) => processes[i].port).join(',')
    const start = ({ scenario, load }, extra) => {
      const others = processes.slice(1).map(({ pid }) => pid)
      const places = { owners: portsOf(way.owners), ...(way.fronts && { fronts: portsOf(way.fronts) }) }
      const more = { ...places, ...(others.length > 0 && { 'other-pids': others.join(',') }), ...extra }
      loads.push(startLoad(o, { scenario, load }, engine, processes[0], more))
      return loads.at(-1)
    }
    const { warmup, duration } = times(o, row)
    if (way.flood) {
      const before = start(way.flood, { warmup: 0.1, duration: warmup + duration + 2 })
      await before.next(['measuring'], 20)
    }
    const r = await start(row, { warmup, duration }).next(['result'], warmup + duration + 60)
    if (r.errors) throw new Error(`${r.errors} errors, first: ${r.error_samples[0]}`)
    if (!r.messages) throw new Error('no message got through')
    const own = way.owners.map((i) => r.server.processes[i]).reduce((a, b) => a + b)
    return {
      cpu: r.server.total_ns / r.messages / 1e3,
      owners: own / r.server.total_ns,
      cores: r.server.total_ns / r.seconds / 1e9,
      rate: r.rate,
      p50: r.p50_us,
      p99: r.p99_us,
      foreign: r.foreign_cores + r.steal_cores,
    }
  } finally {
    for (const load of loads) await load.stop()
    for (const { child } of processes) await child.stop()
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

const FIGURES = ['cpu', 'owners', 'cores', 'rate', 'p50', 'p99', 'foreign']

/** Medians of each way, and of its ratios to the first one, round by round. */
function summarise(row, samples) {
  return Object.fromEntries(
    row.ways.map(({ name }, at) => {
      const s = { median: {}, ratio: {}, low: {}, high: {} }
      for (const figure of FIGURES) {
        s.median[figure] = median(samples[at].map((x) => x[figure]))
        if (at === 0) continue
        const ratios = samples[at].map((x, round) => x[figure] / samples[0][round][figure]).filter(Number.isFinite)
        s.ratio[figure] = median(ratios)
        s.low[figure] = Math.min(...ratios)
        s.high[figure] = Math.max(...ratios)
      }
      return [name, s]
    }),
  )
}

function table(result) {
  const lines = [
    '| load | served | CPU us | of it at owners | cores | rate/s | p50 us | p99 us | CPU beside the first (range) | bar |',
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |',
  ]
  for (const { title, target, engines } of result.rows) {
    for (const [at, [name, { median: m, ratio, low, high }]] of Object.entries(engines).entries()) {
      const beside = at === 0 ? '' : `${ratio.cpu.toFixed(2)} (${low.cpu.toFixed(2)}-${high.cpu.toFixed(2)})`
      const bar = at === 0 || !target.cpu ? '' : `${ratio.cpu <= target.cpu ? 'met' : 'missed'}: ${target.cpu}`
      const figures = [num(m.cpu), `${Math.round(m.owners * 100)} %`, num(m.cores), num(m.rate), num(m.p50), num(m.p99)]
      lines.push(`| ${[at === 0 ? title : '', name, ...figures, beside, bar].join(' | ')} |`)
    }
  }
  return `${lines.join('\n')}\n`
}

async function run(o) {
  const unknown = o.rows?.find((id) => !rows.some((row) => row.id === id))
  if (unknown !== undefined) fail(`no row ${unknown}; there are: ${rows.map((row) => row.id).join(' ')}`)
  const chosen = rows.filter((row) => !o.rows || o.rows.includes(row.id))
  const { quick, pairs, warmup, duration } = o
  const began = Date.now()
  const result = { date: new Date().toISOString(), quick, pairs, warmup, duration, machine: machine(), rows: [] }
  for (const row of chosen) {
    const samples = row.ways.map(() => [])
    for (let round = 0; round < pairs; round++) {
      // A B, B A, A B ...: going first or second must not favour any
      const order = row.ways.map((_, at) => (round % 2 ? row.ways.length - 1 - at : at))
      for (const at of order) {
        progress(`${row.id}: round ${round + 1}/${pairs}, ${row.ways[at].name}`)
        samples[at].push(await measure(o, row, row.ways[at]))
      }
    }
    const { id, title, bar } = row
    const engines = summarise(row, samples)
    result.rows.push({ id, title, kind: 'message', unit: 'message', target: { cpu: bar }, engines, samples })
  }
  progress('')
  result.tookSeconds = Math.round((Date.now() - began) / 1000)
  const text = table(result)
  console.log(text)
  const name = o.name || `local-cluster-${result.date.slice(0, 19).replace(/[:T]/g, '-')}`
  const files = results.save(result, name, o.json && path.resolve(o.json))
  const report = path.join(results.folder, `${name}.md`)
  fs.writeFileSync(report, text)
  const written = [...files, report].map((file) => path.relative(process.cwd(), file))
  console.log(`${seconds(result.tookSeconds)}. Written: ${written.join(', ')}`)
}

module.exports = { run }
