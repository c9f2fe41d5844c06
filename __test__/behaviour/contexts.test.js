'use strict'

// AsyncLocalStorage: which context events and callbacks run in. Those of a connection run in no request's context, as those of
// Node's own sockets; what a call sets off runs in the context of the call; nobody ever sees what belongs to another client.

const assert = require('node:assert/strict')
const { AsyncLocalStorage, createHook, executionAsyncId } = require('node:async_hooks')
const http = require('node:http')
const https = require('node:https')
const { test } = require('node:test')
const eio = require('engine.io-client')
const { WebSocketServer } = require('ws')
const {
  bind,
  client,
  defer,
  delay,
  duplexPair,
  engine,
  eventually,
  improvement,
  listen,
  listenDirectly,
  once,
  openPolling,
  openProbing,
  openUpgraded,
  openWebSocket,
  path,
  RawWebSocket,
  runFixture,
  times,
  upstream,
} = require('../support')
const { key, cert } = require('../fixtures/tls')
const userver = require('../support/userver')

const als = new AsyncLocalStorage()

/** Has each request of an HTTP server handled in a context of its own, named by its header `user`. */
function separate(server) {
  const { emit } = server
  server.emit = function (event, ...args) {
    if (event !== 'request' && event !== 'upgrade') return emit.call(this, event, ...args)
    return als.run(args[0].headers.user, () => emit.call(this, event, ...args))
  }
}

const separated = (serve) => async (opts) => {
  const context = await serve(opts)
  separate(context.server)
  return context
}

/** An engine that the application hands its requests to. */
async function handing(opts) {
  const server = http.createServer()
  const handler = new engine.Server(opts)
  const within = (req, fn) => als.run(req.headers.user, fn)
  server.on('request', (req, res) => within(req, () => handler.handleRequest(req, res)))
  server.on('upgrade', (req, socket, head) => within(req, () => handler.handleUpgrade(req, socket, head)))
  server.on('close', () => handler.close())
  defer(() => handler.close())
  return { engine: handler, server, port: await bind(server), path: '/engine.io/' }
}

function onUws(opts) {
  return userver.listenOnUws(opts, (server) => {
    for (const name of ['handleRequest', 'handleUpgrade']) {
      const handle = server[name]
      server[name] = (res, req, ...more) => als.run(req.getHeader('user'), () => handle.call(server, res, req, ...more))
    }
  })
}

const secure = () => https.createServer({ key, cert })

/** The real client over TLS. */
function secureClient(context, options) {
  const socket = new eio.Socket(`wss://localhost:${context.port}`, { ca: cert, path: context.path, ...options })
  defer(() => socket.close())
  return socket
}

const WAYS = {
  'attach()': separated(listen),
  'handleRequest() and handleUpgrade()': handing,
  'listen()': separated(listenDirectly),
  'attach() behind TLS': separated((opts) => listen(opts, secure())),
  'attach() with another wsEngine': separated((opts) => listen({ ...opts, wsEngine: WebSocketServer })),
}
// there is no request in JavaScript that somebody could run in a context, but what listeners enter
if (!upstream) WAYS['the native listener'] = (opts) => listenDirectly({ ...opts, listener: 'native' })
if (!userver.skip) WAYS.uServer = onUws

const TRANSPORTS = { websocket: ['websocket'], polling: ['polling'], 'an upgrade': ['polling', 'websocket'] }

/** What is heard of every session, however it comes. */
const HEARD = [
  'connection',
  'packet',
  'packetCreate',
  'data',
  'message',
  'flush',
  'drain',
  'heartbeat',
  'close',
  'callback',
]

/** Notes in which context each event of each client runs; then the listener enters that client's for good, if it `enters`. */
function noteAll(context, enters) {
  const notes = []
  const note = (what, user) => {
    notes.push({ what, user, store: als.getStore() })
    if (enters) als.enterWith(user)
  }
  const userOf = ({ headers }) => headers.user
  // the native listener has no listeners of headers
  const headers = context.engine.opts.listener === 'native' ? [] : ['headers', 'initial_headers']
  for (const event of headers) context.engine.on(event, (_, req) => note(event, userOf(req)))
  for (const event of ['flush', 'drain'])
    context.engine.on(event, (socket) => note(`server ${event}`, userOf(socket.request)))
  context.engine.on('connection', (socket) => {
    const user = userOf(socket.request)
    note('connection', user)
    for (const event of [...HEARD.slice(1, -1), 'upgrading', 'upgrade']) socket.on(event, () => note(event, user))
    const { transport } = socket
    for (const event of ['packet', 'drain', 'ready', 'close'])
      transport.on(event, () => note(`transport ${event}`, user))
    socket.on('upgrade', (upgraded) => {
      for (const event of ['packet', 'drain', 'ready', 'close'])
        upgraded.on(event, () => note(`transport ${event}`, user))
    })
    socket.on('message', () => {
      for (const data of ['a', 'b', 'c'.repeat(3000)]) socket.send(data, () => note('callback', user))
    })
  })
  return notes
}

