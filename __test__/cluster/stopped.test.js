'use strict'

// Processes that are stopped, and go on later.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { kState } = require('../../lib/base/symbols')
const { RawWebSocket, defer, delay, eventually, once } = require('../support')
const { startMachine } = require('./claims-support')
const { clusterDirectory, openSession, poll, post, reaches, startCluster, target } = require('./support')

const UNKNOWN = '{"code":1,"message":"Session ID unknown"}'

test('an owner that is stopped: the client that leaves is not waited for', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  const first = poll(front, sid)
  await reaches(owner, 'served', 1)
  process.kill(owner.pid, 'SIGSTOP')
  first.req.destroy()
  await reaches(front, 'waiting', 0)
  process.kill(owner.pid, 'SIGCONT')
  assert.equal((await once(owner, 'close'))[0].sid, sid)
})

test('an owner that does not answer: the request is refused in time', async () => {
  const { members } = await startCluster(2, { options: { pingInterval: 100, pingTimeout: 100 } })
  const [owner, front] = members
  const sid = await openSession(owner)
  process.kill(owner.pid, 'SIGSTOP')
  defer(() => process.kill(owner.pid, 'SIGCONT'))
  // 5 s if it does not accept the link, 12 s if it does not answer on it
  const answer = await poll(front, sid, { ms: 20_000 })
  assert.deepEqual([answer.status, answer.body], [400, UNKNOWN])
})

test('an upgrade whose owner is stopped is refused in time and its connection ends; the session goes on', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  await post(front, sid, '4a')
  process.kill(owner.pid, 'SIGSTOP')
  defer(() => process.kill(owner.pid, 'SIGCONT'))
  const websocket = await RawWebSocket.request(front.port, target({ sid, transport: 'websocket' }))
  await websocket.match(/^HTTP\/1\.1 400 [^]*Session ID unknown$/, 20_000)
  // although the owner has its descriptor still to take
  await websocket.end()
  await reaches(front, 'waiting', 0)

  process.kill(owner.pid, 'SIGCONT')
  await reaches(owner, 'accepted', 1)
  assert.equal((await poll(front, sid)).body, '4a')
  const next = poll(front, sid)
  await post(front, sid, '4b')
  assert.equal((await next).body, '4b')
})

test('a process that ends while upgrades wait for an owner that is stopped refuses them all before', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  // more than the system takes of a process for one that does not read
  const sids = await Promise.all(Array.from({ length: 400 }, () => openSession(owner)))
  await post(front, sids[0], '4a')
  process.kill(owner.pid, 'SIGSTOP')
  defer(() => process.kill(owner.pid, 'SIGCONT'))
  const request = (sid) => RawWebSocket.request(front.port, target({ sid, transport: 'websocket' }))
  const websockets = await Promise.all(sids.map(request))
  await reaches(front, 'waiting', 400)
  await front.ask('end')
  await Promise.all(websockets.map((websocket) => websocket.match(/^HTTP\/1\.1 400 [^]*Session ID unknown$/)))
  assert.deepEqual(await front.ended, { code: 0, signal: null })
})

test('a process that ends while an upgrade is passed on waits for that as for those before', async () => {
  const cluster = { directory: clusterDirectory(), bus: undefined }
  const held = []
  const owner = await startMachine(undefined, { cluster })
  const front = await startMachine(undefined, { cluster }, ({ engine }) =>
    engine.use((req, res, next) => (req.headers.upgrade === undefined ? next() : held.push(next))),
  )
  const [sid, waiting] = [await openSession(owner), await openSession(owner)]
  // the end waits until this is answered
  const first = poll(front, waiting)
  await eventually(() => owner.sockets.get(waiting).transport.writable, true)
  const websocket = await RawWebSocket.request(front.port, target({ sid, transport: 'websocket' }))
  await eventually(() => held.length, 1)
  front.engine.close()
  const { _leaving: end } = front.engine[kState].cluster
  assert.equal(end.hasRef(), false)
  held[0]()
  await eventually(() => end.hasRef(), true)
  assert.equal((await websocket.response()).status, 101)
  assert.equal((await first).body, '6')
})

test('a process that was stopped itself does not take it for the silence of others', async () => {
  const { members } = await startCluster(2, { options: { upgradeTimeout: 60_000 } })
  const [owner, front] = members
  const sid = await openSession(owner)
  await post(front, sid, '4a')
  process.kill(owner.pid, 'SIGSTOP')
  const websocket = await RawWebSocket.request(front.port, target({ sid, transport: 'websocket' }))
  await reaches(front, 'moved', 1)
  // it has written the message by its next turn
  await front.ask('metrics')
  process.kill(front.pid, 'SIGSTOP')
  defer(() => process.kill(front.pid, 'SIGCONT'))
  // the answer of the owner comes while this process is stopped for longer than it waits for an owner
  process.kill(owner.pid, 'SIGCONT')
  await reaches(owner, 'accepted', 1)
  await delay(12_000)
  process.kill(front.pid, 'SIGCONT')
  await websocket.response()
  assert.equal(websocket.status, 101)
  await reaches(front, 'waiting', 0)
  websocket.sendText('2probe')
  assert.equal(await websocket.packet(), '3probe')
  await delay(3000)
  websocket.sendText('2probe')
  assert.equal(await websocket.packet(), '3probe')
})

test('an owner that is killed before it has read what was sent to it: all of that is answered at once', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  await post(front, sid, '4a')
  process.kill(owner.pid, 'SIGSTOP')
  const first = poll(front, sid)
  const websocket = await RawWebSocket.request(front.port, target({ sid, transport: 'websocket' }))
  await reaches(front, 'waiting', 2)
  await owner.kill()
  assert.deepEqual([(await first).status, (await first).body], [400, UNKNOWN])
  await websocket.match(/^HTTP\/1\.1 400 [^]*Session ID unknown$/)
  await websocket.end()
  await reaches(front, 'links', 0)
})

test('a process that is killed before it has read an answer: the owner hears that it was not written', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  const first = poll(front, sid)
  first.catch(() => {})
  await reaches(owner, 'served', 1)
  process.kill(front.pid, 'SIGSTOP')
  const closed = once(owner, 'close')
  await post(owner, sid, '4answered')
  await front.kill()
  const [{ sid: ended, reason }] = await closed
  assert.deepEqual([ended, reason], [sid, 'transport error'])
})
