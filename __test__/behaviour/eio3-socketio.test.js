'use strict'

require('../socketio/use-engine')
const assert = require('node:assert/strict')
const http = require('node:http')
const { test } = require('node:test')
const { Server } = require('socket.io')
const connect = require('socket.io-client-v2')
const { bind, defer, eventually, once } = require('../support')

const WAYS = {
  polling: ['polling'],
  websocket: ['websocket'],
  'polling and an upgrade': ['polling', 'websocket'],
}

async function serve(options = { allowEIO3: true }) {
  const server = http.createServer()
  const io = new Server(server, options)
  const port = await bind(server)
  defer(() => io.close())
  return { io, port }
}

async function join({ io, port }, transports, namespace = '/') {
  const connected = once(io.of(namespace), 'connection')
  const client = connect(`http://127.0.0.1:${port}${namespace}`, { transports, forceNew: true, reconnection: false })
  defer(() => client.close())
  const opened = once(client, 'connect')
  const [socket] = await connected
  await opened
  if (transports.length === 2 && !socket.conn.upgraded) await once(socket.conn, 'upgrade')
  return { client, socket }
}

for (const [name, transports] of Object.entries(WAYS)) {
  test(`a Socket.IO client of version 2 exchanges events, acknowledgements and binary data by ${name}`, async () => {
    const { client, socket } = await join(await serve(), transports)
    assert.equal(socket.conn.protocol, 3)
    assert.equal(socket.conn.transport.name, transports.at(-1))
    socket.on('echo', (text, bytes, done) => done(bytes, text))
    const bytes = Buffer.from([0, 1, 255])
    const answer = await new Promise((resolve) => {
      client.emit('echo', '€😀', bytes, (...args) => resolve(args))
    })
    assert.deepEqual([Buffer.from(answer[0]), answer[1]], [bytes, '€😀'])
    const event = once(client, 'news')
    socket.emit('news', { at: bytes, text: 'x' })
    const [{ at, text }] = await event
    assert.deepEqual([Buffer.from(at), text], [bytes, 'x'])
  })

  test(`a Socket.IO client of version 2 disconnects, and is disconnected, by ${name}`, async () => {
    const served = await serve()
    const first = await join(served, transports)
    const left = once(first.socket, 'disconnect')
    first.client.close()
    assert.ok(['client namespace disconnect', 'transport close'].includes((await left)[0]))
    const second = await join(served, transports)
    const thrown = once(second.client, 'disconnect')
    second.socket.disconnect(true)
    await thrown
    await eventually(() => served.io.engine.clientsCount, 0)
  })
}

test('a broadcast reaches Socket.IO clients of version 2 on every transport', async () => {
  const served = await serve()
  const joined = []
  for (const transports of Object.values(WAYS)) joined.push(await join(served, transports))
  const heard = Promise.all(joined.map(({ client }) => once(client, 'all')))
  served.io.emit('all', '€', Buffer.from([7]))
  for (const [text, bytes] of await heard) assert.deepEqual([text, Buffer.from(bytes)], ['€', Buffer.from([7])])
})

test('a Socket.IO client of version 2 joins a namespace of its own', async () => {
  const served = await serve()
  const { client, socket } = await join(served, ['websocket'], '/chat')
  const event = once(client, 'hello')
  socket.emit('hello', 1)
  assert.deepEqual(await event, [1])
})

test('without allowEIO3 a Socket.IO client of version 2 gets an error', async () => {
  const { port } = await serve({})
  const client = connect(`http://127.0.0.1:${port}`, { transports: ['polling'], forceNew: true, reconnection: false })
  defer(() => client.close())
  await once(client, 'connect_error')
})
