'use strict'

// The servers and connections that engines are attached to.

const assert = require('node:assert/strict')
const { mkdtempSync, rmSync } = require('node:fs')
const http = require('node:http')
const http2 = require('node:http2')

const os = require('node:os')
const nodePath = require('node:path')
const { test } = require('node:test')
const WebSocket = require('ws')
const {
  bind,
  deadline,
  defer,
  engine,
  eventually,
  headerNames,
  improvement,
  listen,
  once,
  openPolling,
  path,
  record,
  request,
  RawPeer,
  RawWebSocket,
  runFixture,
  upstream,
} = require('../support')
const tls = require('../fixtures/tls')

// ---- what an accepted connection costs -----------------------------------------------------------

const skip = upstream && 'costs, which the original leaves as they are'

test(
  "the options of accepted connections have one hidden class, and V8's inline caches know them",
  { skip },
  async () => {
    const { code, lines, stderr } = await runFixture('hidden-classes')
    assert.equal(code, 0, stderr)
    assert.deepEqual(lines, [{ same: Array(40).fill(true) }])
  },
)

// ---- UNIX sockets --------------------------------------------------------------------------------

/** An engine on a UNIX socket: `{ engine, socketPath }`. */
async function listenUnix(options) {
  const folder = mkdtempSync(nodePath.join(os.tmpdir(), 'eio-'))
  const socketPath = nodePath.join(folder, 's')
  const server = http.createServer()
  const eio = engine.attach(server, options)
  server.listen(socketPath)
  await once(server, 'listening')
  defer(() => {
    eio.close()
    server.closeAllConnections()
    server.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return { engine: eio, server, socketPath }
}

const POLLING = '/engine.io/?EIO=4&transport=polling'

test('polling works over a UNIX socket, without a remote address', async () => {
  const context = await listenUnix()
  const connected = once(context.engine, 'connection')
  const response = await request({ socketPath: context.socketPath, path: POLLING })
  const [socket] = await connected
  assert.equal(socket.remoteAddress, undefined)
  const { sid } = JSON.parse(response.body.slice(1))
  const message = once(socket, 'message')
  await request({ socketPath: context.socketPath, path: `${POLLING}&sid=${sid}`, method: 'POST', body: '4a' })
  assert.deepEqual(await message, ['a'])
  socket.send('b')
  assert.equal((await request({ socketPath: context.socketPath, path: `${POLLING}&sid=${sid}` })).body, '4b')
})

test('a websocket works over a UNIX socket', async () => {
  const context = await listenUnix()
  const connected = once(context.engine, 'connection')
  const ws = new WebSocket(`ws+unix://${context.socketPath}:/engine.io/?EIO=4&transport=websocket`)
  defer(() => ws.terminate())
  const messages = []
  ws.on('message', (data) => messages.push(data.toString()))
  const [socket] = await connected
  const message = once(socket, 'message')
  await once(ws, 'open')
  ws.send('4€')
  assert.deepEqual(await message, ['€'])
  const large = 'x'.repeat(300000)
  socket.send(large)
  while (messages.length < 2) await once(ws, 'message')
  assert.equal(messages[1], `4${large}`)
  const closed = once(socket, 'close')
  ws.close()
  assert.deepEqual(await closed, ['transport close', undefined])
})

// ---- addresses -----------------------------------------------------------------------------------

/** Connects a WebSocket; resolves to both ends of its connection. */
async function connect(context) {
  const connected = once(context.engine, 'connection')
  const ws = new WebSocket(`ws://127.0.0.1:${context.port}${path(context, { transport: 'websocket' })}`)
  defer(() => ws.terminate())
  const opened = once(ws, 'open')
  const [{ request: req }] = await connected
  const early = req.socket.localPort
  await opened
  return { stream: req.socket, client: ws._socket, early }
}

test("both ends of a websocket session's connection can be read", async () => {
  const context = await listen()
  const { stream, client, early } = await connect(context)
  assert.deepEqual([early, stream.localPort, stream.remotePort], [context.port, context.port, client.localPort])
  assert.match(stream.localAddress, /127\.0\.0\.1$/)
  assert.match(stream.remoteAddress, /127\.0\.0\.1$/)
  assert.deepEqual([stream.address().address, stream.address().port], [stream.localAddress, context.port])
})

test('connections of several servers know by which one they came', async () => {
  const [first, second] = [await listen(), await listen()]
  for (const context of [first, first, second, first, second, second]) {
    assert.equal((await connect(context)).stream.localPort, context.port)
  }
})

// ---- HTTP/2 --------------------------------------------------------------------------------------

async function listenHttp2(options) {
  const server = http2.createSecureServer({ ...tls, allowHTTP1: true })
  const eio = engine.attach(server, options)
  const port = await bind(server)
  defer(() => eio.close())
  return { engine: eio, server, port }
}

test('an http2 server with allowHTTP1 serves HTTP/1.1 polling and websockets', async () => {
  const { engine: eio, port } = await listenHttp2()
  const https = require('node:https')
  const body = await new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path: POLLING, rejectUnauthorized: false, agent: false }
    const req = https.get(options, (res) => {
      let text = ''
      res.on('data', (chunk) => (text += chunk))
      res.on('end', () => resolve(text))
    })
    req.on('error', reject)
  })
  assert.match(body, /^0\{/)
  const connected = once(eio, 'connection')
  const ws = new WebSocket(`wss://127.0.0.1:${port}/engine.io/?EIO=4&transport=websocket`, {
    rejectUnauthorized: false,
  })
  defer(() => ws.terminate())
  const [socket] = await connected
  const message = once(socket, 'message')
  await once(ws, 'open')
  ws.send('4a')
  assert.deepEqual(await message, ['a'])
})

