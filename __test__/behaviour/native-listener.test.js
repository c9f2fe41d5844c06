'use strict'

// `listen(port, { listener: "native" })`, which is ours alone: where it listens, what it refuses, and what stands for
// requests and for the http.Server. What it serves is in http-listener.test.js and listen-handshake.test.js.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { test: register } = require('node:test')
const {
  bind,
  client,
  defer,
  engine,
  eventually,
  listen,
  listenNatively,
  once,
  listenDirectly,
  openPolling,
  openUpgraded,
  openWebSocket,
  path: target,
  probe,
  record,
  request,
  runFixture,
  upstream,
  RawPeer,
  RawWebSocket,
} = require('../support')

const test = (name, options, fn = options) => register(name, { skip: upstream || options.skip, timeout: 20_000 }, fn)
const unix = { skip: process.platform === 'win32' }

/** A native listener that is told where to listen as `listen()` is: `{ engine, server }`. */
async function listenAt(first, options) {
  const server = engine.listen(first, { listener: 'native', ...options })
  const { httpServer } = server
  defer(() => {
    server.close()
    httpServer.close()
  })
  if (!httpServer.listening) await once(httpServer, 'listening')
  return { engine: server, server: httpServer }
}

const refused = { code: 'ERR_NATIVE_LISTENER' }

// ---- where it listens ---------------------------------------------------------------------------

test('without a host all addresses of both families are listened on', async () => {
  const { server } = await listenAt(0)
  assert.match(server.address().address, /^(::|0\.0\.0\.0)$/)
  assert.equal((await request({ port: server.address().port, path: '/' })).status, 501)
})

for (const [how, listenOn] of [
  ['as an option', () => listenAt(0, { host: '127.0.0.1' })],
  ['in an object that comes first', () => listenAt({ port: 0, host: '127.0.0.1', backlog: 10 })],
  ['by a name', () => listenAt({ port: 0, host: 'localhost' })],
]) {
  test(`the host is listened on that is given ${how}`, async () => {
    const { server } = await listenOn()
    const { address, family, port } = server.address()
    assert.match(address, /^(127\.0\.0\.1|::1)$/)
    assert.equal(family, address === '::1' ? 'IPv6' : 'IPv4')
    const others = Object.values(os.networkInterfaces())
      .flat()
      .filter((one) => !one.internal && one.family === 'IPv4')
    for (const other of others) {
      const socket = net.connect({ host: other.address, port })
      const [error] = await once(socket, 'error')
      assert.equal(error.code, 'ECONNREFUSED')
    }
  })
}

test('a UNIX path is listened on, and gone afterwards', unix, async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'engine-'))
  defer(() => fs.rmSync(directory, { recursive: true }))
  const socketPath = path.join(directory, 'socket')
  const context = await listenAt(socketPath)
  assert.equal(context.server.address(), socketPath)
  const connected = once(context.engine, 'connection')
  const response = await new Promise((resolve) => {
    http.get({ socketPath, path: '/engine.io/?EIO=4&transport=polling' }, resolve)
  })
  assert.equal(response.statusCode, 200)
  response.destroy()
  const [socket] = await connected
  assert.equal(socket.remoteAddress, undefined)
  assert.equal(socket.request.socket.remoteAddress, undefined)
  const [error] = await once(engine.listen(socketPath, { listener: 'native' }).httpServer, 'error')
  assert.equal(error.code, 'EADDRINUSE')
  assert.equal(error.address, socketPath)
  const closed = once(context.server, 'close')
  context.server.close()
  await closed
  await eventually(() => fs.existsSync(socketPath), false)
})

test("a port that is taken is the same error event as Node's", async () => {
  const { port } = await listen()
  const errors = []
  for (const start of [
    () => http.createServer().listen({ port, host: '127.0.0.1' }),
    () => engine.listen(port, { listener: 'native', host: '127.0.0.1' }).httpServer,
  ]) {
    const server = start()
    const [error] = await once(server, 'error')
    const { message, code, errno, syscall, address, port: taken } = error
    errors.push({ message, code, errno, syscall, address, taken })
    assert.equal(server.listening, false)
    assert.equal(server.address(), null)
  }
  assert.deepEqual(errors[1], errors[0])
})

