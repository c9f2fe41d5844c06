'use strict'

// `engine.ws`, the server of the engine's WebSockets, has what one of `ws` has that serves requests which others have accepted:
// members, options that count for the connections that follow, events and refusals.

const assert = require('node:assert/strict')
const { EventEmitter } = require('node:events')
const http = require('node:http')
const { test } = require('node:test')
const { WebSocket, WebSocketServer } = require('ws')
const {
  bind,
  defer,
  engine,
  eventually,
  improvement,
  listen,
  once,
  openPolling,
  openWebSocket,
  path,
  record,
  upgradeTo,
  wsClient,
  RawWebSocket,
} = require('../support')

const target = (context, query) => path(context, { transport: 'websocket', ...query })

/** The complete answer to an upgrade that is refused. */
async function refused(context, options, query) {
  const errors = record(context.engine, 'connection_error')
  const peer = await RawWebSocket.open(context.port, target(context, query), options)
  await peer.end()
  const { statusLine, headerLines } = peer
  return { statusLine, headerLines, body: peer.text, errors }
}

const refusal = (status, body, ...more) => ({
  statusLine: `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}`,
  headerLines: ['Connection: close', 'Content-Type: text/html', `Content-Length: ${body.length}`, ...more],
  body,
  errors: [],
})

const OPTIONS = {
  noServer: true,
  clientTracking: false,
  perMessageDeflate: undefined,
  maxPayload: 1e6,
  maxBufferedChunks: 10_000,
}

test('it has the methods and fields of a server of ws', async () => {
  const { ws } = (await listen()).engine
  assert.ok(ws instanceof EventEmitter)
  for (const name of Object.getOwnPropertyNames(WebSocketServer.prototype))
    assert.equal(typeof ws[name], 'function', name)
  const theirs = new WebSocketServer(OPTIONS)
  assert.deepEqual(
    Object.keys(theirs).filter((name) => !(name in ws)),
    [],
  )
  assert.deepEqual(
    Object.keys(ws).filter((name) => !(name in theirs)),
    [],
  )
  assert.equal(ws._state, theirs._state)
  assert.equal(ws.clients, undefined)
})

test('its options are those that a server of ws has', async () => {
  const { ws } = (await listen({ maxHttpBufferSize: 1234 })).engine
  const { maxPayload, ...options } = ws.options
  assert.equal(maxPayload, 1234)
  assert.equal(options.WebSocket, WebSocket)
  const { maxPayload: _, ...theirs } = new WebSocketServer(OPTIONS).options
  for (const name of Object.keys(theirs)) assert.deepEqual(options[name], theirs[name], name)
  assert.deepEqual(Object.keys(options).sort(), Object.keys(theirs).sort())
})

test('perMessageDeflate is among its options as it was given', async () => {
  const { ws } = (await listen({ perMessageDeflate: { threshold: 5 } })).engine
  assert.deepEqual(ws.options.perMessageDeflate, { threshold: 5 })
})

test('address() throws, as there is no port of its own', async () => {
  const { ws } = (await listen()).engine
  assert.throws(() => ws.address(), /^Error: The server is operating in "noServer" mode$/)
})

test('close() calls back and emits close in the next tick, and refuses further upgrades', async () => {
  const context = await listen()
  const { ws } = context.engine
  const log = record(ws, 'close')
  const called = new Promise((resolve) => ws.close((...args) => resolve(args)))
  assert.deepEqual(log, [])
  assert.deepEqual(await called, [])
  assert.deepEqual(log, [['close']])
  assert.deepEqual(await refused(context), refusal(503, 'Service Unavailable'))
})

test('a second close() before the event joins the first, one after it calls back with an error', async () => {
  const { ws } = (await listen()).engine
  const log = []
  ws.on('close', () => log.push('close'))
  ws.close(() => log.push('first'))
  ws.close(() => log.push('second'))
  await new Promise(setImmediate)
  assert.deepEqual(log, ['close', 'first', 'second'])
  const error = await new Promise((resolve) => ws.close(resolve))
  assert.equal(error.message, 'The server is not running')
})

test('engine.close() emits close on it', async () => {
  const context = await listen()
  const closed = once(context.engine.ws, 'close')
  context.engine.close()
  assert.deepEqual(await closed, [])
})

