'use strict'

// Methods and fields of transports that applications patch and read, on sessions that are open.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  engine,
  listen,
  once,
  record,
  request,
  eventually,
  path,
  PollingPeer,
  openPolling,
  openWebSocket,
  openUpgraded,
} = require('../support')

/** Replaces a method by one that notes its calls and hands them on. */
function note(object, name, calls) {
  const original = object[name]
  object[name] = function (...args) {
    calls.push([name, ...args])
    return original.apply(this, args)
  }
}

for (const [name, open] of Object.entries({
  polling: openPolling,
  websocket: openWebSocket,
  'an upgraded session': openUpgraded,
})) {
  test(`a patched send gets the batches of packets: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    const poll = peer.packet ? undefined : await peer.pendingPoll()
    const { transport } = socket
    const { send } = transport
    transport.send = function (packets) {
      send.call(this, packets.concat({ type: 'message', data: 'extra' }))
    }
    socket.send('own')
    if (poll) assert.equal((await poll.response).body, '4own\x1e4extra')
    else assert.deepEqual([await peer.packet(), await peer.packet()], ['4own', '4extra'])
  })

  test(`a send replaced by somebody who delivers otherwise keeps the packets from the client: ${name}`, async () => {
    const { socket } = await open(await listen())
    const batches = []
    const { transport } = socket
    transport.send = function (packets) {
      this.writable = false
      batches.push(packets.map(({ type, data }) => [type, data]))
    }
    transport.writable = true
    socket.send('a')
    assert.equal(transport.writable, false)
    socket.send('b')
    socket.send('c')
    assert.deepEqual(batches, [[['message', 'a']]])
    transport.writable = true
    transport.emit('drain')
    transport.emit('ready')
    assert.deepEqual(batches[1], [
      ['message', 'b'],
      ['message', 'c'],
    ])
  })

  test(`nothing is sent while writable is false, and the buffer once it is true: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    const poll = peer.packet ? undefined : await peer.pendingPoll()
    assert.equal(socket.transport.writable, true)
    socket.transport.writable = false
    socket.send('a')
    assert.equal(socket.writeBuffer.length, 1)
    socket.transport.writable = true
    socket.flush()
    assert.equal(socket.transport.writable, false, 'not before this batch is written')
    assert.equal(poll ? (await poll.response).body : await peer.packet(), '4a')
  })

  test(`a patched close is called when the session is closed, with a callback that ends it: ${name}`, async () => {
    const { socket } = await open(await listen())
    const { close } = socket.transport
    const calls = []
    socket.transport.close = function (fn) {
      calls.push(typeof fn)
      if (calls.length === 1) this.held = () => close.call(this, fn)
    }
    socket.close()
    assert.deepEqual(calls, ['function'])
    assert.equal(socket.readyState, 'closing')
    const closed = once(socket, 'close')
    socket.transport.discard()
    socket.transport.held()
    assert.deepEqual(await closed, ['forced close', undefined])
  })

  test(`a patched close is called when the session ends by itself: ${name}`, async () => {
    const { socket } = await open(await listen({ pingInterval: 800, pingTimeout: 400 }))
    const calls = []
    note(socket.transport, 'close', calls)
    const [reason] = await once(socket, 'close')
    assert.equal(reason, 'ping timeout')
    assert.equal(calls.length, 1)
  })

  test(`a patched doClose is called once per transport: ${name}`, async () => {
    const { socket } = await open(await listen())
    const calls = []
    note(socket.transport, 'doClose', calls)
    const closed = once(socket, 'close')
    socket.close(true)
    await closed
    assert.equal(calls.length, 1)
    assert.equal(typeof calls[0][1], 'function')
  })

  test(`the state of the transport follows its life: ${name}`, async () => {
    const { socket } = await open(await listen())
    const { transport } = socket
    assert.deepEqual([transport.readyState, transport.discarded], ['open', false])
    const closed = once(socket, 'close')
    socket.close(true)
    await closed
    assert.equal(transport.discarded, true)
    assert.match(transport.readyState, /^clos/, 'a websocket is closed when the client has answered')
  })
}

