'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  RawPeer,
  eventually,
  improvement,
  listen,
  listenNatively,
  never,
  once,
  openPolling,
  pending,
  record,
  request,
  times,
  upstream,
} = require('../support')
const { openPolling3 } = require('../support/eio3')

function rawPost(peer, headers, body) {
  return `POST ${peer.path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n${body}`
}

test('a POST delivers its message and is answered with ok', async () => {
  const { peer, socket } = await openPolling(await listen())
  const message = once(socket, 'message')
  const response = await peer.post('4hello')
  assert.deepEqual(await message, ['hello'])
  assert.deepEqual([response.status, response.body], [200, 'ok'])
})

test('the answer to a POST is text/html, two bytes long and not cacheable', async () => {
  const { peer } = await openPolling(await listen())
  const { headers, rawHeaders } = await peer.post('4hello')
  assert.equal(headers['content-type'], 'text/html')
  assert.equal(headers['content-length'], '2')
  assert.equal(headers['cache-control'], 'no-store')
  assert.deepEqual([rawHeaders[0], rawHeaders[2], rawHeaders[4]], ['Content-Type', 'Content-Length', 'cache-control'])
})

test('the packets of one body are delivered in order', async () => {
  const { peer, socket } = await openPolling(await listen())
  const messages = times(socket, 'message', 3)
  await peer.post('4a\x1e4€\x1e4😀')
  assert.deepEqual(await messages, [['a'], ['€'], ['😀']])
})

test('messages are dispatched before the POST is answered', async () => {
  const { peer, socket } = await openPolling(await listen())
  let delivered = false
  socket.on('message', () => (delivered = true))
  await peer.post('4a')
  assert.equal(delivered, true)
})

test('a base64 packet arrives as a Buffer', async () => {
  const { peer, socket } = await openPolling(await listen())
  const message = once(socket, 'message')
  await peer.post('bAQID')
  const [data] = await message
  assert.ok(Buffer.isBuffer(data))
  assert.deepEqual([...data], [1, 2, 3])
})

test('invalid base64 arrives as an empty Buffer', async () => {
  const { peer, socket } = await openPolling(await listen())
  const message = once(socket, 'message')
  assert.equal((await peer.post('b!!!!')).status, 200)
  assert.deepEqual(await message, [Buffer.alloc(0)])
})

test('an empty message arrives as undefined', async () => {
  const { peer, socket } = await openPolling(await listen())
  const message = once(socket, 'message')
  await peer.post('4')
  assert.deepEqual(await message, [undefined])
})

test('a POST is served while a poll is pending', async () => {
  const { peer, socket } = await openPolling(await listen())
  const { response } = await peer.pendingPoll()
  socket.on('message', (data) => socket.send(data))
  assert.equal((await peer.post('4echo')).body, 'ok')
  assert.equal((await response).body, '4echo')
})

test('an overlapping POST closes the session with a transport error', async () => {
  const { peer, socket } = await openPolling(await listen())
  await peer.pendingPost('4a')
  const closed = once(socket, 'close')
  peer.post('4b')
  const [reason, description] = await closed
  assert.equal(reason, 'transport error')
  assert.equal(description.message, 'data request overlap from client')
  assert.equal(description.type, 'TransportError')
})

test('of two overlapping POSTs the first is cut off and the second gets a bare 400', async () => {
  const { peer } = await openPolling(await listen())
  const { response } = await peer.pendingPost('4a')
  const second = await peer.post('4b')
  assert.deepEqual([second.status, second.body], [400, ''])
  await assert.rejects(response, { code: 'ECONNRESET' })
})

test('a binary body is refused in protocol 4 and closes the session', async () => {
  const { peer, socket } = await openPolling(await listen())
  const closed = once(socket, 'close')
  const response = await peer.post('4a', { 'Content-Type': 'application/octet-stream' })
  assert.deepEqual([response.status, response.body], [400, ''])
  const [reason, description] = await closed
  assert.equal(reason, 'transport error')
  assert.equal(description.message, 'invalid content')
})

for (const type of [undefined, 'application/octet-stream; charset=x', 'application/json', 'text/html']) {
  test(`a body of type ${type} is text`, async () => {
    const { peer, socket } = await openPolling(await listen())
    const message = once(socket, 'message')
    assert.equal((await peer.post('4héllo', type ? { 'Content-Type': type } : {})).status, 200)
    assert.deepEqual(await message, ['héllo'])
  })
}

test('a character split over two chunks arrives intact', async () => {
  const { peer, socket } = await openPolling(await listen())
  const message = once(socket, 'message')
  const bytes = Buffer.from('4€uro')
  const { response, req } = await peer.pendingPost(bytes.subarray(0, 2))
  req.end(bytes.subarray(2))
  assert.equal((await response).status, 200)
  assert.deepEqual(await message, ['€uro'])
})

