'use strict'

// Connections that the application has accepted by itself and hands over by `prepare` and `onWebSocket`.

const assert = require('node:assert/strict')
const http = require('node:http')
const { test } = require('node:test')
const { WebSocketServer } = require('ws')
const {
  engine,
  bind,
  defer,
  once,
  record,
  eventually,
  request,
  RawWebSocket,
  PollingPeer,
  path,
} = require('../support')

/** An engine that nothing is attached to, behind an HTTP server with a routing of its own. */
async function routed(opts) {
  const attached = new engine.Server(opts)
  const wss = new WebSocketServer({ noServer: true })
  const server = http.createServer((req, res) => attached.handleRequest(req, res))
  server.on('upgrade', (req, socket, head) => {
    wss.handleUpgrade(req, socket, head, (websocket) => {
      attached.prepare(req)
      attached.onWebSocket(req, socket, websocket)
    })
  })
  const port = await bind(server)
  defer(() => attached.close())
  return { engine: attached, server, port, path: '/anything/' }
}

async function openForeign(context, query) {
  const connected = once(context.engine, 'connection')
  const peer = await RawWebSocket.open(context.port, path(context, { transport: 'websocket', ...query }))
  const open = JSON.parse((await peer.packet()).slice(1))
  const [socket] = await connected
  return { peer, open, socket }
}

test('a connection of ws handed to onWebSocket becomes a session', async () => {
  const context = await routed()
  const { peer, open, socket } = await openForeign(context)
  assert.equal(open.sid, socket.id)
  assert.equal(context.engine.clients[socket.id], socket)
  assert.equal(socket.remoteAddress, '127.0.0.1')
  const message = once(socket, 'message')
  peer.sendText('4hi')
  assert.deepEqual(await message, ['hi'])
  socket.send('answer')
  assert.equal(await peer.packet(), '4answer')
})

test('a connection of ws handed to onWebSocket upgrades a polling session', async () => {
  const context = await routed()
  const connected = once(context.engine, 'connection')
  const polling = new PollingPeer(context, {}, await request({ port: context.port, path: path(context) }))
  const [socket] = await connected
  const upgraded = once(socket, 'upgrade')
  const peer = await RawWebSocket.open(context.port, path(context, { transport: 'websocket', sid: polling.sid }))
  peer.sendText('2probe')
  assert.equal(await peer.packet(), '3probe')
  peer.sendText('5')
  await upgraded
  socket.send('moved')
  assert.equal(await peer.packet(), '4moved')
})

test('a connection for a session that is gone, upgrading or upgraded is closed', async () => {
  const context = await routed()
  const gone = await RawWebSocket.open(context.port, path(context, { transport: 'websocket', sid: 'gone' }))
  assert.equal((await gone.closeFrame()).code, undefined)
  const connected = once(context.engine, 'connection')
  const polling = new PollingPeer(context, {}, await request({ port: context.port, path: path(context) }))
  const [socket] = await connected
  const query = path(context, { transport: 'websocket', sid: polling.sid })
  const first = await RawWebSocket.open(context.port, query)
  first.sendText('2probe')
  await first.packet()
  const second = await RawWebSocket.open(context.port, query)
  await second.closeFrame()
  first.sendText('5')
  await once(socket, 'upgrade')
  const third = await RawWebSocket.open(context.port, query)
  await third.closeFrame()
})

test('a connection with another transport in its query is closed', async () => {
  const context = await routed()
  const peer = await RawWebSocket.open(context.port, path(context, { transport: 'polling' }))
  assert.equal((await peer.closeFrame()).code, undefined)
  assert.equal(context.engine.clientsCount, 0)
})

test('a connection of another protocol revision is refused after the fact', async () => {
  const context = await routed()
  const failed = once(context.engine, 'connection_error')
  const peer = await RawWebSocket.open(context.port, path(context, { transport: 'websocket', EIO: '3' }))
  const [{ code }] = await failed
  assert.equal(code, 5)
  await peer.end()
})

test('the query that prepare made is kept, and one that was there before is', async () => {
  const attached = new engine.Server()
  const req = { url: '/?a=1&b=2&a=3' }
  attached.prepare(req)
  assert.deepEqual({ ...req._query }, { a: '3', b: '2' })
  const mine = {}
  const other = { url: '/?a=1', _query: mine }
  attached.prepare(other)
  assert.equal(other._query, mine)
})

test('a connection that is cut off from this side ends its session', async () => {
  const context = await routed()
  const { socket } = await openForeign(context)
  assert.equal(context.engine.clientsCount, 1)
  const closed = once(socket, 'close')
  socket.transport.socket.terminate()
  assert.deepEqual(await closed, ['transport close', undefined])
  await eventually(() => context.engine.clientsCount, 0)
})

test('a binary packet of an unknown type of protocol 3 is shown and changes nothing', async () => {
  const context = await routed({ allowEIO3: true })
  const { peer, socket } = await openForeign(context, { EIO: '3' })
  const packets = record(socket, 'packet', (event, { type }) => type)
  peer.sendBinary(Buffer.from([9, 1, 2]))
  const message = once(socket, 'message')
  peer.sendText('4still here')
  assert.deepEqual(await message, ['still here'])
  assert.deepEqual(packets, [undefined, 'message'])
})

test('a text packet of an unknown type is a parse error', async () => {
  for (const EIO of ['3', '4']) {
    const context = await routed({ allowEIO3: true })
    const { peer, socket } = await openForeign(context, { EIO })
    const closed = once(socket, 'close')
    peer.sendText('9')
    assert.equal((await closed)[0], 'parse error')
  }
})
