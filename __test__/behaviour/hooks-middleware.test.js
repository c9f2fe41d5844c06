'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  deadline,
  delay,
  improvement,
  listen,
  once,
  openPolling,
  openWebSocket,
  path,
  pending,
  record,
  request,
  RawPeer,
  RawWebSocket,
  upgradeRequest,
} = require('../support')

const upgradePath = (context) => path(context, { transport: 'websocket' })

/** The response of the middleware that runs on the next upgrade. */
async function upgradeResponse(use = () => {}) {
  const context = await listen()
  let response
  context.engine.use((req, res, next) => {
    response = res
    use(res, req)
    next()
  })
  const { peer, socket } = await openWebSocket(context)
  return { response, peer, socket, context }
}

test('an async middleware that resolves without next() leaves the request waiting', async () => {
  const context = await listen()
  context.engine.use(async () => {})
  const response = request({ port: context.port, path: path(context) })
  assert.equal(await pending(response, 100), true)
  assert.equal(context.engine.clientsCount, 0)
})

test('an async middleware goes on with next()', async () => {
  const context = await listen()
  context.engine.use(async (req, res, next) => {
    await delay(5)
    next()
  })
  const { socket } = await openPolling(context)
  assert.equal(socket.readyState, 'open')
})

for (const value of ['route', 1, {}]) {
  test(`next(${JSON.stringify(value)}) counts as an error`, async () => {
    const context = await listen()
    context.engine.use((req, res, next) => next(value))
    assert.equal((await request({ port: context.port, path: path(context) })).status, 400)
  })
}

for (const value of [null, undefined, 0, false, '']) {
  test(`next(${JSON.stringify(value)}) goes on`, async () => {
    const context = await listen()
    context.engine.use((req, res, next) => next(value))
    assert.equal((await request({ port: context.port, path: path(context) })).status, 200)
  })
}

test('a middleware after one that failed is not called', async () => {
  const context = await listen()
  let calls = 0
  context.engine.use((req, res, next) => next(new Error('no')))
  context.engine.use((req, res, next) => next(calls++ && undefined))
  await request({ port: context.port, path: path(context) })
  assert.equal(calls, 0)
})

test('an error after next() is not heard', async () => {
  const context = await listen()
  context.engine.use((req, res, next) => {
    next()
    throw new Error('late')
  })
  context.engine.use(async (req, res, next) => {
    next()
    throw new Error('late')
  })
  assert.equal((await openPolling(context)).socket.readyState, 'open')
})

test('a middleware that has sent a head and then fails: the event is emitted, the response just ended', async () => {
  const context = await listen()
  context.engine.use((req, res, next) => {
    res.writeHead(201)
    next(new Error('no'))
  })
  const error = once(context.engine, 'connection_error')
  const response = await request({ port: context.port, path: path(context) })
  assert.deepEqual([response.status, response.body], [201, ''])
  assert.deepEqual((await error)[0].context, { name: 'MIDDLEWARE_FAILURE' })
})

improvement('B-6: unhandledRejection', 'a middleware that answers and then calls next() opens no session', async () => {
  const context = await listen()
  const rejections = []
  const listener = (error) => rejections.push(error)
  process.on('unhandledRejection', listener)
  context.engine.use((req, res, next) => {
    res.writeHead(200)
    res.end('mine')
    next()
  })
  const response = await request({ port: context.port, path: path(context) })
  await new Promise(setImmediate)
  process.removeListener('unhandledRejection', listener)
  assert.deepEqual([response.body, rejections, context.engine.clientsCount], ['mine', [], 0])
})

test('a middleware sees polls and POSTs, and may refuse a single one without harm to the session', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  let refuse = true
  context.engine.use((req, res, next) => next(refuse ? new Error('no') : undefined))
  assert.equal((await peer.post('4a')).status, 400)
  refuse = false
  const message = once(socket, 'message')
  assert.equal((await peer.post('4b')).status, 200)
  assert.deepEqual(await message, ['b'])
})

test('a middleware that answers an upgrade with writeHead and fails: a raw 400', async () => {
  const context = await listen()
  context.engine.use((req, res, next) => {
    res.writeHead(401)
    next(new Error('no'))
  })
  const peer = await RawWebSocket.request(context.port, upgradePath(context))
  await peer.end()
  assert.match(peer.text, /^HTTP\/1\.1 400 Bad Request\r\n[^]*\r\n\r\nBad request$/)
})

test('a middleware may end the upgrade and call next() all the same', async () => {
  const context = await listen()
  context.engine.use((req, res, next) => {
    res.end()
    next()
  })
  const peer = await RawWebSocket.request(context.port, upgradePath(context))
  await peer.end()
  assert.deepEqual([peer.text, context.engine.clientsCount], ['', 0])
})

