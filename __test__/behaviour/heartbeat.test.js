'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { performance } = require('node:perf_hooks')
const {
  RawPeer,
  client,
  delay,
  eventually,
  improvement,
  listen,
  never,
  once,
  onceOfNext,
  openPolling,
  openUpgraded,
  openWebSocket,
  record,
  times,
  upgradeTo,
} = require('../support')

/**
 * Fails if something came before its time; 15 ms of early firing are forgiven. How late it may be is the machine's affair,
 * up to the deadline of whoever waits for it.
 */
function notBefore(ms, from) {
  assert.ok(ms >= from - 15, `${ms} ms is before ${from} ms`)
}

async function since(start, promise) {
  const value = await promise
  return [Date.now() - start, value]
}

for (const events of [['flush'], ['drain'], ['packetCreate'], ['flush', 'drain', 'packetCreate']]) {
  test(`listeners of ${events.join(', ')} alone hear of pings`, async () => {
    const { peer, socket } = await openWebSocket(await listen({ pingInterval: 300 }))
    const log = record(socket, events, (event) => event)
    assert.equal(await peer.packet(), '2')
    const expected = ['packetCreate', 'flush', 'drain'].filter((event) => events.includes(event))
    await eventually(() => log, expected)
  })
}

test('listeners of flush and drain of the server alone hear of pings', async () => {
  const context = await listen({ pingInterval: 300 })
  const log = record(context.engine, ['flush', 'drain'], (event) => event)
  const { peer } = await openWebSocket(context)
  log.length = 0
  assert.equal(await peer.packet(), '2')
  await eventually(() => log, ['flush', 'drain'])
})

test('close() in a packetCreate listener keeps the ping back', async () => {
  const { peer, socket } = await openWebSocket(await listen({ pingInterval: 300 }))
  socket.on('packetCreate', () => socket.close())
  assert.equal((await peer.closeFrame()).code, undefined)
})

test('the server sends the first ping after pingInterval', async () => {
  const start = Date.now()
  const { peer } = await openWebSocket(await listen({ pingInterval: 200 }))
  const [ms, packet] = await since(start, peer.packet())
  assert.equal(packet, '2')
  notBefore(ms, 190)
})

test('the next ping comes pingInterval after the pong', async () => {
  const { peer } = await openWebSocket(await listen({ pingInterval: 150 }))
  assert.equal(await peer.packet(), '2')
  await delay(100)
  const start = Date.now()
  peer.sendText('3')
  const [ms, packet] = await since(start, peer.packet())
  assert.equal(packet, '2')
  notBefore(ms, 145)
})

test('a client that pongs stays connected beyond pingInterval + pingTimeout', async () => {
  const { peer, socket } = await openWebSocket(await listen({ pingInterval: 50, pingTimeout: 500 }))
  for (let i = 0; i < 14; i++) {
    assert.equal(await peer.packet(), '2')
    peer.sendText('3')
  }
  assert.equal(socket.readyState, 'open')
})

test('a websocket client that does not pong is closed with ping timeout', async () => {
  const context = await listen({ pingInterval: 100, pingTimeout: 100 })
  const closed = onceOfNext(context, 'close')
  const start = Date.now()
  const { peer } = await openWebSocket(context)
  const [ms, args] = await since(start, closed)
  assert.deepEqual(args, ['ping timeout', undefined])
  notBefore(ms, 190)
  assert.equal(context.engine.clientsCount, 0)
  assert.equal((await peer.closeFrame()).payload.length, 0)
})

test('a ping timeout answers the pending poll with a close packet', async () => {
  // a client whose deadline is looked at more than a quarter late gets another ping
  const { peer, socket } = await openPolling(await listen({ pingInterval: 50, pingTimeout: 1600 }))
  const closed = once(socket, 'close')
  assert.equal((await peer.poll()).body, '2')
  const { response } = await peer.pendingPoll()
  const [reason] = await closed
  assert.equal(reason, 'ping timeout')
  assert.equal((await response).body, '1')
})

test('a polling client that never polls is closed with ping timeout', async () => {
  const context = await listen({ pingInterval: 100, pingTimeout: 100 })
  const closed = onceOfNext(context, 'close')
  const start = Date.now()
  const { peer } = await openPolling(context)
  const [ms, args] = await since(start, closed)
  assert.deepEqual(args, ['ping timeout', undefined])
  notBefore(ms, 180)
  assert.equal((await peer.poll()).status, 400)
})