test('patched request methods of a polling transport are called with request and response', async () => {
  const { peer, socket } = await openPolling(await listen())
  const calls = []
  for (const name of ['onRequest', 'onPollRequest', 'onDataRequest']) note(socket.transport, name, calls)
  await peer.post('4x')
  socket.send('y')
  assert.equal((await peer.poll()).body, '4y')
  assert.deepEqual(
    calls.map(([name, req, res]) => [name, req.method, res && typeof res.writeHead]),
    [
      ['onRequest', 'POST', undefined],
      ['onDataRequest', 'POST', 'function'],
      ['onRequest', 'GET', undefined],
      ['onPollRequest', 'GET', 'function'],
    ],
  )
})

test('a patched onRequest may answer by itself', async () => {
  const { peer, socket } = await openPolling(await listen())
  const { onRequest } = socket.transport
  socket.transport.onRequest = function (req) {
    if (req.headers['x-mine']) req.res.writeHead(202).end('mine')
    else onRequest.call(this, req)
  }
  assert.equal((await peer.poll({ 'x-mine': '1' })).body, 'mine')
  assert.equal((await peer.post('4x')).body, 'ok')
})

test('a patched onDataRequest may read the body itself and hand packets on', async () => {
  const { peer, socket } = await openPolling(await listen())
  const messages = record(socket, 'message', (event, data) => data)
  socket.transport.onDataRequest = function (req, res) {
    req.resume().on('end', () => {
      this.onPacket({ type: 'message', data: 'instead' })
      res.end('taken')
    })
  }
  assert.equal((await peer.post('4x')).body, 'taken')
  assert.deepEqual(messages, ['instead'])
})

test('a patched onData gets the payloads of POSTs', async () => {
  const { peer, socket } = await openPolling(await listen())
  const messages = record(socket, 'message', (event, data) => data)
  const { onData } = socket.transport
  socket.transport.onData = function (data) {
    onData.call(this, data.replaceAll('x', 'y'))
  }
  assert.equal((await peer.post('4x1\x1e4x2')).body, 'ok')
  assert.deepEqual(messages, ['y1', 'y2'])
  const poll = await peer.pendingPoll()
  const closed = once(socket, 'close')
  await peer.post('1')
  assert.deepEqual(await closed, ['transport close', undefined])
  assert.equal((await poll.response).body, '6')
})

test('a patched write gets the payloads of polls', async () => {
  const { peer, socket } = await openPolling(await listen())
  const { write } = socket.transport
  const options = []
  socket.transport.write = function (data, its) {
    options.push(its)
    write.call(this, `${data}\x1e4more`, its)
  }
  socket.send('a', { compress: false })
  assert.equal((await peer.poll()).body, '4a\x1e4more')
  assert.deepEqual(options, [{ compress: false }])
})

test('a patched headers adds to the headers of polls and POSTs', async () => {
  const { peer, socket } = await openPolling(await listen())
  const { headers } = socket.transport
  socket.transport.headers = function (req, extra) {
    return Object.assign(headers.call(this, req, extra), { 'x-method': req.method })
  }
  assert.equal((await peer.post('4x')).headers['x-method'], 'POST')
  socket.send('y')
  assert.equal((await peer.poll()).headers['x-method'], 'GET')
})

test("listeners of the transport's headers event see each response", async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.transport.on('headers', (headers, req) => (headers['x-method'] = req.method))
  assert.equal((await peer.post('4x')).headers['x-method'], 'POST')
})

test('req and res are the pending poll, dataReq and dataRes the POST in progress', async () => {
  const { peer, socket } = await openPolling(await listen())
  const { transport } = socket
  assert.deepEqual([transport.req, transport.res], [null, null])
  const poll = await peer.pendingPoll()
  assert.equal(transport.req.method, 'GET')
  assert.equal(typeof transport.res.writeHead, 'function')
  const post = await peer.pendingPost('4')
  assert.equal(transport.dataReq.method, 'POST')
  assert.equal(typeof transport.dataRes.writeHead, 'function')
  post.req.end('x')
  await post.response
  assert.deepEqual([transport.dataReq, transport.dataRes], [null, null])
  socket.send('y')
  await poll.response
  await eventually(() => [transport.req, transport.res], [null, null])
})

