'use strict'

// Chaos: node __test__/chaos/run.js [--seed N] [--seconds 60] [--doors attach,https,handle,native] [--no-compare]
//
// Honest and hostile clients at once on the real addon, and an application that closes, throws, blocks, collects garbage,
// keeps old objects and calls them, and restarts servers. Everything random comes from the seed; what threads and the
// network make of it does not, so a seed that failed may have to be run more than once. The last lines tell what was
// done and what was found; the exit code is 1 if an invariant broke. ENGINE=upstream runs it on the original, whose
// application then throws nothing, because the original does not survive that.

const { fork } = require('node:child_process')
const path = require('node:path')
const { visit } = require('./honest')
const { attack } = require('./hostile')
const { Random } = require('./random')

const args = process.argv.slice(2)
const option = (name, otherwise) => (args.includes(`--${name}`) ? args[args.indexOf(`--${name}`) + 1] : otherwise)
const seed = option('seed', String(Date.now() % 1_000_000))
const seconds = Number(option('seconds', '60'))
const original = process.env.ENGINE === 'upstream'
const doors = option('doors', original ? 'attach,https,handle' : 'attach,https,handle,native').split(',')

const HONEST = 24
const HOSTILE = 16

/** The server's pingInterval and pingTimeout, together and twice: no session may be without a client for longer. */
const LIMIT = 10_000

/** What may be more after the load than before it. MiB: the heaps' spare room. */
const MAX_HEAP = 8
const MAX_RSS = 96

/** How much longer than the original's a stop of the event loop may be, in ms, beside twice as long. */
const STALL_SPARE = 30

const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

class Server {
  constructor(engine) {
    this.calls = new Map()
    this.lastId = 0
    const options = {
      seed,
      doors: engine === 'upstream' ? doors.filter((door) => door !== 'native') : doors,
      throws: engine !== 'upstream',
    }
    this.process = fork(path.join(__dirname, 'server.js'), [JSON.stringify(options)], {
      env: { ...process.env, ENGINE: engine },
    })
    this.ready = new Promise((resolve, reject) => {
      this.process.on('message', (message) => {
        if (message.ready) return resolve((this.ports = message.ports))
        this.calls.get(message.id)(message.value)
        this.calls.delete(message.id)
      })
      this.process.on('exit', (code, signal) => {
        this.gone = `the server's process ended: ${signal || code}`
        reject(new Error(this.gone))
        for (const settle of this.calls.values()) settle(undefined)
      })
    })
  }

  ask(what) {
    if (this.gone) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      const id = ++this.lastId
      this.calls.set(id, resolve)
      this.process.send({ id, what })
    })
  }
}

/** Clients for so long. Resolves when all have gone. */
async function load(server, phase, ms, tell, totals, unexpected) {
  const until = performance.now() + ms
  const names = Object.keys(server.ports)
  const crowd = async (kind, index, one) => {
    const random = new Random(`${seed} ${phase} ${kind}${index}`)
    for (let turn = 0; performance.now() < until && !server.gone; turn++) {
      const door = random.pick(names)
      // a name says whose side it is on by its first letter
      const name = `${kind}${phase}-${index}-${turn}`
      await one({ random, door, port: server.ports[door], name, until, tell, totals, unexpected })
      await delay(random.below(50))
    }
  }
  const all = []
  for (let i = 0; i < HONEST; i++) all.push(crowd('h', i, visit))
  for (let i = 0; i < HOSTILE; i++) all.push(crowd('x', i, attack))
  await Promise.all(all)
}

/**
 * What the server uses once it has no more descriptors than before. A connection may outlive its session for 30 s, if the
 * client has ended its side and does not read (docs/RELIABILITY.md, Not promised).
 */
async function released(server, descriptors) {
  const until = Date.now() + 35_000
  for (;;) {
    const usage = await server.ask('usage')
    if (usage === undefined || usage.descriptors <= descriptors || Date.now() > until) return usage
    await delay(500)
  }
}

async function settled(server) {
  const end = performance.now() + LIMIT + 4000
  for (;;) {
    const report = await server.ask('report')
    if (!report) return undefined
    const done =
      report.live.length === 0 && report.sessions === 0 && report.unanswered.length === 0 && report.restarting === 0
    if (done || performance.now() > end) return report
    await delay(200)
  }
}

