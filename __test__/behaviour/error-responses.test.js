'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const https = require('node:https')
const tls = require('node:tls')
const { WebSocketServer } = require('ws')
const {
  RawPeer,
  RawWebSocket,
  headerNames,
  improvement,
  listen,
  listenDirectly,
  once,
  openWebSocket,
  path,
  record,
  request,
} = require('../support')
const { key, cert } = require('../fixtures/tls')

test('an error response is JSON, chunked, and has no caching header', async () => {
  const context = await listen()
  const response = await request({ port: context.port, path: path(context, { transport: 'foo' }) })
  assert.equal(response.status, 400)
  assert.equal(response.body, '{"code":0,"message":"Transport unknown"}')
  assert.equal(response.headers['content-type'], 'application/json')
  assert.equal(response.headers['transfer-encoding'], 'chunked')
  assert.equal(response.headers['cache-control'], undefined)
  assert.equal(headerNames(response)[0], 'Content-Type')
})

for (const [query, method, body] of [
  [{ transport: 'foo' }, 'GET', '{"code":0,"message":"Transport unknown"}'],
  [{ sid: 'unknown' }, 'GET', '{"code":1,"message":"Session ID unknown"}'],
  [{}, 'POST', '{"code":2,"message":"Bad handshake method"}'],
  [{ transport: 'websocket' }, 'GET', '{"code":3,"message":"Bad request"}'],
  [{ EIO: '3' }, 'GET', '{"code":5,"message":"Unsupported protocol version"}'],
]) {
  test(`${method} with ${JSON.stringify(query)} is answered with 400 ${body}`, async () => {
    const context = await listen()
    const response = await request({ port: context.port, method, path: path(context, query) })
    assert.deepEqual([response.status, response.body], [400, body])
  })
}

test('an error response emits neither headers nor initial_headers and sets no cookie', async () => {
  const context = await listen({ cookie: true })
  const events = record(context.engine, ['headers', 'initial_headers'])
  const response = await request({ port: context.port, path: path(context, { transport: 'foo' }) })
  assert.deepEqual(events, [])
  assert.equal(response.headers['set-cookie'], undefined)
})

test('HEAD gets the status of the error without a body', async () => {
  const context = await listen()
  const response = await request({ port: context.port, method: 'HEAD', path: path(context) })
  assert.deepEqual([response.status, response.body], [400, ''])
})

test('an error over HTTP/1.0 ends with the connection', async () => {
  const context = await listen()
  const peer = await RawPeer.connect(context.port)
  peer.write(`GET ${path(context, { transport: 'foo' })} HTTP/1.0\r\n\r\n`)
  await peer.end()
  assert.doesNotMatch(peer.text, /transfer-encoding/i)
  assert.match(peer.text, /\r\n\r\n\{"code":0,"message":"Transport unknown"\}$/)
})

test("headers set before the engine's answer are kept", async () => {
  const context = await listen()
  context.engine.use((req, res, next) => {
    res.setHeader('X-Kept', '1')
    next()
  })
  const response = await request({ port: context.port, path: path(context, { transport: 'foo' }) })
  assert.equal(response.status, 400)
  assert.equal(response.headers['x-kept'], '1')
})

test('a refused upgrade is a complete HTTP response', async () => {
  const context = await listen()
  const peer = await RawWebSocket.request(context.port, path(context, { transport: 'foo' }))
  await peer.end()
  assert.equal(
    peer.text,
    'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-type: text/html\r\nContent-Length: 17\r\n\r\nTransport unknown',
  )
})

test('the Content-Length of a refused upgrade counts bytes', async () => {
  const context = await listen({ allowRequest: (req, fn) => fn('nö €', false) })
  const peer = await RawWebSocket.request(context.port, path(context, { transport: 'websocket' }))
  await peer.end()
  const [head, body] = peer.bytes.toString('utf8').split('\r\n\r\n')
  assert.match(head, /Content-Length: 7$/)
  assert.equal(body, 'nö €')
})

