'use strict'

// Processes without a bus, which reach other machines by way of a process of their machine that has one: their gateway.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { Server } = require('../..')
const { kState } = require('../../lib/base/symbols')
const { MEMBER_SHIFT } = require('../../lib/native/contract')
const { BusNode } = require('../../lib/native/load-addon')
const { defer, eventually, once, request } = require('../support')
const {
  Hub,
  KEY,
  becomes,
  polled,
  recordWarnings,
  says,
  standsFor,
  startGateways,
  startMachines,
  upgrade,
} = require('./bus-support')
const { Bus } = require('./claims-support')
const {
  connectTls,
  clusterDirectory,
  endByFailedPosts,
  openSession,
  openSessionTls,
  poll,
  post,
  startMember,
  target,
} = require('./support')
const support = require('./support')

const UNKNOWN = '{"code":1,"message":"Session ID unknown"}'

/** A session is served wherever its requests come in. */
async function servedAt(fronts, owner) {
  const sid = await openSession(owner)
  for (const front of fronts) {
    for (const text of ['a', '', 'ü'.repeat(40_000), 'y'.repeat(600_000)]) {
      assert.equal((await post(front, sid, `4${text}`)).body, 'ok')
      assert.equal((await poll(front, sid)).body === `4${text}`, true)
    }
  }
  const waiting = poll(fronts[0], sid)
  await polled(owner, 1)
  await owner.ask('send', { sid, data: 'late' })
  assert.equal((await waiting).body, '4late')
  return sid
}

test('sessions of a process without a bus are served at all processes of another machine', async () => {
  const { inner, farGateway, farInner } = await startGateways()
  await servedAt([farGateway, farInner], inner)
  assert.equal((await inner.told('connection')).length, 1)
  for (const front of [farGateway, farInner]) assert.equal(front.seen('connection').length, 0)
})

test('a process without a bus serves requests of sessions of all processes of another machine', async () => {
  const { inner, gateway, farGateway, farInner } = await startGateways()
  await servedAt([inner], farGateway)
  await servedAt([inner], farInner)
  assert.equal((await inner.ask('metrics')).viaGateway, 18)
  const { bus } = await gateway.ask('metrics')
  assert.deepEqual([bus.asked, bus.unavailable, bus.violations], [18, 0, 0])
  const far = await farGateway.ask('metrics')
  assert.deepEqual([far.served, far.bus.handedOn], [9, 9])
})

test('upgrades pass both layers, in both directions, with messages of any size', async () => {
  const { inner, farGateway, farInner } = await startGateways()
  for (const [owner, front] of [
    [inner, farGateway],
    [farGateway, inner],
    [inner, farInner],
  ]) {
    const sid = await openSession(owner)
    const upgraded = once(owner, 'upgrade')
    const websocket = await upgrade(front, sid)
    assert.equal((await upgraded)[0].address, '127.0.0.1')
    for (const text of ['a', '', 'x'.repeat(20_000), 'y'.repeat(900_000)]) await says(websocket, text)
    const closed = once(owner, 'close')
    websocket.sendClose(1000)
    assert.equal((await closed)[0].reason, 'transport close')
    await eventually(() => websocket.socket.closed, true)
  }
  for (const one of [inner, farGateway, farInner]) await becomes(() => one.ask('connections'), 0)
})

test('a connection over TLS is relayed to another machine by way of a gateway', async () => {
  const { farInner, inner } = await startGateways({ tls: true })
  const sid = await openSessionTls(farInner)
  const websocket = await support.upgrade(inner, sid, await connectTls(inner))
  for (const text of ['a', 'x'.repeat(200_000)]) await says(websocket, text)
  const closed = once(farInner, 'close')
  websocket.socket.destroy()
  assert.equal((await closed)[0].reason, 'transport close')
})

