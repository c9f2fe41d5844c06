'use strict'

const assert = require('node:assert/strict')
const { EventEmitter } = require('node:events')
const http = require('node:http')
const { test } = require('node:test')
const { inspect, isDeepStrictEqual } = require('node:util')
const { WebSocketServer } = require('ws')
const {
  defer,
  engine,
  listen,
  never,
  once,
  openPolling,
  openWebSocket,
  path,
  record,
  request,
  upstream,
} = require('../support')

const { Server } = engine

/** A server that is closed after the test. */
function make(opts) {
  const server = new Server(opts)
  defer(() => server.close())
  return server
}

test('the defaults of the options', () => {
  const { opts } = make()
  const plain = ['pingTimeout', 'pingInterval', 'upgradeTimeout', 'maxHttpBufferSize', 'transports', 'allowUpgrades']
  assert.deepEqual(
    plain.map((name) => opts[name]),
    [20000, 25000, 10000, 1e6, ['polling', 'websocket'], true],
  )
  assert.deepEqual([opts.maxBufferedChunks, opts.httpRequestBodyTimeout], [10000, 30000])
  assert.deepEqual(opts.httpCompression, { threshold: 1024 })
  assert.equal(opts.cors, false)
  assert.equal(opts.allowEIO3, false)
  assert.equal(typeof opts.wsEngine, 'function')
  for (const name of ['cookie', 'perMessageDeflate', 'allowRequest', 'initialPacket']) {
    assert.ok(!opts[name], name)
  }
})

test('given options replace the defaults, and unknown ones are kept', () => {
  const { opts } = make({ pingInterval: 1, httpCompression: { level: 1 }, foreign: 'kept' })
  assert.equal(opts.pingInterval, 1)
  assert.deepEqual(opts.httpCompression, { level: 1 })
  assert.equal(opts.foreign, 'kept')
})

test('the options of socket.io are tolerated', () => {
  const adapter = class {}
  const { opts } = make({ serveClient: false, adapter, connectTimeout: 45000, cleanupEmptyChildNamespaces: true })
  assert.equal(opts.adapter, adapter)
})

test('an explicit undefined replaces the default', () => {
  const { opts } = make({ upgradeTimeout: undefined })
  assert.equal('upgradeTimeout' in opts, true)
  assert.equal(opts.upgradeTimeout, undefined)
})

test('options are not validated', () => {
  const { opts } = make({ pingTimeout: '20', transports: ['polling', 'carrier-pigeon'] })
  assert.equal(opts.pingTimeout, '20')
  assert.deepEqual(opts.transports, ['polling', 'carrier-pigeon'])
})

test('the options object of the caller is not changed', () => {
  const given = Object.freeze({ pingInterval: 1, cookie: true })
  make(given)
  assert.deepEqual(given, { pingInterval: 1, cookie: true })
})

test('null options throw a TypeError', () => {
  assert.throws(() => new Server(null), TypeError)
})

test('a wsEngine that is no constructor throws a TypeError', () => {
  assert.throws(() => new Server({ wsEngine: 'ws' }), /^TypeError: .*wsEngine is not a constructor/)
})

test('cookie: true and cookie objects are merged over the defaults', () => {
  const defaults = { name: 'io', path: '/', httpOnly: true, sameSite: 'lax' }
  assert.deepEqual(make({ cookie: true }).opts.cookie, defaults)
  assert.deepEqual(make({ cookie: { name: 'x', maxAge: 1 } }).opts.cookie, { ...defaults, name: 'x', maxAge: 1 })
})

test('perMessageDeflate is merged over a threshold of 1024', () => {
  assert.deepEqual(make({ perMessageDeflate: true }).opts.perMessageDeflate, { threshold: 1024 })
  assert.deepEqual(make({ perMessageDeflate: { threshold: 1 } }).opts.perMessageDeflate, { threshold: 1 })
})

test('a new server has no clients', () => {
  const server = make()
  assert.deepEqual(server.clients, {})
  assert.equal(Object.getPrototypeOf(server.clients), Object.prototype)
  assert.equal(server.clientsCount, 0)
  assert.deepEqual(server.middlewares, [])
  assert.equal(server.httpServer, undefined)
})

test('clients and clientsCount follow the sessions', async () => {
  const context = await listen()
  const { socket: first } = await openPolling(context)
  const { socket: second } = await openWebSocket(context)
  assert.equal(context.engine.clientsCount, 2)
  assert.deepEqual(Object.keys(context.engine.clients).sort(), [first.id, second.id].sort())
  assert.equal(context.engine.clients[first.id], first)
  first.close(true)
  assert.equal(context.engine.clientsCount, 1)
  assert.deepEqual(Object.values(context.engine.clients), [second])
})