/** One client: opens, says something, hears three answers and a ping, and goes. */
async function converse(context, user, transports) {
  const opened = new Promise((resolve) => {
    context.engine.on('connection', (socket) => socket.request.headers.user === user && resolve(socket))
  })
  const connect = context.server instanceof https.Server ? secureClient : client
  const peer = connect(context, { transports, extraHeaders: { user } })
  const answers = times(peer, 'message', 3)
  await once(peer, transports.length > 1 ? 'upgrade' : 'open')
  peer.send('hello')
  await answers
  const socket = await opened
  await once(socket, 'heartbeat')
  const closed = once(socket, 'close')
  peer.close()
  await closed
}

for (const [way, serve] of Object.entries(WAYS)) {
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    test(`no event or callback runs in another client's context: ${name}, ${way}`, { timeout: 30_000 }, async () => {
      const context = await serve({ pingInterval: 50, pingTimeout: 5000, perMessageDeflate: false })
      // uWebSockets.js calls all its handlers in one context
      const notes = noteAll(context, way !== 'uServer')
      const users = ['alice', 'bob', 'carol', 'dave', 'eve']
      await converse(context, users[0], transports)
      await Promise.all(users.slice(1).map((user) => converse(context, user, transports)))
      await delay(20)
      const foreign = notes.filter(({ user, store }) => store !== undefined && store !== user)
      assert.deepEqual(foreign, [])
      const expected = transports.length > 1 ? [...HEARD, 'upgrading', 'upgrade'] : HEARD
      for (const what of expected) {
        assert.deepEqual(
          users.filter((user) => !notes.some((note) => note.what === what && note.user === user)),
          [],
          what,
        )
      }
    })
  }
}

test('what a listener enters is not there for the next connection, though their messages come at once', async () => {
  const context = await listen()
  const seen = []
  const peers = []
  for (let i = 0; i < 20; i++) {
    const { peer, socket } = await openWebSocket(context)
    peers.push(peer)
    socket.on('message', () => {
      seen.push({ own: `client ${i}`, store: als.getStore() })
      als.enterWith(`client ${i}`)
    })
  }
  for (let round = 1; round <= 5; round++) {
    for (const peer of peers) peer.sendText('4now')
    // all of them are there when the thread has time again
    const end = Date.now() + 20
    while (Date.now() < end);
    await eventually(() => seen.length, round * 20)
  }
  assert.deepEqual(
    seen.filter(({ own, store }) => store !== undefined && store !== own),
    [],
  )
})

for (const way of ['enterWith', 'run', 'ids']) {
  test(`a process's first use of contexts, by ${way}, is seen by no other client, in the same turn and later`, async () => {
    const { lines, stderr } = await runFixture('first-store', [way])
    assert.deepEqual(lines, [{ messages: 40, foreign: [] }], stderr)
  })
}

test('events of different connections have different execution ids, where somebody has hooks', async () => {
  const hook = createHook({ init() {} }).enable()
  defer(() => hook.disable())
  const context = await listen()
  const ids = new Map()
  const peers = []
  for (let i = 0; i < 10; i++) {
    const { peer, socket } = await openWebSocket(context)
    peers.push(peer)
    socket.on('message', () => {
      const id = executionAsyncId()
      assert.ok(id > 0)
      if (!ids.has(id)) ids.set(id, new Set())
      ids.get(id).add(i)
    })
  }
  for (const peer of peers) peer.sendText('4now')
  const end = Date.now() + 20
  while (Date.now() < end);
  await eventually(() => [...ids.values()].reduce((sum, of) => sum + of.size, 0), 10)
  for (const of of ids.values()) assert.equal(of.size, 1)
})

for (const [name, open] of Object.entries({ openWebSocket, openPolling, openUpgraded })) {
  test(`a session opened by ${name} is told of messages in no context, whoever has opened it`, async () => {
    const context = await listen()
    separate(context.server)
    const stores = []
    context.engine.on('connection', (socket) => {
      for (const event of ['packet', 'data', 'message', 'upgrading', 'upgrade'])
        socket.on(event, () => stores.push(als.getStore()))
    })
    const args =
      name === 'openUpgraded'
        ? [context]
        : [context, {}, name === 'openPolling' ? { user: 'x' } : { headers: { user: 'x' } }]
    const { peer, socket } = await open(...args)
    const message = once(socket, 'message')
    if (name === 'openPolling') peer.post('4hi')
    else peer.sendText('4hi')
    await message
    assert.deepEqual(new Set(stores), new Set([undefined]))
  })
}

