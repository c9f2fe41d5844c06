'use strict'

// The option `limits`. Every one is off unless set.

const assert = require('node:assert/strict')
const { test: register } = require('node:test')
const {
  engine: api,
  RawWebSocket,
  delay,
  eventually,
  listen,
  once,
  openPolling,
  openUpgraded,
  openWebSocket,
  path,
  record,
  request,
  upgradeTo,
  upstream,
} = require('./support')
const { FakeSession } = require('../support/webtransport')

const test = (name, fn) => register(name, { skip: upstream ? 'an option of ours' : false, timeout: 15000 }, fn)

const handshake = (context, options) => request({ port: context.port, path: path(context), ...options })
const errors = (context) =>
  record(context.engine, 'connection_error', (_, { code, message, context }) => ({ code, message, ...context }))
const openRaw = (context) => RawWebSocket.open(context.port, path(context, { transport: 'websocket' }))

test('a handshake beyond maxConnections is refused, until a session has ended', async () => {
  const context = await listen({ limits: { maxConnections: 2 } })
  const seen = errors(context)
  const { socket } = await openPolling(context)
  await openWebSocket(context)
  const refused = await handshake(context)
  assert.equal(refused.status, 403)
  assert.deepEqual(JSON.parse(refused.body), { code: 4, message: 'Too many connections' })
  const expected = { code: 4, message: 'Too many connections', name: 'TOO_MANY_CONNECTIONS', limit: 2 }
  assert.deepEqual(seen, [expected])
  const raw = await openRaw(context)
  assert.equal(raw.status, 400)
  assert.deepEqual(seen, [expected, expected])
  socket.close(true)
  assert.equal((await handshake(context)).status, 200)
})

test('an upgrade is no new connection', async () => {
  const context = await listen({ limits: { maxConnections: 1, maxConnectionsPerAddress: 1, handshakesPerSecond: 1 } })
  const { peer, socket } = await openUpgraded(context)
  peer.sendText('4hello')
  assert.deepEqual(await once(socket, 'message'), ['hello'])
})

test('a handshake from an address that has maxConnectionsPerAddress is refused, others are not', async () => {
  const addressOf = (req) => req.headers['x-from']
  const context = await listen({ limits: { maxConnectionsPerAddress: 1, addressOf } })
  const seen = errors(context)
  const first = await openPolling(context, {}, { 'x-from': 'a' })
  assert.equal((await handshake(context, { headers: { 'x-from': 'a' } })).status, 403)
  assert.deepEqual(seen, [
    {
      code: 4,
      message: 'Too many connections from this address',
      name: 'TOO_MANY_CONNECTIONS_FROM_ADDRESS',
      limit: 1,
      address: 'a',
    },
  ])
  assert.equal((await handshake(context, { headers: { 'x-from': 'b' } })).status, 200)
  first.socket.close(true)
  assert.equal((await handshake(context, { headers: { 'x-from': 'a' } })).status, 200)
})

