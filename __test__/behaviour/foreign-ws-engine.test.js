'use strict'

// WebSocket connections of another implementation: the `ws` package in the place of the engine's own.

const assert = require('node:assert/strict')
const { EventEmitter } = require('node:events')
const { test } = require('node:test')
const { Sender, WebSocketServer } = require('ws')
const {
  listen,
  listenDirectly,
  once,
  onceOfNext,
  record,
  eventually,
  RawWebSocket,
  frame,
  improvement,
  wsClient,
  client,
  path,
  openPolling,
  openWebSocket,
  openProbing,
  openUpgraded,
  upgradeTo,
  probe,
} = require('../support')
const { client3 } = require('../support/eio3')

const wsEngine = WebSocketServer

for (const [way, serve] of Object.entries({ attach: listen, listen: listenDirectly })) {
  test(`text and binary messages pass both ways, with ${way}()`, async () => {
    const context = await serve({ wsEngine })
    const { peer, socket } = await openWebSocket(context)
    assert.ok(socket.transport.socket instanceof require('ws'))
    const messages = record(socket, 'message', (event, data) => data)
    peer.sendText('4hello')
    peer.sendBinary(Buffer.from([1, 2, 3]))
    peer.sendText('4')
    await eventually(() => messages, ['hello', Buffer.from([1, 2, 3]), undefined])
    socket.send('hi')
    socket.send(Buffer.from([4]))
    assert.equal(await peer.packet(), '4hi')
    const { opcode, payload } = await peer.frame()
    assert.deepEqual([opcode, payload], [2, Buffer.from([4])])
  })

  test(`the real client connects, upgrades and exchanges messages, with ${way}()`, async () => {
    const context = await serve({ wsEngine })
    context.engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
    const socket = client(context, { transports: ['polling', 'websocket'] })
    await once(socket, 'upgrade')
    socket.send('echo')
    assert.deepEqual(await once(socket, 'message'), ['echo'])
  })
}

test('the class is made with the options of the engine', async () => {
  const options = []
  class Noting extends WebSocketServer {
    constructor(opts) {
      options.push(opts)
      super(opts)
    }
  }
  await listen({ wsEngine: Noting, maxHttpBufferSize: 1234, perMessageDeflate: { threshold: 10 } })
  assert.deepEqual(options[0], {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: { threshold: 10 },
    maxPayload: 1234,
    maxBufferedChunks: 10000,
  })
})

test('a class that is no emitter will do, without events for the headers', async () => {
  const inner = new WebSocketServer({ noServer: true })
  const calls = []
  class Bare {
    handleUpgrade(...args) {
      calls.push('handleUpgrade')
      inner.handleUpgrade(...args)
    }
    close() {
      calls.push('close')
    }
  }
  const context = await listen({ wsEngine: Bare })
  const headers = record(context.engine, 'headers')
  const { peer, socket } = await openWebSocket(context)
  socket.send('x')
  assert.equal(await peer.packet(), '4x')
  assert.deepEqual(headers, [])
  context.engine.close()
  assert.ok(calls.includes('handleUpgrade') && calls.at(-1) === 'close')
})

test('initial_headers and headers go into its response', async () => {
  const context = await listen({ wsEngine })
  context.engine.on('initial_headers', (headers) => (headers['x-initial'] = '1'))
  context.engine.on('headers', (headers) => (headers['x-all'] = '2'))
  const { peer } = await openWebSocket(context)
  assert.deepEqual([peer.headers['x-initial'], peer.headers['x-all']], ['1', '2'])
})

test('a session moves from polling to it without losing a packet', async () => {
  const context = await listen({ wsEngine })
  const { peer, polling, socket } = await openProbing(context)
  const upgraded = once(socket, 'upgrade')
  socket.send('waiting')
  peer.sendText('5')
  const [transport] = await upgraded
  assert.equal(transport, socket.transport)
  assert.equal(await peer.packet(), '4waiting')
  assert.equal((await polling.poll()).status, 400)
  const message = once(socket, 'message')
  peer.sendText('4after')
  assert.deepEqual(await message, ['after'])
})

test('a pending poll is answered with a noop during an upgrade', async () => {
  const context = await listen({ wsEngine })
  const { peer: polling } = await openPolling(context)
  const poll = await polling.pendingPoll()
  await probe(context, polling.sid)
  assert.equal((await poll.response).body, '6')
})

test('an upgrade that goes wrong leaves the session on polling', async () => {
  for (const packet of ['2wrong', '4x', '']) {
    const context = await listen({ wsEngine })
    const { peer: polling, socket } = await openPolling(context)
    const peer = await upgradeTo(context, polling.sid)
    peer.sendText(packet)
    await peer.closeFrame()
    await eventually(() => socket.upgrading, false)
    assert.equal((await polling.post('4x')).status, 200)
  }
})

