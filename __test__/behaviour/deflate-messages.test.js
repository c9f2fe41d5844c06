'use strict'

const assert = require('node:assert/strict')
const { randomBytes } = require('node:crypto')
const { test } = require('node:test')
const zlib = require('node:zlib')
const {
  client,
  delay,
  eventually,
  improvement,
  listen,
  once,
  path,
  record,
  times,
  upgradeTo,
  openPolling,
  wsClient,
  RawWebSocket,
} = require('../support')

const OFFER = { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' } }
const RSV1 = 4
const TRAILER = Buffer.from([0, 0, 0xff, 0xff])

/** The payload of a compressed frame that stands alone. */
function deflated(data, options) {
  const all = zlib.deflateRawSync(Buffer.from(data), { finishFlush: zlib.constants.Z_SYNC_FLUSH, ...options })
  return all.subarray(0, all.length - TRAILER.length)
}

const inflated = (payload) =>
  zlib.inflateRawSync(Buffer.concat([payload, TRAILER]), { finishFlush: zlib.constants.Z_SYNC_FLUSH })

/** A session whose client has negotiated the extension; the open packet has been read. */
async function open(perMessageDeflate = true, options = {}, offer = OFFER) {
  const context = await listen({ perMessageDeflate, ...options })
  const connected = once(context.engine, 'connection')
  const peer = await RawWebSocket.open(context.port, path(context, { transport: 'websocket' }), offer)
  assert.match(peer.headers['sec-websocket-extensions'], /^permessage-deflate/)
  const [socket] = await connected
  const first = await peer.frame()
  return { context, peer, socket, first }
}

const NO_TAKEOVER = {
  headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate; server_no_context_takeover; client_no_context_takeover' },
}

test('a compressed message from the client is delivered', async () => {
  const { peer, socket } = await open()
  const messages = times(socket, 'message', 2)
  peer.sendFrame({ rsv: RSV1, opcode: 1, payload: deflated('4€ hello') })
  peer.sendFrame({ rsv: RSV1, opcode: 2, payload: deflated([1, 2, 3]) })
  assert.deepEqual(await messages, [['€ hello'], [Buffer.from([1, 2, 3])]])
})

test('uncompressed messages are fine on a connection with the extension', async () => {
  const { peer, socket } = await open()
  const message = once(socket, 'message')
  peer.sendText('4a')
  assert.deepEqual(await message, ['a'])
})

test('a compressed message over several frames, with a ping between them, is put together', async () => {
  const { peer, socket } = await open()
  const message = once(socket, 'message')
  const payload = deflated(`4${'abc€'.repeat(500)}`)
  peer.sendFrame({ fin: false, rsv: RSV1, opcode: 1, payload: payload.subarray(0, 5) })
  peer.sendFrame({ opcode: 9, payload: 'p' })
  peer.sendFrame({ fin: false, opcode: 0, payload: payload.subarray(5, 9) })
  peer.sendFrame({ opcode: 0, payload: payload.subarray(9) })
  assert.equal((await peer.frame()).opcode, 10)
  assert.deepEqual(await message, ['abc€'.repeat(500)])
})

test("the client's context is taken over from message to message", async () => {
  const { peer, socket } = await open()
  const messages = times(socket, 'message', 2)
  const deflate = zlib.createDeflateRaw({ windowBits: 15 })
  const compress = (data) =>
    new Promise((resolve) => {
      const chunks = []
      deflate.on('data', (chunk) => chunks.push(chunk))
      deflate.write(data)
      deflate.flush(zlib.constants.Z_SYNC_FLUSH, () => {
        deflate.removeAllListeners('data')
        const all = Buffer.concat(chunks)
        resolve(all.subarray(0, all.length - 4))
      })
    })
  const text = `4${randomBytes(400).toString('hex')}`
  const [first, second] = [await compress(text), await compress(text)]
  assert.ok(second.length < first.length / 4)
  peer.sendFrame({ rsv: RSV1, payload: first })
  peer.sendFrame({ rsv: RSV1, payload: second })
  assert.deepEqual(await messages, [[text.slice(1)], [text.slice(1)]])
})

test('large messages are sent compressed, with RSV1, and shrink', async () => {
  const { peer, socket } = await open(true, {}, NO_TAKEOVER)
  socket.send('x'.repeat(10000))
  const frame = await peer.frame()
  assert.deepEqual([frame.rsv, frame.opcode, frame.fin], [RSV1, 1, true])
  assert.ok(frame.payload.length < 200)
  assert.equal(inflated(frame.payload).toString(), `4${'x'.repeat(10000)}`)
})

for (const [length, rsv] of [
  [1023, 0],
  [1024, RSV1],
]) {
  test(`without the server's context takeover a packet of ${length} bytes is ${rsv ? 'compressed' : 'sent as it is'}`, async () => {
    const { peer, socket } = await open(true, {}, NO_TAKEOVER)
    socket.send('x'.repeat(length - 1))
    assert.equal((await peer.frame()).rsv, rsv)
  })
}

test("another threshold is heeded without the server's context takeover", async () => {
  const { peer, socket } = await open({ threshold: 10, serverNoContextTakeover: true })
  socket.send('x'.repeat(8))
  socket.send('x'.repeat(9))
  assert.deepEqual([(await peer.frame()).rsv, (await peer.frame()).rsv], [0, RSV1])
})

improvement('C-3: threshold without effect', 'the threshold is heeded with context takeover, too', async () => {
  const { peer, socket } = await open({ threshold: 100 })
  socket.send('x'.repeat(50))
  socket.send('x'.repeat(500))
  assert.deepEqual([(await peer.frame()).rsv, (await peer.frame()).rsv], [0, RSV1])
})

improvement('C-3: ignored on websockets', 'compress: false sends a message as it is', async () => {
  const { peer, socket } = await open()
  socket.send('x'.repeat(5000), { compress: false })
  socket.send('y'.repeat(5000))
  assert.deepEqual([(await peer.frame()).rsv, (await peer.frame()).rsv], [0, RSV1])
})

test('binary messages are compressed as well', async () => {
  const { peer, socket } = await open(true, {}, NO_TAKEOVER)
  socket.send(Buffer.alloc(5000, 7))
  const frame = await peer.frame()
  assert.deepEqual([frame.rsv, frame.opcode], [RSV1, 2])
  assert.ok(inflated(frame.payload).equals(Buffer.alloc(5000, 7)))
})

test('a window of 2^9 bytes is kept to', async () => {
  const { peer, socket } = await open({ serverMaxWindowBits: 9, serverNoContextTakeover: true })
  // the repetition lies further back than the window reaches
  const block = randomBytes(600).toString('latin1')
  const data = Buffer.from(block + block, 'latin1')
  socket.send(data)
  const { payload } = await peer.frame()
  const options = { finishFlush: zlib.constants.Z_SYNC_FLUSH, windowBits: 9 }
  assert.ok(zlib.inflateRawSync(Buffer.concat([payload, TRAILER]), options).equals(data))
  assert.ok(payload.length > 1000)
})

/** What becomes of a session after a frame of the client. */
async function violated(frames, options = {}) {
  const { peer, socket } = await open(true, options)
  const closed = once(socket, 'close')
  for (const frame of frames) peer.sendFrame(frame)
  const [reason, description] = await closed
  const { code } = await peer.closeFrame()
  return { reason, message: description && description.message, type: description && description.type, code }
}

test('invalid compressed data is a transport error with close code 1007', async () => {
  const outcome = await violated([{ rsv: RSV1, payload: Buffer.from([0x07, 0xff, 0xff, 0xff]) }])
  assert.deepEqual([outcome.reason, outcome.code, outcome.type], ['transport error', 1007, 'TransportError'])
  assert.equal(outcome.message, 'Error: invalid block type')
})

test('invalid UTF-8 in a compressed text is 1007', async () => {
  const outcome = await violated([{ rsv: RSV1, payload: deflated([0x34, 0xff, 0xfe]) }])
  assert.deepEqual([outcome.reason, outcome.code], ['transport error', 1007])
})

test('a decompression bomb is refused with 1009', async () => {
  const bomb = deflated(Buffer.alloc(10e6, '4'))
  assert.ok(bomb.length < 11000)
  const outcome = await violated([{ rsv: RSV1, payload: bomb }], { maxHttpBufferSize: 20000 })
  assert.deepEqual([outcome.reason, outcome.code], ['transport error', 1009])
  assert.equal(outcome.message, 'RangeError: Max payload size exceeded')
})

test('a bomb over many small fragments is refused with 1009', async () => {
  const bomb = deflated(Buffer.alloc(5e6, '4'))
  const frames = []
  for (let at = 0; at < bomb.length; at += 50) {
    frames.push({
      fin: at + 50 >= bomb.length,
      rsv: at === 0 ? RSV1 : 0,
      opcode: at === 0 ? 1 : 0,
      payload: bomb.subarray(at, at + 50),
    })
  }
  const outcome = await violated(frames, { maxHttpBufferSize: 20000 })
  assert.deepEqual([outcome.reason, outcome.code], ['transport error', 1009])
})

test('a message that inflates to exactly maxHttpBufferSize passes', async () => {
  const { peer, socket } = await open(true, { maxHttpBufferSize: 5000 })
  const message = once(socket, 'message')
  peer.sendFrame({ rsv: RSV1, payload: deflated(`4${'x'.repeat(4999)}`) })
  assert.equal((await message)[0].length, 4999)
})

test('RSV1 on a control frame or on a continuation is 1002', async () => {
  assert.equal((await violated([{ rsv: RSV1, opcode: 9 }])).code, 1002)
  const parts = [
    { fin: false, opcode: 1, payload: '4' },
    { rsv: RSV1, opcode: 0, payload: 'a' },
  ]
  assert.equal((await violated(parts)).code, 1002)
})

test('an empty compressed frame is a parse error', async () => {
  const { peer, socket } = await open()
  const closed = once(socket, 'close')
  peer.sendFrame({ rsv: RSV1, payload: Buffer.from([0]) })
  assert.equal((await closed)[0], 'parse error')
})

test('data that stops in the middle of a block makes a short message', async () => {
  const { peer, socket } = await open()
  const message = once(socket, 'message')
  // a stored block that announces ten bytes; two follow, and the four that end every message
  peer.sendFrame({ rsv: RSV1, opcode: 2, payload: Buffer.from([0x00, 0x0a, 0x00, 0xf5, 0xff, 0x34, 0x61]) })
  assert.deepEqual(await message, [Buffer.from([0x34, 0x61, 0, 0, 0xff, 0xff])])
})

test('after a final block the messages that follow are read all the same', async () => {
  const { peer, socket } = await open()
  const messages = times(socket, 'message', 2)
  peer.sendFrame({ rsv: RSV1, payload: zlib.deflateRawSync('4final') })
  peer.sendFrame({ rsv: RSV1, payload: deflated('4next') })
  assert.deepEqual(await messages, [['final'], ['next']])
})

for (const [name, options] of [
  ['the defaults', {}],
  ['no context takeover of the server', { serverNoContextTakeover: true }],
  ['no context takeover of the client', { clientNoContextTakeover: true }],
  ['small windows', { serverMaxWindowBits: 9, clientMaxWindowBits: 9 }],
  ['level 1 and a threshold of 0', { threshold: 0, zlibDeflateOptions: { level: 1 } }],
]) {
  test(`a ws client exchanges messages of all sizes with ${name}`, async () => {
    const context = await listen({ perMessageDeflate: options })
    const connected = once(context.engine, 'connection')
    const ws = await wsClient(context.port, path(context, { transport: 'websocket' }), {
      perMessageDeflate: { threshold: 0 },
    })
    assert.match(ws.extensions, /^permessage-deflate/)
    const [socket] = await connected
    socket.on('message', (data) => socket.send(data))
    assert.match(await ws.next(), /^0\{/)
    const messages = [1, 10, 1000, 1024, 5000, 70000, 300000].flatMap((size) => [
      `4${'abcdefgh€'.repeat(Math.ceil(size / 10))}`,
      randomBytes(size),
      Buffer.alloc(size, 3),
    ])
    for (const message of messages) ws.send(message)
    for (const message of messages) {
      const echo = await ws.next()
      assert.ok(typeof message === 'string' ? echo === message : message.equals(echo))
    }
  })
}

test('a short message does not overtake one that is still being compressed, nor does the close frame', async () => {
  const context = await listen({ perMessageDeflate: true })
  const connected = once(context.engine, 'connection')
  const ws = await wsClient(context.port, path(context, { transport: 'websocket' }))
  const [socket] = await connected
  assert.match(await ws.next(), /^0\{/)
  for (let i = 0; i < 3; i++) {
    const large = randomBytes(3_000_000)
    socket.send(large)
    await delay(5)
    socket.send('short')
    assert.ok(large.equals(await ws.next()))
    assert.equal(await ws.next(), '4short')
  }
  const last = randomBytes(3_000_000)
  socket.send(last)
  await delay(5)
  socket.close()
  assert.ok(last.equals(await ws.next()))
})

test('the real client exchanges compressed messages', async () => {
  const context = await listen({ perMessageDeflate: { threshold: 100 } })
  context.engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const socket = client(context, { transports: ['websocket'], perMessageDeflate: { threshold: 100 } })
  const received = record(socket, 'message', (_, data) => data)
  await once(socket, 'open')
  const messages = ['x'.repeat(5000), 'a', Buffer.alloc(9000, 1)]
  for (const message of messages) socket.send(message)
  await eventually(() => received.length, 3)
  assert.deepEqual(
    received.map((data) => (typeof data === 'string' ? data : Buffer.from(data))),
    messages,
  )
})

test('a session upgraded from polling uses the extension, and its callbacks run', async () => {
  const context = await listen({ perMessageDeflate: { serverNoContextTakeover: true } })
  const { peer: polling, socket } = await openPolling(context)
  const peer = await upgradeTo(context, polling.sid, OFFER)
  peer.sendFrame({ rsv: RSV1, payload: deflated('2probe') })
  assert.equal((await peer.frame()).text, '3probe')
  const upgraded = once(socket, 'upgrade')
  peer.sendText('5')
  await upgraded
  const called = new Promise((resolve) => socket.send('x'.repeat(5000), resolve))
  const frame = await peer.frame()
  assert.equal(inflated(frame.payload).length, 5001)
  assert.equal(await called, socket.transport)
})

test('send callbacks of compressed messages run in order, before the close frame', async () => {
  const { peer, socket } = await open()
  const calls = []
  for (const name of ['a', 'b', 'c']) socket.send(name.repeat(5000), () => calls.push(name))
  await eventually(() => calls, ['a', 'b', 'c'])
  socket.send('d'.repeat(5000))
  socket.close()
  const opcodes = []
  for (let i = 0; i < 5; i++) opcodes.push((await peer.frame()).opcode)
  assert.deepEqual(opcodes, [1, 1, 1, 1, 8])
})
