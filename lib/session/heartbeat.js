'use strict'

// The engine runs the heartbeats. The application takes a session's heartbeat over when it replaces or calls
// `schedulePing` or `resetPingTimeout`, or reads the timers. From then on they are timers of Node's, as in the
// original.

const { clearTimeout, setTimeout } = require('timers')
const bridge = require('../native/bridge')
const { NO_HANDLE, ReasonText } = require('../native/contract')
const debug = require('debug')('engine:socket')
const { kListenToAll, kState } = require('../base/symbols')

/** The timers of a session whose heartbeat runs in JavaScript. */
class Timers {
  constructor() {
    /** The timer of the next ping; null if none is planned. */
    this.ping = null
    /** The timer after which the client counts as gone; null if nothing is expected of the client. */
    this.timeout = null
    /** Whether a packet has put `timeout` off since the last ping. */
    this.hasRefreshed = false
    /** Names of the timers that continue those of the engine. They are replaced when they would be started again. */
    this.begun = []
  }
}

/** Returns the timers of a session's heartbeat, and takes the heartbeat over from the engine if necessary. */
function timersOf(socket) {
  const state = socket[kState]
  if (state.timers !== undefined) return state.timers
  const timers = (state.timers = new Timers())
  if (state.handle === NO_HANDLE) return timers
  socket[kListenToAll]()
  const taken = bridge.getEngine().takeHeartbeat(state.handle)
  // before `onOpen` nothing has been planned
  if (taken === null || socket.readyState === 'opening') return timers
  const [left, isWaiting, isExtended] = taken
  timers.hasRefreshed = isExtended === 1
  if (isWaiting === 1) timers.timeout = expect(socket, left)
  if (socket.protocol === 4) timers.ping = plan(socket, left)
  // the timer has run out because the ping was sent
  if (isWaiting === 1) clearTimeout(timers.ping)
  timers.begun.push(timers.ping, timers.timeout)
  return timers
}

/** Starts the heartbeat of a new session that does not leave it to the engine. */
function begin(socket) {
  stop(timersOf(socket))
  if (socket.protocol === 3) socket.resetPingTimeout()
  else socket.schedulePing()
}

/** Writes the debug line of a ping that is sent, by this thread or by the engine. */
function debugPing(socket) {
  debug('writing ping packet - expecting pong within %sms', socket.server.opts.pingTimeout)
}

function plan(socket, ms) {
  return setTimeout(() => {
    debugPing(socket)
    timersOf(socket).hasRefreshed = false
    socket.sendPacket('ping')
    socket.resetPingTimeout()
  }, ms)
}

function expect(socket, ms) {
  return setTimeout(() => {
    if (socket.readyState !== 'closed') socket.onClose(ReasonText.PING_TIMEOUT)
  }, ms)
}

/** Plans a ping after `pingInterval`. */
function schedulePing(socket) {
  timersOf(socket).ping = plan(socket, socket.server.opts.pingInterval)
}

/** Plans the end of the session in case its client sends nothing until then. */
function resetPingTimeout(socket) {
  const timers = timersOf(socket)
  clearTimeout(timers.timeout)
  timers.timeout = expect(socket, timeToAnswer(socket))
}

function timeToAnswer({ protocol, server: { opts } }) {
  return protocol === 3 ? opts.pingInterval + opts.pingTimeout : opts.pingTimeout
}

/** Adjusts the timers to an incoming packet. */
function hear(socket, type) {
  const { timers } = socket[kState]
  if (socket.protocol === 3) {
    if (type === 'ping') renew(socket, timers, 'timeout')
  } else if (type === 'pong') {
    clearTimeout(timers.timeout)
    timers.timeout = null
    renew(socket, timers, 'ping')
  } else if (timers.timeout !== null && !timers.hasRefreshed) {
    debug('got packet while waiting for pong - refreshing ping timeout')
    renew(socket, timers, 'timeout')
    timers.hasRefreshed = true
  }
}

/** Restarts a timer, if there is one. */
function renew(socket, timers, name) {
  const timer = timers[name]
  if (timer === null || timer === undefined) return
  const at = timers.begun.indexOf(timer)
  if (at === -1) return timer.refresh()
  timers.begun[at] = undefined
  clearTimeout(timer)
  timers[name] = name === 'ping' ? plan(socket, socket.server.opts.pingInterval) : expect(socket, timeToAnswer(socket))
}

/** Gives the client its full time again, because the session has moved to another transport. */
function move(socket) {
  if (socket[kState].timers !== undefined) renew(socket, socket[kState].timers, 'timeout')
}

function stop({ ping, timeout }) {
  clearTimeout(ping)
  clearTimeout(timeout)
}

module.exports = { begin, debugPing, hear, move, resetPingTimeout, schedulePing, stop, timersOf }
