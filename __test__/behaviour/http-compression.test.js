'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const zlib = require('node:zlib')
const {
  RawPeer,
  eventually,
  headerNames,
  improvement,
  listen,
  once,
  openPolling,
  path,
  record,
  request,
} = require('../support')

const UNPACK = { gzip: zlib.gunzipSync, deflate: zlib.inflateSync }

/** A message whose packet has so many bytes. */
const message = (length) => 'x'.repeat(length - 1)

/** Polls for a message of so many bytes, type digit included. */
async function polled({ options = {}, accept = 'gzip', length = 5000, send = {} }) {
  const { peer, socket } = await openPolling(await listen(options))
  socket.send(message(length), send)
  const response = await peer.poll(accept === null ? {} : { 'Accept-Encoding': accept })
  const encoding = response.headers['content-encoding']
  const body = encoding ? UNPACK[encoding](response.buffer).toString() : response.body
  assert.equal(body, `4${message(length)}`)
  return { response, encoding, peer, socket }
}

for (const [length, encoding] of [
  [1023, undefined],
  [1024, 'gzip'],
]) {
  test(`by default a payload of ${length} bytes is ${encoding ? 'compressed' : 'sent as it is'}`, async () => {
    assert.equal((await polled({ length })).encoding, encoding)
  })
}

test('a compressed response is chunked and has no length', async () => {
  const { response } = await polled({})
  assert.deepEqual(headerNames(response).slice(0, 3), ['Content-Type', 'Content-Encoding', 'cache-control'])
  assert.equal(response.headers['content-length'], undefined)
  assert.equal(response.headers['transfer-encoding'], 'chunked')
  assert.equal(response.headers.vary, undefined)
})

for (const [accept, encoding] of [
  ['gzip, deflate, br', 'gzip'],
  ['deflate, gzip', 'deflate'],
  ['deflate;q=1, gzip;q=0.5', 'deflate'],
  ['gzip;q=0.5, deflate;q=0.5', 'gzip'],
  ['*', 'gzip'],
  ['gzip;q=0, *', 'deflate'],
  ['GZIP', 'gzip'],
  ['deflate', 'deflate'],
  ['br', undefined],
  ['identity', undefined],
  ['gzip;q=0', undefined],
  ['gzip;q=abc', undefined],
  ['*;q=0', undefined],
  ['', undefined],
  [null, undefined],
]) {
  test(`Accept-Encoding ${JSON.stringify(accept)} gets ${encoding ?? 'the payload as it is'}`, async () => {
    assert.equal((await polled({ accept })).encoding, encoding)
  })
}

for (const [what, options, length, encoding] of [
  ['httpCompression: false', { httpCompression: false }, 5000, undefined],
  ['httpCompression: true', { httpCompression: true }, 6, 'gzip'],
  ['options without a threshold', { httpCompression: { level: 1 } }, 6, 'gzip'],
  ['a threshold of 10', { httpCompression: { threshold: 10 } }, 9, undefined],
  ['a threshold of 10, reached', { httpCompression: { threshold: 10 } }, 10, 'gzip'],
  ['level 0', { httpCompression: { level: 0 } }, 2000, 'gzip'],
  ['level 9 and a small window', { httpCompression: { level: 9, windowBits: 9, memLevel: 1 } }, 50000, 'gzip'],
]) {
  test(`with ${what} a payload of ${length} bytes is ${encoding ? 'compressed' : 'sent as it is'}`, async () => {
    assert.equal((await polled({ options, length })).encoding, encoding)
  })
}

test('the level is heeded', async () => {
  const sizes = []
  for (const level of [0, 9]) {
    const { response } = await polled({ options: { httpCompression: { level } }, length: 20000 })
    sizes.push(response.buffer.length)
  }
  assert.ok(sizes[0] > 20000 && sizes[1] < 1000, String(sizes))
})

test('a message sent with compress: false is sent as it is', async () => {
  assert.equal((await polled({ send: { compress: false } })).encoding, undefined)
})

