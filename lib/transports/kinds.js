'use strict'

// What a transport is asked that may be of any kind: one of the engine's, one of JavaScript's (WebTransport, a foreign
// WebSocket engine), or an object of the application's that behaves like a transport.

const { kConnection, kIsNative, kIsPolled } = require('../base/symbols')

/** The connection of the engine that a transport speaks by; undefined if it has none. */
function connectionOf(transport) {
  return transport?.[kConnection]?.()
}

/** Returns whether the engine drives a transport. */
function isNative(transport) {
  return transport?.[kIsNative]?.() === true
}

/** Returns whether a transport is driven by the engine and carried by requests of its client's. */
function isPolled(transport) {
  return transport?.[kIsPolled]?.() === true
}

module.exports = { connectionOf, isNative, isPolled }
