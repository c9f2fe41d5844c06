'use strict'

// Tells which transports the engine drives itself. JavaScript drives the others: WebTransport, and WebSockets of a `wsEngine`.

const { Polling } = require('./polling')
const { WebSocket } = require('./websocket')
const { kIsNative } = require('../base/symbols')

function isNativeWebSocket(transport) {
  return transport instanceof WebSocket && transport[kIsNative]()
}

function isNative(transport) {
  return transport instanceof Polling || isNativeWebSocket(transport)
}

module.exports = { isNative, isNativeWebSocket }
