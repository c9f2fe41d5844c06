'use strict'

const { kOnDecision } = require('../base/symbols')

// Requests of polling clients that were accepted. Each is answered or refused, or its connection ends, whatever becomes of
// its session meanwhile: what is decided about a poll, on any thread, names the poll, and reaches it without the session.

/** The largest number of a request; larger ones are those of the engine's own listener. */
const MAX_NUMBER = 0x7fffffff

/**
 * Who waits, by numbers that count up. A number's slot is its lower bits, and numbers whose slot is taken are passed over, so
 * that nothing is allocated for a request: a Map makes itself anew every so many of them, and what lies in the tables that it
 * has left is kept by V8 until its next full collection.
 */
class Waiting {
  constructor() {
    this.values = new Array(64).fill(undefined)
    this.numbers = new Array(64).fill(0)
    this.size = 0
    this.last = 0
  }

  /** Returns a number that comes again after two thousand million others. */
  add(value) {
    // at most half of the slots are taken
    if (this.size * 2 >= this.values.length) this.grow()
    const mask = this.values.length - 1
    do this.last = (this.last % MAX_NUMBER) + 1
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

/** The transports that polls wait in, and those that read a POST. */
const polls = new Waiting()
const posts = new Waiting()

/** The engine has decided about a poll, see `Kind` in lib/native/bridge.js. The client may have gone away meanwhile. */
function decidePoll(kind, poll, payload) {
  const transport = polls.get(poll)
  if (transport !== undefined) transport[kOnDecision](kind, payload)
}

module.exports = { Waiting, polls, posts, decidePoll }
