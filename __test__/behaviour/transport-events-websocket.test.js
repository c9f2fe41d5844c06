'use strict'

// The events and states of a WebSocket transport, and of its session, in every way to end and before.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { eventually, frame, listen, once, openWebSocket } = require('../support')
const { scene } = require('../support/transport-log')

const frames = (...payloads) => Buffer.concat(payloads.map((payload) => frame({ payload })))

/** The client's part of the closing handshake. */
async function answerClose({ peer, seen }) {
  await peer.closeFrame()
  peer.sendClose()
  await seen('websocket close')
}

function websocket(name, act, given) {
  scene(`websocket: ${name}`, { open: openWebSocket, act, ...given })
}

// ---- open ------------------------------------------------------------------------------------

websocket('nothing happens', undefined, {
  log: [
    'websocket drain [open: websocket open]',
    'websocket ready [open: websocket open writable]',
    'then [open: websocket open writable]',
  ],
})

websocket('packets come in', ({ peer }) => peer.write(frames('4a', '6', '4b')), {
  log: [
    'websocket drain [open: websocket open]',
    'websocket ready [open: websocket open writable]',
    'socket packet message:a [open: websocket open writable]',
    'websocket packet message:a [open: websocket open writable]',
    'socket packet noop [open: websocket open writable]',
    'websocket packet noop [open: websocket open writable]',
    'socket packet message:b [open: websocket open writable]',
    'websocket packet message:b [open: websocket open writable]',
    'then [open: websocket open writable]',
  ],
})

websocket(
  'packets go out one after the other',
  async ({ socket, seen }) => {
    await seen('websocket ready')
    socket.send('a')
    socket.send('b')
  },
  {
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket drain [open: websocket open]',
      'websocket drain [open: websocket open]',
      'socket drain [open: websocket open]',
      'websocket ready [open: websocket open]',
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'then [open: websocket open writable]',
    ],
  },
)

websocket(
  'messages are answered',
  ({ peer, socket }) => {
    socket.on('message', (data) => socket.send(data))
    peer.write(frames('4a', '4b'))
  },
  {
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket packet message:a [open: websocket open writable]',
      'socket drain [open: websocket open]',
      'websocket packet message:a [open: websocket open]',
      'socket packet message:b [open: websocket open]',
      'websocket packet message:b [open: websocket open]',
      'websocket drain [open: websocket open]',
      'socket drain [open: websocket open]',
      'websocket ready [open: websocket open]',
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'then [open: websocket open writable]',
    ],
  },
)

test('each packet that a closing WebSocket refuses is an error of the transport', async () => {
  const { socket } = await openWebSocket(await listen())
  const { transport } = socket
  const errors = []
  transport.on('error', ({ message }) => errors.push(message))
  socket.close(true)
  transport.send([{ type: 'message', data: 'a' }, { type: 'message', data: Buffer.from('b') }, { type: 'noop' }])
  assert.deepEqual(errors, [])
  await eventually(() => errors, ['write error', 'write error', 'write error'])
})

websocket(
  'a send callback',
  async ({ log, seen, socket }) => {
    await seen('websocket ready')
    socket.send('a', () => log.push(`socket upgrade callback ${log.states()}`))
  },
  {
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket drain [open: websocket open]',
      'socket upgrade callback [open: websocket open]',
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'then [open: websocket open writable]',
    ],
  },
)

websocket(
  'a ping and its answer',
  async ({ peer }) => {
    await peer.packet()
    peer.sendText('3')
  },
  {
    opts: { pingInterval: 500, pingTimeout: 10_000 },
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket drain [open: websocket open]',
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket packet pong [open: websocket open writable]',
      'socket heartbeat [open: websocket open writable]',
      'websocket packet pong [open: websocket open writable]',
      'then [open: websocket open writable]',
    ],
  },
)