test('invalid UTF-8 is replaced, not refused', async () => {
  const { peer, socket } = await openPolling(await listen())
  const message = once(socket, 'message')
  assert.equal((await peer.post(Buffer.from([0x34, 0x61, 0xff, 0x62]))).status, 200)
  assert.deepEqual(await message, ['a\ufffdb'])
})

test('Content-Encoding is ignored', async () => {
  const { peer, socket } = await openPolling(await listen())
  const message = once(socket, 'message')
  assert.equal((await peer.post('4plain', { 'Content-Encoding': 'gzip' })).status, 200)
  assert.deepEqual(await message, ['plain'])
})

test('a body that expects 100-continue is served', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const message = once(socket, 'message')
  const raw = await RawPeer.connect(context.port)
  raw.write(rawPost(peer, 'Expect: 100-continue\r\nContent-Length: 3', ''))
  await raw.match(/^HTTP\/1\.1 100 Continue\r\n\r\n/)
  raw.write('4hi')
  await raw.match(/HTTP\/1\.1 200 OK[^]*\r\n\r\nok$/)
  assert.deepEqual(await message, ['hi'])
})

test('a chunked body is served', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const message = once(socket, 'message')
  const raw = await RawPeer.connect(context.port)
  raw.write(rawPost(peer, 'Transfer-Encoding: chunked', '2\r\n4h\r\n1\r\ni\r\n0\r\n\r\n'))
  await raw.match(/\r\n\r\nok$/)
  assert.deepEqual(await message, ['hi'])
})

test('a body of exactly maxHttpBufferSize bytes is accepted', async () => {
  const { peer, socket } = await openPolling(await listen({ maxHttpBufferSize: 10 }))
  const message = once(socket, 'message')
  assert.equal((await peer.post(`4${'a'.repeat(9)}`)).status, 200)
  assert.deepEqual(await message, ['a'.repeat(9)])
})

test('one byte more gets a bare 413, and the session closes with a transport error', async () => {
  const { peer, socket } = await openPolling(await listen({ maxHttpBufferSize: 10 }))
  const packets = record(socket, ['packet', 'message'])
  const closed = once(socket, 'close')
  const response = await peer.post(`4${'a'.repeat(10)}`)
  assert.deepEqual([response.status, response.body], [413, ''])
  assert.equal(response.headers['content-type'], undefined)
  const [reason, description] = await closed
  assert.deepEqual([reason, description.message], ['transport error', 'payload too large'])
  assert.deepEqual(packets, [])
})

test('the size of a body is counted in bytes, not in characters', async () => {
  const { peer } = await openPolling(await listen({ maxHttpBufferSize: 10 }))
  assert.equal((await peer.post('4€€€')).status, 200)
  assert.equal((await peer.post('4€€€a')).status, 413)
})

test('nothing of a body over several chunks is delivered when it is too large', async () => {
  const { peer, socket } = await openPolling(await listen({ maxHttpBufferSize: 10 }))
  const packets = record(socket, 'packet')
  const { response, req } = await peer.pendingPost('4a\x1e4b\x1e')
  req.end('4'.repeat(20))
  assert.equal((await response).status, 413)
  assert.deepEqual(packets, [])
})

test('with maxHttpBufferSize 0 every body is too large', async () => {
  const { peer } = await openPolling(await listen({ maxHttpBufferSize: 0 }))
  assert.equal((await peer.post('4')).status, 413)
})

test('the session closes when the client goes away during a POST, and nothing is delivered', async () => {
  const { peer, socket } = await openPolling(await listen())
  const packets = record(socket, 'packet')
  const { req } = await peer.pendingPost('4a\x1e4b')
  const closed = once(socket, 'close')
  req.destroy()
  const [reason, description] = await closed
  assert.equal(reason, 'transport error')
  assert.equal(description.message, 'data request connection closed prematurely')
  assert.deepEqual(packets, [])
})

test('a broken chunk size gets a 400 from Node and closes the session', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const closed = once(socket, 'close')
  const raw = await RawPeer.connect(context.port)
  raw.write(rawPost(peer, 'Transfer-Encoding: chunked', '2\r\n4a\r\nzz\r\n'))
  assert.equal((await closed)[1].message, 'data request connection closed prematurely')
  await raw.match(/^HTTP\/1\.1 400 Bad Request/)
})

test('a body shorter than its Content-Length closes the session at the end of the connection', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const closed = once(socket, 'close')
  const raw = await RawPeer.connect(context.port)
  raw.write(rawPost(peer, 'Content-Length: 100', '4a'))
  raw.socket.end()
  assert.equal((await closed)[1].message, 'data request connection closed prematurely')
})

