'use strict'

// The rows of the table: every way into an engine. `open(opts)` runs in the server's process and gives
// `{ engine, port, close() }`; clients reach each door by TCP. What a door lacks, and why, decides which attacks have
// nothing to attack there.

const fs = require('node:fs')
const http = require('node:http')
const https = require('node:https')
const net = require('node:net')
const path = require('node:path')
const { Duplex } = require('node:stream')
const { engine, upstream } = require('../support/engine')

const PATH = '/engine.io/'

const NOT_ITS_OWN = 'its HTTP requests are those of attach()'

function certificate() {
  const read = (name) => fs.readFileSync(path.join(__dirname, '../fixtures/tls', name))
  return { key: read('key.pem'), cert: read('cert.pem') }
}

function bind(server) {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))
}

/** Calls back when all connections have ended, too. */
const closed = (server) =>
  new Promise((resolve) => {
    server.close(resolve)
    server.closeIdleConnections?.()
  })

async function attachTo(server, opts) {
  const attached = engine.attach(server, opts)
  return { engine: attached, port: await bind(server), close: () => closed(server) }
}

/** A stream that only JavaScript can read, over a socket. */
function streamOver(socket) {
  const stream = new Duplex({
    read: () => socket.resume(),
    write: (chunk, encoding, callback) => socket.write(chunk, encoding, callback),
    final: (callback) => socket.end(callback),
    destroy(error, callback) {
      socket.destroy()
      callback(error)
    },
  })
  socket.on('data', (chunk) => stream.push(chunk) || socket.pause())
  socket.on('end', () => stream.push(null))
  socket.on('error', (error) => stream.destroy(error))
  socket.on('close', () => stream.destroy())
  return stream
}

/** A WebTransport session whose one stream is a TCP connection. Its first byte tells whether it is an attacker's. */
function sessionOver(socket) {
  let resolve
  const session = {
    attacker: false,
    closed: new Promise((done) => (resolve = done)),
    close() {
      socket.destroy()
      resolve()
    },
  }
  session.incomingBidirectionalStreams = new ReadableStream({
    start(streams) {
      let canceled = false
      const readable = new ReadableStream({
        cancel: () => (canceled = true),
        start(controller) {
          let first = true
          let over = false
          // once, and not when its reader has canceled it
          const end = (how) => {
            if (over || canceled) return
            over = true
            how()
          }
          socket.on('data', (chunk) => {
            if (first) {
              first = false
              session.attacker = chunk[0] === 1
              chunk = chunk.subarray(1)
              streams.enqueue({ readable, writable })
            }
            if (!over && !canceled && chunk.length > 0) controller.enqueue(chunk)
          })
          socket.on('end', () => {
            end(() => controller.close())
            socket.end()
          })
          // a stream that is reset fails
          socket.on('error', (error) => end(() => controller.error(error)))
          socket.on('close', () => {
            end(() => controller.close())
            if (first) streams.close()
            first = false
            resolve()
          })
        },
      })
      const writable = new WritableStream({
        write: (chunk) => new Promise((done, fail) => socket.write(chunk, (error) => (error ? fail(error) : done()))),
      })
    },
  })
  return session
}

const NO_HOOKS =
  'the listener shows JavaScript no request: it refuses hooks, middlewares and listeners that would need one'

