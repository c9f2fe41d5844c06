'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { eventually, frame, listen, once, record, times, upgradeTo, RawWebSocket, path } = require('../support')
const { ALLOW, openPolling3, openWebSocket3, postBinary, binaryPayload } = require('../support/eio3')

const BYTES = Buffer.from([1, 2, 3])

test('the open packet and text messages are text frames without lengths', async () => {
  const { peer, socket, open } = await openWebSocket3(await listen(ALLOW))
  assert.deepEqual(open.upgrades, [])
  socket.send('€😀')
  socket.send('')
  assert.deepEqual([await peer.packet(), await peer.packet()], ['4€😀', '4'])
})

test('binary messages are binary frames that begin with the type as a byte', async () => {
  const { peer, socket } = await openWebSocket3(await listen(ALLOW))
  socket.send(BYTES)
  socket.send(Buffer.alloc(0))
  const frames = [await peer.frame(), await peer.frame()]
  assert.deepEqual(
    frames.map((f) => [f.opcode, f.payload.toString('hex')]),
    [
      [2, '04010203'],
      [2, '04'],
    ],
  )
})

test('for a client with b64=1 binary messages are text frames with b, the type and base64', async () => {
  const { peer, socket } = await openWebSocket3(await listen(ALLOW), { b64: '1' })
  socket.send(BYTES)
  assert.equal(await peer.packet(), 'b4AQID')
})

test('text, base64 and binary frames are messages', async () => {
  const { peer, socket } = await openWebSocket3(await listen(ALLOW))
  const messages = times(socket, 'message', 4)
  peer.sendText('4€')
  peer.sendText('b4AQID')
  peer.sendBinary(Buffer.from([4, 1, 2, 3]))
  peer.sendText('4')
  assert.deepEqual(await messages, [['€'], [BYTES], [BYTES], [undefined]])
})

test('a binary frame of an unknown type, or an empty one, is shown without a type and ignored', async () => {
  const { peer, socket } = await openWebSocket3(await listen(ALLOW))
  const packets = times(socket, 'packet', 3)
  peer.sendBinary(Buffer.from([42, 1]))
  peer.sendBinary(Buffer.alloc(0))
  peer.sendText('4a')
  assert.deepEqual(
    (await packets).map(([{ type }]) => type),
    [undefined, undefined, 'message'],
  )
  assert.equal(socket.readyState, 'open')
})

for (const text of ['', '9', 'x']) {
  test(`the text frame ${JSON.stringify(text)} is a parse error`, async () => {
    const { peer, socket } = await openWebSocket3(await listen(ALLOW))
    const packets = record(socket, 'packet', (_, packet) => packet)
    const closed = once(socket, 'close')
    peer.sendText(text)
    assert.deepEqual(await closed, ['parse error', undefined])
    assert.deepEqual(packets, [{ type: 'error', data: 'parser error' }])
    assert.equal((await peer.closeFrame()).payload.length, 0)
  })
}

test('a pong packet closes the session', async () => {
  const { peer, socket } = await openWebSocket3(await listen(ALLOW))
  const closed = once(socket, 'close')
  peer.sendText('3')
  const [reason, { message }] = await closed
  assert.deepEqual([reason, message], ['transport error', 'invalid heartbeat direction'])
})

test('a large binary message goes both ways', async () => {
  const { peer, socket } = await openWebSocket3(await listen(ALLOW))
  const data = Buffer.alloc(200000, '0123456789abcdef')
  const message = once(socket, 'message')
  peer.sendBinary(Buffer.concat([Buffer.from([4]), data]))
  const [received] = await message
  assert.ok(received.equals(data))
  socket.send(received)
  assert.ok((await peer.frame()).payload.subarray(1).equals(data))
})

test('without allowEIO3 the connection ends after the 101', async () => {
  const context = await listen()
  const error = once(context.engine, 'connection_error')
  const peer = await RawWebSocket.open(context.port, path(context, { EIO: '3', transport: 'websocket' }))
  const [{ code, context: details }] = await error
  assert.deepEqual([code, details], [5, { protocol: 3 }])
  await peer.end()
  assert.equal(context.engine.clientsCount, 0)
})

test('a session moves from polling to websocket, binary on both', async () => {
  const context = await listen(ALLOW)
  const { peer: polling, socket } = await openPolling3(context)
  const messages = record(socket, 'message', (_, data) => data)
  await postBinary(polling, binaryPayload(Buffer.from([4, 1])))
  const peer = await RawWebSocket.open(
    context.port,
    path(context, { EIO: '3', transport: 'websocket', sid: polling.sid }),
  )
  peer.sendText('2probe')
  assert.equal(await peer.packet(), '3probe')
  const upgraded = once(socket, 'upgrade')
  peer.sendText('5')
  const [transport] = await upgraded
  assert.deepEqual([transport.name, transport.protocol, socket.upgraded], ['websocket', 3, true])
  peer.sendBinary(Buffer.from([4, 2]))
  await eventually(() => messages.length, 2)
  assert.deepEqual(messages, [Buffer.from([1]), Buffer.from([2])])
  socket.send(BYTES)
  assert.equal((await peer.frame()).payload.toString('hex'), '04010203')
})

test('a poll that is pending at the probe gets a noop, and one at the upgrade a close packet', async () => {
  const context = await listen(ALLOW)
  const { peer: polling, socket } = await openPolling3(context)
  const { response } = await polling.pendingPoll()
  const peer = await RawWebSocket.open(
    context.port,
    path(context, { EIO: '3', transport: 'websocket', sid: polling.sid }),
  )
  peer.sendText('2probe')
  assert.equal(await peer.packet(), '3probe')
  assert.equal((await response).body, '1:6')
  const { response: second } = await polling.pendingPoll()
  const upgraded = once(socket, 'upgrade')
  peer.sendText('5')
  await upgraded
  assert.match((await second).body, /^1:[61]$/)
})

test("an upgrade with another revision than the session's is refused", async () => {
  const context = await listen(ALLOW)
  const { peer: polling, socket } = await openPolling3(context)
  const error = once(context.engine, 'connection_error')
  const peer = await upgradeTo(context, polling.sid)
  assert.equal(peer.status, 400)
  assert.equal((await error)[0].context.name, 'PROTOCOL_MISMATCH')
  assert.equal(socket.readyState, 'open')
})

test('frames behind a ping reach the transport of a session that a packetCreate listener has closed at the pong', async () => {
  const { peer, socket } = await openWebSocket3(await listen(ALLOW))
  const log = record(socket.transport, 'packet', (event, { type, data }) =>
    data === undefined ? type : `${type} ${data}`,
  )
  const messages = record(socket, 'message')
  socket.on('packetCreate', ({ type }) => type === 'pong' && socket.close())
  peer.write(Buffer.concat(['2', '4a', '2', '4b'].map((payload) => frame({ payload }))))
  await peer.closeFrame()
  await eventually(() => log, ['ping', 'message a', 'ping', 'message b'])
  assert.deepEqual(messages, [])
})
