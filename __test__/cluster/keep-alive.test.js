'use strict'

// Connections that browsers and balancers keep open for the next request.

const assert = require('node:assert/strict')
const http = require('node:http')
const { test } = require('node:test')
const { defer, eventually, once } = require('../support')
const { polled, startGateways, startMachines } = require('./bus-support')
const { Bus, startMachine } = require('./claims-support')
const { openSession, poll, post, reaches, startCluster } = require('./support')

/** Of a drain that closes no session during a test. */
const LONG = { timeout: 2 ** 31 - 1, spread: 2 ** 31 - 1 }

/** Keeps one connection open. */
function keeping() {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  defer(() => agent.destroy())
  return { agent }
}

test('a process that drains ends the connections that it answers, so that the next request comes elsewhere', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const [foreign, own] = [await openSession(owner), await openSession(front)]
  const { headers } = await post(front, foreign, '4a', keeping())
  assert.equal(headers.connection, 'keep-alive')
  assert.equal((await poll(front, foreign, keeping())).headers.connection, 'keep-alive')

  const waiting = poll(front, foreign, keeping())
  const waitingHere = poll(front, own, keeping())
  await reaches(owner, 'served', 3)
  await polled(front, 1)
  const drained = once(front, 'drained')
  await front.ask('drain', { timeout: 20_000, spread: 0 })
  await drained
  const last = await waitingHere
  assert.deepEqual([last.body, last.headers.connection], ['1', 'close'])
  const posted = await post(front, foreign, '4b', keeping())
  assert.deepEqual([posted.body, posted.headers.connection], ['ok', 'close'])
  const answered = await waiting
  assert.deepEqual([answered.body, answered.headers.connection], ['4b', 'close'])
})

test('a poll that waits when the drain begins ends its connection, also if a message answers it', async () => {
  const { members } = await startCluster(1)
  const [member] = members
  const sid = await openSession(member)
  const waiting = poll(member, sid, keeping())
  await polled(member, 1)
  await member.ask('drain', LONG)
  await member.ask('send', { sid, data: 'a' })
  const { body, headers } = await waiting
  assert.deepEqual([body, headers.connection], ['4a', 'close'])
})

test('a poll that waits in a middleware when the drain begins ends its connection', async () => {
  const held = []
  const machine = await startMachine(new Bus(), {}, ({ engine }) =>
    engine.use((req, res, next) => (req._query.sid ? held.push(next) : next())),
  )
  const sid = await openSession(machine)
  const waiting = poll(machine, sid, keeping())
  await eventually(() => held.length, 1)
  machine.engine.drain(LONG)
  held[0]()
  machine.sockets.get(sid).send('a')
  const { body, headers } = await waiting
  assert.deepEqual([body, headers.connection], ['4a', 'close'])
})

/** A poll that waits at a process is answered when that closes its server, and ends its connection. */
async function closesWhileWaiting(owner, front, agent) {
  const sid = await openSession(owner)
  // the connection is one that has been kept open
  assert.equal((await post(front, sid, '6', { agent })).headers.connection, 'keep-alive')
  const waiting = poll(front, sid, { agent })
  await polled(owner, 1)
  const closed = once(front, 'closed')
  await front.ask('close')
  const { body, headers } = await waiting
  assert.deepEqual([body, headers.connection], ['6', 'close'])
  // the HTTP server does not wait until the connection has been idle for 5 s
  await closed
  assert.deepEqual(owner.seen('close'), [])
}

test('a process that closes ends the connection of a poll for another process', async () => {
  const { members } = await startCluster(2)
  await closesWhileWaiting(...members, keeping().agent)
})

test('a process that closes ends the connection of a poll for another machine', async () => {
  const { members } = await startMachines(2)
  await closesWhileWaiting(...members, keeping().agent)
})

test('a process without a bus that closes ends the connection of a poll for another machine', async () => {
  const { farGateway, inner } = await startGateways()
  await closesWhileWaiting(farGateway, inner, keeping().agent)
})

test('a poll that nobody answers before the process has left is refused, and ends its connection', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const waiting = poll(front, await openSession(owner), keeping())
  await polled(owner, 1)
  process.kill(owner.pid, 'SIGSTOP')
  defer(() => process.kill(owner.pid, 'SIGCONT'))
  await front.ask('close')
  const { status, headers } = await waiting
  assert.deepEqual([status, headers.connection], [400, 'close'])
})