async function run(engine, ms) {
  const found = []
  const tell = (text) => found.length < 50 && found.push(text)
  const totals = { sessions: 0, upgrades: 0, messages: 0, refused: 0, attacks: {} }
  const unexpected = []
  const server = new Server(engine)
  await server.ready

  // memory grows to its working size first
  await server.ask('start')
  await load(server, 'w', ms / 4, tell, totals, unexpected)
  await server.ask('stop')
  await settled(server)
  const before = await server.ask('usage')

  await server.ask('start')
  await load(server, 'm', ms * 0.75, tell, totals, unexpected)
  await server.ask('stop')
  const report = await settled(server)
  const after = await released(server, before.descriptors)
  if (!report) {
    tell(server.gone)
    return { engine, found, totals }
  }

  found.push(...report.violations)
  const ended = new Set(report.ended)
  for (const { name, who, reason } of unexpected)
    if (!ended.has(name)) tell(`${who} was closed (${reason}), and nobody wanted that`)
  for (const one of report.live.slice(0, 5)) tell(`open ${LIMIT} ms after its last client: ${one}`)
  if (report.sessions > 0) tell(`clientsCount is ${report.sessions}`)
  if (report.known > 0) tell(`${report.known} sessions are in clients`)
  if (report.counts.opened !== report.counts.closed)
    tell(`${report.counts.opened} connections and ${report.counts.closed} closes`)
  for (const what of report.unanswered.slice(0, 5)) tell(`never answered: ${what}`)
  if (after.descriptors > before.descriptors)
    tell(`descriptors: ${before.descriptors} before, ${after.descriptors} after`)
  if (after.threads > before.threads) tell(`threads: ${before.threads} before, ${after.threads} after`)
  if (after.heap > before.heap + MAX_HEAP)
    tell(`heap: ${before.heap.toFixed(1)} MiB before, ${after.heap.toFixed(1)} after`)
  if (after.rss > before.rss + MAX_RSS)
    tell(`resident: ${before.rss.toFixed(1)} MiB before, ${after.rss.toFixed(1)} after`)
  server.process.kill()
  return { engine, found, totals, report, before, after }
}

function show({ engine, found, totals, report, before, after }) {
  const attacks = Object.values(totals.attacks).reduce((sum, count) => sum + count, 0)
  console.log(
    `\n${engine}: ${totals.sessions} honest sessions, ${totals.upgrades} upgrades, ${totals.messages} messages checked, ${attacks} attacks`,
  )
  console.log(
    `  attacks: ${Object.entries(totals.attacks)
      .map(([kind, count]) => `${kind} ${count}`)
      .join(', ')}`,
  )
  if (report) {
    console.log(
      `  application: ${Object.entries(report.counts)
        .map(([what, count]) => `${what} ${count}`)
        .join(', ')}`,
    )
    console.log(
      `  close reasons: ${Object.entries(report.reasons)
        .map(([why, count]) => `${why} ${count}`)
        .join(', ')}`,
    )
    console.log(
      `  event loop: p99 ${report.stalls.p99.toFixed(1)} ms, p99.9 ${report.stalls.p999.toFixed(1)}, longest ${report.stalls.max.toFixed(1)}`,
    )
    const pair = (what) => `${what} ${before[what].toFixed(0)} to ${after[what].toFixed(0)}`
    console.log(`  ${['descriptors', 'threads', 'heap', 'rss'].map(pair).join(', ')}`)
  }
  for (const text of found) console.log(`  BROKEN: ${text}`)
}

async function main() {
  const engines = original ? ['upstream'] : args.includes('--no-compare') ? ['native'] : ['upstream', 'native']
  let failed = 0
  const results = {}
  for (const engine of engines) {
    // the original is there for its stalls only: what it breaks is its own affair
    const share = engines.length === 1 ? 1 : engine === 'native' ? 0.7 : 0.3
    const result = (results[engine] = await run(engine, seconds * 1000 * share))
    show(result)
    if (engine === 'native' || original) failed += result.found.length
  }
  const { upstream, native } = results
  if (upstream && native && upstream.report && native.report) {
    const bound = 2 * upstream.report.stalls.p999 + STALL_SPARE
    if (native.report.stalls.p999 > bound) {
      failed++
      console.log(
        `  BROKEN: the event loop stops for ${native.report.stalls.p999.toFixed(1)} ms (p99.9), the bound is ${bound.toFixed(1)}`,
      )
    }
  }
  if (failed > 0)
    console.log(`\nreplay: node __test__/chaos/run.js --seed ${seed} --seconds ${seconds} --doors ${doors.join(',')}`)
  console.log(`\nchaos: ${failed === 0 ? 1 : 0} passed, ${failed} failed (seed ${seed})`)
  process.exit(failed === 0 ? 0 : 1)
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
