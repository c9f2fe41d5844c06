'use strict'
// One application for every engine with engine.io's API. Started by run.js as a child:
//   ENGINE=upstream|native|userver|<path>  MODE=attach|listen  TASK=echo|receive|broadcast|broadcast-pre|hold|connect
//   SOCKETIO=1 (the same task as a Socket.IO application)  OPTS=<json merged into the options>
//   TLS=1 (attach to https)  WS_ENGINE=<path of a package to take the option wsEngine from>
//   METRICS=1 (server.metrics() each second, as for a scrape)
//   BUS=redis|ioredis|nats BUS_PORT=<of its server> (the option cluster.bus; {"event":"met"} when another process is known)
//   WORKERS=<number> [STICKY=1] (see workers.js)
// It prints {"event":"listening","port":..} and answers lines on stdin: mark, report, gc. End of stdin ends it.
const cluster = require('cluster')
const http = require('http')
const https = require('https')
const fs = require('fs')
const Module = require('module')
const path = require('path')
const workers = require('./workers')

const root = path.join(__dirname, '..', '..')
const fromRoot = (name) => require.resolve(name, { paths: [root] })
const {
  ENGINE = 'upstream',
  MODE = 'attach',
  TASK = 'echo',
  SOCKETIO,
  ACK_EVERY = '100',
  RELEASE_REQUEST,
  TLS,
  WS_ENGINE,
  METRICS,
  BUS,
  BUS_PORT,
  WORKERS,
  STICKY,
} = process.env
const original = fromRoot('engine.io')
const where = { upstream: original, userver: original, native: root }[ENGINE] || path.resolve(ENGINE)
const opts = JSON.parse(process.env.OPTS || '{}')
if (WS_ENGINE) opts.wsEngine = require(WS_ENGINE).Server
const certificate = path.join(root, '__test__', 'fixtures', 'tls')

const count = { messages: 0, connections: 0, closes: 0 }

// What each application does with a session. `send` and `all` differ between engine.io and Socket.IO, nothing else.
const tasks = {
  echo: (message, send) =>
    message((d) => {
      count.messages++
      send(d)
    }),
  receive: (message, send) => {
    const every = +ACK_EVERY
    let n = 0
    let bytes = 0
    message((d) => {
      count.messages++
      bytes += d.length
      if (++n % every === 0) send(`${n} ${bytes}`)
    })
  },
  broadcast: (message, send, all) =>
    message((d) => {
      count.messages++
      all(d)
    }),
  'broadcast-pre': (message, send, all) =>
    message((d) => {
      count.messages++
      all(d, true)
    }),
  hold: () => {},
  connect: () => {},
}

/** Reads the numbers of an engine each second, if that is asked for. */
function readMetrics(engine) {
  if (METRICS) setInterval(() => engine.metrics(), 1000).unref()
}

/** Counts the messages on the bus, and says when another process is there. */
function watchBus(engine) {
  // An application that has looked at its clients keeps them: no session goes over to a process that gets its upgrade.
  Object.keys(engine.clients)
  const numbers = () => engine.metrics().cluster.bus
  Object.defineProperty(count, 'sent', { enumerable: true, get: () => numbers().sent })
  const timer = setInterval(() => {
    if (numbers().nodes === 0) return
    clearInterval(timer)
    say({ event: 'met' })
  }, 20)
}

function engineApp(engine) {
  readMetrics(engine)
  if (BUS) watchBus(engine)
  const { Sender } = require(fromRoot('ws'))
  const sockets = new Set()
  const all = (d, pre) => {
    if (!pre) {
      for (const s of sockets) s.send(d)
      return
    }
    // What Socket.IO's adapter does: one frame, one options object, shared by all recipients.
    const o = {
      wsPreEncodedFrame: Sender.frame(Buffer.from('4' + d), {
        readOnly: false,
        mask: false,
        rsv1: false,
        opcode: 1,
        fin: true,
      }),
    }
    for (const s of sockets) s.send(d, o)
  }
  engine.on('connection', (s) => {
    count.connections++
    if (RELEASE_REQUEST) s.request = null
    sockets.add(s)
    s.on('close', () => {
      count.closes++
      sockets.delete(s)
    })
    tasks[TASK](
      (f) => s.on('message', f),
      (d) => s.send(d),
      all,
    )
  })
}

function socketIoApp(io) {
  if (io.engine) readMetrics(io.engine)
  const all = (d) => io.to('room').emit('m', d)
  io.on('connection', (s) => {
    count.connections++
    s.join('room')
    s.on('disconnect', () => {
      count.closes++
    })
    tasks[TASK](
      (f) => s.on('m', f),
      (d) => s.emit('m', d),
      all,
    )
  })
}

/** uWebSockets.js brings its own HTTP server, with and without Socket.IO. */
function startUws() {
  const uws = require('./uws-module')
  const app = uws.app(TLS && certificate)
  const limits = { ...uws.limits, ...(opts.perMessageDeflate ? { compression: uws.compression } : {}) }
  if (SOCKETIO) {
    const { Server } = require(fromRoot('socket.io'))
    const io = new Server(opts)
    socketIoApp(io)
    io.attachApp(app, { ...opts, ...limits })
  } else {
    const { uServer } = require(where)
    const engine = new uServer(opts)
    engineApp(engine)
    engine.attach(app, limits)
  }
  uws.listen(app, (port) => say({ event: 'listening', port, pid: process.pid }))
}

function httpServer(handler) {
  if (!TLS) return http.createServer(handler)
  return https.createServer(require(certificate), handler)
}

function start() {
  if (ENGINE === 'userver') return startUws()
  if (SOCKETIO) {
    // Socket.IO on the engine under test, as npm `overrides` would give it.
    const resolve = Module._resolveFilename
    Module._resolveFilename = function (request, ...rest) {
      return resolve.call(this, request === 'engine.io' ? where : request, ...rest)
    }
    const { Server } = require(fromRoot('socket.io'))
    const server = httpServer()
    const io = new Server(server, WORKERS ? { ...opts, adapter: workers.adapter() } : opts)
    socketIoApp(io)
    if (STICKY) workers.stick(io)
    else server.listen(0, () => !WORKERS && listening(server))
    return
  }
  const engineIo = require(where)
  if (MODE === 'listen') {
    const engine = engineIo.listen(0, { ...opts, listener: 'native' }, () => listening(engine.httpServer))
    engineApp(engine)
  } else {
    const server = httpServer((req, res) => res.writeHead(404).end())
    engineApp(engineIo.attach(server, opts))
    server.listen(0, () => listening(server))
  }
}

const say = (o) => fs.writeSync(1, JSON.stringify(o) + '\n')
const listening = (server) => say({ event: 'listening', port: server.address().port, pid: process.pid })

async function main() {
  if (WORKERS && cluster.isPrimary) {
    const { port, pids } = await workers.start(+WORKERS, STICKY)
    say({ event: 'listening', port, pid: process.pid, workers: pids })
  } else {
    if (BUS) {
      opts.cluster.bus = await require('./bus').connect(BUS, +BUS_PORT)
      // with this hook sessions stay where they are, so that WebSockets are relayed
      opts.allowRequest = (req, done) => done(null, true)
    }
    start()
  }
}

if (cluster.isPrimary) require('./report')(count)
main()
