'use strict'

// Sessions on an app of uWebSockets.js.

const assert = require('node:assert/strict')
const { test: run } = require('node:test')
const {
  engine,
  client,
  once,
  record,
  eventually,
  improvement,
  request,
  path,
  defer,
  RawWebSocket,
  openPolling,
  openWebSocket,
  openProbing,
  openUpgraded,
  upgradeTo,
  probe,
} = require('../support')
const { client3 } = require('../support/eio3')
const { listenOnUws, uWS, skip } = require('../support/userver')

const test = (name, fn) => run(name, { skip }, fn)

test('text and binary messages pass both ways by polling', async () => {
  const { peer, socket } = await openPolling(await listenOnUws())
  const messages = record(socket, 'message', (event, data) => data)
  const answer = await peer.post('4hello\x1ebAQI=')
  assert.deepEqual([answer.status, answer.body], [200, 'ok'])
  assert.deepEqual(messages, ['hello', Buffer.from([1, 2])])
  socket.send('€')
  socket.send(Buffer.from([3]))
  assert.equal((await peer.poll()).body, '4€\x1ebAw==')
})

test('text and binary messages pass both ways by websocket', async () => {
  const { peer, socket } = await openWebSocket(await listenOnUws())
  const messages = record(socket, 'message', (event, data) => data)
  peer.sendText('4hello')
  peer.sendBinary(Buffer.from([1, 2]))
  await eventually(() => messages, ['hello', Buffer.from([1, 2])])
  socket.send('€')
  socket.send(Buffer.from([3]))
  assert.equal(await peer.packet(), '4€')
  assert.deepEqual((await peer.frame()).payload, Buffer.from([3]))
})

for (const [EIO, bytes] of [
  ['4', [1, 2]],
  ['3', [4, 1, 2]],
]) {
  test(`onData gets bytes as an ArrayBuffer, listeners as a Buffer: protocol ${EIO}`, async () => {
    const { peer, socket } = await openWebSocket(await listenOnUws({ allowEIO3: true }), { EIO })
    const { onData } = socket.transport
    const given = []
    socket.transport.onData = function (data) {
      given.push(data)
      return onData.call(this, data)
    }
    const messages = record(socket, 'message', (event, data) => data)
    peer.sendBinary(Buffer.from(bytes))
    await eventually(() => messages, [Buffer.from([1, 2])])
    assert.ok(given[0] instanceof ArrayBuffer)
  })
}

test('received bytes stay what they are after the connection has reused its memory', async () => {
  const { peer, socket } = await openWebSocket(await listenOnUws())
  const messages = record(socket, 'message', (event, data) => data)
  for (let n = 0; n < 5; n++) peer.sendBinary(Buffer.alloc(1000, n))
  await eventually(() => messages.length, 5)
  assert.deepEqual(
    messages,
    [0, 1, 2, 3, 4].map((n) => Buffer.alloc(1000, n)),
  )
})

test('the real client connects by polling, upgrades, and exchanges messages', async () => {
  const context = await listenOnUws()
  context.engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const socket = client(context, {})
  await once(socket, 'upgrade')
  await eventually(() => Object.values(context.engine.clients)[0].transport.name, 'websocket')
  for (const data of ['text', 'x'.repeat(100_000)]) {
    socket.send(data)
    assert.deepEqual(await once(socket, 'message'), [data])
  }
})

test('a session moves to a websocket without losing a packet', async () => {
  const { peer, polling, socket } = await openProbing(await listenOnUws())
  const upgraded = once(socket, 'upgrade')
  socket.send('waiting')
  peer.sendText('5')
  assert.equal((await upgraded)[0], socket.transport)
  assert.equal(await peer.packet(), '4waiting')
  assert.equal((await polling.poll()).status, 400)
})

test('a pending poll is answered with a noop during an upgrade', async () => {
  const context = await listenOnUws()
  const { peer: polling, socket } = await openPolling(context)
  const poll = polling.poll()
  await eventually(() => socket.transport.writable, true)
  await probe(context, polling.sid)
  assert.equal((await poll).body, '6')
})

test('an upgrade that goes wrong leaves the session on polling', async () => {
  const context = await listenOnUws()
  const { peer: polling, socket } = await openPolling(context)
  const peer = await upgradeTo(context, polling.sid)
  peer.sendText('4no probe')
  await peer.end()
  await eventually(() => socket.upgrading, false)
  assert.equal((await polling.post('4x')).status, 200)
})

test('a second websocket for a session that is upgrading or upgraded gets no answer', async () => {
  const context = await listenOnUws()
  const { polling } = await openProbing(context)
  const second = await RawWebSocket.request(context.port, path(context, { transport: 'websocket', sid: polling.sid }))
  await second.end()
  assert.equal(second.text, '')
})

