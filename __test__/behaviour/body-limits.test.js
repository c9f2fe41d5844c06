'use strict'

// What a POST may take: `maxHttpBufferSize` bytes, `maxBufferedChunks` pieces, `httpRequestBodyTimeout` ms. One that takes more
// is refused, and with it its session ends: at every door, in both protocols.

const assert = require('node:assert/strict')
const http = require('node:http')
const https = require('node:https')
const tls = require('node:tls')
const { test } = require('node:test')
const { WebSocketServer } = require('ws')
const {
  RawPeer,
  bind,
  defer,
  engine,
  improvement,
  listen,
  listenDirectly,
  listenNatively,
  never,
  once,
  openPolling,
  openProbing,
  path,
  pending,
  record,
  upstream,
} = require('../support')
const { listenOnUws, skip: withoutUws } = require('../support/userver')
const { key, cert } = require('../fixtures/tls')

/** An engine that is given its requests. */
async function listenByHand(opts) {
  const server = new engine.Server(opts)
  const port = await bind(http.createServer((req, res) => server.handleRequest(req, res)))
  defer(() => server.close())
  return { engine: server, port, path: '/engine.io/' }
}

const DOORS = {
  'attach()': { serve: listen },
  'listen()': { serve: listenDirectly },
  'handleRequest()': { serve: listenByHand },
  https: { serve: (opts) => listen(opts, https.createServer({ key, cert })), secure: true },
  'a wsEngine': { serve: (opts) => listen({ ...opts, wsEngine: WebSocketServer }) },
  uServer: { serve: listenOnUws, skip: withoutUws, keepsConnections: true },
  'the native listener': { serve: listenNatively, skip: upstream && 'is ours alone' },
}

async function connect({ port }, secure) {
  if (!secure) return RawPeer.connect(port)
  const socket = tls.connect({ host: '127.0.0.1', port, ca: cert, servername: 'localhost' })
  await once(socket, 'secureConnect')
  return new RawPeer(socket)
}

/** A polling session whose client writes its requests itself: `{ socket, target, send }`. */
async function open({ serve, secure }, EIO, opts) {
  const context = await serve({ allowEIO3: true, ...opts })
  const connected = once(context.engine, 'connection')
  const send = async (request) => {
    const peer = await connect(context, secure)
    peer.write(request)
    return peer
  }
  const opened = await send(`GET ${path(context, { EIO })} HTTP/1.1\r\nHost: x\r\n\r\n`)
  const [, sid] = await opened.match(/"sid":"([^"]+)"/)
  const [socket] = await connected
  return { context, socket, target: path(context, { EIO, sid }), send }
}

const withLength = (target, length, body) =>
  `POST ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n${body}`
const chunk = (data) => `${data.length.toString(16)}\r\n${data}\r\n`
const inChunks = (target, chunks) =>
  `POST ${target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${chunks.map(chunk).join('')}`

/** What is refused: options, request, status and text of the answer, and what the session's end says. */
const REFUSED = {
  'a body over maxHttpBufferSize that is there': [
    { maxHttpBufferSize: 10 },
    (target) => withLength(target, 11, '4'.repeat(11)),
    '413 Payload Too Large',
    'payload too large',
  ],
  'a body over maxHttpBufferSize before all of it is there': [
    { maxHttpBufferSize: 10 },
    (target) => withLength(target, 1000, '4'.repeat(11)),
    '413 Payload Too Large',
    'payload too large',
  ],
  'a chunked body over maxHttpBufferSize': [
    { maxHttpBufferSize: 10 },
    (target) => inChunks(target, ['4'.repeat(6), '4'.repeat(6)]),
    '413 Payload Too Large',
    'payload too large',
  ],
  'a body of more chunks than maxBufferedChunks': [
    { maxBufferedChunks: 3 },
    (target) => inChunks(target, ['4', 'a', 'b', 'c']),
    '413 Payload Too Large',
    'too many chunks',
  ],
  'a body that does not come within httpRequestBodyTimeout': [
    { httpRequestBodyTimeout: 50 },
    (target) => withLength(target, 100, '4a'),
    '408 Request Timeout',
    'http request timeout',
  ],
  'a body of which nothing comes': [
    { httpRequestBodyTimeout: 50 },
    (target) => withLength(target, 100, ''),
    '408 Request Timeout',
    'http request timeout',
  ],
}

