'use strict'
// npm run bench -- [--quick] [--growth | --cluster] [--rows a,b] [--engines native,upstream] [--pairs N] [--duration S] [--warmup S]
//                  [--pin CPUS] [--io-threads N] [--node VERSION] [--name NAME] [--json FILE] [--no-build] [--list]
const { spawnSync } = require('child_process')
const path = require('path')
const install = require('./install')
const peers = require('./peers')
const rows = require('./rows')
const report = require('./report')
const {
  fail,
  buildLoadgen,
  tryEngine,
  times,
  runMessages,
  runMemory,
  rounds,
  keepQuietest,
  summarise,
  QUIET,
  seconds,
  progress,
  machine,
} = require('./measure')

function options(argv) {
  const o = { quick: false, growth: false, cluster: false, build: true, reference: 'upstream', node: '24' }
  const list = (s) => s.split(',').filter(Boolean)
  const flags = {
    '--quick': () => {
      o.quick = true
    },
    '--growth': () => {
      o.growth = true
    },
    '--cluster': () => {
      o.cluster = true
    },
    '--no-build': () => {
      o.build = false
    },
    '--list': () => {
      o.list = true
    },
    '--rows': (v) => {
      o.rows = list(v)
    },
    '--engines': (v) => {
      o.engines = list(v)
    },
    '--pairs': (v) => {
      o.pairs = +v
    },
    '--duration': (v) => {
      o.duration = +v
    },
    '--warmup': (v) => {
      o.warmup = +v
    },
    '--pin': (v) => {
      o.pin = v
    },
    '--io-threads': (v) => {
      o.ioThreads = +v
    },
    '--node': (v) => {
      o.node = v
    },
    '--name': (v) => {
      o.name = v
    },
    '--json': (v) => {
      o.json = v
    },
  }
  for (let i = 0; i < argv.length; i++) {
    const f = flags[argv[i]]
    if (!f) fail(`unknown option ${argv[i]} (see bench/README.md)`)
    if (f.length) {
      if (argv[i + 1] === undefined) fail(`${argv[i]} needs a value`)
      f(argv[++i])
    } else f()
  }
  // There is time for all peers in full mode only.
  o.engines ??= o.quick || o.growth ? ['upstream', 'native'] : Object.keys(peers)
  o.pairs ??= o.quick || o.growth || o.cluster ? 3 : 5
  o.duration ??= o.quick ? 0.7 : o.growth ? 1 : o.cluster ? 1.5 : 2
  // V8 of Node.js 24 compiles for longer than a second: with less, a row has the compiler's time in it.
  o.warmup ??= o.growth ? 0.4 : 2
  for (const k of ['pairs', 'duration', 'warmup']) if (!(o[k] > 0)) fail(`--${k} must be a positive number`)
  // With --growth, --rows names series, and with --cluster rows of its own.
  o.selected =
    o.rows && !o.growth && !o.cluster
      ? o.rows.map(
          (id) => rows.find((r) => r.id === id) || fail(`no row ${id}; there are: ${rows.map((r) => r.id).join(' ')}`),
        )
      : rows.filter((r) => !o.quick || r.quick)
  const peerOf = (e) => (e.includes('/') ? peers.at(e) : peers[e])
  const unknown = o.engines.find((e) => !peerOf(e))
  if (unknown) fail(`no engine ${unknown}; there are: ${Object.keys(peers).join(' ')}`)
  // An engine named twice is measured against itself: the noise of this machine.
  const seen = {}
  o.engines = o.engines.map((e) => {
    seen[e] = (seen[e] || 0) + 1
    return { id: seen[e] > 1 ? `${e}#${seen[e]}` : e, peer: peerOf(e) }
  })
  // The reference comes first in the table.
  o.engines.sort((a, b) => (b.id === o.reference) - (a.id === o.reference))
  return o
}

/** Does all this on another Node.js. Its folder comes first in PATH, so that npm builds what belongs to it. */
function again(program) {
  const env = { ...process.env, PATH: `${path.dirname(program)}:${process.env.PATH}` }
  const { status, error } = spawnSync(program, process.argv.slice(1), { stdio: 'inherit', env })
  if (error) throw error
  process.exitCode = status ?? 1
}

