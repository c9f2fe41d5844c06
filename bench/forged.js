'use strict'
// node bench/forged.js: what it costs to see that no process has made an id, alone, and as the difference that `cluster` makes
// to a request with such an id. Requests with and without it take turns in one process, because whole processes, which the
// rows of `--cluster` measure, differ from round to round by more than this.
const fs = require('fs')
const http = require('http')
const net = require('net')
const os = require('os')
const path = require('path')
const { randomBytes } = require('crypto')
const { once } = require('events')
const { Server, attach } = require('..')
const { kState } = require('../lib/base/symbols')

const DECISIONS = 1_000_000
const CONNECTIONS = 16
/** Requests of a turn, and pairs of turns. Those of the first pairs are not counted: V8 compiles. */
const TURN = 1600
const PAIRS = 100
const WARMUP = 30
const RATE = 20_000

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-bench-'))
const other = new Server({ cluster: { directory } })
const ids = Array.from({ length: 1000 }, () => randomBytes(15).toString('base64url'))

/** Nanoseconds for each of many ids. */
function decide(cluster) {
  const begin = process.hrtime.bigint()
  for (let i = 0; i < DECISIONS; i++) cluster.peerOf(ids[i % ids.length])
  return Number(process.hrtime.bigint() - begin) / DECISIONS
}

/** A server with these options, and connections to it. */
async function open(options) {
  const server = http.createServer().listen(0, '127.0.0.1')
  const engine = attach(server, options)
  await once(server, 'listening')
  const sockets = Array.from({ length: CONNECTIONS }, () => net.connect(server.address().port, '127.0.0.1'))
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  return { server, engine, sockets }
}

/** Microseconds of CPU of the whole process for each of the requests of a turn, those of the client included. */
async function turn({ sockets }) {
  const begin = process.cpuUsage()
  await Promise.all(sockets.map((socket) => ask(socket, TURN / CONNECTIONS)))
  const { user, system } = process.cpuUsage(begin)
  return (user + system) / TURN
}

/** Sends requests with forged ids, each after the answer to the one before. */
async function ask(socket, count) {
  for (let i = 0; i < count; i++) {
    socket.write(
      `GET /engine.io/?EIO=4&transport=polling&sid=${ids[i % ids.length]} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    )
    let answer = ''
    while (!answer.endsWith('}\r\n0\r\n\r\n')) answer += (await once(socket, 'data'))[0].toString('latin1')
    if (!answer.startsWith('HTTP/1.1 400 ')) throw new Error(`expected the status 400, got ${answer}`)
  }
}

/** The values below which these parts of all lie. */
const quantiles = (values, parts) => {
  const sorted = [...values].sort((a, b) => a - b)
  return parts.map((part) => sorted[Math.round((sorted.length - 1) * part)])
}

const share = (us) => `${((us * RATE) / 10_000).toFixed(1)} %`

async function main() {
  const [plain, member] = [await open({}), await open({ cluster: { directory } })]
  const { cluster } = member.engine[kState]
  const costs = []
  for (let pair = 0; pair < WARMUP + PAIRS; pair++) {
    const order = pair % 2 === 0 ? [plain, member] : [member, plain]
    const taken = new Map()
    for (const one of order) taken.set(one, await turn(one))
    if (pair >= WARMUP) costs.push([taken.get(plain), taken.get(member)])
  }
  const asked = (WARMUP + PAIRS) * TURN
  if (cluster.counts.forged !== asked) throw new Error(`expected ${asked} forged ids, got ${cluster.counts.forged}`)
  const [without] = quantiles(
    costs.map(([before]) => before),
    [0.5],
  )
  const [low, middle, high] = quantiles(
    costs.map(([before, after]) => after - before),
    [0.25, 0.5, 0.75],
  )
  const [least, median, most] = quantiles(
    Array.from({ length: 5 }, () => decide(cluster)),
    [0, 0.5, 1],
  )
  console.log(`Node ${process.versions.node}`)
  console.log(`to see that an id is forged: ${median.toFixed(0)} ns (${least.toFixed(0)} to ${most.toFixed(0)})`)
  console.log(
    `a request with such an id and its answer, both sides: ${without.toFixed(1)} us; with cluster ${middle.toFixed(2)} us more (half of the pairs: ${low.toFixed(2)} to ${high.toFixed(2)})`,
  )
  console.log(`at ${RATE} a second: ${share(middle)} of a core (${share(low)} to ${share(high)})`)
  for (const { server, engine, sockets } of [plain, member]) {
    for (const socket of sockets) socket.destroy()
    engine.close()
    server.close()
  }
  other.close()
  fs.rmSync(directory, { recursive: true, force: true })
}

main()