test('an upgrade that takes too long is given up', async () => {
  const context = await listen({ wsEngine, upgradeTimeout: 200 })
  const { peer: polling, socket } = await openPolling(context)
  const peer = await upgradeTo(context, polling.sid)
  await peer.closeFrame()
  assert.deepEqual([socket.upgrading, socket.transport.name], [false, 'polling'])
})

test('pings are sent and pongs keep the session open', async () => {
  const context = await listen({ wsEngine, pingInterval: 150, pingTimeout: 1000 })
  let log
  context.engine.on('connection', (socket) => {
    log = record(socket, ['packet', 'packetCreate', 'heartbeat'], (event, packet) =>
      packet ? `${event} ${packet.type}` : event,
    )
  })
  const { peer } = await openWebSocket(context)
  assert.equal(await peer.packet(), '2')
  peer.sendText('3')
  assert.equal(await peer.packet(), '2')
  assert.deepEqual(log, ['packetCreate ping', 'packet pong', 'heartbeat', 'packetCreate ping'])
})

test('a client that answers no ping times out, also where the connection closes at once', async () => {
  const context = await listen({ wsEngine, pingInterval: 100, pingTimeout: 300 })
  const closed = onceOfNext(context, 'close')
  const { peer, socket } = await openWebSocket(context)
  const { transport } = socket
  const { close } = transport.socket
  transport.socket.close = function () {
    transport.socket.emit('close', 1000, Buffer.alloc(0))
    close.call(this)
  }
  assert.deepEqual(await closed, ['ping timeout', undefined])
  await peer.closeFrame()
})

test('the end of the connection is a transport close', async () => {
  const { peer, socket } = await openWebSocket(await listen({ wsEngine }))
  const closed = once(socket, 'close')
  peer.socket.destroy()
  assert.deepEqual(await closed, ['transport close', undefined])
})

test('an error of the connection is a transport error with its name', async () => {
  const { peer, socket } = await openWebSocket(await listen({ wsEngine, maxHttpBufferSize: 10 }))
  const closed = once(socket, 'close')
  peer.sendText(`4${'x'.repeat(10)}`)
  const [reason, error] = await closed
  assert.equal(reason, 'transport error')
  assert.equal(error.type, 'TransportError')
  assert.match(error.message, /Max payload size exceeded/)
  assert.equal((await peer.closeFrame()).code, 1009)
})

test('what is no packet is a parse error, a ping from the client a transport error', async () => {
  for (const [packet, expected] of [
    ['9', 'parse error'],
    ['2', 'transport error'],
  ]) {
    const { peer, socket } = await openWebSocket(await listen({ wsEngine }))
    const closed = once(socket, 'close')
    const packets = record(socket, 'packet', (event, { type }) => type)
    peer.sendText(packet)
    const [reason, error] = await closed
    assert.equal(reason, expected)
    if (error) assert.deepEqual([error.message, error.type], ['invalid heartbeat direction', undefined])
    assert.deepEqual(packets, [packet === '9' ? 'error' : 'ping'])
    await peer.closeFrame()
  }
})

test('close() sends what waits, then a close frame', async () => {
  const { engine: attached, ...context } = await listen({ wsEngine })
  const { peer, socket } = await openWebSocket({ engine: attached, ...context })
  const closed = once(socket, 'close')
  socket.send('a').send('b').send('c').close()
  assert.deepEqual([await peer.packet(), await peer.packet(), await peer.packet()], ['4a', '4b', '4c'])
  assert.equal((await peer.frame()).opcode, 8)
  assert.deepEqual(await closed, ['forced close', undefined])
  assert.equal(attached.clientsCount, 0)
})

test('callbacks are called when the connection has written', async () => {
  const { socket } = await openUpgraded(await listen({ wsEngine }))
  const order = []
  await new Promise((resolve) => {
    socket.send('a', () => order.push('a'))
    socket.send('b', () => order.push('b'))
    socket.send('c', (transport) => resolve(order.push(transport.name)))
  })
  assert.deepEqual(order, ['a', 'b', 'websocket'])
  await eventually(() => socket.transport.writable, true)
})

test('a failed write ends the session with a write error', async () => {
  const { socket } = await openWebSocket(await listen({ wsEngine }))
  socket.transport.socket.send = (data, done) => done(new Error('no way'))
  const closed = once(socket, 'close')
  socket.send('x')
  const [reason, error] = await closed
  assert.deepEqual([reason, error.message], ['transport error', 'write error'])
  assert.match(error.description, /no way/)
})

test('frames that were encoded before are sent as they are', async () => {
  const { peer, socket } = await openWebSocket(await listen({ wsEngine }))
  const wsPreEncodedFrame = Sender.frame(Buffer.from('4prepared'), {
    readOnly: false,
    mask: false,
    rsv1: false,
    opcode: 1,
    fin: true,
  })
  socket.send('ignored', { wsPreEncodedFrame })
  assert.equal(await peer.packet(), '4prepared')
})

