'use strict'

const assert = require('node:assert/strict')
const https = require('node:https')
const { test } = require('node:test')
const tls = require('node:tls')
const { WebSocketServer } = require('ws')
const {
  closePayload,
  delay,
  eventually,
  frame,
  listen,
  listenNatively,
  never,
  once,
  openUpgraded,
  openWebSocket,
  path,
  record,
  times,
  upstream,
  RawWebSocket,
} = require('../support')
const { key, cert } = require('../fixtures/tls')

async function session(opts) {
  const context = await listen(opts)
  return { context, ...(await openWebSocket(context)) }
}

test('a text frame is decoded as a packet', async () => {
  const { peer, socket } = await session()
  const message = once(socket, 'message')
  peer.sendText('4héllo')
  assert.deepEqual(await message, ['héllo'])
})

test('a binary frame is a message with a Buffer', async () => {
  const { peer, socket } = await session()
  const message = once(socket, 'message')
  peer.sendBinary(Buffer.from([0, 255, 4]))
  const [data] = await message
  assert.ok(Buffer.isBuffer(data))
  assert.deepEqual([...data], [0, 255, 4])
})

test('an empty binary frame is a message with an empty Buffer', async () => {
  const { peer, socket } = await session()
  const message = once(socket, 'message')
  peer.sendBinary('')
  assert.deepEqual(await message, [Buffer.alloc(0)])
})

test('a text frame that starts with b is a base64 message', async () => {
  const { peer, socket } = await session()
  const message = once(socket, 'message')
  peer.sendText('bAQID')
  assert.deepEqual(await message, [Buffer.from([1, 2, 3])])
})

test('the text "4" is a message with undefined', async () => {
  const { peer, socket } = await session()
  const message = once(socket, 'message')
  peer.sendText('4')
  assert.deepEqual(await message, [undefined])
})

for (const text of ['', '9', 'x', 'é']) {
  test(`the text ${JSON.stringify(text)} is a parse error and gets a close frame without a code`, async () => {
    const { peer, socket } = await session()
    const packet = once(socket, 'packet')
    const closed = once(socket, 'close')
    peer.sendText(text)
    assert.deepEqual(await packet, [{ type: 'error', data: 'parser error' }])
    assert.deepEqual(await closed, ['parse error', undefined])
    assert.equal((await peer.closeFrame()).payload.length, 0)
  })
}

test('the text "1" is only a packet event', async () => {
  const { peer, socket } = await session()
  const events = record(socket, ['packet', 'close'])
  const message = once(socket, 'message')
  peer.sendText('1')
  peer.sendText('4after')
  await message
  assert.deepEqual(events, [
    ['packet', { type: 'close' }],
    ['packet', { type: 'message', data: 'after' }],
  ])
})

for (const text of ['2', '2probe']) {
  test(`a ping packet "${text}" from the client closes the session`, async () => {
    const { peer, socket } = await session()
    const closed = once(socket, 'close')
    peer.sendText(text)
    const [reason, description] = await closed
    assert.equal(reason, 'transport error')
    assert.equal(description.message, 'invalid heartbeat direction')
    assert.equal(description.type, undefined)
    assert.equal((await peer.closeFrame()).payload.length, 0)
  })
}

for (const text of ['0{}', '5', '6']) {
  test(`the packet "${text}" on an open session is only a packet event`, async () => {
    const { peer, socket } = await session()
    const events = record(socket, ['packet', 'upgrade', 'close', 'heartbeat'])
    const message = once(socket, 'message')
    peer.sendText(text)
    peer.sendText('4x')
    await message
    assert.equal(events.length, 2)
    assert.equal(socket.readyState, 'open')
  })
}

test('a ping frame is answered by a pong with the same payload and is no packet', async () => {
  const { peer, socket } = await session()
  const packets = record(socket, ['packet', 'heartbeat'])
  peer.sendFrame({ opcode: 9, payload: 'are you there' })
  const pong = await peer.frame()
  assert.deepEqual([pong.opcode, pong.text, pong.masked], [10, 'are you there', false])
  assert.deepEqual(packets, [])
})

