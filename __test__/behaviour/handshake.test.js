'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  RawWebSocket,
  client,
  eventually,
  headerNames,
  listen,
  once,
  openPolling,
  openWebSocket,
  path,
  record,
  request,
} = require('../support')

test('the open packet of polling has exactly these keys in this order', async () => {
  const context = await listen({ pingInterval: 1000, pingTimeout: 500, maxHttpBufferSize: 100 })
  const { body } = await request({ port: context.port, path: path(context) })
  const sid = Object.keys(context.engine.clients)[0]
  assert.equal(
    body,
    `0{"sid":"${sid}","upgrades":["websocket"],"pingInterval":1000,"pingTimeout":500,"maxPayload":100}`,
  )
})

test('the open packet of a websocket has the same form and no upgrades', async () => {
  const context = await listen({ pingInterval: 1000, pingTimeout: 500, maxHttpBufferSize: 100 })
  const peer = await RawWebSocket.open(context.port, path(context, { transport: 'websocket' }))
  const packet = await peer.packet()
  await eventually(() => context.engine.clientsCount, 1)
  const sid = Object.keys(context.engine.clients)[0]
  assert.equal(packet, `0{"sid":"${sid}","upgrades":[],"pingInterval":1000,"pingTimeout":500,"maxPayload":100}`)
})

test('the defaults are advertised', async () => {
  const { peer } = await openPolling(await listen())
  const { sid, ...rest } = peer.open
  assert.deepEqual(rest, { upgrades: ['websocket'], pingInterval: 25000, pingTimeout: 20000, maxPayload: 1000000 })
})

test('each open packet says what the options say then', async () => {
  const context = await listen()
  const { opts } = context.engine
  const told = async () => {
    const { sid, ...rest } = (await openPolling(context)).peer.open
    return rest
  }
  const first = await told()
  assert.deepEqual(await told(), first)
  opts.pingTimeout = 12345
  assert.deepEqual(await told(), { ...first, pingTimeout: 12345 })
  opts.maxHttpBufferSize = 77
  assert.deepEqual(await told(), { ...first, pingTimeout: 12345, maxPayload: 77 })
  opts.allowUpgrades = false
  assert.deepEqual(await told(), { ...first, upgrades: [], pingTimeout: 12345, maxPayload: 77 })
})

test('an id may need quoting in the open packet', async () => {
  const context = await listen()
  let number = 0
  context.engine.generateId = () => `"\\${number++}`
  for (const sid of ['"\\0', '"\\1']) assert.equal((await openPolling(context)).peer.open.sid, sid)
})

test('upgrades are limited to the transports of the options', async () => {
  const { peer } = await openPolling(await listen({ transports: ['polling'] }))
  assert.deepEqual(peer.open.upgrades, [])
})

test('webtransport is advertised when it is among the transports', async () => {
  const { peer } = await openPolling(await listen({ transports: ['polling', 'websocket', 'webtransport'] }))
  assert.deepEqual(peer.open.upgrades, ['websocket', 'webtransport'])
})

test('the handshake response is text that must not be cached', async () => {
  const { peer } = await openPolling(await listen())
  const { response } = peer
  assert.equal(response.status, 200)
  assert.equal(response.headers['content-type'], 'text/plain; charset=UTF-8')
  assert.equal(response.headers['cache-control'], 'no-store')
  assert.deepEqual(headerNames(response).slice(0, 3), ['Content-Type', 'Content-Length', 'cache-control'])
})

test('the session is registered when connection is emitted', async () => {
  const context = await listen()
  let seen
  context.engine.on('connection', (socket) => {
    seen = [context.engine.clients[socket.id] === socket, context.engine.clientsCount, socket.readyState]
  })
  await openPolling(context)
  assert.deepEqual(seen, [true, 1, 'open'])
})

test('initial_headers and headers come before connection', async () => {
  for (const open of [openPolling, openWebSocket]) {
    const context = await listen()
    const events = record(context.engine, ['connection', 'headers', 'initial_headers'], (event) => event)
    await open(context)
    assert.deepEqual(events, ['initial_headers', 'headers', 'connection'])
  }
})

