'use strict'

const assert = require('node:assert/strict')
const http = require('node:http')
const { test } = require('node:test')
const {
  RawPeer,
  RawWebSocket,
  KEY,
  listen,
  never,
  openPolling,
  openWebSocket,
  path,
  record,
  upgradeRequest,
  wsClient,
} = require('../support')

const websocket = { transport: 'websocket' }

/** The complete answer to an upgrade that is refused, and the connection_error events it caused. */
async function refused(context, target, options) {
  const errors = record(context.engine, 'connection_error')
  const peer = await RawWebSocket.request(context.port, target, options)
  await peer.end()
  const [head, body] = peer.text.split('\r\n\r\n')
  const [statusLine, ...headers] = head.split('\r\n')
  return { statusLine, headers, body, errors }
}

test('the 101 response has the headers and the order of the original', async () => {
  const { peer } = await openWebSocket(await listen())
  assert.equal(peer.statusLine, 'HTTP/1.1 101 Switching Protocols')
  assert.deepEqual(peer.headerLines, [
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
  ])
})

test('the first frame is the open packet, unmasked and minimal', async () => {
  const context = await listen()
  const peer = await RawWebSocket.open(context.port, path(context, websocket))
  const frame = await peer.frame()
  assert.deepEqual([frame.fin, frame.rsv, frame.opcode, frame.masked], [true, 0, 1, false])
  assert.deepEqual(Object.keys(JSON.parse(frame.text.slice(1))), [
    'sid',
    'upgrades',
    'pingInterval',
    'pingTimeout',
    'maxPayload',
  ])
})

test("the connection of a websocket is told not to delay small frames, whatever the HTTP server's option says", async () => {
  const context = await listen({}, http.createServer({ noDelay: false }))
  const told = []
  context.server.on('connection', (socket) => {
    socket.setNoDelay = (noDelay = true) => told.push(noDelay)
  })
  await openWebSocket(context)
  assert.deepEqual(told, [true])
})

test('a session opened by websocket has no upgrades', async () => {
  const { open } = await openWebSocket(await listen())
  assert.deepEqual(open.upgrades, [])
})

test('the connection event follows the open packet', async () => {
  const { open, socket } = await openWebSocket(await listen())
  assert.equal(socket.id, open.sid)
  assert.equal(socket.transport.name, 'websocket')
  assert.equal(socket.readyState, 'open')
})

test('messages sent in the connection handler come right after the open packet', async () => {
  const context = await listen()
  context.engine.on('connection', (socket) => socket.send('early'))
  const { peer } = await openWebSocket(context)
  assert.equal(await peer.packet(), '4early')
})

test('the first offered subprotocol is selected', async () => {
  const { peer } = await openWebSocket(await listen(), {}, { headers: { 'Sec-WebSocket-Protocol': 'foo, bar' } })
  assert.equal(peer.headers['sec-websocket-protocol'], 'foo')
  assert.equal(peer.headerLines[3], 'Sec-WebSocket-Protocol: foo')
})

