'use strict'

// The server under chaos, in a process of its own: several engines, each behind another way in, with an application
// that echoes, pushes, closes, throws, blocks, collects garbage, keeps old objects and uses them, and restarts servers.
// The parent process asks for phases by messages and gets what was counted.

const fs = require('node:fs')
const http = require('node:http')
const https = require('node:https')
const { monitorEventLoopDelay } = require('node:perf_hooks')
const { setFlagsFromString } = require('node:v8')
const { runInNewContext } = require('node:vm')
const { engine: eio, upstream } = require('../support/engine')
const tls = require('../fixtures/tls')
const { Random } = require('./random')

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc')

const { seed, doors: wanted, throws } = JSON.parse(process.argv[2])
const random = new Random(`${seed} server`)

const OPTIONS = {
  pingInterval: 1000,
  pingTimeout: 4000,
  upgradeTimeout: 3000,
  maxHttpBufferSize: 1_000_000,
  allowEIO3: true,
}

/** The most closed sessions that the application keeps and uses. */
const KEPT = 200

/** A stop of the event loop that the application makes by itself, in ms. */
const MAX_BLOCK = 50

const counts = {
  opened: 0,
  closed: 0,
  messages: 0,
  pushes: 0,
  thrown: 0,
  blocked: 0,
  collected: 0,
  oldCalls: 0,
  oldErrors: 0,
  cut: 0,
  restarts: 0,
  requests: 0,
}
const violations = new Map()
const reasons = {}

/** Names of honest sessions that this process has ended on purpose. */
const ended = new Set()

/** Requests that have not been answered and whose connection has not ended. */
const unanswered = new Set()
const watched = new WeakSet()
const live = new Set()
const old = []
let restarting = 0
let running = false

class Planned extends Error {}

process.on('uncaughtException', (error) => {
  if (!(error instanceof Planned)) violate(`uncaught: ${error.stack}`)
})
process.on(
  'unhandledRejection',
  (error) => error instanceof Planned || violate(`unhandled rejection: ${error && error.stack}`),
)
process.on('disconnect', () => process.exit(1))

/** Notes what broke: the first of those with the same first line whole, of the others the number. */
function violate(text) {
  const key = text.split('\n', 1)[0]
  const known = violations.get(key)
  if (known !== undefined) known.times++
  else if (violations.size < 100) violations.set(key, { text, times: 1 })
}

// ---- the application ---------------------------------------------------------------------------

function serve(engine, door) {
  engine.on('connection', (socket) => {
    counts.opened++
    const name = new URL(socket.request.url, 'http://x').searchParams.get('name')
    const honest = name !== null && name.startsWith('h')
    const session = { socket, door, name, honest, closes: 0, pushed: 0, transports: new Set([socket.transport]) }
    live.add(session)
    // its handshake was on its way when its server was closed
    if (honest && open[door].engine === engine && open[door].closing) ended.add(name)
    socket.on('upgrading', (transport) => session.transports.add(transport))
    socket.on('message', (data) => {
      counts.messages++
      if (session.closes > 0) violate(`${door}: ${name} has a message after its close`)
      const text = String(data)
      if (text.startsWith('OLD')) violate(`${door}: ${name} got what was sent on a closed session`)
      if (honest && !text.startsWith(`${name}|`)) violate(`${door}: ${name} got "${text.slice(0, 40)}"`)
      if (!honest && text.startsWith('h')) violate(`${door}: a hostile session got "${text.slice(0, 40)}"`)
      socket.send(data)
      if (honest) return misbehaveGently()
      provoke(session)
    })
    socket.on('close', (reason) => {
      if (++session.closes > 1) violate(`${door}: ${name} closed ${session.closes} times, now "${reason}"`)
      counts.closed++
      reasons[reason] = (reasons[reason] || 0) + 1
      live.delete(session)
      if (old.length === KEPT) old.splice(random.below(KEPT), 1)
      old.push(session)
      if (throws && random.chance(0.02)) throwPlanned()
    })
    if (throws && !honest && random.chance(0.05)) throwPlanned()
  })
}

function throwPlanned() {
  counts.thrown++
  throw new Planned('a listener of the application throws')
}

/** What an application does to everybody's disadvantage, but to nobody's harm. */
function misbehaveGently() {
  if (random.chance(0.0004)) block(random.below(MAX_BLOCK))
  if (random.chance(0.0002)) {
    counts.collected++
    gc()
  }
  if (throws && random.chance(0.002)) throwPlanned()
}

function block(ms) {
  counts.blocked++
  const end = performance.now() + ms
  while (performance.now() < end);
}

/** What the application does to a hostile client's session, in the midst of its message. */
function provoke({ socket }) {
  const use = random.pick(PROVOCATIONS)
  counts.cut++
  try {
    use(socket)
  } catch {
    counts.oldErrors++
  }
}