test('a host that does not exist is an error event', async () => {
  // no server is asked for an empty label, which may take long to answer
  const { httpServer } = engine.listen(0, { listener: 'native', host: 'nowhere..invalid' })
  const [error] = await once(httpServer, 'error')
  assert.match(error.code, /^(ENOTFOUND|EAI_AGAIN)$/)
})

test("what Node's servers throw about a port is thrown, and what cannot be listened on is refused", () => {
  const native = { listener: 'native' }
  for (const port of [-1, 65536, 1.5, NaN])
    assert.throws(() => engine.listen(port, native), { code: 'ERR_SOCKET_BAD_PORT' })
  for (const place of [{}, { path: '' }, { port: true }, { port: [] }, true, 10n]) {
    assert.throws(() => engine.listen(place, native), { code: 'ERR_INVALID_ARG_VALUE' })
  }
  for (const place of [{ fd: 3 }, net.createServer().listen(0).unref()])
    assert.throws(() => engine.listen(place, native), refused)
  assert.throws(() => engine.listen(0, { listener: 'rust' }), {
    name: 'TypeError',
    message: /'native'.*got the string 'rust'/,
  })
})

test('listening twice is an error, and again after close() is not', async () => {
  const { server, engine: own } = await listenAt(0, { host: '127.0.0.1' })
  assert.throws(() => server.listen(0), { code: 'ERR_SERVER_ALREADY_LISTEN' })
  const { port } = server.address()
  const context = { engine: own, port, path: '/engine.io/' }
  const { peer: raw, socket } = await openWebSocket(context)
  const closed = record(server, 'close')
  server.close()
  assert.equal(server.address(), null)
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  // the session from before is there, and new ones come
  const peer = client(context)
  await once(peer, 'upgrade')
  assert.equal(own.clientsCount, 2)
  assert.equal(socket.readyState, 'open')
  peer.close()
  raw.socket.destroy()
  await eventually(() => own.clientsCount, 0)
  assert.deepEqual(closed, [])
  const last = once(server, 'close')
  server.close()
  await last
  assert.equal(closed.length, 1)
})

test('close() without listening calls back with an error', async () => {
  const { server } = await listenAt(0)
  await new Promise((resolve) => server.close(resolve))
  const error = await new Promise((resolve) => server.close(resolve))
  assert.equal(error.code, 'ERR_SERVER_NOT_RUNNING')
})

test('a signal closes it', async () => {
  const abort = new AbortController()
  const { server } = await listenAt({ port: 0, signal: abort.signal })
  const closed = once(server, 'close')
  abort.abort()
  await closed
})

for (const [how, argument, expected] of [
  ['gets EADDRINUSE', [], /^listen EADDRINUSE: /],
  ['with reusePort listens, too', ['shared'], undefined],
]) {
  const skip = upstream || (process.platform !== 'linux' && argument.length > 0)
  test(`a second worker of a cluster on the same port ${how}`, { skip }, async () => {
    const { lines, stderr } = await runFixture('native-workers', argument)
    assert.equal(lines.length, 1, stderr)
    const [{ port, second, status }] = lines
    if (expected === undefined) assert.deepEqual(second, { port })
    else assert.match(second.message, expected)
    assert.equal(status, 200)
  })
}

// ---- what stands for the http.Server -----------------------------------------------------------------

test('connections are counted until they end', async () => {
  const context = await listenNatively()
  let seen
  const count = async (expected) => {
    const look = () => context.server.getConnections((error, connections) => (seen = connections))
    await eventually(() => look() && seen, expected)
  }
  await count(0)
  const raw = await RawPeer.connect(context.port)
  const { peer } = await openWebSocket(context)
  await count(2)
  raw.socket.destroy()
  peer.socket.destroy()
  await count(0)
})

test('members that a native listener lacks are not there', async () => {
  const { server } = await listenNatively()
  assert.equal(server instanceof net.Server, false)
  for (const name of [
    'closeAllConnections',
    'closeIdleConnections',
    'setTimeout',
    'timeout',
    'maxHeadersCount',
    'connections',
  ]) {
    assert.equal(name in server, false, name)
  }
  assert.equal(server.unref().ref(), server)
})

// ---- what is refused ---------------------------------------------------------------------------

