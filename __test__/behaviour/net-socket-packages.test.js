'use strict'

// Packages that keep the connections of an HTTP server, and shut it down, or serve upgrades beside the engine.

const assert = require('node:assert/strict')
const http = require('node:http')
const { test } = require('node:test')
const { createTerminus } = require('@godaddy/terminus')
const express = require('express')
const expressWs = require('express-ws')
const { createHttpTerminator } = require('http-terminator')
const stoppable = require('stoppable')
const { WebSocketServer } = require('ws')
const {
  RawWebSocket,
  client,
  deadline,
  eventually,
  improvement,
  listen,
  once,
  openWebSocket,
  path,
  wsClient,
} = require('../support')

/** `count` sessions by WebSocket, and the reasons of those that have closed. */
async function sessions(context, count = 3) {
  const reasons = []
  context.engine.on('connection', (socket) => socket.on('close', (reason) => reasons.push(reason)))
  const opened = []
  for (let i = 0; i < count; i++) opened.push(await openWebSocket(context))
  return { peers: opened.map(({ peer }) => peer), reasons }
}

/** The peers end their side once the server has. */
function endWithServer(peers) {
  for (const peer of peers) peer.closed.then(() => peer.socket.end())
}

test('stoppable: stop() ends websockets and calls back, gracefully', async () => {
  const server = stoppable(http.createServer(), 5000)
  const context = await listen({}, server)
  const { peers, reasons } = await sessions(context)
  endWithServer(peers)
  const graceful = await deadline(
    new Promise((resolve) => server.stop((_, isGraceful) => resolve(isGraceful))),
    'stop',
    3000,
  )
  assert.equal(graceful, true)
  await eventually(() => reasons.length, 3)
})

test('stoppable: websockets that do not end are destroyed after the time of grace', async () => {
  const server = stoppable(http.createServer(), 50)
  const context = await listen({}, server)
  const { peers, reasons } = await sessions(context)
  for (const peer of peers) peer.socket.allowHalfOpen = true
  await deadline(new Promise((resolve) => server.stop(resolve)), 'stop', 3000)
  await eventually(() => reasons.length, 3)
})

test('@godaddy/terminus: SIGUSR2 ends websockets before its timeout', async () => {
  const server = http.createServer()
  let signal
  const before = process.listeners('SIGUSR2')
  const shutDown = new Promise((resolve) => {
    createTerminus(server, {
      signal: 'SIGUSR2',
      timeout: 5000,
      useExit0: false,
      onSignal: async () => {},
      onShutdown: () => new Promise(() => resolve()),
    })
  })
  const context = await listen({}, server)
  const { peers, reasons } = await sessions(context)
  endWithServer(peers)
  for (const listener of process.listeners('SIGUSR2')) if (!before.includes(listener)) signal = listener
  signal()
  await deadline(shutDown, 'shutdown', 3000)
  process.removeListener('SIGUSR2', signal)
  await eventually(() => reasons.length, 3)
})

test('http-terminator: terminate() ends websockets', async () => {
  const server = http.createServer()
  const context = await listen({}, server)
  const terminator = createHttpTerminator({ server, gracefulTerminationTimeout: 50 })
  const closed = []
  server.on('connection', (stream) => stream.on('close', (hadError) => closed.push(hadError)))
  const { reasons } = await sessions(context)
  await deadline(terminator.terminate(), 'terminate', 3000)
  await eventually(() => closed, [false, false, false])
  await eventually(() => reasons.length, 3)
  assert.equal(server.listening, false)
})

test("ws: a server with another path that was there before refuses the engine's upgrades", async () => {
  const server = http.createServer()
  const other = new WebSocketServer({ server, path: '/other' })
  const context = await listen({}, server)
  const refused = once(context.engine, 'connection', 300).catch(() => 'none')
  const peer = await RawWebSocket.open(context.port, path(context, { transport: 'websocket' }))
  assert.equal(peer.status, 400)
  assert.equal(await refused, 'none')
  assert.equal(context.engine.clientsCount, 0)
  other.close()
})

/** A session whose upgrade another server takes for its own is ended, and told so. */
async function endsSession(context) {
  const reasons = []
  context.engine.on('connection', (socket) => socket.on('close', (reason) => reasons.push(reason)))
  const ws = await wsClient(context.port, path(context, { transport: 'websocket' }))
  await once(ws, 'close')
  await eventually(() => reasons.length, 1)
  assert.equal(context.engine.clientsCount, 0)
}

test("ws: a server with another path that comes later ends the engine's sessions, and leaves none behind", async () => {
  const context = await listen()
  const other = new WebSocketServer({ server: context.server, path: '/other' })
  await endsSession(context)
  const theirs = await wsClient(context.port, '/other')
  theirs.close()
  await once(theirs, 'close')
  other.close()
})

test('ws: two servers on one port that route upgrades themselves do not disturb each other', async () => {
  const server = http.createServer()
  const other = new WebSocketServer({ noServer: true })
  other.on('connection', (ws) => ws.on('message', (data) => ws.send(data)))
  const context = await listen({ destroyUpgrade: false }, server)
  server.on('upgrade', (req, stream, head) => {
    if (req.url === '/other') other.handleUpgrade(req, stream, head, (ws) => other.emit('connection', ws, req))
  })
  context.engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const ours = client(context, { transports: ['websocket'] })
  await once(ours, 'open')
  const theirs = await wsClient(context.port, '/other')
  const echo = once(ours, 'message')
  ours.send('to the engine')
  theirs.send('to ws')
  assert.equal((await echo)[0], 'to the engine')
  assert.equal(String(await theirs.next()), 'to ws')
})

improvement(
  "express-ws is given the engine's upgrades, too: with the original that is an uncaught error of its `ws`",
  "express-ws: its own server on the engine's port leaves no session behind",
  async () => {
    const context = await listen()
    const app = express()
    expressWs(app, context.server)
    app.ws('/echo', (ws) => ws.on('message', (data) => ws.send(data)))
    context.server.on('request', (req, res) => {
      if (!req.url.startsWith('/engine.io/')) app(req, res)
    })
    await endsSession(context)
    const theirs = await wsClient(context.port, '/echo')
    theirs.send('echo')
    assert.equal(String(await theirs.next()), 'echo')
  },
)