websocket('a ping of protocol 3', ({ peer }) => peer.sendText('2'), {
  opts: { allowEIO3: true },
  query: { EIO: '3' },
  log: [
    'websocket drain [open: websocket open]',
    'websocket ready [open: websocket open writable]',
    'socket packet ping [open: websocket open writable]',
    'socket drain [open: websocket open]',
    'socket heartbeat [open: websocket open]',
    'websocket packet ping [open: websocket open]',
    'websocket drain [open: websocket open]',
    'websocket ready [open: websocket open writable]',
    'then [open: websocket open writable]',
  ],
})

// ---- ends ------------------------------------------------------------------------------------

websocket(
  'the client closes',
  async ({ peer, seen }) => {
    await seen('websocket ready')
    peer.sendClose(1000)
  },
  {
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket close "transport close" [closed: websocket closed writable]',
      'websocket close [closed: websocket closed writable]',
      'then [closed: websocket closed writable]',
    ],
  },
)

websocket(
  'the client resets',
  async ({ peer, seen }) => {
    await seen('websocket ready')
    peer.reset()
  },
  {
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket close "transport close" [closed: websocket closed writable]',
      'websocket close [closed: websocket closed writable]',
      'then [closed: websocket closed writable]',
    ],
  },
)

websocket(
  'a frame that breaks the protocol',
  async ({ peer, seen }) => {
    await seen('websocket ready')
    peer.sendFrame({ opcode: 3 })
    await peer.closeFrame()
    peer.socket.end()
  },
  {
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket close "transport error" [closed: websocket closing writable]',
      'websocket error "RangeError: Invalid WebSocket frame: invalid opcode 3" [closed: websocket closing writable]',
      'websocket close [closed: websocket closed writable]',
      'then [closed: websocket closed writable]',
    ],
  },
)

test('what a listener sends that hears first of a frame that breaks the protocol is refused: the close frame is out', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const { transport } = socket
  const errors = []
  const closed = once(socket, 'close')
  socket.transport.prependListener('error', ({ message }) => {
    errors.push(`${message}, ${transport.socket.readyState}`)
    if (errors.length === 1) socket.send('too late')
  })
  peer.write(Buffer.concat([frame({ payload: '4a' }), frame({ opcode: 3 })]))
  const { opcode, payload } = await peer.frame()
  assert.deepEqual([opcode, payload.toString('hex')], [8, '03ea'])
  await closed
  await eventually(() => errors, ['RangeError: Invalid WebSocket frame: invalid opcode 3, 2', 'write error, 2'])
})

/** What the listener of a packet hears, on the session or on its transport, and what the client sends. */
const BEFORE_THE_FRAME = {
  'a message': ['transport', '4a'],
  'something that is not a packet': ['socket', ''],
}

for (const [what, [heardOn, sent]] of Object.entries(BEFORE_THE_FRAME)) {
  test(`a frame that breaks the protocol is an error behind what ${what} in front of it has set off`, async () => {
    const { peer, socket } = await openWebSocket(await listen())
    const { transport } = socket
    const log = []
    const emitter = heardOn === 'socket' ? socket : transport
    emitter.prependListener('packet', () => {
      log.push('packet')
      socket.send('b')
      socket.close()
      process.nextTick(() => log.push('tick'))
      transport.on('drain', () => log.push('drain'))
      transport.on('error', ({ message }) => log.push(message))
    })
    peer.write(Buffer.concat([frame({ payload: sent }), frame({ opcode: 3 })]))
    await once(transport, 'error')
    assert.deepEqual(log.slice(0, 3).sort(), ['drain', 'packet', 'tick'])
    assert.deepEqual(log.slice(3), ['RangeError: Invalid WebSocket frame: invalid opcode 3'])
  })
}

test('a frame that breaks the protocol is an error behind the drain of two messages that a listener has sent', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const log = []
  socket.once('packet', () => {
    socket.send('a')
    socket.send('b')
  })
  socket.transport.on('drain', () => log.push('drain'))
  socket.transport.on('error', () => log.push('error'))
  peer.write(Buffer.concat([frame({ payload: '4a' }), frame({ opcode: 3 })]))
  await once(socket.transport, 'error')
  assert.deepEqual(log, ['drain', 'drain', 'error'])
})