test('writeHead of the response is called right before the 101, so that headers set then are sent', async () => {
  const { peer } = await upgradeResponse((res) => {
    const { writeHead } = res
    res.writeHead = (...args) => {
      res.setHeader('X-Late', '1')
      return writeHead.apply(res, args)
    }
  })
  assert.equal(peer.headers['x-late'], '1')
})

test('a header that was removed again is not sent', async () => {
  const { peer } = await upgradeResponse((res) => {
    res.setHeader('X-Gone', '1')
    res.setHeader('X-Kept', '2')
    res.removeHeader('X-Gone')
    assert.equal(res.getHeader('X-Kept'), '2')
  })
  assert.deepEqual([peer.headers['x-gone'], peer.headers['x-kept']], [undefined, '2'])
})

test('the response of an upgrade knows its request and its socket', async () => {
  const seen = []
  const { socket } = await upgradeResponse((res, req) => seen.push(res.req === req, typeof res.socket.write))
  assert.deepEqual(seen, [true, 'function'])
  assert.equal(socket.readyState, 'open')
})

improvement('B-6: undefined', 'the response of an upgrade has what middlewares look for', async () => {
  await upgradeResponse((res) => {
    assert.deepEqual([res.statusCode, res.headersSent, res.writableEnded, res.finished], [200, false, false, false])
    res.setHeader('X-One', '1').appendHeader('x-one', '2')
    assert.deepEqual(res.getHeader('X-ONE'), ['1', '2'])
    assert.deepEqual([res.hasHeader('x-ONE'), res.hasHeader('x-two')], [true, false])
    assert.deepEqual({ ...res.getHeaders() }, { 'x-one': ['1', '2'] })
    assert.deepEqual(res.getHeaderNames(), ['x-one'])
    res.flushHeaders()
    res.setTimeout(1000)
    assert.equal(res.write('x'), true)
  })
})

improvement('B-6: undefined', 'after the 101 the response of an upgrade says so', async () => {
  const { response } = await upgradeResponse()
  assert.deepEqual([response.statusCode, response.headersSent], [101, true])
})

improvement(
  'G-49: response splitting',
  'a header value with a line break is a failure of the middleware on both paths',
  async () => {
    const context = await listen()
    context.engine.use((req, res, next) => {
      res.setHeader('X-Mine', 'a\r\nX-Injected: 1')
      next()
    })
    assert.equal((await request({ port: context.port, path: path(context) })).status, 400)
    const peer = await RawWebSocket.request(context.port, upgradePath(context))
    await peer.end()
    assert.match(peer.text, /^HTTP\/1\.1 400/)
    assert.doesNotMatch(peer.text, /Injected/)
  },
)

test('a middleware added later counts for the requests that follow', async () => {
  const context = await listen()
  const { peer } = await openPolling(context)
  context.engine.use((req, res, next) => next(new Error('no')))
  assert.equal((await peer.poll()).status, 400)
})

test("a middleware that is slow does not let a websocket's first frames get lost", async () => {
  const context = await listen()
  context.engine.use((req, res, next) => setTimeout(next, 30))
  const { peer, socket } = await openWebSocket(context)
  const message = once(socket, 'message')
  peer.sendText('4a')
  assert.deepEqual(await message, ['a'])
})

improvement('G-64: uncaughtException', 'a reset while a middleware is pending on an upgrade does no harm', async () => {
  const context = await listen()
  let proceed
  const called = new Promise((resolve) => {
    context.engine.use((req, res, next) => {
      proceed = next
      resolve(req)
    })
  })
  const peer = await RawPeer.connect(context.port)
  peer.write(upgradeRequest(upgradePath(context)))
  const req = await deadline(called, 'call of the middleware')
  const gone = once(req.socket, 'close')
  peer.reset()
  await gone
  proceed()
  await new Promise(setImmediate)
  assert.equal(context.engine.clientsCount, 0)
})

test('the middlewares run before the request is verified', async () => {
  const context = await listen()
  const log = record(context.engine, 'connection_error', (_, { code }) => code)
  context.engine.use((req, res, next) => {
    req._query.transport = 'polling'
    next()
  })
  assert.equal((await request({ port: context.port, path: path(context, { transport: 'nonsense' }) })).status, 200)
  assert.deepEqual(log, [])
})

test('use() returns undefined and keeps the order in middlewares', async () => {
  const { engine } = await listen()
  const one = (req, res, next) => next()
  assert.equal(engine.use(one), undefined)
  assert.deepEqual(engine.middlewares, [one])
})