test('one message to be compressed is enough for the whole payload', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.send(message(2000), { compress: false })
  socket.send('a')
  const response = await peer.poll({ 'Accept-Encoding': 'gzip' })
  assert.equal(response.headers['content-encoding'], 'gzip')
})

test('a ping counts as a packet to be compressed', async () => {
  const { peer } = await openPolling(await listen({ httpCompression: true, pingInterval: 50 }))
  const response = await peer.poll({ 'Accept-Encoding': 'gzip' })
  assert.equal(response.headers['content-encoding'], 'gzip')
  assert.equal(zlib.gunzipSync(response.buffer).toString(), '2')
})

test('the noop of a probe is not compressed, nor is the close packet', async () => {
  const { openProbing } = require('../support')
  const { polling, socket } = await openProbing(await listen({ httpCompression: true }))
  const noop = await polling.poll({ 'Accept-Encoding': 'gzip' })
  assert.deepEqual([noop.body, noop.headers['content-encoding']], ['6', undefined])
  const { response } = await polling.start({ headers: { 'Accept-Encoding': 'gzip' } })
  socket.close()
  assert.deepEqual([(await response).body, (await response).headers['content-encoding']], ['1', undefined])
})

test('a handshake with a large initial packet is compressed', async () => {
  const context = await listen({ initialPacket: message(3000) })
  const headers = { 'Accept-Encoding': 'gzip' }
  const response = await request({ port: context.port, path: path(context), headers })
  assert.equal(response.headers['content-encoding'], 'gzip')
  assert.match(zlib.gunzipSync(response.buffer).toString(), /^0\{.*\}\x1e4x+$/)
  assert.equal(context.engine.clientsCount, 1)
})

test('POST responses are never compressed', async () => {
  const { peer } = await openPolling(await listen({ httpCompression: true }))
  const response = await peer.post('4a', { 'Accept-Encoding': 'gzip' })
  assert.deepEqual([response.body, response.headers['content-encoding']], ['ok', undefined])
})

test('a JSONP response is compressed with its script', async () => {
  const { peer, socket } = await openJsonp(await listen())
  socket.send(message(3000))
  const response = await peer.poll({ 'Accept-Encoding': 'deflate' })
  assert.match(zlib.inflateSync(response.buffer).toString(), /^___eio\[3\]\("4x+"\);$/)
})

async function openJsonp(context) {
  const { PollingPeer } = require('../support')
  const connected = once(context.engine, 'connection')
  const response = await request({ port: context.port, path: path(context, { j: '3' }) })
  const open = JSON.parse(/^___eio\[3\]\((".*")\);$/.exec(response.body)[1])
  const peer = new PollingPeer(context, { j: '3' }, { body: open })
  return { peer, socket: (await connected)[0] }
}

test('headers and initial_headers are emitted at once, before the payload is compressed', async () => {
  const { peer, socket } = await openPolling(await listen())
  const { response } = await peer.start({ headers: { 'Accept-Encoding': 'gzip' } })
  let added = false
  socket.server.on('headers', (headers) => {
    added = true
    headers['X-Mine'] = headers['Content-Encoding']
  })
  socket.send(message(2000))
  assert.equal(added, true)
  assert.equal((await response).headers['x-mine'], 'gzip')
})

test('drain precedes the callbacks, which wait until the compressed response is written', async () => {
  const { peer, socket } = await openPolling(await listen())
  const log = record(socket, ['flush', 'drain'], (event) => event)
  socket.transport.on('drain', () => log.push('transport drain'))
  const { response } = await peer.start({ headers: { 'Accept-Encoding': 'gzip' } })
  const called = new Promise((resolve) => {
    socket.send(message(2000), () => {
      log.push('callback')
      resolve()
    })
  })
  assert.deepEqual(log, ['flush', 'drain'])
  assert.equal(socket.transport.writable, false)
  await called
  await response
  await eventually(() => log, ['flush', 'drain', 'callback', 'transport drain'])
})

