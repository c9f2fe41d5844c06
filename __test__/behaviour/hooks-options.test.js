'use strict'

const assert = require('node:assert/strict')
const http = require('node:http')
const { test } = require('node:test')
const {
  deadline,
  engine,
  eventually,
  improvement,
  listen,
  once,
  openPolling,
  openWebSocket,
  path,
  pending,
  request,
  RawPeer,
  RawWebSocket,
  upgradeRequest,
} = require('../support')

const upgradePath = (context) => path(context, { transport: 'websocket' })

/** Runs `fn` and gives the errors that reached the process meanwhile. */
async function reported(fn) {
  const errors = []
  const listener = (error) => errors.push(error.message)
  // node:test listens, too; it must not see what is expected here
  const before = ['uncaughtException', 'unhandledRejection'].map((event) => [event, process.listeners(event)])
  for (const [event] of before) process.removeAllListeners(event).on(event, listener)
  try {
    await fn()
    await new Promise(setImmediate)
  } finally {
    for (const [event, listeners] of before) {
      process.removeAllListeners(event)
      for (const one of listeners) process.on(event, one)
    }
  }
  return errors
}

test('a slow allowRequest delays the handshake on both transports', async () => {
  const context = await listen({ allowRequest: (req, fn) => setTimeout(fn, 20, null, true) })
  assert.equal((await openPolling(context)).socket.readyState, 'open')
  const { peer, socket } = await openWebSocket(context)
  const message = once(socket, 'message')
  peer.sendText('4a')
  assert.deepEqual(await message, ['a'])
})

test('an async allowRequest that calls back is fine', async () => {
  const context = await listen({ allowRequest: async (req, fn) => fn(null, true) })
  assert.equal((await openPolling(context)).socket.readyState, 'open')
})

for (const [how, allowRequest] of [
  [
    'throws',
    () => {
      throw new Error('broken')
    },
  ],
  [
    'rejects',
    async () => {
      throw new Error('broken')
    },
  ],
]) {
  improvement('G-114: hanging requests', `an allowRequest that ${how} refuses, and the error is reported`, async () => {
    const context = await listen({ allowRequest })
    let response
    const peer = await RawPeer.connect(context.port)
    const errors = await reported(async () => {
      response = await request({ port: context.port, path: path(context) })
      peer.write(upgradeRequest(upgradePath(context)))
      await peer.end()
    })
    assert.deepEqual([response.status, response.body], [403, '{"code":4,"message":"Forbidden"}'])
    assert.match(peer.text, /^HTTP\/1\.1 400 Bad Request\r\n[^]*Forbidden$/)
    assert.deepEqual(errors, ['broken', 'broken'])
    assert.equal(context.engine.clientsCount, 0)
  })
}

for (const [first, second] of [
  [true, false],
  [false, true],
  [true, true],
  [false, false],
]) {
  const both = first || second ? improvement.bind(null, 'G-115, G-116: two verdicts') : test
  both(`of the verdicts ${first} and ${second} of one allowRequest the first counts`, async () => {
    const context = await listen({
      allowRequest: (req, fn) => {
        fn(null, first)
        fn(null, second)
      },
    })
    const errors = await reported(async () => {
      const response = await request({ port: context.port, path: path(context) })
      assert.equal(response.status, first ? 200 : 403)
      const peer = await RawWebSocket.open(context.port, upgradePath(context))
      assert.equal(peer.status, first ? 101 : 400)
    })
    assert.deepEqual(errors, [])
    await eventually(() => context.engine.clientsCount, first ? 2 : 0)
  })
}

test('a polling client that leaves while allowRequest is pending does no harm', async () => {
  let answer
  const called = new Promise((resolve) => (answer = resolve))
  const context = await listen({ pingInterval: 50, pingTimeout: 50, allowRequest: (req, fn) => answer(fn) })
  const peer = await RawPeer.connect(context.port)
  peer.write(`GET ${path(context)} HTTP/1.1\r\nHost: x\r\n\r\n`)
  const fn = await deadline(called, 'call of allowRequest')
  peer.reset()
  fn(null, true)
  await eventually(() => context.engine.clientsCount, 0)
})

