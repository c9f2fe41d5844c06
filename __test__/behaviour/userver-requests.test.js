'use strict'

// Requests of an app of uWebSockets.js: checks, hooks, middlewares, headers.

require('../socketio/use-engine')
const assert = require('node:assert/strict')
const { randomBytes } = require('node:crypto')
const { test: run } = require('node:test')
const {
  once,
  record,
  eventually,
  improvement,
  request,
  path,
  defer,
  deadline,
  RawPeer,
  RawWebSocket,
  openPolling,
  openWebSocket,
} = require('../support')
const { listenOnUws, uWS, skip } = require('../support/userver')

const test = (name, fn) => run(name, { skip }, fn)
const websocket = (context, query, options) =>
  RawWebSocket.open(context.port, path(context, { transport: 'websocket', ...query }), options)

test("requests outside of the path are the app's", async () => {
  const context = await listenOnUws({}, (attached, app) => app.any('/*', (res) => res.end('the app')))
  for (const target of ['/', '/engine.io', '/engine.io/more?EIO=4&transport=polling']) {
    assert.equal((await request({ port: context.port, path: target })).body, 'the app')
  }
})

test('path and addTrailingSlash are honoured', async () => {
  const fallback = (attached, app) => app.any('/*', (res) => res.end('the app'))
  const context = await listenOnUws({ path: '/my', addTrailingSlash: false }, fallback)
  assert.equal((await request({ port: context.port, path: '/my?EIO=4&transport=polling' })).status, 200)
  assert.equal((await request({ port: context.port, path: '/my/?EIO=4&transport=polling' })).body, 'the app')
})

test('the request of a session has method, headers, query and address', async () => {
  const context = await listenOnUws()
  for (const open of [openPolling, openWebSocket]) {
    const { socket } = await open(
      context,
      { token: 'a b' },
      open === openPolling ? { 'x-own': '1' } : { headers: { 'x-own': '1' } },
    )
    const { method, headers, _query } = socket.request
    assert.equal(method, 'GET')
    assert.equal(headers['x-own'], '1')
    assert.equal(_query.token, 'a b')
    assert.match(socket.remoteAddress, /127\.0\.0\.1|7f00:0001/)
  }
})

improvement(
  'of several lines of a header only the last counts',
  'lines of a header that comes several times count as behind Node',
  async () => {
    if (skip) return
    const context = await listenOnUws({ trustProxy: 2 })
    const lines = [
      'X-Forwarded-For: 203.0.113.1',
      'Cookie: a=1',
      'X-Own: 1',
      'X-Forwarded-For: 203.0.113.2, 203.0.113.3',
      'Cookie: b=2',
      'User-Agent: first',
      'User-Agent: second',
      'X-Own: 2',
    ]
    const connected = once(context.engine, 'connection')
    const peer = await RawPeer.connect(context.port)
    peer.write(`GET ${path(context)} HTTP/1.1\r\nHost: x\r\n${lines.join('\r\n')}\r\n\r\n`)
    const [socket] = await connected
    const { headers } = socket.request
    assert.equal(headers['x-forwarded-for'], '203.0.113.1, 203.0.113.2, 203.0.113.3')
    assert.equal(headers.cookie, 'a=1; b=2')
    assert.equal(headers['x-own'], '1, 2')
    assert.equal(headers['user-agent'], 'first')
    assert.equal(socket.remoteAddress, '203.0.113.2')
  },
)

test('allowRequest decides, at once or later, about polling and websocket sessions', async () => {
  for (const call of [(fn) => fn(), (fn) => setTimeout(fn, 20)]) {
    const context = await listenOnUws({
      allowRequest: (req, fn) => call(() => fn('no token', req._query.token === 'yes')),
    })
    const errors = record(context.engine, 'connection_error', (event, { code, context }) => [code, context.message])
    const refused = await request({ port: context.port, path: path(context) })
    assert.deepEqual([refused.status, refused.body], [403, '{"code":4,"message":"no token"}'])
    assert.equal((await websocket(context)).status, 403)
    assert.deepEqual(errors, [
      [4, 'no token'],
      [4, 'no token'],
    ])
    await openPolling(context, { token: 'yes' })
    await openWebSocket(context, { token: 'yes' })
  }
})

