'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  engine,
  eventually,
  improvement,
  listen,
  openPolling,
  openWebSocket,
  path,
  record,
  request,
} = require('../support')

test('a session id has 20 characters of the base64url alphabet', async () => {
  const context = await listen()
  assert.match((await openPolling(context)).peer.sid, /^[\w-]{20}$/)
  assert.match((await openWebSocket(context)).open.sid, /^[\w-]{20}$/)
})

test('generateId() gives unique ids', () => {
  const server = new engine.Server()
  const ids = new Set(Array.from({ length: 10000 }, () => server.generateId()))
  assert.equal(ids.size, 10000)
  for (const id of ids) assert.match(id, /^[\w-]{20}$/)
  server.close()
})

test('generateId() may be replaced and gets the request', async () => {
  const context = await listen()
  context.engine.generateId = (req) => `id-${req._query.n}`
  assert.equal((await openPolling(context, { n: '1' })).socket.id, 'id-1')
  assert.equal((await openWebSocket(context, { n: '2' })).socket.id, 'id-2')
  assert.deepEqual(Object.keys(context.engine.clients), ['id-1', 'id-2'])
})

test('generateId() may return a promise', async () => {
  const context = await listen()
  context.engine.generateId = () => new Promise((resolve) => setTimeout(resolve, 10, 'slow'))
  assert.equal((await openPolling(context)).peer.sid, 'slow')
})

test('a session with a replaced id works on polling and through an upgrade', async () => {
  const context = await listen()
  context.engine.generateId = () => 'a/b+c d'
  const { peer, socket } = await openPolling(context)
  assert.equal(peer.sid, 'a/b+c d')
  socket.send('x')
  assert.equal((await peer.poll()).body, '4x')
})

for (const [how, generateId] of [
  [
    'throws',
    (error) => () => {
      throw error
    },
  ],
  ['rejects', (error) => () => Promise.reject(error)],
]) {
  test(`a generateId() that ${how} refuses the handshake with ID_GENERATION_ERROR`, async () => {
    const context = await listen()
    const error = new Error('no id')
    context.engine.generateId = generateId(error)
    const errors = record(context.engine, 'connection_error', (_, { code, context: c }) => ({ code, ...c }))
    const response = await request({ port: context.port, path: path(context) })
    assert.deepEqual([response.status, response.body], [400, '{"code":3,"message":"Bad request"}'])
    assert.deepEqual(errors, [{ code: 3, name: 'ID_GENERATION_ERROR', error }])
    assert.equal(context.engine.clientsCount, 0)
  })
}

test('an id that is a number is a number in the handshake', async () => {
  const context = await listen()
  context.engine.generateId = () => 42
  assert.equal((await openPolling(context)).peer.sid, 42)
})

test('quotes and line breaks in an id are escaped in the handshake', async () => {
  const context = await listen()
  context.engine.generateId = () => 'a"b\r\nc'
  assert.equal((await openPolling(context)).peer.sid, 'a"b\r\nc')
})

improvement('G-118: duplicate ids', 'a duplicate id does not corrupt clientsCount', async () => {
  const context = await listen()
  context.engine.generateId = () => 'same'
  await openPolling(context)
  await request({ port: context.port, path: path(context) })
  const count = context.engine.clientsCount
  assert.equal(count, Object.keys(context.engine.clients).length)
  for (const socket of Object.values(context.engine.clients)) socket.close(true)
  await eventually(() => context.engine.clientsCount, 0)
})
