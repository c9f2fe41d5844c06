'use strict'

// The options of a WebSocket server, which are those of `ws`. `engine.ws.options` may be changed at any time, which
// takes effect for later connections. Connections with options that the engine does not support are left to `ws`, whose
// code is loaded then.

const { CLOSE_TIMEOUT, MAX_FRAGMENTS, MAX_WAITING_PONGS } = require('./contract')

/** The defaults of `ws` that decide how a connection works, as the engine has them, too. */
const SERVED = {
  allowSynchronousEvents: true,
  autoPong: true,
  closeTimeout: CLOSE_TIMEOUT,
  maxFragments: MAX_FRAGMENTS,
  maxPendingAutoPongs: MAX_WAITING_PONGS,
  skipUTF8Validation: false,
}

/** Its other defaults. */
const OTHERS = {
  maxBufferedChunks: 256 * 1024,
  maxPayload: 100 * 1024 * 1024,
  perMessageDeflate: false,
  handleProtocols: null,
  clientTracking: true,
  verifyClient: null,
  noServer: false,
  backlog: null,
  server: null,
  host: null,
  path: null,
  port: null,
}

/** @returns {any} the class, whose private methods are used */
function theirs() {
  return require('ws').WebSocketServer
}

/** Returns all options that `ws` would have, given some. */
function completed(options) {
  /** @type {any} */
  const all = { ...SERVED, ...OTHERS }
  // the class is loaded when it is first read
  Object.defineProperty(all, 'WebSocket', {
    __proto__: null,
    configurable: true,
    enumerable: true,
    get: () => require('ws').WebSocket,
    set(value) {
      Object.defineProperty(all, 'WebSocket', { __proto__: null, value, writable: true })
    },
  })
  Object.assign(all, options)
  if (all.perMessageDeflate === true) all.perMessageDeflate = {}
  return all
}

/** Returns whether the engine can serve connections with these options. */
function isServed(options) {
  for (const name in SERVED) if (options[name] !== SERVED[name]) return false
  const descriptor = Object.getOwnPropertyDescriptor(options, 'WebSocket')
  return descriptor === undefined || descriptor.get !== undefined || descriptor.value === require('ws').WebSocket
}

module.exports = { completed, isServed, theirs }
