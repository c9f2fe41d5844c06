'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { RawPeer, headerNames, listen, never, once, openPolling, pending } = require('../support')

test('a poll stays pending until there is a packet', async () => {
  const { peer, socket } = await openPolling(await listen())
  const { response } = await peer.pendingPoll()
  assert.equal(await pending(response), true)
  socket.send('hello')
  assert.equal((await response).body, '4hello')
})

test('a poll is answered at once with the packets that wait for it', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.send('a')
  socket.send('b')
  assert.equal((await peer.poll()).body, '4a\x1e4b')
})

test('packets sent in the connection handler go out with the first poll, not with the handshake', async () => {
  const context = await listen()
  context.engine.on('connection', (socket) => socket.send('early'))
  const { peer } = await openPolling(context)
  assert.equal(peer.response.body.startsWith('0{'), true)
  assert.equal(peer.response.body.includes('early'), false)
  assert.equal((await peer.poll()).body, '4early')
})

test('the transport is writable while a poll is pending and only then', async () => {
  const { peer, socket } = await openPolling(await listen())
  assert.equal(socket.transport.writable, false)
  await peer.pendingPoll()
  assert.equal(socket.transport.writable, true)
  socket.send('a')
  assert.equal(socket.transport.writable, false)
})

test('a text poll response has status 200, its type, its length and forbids caching', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.send('€')
  const response = await peer.poll()
  assert.equal(response.status, 200)
  assert.equal(response.headers['content-type'], 'text/plain; charset=UTF-8')
  assert.equal(response.headers['content-length'], '4')
  assert.equal(response.headers['cache-control'], 'no-store')
  assert.equal(response.headers['set-cookie'], undefined)
})

test('the headers of a poll response come in the order and case of the original', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  context.engine.on('headers', (headers) => (headers['X-Added'] = '1'))
  socket.send('a')
  const names = headerNames(await peer.poll({ 'User-Agent': 'Trident/7' }))
  assert.deepEqual(names.slice(0, 5), [
    'Content-Type',
    'Content-Length',
    'X-XSS-Protection',
    'cache-control',
    'X-Added',
  ])
})

for (const [agent, expected] of [
  ['Mozilla/4.0 (compatible;MSIE 8.0)', '0'],
  ['Mozilla/5.0 (Windows NT 6.3; Trident/7.0; rv:11.0)', '0'],
  ['Mozilla/4.0 (compatible; MSIE 8.0)', undefined],
  ['Mozilla/5.0 (X11) Firefox/130.0', undefined],
]) {
  test(`a poll by "${agent}" is answered with X-XSS-Protection: ${expected}`, async () => {
    const { peer, socket } = await openPolling(await listen())
    socket.send('a')
    assert.equal((await peer.poll({ 'User-Agent': agent })).headers['x-xss-protection'], expected)
  })
}

test('binary travels as base64 in a text response', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.send(Buffer.from([1, 2, 3]))
  const response = await peer.poll()
  assert.equal(response.body, 'bAQID')
  assert.equal(response.headers['content-type'], 'text/plain; charset=UTF-8')
})

test('an overlapping poll closes the session with a transport error', async () => {
  const { peer, socket } = await openPolling(await listen())
  await peer.pendingPoll()
  const closed = once(socket, 'close')
  peer.poll()
  const [reason, description] = await closed
  assert.equal(reason, 'transport error')
  assert.ok(description instanceof Error)
  assert.equal(description.message, 'overlap from client')
  assert.equal(description.type, 'TransportError')
  assert.equal(description.description, undefined)
})

test('of two overlapping polls the first gets a close packet and the second a bare 400', async () => {
  const { peer } = await openPolling(await listen())
  const { response } = await peer.pendingPoll()
  const second = await peer.poll()
  const first = await response
  assert.deepEqual([first.status, first.body], [200, '1'])
  assert.deepEqual([second.status, second.body], [400, ''])
  assert.equal(second.headers['content-type'], undefined)
})

test('two pipelined polls overlap', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const closed = once(socket, 'close')
  const raw = await RawPeer.connect(context.port)
  const head = `GET ${peer.path} HTTP/1.1\r\nHost: x\r\n\r\n`
  raw.write(head + head)
  assert.equal((await closed)[0], 'transport error')
  await raw.match(/^HTTP\/1\.1 200 OK[^]*\r\n\r\n1HTTP\/1\.1 400 Bad Request/)
})

