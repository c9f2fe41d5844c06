'use strict'

// What the net.Socket of a WebSocket costs: up to Node 22, V8 gives an object that gets a property after its prototype has
// changed a hidden class of its own, of 1 KiB. See `carry` in lib/native/carried-socket.js.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { setFlagsFromString } = require('node:v8')
const { eventually, listen, once, openUpgraded, openWebSocket } = require('../support')

setFlagsFromString('--allow-natives-syntax')
const haveSameMap = new Function('a', 'b', 'return %HaveSameMap(a, b)')
const hasFastProperties = new Function('a', 'return %HasFastProperties(a)')

/** V8 begins to share once it has seen some. */
const WARM = 20

for (const open of [openWebSocket, openUpgraded]) {
  test(`the sockets of connections share a hidden class (${open.name})`, async () => {
    const context = await listen()
    const streams = []
    for (let i = 0; i < WARM * 2; i++) streams.push((await open(context)).socket.transport.socket._socket)
    const [first, ...others] = streams.slice(WARM)
    assert.ok(hasFastProperties(first))
    assert.ok(others.every((stream) => haveSameMap(stream, first)))
  })
}

test('a socket that nobody listens to, and nobody has, can be collected', async () => {
  setFlagsFromString('--expose-gc')
  const gc = require('node:vm').runInNewContext('gc')
  const http = require('node:http')
  const server = http.createServer()
  const { engine } = require('../support')
  const attached = engine.attach(server)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const sockets = []
  attached.on('connection', (socket) => {
    sockets.push(new WeakRef(socket.request.socket))
    socket.request = null
  })
  const context = { engine: attached, server, port: server.address().port, path: '/engine.io/' }
  for (let i = 0; i < 10; i++) await openWebSocket(context)
  // the last one may still be on some stack
  await eventually(() => {
    gc()
    return sockets.filter((socket) => socket.deref() !== undefined).length <= 1
  }, true)
  attached.close()
  server.close()
})

test('a session is told of its end though its socket, which nobody reads to the end, does not close', async () => {
  const { kState } = require('../../lib/base/symbols')
  const { peer, socket } = await openWebSocket(await listen())
  const websocket = socket.transport.socket
  const { socket: stream } = socket.request
  // takes nothing: `end` cannot come, nor `close`
  stream.on('readable', () => {})
  peer.sendText('4unread')
  peer.socket.end()
  await eventually(() => websocket[kState].patience !== undefined, true)
  assert.deepEqual([socket.readyState, stream.destroyed], ['open', false])
  const closed = once(socket, 'close')
  // it looks every now and then, until it waits no longer
  while (websocket[kState].patience !== undefined) websocket[kState].patience._onTimeout()
  assert.deepEqual(await closed, ['transport close', undefined])
  assert.equal(stream.destroyed, true)
})
