'use strict'

const { afterEach } = require('node:test')
const { eventually } = require('./events')
// first: what the test leaves behind is looked at before it is closed
const { accepted } = require('./ledger')

const open = []

/** Runs `dispose` after the current test, last opened first. */
function defer(dispose) {
  open.push(dispose)
}

afterEach(async () => {
  while (open.length > 0) {
    await open.pop()()
  }
  // every request has been answered, or its connection has ended
  await eventually(accepted, 0, 2000)
})

module.exports = { defer }
