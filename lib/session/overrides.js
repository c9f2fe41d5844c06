'use strict'

// Applications, subclasses and tools replace methods of sessions and transports. Most calls find a replacement by
// themselves. What the engine does without JavaScript (heartbeats, packets without listeners) is left to JavaScript
// only once a replacement has been noticed. The methods are plain ones, so that assignment, `defineProperty` and mocks
// of test runners all work. A replacement causes no event, so that this module looks for replacements at certain
// moments.

const { EventEmitter } = require('events')
const { setTimeout } = require('timers')
const bridge = require('../native/bridge')
const { atRoot } = require('../native/context')
const { Relayed } = require('../native/contract')
const { timersOf } = require('./heartbeat')
const { Transport } = require('../transports/transport')
const { driverOf, isWatched, showsPackets } = require('../transports/driver')
const { Polling } = require('../transports/polling')
const { WebSocket } = require('../transports/websocket')
const { kCarriesPolls, kHasWaiting, kHearsSending, kListenToAll, kState } = require('../base/symbols')

const { emit } = EventEmitter.prototype
const { onPacket: onTransportPacket } = Transport.prototype
const { send: sendByPolling } = Polling.prototype
const { send: sendByWebSocket } = WebSocket.prototype

/** The longest time in ms between two looks at an idle session. */
const MAX_PAUSE = 5000

/** The shortest time in ms per session, which bounds the thread's time for very many sessions. */
const MIN_SHARE = 0.5

/** The methods of Socket, taken before an application can replace them. */
let ours

/** Keeps the methods of Socket. Has to be called with its prototype when that is complete. */
function keepOriginals({ onPacket, sendPacket, flush, onDrain, schedulePing, resetPingTimeout }) {
  ours = { onPacket, sendPacket, flush, onDrain, schedulePing, resetPingTimeout }
}

/** Returns a session's transport, or the prototype of one that has not been made, so that looking does not make it. */
function transportOf(socket) {
  return socket[kState].transportless ? Polling.prototype : socket.transport
}

/**
 * Returns whether a session's packets may have listeners, also those that were added without its `on`, or hear a
 * replaced `emit`.
 */
function hearsPackets(socket) {
  const listeners = socket._events
  return listeners?.packet !== undefined || listeners?.heartbeat !== undefined || socket.emit !== emit
}

/** Returns whether incoming packets have to be passed to a replaced `onPacket`. */
function seesPackets(socket) {
  const transport = transportOf(socket)
  return socket.onPacket !== ours.onPacket || transport.onPacket !== onTransportPacket || showsPackets(transport)
}

function sendsDifferently({ send }) {
  return send !== sendByWebSocket && send !== sendByPolling
}

/**
 * Returns whether packets wait that nothing sends, because the application has put them into the buffer by itself: the
 * next heartbeat takes them along.
 */
function holdsPackets(socket) {
  return transportOf(socket).writable && socket[kHasWaiting]()
}

/** Returns whether outgoing packets pass a replaced method, may have listeners, or take others along. */
function seesSending(socket) {
  return (
    socket[kHearsSending]() ||
    holdsPackets(socket) ||
    sendsDifferently(transportOf(socket)) ||
    isWatched(transportOf(socket)) ||
    (socket[kState].probe !== null && sendsDifferently(socket[kState].probe)) ||
    socket.sendPacket !== ours.sendPacket ||
    socket.flush !== ours.flush ||
    socket.onDrain !== ours.onDrain
  )
}

/** Returns whether a method that plans pings or waits for pongs was replaced. */
function seesHeartbeat(socket) {
  return socket.schedulePing !== ours.schedulePing || socket.resetPingTimeout !== ours.resetPingTimeout
}

/** Looks for replacements, and has the engine leave to JavaScript what they concern. */
function notice(socket) {
  if (socket.readyState === 'closed') return
  const transport = transportOf(socket)
  driverOf(transport).noticeListeners(transport)
  if (!socket[kState].verbose && (seesPackets(socket) || hearsPackets(socket))) socket[kListenToAll]()
  if (socket[kState].timers === undefined && seesHeartbeat(socket)) timersOf(socket)
  const relayed = seesSending(socket) ? Relayed.EVERYTHING : socket[kCarriesPolls]() ? Relayed.POLLS : Relayed.NOTHING
  if (relayed === socket[kState].relayed) return
  socket[kState].relayed = relayed
  bridge.getEngine().setRelayed(socket[kState].handle, relayed)
}

/** Looks at the sessions of a server several times between two pings, as long as it has any. */
function watch(server) {
  if (server[kState].watching) return
  server[kState].watching = true
  const pause = Math.max(5, Math.min(server.opts.pingInterval / 4 || 0, MAX_PAUSE), MIN_SHARE * server.clientsCount)
  atRoot(setTimeout, look, pause, server).unref()
}

function look(server) {
  server[kState].watching = false
  let any = false
  for (const socket of bridge.sessions) {
    if (socket === undefined || socket.server !== server) continue
    any = true
    notice(socket)
  }
  if (any) watch(server)
}

module.exports = { keepOriginals, notice, seesHeartbeat, seesPackets, watch }
