'use strict'

// WebTransport sessions that the application hands over; made of web streams here.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { listen, deadline, once, record, pending, eventually, improvement, openPolling } = require('../support')
const { FakeSession } = require('../support/webtransport')

const OPTS = { transports: ['polling', 'websocket', 'webtransport'] }

/** A session on WebTransport: `{ peer, socket, open }`. */
async function openWebTransport(context) {
  const connected = once(context.engine, 'connection')
  const peer = new FakeSession().openStream()
  context.engine.onWebTransportSession(peer)
  peer.send('open')
  const { type, data } = await peer.packet()
  assert.equal(type, 'open')
  const [socket] = await connected
  return { peer, socket, open: JSON.parse(data) }
}

/** A polling session and a WebTransport session that wants to take it over. */
async function openUpgrading(context) {
  const { peer: polling, socket } = await openPolling(context)
  const peer = new FakeSession().openStream()
  context.engine.onWebTransportSession(peer)
  peer.send('open', JSON.stringify({ sid: polling.sid }))
  return { peer, polling, socket }
}

test("a new session gets an open packet with an id of the engine's", async () => {
  const context = await listen(OPTS)
  context.engine.generateId = () => assert.fail('needs a request')
  const { open, socket } = await openWebTransport(context)
  assert.deepEqual(Object.keys(open), ['sid', 'upgrades', 'pingInterval', 'pingTimeout', 'maxPayload'])
  assert.match(open.sid, /^[\w-]{20}$/)
  assert.deepEqual(open.upgrades, [])
  assert.equal(context.engine.clients[open.sid], socket)
  assert.deepEqual(
    [socket.transport.name, socket.protocol, socket.request, socket.remoteAddress],
    ['webtransport', 4, null, undefined],
  )
})

test("a WebTransport transport has no options of the server's", async () => {
  const context = await listen(OPTS)
  assert.deepEqual((await openWebTransport(context)).socket.transport.opts, {})
  const { peer, socket } = await openUpgrading(context)
  const upgrading = once(socket, 'upgrading')
  peer.send('ping', 'probe')
  const [transport] = await upgrading
  assert.deepEqual([transport.name, transport.opts], ['webtransport', {}])
})

test('text and binary messages pass both ways', async () => {
  const { peer, socket } = await openWebTransport(await listen(OPTS))
  const messages = record(socket, 'message', (event, data) => data)
  peer
    .send('message', 'hello')
    .send('message', Buffer.from([1, 2]))
    .send('message', 'x'.repeat(70_000))
  await eventually(() => messages, ['hello', Buffer.from([1, 2]), 'x'.repeat(70_000)])
  socket.send('hi')
  socket.send(Buffer.from([3]))
  assert.deepEqual(await peer.packet(), { type: 'message', data: 'hi' })
  assert.deepEqual(await peer.packet(), { type: 'message', data: Buffer.from([3]) })
})

test('callbacks are called in order, and the transport is writable again', async () => {
  const { peer, socket } = await openWebTransport(await listen(OPTS))
  await eventually(() => socket.transport.writable, true)
  const order = []
  const all = new Promise((resolve) => {
    socket.send('a', () => order.push('a'))
    socket.send('b', () => resolve(order.push('b')))
  })
  assert.equal(socket.transport.writable, false)
  assert.deepEqual([(await peer.packet()).data, (await peer.packet()).data], ['a', 'b'])
  await deadline(all, 'callbacks')
  assert.deepEqual(order, ['a', 'b'])
  await eventually(() => socket.transport.writable, true)
})

improvement('row 1: overtaken', 'messages keep their order behind a flush listener that sends', async () => {
  const { peer, socket } = await openWebTransport(await listen(OPTS))
  await eventually(() => socket.transport.writable, true)
  socket.once('flush', () => socket.send('b'))
  socket.send('a')
  socket.send('c')
  const data = []
  for (let i = 0; i < 3; i++) data.push((await peer.packet()).data)
  assert.deepEqual(data, ['a', 'b', 'c'])
})

