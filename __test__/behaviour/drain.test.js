'use strict'

// `server.drain()`, which the original does not have: docs/OPERATIONS.md.

const assert = require('node:assert/strict')
const {
  RawWebSocket,
  client,
  eventually,
  improvement,
  listen,
  listenNatively,
  once,
  openPolling,
  openProbing,
  openUpgraded,
  openWebSocket,
  path,
  pending,
  record,
  request,
  runFixture,
  upgradeTo,
  upstream,
} = require('../support')
const { listenOnUws, skip: skipUws } = require('../support/userver')
const { FakeSession } = require('../support/webtransport')

const drains = (name, fn) => improvement('it has no drain()', name, fn)

/** The ways to serve, each of which refuses handshakes by code of its own. */
const WAYS = { 'attach()': listen, 'the native listener': listenNatively }
if (!skipUws && !upstream) WAYS.uServer = listenOnUws

const handshake = (context, query) => request({ port: context.port, path: path(context, query) })
const upgrade = (context) => RawWebSocket.open(context.port, path(context, { transport: 'websocket' }))

/** A drain in which the turn of a session is not before its test is over. */
const NEVER = { timeout: 2 ** 31 - 1, spread: 2 ** 31 - 1 }

/** What came of a drain, without the time it took. */
async function outcome(drained) {
  const { duration, ...rest } = await drained
  assert.ok(duration >= 0 && Number.isInteger(duration), `${duration}`)
  return rest
}

for (const [way, listen] of Object.entries(WAYS)) {
  drains(`${way}: a new handshake gets a 503 with Retry-After, on a connection that ends`, async () => {
    const context = await listen()
    const errors = record(context.engine, 'connection_error', (_, { code, message, context }) => ({
      code,
      message,
      ...context,
    }))
    const { peer } = await openPolling(context)
    const drained = context.engine.drain({ timeout: 60_000 })
    const response = await handshake(context)
    assert.equal(response.status, 503)
    assert.deepEqual(JSON.parse(response.body), { code: 4, message: 'Server is draining' })
    const retryAfter = Number(response.headers['retry-after'])
    assert.ok(retryAfter >= 30 && retryAfter <= 60, response.headers['retry-after'])
    if (way !== 'uServer') assert.equal(response.headers.connection, 'close')
    const raw = await upgrade(context)
    assert.equal(raw.status, 503)
    assert.ok(Number(raw.headers['retry-after']) >= 30)
    await eventually(() => errors.length, 2)
    for (const { retryAfter, ...error } of errors) {
      assert.deepEqual(error, { code: 4, message: 'Server is draining', name: 'DRAINING' })
      assert.ok(retryAfter >= 30)
    }
    assert.equal((await handshake(context, { transport: 'unknown' })).status, 503)
    context.engine.close()
    await peer.poll().catch(() => {})
    await drained
  })

  drains(`${way}: open sessions are closed, and the drain ends with the last`, async () => {
    const context = await listen()
    const { peer: websocket, socket } = await openWebSocket(context)
    const { peer: polling, socket: polled } = await openPolling(context)
    const ends = [once(socket, 'close'), once(polled, 'close')]
    const poll = polling.poll()
    const drained = context.engine.drain({ timeout: 8000, spread: 100 })
    assert.equal(context.engine.draining, true)
    await websocket.closeFrame()
    websocket.sendClose(1000)
    const { body } = await poll
    assert.match(body, /1$/)
    assert.deepEqual(await outcome(drained), { sessions: 2, closed: 2, left: 0, terminated: 0 })
    for (const end of ends) assert.deepEqual(await end, ['forced close', undefined])
    assert.equal(context.engine.clientsCount, 0)
  })

  drains(`${way}: a session that ends by itself before its turn has left`, async () => {
    const context = await listen()
    const { peer } = await openWebSocket(context)
    const drained = context.engine.drain(NEVER)
    peer.reset()
    assert.deepEqual(await outcome(drained), { sessions: 1, closed: 0, left: 1, terminated: 0 })
  })

  drains(`${way}: a session without an answer to its close is cut off at timeout`, async () => {
    const context = await listen()
    await openPolling(context)
    await openPolling(context)
    const drained = context.engine.drain({ timeout: 150, spread: 0 })
    assert.deepEqual(await outcome(drained), { sessions: 2, closed: 0, left: 0, terminated: 2 })
    assert.equal(context.engine.clientsCount, 0)
  })

  drains(`${way}: a session may be upgraded while it waits for its turn`, async () => {
    const context = await listen()
    const { peer: polling, socket } = await openPolling(context)
    const upgraded = once(socket, 'upgrade')
    const drained = context.engine.drain(NEVER)
    const peer = await upgradeTo(context, polling.sid)
    peer.sendText('2probe')
    assert.equal(await peer.packet(), '3probe')
    peer.sendText('5')
    await upgraded
    peer.sendText('4hello')
    assert.deepEqual(await once(socket, 'message').then(([data]) => String(data)), 'hello')
    context.engine.close()
    assert.deepEqual(await outcome(drained), { sessions: 1, closed: 0, left: 1, terminated: 0 })
  })
}

