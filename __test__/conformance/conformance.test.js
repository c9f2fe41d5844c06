'use strict'

/**
 * WebSocket conformance: the categories of the Autobahn suite, over an Engine.IO session whose application sends every
 * message back.
 *
 * Cases are in `cases/`, one file per category; what comes of each is in `expectations.txt`, one line per case, the same
 * for both engines. Where the original differs, a line `<id> @upstream` says what it does, and the case why.
 * `UPDATE=1` writes the file anew from what is observed (with ENGINE=upstream: only those lines): read the diff.
 */

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { after, describe, test } = require('node:test')
const { upstream } = require('../support')
const { negotiate, play } = require('./runner')

const FILE = path.join(__dirname, 'expectations.txt')
const UPDATE = process.env.UPDATE === '1'
const CATEGORIES = ['framing', 'control', 'reserved', 'fragmentation', 'utf8', 'close', 'limits', 'compression']
const UPSTREAM = ' @upstream'

const cases = CATEGORIES.flatMap((category) =>
  require(`./cases/${category}`).map((script) => ({ category, ...script })),
)
const expected = read()
const observed = new Map()

for (const category of CATEGORIES) {
  describe(category, () => {
    for (const script of cases.filter((script) => script.category === category)) {
      test(`${script.id} ${script.what}`, { timeout: 30_000 }, async () => {
        const outcome = script.negotiate ? await negotiate(...script.negotiate) : await play(script)
        observed.set(script.id, outcome)
        if (UPDATE) return
        const line = (upstream && expected.get(script.id + UPSTREAM)) || expected.get(script.id)
        assert.ok(line, 'the case is not in expectations.txt: UPDATE=1 adds it')
        assert.equal(outcome, line.outcome)
      })
    }
  })
}

test('expectations.txt lists every case once, in order, with its description', { skip: UPDATE }, () => {
  const listed = [...expected].filter(([id]) => !id.endsWith(UPSTREAM)).map(([id, { what }]) => `${id} | ${what}`)
  assert.deepEqual(
    listed,
    cases.map(({ id, what }) => `${id} | ${what}`),
  )
})

test('every difference of the original has a reason', { skip: UPDATE }, () => {
  const differing = [...expected.keys()]
    .filter((id) => id.endsWith(UPSTREAM))
    .map((id) => id.slice(0, -UPSTREAM.length))
  assert.deepEqual(
    differing,
    cases.filter(({ differs }) => differs).map(({ id }) => id),
  )
})

after(() => {
  if (UPDATE) write()
})

function read() {
  const lines = fs.existsSync(FILE) ? fs.readFileSync(FILE, 'utf8').split('\n') : []
  const rows = lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => line.split(' | '))
  return new Map(rows.map(([id, what, outcome]) => [id, { what, outcome }]))
}

function write() {
  const lines = [
    '# case | what is sent | what comes back: messages, pongs, how the connection stands; see conformance.test.js',
    '# <case> @upstream: what the original does instead, and why',
  ]
  let category
  for (const script of cases) {
    if (script.category !== category) lines.push('', `# ${(category = script.category)}`)
    const { id, what } = script
    const ours = upstream ? expected.get(id)?.outcome : observed.get(id)
    const theirs = upstream ? observed.get(id) : expected.get(id + UPSTREAM)?.outcome
    lines.push([id, what, ours].join(' | '))
    if (theirs !== undefined && theirs !== ours)
      lines.push([id + UPSTREAM, script.differs ?? 'NO REASON GIVEN', theirs].join(' | '))
  }
  fs.writeFileSync(FILE, `${lines.join('\n')}\n`)
}
