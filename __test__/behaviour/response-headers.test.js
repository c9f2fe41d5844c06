'use strict'

// The headers of every answer as they are sent: names in their spelling, values and order; and what listeners of
// `initial_headers` and `headers` get of them.

const assert = require('node:assert/strict')
const http = require('node:http')
const { test } = require('node:test')
const { WebSocketServer } = require('ws')
const {
  bind,
  defer,
  engine,
  listen,
  openPolling,
  openWebSocket,
  path,
  request,
  upgradeTo,
  RawWebSocket,
} = require('../support')

/** An engine that gets its requests by `handleRequest()` and `handleUpgrade()`. */
async function handle(opts) {
  const server = http.createServer((req, res) => attached.handleRequest(req, res))
  const attached = new engine.Server(opts)
  server.on('upgrade', (req, socket, head) => attached.handleUpgrade(req, socket, head))
  defer(() => attached.close())
  return { engine: attached, server, port: await bind(server), path: '/engine.io/' }
}

/** An engine of which two middlewares set headers, and what its listeners get: copies, by event. */
async function withMiddlewares(opts, make = listen) {
  const context = await make(opts)
  context.engine.use((req, res, next) => {
    res.setHeader('Vary', 'Origin')
    res.setHeader('x-Mine', '1')
    next()
  })
  context.engine.use((req, res, next) => {
    res.setHeader('Vary', `${res.getHeader('Vary')}, Accept`)
    next()
  })
  const seen = []
  for (const event of ['initial_headers', 'headers']) {
    context.engine.on(event, (headers) => seen.push([event, Object.entries(headers)]))
  }
  return { context, seen }
}

const SET = [
  ['Vary', 'Origin, Accept'],
  ['x-Mine', '1'],
]

const WAYS = {
  attach: () => withMiddlewares(),
  'handleUpgrade()': () => withMiddlewares({}, handle),
  'a wsEngine': () => withMiddlewares({ wsEngine: WebSocketServer }),
}

for (const [way, open] of Object.entries(WAYS)) {
  test(`listeners get the headers that middlewares have set for a 101, in their order: ${way}`, async () => {
    const { context, seen } = await open()
    const { peer } = await openWebSocket(context)
    assert.deepEqual(seen, [
      ['initial_headers', SET],
      ['headers', SET],
    ])
    assert.deepEqual(peer.headerLines.slice(3), ['Vary: Origin, Accept', 'x-Mine: 1'])
  })

  test(`the same for a connection that would upgrade a session: ${way}`, async () => {
    const { context, seen } = await open()
    const { peer } = await openPolling(context)
    seen.length = 0
    const websocket = await upgradeTo(context, peer.sid)
    assert.deepEqual(seen, [['headers', SET]])
    assert.deepEqual(websocket.headerLines.slice(3), ['Vary: Origin, Accept', 'x-Mine: 1'])
  })

  test(`what listeners make of such headers is what is sent: ${way}`, async () => {
    const { context } = await open()
    context.engine.on('initial_headers', (headers) => {
      delete headers.Vary
      headers['X-Own'] = '2'
    })
    context.engine.on('headers', (headers) => (headers['x-Mine'] = 'changed'))
    const { peer } = await openWebSocket(context)
    assert.deepEqual(peer.headerLines.slice(3), ['x-Mine: changed', 'X-Own: 2'])
  })

  test(`listeners of one request see nothing of another's: ${way}`, async () => {
    const { context, seen } = await open()
    context.engine.once('headers', (headers) => (headers['X-Once'] = '1'))
    await openWebSocket(context)
    seen.length = 0
    const { peer } = await openWebSocket(context)
    assert.deepEqual(seen[1], ['headers', SET])
    assert.deepEqual(peer.headerLines.slice(3), ['Vary: Origin, Accept', 'x-Mine: 1'])
  })
}

test('of a polling response listeners get its own headers, and not those that middlewares have set', async () => {
  const { context, seen } = await withMiddlewares()
  const { peer } = await openPolling(context)
  const own = (type, length) => [
    ['Content-Type', type],
    ['Content-Length', length],
    ['cache-control', 'no-store'],
  ]
  const text = own('text/plain; charset=UTF-8', Buffer.byteLength(peer.response.body))
  await peer.post('4a')
  assert.deepEqual(seen, [
    ['initial_headers', text],
    ['headers', text],
    ['headers', own('text/html', '2')],
  ])
})

test("a header of a middleware that a polling listener sets anew has the listener's value", async () => {
  const { context } = await withMiddlewares()
  context.engine.on('headers', (headers) => (headers.vary = 'Cookie'))
  const { peer } = await openPolling(context)
  assert.equal(peer.response.headers.vary, 'Cookie')
})

const ORIGIN = 'http://localhost:3000'
const CORS = ['Access-Control-Allow-Origin', 'Vary', 'Access-Control-Allow-Credentials']
const NODE = ['Date', 'Connection', 'Keep-Alive']

/** Header names of an answer, in their order, as they were sent. */
const names = ({ rawHeaders }) => rawHeaders.filter((_, i) => i % 2 === 0)