drains('a server without sessions is drained at once, and stays so', async () => {
  const context = await listen()
  assert.equal(context.engine.draining, false)
  const drained = context.engine.drain()
  assert.deepEqual(await outcome(drained), { sessions: 0, closed: 0, left: 0, terminated: 0 })
  assert.equal(context.engine.draining, true)
  assert.equal((await handshake(context)).status, 503)
  const [, seconds] = /^(\d+)$/.exec((await handshake(context)).headers['retry-after'])
  assert.ok(seconds >= 1 && seconds <= 10)
})

drains('at timeout a session ends also if the application has replaced its close()', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  socket.close = () => socket
  const closed = once(socket, 'close')
  const drained = context.engine.drain({ timeout: 50, spread: 0 })
  assert.equal((await closed)[0], 'forced close')
  assert.deepEqual(await outcome(drained), { sessions: 1, closed: 0, left: 0, terminated: 1 })
  assert.equal(context.engine.clientsCount, 0)
  await peer.end()
})

drains('a later call returns the same promise, whatever its options', async () => {
  const context = await listen()
  const drained = context.engine.drain({ timeout: 100 })
  assert.equal(context.engine.drain({ timeout: 100_000, spread: 3 }), drained)
  await drained
  assert.equal(context.engine.drain(), drained)
  assert.throws(() => context.engine.drain({ timeout: -1 }), RangeError)
})

drains('invalid options throw, and the server is not drained', async () => {
  const context = await listen()
  const refused = (options, name, message) => assert.throws(() => context.engine.drain(options), { name, message })
  for (const options of [null, 5, 'soon', true, () => {}, []]) refused(options, 'TypeError', /takes an object/)
  refused({ tiemout: 5 }, 'TypeError', /tiemout of drain\(\) is unknown/)
  for (const value of [-1, NaN, Infinity, 2 ** 31, '100', null, {}, 1n]) {
    refused({ timeout: value }, 'RangeError', /timeout of drain\(\) must be a number of milliseconds/)
    refused({ timeout: 2 ** 31 - 1, spread: value }, 'RangeError', /spread of drain\(\) must be a number/)
  }
  refused({ timeout: 10, spread: 11 }, 'RangeError', /must not exceed timeout \(10\), got 11/)
  refused({ timeout: '100' }, 'RangeError', /got the string '100'$/)
  refused({ spread: 10_001 }, 'RangeError', /must not exceed timeout/)
  assert.equal(context.engine.draining, false)
  const { socket } = await openPolling(context)
  assert.equal(socket.readyState, 'open')
})

drains('the options may be left out one by one, and properties of Object.prototype are none', async () => {
  for (const options of [{}, { timeout: undefined, spread: undefined }, { timeout: 0 }, { spread: 0 }]) {
    const context = await listen()
    await context.engine.drain(options)
  }
  const context = await listen()
  // eslint-disable-next-line no-extend-native -- what a polluted process has
  Object.defineProperty(Object.prototype, 'timeout', { value: -5, configurable: true })
  try {
    await context.engine.drain({ __proto__: { spread: -5 } })
  } finally {
    delete Object.prototype.timeout
  }
})