test('the pending poll is answered with the ping', async () => {
  const { peer, socket } = await openPolling(await listen({ pingInterval: 100 }))
  assert.equal((await peer.poll()).body, '2')
  const heartbeat = once(socket, 'heartbeat')
  await peer.post('3')
  await heartbeat
})

test('a pong is a packet event and then a heartbeat event, without arguments', async () => {
  const { peer, socket } = await openWebSocket(await listen({ pingInterval: 200 }))
  const events = record(socket, ['packet', 'heartbeat', 'data', 'message'])
  await peer.packet()
  const heartbeat = once(socket, 'heartbeat')
  peer.sendText('3')
  await heartbeat
  assert.deepEqual(events, [['packet', { type: 'pong' }], ['heartbeat']])
})

test('the data of a pong is ignored', async () => {
  const { peer, socket } = await openWebSocket(await listen({ pingInterval: 50 }))
  await peer.packet()
  const heartbeat = once(socket, 'heartbeat')
  peer.sendText('3whatever')
  assert.deepEqual(await heartbeat, [])
  assert.equal(socket.readyState, 'open')
})

test('a ping is created, flushed and drained like any packet', async () => {
  const { peer, socket } = await openWebSocket(await listen({ pingInterval: 200 }))
  const events = record(socket, ['packetCreate', 'flush', 'drain'], (event, packet) =>
    event === 'packetCreate' ? [event, packet.type] : [event],
  )
  const drained = once(socket, 'drain')
  assert.equal(await peer.packet(), '2')
  await drained
  assert.deepEqual(events, [['packetCreate', 'ping'], ['flush'], ['drain']])
})

test('a pong nobody asked for is a heartbeat and postpones the next ping', async () => {
  const { peer, socket } = await openWebSocket(await listen({ pingInterval: 1500 }))
  const created = record(socket, 'packetCreate')
  await delay(800)
  const heartbeat = once(socket, 'heartbeat')
  peer.sendText('3')
  await heartbeat
  await delay(800) // 1600 ms after the opening, 800 ms after the pong
  assert.deepEqual(created, [])
  assert.equal(await peer.packet(), '2')
})

test('the first packet during the wait for a pong extends the deadline once', async () => {
  const { peer, socket } = await openWebSocket(await listen({ pingInterval: 50, pingTimeout: 600 }))
  const closed = once(socket, 'close')
  assert.equal(await peer.packet(), '2')
  const start = Date.now()
  const chatter = setInterval(() => peer.sendText('4busy'), 150) // the first after 150 ms
  await delay(1)
  const [ms, [reason]] = await since(start, closed)
  clearInterval(chatter)
  assert.equal(reason, 'ping timeout')
  notBefore(ms, 735)
})

test('ping frames of the websocket do not count as heartbeats', async () => {
  const context = await listen({ pingInterval: 50, pingTimeout: 150 })
  const closed = onceOfNext(context, 'close')
  const start = Date.now()
  const { peer } = await openWebSocket(context)
  const chatter = setInterval(() => peer.sendFrame({ opcode: 9 }), 30)
  const [ms, [reason]] = await since(start, closed)
  clearInterval(chatter)
  assert.equal(reason, 'ping timeout')
  notBefore(ms, 180)
})

test('pings go on over the websocket after an upgrade', async () => {
  const { peer, socket } = await openUpgraded(await listen({ pingInterval: 150, pingTimeout: 600 }))
  for (let i = 0; i < 2; i++) {
    assert.equal(await peer.packet(), '2')
    const heartbeat = once(socket, 'heartbeat')
    peer.sendText('3')
    await heartbeat
  }
  const closed = once(socket, 'close')
  assert.equal(await peer.packet(), '2')
  assert.equal((await closed)[0], 'ping timeout')
})

test('a slow upgrade does not disturb the heartbeat', async () => {
  const context = await listen({ pingInterval: 80, pingTimeout: 2000 })
  const { peer: polling, socket } = await openPolling(context)
  const peer = await upgradeTo(context, polling.sid)
  peer.sendText('2probe')
  await peer.packet()
  while ((await polling.poll()).body !== '2'); // a noop of the probe may come first
  await polling.post('3')
  peer.sendText('5')
  await once(socket, 'upgrade')
  assert.equal(await peer.packet(), '2')
  const heartbeat = once(socket, 'heartbeat')
  peer.sendText('3')
  await heartbeat
  assert.equal(socket.readyState, 'open')
})

