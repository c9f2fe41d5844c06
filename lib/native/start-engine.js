'use strict'

const { atRoot } = require('./context')
const { Engine } = /** @type {any} */ (require('./load-addon'))

/** Starts the engine. It calls `onWake` when it has events. */
function startEngine(onWake) {
  try {
    return atRoot(() => new Engine(onWake, ioThreads()))
  } catch (cause) {
    const error = new Error(`engine.io-native could not start its I/O threads: ${cause.message}`, { cause })
    throw Object.assign(error, { code: 'ERR_ENGINE_IO_NATIVE_START_FAILED' })
  }
}

/** Returns whether addons can watch sockets by the event loop of this runtime. */
function canWatch() {
  const { bun, deno } = process.versions
  return process.release.name === 'node' && !bun && !deno && process.platform !== 'win32'
}

/** Returns the number of I/O threads. One serves two or three cores best; from four cores on there are more. */
function ioThreads() {
  const wanted = Number(process.env.ENGINE_IO_NATIVE_IO_THREADS)
  if (wanted >= 1) return Math.min(Math.floor(wanted), 64)
  const { availableParallelism, cpus } = require('os')
  const cores = availableParallelism ? availableParallelism() : cpus().length
  return Math.max(1, Math.min(4, Math.floor(cores / 2)))
}

module.exports = { canWatch, startEngine }
