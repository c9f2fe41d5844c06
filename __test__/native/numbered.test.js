'use strict'

// The requests of a link by their numbers, and those of a bus by their names (lib/cluster/numbered.js and named.js).

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { Named } = require('../../lib/cluster/named')
const { Numbered } = require('../../lib/cluster/numbered')

test('each number finds its value, and no other, while the table grows and numbers share slots', () => {
  const numbered = new Numbered()
  const known = new Map()
  for (let i = 0; i < 5000; i++) {
    // numbers count up to the last one there is, and start again
    const number = (0xffff_f000 + i * (i % 2 ? 1 : 64)) >>> 0
    if (known.has(number)) continue
    numbered.add(number, { i })
    known.set(number, numbered.get(number))
    assert.equal(numbered.get(number).i, i)
    if (i % 3 === 0) continue
    numbered.delete(number)
    known.delete(number)
    assert.deepEqual([numbered.has(number), numbered.get(number)], [false, undefined])
  }
  assert.equal(numbered.size, known.size)
  for (const [number, value] of known) assert.equal(numbered.get(number), value)
  assert.deepEqual(new Set(numbered.values()), new Set(known.values()))
})

test('a number that is not there is deleted without harm, also from a slot that others share', () => {
  const numbered = new Numbered()
  const names = new Map([1, 65, 129].map((number) => [number, `value ${number}`]))
  for (const [number, name] of names) numbered.add(number, name)
  numbered.delete(193)
  assert.equal(numbered.size, 3)
  for (const number of [65, 129, 1]) {
    numbered.delete(number)
    numbered.delete(number)
    names.delete(number)
    for (const [other, name] of names) assert.equal(numbered.get(other), name)
    assert.equal(numbered.size, names.size)
  }
  numbered.add(1, 'again')
  numbered.clear()
  assert.deepEqual([numbered.size, numbered.get(1), numbered.values()], [0, undefined, []])
})

test('each name finds its value, and no other', () => {
  const named = new Named()
  const known = new Map()
  for (let i = 0; i < 1000; i++) {
    const name = `name ${i % 300}`
    named.set(name, { i })
    known.set(name, i)
    if (i % 3 === 0) continue
    named.delete(name)
    named.delete(name)
    known.delete(name)
    assert.equal(named.get(name), undefined)
  }
  assert.equal(named.size, known.size)
  for (const [name, i] of known) assert.equal(named.get(name).i, i)
  assert.deepEqual(new Set(named.values().map(({ i }) => i)), new Set(known.values()))
})