for (const transport of ['websocket', 'polling']) {
  test(`connection runs in the context of the request that has opened the session: ${transport}`, async () => {
    const context = await listen()
    separate(context.server)
    const stores = []
    for (const event of ['connection', 'initial_headers', 'headers'])
      context.engine.on(event, () => stores.push(als.getStore()))
    if (transport === 'polling') await openPolling(context, {}, { user: 'x' })
    else await openWebSocket(context, {}, { headers: { user: 'x' } })
    assert.deepEqual(stores.sort(), ['x', 'x', 'x'])
  })
}

/** The context of each send callback. */
async function callbacks(socket, sends) {
  const stores = []
  for (const [store, data] of sends)
    als.run(store, () => socket.send(data, () => stores.push([data.length, als.getStore()])))
  await eventually(() => stores.length, sends.length)
  return stores
}

test('a send callback on a websocket runs in the context of its call, or of the call that is being written', async () => {
  const { socket } = await openWebSocket(await listen())
  assert.deepEqual(await callbacks(socket, [['first', 'a']]), [[1, 'first']])
  assert.deepEqual(
    await callbacks(socket, [
      ['one', 'a'],
      ['two', 'bb'],
    ]),
    [
      [1, 'one'],
      [2, 'one'],
    ],
  )
  // more than the kernel takes at once
  assert.deepEqual(await callbacks(socket, [['large', 'x'.repeat(4e6)]]), [[4e6, 'large']])
})

test('a send callback over TLS runs in the context of its call', async () => {
  const context = await listen({}, secure())
  const peer = secureClient(context, { transports: ['websocket'] })
  const [socket] = await once(context.engine, 'connection')
  if (peer.readyState !== 'open') await once(peer, 'open')
  assert.deepEqual(await callbacks(socket, [['first', 'a']]), [[1, 'first']])
})

test('a send callback of polling runs in the context of its call, when a poll waits, or of the poll that fetches the packet', async () => {
  const context = await listen({ httpCompression: { threshold: 100 } })
  separate(context.server)
  const { peer, socket } = await openPolling(context)
  await peer.pendingPoll()
  assert.deepEqual(await callbacks(socket, [['first', 'a']]), [[1, 'first']])
  // this one waits for a poll
  const later = callbacks(socket, [['second', 'bb']])
  await peer.poll({ user: 'poller' })
  assert.deepEqual(await later, [[2, 'poller']])
  // this one is compressed
  await peer.start({ headers: { 'Accept-Encoding': 'gzip' } })
  assert.deepEqual(await callbacks(socket, [['large', 'x'.repeat(1e5)]]), [[1e5, 'large']])
})

test('flush, drain and packetCreate run in the context of the call that sends', async () => {
  const { socket } = await openWebSocket(await listen())
  const stores = []
  for (const event of ['flush', 'drain', 'packetCreate'])
    socket.on(event, () => stores.push(`${event} ${als.getStore()}`))
  als.run('x', () => {
    socket.send('a')
    socket.send('b')
  })
  await eventually(() => stores.length, 6)
  assert.deepEqual([...new Set(stores)].sort(), ['drain x', 'flush x', 'packetCreate x'])
})

const CLOSES = {
  'at once': (socket) => socket.close(true),
  'in order': (socket) => socket.close(),
  'behind packets that wait': (socket) => {
    socket.send('a')
    socket.send('b')
    socket.close()
  },
}

for (const [how, close] of Object.entries(CLOSES)) {
  test(`close runs in the context of the call that closes a websocket's session ${how}`, async () => {
    const { socket } = await openWebSocket(await listen())
    let store
    socket.on('close', () => (store = als.getStore()))
    als.run('closer', () => close(socket))
    await eventually(() => store, 'closer')
  })
}

test('close runs in the context of the call that closes a polling session, which nobody polls any more', async () => {
  const { socket } = await openPolling(await listen())
  socket.transport.closeTimeout = 20
  let store
  socket.on('close', () => (store = als.getStore()))
  als.run('closer', () => socket.close())
  await eventually(() => store, 'closer')
})

test('close runs in no context when the client goes, and when it is silent for too long', async () => {
  const context = await listen({ pingInterval: 50, pingTimeout: 50 })
  separate(context.server)
  const stores = []
  context.engine.on('connection', (socket) => socket.on('close', () => stores.push(als.getStore())))
  await openWebSocket(context)
  await eventually(() => stores.length, 1)
  const { peer } = await openWebSocket(context, {}, { headers: { user: 'x' } })
  peer.socket.destroy()
  await eventually(() => stores.length, 2)
  assert.deepEqual(stores, [undefined, undefined])
})

