'use strict'

// A server that was closed and is used again is a member again, from its first request on. What comes on connections that
// are left over is no such use.

const assert = require('node:assert/strict')
const http = require('node:http')
const net = require('node:net')
const { test } = require('node:test')
const bridge = require('../../lib/native/bridge')
const { PeerMessage } = require('../../lib/native/contract')
const { kState } = require('../../lib/base/symbols')
const { RawPeer, defer, eventually, once } = require('../support')
const { becomes } = require('./bus-support')
const { Bus, startMachine } = require('./claims-support')
const { clusterDirectory, openSession, poll, post, says, target, upgrade } = require('./support')

/** Two servers of one cluster, of which the second one was closed, and has left. Its HTTP server still listens. */
async function startWithClosed() {
  const directory = clusterDirectory()
  const [owner, closed] = [
    await startMachine(undefined, { cluster: { directory } }),
    await startMachine(undefined, { cluster: { directory } }),
  ]
  owner.peers = () => owner.engine.metrics().cluster.peers
  closed.engine.close()
  await eventually(owner.peers, 0)
  return { directory, owner, closed }
}

test('its first request may be one of a session of another process', async () => {
  const { owner, closed } = await startWithClosed()
  const sid = await openSession(owner)
  assert.equal((await post(closed, sid, '4a')).body, 'ok')
  assert.equal((await poll(closed, sid)).body, '4a')
  assert.equal(owner.peers(), 1)
})

test('its first request may be the upgrade of a session of another process', async () => {
  const { owner, closed } = await startWithClosed()
  await says(await upgrade(closed, await openSession(owner)), 'a')
})

test('its first request may come while it leaves', async () => {
  const { owner, closed } = await startWithClosed()
  const sid = await openSession(owner)
  const waiting = poll(closed, sid)
  await eventually(() => closed.engine.metrics().cluster.waiting, 1)
  closed.engine.close()
  const second = post(closed, sid, '4a')
  assert.deepEqual([(await waiting).status, (await second).body], [200, 'ok'])
  const { body } = await waiting
  if (body !== '4a') assert.equal((await poll(closed, sid)).body, '4a')
  assert.deepEqual([owner.peers(), owner.log.at(-1)[0]], [1, 'message'])
})

test('a session with an id of the application is found there', async () => {
  const { owner, closed } = await startWithClosed()
  for (const { engine } of [owner, closed]) engine.generateId = (req) => req._query.wanted
  await openSession(closed, { wanted: 'of-the-application' })
  assert.equal((await post(owner, 'of-the-application', '4a')).body, 'ok')
})

test('it is a member when it is attached to another HTTP server, before a request comes', async () => {
  const { owner, closed } = await startWithClosed()
  const other = http.createServer()
  closed.engine.attach(other)
  assert.equal(owner.peers(), 1)
  await new Promise((resolve) => other.listen(0, '127.0.0.1', resolve))
  defer(() => {
    other.closeAllConnections()
    other.close()
  })
  const sid = await openSession(owner)
  assert.equal((await post({ port: other.address().port }, sid, '4a')).body, 'ok')
})

test('what comes on connections that are left, after the HTTP server was closed, is no new use', async () => {
  const { owner, closed } = await startWithClosed()
  const sid = await openSession(owner)
  const socket = net.connect(closed.port, '127.0.0.1')
  defer(() => socket.destroy())
  const accepted = once(closed.httpServer, 'connection')
  socket.write(`GET ${target({ sid })} HTTP/1.1\r\n`)
  await accepted
  closed.httpServer.close()
  socket.write('Host: a\r\n\r\n')
  assert.match(String((await once(socket, 'data'))[0]), /^HTTP\/1.1 400 /)
  assert.deepEqual([owner.peers(), closed.engine.metrics().cluster.number], [0, undefined])
})

for (const [how, isOverBus] of [
  ['a link', false],
  ['the bus', true],
]) {
  test(`a poll that comes on a connection that is left, while it leaves, is answered at once over ${how}`, async () => {
    const bus = isOverBus ? new Bus() : undefined
    const directory = clusterDirectory()
    const start = () => startMachine(bus, { cluster: { directory: isOverBus ? clusterDirectory() : directory } })
    const [owner, leaving] = [await start(), await start()]
    if (isOverBus) for (const machine of [owner, leaving]) await eventually(() => machine.bus().nodes, 1)
    // sessions that stay
    owner.engine.on('headers', () => {})
    const [waitingSid, sid] = [await openSession(owner), await openSession(owner)]
    const raw = await RawPeer.connect(leaving.port)
    raw.write(`GET ${target({ sid })} HTTP/1.1\r\n`)
    const waiting = poll(leaving, waitingSid)
    await eventually(() => owner.engine.clients[waitingSid].transport.writable, true)
    leaving.httpServer.close()
    leaving.engine.close()
    raw.write('Host: a\r\n\r\n')
    await raw.match(/^HTTP\/1\.1 200 OK\r\n[^]*Connection: close\r\n[^]*\r\n6$/)
    assert.equal((await waiting).body, '6')
    assert.deepEqual(
      owner.log.filter(([event]) => event === 'close'),
      [],
    )
  })
}

test('with a number of its own and links it is a member again in the turn in which it has left', async () => {
  const directory = clusterDirectory()
  const [peer, again] = [
    await startMachine(undefined, { cluster: { directory } }),
    await startMachine(undefined, { cluster: { directory, number: 5 } }),
  ]
  for (const [owner, front] of [
    [peer, again],
    [again, peer],
  ]) {
    assert.equal((await post(front, await openSession(owner), '4a')).body, 'ok')
  }
  const number = () => again.engine.metrics().cluster.number
  again.engine.close()
  // the event loop has not closed what belongs to its links
  const numbers = new Promise((resolve) => {
    setTimeout(() => {
      const before = number()
      again.engine.attach(again.httpServer)
      resolve([before, number()])
    }, 1)
  })
  assert.deepEqual(await numbers, [undefined, 5])
  const sid = await openSession(again)
  assert.equal((await post(peer, sid, '4a')).body, 'ok')
  assert.equal((await poll(again, sid)).body, '4a')
})

test('messages in hand when it leaves are dropped, and their descriptors closed', async () => {
  const { engine } = await startMachine(undefined, { cluster: {} })
  const { cluster } = engine[kState]
  const [mine, passed] = bridge.getEngine().socketPair()
  const connection = new net.Socket({ fd: mine })
  defer(() => connection.destroy())
  const taken = [...Array(2)].map(() => [1, PeerMessage.MOVE, 1, passed + 1])
  // a listener has thrown at the first one
  cluster._meta.set(taken.flat())
  cluster._contents = ['', '', '', '']
  cluster._next = 1
  engine.close()
  await once(connection.resume(), 'end')
  assert.deepEqual([cluster._contents, cluster._next, engine.metrics().cluster.number], [[], 0, undefined])
})

test('if it cannot join, requests of other sessions get 400, until it can', async () => {
  const directory = clusterDirectory()
  const [owner, closed] = [
    await startMachine(undefined, { cluster: { directory } }),
    await startMachine(undefined, { cluster: { directory, number: 5 } }),
  ]
  closed.engine.close()
  await eventually(() => owner.engine.metrics().cluster.peers, 0)
  const twin = await startMachine(undefined, { cluster: { directory, number: 5 } })
  const sid = await openSession(owner)
  assert.equal((await post(closed, sid, '4a')).status, 400)
  twin.engine.close()
  await becomes(async () => (await post(closed, sid, '4b')).status, 200)
  assert.equal((await poll(owner, sid)).body, '4b')
})
