'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { WebSocketServer } = require('ws')
const {
  RawWebSocket,
  client,
  eventually,
  frame,
  listen,
  listenNatively,
  once,
  openPolling,
  openProbing,
  openUpgraded,
  path,
  record,
  request,
  upgradeTo,
  probe,
} = require('../support')

for (const [what, bytes] of [
  ['a plain ping', frame({ payload: '2' })],
  ['a probe with other data', frame({ payload: '2wrong' })],
  ['a pong', frame({ payload: '3probe' })],
  ['a message', frame({ payload: '4hello' })],
  ['a close packet', frame({ payload: '1' })],
  ['an unknown packet', frame({ payload: '9' })],
  ['an empty frame', frame({ payload: '' })],
  ['a binary frame', frame({ opcode: 2, payload: 'x' })],
]) {
  test(`${what} instead of a probe cancels the upgrade; the session stays on polling`, async () => {
    const context = await listen()
    const { peer: polling, socket } = await openPolling(context)
    const events = record(socket, ['packet', 'message', 'upgrade', 'close'])
    const peer = await upgradeTo(context, polling.sid)
    peer.write(bytes)
    const { payload } = await peer.closeFrame()
    assert.equal(payload.length, 0)
    assert.deepEqual(events, [])
    await eventually(() => socket.upgrading, false)
    socket.send('alive')
    assert.equal((await polling.poll()).body, '4alive')
  })
}

for (const [what, payload] of [
  ['a message', '4hello'],
  ['an empty frame', ''],
]) {
  test(`a probe is answered before the upgrade is cancelled by ${what} in the same segment`, async () => {
    const context = await listen()
    const { peer: polling, socket } = await openPolling(context)
    const peer = await upgradeTo(context, polling.sid)
    peer.write(Buffer.concat([frame({ payload: '2probe' }), frame({ payload })]))
    assert.equal(await peer.packet(), '3probe')
    await peer.closeFrame()
    await eventually(() => socket.upgrading, false)
    socket.send('alive')
    assert.equal((await polling.poll()).body, '4alive')
  })
}

/** A polling session of which one attempt to upgrade has been refused. */
async function openRefused(context) {
  const { peer: polling, socket } = await openPolling(context)
  const first = await upgradeTo(context, polling.sid)
  first.sendText('2wrong')
  await first.closeFrame()
  return { polling, socket }
}

test('an upgrade can be tried again after a failed one', async () => {
  const context = await listen()
  const { polling, socket } = await openRefused(context)
  const second = await probe(context, polling.sid)
  second.sendText('5')
  await once(socket, 'upgrade')
  assert.equal(socket.transport.name, 'websocket')
})

test('it can be tried again at once when the client sees the first attempt refused, in each of many sessions', async () => {
  const context = await listen()
  for (let i = 0; i < 200; i++) {
    const { polling } = await openRefused(context)
    const second = await probe(context, polling.sid)
    second.reset()
  }
})

for (const [how, abort] of [
  ['is reset', (peer) => peer.reset()],
  ['ends', (peer) => peer.socket.end()],
  ['is closed', (peer) => peer.sendClose(1000)],
]) {
  test(`the session stays on polling when the probing connection ${how}`, async () => {
    const { polling, peer, socket } = await openProbing(await listen())
    const events = record(socket, ['close', 'upgrade', 'packet'])
    abort(peer)
    await eventually(() => socket.upgrading, false)
    assert.deepEqual(events, [])
    socket.send('alive')
    assert.equal((await polling.poll()).body, '4alive')
  })
}

test('an invalid frame on the probing connection gets its close code and leaves the session alone', async () => {
  const { peer, socket, polling } = await openProbing(await listen())
  const events = record(socket, ['close', 'packet'])
  peer.sendFrame({ opcode: 3 })
  assert.equal((await peer.closeFrame()).code, 1002)
  assert.deepEqual(events, [])
  socket.send('alive')
  assert.equal((await polling.poll()).body, '4alive')
})

test('a probe is answered before an invalid frame in its segment ends the connection, and tells so in this order', async () => {
  const context = await listen()
  const { peer: polling, socket } = await openPolling(context)
  const events = []
  socket.on('upgrading', (transport) => {
    for (const event of ['drain', 'error']) transport.on(event, () => events.push(event))
  })
  const peer = await upgradeTo(context, polling.sid)
  peer.write(Buffer.concat([frame({ payload: '2probe' }), frame({ opcode: 0, payload: 'x' })]))
  assert.equal((await peer.frame()).payload.toString(), '3probe')
  const { payload } = await peer.closeFrame()
  assert.equal(payload.readUInt16BE(0), 1002)
  await eventually(() => events.length, 2)
  assert.deepEqual(events, ['drain', 'error'])
})

