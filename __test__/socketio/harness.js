'use strict'

const { once } = require('node:events')
const http = require('node:http')
const { createRequire } = require('node:module')
const net = require('node:net')
const path = require('node:path')

// Modules come from where the program runs, so that the same steps serve the checkout and a scratch app.
const from = createRequire(path.join(process.cwd(), 'package.json'))
const { Server } = from('socket.io')
const { io: connect } = from('socket.io-client')

/** A time of the application's, longer on a machine that is SLOWDOWN times slower. */
const slowly = (ms) => ms * (Number(process.env.SLOWDOWN) || 1)

const LIMIT_MS = slowly(15_000)

/** The ways a client may get its connection; `settled` is the transport it ends up on. */
const MODES = {
  polling: { transports: ['polling'], settled: 'polling' },
  websocket: { transports: ['websocket'], settled: 'websocket' },
  upgrade: { transports: ['polling', 'websocket'], settled: 'websocket' },
}

/** The `engine.io` that Socket.IO resolves here. */
function engineInUse() {
  const fromSocketIo = createRequire(from.resolve('socket.io'))
  const entry = fromSocketIo.resolve('engine.io')
  let folder = path.dirname(entry)
  while (!from('fs').existsSync(path.join(folder, 'package.json'))) folder = path.dirname(folder)
  const { name, version } = from(path.join(folder, 'package.json'))
  return { name, version, entry }
}

/** Runs one step with a tool box, and closes everything the step has opened. */
async function runStep(step, mode) {
  const bench = new Bench(mode)
  try {
    await within(step.run(bench), LIMIT_MS * 4, `step "${step.name}"`)
  } finally {
    await bench.close()
  }
}

class Bench {
  constructor(mode) {
    this.mode = mode
    this.settled = MODES[mode].settled
    this.closers = []
  }

  /** A Socket.IO server on an ephemeral port of the application's own http server. */
  serve(options) {
    return this.serveOn(0, options)
  }

  async serveOn(port, options = {}) {
    this.httpServer = http.createServer((req, res) => res.end('the application'))
    this.io = new Server(this.httpServer, { upgradeTimeout: slowly(10_000), ...options })
    this.httpServer.listen(port, '127.0.0.1')
    await once(this.httpServer, 'listening')
    this.port = this.httpServer.address().port
    const { io } = this
    this.closers.push(() => within(io.close(), LIMIT_MS, 'io.close()'))
    return io
  }

  /** A client that is not awaited; it does not reconnect unless asked. */
  open(namespace = '/', options = {}) {
    const client = connect(`http://127.0.0.1:${options.port ?? this.port}${namespace}`, {
      transports: MODES[this.mode].transports,
      forceNew: true,
      reconnection: false,
      ...options,
    })
    this.closers.unshift(() => client.disconnect())
    return client
  }

  /** A client that is connected, and has finished its upgrade where it makes one. */
  async client(namespace, options) {
    const client = this.open(namespace, options)
    await Promise.all([event(client, 'connect'), this.settle(client)])
    return client
  }

  /** A connected client and the server's socket for it. */
  async pair(namespace = '/', options) {
    const accepted = event(this.io.of(namespace), 'connection')
    const client = await this.client(namespace, options)
    const [socket] = await accepted
    if (this.mode === 'upgrade' && !socket.conn.upgraded) await event(socket.conn, 'upgrade')
    return { client, socket }
  }

  /** Resolves when the client's transport is the one its mode ends on. */
  async settle(client) {
    if (this.mode !== 'upgrade') return
    if (!client.io.engine) await event(client.io, 'open')
    if (client.io.engine.transport.name !== 'websocket') await event(client.io.engine, 'upgrade')
  }

  /** A TCP proxy in front of the server that can be frozen: nothing passes, nothing closes. */
  async freezableProxy() {
    const sockets = new Set()
    let frozen = false
    const proxy = net.createServer((downstream) => {
      const upstream = net.connect(this.port, '127.0.0.1')
      for (const [one, other] of [
        [downstream, upstream],
        [upstream, downstream],
      ]) {
        sockets.add(one)
        one.on('error', () => other.destroy())
        one.on('close', () => frozen || other.destroy())
        one.on('data', (chunk) => frozen || other.write(chunk))
      }
    })
    proxy.listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    this.closers.unshift(() => {
      for (const socket of sockets) socket.destroy()
      proxy.close()
    })
    return { port: proxy.address().port, freeze: () => (frozen = true) }
  }

  async close() {
    for (const close of this.closers) await close()
  }
}

/** The arguments of the next such event, or an error that names what did not happen. */
function event(emitter, name, ms = LIMIT_MS) {
  return within(new Promise((resolve) => emitter.once(name, (...args) => resolve(args))), ms, `event "${name}"`)
}

/** The arguments of the next `count` such events. */
function events(emitter, name, count) {
  const seen = []
  const all = new Promise((resolve) => {
    emitter.on(name, function listen(...args) {
      seen.push(args)
      if (seen.length < count) return
      emitter.off(name, listen)
      resolve(seen)
    })
  })
  return within(all, LIMIT_MS * 2, () => `event "${name}" number ${seen.length + 1} of ${count}`)
}

/** Resolves once the condition holds, for state that changes without an event. */
async function until(condition, what) {
  const end = Date.now() + LIMIT_MS
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

function within(promise, ms, what) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`${typeof what === 'function' ? what() : what} did not happen within ${ms} ms`))
    }, ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

module.exports = { MODES, engineInUse, runStep, event, events, until, within, slowly, LIMIT_MS }
