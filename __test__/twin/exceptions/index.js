'use strict'

// What may differ. Rows of docs/DIFFERENCES.md and of docs/NATIVE-LISTENER.md that programs meet: each says which of the
// differences of a program it explains; what no row explains is a difference.

/**
 * @typedef {object} Case what a difference is looked at in
 * @property {object} program
 * @property {object[]} left what the original showed, step by step
 * @property {object[]} right
 *
 * @typedef {object} Exception
 * @property {number | string} row
 * @property {string} what
 * @property {string[]} [modes] those that it is for; else all
 * @property {(difference: import("../compare").Difference, of: Case) => boolean | Scope} explains
 *
 * @typedef {object} Scope what else is explained, from this step on, because the two sides lead different lives
 * @property {string} [session] all about this session, by its client's name
 * @property {boolean} [counts] how many sessions there are
 * @property {boolean} [all] everything
 */

const { isCount, sessionOf, uncounted } = require('./case')

/** @type {Exception[]} */
const exceptions = [...require('./rows'), ...require('./userver'), ...require('./native')]

/** What an exception is called: several may belong to one row. */
const keyOf = ({ row, what }) => `${row}: ${what}`

/** @returns what no row explains; counts the programs that need an exception in `used` */
function unexplained(differences, of, used = new Map()) {
  const possible = exceptions.filter(({ modes }) => modes === undefined || modes.includes(of.program.mode))
  const rest = []
  const needed = new Set()
  /** From which step on a session leads another life. */
  const sessions = new Map()
  let counts = false
  for (const difference of differences) {
    const { object, step, left, right } = difference
    if (sessions.has(sessionOf(object))) continue
    if (object === 'server' && [...sessions.keys()].some((one) => `${left} ${right}`.includes(`{${one}}`))) continue
    if (counts && (isCount(difference) || uncounted(left) === uncounted(right))) continue
    let scope
    const exception = possible.find((one) => (scope = one.explains(difference, of)))
    if (exception === undefined) {
      rest.push(difference)
      continue
    }
    needed.add(keyOf(exception))
    if (scope.all) break
    if (scope.session !== undefined && !sessions.has(scope.session)) sessions.set(scope.session, step)
    if (scope.counts) counts = true
  }
  for (const key of needed) used.set(key, (used.get(key) ?? 0) + 1)
  return rest.filter((difference) => !isOfOthers(difference, sessions))
}

/**
 * Whether what the server told in a step is the same but for sessions that lead another life from this step on: the server
 * stands before them.
 */
function isOfOthers({ object, step, lefts, rights }, sessions) {
  if (object !== 'server' || lefts === undefined) return false
  const gone = [...sessions].filter(([, from]) => from <= step).map(([session]) => `{${session}}`)
  const others = (list) => list.filter((entry) => !gone.some((one) => entry.includes(one))).map(uncounted)
  return gone.length > 0 && others(lefts).join('\n') === others(rights).join('\n')
}

module.exports = { exceptions, keyOf, unexplained }