test('a ping frame of 125 bytes and one without payload are answered', async () => {
  const { peer } = await session()
  peer.sendFrame({ opcode: 9, payload: 'p'.repeat(125) })
  assert.equal((await peer.frame()).payload.length, 125)
  peer.sendFrame({ opcode: 9 })
  assert.deepEqual([...(await peer.frame()).payload], [])
})

test('a pong frame is ignored', async () => {
  const { peer, socket } = await session()
  const events = record(socket, ['packet', 'heartbeat', 'close'])
  peer.sendFrame({ opcode: 10, payload: 'x' })
  peer.sendFrame({ opcode: 9 }) // its pong shows that the frame before has been handled
  assert.equal((await peer.frame()).opcode, 10)
  assert.deepEqual(events, [])
})

test('a fragmented message is put together', async () => {
  const { peer, socket } = await session()
  const message = once(socket, 'message')
  peer.sendFrame({ fin: false, opcode: 1, payload: '4a' })
  peer.sendFrame({ fin: false, opcode: 0, payload: 'b' })
  peer.sendFrame({ fin: true, opcode: 0, payload: 'c' })
  assert.deepEqual(await message, ['abc'])
})

test('a fragmented binary message is put together', async () => {
  const { peer, socket } = await session()
  const message = once(socket, 'message')
  peer.sendFrame({ fin: false, opcode: 2, payload: Buffer.from([1]) })
  peer.sendFrame({ fin: true, opcode: 0, payload: Buffer.from([2, 3]) })
  assert.deepEqual(await message, [Buffer.from([1, 2, 3])])
})

test('empty fragments are fine', async () => {
  const { peer, socket } = await session()
  const message = once(socket, 'message')
  peer.sendFrame({ fin: false, opcode: 1, payload: '' })
  peer.sendFrame({ fin: false, opcode: 0, payload: '4x' })
  peer.sendFrame({ fin: true, opcode: 0, payload: '' })
  assert.deepEqual(await message, ['x'])
})

test('a character split over two fragments arrives intact', async () => {
  const { peer, socket } = await session()
  const message = once(socket, 'message')
  const bytes = Buffer.from('4€')
  peer.sendFrame({ fin: false, opcode: 1, payload: bytes.subarray(0, 2) })
  peer.sendFrame({ fin: true, opcode: 0, payload: bytes.subarray(2) })
  assert.deepEqual(await message, ['€'])
})

test('a ping between two fragments is answered before the message is complete', async () => {
  const { peer, socket } = await session()
  const messages = record(socket, 'message')
  peer.sendFrame({ fin: false, opcode: 1, payload: '4a' })
  peer.sendFrame({ opcode: 9, payload: 'mid' })
  assert.equal((await peer.frame()).text, 'mid')
  assert.deepEqual(messages, [])
  const message = once(socket, 'message')
  peer.sendFrame({ fin: true, opcode: 0, payload: 'b' })
  assert.deepEqual(await message, ['ab'])
})

for (const form of [16, 64]) {
  test(`a small payload with a ${form} bit length is accepted`, async () => {
    const { peer, socket } = await session()
    const message = once(socket, 'message')
    peer.sendFrame({ opcode: 1, payload: '4x', form })
    assert.deepEqual(await message, ['x'])
  })
}

test('a frame that arrives byte by byte is put together', async () => {
  const { peer, socket } = await session()
  const message = once(socket, 'message')
  for (const byte of frame({ opcode: 1, payload: '4slowly' })) {
    peer.write(Buffer.from([byte]))
    await new Promise(setImmediate)
  }
  assert.deepEqual(await message, ['slowly'])
})

