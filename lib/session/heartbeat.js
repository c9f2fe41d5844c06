'use strict'

// The engine sees to heartbeats. The application takes a session's heartbeat over when it replaces or calls `schedulePing` or
// `resetPingTimeout`, or looks at the timers: from then on they are timers of Node's, as in the original.

const { clearTimeout, setTimeout } = require('timers')
const bridge = require('../native/bridge')
const debug = require('debug')('engine:socket')
const { kListenToAll, kState } = require('../base/symbols')

/** The timers of a session, which has taken its heartbeat over. */
class Timers {
  constructor() {
    /** Until the next ping; null: none has been planned. */
    this.ping = null
    /** Until the client counts as gone; null: nothing is expected of it. */
    this.timeout = null
    /** Whether a packet has put `timeout` off since the last ping. */
    this.hasRefreshed = false
    /** Those of them that go on with what the engine had begun, and are replaced where they would begin again. */
    this.begun = []
  }
}

/** The timers of a session's heartbeat, which is taken over unless it has been before. */
function timersOf(socket) {
  const state = socket[kState]
  if (state.timers !== undefined) return state.timers
  const timers = (state.timers = new Timers())
  if (state.handle === 0) return timers
  socket[kListenToAll]()
  const taken = bridge.getEngine().takeHeartbeat(state.handle)
  // before `onOpen` nothing has been planned
  if (taken === null || socket.readyState === 'opening') return timers
  const [left, isWaiting, isExtended] = taken
  timers.hasRefreshed = isExtended === 1
  if (isWaiting === 1) timers.timeout = expect(socket, left)
  if (socket.protocol === 4) timers.ping = plan(socket, left)
  // it has run out: the ping was sent
  if (isWaiting === 1) clearTimeout(timers.ping)
  timers.begun.push(timers.ping, timers.timeout)
  return timers
}

/** Begins the heartbeat of a session that has just been opened and does not leave it to the engine. */
function begin(socket) {
  stop(timersOf(socket))
  if (socket.protocol === 3) socket.resetPingTimeout()
  else socket.schedulePing()
}

function plan(socket, ms) {
  return setTimeout(() => {
    debug('writing ping packet - expecting pong within %sms', socket.server.opts.pingTimeout)
    timersOf(socket).hasRefreshed = false
    socket.sendPacket('ping')
    socket.resetPingTimeout()
  }, ms)
}

function expect(socket, ms) {
  return setTimeout(() => {
    if (socket.readyState !== 'closed') socket.onClose('ping timeout')
  }, ms)
}

/** Has a ping sent when `pingInterval` is over. */
function schedulePing(socket) {
  timersOf(socket).ping = plan(socket, socket.server.opts.pingInterval)
}

/** Ends the session when its client has not been heard by then. */
function resetPingTimeout(socket) {
  const timers = timersOf(socket)
  clearTimeout(timers.timeout)
  timers.timeout = expect(socket, timeToAnswer(socket))
}

function timeToAnswer({ protocol, server: { opts } }) {
  return protocol === 3 ? opts.pingInterval + opts.pingTimeout : opts.pingTimeout
}

/** A packet has come in. */
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

/** Has a timer begin again, if there is one. */
function renew(socket, timers, name) {
  const timer = timers[name]
  if (timer === null || timer === undefined) return
  const at = timers.begun.indexOf(timer)
  if (at === -1) return timer.refresh()
  timers.begun[at] = undefined
  clearTimeout(timer)
  timers[name] = name === 'ping' ? plan(socket, socket.server.opts.pingInterval) : expect(socket, timeToAnswer(socket))
}

/** The session has moved to another transport: its client has its full time again. */
function move(socket) {
  if (socket[kState].timers !== undefined) renew(socket, socket[kState].timers, 'timeout')
}

function stop({ ping, timeout }) {
  clearTimeout(ping)
  clearTimeout(timeout)
}

module.exports = { begin, hear, move, resetPingTimeout, schedulePing, stop, timersOf }
