'use strict'

// Machines of which one may take over sessions of another: they are servers of this process, on a bus that is in this
// process, too.

const assert = require('node:assert/strict')
const http = require('node:http')
const net = require('node:net')
const { Server } = require('../..')
const { defer, eventually, once } = require('../support')
const { KEY } = require('./bus-support')
const { clusterDirectory, openSession, post, target, upgrade } = require('./support')

/** A bus in this process. */
class Bus {
  constructor() {
    this.isDown = false
    /** The messages that have passed. */
    this.passed = 0
    /** Returns false for a message that is lost. */
    this.passes = () => true
    this._listeners = new Map()
  }

  publish(channel, message) {
    if (this.isDown || !this.passes(channel, message)) return
    this.passed++
    const bytes = Buffer.from(message)
    for (const listener of this._listeners.get(channel) ?? []) setImmediate(() => !this.isDown && listener(bytes))
  }

  subscribe(channel, listener) {
    if (!this._listeners.has(channel)) this._listeners.set(channel, new Set())
    this._listeners.get(channel).add(listener)
  }

  unsubscribe(channel, listener) {
    this._listeners.get(channel)?.delete(listener)
  }
}

/** A machine with one server, which echoes. `log` has its events, `sockets` its sessions by their ids. */
async function startMachine(bus, { cluster, ...options } = {}, prepare = () => {}) {
  const httpServer = http.createServer()
  const engine = new Server({ ...options, cluster: { bus, key: KEY, directory: clusterDirectory(), ...cluster } })
  const machine = { engine, httpServer, log: [], sockets: new Map() }
  engine.on('connection', (socket) => {
    machine.log.push(['connection', socket.id])
    machine.sockets.set(socket.id, socket)
    socket.on('message', (data) => {
      machine.log.push(['message', socket.id, data])
      socket.send(data)
    })
    socket.on('close', (reason) => machine.log.push(['close', socket.id, reason]))
  })
  engine.attach(httpServer)
  prepare(machine)
  await new Promise((resolve) => httpServer.listen(0, '127.0.0.1', resolve))
  defer(() => {
    engine.close()
    httpServer.closeAllConnections()
    httpServer.close()
  })
  machine.port = httpServer.address().port
  machine.bus = () => engine.metrics().cluster.bus
  /** Whether the application has heard of a session. */
  machine.hears = (sid) => machine.sockets.has(sid)
  return machine
}

/** Machines that know each other, the first of which has seen that its clients' requests come to others. */
async function startMachines(count, { options, prepare } = {}) {
  const bus = new Bus()
  const machines = []
  for (let i = 0; i < count; i++) machines.push(await startMachine(bus, options, prepare))
  for (const machine of machines) await eventually(() => machine.bus().nodes, count - 1)
  await seeForeign(machines[0], machines[1])
  return { bus, machines }
}

/** Has a request of an owner's session come to another machine. */
async function seeForeign(owner, front) {
  assert.equal((await post(front, await openSession(owner), '4a')).body, 'ok')
}

/**
 * Tries something with a session of which the application has not heard, until it is fast enough on a busy machine: it
 * returns undefined if it was not.
 */
async function whileUnheard(owner, attempt) {
  for (let tries = 0; tries < 50; tries++) {
    const sid = await openSession(owner)
    if (owner.hears(sid)) continue
    const result = await attempt(sid)
    if (result !== undefined) return result
  }
  throw new Error('this machine is too slow')
}

/** Has a session move from its opener to the machine where its upgrade comes in. */
async function claim(owner, front) {
  return whileUnheard(owner, async (sid) => {
    const websocket = await upgrade(front, sid)
    if (front.hears(sid)) return { sid, websocket }
    websocket.socket.destroy()
    return undefined
  })
}

/** What a machine's application has heard of a session. */
const heardOf = (machine, sid) => machine.log.filter((entry) => entry[1] === sid).map(([, , ...rest]) => rest)
const eventsOf = (machine, sid) => machine.log.filter((entry) => entry[1] === sid).map(([event]) => event)

/** What tells the application of a session, or of the request that opens it, apart from `connection`. */
const TELLS = {
  'a middleware': ({ engine }) => engine.use((req, res, next) => next()),
  allowRequest: ({ engine }) => {
    engine.opts.allowRequest = (req, done) => done(null, true)
  },
  headers: ({ engine }) => engine.on('headers', () => {}),
  initial_headers: ({ engine }) => engine.on('initial_headers', () => {}),
  flush: ({ engine }) => engine.on('flush', () => {}),
  drain: ({ engine }) => engine.on('drain', () => {}),
  'a replaced emit': ({ engine }) => {
    engine.emit = (...args) => Server.prototype.emit.apply(engine, args)
  },
  'a replaced generateId': ({ engine }) => {
    const { generateId } = engine
    engine.generateId = function (req) {
      return generateId.call(this, req)
    }
  },
  'a replaced verify': ({ engine }) => {
    engine.verify = (...args) => Server.prototype.verify.apply(engine, args)
  },
  'a subclass': ({ engine }) => Object.setPrototypeOf(engine, class extends Server {}.prototype),
  'a table of clients that is used': ({ engine }) => Object.keys(engine.clients),
  'another listener of the HTTP server': ({ httpServer }) => httpServer.on('request', () => {}),
  'a second HTTP server': ({ engine }) => engine.attach(http.createServer()),
  'a listener for its connections': ({ httpServer }) => httpServer.on('connection', () => {}),
  'a short pingTimeout': ({ engine }) => {
    engine.opts.pingTimeout = 5000
  },
  'a property of the request': ({ httpServer }) => {
    const [listener] = httpServer.listeners('request')
    httpServer.removeAllListeners('request')
    httpServer.on('request', (req, res) => {
      req.user = 'a'
      listener(req, res)
    })
  },
  'a request that comes from the application': ({ engine, httpServer }) => {
    httpServer.removeAllListeners('request')
    httpServer.on('request', (req, res) => engine.handleRequest(Object.assign(req, { app: 'a' }), res))
  },
  'a replaced method of all sessions': () => {
    const { Socket } = require('../..')
    const { onOpen } = Socket.prototype
    Socket.prototype.onOpen = function () {
      return onOpen.call(this)
    }
    return () => (Socket.prototype.onOpen = onOpen)
  },
}

/** Asks for an upgrade, and gives the connection when it is answered. */
async function upgradeWithoutProbe(front, sid) {
  const socket = net.connect(front.port, '127.0.0.1')
  defer(() => socket.destroy())
  socket.on('error', () => {})
  const lines = [
    `GET ${target({ sid, transport: 'websocket' })} HTTP/1.1`,
    ...['Host: a', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
    'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==',
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  const [bytes] = await once(socket, 'data')
  assert.match(String(bytes), /^HTTP\/1.1 101 /)
  return socket
}

module.exports = {
  Bus,
  TELLS,
  claim,
  eventsOf,
  heardOf,
  seeForeign,
  startMachine,
  startMachines,
  upgradeWithoutProbe,
  whileUnheard,
}
