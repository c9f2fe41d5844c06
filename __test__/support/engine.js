'use strict'

// The one switch of the suite: ENGINE=upstream loads the original (see original.js), anything else the package itself.
const original = require('./original')

const upstream = process.env.ENGINE === 'upstream'

if (upstream) {
  // The original waits up to 30 s, with a timer that keeps the process alive, for a peer that is gone
  // (a known hole of it). Without this each file that closes a session abruptly would end 30 s late.
  const { setTimeout } = globalThis
  const patched = (callback, ms, ...args) => {
    const timer = setTimeout(callback, ms, ...args)
    return ms === 30000 ? timer.unref() : timer
  }
  globalThis.setTimeout = patched
  Object.defineProperties(patched, Object.getOwnPropertyDescriptors(setTimeout))
  // The same for what it leaves behind where a session ends in a listener of `upgrading`, for ever.
  const { setInterval } = globalThis
  globalThis.setInterval = (callback, ms, ...args) => {
    const timer = setInterval(callback, ms, ...args)
    return ms === 100 ? timer.unref() : timer
  }
}

module.exports = {
  upstream,
  /** What `import()` and child processes use: the package refers to itself by its own name. */
  specifier: upstream ? original.module : 'engine.io-native',
  engine: require(upstream ? original.main : '../..'),
}