test('options that need requests in JavaScript are refused', () => {
  for (const options of [
    { allowRequest: (req, fn) => fn(null, true) },
    { cors: { origin: '*' } },
    { limits: { maxConnections: 1 } },
    { cluster: true },
    { backpressurePolicy: 'wait', maxBackpressure: 1 },
    { wsEngine: require('ws').Server },
    { cookie: { name: 'io', encode: (id) => `${id}!` } },
  ]) {
    const [name] = Object.keys(options)
    assert.throws(() => engine.listen(0, { listener: 'native', ...options }), {
      ...refused,
      message: new RegExp(`option ${name}`),
    })
  }
})

test('a refusal gives the reason of what is refused', () => {
  for (const [place, options, reason] of [
    [0, { cors: { origin: '*' } }, /the option cors: its requests do not come to JavaScript\. Leave out/],
    [0, { cluster: true }, /the option cluster: the processes pass requests on in JavaScript/],
    [
      0,
      { backpressurePolicy: 'wait', maxBackpressure: 1 },
      /the option backpressurePolicy: 'wait': its core reads POSTs/,
    ],
    [{ fd: 3 }, {}, /listening on \{ fd \}: its core makes the socket/],
  ]) {
    assert.throws(() => engine.listen(place, { listener: 'native', ...options }), { ...refused, message: reason })
  }
})

test('hooks that are set later are refused when they are set, and change nothing', async () => {
  const context = await listenNatively()
  const { engine: own } = context
  const hooks = {
    use: () => own.use(() => {}),
    headers: () => own.on('headers', () => {}),
    initial_headers: () => own.prependOnceListener('initial_headers', () => {}),
    once: () => own.once('headers', () => {}),
    allowRequest: () => (own.opts.allowRequest = () => {}),
    pingInterval: () => (own.opts.pingInterval = 1),
    opts: () => (own.opts = {}),
    attach: () => own.attach(http.createServer()),
    handleRequest: () => own.handleRequest({}, {}),
    handleUpgrade: () => own.handleUpgrade({}, {}),
  }
  for (const name of [
    'verify',
    'handshake',
    'generateId',
    'createTransport',
    'prepare',
    'upgrades',
    'handleRequest',
    'onWebSocket',
  ]) {
    hooks[`own ${name}`] = () => (own[name] = () => {})
  }
  for (const [name, hook] of Object.entries(hooks)) assert.throws(hook, refused, name)
  assert.throws(() => own.middlewares.push(() => {}), TypeError)
  assert.throws(() => Object.defineProperty(own, 'verify', { value: () => {} }), TypeError)
  assert.throws(() => Object.defineProperty(own.opts, 'allowRequest', { value: () => {} }), TypeError)
  const { socket } = await openPolling(context)
  for (const name of ['onRequest', 'onPollRequest', 'onDataRequest', 'onData', 'headers', 'write', 'doWrite']) {
    assert.throws(() => (socket.transport[name] = () => {}), refused, name)
  }
  assert.throws(() => socket.transport.on('headers', () => {}), refused)
  assert.equal(socket.readyState, 'open')
})

for (const [Class, name] of [
  ['Server', 'verify'],
  ['Server', 'generateId'],
  ['Socket', 'onOpen'],
]) {
  test(`a native listener does not start with a replaced ${Class}.prototype.${name}`, (t) => {
    const { prototype } = engine[Class]
    const original = prototype[name]
    t.after(() => (prototype[name] = original))
    prototype[name] = function (...args) {
      return original.apply(this, args)
    }
    assert.throws(() => engine.listen(0, { listener: 'native' }), refused)
  })
}

for (const open of [openPolling, openWebSocket, openUpgraded]) {
  test(`send, sendPacket and onPacket that are replaced on a session or its transport are called: ${open.name}`, async () => {
    const replaced = (socket) => {
      const calls = []
      for (const [object, name] of [
        [socket.transport, 'send'],
        [socket, 'sendPacket'],
        [socket, 'onPacket'],
      ]) {
        const original = object[name]
        object[name] = function (...args) {
          calls.push(name)
          return original.apply(this, args)
        }
      }
      return calls
    }
    const read = async (peer) => (peer.packet ? peer.packet() : (await peer.poll()).body)
    const { peer, socket } = await open(await listenNatively())
    const calls = replaced(socket)
    socket.send('x')
    assert.equal(await read(peer), '4x')
    assert.deepEqual(calls, ['sendPacket', 'send'])

    const beating = await open(await listenNatively({ pingInterval: 300 }))
    const beats = replaced(beating.socket)
    const heard = record(beating.socket, 'packet', (event, { type }) => type)
    // the first ping may have gone before
    for (const pongs of [['pong'], ['pong', 'pong']]) {
      assert.equal(await read(beating.peer), '2')
      if (beating.peer.packet) beating.peer.sendText('3')
      else await beating.peer.post('3')
      await eventually(() => heard, pongs)
    }
    assert.match(beats.join(), /sendPacket,send,onPacket/)
  })
}

