'use strict'

// @socket.io/admin-ui, which instruments Socket.IO down to the engine's sessions.

require('../socketio/use-engine')
const assert = require('node:assert/strict')
const http = require('node:http')
const { test } = require('node:test')
const { instrument } = require('@socket.io/admin-ui')
const { Server } = require('socket.io')
const { io: connect } = require('socket.io-client')
const { bind, defer, deadline, once, record, eventually } = require('../support')

/** An instrumented server and an administrator's client with what it has been told. */
async function instrumented(options) {
  const server = http.createServer()
  const io = new Server(server)
  instrument(io, { auth: false, mode: 'development', ...options })
  const port = await bind(server)
  defer(() => io.close())
  const open = (namespace, opts) => {
    const client = connect(`http://127.0.0.1:${port}${namespace}`, { forceNew: true, reconnection: false, ...opts })
    defer(() => client.disconnect())
    return client
  }
  const admin = open('/admin', { transports: ['websocket'] })
  const stats = record(admin, 'server_stats', (event, values) => values)
  const [[sockets]] = await Promise.all([once(admin, 'all_sockets'), once(admin, 'config')])
  return { io, admin, open, stats, sockets }
}

/** The sum of what `server_stats` said of a type. */
const total = (stats, type) =>
  stats
    .flatMap(({ aggregatedEvents }) => aggregatedEvents)
    .reduce((sum, one) => sum + (one.type === type ? one.count : 0), 0)

test('clients are listed with their transports, and upgrades are told', async () => {
  const { io, admin, open } = await instrumented()
  const connected = once(admin, 'socket_connected')
  const updated = once(admin, 'socket_updated')
  const client = open('/', { transports: ['polling', 'websocket'] })
  const [[socket]] = await Promise.all([connected, once(client, 'connect')])
  assert.equal(socket.id, client.id)
  assert.equal(socket.transport, 'polling')
  assert.equal(socket.handshake.address, '127.0.0.1')
  const [{ id, transport }] = await updated
  assert.deepEqual([id, transport], [client.id, 'websocket'])
  assert.equal(io.engine.clientsCount, 2)
  const disconnected = once(admin, 'socket_disconnected')
  client.disconnect()
  const [, gone, reason] = await disconnected
  assert.deepEqual([gone, reason], [id, 'client namespace disconnect'])
})

test('events of sockets are told in both directions', async () => {
  const { io, admin, open } = await instrumented()
  io.on('connection', (socket) => socket.on('ask', () => socket.emit('answer', 42)))
  const client = open('/', { transports: ['websocket'] })
  await once(client, 'connect')
  const [received, sent] = [once(admin, 'event_received'), once(admin, 'event_sent')]
  client.emit('ask', 'what')
  assert.deepEqual((await received).slice(0, 3), ['/', client.id, ['ask', 'what']])
  assert.deepEqual((await sent).slice(0, 3), ['/', client.id, ['answer', 42]])
})

test('raw connections, packets and bytes are counted', async () => {
  const { io, open, stats } = await instrumented()
  io.on('connection', (socket) => socket.on('data', (data, done) => done(data)))
  const polling = open('/', { transports: ['polling'] })
  const websocket = open('/', { transports: ['websocket'] })
  await Promise.all([once(polling, 'connect'), once(websocket, 'connect')])
  for (const client of [polling, websocket]) {
    const answer = await deadline(client.emitWithAck('data', Buffer.alloc(1000)), 'answer')
    assert.equal(Buffer.from(answer).length, 1000)
  }
  await eventually(() => total(stats, 'bytesIn') > 2000 && total(stats, 'bytesOut') > 2000, true, 5000)
  assert.ok(total(stats, 'rawConnection') >= 2)
  assert.ok(total(stats, 'packetsIn') >= 6 && total(stats, 'packetsOut') >= 6)
  const { clientsCount, pollingClientsCount } = stats.at(-1)
  assert.deepEqual([clientsCount, pollingClientsCount], [3, 1])
})

test('sockets can be moved and disconnected by the administrator', async () => {
  const { io, admin, open } = await instrumented()
  const client = open('/', { transports: ['websocket'] })
  await once(client, 'connect')
  const joined = once(admin, 'room_joined')
  admin.emit('join', '/', 'room', client.id)
  assert.deepEqual((await joined).slice(0, 3), ['/', 'room', client.id])
  const disconnected = once(client, 'disconnect')
  admin.emit('_disconnect', '/', true, client.id)
  await disconnected
  await eventually(() => io.engine.clientsCount, 1)
})

test('credentials are asked for where it is set up so', async () => {
  const server = http.createServer()
  const io = new Server(server)
  instrument(io, {
    auth: {
      type: 'basic',
      username: 'admin',
      password: '$2b$10$heqvAkYMez.Va6Et2uXInOnkCT6/uQj1brkrbyG3LpopDklcq7ZOS',
    },
  })
  const port = await bind(server)
  defer(() => io.close())
  const client = connect(`http://127.0.0.1:${port}/admin`, {
    auth: { username: 'x', password: 'y' },
    reconnection: false,
    forceNew: true,
  })
  defer(() => client.disconnect())
  const [error] = await once(client, 'connect_error')
  assert.equal(error.message, 'invalid credentials')
})
