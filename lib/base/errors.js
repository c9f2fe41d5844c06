'use strict'

const debug = require('debug')('engine')
const { kRefuse } = require('./symbols')

/** The codes of `connection_error` and of error responses. */
const ERRORS = {
  UNKNOWN_TRANSPORT: 0,
  UNKNOWN_SID: 1,
  BAD_HANDSHAKE_METHOD: 2,
  BAD_REQUEST: 3,
  FORBIDDEN: 4,
  UNSUPPORTED_PROTOCOL_VERSION: 5,
}

/** The text of each code. */
const ERROR_MESSAGES = {
  0: 'Transport unknown',
  1: 'Session ID unknown',
  2: 'Bad handshake method',
  3: 'Bad request',
  4: 'Forbidden',
  5: 'Unsupported protocol version',
}

/** Answers a request that failed a check. A middleware may have answered already. */
function abortRequest(res, code, messages, context) {
  if (res.headersSent) {
    debug('response headers already sent, skipping error response')
    if (!res.writableEnded) res.end()
    return
  }
  const message = (context && context.message) || messages[code]
  res.writeHead(code === ERRORS.FORBIDDEN ? 403 : 400, { 'Content-Type': 'application/json' })
  res.end(JSON.stringify({ code, message }))
}

/** Answers an upgrade request that failed a check, and ends the connection. */
function abortUpgrade(socket, code, messages, context) {
  socket.on('error', () => debug('ignoring error from closed connection'))
  if (socket.writable) socket.write(upgradeRefusal(code, messages, context))
  socket.destroy()
}

/**
 * Refuses a handshake after the protocol has been switched. The client gets the response that it would have got before. It is not
 * a WebSocket frame, so that all clients report an error at once.
 */
function abortWebSocket(websocket, socket, code, messages, context) {
  if (typeof websocket[kRefuse] === 'function') websocket[kRefuse](upgradeRefusal(code, messages, context))
  else abortUpgrade(socket, code, messages, context)
}

function upgradeRefusal(code, messages, context) {
  const message = String((context && context.message) || messages[code])
  return (
    'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-type: text/html\r\n' +
    `Content-Length: ${Buffer.byteLength(message)}\r\n\r\n${message}`
  )
}

module.exports = { ERRORS, ERROR_MESSAGES, abortRequest, abortUpgrade, abortWebSocket }