for (const [what, payload] of [
  ['an empty packet', ''],
  ['a message', '4too soon'],
  ['a second probe that is none', '2other'],
]) {
  test(`a probe is answered before ${what} in its segment gives the upgrade up`, async () => {
    const context = await listen()
    const { peer: polling } = await openPolling(context)
    const peer = await upgradeTo(context, polling.sid)
    peer.write(Buffer.concat([frame({ payload: '2probe' }), frame({ payload })]))
    assert.equal((await peer.frame()).payload.toString(), '3probe')
    assert.equal((await peer.closeFrame()).payload.length, 0)
  })
}

test('an upgrade that is not completed within upgradeTimeout is given up', async () => {
  const context = await listen({ upgradeTimeout: 150 })
  const { peer: polling, socket } = await openPolling(context)
  const started = Date.now()
  const peer = await upgradeTo(context, polling.sid)
  const { payload } = await peer.closeFrame()
  assert.equal(payload.length, 0)
  assert.ok(Date.now() - started >= 135)
  await eventually(() => socket.upgrading, false)
  assert.equal(socket.readyState, 'open')
})

test('a probe does not extend the upgradeTimeout', async () => {
  const { peer, socket } = await openProbing(await listen({ upgradeTimeout: 500 }))
  await peer.closeFrame()
  await eventually(() => socket.upgrading, false)
  assert.equal(socket.transport.name, 'polling')
})

test('a second websocket while one is upgrading is closed', async () => {
  const context = await listen()
  const { polling, socket } = await openProbing(context)
  const second = await upgradeTo(context, polling.sid)
  assert.equal(second.status, 101)
  assert.equal((await second.closeFrame()).payload.length, 0)
  assert.equal(socket.upgrading, true)
})

test('a second websocket after the upgrade is closed', async () => {
  const context = await listen()
  const { polling, peer, socket } = await openUpgraded(context)
  const second = await upgradeTo(context, polling.sid)
  assert.equal((await second.closeFrame()).payload.length, 0)
  socket.send('still here')
  assert.equal(await peer.packet(), '4still here')
})

test("the session's close during an upgrade closes the new connection too", async () => {
  const context = await listen()
  const { peer, socket } = await openProbing(context)
  const closed = once(socket, 'close')
  socket.close(true)
  await closed
  await peer.closeFrame()
  assert.equal(context.engine.clientsCount, 0)
})

test("the client's close over polling during an upgrade closes the new connection too", async () => {
  const { peer, polling, socket } = await openProbing(await listen())
  const closed = once(socket, 'close')
  await polling.post('1')
  assert.equal((await closed)[0], 'transport close')
  await peer.closeFrame()
})

test('close() during an upgrade that then completes flushes, and closes the websocket', async () => {
  const { peer, socket } = await openProbing(await listen())
  const events = record(socket, ['upgrade', 'close'], (event, arg) => (event === 'close' ? [event, arg] : [event]))
  socket.send('last words')
  socket.close()
  assert.equal(socket.readyState, 'closing')
  const closed = once(socket, 'close')
  peer.sendText('5')
  await closed
  assert.deepEqual(events, [['upgrade'], ['close', 'forced close']])
  assert.equal(await peer.packet(), '4last words')
  assert.equal((await peer.frame()).opcode, 8)
})

/**
 * What the application sees of the transport that `upgrading` has given to it: events with the states of transport and
 * session at that time. Resolves when the transport has emitted `close`.
 */
async function watchProbe(serve, options, end) {
  const context = await serve({ upgradeTimeout: 10_000, ...options })
  const log = []
  const note = (...event) => log.push([...event, transport.readyState, socket.readyState, socket.upgrading])
  let transport
  // in the original a listener that is added behind the upgrade's own hears of the session's end after that
  context.engine.on('connection', (it) => it.on('close', (reason) => note(`session close: ${reason}`)))
  const { peer: polling, socket } = await openPolling(context)
  const upgrading = new Promise((resolve) => {
    socket.on('upgrading', (probing) => {
      transport = probing
      note('upgrading')
      transport.on('error', (error) => note(`error: ${error.type}: ${error.message}: ${error.description}`))
      transport.on('close', (...args) => note('close', ...args))
      resolve()
    })
  })
  const peer = await probe(context, polling.sid)
  await upgrading
  const closed = once(transport, 'close')
  await end({ socket, peer, polling, transport })
  // the peer's part of the closing handshake
  peer.frame().then(
    () => peer.sendClose(),
    () => {},
  )
  await closed
  await eventually(() => socket.upgrading, false)
  return log
}

/** Ways in by which an upgrade may come. */
const SERVERS = {
  attach: listen,
  "the engine's own listener": listenNatively,
  'a wsEngine of ws': (options) => listen({ ...options, wsEngine: WebSocketServer }),
  async 'a connection whose bytes somebody watches'(options) {
    const context = await listen(options)
    context.server.prependListener('upgrade', (req, socket) => socket.on('data', () => {}))
    return context
  },
}

const PROBED = ['upgrading', 'open', 'open', true]
const FRAME_FAULT = 'TransportError: RangeError: Invalid WebSocket frame: invalid opcode 3: undefined'