test('pings are sent, and a client without pongs times out', async () => {
  const { peer, socket } = await openWebTransport(await listen({ ...OPTS, pingInterval: 50, pingTimeout: 500 }))
  assert.deepEqual(await peer.packet(), { type: 'ping' })
  const heartbeat = once(socket, 'heartbeat')
  peer.send('pong')
  await heartbeat
  assert.deepEqual(await peer.packet(), { type: 'ping' })
  assert.deepEqual(await once(socket, 'close'), ['ping timeout', undefined])
  assert.equal(peer.closes, 1)
})

test('the end of the session is a transport close', async () => {
  const context = await listen(OPTS)
  const { peer, socket } = await openWebTransport(context)
  const closed = once(socket, 'close')
  peer.end()
  assert.deepEqual(await closed, ['transport close', undefined])
  assert.equal(context.engine.clientsCount, 0)
})

improvement('A-8: unhandled rejection', 'the failure of the session is a transport close', async () => {
  const { peer, socket } = await openWebTransport(await listen(OPTS))
  const closed = once(socket, 'close')
  peer.fail(new Error('connection lost'))
  assert.deepEqual(await closed, ['transport close', undefined])
})

test('close() closes the session, and so does server.close()', async () => {
  const context = await listen(OPTS)
  const { peer, socket } = await openWebTransport(context)
  const other = await openWebTransport(context)
  const closed = once(socket, 'close')
  socket.close()
  assert.deepEqual(await closed, ['forced close', undefined])
  assert.equal(peer.closes, 1)
  context.engine.close()
  assert.equal(other.peer.closes, 1)
  assert.equal(context.engine.clientsCount, 0)
})

test('a wrong heartbeat and what is no packet end the session', async () => {
  for (const [type, expected] of [
    ['ping', 'transport error'],
    ['error', 'parse error'],
  ]) {
    const { peer, socket } = await openWebTransport(await listen({ ...OPTS, maxHttpBufferSize: 100 }))
    const closed = once(socket, 'close')
    if (type === 'ping') peer.send(type)
    else peer.send('message', 'x'.repeat(101))
    assert.equal((await closed)[0], expected)
    assert.equal(peer.closes, 1)
  }
})

test('a session moves from polling to webtransport', async () => {
  const context = await listen(OPTS)
  const { peer, polling, socket } = await openUpgrading(context)
  assert.deepEqual(polling.open.upgrades, ['websocket', 'webtransport'])
  const poll = await polling.pendingPoll()
  const [upgrading, upgraded] = [once(socket, 'upgrading'), once(socket, 'upgrade')]
  peer.send('ping', 'probe')
  assert.deepEqual(await peer.packet(), { type: 'pong', data: 'probe' })
  assert.equal((await upgrading)[0].name, 'webtransport')
  assert.equal((await poll.response).body, '6')
  socket.send('waiting')
  peer.send('upgrade')
  assert.equal((await upgraded)[0], socket.transport)
  assert.deepEqual([socket.upgrading, socket.upgraded], [false, true])
  assert.deepEqual(await peer.packet(), { type: 'message', data: 'waiting' })
  const message = once(socket, 'message')
  peer.send('message', 'after')
  assert.deepEqual(await message, ['after'])
  assert.equal((await polling.poll()).status, 400)
})

test('an upgrade that goes wrong, or stops, leaves the session on polling', async () => {
  for (const packet of [['message', 'x'], ['ping', 'other'], undefined]) {
    const { peer, polling, socket } = await openUpgrading(await listen({ ...OPTS, upgradeTimeout: 100 }))
    await eventually(() => socket.upgrading, true)
    if (packet) peer.send(...packet)
    await eventually(() => peer.closes, 1)
    assert.deepEqual([socket.upgrading, socket.transport.name], [false, 'polling'])
    assert.equal((await polling.post('4x')).status, 200)
  }
})

test('the session of an upgrade that ends leaves the session on polling', async () => {
  const { peer, polling, socket } = await openUpgrading(await listen(OPTS))
  await eventually(() => socket.upgrading, true)
  peer.end()
  await eventually(() => socket.upgrading, false)
  assert.equal((await polling.post('4x')).status, 200)
})

test('the end of a session closes the one that was to take it over', async () => {
  const { peer, socket } = await openUpgrading(await listen(OPTS))
  await eventually(() => socket.upgrading, true)
  socket.close(true)
  await eventually(() => peer.closes, 1)
})

