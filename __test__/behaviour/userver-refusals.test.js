'use strict'

// Requests of an app of uWebSockets.js that are refused, abandoned or answered early, with bodies still on their way.

const assert = require('node:assert/strict')
const { test: run } = require('node:test')
const {
  delay,
  eventually,
  improvement,
  path,
  record,
  request,
  RawPeer,
  RawWebSocket,
  openPolling,
  upgradeRequest,
} = require('../support')
const { listenOnUws, skip } = require('../support/userver')

const test = (name, fn) => run(name, { skip }, fn)
const better = (row, name, fn) => improvement(row, name, (t) => (skip ? t.skip(skip) : fn()))

const BODY = '4'.repeat(300_000)
const USED_LATE = 'a response is used after its end'

/** A request whose body comes in two parts, then another request on the same connection; gives the statuses. */
async function refusedWithBody(context, head, { chunked = false } = {}) {
  const peer = await RawPeer.connect(context.port)
  const length = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${BODY.length}`
  const body = chunked ? `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n` : BODY
  peer.write(`${head} HTTP/1.1\r\nHost: x\r\n${length}\r\n\r\n${body.slice(0, 100_000)}`)
  await peer.match(/^HTTP\/1.1 \d+/)
  peer.write(body.slice(100_000))
  peer.write('GET /engine.io/?EIO=4&transport=none HTTP/1.1\r\nHost: x\r\n\r\n')
  await peer.match(/HTTP\/1.1 \d+[^]*HTTP\/1.1 \d+/)
  return [...peer.text.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status]) => Number(status))
}

for (const chunked of [false, true]) {
  for (const [what, head, status] of [
    ['an unknown session', 'POST /engine.io/?EIO=4&transport=polling&sid=nope', 400],
    ['no query', 'POST /engine.io/', 400],
    ['OPTIONS', 'OPTIONS /engine.io/?EIO=4&transport=polling', 400],
    ['PUT', 'PUT /engine.io/?EIO=4&transport=polling', 400],
  ]) {
    better(
      USED_LATE,
      `a request is refused while its body is on its way, and the next one is served: ${what}${chunked ? ', chunked' : ''}`,
      async () => {
        const context = await listenOnUws()
        assert.deepEqual(await refusedWithBody(context, head, { chunked }), [status, 400])
      },
    )
  }
}

better(
  USED_LATE,
  'a body that waits for a middleware does not wait for ever when that refuses the request',
  async () => {
    const context = await listenOnUws()
    context.engine.use((req, res, next) => setTimeout(next, 50, new Error('no')))
    const peer = await RawPeer.connect(context.port)
    peer.write(
      `POST /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
    )
    await peer.match(/^HTTP\/1.1 400/)
    peer.write('GET /engine.io/?EIO=4&transport=none HTTP/1.1\r\nHost: x\r\n\r\n')
    await peer.match(/HTTP\/1.1 400[^]*HTTP\/1.1 400/)
  },
)

better(USED_LATE, 'a client that goes away with half a body leaves nothing to a middleware that is late', async () => {
  const context = await listenOnUws()
  const answers = []
  context.engine.use((req, res, next) => {
    answers.push(() => {
      res.setHeader('x-late', '1')
      res.writeHead(200)
      res.write('late')
      res.end('late')
      res.destroy()
      req.destroy()
      next()
    })
  })
  const peer = await RawPeer.connect(context.port)
  peer.write(`POST /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n4`)
  await eventually(() => answers.length, 1)
  peer.reset()
  await delay(50)
  answers[0]()
  const next = request({ port: context.port, path: path(context) })
  await eventually(() => answers.length, 2)
  answers[1]()
  assert.equal((await next).body, 'latelate')
})

test('a body larger than maxHttpBufferSize is refused, and the next request of its connection is served', async () => {
  const context = await listenOnUws({ maxHttpBufferSize: 1000 })
  const { peer } = await openPolling(context)
  assert.deepEqual(await refusedWithBody(context, `POST ${peer.path}`), [413, 400])
})