websocket(
  'something that is not a packet, between packets',
  async (session) => {
    await session.seen('websocket ready')
    session.peer.write(frames('4a', 'x', '4b'))
    await answerClose(session)
  },
  {
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket packet message:a [open: websocket open writable]',
      'websocket packet message:a [open: websocket open writable]',
      'socket packet error:parser error [open: websocket open writable]',
      'socket close "parse error" [closed: websocket closing writable]',
      'websocket packet error:parser error [closed: websocket closing writable]',
      'websocket packet message:b [closed: websocket closing writable]',
      'websocket close [closed: websocket closed writable]',
      'then [closed: websocket closed writable]',
    ],
  },
)

websocket(
  'a packet behind something that is not a packet',
  async (session) => {
    const { peer, seen } = session
    await seen('websocket ready')
    peer.sendText('x')
    await peer.closeFrame()
    peer.sendText('4late')
    await seen('websocket packet message:late')
    peer.sendClose()
  },
  {
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket packet error:parser error [open: websocket open writable]',
      'socket close "parse error" [closed: websocket closing writable]',
      'websocket packet error:parser error [closed: websocket closing writable]',
      'websocket packet message:late [closed: websocket closing writable]',
      'websocket close [closed: websocket closed writable]',
      'then [closed: websocket closed writable]',
    ],
  },
)

websocket(
  'a ping in the wrong direction',
  async (session) => {
    await session.seen('websocket ready')
    session.peer.sendText('2')
    await answerClose(session)
  },
  {
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket packet ping [open: websocket open writable]',
      'socket close "transport error" [closed: websocket closing writable]',
      'websocket packet ping [closed: websocket closing writable]',
      'websocket close [closed: websocket closed writable]',
      'then [closed: websocket closed writable]',
    ],
  },
)

websocket(
  'a pong in the wrong direction, in protocol 3',
  async (session) => {
    await session.seen('websocket ready')
    session.peer.sendText('3')
    await answerClose(session)
  },
  {
    opts: { allowEIO3: true },
    query: { EIO: '3' },
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket packet pong [open: websocket open writable]',
      'socket close "transport error" [closed: websocket closing writable]',
      'websocket packet pong [closed: websocket closing writable]',
      'websocket close [closed: websocket closed writable]',
      'then [closed: websocket closed writable]',
    ],
  },
)

websocket(
  'no answer to a ping',
  async (session) => {
    await session.peer.packet()
    await answerClose(session)
  },
  {
    // a timer that is late by more than a quarter of the timeout has the client asked once more
    opts: { pingInterval: 100, pingTimeout: 1000 },
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket drain [open: websocket open]',
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket close "ping timeout" [closed: websocket closing writable]',
      'websocket close [closed: websocket closed writable]',
      'then [closed: websocket closed writable]',
    ],
  },
)

const CLOSES = [
  {
    name: 'close()',
    close: ({ socket }) => socket.close(),
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket close "forced close" [closed: websocket closing writable]',
      'websocket packet message:late [closed: websocket closing writable]',
      'websocket close [closed: websocket closed writable]',
      'then [closed: websocket closed writable]',
    ],
  },
  {
    name: 'close(true)',
    close: ({ socket }) => socket.close(true),
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket close "forced close" [closed: websocket closing writable discarded]',
      'websocket packet message:late [closed: websocket closing writable discarded]',
      'websocket close [closed: websocket closed writable discarded]',
      'then [closed: websocket closed writable discarded]',
    ],
  },
  {
    name: 'engine.close()',
    close: ({ context }) => context.engine.close(),
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket close "forced close" [closed: websocket closing writable discarded]',
      'websocket packet message:late [closed: websocket closing writable discarded]',
      'websocket close [closed: websocket closed writable discarded]',
      'then [closed: websocket closed writable discarded]',
    ],
  },
  {
    name: 'transport.close()',
    close: ({ socket }) => socket.transport.close(),
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket packet message:late [open: websocket closing writable]',
      'websocket packet message:late [open: websocket closing writable]',
      'socket close "transport close" [closed: websocket closed writable]',
      'websocket close [closed: websocket closed writable]',
      'then [closed: websocket closed writable]',
    ],
  },
]

