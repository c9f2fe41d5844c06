'use strict'

/** A generator of numbers that gives the same series for the same seed (mulberry32). */
class Random {
  /** @param {number | string} seed */
  constructor(seed) {
    let state = 0x811c9dc5
    for (const byte of Buffer.from(String(seed))) state = Math.imul(state ^ byte, 0x01000193)
    this.state = state >>> 0
  }

  /** A number from 0 up to 1, which is not included. */
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let t = this.state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  /** An integer from 0 up to `end`, which is not included. */
  below(end) {
    return Math.floor(this.next() * end)
  }

  /** True with this probability. */
  chance(probability) {
    return this.next() < probability
  }

  pick(list) {
    return list[this.below(list.length)]
  }

  bytes(length) {
    return Buffer.from(Array.from({ length }, () => this.below(256)))
  }
}

module.exports = { Random }
