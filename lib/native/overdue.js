'use strict'

// What has to wait until waiting data has been read.

const { setImmediate } = require('timers')
const { apart } = require('./context')
const { kTick } = require('../base/symbols')

/** Sessions whose client may have gone, see `tickLater`. */
let overdue = []

/**
 * Checks a session's deadline after waiting data has been read. A new connection takes one turn of the loop to be
 * accepted and another one to be read; before that no client counts as gone.
 */
function tickLater(session) {
  if (overdue.push(session) === 1) setImmediate(putOffOnce)
}

/** Calls back after waiting data has been read, as `tickLater` does. */
function whenRead(fn) {
  setImmediate(setImmediate, fn)
}

function putOffOnce() {
  const sessions = overdue
  overdue = []
  setImmediate(tickAll, sessions, 0)
}

function tickAll(sessions, next) {
  try {
    while (next < sessions.length) {
      const session = sessions[next++]
      apart(session[kTick], session)
    }
  } finally {
    // a listener threw
    if (next < sessions.length) setImmediate(tickAll, sessions, next)
  }
}

module.exports = { tickLater, whenRead }
