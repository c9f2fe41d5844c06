'use strict'

// One process of a cluster: an echo server that tells its parent what happens. It takes its options from MEMBER.

const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const http2 = require('node:http2')
const https = require('node:https')
const path = require('node:path')
const cluster = require('node:cluster')
const { Server } = require('../..')
const { kState } = require('../../lib/base/symbols')
const { makeBus } = require('./buses')

const {
  host = '127.0.0.1',
  port = 0,
  tls,
  options,
  hooks,
  ids,
  bus,
  replaced,
  socketio,
  health,
  stays,
  carries,
} = JSON.parse(process.env.MEMBER)
// as on Windows: no descriptors are passed
if (carries) require('../../lib/cluster/passages').passing.isPossible = false
if (bus) options.cluster.bus = makeBus(bus)
const file = (name) => fs.readFileSync(path.join(__dirname, '../fixtures/tls', name))
const httpServer = tls ? makeSecureServer() : http.createServer()
if (health) httpServer.on('request', (req, res) => req.url === '/' && res.end())
// the parent may have gone
const tell = (event, fields) => process.send?.({ event, pid: process.pid, ...fields }, () => {})

const engine = new Server({ ...options, allowRequest: hooks && allowRequest })
if (hooks) {
  engine.use((req, res, next) => {
    tell('middleware', { method: req.method, sid: req._query.sid, upgrade: req.headers.upgrade })
    res.setHeader('X-Middleware', String(process.pid))
    next()
  })
  engine.on('headers', (headers) => {
    headers['X-Headers'] = String(process.pid)
  })
}
process.on('warning', ({ code, name, message }) => tell('warning', { code, name, message }))
if (replaced === 'response') {
  let count = 0
  engine.use((req, res, next) => {
    const { end, writeHead } = res
    res.writeHead = function (status, headers) {
      headers[`X-Count-${++count}`] = 'a'
      return writeHead.call(this, status, headers)
    }
    res.end = function (...args) {
      tell('end', { method: req.method, sid: req._query.sid, body: String(args[0]) })
      return end.apply(this, args)
    }
    next()
  })
}
if (replaced === 'heard') {
  engine.on('headers', (headers, req) => {
    const { method } = req
    if (req._query.sid === undefined) return
    for (const event of ['end', 'close', 'aborted']) req.on(event, () => tell(`request ${event}`, { method }))
  })
}
function makeSecureServer() {
  const options = { key: file('key.pem'), cert: file('cert.pem') }
  return tls === 'http2' ? http2.createSecureServer({ ...options, allowHTTP1: true }) : https.createServer(options)
}

let lastId = 0
if (ids === 'own') engine.generateId = () => `own-${process.pid}-${++lastId}`
if (ids === 'wanted') engine.generateId = (req) => req._query.wanted
// a listener for which sessions do not move to where their upgrade comes in
if (stays) engine.on('headers', () => {})
engine.attach(httpServer)
const io = socketio && attachSocketIo(socketio)

function allowRequest(req, done) {
  tell('allowRequest')
  done(null, true)
}

engine.on('connection', (socket) => {
  tell('connection', { sid: socket.id, clients: engine.clientsCount })
  if (replaced === 'onDataRequest') socket.transport.onDataRequest = readPost
  socket.on('message', (data) => socket.send(data))
  socket.on('upgrade', (transport) =>
    tell('upgrade', { sid: socket.id, transport: transport.name, address: transport.socket._socket.remoteAddress }),
  )
  socket.on('close', (reason, description) =>
    tell('close', { sid: socket.id, reason, why: String(description?.message ?? description) }),
  )
})

/** Serves clients of Socket.IO besides, as a member of another cluster. */
function attachSocketIo(cluster) {
  require('../socketio/use-engine')
  const { Server } = require('socket.io')
  const io = new Server(httpServer, { ...options, cluster: { ...cluster, bus: bus && makeBus(bus) } })
  io.on('connection', (socket) => socket.on('echo', (number, bytes, done) => done([number, bytes])))
  return io
}

function readPost(req, res) {
  let body = ''
  req.setEncoding('utf8')
  req.on('data', (text) => (body += text))
  req.on('end', () => {
    this.onData(body)
    // the stream is closed by then
    setImmediate(() => setImmediate(() => res.writeHead(200, { 'Content-Type': 'text/html' }).end('read')))
  })
}

engine.on('connection_error', ({ code, context, req }) =>
  tell('connection_error', { code, context: JSON.stringify(context), sid: req._query.sid }),
)

const commands = {
  metrics: () => engine.metrics().cluster,
  metricsOfSocketIo: () => io.engine.metrics().cluster,
  /** How many requests, and connections that move, wait for links that take no more. */
  unsent: () => {
    const links = [...engine[kState].cluster.links._all.values()]
    return [
      links.reduce((all, link) => all + link.unsent.size, 0),
      links.reduce((all, link) => all + link.unmoved.size, 0),
    ]
  },
  /** How many connections the HTTP server has. */
  connections: () => httpServer._connections,
  clients: () => Object.keys(engine.clients),
  nodes: () => engine.metrics().cluster.bus.nodes,
  issueId: () => engine[kState].cluster.issueId(),
  /** Whether another machine may have a session, as far as this process knows. */
  knows: ({ sid }) => engine[kState].cluster.nodes.knows(sid),
  /** How many sessions have a WebSocket, or a poll that waits: none of their connections is on its way. */
  settled: () =>
    Object.values(engine.clients).filter((socket) => socket.transport.name === 'websocket' || socket.transport.writable)
      .length,
  send: ({ sid, data }) => void engine.clients[sid].send(data),
  closeSession: ({ sid }) => void engine.clients[sid].close(),
  /** Keeps the event loop from going on. */
  block: ({ ms }) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms),
  close: () => {
    httpServer.close(() => tell('closed'))
    engine.close()
  },
  /** Ends in order, as the program of the docs does. */
  stop: (options) => {
    httpServer.close(() => tell('closed'))
    void engine.drain(options).then((outcome) => {
      engine.close()
      tell('drained', outcome)
    })
  },
  /** Ends by itself, when nothing keeps it any more. */
  end: () => {
    process.removeAllListeners('disconnect')
    commands.close()
    setImmediate(() => process.disconnect())
  },
  drain: (options) => void engine.drain(options).then((outcome) => tell('drained', outcome)),
  heap: () => {
    global.gc()
    return process.memoryUsage().heapUsed
  },
  exit: () => process.exit(),
  /** Makes a request from here, and gives the answer. */
  async request({ body, ...options }) {
    const req = http.request({ agent: false, ...options }).end(body)
    const [res] = await once(req, 'response')
    const text = Buffer.concat(await res.toArray()).toString()
    return { status: res.statusCode, headers: res.headers, body: text }
  },
}

process.on('message', async ({ command, number, ...args }) => {
  // others are messages of a bus
  if (command === undefined) return
  const result = commands[command](args)
  tell('result', { number, result: result instanceof Promise ? await result : result })
})

httpServer.listen(port, host, () => tell('listening', { port: httpServer.address().port }))

// a worker of Node's cluster ends with its primary by itself
if (!cluster.isWorker) process.on('disconnect', () => process.exit())