async function main() {
  const o = options(process.argv.slice(2))
  if (o.list) {
    for (const r of rows) console.log(`${r.id.padEnd(16)} ${r.quick ? 'quick ' : '      '} ${r.title}`)
    for (const [id, p] of Object.entries(peers)) console.log(`engine ${id.padEnd(13)} ${p.title}`)
    return
  }
  if (process.platform !== 'linux') fail('the benchmark reads Linux per-thread CPU counters and needs Linux')
  try {
    const program = install.node(o.node)
    if (program !== process.execPath) return again(program)
    if (o.build) install.repo()
  } catch (e) {
    fail(`setting up: ${e.message}`)
  }
  buildLoadgen()
  if (o.growth) return require('./growth').run(o)
  if (o.cluster) return require('./cluster').run(o)

  const result = {
    date: new Date().toISOString(),
    quick: o.quick,
    pairs: o.pairs,
    warmup: o.warmup,
    duration: o.duration,
    reference: o.reference,
    pin: o.pin,
    ioThreads: o.ioThreads,
    machine: machine(),
    engines: {},
    unavailable: {},
    rows: [],
  }
  // Engines that do not start are named, and the others run.
  const able = []
  for (const e of o.engines) {
    result.engines[e.id] = e.peer.title
    try {
      progress(`preparing ${e.id}`)
      await tryEngine(o, e)
      able.push(e)
    } catch (err) {
      result.unavailable[e.id] = err.message
      console.error(`\nnot available: ${e.id} (${e.peer.title}): ${err.message}`)
    }
  }
  progress('')
  o.engines = able
  if (!able.length) fail('no engine starts')
  if (!able.some((e) => e.id === o.reference)) console.error(`without ${o.reference} there are no ratios`)

  // Estimates to begin with, corrected by what runs really take.
  const pairsOf = (r) => (r.kind === 'memory' || r.long ? Math.min(o.pairs, 3) : o.pairs)
  const guess = (r) =>
    r.kind === 'memory'
      ? o.quick
        ? 1.8
        : 4
      : times(o, r).warmup + times(o, r).duration + 0.3 + (r.load.conns || 0) / 5000
  const took = {}
  const began = Date.now()
  const leftFrom = (ri, done) =>
    o.selected.slice(ri).reduce((sum, r, k) => {
      const runs = Math.max(0, pairsOf(r) * able.filter((e) => e.peer.can(r)).length - (k ? 0 : done))
      return sum + runs * (took[r.id] || guess(r))
    }, 0)

  for (const [ri, row] of o.selected.entries()) {
    const runs = {}
    for (const e of able) runs[e.id] = e.peer.can(row) ? { samples: [] } : { error: 'does not apply' }
    let done = 0
    const planned = pairsOf(row)
    const limit = able.length > 2 ? Math.ceil(1.4 * planned) : 2 * planned
    // When other processes disturbed a round, more rounds are run (not in quick mode, at most as many again, fewer with many peers) and
    // the least disturbed ones count. The choice looks at the foreign load only, never at the result.
    const disturbed = () => rounds(able, runs).filter((x) => x > QUIET).length
    for (
      let p = 0;
      p < planned || (!o.quick && row.kind === 'message' && p < limit && p - disturbed() < planned);
      p++
    ) {
      // A B, B A, A B ...: going first or second must not favour anybody.
      for (const e of p % 2 ? [...able].reverse() : able) {
        const mine = runs[e.id]
        if (mine.error) {
          if (e.peer.can(row)) done++
          continue
        }
        progress(
          `[${ri + 1}/${o.selected.length}] ${row.id}: pair ${p + 1}/${planned}${p >= planned ? ' (extra: the machine was busy)' : ''}, ${e.id}; ${seconds(leftFrom(ri, done))} left`,
        )
        const t = Date.now()
        try {
          mine.samples.push(await (row.kind === 'memory' ? runMemory : runMessages)(o, row, e))
        } catch (err) {
          mine.error = err.message // one bad run spoils the row: a figure that hides errors is worth nothing
        }
        took[row.id] = Math.max(took[row.id] || 0, (Date.now() - t) / 1000)
        done++
      }
    }
    keepQuietest(able, runs, planned)
    const entry = { ...row, engines: summarise(o, row, runs), samples: {} }
    for (const e of able) entry.samples[e.id] = runs[e.id].samples || []
    result.rows.push(entry)
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[2K')
  }
  result.tookSeconds = Math.round((Date.now() - began) / 1000)

  console.log(report.table(result))
  const name = o.name || `local-${result.date.slice(0, 19).replace(/[:T]/g, '-')}`
  const files = report.write(result, name, o.json && path.resolve(o.json))
  console.log(
    `\n${seconds(result.tookSeconds)}. Written: ${files.map((f) => path.relative(process.cwd(), f)).join(', ')}`,
  )
  const failed = result.rows.flatMap((r) =>
    Object.entries(r.engines)
      .filter(([, s]) => s.error && s.error !== 'does not apply')
      .map(([e]) => `${r.id}/${e}`),
  )
  if (failed.length) {
    console.error(`failed: ${failed.join(', ')}`)
    process.exitCode = 1
  }
}

main().catch((e) => {
  console.error(e)
  process.exitCode = 1
})
