'use strict'

// server.metrics(): one test for each group of numbers. Numbers of the thread are compared with those before, as the
// tests of a file share it.

const assert = require('node:assert/strict')
const https = require('node:https')
const { test } = require('node:test')
const tls = require('node:tls')
const ws = require('ws')
const bridge = require('../../lib/native/bridge')
const { key, cert } = require('../fixtures/tls')
const {
  RawWebSocket,
  defer,
  eventually,
  forgiveStaleCalls,
  listen,
  listenDirectly,
  listenNatively,
  once,
  openPolling,
  openProbing,
  openUpgraded,
  openWebSocket,
  path,
  request,
  times,
  upgradeTo,
  wsClient,
} = require('../support')
const { listenOnUws, skip } = require('../support/userver')

/** The numbers that are not 0, by their paths. */
function nonZero(numbers, at = '') {
  return Object.fromEntries(
    Object.entries(numbers).flatMap(([name, value]) =>
      typeof value === 'object'
        ? Object.entries(nonZero(value, `${at}${name}.`))
        : value === 0
          ? []
          : [[at + name, value]],
    ),
  )
}

/** Returns a function that tells by how much numbers of the thread have grown. */
function growth({ engine }, group) {
  const before = engine.metrics().thread[group]
  return () =>
    Object.fromEntries(Object.entries(engine.metrics().thread[group]).map(([name, now]) => [name, now - before[name]]))
}

/** Handles of sessions and servers, by the way in which clients come. */
const ways = { attach: listen, 'the native listener': listenNatively }

test('a snapshot is a plain object of its own, and says the same as JSON', async () => {
  const { engine } = await listen()
  const metrics = engine.metrics()
  assert.deepEqual(JSON.parse(JSON.stringify(metrics)), metrics)
  assert.deepEqual(nonZero({ ...metrics, thread: {} }), {})
  assert.equal('eventLoop' in metrics.thread, false)
  metrics.refusals.UNKNOWN_SID = metrics.sessions.open.polling[4] = metrics.closes.other = 7
  metrics.upgrades.failed.error = metrics.thread.batches.counts[0] = 7e7
  assert.deepEqual(nonZero({ ...engine.metrics(), thread: {} }), {})
  assert.ok(engine.metrics().thread.batches.counts[0] < 7e7)
})