for (const [how, options, end, ...expected] of [
  [
    'its session closes',
    {},
    ({ socket }) => socket.close(true),
    ['session: forced close', 'open', true],
    ['transport', 'closed', false],
  ],
  ['its client closes it', {}, ({ peer }) => peer.end(), ['transport', 'closed', false]],
  ['upgradeTimeout is over', { upgradeTimeout: 300 }, () => {}, ['transport', 'closed', false]],
  ['a wrong packet comes', {}, ({ peer }) => peer.send('message', 'x'), ['transport', 'closed', false]],
]) {
  test(`the transport given to "upgrading" emits "close" when ${how}`, async () => {
    const context = await listen({ ...OPTS, ...options })
    const events = []
    let transport
    const note = (event) => events.push([event, transport.readyState, context.socket.upgrading])
    context.engine.on('connection', (socket) => {
      context.socket = socket
      socket.on('close', (reason) => note(`session: ${reason}`))
    })
    const { peer, socket } = await openUpgrading(context)
    const upgrading = once(socket, 'upgrading')
    peer.send('ping', 'probe')
    ;[transport] = await upgrading
    const closed = once(transport, 'close')
    transport.on('close', () => note('transport'))
    end({ socket, peer })
    await closed
    await eventually(() => events, expected)
  })
}

test('a second session for an upgrade under way, or done, is closed', async () => {
  const context = await listen(OPTS)
  const { peer, polling, socket } = await openUpgrading(context)
  await eventually(() => socket.upgrading, true)
  const refused = async () => {
    const other = new FakeSession().openStream()
    context.engine.onWebTransportSession(other)
    other.send('open', JSON.stringify({ sid: polling.sid }))
    await eventually(() => other.closes, 1)
  }
  await refused()
  const upgraded = once(socket, 'upgrade')
  peer.send('upgrade')
  await upgraded
  await refused()
  assert.equal(socket.readyState, 'open')
})

for (const [what, type, data] of [
  ['no open packet', 'message', 'x'],
  ['no id', 'open', '{}'],
  ['an id that is no string', 'open', '{"sid":1}'],
  ['no JSON', 'open', 'sid'],
  ['an unknown id', 'open', '{"sid":"unknown"}'],
  ['the name of a property that all objects have', 'open', '{"sid":"constructor"}'],
]) {
  test(`a session whose first packet has ${what} is closed`, async () => {
    const context = await listen(OPTS)
    const peer = new FakeSession().openStream()
    const served = context.engine.onWebTransportSession(peer)
    peer.send(type, data)
    await deadline(served, 'refusal')
    assert.equal(peer.closes, 1)
    assert.equal(context.engine.clientsCount, 0)
  })
}

test('a session without a stream or a packet is closed after upgradeTimeout', async () => {
  const context = await listen({ ...OPTS, upgradeTimeout: 50 })
  const without = new FakeSession()
  const silent = new FakeSession().openStream()
  for (const peer of [without, silent]) {
    const served = context.engine.onWebTransportSession(peer)
    await eventually(() => peer.closes, 1)
    assert.ok(await pending(served, 10))
  }
})

test('a session that ends before it has a stream, or in its first packet, leaves nothing behind', async () => {
  const context = await listen({ ...OPTS, upgradeTimeout: 50 })
  const without = new FakeSession()
  const served = context.engine.onWebTransportSession(without)
  without.streams.close()
  await deadline(served, 'end')
  const ended = new FakeSession().openStream()
  const other = context.engine.onWebTransportSession(ended)
  ended.writer.close()
  await deadline(other, 'end')
  assert.deepEqual([without.closes, ended.closes, context.engine.clientsCount], [0, 0, 0])
})

test('a session is closed where there are middlewares: they need a request', async () => {
  const context = await listen(OPTS)
  context.engine.use((req, res, next) => next())
  const peer = new FakeSession()
  await context.engine.onWebTransportSession(peer)
  assert.equal(peer.closes, 1)
})

