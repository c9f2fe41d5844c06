'use strict'

const kExits = Symbol.for('engine.io-native exits')

/** Has `fn` called when the process or worker exits: one listener for all copies of the module, of which test runners load many. */
function onExit(fn) {
  if (process[kExits] === undefined) {
    const exits = new Set()
    Object.defineProperty(process, kExits, { __proto__: null, value: exits })
    process.on('exit', () => exits.forEach((exit) => exit()))
  }
  process[kExits].add(fn)
}

module.exports = { onExit }