for (const [way, open] of Object.entries(ways)) {
  test(`sessions count by transport and protocol, with ${way}`, async () => {
    const context = await open({ allowEIO3: true })
    const sessions = () => nonZero(context.engine.metrics().sessions)
    const polling = await openPolling(context)
    const websocket = await openWebSocket(context)
    await openWebSocket(context, { EIO: '3' })
    await openUpgraded(context)
    const opened = { 'opened.polling.4': 2, 'opened.websocket.4': 1, 'opened.websocket.3': 1 }
    await eventually(sessions, {
      'open.polling.4': 1,
      'open.websocket.4': 2,
      'open.websocket.3': 1,
      ...opened,
    })
    polling.socket.close(true)
    websocket.peer.socket.destroy()
    await eventually(sessions, { 'open.websocket.4': 1, 'open.websocket.3': 1, ...opened })
    context.engine.close()
    await eventually(sessions, opened)
  })

  test(`closed sessions count by reason, with ${way}`, async () => {
    const context = await open()
    const closes = () => nonZero(context.engine.metrics().closes)
    const [gone, closed, invalid, tired] = [
      await openWebSocket(context),
      await openWebSocket(context),
      await openWebSocket(context),
      await openWebSocket(context),
    ]
    gone.peer.socket.destroy()
    closed.socket.close()
    invalid.peer.sendText('garbage')
    tired.socket.onClose('tired')
    await eventually(closes, { 'transport close': 1, 'forced close': 1, 'parse error': 1, other: 1 })
    assert.deepEqual(nonZero(context.engine.metrics().sessions.open), {})
  })

  test(`sessions whose client is silent count, with ${way}`, async () => {
    const context = await open({ pingInterval: 20, pingTimeout: 20 })
    const sids = new Set()
    context.engine.on('connection', ({ id }) => sids.add(id))
    const peer = await RawWebSocket.open(context.port, path(context, { transport: 'websocket' }))
    assert.equal(peer.status, 101)
    await eventually(() => nonZero(context.engine.metrics().closes), { 'ping timeout': 1 })
    assert.equal(sids.size, 1)
  })

  test(`refusals count by reason, with ${way}`, async () => {
    const context = await open()
    const ask = (query, options) => request({ port: context.port, path: path(context, query), ...options })
    const { peer } = await openPolling(context)
    const refuse = async () => {
      await ask({ transport: 'pigeon' })
      await ask({ sid: 'nobody' })
      await ask({}, { method: 'POST', body: 'x' })
      await ask({ EIO: '3' })
      await ask({ transport: 'websocket' })
      await ask({ transport: 'websocket', sid: peer.sid })
      await ask({ EIO: '3', sid: peer.sid })
      const head = `GET ${path(context, { transport: 'websocket' })} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n`
      const raw = await RawWebSocket.connect(context.port)
      raw.write(`${head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n`)
      assert.equal((await raw.response()).status, 400)
    }
    const refused = (times) => ({
      UNKNOWN_TRANSPORT: times,
      UNKNOWN_SID: times,
      BAD_HANDSHAKE_METHOD: times,
      UNSUPPORTED_PROTOCOL_VERSION: times,
      TRANSPORT_HANDSHAKE_ERROR: times,
      TRANSPORT_MISMATCH: times,
      PROTOCOL_MISMATCH: times,
      INVALID_UPGRADE: times,
    })
    const refusals = () => nonZero(context.engine.metrics().refusals)
    await refuse()
    await eventually(refusals, refused(1))
    // whether somebody listens makes no difference
    const errors = []
    context.engine.on('connection_error', ({ code }) => errors.push(code))
    await refuse()
    await eventually(refusals, refused(2))
    await eventually(() => errors.length, 7)
    assert.deepEqual(refusals(), refused(2))
  })

  test(`upgrades count by how they end, with ${way}`, async () => {
    const context = await open()
    const upgrades = () => nonZero(context.engine.metrics().upgrades)
    await openUpgraded(context)
    await eventually(upgrades, { started: 1, completed: 1 })
    const closed = await openProbing(context)
    closed.peer.socket.destroy()
    await eventually(upgrades, { started: 2, completed: 1, 'failed.closed': 1 })
    const ended = await openProbing(context)
    ended.socket.close(true)
    await eventually(upgrades, { started: 3, completed: 1, 'failed.closed': 1, 'failed.sessionEnded': 1 })
    const failed = await openProbing(context)
    failed.peer.sendFrame({ opcode: 3, payload: '' })
    await eventually(() => upgrades()['failed.error'], 1)
  })

  test(`upgrades that take too long count, with ${way}`, async () => {
    const context = await open({ upgradeTimeout: 20 })
    const { peer } = await openPolling(context)
    await upgradeTo(context, peer.sid)
    await eventually(() => nonZero(context.engine.metrics().upgrades), { started: 1, 'failed.givenUp': 1 })
  })
}

test('what a native listener has refused still counts when it has closed, and when it listens again', async () => {
  const { engine, server, port } = await listenNatively()
  const refuse = (port) => request({ port, path: '/engine.io/?EIO=4&transport=pigeon' })
  await refuse(port)
  const closed = once(server, 'close')
  server.close()
  await closed
  assert.equal(engine.metrics().refusals.UNKNOWN_TRANSPORT, 1)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  await refuse(server.address().port)
  await eventually(() => engine.metrics().refusals.UNKNOWN_TRANSPORT, 2)
})

test('refusals by hooks, middlewares and limits have their own reasons', async () => {
  const context = await listen({
    allowRequest: (req, fn) => fn('no', !req.url.includes('bad')),
    limits: { maxConnections: 1 },
  })
  const ask = (query) => request({ port: context.port, path: path(context, query) })
  await ask({ bad: '1' })
  await openPolling(context)
  await ask()
  context.engine.use((req, res, next) => next(new Error('no')))
  await ask()
  context.engine.emit('connection_error', { code: 0 })
  assert.deepEqual(nonZero(context.engine.metrics().refusals), {
    FORBIDDEN: 1,
    TOO_MANY_CONNECTIONS: 1,
    MIDDLEWARE_FAILURE: 1,
  })
})

