'use strict'

// The option `closeDetails`: what `close` tells of the client's close frame (docs/OPERATIONS.md).

const assert = require('node:assert/strict')
const https = require('node:https')
const { test } = require('node:test')
const { WebSocketServer, WebSocket } = require('ws')
const {
  engine,
  improvement,
  listen,
  listenNatively,
  once,
  openPolling,
  openUpgraded,
  openWebSocket,
  upstream,
} = require('../support')
const { listenOnUws, skip: skipUws } = require('../support/userver')
const tls = require('../fixtures/tls')

const details = (name, fn) => improvement('it has no option closeDetails', name, fn)

const WAYS = {
  'attach()': listen,
  'the native listener': listenNatively,
  ws: (opts) => listen({ ...opts, wsEngine: WebSocketServer }),
}
if (!skipUws && !upstream) WAYS.uServer = listenOnUws

for (const [way, listen] of Object.entries(WAYS)) {
  details(`${way}: transport close has code and reason of the client's close frame`, async () => {
    const context = await listen({ closeDetails: true })
    const { peer, socket } = await openWebSocket(context)
    const closed = once(socket, 'close')
    peer.sendClose(4001, 'moved, ünd so on')
    const expected = { closeCode: 4001, closeReason: 'moved, ünd so on' }
    assert.deepEqual(await closed, ['transport close', expected])
  })

  details(`${way}: a close frame without a code is 1005, and none is 1006`, async () => {
    const context = await listen({ closeDetails: true })
    for (const [end, closeCode] of [
      [(peer) => peer.sendClose(), 1005],
      [(peer) => peer.socket.end(), 1006],
      [(peer) => peer.reset(), 1006],
    ]) {
      const { peer, socket } = await openWebSocket(context)
      const closed = once(socket, 'close')
      end(peer)
      assert.deepEqual(await closed, ['transport close', { closeCode, closeReason: '' }])
    }
  })

  // an answer behind the client's close frame is a write error with `ws`
  const behind = listen === WAYS.ws ? () => {} : details
  behind(`${way}: the frame behind a message that is answered counts, too`, async () => {
    const context = await listen({ closeDetails: true })
    const { peer, socket } = await openWebSocket(context)
    socket.on('message', (data) => socket.send(data))
    const closed = once(socket, 'close')
    peer.socket.cork()
    for (let i = 0; i < 3; i++) peer.sendText('4hello')
    peer.sendClose(1001)
    peer.socket.uncork()
    assert.deepEqual(await closed, ['transport close', { closeCode: 1001, closeReason: '' }])
  })

  details(`${way}: without the option there is no description`, async () => {
    for (const opts of [{}, { closeDetails: false }, { closeDetails: undefined }]) {
      const context = await listen(opts)
      const { peer, socket } = await openWebSocket(context)
      const closed = once(socket, 'close')
      peer.sendClose(4001, 'moved')
      assert.deepEqual(await closed, ['transport close', undefined])
    }
  })
}

details('an upgraded session tells of its WebSocket', async () => {
  const context = await listen({ closeDetails: true })
  const { peer, socket } = await openUpgraded(context)
  const closed = once(socket, 'close')
  peer.sendClose(1000, 'done')
  assert.deepEqual(await closed, ['transport close', { closeCode: 1000, closeReason: 'done' }])
})

details('over TLS it is the same', async () => {
  const context = await listen({ closeDetails: true }, https.createServer(tls))
  const connected = once(context.engine, 'connection')
  const url = `wss://127.0.0.1:${context.port}/engine.io/?EIO=4&transport=websocket`
  const client = new WebSocket(url, { rejectUnauthorized: false })
  client.on('error', () => {})
  const [socket] = await connected
  await once(client, 'message')
  const closed = once(socket, 'close')
  client.close(4002, 'bye')
  assert.deepEqual(await closed, ['transport close', { closeCode: 4002, closeReason: 'bye' }])
})

details('a socket whose events the application hears tells the same', async () => {
  const context = await listen({ closeDetails: true })
  const { peer, socket } = await openWebSocket(context)
  socket.request.socket.on('close', () => {})
  const closed = once(socket, 'close')
  peer.sendClose(4003, 'heard')
  assert.deepEqual(await closed, ['transport close', { closeCode: 4003, closeReason: 'heard' }])
})

details('ends by the server and by polling clients have no details', async () => {
  const context = await listen({ closeDetails: true })
  const { socket } = await openWebSocket(context)
  const forced = once(socket, 'close')
  socket.close()
  assert.deepEqual(await forced, ['forced close', undefined])
  const { peer, socket: polled } = await openPolling(context)
  const closed = once(polled, 'close')
  await peer.post('1')
  assert.deepEqual(await closed, ['transport close', undefined])
})

details('an error stays the Error that it is', async () => {
  const context = await listen({ closeDetails: true, maxHttpBufferSize: 100 })
  const { peer, socket } = await openWebSocket(context)
  const closed = once(socket, 'close')
  peer.sendText(`4${'x'.repeat(200)}`)
  const [reason, error] = await closed
  assert.equal(reason, 'transport error')
  assert.ok(error instanceof Error)
  assert.equal(error.message, 'RangeError: Max payload size exceeded')
  assert.deepEqual({ ...error }, { type: 'TransportError', description: undefined })
  assert.equal((await peer.closeFrame()).code, 1009)
})

details('other values than booleans are refused', () => {
  for (const closeDetails of [null, 0, 1, 'true', {}, [], () => {}]) {
    const expected = { name: 'TypeError', message: /^closeDetails must be a boolean, got/ }
    assert.throws(() => new engine.Server({ closeDetails }), expected)
  }
})

test('the original has no description for transport close', { skip: !upstream }, async () => {
  const context = await listen({ closeDetails: true })
  const { peer, socket } = await openWebSocket(context)
  const closed = once(socket, 'close')
  peer.sendClose(4001, 'moved')
  assert.deepEqual(await closed, ['transport close', undefined])
})
