'use strict'

// Which sessions may change their server before the application hears of them: those of which it cannot tell. See the
// claim in docs/FAST-PATHS.md.

const { IncomingMessage } = require('http')
const { Socket: NetSocket } = require('net')
const { Polling } = require('../transports/polling')
const { Transport } = require('../transports/transport')
const { Socket } = require('../session/socket')
const { CompactEmitter } = require('../base/emitter')
const { kHasWaiting, kHearsFlushes, kState } = require('../base/symbols')

/**
 * The least `pingTimeout` in ms. The heartbeat begins anew with the new owner, so that the first ping may be late by as
 * long as the move takes: 5 s, and a little.
 */
const MIN_PING_TIMEOUT = 10_000

/** Names that every request has. */
const REQUEST = new Set([
  ...Object.keys(new IncomingMessage(/** @type {any} */ (null))),
  '_eventsCount',
  '_query',
  'res',
  'cleanup',
])

/** Methods as they are before an application can replace them, by the objects that have them. */
const ours = new Map()

function keepMethods(prototype, ...classes) {
  const methods = classes.flatMap(({ prototype: one }) =>
    Object.entries(Object.getOwnPropertyDescriptors(one)).filter(([name, { value }]) => {
      return name !== 'constructor' && typeof value === 'function'
    }),
  )
  const all = methods.map(([name]) => [name, prototype[name]])
  ours.set(prototype, all)
}

keepMethods(Socket.prototype, CompactEmitter, Socket)
keepMethods(Polling.prototype, Transport, Polling)

/** Keeps the methods of a class of servers and its base. */
function keepServer(Server, Base) {
  keepMethods(Server.prototype, Base, Server)
}

/** Returns whether an object has the methods that its class had. */
function isUnchanged(object, prototype) {
  return Object.getPrototypeOf(object) === prototype && ours.get(prototype).every(([name, of]) => object[name] === of)
}

/** Returns whether a server lets go of sessions and takes them over: nothing but `connection` tells of them. */
function isOpenToMoves(server, prototype) {
  const { opts, middlewares } = server
  const { attachedTo, isAttachedAgain, cors, drain, limits } = server[kState]
  return (
    isUnchanged(server, prototype) &&
    !server[kHearsFlushes]() &&
    server.listenerCount('initial_headers') === 0 &&
    server.listenerCount('headers') === 0 &&
    middlewares.every((middleware) => middleware === cors) &&
    typeof opts.cors !== 'function' &&
    !opts.allowRequest &&
    limits === undefined &&
    drain === undefined &&
    Number(opts.pingTimeout) >= MIN_PING_TIMEOUT &&
    attachedTo !== undefined &&
    !isAttachedAgain &&
    attachedTo.listenerCount('request') === 1 &&
    // Node's own
    attachedTo.listenerCount('connection') === 1
  )
}

/** Returns whether a session is no more than the request that has opened it, and nothing waits for its client. */
function isPlain(session) {
  const { transport, request: req } = session
  return (
    session.protocol === 4 &&
    session.readyState === 'open' &&
    !session[kHasWaiting]() &&
    isUnchanged(session, Socket.prototype) &&
    isUnchanged(transport, Polling.prototype) &&
    !transport[kState].listened &&
    transport[kState].unwritten === 0 &&
    Object.getPrototypeOf(req) === IncomingMessage.prototype &&
    Object.getPrototypeOf(req.socket) === NetSocket.prototype &&
    Object.keys(req).every((name) => REQUEST.has(name))
  )
}

module.exports = { isOpenToMoves, isPlain, keepServer }