test('an upgrade that cannot start counts as refused', async () => {
  const context = await listen()
  const { polling } = await openProbing(context)
  await upgradeTo(context, polling.sid)
  await eventually(() => nonZero(context.engine.metrics().upgrades), { started: 1, refused: 1 })
})

test('several servers of a thread count their own sessions, refusals and upgrades', async () => {
  const [one, other] = [await listen(), await listen()]
  await openUpgraded(one)
  await request({ port: one.port, path: path(one, { sid: 'nobody' }) })
  const { sessions, refusals, upgrades, thread } = one.engine.metrics()
  assert.deepEqual([sessions.open.websocket[4], refusals.UNKNOWN_SID, upgrades.completed], [1, 1, 1])
  const others = other.engine.metrics()
  assert.deepEqual(nonZero({ ...others, thread: {} }), {})
  assert.equal(others.thread.polling.polls, thread.polling.polls)
})

/** Echoes three messages of 1, 5 and 3 bytes, one of them binary. */
async function echo(socket, send, next) {
  socket.on('message', (data) => socket.send(data))
  for (const data of ['a', '€uro'.slice(0, 3), Buffer.from([1, 2, 3])]) {
    send(data)
    await next(data)
  }
}

const nine = { received: 3, receivedBytes: 9, sent: 3, sentBytes: 9 }

async function overTls() {
  const context = await listen({}, https.createServer({ key, cert }))
  const stream = tls.connect({ host: '127.0.0.1', port: context.port, ca: cert, servername: 'localhost' })
  defer(() => stream.destroy())
  await once(stream, 'secureConnect')
  const connected = once(context.engine, 'connection')
  const peer = await RawWebSocket.over(stream, path(context, { transport: 'websocket' })).response()
  await peer.packet()
  return { context, peer, socket: (await connected)[0] }
}

async function overTcp(open, opts) {
  const context = await open(opts)
  return { context, ...(await openWebSocket(context)) }
}

const websockets = {
  'that the engine carries': () => overTcp(listen),
  'of listen()': () => overTcp(listenDirectly),
  'of the native listener': () => overTcp(listenNatively),
  'over TLS': overTls,
  'with a listener for its packets': async () => {
    const opened = await overTcp(listen)
    opened.socket.transport.on('packet', () => {})
    return opened
  },
  'with a listener for the packets of the session': async () => {
    const opened = await overTcp(listen)
    opened.socket.on('packet', () => {})
    return opened
  },
}

for (const [which, open] of Object.entries(websockets)) {
  test(`messages, frames and bytes of a WebSocket ${which} count both ways`, async () => {
    const { context, peer, socket } = await open()
    await eventually(() => socket.transport.writable, true)
    const messages = growth(context, 'messages')
    const frames = growth(context, 'websocket')
    const send = (data) => (typeof data === 'string' ? peer.sendText(`4${data}`) : peer.sendBinary(data))
    await echo(socket, send, () => peer.frame())
    // bytes of what JavaScript decodes do not count
    const isDecoded = which === 'with a listener for its packets'
    await eventually(messages, isDecoded ? { ...nine, receivedBytes: 0 } : nine)
    // header, mask and packet type; header and packet type
    const wire = { framesReceived: 3, receivedBytes: 9 + 3 * 6 + 2, framesSent: 3, sentBytes: 9 + 3 * 2 + 2 }
    await eventually(frames, { ...wire, congestions: 0 })
    peer.sendFrame({ opcode: 9, payload: 'ping' })
    await peer.frame()
    const all = {
      framesReceived: 4,
      receivedBytes: wire.receivedBytes + 10,
      framesSent: 4,
      sentBytes: wire.sentBytes + 6,
    }
    await eventually(frames, { ...all, congestions: 0 })
    assert.equal(messages().received, 3)
  })
}