function revoked() {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

const warnings = record(process, 'warning', (_, warning) => warning)

for (const [what, told, shown] of [
  ['nothing', () => undefined, 'undefined'],
  ['null', () => null, 'null'],
  ['an empty string', () => '', "the string ''"],
  ['a promise', async (n) => `address ${n}`, 'a promise'],
  ['a promise that is rejected', async (n) => Promise.reject(new Error(`address ${n}`)), 'a promise'],
  ['an object', (n) => ({ n }), 'an object'],
  ['a number', (n) => n, '1'],
  ['a promise without methods', () => Object.assign(Promise.resolve('a'), { catch: null, then: null }), 'a promise'],
  ['a revoked proxy', () => revoked(), 'a proxy'],
]) {
  test(`clients for which addressOf returns ${what} count together, and one warning says so`, async () => {
    let calls = 0
    const context = await listen({ limits: { maxConnectionsPerAddress: 1, addressOf: () => told(++calls) } })
    warnings.length = 0
    const seen = errors(context)
    const { socket } = await openPolling(context)
    assert.equal((await handshake(context)).status, 403)
    assert.equal((await openRaw(context)).status, 400)
    assert.deepEqual(seen[0].address, 'unknown')
    const message = `limits.addressOf must return a string that is not empty, got ${shown}; such clients count together`
    await eventually(() => warnings.map(({ code, message }) => [code, message]), [['ENGINE_IO_ADDRESS_OF', message]])
    socket.close(true)
    assert.equal((await handshake(context)).status, 200)
  })
}

test('the address is that of the TCP connection by default', async () => {
  const context = await listen({ limits: { maxConnectionsPerAddress: 1 } })
  await openWebSocket(context)
  assert.equal((await openRaw(context)).status, 400)
  assert.equal((await handshake(context, { localAddress: '127.0.0.2' })).status, 200)
})

test('more than handshakesPerSecond are refused, and there are as many again a second later', async () => {
  const context = await listen({ limits: { handshakesPerSecond: 5 } })
  const seen = errors(context)
  const burst = async () =>
    (await Promise.all(Array.from({ length: 10 }, () => handshake(context)))).map(({ status }) => status)
  const start = performance.now()
  const first = await burst()
  // and one more for each fifth of a second that it has taken
  const most = 5 + Math.ceil((performance.now() - start) / 200)
  const served = first.filter((status) => status === 200).length
  assert.ok(served >= 5 && served <= most, `${first}, at most ${most}`)
  assert.equal(seen[0].name, 'TOO_MANY_HANDSHAKES')
  await delay(1050)
  assert.ok((await burst()).filter((status) => status === 200).length >= 5)
})

test('an allowRequest that takes longer than handshakeTimeout refuses the request', async () => {
  const late = []
  const context = await listen({ limits: { handshakeTimeout: 100 }, allowRequest: (req, fn) => late.push(fn) })
  const seen = errors(context)
  const response = await handshake(context)
  assert.equal(response.status, 400)
  assert.deepEqual(JSON.parse(response.body), { code: 3, message: 'Handshake timeout' })
  assert.equal((await openRaw(context)).status, 400)
  assert.deepEqual(
    seen.map(({ code, name, limit }) => ({ code, name, limit })),
    Array(2).fill({ code: 3, name: 'HANDSHAKE_TIMEOUT', limit: 100 }),
  )
  // an answer that comes after that is too late
  for (const fn of late) fn(null, true)
  await delay(50)
  assert.equal(context.engine.clientsCount, 0)
})

test('a generateId that takes longer than handshakeTimeout opens no session', async () => {
  const context = await listen({ limits: { handshakeTimeout: 100 } })
  const seen = errors(context)
  const given = []
  context.engine.generateId = () => new Promise((resolve) => given.push(resolve))
  assert.equal((await handshake(context)).status, 400)
  const raw = await openRaw(context)
  await raw.end()
  assert.deepEqual(
    seen.map(({ name }) => name),
    ['HANDSHAKE_TIMEOUT', 'HANDSHAKE_TIMEOUT'],
  )
  for (const [i, resolve] of given.entries()) resolve(`late${i}`)
  await delay(50)
  assert.equal(context.engine.clientsCount, 0)
})

test('a polling session that is left alone after its handshake is closed after handshakeTimeout', async () => {
  const context = await listen({ limits: { handshakeTimeout: 1000 } })
  const seen = errors(context)
  const polled = await openPolling(context)
  polled.peer.poll()
  await eventually(() => polled.socket.transport.writable, true)
  const websocket = await openWebSocket(context)
  // the last, so that the time of the others is over, too
  const alone = await openPolling(context)
  const [reason, error] = await once(alone.socket, 'close')
  assert.deepEqual([reason, error.message], ['transport error', 'handshake timeout'])
  assert.deepEqual(seen, [
    { code: 3, message: 'Handshake timeout', name: 'HANDSHAKE_TIMEOUT', limit: 1000, sid: alone.socket.id },
  ])
  assert.deepEqual([polled.socket.readyState, websocket.socket.readyState], ['open', 'open'])
})

test('a polling handshake beyond maxIdlePollingSessions is refused; a second request makes room', async () => {
  const context = await listen({ limits: { maxIdlePollingSessions: 2 } })
  const seen = errors(context)
  const first = await openPolling(context)
  const second = await openPolling(context)
  assert.equal((await handshake(context)).status, 403)
  assert.deepEqual(seen, [{ code: 4, message: 'Too many idle sessions', name: 'TOO_MANY_IDLE_SESSIONS', limit: 2 }])
  // those who come by websocket are not meant
  await openWebSocket(context)
  first.peer.poll()
  await eventually(() => first.socket.transport.writable, true)
  const third = await handshake(context)
  assert.equal(third.status, 200)
  // nor does an upgrade count as idle
  await upgradeTo(context, second.peer.sid)
  await delay(50)
  assert.equal((await handshake(context)).status, 200)
  assert.equal((await handshake(context)).status, 403)
})

test('a POST with more than maxPacketsPerPayload is refused and ends the session', async () => {
  const context = await listen({ limits: { maxPacketsPerPayload: 3 }, allowEIO3: true })
  const seen = errors(context)
  const { peer, socket } = await openPolling(context)
  const messages = record(socket, 'message', (_, data) => data)
  assert.equal((await peer.post('4a\x1e4b\x1e4c')).status, 200)
  const closed = once(socket, 'close')
  const refused = await peer.post('4a\x1e4b\x1e4c\x1e4d')
  assert.equal(refused.status, 400)
  assert.deepEqual(JSON.parse(refused.body), { code: 3, message: 'Too many packets' })
  const [reason, error] = await closed
  assert.deepEqual([reason, error.message], ['transport error', 'too many packets'])
  assert.deepEqual(seen, [{ code: 3, message: 'Too many packets', name: 'TOO_MANY_PACKETS', limit: 3 }])
  assert.deepEqual(messages, ['a', 'b', 'c'])
})

test('packets of protocol 3 are counted, too', async () => {
  const context = await listen({ limits: { maxPacketsPerPayload: 3 }, allowEIO3: true })
  const seen = errors(context)
  const { body } = await request({ port: context.port, path: path(context, { EIO: '3' }) })
  const [, sid] = /"sid":"([^"]+)"/.exec(body)
  const post = (payload) =>
    request({ port: context.port, path: path(context, { EIO: '3', sid }), method: 'POST', body: payload }).then(
      ({ status }) => status,
    )
  assert.equal(await post('2:4a2:4b2:4c'), 200)
  assert.equal(await post('2:4a2:4b2:4c2:4d'), 400)
  assert.deepEqual(
    seen.map(({ name }) => name),
    ['TOO_MANY_PACKETS'],
  )
})