test('extensions are not negotiated by default', async () => {
  const offer = { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' }
  const { peer } = await openWebSocket(await listen(), {}, { headers: offer })
  assert.equal(peer.headers['sec-websocket-extensions'], undefined)
})

test('a malformed extension header is ignored while perMessageDeflate is off', async () => {
  const offer = { 'Sec-WebSocket-Extensions': 'permessage-deflate; x="' }
  const { peer } = await openWebSocket(await listen(), {}, { headers: offer })
  assert.equal(peer.status, 101)
})

test('perMessageDeflate: true negotiates the extension', async () => {
  const offer = { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' }
  const context = await listen({ perMessageDeflate: true })
  const peer = await RawWebSocket.open(context.port, path(context, websocket), { headers: offer })
  assert.equal(peer.headers['sec-websocket-extensions'], 'permessage-deflate')
})

test('a client with permessage-deflate exchanges messages', async () => {
  const context = await listen({ perMessageDeflate: true })
  context.engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const ws = await wsClient(context.port, path(context, websocket), { perMessageDeflate: { threshold: 0 } })
  await ws.next()
  assert.equal(ws.extensions, 'permessage-deflate')
  const text = `4${'a long message '.repeat(500)}`
  ws.send(text)
  assert.equal(await ws.next(), text)
})

test('headers of the initial_headers and headers events are added to the 101', async () => {
  const context = await listen()
  context.engine.on('initial_headers', (headers) => (headers['X-Initial'] = '1'))
  context.engine.on('headers', (headers) => (headers['X-Each'] = '2'))
  const { peer } = await openWebSocket(context)
  assert.deepEqual(peer.headerLines.slice(3), ['X-Initial: 1', 'X-Each: 2'])
})

test('version 8 is accepted', async () => {
  const { peer } = await openWebSocket(await listen(), {}, { headers: { 'Sec-WebSocket-Version': '8' } })
  assert.equal(peer.status, 101)
})

test('an HTTP/1.0 upgrade is accepted', async () => {
  const { peer } = await openWebSocket(await listen(), {}, { version: '1.0' })
  assert.equal(peer.status, 101)
})

test('"Connection: keep-alive, Upgrade" and another case of "Upgrade" are accepted', async () => {
  const headers = { Connection: 'keep-alive, Upgrade', Upgrade: 'WebSocket' }
  const { peer } = await openWebSocket(await listen(), {}, { headers })
  assert.equal(peer.status, 101)
})

const KEY_ERROR = 'Missing or invalid Sec-WebSocket-Key header'
for (const [what, headers, body] of [
  ['without a key', { 'Sec-WebSocket-Key': undefined }, KEY_ERROR],
  ['with a short key', { 'Sec-WebSocket-Key': 'abc' }, KEY_ERROR],
  ['with a key of 24 characters that is no base64 of 16 bytes', { 'Sec-WebSocket-Key': 'x'.repeat(24) }, KEY_ERROR],
  ['with two keys', { 'Sec-WebSocket-Key': [KEY, KEY] }, KEY_ERROR],
  ['to several protocols', { Upgrade: 'websocket, foo' }, 'Invalid Upgrade header'],
  ['to h2c', { Upgrade: 'h2c' }, 'Invalid Upgrade header'],
  ['with an empty subprotocol', { 'Sec-WebSocket-Protocol': 'a,,b' }, 'Invalid Sec-WebSocket-Protocol header'],
  ['with a repeated subprotocol', { 'Sec-WebSocket-Protocol': 'a, a' }, 'Invalid Sec-WebSocket-Protocol header'],
]) {
  test(`an upgrade ${what} gets 400 "${body}" and no engine event`, async () => {
    const answer = await refused(await listen(), '/engine.io/?EIO=4&transport=websocket', { headers })
    assert.equal(answer.statusLine, 'HTTP/1.1 400 Bad Request')
    assert.equal(answer.body, body)
    assert.deepEqual(answer.headers.slice(0, 3), [
      'Connection: close',
      'Content-Type: text/html',
      `Content-Length: ${body.length}`,
    ])
    assert.deepEqual(answer.errors, [])
  })
}

for (const version of ['12', '14', 'x', undefined]) {
  test(`an upgrade with version ${version} gets 400 and the supported versions`, async () => {
    const headers = { 'Sec-WebSocket-Version': version }
    const answer = await refused(await listen(), '/engine.io/?EIO=4&transport=websocket', { headers })
    assert.equal(answer.body, 'Missing or invalid Sec-WebSocket-Version header')
    assert.ok(answer.headers.includes('Sec-WebSocket-Version: 13, 8'))
    assert.deepEqual(answer.errors, [])
  })
}

test('an unacceptable extension offer gets 400 while perMessageDeflate is on', async () => {
  const headers = { 'Sec-WebSocket-Extensions': 'permessage-deflate; unknown_parameter' }
  const context = await listen({ perMessageDeflate: true })
  const answer = await refused(context, path(context, websocket), { headers })
  assert.equal(answer.body, 'Invalid or unacceptable Sec-WebSocket-Extensions header')
})

test('a POST upgrade without a sid gets a raw 400 with the handshake-method message', async () => {
  const context = await listen()
  const answer = await refused(context, path(context, websocket), { method: 'POST' })
  assert.equal(answer.statusLine, 'HTTP/1.1 400 Bad Request')
  assert.equal(answer.body, 'Bad handshake method')
  assert.equal(answer.errors[0][1].code, 2)
})

test('a POST upgrade with a sid gets 405', async () => {
  const context = await listen()
  const { peer } = await openPolling(context)
  const answer = await refused(context, path(context, { ...websocket, sid: peer.sid }), { method: 'POST' })
  assert.equal(answer.statusLine, 'HTTP/1.1 405 Method Not Allowed')
  assert.equal(answer.body, 'Invalid HTTP method')
  assert.deepEqual(answer.errors, [])
})

test('after Server.close() an upgrade gets 503', async () => {
  const context = await listen()
  context.engine.close()
  const answer = await refused(context, path(context, websocket))
  assert.equal(answer.statusLine, 'HTTP/1.1 503 Service Unavailable')
})

test('Upgrade without Connection: Upgrade is an ordinary request', async () => {
  const context = await listen()
  const errors = record(context.engine, 'connection_error', (_, { code, context: { name } }) => [code, name])
  const peer = await RawPeer.connect(context.port)
  peer.write(upgradeRequest(path(context, websocket), { headers: { Connection: 'close' } }))
  await peer.end()
  assert.match(peer.text, /^HTTP\/1\.1 400 Bad Request\r\nContent-Type: application\/json/)
  assert.deepEqual(errors, [[3, 'TRANSPORT_HANDSHAKE_ERROR']])
})

test('a polling request with Connection: Upgrade to h2c is refused as an upgrade', async () => {
  const context = await listen()
  const answer = await refused(context, path(context), { headers: { Upgrade: 'h2c' } })
  assert.equal(answer.body, 'Invalid Upgrade header')
})

test('an upgrade with transport=polling is closed without opening a session', async () => {
  const context = await listen()
  const silence = never(context.engine, 'connection', 50)
  const peer = await RawWebSocket.open(context.port, path(context))
  assert.equal(peer.status, 101)
  const { opcode, payload } = await peer.frame()
  assert.deepEqual([opcode, payload.length], [8, 0])
  peer.sendClose()
  await peer.end()
  await silence
})

test('an upgrade with an unknown sid gets a raw 400', async () => {
  const context = await listen()
  const answer = await refused(context, path(context, { ...websocket, sid: 'unknown' }))
  assert.equal(answer.body, 'Session ID unknown')
  assert.equal(answer.errors[0][1].code, 1)
})

test('an Upgrade header hidden behind 2000 others is missed or refused, and the server lives on', async () => {
  const context = await listen()
  const peer = await RawPeer.connect(context.port)
  peer.write(
    `GET ${path(context, websocket)} HTTP/1.1\r\nHost: x\r\n${'a:1\r\n'.repeat(2100)}` +
      `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n\r\n`,
  )
  await peer.end()
  // Node counts headers since 22.23
  assert.match(peer.text, /^HTTP\/1\.1 (400 Bad Request\r\n[^]*\r\n\r\nInvalid Upgrade header$|431 )/)
  const { peer: next } = await openWebSocket(context)
  assert.equal(next.status, 101)
})

test('a subprotocol header of 8 KB of spaces is refused quickly', async () => {
  const context = await listen()
  const headers = { 'Sec-WebSocket-Protocol': `a${' '.repeat(8000)}b` }
  const started = Date.now()
  const answer = await refused(context, path(context, websocket), { headers })
  assert.equal(answer.body, 'Invalid Sec-WebSocket-Protocol header')
  assert.ok(Date.now() - started < 4000)
})

test('an extension named like a member of Object.prototype does no harm', async () => {
  const headers = { 'Sec-WebSocket-Extensions': 'constructor, __proto__; toString=1' }
  const context = await listen({ perMessageDeflate: true })
  const peer = await RawWebSocket.open(context.port, path(context, websocket), { headers })
  assert.equal(peer.status, 101)
  assert.equal(peer.headers['sec-websocket-extensions'], undefined)
})

test('no websocket in the transports: an upgrade is an ordinary request with an unknown transport', async () => {
  const context = await listen({ transports: ['polling'] })
  const errors = record(context.engine, 'connection_error', (_, { code }) => code)
  const peer = await RawPeer.connect(context.port)
  peer.write(upgradeRequest(path(context, websocket)))
  await peer.match(/^HTTP\/1\.1 400 Bad Request[^]*"Transport unknown"/)
  assert.deepEqual(errors, [0])
})
