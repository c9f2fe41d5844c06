'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  RawPeer,
  RawWebSocket,
  delay,
  engine,
  eventually,
  frame,
  improvement,
  listen,
  never,
  once,
  openPolling,
  openWebSocket,
  path,
  record,
  request,
  times,
} = require('../support')

const websocket = { transport: 'websocket' }

/** A fresh session of each kind shows that the server is well. */
async function isWell(context) {
  const { peer, socket } = await openPolling(context)
  socket.send('x')
  assert.equal((await peer.poll()).body, '4x')
  const { peer: ws, socket: second } = await openWebSocket(context)
  second.send('y')
  assert.equal(await ws.packet(), '4y')
  second.close()
  socket.close(true)
}

for (const [what, text] of [
  ['binary garbage', Buffer.from('16030100a5010000a1', 'hex')],
  ['a bad Content-Length', 'POST /engine.io/ HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n'],
  [
    'Content-Length beside chunked',
    'POST /engine.io/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['HTTP/1.1 without Host', 'GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\n\r\n'],
  [
    'a control character in a header',
    'GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nOrigin: a\x01b\r\n\r\n',
  ],
]) {
  test(`${what} gets a 400 from Node and no engine event`, async () => {
    const context = await listen()
    const events = record(context.engine, ['connection', 'connection_error'])
    const peer = await RawPeer.connect(context.port)
    peer.write(text)
    await peer.end()
    assert.match(peer.text, /^HTTP\/1\.1 400 Bad Request\r\n/)
    assert.deepEqual(events, [])
    await isWell(context)
  })
}

test('a header of more than 16 KB gets 431', async () => {
  const context = await listen()
  const peer = await RawPeer.connect(context.port)
  peer.write(`GET ${path(context)} HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(20000)}\r\n\r\n`)
  await peer.match(/^HTTP\/1\.1 431 /)
})

test('two Host headers are served', async () => {
  const context = await listen()
  const peer = await RawPeer.connect(context.port)
  peer.write(`GET ${path(context)} HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n`)
  await peer.match(/^HTTP\/1\.1 200 OK/)
})

test('a handshake that is aborted while allowRequest is pending does no harm', async () => {
  let answer
  const asked = new Promise((resolve) => (answer = resolve))
  const context = await listen({ allowRequest: (req, fn) => answer(fn) })
  const response = request({ port: context.port, path: path(context) })
  const fn = await asked
  response.req.destroy()
  await delay(20)
  fn(null, true)
  await delay(20)
  context.engine.opts.allowRequest = undefined
  await isWell(context)
})

test('a websocket reset while generateId is pending leaves no session behind', async () => {
  const context = await listen()
  let answer
  const asked = new Promise((resolve) => (answer = resolve))
  const { generateId } = context.engine
  context.engine.generateId = () => new Promise((resolve) => answer(resolve))
  const peer = await RawWebSocket.request(context.port, path(context, websocket))
  const resolve = await asked
  peer.reset()
  await delay(20)
  resolve('late')
  await delay(20)
  await eventually(() => context.engine.clientsCount, 0)
  context.engine.generateId = generateId
  await isWell(context)
})

test('the sid is the only credential: another connection may poll a session', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context, {}, { Origin: 'http://one', 'User-Agent': 'one' })
  socket.send('x')
  const headers = { Origin: 'http://two', 'User-Agent': 'two' }
  assert.equal((await request({ port: context.port, path: peer.path, headers })).body, '4x')
})

test('a flood of heartbeats is a heartbeat each', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const heartbeats = times(socket, 'heartbeat', 500)
  peer.write(Buffer.concat(Array.from({ length: 500 }, () => frame({ payload: '3' }))))
  await heartbeats
  assert.equal(socket.readyState, 'open')
})

test('300 idle handshakes are all kept and all closed', async () => {
  const context = await listen()
  for (let i = 0; i < 10; i++) {
    await Promise.all(Array.from({ length: 30 }, () => request({ port: context.port, path: path(context) })))
  }
  assert.equal(context.engine.clientsCount, 300)
  context.engine.close()
  assert.equal(context.engine.clientsCount, 0)
})

test('websockets that are reset at every stage leave nothing behind', async () => {
  const context = await listen()
  for (let i = 0; i < 60; i++) {
    const peer = await RawWebSocket.request(context.port, path(context, websocket))
    if (i % 3 === 1) await peer.response()
    if (i % 3 === 2) await (await peer.response()).packet()
    peer.reset()
  }
  await eventually(() => context.engine.clientsCount, 0)
  await isWell(context)
})

test('a connection that is opened and closed without a byte does no harm', async () => {
  const context = await listen()
  for (let i = 0; i < 20; i++) (await RawPeer.connect(context.port)).reset()
  await isWell(context)
})

test('an upgrade request cut off in the middle does no harm', async () => {
  const context = await listen()
  const peer = await RawPeer.connect(context.port)
  peer.write(`GET ${path(context, websocket)} HTTP/1.1\r\nHost: x\r\nConnection: Upg`)
  await delay(10)
  peer.reset()
  await isWell(context)
})

