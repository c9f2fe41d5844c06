'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { listen, once, openPolling, openWebSocket, path, request, RawWebSocket } = require('../support')

const APP = 'http://app.example'

/** The CORS headers of a response. */
const corsOf = ({ headers }) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith('access-control-') || name === 'vary'))

const ask = (context, headers = {}, options = {}) =>
  request({ port: context.port, path: path(context), headers: { Origin: APP, ...headers }, ...options })

const preflight = (context) =>
  ask(
    context,
    { 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'x-a, x-b' },
    { method: 'OPTIONS' },
  )

for (const [what, cors, expected] of [
  ['true', true, { 'access-control-allow-origin': '*' }],
  ['a fixed origin', { origin: APP }, { 'access-control-allow-origin': APP, vary: 'Origin' }],
  ['another fixed origin', { origin: 'http://b' }, { 'access-control-allow-origin': 'http://b', vary: 'Origin' }],
  ['a list', { origin: ['http://b', APP] }, { 'access-control-allow-origin': APP, vary: 'Origin' }],
  ['a list without it', { origin: ['http://b'] }, { vary: 'Origin' }],
  ['a pattern', { origin: /\.example$/ }, { 'access-control-allow-origin': APP, vary: 'Origin' }],
  ['origin: true', { origin: true }, { 'access-control-allow-origin': APP, vary: 'Origin' }],
  ['origin: false', { origin: false }, {}],
  [
    'a function',
    { origin: (origin, fn) => fn(null, origin === APP) },
    { 'access-control-allow-origin': APP, vary: 'Origin' },
  ],
  [
    'a delegate',
    (req, fn) => fn(null, { origin: req.headers.origin }),
    { 'access-control-allow-origin': APP, vary: 'Origin' },
  ],
  [
    'credentials and exposed headers',
    { origin: APP, credentials: true, exposedHeaders: ['X-A', 'X-B'] },
    {
      'access-control-allow-credentials': 'true',
      'access-control-allow-origin': APP,
      'access-control-expose-headers': 'X-A,X-B',
      vary: 'Origin',
    },
  ],
]) {
  test(`cors with ${what}: the headers of a request`, async () => {
    assert.deepEqual(corsOf(await ask(await listen({ cors }))), expected)
  })
}

test('a preflight lists methods and the headers that were asked for', async () => {
  const context = await listen({ cors: { origin: APP, credentials: true, maxAge: 60 } })
  const response = await preflight(context)
  assert.deepEqual([response.status, response.body, response.headers['content-length']], [204, '', '0'])
  assert.deepEqual(corsOf(response), {
    'access-control-allow-credentials': 'true',
    'access-control-allow-headers': 'x-a, x-b',
    'access-control-allow-methods': 'GET,HEAD,PUT,PATCH,POST,DELETE',
    'access-control-allow-origin': APP,
    'access-control-max-age': '60',
    vary: 'Origin, Access-Control-Request-Headers',
  })
})

test('a preflight with fixed methods, headers and status', async () => {
  const cors = { origin: APP, methods: ['GET', 'POST'], allowedHeaders: ['x-c'], optionsSuccessStatus: 200 }
  const response = await preflight(await listen({ cors }))
  assert.equal(response.status, 200)
  assert.equal(response.headers['access-control-allow-methods'], 'GET,POST')
  assert.equal(response.headers['access-control-allow-headers'], 'x-c')
})

test('with preflightContinue the engine answers the preflight itself, with an error', async () => {
  const context = await listen({ cors: { origin: APP, preflightContinue: true } })
  const response = await preflight(context)
  assert.deepEqual([response.status, response.body], [400, '{"code":2,"message":"Bad handshake method"}'])
})

test('a delegate that fails is a failure of the middleware', async () => {
  const context = await listen({ cors: (req, fn) => fn(new Error('no')) })
  const error = once(context.engine, 'connection_error')
  assert.equal((await ask(context)).status, 400)
  assert.equal((await error)[0].context.name, 'MIDDLEWARE_FAILURE')
})

test('polls, POSTs, 413s, 400s, 403s and 500s of a session all have the headers', async () => {
  const context = await listen({ cors: { origin: APP }, maxHttpBufferSize: 10 })
  const headers = { Origin: APP }
  const { peer, socket } = await openPolling(context, {}, headers)
  socket.send('a')
  const responses = [
    await peer.poll(headers),
    await peer.post('4a', headers),
    await ask(context, {}, { path: path(context, { sid: 'unknown' }) }),
    await peer.request({ method: 'DELETE', headers }),
    await peer.post('4'.repeat(11), headers),
  ]
  context.engine.opts.allowRequest = (req, fn) => fn(null, false)
  responses.push(await ask(context))
  assert.deepEqual(
    responses.map(({ status }) => status),
    [200, 200, 400, 500, 413, 403],
  )
  for (const { headers: sent, status } of responses)
    assert.equal(sent['access-control-allow-origin'], APP, String(status))
})

test('the 101 has the headers; there is no origin check for websockets', async () => {
  const context = await listen({ cors: { origin: APP } })
  const { peer } = await openWebSocket(context, {}, { headers: { Origin: APP } })
  assert.equal(peer.headers['access-control-allow-origin'], APP)
  const stranger = await RawWebSocket.open(context.port, path(context, { transport: 'websocket' }), {
    headers: { Origin: 'http://evil' },
  })
  assert.equal(stranger.status, 101)
})
