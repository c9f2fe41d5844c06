'use strict'

// What exceptions ask about a program and what it did.

const json = (value) => JSON.stringify(value) ?? ''

/** The client whose session an object belongs to. */
const sessionOf = (object) => /\{(\w+|number \d+)\}/.exec(object)?.[1] ?? /^client (\w+),/.exec(object)?.[1]

/** The same for a difference, which may be one of the server's about a session. */
const aboutSession = ({ object, left, right }) =>
  sessionOf(object) ?? (object === 'server' ? sessionOf(`${left} ${right}`) : undefined)

/** A record without the number of sessions. */
const uncounted = (text) => text?.replace(/clientsCount \d+/, '')

const isCount = ({ object, field }) => object === 'server' && (field === 'clientsCount' || field === 'clients')

/** All calls of the application, at any depth, that are as described. */
function callsLike({ listeners, steps }, matches) {
  const found = []
  const look = (value) => {
    if (typeof value !== 'object' || value === null) return
    if (value.do !== undefined && matches(value)) found.push(value)
    Object.values(value).forEach(look)
  }
  look([listeners, steps])
  return found
}

/** Whether an exception came up, on the original's side, up to this step: one of the application's own, or as described. */
function hasThrown({ left }, step, error = /"twin: the application"/) {
  return left.slice(0, step + 1).some(({ streams }) => (streams.process ?? []).some((text) => error.test(text)))
}

const hasHook = ({ hooks }, name, ...how) =>
  hooks.some((one) => one.hook === name && (how.length === 0 || how.includes(one.how)))

/** Whether one list is left of the other when some of its entries are taken out. */
function isWithin(part, whole) {
  const rest = part.values()
  let next = rest.next()
  for (const entry of whole) if (!next.done && entry === next.value) next = rest.next()
  return next.done
}

/** Whether an exception of the application's own is there on this package's side alone. */
const throwsMore = ({ object, left, right }) =>
  object === 'process' && left === undefined && right.includes('"twin: the application"')

/** Whether it is there on the original's side alone. */
const throwsLess = ({ object, left, right }) =>
  object === 'process' && right === undefined && left.includes('"twin: the application"')

/** Sessions that one side has ended in this step, and the other has not; by their clients' names. */
function endedAlone(side, other, step) {
  const states = Object.entries(side[step]?.readyStates ?? {})
  return states
    .filter(([name, state]) => state === 'closed' && other[step]?.readyStates[name] !== 'closed')
    .map(([name]) => name.slice(1, -1))
}

/** What uWebSockets.js throws if it is given a DataView. */
const NO_DATA_VIEW = /Error "Text and data can only be passed by/

module.exports = {
  json,
  sessionOf,
  aboutSession,
  uncounted,
  isCount,
  isWithin,
  callsLike,
  hasThrown,
  throwsLess,
  throwsMore,
  hasHook,
  endedAlone,
  NO_DATA_VIEW,
}
