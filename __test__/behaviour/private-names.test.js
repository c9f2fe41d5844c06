'use strict'

// Applications and subclasses keep state of their own on the engine's objects, under any name.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  client,
  defer,
  deadline,
  engine,
  eventually,
  listen,
  once,
  openPolling,
  openUpgraded,
  openWebSocket,
  request,
  upstream,
} = require('../support')
const { serve } = require('../support/subclass')

const NAMES =
  `abortPost accept address answer apply awaited buffer callbacks channel check client clients close closed closing closer
  cleanupFn configure congested connection connections context data deflate destroyed dispatch drained emitError end ended engine
  error events_ fail fields finish flags flush gone handler handlers headers hears held id idle index init isNative isOpen kind
  limits listed listen listened listener listeners make message messages mode name nodeId number onClose onClosed onDrain
  onEvent onMessage onOpen onOpened onPacket onRequest open opening opts options over owned owner packet packets packetsFn parent
  path paused peer pending periods ping poll polled port probe probeChannel protocol pump queue reader ready record refuse
  registered relay relayed remoteAddress req request requests res respond response resume rooms send sendOne sent sentCallbackFn
  server session sessions settle show sid size start state status stream streams tag take tick timer timing token traced transport
  transports unregister upgrade upgrades user userData verbose verify version wait waiting watching websocket wrap write
  writeBuffer writer written ws`
    .split(/\s+/)
    .map((name) => `_${name}`)

/** Takes every name on an object for the application, which must not have met it before. */
function claim(object) {
  for (const name of NAMES) {
    assert.equal(name in object, false, `${object.constructor.name} has ${name}`)
    object[name] = `mine: ${name}`
  }
}

function assertClaimed(object) {
  for (const name of NAMES) assert.equal(object[name], `mine: ${name}`)
}

class Claiming extends engine.Server {
  constructor(opts) {
    super(opts)
    claim(this)
  }

  createTransport(name, req) {
    const transport = super.createTransport(name, req)
    claim(transport)
    return transport
  }
}

/** A server whose every object is full of somebody else's members, and echoes. */
async function serveClaimed(opts) {
  const context = await serve(Claiming, opts)
  context.engine.on('connection', (socket) => {
    claim(socket)
    // `ws` itself has such names
    if (!upstream && !opts.wsEngine) {
      if (socket.transport.socket) claim(socket.transport.socket)
      socket.on('upgrade', ({ socket: websocket }) => claim(websocket))
    }
    socket.on('message', (data) => socket.send(data, () => {}))
  })
  return context
}

async function echoes(context, options) {
  const connected = once(context.engine, 'connection')
  const peer = client(context, options)
  const [socket] = await connected
  if (options === undefined) await once(socket, 'upgrade')
  for (const text of ['a', 'b']) {
    const heard = once(peer, 'message')
    peer.send(text)
    assert.equal((await heard)[0], text)
  }
  await once(socket, 'heartbeat')
  const closed = once(socket, 'close')
  peer.close()
  await closed
  for (const object of [context.engine, socket, socket.transport]) assertClaimed(object)
  assert.equal(context.engine.clientsCount, 0)
}

for (const [title, options] of [
  ['a session that polls', { transports: ['polling'] }],
  ['a WebSocket session', { transports: ['websocket'] }],
  ['a session that moves to a WebSocket', undefined],
]) {
  test(`the application's own members, of any name, are in nobody's way: ${title}`, async () => {
    await echoes(await serveClaimed({ pingInterval: 100 }), options)
  })
}

test('the same with compression, with limits that are not reached and with a foreign WebSocket engine', async () => {
  const deflated = await serveClaimed({
    pingInterval: 100,
    perMessageDeflate: { threshold: 0 },
    httpCompression: { threshold: 0 },
  })
  await echoes(deflated)
  await echoes(await serveClaimed({ pingInterval: 100, maxBackpressure: 1e6, limits: { maxConnections: 10 } }))
  await echoes(await serveClaimed({ pingInterval: 100, wsEngine: require('ws').Server }))
})

test('printing, copying and comparing show nothing that the engine keeps for itself', async () => {
  const context = await listen()
  const { socket } = await openUpgraded(context)
  for (const object of [context.engine, socket, socket.transport]) {
    const copy = Object.assign({}, object)
    assert.deepEqual(Reflect.ownKeys({ ...object }), Reflect.ownKeys(copy))
    for (const key of Reflect.ownKeys(copy))
      assert.match(
        String(key),
        /^(?!_(?!events|eventsCount|maxListeners|readyState|onSent|doSend))|kCapture|shapeMode/,
        key,
      )
  }
  assert.throws(() => structuredClone(socket), { name: 'DataCloneError' })
})

test('members of a session can be deleted', async () => {
  const context = await listen()
  for (const open of [openPolling, openWebSocket, openUpgraded]) {
    const { socket } = await open(context)
    for (const name of ['request', 'remoteAddress', 'upgraded']) {
      assert.equal(delete socket[name], true, name)
      assert.equal(Object.hasOwn(socket, name), false, name)
    }
    assert.equal(socket.request, undefined)
    assert.equal(socket.remoteAddress, undefined)
  }
})

test("a session whose id is changed or deleted leaves its server's clients when it ends", async () => {
  const context = await listen()
  for (const open of [openPolling, openWebSocket]) {
    const [changed, deleted] = [(await open(context)).socket, (await open(context)).socket]
    changed.id = 'mine'
    delete deleted.id
    assert.equal(Object.keys(context.engine.clients).length, 2)
    for (const socket of [changed, deleted]) socket.close(true)
    await eventually(() => Object.keys(context.engine.clients), [])
    assert.equal(context.engine.clientsCount, 0)
  }
})

test('what is deleted of a session is not missed by its clients', async () => {
  const context = await listen()
  context.engine.on('connection', (socket) => {
    delete socket.request
    delete socket.remoteAddress
    socket.on('message', (data) => socket.send(data))
  })
  for (const transports of [['polling'], ['websocket']]) {
    const peer = client(context, { transports })
    const heard = once(peer, 'message')
    await once(peer, 'open')
    peer.send('a')
    assert.equal((await heard)[0], 'a')
  }
})

test('transports, sessions and connections can be used through a Proxy', async () => {
  class Proxied extends engine.Server {
    createTransport(name, req) {
      return new Proxy(super.createTransport(name, req), {})
    }
  }
  const context = await serve(Proxied)
  context.engine.on('connection', (socket) => {
    const proxy = new Proxy(socket, {})
    proxy.on('message', (data) => proxy.send(data))
    proxy.once('close', () => context.engine.emit('gone'))
  })
  for (const transports of [['polling'], ['websocket']]) {
    const peer = client(context, { transports })
    await once(peer, 'open')
    const heard = once(peer, 'message')
    peer.send('a')
    assert.equal((await heard)[0], 'a')
    const gone = once(context.engine, 'gone')
    peer.close()
    await gone
  }
})

test('an engine can be used through a Proxy', async () => {
  const context = await listen()
  const proxy = new Proxy(context.engine, {})
  context.server.removeAllListeners('request')
  context.server.on('request', (req, res) => proxy.handleRequest(req, res))
  const connected = once(proxy, 'connection')
  const response = await request({ port: context.port, path: '/engine.io/?EIO=4&transport=polling' })
  assert.equal(response.status, 200)
  const [socket] = await connected
  assert.equal(proxy.clients[socket.id], socket)
  defer(() => socket.close(true))
  proxy.close()
  await deadline(new Promise((resolve) => setImmediate(resolve)), 'close')
  assert.equal(proxy.clientsCount, 0)
})