test('several messages at once and a broadcast count one by one', async () => {
  const context = await listen()
  const peers = [await openWebSocket(context), await openWebSocket(context), await openWebSocket(context)]
  await eventually(() => peers.every(({ socket }) => socket.transport.writable), true)
  const messages = growth(context, 'messages')
  const frames = growth(context, 'websocket')
  for (const { socket } of peers) socket.send('to all')
  for (const { peer } of peers) assert.equal(await peer.packet(), '4to all')
  assert.deepEqual(messages(), { received: 0, receivedBytes: 0, sent: 3, sentBytes: 18 })
  const [{ peer, socket }] = peers
  socket.send('x', {}, () => {})
  for (let i = 0; i < 20; i++) socket.send('y')
  for (let i = 0; i < 21; i++) await peer.frame()
  assert.deepEqual(messages(), { received: 0, receivedBytes: 0, sent: 24, sentBytes: 39 })
  await eventually(() => frames().framesSent, 24)
})

test('server.broadcast() counts a message for each recipient', async () => {
  const context = await listen()
  const peers = [await openWebSocket(context), await openWebSocket(context)]
  await eventually(() => peers.every(({ socket }) => socket.transport.writable), true)
  const messages = growth(context, 'messages')
  context.engine.broadcast(
    peers.map(({ socket }) => socket.id),
    'hello',
  )
  for (const { peer } of peers) assert.equal(await peer.packet(), '4hello')
  assert.deepEqual(messages(), { received: 0, receivedBytes: 0, sent: 2, sentBytes: 10 })
})

test('compressed messages count with their plain length, and their frames with what goes over the wire', async () => {
  const context = await listen({ perMessageDeflate: { threshold: 10 } })
  const connected = once(context.engine, 'connection')
  const peer = await wsClient(context.port, path(context, { transport: 'websocket' }))
  assert.equal(peer.extensions, 'permessage-deflate')
  const [socket] = await connected
  await peer.next()
  await eventually(() => socket.transport.writable, true)
  const messages = growth(context, 'messages')
  const frames = growth(context, 'websocket')
  const data = 'z'.repeat(1000)
  socket.send(data)
  assert.equal(await peer.next(), `4${data}`)
  assert.deepEqual(messages(), { received: 0, receivedBytes: 0, sent: 1, sentBytes: 1000 })
  await eventually(() => frames().framesSent, 1)
  assert.ok(frames().sentBytes > 0 && frames().sentBytes < 100)
  const heard = once(socket, 'message')
  peer.send(`4${data}`)
  await heard
  await eventually(messages, { received: 1, receivedBytes: 1000, sent: 1, sentBytes: 1000 })
  assert.equal(frames().framesReceived, 1)
  assert.ok(frames().receivedBytes < 100)
})

test('a broadcast with frames of its own counts its messages', async () => {
  const context = await listen()
  const peers = [await openWebSocket(context), await openWebSocket(context)]
  await eventually(() => peers.every(({ socket }) => socket.transport.writable), true)
  const messages = growth(context, 'messages')
  const wsPreEncodedFrame = [Buffer.from([0x81, 6]), Buffer.from('4hello')]
  for (const { socket } of peers) socket.send('hello', { wsPreEncodedFrame })
  for (const { peer } of peers) assert.equal(await peer.packet(), '4hello')
  assert.deepEqual(messages(), { received: 0, receivedBytes: 0, sent: 2, sentBytes: 10 })
})

for (const [way, open] of Object.entries(ways)) {
  test(`polls, POSTs, and their messages and bytes count, with ${way}`, async () => {
    const context = await open()
    const { peer, socket } = await openPolling(context)
    const messages = growth(context, 'messages')
    const requests = growth(context, 'polling')
    const send = (data) => peer.post(typeof data === 'string' ? `4${data}` : `b${data.toString('base64')}`)
    let sentBytes = 0
    await echo(socket, send, async () => {
      sentBytes += Buffer.byteLength((await peer.poll()).body)
    })
    await eventually(messages, nine)
    await eventually(requests, { polls: 3, sentBytes, posts: 3, receivedBytes: 2 + 6 + 5 })
    // those without a message, too
    socket.sendPacket('noop')
    await peer.poll()
    await eventually(requests, { polls: 4, sentBytes: sentBytes + 1, posts: 3, receivedBytes: 13 })
    assert.deepEqual(messages(), nine)
  })
}

