'use strict'

// What both sides go by in programs about timers: all that such a program does happens at the beats of one clock, and its
// timers fire between two of them (see `drawTimes` in options.js).

/** In ms. */
const BEAT = 200

/** How often the clock looks whether the process comes to its work in time, and how late it may be; in ms. */
const LOOK = 20
const LATE = 40

const SIDES = 2

class Clock {
  constructor({ kind }) {
    this.isTimed = kind === 'timed'
    this.start = performance.now()
    this.sides = SIDES
    this.waiting = []
    this.latest = 0
    if (this.isTimed) this.#watch()
  }

  /** Resolves at the next beat, when both sides have come as far. In other programs at once. */
  async beat() {
    if (!this.isTimed) return
    await new Promise((resolve) => {
      this.waiting.push(resolve)
      this.#meet()
    })
    const now = performance.now() - this.start
    await new Promise((resolve) => setTimeout(resolve, BEAT * (Math.floor(now / BEAT) + 1) - now))
  }

  /** A side that has come to its end is not waited for. */
  leave() {
    this.sides--
    this.#meet()
  }

  /** Whether the process was kept from its work, so that timers and what the program does may have come in any order. */
  isLate() {
    return this.latest > LATE
  }

  #meet() {
    if (this.waiting.length < this.sides) return
    for (const resolve of this.waiting.splice(0)) resolve()
  }

  #watch() {
    const due = performance.now() + LOOK
    setTimeout(() => {
      this.latest = Math.max(this.latest, performance.now() - due)
      if (this.sides > 0) this.#watch()
    }, LOOK)
  }
}

module.exports = { Clock }
