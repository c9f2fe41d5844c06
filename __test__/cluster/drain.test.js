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
