'use strict'

// A process that is about to stop still serves the sessions of others.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { once, request } = require('../support')
const { openSession, poll, post, reaches, says, startCluster, target, upgrade } = require('./support')

test('a process that drains passes on requests of others, and leaves what has moved alone', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const [polls, moves] = [await openSession(owner), await openSession(owner)]
  const websocket = await upgrade(front, moves)
  const waiting = poll(front, polls)
  await reaches(owner, 'served', 1)
  const drained = once(front, 'drained')
  await front.ask('drain', { timeout: 20_000, spread: 0 })
  await drained

  assert.equal((await request({ port: front.port, path: target() })).status, 503, 'new sessions are refused')
  assert.equal((await post(front, polls, '4a')).status, 200)
  assert.equal((await waiting).body, '4a')
  await says(websocket, 'b')

  // what waits when it closes goes on elsewhere
  const last = poll(front, polls)
  await reaches(owner, 'served', 3)
  await front.ask('close')
  assert.equal((await last).body, '6')
  await post(owner, polls, '4c')
  assert.equal((await poll(owner, polls)).body, '4c')
  await says(websocket, 'd')
})

test('a process that drains closes its own sessions, whichever process their clients have reached', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const waiting = poll(front, await openSession(owner))
  await reaches(owner, 'served', 1)
  const websocket = await upgrade(front, await openSession(owner))
  const drained = once(owner, 'drained')
  await owner.ask('drain', { timeout: 20_000, spread: 0 })
  assert.equal((await websocket.closeFrame()).opcode, 8)
  websocket.sendClose(1000)
  assert.equal((await waiting).body, '1')
  const [{ sessions, closed }] = await drained
  assert.deepEqual([sessions, closed], [2, 2])
})

test('sessions are drained whose clients reach them by other processes when the HTTP server has closed', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const [polls, waits] = [await openSession(owner), await openSession(owner)]
  await owner.ask('send', { sid: polls, data: 'a' })
  const waiting = poll(front, waits)
  await reaches(owner, 'served', 1)
  const [closed, drained] = [once(owner, 'closed'), once(owner, 'drained')]
  // the one that has a poll is closed in the second half
  await owner.ask('stop', { timeout: 20_000, spread: 4000 })
  await closed
  assert.equal(owner.seen('close').length, 0, 'no session has ended')
  assert.equal((await poll(front, polls)).body, '4a')
  for (const answer of [await waiting, await poll(front, polls)]) assert.match(answer.body, /^(6\x1e)?1$/)
  const [{ sessions, closed: inOrder }] = await drained
  assert.deepEqual([sessions, inOrder], [2, 2])
})

test('a process that is alone closes its sessions when its HTTP server has closed, as without a cluster', async () => {
  const { members } = await startCluster(1)
  const [only] = members
  await openSession(only)
  const drained = once(only, 'drained')
  await only.ask('stop', { timeout: 60_000, spread: 60_000 })
  const [{ sessions, left, duration }] = await drained
  assert.deepEqual([sessions, left], [1, 1])
  assert.ok(duration < 30_000, `expected less than 30 s, got ${duration} ms`)
})

test('the metrics tell what was passed on, and what waits', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  const waiting = poll(front, sid)
  await reaches(owner, 'served', 1)
  assert.equal((await front.ask('metrics')).waiting, 1)
  await post(front, sid, '4a')
  await waiting
  const websocket = await upgrade(front, sid)
  await says(websocket, 'b')
  assert.equal((await poll(front, 'x'.repeat(20))).status, 400)
  const [here, there] = [await front.ask('metrics'), await owner.ask('metrics')]
  const { number, peers, links, forwarded, moved, relayed, forged, failed } = here
  assert.deepEqual([number, peers, links, forwarded, moved, relayed, forged, failed], [1, 1, 1, 2, 1, 0, 1, 0])
  assert.deepEqual([there.number, there.served, there.accepted], [0, 2, 1])
  await reaches(front, 'waiting', 0)
})