for (const [make, way] of [
  [listen, 'attach'],
  [handle, 'handleRequest()'],
]) {
  test(`the names of the headers of every answer with cors, in their order: ${way}`, async () => {
    const opts = {
      cors: { origin: [ORIGIN], credentials: true },
      cookie: true,
      maxHttpBufferSize: 100,
      pingInterval: 30_000,
    }
    const context = await make(opts)
    const headers = { Origin: ORIGIN }
    const agent = new http.Agent({ keepAlive: true })
    defer(() => agent.destroy())
    const ask = (query, options) =>
      request({ port: context.port, path: path(context, query), headers, agent, ...options })
    const { peer, socket } = await openPolling(context, {}, headers)
    const { sid } = peer

    const handshake = await ask()
    assert.deepEqual(names(handshake), [
      ...CORS,
      'Content-Type',
      'Content-Length',
      'cache-control',
      'Set-Cookie',
      ...NODE,
    ])
    socket.send('x')
    assert.deepEqual(names(await ask({ sid })), [...CORS, 'Content-Type', 'Content-Length', 'cache-control', ...NODE])
    socket.send('x'.repeat(2000))
    const compressed = await ask({ sid }, { headers: { ...headers, 'Accept-Encoding': 'gzip' } })
    assert.deepEqual(names(compressed), [
      ...CORS,
      'Content-Type',
      'Content-Encoding',
      'cache-control',
      ...NODE,
      'Transfer-Encoding',
    ])
    const post = await ask({ sid }, { method: 'POST', body: '4a' })
    assert.deepEqual(names(post), [...CORS, 'Content-Type', 'Content-Length', 'cache-control', ...NODE])
    const put = await ask({ sid }, { method: 'PUT' })
    assert.equal(put.status, 500)
    assert.deepEqual(names(put), [...CORS, ...NODE, 'Transfer-Encoding'])
    // its connection is not used again
    const large = await ask({ sid }, { method: 'POST', body: '4'.repeat(200), agent: false })
    assert.equal(large.status, 413)
    assert.deepEqual(names(large), [...CORS, 'Date', 'Connection', 'Transfer-Encoding'])
    for (const query of [{ transport: 'x' }, { sid: 'x' }, { EIO: '3' }]) {
      const answer = await ask(query)
      assert.equal(answer.status, 400)
      assert.deepEqual(names(answer), [...CORS, 'Content-Type', ...NODE, 'Transfer-Encoding'])
    }
    const preflight = { ...headers, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'a' }
    const options = await ask({}, { method: 'OPTIONS', headers: preflight })
    assert.equal(options.status, 204)
    assert.deepEqual(names(options), [
      ...CORS,
      'Access-Control-Allow-Methods',
      'Access-Control-Allow-Headers',
      'Content-Length',
      ...NODE,
    ])
    context.engine.opts.allowRequest = (req, fn) => fn('no', false)
    const forbidden = await ask()
    assert.equal(forbidden.status, 403)
    assert.deepEqual(names(forbidden), [...CORS, 'Content-Type', ...NODE, 'Transfer-Encoding'])
  })

  test(`the header lines of refused upgrades: ${way}`, async () => {
    const context = await make()
    for (const [query, options, expected] of [
      [{ sid: 'x' }, {}, ['Connection: close', 'Content-type: text/html', 'Content-Length: 18']],
      [
        {},
        { headers: { 'Sec-WebSocket-Key': 'x' } },
        ['Connection: close', 'Content-Type: text/html', 'Content-Length: 43'],
      ],
      [
        {},
        { headers: { 'Sec-WebSocket-Version': '12' } },
        ['Connection: close', 'Content-Type: text/html', 'Content-Length: 47', 'Sec-WebSocket-Version: 13, 8'],
      ],
    ]) {
      const peer = await RawWebSocket.open(context.port, path(context, { transport: 'websocket', ...query }), options)
      assert.equal(peer.status, 400)
      assert.deepEqual(peer.headerLines, expected)
    }
  })
}

/** A session that polls, and what is told of headers: by its server, and by whom else the test has. */
async function withOrder() {
  const context = await listen()
  const order = []
  const { peer, socket } = await openPolling(context)
  context.engine.on('headers', (headers, req) => order.push(`server, ${req.method}`))
  return { order, peer, socket }
}

test("a transport's listeners of headers get them in the order in which they listen, with the server among them", async () => {
  const { order, peer, socket } = await withOrder()
  socket.transport.on('headers', () => order.push('behind'))
  socket.transport.prependListener('headers', () => order.push('before'))
  socket.transport.prependOnceListener('headers', () => order.push('first, once'))
  await peer.post('4a')
  await peer.post('4b')
  assert.deepEqual(order, ['first, once', 'before', 'server, POST', 'behind', 'before', 'server, POST', 'behind'])
})

test('what a listener of headers that comes first sends to a waiting poll goes out before the server hears of the headers', async () => {
  const { order, peer, socket } = await withOrder()
  const { response } = await peer.pendingPoll()
  socket.transport.prependOnceListener('headers', () => socket.send('hello'))
  await peer.post('4a')
  assert.equal((await response).body, '4hello')
  assert.deepEqual(order, ['server, GET', 'server, POST'])
})

test("a server whose listener of a transport's headers the application has removed hears no more of them", async () => {
  const { order, peer, socket } = await withOrder()
  socket.transport.on('headers', () => order.push('mine'))
  await peer.post('4a')
  socket.transport.removeAllListeners('headers')
  await peer.post('4b')
  assert.deepEqual(order, ['server, POST', 'mine'])
})

test("a transport's listener of headers that is there before the session comes before the server", async () => {
  const context = await listen()
  const order = []
  const { createTransport } = context.engine
  context.engine.createTransport = function (...args) {
    const transport = createTransport.apply(this, args)
    transport.on('headers', () => order.push('made'))
    return transport
  }
  context.engine.on('initial_headers', () => order.push('server, initially'))
  context.engine.on('headers', () => order.push('server'))
  const { peer } = await openPolling(context)
  await peer.post('4a')
  assert.deepEqual(order, ['made', 'server, initially', 'server', 'made', 'server'])
})