improvement(
  'contexts of heartbeats',
  'pings are sent in no context, though the session was opened in one',
  async () => {
    const context = await listen({ pingInterval: 20, pingTimeout: 5000 })
    separate(context.server)
    const stores = []
    context.engine.on('connection', (socket) => socket.on('packetCreate', () => stores.push(als.getStore())))
    client(context, { transports: ['websocket'], extraHeaders: { user: 'x' } })
    await eventually(() => stores.length > 2, true)
    assert.deepEqual(new Set(stores), new Set([undefined]))
  },
)

test('a new attempt to upgrade does not run events of others in its context', async () => {
  const context = await listen()
  separate(context.server)
  const { polling, peer: first } = await openProbing(context)
  const { peer: other, socket } = await openWebSocket(context)
  let store = 'none'
  socket.on('message', () => (store = als.getStore()))
  // both are there before the thread has time for them: the end of the first attempt, and a message of somebody else's
  first.socket.destroy()
  other.sendText('4now')
  const second = RawWebSocket.request(context.port, path(context, { transport: 'websocket', sid: polling.sid }), {
    headers: { user: 'x' },
  })
  const end = Date.now() + 30
  while (Date.now() < end);
  await second
  await eventually(() => store, undefined)
})

test('messages of a stream that the application feeds come in the context that feeds it', async () => {
  const context = await listen()
  const [ours, theirs] = duplexPair()
  defer(() => ours.destroy())
  const server = http.createServer()
  server.on('upgrade', (req, socket, head) => context.engine.handleUpgrade(req, socket, head))
  const connected = once(context.engine, 'connection')
  server.emit('connection', ours)
  const peer = await RawWebSocket.over(theirs, path(context, { transport: 'websocket' })).response()
  const [socket] = await connected
  await peer.packet()
  let store
  socket.on('message', () => (store = als.getStore()))
  als.run('feeder', () => peer.sendText('4hi'))
  await eventually(() => store, 'feeder')
})

test("an engine that is loaded and made inside a request does not take that request's context", async () => {
  const { lines, stderr } = await runFixture('loaded-in-a-request')
  assert.deepEqual(lines, [{ seen: ['message', 'callback', 'close'], stores: [null] }], stderr)
})

/** A frame of a text message, as a server sends it. */
const FRAME = Buffer.from([0x81, 2, 0x34, 0x61])

/** What is done to the socket below a session in the context `call`, and in which contexts its events and callbacks run. */
const ON_SOCKETS = {
  'write()': [(socket, note) => socket.write(FRAME, () => note('callback')), { callback: 'call' }],
  'transport.socket.send()': [
    (socket, note, peer, websocket) => websocket.send('4a', () => note('callback')),
    { callback: 'call' },
  ],
  'end()': [(socket, note) => socket.end(() => note('callback')), { callback: 'call', finish: 'call' }],
  'destroy()': [(socket) => socket.destroy(), { close: undefined }],
  'destroy(error)': [(socket) => socket.destroy(new Error('mine')), { error: 'call', close: undefined }],
  'resetAndDestroy()': [(socket) => socket.resetAndDestroy(), { close: undefined }],
  'setTimeout()': [(socket) => socket.setTimeout(20), { timeout: 'call' }],
  "the client's end": [
    (socket, note, peer) => peer.socket.destroy(),
    { end: undefined, finish: undefined, close: undefined },
  ],
  "the client's message": [
    (socket, note, peer) => peer.sendText('4hi'),
    { data: undefined, 'websocket message': undefined },
  ],
}

for (const [name, [act, expected]] of Object.entries(ON_SOCKETS)) {
  test(`the net.Socket of a websocket: contexts of what comes of ${name}`, async () => {
    const context = await listen()
    separate(context.server)
    const { peer, socket } = await openWebSocket(context, {}, { headers: { user: 'x' } })
    const below = socket.request.socket
    const stores = {}
    const note = (what) => (stores[what] = als.getStore())
    for (const event of ['close', 'end', 'error', 'finish', 'timeout']) below.on(event, () => note(event))
    socket.transport.socket.on('message', () => note('websocket message'))
    if ('data' in expected) below.on('data', () => note('data'))
    const run = () => act(below, note, peer, socket.transport.socket)
    if (name.startsWith("the client's")) run()
    else als.run('call', run)
    const names = Object.keys(expected)
    await eventually(() => names.every((what) => what in stores), true)
    assert.deepEqual(Object.fromEntries(names.map((what) => [what, stores[what]])), expected)
  })
}