test('a ping timeout while upgrading closes the new connection', async () => {
  const context = await listen({ pingInterval: 100, pingTimeout: 500 })
  const { peer: polling, socket } = await openPolling(context)
  const closed = once(socket, 'close')
  const peer = await upgradeTo(context, polling.sid)
  peer.sendText('2probe')
  await peer.closeFrame()
  assert.equal((await closed)[0], 'ping timeout')
})

/** A polling session whose ping waits for a poll: `{ context, peer, socket, closed, errors, deadline }`. */
async function openPinged(pingTimeout = 200) {
  const context = await listen({ pingInterval: 150, pingTimeout })
  const errors = record(context.engine, 'connection_error', (_, { code, context: reason }) => [code, reason])
  const closed = onceOfNext(context, 'close')
  const pinged = onceOfNext(context, 'packetCreate').then(() => performance.now())
  const { peer, socket } = await openPolling(context)
  return { context, peer, socket, closed, errors, deadline: (await pinged) + pingTimeout }
}

/** Does nothing else until so many ms after `deadline`. */
function blockUntil(deadline, ms) {
  while (performance.now() < deadline + ms);
}

const UNKNOWN = '{"code":1,"message":"Session ID unknown"}'

for (const late of [1, 20, 300]) {
  test(`a poll that is sent ${late} ms after the deadline is refused, though the thread was busy and no timer has fired`, async () => {
    const { peer, closed, errors, deadline } = await openPinged()
    blockUntil(deadline, late)
    const { status, body } = await peer.poll()
    assert.deepEqual([status, body], [400, UNKNOWN])
    assert.deepEqual(await closed, ['ping timeout', undefined])
    assert.deepEqual(errors, [[1, { sid: peer.sid }]])
  })

  test(`a poll that is read ${late} ms after the deadline is refused, though the thread was busy and no timer has fired`, async () => {
    const { context, peer, closed, deadline } = await openPinged()
    const raw = await RawPeer.connect(context.port)
    raw.write(`GET ${peer.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    blockUntil(deadline, late)
    await raw.end()
    assert.match(raw.text, /^HTTP\/1\.1 400 Bad Request\r\n/)
    assert.ok(raw.text.includes(UNKNOWN), raw.text)
    assert.deepEqual(await closed, ['ping timeout', undefined])
  })
}

test('a poll just before the deadline gets the ping', async () => {
  const { peer, socket } = await openPinged(10_000)
  assert.equal((await peer.poll()).body, '2')
  assert.equal(socket.readyState, 'open')
})

test('a client that goes away with a poll that is too late leaves nothing behind', async () => {
  const { context, peer, closed, deadline } = await openPinged()
  const raw = await RawPeer.connect(context.port)
  raw.write(`GET ${peer.path} HTTP/1.1\r\nHost: x\r\n\r\n`)
  raw.reset()
  blockUntil(deadline, 20)
  await closed
  assert.equal(context.engine.clientsCount, 0)
})

improvement(
  'D-3: a blocked event loop',
  'an answer to the ping that waited to be read with a poll lets the session go on',
  async () => {
    const { context, peer, socket, deadline } = await openPinged(1000)
    assert.equal((await peer.poll()).body, '2')
    const raw = [await RawPeer.connect(context.port), await RawPeer.connect(context.port)]
    const heartbeat = once(socket, 'heartbeat')
    // the poll is read first
    raw[0].write(`GET ${peer.path} HTTP/1.1\r\nHost: x\r\n\r\n`)
    raw[1].write(`POST ${peer.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n3`)
    blockUntil(deadline, 300)
    await heartbeat
    socket.send('alive')
    await raw[0].match(/4alive$/)
    assert.equal(socket.readyState, 'open')
  },
)

improvement(
  'D-3: a blocked event loop',
  'a late poll behind another request ends its session if the client goes before the answer to the ping is read',
  async () => {
    const { context, peer, socket, deadline } = await openPinged(1000)
    assert.equal((await peer.poll()).body, '2')
    const raw = [await RawPeer.connect(context.port), await RawPeer.connect(context.port)]
    const closed = once(socket, 'close')
    // nothing answers the first one
    raw[0].write(`GET / HTTP/1.1\r\nHost: x\r\n\r\nGET ${peer.path} HTTP/1.1\r\nHost: x\r\n\r\n`)
    raw[0].reset()
    raw[1].write(`POST ${peer.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n3`)
    blockUntil(deadline, 300)
    const [reason, error] = await closed
    assert.deepEqual([reason, error.message], ['transport error', 'poll connection closed prematurely'])
  },
)

improvement(
  'D-3: a blocked event loop',
  'a client whose deadline is looked at more than a quarter of pingTimeout late gets one more ping, and ends if it is silent',
  async () => {
    const { socket, closed, deadline } = await openPinged()
    blockUntil(deadline, 100)
    const [{ type }] = await once(socket, 'packetCreate')
    assert.equal(type, 'ping')
    assert.equal(socket.readyState, 'open')
    assert.deepEqual(await closed, ['ping timeout', undefined])
  },
)

test('a POST without an answer to the ping, of a client that polls in time, puts the deadline off once', async () => {
  const { peer, socket, closed } = await openPinged(1000)
  assert.equal((await peer.poll()).body, '2')
  const message = once(socket, 'message')
  await peer.post('4still here')
  assert.deepEqual(await message, ['still here'])
  assert.deepEqual(await closed, ['ping timeout', undefined])
})

test('a closing session can still end with ping timeout', async () => {
  const context = await listen({ pingInterval: 50, pingTimeout: 100 })
  const closed = onceOfNext(context, 'close')
  const { socket } = await openPolling(context)
  socket.close()
  assert.deepEqual(await closed, ['ping timeout', undefined])
})

test('a closed session sends no ping', async () => {
  const { peer, socket } = await openWebSocket(await listen({ pingInterval: 50 }))
  socket.close()
  await peer.closeFrame()
  await never(socket, 'packetCreate', 120)
})

test('the real client answers the pings on both transports', async () => {
  for (const transports of [['polling'], ['websocket']]) {
    const context = await listen({ pingInterval: 60, pingTimeout: 1000 })
    const connected = once(context.engine, 'connection')
    client(context, { transports })
    const [socket] = await connected
    await times(socket, 'heartbeat', 3)
    assert.equal(socket.readyState, 'open')
  }
})

test('server.opts.pingInterval can be changed for the sessions to come', async () => {
  const context = await listen()
  context.engine.opts.pingInterval = 50
  const { peer, open } = await openWebSocket(context)
  assert.equal(open.pingInterval, 50)
  assert.equal(await peer.packet(), '2')
})

test("periods of 2^31 ms and more, of none and of no number are those of Node's timers: 1 ms", async () => {
  for (const pingInterval of [2 ** 31, Infinity, 0, -5, NaN]) {
    const { peer, socket } = await openWebSocket(await listen({ pingInterval, pingTimeout: 2000 }))
    assert.equal(await peer.packet(), '2')
    assert.equal(socket.readyState, 'open')
  }
})

test('sessions time out independently of each other', async () => {
  // long enough for a pong on a busy machine, where client and server share the thread
  const context = await listen({ pingInterval: 60, pingTimeout: 2000 })
  const { peer, socket } = await openWebSocket(context)
  peer.socket.on('data', () => peer.sendText('3'))
  peer.sendText('3') // a ping may have come before the listener
  const { socket: silent } = await openWebSocket(context)
  assert.equal((await once(silent, 'close'))[0], 'ping timeout')
  assert.equal(socket.readyState, 'open')
})

improvement('D-6: heartbeat around upgrades', 'a ping outstanding at the upgrade keeps its deadline', async () => {
  const context = await listen({ pingInterval: 50, pingTimeout: 800 })
  const { peer: polling, socket } = await openPolling(context)
  const closed = once(socket, 'close')
  assert.equal((await polling.poll()).body, '2')
  const peer = await upgradeTo(context, polling.sid)
  peer.sendText('2probe')
  await peer.packet()
  peer.sendText('5')
  await once(socket, 'upgrade')
  assert.equal((await closed)[0], 'ping timeout')
})