test('a server that has been closed is replaced when the HTTP server listens again', async () => {
  const context = await listen()
  const { ws } = context.engine
  context.engine.init()
  assert.notEqual(context.engine.ws, ws)
  await openWebSocket(context)
})

test('shouldHandle() says yes to all requests, and to those of the option path', async () => {
  const { ws } = (await listen()).engine
  assert.equal(ws.shouldHandle({ url: '/any' }), true)
  ws.options.path = '/mine'
  assert.deepEqual(
    ['/mine', '/mine?x=/mine', '/mine/', '/other'].map((url) => ws.shouldHandle({ url })),
    [true, true, false, false],
  )
})

test('a request that a replaced shouldHandle() refuses gets 400, without an event', async () => {
  const context = await listen()
  const seen = []
  context.engine.ws.shouldHandle = (req) => {
    seen.push(req.url)
    return !req.url.includes('refused')
  }
  assert.deepEqual(await refused(context, {}, { x: 'refused' }), refusal(400, 'Bad Request'))
  await openWebSocket(context)
  assert.equal(seen.length, 2)
})

test('the option path counts for the connections that follow', async () => {
  const context = await listen()
  context.engine.ws.options.path = '/elsewhere/'
  assert.deepEqual(await refused(context), refusal(400, 'Bad Request'))
  context.engine.ws.options.path = context.path
  await openWebSocket(context)
})

test('a fault in the request is told before shouldHandle() is asked, one in its lists after', async () => {
  const context = await listen()
  context.engine.ws.shouldHandle = () => false
  const key = await refused(context, { headers: { 'Sec-WebSocket-Key': 'x' } })
  assert.deepEqual(key, refusal(400, 'Missing or invalid Sec-WebSocket-Key header'))
  assert.deepEqual(
    await refused(context, { headers: { 'Sec-WebSocket-Protocol': 'a,,b' } }),
    refusal(400, 'Bad Request'),
  )
})

test('the option verifyClient is asked with origin, request and whether the connection is secure', async () => {
  const context = await listen()
  const seen = []
  context.engine.ws.options.verifyClient = (info) => {
    seen.push([Object.keys(info).sort(), info.origin, info.secure, info.req.url])
    return info.origin !== 'http://evil'
  }
  assert.deepEqual(await refused(context, { headers: { Origin: 'http://evil' } }), refusal(401, 'Unauthorized'))
  await openWebSocket(context, {}, { headers: { Origin: 'http://good' } })
  const url = target(context)
  assert.deepEqual(seen, [
    [['origin', 'req', 'secure'], 'http://evil', false, url],
    [['origin', 'req', 'secure'], 'http://good', false, url],
  ])
})

test('a verifyClient with a callback may take its time, and names status, text and headers of the refusal', async () => {
  const context = await listen()
  const answers = [[false], [false, 429, 'slow down', { 'Retry-After': 5 }], [true]]
  context.engine.ws.options.verifyClient = (info, callback) => setImmediate(() => callback(...answers.shift()))
  assert.deepEqual(await refused(context), refusal(401, 'Unauthorized'))
  assert.deepEqual(await refused(context), refusal(429, 'slow down', 'Retry-After: 5'))
  const { peer, socket } = await openWebSocket(context)
  socket.send('a')
  assert.equal(await peer.packet(), '4a')
})

test('a client that resets while verifyClient decides does no harm', async () => {
  const context = await listen()
  let decide
  const asked = new Promise((resolve) => {
    context.engine.ws.options.verifyClient = ({ req }, callback) => {
      decide = callback
      resolve(req)
    }
  })
  const peer = await RawWebSocket.request(context.port, target(context))
  const req = await asked
  const gone = once(req.socket, 'close')
  peer.reset()
  await gone
  decide(true)
  await new Promise(setImmediate)
  assert.equal(context.engine.clientsCount, 0)
})

test('the option handleProtocols selects the subprotocol', async () => {
  const context = await listen()
  const seen = []
  context.engine.ws.options.handleProtocols = (protocols, req) => {
    seen.push([[...protocols], req.url])
    return [...protocols].find((name) => name === 'b') || false
  }
  const open = (offer) => openWebSocket(context, {}, { headers: { 'Sec-WebSocket-Protocol': offer } })
  const { peer, socket } = await open('a, b,c')
  assert.equal(peer.headers['sec-websocket-protocol'], 'b')
  assert.equal(socket.transport.socket.protocol, 'b')
  const other = await open('x')
  assert.equal(other.peer.headers['sec-websocket-protocol'], undefined)
  assert.equal(other.socket.transport.socket.protocol, '')
  await openWebSocket(context)
  assert.deepEqual(
    seen.map(([names]) => names),
    [['a', 'b', 'c'], ['x']],
  )
})

