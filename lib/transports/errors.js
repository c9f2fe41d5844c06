'use strict'

const { STATUS_CODES } = require('http')
const debug = require('debug')('engine')
const contract = require('../native/contract')
const { kDropHeaders, kIsShared, kRefuse } = require('../base/symbols')

/** The codes of `connection_error` and of error responses, and what each says. Applications may change them. */
const ERRORS = { ...contract.ErrorCode }
const ERROR_MESSAGES = { ...contract.ERROR_MESSAGES }

/** Answers a request that failed a check. A middleware may have answered already. */
function abortRequest(res, code, messages, context) {
  if (res.headersSent) {
    debug('response headers already sent, skipping error response')
    if (!res.writableEnded) res.end()
    return
  }
  const message = (context && context.message) || messages[code]
  if (isTemporary(context)) {
    // the client's next request may go to another process if it needs another connection
    const headers = { 'Content-Type': contract.ERROR_TYPE, 'Retry-After': context.retryAfter, Connection: 'close' }
    res.writeHead(503, headers)
  } else {
    res.writeHead(code === contract.ErrorCode.FORBIDDEN ? 403 : 400, { 'Content-Type': contract.ERROR_TYPE })
  }
  res.end(JSON.stringify({ code, message }))
}

/** The headers of a body, which an answer without one must not have. */
const BODY_HEADERS = ['Content-Type', 'Content-Length', 'Content-Encoding', 'Transfer-Encoding']

/** Answers 500 to a request whose answer could not be made. Some of its headers may be in the response already. */
function failRequest(res) {
  if (res.headersSent) return
  if (typeof res[kDropHeaders] === 'function') res[kDropHeaders]()
  else for (const name of BODY_HEADERS) res.removeHeader(name)
  res.writeHead(500, STATUS_CODES[500]).end()
}

/** Refuses a request after its session has heard why, even if a listener throws. */
function refuseAfter(res, tell, status = 400) {
  try {
    tell()
  } finally {
    res.writeHead(status).end()
  }
}

/** Answers an upgrade request that failed a check, and ends the connection. */
function abortUpgrade(socket, code, messages, context) {
  socket.on('error', () => debug('ignoring error from closed connection'))
  if (socket.writable) socket.write(upgradeRefusal(code, messages, context))
  // another process may have the connection as well, so that closing it here would not end it
  if (socket[kIsShared]) socket.destroySoon()
  else socket.destroy()
}

/**
 * Refuses a handshake after the protocol has been switched. The client gets the response that it would have got before.
 * It is not a WebSocket frame, so that all clients report an error at once.
 */
function abortWebSocket(websocket, socket, code, messages, context) {
  if (typeof websocket[kRefuse] === 'function') websocket[kRefuse](upgradeRefusal(code, messages, context))
  else abortUpgrade(socket, code, messages, context)
}

function upgradeRefusal(code, messages, context) {
  const message = String((context && context.message) || messages[code])
  const status = isTemporary(context)
    ? `503 Service Unavailable\r\nRetry-After: ${context.retryAfter}`
    : '400 Bad Request'
  return (
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-type: ${contract.UPGRADE_REFUSAL_TYPE}\r\n` +
    `Content-Length: ${Buffer.byteLength(message)}\r\n\r\n${message}`
  )
}

/** The refusals that do not last: of a server that drains (lib/server/drain.js), and lib/cluster/nodes.js. */
const TEMPORARY = ['DRAINING', 'OWNER_UNAVAILABLE']

function isTemporary(context) {
  return Boolean(context) && TEMPORARY.includes(context.name) && typeof context.retryAfter === 'number'
}

module.exports = { ERRORS, ERROR_MESSAGES, abortRequest, abortUpgrade, abortWebSocket, failRequest, refuseAfter }