// ---- requests ------------------------------------------------------------------------------------

for (const [name, open] of [
  ['polling', openPolling],
  ['websocket', openWebSocket],
]) {
  test(`the request of a session is an IncomingMessage: ${name}`, async () => {
    const context = await listenNatively()
    const { socket } = await open(context)
    const { request: req } = socket
    assert.ok(req instanceof http.IncomingMessage)
    assert.equal(socket.request, req)
    assert.deepEqual(
      [req.method, req.httpVersion, req.httpVersionMinor, req.complete, req.aborted],
      ['GET', '1.1', 1, true, false],
    )
    assert.equal(req.url.split('?')[0], '/engine.io/')
    assert.deepEqual({ ...req._query }.transport, name)
    assert.match(req.headers.host, /127\.0\.0\.1/)
    assert.equal(req.headersDistinct?.host.length ?? 1, 1)
    assert.equal(req.rawHeaders.length % 2, 0)
    assert.equal(req.socket.localPort, context.port)
    assert.equal(req.connection, req.socket)
    const chunks = []
    for await (const chunk of req) chunks.push(chunk)
    assert.deepEqual(chunks, [])
    assert.equal(req.websocket, name === 'websocket' ? socket.transport.socket : undefined)
  })

  test(`the property request of a session is an own one that can be set and deleted: ${name}`, async () => {
    const context = await listenNatively()
    const { socket } = await open(context)
    const { enumerable, configurable } = Object.getOwnPropertyDescriptor(socket, 'request')
    assert.deepEqual([enumerable, configurable, Object.keys(socket).includes('request')], [true, true, true])
    const { remoteAddress } = socket
    assert.match(remoteAddress, /127\.0\.0\.1$/)
    assert.ok(Object.keys(socket).includes('remoteAddress'))
    socket.request = { mine: true }
    assert.deepEqual(socket.request, { mine: true })
    assert.equal(delete socket.request, true)
    assert.equal(socket.request, undefined)
    assert.equal('request' in socket, false)
    assert.equal(socket.remoteAddress, remoteAddress)
    const closed = once(socket, 'close')
    socket.close(true)
    await closed
  })
}

test("destroying the socket of a WebSocket's request ends its connection", async () => {
  const { peer, socket } = await openWebSocket(await listenNatively())
  const closed = once(socket, 'close')
  socket.request.socket.destroy()
  assert.equal((await closed)[0], 'transport close')
  await peer.end?.()
  assert.equal(socket.request.socket.destroyed, true)
})

test('a request that is destroyed ends the connection of a WebSocket, and only that', async () => {
  const context = await listenNatively()
  const { socket } = await openWebSocket(context)
  const { peer, socket: polls } = await openPolling(context)
  const closed = once(socket, 'close')
  for (const { request } of [socket, polls]) {
    const events = record(request, ['aborted', 'close', 'error'], (event) => event)
    request.destroy()
    assert.equal(request.destroyed, true)
    await eventually(() => events, ['aborted', 'close'])
  }
  assert.equal((await closed)[0], 'transport close')
  polls.send('goes on')
  assert.equal((await peer.poll()).body, '4goes on')
})

test('a client that probes has the query and the address of its second request', async () => {
  const context = await listenNatively()
  const { peer, socket } = await openPolling(context)
  const upgrading = once(socket, 'upgrading')
  const poll = peer.poll()
  const second = await probe(context, peer.sid)
  const [transport] = await upgrading
  assert.equal((await poll).body, '6')
  assert.equal(transport.name, 'websocket')
  assert.equal(socket.upgrading, true)
  assert.match(transport.socket._socket.remoteAddress, /127\.0\.0\.1$/)
  const upgraded = once(socket, 'upgrade')
  second.sendText('5')
  assert.equal((await upgraded)[0], transport)
  assert.equal(socket.transport, transport)
  assert.equal(socket.request.url.includes('transport=polling'), true)
})