test('the static tables of errors', () => {
  assert.deepEqual(Server.errors, {
    UNKNOWN_TRANSPORT: 0,
    UNKNOWN_SID: 1,
    BAD_HANDSHAKE_METHOD: 2,
    BAD_REQUEST: 3,
    FORBIDDEN: 4,
    UNSUPPORTED_PROTOCOL_VERSION: 5,
  })
  assert.deepEqual(Server.errorMessages, {
    0: 'Transport unknown',
    1: 'Session ID unknown',
    2: 'Bad handshake method',
    3: 'Bad request',
    4: 'Forbidden',
    5: 'Unsupported protocol version',
  })
})

test('the methods applications and subclasses call or override exist', () => {
  const server = make()
  for (const name of [
    ...'init cleanup upgrades verify use generateId handshake prepare createTransport'.split(' '),
    ...'handleRequest handleUpgrade onWebSocket onWebTransportSession attach close'.split(' '),
    ...'_computePath _applyMiddlewares'.split(' '),
  ]) {
    assert.equal(typeof server[name], 'function', name)
    assert.equal(Object.hasOwn(server, name), false, `${name} belongs to the prototype`)
  }
  assert.ok(server instanceof EventEmitter)
})

for (const [options, expected] of [
  [{}, '/engine.io/'],
  [{ path: '' }, '/engine.io/'],
  [{ path: '/' }, '/'],
  [{ path: '/x' }, '/x/'],
  [{ path: '/x/' }, '/x/'],
  [{ path: '/x//' }, '/x//'],
  [{ path: '/x/', addTrailingSlash: false }, '/x'],
  [{ path: '/', addTrailingSlash: false }, ''],
]) {
  test(`_computePath(${JSON.stringify(options)}) is "${expected}"`, () => {
    assert.equal(make()._computePath(options), expected)
  })
}

test('upgrades() names the transports a session can move to', () => {
  assert.deepEqual(make({ transports: ['polling', 'websocket'] }).upgrades('websocket'), [])
  assert.deepEqual(make().upgrades('polling'), ['websocket', 'webtransport'])
  assert.deepEqual(make({ allowUpgrades: false }).upgrades('polling'), [])
  assert.throws(() => make().upgrades('unknown'), TypeError)
})

test('use() and attach() return undefined, close() returns the server', () => {
  const server = make()
  assert.equal(
    server.use((req, res, next) => next()),
    undefined,
  )
  assert.equal(server.middlewares.length, 1)
  assert.equal(server.attach(http.createServer()), undefined)
  assert.equal(server.close(), server)
  assert.equal(server.close(), server)
})

test('the ws server is there when websocket is among the transports', () => {
  assert.ok(make().ws)
  assert.equal(make({ transports: ['polling'] }).ws, undefined)
})

test("a custom wsEngine is constructed with the engine's options", () => {
  const calls = []
  class Mine extends WebSocketServer {
    constructor(options) {
      calls.push(options)
      super(options)
    }
  }
  const server = make({ wsEngine: Mine, maxHttpBufferSize: 5000 })
  assert.ok(server.ws instanceof Mine)
  assert.equal(calls[0].noServer, true)
  assert.equal(calls[0].clientTracking, false)
  assert.equal(calls[0].maxPayload, 5000)
})

test('a custom wsEngine carries sessions', async () => {
  let upgrades = 0
  class Mine extends WebSocketServer {
    handleUpgrade(...args) {
      upgrades++
      return super.handleUpgrade(...args)
    }
  }
  const context = await listen({ wsEngine: Mine })
  const { peer, socket } = await openWebSocket(context)
  assert.equal(upgrades, 1)
  socket.on('message', (data) => socket.send(data))
  peer.sendText('4echo')
  assert.equal(await peer.packet(), '4echo')
  socket.close()
  assert.equal((await peer.closeFrame()).payload.length, 0)
})

test('an overridden prepare() sees every request', async () => {
  const context = await listen()
  const { prepare } = context.engine
  const urls = []
  context.engine.prepare = function (req) {
    urls.push(req.url)
    return prepare.call(this, req)
  }
  const { peer } = await openPolling(context)
  await peer.post('4a')
  await openWebSocket(context)
  assert.equal(urls.length, 3)
})

test('the hooks of a handshake are called in the order of the original', async () => {
  const expected = ['prepare', '_applyMiddlewares', 'verify', 'handshake', 'generateId', 'createTransport', 'upgrades']
  for (const [open, names] of [
    [openPolling, expected],
    [openWebSocket, [...expected.slice(0, 3), 'onWebSocket', ...expected.slice(3)]],
  ]) {
    const context = await listen()
    const calls = []
    for (const name of new Set([...expected, 'onWebSocket'])) {
      const original = context.engine[name]
      context.engine[name] = function (...args) {
        calls.push(name)
        return original.apply(this, args)
      }
    }
    await open(context)
    assert.deepEqual(calls, names)
  }
})

test('an overridden emit() sees the events of a handshake, connection last', async () => {
  const context = await listen()
  const { emit } = context.engine
  const events = []
  context.engine.emit = function (event, ...args) {
    events.push(event)
    return emit.call(this, event, ...args)
  }
  await openPolling(context)
  assert.deepEqual(events, ['flush', 'initial_headers', 'headers', 'drain', 'connection'])
})

