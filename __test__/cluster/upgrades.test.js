'use strict'

// Upgrades that reach another process than the one that has the session.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { RawPeer, RawWebSocket, eventually, frame, once, upgradeRequest } = require('../support')
const {
  connectTls,
  openSession,
  openSessionTls,
  poll,
  post,
  reaches,
  says,
  startCluster,
  target,
  upgrade,
} = require('./support')

test('a WebSocket moves to the owner with what came behind the request, and outlives the process it came to', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  const upgraded = once(owner, 'upgrade')
  const websocket = await upgrade(front, sid)
  const [{ sid: moved, address }] = await upgraded
  assert.deepEqual([moved, address], [sid, '127.0.0.1'])
  await says(websocket, 'before')
  assert.equal((await front.ask('metrics')).moved, 1)
  await reachesConnections(front, 0)
  await front.kill()
  for (const text of ['after', 'x'.repeat(100_000)]) await says(websocket, text)
  websocket.sendClose(1000)
  assert.equal((await once(owner, 'close'))[0].reason, 'transport close')
})

test("the owner's HTTP server counts a connection that has moved", async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const websocket = await upgrade(front, await openSession(owner))
  await says(websocket, 'a')
  assert.equal(await owner.ask('connections'), 1)
  const closed = once(owner, 'close')
  websocket.socket.destroy()
  await closed
  await reachesConnections(owner, 0)
})

async function reachesConnections(member, count) {
  for (let i = 0; i < 500 && (await member.ask('connections')) !== count; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  assert.equal(await member.ask('connections'), count)
}

test('headers of middlewares and of the owner are in the response', async () => {
  const { members } = await startCluster(2, { hooks: true })
  const [owner, front] = members
  const websocket = await upgrade(front, await openSession(owner))
  assert.equal(websocket.headers['x-middleware'], String(front.pid))
  assert.equal(websocket.headers['x-headers'], String(owner.pid))
  assert.equal((await front.told('middleware')).length, 1)
  assert.equal((await owner.told('middleware')).length, 1, 'that of the handshake')
  await says(websocket, 'a')
})

test('permessage-deflate and other terms are agreed on with the owner', async () => {
  const { members } = await startCluster(2, { options: { perMessageDeflate: { threshold: 0 } } })
  const [owner, front] = members
  const path = target({ sid: await openSession(owner), transport: 'websocket' })
  const headers = { 'Sec-WebSocket-Extensions': 'permessage-deflate' }
  const websocket = await RawWebSocket.open(front.port, path, { headers })
  assert.equal(websocket.status, 101)
  assert.match(websocket.headers['sec-websocket-extensions'], /^permessage-deflate/)
})

for (const [name, query, code] of [
  ['of an unknown session', () => ({}), 'Session ID unknown'],
  ['of another protocol', (sid) => ({ sid, EIO: '3' }), 'Bad request'],
]) {
  test(`an upgrade ${name} is refused where it came in`, async () => {
    const { members } = await startCluster(2, { options: { allowEIO3: true } })
    const [owner, front] = members
    const sid = await openSession(owner)
    const fields = query(sid)
    if (fields.sid === undefined) {
      await owner.ask('closeSession', { sid })
      await poll(front, sid)
      fields.sid = sid
    }
    const refused = once(front, 'connection_error')
    const websocket = await RawWebSocket.open(front.port, target({ transport: 'websocket', ...fields }))
    assert.equal(websocket.status, 400)
    await eventually(() => websocket.bytes.toString(), code)
    await refused
    assert.deepEqual(owner.seen('connection_error'), [])
  })
}

test('an invalid handshake is answered by the owner', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const path = target({ sid: await openSession(owner), transport: 'websocket' })
  const websocket = await RawWebSocket.open(front.port, path, { headers: { 'Sec-WebSocket-Version': '7' } })
  assert.equal(websocket.status, 400)
})