const PROVOCATIONS = [
  (socket) => socket.close(),
  (socket) => socket.close(true),
  (socket) => socket.transport.close(),
  (socket) => socket.request.socket && socket.request.socket.destroy(),
  (socket) => socket.request.socket && socket.request.socket.destroy(new Error("the application's")),
  (socket) => socket.request.socket && socket.request.socket.end(),
  (socket) => socket.transport.socket && socket.transport.socket.close(),
  (socket) => socket.transport.socket && socket.transport.socket.terminate && socket.transport.socket.terminate(),
  (socket) => Array.from({ length: 20 }, (_, i) => socket.send(`more ${i}`)),
  (socket) => socket.send(Buffer.alloc(90_000)),
  (socket) => setImmediate(() => socket.close()),
  (socket) => delete socket.request,
  (socket) => socket.removeAllListeners('drain'),
  () => {},
]

/** What an application may still call on a session that is over, none of which may have an effect. */
const LATE = [
  ({ socket }) => socket.send('OLD message'),
  ({ socket }) => socket.write('OLD message', () => {}),
  ({ socket }) => socket.send(Buffer.from('OLD binary')),
  ({ socket }) => socket.close(),
  ({ socket }) => socket.close(true),
  ({ socket }) => socket.flush(),
  ({ socket }) => socket.readyState + socket.transport.name + socket.transport.writable,
  ({ socket }) => socket.bufferedAmount,
  ({ transport }) => transport.send([{ type: 'message', data: 'OLD packet' }]),
  ({ transport }) => transport.close(),
  ({ transport }) => transport.discard(),
  ({ transport }) => transport.socket && transport.socket.send('4OLD frame'),
  ({ transport }) => transport.socket && transport.socket.close(),
  ({ transport }) => transport.socket && transport.socket.terminate(),
  ({ transport }) => transport.socket && transport.socket.ping && transport.socket.ping(),
  ({ stream }) => stream && stream.write('OLD bytes'),
  ({ stream }) => stream && stream.end('OLD end'),
  ({ stream }) => stream && stream.destroy(),
  ({ stream }) => stream && stream.destroySoon && stream.destroySoon(),
  ({ stream }) => stream && stream.setTimeout(1),
  ({ stream }) => stream && stream.setNoDelay && stream.setNoDelay(true),
  ({ stream }) => stream && stream.setKeepAlive && stream.setKeepAlive(true),
  ({ stream }) => stream && stream.resume() && stream.pause(),
]

function useOldObjects() {
  for (let i = 0; i < 10 && old.length > 0; i++) {
    const { socket, transports } = random.pick(old)
    const transport = random.pick([...transports])
    const ws = transport.socket
    // a stream may carry the polls of many sessions: only a WebSocket's belongs to its session alone
    const stream = ws && (ws._socket || (socket.request && socket.request.websocket === ws && socket.request.socket))
    counts.oldCalls++
    try {
      random.pick(LATE)({ socket, transport, stream })
    } catch {
      counts.oldErrors++
    }
  }
}

function pushToSome() {
  for (const session of live) {
    if (!session.honest || !random.chance(0.1) || session.socket.readyState !== 'open') continue
    counts.pushes++
    session.socket.send(`${session.name}|p|${session.pushed++}`)
  }
}

/** Ends some honest sessions in good order: what was sent before must arrive. */
function closeSome() {
  for (const session of live) {
    if (!session.honest || !random.chance(0.005) || session.socket.readyState !== 'open') continue
    ended.add(session.name)
    session.socket.send(`${session.name}|bye|${session.pushed}`)
    session.socket.close()
  }
}

// ---- the doors ---------------------------------------------------------------------------------

function count(server) {
  server.on('request', (req, res) => {
    counts.requests++
    const entry = { what: `${req.method} ${req.url}`, socket: req.socket }
    unanswered.add(entry)
    res.on('close', () => unanswered.delete(entry))
    // a response that waits behind another one of its connection hears nothing of its end
    if (!watched.has(req.socket)) {
      watched.add(req.socket)
      req.socket.once('close', () => unanswered.forEach((one) => one.socket === req.socket && unanswered.delete(one)))
    }
  })
  server.on('clientError', (error, socket) => socket.destroy())
}

const listening = (server, port) =>
  new Promise((resolve, reject) =>
    server.once('error', reject).listen(port, '127.0.0.1', () => resolve(server.address().port)),
  )

