'use strict'

// Arguments of events, as data.

const { drawValue, makeValue, tellValue } = require('../values')

function drawArg(random) {
  if (random.chance(0.6)) {
    const value = drawValue(random)
    return value.as === 'DataView' ? { ...value, as: 'Buffer' } : value
  }
  return random.pick([
    { json: 5 },
    { json: null },
    { json: { a: [1, 'two'], b: { c: null } } },
    { json: [] },
    { json: true },
    { nested: { bytes: '0102', as: 'Buffer' } },
  ])
}

function drawArgs(random) {
  return Array.from({ length: random.pick([0, 1, 1, 1, 2, 3]) }, () => drawArg(random))
}

const makeArg = ({ nested, ...value }) =>
  nested === undefined ? (makeValue(value) ?? null) : { deep: [makeValue(nested)] }
const makeArgs = (args = []) => args.map(makeArg)
const tellArgs = (args = []) =>
  args.map((arg) => (arg.nested === undefined ? tellValue(arg) : `{ deep: [${tellValue(arg.nested)}] }`)).join(', ')

module.exports = { drawArgs, makeArgs, tellArgs }
