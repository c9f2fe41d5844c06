'use strict'

const assert = require('node:assert/strict')
const { EventEmitter } = require('node:events')
const { test } = require('node:test')
const {
  engine,
  eventually,
  listen,
  never,
  once,
  openPolling,
  openUpgraded,
  openWebSocket,
  record,
} = require('../support')

test('a polling transport has the documented properties', async () => {
  const { peer, socket } = await openPolling(await listen({ maxHttpBufferSize: 1234 }))
  const { transport } = socket
  assert.ok(transport instanceof engine.Transport)
  assert.ok(transport instanceof EventEmitter)
  assert.equal(transport.name, 'polling')
  assert.equal(transport.readyState, 'open')
  assert.equal(transport.writable, false)
  assert.equal(transport.sid, peer.sid)
  assert.equal(transport.protocol, 4)
  assert.equal(transport.supportsBinary, true)
  assert.equal(transport.discarded, false)
  assert.equal(transport.closeTimeout, 30000)
})

const names = [
  'perMessageDeflate',
  'maxHttpBufferSize',
  'maxBufferedChunks',
  'httpCompression',
  'httpRequestBodyTimeout',
]

for (const [kind, open] of [
  ['polling', openPolling],
  ['websocket', openWebSocket],
  ['upgraded', openUpgraded],
]) {
  test(`a ${kind} transport has the server's options that concern it, as they are when it is made`, async () => {
    const context = await listen({
      maxHttpBufferSize: 1234,
      perMessageDeflate: { threshold: 5 },
      httpCompression: { threshold: 6 },
    })
    const { opts } = context.engine
    opts.maxBufferedChunks = 77
    const { transport } = (await open(context)).socket
    opts.maxBufferedChunks = 78
    assert.deepEqual(Object.keys(transport.opts), names)
    assert.deepEqual(Object.values(transport.opts), [{ threshold: 5 }, 1234, 77, { threshold: 6 }, 30000])
    assert.equal(transport.opts.perMessageDeflate, opts.perMessageDeflate)
    assert.equal(transport.opts.httpCompression, opts.httpCompression)
    const { value, ...descriptor } = Object.getOwnPropertyDescriptor(transport, 'opts')
    assert.deepEqual(descriptor, { configurable: true, enumerable: true, writable: true })
    assert.equal(value, transport.opts)
    for (const name of names) assert.equal(name in transport, false, name)
    const { transport: other } = (await openPolling(context)).socket
    assert.notEqual(other.opts, transport.opts)
  })
}

test('a transport that is made by hand has the options it is given, or none', () => {
  const req = { _query: { EIO: '4' }, websocket: new EventEmitter() }
  const given = {}
  for (const Made of [engine.Transport, engine.transports.polling, engine.transports.websocket]) {
    assert.equal(new Made(req, given).opts, given)
    assert.deepEqual(new Made(req).opts, {})
  }
  const server = new engine.Server({ maxHttpBufferSize: 9 })
  assert.equal(server.createTransport('polling', req).opts.maxHttpBufferSize, 9)
  assert.equal(server.createTransport('websocket', req).opts.maxHttpBufferSize, 9)
  server.close()
})

test('a websocket transport has the documented properties', async () => {
  const { open, socket } = await openWebSocket(await listen())
  const { transport } = socket
  assert.ok(transport instanceof engine.Transport)
  assert.ok(transport instanceof engine.transports.websocket)
  assert.equal(transport.name, 'websocket')
  assert.equal(transport.readyState, 'open')
  assert.equal(transport.sid, open.sid)
  assert.equal(transport.protocol, 4)
  assert.equal(transport.supportsBinary, true)
  assert.equal(transport.handlesUpgrades, true)
  await eventually(() => transport.writable, true)
})

test("transport.socket of a websocket is there with readyState, bufferedAmount and the peer's address", async () => {
  const { socket } = await openWebSocket(await listen())
  const ws = socket.transport.socket
  assert.equal(ws.readyState, 1)
  assert.equal(ws.bufferedAmount, 0)
  assert.match(ws._socket.remoteAddress, /127\.0\.0\.1$/)
})

test('transport.socket.terminate() cuts the connection off', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const closed = once(socket, 'close')
  socket.transport.socket.terminate()
  assert.deepEqual(await closed, ['transport close', undefined])
  await peer.end()
})

test('transport.socket.close() closes with its code and reason', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const closed = once(socket, 'close')
  socket.transport.socket.close(4001, 'mine')
  const frame = await peer.closeFrame()
  assert.equal(frame.code, 4001)
  assert.equal(frame.payload.subarray(2).toString(), 'mine')
  peer.sendClose(4001)
  assert.deepEqual(await closed, ['transport close', undefined])
})