test('a second probe is refused, and the first goes on', async () => {
  const context = await listenNatively()
  const { peer, socket } = await openPolling(context)
  const first = await probe(context, peer.sid)
  const second = await RawWebSocket.open(context.port, target(context, { transport: 'websocket', sid: peer.sid }))
  assert.equal(second.status, 400)
  const upgraded = once(socket, 'upgrade')
  first.sendText('5')
  await upgraded
  const third = await RawWebSocket.open(context.port, target(context, { transport: 'websocket', sid: peer.sid }))
  assert.equal(third.status, 400)
  socket.send('still here')
  assert.equal(await first.packet(), '4still here')
})

// ---- refusals ------------------------------------------------------------------------------------

test("refusals are connection_errors for those who listen, as behind Node's server", async () => {
  const native = await listenNatively()
  const node = await listen()
  const seen = []
  for (const context of [native, node]) {
    const errors = record(context.engine, 'connection_error', (_, { req, code, message, context: why }) => {
      assert.ok(req instanceof http.IncomingMessage)
      return { url: req.url.replace(/sid=[\w-]{20}/, 'sid=ID'), method: req.method, code, message, context: why }
    })
    const { peer } = await openPolling(context)
    const { sid } = peer
    const asked = async (query, options) => {
      const { status, body } = await request({ port: context.port, path: target(context, query), ...options })
      return [status, body]
    }
    const answers = [
      await asked({ transport: 'pigeon' }),
      await asked({ sid: 'unknown' }),
      await asked({}, { method: 'PUT' }),
      await asked({ transport: 'websocket' }),
      await asked({ sid, transport: 'websocket' }),
      await asked({ sid, EIO: '3' }),
      await asked({ EIO: '3' }),
      await asked({ sid }, { method: 'DELETE' }),
    ]
    const upgrades = []
    for (const query of [
      { transport: 'websocket', sid: 'unknown' },
      { transport: 'websocket', EIO: '3', sid },
    ]) {
      const raw = await RawWebSocket.open(context.port, target(context, query))
      upgrades.push([raw.status, raw.headers['content-type'], raw.headers.connection])
    }
    await eventually(() => errors.length, 9)
    seen.push({ answers, upgrades, errors })
  }
  assert.deepEqual(seen[0], seen[1])
})