for (const [way, listen] of Object.entries(WAYS)) {
  drains(`${way}: messages that were accepted before are written before the end, also to a slow client`, async () => {
    const context = await listen()
    const { peer, socket } = await openWebSocket(context)
    const text = 'x'.repeat(1 << 20)
    peer.socket.pause()
    for (let i = 0; i < 8; i++) socket.send(`${i}${text}`)
    const drained = context.engine.drain({ timeout: 20_000, spread: 0 })
    assert.equal(await pending(drained, 50), true)
    peer.socket.resume()
    for (let i = 0; i < 8; i++) assert.equal(await peer.packet(), `4${i}${text}`)
    await peer.closeFrame()
    // the client has not answered the close frame yet
    if (way !== 'uServer') assert.equal(await pending(drained, 20), true)
    peer.sendClose(1000)
    assert.deepEqual(await outcome(drained), { sessions: 1, closed: 1, left: 0, terminated: 0 })
  })

  drains(`${way}: messages that wait for a poll come before the close packet`, async () => {
    const context = await listen()
    const { peer, socket } = await openPolling(context)
    socket.send('waits for a poll')
    const drained = context.engine.drain({ timeout: 20_000, spread: 0 })
    await eventually(() => socket.readyState, 'closing')
    socket.send('comes too late')
    const packets = []
    while (packets[packets.length - 1] !== '1') packets.push(...(await peer.poll()).body.split('\x1e'))
    assert.deepEqual(
      packets.filter((packet) => packet !== '6'),
      ['4waits for a poll', '1'],
    )
    assert.deepEqual(await outcome(drained), { sessions: 1, closed: 1, left: 0, terminated: 0 })
  })
}

drains('a client that does not read is cut off at timeout', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  peer.socket.pause()
  for (let i = 0; i < 16; i++) socket.send('x'.repeat(1 << 20))
  const drained = context.engine.drain({ timeout: 200, spread: 0 })
  assert.deepEqual(await outcome(drained), { sessions: 1, closed: 0, left: 0, terminated: 1 })
})

drains('a client that breaks its connection off behind the close has left', async () => {
  const context = await listen()
  const { peer } = await openWebSocket(context)
  const drained = context.engine.drain({ timeout: 9000, spread: 0 })
  await peer.closeFrame()
  peer.reset()
  assert.deepEqual(await outcome(drained), { sessions: 1, closed: 0, left: 1, terminated: 0 })
})

drains('sessions are closed one after the other over spread, in shares of it', async () => {
  const context = await listen()
  const closed = []
  const started = Date.now()
  for (let i = 0; i < 10; i++) {
    const { socket } = await openPolling(context)
    socket.on('close', () => closed.push(Date.now()))
    // closes at once, as there is nothing to say
    socket.transport.closeTimeout = 0
  }
  const begun = Date.now()
  const drained = context.engine.drain({ timeout: 20_000, spread: 1000 })
  assert.deepEqual(closed, [], 'no session is closed in the call itself')
  assert.deepEqual(await outcome(drained), { sessions: 10, closed: 10, left: 0, terminated: 0 })
  assert.ok(begun >= started)
  // the share of the last begins at 900 ms; a busy machine is late, never early
  assert.ok(closed[9] - begun >= 895, `${closed[9] - begun}`)
  for (let i = 0; i < 10; i++) assert.ok(closed[i] - begun >= i * 100 - 5, `${i}: ${closed[i] - begun}`)
})

drains('a handshake whose check is under way is refused', async () => {
  const context = await listen()
  const waiting = []
  context.engine.generateId = () => new Promise((resolve) => waiting.push(resolve))
  const polling = handshake(context)
  const raw = await upgrade(context)
  await eventually(() => waiting.length, 2)
  await context.engine.drain()
  waiting.forEach((resolve, i) => resolve(`id${i}`))
  const response = await polling
  assert.equal(response.status, 503)
  assert.ok(Number(response.headers['retry-after']) >= 1)
  // behind the 101 it is no frame, so that all clients report an error
  const [text] = await raw.match(/^HTTP\/1.1 503 [^]*draining$/)
  assert.match(text, /\r\nRetry-After: \d+\r\n/)
  assert.equal(context.engine.clientsCount, 0)
})