test("permessage-deflate is the other implementation's", async () => {
  const context = await listen({ wsEngine, perMessageDeflate: { threshold: 0 } })
  const ws = await wsClient(context.port, path(context, { transport: 'websocket' }), { perMessageDeflate: true })
  assert.match(ws.extensions, /permessage-deflate/)
  await ws.next()
  const [socket] = Object.values(context.engine.clients)
  socket.send('x'.repeat(1000))
  assert.equal(await ws.next(), `4${'x'.repeat(1000)}`)
})

test('clients of protocol 3 are served by it, text, binary and base64', async () => {
  for (const forceBase64 of [false, true]) {
    const context = await listen({ wsEngine, allowEIO3: true })
    const received = []
    context.engine.on('connection', (socket) => {
      assert.equal(socket.protocol, 3)
      socket.on('message', (data) => received.push(data) && socket.send(data))
    })
    const socket = client3(context, { transports: ['websocket'], forceBase64 })
    await once(socket, 'open')
    const answers = record(socket, 'message', (event, data) => data)
    socket.send('text')
    socket.send(Buffer.from([1, 2]))
    await eventually(() => answers.length, 2)
    assert.deepEqual(received, ['text', Buffer.from([1, 2])])
    assert.equal(answers[0], 'text')
    assert.deepEqual(Buffer.from(answers[1]), Buffer.from([1, 2]))
  }
})

test('a client of protocol 3 gets a pong for its ping, announced once', async () => {
  const context = await listen({ wsEngine, allowEIO3: true })
  const { peer, socket } = await openWebSocket(context, { EIO: '3' })
  const log = record(socket, ['packet', 'packetCreate', 'flush', 'drain', 'heartbeat'], (event) => event)
  peer.sendText('2')
  assert.equal(await peer.packet(), '3')
  assert.deepEqual(log, ['packet', 'packetCreate', 'flush', 'drain', 'heartbeat'])
})

test('server.close() closes the sessions and refuses new ones', async () => {
  const context = await listen({ wsEngine })
  const { peer, socket } = await openWebSocket(context)
  const closed = once(socket, 'close')
  context.engine.close()
  assert.deepEqual(await closed, ['forced close', undefined])
  await peer.closeFrame()
  const refused = await RawWebSocket.open(context.port, path(context, { transport: 'websocket' }))
  assert.equal(refused.status, 503)
})

test('an emitter that looks like a connection of ws is enough', async () => {
  class Fake extends EventEmitter {
    sent = []
    send(data, done) {
      this.sent.push(data)
      setImmediate(done)
    }
    close() {
      setImmediate(() => this.emit('close', 1005, Buffer.alloc(0)))
    }
  }
  const { engine: attached } = await listen()
  const connected = once(attached, 'connection')
  const websocket = new Fake()
  const req = {
    method: 'GET',
    url: '/engine.io/?EIO=4&transport=websocket',
    headers: {},
    connection: { remoteAddress: '1.2.3.4' },
  }
  attached.prepare(req)
  attached.onWebSocket(req, {}, websocket)
  const [socket] = await connected
  assert.equal(socket.remoteAddress, '1.2.3.4')
  assert.match(websocket.sent[0], /^0\{"sid"/)
  const message = once(socket, 'message')
  websocket.emit('message', Buffer.from('4hi'), false)
  assert.deepEqual(await message, ['hi'])
  websocket.emit('message', Buffer.from([1]), true)
  await eventually(() => socket.transport.writable, true)
  socket.send('answer')
  assert.equal(websocket.sent[1], '4answer')
  const closed = once(socket, 'close')
  socket.close()
  assert.deepEqual(await closed, ['forced close', undefined])
})

for (const [what, name, value] of [
  ['value', 'x-own', 'a\r\nx-other: b'],
  ['name', 'x own', 'a'],
]) {
  improvement('10: no answer', `an upgrade whose headers have an invalid ${what} is answered`, async () => {
    const context = await listen({ wsEngine })
    context.engine.on('headers', (headers) => (headers[name] = value))
    const errors = record(context.engine, 'connection_error', (event, error) => error.context.name)
    // of a name it is an exception of the application's, as on the engine's own connections
    const upgrade = context.engine.handleUpgrade
    context.engine.handleUpgrade = function (...args) {
      try {
        return upgrade.apply(this, args)
      } catch (error) {
        assert.equal(error.code, 'ERR_INVALID_HTTP_TOKEN')
      }
    }
    const peer = await RawWebSocket.open(context.port, path(context, { transport: 'websocket' }))
    assert.deepEqual([peer.status, peer.headers['x-other']], [500, undefined])
    assert.deepEqual(errors, what === 'name' ? [] : ['INVALID_HEADER'])
    await peer.end()
  })
}

test('a bad frame right behind the upgrade request ends the session, and nothing else', async () => {
  const context = await listen({ wsEngine })
  const peer = await RawWebSocket.request(context.port, path(context, { transport: 'websocket' }), {
    head: frame({ mask: false, payload: '4x' }),
  })
  await peer.response()
  await peer.end()
  await eventually(() => context.engine.clientsCount, 0)
})