for (const [how, end, ...expected] of [
  [
    'the session closes',
    ({ socket }) => void socket.close(true),
    ['session close: forced close', 'open', 'closed', true],
    ['close', 'closed', 'closed', false],
  ],
  [
    'the client closes the session',
    ({ polling }) => void polling.post('1'),
    ['session close: transport close', 'open', 'closed', true],
    ['close', 'closed', 'closed', false],
  ],
  [
    'the probe is followed by a wrong packet',
    ({ peer }) => peer.sendText('2wrong'),
    ['close', 'closed', 'open', false],
  ],
  ['the client closes the connection', ({ peer }) => peer.sendClose(1000), ['close', 'closed', 'open', false]],
  ['the client resets the connection', ({ peer }) => peer.reset(), ['close', 'closed', 'open', false]],
  [
    'an invalid frame comes',
    ({ peer }) => peer.sendFrame({ opcode: 3 }),
    [`error: ${FRAME_FAULT}`, 'closing', 'open', false],
    ['close', 'closed', 'open', false],
  ],
  ['the application closes the transport', ({ transport }) => transport.close(), ['close', 'closed', 'open', false]],
]) {
  for (const [kind, serve] of Object.entries(SERVERS)) {
    test(`the transport given to "upgrading" emits "close" when ${how} (${kind})`, async () => {
      assert.deepEqual(await watchProbe(serve, {}, end), [PROBED, ...expected])
    })
  }
}

for (const [kind, serve] of Object.entries(SERVERS)) {
  test(`the transport given to "upgrading" emits "close" when upgradeTimeout is over (${kind})`, async () => {
    const log = await watchProbe(serve, { upgradeTimeout: 500 }, () => {})
    assert.deepEqual(log, [PROBED, ['close', 'closed', 'open', false]])
  })
}

test('the transport given to "upgrading" is closing as soon as the upgrade is given up', async () => {
  const context = await listen()
  const { peer, polling, socket } = await openProbing(context)
  peer.sendText('2wrong')
  await eventually(() => socket.upgrading, false)
  const second = await upgradeTo(context, polling.sid)
  const upgrading = once(socket, 'upgrading')
  second.sendText('2probe')
  const [transport] = await upgrading
  const states = []
  socket.on('close', () => setImmediate(() => states.push(transport.readyState, transport.socket.readyState)))
  socket.close(true)
  await eventually(() => states, ['closing', 2])
  const closed = once(transport, 'close')
  await second.closeFrame()
  second.sendClose()
  await closed
  assert.equal(transport.readyState, 'closed')
})

test('who listens to the packets of the transport given to "upgrading" sees them, and the upgrade goes on', async () => {
  const context = await listen()
  const { peer: polling, socket } = await openPolling(context)
  const packets = []
  socket.once('upgrading', (transport) => transport.on('packet', (packet) => packets.push(packet)))
  const peer = await probe(context, polling.sid)
  peer.sendText('2probe')
  assert.equal(await peer.packet(), '3probe')
  const upgraded = once(socket, 'upgrade')
  const message = once(socket, 'message')
  peer.sendText('5')
  peer.sendText('4hello')
  await upgraded
  assert.deepEqual(await message, ['hello'])
  await eventually(
    () => packets,
    [{ type: 'ping', data: 'probe' }, { type: 'upgrade' }, { type: 'message', data: 'hello' }],
  )
})

test('a websocket of another protocol revision is refused', async () => {
  const context = await listen({ allowEIO3: true })
  const { peer: polling, socket } = await openPolling(context)
  const errors = record(context.engine, 'connection_error', (_, e) => e.context)
  const target = path(context, { EIO: '3', transport: 'websocket', sid: polling.sid })
  const peer = await RawWebSocket.request(context.port, target)
  await peer.end()
  assert.match(peer.text, /^HTTP\/1\.1 400 Bad Request\r\n[^]*\r\n\r\nBad request$/)
  assert.deepEqual(errors, [{ name: 'PROTOCOL_MISMATCH', protocol: 3, previousProtocol: 4 }])
  assert.equal(socket.readyState, 'open')
})

test('the real client stays on polling when the upgrade is refused', async () => {
  const context = await listen()
  context.server.removeAllListeners('upgrade')
  context.server.on('upgrade', (req, socket) => socket.destroy())
  const connected = once(context.engine, 'connection')
  const peer = client(context)
  await once(peer, 'upgradeError')
  const [socket] = await connected
  const message = once(peer, 'message')
  socket.send('still polling')
  assert.deepEqual(await message, ['still polling'])
  assert.equal(peer.transport.name, 'polling')
})

test('a sid of a closed session cannot be upgraded', async () => {
  const context = await listen()
  const { peer: polling } = await openPolling(context)
  await polling.post('1')
  const peer = await RawWebSocket.request(context.port, path(context, { transport: 'websocket', sid: polling.sid }))
  await peer.end()
  assert.match(peer.text, /\r\n\r\nSession ID unknown$/)
  assert.equal((await request({ port: context.port, path: path(context) })).status, 200)
})