for (const [what, body] of [
  ['something that is not a packet', 'x'],
  ['a ping, which a client of protocol 4 does not send', '2'],
]) {
  test(`what a listener sends that hears of ${what} goes out before the session ends`, async () => {
    const { peer, socket } = await openPolling(await listen())
    const closed = once(socket, 'close')
    socket.once('packet', () => socket.send('last'))
    const poll = peer.poll()
    await once(socket.transport, 'ready')
    const [{ body: answer }, { body: ok }] = await Promise.all([poll, peer.post(body)])
    assert.deepEqual([answer, ok], ['4last', 'ok'])
    await closed
  })
}

test('an empty body is a parse error, answered with ok', async () => {
  const { peer, socket } = await openPolling(await listen())
  const packet = once(socket, 'packet')
  const closed = once(socket, 'close')
  const response = await peer.post('')
  assert.deepEqual([response.status, response.body], [200, 'ok'])
  assert.deepEqual(await packet, [{ type: 'error', data: 'parser error' }])
  assert.deepEqual(await closed, ['parse error', undefined])
})

test('packets before an invalid one are delivered, those after it are not', async () => {
  const { peer, socket } = await openPolling(await listen())
  const messages = record(socket, 'message')
  const closed = once(socket, 'close')
  assert.equal((await peer.post('4a\x1e4b\x1exyz\x1e4c')).body, 'ok')
  assert.deepEqual(messages, [
    ['message', 'a'],
    ['message', 'b'],
  ])
  assert.equal((await closed)[0], 'parse error')
})

for (const [what, open, body, reason] of [
  ['what is no packet', openPolling, 'x', 'parse error'],
  ['an empty body of protocol 3', openPolling3, '', 'parse error'],
  ['a wrong heartbeat', openPolling, '2', 'transport error'],
  ['a wrong heartbeat of protocol 3', openPolling3, '1:3', 'transport error'],
]) {
  test(`a session that its packet listener begins to close at ${what} ends by that`, async () => {
    const { peer, socket } = await open(await listen({ allowEIO3: true }))
    const closed = once(socket, 'close')
    socket.once('packet', () => socket.close())
    assert.equal((await peer.post(body)).body, 'ok')
    assert.equal((await closed)[0], reason)
  })
}

test('a parse error answers the pending poll with a close packet', async () => {
  const { peer } = await openPolling(await listen())
  const { response } = await peer.pendingPoll()
  await peer.post('9')
  assert.equal((await response).body, '1')
})

test('a close packet closes the session and answers the pending poll with a noop', async () => {
  const { peer, socket } = await openPolling(await listen())
  const { response } = await peer.pendingPoll()
  const closed = once(socket, 'close')
  assert.equal((await peer.post('1')).body, 'ok')
  assert.deepEqual(await closed, ['transport close', undefined])
  assert.equal((await response).body, '6')
})

test('packets behind a close packet are dropped', async () => {
  const { peer, socket } = await openPolling(await listen())
  const messages = record(socket, 'message')
  await peer.post('4a\x1e1\x1e4b')
  assert.deepEqual(messages, [['message', 'a']])
})

test('a ping from a protocol 4 client is a transport error', async () => {
  const { peer, socket } = await openPolling(await listen())
  const { response } = await peer.pendingPoll()
  const closed = once(socket, 'close')
  assert.equal((await peer.post('2')).body, 'ok')
  const [reason, description] = await closed
  assert.equal(reason, 'transport error')
  assert.equal(description.message, 'invalid heartbeat direction')
  assert.equal(description.type, undefined)
  assert.equal((await response).body, '1')
})

for (const [body, packet] of [
  ['0x', { type: 'open', data: 'x' }],
  ['5', { type: 'upgrade' }],
  ['6', { type: 'noop' }],
]) {
  test(`"${body}" on an open session is a packet event and nothing else`, async () => {
    const { peer, socket } = await openPolling(await listen())
    const events = record(socket, ['packet', 'message', 'close', 'upgrade', 'heartbeat'])
    assert.equal((await peer.post(body)).body, 'ok')
    assert.deepEqual(events, [['packet', packet]])
    assert.equal(socket.readyState, 'open')
  })
}

test('a POST while the socket is closing is answered and its packets dropped', async () => {
  const { peer, socket } = await openPolling(await listen())
  const events = record(socket, ['packet', 'message'])
  socket.close() // no poll is pending: the close packet waits for the next one
  assert.equal(socket.readyState, 'closing')
  assert.equal((await peer.post('4a')).body, 'ok')
  assert.deepEqual(events, [])
})

