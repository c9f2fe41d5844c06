'use strict'

// Machines that serve each other's sessions over a bus: what a request meets.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { eventually, once, request } = require('../support')
const { Hub, becomes, meet, says, startGateways, startMachines, until, upgrade } = require('./bus-support')
const {
  clusterDirectory,
  connectHttp2,
  endByFailedPosts,
  openSession,
  poll,
  post,
  startMember,
  target,
} = require('./support')

const UNKNOWN = '{"code":1,"message":"Session ID unknown"}'

test('polls and POSTs that reach another machine are served by the owner, which opens the session once', async () => {
  const { members } = await startMachines(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  for (let i = 0; i < 5; i++) {
    assert.equal((await post(front, sid, `4message ${i}`)).body, 'ok')
    assert.equal((await poll(front, sid)).body, `4message ${i}`)
  }
  assert.deepEqual([await owner.ask('clients'), await front.ask('clients')], [[sid], []])
  assert.deepEqual([owner.seen('connection').length, front.seen('connection').length], [1, 0])
  const { bus, served } = await owner.ask('metrics')
  assert.deepEqual([served, bus.unavailable, bus.violations, bus.refused], [10, 0, 0, 0])
  assert.equal((await front.ask('metrics')).bus.asked, 10)
})

for (const [how, start] of [
  ['', async (settings) => (await startMachines(2, settings)).members],
  [
    ' by way of gateways',
    async (settings) => {
      const { inner, farInner } = await startGateways(settings)
      return [farInner, inner]
    },
  ],
]) {
  test(`polls and POSTs over HTTP/2 are answered by another machine${how}, and the session goes on`, async () => {
    const members = await start({ tls: 'http2' })
    const [owner, front] = members.map(connectHttp2)
    const { sid } = JSON.parse((await owner()).body.slice(1))
    for (const text of ['4a', `4${'x'.repeat(500_000)}`, '4b']) {
      assert.deepEqual(await front({ sid }, { ':method': 'POST' }, text), { status: 200, body: 'ok' })
      assert.deepEqual(await front({ sid }), { status: 200, body: text })
    }
    assert.deepEqual(members[0].seen('close'), [])
  })
}

test('a poll that waits elsewhere is answered when there is a message', async () => {
  const { members } = await startMachines(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  const waiting = poll(front, sid)
  await until(owner, ({ served }) => served === 1, 'a poll that waits')
  await owner.ask('send', { sid, data: 'late' })
  assert.equal((await waiting).body, '4late')
})

test('bodies and answers of any size pass', async () => {
  const { members } = await startMachines(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  for (const size of [0, 16 * 1024 - 1, 16 * 1024, 70_000, 900_000]) {
    const body = `4${'é'.repeat(size / 2)}`
    assert.equal((await post(front, sid, body)).body, 'ok')
    const answer = await poll(front, sid)
    assert.equal(answer.body === body, true, `${size} bytes`)
    assert.equal(Number(answer.headers['content-length']), Buffer.byteLength(body))
  }
})

test('a request whose head the bus does not carry is refused, and the session goes on', async () => {
  const { members } = await startMachines(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  const told = once(front, 'connection_error')
  const headers = { Cookie: 'é'.repeat(14_000) }
  const answer = await request({ port: front.port, path: target({ sid }), headers })
  assert.equal(answer.status, 400)
  assert.equal(answer.body, '{"code":3,"message":"Request head too large for a session of another machine"}')
  assert.equal(answer.headers['retry-after'], undefined)
  assert.equal(JSON.parse((await told)[0].context).name, 'HEAD_TOO_LARGE')
  await post(owner, sid, '4on')
  assert.equal((await poll(front, sid)).body, '4on')
})

test('a POST that is too large, or breaks off, ends the session as without a bus', async () => {
  const { members } = await startMachines(2, { options: { maxHttpBufferSize: 1000 } })
  const [owner, front] = members
  await endByFailedPosts(owner, front)
})

test('a WebSocket that reaches another machine is relayed, in both directions, with messages of any size', async () => {
  const { members } = await startMachines(2, { stays: true })
  const [owner, front] = members
  const sid = await openSession(owner)
  const upgraded = once(owner, 'upgrade')
  const websocket = await upgrade(front, sid)
  assert.equal((await upgraded)[0].address, '127.0.0.1')
  for (const text of ['a', '', 'x'.repeat(20_000), 'y'.repeat(900_000)]) await says(websocket, text)
  const closed = once(owner, 'close')
  websocket.sendClose(1000)
  assert.equal((await closed)[0].reason, 'transport close')
  await eventually(() => websocket.socket.closed, true)
  await until(owner, ({ served }) => served === 0, 'no relay')
  assert.equal((await front.ask('metrics')).bus.relayed, 1)
  await becomes(() => front.ask('connections'), 0)
  await becomes(() => owner.ask('connections'), 0)
})

test('a relayed client that goes ends its session, and a session that ends closes its relayed client', async () => {
  const { members } = await startMachines(2, { stays: true })
  const [owner, front] = members
  const gone = await upgrade(front, await openSession(owner))
  await says(gone, 'a')
  const closed = once(owner, 'close')
  gone.socket.destroy()
  assert.equal((await closed)[0].reason, 'transport close')

  const sid = await openSession(owner)
  const websocket = await upgrade(front, sid)
  await says(websocket, 'a')
  const ended = once(websocket.socket, 'close')
  await owner.ask('closeSession', { sid })
  // a client answers the close frame
  websocket.sendClose(1000)
  await ended
  await until(owner, ({ served }) => served === 0, 'no relay')
})

test('a relayed upgrade that is refused is answered as by the owner', async () => {
  const { members } = await startMachines(2)
  const [owner, front] = members
  const answer = await request({
    port: front.port,
    path: target({ sid: await openSession(owner), transport: 'websocket' }),
    headers: { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' },
  })
  assert.equal(answer.status, 400)
  await until(owner, ({ served }) => served === 0, 'no relay')
})

test('hooks and middlewares run where the request comes in', async () => {
  const { members } = await startMachines(2, { hooks: true })
  const [owner, front] = members
  const sid = await openSession(owner)
  await post(front, sid, '4a')
  const { headers } = await poll(front, sid)
  assert.deepEqual([headers['x-middleware'], headers['x-headers']], [String(front.pid), String(owner.pid)])
  assert.deepEqual([(await owner.told('middleware')).length, (await front.told('middleware')).length], [1, 2])
  assert.deepEqual([owner.seen('allowRequest').length, front.seen('allowRequest').length], [1, 0])
})

test('ids that are forged, of a session that has ended, or of a process that has left are answered 400 at once', async () => {
  const { members } = await startMachines(2)
  const [owner, front] = members
  const before = (await front.ask('metrics')).bus.asked
  assert.equal((await poll(front, 'A'.repeat(20))).body, UNKNOWN)
  assert.equal((await front.ask('metrics')).bus.asked, before, 'nobody was asked')

  const sid = await openSession(owner)
  await owner.ask('closeSession', { sid })
  await poll(front, sid)
  const refused = once(front, 'connection_error')
  assert.equal((await poll(front, sid)).body, UNKNOWN)
  assert.equal((await refused)[0].sid, sid)

  const other = await openSession(owner)
  await owner.ask('close')
  await until(front, ({ nodes }) => nodes === 0, 'no nodes')
  assert.equal((await poll(front, other)).body, UNKNOWN)
})

test('a client that leaves its poll at another machine ends the session, as on any cut connection', async () => {
  const { members } = await startMachines(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  const waiting = poll(front, sid)
  await until(owner, ({ served }) => served === 1, 'a poll that waits')
  const closed = once(owner, 'close')
  waiting.req.destroy()
  const [{ reason, why }] = await closed
  assert.deepEqual([reason, why], ['transport error', 'poll connection closed prematurely'])
})

test('a process that closes has its polls of other machines answered, and their sessions go on', async () => {
  const { members } = await startMachines(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  const waiting = poll(front, sid)
  await until(owner, ({ served }) => served === 1, 'a poll that waits')
  await front.ask('close')
  assert.equal((await waiting).body, '6')
  await owner.ask('send', { sid, data: 'on' })
  assert.equal((await poll(owner, sid)).body, '4on')
})

test('processes of one machine use their directory, and others the bus', async () => {
  const { members } = await startMachines(2, { stays: true, processes: 2 })
  const [one, two, three] = members
  const sid = await openSession(one)
  await post(two, sid, '4local')
  assert.equal((await poll(two, sid)).body, '4local')
  await post(three, sid, '4far')
  assert.equal((await poll(three, sid)).body, '4far')
  const [near, far] = [await two.ask('metrics'), await three.ask('metrics')]
  assert.deepEqual([near.forwarded, near.bus.asked, far.forwarded, far.bus.asked], [2, 0, 0, 2])
  const websocket = await upgrade(three, sid)
  await says(websocket, 'a')
})

test('a process that starts later is found', async () => {
  const hub = new Hub()
  const { members, machines } = await startMachines(1, { hub })
  const [first] = members
  const sid = await openSession(first)
  const settings = structuredClone(machines[0].settings)
  settings.options.cluster.directory = clusterDirectory()
  const late = await startMember(settings, undefined, (member) => hub.join(member))
  await meet([first, late])
  await post(late, sid, '4a')
  assert.equal((await poll(late, sid)).body, '4a')
})

test('requests that come in before a process has heard of the others wait until it has', async () => {
  const hub = new Hub()
  const { members, machines } = await startMachines(1, { hub })
  const sid = await openSession(members[0])
  const settings = structuredClone(machines[0].settings)
  settings.options.cluster.directory = clusterDirectory()
  hub.isDown = true
  const late = await startMember(settings, undefined, (member) => hub.join(member))
  const posted = post(late, sid, '4a')
  const polled = poll(late, sid)
  await until(late, ({ asked }) => asked === 2, 'two requests')
  hub.isDown = false
  assert.equal((await posted).body, 'ok')
  assert.equal((await polled).body, '4a')
  assert.deepEqual(late.seen('connection_error'), [])
})