test('generateId that never answers leaves the request waiting and counts nobody', async () => {
  const context = await listen()
  context.engine.generateId = () => new Promise(() => {})
  assert.equal(await pending(request({ port: context.port, path: path(context) }), 80), true)
  assert.equal(context.engine.clientsCount, 0)
})

for (const transport of ['polling', 'websocket']) {
  test(`a generateId that rejects refuses a ${transport} handshake with the error in the context`, async () => {
    const context = await listen()
    const error = new Error('no id')
    context.engine.generateId = async () => {
      throw error
    }
    const event = once(context.engine, 'connection_error')
    if (transport === 'polling') {
      assert.equal((await request({ port: context.port, path: path(context) })).status, 400)
    } else {
      const peer = await RawWebSocket.open(context.port, upgradePath(context))
      await peer.end()
    }
    const [{ code, context: details }] = await event
    assert.deepEqual([code, details], [3, { name: 'ID_GENERATION_ERROR', error }])
  })
}

improvement('G-118: corrupt map', 'an id that is in use is refused, and the session that has it lives on', async () => {
  const context = await listen()
  context.engine.generateId = () => 'same'
  const { peer, socket } = await openPolling(context)
  const event = once(context.engine, 'connection_error')
  assert.equal((await request({ port: context.port, path: path(context) })).status, 400)
  assert.equal((await event)[0].context.name, 'ID_GENERATION_ERROR')
  assert.deepEqual([context.engine.clientsCount, Object.keys(context.engine.clients)], [1, ['same']])
  const message = once(socket, 'message')
  await peer.post('4a')
  assert.deepEqual(await message, ['a'])
})

