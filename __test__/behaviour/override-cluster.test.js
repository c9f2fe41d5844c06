'use strict'

// Two members of a cluster in one process, see ../support/cluster.js: requests of a session reach either of them.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { once, record, eventually, deadline, request, RawWebSocket, PollingPeer, path, client } = require('../support')
const { ClusterServer } = require('../support/cluster')
const { serve } = require('../support/subclass')

/** Two members, and a polling session that the first one has; `here` and `there` are its ends at both of them. */
async function cluster(opts = {}) {
  const all = { members: [], ...opts }
  const [a, b] = [await serve(ClusterServer, all), await serve(ClusterServer, all)]
  const response = await request({ port: a.port, path: path(a) })
  const here = new PollingPeer(a, {}, response)
  const there = new PollingPeer(b, {}, response)
  return { a, b, here, there, socket: a.engine.clients[here.sid] }
}

/** A websocket at the second member that has upgraded the session. */
async function upgradeThere(b, sid) {
  const peer = await RawWebSocket.open(b.port, path(b, { transport: 'websocket', sid }))
  peer.sendText('2probe')
  assert.equal(await peer.packet(), '3probe')
  peer.sendText('5')
  return peer
}

test('packets posted to the other member reach the session', async () => {
  const { there, socket } = await cluster()
  const messages = record(socket, 'message', (event, data) => data)
  const response = await there.post('4one\x1ebAQI=\x1e4two')
  assert.deepEqual([response.status, response.body], [200, 'ok'])
  assert.deepEqual(messages, ['one', Buffer.from([1, 2]), 'two'])
})

test('packets of the session answer a poll at the other member, sent before or later', async () => {
  const { there, socket } = await cluster()
  socket.send('early')
  assert.equal((await there.poll()).body, '4early')
  const poll = await there.pendingPoll()
  await eventually(() => socket.transport.writable, true)
  const called = new Promise((resolve) => socket.send('late', resolve))
  assert.equal((await poll.response).body, '4late')
  await deadline(called, 'callback')
  assert.equal(socket.transport.writable, false)
})

test('polls at both members in turn lose nothing and double nothing', async () => {
  const { here, there, socket } = await cluster()
  const received = []
  for (let n = 0; n < 6; n++) {
    socket.send(`m${n}`)
    received.push((await (n % 2 ? here : there).poll()).body)
  }
  assert.deepEqual(received, ['4m0', '4m1', '4m2', '4m3', '4m4', '4m5'])
})

test('heartbeats of a session pass by the other member', async () => {
  const { there, socket } = await cluster({ pingInterval: 60, pingTimeout: 1500 })
  const closed = record(socket, 'close')
  for (let n = 0; n < 5; n++) {
    assert.equal((await there.poll()).body, '2')
    assert.equal((await there.post('3')).body, 'ok')
  }
  assert.deepEqual(closed, [])
})

test('a ping that finds no poll waits for one at either member', async () => {
  for (const end of ['here', 'there']) {
    const all = await cluster({ pingInterval: 150, pingTimeout: 5000 })
    await eventually(() => all.socket.writeBuffer.map(({ type }) => type), ['ping'])
    assert.equal((await all[end].poll()).body, '2')
  }
})

test('a client that is gone from the other member times out at home', async () => {
  const { a, socket } = await cluster({ pingInterval: 400, pingTimeout: 400 })
  assert.deepEqual(await once(socket, 'close'), ['ping timeout', undefined])
  assert.equal(a.engine.clientsCount, 0)
})

test('a close packet posted to the other member ends the session', async () => {
  const { a, there, socket } = await cluster()
  const closed = once(socket, 'close')
  await there.post('1')
  assert.deepEqual(await closed, ['transport close', undefined])
  assert.equal(a.engine.clientsCount, 0)
  assert.equal((await there.poll()).body, '{"code":1,"message":"Session ID unknown"}')
})

test('what is no packet, posted to the other member, ends the session', async () => {
  const { there, socket } = await cluster()
  const closed = once(socket, 'close')
  await there.post('9')
  assert.deepEqual(await closed, ['parse error', undefined])
})

test('connection is delayed for polling sessions only, and not emitted for one that ends before', async () => {
  // long enough that the WebSocket comes first
  const { a } = await cluster({ delay: 1000 })
  const connections = record(a.engine, 'connection', (event, { transport }) => transport.name)
  const websocket = await RawWebSocket.open(a.port, path(a, { transport: 'websocket' }))
  await eventually(() => connections, ['websocket'])
  const response = await request({ port: a.port, path: path(a) })
  const peer = new PollingPeer(a, {}, response)
  await peer.post('1')
  await eventually(() => connections, ['websocket', 'polling'])
  assert.equal(a.engine.clientsCount, 2)
  websocket.socket.destroy()
  await eventually(() => a.engine.clientsCount, 1)
})

