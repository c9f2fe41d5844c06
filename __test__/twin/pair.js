'use strict'

// A program on both engines at once, and what tells them apart.

const { classOf, compare } = require('./compare')
const { Clock } = require('./clock')
const { unexplained } = require('./exceptions')
const { domainOf } = require('./domains')

/** How long nothing must have happened before a step counts as over, and how long it waits for what it awaits; in ms. */
const PACES = {
  fast: { quiet: 12, bound: 150 },
  slow: { quiet: 40, bound: 500 },
}

/** How often a program is run that came late. */
const MOST_TRIES = 8

/** The two sides: `{ left: [name, engine], right: [name, engine] }`. */
class Pair {
  constructor(left, right) {
    Object.assign(this, { left, right })
  }

  /**
   * A program about timers is run again if the process was kept from its work meanwhile.
   *
   * @returns `{ differences, left, right }`
   */
  async try(program, pace = PACES.fast, used) {
    for (let tries = 1; ; tries++) {
      const clock = new Clock(program)
      const [left, right] = await Promise.all(
        [this.left, this.right].map(([side, Engine]) => this.#run({ Engine, side, program, pace, clock })),
      )
      const needed = new Map()
      const differences = unexplained(compare(left, right, program), { program, left, right }, needed)
      if (differences.length > 0 && clock.isLate() && tries < MOST_TRIES) continue
      for (const [key, count] of needed) used?.set(key, (used.get(key) ?? 0) + count)
      return { differences, left, right }
    }
  }

  #run(how) {
    const { World } = domainOf(how.program.mode)
    return new World(how).run()
  }

  /** A difference counts if one of its class is there each time. @returns the classes, or undefined */
  async confirm(program, times = 3, pace = PACES.slow) {
    let classes
    for (let i = 0; i < times; i++) {
      const now = new Set((await this.try(program, pace)).differences.map(classOf))
      classes = classes === undefined ? now : new Set([...classes].filter((one) => now.has(one)))
      if (classes.size === 0) return undefined
    }
    return [...classes]
  }

  /** Whether the program has a difference of this class. */
  async shows(program, wanted) {
    for (let i = 0; i < 2; i++) {
      const { differences } = await this.try(program, PACES.fast)
      if (!differences.some((difference) => classOf(difference) === wanted)) return false
    }
    return true
  }
}

module.exports = { Pair, PACES }
