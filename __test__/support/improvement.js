'use strict'

const { test } = require('node:test')
const { upstream } = require('./engine')
const { SLOWDOWN } = require('./events')

/**
 * A test of something the package does better than the original on purpose.
 *
 * `row` names what is better. On the original the test is registered as skipped;
 * IMPROVEMENTS=run runs it there too, to see that it really fails.
 */
function improvement(row, name, fn) {
  const skip = upstream && process.env.IMPROVEMENTS !== 'run' ? `the original differs: ${row}` : false
  test(name, { skip, timeout: 30_000 * SLOWDOWN }, fn)
}

module.exports = { improvement }