test('a refused upgrade has status 400 even when it is forbidden', async () => {
  const context = await listen({ allowRequest: (req, fn) => fn(null, false) })
  const peer = await RawWebSocket.request(context.port, path(context, { transport: 'websocket' }))
  await peer.end()
  assert.match(peer.text, /^HTTP\/1\.1 400 Bad Request\r\n[^]*\r\n\r\nForbidden$/)
})

test('the connection of a refused polling request stays usable', async () => {
  const context = await listen()
  const peer = await RawPeer.connect(context.port)
  peer.write(`GET ${path(context, { transport: 'foo' })} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await peer.match(/0\r\n\r\n$/)
  peer.write(`GET ${path(context)} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await peer.match(/HTTP\/1\.1 200 OK[^]*"maxPayload":1000000\}$/)
})

test('a client that is gone before its upgrade is refused does no harm', async () => {
  let refuse
  const asked = new Promise((resolve) => (refuse = resolve))
  const context = await listen({ allowRequest: (req, fn) => refuse(() => fn('late', false)) })
  const peer = await RawWebSocket.request(context.port, path(context, { transport: 'websocket' }))
  const answer = await asked
  peer.socket.end()
  await new Promise((resolve) => setTimeout(resolve, 20))
  answer()
  context.engine.opts.allowRequest = undefined
  assert.equal((await openWebSocket(context)).peer.status, 101)
})

test('a websocket handshake with generateId failing emits code 3 and ends the connection', async () => {
  const context = await listen()
  const error = new Error('no id')
  context.engine.generateId = () => Promise.reject(error)
  const emitted = once(context.engine, 'connection_error')
  const peer = await RawWebSocket.request(context.port, path(context, { transport: 'websocket' }))
  await peer.end()
  const [{ code, context: reason }] = await emitted
  assert.deepEqual([code, reason], [3, { name: 'ID_GENERATION_ERROR', error }])
  assert.equal(context.engine.clientsCount, 0)
})

/** Ways in by which a WebSocket's handshake may come. */
const DOORS = {
  'an http.Server': () => listen(),
  'an http.Server, with permessage-deflate': () => listen({ perMessageDeflate: true }),
  'listen()': () => listenDirectly(),
  'an https.Server': () => listen({}, https.createServer({ key, cert })),
  'a wsEngine of ws': () => listen({ wsEngine: WebSocketServer }),
}

for (const [door, serve] of Object.entries(DOORS)) {
  // the original destroys a TLS socket before the response has left it
  const define = door === 'an https.Server' ? (name, fn) => improvement('B-4', name, fn) : test
  // no client takes the response for the end of a WebSocket: after a close frame Socket.IO's would wait
  define(
    `a refusal after the 101 is an HTTP response, which no WebSocket client can read as a frame: ${door}`,
    async () => {
      const context = await serve()
      const target = path(context, { EIO: '3', transport: 'websocket' })
      const emitted = once(context.engine, 'connection_error')
      const peer =
        door === 'an https.Server'
          ? RawWebSocket.over(tls.connect({ host: '127.0.0.1', port: context.port, rejectUnauthorized: false }), target)
          : await RawWebSocket.request(context.port, target)
      await peer.response()
      await peer.end()
      assert.equal(peer.status, 101)
      assert.equal((await emitted)[0].code, 5)
      const text =
        'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-type: text/html\r\nContent-Length: 28\r\n\r\n'
      assert.equal(peer.text, text + 'Unsupported protocol version')
    },
  )
}

improvement('G-32', 'a request with transport=websocket and the sid of a websocket session gets 400', async () => {
  const context = await listen()
  const { open, socket } = await openWebSocket(context)
  const target = path(context, { transport: 'websocket', sid: open.sid })
  const response = await request({ port: context.port, path: target })
  assert.equal(response.status, 400)
  assert.equal(socket.readyState, 'open')
})