test('generateId may be asynchronous', async () => {
  const context = await listenOnUws()
  let n = 0
  context.engine.generateId = async () => `id-${n++}`
  assert.equal((await openPolling(context)).peer.sid, 'id-0')
  assert.equal((await openWebSocket(context)).open.sid, 'id-1')
})

improvement(
  'A-8: the response is used after its end',
  'a websocket client that goes away while it is checked leaves nothing behind',
  async () => {
    if (skip) return
    let allow
    const asked = new Promise((resolve) => (allow = resolve))
    const context = await listenOnUws({ allowRequest: (req, fn) => allow(() => fn(null, true)) })
    const peer = await RawWebSocket.request(context.port, path(context, { transport: 'websocket' }))
    const accept = await deadline(asked, 'allowRequest')
    peer.socket.destroy()
    await eventually(() => peer.socket.destroyed, true)
    await new Promise((resolve) => setTimeout(resolve, 50))
    accept()
    await eventually(() => context.engine.clientsCount, 0)
  },
)

improvement(
  'A-8: the response is used after its end',
  'a client that goes away before it is refused is a connection_error all the same',
  async () => {
    if (skip) return
    let refuse
    const asked = new Promise((resolve) => (refuse = resolve))
    const context = await listenOnUws({ allowRequest: (req, fn) => refuse(() => fn('no', false)) })
    const errors = record(context.engine, 'connection_error', (event, { code, context: details }) => [
      code,
      details.message,
    ])
    const gone = new Promise((resolve) => context.engine.use((req, res, next) => next(void res.once('close', resolve))))
    const peer = await RawWebSocket.request(context.port, path(context, { transport: 'websocket' }))
    const late = await deadline(asked, 'allowRequest')
    peer.socket.destroy()
    await deadline(gone, "the client's end")
    late()
    assert.deepEqual(errors, [[4, 'no']])
  },
)

test('headers and initial_headers are emitted and sent for polling and websockets', async () => {
  const context = await listenOnUws({ cookie: true })
  context.engine.on('initial_headers', (headers) => (headers['x-initial'] = '1'))
  context.engine.on('headers', (headers) => (headers['x-all'] = '2'))
  const { peer } = await openPolling(context)
  const { headers } = peer.response
  assert.deepEqual([headers['x-initial'], headers['x-all'], headers['cache-control']], ['1', '2', 'no-store'])
  assert.match(String(headers['set-cookie']), new RegExp(`^io=${peer.sid}; Path=/; HttpOnly; SameSite=Lax`))
  const post = await peer.post('4x')
  assert.deepEqual([post.headers['x-initial'], post.headers['x-all']], [undefined, '2'])
  const ws = await websocket(context)
  assert.equal(ws.status, 101)
  assert.deepEqual([ws.headers['x-initial'], ws.headers['x-all']], ['1', '2'])
})

test("the headers of a POST's answer are made before its packets are read", async () => {
  const { peer, socket } = await openPolling(await listenOnUws())
  const events = []
  socket.transport.on('headers', (headers) => events.push(Object.keys(headers)))
  socket.on('message', (data) => events.push(data))
  assert.equal((await peer.post('4x')).status, 200)
  assert.deepEqual(events, [['Content-Type', 'cache-control'], 'x'])
})

test('the headers of a compressed answer are made when it has been compressed', async () => {
  const { peer, socket } = await openPolling(await listenOnUws())
  const events = []
  socket.transport.on('headers', (headers) => events.push(Object.keys(headers)))
  socket.on('drain', () => events.push('drain'))
  const poll = peer.poll({ 'accept-encoding': 'gzip' })
  await eventually(() => socket.transport.writable, true)
  socket.send('x'.repeat(5000))
  socket.send('later')
  assert.equal((await poll).headers['content-encoding'], 'gzip')
  assert.deepEqual(events, ['drain', ['Content-Type', 'Content-Encoding', 'cache-control']])
  assert.equal((await peer.poll()).body, '4later')
})

improvement(
  'A-8: the response is used after its end',
  'a client that goes away while its answer is compressed ends its session',
  async () => {
    if (skip) return
    const context = await listenOnUws()
    const { peer, socket } = await openPolling(context)
    const { req } = peer.request({ headers: { 'accept-encoding': 'gzip' } })
    req.on('error', () => {})
    await eventually(() => socket.transport.writable, true)
    const closed = once(socket, 'close')
    // takes long to compress, so that the client is gone before that is over
    socket.send(randomBytes(6_000_000).toString('base64'))
    req.destroy()
    await closed
    await eventually(() => context.engine.clientsCount, 0)
  },
)

