'use strict'

// docs/ADVISORIES.md against the list: each advisory has a row and a test, and the versions at hand are in no range.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { dependencies, version } = require('../../package.json')
const advisories = require('./advisories.json')

const root = path.join(__dirname, '../..')
const page = fs.readFileSync(path.join(root, 'docs/ADVISORIES.md'), 'utf8')
const tests = fs.readFileSync(path.join(root, '__test__/behaviour/advisories.test.js'), 'utf8')

/** The oldest version of each package that may be in use. */
const oldest = { 'engine.io': version, ws: dependencies.ws.replace('^', '') }

/** Compares `major.minor.patch`. A patch of 1301 is the first fix of our own on 13. */
function isBelow(one, other) {
  const [a, b] = [one, other].map((each) => each.split('.').map(Number))
  const at = a.findIndex((part, i) => part !== b[i])
  return at !== -1 && a[at] < b[at]
}

for (const { id, ghsa, package: name, affected } of advisories) {
  test(`${id} of ${name} has a row and a test, and does not affect ${oldest[name]}`, () => {
    assert.match(page, new RegExp(`\\| \\[${id}\\]\\(https://github\\.com/advisories/${ghsa}\\) \\| ${name} \\|`))
    assert.match(tests, new RegExp(`^test\\('${id}: `, 'm'))
    for (const [from, below] of affected)
      assert.ok(isBelow(oldest[name], from) || !isBelow(oldest[name], below), `${from} to ${below}`)
  })
}

test('the page and the tests name no other advisory', () => {
  const ids = advisories.map(({ id }) => id).sort()
  const named = (text, pattern) => [...text.matchAll(pattern)].map(([, id]) => id).sort()
  assert.deepEqual(named(page, /^\| \[([A-Z][\w-]+)\]/gm), ids)
  assert.deepEqual(named(tests, /^test\('((?:CVE|GHSA)-[\w-]+): /gm), ids)
})
