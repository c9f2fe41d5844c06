'use strict'

const kExits = Symbol.for('engine.io-native exits')

/**
 * Calls `fn` when the process or worker exits. All copies of the module, of which test runners load many, share one
 * listener.
 */
function onExit(fn) {
  if (process[kExits] === undefined) {
    const exits = new Set()
    Object.defineProperty(process, kExits, { __proto__: null, value: exits })
    process.on('exit', () => exits.forEach((exit) => exit()))
  }
  process[kExits].add(fn)
}

module.exports = { onExit }
