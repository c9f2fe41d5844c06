'use strict'

// Applications, subclasses and tools replace methods of sessions and transports. Most of ours look for a replacement
// when they are needed; what the engine does by itself (heartbeats, packets that nobody listens for) it leaves to
// JavaScript only from when a replacement has been noticed. They are plain methods, so that assignment, `defineProperty`
// and test runners' mocks all work: nothing tells of a replacement, it is looked for.

const { setTimeout } = require('timers')
const bridge = require('../native/bridge')
const { atRoot } = require('../native/context')
const { timersOf } = require('./heartbeat')
const { Transport } = require('../transports/transport')
const { isNative, isNativeWebSocket } = require('../transports/kinds')
const { Polling } = require('../transports/polling')
const { WebSocket } = require('../transports/websocket')
const { kCarriesPolls, kExpose, kHearsSending, kKeepContext, kListenToAll, kState } = require('../base/symbols')

const { onPacket: onTransportPacket } = Transport.prototype
const { send: sendByPolling } = Polling.prototype
const { send: sendByWebSocket } = WebSocket.prototype

/** The longest time between two looks at a session that nothing happens to, in ms. */
const MAX_PERIOD = 5000

/** The least time per session, in ms: looking at very many does not take more of the thread. */
const MIN_SHARE = 0.5

/** The methods of Socket, before anybody could replace them. */
let ours

/** To be called with Socket's prototype when that is complete. */
function keepOriginals({ onPacket, sendPacket, flush, onDrain, schedulePing, resetPingTimeout }) {
  ours = { onPacket, sendPacket, flush, onDrain, schedulePing, resetPingTimeout }
}

/** A session's transport, or what it will be made of: to look for replacements is no reason to make it. */
function transportOf(socket) {
  return socket[kState].transportless ? Polling.prototype : socket.transport
}

/** Whether somebody listens to all packets, who has come by another way than our `on`. */
function hearsPackets(socket) {
  const listeners = socket._events
  return listeners?.packet !== undefined || listeners?.heartbeat !== undefined
}

/** The same for a transport: its session may be among those who listen to packets there. */
function exposePackets(transport) {
  const listeners = transport._events?.packet
  if (listeners === undefined || !isNative(transport)) return
  const { listened, showsPackets } = transport[kState]
  if (!showsPackets && (!listened || Array.isArray(listeners))) transport[kExpose]('packet')
}

/** Whether the packets that come in are to be handed to an `onPacket` that is not ours. */
function seesPackets(socket) {
  const transport = transportOf(socket)
  return (
    socket.onPacket !== ours.onPacket ||
    transport.onPacket !== onTransportPacket ||
    isWatched(transport, 'showsPackets')
  )
}

/** Which heartbeats are to be sent from here: none, those to a client that polls by this thread, all. */
const NOTHING = 0
const POLLS = 1
const EVERYTHING = 2

function sendsDifferently({ send }) {
  return send !== sendByWebSocket && send !== sendByPolling
}

/** Whether somebody listens to the packets of one of the engine's own transports, or to all that comes and goes. */
function isWatched(transport, what) {
  return transport[kState] !== undefined && transport[kState][what] && isNative(transport)
}

/** Whether the packets that go out pass something that is not ours, or somebody may hear of them. */
function seesSending(socket) {
  return (
    socket[kHearsSending]() ||
    sendsDifferently(transportOf(socket)) ||
    isWatched(transportOf(socket), 'watched') ||
    (socket[kState].probe !== null && sendsDifferently(socket[kState].probe)) ||
    socket.sendPacket !== ours.sendPacket ||
    socket.flush !== ours.flush ||
    socket.onDrain !== ours.onDrain
  )
}

/** Whether the session's pings are planned, or waited for, in another way than ours. */
function seesHeartbeat(socket) {
  return socket.schedulePing !== ours.schedulePing || socket.resetPingTimeout !== ours.resetPingTimeout
}

/** Looks at what is replaced, and has the engine leave to JavaScript what that concerns. */
function notice(socket) {
  if (socket.readyState === 'closed') return
  exposePackets(transportOf(socket))
  if (!socket[kState].verbose && (seesPackets(socket) || hearsPackets(socket))) socket[kListenToAll]()
  if (socket[kState].timers === undefined && seesHeartbeat(socket)) timersOf(socket)
  const relayed = seesSending(socket) ? EVERYTHING : socket[kCarriesPolls]() ? POLLS : NOTHING
  if (relayed === socket[kState].relayed) return
  socket[kState].relayed = relayed
  // what is being written is told to methods that are not ours, too
  const replaces = socket.flush !== ours.flush || socket.onDrain !== ours.onDrain
  if (replaces && isNativeWebSocket(socket.transport) && !socket.transport.writable) socket.transport[kKeepContext]()
  bridge.getEngine().setRelayed(socket[kState].handle, relayed)
}

/** From now on looks at the sessions of a server several times between two pings, while it has any. */
function watch(server) {
  if (server[kState].watching) return
  server[kState].watching = true
  const period = Math.max(5, Math.min(server.opts.pingInterval / 4 || 0, MAX_PERIOD), MIN_SHARE * server.clientsCount)
  atRoot(setTimeout, look, period, server).unref()
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