test("a listener of wsClientError answers requests that are no WebSocket's", async () => {
  const context = await listen()
  const seen = []
  context.engine.ws.on('wsClientError', (error, socket, req) => {
    seen.push([error.message, error instanceof Error, req.url])
    socket.end("HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n")
  })
  const peer = await RawWebSocket.open(context.port, target(context), { headers: { 'Sec-WebSocket-Key': 'x' } })
  assert.equal(peer.status, 418)
  assert.deepEqual(seen, [['Missing or invalid Sec-WebSocket-Key header', true, target(context)]])
  await openWebSocket(context)
  assert.equal(seen.length, 1)
})

test('listeners of headers get the lines of the response and may add some', async () => {
  const context = await listen()
  const seen = []
  context.engine.ws.on('headers', (lines, req) => {
    seen.push([...lines, req.url])
    lines.push('X-Mine: 1')
  })
  const { peer } = await openWebSocket(context)
  assert.deepEqual(seen, [
    [
      'HTTP/1.1 101 Switching Protocols',
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
      target(context),
    ],
  ])
  assert.equal(peer.headerLines[3], 'X-Mine: 1')
})

test('an emit() that was replaced sees the headers of each connection', async () => {
  const context = await listen()
  const { ws } = context.engine
  const events = []
  const { emit } = ws
  ws.emit = function (event, ...args) {
    events.push(event)
    return emit.call(this, event, ...args)
  }
  await openWebSocket(context)
  assert.deepEqual(events, ['headers'])
})

test('a replaced handleUpgrade() or completeUpgrade() sees each connection', async () => {
  for (const name of ['handleUpgrade', 'completeUpgrade']) {
    const context = await listen()
    const { ws } = context.engine
    const original = ws[name]
    let calls = 0
    ws[name] = function (...args) {
      calls++
      return original.apply(this, args)
    }
    await openWebSocket(context)
    const { peer } = await openPolling(context)
    await upgradeTo(context, peer.sid)
    assert.equal(calls, 2, name)
  }
})

test('a changed maxPayload counts for the connections that follow', async () => {
  const context = await listen()
  context.engine.ws.options.maxPayload = 10
  const { peer, socket } = await openWebSocket(context)
  const closed = once(socket, 'close')
  peer.sendText(`4${'x'.repeat(10)}`)
  const [reason] = await closed
  assert.equal(reason, 'transport error')
  assert.equal((await peer.closeFrame()).code, 1009)
})

test('permessage-deflate may be switched on and off for the connections that follow', async () => {
  const context = await listen({ perMessageDeflate: true })
  const offer = { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } }
  context.engine.ws.options.perMessageDeflate = false
  const plain = await openWebSocket(context, {}, offer)
  assert.equal(plain.peer.headers['sec-websocket-extensions'], undefined)
  context.engine.ws.options.perMessageDeflate = {}
  const ws = await wsClient(context.port, target(context), { perMessageDeflate: true })
  assert.equal(ws.extensions, 'permessage-deflate')
  const [socket] = Object.values(context.engine.clients).slice(-1)
  assert.match(await ws.next(), /^0/)
  socket.send('x'.repeat(5000))
  assert.equal(await ws.next(), `4${'x'.repeat(5000)}`)
})

test('the option autoPong: false leaves pings unanswered', async () => {
  const context = await listen()
  context.engine.ws.options.autoPong = false
  const { peer, socket } = await openWebSocket(context)
  const pinged = once(socket.transport.socket, 'ping')
  peer.sendFrame({ opcode: 9, payload: 'p' })
  assert.deepEqual(await pinged, [Buffer.from('p')])
  socket.send('a')
  assert.equal(await peer.packet(), '4a')
})

test('the option skipUTF8Validation lets through what is no UTF-8', async () => {
  const context = await listen()
  context.engine.ws.options.skipUTF8Validation = true
  const { peer, socket } = await openWebSocket(context)
  const message = once(socket, 'message')
  peer.sendFrame({ opcode: 1, payload: Buffer.from([0x34, 0xff]) })
  assert.deepEqual(await message, ['\ufffd'])
})

