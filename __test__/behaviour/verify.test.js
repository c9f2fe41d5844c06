'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  RawWebSocket,
  engine,
  eventually,
  listen,
  never,
  once,
  openPolling,
  openUpgraded,
  openWebSocket,
  path,
  record,
  request,
} = require('../support')

/** The `connection_error` events of an engine, without the request. */
function errorsOf({ engine: server }) {
  return record(server, 'connection_error', (_, { code, message, context }) => ({ code, message, context }))
}

/** Sends one request and expects it to be refused with `code` and `context`. */
async function refuses(context, options, expected) {
  const errors = errorsOf(context)
  const response = await request({ port: context.port, ...options })
  assert.deepEqual(errors, [{ message: engine.Server.errorMessages[expected.code], ...expected }])
  assert.equal(response.status, expected.code === 4 ? 403 : 400)
  assert.equal(JSON.parse(response.body).code, expected.code)
  return response
}

async function refusesUpgrade(context, target, expected, options) {
  const errors = errorsOf(context)
  const peer = await RawWebSocket.request(context.port, target, options)
  await peer.end()
  assert.deepEqual(errors, [{ message: engine.Server.errorMessages[expected.code], ...expected }])
  assert.match(peer.text, /^HTTP\/1\.1 400 Bad Request\r\n/)
  return peer.text
}

test('connection_error carries the request, the code, the message of the table and a context', async () => {
  const context = await listen()
  const error = once(context.engine, 'connection_error')
  await request({ port: context.port, path: path(context, { transport: 'foo' }) })
  const [payload] = await error
  assert.deepEqual(Object.keys(payload).sort(), ['code', 'context', 'message', 'req'])
  assert.equal(payload.req.url, path(context, { transport: 'foo' }))
  assert.deepEqual([payload.code, payload.message], [0, 'Transport unknown'])
})

for (const transport of ['foo', 'webtransport', 'constructor', '__proto__', 'toString', 'null', '', 'Polling']) {
  test(`transport=${transport} is unknown`, async () => {
    const context = await listen()
    await refuses(context, { path: path(context, { transport }) }, { code: 0, context: { transport } })
  })
}

test('a missing transport is unknown', async () => {
  const context = await listen()
  const target = path(context, { transport: undefined })
  await refuses(context, { path: target }, { code: 0, context: { transport: undefined } })
})

test('webtransport is refused over HTTP even when it is among the transports', async () => {
  const context = await listen({ transports: ['polling', 'webtransport'] })
  const target = path(context, { transport: 'webtransport' })
  await refuses(context, { path: target }, { code: 0, context: { transport: 'webtransport' } })
})

test('a transport that is not among the options is unknown', async () => {
  const context = await listen({ transports: ['websocket'] })
  await refuses(context, { path: path(context) }, { code: 0, context: { transport: 'polling' } })
})

test('an unknown transport is refused on an upgrade, with and without a valid sid', async () => {
  const context = await listen()
  const { peer } = await openPolling(context)
  const expected = { code: 0, context: { transport: 'tobi' } }
  await refusesUpgrade(context, path(context, { transport: 'tobi' }), expected)
  await refusesUpgrade(context, path(context, { transport: 'tobi', sid: peer.sid }), expected)
})

for (const sid of ['unknown', '__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
  test(`sid=${sid} is an unknown session`, async () => {
    const context = await listen()
    await refuses(context, { path: path(context, { sid }) }, { code: 1, context: { sid } })
    await refuses(context, { path: path(context, { sid }), method: 'POST', body: '4a' }, { code: 1, context: { sid } })
  })
}

test('an unknown sid is refused on an upgrade', async () => {
  const context = await listen()
  const target = path(context, { transport: 'websocket', sid: 'unknown' })
  await refusesUpgrade(context, target, { code: 1, context: { sid: 'unknown' } })
})

test('an empty sid is a handshake', async () => {
  const context = await listen()
  const response = await request({ port: context.port, path: path(context, { sid: '' }) })
  assert.equal(response.status, 200)
  assert.equal(context.engine.clientsCount, 1)
})

test('a polling request with transport=websocket for a polling session is a mismatch', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  await refuses(
    context,
    { path: path(context, { transport: 'websocket', sid: peer.sid }) },
    { code: 3, context: { name: 'TRANSPORT_MISMATCH', transport: 'websocket', previousTransport: 'polling' } },
  )
  assert.equal(socket.readyState, 'open')
})

