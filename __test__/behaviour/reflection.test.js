'use strict'

// What reflection tells of the public objects, beside the original's: every difference is listed with its reason.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { runFixture, upstream } = require('../support')
const { differences } = require('../support/reflection')
const DIFFERENCES = require('../support/reflection-differences')

async function snapshot(ENGINE) {
  const { lines, stderr } = await runFixture('reflection', [], { env: { ENGINE } })
  assert.equal(lines.length, 1, stderr)
  return lines[0]
}

const both = upstream ? undefined : Promise.all([snapshot('upstream'), snapshot('native')])
const skip = upstream ? 'compares both packages by itself' : false

test('every difference to the original that reflection shows is listed', { skip }, async () => {
  const listed = new Set(Object.values(DIFFERENCES).flat())
  assert.deepEqual(
    differences(...(await both)).filter((line) => !listed.has(line)),
    [],
  )
})

test('every listed difference exists', { skip }, async () => {
  const found = new Set(differences(...(await both)))
  const listed = Object.values(DIFFERENCES).flat()
  assert.deepEqual(
    listed.filter((line) => !found.has(line)),
    [],
  )
  assert.equal(new Set(listed).size, listed.length, 'each is listed once')
})