test('a websocket at the other member takes the session over, with what waits', async () => {
  const { a, b, here, socket } = await cluster()
  const moved = once(socket, 'close')
  const connected = once(b.engine, 'connection')
  socket.send('waiting')
  socket.send(Buffer.from([7]))
  const peer = await upgradeThere(b, here.sid)
  const [other] = await connected
  assert.deepEqual(await moved, ['moved', undefined])
  assert.deepEqual([other.id, other.upgraded, other.transport.name], [here.sid, true, 'websocket'])
  assert.deepEqual([a.engine.clientsCount, b.engine.clientsCount], [0, 1])
  assert.equal(await peer.packet(), '4waiting')
  assert.deepEqual((await peer.frame()).payload, Buffer.from([7]))

  const messages = record(other, 'message', (event, data) => data)
  peer.sendText('4hello')
  peer.sendBinary(Buffer.from([1]))
  await eventually(() => messages, ['hello', Buffer.from([1])])
  other.send('answer', () => {})
  assert.equal(await peer.packet(), '4answer')
  assert.equal((await here.poll()).body, '{"code":3,"message":"Bad request"}')

  const closed = once(other, 'close')
  peer.socket.destroy()
  assert.deepEqual(await closed, ['transport close', undefined])
  assert.equal(b.engine.clientsCount, 0)
})

test('a session that was taken over is supervised by its new home', async () => {
  const { b, here } = await cluster({ pingInterval: 60, pingTimeout: 1500 })
  const connected = once(b.engine, 'connection')
  const peer = await upgradeThere(b, here.sid)
  const [other] = await connected
  const beat = once(other, 'heartbeat')
  assert.equal(await peer.packet(), '2')
  peer.sendText('3')
  await beat
  assert.deepEqual(await once(other, 'close'), ['ping timeout', undefined])
  await peer.closeFrame()
})

test('a pending poll at the first member does not hold the upgrade up', async () => {
  const { b, here, socket } = await cluster()
  const poll = await here.pendingPoll()
  await eventually(() => socket.transport.writable, true)
  const connected = once(b.engine, 'connection')
  const peer = await RawWebSocket.open(b.port, path(b, { transport: 'websocket', sid: here.sid }))
  peer.sendText('2probe')
  assert.equal(await peer.packet(), '3probe')
  assert.equal((await poll.response).body, '6')
  peer.sendText('5')
  await connected
})

test('a websocket at the other member may carry the packets of a session that stays', async () => {
  const { a, b, here, socket } = await cluster({ forward: true, pingInterval: 80, pingTimeout: 1000 })
  const upgraded = once(socket, 'upgrade')
  socket.send('waiting')
  const peer = await upgradeThere(b, here.sid)
  await upgraded
  const message = async () => {
    const packet = await peer.packet()
    if (packet !== '2') return packet
    peer.sendText('3')
    return message()
  }
  assert.equal(await message(), '4waiting')
  assert.deepEqual([a.engine.clientsCount, b.engine.clientsCount], [1, 0])
  const messages = record(socket, 'message', (event, data) => data)
  peer.sendText('4one')
  peer.sendBinary(Buffer.from([2]))
  await eventually(() => messages, ['one', Buffer.from([2])])
  const called = []
  socket.send('a', () => called.push('a'))
  socket.send('b', () => called.push('b'))
  assert.deepEqual([await message(), await message()], ['4a', '4b'])
  await eventually(() => called, ['a', 'b'])
  for (let n = 0; n < 2; n++) {
    assert.equal(await peer.packet(), '2')
    const beat = once(socket, 'heartbeat')
    peer.sendText('3')
    await beat
  }
  const closed = once(socket, 'close')
  peer.socket.destroy()
  assert.deepEqual(await closed, ['transport close', undefined])
})

test('closing a session closes the websocket that carries its packets elsewhere', async () => {
  const { b, here, socket } = await cluster({ forward: true })
  const upgraded = once(socket, 'upgrade')
  const peer = await upgradeThere(b, here.sid)
  await upgraded
  socket.close(true)
  await peer.closeFrame()
})

test('an upgrade at the other member that fails leaves the session as it was', async () => {
  for (const fail of [(peer) => peer.sendText('2wrong'), (peer) => peer.socket.destroy()]) {
    const { b, here, there, socket } = await cluster()
    const peer = await RawWebSocket.open(b.port, path(b, { transport: 'websocket', sid: here.sid }))
    await eventually(() => socket.upgrading, true)
    fail(peer)
    await eventually(() => socket.upgrading, false)
    socket.send('still here')
    assert.equal((await there.poll()).body, '4still here')
  }
})

test('a second websocket for the session is refused by either member while the first one probes', async () => {
  const { a, b, here, socket } = await cluster()
  const peer = await RawWebSocket.open(b.port, path(b, { transport: 'websocket', sid: here.sid }))
  await eventually(() => socket.upgrading, true)
  for (const member of [a, b]) {
    const other = await RawWebSocket.open(member.port, path(member, { transport: 'websocket', sid: here.sid }))
    await other.closeFrame()
  }
  assert.ok(!peer.isClosed)
})

test('the real client upgrades at home and talks to one member', async () => {
  const { a } = await cluster()
  a.engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const connected = record(a.engine, 'connection', (event, { id }) => id)
  const socket = client(a, {})
  await once(socket, 'upgrade')
  await eventually(() => connected.includes(socket.id), true)
  socket.send('echo')
  assert.deepEqual(await once(socket, 'message'), ['echo'])
})