/** A session that polls over HTTP/2. `exchange` makes a request, whose target is by default that of the session. */
async function openPollingHttp2(options) {
  const { engine: eio, port } = await listenHttp2(options)
  const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
  defer(() => session.destroy())
  let target = POLLING
  const exchange = (headers, body) => {
    const answered = new Promise((resolve, reject) => {
      const stream = session.request({ ':path': target, ...headers })
      const chunks = []
      let head
      stream.on('response', (h) => (head = h))
      stream.on('data', (chunk) => chunks.push(chunk))
      stream.on('end', () => resolve({ status: head[':status'], headers: head, buffer: Buffer.concat(chunks) }))
      stream.on('error', reject)
      stream.end(body)
    })
    return deadline(answered, 'answer over HTTP/2')
  }
  const connected = once(eio, 'connection')
  const opened = await exchange({})
  const [socket] = await connected
  target = `${POLLING}&sid=${socket.id}`
  assert.equal(JSON.parse(opened.buffer.toString().slice(1)).sid, socket.id)
  return { engine: eio, session, socket, target, exchange }
}

test('polling works over HTTP/2 itself', async () => {
  const { socket, exchange } = await openPollingHttp2({ httpCompression: { threshold: 100 } })
  const message = once(socket, 'message')
  assert.equal((await exchange({ ':method': 'POST' }, '4a')).buffer.toString(), 'ok')
  assert.deepEqual(await message, ['a'])
  socket.send('x'.repeat(500))
  const polled = await exchange({ 'accept-encoding': 'gzip' })
  assert.equal(polled.headers['content-encoding'], 'gzip')
  assert.equal(require('node:zlib').gunzipSync(polled.buffer).length, 501)
})

improvement('B-7.6: packets lost in silence', 'over HTTP/2 a session goes on behind a compressed answer', async () => {
  const { socket, exchange } = await openPollingHttp2({ httpCompression: { threshold: 100 } })
  const log = []
  socket.on('close', (reason) => log.push(reason))
  for (let round = 0; round < 2; round++) {
    socket.send('x'.repeat(500), () => log.push('written'))
    assert.equal((await exchange({ 'accept-encoding': 'gzip' })).headers['content-encoding'], 'gzip')
    await eventually(() => log.length, round + 1)
  }
  assert.deepEqual(log, ['written', 'written'])
  assert.equal(socket.bufferedAmount, 0)
})

