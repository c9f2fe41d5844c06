'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  bind,
  defer,
  engine,
  listenDirectly,
  never,
  once,
  openPolling,
  openWebSocket,
  path,
  pending,
  request,
  client,
} = require('../support')
const http = require('node:http')

test('listen() returns a Server with httpServer', async () => {
  const context = await listenDirectly()
  assert.ok(context.engine instanceof engine.Server)
  assert.equal(context.server.listening, true)
  assert.equal(typeof context.server.address().port, 'number')
})

test('listen(port, callback) calls back when it listens', async () => {
  await new Promise((resolve) => {
    const server = engine.listen(0, () => resolve(server))
    defer(() => server.httpServer.close())
  })
})

test('listen(port, options, callback) uses the options and calls back', async () => {
  const server = await new Promise((resolve) => {
    const own = engine.listen(0, { pingInterval: 1234 }, () => resolve(own))
    defer(() => own.httpServer.close())
  })
  assert.equal(server.opts.pingInterval, 1234)
})

test('a request outside the path gets 501 Not Implemented', async () => {
  const { port } = await listenDirectly()
  const response = await request({ port, path: '/' })
  assert.deepEqual([response.status, response.body], [501, 'Not Implemented'])
  assert.equal(response.headers['content-type'], undefined)
})

test('polling sessions work', async () => {
  const { engine: server, port, path: prefix } = await listenDirectly()
  const connected = once(server, 'connection')
  const context = { port, path: prefix }
  const handshake = await request({ port, path: path(context) })
  const [socket] = await connected
  const { sid } = JSON.parse(handshake.body.slice(1))
  assert.equal(socket.id, sid)
  const message = once(socket, 'message')
  await request({ port, method: 'POST', path: path(context, { sid }), body: '4up' })
  assert.deepEqual(await message, ['up'])
  socket.send('down')
  assert.equal((await request({ port, path: path(context, { sid }) })).body, '4down')
})

test('websocket sessions work', async () => {
  const { peer, socket } = await openWebSocket(await listenDirectly())
  const message = once(socket, 'message')
  peer.sendText('4up')
  assert.deepEqual(await message, ['up'])
  socket.send('down')
  assert.equal(await peer.packet(), '4down')
})

test('the real client connects and upgrades', async () => {
  const context = await listenDirectly()
  context.engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const peer = client(context)
  await once(peer, 'upgrade')
  const message = once(peer, 'message')
  peer.send('echo')
  assert.deepEqual(await message, ['echo'])
})

test('the path option is used', async () => {
  const context = await listenDirectly({ path: '/mine' })
  await openPolling({ ...context, path: '/mine/' })
  assert.equal((await request({ port: context.port, path: path(context) })).status, 501)
})

test('errors are answered as on any http server', async () => {
  const context = await listenDirectly()
  const error = once(context.engine, 'connection_error')
  const response = await request({ port: context.port, path: path(context, { transport: 'foo' }) })
  assert.equal(response.body, '{"code":0,"message":"Transport unknown"}')
  assert.equal((await error)[0].code, 0)
})

test('allowRequest, middlewares and header events see the requests', async () => {
  const seen = []
  const allowRequest = (req, fn) => fn(null, seen.push(req.headers['x-test']) > 0)
  const context = await listenDirectly({ allowRequest })
  context.engine.use((req, res, next) => {
    res.setHeader('X-Middleware', '1')
    next()
  })
  context.engine.on('headers', (headers) => (headers['X-Event'] = '2'))
  const { peer } = await openPolling(context, {}, { 'X-Test': 'yes' })
  assert.deepEqual(seen, ['yes'])
  assert.deepEqual([peer.response.headers['x-middleware'], peer.response.headers['x-event']], ['1', '2'])
})

test('a port in use is an error event of the http server', async () => {
  const taken = http.createServer()
  const port = await bind(taken)
  const server = engine.listen(port)
  const [error] = await once(server.httpServer, 'error')
  assert.equal(error.code, 'EADDRINUSE')
  assert.equal(server.httpServer.listening, false)
  server.close()
})

test('httpServer.close() stops listening and closes the sessions that have no connection', async () => {
  const context = await listenDirectly()
  const { socket } = await openPolling(context)
  const closed = once(socket, 'close')
  const serverClosed = once(context.server, 'close')
  context.server.close()
  assert.equal(context.server.listening, false)
  assert.equal((await closed)[0], 'forced close')
  await serverClosed
  await assert.rejects(request({ port: context.port, path: '/' }), { code: 'ECONNREFUSED' })
})

test('engine.close() keeps the http server listening', async () => {
  const context = await listenDirectly()
  const { peer } = await openWebSocket(context)
  const silence = never(context.server, 'close', 30)
  context.engine.close()
  await peer.closeFrame()
  await silence
  assert.equal(context.server.listening, true)
})

test('close events wait for a pending poll', async () => {
  const context = await listenDirectly()
  const { peer, socket } = await openPolling(context)
  const response = peer.poll()
  while (!socket.transport.writable) await new Promise(setImmediate)
  const closed = once(context.server, 'close')
  context.server.close()
  assert.equal(await pending(closed, 50), true)
  socket.send('bye')
  assert.equal((await response).body, '4bye')
  await closed
})