drains('a listener that throws is an uncaught exception, and the drain goes on', async () => {
  const { lines, stderr } = await runFixture('drain-throws')
  assert.deepEqual(lines, [{ uncaught: ['first', 'second'], sessions: 2, left: 0, clientsCount: 0 }], stderr)
})

drains('engine.close() ends a drain', async () => {
  const context = await listen()
  await openWebSocket(context)
  await openPolling(context)
  const drained = context.engine.drain(NEVER)
  context.engine.close()
  assert.deepEqual(await outcome(drained), { sessions: 2, closed: 0, left: 2, terminated: 0 })
})

drains('a session that the application is closing counts as it ends', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  socket.close()
  const drained = context.engine.drain({ timeout: 9000, spread: 0 })
  await eventually(() => context.engine.clientsCount, 1)
  assert.match((await peer.poll()).body, /1$/)
  const { sessions, closed, left, terminated } = await drained
  assert.deepEqual([sessions, closed + left, terminated], [1, 1, 0])
})

drains('a session that is being upgraded is closed with its probe', async () => {
  const context = await listen()
  const { peer, polling } = await openProbing(context)
  const drained = context.engine.drain({ timeout: 9000, spread: 0 })
  await eventually(() => [...Object.values(context.engine.clients)].map((s) => s.readyState), ['closing'])
  assert.match((await polling.poll()).body, /1$|6/)
  await polling.poll().catch(() => {})
  await peer.closeFrame()
  const { sessions, closed } = await drained
  assert.deepEqual([sessions, closed], [1, 1])
})

drains('an upgraded session is closed on its WebSocket', async () => {
  const context = await listen()
  const { peer } = await openUpgraded(context)
  const drained = context.engine.drain({ timeout: 9000, spread: 0 })
  await peer.closeFrame()
  peer.sendClose(1000)
  assert.deepEqual(await outcome(drained), { sessions: 1, closed: 1, left: 0, terminated: 0 })
})

drains('middlewares come first, so that a 503 has their headers', async () => {
  const context = await listen({ cors: { origin: '*' } })
  await context.engine.drain()
  const response = await handshake(context)
  assert.deepEqual([response.status, response.headers['access-control-allow-origin']], [503, '*'])
})

drains('verify() and allowRequest hear of no handshake that the drain refuses', async () => {
  const seen = []
  const context = await listen({
    allowRequest: (req, fn) => {
      seen.push('allowRequest')
      fn(null, true)
    },
  })
  const { verify } = context.engine
  context.engine.verify = function (...args) {
    seen.push('verify')
    return verify.apply(this, args)
  }
  await context.engine.drain()
  assert.equal((await handshake(context)).status, 503)
  assert.deepEqual(seen, [])
  assert.equal((await handshake(context, { sid: 'unknown' })).status, 400)
  assert.deepEqual(seen, ['verify'])
})

drains('a WebTransport session is refused, and an open one is closed', async () => {
  const context = await listen({ transports: ['polling', 'websocket', 'webtransport'] })
  const connected = once(context.engine, 'connection')
  const peer = new FakeSession().openStream()
  context.engine.onWebTransportSession(peer)
  peer.send('open')
  await connected
  const errors = record(context.engine, 'connection_error', (_, { code, context }) => [code, context.name])
  const drained = context.engine.drain({ timeout: 9000, spread: 0 })
  const late = new FakeSession().openStream()
  const served = context.engine.onWebTransportSession(late)
  late.send('open')
  await served
  assert.deepEqual(errors, [[4, 'DRAINING']])
  assert.equal(late.closes, 1)
  assert.deepEqual(await outcome(drained), { sessions: 1, closed: 1, left: 0, terminated: 0 })
  assert.equal(peer.closes, 1)
})

drains('the real client reconnects elsewhere: it hears of the end and of the refusal', async () => {
  const context = await listen()
  const socket = client(context, { transports: ['websocket'] })
  await once(socket, 'open')
  const closed = once(socket, 'close')
  const drained = context.engine.drain({ timeout: 9000, spread: 0 })
  const [reason] = await closed
  assert.equal(reason, 'transport close')
  assert.deepEqual(await outcome(drained), { sessions: 1, closed: 1, left: 0, terminated: 0 })
  const again = client(context)
  const [error] = await once(again, 'error')
  assert.equal(error.description, 503)
})
