'use strict'

const { MAX_OWNER_POLL } = require('./contract')
const { kOnDecision } = require('../base/symbols')

// Requests of polling clients that were accepted and have to be answered. Each is answered or refused, or its
// connection ends, also if its session ends or moves. A decision about a poll, on any thread, names the poll and so
// reaches it without the session.

/**
 * A table of waiting requests by numbers that count up. The lower bits of a number are its slot, and numbers whose slot
 * is taken are skipped, so that no request allocates anything. A Map would rebuild its table again and again, and V8
 * keeps what lies in the tables that it has left until its next full collection.
 */
class Waiting {
  constructor() {
    this.values = new Array(64).fill(undefined)
    this.numbers = new Array(64).fill(0)
    this.size = 0
    this.last = 0
  }

  /** Adds a value and returns its number, which is used again after two thousand million others. */
  add(value) {
    // at most half of the slots are taken
    if (this.size * 2 >= this.values.length) this.grow()
    const mask = this.values.length - 1
    do this.last = (this.last % MAX_OWNER_POLL) + 1
    while (this.values[this.last & mask] !== undefined)
    this.values[this.last & mask] = value
    this.numbers[this.last & mask] = this.last
    this.size++
    return this.last
  }

  get(number) {
    const slot = number & (this.values.length - 1)
    return this.numbers[slot] === number ? this.values[slot] : undefined
  }

  delete(number) {
    if (this.get(number) === undefined) return
    const slot = number & (this.values.length - 1)
    this.values[slot] = undefined
    this.numbers[slot] = 0
    this.size--
  }

  all() {
    return this.values.filter((value) => value !== undefined)
  }

  grow() {
    const { values, numbers } = this
    const length = values.length * 2
    this.values = new Array(length).fill(undefined)
    this.numbers = new Array(length).fill(0)
    values.forEach((value, i) => {
      if (value === undefined) return
      this.values[numbers[i] & (length - 1)] = value
      this.numbers[numbers[i] & (length - 1)] = numbers[i]
    })
  }
}

/** The transports with a waiting poll, and those that read a POST. */
const polls = new Waiting()
const posts = new Waiting()

/**
 * Carries out the engine's decision about a poll, see `Kind` in lib/native/contract.js. The client may have gone
 * meanwhile.
 */
function decidePoll(kind, poll, payload) {
  const transport = polls.get(poll)
  if (transport !== undefined) transport[kOnDecision](kind, payload)
}

module.exports = { Waiting, polls, posts, decidePoll }