for (const { name, close, log } of CLOSES) {
  websocket(
    `${name}, and a packet that comes before the client has answered`,
    async (session) => {
      const { peer, seen } = session
      await seen('websocket ready')
      close(session)
      await peer.closeFrame()
      peer.sendText('4late')
      await seen('websocket packet message:late')
      peer.sendClose()
    },
    { log },
  )
}

websocket(
  'close() that the client does not answer',
  async ({ seen, socket }) => {
    await seen('websocket ready')
    socket.close()
  },
  {
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket close "forced close" [closed: websocket closing writable]',
      'then [closed: websocket closing writable]',
    ],
  },
)

websocket(
  'close() behind a message',
  async (session) => {
    await session.seen('websocket ready')
    session.socket.send('a')
    session.socket.close()
    await answerClose(session)
  },
  {
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket drain [open: websocket open]',
      'socket close "forced close" [closed: websocket closing]',
      'websocket drain [closed: websocket closing]',
      'websocket ready [closed: websocket closing writable]',
      'websocket close [closed: websocket closed writable]',
      'then [closed: websocket closed writable]',
    ],
  },
)

websocket(
  'close() behind two messages',
  async (session) => {
    await session.seen('websocket ready')
    session.socket.send('a')
    session.socket.send('b')
    session.socket.close()
    await answerClose(session)
  },
  {
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket drain [open: websocket open]',
      'websocket drain [closing: websocket open]',
      'socket drain [closing: websocket open]',
      'socket close "forced close" [closed: websocket closing]',
      'websocket ready [closed: websocket closing]',
      'websocket drain [closed: websocket closing]',
      'websocket ready [closed: websocket closing writable]',
      'websocket close [closed: websocket closed writable]',
      'then [closed: websocket closed writable]',
    ],
  },
)

websocket(
  'close() by a message listener',
  async (session) => {
    const { peer, seen, socket } = session
    await seen('websocket ready')
    socket.on('message', () => socket.close())
    peer.write(frames('4a', '4b'))
    await answerClose(session)
  },
  {
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket packet message:a [open: websocket open writable]',
      'socket close "forced close" [closed: websocket closing writable]',
      'websocket packet message:a [closed: websocket closing writable]',
      'websocket packet message:b [closed: websocket closing writable]',
      'websocket close [closed: websocket closed writable]',
      'then [closed: websocket closed writable]',
    ],
  },
)

websocket(
  'the connection is cut off',
  async ({ seen, socket }) => {
    await seen('websocket ready')
    socket.transport.socket.terminate()
  },
  {
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket close "transport close" [closed: websocket closed writable]',
      'websocket close [closed: websocket closed writable]',
      'then [closed: websocket closed writable]',
    ],
  },
)

websocket(
  'close(), and a frame that breaks the protocol',
  async ({ peer, seen, socket }) => {
    await seen('websocket ready')
    socket.close()
    await peer.closeFrame()
    peer.sendFrame({ opcode: 3 })
  },
  {
    log: [
      'websocket drain [open: websocket open]',
      'websocket ready [open: websocket open writable]',
      'socket close "forced close" [closed: websocket closing writable]',
      'websocket error "RangeError: Invalid WebSocket frame: invalid opcode 3" [closed: websocket closing writable]',
      'websocket close [closed: websocket closed writable]',
      'then [closed: websocket closed writable]',
    ],
  },
)