test("the transport's socket is the connection of uWebSockets.js, which can subscribe to topics", async () => {
  const context = await listenOnUws()
  const { peer, socket } = await openWebSocket(context)
  const { peer: upgraded, socket: second } = await openUpgraded(context)
  for (const { transport } of [socket, second]) transport.socket.subscribe('news')
  context.app.publish('news', '4to all', false)
  assert.deepEqual([await peer.packet(), await upgraded.packet()], ['4to all', '4to all'])
  assert.equal(socket.transport.socket.isSubscribed('news'), true)
  socket.transport.socket.unsubscribe('news')
  context.app.publish('news', '4to one', false)
  assert.equal(await upgraded.packet(), '4to one')
})

test('callbacks are called, and the transport is writable again', async () => {
  const { peer, socket } = await openWebSocket(await listenOnUws())
  const called = []
  socket.send('a', () => called.push('a'))
  socket.send('b', (transport) => called.push(transport.name))
  assert.deepEqual([await peer.packet(), await peer.packet()], ['4a', '4b'])
  assert.deepEqual(called, ['a', 'websocket'])
  assert.equal(socket.transport.writable, true)
})

for (const [name, open] of Object.entries({ polling: openPolling, websocket: openWebSocket })) {
  test(`heartbeats keep the session open, and their absence ends it: ${name}`, async () => {
    const { peer, socket } = await open(await listenOnUws({ pingInterval: 60, pingTimeout: 600 }))
    const heartbeat = once(socket, 'heartbeat')
    assert.equal(peer.packet ? await peer.packet() : (await peer.poll()).body, '2')
    if (peer.packet) peer.sendText('3')
    else await peer.post('3')
    await heartbeat
    assert.deepEqual(await once(socket, 'close'), ['ping timeout', undefined])
  })

  test(`what is no packet is a parse error: ${name}`, async () => {
    const { peer, socket } = await open(await listenOnUws())
    const closed = once(socket, 'close')
    if (peer.packet) peer.sendText('9')
    else await peer.post('9')
    assert.deepEqual(await closed, ['parse error', undefined])
  })

  test(`close() ends the session with what was sent before: ${name}`, async () => {
    const context = await listenOnUws()
    const { peer, socket } = await open(context)
    const closed = once(socket, 'close')
    socket.send('last').close()
    if (peer.packet) assert.equal(await peer.packet(), '4last')
    else assert.match((await peer.poll()).body, /^4last/)
    if (!peer.packet) assert.match((await peer.poll()).body, /1$/)
    assert.deepEqual(await closed, ['forced close', undefined])
    assert.equal(context.engine.clientsCount, 0)
  })
}

test('the end of the connection is a transport close', async () => {
  const context = await listenOnUws()
  const { peer, socket } = await openWebSocket(context)
  const closed = once(socket, 'close')
  peer.socket.destroy()
  assert.deepEqual(await closed, ['transport close', undefined])
  socket.transport.close()
  assert.equal(context.engine.clientsCount, 0)
})

test('a client that goes away during a poll ends its session', async () => {
  const { peer, socket } = await openPolling(await listenOnUws())
  const poll = peer.poll()
  await eventually(() => socket.transport.writable, true)
  const closed = once(socket, 'close')
  poll.req.destroy()
  const [reason, error] = await closed
  assert.deepEqual([reason, error.message], ['transport error', 'poll connection closed prematurely'])
})

test('a close packet by POST ends the session', async () => {
  const { peer, socket } = await openPolling(await listenOnUws())
  const closed = once(socket, 'close')
  assert.equal((await peer.post('1')).body, 'ok')
  assert.deepEqual(await closed, ['transport close', undefined])
})

test('two polls at once end the session', async () => {
  const { peer, socket } = await openPolling(await listenOnUws())
  const first = peer.poll()
  await eventually(() => socket.transport.writable, true)
  const closed = once(socket, 'close')
  const second = await peer.poll()
  assert.deepEqual([second.status, second.body], [500, ''])
  assert.equal((await first).body, '1')
  const [reason, error] = await closed
  assert.deepEqual([reason, error.message], ['transport error', 'overlap from client'])
})

test('two POSTs at once end the session', async () => {
  const { peer, socket } = await openPolling(await listenOnUws())
  const first = peer.request({ method: 'POST', headers: { 'content-length': '100' }, body: null })
  first.req.write('4half')
  await eventually(() => Boolean(socket.transport.dataReq), true)
  const closed = once(socket, 'close')
  const second = await peer.post('4a')
  assert.deepEqual([second.status, second.body], [500, ''])
  const [reason, error] = await closed
  assert.deepEqual([reason, error.message], ['transport error', 'data request overlap from client'])
  first.req.destroy()
})