test('a flood of handshakes with an asynchronous check does not exceed maxConnections', async () => {
  const context = await listen({
    limits: { maxConnections: 5 },
    allowRequest: async (req, fn) => {
      await delay(20)
      fn(null, true)
    },
  })
  const answers = await Promise.all(Array.from({ length: 30 }, () => handshake(context)))
  assert.equal(answers.filter(({ status }) => status === 200).length, 5)
  assert.equal(context.engine.clientsCount, 5)
  const late = await Promise.all(Array.from({ length: 5 }, () => openRaw(context)))
  assert.ok(late.every(({ status }) => status === 400))
})

test('limits can be changed while the server runs', async () => {
  const context = await listen({ limits: { maxConnections: 0 } })
  assert.equal((await handshake(context)).status, 403)
  context.engine.opts.limits.maxConnections = 1
  assert.equal((await handshake(context)).status, 200)
})

test('a WebTransport session beyond maxConnections is closed', async () => {
  const context = await listen({ limits: { maxConnections: 0 }, transports: ['webtransport'] })
  const session = new FakeSession()
  context.engine.onWebTransportSession(session)
  session.openStream().send('open')
  await eventually(() => session.closes, 1)
  assert.equal(context.engine.clientsCount, 0)
})

test('an unknown limit and a value that is none are refused by the constructor', () => {
  const says = (limits, message) => assert.throws(() => new api.Server({ limits }), { name: 'TypeError', message })
  says({ connections: 3 }, /^limits\.connections is unknown; the limits are maxConnections, /)
  for (const value of ['many', '5', ''])
    says(
      { maxConnections: value },
      `limits.maxConnections must be a number that is not negative, got the string '${value}'`,
    )
  says({ maxConnections: null }, 'limits.maxConnections must be a number that is not negative, got null')
  says({ maxConnections: -1 }, 'limits.maxConnections must be a number that is not negative, got -1')
  says({ addressOf: 'header' }, "limits.addressOf must be a function, got the string 'header'")
  says(5, 'limits must be an object, got 5')
  says([], 'limits must be an object, got an array')
  says(null, 'limits must be an object, got null')
})