test('a POST goes on when its session is closed', async () => {
  const { peer, socket } = await openPolling(await listenOnUws())
  const post = peer.request({ method: 'POST', headers: { 'content-length': '3' }, body: null })
  post.req.write('4')
  await eventually(() => Boolean(socket.transport.dataReq), true)
  socket.close(true)
  post.req.end('hi')
  const { status, body } = await post
  assert.deepEqual([status, body], [200, 'ok'])
})

test('refused upgrades and handshakes have no headers of middlewares, other refusals have them', async () => {
  const context = await listenOnUws()
  context.engine.use((req, res, next) => {
    res.setHeader('x-own', '1')
    next()
  })
  const has = ({ status, headers }) => [status, headers['x-own']]
  assert.deepEqual(has(await request({ port: context.port, path: path(context, { EIO: '3' }) })), [400, undefined])
  assert.deepEqual(has(await request({ port: context.port, path: path(context, { sid: 'x' }) })), [400, '1'])
  assert.deepEqual(has(await websocket(context, { sid: 'x' })), [400, undefined])
  assert.deepEqual(has(await websocket(context, { EIO: '3' })), [400, undefined])
})

test('middlewares see requests and upgrades, and their headers are sent', async () => {
  const context = await listenOnUws()
  const seen = []
  context.engine.use((req, res, next) => {
    seen.push([req.method, res.req === undefined || res.req === req])
    res.setHeader('x-first', '1')
    setImmediate(next)
  })
  context.engine.use((req, res, next) => {
    res.setHeader('x-second', ['a', 'b'])
    next()
  })
  const { peer } = await openPolling(context)
  assert.deepEqual([peer.response.headers['x-first'], peer.response.headers['x-second']], ['1', 'a, b'])
  const ws = await websocket(context)
  assert.equal(ws.headers['x-first'], '1')
  assert.deepEqual(
    ws.headerLines.filter((line) => line.startsWith('x-second')),
    ['x-second: a', 'x-second: b'],
  )
  assert.deepEqual(seen, [
    ['GET', true],
    ['GET', true],
  ])
})

test('headers that several middlewares and the engine set are all sent', async () => {
  const context = await listenOnUws({ cookie: true })
  for (const value of ['a=1', 'b=2']) {
    context.engine.use((req, res, next) => {
      res.setHeader('Set-Cookie', value)
      assert.equal(res.getHeader('Set-Cookie'), undefined)
      next()
    })
  }
  const { peer } = await openPolling(context)
  assert.deepEqual(
    peer.response.headers['set-cookie'].map((cookie) => cookie.split(';', 1)[0]),
    ['a=1', 'b=2', `io=${peer.sid}`],
  )
  const ws = await websocket(context)
  assert.deepEqual(
    ws.headerLines.filter((line) => /^set-cookie/i.test(line)),
    ['Set-Cookie: a=1', 'Set-Cookie: b=2'],
  )
})

test('a middleware that fails refuses requests and upgrades', async () => {
  const context = await listenOnUws()
  context.engine.use((req, res, next) => next(new Error('no')))
  const errors = record(context.engine, 'connection_error', (event, { code, context: details }) => [code, details.name])
  const refused = await request({ port: context.port, path: path(context) })
  assert.deepEqual([refused.status, refused.body], [400, '{"code":3,"message":"Bad request"}'])
  assert.equal((await websocket(context)).status, 400)
  assert.deepEqual(errors, [
    [3, 'MIDDLEWARE_FAILURE'],
    [3, 'MIDDLEWARE_FAILURE'],
  ])
})

test('a middleware may answer by itself', async () => {
  const context = await listenOnUws()
  context.engine.use((req, res) => {
    res.writeHead(503, { 'x-why': 'later' })
    res.end('not now')
  })
  const answer = await request({ port: context.port, path: path(context) })
  assert.deepEqual([answer.status, answer.headers['x-why'], answer.body], [503, 'later', 'not now'])
})

