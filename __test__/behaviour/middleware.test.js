'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  RawWebSocket,
  listen,
  once,
  openPolling,
  openUpgraded,
  openWebSocket,
  path,
  record,
  request,
} = require('../support')

test('middlewares run in order for every request and every upgrade', async () => {
  const context = await listen()
  const calls = []
  context.engine.use((req, res, next) => next(calls.push(`1 ${req.method}`) && undefined))
  context.engine.use((req, res, next) => next(calls.push(`2 ${req._query.transport}`) && undefined))
  const { polling } = await openUpgraded(context)
  await polling.post('4a')
  const polled = ['1 GET', '2 polling']
  assert.deepEqual(calls, [...polled, '1 GET', '2 websocket', '1 POST', '2 polling'])
})

test('headers set by a middleware are in the polling response and in the 101', async () => {
  const context = await listen()
  context.engine.use((req, res, next) => {
    res.setHeader('X-Mine', '1')
    next()
  })
  assert.equal((await openPolling(context)).peer.response.headers['x-mine'], '1')
  assert.equal((await openWebSocket(context)).peer.headers['x-mine'], '1')
})

for (const [how, middleware] of [
  ['calls next with an error', (req, res, next) => next(new Error('secret'))],
  [
    'throws',
    () => {
      throw new Error('secret')
    },
  ],
  ['returns a rejected promise', () => Promise.reject(new Error('secret'))],
]) {
  test(`a middleware that ${how} refuses the request without showing the error`, async () => {
    const context = await listen()
    context.engine.use(middleware)
    const errors = record(context.engine, 'connection_error', (_, { code, context: c }) => ({ code, ...c }))
    const response = await request({ port: context.port, path: path(context) })
    assert.deepEqual([response.status, response.body], [400, '{"code":3,"message":"Bad request"}'])
    const peer = await RawWebSocket.request(context.port, path(context, { transport: 'websocket' }))
    await peer.end()
    assert.match(peer.text, /^HTTP\/1\.1 400 Bad Request\r\n[^]*\r\n\r\nBad request$/)
    const failure = { code: 3, name: 'MIDDLEWARE_FAILURE' }
    assert.deepEqual(errors, [failure, failure])
  })
}

test('a second call of next is ignored', async () => {
  const context = await listen()
  context.engine.use((req, res, next) => {
    next()
    next()
  })
  await openPolling(context)
  assert.equal(context.engine.clientsCount, 1)
})

test('a middleware may answer a request itself', async () => {
  const context = await listen()
  context.engine.use((req, res) => {
    res.writeHead(503)
    res.end('busy')
  })
  const response = await request({ port: context.port, path: path(context) })
  assert.deepEqual([response.status, response.body], [503, 'busy'])
  assert.equal(context.engine.clientsCount, 0)
})

test('a middleware that ends an upgrade drops the connection', async () => {
  const context = await listen()
  context.engine.use((req, res) => res.end())
  const peer = await RawWebSocket.request(context.port, path(context, { transport: 'websocket' }))
  await peer.end()
  assert.equal(peer.text, '')
})

test('an asynchronous middleware delays the handshake', async () => {
  const context = await listen()
  context.engine.use((req, res, next) => setTimeout(next, 20))
  const { peer, socket } = await openPolling(context)
  const { peer: ws } = await openWebSocket(context)
  assert.equal(ws.status, 101)
  const message = once(socket, 'message')
  await peer.post('4a')
  assert.deepEqual(await message, ['a'])
})

test('the response of an upgrade emits close when the connection is gone', async () => {
  const context = await listen()
  const closed = new Promise((resolve) => {
    context.engine.use((req, res, next) => {
      res.on('close', resolve)
      next()
    })
  })
  const { peer } = await openWebSocket(context)
  peer.socket.destroy()
  await closed
})

test('a middleware that replaces end of the response sees the bodies of polls and POSTs', async () => {
  const context = await listen()
  const seen = []
  context.engine.use((req, res, next) => {
    const { end } = res
    res.end = function (body) {
      seen.push(body)
      return end.call(this, body)
    }
    next()
  })
  const { peer, socket } = await openPolling(context)
  seen.length = 0
  assert.equal((await peer.post('4a')).body, 'ok')
  socket.send('b')
  assert.equal((await peer.poll()).body, '4b')
  assert.deepEqual(seen, ['ok', '4b'])
})

test('what a middleware puts on the request is found on socket.request', async () => {
  const context = await listen()
  context.engine.use((req, res, next) => {
    req.user = 'me'
    next()
  })
  assert.equal((await openPolling(context)).socket.request.user, 'me')
  assert.equal((await openWebSocket(context)).socket.request.user, 'me')
})
