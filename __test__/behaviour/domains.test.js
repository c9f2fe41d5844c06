'use strict'

// The module `domain`, which applications still use: what is made in a domain belongs to it.

const assert = require('node:assert/strict')
const { test } = require('node:test')
require('../support')
const { runFixture } = require('../support/child')

test('what a listener throws reaches the domain that the server was made in, and no other', async () => {
  const { lines, stderr } = await runFixture('domains')
  assert.equal(stderr, '')
  const events = ['close', 'message']
  const transports = ['polling', 'websocket']
  const expected = ['first', 'none', 'second'].flatMap((name) =>
    events.flatMap((event) => transports.map((transport) => [name, `${event} of ${name}, ${transport}`])),
  )
  assert.deepEqual(lines, [expected])
})
