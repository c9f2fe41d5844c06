'use strict'

const assert = require('node:assert/strict')
const { EventEmitter } = require('node:events')
const { test } = require('node:test')
const {
  engine,
  eventually,
  listen,
  once,
  openPolling,
  openUpgraded,
  openWebSocket,
  path,
  record,
  wsClient,
} = require('../support')

test('a new socket has the documented properties', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  assert.ok(socket instanceof engine.Socket)
  assert.ok(socket instanceof EventEmitter)
  assert.equal(socket.id, peer.sid)
  assert.equal(socket.server, context.engine)
  assert.equal(socket.readyState, 'open')
  assert.equal(socket.protocol, 4)
  assert.equal(socket.transport.name, 'polling')
  assert.deepEqual([socket.upgrading, socket.upgraded], [false, false])
  assert.deepEqual(socket.writeBuffer, [])
})

test('remoteAddress is the address of the client on both transports', async () => {
  const context = await listen()
  assert.match((await openPolling(context)).socket.remoteAddress, /127\.0\.0\.1$/)
  assert.match((await openWebSocket(context)).socket.remoteAddress, /127\.0\.0\.1$/)
})

test('remoteAddress survives the connection', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  const closed = once(socket, 'close')
  peer.socket.destroy()
  await closed
  assert.match(socket.remoteAddress, /127\.0\.0\.1$/)
})

test('request is the first request of the session', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context, {}, { 'X-Mine': '1' })
  assert.equal(socket.request.headers['x-mine'], '1')
  assert.equal(socket.request.method, 'GET')
  await peer.post('4a')
  assert.equal(socket.request.headers['x-mine'], '1')
})

test('request of a websocket session has url, headers, query and connection', async () => {
  const context = await listen()
  const { socket } = await openWebSocket(context, { token: 't' }, { headers: { Cookie: 'a=b', Origin: 'http://app' } })
  const { request } = socket
  assert.equal(request.url, path(context, { transport: 'websocket', token: 't' }))
  assert.deepEqual([request.headers.cookie, request.headers.origin], ['a=b', 'http://app'])
  assert.equal(request._query.token, 't')
  assert.match(request.connection.remoteAddress, /127\.0\.0\.1$/)
})

test('request does not keep the response of the handshake', async () => {
  const { socket } = await openPolling(await listen())
  assert.equal(socket.request.res, null)
})

test('properties the ecosystem writes are writable', async () => {
  const { socket } = await openPolling(await listen())
  socket.upgrading = true
  socket.upgraded = true
  socket.request = null
  socket[Symbol.for('mine')] = 1
  assert.deepEqual([socket.upgrading, socket.upgraded, socket.request], [true, true, null])
})

test('the methods and private members others use exist', async () => {
  const { socket } = await openPolling(await listen())
  for (const name of [
    ...'send write close sendPacket flush onPacket onClose _maybeUpgrade'.split(' '),
    ...'setTransport clearTransport closeTransport getAvailableUpgrades'.split(' '),
  ]) {
    assert.equal(typeof socket[name], 'function', name)
  }
})

test('send() and write() return the socket', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  assert.equal(socket.send('a'), socket)
  assert.equal(socket.write('b'), socket)
  assert.deepEqual([await peer.packet(), await peer.packet()], ['4a', '4b'])
})

test('send() takes a callback in place of the options', async () => {
  const { socket } = await openWebSocket(await listen())
  await new Promise((resolve) => socket.send('a', resolve))
})

test('send() with null options throws a TypeError', async () => {
  const { socket } = await openWebSocket(await listen())
  assert.throws(() => socket.send('a', null), TypeError)
})

test('the options object is kept by reference and completed with compress', async () => {
  const { socket } = await openPolling(await listen())
  const options = { mine: 1 }
  socket.send('a', options)
  assert.equal(options.compress, true)
  assert.equal(socket.writeBuffer[0].options, options)
  const off = { compress: false }
  socket.send('b', off)
  assert.equal(off.compress, false)
})

const view = new Uint8Array([0, 1, 2, 3, 4])
for (const [what, data, wire] of [
  ['a string', 'héllo', '4héllo'],
  ['an empty string', '', '4'],
  ['0', 0, '4'],
  ['null', null, '4'],
  ['undefined', undefined, '4'],
  ['false', false, '4'],
  ['a number', 5, '45'],
  ['true', true, '4true'],
  ['an array', [1, 2], '41,2'],
  ['an object', {}, '4[object Object]'],
  ['an object with toString', { toString: () => 'mine' }, '4mine'],
  ['a lone surrogate', 'a\ud800b', '4a\ufffdb'],
  ['a Buffer', Buffer.from([1, 2, 3]), Buffer.from([1, 2, 3])],
  ['an empty Buffer', Buffer.alloc(0), Buffer.alloc(0)],
  ['an ArrayBuffer', new Uint8Array([1, 2, 3]).buffer, Buffer.from([1, 2, 3])],
  ['a part of an ArrayBuffer', view.subarray(1, 3), Buffer.from([1, 2])],
  ['a DataView', new DataView(view.buffer, 2, 2), Buffer.from([2, 3])],
  ['a view of 16 bit elements', new Uint16Array([1, 0x0203]), Buffer.from([1, 0, 3, 2])],
]) {
  test(`${what} is sent as ${typeof wire === 'string' ? JSON.stringify(wire) : 'binary'} on both transports`, async () => {
    const context = await listen()
    const { peer: ws, socket: first } = await openWebSocket(context)
    first.send(data)
    const frame = await ws.frame()
    assert.equal(frame.opcode, typeof wire === 'string' ? 1 : 2)
    assert.deepEqual(frame.payload, Buffer.from(wire))
    const { peer, socket: second } = await openPolling(context)
    second.send(data)
    const { body } = await peer.poll()
    assert.equal(body, typeof wire === 'string' ? wire : `b${wire.toString('base64')}`)
  })
}