test('frames that arrive in one chunk are dispatched in order', async () => {
  const { peer, socket } = await session()
  const messages = times(socket, 'message', 100)
  peer.write(Buffer.concat(Array.from({ length: 100 }, (_, i) => frame({ payload: `4${i}` }))))
  assert.deepEqual(
    (await messages).flat(),
    Array.from({ length: 100 }, (_, i) => String(i)),
  )
})

test('large messages of both kinds arrive complete', async () => {
  const { peer, socket } = await session()
  const messages = times(socket, 'message', 2)
  const bytes = require('node:crypto').randomBytes(500_000)
  peer.sendText(`4${'é'.repeat(100_000)}`)
  peer.sendBinary(bytes)
  const [[text], [binary]] = await messages
  assert.equal(text, 'é'.repeat(100_000))
  assert.ok(bytes.equals(binary))
})

test('a received Buffer keeps its content while more messages come in', async () => {
  const { peer, socket } = await session()
  const messages = times(socket, 'message', 50)
  for (let i = 0; i < 50; i++) peer.sendBinary(Buffer.alloc(100, i))
  const kept = (await messages).flat()
  assert.ok(kept.every((data, i) => data.equals(Buffer.alloc(100, i))))
})

test('a close frame is echoed with its code and reason, and the session closes', async () => {
  const { peer, socket } = await session()
  const closed = once(socket, 'close')
  peer.sendClose(1000, 'bye')
  assert.deepEqual(await closed, ['transport close', undefined])
  const { payload } = await peer.closeFrame()
  assert.deepEqual(payload, closePayload(1000, 'bye'))
  await peer.end()
})

test('a close frame without a code is echoed without one', async () => {
  const { peer, socket } = await session()
  const closed = once(socket, 'close')
  peer.sendClose()
  assert.deepEqual(await closed, ['transport close', undefined])
  assert.equal((await peer.closeFrame()).payload.length, 0)
})

for (const code of [1000, 1003, 1014, 3000, 4999]) {
  test(`the close code ${code} is valid`, async () => {
    const { peer, socket } = await session()
    const closed = once(socket, 'close')
    peer.sendClose(code)
    assert.equal((await closed)[0], 'transport close')
    assert.equal((await peer.closeFrame()).code, code)
  })
}

test('data behind a close frame is ignored', async () => {
  const { peer, socket } = await session()
  const messages = record(socket, 'message')
  const closed = once(socket, 'close')
  peer.write(Buffer.concat([frame({ payload: '4a' }), frame({ opcode: 8 }), frame({ payload: '4b' })]))
  await closed
  await peer.end()
  assert.deepEqual(messages, [['message', 'a']])
})

for (const [how, abort] of [
  ['ends the connection', (peer) => peer.socket.end()],
  ['resets the connection', (peer) => peer.reset()],
  ['ends the connection in the middle of a frame', (peer) => peer.socket.end(Buffer.from([0x81, 0x85, 1]))],
]) {
  test(`a client that ${how} without a close frame is a transport close`, async () => {
    const { context, peer, socket } = await session()
    const closed = once(socket, 'close')
    abort(peer)
    assert.deepEqual(await closed, ['transport close', undefined])
    assert.equal(context.engine.clientsCount, 0)
  })
}

/** Sends `bytes`; the session must end with this error and the client must see this close code. */
async function violates(bytes, code, message, opts) {
  const { context, peer, socket } = await session(opts)
  const closed = once(socket, 'close')
  const received = peer.closeFrame()
  for (const chunk of [].concat(bytes)) peer.write(chunk)
  const [reason, description] = await closed
  assert.equal(reason, 'transport error')
  assert.ok(description instanceof Error)
  assert.equal(description.type, 'TransportError')
  assert.match(description.message, message)
  assert.equal(description.description, undefined)
  assert.equal((await received).code, code)
  assert.equal(context.engine.clientsCount, 0)
  await peer.end()
}

