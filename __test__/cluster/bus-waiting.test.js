'use strict'

// Requests that wait at the owner until it is known what has become of an answer on another machine.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { defer, once } = require('../support')
const { makeDeaf, polled, startGateways, startMachines } = require('./bus-support')
const { openSession, poll, post } = require('./support')

const UNKNOWN = '{"code":1,"message":"Session ID unknown"}'

/** Answers a poll on another machine, has its gateway stop, and lets the next poll of the session wait at its owner. */
async function waitForStoppedGateway() {
  const { hub, gateway, inner, farGateway } = await startGateways({ options: { pingInterval: 60_000 } })
  const sid = await openSession(inner)
  const far = poll(farGateway, sid)
  await polled(inner, 1)
  makeDeaf(hub, gateway)
  assert.equal((await post(inner, sid, '4a')).status, 200)
  assert.equal((await far).body, '4a')
  process.kill(gateway.pid, 'SIGSTOP')
  defer(() => process.kill(gateway.pid, 'SIGCONT'))
  const next = poll(inner, sid, { ms: 20_000 })
  // it has come in, as this is answered
  await post(inner, sid, '6')
  return { inner, sid, next }
}

test('a poll that waits for a gateway that is stopped is answered when its session ends', async () => {
  const { inner, sid, next } = await waitForStoppedGateway()
  await post(inner, sid, '1')
  assert.equal((await next).body, UNKNOWN)
  assert.deepEqual(
    (await inner.told('close')).map(({ reason }) => reason),
    ['transport close'],
  )
})

test('a poll that waits for a gateway that is stopped is answered after some seconds, and its session ends', async () => {
  const { inner, sid, next } = await waitForStoppedGateway()
  const [closed] = await once(inner, 'close', 20_000)
  assert.deepEqual([closed.sid, closed.why], [sid, 'poll connection closed prematurely'])
  assert.equal((await next).body, UNKNOWN)
})

test('a poll that waits at a node for an answer on another machine is answered when its session ends', async () => {
  const { hub, members } = await startMachines(2, { options: { pingInterval: 60_000 } })
  const [owner, front] = members
  const sid = await openSession(owner)
  const far = poll(front, sid)
  await polled(owner, 1)
  makeDeaf(hub, owner)
  assert.equal((await post(owner, sid, '4a')).status, 200)
  assert.equal((await far).body, '4a')
  const next = poll(owner, sid)
  // it has come in, as this is answered
  await post(owner, sid, '6')
  await post(owner, sid, '1')
  assert.equal((await next).body, UNKNOWN)
  // after 4 s the owner breaks with the front
  assert.equal((await owner.ask('metrics')).bus.served, 1, 'before the end of the first poll is known')
})
