'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { listen, once, record, request, path } = require('../support')
const { ALLOW, binaryPayload, openPolling3, postBinary, textPayload } = require('../support/eio3')

const BYTES = Buffer.from([1, 2, 3])

/** Sends everything in one tick, before a poll, and polls. */
async function polled(messages, query) {
  const { peer, socket } = await openPolling3(await listen(ALLOW), query)
  for (const message of messages) socket.send(message)
  return peer.poll()
}

test('the handshake is one packet behind its length, with the keys of protocol 4', async () => {
  const context = await listen({ ...ALLOW, pingInterval: 30000, maxHttpBufferSize: 1234 })
  const response = await request({ port: context.port, path: path(context, { EIO: '3' }) })
  const packet = response.body.slice(response.body.indexOf(':') + 1)
  assert.equal(response.body, `${packet.length}:${packet}`)
  assert.equal(response.headers['content-type'], 'text/plain; charset=UTF-8')
  const open = JSON.parse(packet.slice(1))
  assert.deepEqual(Object.keys(open), ['sid', 'upgrades', 'pingInterval', 'pingTimeout', 'maxPayload'])
  assert.deepEqual([open.upgrades, open.pingInterval, open.maxPayload], [['websocket'], 30000, 1234])
})

for (const EIO of [undefined, '1', '2', '5']) {
  test(`EIO=${EIO} speaks revision 3`, async () => {
    const { peer, socket } = await openPolling3(await listen(ALLOW), { EIO })
    assert.equal(socket.protocol, 3)
    socket.send('a')
    assert.equal((await peer.poll()).body, '2:4a')
  })
}

test('the initial packet follows the open packet in the same payload', async () => {
  const context = await listen({ ...ALLOW, initialPacket: '€' })
  const { body } = await request({ port: context.port, path: path(context, { EIO: '3' }) })
  assert.match(body, /^\d+:0\{.*\}2:4€$/)
})

test('a poll is answered with text packets behind their lengths in UTF-16 units', async () => {
  const response = await polled(['hello', '€', '😀'])
  assert.equal(response.body, '6:4hello2:4€3:4😀')
  assert.equal(response.headers['content-length'], '21')
  assert.equal(response.headers['content-type'], 'text/plain; charset=UTF-8')
})

test('an empty message is its type alone', async () => {
  assert.equal((await polled([''])).body, '1:4')
})

test('a payload with binary data is binary for a client that takes it; its strings are counted in UTF-8 bytes', async () => {
  const response = await polled(['hello', BYTES, '€'])
  assert.equal(response.buffer.toString('hex'), '0006ff3468656c6c6f' + '0104ff04010203' + '0004ff34e282ac')
  assert.equal(response.headers['content-type'], 'application/octet-stream')
  assert.equal(response.headers['content-length'], String(response.buffer.length))
})

test('lengths of several digits are written digit by digit', async () => {
  const data = Buffer.alloc(1234, 7)
  const response = await polled([data])
  const head = Buffer.from([1, 1, 2, 3, 5, 255, 4])
  assert.deepEqual(response.buffer, Buffer.concat([head, data]))
})

test('an empty Buffer is a binary packet of one byte', async () => {
  assert.equal((await polled([Buffer.alloc(0)])).buffer.toString('hex'), '0101ff04')
})

test('views are sent as the bytes they show', async () => {
  const view = new Uint8Array(new Uint8Array([9, 1, 2, 3, 9]).buffer, 1, 3)
  assert.equal((await polled([view])).buffer.toString('hex'), '0104ff04010203')
})

test('for a client with b64=1 binary data is base64 in a text payload, and its length counts the b', async () => {
  const response = await polled(['hello', BYTES, '€'], { b64: '1' })
  assert.equal(response.body, '6:4hello6:b4AQID2:4€')
  assert.equal(response.headers['content-type'], 'text/plain; charset=UTF-8')
})

test('b64=0 counts as b64, an empty b64 does not', async () => {
  assert.equal((await polled([BYTES], { b64: '0' })).body, '6:b4AQID')
  assert.equal((await polled([BYTES], { b64: '' })).buffer.toString('hex'), '0104ff04010203')
})

test('a lone surrogate is sent as U+FFFD', async () => {
  assert.equal((await polled(['a\ud800b'])).body, '4:4a\ufffdb')
})

test('numbers, booleans and objects are sent as their strings', async () => {
  assert.equal((await polled([5, true, [1, 2], { toString: () => 'x' }])).body, '2:455:4true4:41,22:4x')
})