improvement(
  'B-7.6: packets lost in silence',
  'over HTTP/2 a client that vanishes while the response is written is a transport error',
  async () => {
    const { session, socket, target } = await openPollingHttp2()
    const stream = session.request({ ':path': target })
    stream.on('error', () => {})
    stream.end()
    socket.send('x'.repeat(1e6))
    await once(stream, 'response')
    // the client does not read it, so that most of it waits in the stream
    assert.equal(socket.bufferedAmount, 1e6 + 1)
    const closed = once(socket, 'close')
    session.destroy()
    const [reason, { message }] = await closed
    assert.deepEqual([reason, message], ['transport error', 'poll connection closed prematurely'])
  },
)

// ---- connections -----------------------------------------------------------------------------------

test('Connection: close is honoured by polls, POSTs and errors', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  socket.send('a')
  for (const head of [`GET ${peer.path}`, `POST ${peer.path}`, `GET ${path(context, { sid: 'unknown' })}`]) {
    const raw = await RawPeer.connect(context.port)
    raw.write(`${head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n4b`)
    await raw.end()
    assert.match(raw.text, /\r\nConnection: close\r\n/)
  }
  assert.equal(socket.readyState, 'open')
})

test('an HTTP/1.0 client with keep-alive is served several times on one connection', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const raw = await RawPeer.connect(context.port)
  for (const text of ['first', 'second']) {
    socket.send(text)
    raw.write(`GET ${peer.path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`)
    await raw.match(new RegExp(`\r\n\r\n4${text}$`))
  }
  assert.match(raw.text, /Connection: keep-alive/)
})

test('an HTTP/1.0 POST is answered and its connection closed', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const message = once(socket, 'message')
  const raw = await RawPeer.connect(context.port)
  raw.write(`POST ${peer.path} HTTP/1.0\r\nContent-Length: 2\r\n\r\n4a`)
  await raw.end()
  assert.match(raw.text, /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nok$/)
  assert.deepEqual(await message, ['a'])
})

test('an engine with its own options serves each path of one server', async () => {
  const server = http.createServer((req, res) => res.end('app'))
  const one = engine.attach(server, { path: '/one', cookie: { name: 'one' }, maxHttpBufferSize: 10 })
  const two = engine.attach(server, { path: '/two', cookie: { name: 'two' }, httpCompression: true })
  const port = await bind(server)
  defer(() => one.close() && two.close())
  for (const name of ['one', 'two']) {
    const headers = { 'Accept-Encoding': 'gzip' }
    const response = await request({ port, path: `/${name}/?EIO=4&transport=polling`, headers })
    assert.equal(response.headers['set-cookie'][0].split('=')[0], name)
    assert.equal(response.headers['content-encoding'], name === 'two' ? 'gzip' : undefined)
    const peer = await RawWebSocket.open(port, `/${name}/?EIO=4&transport=websocket`)
    assert.equal(peer.status, 101)
  }
  assert.equal((await request({ port, path: '/' })).body, 'app')
  assert.deepEqual([one.clientsCount, two.clientsCount], [2, 2])
  one.close()
  assert.deepEqual([one.clientsCount, two.clientsCount], [0, 2])
})

test('the headers of a POST response come in the order and case of the original', async () => {
  const { peer } = await openPolling(await listen())
  const response = await peer.post('4a')
  assert.deepEqual(headerNames(response).slice(0, 3), ['Content-Type', 'Content-Length', 'cache-control'])
})

test("headers that the application sets before the engine's keep their place and value", async () => {
  const context = await listen({}, http.createServer())
  context.engine.use((req, res, next) => {
    res.setHeader('X-Before', '1')
    res.setHeader('Cache-Control', 'public')
    next()
  })
  const { peer } = await openPolling(context)
  const { headers } = peer.response
  assert.deepEqual([headers['x-before'], headers['cache-control']], ['1', 'no-store'])
})

test('a session is served over many connections at once', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const messages = record(socket, 'message', (_, data) => data)
  for (let i = 0; i < 20; i++) {
    const { response } = await peer.pendingPoll()
    await peer.post(`4${i}`)
    socket.send(String(i))
    assert.equal((await response).body, `4${i}`)
  }
  assert.equal(messages.length, 20)
})

test('a reset of the connection after an answered poll does not disturb the session', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const raw = await RawPeer.connect(context.port)
  socket.send('a')
  raw.write(`GET ${peer.path} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await raw.match(/4a$/)
  raw.reset()
  const message = once(socket, 'message')
  await peer.post('4b')
  assert.deepEqual(await message, ['b'])
})