/** Two sessions with one id: `{ context, older, younger, first, second }`, the last two their clients. */
async function openTwins() {
  const context = await listen()
  context.engine.generateId = () => 'same'
  const { peer: first, socket: older } = await openWebSocket(context)
  const connected = once(context.engine, 'connection')
  const second = await RawWebSocket.open(context.port, path(context, { transport: 'websocket' }))
  const [younger] = await connected
  assert.match(await second.packet(), /^0\{"sid":"same"/)
  return { context, older, younger, first, second }
}

test('sessions that are not found by their ids may have the same one: all of them live on', async () => {
  const { context, older, younger, first, second } = await openTwins()
  for (const [socket, peer] of [
    [older, first],
    [younger, second],
  ]) {
    socket.send('hello')
    assert.equal(await peer.packet(), '4hello')
  }
  assert.deepEqual([context.engine.clientsCount, context.engine.clients.same === younger], [2, true])
})

improvement(
  'G-118: corrupt map',
  'an id that generateId() has made before is one that a living session may have',
  async () => {
    const context = await listen()
    const { open, socket: older } = await openWebSocket(context)
    context.engine.generateId = () => open.sid
    const { socket: younger } = await openWebSocket(context)
    assert.equal(context.engine.clients[open.sid] === younger, true)
    const closed = once(younger, 'close')
    younger.close()
    await closed
    assert.deepEqual([context.engine.clientsCount, context.engine.clients[open.sid] === older], [1, true])
  },
)

for (const ended of ['older', 'younger']) {
  improvement(
    'G-118: corrupt map',
    `of two sessions with one id the ${ended} one ends: the other is found, counted and closed with the server`,
    async () => {
      const { context, older, younger, first, second } = await openTwins()
      const [one, other, peer] = ended === 'older' ? [older, younger, second] : [younger, older, first]
      const closed = once(one, 'close')
      one.close()
      await closed
      assert.deepEqual([context.engine.clientsCount, context.engine.clients.same === other], [1, true])
      context.engine.close()
      assert.equal((await peer.frame()).opcode, 8)
      assert.deepEqual([context.engine.clientsCount, Object.keys(context.engine.clients)], [0, []])
    },
  )
}

improvement('G-118: corrupt map', 'engine.close() closes all of the sessions that have one id', async () => {
  const context = await listen()
  context.engine.generateId = () => 'same'
  const peers = []
  for (let i = 0; i < 3; i++) {
    peers.push(await RawWebSocket.open(context.port, path(context, { transport: 'websocket' })))
    await peers[i].packet()
  }
  assert.equal(context.engine.clientsCount, 3)
  context.engine.close()
  for (const peer of peers) assert.equal((await peer.frame()).opcode, 8)
  assert.equal(context.engine.clientsCount, 0)
})

test('a header that an initial_headers or headers listener adds goes out, on the 101 as well', async () => {
  const context = await listen()
  context.engine.on('initial_headers', (headers) => (headers['X-First'] = '1'))
  context.engine.on('headers', (headers) => (headers['Set-Cookie'] = 'mine=1'))
  const { peer } = await openPolling(context)
  assert.deepEqual([peer.response.headers['x-first'], peer.response.headers['set-cookie']], ['1', ['mine=1']])
  const posted = await peer.post('4a')
  assert.deepEqual([posted.headers['x-first'], posted.headers['set-cookie']], [undefined, ['mine=1']])
  const { peer: ws } = await openWebSocket(context)
  assert.deepEqual([ws.headers['x-first'], ws.headers['set-cookie']], ['1', 'mine=1'])
})

// ---- what older majors had ---------------------------------------------------------------------

test('the module is an object, not a function', () => {
  assert.equal(typeof engine, 'object')
})

test('Server is a class: it cannot be called without new', () => {
  const { Server } = engine
  assert.throws(() => Server(), { name: 'TypeError', message: /without 'new'/ })
})

test('new Server(httpServer) attaches nothing', () => {
  const server = http.createServer()
  const eio = new engine.Server(server)
  assert.deepEqual([server.listenerCount('request'), server.listenerCount('upgrade')], [0, 0])
  eio.close()
})

test('options of former majors are tolerated', async () => {
  const context = await listen({
    cookiePath: '/x',
    cookieHttpOnly: false,
    handlePreflightRequest: () => {},
    origins: '*:*',
  })
  assert.equal((await openPolling(context)).peer.response.headers['set-cookie'], undefined)
})

test('a cookie option that is a string keeps the default name', async () => {
  const context = await listen({ cookie: 'mine' })
  assert.match((await openPolling(context)).peer.response.headers['set-cookie'][0], /^io=/)
})

improvement('old ways', 'each old way gets one warning that says what to write instead', async () => {
  const { execFileSync } = require('node:child_process')
  const program = `
    process.on("warning", ({ code, message }) => console.log(code, message));
    const http = require("http");
    const { Server } = require(${JSON.stringify(require.resolve('../..'))});
    for (let i = 0; i < 2; i++) {
      new Server({ cookiePath: "/", cookieHttpOnly: true, handlePreflightRequest() {}, cookie: "io" });
      new Server(http.createServer());
    }`
  const lines = execFileSync(process.execPath, ['-e', program], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
    .trim()
    .split('\n')
  assert.equal(lines.length, 5)
  for (const line of lines) assert.match(line, /^ENGINE_IO_OLD_WAY .+ has no effect; write .+$/)
})

test('a wsEngine given as a string is a TypeError', () => {
  assert.throws(() => new engine.Server({ wsEngine: 'ws' }), {
    name: 'TypeError',
    message: /wsEngine is not a constructor/,
  })
  assert.throws(() => engine.attach(http.createServer(), { wsEngine: 'uws' }), {
    name: 'TypeError',
    message: /wsEngine is not a constructor/,
  })
})

improvement('old ways', 'the error for a wsEngine given as a string says what to write instead', () => {
  assert.throws(() => new engine.Server({ wsEngine: 'eiows' }), /write require\('eiows'\)\.Server, or leave it out/)
})

test('a wsEngine given as a string does no harm where there are no websockets', () => {
  new engine.Server({ wsEngine: 'ws', transports: ['polling'] }).close()
})

improvement(
  'A-2: the README says that both can be chained, and they return undefined',
  'handleRequest and handleUpgrade return the server',
  async () => {
    const context = await listen()
    const returned = []
    const note = (name) => {
      const original = context.engine[name]
      context.engine[name] = function (...args) {
        returned.push(original.apply(this, args) === this)
      }
    }
    note('handleRequest')
    note('handleUpgrade')
    await openPolling(context)
    await openWebSocket(context)
    assert.deepEqual(returned, [true, true])
  },
)

test('calling the module is a TypeError', () => {
  assert.throws(() => engine(http.createServer(), {}), { name: 'TypeError', message: /is not a function/ })
})
