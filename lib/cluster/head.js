'use strict'

const { HeadField } = require('../native/contract')

/**
 * Returns the head of a request of Node's HTTP server as text, in the form in which the native listener passes heads:
 * see `HeadField` and lib/session/lazy-request.js.
 */
function headOf(req, sid) {
  const { socket } = req
  const fields = new Array(HeadField.HEADERS).fill('')
  fields[HeadField.SID] = sid
  fields[HeadField.IS_SPECIAL] = '1'
  fields[HeadField.REMOTE_ADDRESS] = socket.remoteAddress ?? ''
  fields[HeadField.REMOTE_PORT] = socket.remotePort ?? ''
  fields[HeadField.LOCAL_ADDRESS] = socket.localAddress ?? ''
  fields[HeadField.LOCAL_PORT] = socket.localPort ?? ''
  fields[HeadField.METHOD] = req.method
  fields[HeadField.TARGET] = req.url
  fields[HeadField.VERSION] = req.httpVersion
  return `${fields.join('\0')}\0${req.rawHeaders.join('\0')}\0`
}

module.exports = { headOf }