test('the response that middlewares get tells when it is finished and closed', async () => {
  const context = await listenOnUws()
  const events = []
  context.engine.use((req, res, next) => {
    for (const event of ['finish', 'close']) res.on(event, () => events.push(event))
    next()
  })
  await openPolling(context)
  assert.ok(events.includes('finish'))
  const { peer } = await openWebSocket(context)
  events.length = 0
  peer.socket.destroy()
  await eventually(() => events, ['close'])
})

test('the cors option answers preflights and adds its headers to all responses', async () => {
  const context = await listenOnUws({ cors: { origin: 'https://example.com', credentials: true } })
  const headers = { origin: 'https://example.com' }
  const preflight = await request({ port: context.port, path: path(context), method: 'OPTIONS', headers })
  assert.equal(preflight.status, 204)
  assert.equal(preflight.headers['access-control-allow-origin'], 'https://example.com')
  const { peer } = await openPolling(context, {}, headers)
  assert.equal(peer.response.headers['access-control-allow-credentials'], 'true')
  const refused = await request({ port: context.port, path: path(context, { transport: 'none' }), headers })
  assert.equal(refused.headers['access-control-allow-origin'], 'https://example.com')
})

test('poll responses are compressed on request', async () => {
  const { peer, socket } = await openPolling(await listenOnUws())
  socket.send('x'.repeat(5000))
  const answer = await peer.poll({ 'accept-encoding': 'gzip' })
  assert.equal(answer.headers['content-encoding'], 'gzip')
  assert.equal(require('node:zlib').gunzipSync(answer.buffer).toString(), `4${'x'.repeat(5000)}`)
})

test('a POST may come in several chunks, and end early', async () => {
  const { peer, socket } = await openPolling(await listenOnUws())
  const message = once(socket, 'message')
  const body = `4${'€'.repeat(100_000)}`
  assert.equal((await peer.post(body)).body, 'ok')
  assert.equal((await message)[0], body.slice(1))
  const closed = once(socket, 'close')
  const post = peer.request({ method: 'POST', headers: { 'content-length': '100' }, body: null })
  post.req.write('4half')
  await eventually(() => Boolean(socket.transport.dataReq), true)
  post.req.destroy()
  const [reason, error] = await closed
  assert.deepEqual([reason, error.message], ['transport error', 'data request connection closed prematurely'])
})

improvement(
  'A-8: the listener is attached too late',
  'a POST with an asynchronous middleware loses nothing of its body',
  async () => {
    if (skip) return
    const context = await listenOnUws()
    const { peer, socket } = await openPolling(context)
    context.engine.use((req, res, next) => setTimeout(next, 20))
    const message = once(socket, 'message')
    assert.equal((await peer.post('4x')).body, 'ok')
    assert.equal((await message)[0], 'x')
  },
)

test('other methods are refused without harm to the session', async () => {
  const { peer } = await openPolling(await listenOnUws())
  assert.equal((await peer.request({ method: 'PUT' })).status, 500)
  assert.equal((await peer.post('4x')).status, 200)
})

test("Socket.IO's attachApp works on it, with rooms", async () => {
  const { Server } = require('socket.io')
  const { io: connect } = require('socket.io-client')
  const app = uWS.App()
  const io = new Server()
  io.attachApp(app)
  const token = await new Promise((resolve) => app.listen('127.0.0.1', 0, resolve))
  defer(() => {
    io.engine.close()
    uWS.us_listen_socket_close(token)
  })
  io.on('connection', (socket) => {
    socket.join('room')
    socket.on('ask', (data, answer) => answer(data))
  })
  for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
    const client = connect(`http://127.0.0.1:${uWS.us_socket_local_port(token)}`, {
      transports,
      forceNew: true,
      reconnection: false,
    })
    defer(() => client.disconnect())
    await once(client, 'connect')
    assert.deepEqual(Buffer.from(await client.emitWithAck('ask', Buffer.from([1, 2]))), Buffer.from([1, 2]))
    const news = once(client, 'news')
    io.to('room').emit('news', 42)
    assert.deepEqual(await news, [42])
    client.disconnect()
  }
})

test('a query with broken escapes is taken as it is', async () => {
  const context = await listenOnUws()
  assert.equal((await request({ port: context.port, path: '/engine.io/?EIO=4&transport=polling&x=%zz' })).status, 200)
})