test('initial_headers comes once per session, headers with every response', async () => {
  const context = await listen()
  const events = record(context.engine, ['initial_headers', 'headers'], (event, headers, req) => [event, req.method])
  const { peer, socket } = await openPolling(context)
  socket.send('a')
  await peer.poll()
  await peer.post('4b')
  assert.deepEqual(events, [
    ['initial_headers', 'GET'],
    ['headers', 'GET'],
    ['headers', 'GET'],
    ['headers', 'POST'],
  ])
})

test('headers set by the header events are sent', async () => {
  const context = await listen()
  context.engine.on('initial_headers', (headers) => (headers['X-First'] = '1'))
  context.engine.on('headers', (headers) => (headers['X-Each'] = '2'))
  const { peer } = await openPolling(context)
  const post = await peer.post('4a')
  assert.deepEqual([peer.response.headers['x-first'], peer.response.headers['x-each']], ['1', '2'])
  assert.deepEqual([post.headers['x-first'], post.headers['x-each']], [undefined, '2'])
})

test('no error event is emitted for connection errors', async () => {
  const context = await listen()
  const silence = never(context.engine, 'error', 20)
  await request({ port: context.port, path: path(context, { transport: 'foo' }) })
  await silence
})

/** A table as it is printed: this package's is a Proxy, and Node.js 26 says so. */
const printsProxies = inspect(new Proxy({}, {})) !== '{}'
const printed = (text) => (printsProxies && !upstream ? `Proxy(${text})` : text)

/** The ways to look at a table, each with what it says of one that has one session. */
const looks = {
  'a property': (clients, sid) => clients[sid].id === sid,
  in: (clients, sid) => sid in clients && !('other' in clients),
  // eslint-disable-next-line no-prototype-builtins -- as applications do it
  'hasOwnProperty()': (clients, sid) => clients.hasOwnProperty(sid) && !clients.hasOwnProperty('other'),
  'Object.hasOwn()': (clients, sid) => Object.hasOwn(clients, sid),
  'Object.keys()': (clients, sid) => isDeepStrictEqual(Object.keys(clients), [sid]),
  'Object.values()': (clients, sid) => Object.values(clients)[0].id === sid,
  'Object.getOwnPropertyDescriptor()': (clients, sid) => Object.getOwnPropertyDescriptor(clients, sid).writable,
  'for in': (clients, sid) => {
    const keys = []
    for (const key in clients) keys.push(key)
    return isDeepStrictEqual(keys, [sid])
  },
  spreading: (clients, sid) => ({ ...clients })[sid].id === sid,
  'Object.isExtensible()': (clients, sid) => Object.isExtensible(clients) && sid in clients,
  'util.inspect()': (clients, sid) =>
    inspect(clients, { depth: 0 }).replaceAll("'", '') === printed(`{ ${sid}: [Socket] }`),
  'the printed server': (_, sid, server) =>
    inspect(server, { depth: 1 })
      .replaceAll("'", '')
      .includes(`clients: ${printed(`{ ${sid}: [Socket] }`)}`),
  'isDeepStrictEqual()': (clients) => !isDeepStrictEqual(clients, {}),
  'its prototype': (clients) => Object.getPrototypeOf(clients) === Object.prototype && clients.constructor === Object,
  'its symbols': (clients) => Object.getOwnPropertySymbols(clients).length === 0,
  deleting: (clients, sid) => delete clients[sid] && !(sid in clients),
  writing: (clients, sid) => {
    clients.mine = { close() {} }
    return isDeepStrictEqual(Object.keys(clients), [sid, 'mine'])
  },
  defining: (clients, sid) =>
    Object.defineProperty(clients, 'mine', { value: { close() {} }, enumerable: true, configurable: true }) &&
    isDeepStrictEqual(Object.keys(clients), [sid, 'mine']),
}

for (const [how, look] of Object.entries(looks)) {
  test(`the first look at clients sees the sessions that are open, and later ones go on: ${how}`, async () => {
    const context = await listen()
    const { clients } = context.engine
    const { open, socket } = await openWebSocket(context)
    assert.equal(look(clients, open.sid, context.engine), true)
    assert.equal(context.engine.clients, clients)
    const other = await openPolling(context)
    assert.equal(clients[other.peer.sid], other.socket)
    const closed = once(socket, 'close')
    socket.close(true)
    await closed
    assert.equal(open.sid in clients, false)
    assert.equal((await other.peer.post('4a')).status, 200)
  })
}

test('another table in the place of clients is the one from then on, and the old one keeps its sessions', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const old = context.engine.clients
  context.engine.clients = {}
  assert.equal((await peer.post('4a')).status, 400)
  const other = await openPolling(context)
  assert.deepEqual([Object.keys(context.engine.clients), Object.keys(old)], [[other.peer.sid], [peer.sid]])
  assert.equal(old[peer.sid], socket)
  // the server does not know it any more
  socket.close(true)
})
