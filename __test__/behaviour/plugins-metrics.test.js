'use strict'

// What exporters of metrics listen to and read, in the way they do it.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { listen, eventually, request, openPolling, openWebSocket, openUpgraded, path } = require('../support')

/** Counters as an exporter keeps them. */
function exporter(engine) {
  const metrics = {
    connected: 0,
    errors: {},
    in: 0,
    out: 0,
    bytesIn: 0,
    bytesOut: 0,
    reasons: {},
    transports: {},
    drains: 0,
    flushed: 0,
  }
  const size = (data) => (data ? Buffer.byteLength(data) : 0)
  engine.on('connection_error', ({ code }) => (metrics.errors[code] = (metrics.errors[code] || 0) + 1))
  engine.on('drain', () => metrics.drains++)
  engine.on('flush', (socket, buffer) => (metrics.flushed += buffer.length))
  engine.on('connection', (socket) => {
    metrics.connected++
    const count = ({ name }) => (metrics.transports[name] = (metrics.transports[name] || 0) + 1)
    count(socket.transport)
    socket.on('upgrade', count)
    socket.on('packet', ({ type, data }) => type === 'message' && ((metrics.bytesIn += size(data)), metrics.in++))
    socket.on(
      'packetCreate',
      ({ type, data }) => type === 'message' && ((metrics.bytesOut += size(data)), metrics.out++),
    )
    socket.once('close', (reason) => (metrics.reasons[reason] = (metrics.reasons[reason] || 0) + 1))
  })
  return metrics
}

test('packets and bytes are counted in both directions, on each transport', async () => {
  for (const open of [openPolling, openWebSocket, openUpgraded]) {
    const context = await listen()
    const metrics = exporter(context.engine)
    const { peer, socket } = await open(context)
    const send = (packet) => (peer.sendText ? peer.sendText(packet) : peer.post(packet))
    await send('4€')
    await send('4ab')
    await eventually(() => [metrics.in, metrics.bytesIn], [2, 5])
    socket.send(Buffer.alloc(10))
    socket.send('€€')
    assert.deepEqual([metrics.out, metrics.bytesOut], [2, 16])
  }
})

test('sessions are counted by transport, end and error', async () => {
  const context = await listen()
  const metrics = exporter(context.engine)
  const polling = await openPolling(context)
  const websocket = await openWebSocket(context)
  await openUpgraded(context)
  assert.equal(context.engine.clientsCount, 3)
  assert.deepEqual(metrics.transports, { polling: 2, websocket: 2 })
  await polling.peer.post('1')
  websocket.socket.close()
  await eventually(() => metrics.reasons, { 'transport close': 1, 'forced close': 1 })
  assert.equal(context.engine.clientsCount, 1)
  await request({ port: context.port, path: path(context, { transport: 'tcp' }) })
  await request({ port: context.port, path: path(context, { sid: 'x' }) })
  assert.deepEqual(metrics.errors, { 0: 1, 1: 1 })
})

test('flush and drain of the server come in pairs, heartbeats of a listened session included', async () => {
  const context = await listen({ pingInterval: 50, pingTimeout: 1000 })
  const metrics = exporter(context.engine)
  let before
  context.engine.on('connection', () => (before = { ...metrics }))
  const { peer } = await openWebSocket(context)
  assert.equal(await peer.packet(), '2')
  await eventually(() => [metrics.flushed - before.flushed, metrics.drains - before.drains], [1, 1])
})

test('the depth of the queue can be read: writeBuffer, and bufferedAmount of a websocket', async () => {
  const context = await listen()
  const { socket: polling } = await openPolling(context)
  polling.send('a')
  polling.send('b')
  assert.equal(polling.writeBuffer.length, 2)
  const { peer, socket } = await openWebSocket(context)
  assert.equal(socket.transport.socket.bufferedAmount, 0)
  assert.equal(typeof socket.transport.socket._socket.remoteAddress, 'string')
  peer.socket.pause()
  for (let n = 0; n < 64; n++) socket.send(Buffer.alloc(1 << 20))
  await eventually(() => socket.transport.socket.bufferedAmount + socket.writeBuffer.length > 0, true)
})
