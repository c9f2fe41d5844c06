'use strict'

// What the handles of the engine name.

const { INDEX_MASK } = require('./contract')
const { kState } = require('../base/symbols')

/** Sessions, connections and listeners by the indices of their handles. */
const sessions = []
const connections = []
const listeners = []

/** The session that a handle names. */
function sessionOf(handle) {
  const session = sessions[handle & INDEX_MASK]
  return session !== undefined && session[kState].handle === handle ? session : undefined
}

/** The connection that a handle names. */
function connectionOf(handle) {
  const connection = connections[handle & INDEX_MASK]
  return connection !== undefined && connection[kState].handle === handle ? connection : undefined
}

function listenerOf(handle) {
  const listener = listeners[handle & INDEX_MASK]
  return listener !== undefined && listener[kState].handle === handle ? listener : undefined
}

module.exports = { connectionOf, connections, listenerOf, listeners, sessionOf, sessions }
