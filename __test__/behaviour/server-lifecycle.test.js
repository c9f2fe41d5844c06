'use strict'

const assert = require('node:assert/strict')
const http = require('node:http')
const { test } = require('node:test')
const {
  RawWebSocket,
  bind,
  delay,
  engine,
  eventually,
  listen,
  once,
  openPolling,
  openUpgraded,
  openWebSocket,
  path,
  pending,
  rebind,
  record,
  request,
  runFixture,
  upgradeTo,
} = require('../support')

test('close() closes every session with forced close, synchronously', async () => {
  const context = await listen()
  const events = []
  context.engine.on('connection', (socket) => socket.on('close', (...args) => events.push(args)))
  await openPolling(context)
  await openWebSocket(context)
  await openUpgraded(context)
  assert.equal(context.engine.clientsCount, 3)
  context.engine.close()
  assert.deepEqual(events, Array(3).fill(['forced close', undefined]))
  assert.equal(context.engine.clientsCount, 0)
  assert.deepEqual(context.engine.clients, {})
})

test('close() sends a close frame to every websocket', async () => {
  const context = await listen()
  const sessions = []
  for (let i = 0; i < 50; i++) sessions.push(await openWebSocket(context))
  context.engine.close()
  for (const { peer } of sessions) assert.equal((await peer.closeFrame()).payload.length, 0)
})

test('close() answers pending polls with a close packet', async () => {
  const context = await listen()
  const { peer } = await openPolling(context)
  const { response } = await peer.pendingPoll()
  context.engine.close()
  assert.equal((await response).body, '1')
})

test('close() closes a connection that is upgrading', async () => {
  const context = await listen()
  const { peer: polling } = await openPolling(context)
  const peer = await upgradeTo(context, polling.sid)
  peer.sendText('2probe')
  await peer.packet()
  context.engine.close()
  await peer.closeFrame()
  assert.equal(context.engine.clientsCount, 0)
})

test('close() leaves the http server alone', async () => {
  const context = await listen()
  context.engine.close()
  assert.equal(context.server.listening, true)
})

test('polling handshakes still succeed after close()', async () => {
  const context = await listen()
  context.engine.close()
  const { socket } = await openPolling(context)
  assert.equal(socket.readyState, 'open')
})

test('websocket handshakes get 503 after close(), until the http server listens again', async () => {
  const context = await listen()
  context.engine.close()
  const peer = await RawWebSocket.request(context.port, path(context, { transport: 'websocket' }))
  await peer.end()
  assert.match(peer.text, /^HTTP\/1\.1 503 Service Unavailable/)
  await new Promise((resolve) => context.server.close(resolve))
  context.port = await rebind(context.server)
  assert.equal((await openWebSocket(context)).peer.status, 101)
})

test("the http server's close event closes the engine", async () => {
  const context = await listen()
  const { socket } = await openPolling(context) // its connection has ended
  const closed = once(socket, 'close')
  context.server.close()
  assert.deepEqual(await closed, ['forced close', undefined])
  assert.equal(context.engine.clientsCount, 0)
})

test('httpServer.close() alone does not end a websocket session', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  const closed = once(context.server, 'close')
  context.server.close()
  assert.equal(await pending(closed, 80), true)
  socket.send('still here')
  assert.equal(await peer.packet(), '4still here')
  peer.socket.destroy()
  await closed
})

test('httpServer.close() alone does not end a pending poll', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const { response } = await peer.pendingPoll()
  const closed = once(context.server, 'close')
  context.server.close()
  assert.equal(await pending(closed, 50), true)
  socket.send('x')
  assert.equal((await response).body, '4x')
  await closed
})

test('close of the engine and of the http server ends everything', async () => {
  const context = await listen()
  const { peer } = await openWebSocket(context)
  const { peer: polling } = await openPolling(context)
  const { response } = await polling.pendingPoll()
  const closed = once(context.server, 'close')
  context.engine.close()
  context.server.close()
  assert.equal((await response).body, '1')
  await peer.closeFrame()
  peer.sendClose()
  await peer.end()
  await closed
})

test('getConnections() counts websocket connections', async () => {
  const context = await listen()
  const count = () =>
    new Promise((resolve, reject) => context.server.getConnections((e, n) => (e ? reject(e) : resolve(n))))
  const { peer } = await openWebSocket(context)
  assert.equal(await count(), 1)
  peer.socket.destroy()
  let left = await count()
  for (let i = 0; i < 1000 && left !== 0; i++) {
    await delay(5)
    left = await count()
  }
  assert.equal(left, 0)
})

test('sessions open and close in large numbers without leaving anything', async () => {
  const context = await listen()
  for (let round = 0; round < 5; round++) {
    const sessions = await Promise.all(Array.from({ length: 20 }, () => openWebSocket(context)))
    for (const { peer } of sessions) peer.sendClose(1000)
    await eventually(() => context.engine.clientsCount, 0)
  }
  assert.deepEqual(context.engine.clients, {})
})

test('a closed engine can be attached to a new server', async () => {
  const own = new engine.Server()
  const first = http.createServer()
  own.attach(first)
  await bind(first)
  await new Promise((resolve) => first.close(resolve))
  const second = http.createServer()
  own.attach(second)
  const context = { engine: own, server: second, port: await bind(second), path: '/engine.io/' }
  await openPolling(context)
  await openWebSocket(context)
  own.close()
})

test('events of one engine do not reach another', async () => {
  const first = await listen()
  const second = await listen()
  const events = record(second.engine, ['connection', 'headers', 'flush', 'drain'])
  await openPolling(first)
  await openWebSocket(first)
  assert.deepEqual(events, [])
})

for (const scenario of [
  'idle',
  'polling',
  'pending-poll',
  'websocket',
  'chat',
  'upgraded',
  'upgrading',
  'server-only',
]) {
  test(`the process exits by itself after everything is closed: ${scenario}`, async () => {
    const { code, signal, stderr, stdout } = await runFixture('exit', [scenario])
    assert.equal(stderr, '')
    assert.deepEqual([code, signal], [0, null])
    assert.match(stdout, /closed/)
  })
}

test('DEBUG=engine* prints the life of a session to stderr', async () => {
  const { stderr } = await runFixture('exit', ['upgraded'], { env: { DEBUG: 'engine*', DEBUG_COLORS: '0' } })
  for (const namespace of ['engine', 'engine:socket']) assert.match(stderr, new RegExp(` ${namespace} .+`))
})

test('process.exit() under traffic ends the process at once, with its code', async () => {
  const { code, signal, lines } = await runFixture('exit-under-traffic')
  assert.deepEqual([code, signal], [7, null])
  assert.ok(Date.now() - lines[0].at < 5000)
})

test('an engine in a worker thread serves clients and ends with the worker', async () => {
  const { code, lines, stderr } = await runFixture('worker')
  assert.equal(stderr, '')
  assert.equal(code, 0)
  assert.deepEqual(lines, [{ echo: '4hello' }, { exit: 1 }, { client: 'closed' }])
})

test('a request in flight does not keep a session that was closed', async () => {
  const context = await listen()
  const { peer } = await openPolling(context)
  await peer.pendingPoll()
  context.engine.close()
  const response = await request({ port: context.port, path: peer.path })
  assert.equal(response.status, 400)
})
