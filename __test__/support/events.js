'use strict'

const assert = require('node:assert/strict')
const { isDeepStrictEqual } = require('node:util')
const { setTimeout: delay } = require('node:timers/promises')

/** How many times slower this machine is than others: tests wait that much longer for what must happen. */
const SLOWDOWN = Number(process.env.SLOWDOWN) || 1

/** Rejects when `promise` has not settled after `ms` milliseconds. */
function deadline(promise, what, ms = 10_000) {
  ms *= SLOWDOWN
  let timer
  const expired = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`timed out after ${ms} ms: ${what}`)), ms)
  })
  const result = Promise.race([promise, expired]).finally(() => clearTimeout(timer))
  result.catch(() => {}) // a test that fails before it waits for this one should report its own failure only
  return result
}

/** The arguments of the next `event`, as an array. */
function once(emitter, event, ms) {
  const seen = new Promise((resolve) => emitter.once(event, (...args) => resolve(args)))
  return deadline(seen, `event "${String(event)}"`, ms)
}

/** The arguments of the next `count` occurrences of `event`. */
function times(emitter, event, count, ms) {
  const all = []
  const seen = new Promise((resolve) => {
    emitter.on(event, function listener(...args) {
      all.push(args)
      if (all.length === count) {
        emitter.removeListener(event, listener)
        resolve(all)
      }
    })
  })
  return deadline(seen, `${count} x event "${String(event)}"`, ms)
}

/** An array that grows by `[event, ...args]` (or by what `map` makes of it) at each event. */
function record(emitter, events, map = (event, ...args) => [event, ...args]) {
  const log = []
  for (const event of [].concat(events)) {
    emitter.on(event, (...args) => log.push(map(event, ...args)))
  }
  return log
}

/** Fails when `event` occurs within `ms` milliseconds. */
async function never(emitter, event, ms = 100) {
  const listener = (...args) => seen.push(args)
  const seen = []
  emitter.on(event, listener)
  await delay(ms)
  emitter.removeListener(event, listener)
  assert.deepEqual(seen, [], `"${String(event)}" must not be emitted`)
}

/** Whether `promise` is still pending after `ms` milliseconds. */
async function pending(promise, ms = 100) {
  const still = Symbol('pending')
  return (await Promise.race([promise, delay(ms, still)])) === still
}

/**
 * Waits until `read()` gives `expected`. For state that follows bytes already seen on the wire: an engine may
 * write from another thread before the JavaScript side has heard of it.
 */
async function eventually(read, expected, ms = 5000) {
  const end = Date.now() + ms * SLOWDOWN
  while (!isDeepStrictEqual(read(), expected) && Date.now() < end) {
    await delay(2)
  }
  assert.deepEqual(read(), expected)
}

module.exports = { SLOWDOWN, deadline, delay, once, times, record, never, pending, eventually }
