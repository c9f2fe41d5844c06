'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { listen, once, openPolling, record, request } = require('../support')
const { ALLOW, binaryPayload, openPolling3, postBinary, textPayload } = require('../support/eio3')

/** What the session makes of a POST: the packets it shows and how it closes. */
async function outcome(payload, binary = false) {
  const { peer, socket } = await openPolling3(await listen(ALLOW))
  const packets = record(socket, 'packet', (_, packet) => packet)
  const closed = record(socket, 'close', (_, reason, description) => [reason, description])
  const response = binary ? await postBinary(peer, payload) : await peer.post(payload)
  return { packets, closed, status: response.status, body: response.body, peer, socket }
}

const message = (data) => (data === undefined ? { type: 'message' } : { type: 'message', data })
const PARSE_ERROR = { type: 'error', data: 'parser error' }

for (const [what, payload, data] of [
  ['white space around a length', ' 2:4a', 'a'],
  ['a hexadecimal length', '0x2:4a', 'a'],
  ['an exponent in a length', '1e1:4123456789', '123456789'],
  ['a length with a leading zero', '02:4a', 'a'],
  ['a sign before a length', '+2:4a', 'a'],
  ['a fraction of zero in a length', '2.0:4a', 'a'],
  ['an octal length', '0o2:4a', 'a'],
]) {
  test(`${what} is read as JavaScript reads numbers`, async () => {
    const { packets, closed } = await outcome(payload)
    assert.deepEqual([packets, closed], [[message(data)], []])
  })
}

for (const [what, payload] of [
  ['a fraction', '2.5:4a'],
  ['no number', 'NaN:4a'],
  ['a negative length', '-1:4a'],
  ['a length that is too large', '3:4a'],
  ['a huge length', '99999999999999999999:4a'],
  ['400 digits', `${'9'.repeat(400)}:4a`],
  ['an infinite length', 'Infinity:4a'],
  ['no length', ':4a'],
  ['no colon', '4a'],
  ['an empty body', ''],
  ['trailing garbage', '2:4ax'],
  ['a trailing length', '2:4a2:'],
  ['an unknown packet type', '2:9a'],
]) {
  test(`a text payload with ${what} is a parse error after what precedes it`, async () => {
    const precedes = what === 'trailing garbage' || what === 'a trailing length' ? '' : textPayload('4first')
    const body = what === 'an empty body' ? '' : precedes + payload
    const { packets, closed, status, body: answer } = await outcome(body)
    const expected = what === 'an empty body' ? [] : [message(precedes ? 'first' : 'a')]
    assert.deepEqual(packets, [...expected, PARSE_ERROR])
    assert.deepEqual(closed, [['parse error', undefined]])
    assert.deepEqual([status, answer], [200, 'ok'])
  })
}

test('what follows a parse error is not delivered', async () => {
  const { packets } = await outcome('2:4a2:9x2:4b')
  assert.deepEqual(packets, [message('a'), PARSE_ERROR])
})

test('a packet of length zero is ignored', async () => {
  const { packets, closed } = await outcome('0:2:4a0:')
  assert.deepEqual([packets, closed], [[message('a')], []])
})

test('a length cuts through a pair of surrogates', async () => {
  const { packets } = await outcome('2:4😀')
  assert.equal(packets[0].type, 'message')
  assert.deepEqual(packets.at(-1), PARSE_ERROR)
})

test('a base64 packet of an unknown type is shown without a type and ignored', async () => {
  const { packets, closed } = await outcome(textPayload('b9AQID', '4a'))
  assert.deepEqual(packets, [{ type: undefined, data: Buffer.from([1, 2, 3]) }, message('a')])
  assert.deepEqual(closed, [])
})

const hex = (text) => Buffer.from(text.replace(/ /g, ''), 'hex')

test('in a binary payload a type byte other than 0 and 1 counts as binary', async () => {
  const { packets } = await outcome(hex('07 04ff 04010203'), true)
  assert.deepEqual(packets, [message(Buffer.from([1, 2, 3]))])
})

test('in a binary payload a length that is too large takes what is there', async () => {
  const { packets, closed } = await outcome(hex('01 09ff 04010203'), true)
  assert.deepEqual([packets, closed], [[message(Buffer.from([1, 2, 3]))], []])
})

test('in a binary payload the decimal digits of a length byte above 9 are appended, and both are skipped', async () => {
  const data = Buffer.alloc(14, 7)
  const { packets } = await outcome(Buffer.concat([hex('01 0fff ee 04'), data]), true)
  assert.deepEqual(packets, [message(data)])
})

test('a binary packet of an unknown type is shown without a type and ignored', async () => {
  const { packets, closed } = await outcome(hex('01 03ff 2a0102 00 02ff 3461'), true)
  assert.deepEqual(packets, [{ type: undefined, data: Buffer.from([1, 2]) }, message('a')])
  assert.deepEqual(closed, [])
})

