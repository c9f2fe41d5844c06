'use strict'

// Tests of applications put fakes in the places of the global timers, which never run out unless they are told to.

const assert = require('node:assert/strict')
const { test } = require('node:test')
require('../support')
const { runFixture } = require('../support/child')

test('sessions open, upgrade, exchange messages and close while the global timers are fakes, and afterwards', async () => {
  const { lines, stderr } = await runFixture('fake-timers')
  const exchanged = ['4websocket', 'ok', '4polling', '3probe', '4upgraded', 200]
  const closed = ['transport close', 'transport close']
  assert.equal(stderr, '')
  assert.deepEqual(lines, [exchanged, closed, exchanged, closed])
})