test('a polling request for a websocket session is a mismatch', async () => {
  const context = await listen()
  const { open } = await openWebSocket(context)
  await refuses(
    context,
    { path: path(context, { sid: open.sid }) },
    { code: 3, context: { name: 'TRANSPORT_MISMATCH', transport: 'polling', previousTransport: 'websocket' } },
  )
})

test('a polling request for an upgraded session is a mismatch', async () => {
  const context = await listen()
  const { polling } = await openUpgraded(context)
  await refuses(
    context,
    { path: polling.path, method: 'POST', body: '4a' },
    { code: 3, context: { name: 'TRANSPORT_MISMATCH', transport: 'polling', previousTransport: 'websocket' } },
  )
})

for (const EIO of ['3', '5', undefined]) {
  test(`EIO=${EIO} for a session of protocol 4 is a protocol mismatch; the session stays open`, async () => {
    const context = await listen()
    const { peer, socket } = await openPolling(context)
    const expected = { code: 3, context: { name: 'PROTOCOL_MISMATCH', protocol: 3, previousProtocol: 4 } }
    const target = path(context, { EIO, sid: peer.sid })
    await refuses(context, { path: target }, expected)
    await refuses(context, { path: target, method: 'POST', body: '4a' }, expected)
    assert.equal(socket.readyState, 'open')
  })
}

for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
  test(`a handshake with ${method} is refused`, async () => {
    const context = await listen()
    await refuses(context, { path: path(context), method }, { code: 2, context: { method } })
  })
}

test('a websocket handshake without an upgrade is refused', async () => {
  const context = await listen()
  const target = path(context, { transport: 'websocket' })
  await refuses(context, { path: target }, { code: 3, context: { name: 'TRANSPORT_HANDSHAKE_ERROR' } })
})

for (const EIO of ['3', '5', '04', '4.0', '', undefined]) {
  test(`a handshake with EIO=${EIO} is revision 3 and not supported by default`, async () => {
    const context = await listen()
    const response = await refuses(context, { path: path(context, { EIO }) }, { code: 5, context: { protocol: 3 } })
    assert.equal(response.body, '{"code":5,"message":"Unsupported protocol version"}')
  })
}

test('a websocket handshake with EIO=3 emits code 5 and ends the connection', async () => {
  const context = await listen()
  const errors = errorsOf(context)
  const peer = await RawWebSocket.request(context.port, path(context, { EIO: '3', transport: 'websocket' }))
  await peer.end()
  const expected = [{ code: 5, message: 'Unsupported protocol version', context: { protocol: 3 } }]
  await eventually(() => errors, expected)
  assert.equal(context.engine.clientsCount, 0)
})