test('messages that JavaScript moves by a wsEngine count without their bytes', async () => {
  const context = await listen({ wsEngine: ws.Server })
  const { peer, socket } = await openWebSocket(context)
  const messages = growth(context, 'messages')
  const send = (data) => (typeof data === 'string' ? peer.sendText(`4${data}`) : peer.sendBinary(data))
  await echo(socket, send, () => peer.frame())
  assert.deepEqual(messages(), { received: 3, receivedBytes: 0, sent: 3, sentBytes: 0 })
})

test('sessions, refusals and messages of a uServer count', { skip }, async () => {
  const context = await listenOnUws()
  const { peer, socket } = await openWebSocket(context)
  const messages = growth(context, 'messages')
  const send = (data) => (typeof data === 'string' ? peer.sendText(`4${data}`) : peer.sendBinary(data))
  await echo(socket, send, () => peer.frame())
  assert.deepEqual(messages(), { received: 3, receivedBytes: 0, sent: 3, sentBytes: 0 })
  await request({ port: context.port, path: path(context, { sid: 'nobody' }) })
  const { sessions, refusals } = context.engine.metrics()
  assert.deepEqual([sessions.open.websocket[4], refusals.UNKNOWN_SID], [1, 1])
})

/** More than the kernel takes for a peer that does not read. */
const MUCH = 16 * 2 ** 20

/** Has much wait for a client that does not read. */
async function clog({ engine }, { peer, socket }) {
  peer.socket.pause()
  const data = 'x'.repeat(64 * 1024)
  const backpressure = () => engine.metrics().backpressure
  for (let i = 0; i < 2000 && backpressure().bytes < MUCH; i++) {
    socket.send(data)
    await new Promise(setImmediate)
  }
  return backpressure
}

for (const [which, open] of [
  ['that the engine carries', () => overTcp(listen)],
  ['over TLS', overTls],
]) {
  test(`a client ${which} that does not read counts with the bytes that wait for it, until it reads`, async () => {
    const opened = await open()
    const { context, peer, socket } = opened
    const { congestions } = context.engine.metrics().thread.websocket
    const other = await listen()
    const backpressure = await clog(context, opened)
    assert.equal(backpressure().sessions, 1)
    // packets in `writeBuffer` wait, too; the kernel may take some at any time
    const most = socket.bufferedAmount
    const { bytes } = backpressure()
    assert.ok(most >= bytes && bytes >= socket.bufferedAmount && bytes > 0, `${bytes} bytes`)
    assert.ok(context.engine.metrics().thread.websocket.congestions > congestions)
    assert.equal(other.engine.metrics().backpressure.sessions, 0)
    peer.socket.resume()
    // that takes a while on a busy machine
    await eventually(() => [backpressure().sessions, backpressure().bytes], [0, 0], 60_000)
  })
}

test('a client that does not read no longer counts when it is gone', async () => {
  const context = await listen()
  for (const end of [({ peer }) => peer.socket.destroy(), ({ socket }) => socket.transport.socket.terminate()]) {
    const opened = await openWebSocket(context)
    const backpressure = await clog(context, opened)
    assert.equal(backpressure().sessions, 1)
    end(opened)
    await eventually(() => [backpressure().sessions, backpressure().bytes], [0, 0])
  }
})

test('what maxBackpressure closes and drops is counted', async () => {
  const context = await listen({ maxBackpressure: 1000, backpressurePolicy: 'drop-volatile' })
  const { socket } = await openPolling(context)
  socket.send('x'.repeat(900))
  socket.send('y'.repeat(900), { volatile: true })
  socket.send('y'.repeat(900), { volatile: true })
  const { closed, dropped } = context.engine.metrics().backpressure
  assert.deepEqual([closed, dropped, socket.readyState], [0, 2, 'open'])
  socket.send('z'.repeat(900))
  assert.deepEqual([context.engine.metrics().backpressure.closed, socket.readyState], [1, 'closed'])
})

