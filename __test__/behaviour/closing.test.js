'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  client,
  delay,
  eventually,
  frame,
  improvement,
  listen,
  never,
  once,
  openPolling,
  openUpgraded,
  openWebSocket,
  pending,
  record,
} = require('../support')

test('close() on a websocket closes the session at once and sends a close frame without a code', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const events = record(socket, 'close')
  socket.close()
  assert.equal(socket.readyState, 'closed')
  assert.deepEqual(events, [['close', 'forced close', undefined]])
  const { payload } = await peer.closeFrame()
  assert.equal(payload.length, 0)
})

test('after close() the TCP connection ends once the client has answered the close frame', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  socket.close()
  await peer.closeFrame()
  assert.equal(await pending(peer.closed, 50), true)
  peer.sendClose()
  await peer.end()
})

test('close() sends what is buffered before the close frame', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  for (const text of ['a', 'b', 'c']) socket.send(text)
  socket.close()
  assert.equal(socket.readyState, 'closing')
  for (const text of ['4a', '4b', '4c']) assert.equal(await peer.packet(), text)
  assert.equal((await peer.frame()).opcode, 8)
})

test('close() with a pending poll closes the session at once and answers with a close packet', async () => {
  const { peer, socket } = await openPolling(await listen())
  const { response } = await peer.pendingPoll()
  const events = record(socket, 'close')
  socket.close()
  assert.equal(socket.readyState, 'closed')
  assert.deepEqual(events, [['close', 'forced close', undefined]])
  assert.equal((await response).body, '1')
})

test('close() without a pending poll waits for the next one and answers it with noop and close', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.close()
  assert.equal(socket.readyState, 'closing')
  const closed = once(socket, 'close')
  assert.equal((await peer.poll()).body, '6\x1e1')
  assert.deepEqual(await closed, ['forced close', undefined])
  assert.equal(socket.readyState, 'closed')
})

test('a session that waits for its last poll is still in clients', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  socket.close()
  assert.equal(context.engine.clients[peer.sid], socket)
  assert.equal(context.engine.clientsCount, 1)
  await peer.poll()
  assert.equal(context.engine.clientsCount, 0)
})

test('close() with packets buffered on polling delivers them with the next poll', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.send('a')
  socket.send('b')
  socket.close()
  const closed = once(socket, 'close')
  assert.equal((await peer.poll()).body, '4a\x1e4b')
  assert.equal((await peer.poll()).body, '6\x1e1')
  assert.equal((await closed)[0], 'forced close')
})

test('close(true) on polling with packets buffered closes at once and drops them', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  socket.send('a')
  const events = record(socket, 'close')
  socket.close(true)
  assert.deepEqual(events, [['close', 'forced close', undefined]])
  assert.equal(context.engine.clientsCount, 0)
  assert.equal((await peer.poll()).status, 400)
})

test('close(true) on polling without a pending poll closes at once', async () => {
  const { socket } = await openPolling(await listen())
  socket.close(true)
  assert.equal(socket.readyState, 'closed')
})

test('close(true) after close() with packets buffered closes at once', async () => {
  const { socket } = await openPolling(await listen())
  socket.send('a')
  socket.close()
  assert.equal(socket.readyState, 'closing')
  socket.close(true)
  assert.equal(socket.readyState, 'closed')
})

test('close(true) in a drain listener of the closing transport leaves the end to the close that is under way', async () => {
  const { peer, socket } = await openPolling(await listen())
  const { response } = await peer.pendingPoll()
  const log = record(socket, 'close', () => `close, ${socket.writeBuffer.length} in writeBuffer`)
  socket.transport.on('drain', () => {
    socket.close(true)
    socket.send('late')
    log.push('drained')
  })
  socket.close(true)
  assert.deepEqual(log, ['drained', 'close, 1 in writeBuffer'])
  assert.equal((await response).body, '1')
})

test('close(true) on a websocket sends a close frame', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  socket.close(true)
  assert.equal(socket.readyState, 'closed')
  assert.equal((await peer.closeFrame()).payload.length, 0)
})