const DOORS = {
  async attach(port) {
    const server = http.createServer((req, res) => res.writeHead(404).end())
    count(server)
    const engine = eio.attach(server, {
      ...OPTIONS,
      perMessageDeflate: { threshold: 20 },
      httpCompression: { threshold: 20 },
    })
    serve(engine, 'attach')
    return { server, engine, port: await listening(server, port) }
  },
  async https(port) {
    const server = https.createServer(tls, (req, res) => res.writeHead(404).end())
    count(server)
    const engine = eio.attach(server, OPTIONS)
    serve(engine, 'https')
    return { server, engine, port: await listening(server, port) }
  },
  /** By hand, and nobody gets in without a while of thinking. */
  async handle(port) {
    const server = http.createServer()
    count(server)
    const allowRequest = (req, decide) => setTimeout(decide, random.below(20), null, !req.url.includes('forbidden'))
    const engine = new eio.Server({ ...OPTIONS, allowRequest })
    server.on('request', (req, res) => engine.handleRequest(req, res))
    server.on('upgrade', (req, socket, head) => engine.handleUpgrade(req, socket, head))
    serve(engine, 'handle')
    return { server, engine, port: await listening(server, port) }
  },
  /** The listener in Rust; the original has none, and takes the option for nothing. */
  async native(port) {
    const engine = eio.listen({ port, host: '127.0.0.1' }, { ...OPTIONS, listener: 'native' })
    const server = engine.httpServer
    serve(engine, 'native')
    await new Promise((resolve) => server.once('listening', resolve))
    return { server, engine, port: server.address().port }
  },
}

const open = {}

/** Ends one server with everything that is on it, and starts another at the same port. */
async function restart(door) {
  restarting++
  counts.restarts++
  const { server, engine, port } = open[door]
  open[door].closing = true
  for (const session of live) if (session.honest && session.door === door) ended.add(session.name)
  engine.close()
  const closed = new Promise((resolve) => server.close(resolve))
  const late = setTimeout(() => server.closeAllConnections && server.closeAllConnections(), 500)
  const stuck = setTimeout(() => violate(`${door}: httpServer.close() does not call back`), 10_000)
  await closed
  clearTimeout(late)
  clearTimeout(stuck)
  await new Promise((resolve) => setTimeout(resolve, 50))
  // handshakes that a hook was thinking about have come through meanwhile
  engine.close()
  await new Promise((resolve) => setTimeout(resolve, 50))
  const left = [...live].filter((session) => session.door === door && session.socket.server === engine)
  if (left.length > 0) violate(`${door}: ${left.length} sessions outlive their server's close`)
  if (engine.clientsCount !== 0) violate(`${door}: clientsCount is ${engine.clientsCount} after the server's close`)
  open[door] = await DOORS[door](port)
  restarting--
}

// ---- the parent's wishes -----------------------------------------------------------------------

const delays = monitorEventLoopDelay({ resolution: 5 })
let timers = []

function start() {
  running = true
  delays.reset()
  delays.enable()
  timers = [
    setInterval(pushToSome, 20),
    setInterval(useOldObjects, 7),
    setInterval(closeSome, 100),
    setInterval(() => running && restarting === 0 && restart(random.pick(wanted)), 6000),
  ]
}

function stop() {
  running = false
  delays.disable()
  timers.forEach(clearInterval)
}

function usage() {
  old.length = 0
  gc()
  gc()
  const status = fs.existsSync('/proc/self/status') ? fs.readFileSync('/proc/self/status', 'utf8') : ''
  const folder = (name) => (status === '' ? 0 : fs.readdirSync(`/proc/self/${name}`).length)
  return {
    descriptors: folder('fd'),
    threads: folder('task'),
    rss: process.memoryUsage().rss / 2 ** 20,
    heap: process.memoryUsage().heapUsed / 2 ** 20,
  }
}

/** Tells what a session is that should have ended. */
function tell({ socket, door, transports }) {
  const { readyState, protocol, upgrading, upgraded, writeBuffer, transport, request } = socket
  const ways = [...transports].map((one) => `${one?.name} ${one?.readyState}${one?.discarded ? ', discarded' : ''}`)
  const state = {
    readyState,
    protocol,
    upgrading,
    upgraded,
    waiting: writeBuffer.length,
    writable: transport?.writable,
  }
  return `${door}: ${request?.method} ${request?.url}, ${ways.join(', ')} ${JSON.stringify(state)}`
}

function report() {
  const sessions = Object.values(open).reduce((sum, { engine }) => sum + engine.clientsCount, 0)
  const known = Object.values(open).reduce((sum, { engine }) => sum + Object.keys(engine.clients).length, 0)
  return {
    counts,
    reasons,
    violations: [...violations.values()].map(({ text, times }) => (times === 1 ? text : `${times} times: ${text}`)),
    ended: [...ended],
    live: [...live].map(tell),
    sessions,
    known,
    unanswered: [...unanswered].map(({ what }) => what),
    restarting,
    stalls: { max: delays.max / 1e6, p999: delays.percentile(99.9) / 1e6, p99: delays.percentile(99) / 1e6 },
  }
}

const answers = { start, stop, usage, report }

process.on('message', ({ id, what }) => process.send({ id, value: answers[what]() }))

async function main() {
  const ports = {}
  for (const door of wanted) {
    open[door] = await DOORS[door](0)
    ports[door] = open[door].port
  }
  process.send({ ready: true, ports, upstream })
}

main()