better(
  'a line break splits the response',
  'a header that cannot be sent refuses the upgrade and closes its session',
  async () => {
    const context = await listenOnUws()
    context.engine.on('headers', (headers) => (headers['x-own'] = 'a\r\nx-other: b'))
    const errors = record(context.engine, 'connection_error', (event, error) => [error.code, error.context.name])
    const closed = []
    context.engine.on('connection', (socket) => socket.on('close', (reason) => closed.push(reason)))
    const peer = await RawWebSocket.open(context.port, path(context, { transport: 'websocket' }))
    assert.deepEqual([peer.status, peer.headers['x-other']], [500, undefined])
    assert.deepEqual(errors, [[3, 'INVALID_HEADER']])
    assert.deepEqual([closed, context.engine.clientsCount], [['transport close'], 0])
  },
)

better(
  'a session that no WebSocket carries, then an exception',
  'an upgrade request for the polling transport opens no session',
  async () => {
    const context = await listenOnUws()
    const opened = record(context.engine, 'connection')
    const peer = await RawPeer.connect(context.port)
    peer.write(upgradeRequest(path(context)))
    await peer.end()
    assert.deepEqual([opened, peer.text], [[], ''])
  },
)

better('TypeError', 'a session that is closed by the listener of its connection ends the upgrade', async () => {
  const context = await listenOnUws()
  context.engine.on('connection', (socket) => socket.close(true))
  const peer = await RawPeer.connect(context.port)
  peer.write(upgradeRequest(path(context, { transport: 'websocket' })))
  await peer.end()
  assert.equal(context.engine.clientsCount, 0)
})

better(USED_LATE, 'a headers listener that cuts the connection off ends the session', async () => {
  const context = await listenOnUws()
  context.engine.on('headers', (headers, req) => req.res.close())
  const peer = await RawPeer.connect(context.port)
  peer.write(upgradeRequest(path(context, { transport: 'websocket' })))
  await peer.end()
  await eventually(() => context.engine.clientsCount, 0)
})

better(
  'the HTTP response is used after the switch',
  'the response of an upgrade does no harm when it is used later',
  async () => {
    const context = await listenOnUws()
    const responses = []
    context.engine.use((req, res, next) => {
      responses.push(res)
      next()
    })
    const connected = new Promise((resolve) => context.engine.on('connection', resolve))
    const peer = await RawWebSocket.open(context.port, path(context, { transport: 'websocket' }))
    const socket = await connected
    await peer.packet()
    const [res] = responses
    assert.deepEqual([res.end('x'), res.write('x'), res.headersSent, res.statusCode], [res, false, true, 101])
    socket.send('still here')
    assert.equal(await peer.packet(), '4still here')
    res.destroy()
    await peer.end()
    await eventually(() => context.engine.clientsCount, 0)
    res.destroy()
  },
)

test('hooks may read the request as uWebSockets.js has it', async () => {
  let seen
  const context = await listenOnUws({
    allowRequest(req, fn) {
      seen = [req.getMethod(), req.getUrl(), req.getQuery('token'), req.getHeader('x-own'), req.getHeader('x-none')]
      fn(null, true)
    },
  })
  await request({ port: context.port, path: path(context, { token: 'a b' }), headers: { 'x-own': '1' } })
  assert.deepEqual(seen, ['get', '/engine.io/', 'a b', '1', ''])
})

test('a middleware that writes its headers with the head has them in polls and upgrades', async () => {
  const context = await listenOnUws()
  context.engine.use((req, res, next) => {
    const { writeHead } = res
    res.writeHead = function (...args) {
      this.setHeader('x-late', '1')
      return writeHead.apply(this, args)
    }
    next()
  })
  const { headers } = await request({ port: context.port, path: path(context) })
  assert.equal(headers['x-late'], '1')
  const peer = await RawWebSocket.open(context.port, path(context, { transport: 'websocket' }))
  assert.deepEqual([peer.status, peer.headers['x-late']], [101, '1'])
})