test('close() on an upgraded session sends a close frame', async () => {
  const { peer, socket } = await openUpgraded(await listen())
  const closed = once(socket, 'close')
  socket.close()
  assert.equal((await closed)[0], 'forced close')
  assert.equal((await peer.closeFrame()).payload.length, 0)
})

improvement(
  'A-4: the README says that close() can be chained, and it returns undefined',
  'close() returns the socket in every state',
  async () => {
    const { socket } = await openWebSocket(await listen())
    assert.equal(socket.close(), socket)
    assert.equal(socket.close(), socket)
    assert.equal(socket.close(true), socket)
  },
)

test('close is emitted once, with two arguments, however often the session is closed', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const calls = []
  socket.on('close', (...args) => calls.push(args.length))
  socket.close()
  socket.close(true)
  await peer.closeFrame()
  peer.sendClose()
  await peer.end()
  assert.deepEqual(calls, [2])
})

test('in a close listener the session is no longer in clients and no longer counted', async () => {
  const context = await listen()
  const { socket } = await openWebSocket(context)
  let seen
  socket.on('close', () => (seen = [socket.id in context.engine.clients, context.engine.clientsCount]))
  socket.close()
  assert.deepEqual(seen, [false, 0])
})

improvement(
  'G-120: bookkeeping',
  'in a close listener that is prepended the session is no longer counted, either',
  async () => {
    const { engine, ...context } = await listen()
    const { socket } = await openWebSocket({ engine, ...context })
    let seen
    socket.prependListener('close', () => (seen = [socket.id in engine.clients, engine.clientsCount]))
    socket.close()
    assert.deepEqual(seen, [false, 0])
  },
)

test('in a close listener readyState is closed', async () => {
  const { socket } = await openWebSocket(await listen())
  let state
  socket.on('close', () => (state = socket.readyState))
  socket.close()
  assert.equal(state, 'closed')
})

test('unsent packets can be read in a close listener and are gone after the next tick', async () => {
  const { socket } = await openPolling(await listen())
  socket.send('unsent')
  let seen
  socket.on('close', () => (seen = socket.writeBuffer.map(({ data }) => data)))
  socket.close(true)
  assert.deepEqual(seen, ['unsent'])
  await new Promise(process.nextTick)
  assert.deepEqual(socket.writeBuffer, [])
})

test('send() on a closed socket does nothing and returns the socket', async () => {
  const { socket } = await openWebSocket(await listen())
  socket.close()
  const events = record(socket, ['packetCreate', 'flush', 'drain'])
  let called = false
  assert.equal(
    socket.send('late', () => (called = true)),
    socket,
  )
  await delay(20)
  assert.deepEqual(events, [])
  assert.equal(called, false)
})

test('send() on a closing socket does nothing and returns the socket', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.send('a')
  socket.close()
  const events = record(socket, 'packetCreate')
  assert.equal(socket.send('late'), socket)
  assert.deepEqual(events, [])
  assert.equal((await peer.poll()).body, '4a')
})

test('incoming packets of a closing socket are dropped', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.close()
  const events = record(socket, ['packet', 'message', 'heartbeat'])
  await peer.post('4a\x1e3')
  assert.deepEqual(events, [])
})

test("frames that arrive behind the server's close frame have no effect", async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const events = record(socket, ['packet', 'message'])
  socket.close()
  await peer.closeFrame()
  peer.sendText('4late')
  peer.sendClose()
  await peer.end()
  assert.deepEqual(events, [])
})

test('messages of the same chunk are dropped once a message handler has closed the socket', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const messages = record(socket, 'message')
  socket.on('message', () => socket.close())
  peer.write(Buffer.concat([frame({ payload: '4a' }), frame({ payload: '4b' })]))
  await peer.closeFrame()
  peer.sendClose()
  await peer.end()
  assert.deepEqual(messages, [['message', 'a']])
})