test('a second websocket that sends garbage does not disturb the session it names', async () => {
  const context = await listen()
  const { peer, socket, open } = await openWebSocket(context)
  const second = await RawWebSocket.open(context.port, path(context, { ...websocket, sid: open.sid }))
  second.sendText('4injected')
  await second.closeFrame()
  await never(socket, 'message', 20)
  socket.send('x')
  assert.equal(await peer.packet(), '4x')
})

test('a polluted Object.prototype does not disturb close()', async () => {
  const context = await listen()
  await openPolling(context)
  // eslint-disable-next-line no-extend-native
  Object.defineProperty(Object.prototype, 'polluted', { value: 'x', enumerable: true, configurable: true })
  try {
    context.engine.close()
  } finally {
    delete Object.prototype.polluted
  }
  assert.equal(context.engine.clientsCount, 0)
})

test('a handshake whose allowRequest never answers allocates no session and disturbs nobody', async () => {
  const context = await listen({ allowRequest: (req, fn) => req._query.hang || fn(null, true) })
  request({ port: context.port, path: path(context, { hang: '1' }) })
  await once(context.server, 'request')
  assert.equal(context.engine.clientsCount, 0)
  await isWell(context)
})

improvement('G-64', 'a reset while allowRequest is pending on an upgrade is no uncaught exception', async () => {
  let answer
  const asked = new Promise((resolve) => (answer = resolve))
  const context = await listen({ allowRequest: (req, fn) => answer(fn) })
  const peer = await RawWebSocket.request(context.port, path(context, websocket))
  const fn = await asked
  peer.reset()
  await delay(30)
  fn(null, true)
  await delay(20)
  context.engine.opts.allowRequest = undefined
  await isWell(context)
})

improvement('G-117', 'a refusal of an upgrade with a number for a message is answered', async () => {
  const context = await listen({ allowRequest: (req, fn) => fn(42, false) })
  const peer = await RawWebSocket.request(context.port, path(context, websocket))
  await peer.end()
  assert.match(peer.text, /^HTTP\/1\.1 400 Bad Request\r\n[^]*\r\n\r\n42$/)
})

improvement('C-1, G-49', 'a line break in a header value does not split the 101', async () => {
  const context = await listen()
  context.engine.on('headers', (headers) => (headers['X-Evil'] = 'a\r\nX-Injected: 1'))
  const peer = await RawWebSocket.request(context.port, path(context, websocket))
  await Promise.race([peer.response().catch(() => {}), peer.end()])
  assert.equal(peer.headers?.['x-injected'], undefined)
  assert.doesNotMatch(peer.text, /\r\nX-Injected: 1/)
})

improvement('C-1, G-49', 'a middleware that sets a header with a line break fails the upgrade', async () => {
  const context = await listen()
  context.engine.use((req, res, next) => {
    res.setHeader('X-Evil', 'a\r\nX-Injected: 1')
    next()
  })
  const peer = await RawWebSocket.request(context.port, path(context, websocket))
  await peer.end()
  assert.match(peer.text, /^HTTP\/1\.1 400 Bad Request\r\n/)
})

improvement('B-6', 'each value of a Set-Cookie array is a line of its own on the 101', async () => {
  const context = await listen()
  context.engine.on('headers', (headers) => (headers['Set-Cookie'] = ['a=1', 'b=2']))
  const { peer } = await openWebSocket(context)
  assert.deepEqual(peer.headerLines.slice(3), ['Set-Cookie: a=1', 'Set-Cookie: b=2'])
})

improvement('G-115: second answer ignored', 'an allowRequest that answers twice opens one session', async () => {
  const context = await listen({
    allowRequest: (req, fn) => {
      fn(null, true)
      fn(null, true)
    },
  })
  await openPolling(context)
  await openWebSocket(context)
  await delay(20)
  assert.equal(context.engine.clientsCount, 2)
})

improvement('G-115: second answer ignored', 'a session survives a second answer behind a compressed one', async () => {
  const context = await listen({
    httpCompression: { threshold: 1 },
    allowRequest: (req, fn) => {
      fn(null, true)
      fn(null, true)
    },
  })
  const response = await request({ port: context.port, path: path(context), headers: { 'Accept-Encoding': 'gzip' } })
  assert.deepEqual([response.status, response.headers['content-encoding']], [200, 'gzip'])
  const [socket] = Object.values(context.engine.clients)
  socket.send('x')
  const poll = await request({ port: context.port, path: path(context, { sid: socket.id }) })
  assert.deepEqual([poll.status, poll.body], [200, '4x'])
})

improvement('B-11', 'an invalid cookie option is refused by the constructor', () => {
  assert.throws(() => new engine.Server({ cookie: { name: 'a\r\nb' } }))
})

improvement('B-9, G-55', 'invalid zlib options are refused by the constructor', () => {
  assert.throws(() => new engine.Server({ httpCompression: { level: 99 } }))
})
