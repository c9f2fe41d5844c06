'use strict'

const debug = require('debug')('engine')

const FORBIDDEN = 4

/** Answers a request that failed a check. A middleware may have answered already. */
function abortRequest(res, code, messages, context) {
  if (res.headersSent) {
    debug('response headers already sent, skipping error response')
    if (!res.writableEnded) res.end()
    return
  }
  const message = (context && context.message) || messages[code]
  res.writeHead(code === FORBIDDEN ? 403 : 400, { 'Content-Type': 'application/json' })
  res.end(JSON.stringify({ code, message }))
}

/** Answers an upgrade request that failed a check, and ends the connection. */
function abortUpgrade(socket, code, messages, context) {
  socket.on('error', () => debug('ignoring error from closed connection'))
  if (socket.writable) {
    const message = String((context && context.message) || messages[code])
    socket.write(
      'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-type: text/html\r\n' +
        `Content-Length: ${Buffer.byteLength(message)}\r\n\r\n${message}`
    )
  }
  socket.destroy()
}

module.exports = { abortRequest, abortUpgrade }
