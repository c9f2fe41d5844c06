'use strict'

// The table: a cell for each door and each attack.

const { upstream } = require('../support/engine')
const { attacks } = require('./attacks')
const { defectOf } = require('./defects')
const { rows } = require('./doors')

/** What all attacks of a kind are there for, in the words of those who asked for them. */
const KINDS = [
  'abort',
  'half-close',
  'reset',
  'overlap poll',
  'overlap POST',
  'replay of a dead sid',
  "another's sid",
  "another's sid across servers",
  'upgrade twice',
  'upgrade while upgrading',
  'wrong probe',
  'bad frames',
  'bad UTF-8',
  'oversized message',
  'oversized body',
  'oversized head',
  'slow head',
  'slow body',
  'fragments without end',
  'floods',
  'compressed bombs',
  'unknown packet types',
  'garbage',
  'pipelined requests',
  'wrong methods',
  'bad content types',
  'header injection',
  'throwing listeners',
  'throwing hooks',
  'late answers of async hooks after the client is gone',
  'app calling every method on closed sessions',
]

/**
 * Attacks of one kind are run at once, in one cell; those that need options or a fault of the application's have a server,
 * and a column, of their own.
 */
const columns = []
for (const attack of attacks) {
  const { kind, name, fault, opts, other = false, closes = false } = attack
  const title = fault === undefined ? kind : name
  let column = columns.find((one) => one.name === title)
  if (column === undefined) columns.push((column = { name: title, kind, fault, opts, other, closes, attacks: [] }))
  column.attacks.push(attack)
}

/** Why there is nothing to attack; undefined: there is. */
function notApplicable(row, attack) {
  for (const need of attack.needs) {
    if (row.lacks[need] !== undefined) return row.lacks[need]
  }
}

/**
 * `{ row, column, attacks, notApplicable?, defects }`: the attacks that are to be run; why there are none; how many are left
 * out because the original is known not to withstand them, and why.
 */
function cellOf(row, column) {
  const reasons = column.attacks.map((attack) => notApplicable(row, attack))
  const applicable = column.attacks.filter((attack, i) => reasons[i] === undefined)
  if (applicable.length === 0) return { row, column, attacks: [], notApplicable: reasons[0], defects: [] }
  const known = (attack) => (upstream && process.env.EXPECTED !== 'run' ? defectOf(row, attack) : undefined)
  const defects = applicable
    .map((attack) => ({ attack, reason: known(attack) }))
    .filter(({ reason }) => reason !== undefined)
  return { row, column, attacks: applicable.filter((attack) => known(attack) === undefined), defects }
}

/** One line per door. */
function line(row, { passed = 0, failed = 0, notApplicable: none = 0, defects = 0, attacks: count = 0 }) {
  const text = [`${passed} of ${columns.length - none} cells withstood ${count} attacks`, `${none} not applicable`]
  if (defects > 0) text.push(`${defects} attacks known to fail`)
  if (failed > 0) text.push(`${failed} FAILED`)
  return `${row.name.padEnd(42)} ${text.join(', ')}`
}

module.exports = { rows, attacks, columns, KINDS, cellOf, line }
