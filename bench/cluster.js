'use strict'
// npm run bench -- --cluster: what it costs that any process serves any session. Each row compares ways to serve the same
// load; the first one is the reference. CPU is that of all processes of the server together.
const fs = require('fs')
const os = require('os')
const path = require('path')
const { startBus } = require('./bus')
const rows = require('./cluster-rows')
const { tables } = require('./cluster-report')
const peers = require('./peers')
const results = require('./results')
const { fail, startServer, startLoad, times, median, progress, seconds, machine } = require('./measure')

/** Processes of the cluster are as if on machines of their own if a bus connects them. */
const KEY = 'of sixteen bytes or more'

/** One run of one way. */
async function measure(o, row, way) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-bench-'))
  const engine = { peer: peers[way.engine ?? 'native'] }
  const processes = []
  const loads = []
  let bus
  try {
    if (way.bus) bus = await startBus(o, way.bus)
    for (let i = 0; i < way.processes; i++) {
      const cluster = bus ? { directory: path.join(folder, String(i)), key: KEY } : { directory: folder }
      const env = { OPTS: JSON.stringify(way.alone ? {} : { cluster }) }
      if (bus) Object.assign(env, { BUS: way.bus, BUS_PORT: String(bus.port) })
      if (way.workers) env.WORKERS = String(way.workers)
      if (way.sticky) env.STICKY = '1'
      processes.push(await startServer(o, engine, { mode: 'attach', task: 'echo', ...row.server, env }))
    }
    if (bus) await Promise.all(processes.map(({ child }) => child.next(['met'], 20)))
    const portsOf = (indices) => indices.map((i) => processes[i].port).join(',')
    const others = [
      ...processes.slice(1).map(({ pid }) => pid),
      ...(processes[0].workers ?? []),
      ...(bus ? [bus.pid] : []),
    ]
    const start = ({ scenario, load }, extra) => {
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
    const load = start(row, { warmup, duration })
    const tell = (order) => processes.forEach(({ child }) => child.write(order))
    if (bus) {
      load.onEvent = ({ event }) => {
        if (event === 'measuring') tell('mark')
        if (event === 'measured') tell('report')
      }
    }
    const r = await load.next(['result'], warmup + duration + 60)
    if (r.errors) throw new Error(`${r.errors} errors, first: ${r.error_samples[0]}`)
    if (!r.messages) throw new Error('no message got through')
    const ofBus = bus ? r.server.processes.at(-1) : 0
    const total = r.server.total_ns - ofBus
    const own = way.owners.map((i) => r.server.processes[i]).reduce((a, b) => a + b)
    const figures = {
      cpu: total / r.messages / 1e3,
      owners: own / total,
      cores: total / r.seconds / 1e9,
      rate: r.rate,
      p50: r.p50_us,
      p99: r.p99_us,
      foreign: r.foreign_cores + r.steal_cores,
    }
    if (bus) {
      const seen = await Promise.all(processes.map(({ child }) => child.next(['report'], 10)))
      // a process may read its orders late: rates over its own interval
      const published = seen.reduce((sum, { sent, seconds: s }) => sum + sent / s, 0)
      Object.assign(figures, { bus: ofBus / r.messages / 1e3, published: published / r.rate })
    }
    return figures
  } finally {
    for (const load of loads) await load.stop()
    for (const { child } of processes) await child.stop()
    if (bus) await bus.stop()
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

const FIGURES = ['cpu', 'owners', 'cores', 'rate', 'p50', 'p99', 'foreign', 'bus', 'published']

/** The median of a figure that is made of each round, and its range. */
function over(samples, figure) {
  const all = samples.map(figure).filter(Number.isFinite)
  return all.length === 0 ? undefined : { median: median(all), low: Math.min(...all), high: Math.max(...all) }
}

/** Medians of each way, and of its ratios to the first one, round by round. */
function summarise(row, samples) {
  return Object.fromEntries(
    row.ways.map(({ name }, way) => {
      const s = { median: {}, ratio: {}, low: {}, high: {} }
      for (const figure of FIGURES) {
        const own = median(samples[way].map((x) => x[figure]))
        if (own === null) continue
        s.median[figure] = own
        const ratio = way > 0 && over(samples[way], (x, round) => x[figure] / samples[0][round][figure])
        if (ratio) [s.ratio[figure], s.low[figure], s.high[figure]] = [ratio.median, ratio.low, ratio.high]
      }
      if (row.rate) {
        // cores at that rate, and more than the first
        const cores = ({ cpu }) => (cpu * row.rate) / 1e6
        s.at = { cores: median(samples[way].map(cores)) }
        if (way > 0) s.at.more = over(samples[way], (x, round) => cores(x) - cores(samples[0][round]))
      }
      return [name, s]
    }),
  )
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
    const { id, title, target = {} } = row
    const engines = summarise(row, samples)
    result.rows.push({ id, title, kind: 'message', unit: 'message', target, engines, samples })
  }
  progress('')
  result.tookSeconds = Math.round((Date.now() - began) / 1000)
  const text = tables(result)
  console.log(text)
  const name = o.name || `local-cluster-${result.date.slice(0, 19).replace(/[:T]/g, '-')}`
  const files = results.save(result, name, o.json && path.resolve(o.json))
  const report = path.join(results.folder, `${name}.md`)
  fs.writeFileSync(report, text)
  const written = [...files, report].map((file) => path.relative(process.cwd(), file))
  console.log(`${seconds(result.tookSeconds)}. Written: ${written.join(', ')}`)
}

module.exports = { run }