improvement('limits', 'sessions count against the limits, and are refused beyond them', async () => {
  const open = { ...OPTS, upgradeTimeout: 1000 }
  for (const [limits, name] of [
    [{ maxConnections: 1 }, 'TOO_MANY_CONNECTIONS'],
    [{ handshakesPerSecond: 1 }, 'TOO_MANY_HANDSHAKES'],
    [{ maxConnectionsPerAddress: 1 }, 'TOO_MANY_CONNECTIONS_FROM_ADDRESS'],
  ]) {
    const context = await listen({ ...open, limits })
    const errors = record(context.engine, 'connection_error', (event, error) => [
      error.code,
      error.context.name,
      error.req._query.transport,
    ])
    const { socket } = await openWebTransport(context)
    const peer = new FakeSession().openStream()
    const served = context.engine.onWebTransportSession(peer)
    peer.send('open')
    await deadline(served, 'refusal')
    assert.deepEqual([peer.closes, errors, context.engine.clientsCount], [1, [[4, name, 'webtransport']], 1])
    const closed = once(socket, 'close')
    socket.close()
    await closed
    if (limits.handshakesPerSecond === undefined) await openWebTransport(context)
  }
})

improvement('limits', 'sessions of different addresses count by themselves, also beside other transports', async () => {
  const context = await listen({ ...OPTS, limits: { maxConnectionsPerAddress: 1 } })
  const from = async (peerAddress) => {
    const peer = Object.assign(new FakeSession(), { peerAddress }).openStream()
    const served = context.engine.onWebTransportSession(peer)
    peer.send('open')
    await deadline(served, 'handshake')
    return peer.closes === 0
  }
  assert.deepEqual(
    [
      await from('10.0.0.1:4000'),
      await from('10.0.0.2:4000'),
      await from('10.0.0.1:4001'),
      await from('[::1]:4000'),
      await from('::1:4001'),
    ],
    [true, true, false, true, false],
  )
  assert.equal((await openPolling(context)).socket.remoteAddress, '127.0.0.1')
  assert.equal(await from('127.0.0.1:4000'), false)
})

improvement('limits', 'addressOf is asked for the address of a session, with what is known of it', async () => {
  const seen = []
  const addressOf = (req) => {
    seen.push([req.headers['x-from'], req.session])
    return req.headers['x-from']
  }
  const context = await listen({ ...OPTS, limits: { maxConnectionsPerAddress: 1, addressOf } })
  const peer = Object.assign(new FakeSession(), { header: { 'x-from': 'a' } }).openStream()
  const served = context.engine.onWebTransportSession(peer)
  peer.send('open')
  await deadline(served, 'handshake')
  assert.deepEqual(seen[0], ['a', peer])
})

improvement(
  'A-8: unhandled rejection',
  'a session that fails before its handshake is closed, and nobody hears of it',
  async () => {
    const context = await listen(OPTS)
    const stages = {
      'without a stream': (peer) => peer.streams.error(new Error('lost')),
      'in the first packet': (peer) =>
        peer.streams.enqueue({
          readable: new ReadableStream({ start: (controller) => controller.error(new Error('reset')) }),
        }),
      'with a close() that throws': (peer) => {
        peer.close = () => {
          throw new Error('closed already')
        }
        peer.streams.error(new Error('lost'))
      },
    }
    for (const [what, fail] of Object.entries(stages)) {
      const peer = new FakeSession()
      const served = context.engine.onWebTransportSession(peer)
      fail(peer)
      assert.equal(await deadline(served, what), undefined)
      if (what !== 'with a close() that throws') assert.equal(peer.closes, 1, what)
    }
    assert.equal(context.engine.clientsCount, 0)
  },
)

test('a packet of an unknown type is shown and changes nothing, and one in the midst of an upgrade ends that', async () => {
  const { peer, socket } = await openWebTransport(await listen(OPTS))
  const packets = record(socket, 'packet', (event, packet) => packet)
  socket.transport.onPacket({ type: 'strange', data: 'x' })
  socket.transport.emit('packet', { type: undefined })
  assert.deepEqual(packets, [{ type: 'strange', data: 'x' }, { type: undefined }])
  const message = once(socket, 'message')
  peer.send('message', 'still here')
  assert.deepEqual(await message, ['still here'])

  const upgrading = await openUpgrading(await listen(OPTS))
  let probe
  upgrading.socket.on('upgrading', (transport) => (probe = transport))
  upgrading.peer.send('ping', 'probe')
  await eventually(() => probe !== undefined, true)
  probe.onPacket({ type: 'strange' })
  await eventually(() => upgrading.peer.closes, 1)
  assert.deepEqual([upgrading.socket.upgrading, upgrading.socket.transport.name], [false, 'polling'])
})
