'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const WebSocket = require('ws')
const {
  client,
  eventually,
  improvement,
  listen,
  once,
  openPolling,
  openWebSocket,
  path,
  times,
  wsClient,
} = require('../support')

/** The two buffers of a frame, as socket.io-adapter computes them for a broadcast. */
function preEncoded(text) {
  const data = Buffer.from(text)
  return WebSocket.Sender.frame(data, { readOnly: false, mask: false, rsv1: false, opcode: 1, fin: true })
}

test('one packet is one unmasked, unfragmented frame', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  socket.send('hello')
  const { fin, rsv, opcode, masked, text } = await peer.frame()
  assert.deepEqual([fin, rsv, opcode, masked, text], [true, 0, 1, false, '4hello'])
})

improvement('row 50', 'sendPacket() refuses a type that the protocol does not have', async () => {
  const context = await listen()
  for (const open of [openWebSocket, openPolling]) {
    const { peer, socket } = await open(context)
    for (const type of ['tobi', undefined, Symbol('x'), 'toString']) {
      assert.throws(() => socket.sendPacket(type, 'data'), { name: 'TypeError', message: /^expected a packet type/ })
    }
    assert.deepEqual([socket.readyState, socket.writeBuffer.length], ['open', 0])
    socket.send('a')
    assert.equal(peer.packet ? await peer.packet() : (await peer.poll()).body, '4a')
    socket.close()
    socket.sendPacket('tobi')
  }
})

test('strings are text frames and Buffers are binary frames without a type', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  socket.send('t')
  socket.send(Buffer.from([1, 2]))
  const text = await peer.frame()
  const binary = await peer.frame()
  assert.deepEqual([text.opcode, text.text], [1, '4t'])
  assert.deepEqual([binary.opcode, [...binary.payload]], [2, [1, 2]])
})

for (const [size, header] of [
  [0, 2],
  [125, 2],
  [126, 4],
  [65535, 4],
  [65536, 10],
]) {
  test(`a payload of ${size} bytes has a header of ${header} bytes`, async () => {
    const { peer, socket } = await openWebSocket(await listen())
    const data = Buffer.alloc(size, 7)
    socket.send(data)
    const frame = await peer.frame()
    assert.equal(frame.headerLength, header)
    assert.ok(frame.payload.equals(data))
  })
}

test('the length of a text frame is counted in bytes', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  socket.send('é'.repeat(100))
  const frame = await peer.frame()
  assert.equal(frame.payload.length, 201)
})

test('messages keep their order over a mix of text and binary', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  for (let i = 0; i < 200; i++) socket.send(i % 2 ? String(i) : Buffer.from([i]))
  for (let i = 0; i < 200; i++) {
    const { opcode, payload, text } = await peer.frame()
    if (i % 2) assert.equal(text, `4${i}`)
    else assert.deepEqual([opcode, payload[0]], [2, i])
  }
})

test('a long row of texts arrives in order, empty, long and wide ones among them', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const texts = Array.from({ length: 50 }, (_, i) => ['', `text ${i}`, 'é'.repeat(i), 'x'.repeat(20000)][i % 4])
  socket.send(Buffer.from('first'))
  for (const text of texts) socket.send(text)
  socket.send(Buffer.from('last'))
  assert.deepEqual((await peer.frame()).payload, Buffer.from('first'))
  for (const text of texts) assert.equal((await peer.frame()).text, `4${text}`)
  assert.deepEqual((await peer.frame()).payload, Buffer.from('last'))
})

test('a message of several megabytes arrives unfragmented', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  socket.send('x'.repeat(3_000_000))
  const frame = await peer.frame()
  assert.deepEqual([frame.fin, frame.payload.length], [true, 3_000_001])
})

test('outgoing messages are not limited by maxHttpBufferSize', async () => {
  const { peer, socket } = await openWebSocket(await listen({ maxHttpBufferSize: 10 }))
  socket.send('x'.repeat(100))
  assert.equal((await peer.packet()).length, 101)
})

test('wsPreEncodedFrame is written in place of the data', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  socket.send('ignored', { wsPreEncodedFrame: preEncoded('4from the frame') })
  assert.equal(await peer.packet(), '4from the frame')
})

test('one wsPreEncodedFrame can be sent to many sockets and again', async () => {
  const context = await listen()
  const sessions = await Promise.all([1, 2, 3].map(() => openWebSocket(context)))
  const options = { wsPreEncodedFrame: preEncoded('4shared') }
  for (let round = 0; round < 3; round++) {
    for (const { socket } of sessions) socket.send('ignored', options)
  }
  for (const { peer } of sessions) {
    for (let round = 0; round < 3; round++) assert.equal(await peer.packet(), '4shared')
  }
})

test('wsPreEncodedFrame keeps its place among other messages, and its callback is called', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  socket.send('a')
  const called = new Promise((resolve) => {
    socket.send('ignored', { wsPreEncodedFrame: preEncoded('4b') }, resolve)
  })
  socket.send('c')
  assert.deepEqual([await peer.packet(), await peer.packet(), await peer.packet()], ['4a', '4b', '4c'])
  await called
})

test('wsPreEncodedFrame is ignored by polling', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.send('data', { wsPreEncodedFrame: preEncoded('4frame') })
  assert.equal((await peer.poll()).body, '4data')
})

test('wsPreEncodedFrame is ignored with perMessageDeflate', async () => {
  const context = await listen({ perMessageDeflate: true })
  const connected = once(context.engine, 'connection')
  const ws = await wsClient(context.port, path(context, { transport: 'websocket' }), { perMessageDeflate: true })
  const [socket] = await connected
  await ws.next()
  socket.send('data', { wsPreEncodedFrame: preEncoded('4frame') })
  assert.equal(await ws.next(), '4data')
})

test('the old string option wsPreEncoded is ignored', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  socket.send('data', { wsPreEncoded: '4old' })
  assert.equal(await peer.packet(), '4data')
})

test('compress: false is no obstacle on either transport', async () => {
  const context = await listen()
  const { peer: ws, socket: first } = await openWebSocket(context)
  first.send('a', { compress: false })
  assert.equal(await ws.packet(), '4a')
  const { peer, socket: second } = await openPolling(context)
  second.send('a'.repeat(3000), { compress: false })
  const response = await peer.poll({ 'Accept-Encoding': 'gzip' })
  assert.equal(response.headers['content-encoding'], undefined)
})

test('a slow reader keeps the transport unwritable until its data is written', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  peer.socket.pause()
  const chunk = Buffer.alloc(1 << 20)
  let called = false
  for (let i = 0; i < 15; i++) socket.send(chunk)
  socket.send('last', () => (called = true))
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.equal(called, false)
  assert.equal(socket.transport.writable, false)
  peer.socket.resume()
  await eventually(() => called, true)
  await eventually(() => socket.transport.writable, true)
})

test('a broadcast reaches every client once', async () => {
  const context = await listen()
  const peers = Array.from({ length: 20 }, (_, i) => client(context, { transports: [i % 2 ? 'polling' : 'websocket'] }))
  await Promise.all(peers.map((peer) => once(peer, 'open')))
  await eventually(() => context.engine.clientsCount, 20)
  const heard = peers.map((peer) => times(peer, 'message', 2))
  for (const text of ['one', 'two']) {
    for (const socket of Object.values(context.engine.clients)) socket.send(text)
  }
  for (const messages of await Promise.all(heard)) assert.deepEqual(messages, [['one'], ['two']])
})