test('a poll is refused while req says that somebody else has one', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.transport.req = true
  const closed = once(socket, 'close')
  assert.equal((await peer.poll()).status, 400)
  const [reason, error] = await closed
  assert.deepEqual([reason, error.message], ['transport error', 'overlap from client'])
})

test('closeTimeout is how long a graceful close waits for a poll', async () => {
  const { socket } = await openPolling(await listen())
  assert.equal(socket.transport.closeTimeout, 30000)
  socket.transport.closeTimeout = 50
  const closed = once(socket, 'close')
  socket.close()
  assert.equal(socket.readyState, 'closing')
  assert.deepEqual(await closed, ['forced close', undefined])
})

test('shouldClose ends a graceful close that waits for a poll', async () => {
  const { socket } = await openPolling(await listen())
  assert.ok(!socket.transport.shouldClose)
  const closed = once(socket, 'close')
  socket.close()
  assert.equal(socket.readyState, 'closing')
  socket.transport.shouldClose()
  assert.deepEqual(await closed, ['forced close', undefined])
})

test('a poll within closeTimeout ends a graceful close', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.transport.closeTimeout = 2000
  const closed = once(socket, 'close')
  socket.close()
  assert.match((await peer.poll()).body, /1$/)
  assert.deepEqual(await closed, ['forced close', undefined])
})

test('opts.maxHttpBufferSize of a transport is what its POSTs may have', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.transport.opts.maxHttpBufferSize = 3
  assert.equal((await peer.post('4ab')).status, 200)
  assert.equal((await peer.post('4abc')).status, 413)
})

test('pings go through a send that somebody has replaced on a polling transport', async () => {
  const { socket } = await openPolling(await listen({ pingInterval: 300, pingTimeout: 5000 }))
  const batches = []
  const { transport } = socket
  transport.req = true
  transport.writable = true
  transport.send = function (packets) {
    this.writable = false
    this.req = null
    batches.push(packets.map(({ type }) => type))
  }
  for (let n = 1; n <= 3; n++) {
    await eventually(() => batches.length, n)
    socket.onPacket({ type: 'pong' })
    transport.writable = true
  }
  assert.deepEqual(batches.flat(), ['ping', 'ping', 'ping'])
  assert.equal(socket.readyState, 'open')
})

test('a method patched on the prototype counts for transports of open sessions', async (t) => {
  const { peer, socket } = await openPolling(await listen())
  const prototype = Object.getPrototypeOf(socket.transport)
  const { headers } = prototype
  t.after(() => (prototype.headers = headers))
  prototype.headers = function (...args) {
    return Object.assign(headers.apply(this, args), { 'x-patched': '1' })
  }
  assert.equal((await peer.post('4x')).headers['x-patched'], '1')
})

test('send and flush patched on prototypes, as tracing tools do it, see what is sent on open sessions', async (t) => {
  const { peer, socket } = await openWebSocket(await listen())
  const calls = []
  for (const [prototype, name] of [
    [engine.transports.websocket.prototype, 'send'],
    [engine.Socket.prototype, 'flush'],
    [engine.Socket.prototype, 'sendPacket'],
    [engine.Socket.prototype, 'send'],
  ]) {
    const original = prototype[name]
    t.after(() => (prototype[name] = original))
    prototype[name] = function (...args) {
      calls.push(name)
      return original.apply(this, args)
    }
  }
  socket.send('x')
  assert.equal(await peer.packet(), '4x')
  assert.deepEqual([...new Set(calls)].sort(), ['flush', 'send', 'sendPacket'])
  assert.equal(calls.filter((name) => name === 'send').length, 2)
})

