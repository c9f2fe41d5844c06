'use strict'

/** Matches targets without escapes, fragments or anything else that `URL` would change. */
const PLAIN = /^\/[\w\-./]*\?[\w\-.~&=!*:@]*$/

/**
 * Parses the query of a request's target. The last value of a repeated key counts.
 *
 * @throws {TypeError} `ERR_INVALID_URL`
 */
function parseQuery(target) {
  if (!PLAIN.test(target) || target.startsWith('//')) {
    return Object.fromEntries(new URL(target, 'https://socket.io').searchParams)
  }
  const query = {}
  let from = target.indexOf('?') + 1
  while (from < target.length) {
    let to = target.indexOf('&', from)
    if (to === -1) to = target.length
    if (to > from) {
      let equals = target.indexOf('=', from)
      if (equals === -1 || equals > to) equals = to
      const key = target.slice(from, equals)
      const value = target.slice(equals + 1, to)
      set(query, key, value)
    }
    from = to + 1
  }
  return query
}

/** Parses a query that stands alone, which may be any text. */
function parseSearch(search) {
  const target = `/?${search}`
  return PLAIN.test(target) ? parseQuery(target) : Object.fromEntries(new URLSearchParams(search))
}

/**
 * Sets a parameter. Those of every request are set by their names, which saves a look-up. A name that the object or
 * Object.prototype has already is set by `defineProperty`.
 */
function set(query, key, value) {
  if (key === 'EIO' && !('EIO' in query)) query.EIO = value
  else if (key === 'transport' && !('transport' in query)) query.transport = value
  else if (key === 'sid' && !('sid' in query)) query.sid = value
  else if (key === 't' && !('t' in query)) query.t = value
  else if (key in query) define(query, key, value)
  else query[key] = value
}

function define(query, key, value) {
  Object.defineProperty(query, key, { __proto__: null, value, enumerable: true, configurable: true, writable: true })
}

/** Returns the session id of a request. A property of Object.prototype does not count. */
function sidOf({ _query: query }) {
  return query.sid !== undefined && Object.hasOwn(query, 'sid') ? query.sid : undefined
}

module.exports = { parseQuery, parseSearch, sidOf }