test('initial_headers and headers get the headers object and the request', async () => {
  const context = await listen()
  const [initial, each] = [once(context.engine, 'initial_headers'), once(context.engine, 'headers')]
  await openPolling(context, { mine: '1' })
  const [headers, req] = await initial
  assert.equal(headers['Content-Type'], 'text/plain; charset=UTF-8')
  assert.equal(req._query.mine, '1')
  assert.deepEqual(await each, [headers, req])
})

test('the initial packet follows the open packet in the handshake of polling', async () => {
  const { peer } = await openPolling(await listen({ initialPacket: 'welcome' }))
  assert.equal(peer.response.body.split('\x1e')[1], '4welcome')
})

test('the initial packet is the second frame of a websocket', async () => {
  const { peer } = await openWebSocket(await listen({ initialPacket: 'welcome' }))
  assert.equal(await peer.packet(), '4welcome')
})

test('a binary initial packet is base64 on polling and a binary frame on a websocket', async () => {
  const context = await listen({ initialPacket: Buffer.from([1, 2, 3]) })
  const { peer: polling } = await openPolling(context)
  assert.equal(polling.response.body.split('\x1e')[1], 'bAQID')
  const { peer } = await openWebSocket(context)
  const frame = await peer.frame()
  assert.deepEqual([frame.opcode, [...frame.payload]], [2, [1, 2, 3]])
})

test('the initial packet is sent once per session', async () => {
  const { peer, socket } = await openPolling(await listen({ initialPacket: 'welcome' }))
  socket.send('x')
  assert.equal((await peer.poll()).body, '4x')
})

test('an initial packet that is no string is converted', async () => {
  const { peer } = await openPolling(await listen({ initialPacket: 42 }))
  assert.equal(peer.response.body.split('\x1e')[1], '442')
})

test('maxHttpBufferSize is advertised verbatim', async () => {
  assert.equal((await openPolling(await listen({ maxHttpBufferSize: 0 }))).peer.open.maxPayload, 0)
  assert.equal((await openPolling(await listen({ maxHttpBufferSize: Infinity }))).peer.open.maxPayload, null)
})

test('a big handshake response is compressed when the client accepts it', async () => {
  const context = await listen({ initialPacket: 'a'.repeat(2000) })
  const headers = { 'Accept-Encoding': 'gzip' }
  const response = await request({ port: context.port, path: path(context), headers })
  assert.equal(response.headers['content-encoding'], 'gzip')
  assert.match(require('node:zlib').gunzipSync(response.buffer).toString(), /^0\{"sid".*\}\x1e4a{2000}$/)
})

test('the cookie option sets a cookie in the handshake of polling and nowhere else', async () => {
  const context = await listen({ cookie: true })
  const { peer, socket } = await openPolling(context)
  assert.deepEqual(peer.response.headers['set-cookie'], [`io=${peer.sid}; Path=/; HttpOnly; SameSite=Lax`])
  socket.send('x')
  assert.equal((await peer.poll()).headers['set-cookie'], undefined)
  assert.equal((await peer.post('4x')).headers['set-cookie'], undefined)
  const { peer: ws } = await openWebSocket(context)
  assert.equal(ws.headers['set-cookie'], undefined)
})

test('without the cookie option there is no cookie', async () => {
  const { peer } = await openPolling(await listen())
  assert.equal(peer.response.headers['set-cookie'], undefined)
})

test('many handshakes at once give as many sessions', async () => {
  const context = await listen()
  const all = Array.from({ length: 50 }, () => request({ port: context.port, path: path(context) }))
  const sids = (await Promise.all(all)).map(({ body }) => JSON.parse(body.slice(1)).sid)
  assert.equal(new Set(sids).size, 50)
  assert.equal(context.engine.clientsCount, 50)
})

for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
  test(`the real client opens with ${transports} and exchanges text and binary`, async () => {
    const context = await listen()
    context.engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
    const peer = client(context, { transports })
    await once(peer, 'open')
    for (const data of ['text', 'é😀', Buffer.from([0, 1, 255])]) {
      const message = once(peer, 'message')
      peer.send(data)
      assert.deepEqual(await message, [data])
    }
  })
}
