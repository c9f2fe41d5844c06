'use strict'

// The ledger of the package: requests that it has accepted and not answered, and calls with handles that it had given back.
// Looked at after every test. The original keeps none.

const assert = require('node:assert/strict')
const { afterEach } = require('node:test')
const { upstream } = require('./engine')
const { eventually } = require('./events')

const lib = upstream ? undefined : load()

function load() {
  const { staleCalls } = require('../../lib/native/bridge')
  const { polls, posts } = require('../../lib/native/duties')
  const { kState } = require('../../lib/base/symbols')
  return { staleCalls, kState, waiting: () => [...polls.all(), ...posts.all()] }
}

/** How many requests are in progress. */
function accepted() {
  return upstream ? 0 : lib.waiting().length
}

/** How many of them nobody would ever answer: their session is over, or has moved. */
function forgotten() {
  if (upstream) return 0
  return lib.waiting().filter((transport) => {
    const session = transport[lib.kState].session
    // without a session, somebody else answers
    return session !== null && (session.readyState === 'closed' || session.transport !== transport)
  }).length
}

let forgiven = 0

/** The calls with old handles until now were made on purpose. */
function forgiveStaleCalls() {
  forgiven = lib.staleCalls()
}

afterEach(async () => {
  if (upstream) return
  await eventually(forgotten, 0, 2000)
  assert.equal(lib.staleCalls(), forgiven, 'JavaScript has used a handle that it had given back')
})

module.exports = { accepted, forgotten, forgiveStaleCalls }