for (const [kind, open] of [
  ['polling', openPolling],
  ['websocket', openWebSocket],
]) {
  test(`a ${kind} transport has the server's options that concern it`, async () => {
    const { socket } = await open(await listenOnUws({ maxBufferedChunks: 7, perMessageDeflate: { threshold: 5 } }))
    assert.deepEqual(socket.transport.opts, {
      perMessageDeflate: { threshold: 5 },
      maxHttpBufferSize: 1000000,
      maxBufferedChunks: 7,
      httpCompression: { threshold: 1024 },
      httpRequestBodyTimeout: 30000,
    })
    assert.equal(Object.keys(socket.transport).includes('perMessageDeflate'), false)
  })
}

test('server.close() closes all sessions', async () => {
  const context = await listenOnUws()
  const { peer, socket } = await openWebSocket(context)
  await openPolling(context)
  const closed = once(socket, 'close')
  context.engine.close()
  assert.deepEqual(await closed, ['forced close', undefined])
  assert.equal((await peer.closeFrame()).opcode, 8)
  assert.equal(context.engine.clientsCount, 0)
})

test('a message larger than maxHttpBufferSize ends a websocket session, and a POST of that size is refused', async () => {
  const context = await listenOnUws({ maxHttpBufferSize: 100 })
  const { peer, socket } = await openWebSocket(context)
  const closed = once(socket, 'close')
  peer.sendText(`4${'x'.repeat(100)}`)
  assert.equal((await closed)[0], 'transport close')
  const { peer: polling } = await openPolling(context)
  assert.equal((await polling.post(`4${'x'.repeat(100)}`)).status, 413)
})

test('clients of protocol 3 are served', async () => {
  const context = await listenOnUws({ allowEIO3: true })
  context.engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  for (const transports of [['polling'], ['websocket']]) {
    const socket = client3(context, { transports })
    await once(socket, 'open')
    socket.send('old')
    assert.equal((await once(socket, 'message'))[0], 'old')
  }
})

test("the request's url is its path; the query stands beside it", async () => {
  const { socket } = await openPolling(await listenOnUws(), { nsp: 'a' })
  assert.equal(socket.request.url, '/engine.io/')
  assert.equal(socket.request._query.nsp, 'a')
})

test('data that uWebSockets.js does not send is an exception, and the session stays', async () => {
  const context = await listenOnUws()
  const errors = []
  const others = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection').on('unhandledRejection', (error) => errors.push(error.message))
  defer(() => {
    process.removeAllListeners('unhandledRejection')
    for (const listener of others) process.on('unhandledRejection', listener)
  })
  context.engine.on('connection', (socket) => socket.send(new DataView(new ArrayBuffer(1))))
  const { socket } = await openWebSocket(context)
  await eventually(() => errors.length, 1)
  assert.match(errors[0], /Text and data can only be passed/)
  assert.deepEqual([socket.readyState, context.engine.clientsCount], ['open', 1])
})

test('there is no polling by script tags', async () => {
  const { peer, socket } = await openPolling(await listenOnUws(), { j: '0' })
  assert.equal(peer.response.headers['content-type'], 'text/plain; charset=UTF-8')
  const message = once(socket, 'message')
  assert.equal((await peer.post('4d=x')).body, 'ok')
  assert.equal((await message)[0], 'd=x')
})

improvement(
  'A-8: messages beyond maxBackpressure are dropped without a word',
  'a slow client gets everything it was sent',
  async () => {
    if (skip) return
    const { peer, socket } = await openWebSocket(await listenOnUws({ maxBackpressure: 64 * 1024 }))
    peer.socket.pause()
    const count = 400
    for (let n = 0; n < count; n++) socket.send(`${n}:${'x'.repeat(50_000)}`)
    await eventually(() => socket.transport.writable, false)
    peer.socket.resume()
    for (let n = 0; n < count; n++) assert.ok((await peer.packet()).startsWith(`4${n}:`), `message ${n}`)
  },
)

test('HTTP long polling by scripts, requests without upgrade and unknown ids are told apart', async () => {
  const context = await listenOnUws()
  const answers = []
  for (const query of [{ transport: 'websocket' }, { sid: 'x' }, { transport: 'none' }, { EIO: '3' }]) {
    answers.push((await request({ port: context.port, path: path(context, query) })).body)
  }
  assert.deepEqual(
    answers.map((body) => JSON.parse(body).code),
    [3, 1, 0, 5],
  )
})

improvement('A-8: TypeError about app.any', 'attach with something that is no app says what it wants', () => {
  const attached = new engine.uServer()
  for (const app of [undefined, null, {}, require('node:http').createServer()]) {
    assert.throws(() => attached.attach(app), {
      name: 'TypeError',
      message: /uServer\.attach\(\) takes an app of uWebSockets\.js/,
    })
  }
})

test('the class has the methods of a server and no HTTP server', () => {
  const attached = new engine.uServer({ pingInterval: 5 })
  assert.equal(attached.opts.pingInterval, 5)
  assert.equal(attached.httpServer, undefined)
  assert.deepEqual(
    [typeof attached.close, typeof attached.use, typeof attached.generateId],
    ['function', 'function', 'function'],
  )
  assert.ok(uWS.App)
})