const invalid = (text) => new RegExp(`^\\w*Error: Invalid WebSocket frame: ${text}$`)

for (const [what, bytes, code, message] of [
  ['an unmasked frame', frame({ payload: '4a', mask: false }), 1002, 'MASK must be set'],
  ['RSV1 on a data frame', frame({ payload: '4a', rsv: 4 }), 1002, 'RSV1 must be clear'],
  ['RSV1 on a control frame', frame({ opcode: 9, rsv: 4 }), 1002, 'RSV1 must be clear'],
  ['RSV2', frame({ payload: '4a', rsv: 2 }), 1002, 'RSV2 and RSV3 must be clear'],
  ['RSV3', frame({ payload: '4a', rsv: 1 }), 1002, 'RSV2 and RSV3 must be clear'],
  ['opcode 3', frame({ opcode: 3 }), 1002, 'invalid opcode 3'],
  ['opcode 7', frame({ opcode: 7 }), 1002, 'invalid opcode 7'],
  ['opcode 11', frame({ opcode: 11 }), 1002, 'invalid opcode 11'],
  ['opcode 15', frame({ opcode: 15 }), 1002, 'invalid opcode 15'],
  ['a continuation without a beginning', frame({ opcode: 0, payload: 'a' }), 1002, 'invalid opcode 0'],
  [
    'a text frame inside a fragmented message',
    [frame({ fin: false, payload: '4a' }), frame({ payload: '4b' })],
    1002,
    'invalid opcode 1',
  ],
  ['a fragmented ping', frame({ opcode: 9, fin: false }), 1002, 'FIN must be set'],
  ['a ping of 126 bytes', frame({ opcode: 9, payload: 'p'.repeat(126) }), 1002, 'invalid payload length 126'],
  ['a close payload of one byte', frame({ opcode: 8, payload: 'x' }), 1002, 'invalid payload length 1'],
  ['close code 0', frame({ opcode: 8, payload: closePayload(0) }), 1002, 'invalid status code 0'],
  ['close code 999', frame({ opcode: 8, payload: closePayload(999) }), 1002, 'invalid status code 999'],
  ['close code 1004', frame({ opcode: 8, payload: closePayload(1004) }), 1002, 'invalid status code 1004'],
  ['close code 1005', frame({ opcode: 8, payload: closePayload(1005) }), 1002, 'invalid status code 1005'],
  ['close code 1006', frame({ opcode: 8, payload: closePayload(1006) }), 1002, 'invalid status code 1006'],
  ['close code 1015', frame({ opcode: 8, payload: closePayload(1015) }), 1002, 'invalid status code 1015'],
  ['close code 2999', frame({ opcode: 8, payload: closePayload(2999) }), 1002, 'invalid status code 2999'],
  ['close code 5000', frame({ opcode: 8, payload: closePayload(5000) }), 1002, 'invalid status code 5000'],
  ['invalid UTF-8 in a text frame', frame({ payload: Buffer.from([0x34, 0xff]) }), 1007, 'invalid UTF-8 sequence'],
  ['a surrogate encoded in UTF-8', frame({ payload: Buffer.from('34eda080', 'hex') }), 1007, 'invalid UTF-8 sequence'],
  [
    'invalid UTF-8 in a close reason',
    frame({ opcode: 8, payload: Buffer.concat([closePayload(1000), Buffer.from([0xff])]) }),
    1007,
    'invalid UTF-8 sequence',
  ],
  [
    'invalid UTF-8 over two fragments',
    [frame({ fin: false, payload: Buffer.from([0x34, 0xe2, 0x82]) }), frame({ opcode: 0, payload: 'a' })],
    1007,
    'invalid UTF-8 sequence',
  ],
]) {
  test(`${what} is a transport error with close code ${code}`, () => violates(bytes, code, invalid(message)))
}

