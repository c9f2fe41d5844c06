'use strict'

// `server.broadcast()`: one message for many sessions, see docs/OPERATIONS.md.

const { checkKey, wasDropped } = require('../base/backpressure')
const { ownOf } = require('../base/options')
const { isPlainObject, shown } = require('../base/shown')
const { kClient, kPlainTransport } = require('../base/symbols')
const { content } = require('../native/packets')
const { sendToAll } = require('../transports/websocket')

/** The options of `send()`: those of the original, and ours. */
const OPTIONS = ['compress', 'volatile', 'conflate', 'wsPreEncodedFrame']

/**
 * Sends a message to the sessions with these ids.
 *
 * @param {any} [options]
 * @returns {{sent: number, unknown: number, closed: number, dropped: number}}
 * @throws {TypeError} for invalid arguments; otherwise the first error of a listener or stream, when all have been
 *   served
 */
function broadcast(server, ids, data, options = {}) {
  if (typeof ids === 'string' || ids === null || typeof ids?.[Symbol.iterator] !== 'function') {
    throw new TypeError(`broadcast() takes an iterable of session ids, got ${shown(ids)}`)
  }
  checkOptions(options)
  data = sendable(data)
  const outcome = { sent: 0, unknown: 0, closed: 0, dropped: 0 }
  const plain = []
  const others = []
  const isShared = options.wsPreEncodedFrame === undefined
  // an iterator may be the application's, and runs before the first message is sent
  for (const id of new Set(ids)) {
    const session = server[kClient](id)
    // an application may have put anything into the table
    if (!session) outcome.unknown++
    else others.push(session)
  }
  const sessions = others.splice(0)
  for (const session of sessions) {
    if (session.readyState !== 'open') {
      outcome.closed++
      continue
    }
    const transport = isShared ? session[kPlainTransport]?.() : undefined
    if (transport === undefined) others.push(session)
    else plain.push(transport)
  }
  const errors = []
  if (plain.length > 0) {
    const sent = sendToAll(plain, data, options, (error) => errors.push(error))
    outcome.sent += sent
    outcome.closed += plain.length - sent
  }
  for (const session of others) {
    try {
      outcome[sendOne(session, data, { ...options })]++
    } catch (error) {
      outcome.closed++
      errors.push(error)
    }
  }
  if (errors.length > 0) throw errors[0]
  return outcome
}

/** @throws {TypeError} for options that `send()` does not have, and for invalid values of ours */
function checkOptions(options) {
  if (!isPlainObject(options)) {
    throw new TypeError(`the options of broadcast() must be an object, got ${shown(options)}`)
  }
  for (const name of Object.keys(options)) {
    if (!OPTIONS.includes(name)) {
      throw new TypeError(`the option ${name} of broadcast() is unknown; the options are ${OPTIONS.join(', ')}`)
    }
  }
  const { conflate, volatile } = ownOf(options)
  if (conflate !== undefined) checkKey(conflate)
  if (volatile !== undefined && typeof volatile !== 'boolean') {
    throw new TypeError(`the option volatile of broadcast() must be a boolean, got ${shown(volatile)}`)
  }
}

/**
 * Returns data as something that each transport can send. What is converted is converted once.
 *
 * @throws {TypeError} for a Symbol, or an object that cannot be converted to a string
 */
function sendable(data) {
  try {
    const bytes = content(data)
    return typeof data === 'object' && bytes instanceof Uint8Array ? data : bytes
  } catch (error) {
    const got = typeof data === 'symbol' ? String(data) : `something of type ${typeof data}`
    throw new TypeError(`broadcast() takes a string, binary data or what can be converted to a string, got ${got}`, {
      cause: error,
    })
  }
}

/** Sends a message to one session, by its method, with options of its own. Returns what became of it. */
function sendOne(session, data, options) {
  // what was called before may have closed it
  if (session.readyState !== 'open') return 'closed'
  session.send(data, options)
  if (wasDropped(options)) return 'dropped'
  return session.readyState === 'open' ? 'sent' : 'closed'
}

module.exports = { broadcast }