test('transports may be exchanged in the transports object', async (t) => {
  const { websocket } = engine.transports
  t.after(() => (engine.transports.websocket = websocket))
  engine.transports.websocket = class extends websocket {
    get isMine() {
      return true
    }
  }
  const { socket } = await openWebSocket(await listen())
  assert.equal(socket.transport.isMine, true)
})

test('an onClose of a subclass is called once when the client of a websocket goes', async (t) => {
  const { websocket } = engine.transports
  t.after(() => (engine.transports.websocket = websocket))
  let calls = 0
  engine.transports.websocket = class extends websocket {
    onClose() {
      calls++
      super.onClose()
    }
  }
  const { peer, socket } = await openWebSocket(await listen())
  const closed = once(socket, 'close')
  peer.sendClose()
  assert.deepEqual(await closed, ['transport close', undefined])
  await eventually(() => calls, 1)
})

test('a replaced onClose is called once when a polling client goes', async () => {
  const { peer, socket } = await openPolling(await listen())
  const calls = []
  note(socket.transport, 'onClose', calls)
  const closed = once(socket, 'close')
  await peer.post('1')
  assert.deepEqual(await closed, ['transport close', undefined])
  assert.equal(calls.length, 1)
})

test('a replaced onClose of the old transport is called when a session is upgraded, which goes on', async () => {
  const context = await listen()
  const calls = []
  context.engine.on('connection', (socket) => note(socket.transport, 'onClose', calls))
  const { peer, socket } = await openUpgraded(context)
  await eventually(() => calls.length, 1)
  socket.send('x')
  assert.equal(await peer.packet(), '4x')
})

for (const [name, act] of Object.entries({
  "emit('close')": (transport) => transport.emit('close'),
  "emit('error')": (transport) => transport.emit('error', new Error('late')),
  "emit('packet')": (transport) => transport.emit('packet', { type: 'message', data: 'late' }),
  'onClose()': (transport) => transport.onClose(),
  'onError()': (transport) => transport.onError('late'),
  'onPacket()': (transport) => transport.onPacket({ type: 'message', data: 'late' }),
  'onData()': (transport) => transport.onData('4late'),
  'close()': (transport) => transport.close(),
  'doClose()': (transport) => transport.doClose(() => {}),
})) {
  test(`${name} of the transport that a session has been upgraded from does not concern the session`, async () => {
    const context = await listen()
    let old
    context.engine.on('connection', (socket) => (old = socket.transport))
    const { peer, socket } = await openUpgraded(context)
    const events = record(socket, ['message', 'close'])
    act(old)
    peer.sendText('4next')
    await eventually(() => events, [['message', 'next']])
    assert.equal(socket.readyState, 'open')
  })
}

for (const [event, args, reason] of [
  ['packet', [{ type: 'message', data: 'x' }], undefined],
  ['error', [new Error('by hand')], 'transport error'],
  ['close', [], 'transport close'],
]) {
  test(`a ${event} event that somebody emits on the transport reaches the session`, async () => {
    for (const open of [openPolling, openWebSocket]) {
      const { socket } = await open(await listen())
      const log = record(socket, ['message', 'close'])
      socket.transport.emit(event, ...args)
      assert.deepEqual(log, [reason === undefined ? ['message', 'x'] : ['close', reason, args[0]]])
    }
  })
}

test('a patched onData of a JSONP transport gets the form that was posted', async () => {
  const context = await listen()
  const connected = once(context.engine, 'connection')
  const response = await request({ port: context.port, path: path(context, { j: '0' }) })
  const [socket] = await connected
  const peer = new PollingPeer(context, { j: '0' }, { ...response, body: `0${JSON.stringify({ sid: socket.id })}` })
  const calls = []
  note(socket.transport, 'onData', calls)
  const message = once(socket, 'message')
  await peer.post('d=4a', { 'Content-Type': 'application/x-www-form-urlencoded' })
  assert.deepEqual(await message, ['a'])
  assert.deepEqual(calls, [['onData', 'd=4a']])
})