for (const [door, { skip = false, keepsConnections = false, ...way }] of Object.entries(DOORS)) {
  for (const EIO of ['4', '3']) {
    for (const [what, [opts, request, answer, message]] of Object.entries(REFUSED)) {
      test(`${door}, protocol ${EIO}: ${what} gets ${answer}, and the session ends`, { skip }, async () => {
        const { context, socket, target, send } = await open(way, EIO, opts)
        const poll = await send(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`)
        while (!socket.transport.writable) await new Promise(setImmediate)
        const packets = record(socket, ['packet', 'message'])
        const errors = record(socket.transport, 'error', (event, error) => error.message)
        const closed = once(socket, 'close')
        const post = await send(request(target))
        await post.match(new RegExp(`^HTTP/1\\.1 ${answer}\r\n[^]*\r\n\r\n`))
        const [reason, description] = await closed
        assert.deepEqual(
          [reason, description.message, description.type],
          ['transport error', message, 'TransportError'],
        )
        assert.deepEqual(packets, [])
        assert.deepEqual([socket.readyState, context.engine.clientsCount], ['closed', 0])
        await poll.match(EIO === '4' ? /\r\n\r\n1$/ : /1:1$/)
        if (!keepsConnections) await post.end()
        assert.doesNotMatch(post.text, /content-type/i)
        await new Promise(setImmediate)
        assert.deepEqual(errors, [message])
        const next = await send(withLength(target, 3, '1:4'))
        await next.match(/^HTTP\/1\.1 400 [^]*\{"code":1,"message":"Session ID unknown"\}/)
      })
    }
  }

  test(`${door}: a body at its limits is taken`, { skip }, async () => {
    // the end of a chunked body counts as a chunk for uServer of the original
    const opts = { maxHttpBufferSize: 4, maxBufferedChunks: keepsConnections ? 5 : 4, httpRequestBodyTimeout: 5000 }
    const { socket, target, send } = await open(way, '4', opts)
    const message = once(socket, 'message')
    const post = await send(`${inChunks(target, ['4', 'a', 'b', 'c'])}0\r\n\r\n`)
    await post.match(/^HTTP\/1\.1 200 [^]*\r\n\r\nok$/)
    assert.deepEqual(await message, ['abc'])
    assert.equal(socket.readyState, 'open')
  })

  test(`${door}: the time of a body is over with its end`, { skip }, async () => {
    const { socket, target, send } = await open(way, '4', { httpRequestBodyTimeout: 250 })
    const messages = record(socket, 'message', (event, data) => data)
    for (const text of ['a', 'b']) {
      const post = await send(withLength(target, 2, '4'))
      post.write(text)
      await post.match(/^HTTP\/1\.1 200 [^]*\r\n\r\nok$/)
    }
    await never(socket, 'close', 350)
    assert.deepEqual(messages, ['a', 'b'])
  })
}

improvement(
  'the end of a chunked body counts as a chunk',
  'uServer: as many chunks as maxBufferedChunks are taken',
  async (t) => {
    if (withoutUws) return t.skip(withoutUws)
    const { socket, target, send } = await open({ serve: listenOnUws }, '4', { maxBufferedChunks: 4 })
    const message = once(socket, 'message')
    const post = await send(`${inChunks(target, ['4', 'a', 'b', 'c'])}0\r\n\r\n`)
    await post.match(/^HTTP\/1\.1 200 [^]*\r\n\r\nok$/)
    assert.deepEqual(await message, ['abc'])
  },
)

test('the connection of a refused body serves nothing that came behind it', async () => {
  const { socket, target, send } = await open({ serve: listen }, '4', { maxHttpBufferSize: 10 })
  const messages = record(socket, 'message')
  const post = await send(withLength(target, 50, '4'.repeat(50)) + withLength(target, 2, '4x'))
  await post.end()
  assert.equal(post.text.match(/HTTP\/1\.1/g).length, 1)
  assert.deepEqual(messages, [])
})

test('when the session of a refused body tells of its end, its request has been destroyed', async () => {
  const { socket, target, send } = await open({ serve: listen }, '4', { maxHttpBufferSize: 10 })
  const { transport } = socket
  const told = new Promise((resolve) => {
    socket.on('close', () => resolve([transport.dataReq.destroyed, transport.dataRes.headersSent]))
  })
  await send(withLength(target, 11, '4'.repeat(11)))
  assert.deepEqual(await told, [true, true])
  assert.deepEqual([transport.dataReq, transport.dataRes], [null, null])
})

test('a refused body ends a session that is closing, with its error', async () => {
  const { socket, target, send } = await open({ serve: listen }, '4', { maxHttpBufferSize: 10 })
  const closed = once(socket, 'close')
  socket.send('a')
  socket.close()
  assert.equal(socket.readyState, 'closing')
  const post = await send(withLength(target, 11, '4'.repeat(11)))
  await post.match(/^HTTP\/1\.1 413 /)
  const [reason, { message }] = await closed
  assert.deepEqual([reason, message], ['transport error', 'payload too large'])
})

test('while a session probes a WebSocket, a refused body ends both', async () => {
  const { peer, polling, socket } = await openProbing(await listen({ maxHttpBufferSize: 10 }))
  const closed = once(socket, 'close')
  assert.equal((await polling.post('4'.repeat(11))).status, 413)
  assert.equal((await closed)[1].message, 'payload too large')
  assert.equal((await peer.closeFrame()).opcode, 8)
})

test("the limits are those of the transport, whatever becomes of the server's options", async () => {
  const context = await listen({ maxBufferedChunks: 3 })
  const { peer, socket } = await openPolling(context)
  context.engine.opts.maxHttpBufferSize = 1
  assert.equal((await peer.post('4abc')).status, 200)
  socket.transport.opts.maxHttpBufferSize = 3
  assert.equal((await peer.post('4ab')).status, 200)
  assert.equal((await peer.post('4abc')).status, 413)
})

test("a timeout that is no number of milliseconds is one of 1 ms, as timers of Node's have it", async () => {
  for (const httpRequestBodyTimeout of [undefined, 0, Infinity, 'soon']) {
    const { peer } = await openPolling(await listen({ httpRequestBodyTimeout }))
    const { response } = await peer.pendingPost('4a')
    assert.equal((await response).status, 408, String(httpRequestBodyTimeout))
  }
})

test('a limit that is no number is none', async () => {
  for (const limit of [undefined, NaN, Infinity, 'many']) {
    const { peer, socket } = await openPolling(await listen({ maxBufferedChunks: limit, maxHttpBufferSize: limit }))
    const message = once(socket, 'message')
    const { response, req } = await peer.pendingPost('4a')
    req.end('b')
    assert.equal((await response).status, 200, String(limit))
    assert.deepEqual(await message, ['ab'])
  }
})

test('30 s and 10,000 chunks are the defaults', async () => {
  const { peer, socket } = await openPolling(await listen())
  const { httpRequestBodyTimeout, maxBufferedChunks } = socket.transport.opts
  assert.deepEqual([httpRequestBodyTimeout, maxBufferedChunks], [30000, 10000])
  const { response } = await peer.pendingPost('4a')
  assert.equal(await pending(response, 50), true)
  assert.equal(socket.readyState, 'open')
})

test('no timer of a body is left when its client goes away', async () => {
  const { peer, socket } = await openPolling(await listen({ httpRequestBodyTimeout: 250 }))
  const errors = record(socket.transport, 'error', (event, error) => error.message)
  const closed = once(socket, 'close')
  const { req } = await peer.pendingPost('4a')
  req.destroy()
  assert.equal((await closed)[1].message, 'data request connection closed prematurely')
  await never(socket.transport, 'error', 350)
  assert.deepEqual(errors, ['data request connection closed prematurely'])
})

improvement(
  'a middleware that has set an encoding makes every POST an uncaught exception',
  'a body whose encoding a middleware has set is taken',
  async () => {
    for (const encoding of ['utf8', 'latin1', 'base64']) {
      const context = await listen()
      context.engine.use((req, res, next) => {
        if (req.method === 'POST') req.setEncoding(encoding)
        next()
      })
      const { peer, socket } = await openPolling(context)
      const message = once(socket, 'message')
      assert.equal((await peer.post('4€uro')).status, 200)
      assert.deepEqual(await message, ['€uro'])
    }
  },
)
