'use strict'

const { types } = require('util')

/** Returns what an error says of a value that was not expected, so that its type shows. */
function shown(value) {
  if (typeof value === 'string') return `the string '${value}'`
  if (typeof value === 'bigint') return `the bigint ${value}`
  if (typeof value === 'function') return 'a function'
  if (typeof value !== 'object' || value === null) return String(value)
  if (Array.isArray(value)) return 'an array'
  return types.isPromise(value) ? 'a promise' : 'an object'
}

/** Returns whether a value is an object with members that have names, as options are. */
function isPlainObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

module.exports = { isPlainObject, shown }