test('a poll after another one has been answered is no overlap', async () => {
  const { peer, socket } = await openPolling(await listen())
  for (const text of ['a', 'b', 'c']) {
    const { response } = await peer.pendingPoll()
    socket.send(text)
    assert.equal((await response).body, `4${text}`)
  }
  assert.equal(socket.readyState, 'open')
})

for (const [how, abort] of [
  ['resets its connection', (raw) => raw.reset()],
  ['ends its side of the connection', (raw) => raw.socket.end()],
]) {
  test(`the session closes when the client ${how} during a poll`, async () => {
    const context = await listen()
    const { peer, socket } = await openPolling(context)
    const raw = await RawPeer.connect(context.port)
    const arrived = once(context.server, 'request')
    raw.write(`GET ${peer.path} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await arrived
    const closed = once(socket, 'close')
    abort(raw)
    const [reason, description] = await closed
    assert.equal(reason, 'transport error')
    assert.equal(description.message, 'poll connection closed prematurely')
    assert.equal(description.type, 'TransportError')
    assert.equal(context.engine.clientsCount, 0)
  })
}

test("the end of an answered poll's connection does not disturb the session", async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.send('a')
  await peer.poll() // on a connection of its own, closed after the response
  await never(socket, 'close', 50)
  assert.equal(socket.readyState, 'open')
})

test('a body on a poll is ignored', async () => {
  const { peer, socket } = await openPolling(await listen())
  const messages = never(socket, 'packet', 50)
  const { response } = await peer.start({ headers: { 'Content-Length': '6' }, body: '4hello' })
  await messages
  assert.equal(await pending(response, 20), true)
  socket.send('x')
  assert.equal((await response).body, '4x')
})

test('a poll over HTTP/1.0 is served and its connection closed', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  socket.send('old')
  const raw = await RawPeer.connect(context.port)
  raw.write(`GET ${peer.path} HTTP/1.0\r\n\r\n`)
  await raw.end()
  assert.match(raw.text, /^HTTP\/1\.1 200 OK\r\n/)
  assert.match(raw.text, /Connection: close\r\n/)
  assert.match(raw.text, /\r\n\r\n4old$/)
})

test('several polls share a keep-alive connection', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const raw = await RawPeer.connect(context.port)
  for (const text of ['one', 'two']) {
    socket.send(text)
    raw.write(`GET ${peer.path} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await raw.match(new RegExp(`\r\n\r\n4${text}$`))
  }
})

test('a large payload is not split by maxHttpBufferSize', async () => {
  const { peer, socket } = await openPolling(await listen({ maxHttpBufferSize: 100 }))
  for (let i = 0; i < 1000; i++) socket.send(`message ${i}`)
  const { body } = await peer.poll()
  const packets = body.split('\x1e')
  assert.equal(packets.length, 1000)
  assert.equal(packets[999], '4message 999')
})

test('a record separator inside a message is not escaped', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.send('x\x1ey')
  assert.equal((await peer.poll()).body, '4x\x1ey')
})

test('a small body is not compressed, a body of 1024 bytes is', async () => {
  const { peer, socket } = await openPolling(await listen())
  const accept = { 'Accept-Encoding': 'gzip, deflate' }
  socket.send('a'.repeat(1022))
  assert.equal((await peer.poll(accept)).headers['content-encoding'], undefined)
  socket.send('a'.repeat(1023))
  const response = await peer.poll(accept)
  assert.equal(response.headers['content-encoding'], 'gzip')
  assert.equal(require('node:zlib').gunzipSync(response.buffer).toString(), `4${'a'.repeat(1023)}`)
})

test('httpCompression: false never compresses', async () => {
  const { peer, socket } = await openPolling(await listen({ httpCompression: false }))
  socket.send('a'.repeat(5000))
  const response = await peer.poll({ 'Accept-Encoding': 'gzip' })
  assert.equal(response.headers['content-encoding'], undefined)
  assert.equal(response.body.length, 5001)
})