test('a binary payload with a length of more than 311 digits is a parse error before anything is delivered', async () => {
  const length = Buffer.concat([hex('01'), Buffer.alloc(312, 9), hex('ff 04')])
  const { packets, closed } = await outcome(Buffer.concat([binaryPayload('4first'), length]), true)
  assert.deepEqual(packets, [PARSE_ERROR])
  assert.deepEqual(closed, [['parse error', undefined]])
})

for (const [what, payload] of [
  ['a string of broken UTF-8', hex('00 03ff 34fffe')],
  ['a string of an unknown type', binaryPayload('9a')],
]) {
  test(`a binary payload with ${what} is a parse error after what precedes it`, async () => {
    const { packets, closed } = await outcome(Buffer.concat([binaryPayload('4first'), payload]), true)
    assert.deepEqual(packets, [message('first'), PARSE_ERROR])
    assert.deepEqual(closed, [['parse error', undefined]])
  })
}

test('a binary payload without its end of the length is handled without a crash', async () => {
  const { socket, status } = await outcome(hex('00 0202'), true)
  assert.equal(status, 200)
  assert.ok(['open', 'closed'].includes(socket.readyState))
})

test('a base64 string that is not base64 is read leniently', async () => {
  const { packets } = await outcome(textPayload('b4!!!!', 'b4AQ ID'))
  assert.deepEqual(packets, [message(Buffer.alloc(0)), message(Buffer.from([1, 2, 3]))])
})

for (const [what, packet, seen] of [
  ['upgrade', '5', { type: 'upgrade' }],
  ['noop', '6', { type: 'noop' }],
  ['open', '0x', { type: 'open', data: 'x' }],
]) {
  test(`the packet "${what}" outside of an upgrade is only a packet event`, async () => {
    const { packets, closed } = await outcome(textPayload(packet))
    assert.deepEqual([packets, closed], [[seen], []])
  })
}

test('a pong from the client closes the session: heartbeats have the other direction', async () => {
  const { closed } = await outcome('1:3')
  const [[reason, description]] = closed
  assert.deepEqual(
    [reason, description.message, description.type],
    ['transport error', 'invalid heartbeat direction', undefined],
  )
})

test("with the session's sid but another EIO a request is a protocol mismatch, and the session lives on", async () => {
  const context = await listen(ALLOW)
  const { peer, socket } = await openPolling3(context)
  const errors = record(context.engine, 'connection_error', (_, { code, context: c }) => [code, c])
  for (const EIO of ['4', '04']) {
    const target = peer.path.replace('EIO=3', `EIO=${EIO}`)
    const response = await request({ port: context.port, path: target, method: 'POST', body: '2:4a' })
    assert.equal(response.status, EIO === '4' ? 400 : 200)
  }
  assert.deepEqual(errors, [[3, { name: 'PROTOCOL_MISMATCH', protocol: 4, previousProtocol: 3 }]])
  assert.equal(socket.readyState, 'open')
})

test('sessions of both revisions live side by side', async () => {
  const context = await listen(ALLOW)
  const [three, four] = [await openPolling3(context), await openPolling(context)]
  for (const { socket } of [three, four]) socket.send('€')
  assert.equal((await three.peer.poll()).body, '2:4€')
  assert.equal((await four.peer.poll()).body, '4€')
  assert.deepEqual([three.socket.protocol, four.socket.protocol], [3, 4])
  assert.deepEqual([three.socket.transport.protocol, four.socket.transport.protocol], [3, 4])
})

test('a body of exactly maxHttpBufferSize bytes passes, one more byte is a 413 and ends the session', async () => {
  const context = await listen({ ...ALLOW, maxHttpBufferSize: 100 })
  const { peer, socket } = await openPolling3(context)
  assert.equal((await peer.post(`97:4${'x'.repeat(96)}`)).status, 200)
  const binary = binaryPayload(Buffer.concat([Buffer.from([4]), Buffer.alloc(95)]))
  assert.equal(binary.length, 100)
  assert.equal((await postBinary(peer, binary)).status, 200)
  const closed = once(socket, 'close')
  assert.equal((await peer.post(`98:4${'x'.repeat(97)}`)).status, 413)
  assert.equal((await closed)[1].message, 'payload too large')
})

test('333,000 packets of one POST take linear time', async () => {
  const { peer, socket } = await openPolling3(await listen(ALLOW))
  let count = 0
  socket.on('message', () => count++)
  const start = Date.now()
  await peer.request({
    method: 'POST',
    headers: { 'Content-Type': 'text/plain' },
    body: '1:4'.repeat(333000),
    ms: 20000,
  })
  assert.equal(count, 333000)
  assert.ok(Date.now() - start < 10000)
})