test('the option maxFragments bounds the fragments of a message', async () => {
  const context = await listen()
  context.engine.ws.options.maxFragments = 2
  const { peer, socket } = await openWebSocket(context)
  const closed = once(socket, 'close')
  peer.sendFrame({ opcode: 1, payload: '4a', fin: false })
  for (let n = 0; n < 3; n++) peer.sendFrame({ opcode: 0, payload: 'b', fin: false })
  assert.equal((await closed)[0], 'transport error')
})

test('the option WebSocket names the class of the connections that follow', async () => {
  class Mine extends WebSocket {}
  const context = await listen()
  context.engine.ws.options.WebSocket = Mine
  const { peer, socket } = await openWebSocket(context)
  assert.ok(socket.transport.socket instanceof Mine)
  socket.on('message', (data) => socket.send(data))
  peer.sendText('4echo')
  assert.equal(await peer.packet(), '4echo')
  context.engine.ws.options.WebSocket = WebSocket
  assert.equal((await openWebSocket(context)).socket.transport.socket instanceof Mine, false)
})

test('options as a whole may be replaced', async () => {
  const context = await listen()
  const { ws } = context.engine
  ws.options = { ...ws.options, maxPayload: 10 }
  const { peer, socket } = await openWebSocket(context)
  const closed = once(socket, 'close')
  peer.sendText(`4${'x'.repeat(10)}`)
  assert.equal((await closed)[0], 'transport error')
})

test('sessions on connections of ws and of the engine live side by side, and are upgraded to either', async () => {
  const context = await listen()
  const { peer: first } = await openWebSocket(context)
  const { peer: polling, socket } = await openPolling(context)
  context.engine.ws.options.autoPong = false
  const peer = await upgradeTo(context, polling.sid)
  peer.sendText('2probe')
  assert.equal(await peer.packet(), '3probe')
  const upgraded = once(socket, 'upgrade')
  peer.sendText('5')
  await upgraded
  socket.send('a')
  assert.equal(await peer.packet(), '4a')
  first.sendText('4x')
  context.engine.close()
  await eventually(() => socket.readyState, 'closed')
  assert.equal((await peer.closeFrame()).payload.length, 0)
})

test('connections can be made of other requests by its handleUpgrade()', async () => {
  const attached = new engine.Server()
  defer(() => attached.close())
  const server = http.createServer()
  server.on('upgrade', (req, socket, head) => {
    req._query = {}
    attached.ws.handleUpgrade(req, socket, head, (ws, request) => {
      attached.ws.emit('connection', ws, request)
    })
  })
  attached.ws.on('connection', (ws, req) => ws.on('message', (data) => ws.send(`${req.url} ${data}`)))
  const ws = await wsClient(await bind(server), '/own')
  ws.send('a')
  assert.equal(await ws.next(), '/own a')
  assert.equal(attached.clientsCount, 0)
})

test("a class of the option wsEngine's default makes servers that listen by themselves, too", async () => {
  const { wsEngine } = new engine.Server().opts
  const server = new wsEngine({ port: 0, host: '127.0.0.1' })
  defer(() => server.close())
  await once(server, 'listening')
  server.on('connection', (ws) => ws.send('hello'))
  const ws = await wsClient(server.address().port, '/')
  assert.equal(await ws.next(), 'hello')
  assert.equal(server.clients.size, 1)
})

improvement(
  'G-111: unanswered',
  'a request whose listener of headers throws is answered, whoever serves the connection',
  async () => {
    for (const autoPong of [true, false]) {
      const attached = new engine.Server()
      defer(() => attached.close())
      const thrown = []
      const server = http.createServer()
      server.on('upgrade', (req, socket, head) => {
        try {
          attached.handleUpgrade(req, socket, head)
        } catch (error) {
          thrown.push(error.message)
        }
      })
      const port = await bind(server)
      attached.ws.options.autoPong = autoPong
      attached.ws.on('headers', () => {
        throw new Error('on purpose')
      })
      const peer = await RawWebSocket.open(port, '/engine.io/?EIO=4&transport=websocket')
      assert.equal(peer.status, 500)
      assert.deepEqual(thrown, ['on purpose'])
    }
  },
)