test('a Symbol makes send() throw on a websocket', async () => {
  const { socket } = await openWebSocket(await listen())
  assert.throws(() => socket.send(Symbol('x')), TypeError)
})

test('falsy data gives a packet without data', async () => {
  const { socket } = await openPolling(await listen())
  for (const data of ['', 0, null, undefined, false]) socket.send(data)
  assert.deepEqual(
    socket.writeBuffer.map((packet) => 'data' in packet),
    [false, false, false, false, false],
  )
})

test('objects are encoded when they are flushed, not when they are sent', async () => {
  const { peer, socket } = await openPolling(await listen())
  const value = { text: 'before', toString: () => value.text }
  socket.send(value)
  value.text = 'after'
  assert.equal((await peer.poll()).body, '4after')
})

test('data and message are emitted for a message, in this order, after packet', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const events = record(socket, ['message', 'data', 'packet'])
  const message = once(socket, 'message')
  peer.sendText('4a')
  await message
  assert.deepEqual(events, [
    ['packet', { type: 'message', data: 'a' }],
    ['data', 'a'],
    ['message', 'a'],
  ])
})

test('listeners of packet that are added later hear the packets from then on', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const first = once(socket, 'message')
  peer.sendText('4a')
  await first
  const packet = once(socket, 'packet')
  peer.sendText('4b')
  assert.deepEqual(await packet, [{ type: 'message', data: 'b' }])
})

test('text and binary come and go with the ws client', async () => {
  const context = await listen()
  context.engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const ws = await wsClient(context.port, path(context, { transport: 'websocket' }))
  assert.match(await ws.next(), /^0\{/)
  ws.send('4text')
  assert.equal(await ws.next(), '4text')
  ws.send(Buffer.from([9, 8]))
  assert.deepEqual(await ws.next(), Buffer.from([9, 8]))
})

test('sendPacket() sends packets of any type', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  socket.sendPacket('noop')
  assert.equal(await peer.packet(), '6')
  socket.sendPacket('message', 'x')
  assert.equal(await peer.packet(), '4x')
})

test('onPacket() handles a packet as if it had come from the client', async () => {
  const { socket } = await openPolling(await listen())
  const message = once(socket, 'message')
  socket.onPacket({ type: 'message', data: 'injected' })
  assert.deepEqual(await message, ['injected'])
})

test('onClose() closes the session with the given reason', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  const events = record(socket, 'close')
  socket.onClose('my reason', 'my description')
  assert.deepEqual(events, [['close', 'my reason', 'my description']])
  assert.equal(context.engine.clientsCount, 0)
  assert.equal((await peer.closeFrame()).payload.length, 0)
})

test('readyState is visible as closed after the client has gone', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  peer.reset()
  await eventually(() => socket.readyState, 'closed')
})

test('transport is another object after an upgrade and its old one is discarded', async () => {
  const context = await listen()
  const connected = once(context.engine, 'connection')
  const before = connected.then(([socket]) => socket.transport)
  const { socket } = await openUpgraded(context)
  const old = await before
  assert.equal(old.name, 'polling')
  assert.equal(old.discarded, true)
  assert.equal(socket.transport.name, 'websocket')
})

/** Listens by EventEmitter's own method, past those of a subclass. Returns what it heard, and how to stop. */
function listenPast(emitter, names) {
  const heard = []
  const listeners = names.map((name) => [name, () => heard.push(name)])
  for (const [name, listener] of listeners) EventEmitter.prototype.on.call(emitter, name, listener)
  const stop = () => {
    for (const [name, listener] of listeners) EventEmitter.prototype.removeListener.call(emitter, name, listener)
  }
  return { heard, stop }
}

for (const [transport, open] of Object.entries({ polling: openPolling, websocket: openWebSocket })) {
  test(`listeners that EventEmitter's own methods have added are heard, on ${transport}`, async () => {
    const context = await listen()
    let sets
    context.engine.on('connection', (socket) => {
      sets = {
        socket: listenPast(socket, ['packet', 'data', 'message', 'packetCreate', 'flush', 'drain']),
        server: listenPast(context.engine, ['flush', 'drain']),
        transport: listenPast(socket.transport, ['packet', 'drain', 'ready']),
      }
    })
    const { peer, socket } = await open(context)
    const messages = []
    const talk = async () => {
      const poll = transport === 'polling' ? peer.poll() : undefined
      if (transport === 'polling') await peer.post('4hello')
      else peer.sendText('4hello')
      socket.send('hi')
      await poll
    }
    const all = [
      ['data', 'drain', 'flush', 'message', 'packet', 'packetCreate'],
      ['drain', 'flush'],
      ['drain', 'packet', 'ready'],
    ]
    await talk()
    await eventually(() => Object.values(sets).map(({ heard }) => [...new Set(heard)].sort()), all)
    for (const { heard, stop } of Object.values(sets)) {
      stop()
      heard.length = 0
    }
    socket.on('message', (data) => messages.push(data))
    await talk()
    await eventually(() => messages, ['hello'])
    assert.deepEqual(
      Object.values(sets).flatMap(({ heard }) => heard),
      [],
    )
  })
}
