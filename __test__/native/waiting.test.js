'use strict'

// The list of requests in progress (lib/native/duties.js).

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { Waiting } = require('../../lib/native/duties')

test('each number finds who waits, and no other, while the list grows and numbers are passed over', () => {
  const waiting = new Waiting()
  const known = new Map()
  for (let i = 0; i < 5000; i++) {
    const value = { i }
    const number = waiting.add(value)
    assert.equal(known.has(number), false)
    known.set(number, value)
    // two of three go soon, the others stay
    if (i % 3 !== 0) {
      waiting.delete(number)
      known.delete(number)
      assert.equal(waiting.get(number), undefined)
    }
  }
  assert.equal(waiting.size, known.size)
  for (const [number, value] of known) assert.equal(waiting.get(number), value)
  assert.deepEqual(new Set(waiting.all()), new Set(known.values()))
})

test('a number that was given back finds nobody, and giving it back again does no harm', () => {
  const waiting = new Waiting()
  const old = waiting.add('first')
  waiting.delete(old)
  for (let i = 0; i < 200; i++) waiting.add(i)
  waiting.delete(old)
  waiting.delete(0)
  assert.equal(waiting.get(old), undefined)
  assert.equal(waiting.size, 200)
})