test('batches count by their size, and of some the time that they have waited', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  const { batches, delay } = context.engine.metrics().thread
  // each answer is awaited, so that each message is a batch
  socket.on('message', (data) => socket.send(data))
  for (let i = 0; i < 100; i++) {
    peer.sendText('4x')
    await peer.frame()
  }
  const { batches: after, delay: waited } = context.engine.metrics().thread
  for (const { bounds, counts, count } of [after, waited]) {
    assert.equal(counts.length, bounds.length + 1)
    assert.equal(
      counts.reduce((sum, each) => sum + each, 0),
      count,
    )
    assert.deepEqual(
      bounds,
      [...bounds].sort((a, b) => a - b),
    )
  }
  assert.ok(after.count - batches.count >= 100, `${after.count - batches.count} batches`)
  assert.ok(after.sum - batches.sum >= 100)
  assert.ok(after.counts[0] > batches.counts[0])
  // one of eight
  assert.ok(waited.count - delay.count >= 10, `${waited.count - delay.count} delays`)
  assert.ok(waited.sum > delay.sum)
})

test('what waits for JavaScript counts while JavaScript is busy, and the delay tells how long', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  const busy = new Int32Array(new SharedArrayBuffer(4))
  const late = () => {
    const { bounds, counts } = context.engine.metrics().thread.delay
    return counts.filter((_, index) => index > bounds.indexOf(25)).reduce((sum, count) => sum + count, 0)
  }
  const before = late()
  // one batch of eight is timed
  for (let i = 0; i < 100 && late() === before; i++) {
    const heard = times(socket, 'message', 1)
    peer.sendText('4hello')
    const end = Date.now() + 5000
    while (context.engine.metrics().thread.untakenBytes === 0 && Date.now() < end) Atomics.wait(busy, 0, 0, 1)
    assert.ok(context.engine.metrics().thread.untakenBytes > 0)
    Atomics.wait(busy, 0, 0, 30)
    await heard
    await eventually(() => context.engine.metrics().thread.untakenBytes, 0)
  }
  assert.ok(late() > before)
})

test('calls with a stale handle count', async () => {
  const { engine } = await listen()
  const before = engine.metrics().thread.staleCalls
  const channel = bridge.getEngine().openChannel()
  bridge.getEngine().dropChannel(channel)
  bridge.getEngine().dropChannel(channel)
  assert.equal(engine.metrics().thread.staleCalls, before + 1)
  forgiveStaleCalls()
})

test('metrics() throws for options that it does not have', async () => {
  const { engine } = await listen()
  for (const [options, message] of [
    [[], 'the options of metrics() must be an object, got an array'],
    [{ evenLoop: true }, 'the option evenLoop of metrics() is unknown; the option is eventLoop'],
    [{ eventLoop: 'yes' }, "the option eventLoop of metrics() must be a boolean, got the string 'yes'"],
  ]) {
    assert.throws(() => engine.metrics(options), { name: 'TypeError', message })
  }
  assert.equal('eventLoop' in engine.metrics({ eventLoop: undefined }).thread, false)
})

test('the delay of the event loop is measured once somebody asks for it, from one call to the next', async () => {
  const { engine } = await listen()
  const first = engine.metrics({ eventLoop: true }).thread.eventLoop
  assert.deepEqual(first, { count: 0, mean: 0, p50: 0, p99: 0, max: 0 })
  const busy = new Int32Array(new SharedArrayBuffer(4))
  let seen = { max: 0 }
  for (let i = 0; i < 100 && seen.max < 40; i++) {
    // the measurement looks in the loop's next turn
    await new Promise((resolve) => setTimeout(resolve, 20))
    Atomics.wait(busy, 0, 0, 60)
    await new Promise((resolve) => setTimeout(resolve, 20))
    seen = engine.metrics({ eventLoop: true }).thread.eventLoop
  }
  assert.ok(seen.count > 0 && seen.max >= 40, JSON.stringify(seen))
  assert.ok(seen.mean <= seen.max && seen.p50 <= seen.p99 && seen.p99 <= seen.max)
  assert.equal('eventLoop' in engine.metrics().thread, false)
})
