'use strict'

// What `transport.socket.close(code, reason)` takes: the connection is one of `ws` in the original.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { listen, once, openWebSocket } = require('../support')

for (const code of [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_536, -1, NaN, '1000', null, {}]) {
  test(`no close frame carries the code ${typeof code === 'string' ? `"${code}"` : String(code)}`, async () => {
    const { socket } = await openWebSocket(await listen())
    assert.throws(() => socket.transport.socket.close(code), {
      name: 'TypeError',
      message: 'First argument must be a valid error code number',
    })
  })
}

for (const code of [1000, 1003, 1007, 1014, 3000, 4999]) {
  test(`the peer gets the code ${code} and its reason`, async () => {
    const { peer, socket } = await openWebSocket(await listen())
    const closed = once(socket, 'close')
    socket.transport.socket.close(code, 'an end')
    const frame = await peer.closeFrame()
    assert.deepEqual([frame.code, frame.payload.subarray(2).toString()], [code, 'an end'])
    peer.sendClose(code)
    assert.equal((await closed)[0], 'transport close')
  })
}

test('without a code the close frame is empty', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  socket.transport.socket.close(undefined, 'unheard')
  assert.equal((await peer.closeFrame()).payload.length, 0)
})

test('a reason may have 123 bytes, and no more', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const other = await openWebSocket(await listen())
  for (const reason of ['x'.repeat(124), '€'.repeat(42), Buffer.alloc(124)]) {
    const { socket: one } = await openWebSocket(await listen())
    assert.throws(() => one.transport.socket.close(1000, reason), {
      name: 'RangeError',
      message: 'The message must not be greater than 123 bytes',
    })
  }
  socket.transport.socket.close(1000, '€'.repeat(41))
  assert.equal((await peer.closeFrame()).payload.subarray(2).toString(), '€'.repeat(41))
  other.socket.transport.socket.close(1000, Buffer.from('bytes'))
  assert.equal((await other.peer.closeFrame()).payload.subarray(2).toString(), 'bytes')
})

test('a connection that is closing or closed is not asked what it takes', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const { socket: websocket } = socket.transport
  const closed = once(socket, 'close')
  websocket.close(1000)
  websocket.close(1006)
  peer.sendClose(1000)
  await closed
  websocket.close(5000, 'x'.repeat(200))
})