for (const [b64, supportsBinary] of [
  ['1', false],
  ['0', false],
  ['', true],
]) {
  test(`b64=${b64} makes supportsBinary ${supportsBinary}`, async () => {
    const { socket } = await openPolling(await listen(), { b64 })
    assert.equal(socket.transport.supportsBinary, supportsBinary)
  })
}

test('with b64 binary goes as base64 text over a websocket', async () => {
  const { peer, socket } = await openWebSocket(await listen(), { b64: '1' })
  socket.send(Buffer.from([1, 2, 3]))
  assert.equal(await peer.packet(), 'bAQID')
})

test('the transport emits packet, drain and headers', async () => {
  const { peer, socket } = await openPolling(await listen())
  const events = record(socket.transport, ['packet', 'drain', 'headers', 'ready'], (event) => event)
  await peer.post('4a')
  socket.send('b')
  await peer.poll()
  assert.deepEqual(events, ['packet', 'headers', 'headers', 'drain', 'ready'])
})

test("the transport's headers event carries headers and request", async () => {
  const { peer, socket } = await openPolling(await listen())
  const emitted = once(socket.transport, 'headers')
  await peer.post('4a')
  const [headers, req] = await emitted
  assert.equal(headers['Content-Type'], 'text/html')
  assert.equal(req.method, 'POST')
})

test('an error of the transport is emitted before the session closes', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const events = record(socket.transport, ['error'], (event, error) => [event, error.type])
  const closed = once(socket, 'close')
  peer.sendFrame({ opcode: 3 })
  await closed
  assert.deepEqual(events[0], ['error', 'TransportError'])
})

test('transport.close() closes the session with transport close', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const closed = once(socket, 'close')
  socket.transport.close()
  await peer.closeFrame()
  peer.sendClose()
  assert.deepEqual(await closed, ['transport close', undefined])
})

test('transport.readyState is closed after the session has been closed', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const closed = once(socket, 'close')
  peer.reset()
  await closed
  assert.equal(socket.transport.readyState, 'closed')
})

test('discard() marks the transport', async () => {
  const { socket } = await openPolling(await listen())
  socket.transport.discard()
  assert.equal(socket.transport.discarded, true)
})

test('a replaced transport.send() is used', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const batches = []
  const original = socket.transport.send
  socket.transport.send = function (packets) {
    batches.push(packets.map(({ data }) => data))
    return original.call(this, packets)
  }
  socket.send('a')
  assert.equal(await peer.packet(), '4a')
  assert.deepEqual(batches, [['a']])
})

test('transport.writable set to false from outside holds packets back until it is true', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  socket.transport.writable = false
  socket.send('held')
  assert.equal(socket.writeBuffer.length, 1)
  socket.transport.writable = true
  socket.flush()
  assert.equal(await peer.packet(), '4held')
})

test('transport.send() writes packets directly, without events of the socket', async () => {
  const { peer, socket } = await openUpgraded(await listen())
  const events = record(socket, ['flush', 'drain', 'packetCreate'])
  socket.transport.send([{ type: 'noop' }])
  assert.equal(await peer.packet(), '6')
  assert.deepEqual(events, [])
})

test('an error on a transport nobody listens to is swallowed', async () => {
  const { socket } = await openPolling(await listen())
  const { transport } = socket
  socket.close(true)
  transport.removeAllListeners()
  transport.onError('late', 'nothing')
  await never(socket, 'error', 10)
})

for (const [name, open] of Object.entries({
  polling: openPolling,
  websocket: openWebSocket,
  'an upgraded session': openUpgraded,
})) {
  test(`packets are seen from when somebody listens on, and the session goes on when nobody does any more: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    const client = peer.post ? (packet) => peer.post(packet) : (packet) => peer.sendText(packet)
    const messages = record(socket, 'message', (event, data) => data)
    await client('4before')
    await eventually(() => messages, ['before'])
    const seen = []
    const listener = ({ type }) => seen.push(`${type} behind ${messages.length} messages`)
    socket.transport.on('packet', listener)
    await client('6')
    await client('3')
    await client('4during')
    await eventually(() => seen, ['noop behind 1 messages', 'pong behind 1 messages', 'message behind 2 messages'])
    socket.transport.removeListener('packet', listener)
    await client('4after')
    await eventually(() => messages, ['before', 'during', 'after'])
    assert.equal(seen.length, 3)
  })

  test(`a listener that is put in front of the session's is told first: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    const events = record(socket, 'message', (event, data) => `message ${data}`)
    socket.transport.on('packet', () => events.push('behind'))
    socket.transport.prependListener('packet', () => events.push('in front'))
    if (peer.post) await peer.post('4a')
    else peer.sendText('4a')
    await eventually(() => events, ['in front', 'message a', 'behind'])
  })
}
