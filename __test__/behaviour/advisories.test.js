'use strict'

// What the public advisories of engine.io and ws describe does not happen: docs/ADVISORIES.md.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  delay,
  eventually,
  frame,
  listen,
  once,
  openPolling,
  openWebSocket,
  path,
  RawPeer,
  RawWebSocket,
  request,
} = require('../support')
const { upgradeRequest } = require('../support/frames')

/** The server answers a new client: nothing has ended the process or holds its thread. */
async function assertServes(context) {
  const { peer, socket } = await openWebSocket(context)
  const message = once(socket, 'message')
  peer.sendText('4hello')
  assert.deepEqual(await message, ['hello'])
}

const websocket = (context, more) => path(context, { transport: 'websocket', ...more })

/** An upgrade request with further header lines. */
function requestWith(context, lines) {
  return upgradeRequest(websocket(context)).replace(/\r\n\r\n$/, `\r\n${lines.join('\r\n')}\r\n\r\n`)
}

test('CVE-2020-36048: a POST beyond maxHttpBufferSize is refused with 413', async () => {
  const context = await listen({ maxHttpBufferSize: 1000 })
  const { peer } = await openPolling(context)
  const { status } = await request({
    port: context.port,
    method: 'POST',
    path: peer.path,
    body: `4${'a'.repeat(2000)}`,
  })
  assert.equal(status, 413)
  await assertServes(context)
})

test('CVE-2022-21676: an invalid frame in the segment of the upgrade request ends that connection alone', async () => {
  const context = await listen()
  const head = frame({ rsv: 3, opcode: 1, payload: '4hello', mask: true })
  const peer = await RawWebSocket.request(context.port, websocket(context), { head })
  await peer.end()
  await assertServes(context)
})

test('CVE-2022-41940: a connection that is reset after an upgrade request that is refused ends alone', async () => {
  const context = await listen()
  for (const query of [{ transport: 'unknown' }, { sid: 'unknown' }, {}]) {
    const peer = await RawWebSocket.request(context.port, websocket(context, query))
    peer.reset()
    await peer.end()
  }
  await eventually(() => context.engine.clientsCount, 0)
  await assertServes(context)
})

test('CVE-2023-31125: a transport by the name of a member of every object is refused', async () => {
  const context = await listen()
  for (const transport of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    const { status } = await request({ port: context.port, path: path(context, { transport }) })
    assert.equal(status, 400)
    const peer = await RawPeer.connect(context.port)
    peer.write(upgradeRequest(path(context, { transport })))
    await peer.end()
  }
  await assertServes(context)
})

test('CVE-2016-10518: a pong has the bytes of the ping and no others', async () => {
  const context = await listen()
  const { peer } = await openWebSocket(context)
  peer.sendFrame({ opcode: 9, payload: '1000' })
  const { opcode, payload } = await peer.frame()
  assert.deepEqual([opcode, payload.toString()], [10, '1000'])
})

test('CVE-2016-10542: a message beyond maxHttpBufferSize closes the connection with 1009 before it has come', async () => {
  const context = await listen({ maxHttpBufferSize: 1000 })
  const { peer } = await openWebSocket(context)
  peer.write(Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0x10, 0, 0, 0, 1, 2, 3, 4]))
  const { opcode, payload } = await peer.frame()
  assert.deepEqual([opcode, payload.readUInt16BE(0)], [8, 1009])
})

test('GHSA-5v72-xg48-5rpm: extensions and parameters by the names of members of every object do no harm', async () => {
  const context = await listen({ perMessageDeflate: { threshold: 0 } })
  for (const value of [
    'constructor',
    '__proto__',
    'permessage-deflate; constructor',
    'permessage-deflate; __proto__=1',
  ]) {
    const peer = await RawPeer.connect(context.port)
    peer.write(requestWith(context, [`Sec-WebSocket-Extensions: ${value}`]))
    await peer.match(/^HTTP\/1\.1 (101|400) /)
    peer.socket.destroy()
  }
  await assertServes(context)
})

test('CVE-2021-32640: a subprotocol header with many blanks is answered, and the thread is free', async () => {
  const context = await listen()
  const peer = await RawPeer.connect(context.port)
  peer.write(requestWith(context, [`Sec-WebSocket-Protocol: b${' '.repeat(12_000)}x`]))
  await peer.match(/^HTTP\/1\.1 (101|400) /)
  peer.socket.destroy()
  await assertServes(context)
})

test('CVE-2026-45736: a reason of close() that is neither text nor bytes is refused, and sends no memory', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  const { socket: ws } = socket.transport
  assert.throws(() => ws.close(1000, new Float32Array(20)), TypeError)
  ws.close(1000, new Uint8Array(Buffer.from('héllo')))
  const { opcode, payload } = await peer.frame()
  assert.deepEqual([opcode, payload.readUInt16BE(0), payload.toString('utf8', 2)], [8, 1000, 'héllo'])
  await assertServes(context)
})

test('CVE-2026-48779: a message in very many fragments, or a frame in very many pieces, ends with 1008', async () => {
  const context = await listen({ maxBufferedChunks: 3 })
  const many = await openWebSocket(context)
  const fragments = Array.from({ length: 16384 }, () => frame({ fin: false, opcode: 0 }))
  many.peer.write(Buffer.concat([frame({ fin: false, payload: '' }), ...fragments]))
  assert.equal((await many.peer.closeFrame()).payload.readUInt16BE(0), 1008)

  const { peer } = await openWebSocket(context)
  const bytes = frame({ payload: `4${'x'.repeat(30_000)}` })
  let ended = false
  const closing = peer.closeFrame().finally(() => (ended = true))
  for (let at = 0; !ended && at < bytes.length; at++) {
    peer.write(bytes.subarray(at, at + 1))
    await delay(1)
  }
  assert.equal((await closing).payload.readUInt16BE(0), 1008)
  await assertServes(context)
})

test('CVE-2024-37890: an upgrade request with more headers than Node keeps is refused', async () => {
  const context = await listen()
  context.server.maxHeadersCount = 10
  const lines = Array.from({ length: 20 }, (_, i) => `x-${i}: 1`)
  const [start, ...rest] = upgradeRequest(websocket(context)).split('\r\n')
  const peer = await RawPeer.connect(context.port)
  // the headers of the WebSocket come last: Node says that it is an upgrade, and leaves them out
  peer.write([start, ...lines, ...rest].join('\r\n'))
  await peer.end()
  context.server.maxHeadersCount = null
  await assertServes(context)
})
