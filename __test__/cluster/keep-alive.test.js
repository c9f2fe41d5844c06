'use strict'

// Connections that browsers and balancers keep open for the next request.

const assert = require('node:assert/strict')
const http = require('node:http')
const { test } = require('node:test')
const { defer, once } = require('../support')
const { openSession, poll, post, reaches, startCluster } = require('./support')

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
  const drained = once(front, 'drained')
  await front.ask('drain', { timeout: 20_000, spread: 0 })
  await drained
  const last = await waitingHere
  assert.deepEqual([last.body, last.headers.connection], ['1', 'close'])
  const posted = await post(front, foreign, '4b', keeping())
  assert.deepEqual([posted.body, posted.headers.connection], ['ok', 'close'])
  const polled = await waiting
  assert.deepEqual([polled.body, polled.headers.connection], ['4b', 'close'])
})
