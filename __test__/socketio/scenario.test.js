'use strict'

require('./use-engine')
require('../support/ledger')
const assert = require('node:assert')
const path = require('node:path')
const { describe, test } = require('node:test')
const { MODES, engineInUse, runStep } = require('./harness')
const topics = require('./steps')

test('Socket.IO runs on the engine under test', () => {
  const upstream = process.env.ENGINE === 'upstream'
  const { name, entry } = engineInUse()
  assert.equal(name, upstream ? 'engine.io' : 'engine.io-native')
  if (!upstream) assert.equal(path.dirname(entry), path.join(__dirname, '../..'))
})

for (const mode of Object.keys(MODES)) {
  describe(`Socket.IO over ${mode}`, () => {
    for (const { topic, steps } of topics) {
      for (const step of steps) {
        if (step.modes && !step.modes.includes(mode)) continue
        test(`${topic}: ${step.name}`, () => runStep(step, mode))
      }
    }
  })
}