test('a poll that follows a compressed response is served', async () => {
  const { peer, socket } = await openPolling(await listen())
  for (const size of [2000, 200000, 5000]) {
    socket.send(message(size))
    const response = await peer.poll({ 'Accept-Encoding': 'gzip' })
    assert.equal(zlib.gunzipSync(response.buffer).length, size)
  }
  assert.equal(socket.readyState, 'open')
})

test('close() right after a message that is compressed still delivers it', async () => {
  const { peer, socket } = await openPolling(await listen())
  const { response } = await peer.start({ headers: { 'Accept-Encoding': 'gzip' } })
  socket.send(message(3000))
  socket.close()
  assert.equal(zlib.gunzipSync((await response).buffer).length, 3000)
})

test('close(true) right after a message that is compressed lets the response finish', async () => {
  const { peer, socket } = await openPolling(await listen())
  const { response } = await peer.start({ headers: { 'Accept-Encoding': 'gzip' } })
  const closed = once(socket, 'close')
  socket.send(message(3000))
  socket.close(true)
  assert.deepEqual(await closed, ['forced close', undefined])
  assert.equal(zlib.gunzipSync((await response).buffer).length, 3000)
})

test('the callback of a message runs once when the client aborts the compressed response', async () => {
  const { peer, socket } = await openPolling(await listen())
  const { response, req } = await peer.start({ headers: { 'Accept-Encoding': 'gzip' } })
  response.catch(() => {})
  let calls = 0
  const called = new Promise((resolve) => {
    socket.send(require('node:crypto').randomBytes(3e6), () => {
      calls++
      resolve()
    })
  })
  req.on('response', () => req.destroy())
  await called
  await new Promise(setImmediate)
  assert.equal(calls, 1)
})

for (const [kind, headers] of [
  ['a compressed', { 'Accept-Encoding': 'gzip' }],
  ['an uncompressed', {}],
]) {
  improvement(
    'B-7.6: packets lost in silence',
    `a client that vanishes while ${kind} response is written is a transport error`,
    async () => {
      const context = await listen({ maxHttpBufferSize: 1e8 })
      const { peer, socket } = await openPolling(context)
      const { response, req } = await peer.start({ headers })
      response.catch(() => {})
      const closed = once(socket, 'close')
      socket.send(require('node:crypto').randomBytes(8e6))
      req.on('response', () => req.destroy())
      const [reason, description] = await closed
      assert.deepEqual([reason, description.message], ['transport error', 'poll connection closed prematurely'])
      assert.equal(description.type, 'TransportError')
      assert.equal(context.engine.clientsCount, 0)
    },
  )

  improvement(
    'B-7.6: packets lost in silence',
    `a client that vanishes while ${kind} response waits behind another one is a transport error`,
    async () => {
      const context = await listen()
      const { peer, socket } = await openPolling(context)
      const raw = await RawPeer.connect(context.port)
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
      raw.write(
        `GET /unanswered HTTP/1.1\r\nHost: x\r\n\r\nGET ${peer.path} HTTP/1.1\r\nHost: x\r\n${lines.join('')}\r\n`,
      )
      await eventually(() => socket.transport.writable, true)
      socket.send('x'.repeat(2000))
      await eventually(() => socket.bufferedAmount, 2001)
      const closed = once(socket, 'close')
      raw.reset()
      const [reason, description] = await closed
      assert.deepEqual([reason, description.message], ['transport error', 'poll connection closed prematurely'])
      assert.equal(socket.bufferedAmount, 0)
    },
  )
}

test('an HTTP/1.0 client gets a compressed response until the end of the connection', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  socket.send(message(2000))
  const raw = await RawPeer.connect(context.port)
  raw.write(`GET ${peer.path} HTTP/1.0\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n`)
  await raw.end()
  const [head] = raw.text.split('\r\n\r\n')
  assert.match(head, /Content-Encoding: gzip/)
  assert.doesNotMatch(head, /chunked/i)
  assert.equal(zlib.gunzipSync(raw.bytes.subarray(head.length + 4)).length, 2000)
})