test('packets of the same body are dropped once a message handler has closed the socket', async () => {
  const { peer, socket } = await openPolling(await listen())
  const messages = record(socket, 'message')
  socket.on('message', () => socket.close(true))
  assert.equal((await peer.post('4a\x1e4b')).body, 'ok')
  assert.deepEqual(messages, [['message', 'a']])
})

test('the close of one session leaves the others alone', async () => {
  const context = await listen()
  const { socket: first } = await openWebSocket(context)
  const { peer, socket: second } = await openWebSocket(context)
  first.close()
  assert.deepEqual(Object.keys(context.engine.clients), [second.id])
  assert.equal(context.engine.clientsCount, 1)
  second.send('x')
  assert.equal(await peer.packet(), '4x')
})

test('the real client hears of close() on both transports', async () => {
  for (const transports of [['polling'], ['websocket']]) {
    const context = await listen()
    context.engine.on('connection', (socket) => setImmediate(() => socket.close()))
    const peer = client(context, { transports })
    const [reason] = await once(peer, 'close')
    assert.equal(reason, 'transport close')
  }
})

test('close() by the real client is a transport close on both transports', async () => {
  for (const transports of [['polling'], ['websocket']]) {
    const context = await listen()
    const connected = once(context.engine, 'connection')
    const peer = client(context, { transports })
    const [socket] = await connected
    await once(peer, 'open')
    const closed = once(socket, 'close')
    peer.close()
    assert.deepEqual(await closed, ['transport close', undefined])
  }
})

test('a closed polling session is an unknown sid', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.close(true)
  assert.equal((await peer.poll()).body, '{"code":1,"message":"Session ID unknown"}')
})

test('close() inside a packetCreate listener keeps that packet from being sent', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  socket.once('packetCreate', () => socket.close())
  socket.send('never')
  assert.equal((await peer.frame()).opcode, 8)
})

test('a websocket that never answers the close frame does not keep the session', async () => {
  const context = await listen()
  const { socket } = await openWebSocket(context)
  socket.close()
  assert.equal(context.engine.clientsCount, 0)
  await never(socket, 'error', 20)
})

test('a message that cannot be written closes the session with a write error', async () => {
  const { socket } = await openWebSocket(await listen())
  socket.transport.socket.close()
  const closed = once(socket, 'close')
  socket.send('too late')
  const [reason, description] = await closed
  assert.equal(reason, 'transport error')
  assert.equal(description.message, 'write error')
  assert.equal(description.type, 'TransportError')
  assert.equal(typeof description.description, 'string')
})

improvement('D-4: close() and then close(true)', 'close(true) ends a close() that waits for a poll', async () => {
  const context = await listen()
  const { socket } = await openPolling(context)
  socket.close()
  socket.close(true)
  assert.equal(socket.readyState, 'closed')
  assert.equal(context.engine.clientsCount, 0)
})

improvement(
  'G-120: bookkeeping',
  'removeAllListeners() on a socket does not break clients and clientsCount',
  async () => {
    const context = await listen()
    const { socket } = await openWebSocket(context)
    socket.removeAllListeners()
    socket.close()
    assert.equal(context.engine.clientsCount, 0)
    assert.deepEqual(Object.keys(context.engine.clients), [])
  },
)

test('close(true) in a drain listener of a transport that closes leaves the end to that', async () => {
  const { peer, socket } = await openPolling(await listen())
  const poll = peer.poll()
  await eventually(() => socket.transport.writable, true)
  const log = []
  socket.on('close', (reason) => log.push(`close ${reason}, ${socket.writeBuffer.length} in writeBuffer`))
  socket.transport.once('drain', () => {
    log.push('drain')
    socket.close(true)
    socket.send('late')
  })
  socket.close(true)
  assert.deepEqual(log, ['drain', 'close forced close, 1 in writeBuffer'])
  assert.equal((await poll).body, '1')
})

test('close(true) in a ready listener leaves the end to the close() that the poll ends', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.transport.on('ready', () => socket.close(true))
  socket.close()
  assert.equal((await peer.poll()).body, '6\x1e1')
  assert.equal(socket.readyState, 'closed')
})