for (const [whose, isOther] of [
  ['of the same session', false],
  ['of another session', true],
]) {
  test(`a poll ${whose}, that an upgrade comes behind on the same connection, is answered there, as by one server`, async () => {
    const { members } = await startCluster(2)
    const [owner, front] = members
    const sid = await openSession(owner)
    const polled = isOther ? await openSession(owner) : sid
    const raw = await RawPeer.connect(front.port)
    const head = `GET ${target({ sid: polled })} HTTP/1.1\r\nHost: x\r\n\r\n`
    raw.write(head + upgradeRequest(target({ sid, transport: 'websocket' })))
    await raw.match(/^HTTP\/1\.1 101 [^]*?\r\n\r\n/)
    raw.write(frame({ payload: '2probe' }))
    await raw.match(/\x81\x063probe/)
    if (isOther) await owner.ask('send', { sid: polled, data: 'to the poll' })
    await raw.match(isOther ? /HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n4to the poll/ : /HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n6/)
    const upgraded = once(owner, 'upgrade')
    raw.write(frame({ payload: '5' }))
    await upgraded
    await owner.ask('send', { sid, data: 'hello' })
    await raw.match(/\x81\x064hello$/)
    assert.deepEqual(owner.seen('close'), [])
    // by the process that the client has reached
    await reaches(front, 'relayed', 1)
  })
}

test('a second upgrade of a session is closed', async () => {
  const { members } = await startCluster(3)
  const [owner, front, other] = members
  const sid = await openSession(owner)
  const upgraded = once(owner, 'upgrade')
  const websocket = await upgrade(front, sid)
  await upgraded
  const second = await RawWebSocket.open(other.port, target({ sid, transport: 'websocket' }))
  assert.equal((await second.frame()).opcode, 8)
  await says(websocket, 'a')
})

test('over TLS the bytes are relayed, and each end of the connection reaches the other', async () => {
  const { members } = await startCluster(2, { tls: true })
  const [owner, front] = members
  // the client ends it
  const seen = once(owner, 'upgrade')
  const one = await upgrade(front, await openSessionTls(owner), await connectTls(front))
  assert.equal((await seen)[0].address, '127.0.0.1')
  for (const text of ['a', 'x'.repeat(500_000)]) await says(one, text)
  await reaches(front, 'relayed', 1)
  let closed = once(owner, 'close')
  one.sendClose(1000)
  assert.equal((await closed)[0].reason, 'transport close')

  // the owner ends it
  const sid = await openSessionTls(owner)
  const upgraded = once(owner, 'upgrade')
  const two = await upgrade(front, sid, await connectTls(front))
  await upgraded
  await owner.ask('closeSession', { sid })
  assert.equal((await two.closeFrame()).opcode, 8)

  // the process between them dies
  const three = await upgrade(front, await openSessionTls(owner), await connectTls(front))
  await says(three, 'a')
  closed = once(owner, 'close')
  await front.kill()
  assert.match((await closed)[0].reason, /^transport/)
})

test('many connections move at once', async () => {
  const { members } = await startCluster(3)
  const [owner, ...fronts] = members
  const one = async (i) => {
    const websocket = await upgrade(fronts[i % 2], await openSession(owner))
    await says(websocket, `message ${i}`)
  }
  await Promise.all(Array.from({ length: 60 }, (_, i) => one(i)))
  assert.equal((await owner.ask('clients')).length, 60)
})

test('an owner that is busy gets more upgrades than a link holds, and each client waits', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  await post(front, sid, '4a')
  const busy = owner.ask('block', { ms: 1500 })
  const path = target({ sid, transport: 'websocket' })
  const clients = await Promise.all(Array.from({ length: 1000 }, () => RawWebSocket.request(front.port, path)))
  const answers = await Promise.all(clients.map((client) => client.response()))
  await busy
  assert.deepEqual(
    answers.filter(({ status }) => status !== 101).map(({ statusLine }) => statusLine),
    [],
  )
  await reaches(front, 'moved', 1000)
  await reaches(front, 'waiting', 0)
})