test('allowEIO3 opens a session of protocol 3', async () => {
  const context = await listen({ allowEIO3: true })
  const connected = once(context.engine, 'connection')
  const response = await request({ port: context.port, path: path(context, { EIO: '3' }) })
  assert.match(response.body, /^\d+:0\{/)
  const [socket] = await connected
  assert.equal(socket.protocol, 3)
})

test('the transport is checked before the sid', async () => {
  const context = await listen()
  const target = path(context, { transport: 'foo', sid: 'unknown' })
  await refuses(context, { path: target }, { code: 0, context: { transport: 'foo' } })
})

test('the method is checked before allowRequest', async () => {
  let asked = false
  const context = await listen({ allowRequest: (req, fn) => fn(null, (asked = true)) })
  await refuses(context, { path: path(context), method: 'POST' }, { code: 2, context: { method: 'POST' } })
  assert.equal(asked, false)
})

test('allowRequest gets the request with its parsed query and headers', async () => {
  let seen
  const allowRequest = (req, fn) => {
    seen = [req.url, req._query.app, req.headers['x-test']]
    fn(null, true)
  }
  const context = await listen({ allowRequest })
  const target = path(context, { app: 'mine' })
  await request({ port: context.port, path: target, headers: { 'X-Test': '1' } })
  assert.deepEqual(seen, [target, 'mine', '1'])
})

test('allowRequest may answer later', async () => {
  const context = await listen({ allowRequest: (req, fn) => setTimeout(fn, 20, null, true) })
  const { socket } = await openPolling(context)
  assert.equal(socket.readyState, 'open')
  const { peer } = await openWebSocket(context)
  assert.equal(peer.status, 101)
})

test('a refusal by allowRequest is a 403 with its message', async () => {
  const context = await listen({ allowRequest: (req, fn) => fn('Thou shall not pass', false) })
  const response = await refuses(
    context,
    { path: path(context) },
    { code: 4, context: { message: 'Thou shall not pass' } },
  )
  assert.equal(response.body, '{"code":4,"message":"Thou shall not pass"}')
})

test('a refusal without a message has the message of the table', async () => {
  const context = await listen({ allowRequest: (req, fn) => fn(null, false) })
  const response = await refuses(context, { path: path(context) }, { code: 4, context: { message: null } })
  assert.equal(response.body, '{"code":4,"message":"Forbidden"}')
})

test('a refusal with a number keeps the number in the body', async () => {
  const context = await listen({ allowRequest: (req, fn) => fn(4, false) })
  const response = await refuses(context, { path: path(context) }, { code: 4, context: { message: 4 } })
  assert.equal(response.body, '{"code":4,"message":4}')
})

test('a refused upgrade is a raw 400 with the message of allowRequest', async () => {
  const context = await listen({ allowRequest: (req, fn) => fn('Not today', false) })
  const target = path(context, { transport: 'websocket' })
  const text = await refusesUpgrade(context, target, { code: 4, context: { message: 'Not today' } })
  assert.match(text, /\r\n\r\nNot today$/)
})

test('polls and POSTs of a session do not call allowRequest', async () => {
  let calls = 0
  const context = await listen({ allowRequest: (req, fn) => fn(null, ++calls > 0) })
  const { peer, socket } = await openPolling(context)
  socket.send('a')
  await peer.poll()
  await peer.post('4b')
  assert.equal(calls, 1)
})

test('connection_error is emitted before the response is written', async () => {
  const context = await listen()
  let written
  context.server.prependListener('request', (req, res) => {
    context.engine.once('connection_error', () => (written = res.headersSent))
  })
  await request({ port: context.port, path: path(context, { transport: 'foo' }) })
  assert.equal(written, false)
})

test('a refused request opens no session', async () => {
  const context = await listen()
  const silence = never(context.engine, 'connection', 30)
  await request({ port: context.port, path: path(context, { transport: 'foo' }) })
  await silence
  assert.equal(context.engine.clientsCount, 0)
})

test('an Origin with an invalid character is refused and removed from the request', async () => {
  const context = await listen()
  const { prepare } = context.engine
  context.engine.prepare = function (req) {
    req.headers.origin = 'http://a\nb' // Node's own parser would not let it in
    return prepare.call(this, req)
  }
  const error = once(context.engine, 'connection_error')
  const response = await request({ port: context.port, path: path(context) })
  assert.equal(response.status, 400)
  const [{ code, context: reason, req }] = await error
  assert.deepEqual([code, reason], [3, { name: 'INVALID_ORIGIN', origin: 'http://a\nb' }])
  assert.equal(req.headers.origin, null)
})

test('an Origin with Latin-1 characters is fine', async () => {
  const context = await listen()
  const response = await request({ port: context.port, path: path(context), headers: { Origin: 'http://bücher' } })
  assert.equal(response.status, 200)
})

test('createTransport that throws is a handshake error', async () => {
  const context = await listen()
  const error = new Error('no transport')
  context.engine.createTransport = () => {
    throw error
  }
  const target = path(context)
  await refuses(context, { path: target }, { code: 3, context: { name: 'TRANSPORT_HANDSHAKE_ERROR', error } })
})

test('verify() calls back without arguments for a good request', async () => {
  const context = await listen()
  const server = context.engine
  const { verify } = server
  const calls = []
  server.verify = function (req, upgrade, fn) {
    verify.call(this, req, upgrade, (...args) => {
      calls.push([upgrade, ...args.filter((arg) => arg !== undefined)])
      fn(...args)
    })
  }
  await openPolling(context)
  await openWebSocket(context)
  assert.deepEqual(calls, [[false], [true]])
})

test('an overridden verify() may refuse, and may answer later', async () => {
  const context = await listen()
  context.engine.verify = (req, upgrade, fn) => setTimeout(fn, 10, engine.Server.errors.FORBIDDEN, { message: 'mine' })
  const response = await refuses(context, { path: path(context) }, { code: 4, context: { message: 'mine' } })
  assert.equal(response.body, '{"code":4,"message":"mine"}')
})
