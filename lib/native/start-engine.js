'use strict'

const { atRoot } = require('./context')
const { Engine } = /** @type {any} */ (require('./load-addon'))

/** I/O threads of a process, at most. */
const MAX_THREADS = 64

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

/** Returns the number of I/O threads: that of the environment, if it is valid. */
function ioThreads() {
  const wanted = process.env.ENGINE_IO_NATIVE_IO_THREADS
  if (wanted === undefined || wanted === '') return usualThreads()
  const threads = Number(wanted)
  if (Number.isInteger(threads) && threads >= 1 && threads <= MAX_THREADS) return threads
  const usual = usualThreads()
  const message = `ENGINE_IO_NATIVE_IO_THREADS must be a whole number from 1 to ${MAX_THREADS}, got '${wanted}'; the default, ${usual}, is used`
  process.emitWarning(message, { type: 'EngineIoWarning', code: 'ENGINE_IO_NATIVE_IO_THREADS' })
  return usual
}

/** Returns the default. One thread serves two or three cores best; from four cores on there are more. */
function usualThreads() {
  const { availableParallelism, cpus } = require('os')
  const cores = availableParallelism ? availableParallelism() : cpus().length
  return Math.max(1, Math.min(4, Math.floor(cores / 2)))
}

module.exports = { canWatch, startEngine }