test('refused requests that nobody takes notice of do not pile up', async () => {
  const context = await listenNatively()
  const errors = record(context.engine, 'connection_error')
  const raw = await RawPeer.connect(context.port)
  raw.write('GET /engine.io/?EIO=4&transport=none HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(3000))
  // nothing is taken meanwhile
  const end = Date.now() + 500
  while (Date.now() < end);
  await eventually(() => raw.text.split('Transport unknown').length > 3000, true)
  assert.ok(errors.length >= 1024, `${errors.length}`)
})

// ---- HTTP --------------------------------------------------------------------------------------------

const HANDSHAKE = '/engine.io/?EIO=4&transport=polling'

for (const [what, head] of Object.entries({
  'a bare line feed after the request line': `GET ${HANDSHAKE} HTTP/1.1\nHost: x\r\n\r\n`,
  'a bare line feed after a header': `GET ${HANDSHAKE} HTTP/1.1\r\nHost: x\nA: b\r\n\r\n`,
  'a bare line feed at the end of the head': `GET ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\n\n`,
  'a bare carriage return in a header': `GET ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n`,
  'no Host in HTTP/1.1': `GET ${HANDSHAKE} HTTP/1.1\r\n\r\n`,
  'two lengths of the same value': `POST ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1`,
  'two lengths in one header': `POST ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n1`,
  'a signed length': `POST ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n1`,
  'a length beside chunks': `POST ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'chunks beside a length': `POST ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
  'a transfer encoding behind chunks': `POST ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`,
  'a header without a colon': `GET ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\nNothing\r\n\r\n`,
  'white space before a colon': `GET ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n`,
})) {
  for (const pieces of [1, 3]) {
    test(`${what} is refused as by Node, and ends the connection, in pieces: ${pieces}`, async () => {
      for (const context of [await listenNatively(), await listenDirectly()]) {
        const raw = await RawPeer.connect(context.port)
        const bytes = `GET /other HTTP/1.1\r\nHost: x\r\n\r\n${head}GET ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\n\r\n`
        const size = Math.ceil(bytes.length / pieces)
        for (let at = 0; at < bytes.length; at += size) {
          raw.write(bytes.slice(at, at + size))
          await new Promise(setImmediate)
        }
        await raw.end()
        assert.doesNotMatch(raw.text, /HTTP\/1\.1 200/)
        // Node acts on what comes behind a request without Host, though it does not answer
        if (context.engine.opts.listener === 'native') assert.equal(context.engine.clientsCount, 0)
      }
    })
  }
}

test('a POST that is refused before its body has come is the last request of its connection, and says so', async () => {
  const context = await listenNatively()
  const { peer, socket } = await openPolling(context)
  const head = `POST ${peer.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n4a`
  const [first, second] = [await RawPeer.connect(context.port), await RawPeer.connect(context.port)]
  const closed = once(socket, 'close')
  first.write(head)
  second.write(head)
  await closed
  await Promise.all([first.end(), second.end()])
  const refused = first.text === '' ? second : first
  assert.match(refused.text, /^HTTP\/1\.1 400 Bad Request\r\nConnection: close\r\n/)
})

test('two Hosts, a header line that goes on, and other transfer encodings than chunked are refused, too', async () => {
  const context = await listenNatively()
  for (const headers of [
    'Host: x\r\nHost: y',
    'Host: x\r\nA: b\r\n c',
    'Host: x\r\nTransfer-Encoding: gzip, chunked',
  ]) {
    const raw = await RawPeer.connect(context.port)
    raw.write(`GET ${HANDSHAKE} HTTP/1.1\r\n${headers}\r\n\r\n`)
    await raw.end()
    assert.match(raw.text, /^HTTP\/1\.1 400 Bad Request\r\n/)
  }
  assert.equal(context.engine.clientsCount, 0)
})

test('what comes behind a refused upgrade is no request', async () => {
  const context = await listenNatively()
  const raw = await RawPeer.connect(context.port)
  const upgrade = 'Connection: upgrade\r\nUpgrade: other'
  raw.write(
    `GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n\r\nGET ${HANDSHAKE} HTTP/1.1\nHost: x\n\n`,
  )
  await raw.end()
  assert.match(raw.text, /^HTTP\/1\.1 400 Bad Request\r\nConnection: close\r\n[^]*Invalid Upgrade header$/)
  const outside = await RawPeer.connect(context.port)
  outside.write(`GET /other HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n\r\nGET ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await outside.end()
  assert.equal(outside.text.split('HTTP/1.1 ').length, 2)
  assert.equal(context.engine.clientsCount, 0)
})

test('a head of more than 16 KiB, or of more than 100 headers, is refused', async () => {
  const context = await listenNatively()
  for (const headers of [`A: ${'x'.repeat(20_000)}`, 'A: b\r\n'.repeat(150).trim()]) {
    const raw = await RawPeer.connect(context.port)
    raw.write(`GET ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n`)
    await raw.end()
    assert.match(raw.text, /^HTTP\/1\.1 4(31|00) /)
  }
  assert.equal(context.engine.clientsCount, 0)
})

test('a port that another program has is left alone', async () => {
  const other = http.createServer((req, res) => res.end('other'))
  const port = await bind(other)
  const { httpServer } = engine.listen({ port, host: '127.0.0.1' }, { listener: 'native' })
  await once(httpServer, 'error')
  assert.equal((await request({ port, path: '/' })).body, 'other')
})

test('a polling session that its listener has sealed exchanges messages and closes', async () => {
  const context = await listenNatively()
  context.engine.on('connection', (socket) => Object.seal(socket))
  const { peer, socket } = await openPolling(context)
  const messages = record(socket, ['message', 'close'])
  await peer.post('4hello')
  await eventually(() => messages, [['message', 'hello']])
  socket.send('hi')
  assert.equal((await peer.poll()).body, '4hi')
  assert.equal(socket.transport, socket.transport)
  socket.close(true)
  assert.deepEqual(messages[1], ['close', 'forced close', undefined])
})

test('the transport of a session whose flush listener closes the engine closes once', async () => {
  const context = await listenNatively()
  const { peer, socket } = await openPolling(context)
  const closes = record(socket.transport, ['close'])
  socket.send('waits for a poll')
  socket.once('flush', () => context.engine.close())
  assert.equal((await peer.poll()).body, '1')
  assert.deepEqual(closes, [['close']])
})