for (const length of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
  test(`an announced length of ${length} gets 1009 at once`, () =>
    violates(frame({ length, form: 64 }), 1009, /Unsupported WebSocket frame: payload length > 2\^53 - 1$/))
}

test('a message over maxHttpBufferSize gets 1009 before its payload has arrived', () =>
  violates(frame({ length: 1001 }), 1009, /Max payload size exceeded$/, { maxHttpBufferSize: 1000 }))

test('fragments over maxHttpBufferSize in sum get 1009', () =>
  violates(
    [frame({ fin: false, payload: `4${'a'.repeat(599)}` }), frame({ opcode: 0, payload: 'a'.repeat(401) })],
    1009,
    /Max payload size exceeded$/,
    { maxHttpBufferSize: 1000 },
  ))

test('a message of exactly maxHttpBufferSize bytes, type digit included, is accepted', async () => {
  const { peer, socket } = await session({ maxHttpBufferSize: 1000 })
  const message = once(socket, 'message')
  peer.sendText(`4${'a'.repeat(999)}`)
  assert.equal((await message)[0].length, 999)
})

test('a binary message may have maxHttpBufferSize bytes of data', async () => {
  const { peer, socket } = await session({ maxHttpBufferSize: 1000 })
  const message = once(socket, 'message')
  peer.sendBinary(Buffer.alloc(1000, 1))
  assert.equal((await message)[0].length, 1000)
})

test('more than 16384 fragments get 1008', () => {
  const fragments = Array.from({ length: 16384 }, () => frame({ fin: false, opcode: 0 }))
  const bytes = Buffer.concat([frame({ fin: false, payload: '' }), ...fragments])
  return violates(bytes, 1008, /Too many message fragments$/)
})

const pings = (count) => Buffer.concat(Array.from({ length: count }, () => frame({ opcode: 9, payload: 'p' })))

test('1000 ping frames get 1000 pongs, 60 at a time', async () => {
  const { peer } = await session()
  for (let sent = 0; sent < 1000; sent += 50) {
    peer.write(pings(50))
    for (let i = 0; i < 50; i++) assert.equal((await peer.frame()).opcode, 10)
  }
})

test('of more than 60 ping frames at once 60 are answered, and the connection is cut off', async () => {
  const { peer, socket } = await session()
  const messages = record(socket, 'message')
  const closed = once(socket, 'close')
  peer.write(Buffer.concat([frame({ payload: '4a' }), pings(61), frame({ payload: '4b' })]))
  assert.deepEqual(await closed, ['transport close', undefined])
  await peer.end()
  assert.deepEqual(messages, [
    ['message', 'a'],
    ['message', 'b'],
  ])
  assert.equal(peer.text, '\x8a\x01p'.repeat(60))
})

/** Writes bytes in pieces of 4, each when the server has read those before, as long as the session is there. */
async function writeInPieces({ peer, socket }, bytes) {
  const { _socket: stream } = socket.transport.socket
  const before = stream.bytesRead
  for (let at = 0; at < bytes.length && socket.readyState === 'open'; at += 4) {
    peer.write(bytes.subarray(at, at + 4))
    await eventually(() => stream.bytesRead - before, Math.min(at + 4, bytes.length))
  }
}

for (const [how, opts] of [
  ['', {}],
  [', with permessage-deflate', { perMessageDeflate: true }],
  [', on a wsEngine', { wsEngine: WebSocketServer }],
]) {
  // six bytes of header and mask, and thirty of payload
  const bytes = frame({ payload: `4${'x'.repeat(29)}` })

  test(`a frame whose payload comes in more pieces than maxBufferedChunks gets 1008${how}`, async () => {
    const opened = await session({ ...opts, maxBufferedChunks: 7 })
    const closed = once(opened.socket, 'close')
    await writeInPieces(opened, bytes)
    const [reason, { message, type }] = await closed
    assert.deepEqual([reason, type], ['transport error', 'TransportError'])
    assert.match(message, /Too many buffered chunks$/)
    assert.equal((await opened.peer.closeFrame()).code, 1008)
  })

  for (const maxBufferedChunks of [8, 0, -1, undefined, NaN]) {
    test(`as many pieces as maxBufferedChunks (${maxBufferedChunks}) allows are a message${how}`, async () => {
      const opened = await session({ ...opts, maxBufferedChunks })
      const messages = times(opened.socket, 'message', 2)
      await writeInPieces(opened, bytes)
      await writeInPieces(opened, bytes)
      assert.deepEqual(await messages, [['x'.repeat(29)], ['x'.repeat(29)]])
    })
  }
}