test('messages come once and in order if requests of a session come in everywhere, over a bus that fails now and then', async () => {
  const hub = new Hub()
  // a ping would come among the messages
  const { members } = await startGateways({ hub, options: { pingInterval: 60_000 } })
  let count = 0
  hub.fate = () => [[0], [0, 20], [10], []][count++ % 9 === 0 ? 3 : count % 3]
  const owner = members[1]
  const sid = await openSession(owner)
  const received = []
  const texts = Array.from({ length: 40 }, (_, i) => `message ${i}`)
  const polls = async () => {
    for (let i = 0; received.length < texts.length; i++) {
      const { status, body } = await poll(members[i % 4], sid)
      assert.equal(status, 200)
      received.push(...body.split('\x1e').map((packet) => packet.slice(1)))
    }
  }
  const posts = async () => {
    for (const [i, text] of texts.entries())
      assert.equal((await post(members[(i * 7) % 4], sid, `4${text}`)).body, 'ok')
  }
  await Promise.all([polls(), posts()])
  assert.deepEqual(received, texts)
})

test('the next poll waits at an owner without a bus until it is known that the answer before it is lost', async () => {
  const { hub, inner, farGateway } = await startGateways()
  const sid = await openSession(inner)
  const lost = poll(farGateway, sid, { ms: 12_000 })
  await polled(inner, 1)
  hub.isDown = true
  await inner.ask('send', { sid, data: 'lost' })
  const closed = once(inner, 'close', 12_000)
  const next = poll(inner, sid, { ms: 12_000 })
  const [{ why }] = await closed
  assert.equal(why, 'poll connection closed prematurely')
  assert.equal((await next).body, UNKNOWN)
  const { status, headers } = await lost
  assert.deepEqual([status, headers['retry-after']], [503, '1'])
})

test('of one session four polls wait until the answer before them is settled, and further ones are refused', async () => {
  const { hub, inner, farGateway } = await startGateways()
  const sid = await openSession(inner)
  const lost = poll(farGateway, sid, { ms: 12_000 })
  await polled(inner, 1)
  hub.isDown = true
  await inner.ask('send', { sid, data: 'lost' })
  const polls = await Promise.all(Array.from({ length: 8 }, () => poll(inner, sid, { ms: 12_000 })))
  assert.deepEqual(polls.map(({ status }) => status).sort(), [400, 400, 400, 400, 503, 503, 503, 503])
  assert.equal((await lost).status, 503)
})

test('a POST that is too large, or breaks off, ends the session on the other machine', async () => {
  const { inner, farGateway, farInner } = await startGateways({ options: { maxHttpBufferSize: 1000 } })
  for (const [owner, front] of [
    [farInner, inner],
    [inner, farGateway],
  ]) {
    await endByFailedPosts(owner, front)
  }
})

test('a client that leaves its poll ends the session on the other machine', async () => {
  const { inner, farGateway, farInner } = await startGateways()
  for (const [owner, front] of [
    [farInner, inner],
    [inner, farGateway],
  ]) {
    const sid = await openSession(owner)
    const waiting = poll(front, sid)
    await polled(owner, 1)
    const closed = once(owner, 'close')
    waiting.req.destroy()
    const [{ reason, why }] = await closed
    assert.deepEqual([reason, why], ['transport error', 'poll connection closed prematurely'])
  }
})

test('an upgrade that is refused is answered as by the owner', async () => {
  const { inner, farGateway, farInner } = await startGateways()
  const headers = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' }
  for (const [owner, front] of [
    [farInner, inner],
    [inner, farGateway],
  ]) {
    const path = target({ sid: await openSession(owner), transport: 'websocket' })
    assert.equal((await request({ port: front.port, path, headers })).status, 400)
    await becomes(() => front.ask('connections'), 0)
    await becomes(async () => (await front.ask('metrics')).waiting, 0)
  }
})

test('hooks and middlewares run in the process that a request reaches first', async () => {
  const { members, inner, farInner } = await startGateways({ hooks: true })
  const sid = await openSession(farInner)
  await post(inner, sid, '4a')
  const { headers } = await poll(inner, sid)
  assert.deepEqual([headers['x-middleware'], headers['x-headers']], [String(inner.pid), String(farInner.pid)])
  // members: gateway, inner, farGateway, farInner
  assert.deepEqual(
    members.map((member) => [member.seen('middleware').length, member.seen('allowRequest').length]),
    [
      [0, 0],
      [2, 0],
      [0, 0],
      [1, 1],
    ],
  )
})

