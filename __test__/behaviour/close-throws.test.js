'use strict'

// Connections of others whose close() throws, and listeners that throw, when sessions are closed.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { WebSocketServer } = require('ws')
const { improvement, listen, once, openWebSocket, record } = require('../support')
const { FakeSession } = require('../support/webtransport')

const fault = (message) => () => {
  throw new Error(message)
}

/** Three sessions on connections of `ws`; `close()` of the first two throws. */
async function three(context) {
  const opened = []
  for (let i = 0; i < 3; i++) opened.push(await openWebSocket(context))
  const sockets = opened.map(({ socket }) => socket)
  sockets[0].transport.socket.close = fault('first')
  sockets[1].transport.socket.close = fault('second')
  return { sockets, peers: opened.map(({ peer }) => peer), closes: sockets.map((socket) => record(socket, 'close')) }
}

/** The original needs a call for each connection that throws. */
function closeAgain({ engine }) {
  for (let i = 0; i < 2; i++) {
    try {
      engine.close()
    } catch {
      // the listener's
    }
  }
}

test('engine.close() throws what the close() of a connection throws', async () => {
  const context = await listen({ wsEngine: WebSocketServer })
  await three(context)
  assert.throws(() => context.engine.close(), { message: 'first' })
  closeAgain(context)
})

test('engine.close(), called as often as it throws, closes the sessions whose connections can be closed', async () => {
  const context = await listen({ wsEngine: WebSocketServer })
  const { peers, closes } = await three(context)
  assert.throws(() => context.engine.close())
  closeAgain(context)
  assert.deepEqual(closes[2], [['close', 'forced close', undefined]])
  await peers[2].closeFrame()
})

improvement(
  'a close() that throws',
  'engine.close() closes all sessions though connections throw, and then throws the first error',
  async () => {
    const context = await listen({ wsEngine: WebSocketServer })
    const { peers, closes } = await three(context)
    assert.throws(() => context.engine.close(), { message: 'first' })
    for (const close of closes) assert.deepEqual(close, [['close', 'forced close', undefined]])
    assert.deepEqual([context.engine.clientsCount, Object.keys(context.engine.clients)], [0, []])
    await peers[2].closeFrame()
    assert.equal(context.engine.close(), context.engine)
  },
)

improvement(
  'a close() that throws',
  "a session of which the connection's close() throws is over, and whoever has closed it gets the error",
  async () => {
    const context = await listen({ wsEngine: WebSocketServer })
    const { socket } = await openWebSocket(context)
    const close = record(socket, 'close')
    socket.transport.socket.close = fault('no')
    assert.throws(() => socket.close(), { message: 'no' })
    assert.equal(socket.readyState, 'closed')
    assert.deepEqual(close, [['close', 'forced close', undefined]])
    assert.equal(context.engine.clientsCount, 0)
  },
)

improvement(
  'a close() that throws',
  'a WebTransport session whose close() throws does not keep the others open',
  async () => {
    const context = await listen()
    const sockets = []
    for (let i = 0; i < 2; i++) {
      const session = new FakeSession().openStream()
      session.close = i === 0 ? fault('gone') : FakeSession.prototype.close
      const connected = once(context.engine, 'connection')
      context.engine.onWebTransportSession(session)
      session.send('open')
      sockets.push((await connected)[0])
    }
    const closes = sockets.map((socket) => record(socket, 'close'))
    assert.throws(() => context.engine.close(), { message: 'gone' })
    for (const close of closes) assert.deepEqual(close, [['close', 'forced close', undefined]])
    assert.equal(context.engine.clientsCount, 0)
  },
)

improvement(
  'a close() that throws',
  'a listener that throws when its session is closed does not keep the others open',
  async () => {
    const context = await listen()
    const opened = []
    for (let i = 0; i < 3; i++) opened.push(await openWebSocket(context))
    opened[0].socket.on('close', fault('mine'))
    const closed = record(opened[2].socket, 'close')
    assert.throws(() => context.engine.close(), { message: 'mine' })
    assert.equal(closed.length, 1)
    assert.equal(context.engine.clientsCount, 0)
    for (const { peer } of opened) await peer.closeFrame()
  },
)
