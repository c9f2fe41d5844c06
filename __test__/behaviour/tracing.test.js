'use strict'

// @opentelemetry/instrumentation-http beside Socket.IO: no session's events are told as part of another user's request.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { runFixture } = require('../support')

test("events of traced Socket.IO sessions run in no other user's span", { timeout: 60_000 }, async () => {
  const { lines, stderr } = await runFixture('traced', [], { ms: 50_000 })
  assert.equal(lines.length, 1, stderr)
  const [{ users, notes, works, requests }] = lines
  assert.ok(requests > users.length, 'requests are traced')
  assert.ok(
    notes.some(({ what, span }) => what === 'connection' && span !== null),
    'handshakes run in the span of their request',
  )
  assert.deepEqual(
    notes.filter(({ user, span }) => span !== null && span !== user),
    [],
  )
  for (const what of [
    'connection',
    'io connection',
    'io event',
    'packet',
    'message',
    'heartbeat',
    'close',
    'io disconnect',
  ]) {
    const heard = new Set(notes.filter((note) => note.what === what).map(({ user }) => user))
    assert.deepEqual(
      users.filter(({ user }) => !heard.has(user)),
      [],
      what,
    )
  }
  assert.ok(notes.some(({ what }) => what === 'upgrade'))
  // a span of the application's own is there across a wait, and part of no other user's request
  assert.equal(works.length, users.length * 3)
  for (const { user, replies } of users) assert.deepEqual(replies, Array(3).fill(`work of ${user}`))
  assert.deepEqual(
    works.filter(({ user, parent }) => parent !== null && user !== `work of ${parent}`),
    [],
  )
})