const doors = [
  {
    name: 'attach',
    open: (opts) => attachTo(http.createServer(), opts),
  },
  {
    name: 'handleRequest + handleUpgrade',
    async open(opts) {
      const attached = new engine.Server(opts)
      const server = http.createServer((req, res) => attached.handleRequest(req, res))
      server.on('upgrade', (req, socket, head) => attached.handleUpgrade(req, socket, head))
      return { engine: attached, port: await bind(server), close: () => closed(server) }
    },
  },
  {
    name: 'https',
    tls: true,
    open: (opts) => attachTo(https.createServer(certificate()), opts),
  },
  {
    name: 'streams',
    async open(opts) {
      const server = http.createServer()
      const attached = engine.attach(server, opts)
      const front = net.createServer({ allowHalfOpen: true }, (socket) => server.emit('connection', streamOver(socket)))
      const port = await bind(front)
      return { engine: attached, port, close: () => closed(front) }
    },
  },
  {
    name: 'listen',
    async open(opts) {
      const listening = engine.listen(0, opts)
      const { httpServer } = listening
      await new Promise((resolve) => httpServer.once('listening', resolve))
      return { engine: listening, port: httpServer.address().port, close: () => closed(httpServer) }
    },
  },
  {
    name: 'native listener',
    upstream: 'the original has none',
    lacks: { hooks: NO_HOOKS },
    async open(opts) {
      const listening = engine.listen(0, { ...opts, listener: 'native' })
      const { httpServer } = listening
      await new Promise((resolve) => httpServer.once('listening', resolve))
      return { engine: listening, port: httpServer.address().port, close: () => closed(httpServer) }
    },
  },
  {
    name: 'wsEngine: ws',
    open: (opts) => attachTo(http.createServer(), { ...opts, wsEngine: require('ws').Server }),
  },
  {
    name: 'onWebSocket',
    async open(opts) {
      const attached = new engine.Server(opts)
      const { maxHttpBufferSize: maxPayload, perMessageDeflate = false } = opts
      const wss = new (require('ws').WebSocketServer)({ noServer: true, maxPayload, perMessageDeflate })
      const server = http.createServer((req, res) => attached.handleRequest(req, res))
      server.on('upgrade', (req, socket, head) => {
        wss.handleUpgrade(req, socket, head, (websocket) => {
          attached.prepare(req)
          attached.onWebSocket(req, socket, websocket)
        })
      })
      return { engine: attached, port: await bind(server), close: () => closed(server) }
    },
  },
  {
    name: 'WebTransport',
    protocols: [4],
    lacks: {
      http: NOT_ITS_OWN,
      polling: NOT_ITS_OWN,
      frames: 'it has no WebSocket frames',
      hooks: 'a session is opened without a request, and middlewares close it',
      compression: 'it compresses nothing',
    },
    async open(opts) {
      const server = http.createServer()
      const transports = ['polling', 'websocket', 'webtransport']
      const attached = engine.attach(server, { ...opts, transports })
      const front = net.createServer({ allowHalfOpen: true }, (socket) => {
        attached.onWebTransportSession(sessionOver(socket))
      })
      const [port, channelPort] = await Promise.all([bind(server), bind(front)])
      return { engine: attached, port, channelPort, close: () => Promise.all([closed(server), closed(front)]) }
    },
  },
  {
    name: 'uServer',
    // it ends connections in its own time, and takes heads of any size
    parser: 'uWebSockets.js',
    available() {
      const uWS = require('uWebSockets.js')
      if (typeof uWS.App !== 'function' || !/native code/.test(uWS.App))
        throw new Error('only its replacement in JavaScript is here')
    },
    async open(opts) {
      const uWS = require('uWebSockets.js')
      const app = uWS.App()
      const attached = new engine.uServer(opts)
      const compression = opts.perMessageDeflate ? uWS.SHARED_COMPRESSOR | uWS.SHARED_DECOMPRESSOR : undefined
      attached.attach(app, { compression })
      const token = await new Promise((resolve) => app.listen('127.0.0.1', 0, resolve))
      return {
        engine: attached,
        port: uWS.us_socket_local_port(token),
        close: async () => uWS.us_listen_socket_close(token),
      }
    },
  },
]

const WEBSOCKETS = { streams: 'its channels are WebSockets' }

/** Each door for each revision of the protocol that it speaks. */
const rows = doors.flatMap((door) =>
  (door.protocols ?? [4, 3]).map((protocol) => ({
    ...door,
    lacks: door.name === 'WebTransport' ? door.lacks : { ...WEBSOCKETS, ...door.lacks },
    door: door.name,
    protocol,
    name: `${door.name}, protocol ${protocol}`,
  })),
)

/** Why a row cannot be run here at all; undefined: it can. */
function unavailable(row) {
  if (upstream && row.upstream !== undefined) return row.upstream
  try {
    row.available?.()
  } catch (error) {
    return `not here: ${error.message.split('\n')[0]}`
  }
}

module.exports = { doors, rows, unavailable, PATH }
