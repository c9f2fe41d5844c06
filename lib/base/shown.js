'use strict'

const { types } = require('util')

/** Returns what an error says of a value that was not expected, so that its type shows. */
function shown(value) {
  if (typeof value === 'string') return `the string '${value}'`
  if (typeof value === 'bigint') return `the bigint ${value}`
  if (typeof value === 'function') return 'a function'
  if (typeof value !== 'object' || value === null) return String(value)
  // each question to it runs code of the application
  if (types.isProxy(value)) return 'a proxy'
  if (Array.isArray(value)) return 'an array'
  return types.isPromise(value) ? 'a promise' : 'an object'
}

/** Returns the same, without the text of a string, which may be an address with a password. */
function kindOf(value) {
  return typeof value === 'string' ? 'a string' : shown(value)
}

/** Returns whether a value is an object with members that have names, as options are. */
function isPlainObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Returns a string that something thrown has as a member. Of an object whose members throw, it has none. */
function textOf(thrown, member) {
  try {
    const text = thrown[member]
    return typeof text === 'string' ? text : undefined
  } catch {
    return undefined
  }
}

/** Returns what something thrown says, which need not be an error. */
function reasonOf(thrown) {
  return textOf(thrown, 'message') ?? shown(thrown)
}

/** Keeps the rejection of a promise that is not waited for from ending the process. */
function ignoreRejection(promise) {
  // by `await`, because the application may have replaced its methods
  const wait = async () => {
    await promise
  }
  if (types.isPromise(promise)) wait().catch(() => {})
}

module.exports = { ignoreRejection, isPlainObject, kindOf, reasonOf, shown, textOf }