/** Collects what is thrown, or rejected, and not caught until the test is over. */
function uncaught(t) {
  const messages = []
  const note = ({ message }) => messages.push(message)
  // the test runner has listeners of its own
  const listeners = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', note)
  process.setUncaughtExceptionCaptureCallback(note)
  t.after(() => {
    process.setUncaughtExceptionCaptureCallback(null)
    process.removeListener('unhandledRejection', note)
    for (const listener of listeners) process.on('unhandledRejection', listener)
  })
  return messages
}

for (const event of ['connection_error', 'close']) {
  test(`a ${event} listener that throws does not keep other sessions that are left alone from being closed`, async (t) => {
    const context = await listen({ limits: { handshakeTimeout: 100 } })
    const messages = uncaught(t)
    const fail = () => {
      throw new Error(event)
    }
    if (event === 'connection_error') context.engine.on(event, fail)
    else context.engine.on('connection', (socket) => socket.on(event, fail))
    for (let i = 0; i < 3; i++) await handshake(context)
    await eventually(() => context.engine.clientsCount, 0)
    assert.deepEqual(messages, [event, event, event])
  })
}

// it is asked when a request is checked, before its session is opened, and for the session
for (const [time, status] of [
  [1, 403],
  [2, 400],
  [3, 200],
]) {
  test(`an addressOf that throws when it is asked for the ${time}. time leaves no request without an answer, and no session`, async (t) => {
    let calls = 0
    const addressOf = () => {
      if (++calls === time) throw new Error('addressOf')
      return 'a'
    }
    const context = await listen({ limits: { maxConnectionsPerAddress: 1, addressOf } })
    const messages = uncaught(t)
    const connections = record(context.engine, 'connection')
    assert.equal((await handshake(context)).status, status)
    assert.deepEqual(messages, time === 2 ? [] : ['addressOf'])
    assert.deepEqual([connections, context.engine.clientsCount], [[], 0])
    assert.equal((await handshake(context)).status, 200)
    assert.equal(connections.length, 1)
  })
}

test('a session that ends in any way gives its place back', async () => {
  const context = await listen({
    limits: { maxConnectionsPerAddress: 1, maxConnections: 1, maxIdlePollingSessions: 1 },
  })
  const { peer, socket } = await openWebSocket(context)
  const closed = once(socket, 'close')
  peer.reset()
  await closed
  for (const end of [({ socket }) => socket.close(true), ({ peer }) => peer.post('1'), () => context.engine.close()]) {
    const session = await openPolling(context)
    await end(session)
    await eventually(() => context.engine.clientsCount, 0)
  }
  assert.equal((await handshake(context)).status, 200)
})