test('a POST for a session that has closed is an unknown sid', async () => {
  const { peer } = await openPolling(await listen())
  await peer.post('1')
  const response = await peer.post('4a')
  assert.deepEqual([response.status, response.body], [400, '{"code":1,"message":"Session ID unknown"}'])
})

test('POSTs on one keep-alive connection are served one after the other', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const messages = times(socket, 'message', 20)
  const raw = await RawPeer.connect(context.port)
  for (let i = 0; i < 20; i++) {
    raw.write(rawPost(peer, 'Content-Length: 3', `4${String.fromCharCode(97 + i)}x`))
    await raw.until(() => raw.text.split('\r\n\r\nok').length === i + 2, `answer ${i}`)
  }
  assert.equal(
    (await messages)
      .flat()
      .map((text) => text[0])
      .join(''),
    'abcdefghijklmnopqrst',
  )
})

test('a POST does not answer the pending poll', async () => {
  const { peer } = await openPolling(await listen())
  const { response } = await peer.pendingPoll()
  await peer.post('4a')
  assert.equal(await pending(response, 50), true)
})

test('a very long run of small packets is delivered completely', async () => {
  const { peer, socket } = await openPolling(await listen())
  let count = 0
  socket.on('message', () => count++)
  await peer.post(Array(50000).fill('4a').join('\x1e'))
  assert.equal(count, 50000)
})

test('a megabyte of separators is one parse error', async () => {
  const { peer, socket } = await openPolling(await listen())
  const packets = record(socket, 'packet')
  await peer.post('\x1e'.repeat(1e6))
  assert.deepEqual(packets, [['packet', { type: 'error', data: 'parser error' }]])
})

test("a POST with the sid of another engine's session is refused", async () => {
  const { peer } = await openPolling(await listen())
  const other = await listen()
  const response = await request({ port: other.port, method: 'POST', path: peer.path, body: '4a' })
  assert.equal(response.status, 400)
  assert.equal(JSON.parse(response.body).code, 1)
  await never(other.engine, 'connection', 20)
})

test('a body in thousands of chunks of one byte is delivered whole', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const message = once(socket, 'message')
  const text = Array.from({ length: 3000 }, (_, i) => i % 10).join('')
  const raw = await RawPeer.connect(context.port)
  raw.write(`POST ${peer.path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`)
  raw.write([...`4${text}`].map((byte) => `1\r\n${byte}\r\n`).join('') + '0\r\n\r\n')
  assert.deepEqual(await message, [text])
  await raw.match(/ok$/)
})

test('a ping behind other packets of a payload is shown with its data', async () => {
  const { peer, socket } = await openPolling(await listen())
  const packets = record(socket, 'packet', (event, packet) => packet)
  await peer.post('4a\x1e2probe')
  assert.deepEqual(packets, [
    { type: 'message', data: 'a' },
    { type: 'ping', data: 'probe' },
  ])
})

test('a close packet behind a ping, which ends the session, closes the transport', async () => {
  const { peer, socket } = await openPolling(await listen())
  const closed = once(socket, 'close')
  const { transport } = socket
  const log = record(transport, ['close'], (event) => event)
  assert.equal((await peer.post('2\x1e1')).status, 200)
  assert.equal((await closed)[0], 'transport error')
  assert.deepEqual([log, transport.readyState], [['close'], 'closed'])
})

test('nothing is heard behind a ping, which ends the session, but a close packet', async () => {
  const { peer, socket } = await openPolling(await listen())
  const closed = once(socket, 'close')
  const { transport } = socket
  const log = record(socket, ['message', 'packet'], (event, arg) => arg.type ?? arg)
  assert.equal((await peer.post('2\x1e4a\x1e1')).status, 200)
  await closed
  assert.deepEqual([log.includes('a'), transport.readyState], [false, 'closed'])
})

improvement('row 52', 'a close packet behind what has closed the transport is no second close', async () => {
  const { peer, socket } = await openPolling(await listen())
  const poll = peer.poll()
  await eventually(() => socket.transport.writable, true)
  const log = record(socket.transport, ['close'], (event) => event)
  assert.equal((await peer.post('2\x1e1')).status, 200)
  assert.equal((await poll).body, '1')
  assert.deepEqual(log, ['close'])
})

for (const [name, serve] of Object.entries({
  attach: listen,
  ...(upstream ? {} : { 'a native listener': listenNatively }),
})) {
  test(`a listener that sets readyState does not keep a POST from its answer: ${name}`, async () => {
    const { peer, socket } = await openPolling(await serve())
    socket.on('message', () => (socket.readyState = 'closed'))
    // the ping would end the session
    assert.equal((await peer.post('4message\x1e2')).status, 200)
    socket.readyState = 'open'
    socket.close(true)
  })
}
