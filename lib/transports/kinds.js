'use strict'

// Which transports the engine drives itself: the rest is JavaScript's (WebTransport, a foreign WebSocket engine).

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