test('ids that are forged are answered 400 without a question, and those of sessions and processes that have gone, too', async () => {
  const { inner, gateway, farGateway, farInner } = await startGateways()
  assert.equal((await poll(inner, 'A'.repeat(20))).body, UNKNOWN)
  assert.equal((await inner.ask('metrics')).viaGateway, 0)
  for (const [owner, front] of [
    [farInner, inner],
    [inner, farGateway],
  ]) {
    const sid = await openSession(owner)
    await owner.ask('closeSession', { sid })
    // the polls before tell the client
    await becomes(async () => (await poll(front, sid)).body, UNKNOWN)
  }
  const sid = await openSession(inner)
  await inner.kill()
  // a node that has just started does not know yet whether another one has the session
  for (const front of [farGateway, gateway, farInner]) {
    await becomes(async () => (await poll(front, sid, { ms: 12_000 })).body, UNKNOWN)
  }
  await standsFor(gateway, 0)
})

test('a process without a bus that starts later is found soon', async () => {
  const { hub, machines, members } = await startMachines(2)
  const settings = { ...machines[0].settings, bus: undefined }
  const late = await startMember(settings, undefined, (member) => hub.join(member))
  const sid = await openSession(late)
  await becomes(async () => (await post(members[1], sid, '4a')).body, 'ok')
  assert.equal((await poll(members[1], sid)).body, '4a')
})

test('sessions with ids of the application are found on their machine only', async () => {
  const { gateway, inner, farGateway } = await startGateways({ ids: 'own' })
  const sid = await openSession(inner)
  assert.equal((await post(gateway, sid, '4a')).body, 'ok')
  assert.equal((await poll(farGateway, sid)).body, UNKNOWN)
  assert.equal((await poll(inner, sid)).body, '4a')
})

test('with a key, numbers are spread over the machines, unless ids show them', async () => {
  const numberOf = async (cluster) => {
    const options = { cluster: { directory: clusterDirectory(), key: 'a key of 16 bytes or more', ...cluster } }
    return (await (await startMember({ options })).ask('metrics')).number
  }
  assert.notDeepEqual(await Promise.all([numberOf({}), numberOf({}), numberOf({})]), [0, 0, 0])
  assert.equal(await numberOf({ showOwner: true }), 0)
})

test('a warning tells that more processes have no bus than a gateway stands for', async () => {
  const warnings = recordWarnings()
  const directory = clusterDirectory()
  const join = (bus) => {
    const server = new Server({ cluster: { directory, key: KEY, bus } })
    defer(() => server.close())
    return server
  }
  const gateway = join(new Bus())
  for (let i = 0; i < 251; i++) join()
  await eventually(() => gateway.metrics().cluster.bus.neighbours, 251)
  assert.deepEqual(warnings, [])
  join()
  const message =
    '252 processes of this machine have no bus, of which 251 are reached from other machines: give the bus to more of them'
  await eventually(() => warnings, [['ENGINE_CLUSTER_GATEWAY', message]])
  join(new Bus())
  await eventually(() => warnings.length, 2)
})

test('a process that hears more others with a bus than it can know says so', async () => {
  const warnings = recordWarnings()
  let hear
  const subscribe = (channel, onMessage) => {
    if (channel.endsWith('.all')) hear = onMessage
  }
  const bus = { publish() {}, subscribe, unsubscribe() {} }
  const server = new Server({ cluster: { directory: clusterDirectory(), key: KEY, bus } })
  defer(() => server.close())
  const { _key: key } = server[kState].cluster.nodes
  for (let number = 1; number <= 256; number++) {
    const node = new BusNode(key, false, number << MEMBER_SHIFT, 0)
    node.tick()
    for (const { kind, body } of node.take()) if (kind === 'publish') hear(body)
  }
  const what = 'more processes have a bus than the 256 that can know each other'
  const message = `${what}: give it to two of each machine, which serve the others`
  await eventually(() => warnings, [['ENGINE_CLUSTER_GATEWAY', message]])
})
