'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { eventually, listen, once, record } = require('../support')
const { ALLOW, client3 } = require('../support/eio3')

const WAYS = {
  polling: { transports: ['polling'] },
  'polling with base64': { transports: ['polling'], forceBase64: true },
  websocket: { transports: ['websocket'] },
  'websocket with base64': { transports: ['websocket'], forceBase64: true },
  'polling and an upgrade': { transports: ['polling', 'websocket'] },
}

/** A client of revision 3 and its session, after the upgrade where it makes one. */
async function connect(context, options) {
  const connected = once(context.engine, 'connection')
  const client = client3(context, options)
  const opened = once(client, 'open')
  const upgraded = options.transports.length === 2 ? once(client, 'upgrade') : undefined
  const [socket] = await connected
  await opened
  if (upgraded) {
    await upgraded
    if (!socket.upgraded) await once(socket, 'upgrade')
  }
  return { client, socket }
}

for (const [name, options] of Object.entries(WAYS)) {
  test(`a client of revision 3 exchanges text and binary messages by ${name}`, async () => {
    const context = await listen(ALLOW)
    const { client, socket } = await connect(context, options)
    assert.equal(socket.protocol, 3)
    assert.equal(socket.transport.name, options.transports.at(-1))
    const received = record(client, 'message', (_, data) => data)
    const echoed = record(socket, 'message', (_, data) => data)
    socket.on('message', (data) => socket.send(data))
    const messages = ['hello', '€ 😀 \u2028', Buffer.from([0, 1, 254, 255]), '{}', Buffer.alloc(70000, 'x')]
    for (const message of messages) client.send(message)
    await eventually(() => received.length, messages.length)
    assert.deepEqual(echoed, messages)
    assert.deepEqual(
      received.map((data) => (typeof data === 'string' ? data : Buffer.from(data))),
      messages,
    )
  })

  test(`closing from either side ends a session of revision 3 by ${name}`, async () => {
    const context = await listen(ALLOW)
    const first = await connect(context, options)
    const byClient = once(first.socket, 'close')
    first.client.close()
    assert.equal((await byClient)[0], 'transport close')
    const second = await connect(context, options)
    const byServer = once(second.client, 'close')
    second.socket.close()
    await byServer
    await eventually(() => context.engine.clientsCount, 0)
  })

  test(`the heartbeat of a client of revision 3 keeps the session alive by ${name}`, async () => {
    const context = await listen({ ...ALLOW, pingInterval: 60, pingTimeout: 1500 })
    const { client, socket } = await connect(context, options)
    const pongs = record(client, 'pong')
    const heartbeats = record(socket, 'heartbeat')
    await eventually(() => pongs.length >= 3 && heartbeats.length >= 3, true)
    assert.equal(socket.readyState, 'open')
  })
}

test('a client of revision 3 loses no message of either side over its upgrade', async () => {
  const context = await listen(ALLOW)
  const all = Array.from({ length: 200 }, (_, i) => `m${i}`)
  const fromClient = []
  const fromServer = []
  context.engine.on('connection', (socket) => {
    socket.on('message', (data) => fromClient.push(data))
    let next = 0
    const timer = setInterval(() => {
      for (let i = 0; i < 5 && next < all.length; i++) socket.send(all[next++])
      if (next === all.length) clearInterval(timer)
    }, 1)
  })
  const client = client3(context, WAYS['polling and an upgrade'])
  client.on('message', (data) => fromServer.push(data))
  await once(client, 'open')
  for (const message of all) client.send(message)
  await eventually(() => [fromClient.length, fromServer.length], [all.length, all.length])
  assert.deepEqual([fromClient, fromServer], [all, all])
})

test('a client of revision 3 is refused without allowEIO3', async () => {
  const context = await listen()
  const error = once(context.engine, 'connection_error')
  const client = client3(context, WAYS.polling)
  client.on('error', () => {})
  assert.equal((await error)[0].code, 5)
})

test('messages beyond ASCII and many small ones arrive in order over polling', async () => {
  const context = await listen(ALLOW)
  const { client, socket } = await connect(context, WAYS.polling)
  const received = record(client, 'message', (_, data) => data)
  const messages = Array.from({ length: 500 }, (_, i) => `${i}€${'😀'.repeat(i % 7)}`)
  for (const message of messages) socket.send(message)
  await eventually(() => received.length, messages.length)
  assert.deepEqual(received, messages)
})
