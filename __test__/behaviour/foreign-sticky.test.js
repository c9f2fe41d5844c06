'use strict'

// Connections that @socket.io/sticky hands from a primary process to its workers, some as streams that are no sockets.

const assert = require('node:assert/strict')
const { test, before } = require('node:test')
const { runFixture } = require('../support')

let result
before(async () => {
  result = await runFixture('sticky', [], { ms: 30_000 })
  assert.equal(result.code, 0, result.stderr)
})

for (const [mode, transport] of Object.entries({ polling: 'polling', websocket: 'websocket', upgrade: 'websocket' })) {
  test(`clients of a cluster are answered by the worker they belong to: ${mode}`, () => {
    const answers = result.lines.filter((line) => line.mode === mode && line.length)
    assert.equal(answers.length, 8)
    assert.deepEqual(answers.filter(({ length }) => length === 1).length, 4)
    assert.deepEqual(answers.filter(({ length }) => length === 10_000).length, 4)
    assert.deepEqual([...new Set(answers.map((answer) => answer.transport))], [transport])
  })

  test(`clients are spread over the workers: ${mode}`, () => {
    assert.deepEqual(
      result.lines.find((line) => line.mode === mode && line.workers),
      { mode, workers: 2 },
    )
  })
}

test('a session that no worker has is unknown', () => {
  assert.deepEqual(result.lines.at(-1), { status: 400, body: '{"code":1,"message":"Session ID unknown"}' })
})
