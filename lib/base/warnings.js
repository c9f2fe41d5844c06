'use strict'

const { textOf } = require('./shown')

/** The codes of the warnings that each object has given. */
const given = new WeakMap()

/** Warns once for each object of what its application does wrong. `error`, if there is one, says where. */
function warnOnce(object, code, message, error = undefined) {
  const codes = given.get(object) ?? new Set()
  if (codes.has(code)) return
  given.set(object, codes.add(code))
  process.emitWarning(message, { type: 'EngineIoWarning', code, detail: textOf(error, 'stack') })
}

module.exports = { warnOnce }