const FRAME = frame({ payload: `4${'x'.repeat(60_000)}` })

/** How sessions come to a WebSocket. */
const WAYS = {
  'over TLS': { open: openSecure },
  'of protocol 3': { open: async (opts) => openWebSocket(await listen({ ...opts, allowEIO3: true }), { EIO: '3' }) },
  'of an upgraded session': { open: async (opts) => openUpgraded(await listen(opts)) },
  'with permessage-deflate': {
    open: async (opts) => openWebSocket(await listen({ ...opts, perMessageDeflate: true })),
  },
  'of a native listener': {
    open: async (opts) => openWebSocket(await listenNatively(opts)),
    skip: upstream && 'is ours alone',
  },
}

async function openSecure(opts) {
  const context = await listen(opts, https.createServer({ key, cert }))
  const connected = once(context.engine, 'connection')
  const stream = tls.connect({ host: '127.0.0.1', port: context.port, ca: cert, servername: 'localhost' })
  await once(stream, 'secureConnect')
  const peer = await RawWebSocket.over(stream, path(context, { transport: 'websocket' })).response()
  assert.match(await peer.packet(), /^0/)
  return { peer, socket: (await connected)[0] }
}

for (const [way, { open, skip = false }] of Object.entries(WAYS)) {
  test(`a frame that comes byte by byte ${way} gets 1008 before its end`, { skip }, async () => {
    const { peer, socket } = await open({ maxBufferedChunks: 7 })
    const closed = once(socket, 'close')
    let ended = false
    const closing = peer.closeFrame().finally(() => (ended = true))
    for (let at = 0; !ended; at++) {
      peer.write(FRAME.subarray(at, at + 1))
      await delay(1)
    }
    assert.equal((await closing).code, 1008)
    const [reason, { message }] = await closed
    assert.equal(reason, 'transport error')
    assert.match(message, /Too many buffered chunks$/)
  })

  test(`more than 60 ping frames at once ${way} end the session behind the messages among them`, { skip }, async () => {
    const { peer, socket } = await open()
    const messages = record(socket, 'message', (event, data) => data)
    const closed = once(socket, 'close')
    peer.write(Buffer.concat([frame({ payload: '4a' }), pings(100), frame({ payload: '4b' })]))
    assert.deepEqual(await closed, ['transport close', undefined])
    await peer.end()
    assert.deepEqual(messages, ['a', 'b'])
  })
}

test('messages before an invalid frame in the same chunk are delivered', async () => {
  const { peer, socket } = await session()
  const messages = record(socket, 'message')
  const closed = once(socket, 'close')
  peer.write(Buffer.concat([frame({ payload: '4a' }), frame({ opcode: 3 }), frame({ payload: '4b' })]))
  assert.equal((await closed)[0], 'transport error')
  await peer.end()
  assert.deepEqual(messages, [['message', 'a']])
})

test('an invalid frame of one client leaves the others alone', async () => {
  const context = await listen()
  const { peer } = await openWebSocket(context)
  const { peer: other, socket } = await openWebSocket(context)
  peer.sendFrame({ opcode: 3 })
  await peer.closeFrame()
  await never(socket, 'close', 20)
  const message = once(socket, 'message')
  other.sendText('4fine')
  assert.deepEqual(await message, ['fine'])
})