/** The messages that a POST brings, and its answer. */
async function posted(payload, binary = false, query) {
  const { peer, socket } = await openPolling3(await listen(ALLOW), query)
  const messages = record(socket, 'message', (_, data) => data)
  const response = binary ? await postBinary(peer, payload) : await peer.post(payload)
  assert.deepEqual([response.status, response.body], [200, 'ok'])
  return messages
}

test('a text payload is split by lengths in UTF-16 units', async () => {
  assert.deepEqual(await posted(textPayload('4hello', '4€', '4😀', '4')), ['hello', '€', '😀', undefined])
})

test('a colon or a digit in a packet does not confuse the lengths', async () => {
  assert.deepEqual(await posted(textPayload('42:4a', '43', '4:')), ['2:4a', '3', ':'])
})

test('a base64 packet in a text payload is a Buffer', async () => {
  assert.deepEqual(await posted(textPayload('b4AQID', '4a', 'b4')), [BYTES, 'a', Buffer.alloc(0)])
})

test('a binary payload carries strings in UTF-8 and bytes', async () => {
  const payload = binaryPayload('4hello', Buffer.from([4, 1, 2, 3]), '4€😀')
  assert.deepEqual(await posted(payload, true), ['hello', BYTES, '€😀'])
})

test('a binary payload of a large message arrives complete', async () => {
  const data = Buffer.alloc(300000, '0123456789')
  const [message] = await posted(binaryPayload(Buffer.concat([Buffer.from([4]), data])), true)
  assert.ok(message.equals(data))
})

test('a base64 string in a binary payload is a Buffer', async () => {
  assert.deepEqual(await posted(binaryPayload('b4AQID'), true), [BYTES])
})

test('a text payload split over chunks in the middle of a character arrives intact', async () => {
  const { peer, socket } = await openPolling3(await listen(ALLOW))
  const message = once(socket, 'message')
  const body = Buffer.from(textPayload('4a€😀b'))
  const { response, req } = await peer.pendingPost(body.subarray(0, 5))
  req.end(body.subarray(5))
  assert.deepEqual(await message, ['a€😀b'])
  assert.equal((await response).body, 'ok')
})

test('a content type other than exactly application/octet-stream is read as text', async () => {
  const { peer, socket } = await openPolling3(await listen(ALLOW))
  const message = once(socket, 'message')
  await peer.post('2:4a', { 'Content-Type': 'application/octet-stream; charset=x' })
  assert.deepEqual(await message, ['a'])
})

test('a close packet by POST closes the session and answers the pending poll with a noop', async () => {
  const { peer, socket } = await openPolling3(await listen(ALLOW))
  const closed = once(socket, 'close')
  const { response } = await peer.pendingPoll()
  assert.equal((await peer.post('1:1')).body, 'ok')
  assert.deepEqual(await closed, ['transport close', undefined])
  assert.equal((await response).body, '1:6')
})

test('close() answers the pending poll with a close packet, or the next one with noop and close', async () => {
  const first = await openPolling3(await listen(ALLOW))
  const { response } = await first.peer.pendingPoll()
  first.socket.close()
  assert.equal((await response).body, '1:1')
  const second = await openPolling3(await listen(ALLOW))
  second.socket.close()
  assert.equal((await second.peer.poll()).body, '1:61:1')
})

test('many packets of one POST are delivered in order', async () => {
  const packets = Array.from({ length: 5000 }, (_, i) => `4${i}`)
  const messages = await posted(textPayload(...packets))
  assert.deepEqual(
    messages,
    packets.map((packet) => packet.slice(1)),
  )
})

test('a close packet by POST ends a session that waits for a poll to close', async () => {
  const { peer, socket } = await openPolling3(await listen(ALLOW))
  const closed = once(socket, 'close')
  socket.close()
  assert.equal(socket.readyState, 'closing')
  await peer.post('1:1')
  assert.deepEqual(await closed, ['transport close', undefined])
})

test('a close packet behind a pong, which ends the session, closes the transport', async () => {
  const { peer, socket } = await openPolling3(await listen(ALLOW))
  const closed = once(socket, 'close')
  const { transport } = socket
  const log = record(transport, ['close'], (event) => event)
  assert.equal((await peer.post(textPayload('3', '1'))).status, 200)
  assert.equal((await closed)[0], 'transport error')
  assert.deepEqual([log, transport.readyState], [['close'], 'closed'])
})

test('nothing is heard behind a pong, which ends the session, but a close packet', async () => {
  const { peer, socket } = await openPolling3(await listen(ALLOW))
  const closed = once(socket, 'close')
  const { transport } = socket
  const log = record(socket, ['message', 'packet'], (event, arg) => arg.type ?? arg)
  assert.equal((await peer.post(textPayload('3', '4a', '1'))).status, 200)
  await closed
  assert.deepEqual([log.includes('a'), transport.readyState], [false, 'closed'])
})
