'use strict'

// docs/ADOPTION.md against the versions and tests that it names.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { devDependencies } = require('../../package.json')
const versions = require('../adoption/versions.json')

const folder = path.join(__dirname, '../adoption')
const page = fs.readFileSync(path.join(__dirname, '../../docs/ADOPTION.md'), 'utf8')
const rows = [...page.matchAll(/^\| (.+) \| (.+) \| (.+) \| (.+) \|$/gm)].slice(2).map(([, ...cells]) => cells)

/** Versions without a name: `5.0.4` of `npm:typescript@5.0.4`. */
const pinned = new Set([
  devDependencies['socket.io'],
  ...Object.values(versions).map((one) => one.replace(/^npm:.*@/, '')),
])

test('each version in the table is one that is tried', () => {
  let count = 0
  for (const [what, cell] of rows) {
    for (const one of cell.split(', ')) {
      const [, name, version] = /^(@?[a-z][\w./-]*) (\d+\.\d+\.\d+)$/.exec(one) ?? [undefined, undefined, one]
      if (!/^\d+\.\d+\.\d+$/.test(version)) continue
      count += 1
      if (name === undefined) assert.ok(pinned.has(version), `${what}: ${version}`)
      else assert.equal(version, versions[name], `${what}: ${name}`)
    }
  }
  assert.ok(count > 40, `${count} versions found`)
})

test('each test of the adoption stage has a row, and each row a test', () => {
  const tests = fs.readdirSync(folder).filter((name) => name.endsWith('.test.js'))
  const named = new Set(rows.flatMap(([, , , cell]) => cell.split(', ')))
  named.delete('bundlers')
  assert.deepEqual([...named].map((name) => `${name}.test.js`).sort(), tests.sort())
})
