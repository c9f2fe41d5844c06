'use strict'

// What the two sides saw, beside each other: object by object, step by step. In what order two objects are seen is left
// open, because connections and threads may do things in either order.

/**
 * @typedef {object} Difference
 * @property {number} step 0: the server is opened; then those of the program; the last: the server is closed
 * @property {string} object
 * @property {string} [field] of the object's state; else it is about what the object did
 * @property {string | undefined} left
 * @property {string | undefined} right
 * @property {string[]} [lefts] all that the object did in this step
 * @property {string[]} [rights]
 */

/**
 * @returns {Difference[]} in the order of the steps. Of what an object did in a step: all entries that differ, up to the
 * first that is about something else on the other side, behind which nothing can be told.
 */
function compare(left, right, { kind }) {
  const differences = []
  const last = left.length - 1
  for (let step = kind === 'timed' ? last : 0; step <= last; step++) {
    const [a, b] = kind === 'timed' ? [whole(left), whole(right)] : [left[step], right[step]]
    for (const object of keys(a.streams, b.streams))
      differences.push(...compareStreams(step, object, a.streams[object] ?? [], b.streams[object] ?? []))
    for (const object of keys(a.state, b.state)) {
      const [mine, theirs] = [a.state[object] ?? {}, b.state[object] ?? {}]
      for (const field of keys(mine, theirs)) {
        if (mine[field] !== theirs[field])
          differences.push({ step, object, field, left: mine[field], right: theirs[field] })
      }
    }
  }
  return differences
}

/** Where timers fire, it is open in which step something is seen: all of it as one step, with the state at the end. */
function whole(side) {
  const streams = {}
  for (const step of side)
    for (const [object, texts] of Object.entries(step.streams)) streams[object] = [...(streams[object] ?? []), ...texts]
  return { streams, state: side.at(-1).state }
}

const keys = (a, b) => new Set([...Object.keys(a), ...Object.keys(b)])

function* compareStreams(step, object, lefts, rights) {
  for (let i = 0; i < Math.max(lefts.length, rights.length); i++) {
    const [left, right] = [lefts[i], rights[i]]
    if (left === right) continue
    yield { step, object, left, right, lefts, rights }
    if (eventOf(left) !== eventOf(right)) return
  }
}

/** A class of differences: what they are about, without the values. */
function classOf({ object, field, left, right }) {
  const kind = object
    .replace(/\{[^}]*\}/g, '')
    .replace(/(client) \w+(, )?/, '$1 ')
    .replace(/ \d+/g, '')
    .trim()
  if (field !== undefined) return `${kind}: ${field} ${left} | ${right}`
  const [mine, theirs] = [eventOf(left), eventOf(right)]
  return `${kind}: ${mine === theirs ? `${mine}, otherwise` : `${mine} | ${theirs}`}`
}

/** What an entry is about. */
function eventOf(entry) {
  if (entry === undefined) return 'nothing'
  if (entry.startsWith('HTTP/')) return `response ${entry.split(' ')[1]}`
  if (entry.startsWith('frame '))
    return entry
      .split(' ')
      .slice(0, entry.startsWith('frame close') ? 3 : 2)
      .join(' ')
  return entry.split(/[([]/)[0].replace(/\d+/g, '').trim()
}

module.exports = { compare, classOf }
