'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { RawWebSocket, listen, openPolling, openWebSocket, path, record, request } = require('../support')

for (const method of ['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD']) {
  test(`${method} with the sid of a session gets a bare 500 and leaves the session alone`, async () => {
    const { peer, socket } = await openPolling(await listen())
    const events = record(socket, ['packet', 'close'])
    const response = await peer.request({ method })
    assert.deepEqual([response.status, response.body], [500, ''])
    assert.equal(response.headers['content-type'], undefined)
    assert.deepEqual(events, [])
    socket.send('alive')
    assert.equal((await peer.poll()).body, '4alive')
  })
}

test('OPTIONS without a sid and without cors is a bad handshake method', async () => {
  const context = await listen()
  const response = await request({ port: context.port, method: 'OPTIONS', path: path(context) })
  assert.deepEqual([response.status, JSON.parse(response.body).code], [400, 2])
})

test('with cors a preflight is answered with 204 by the cors package, with and without a sid', async () => {
  const context = await listen({ cors: { origin: 'http://app', credentials: true } })
  const { peer } = await openPolling(context)
  const headers = { Origin: 'http://app', 'Access-Control-Request-Method': 'POST' }
  for (const target of [path(context), peer.path]) {
    const response = await request({ port: context.port, method: 'OPTIONS', path: target, headers })
    assert.deepEqual([response.status, response.body], [204, ''])
    assert.equal(response.headers['access-control-allow-origin'], 'http://app')
    assert.equal(response.headers['access-control-allow-credentials'], 'true')
    assert.match(response.headers['access-control-allow-methods'], /POST/)
  }
})

test('with cors every response has the headers, errors included', async () => {
  const context = await listen({ cors: true })
  const headers = { Origin: 'http://app' }
  const { peer } = await openPolling(context)
  for (const response of [
    peer.response,
    await peer.post('4a'),
    await request({ port: context.port, path: path(context, { transport: 'foo' }), headers }),
  ]) {
    assert.equal(response.headers['access-control-allow-origin'], '*')
  }
})

test('with cors the 101 of a websocket has the headers', async () => {
  const { peer } = await openWebSocket(await listen({ cors: { origin: 'http://app' } }))
  assert.equal(peer.headers['access-control-allow-origin'], 'http://app')
})

test('a request from an origin that is not allowed is served without the header', async () => {
  const context = await listen({ cors: { origin: ['http://app'] } })
  const response = await request({ port: context.port, path: path(context), headers: { Origin: 'http://evil' } })
  assert.equal(response.status, 200)
  assert.equal(response.headers['access-control-allow-origin'], undefined)
})

test('without cors there is no CORS header and no origin check', async () => {
  const context = await listen()
  const headers = { Origin: 'http://anywhere' }
  const response = await request({ port: context.port, path: path(context), headers })
  assert.equal(response.status, 200)
  assert.equal(response.headers['access-control-allow-origin'], undefined)
  const peer = await RawWebSocket.open(context.port, path(context, { transport: 'websocket' }), { headers })
  assert.equal(peer.status, 101)
})
