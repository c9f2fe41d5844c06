'use strict'

const net = require('net')
const { HeadField } = require('../native/contract')

/** The fields of a head that nothing is known of. */
const FIELDS = new Array(HeadField.HEADERS).fill('')
FIELDS[HeadField.IS_SPECIAL] = '1'

/**
 * Returns the head of a request of Node's HTTP server as text, in the form in which the native listener passes heads:
 * see `HeadField` and lib/session/lazy-request.js. The session's id is in the target only, where it is encoded: one that
 * the application has made may have any characters, also those between fields.
 */
function headOf(req) {
  const { socket } = req
  const fields = FIELDS.slice()
  fields[HeadField.REMOTE_ADDRESS] = socket.remoteAddress ?? ''
  fields[HeadField.REMOTE_PORT] = socket.remotePort ?? ''
  fields[HeadField.LOCAL_ADDRESS] = socket.localAddress ?? ''
  fields[HeadField.LOCAL_PORT] = socket.localPort ?? ''
  fields[HeadField.METHOD] = req.method
  fields[HeadField.TARGET] = req.url
  fields[HeadField.VERSION] = req.httpVersion
  return `${fields.join('\0')}\0${req.rawHeaders.join('\0')}\0`
}

/**
 * Gives a socket the client's address, if its own is that of something in between.
 *
 * @param {import('stream').Duplex & {remoteAddress?: string}} socket
 * @param {string[]} fields those of the request's head
 */
function showClient(socket, fields) {
  const address = fields[HeadField.REMOTE_ADDRESS]
  if (address === '' || address === socket.remoteAddress) return
  const shown = {
    remoteAddress: address,
    remotePort: Number(fields[HeadField.REMOTE_PORT]),
    remoteFamily: net.isIPv6(address) ? 'IPv6' : 'IPv4',
  }
  for (const name of Object.keys(shown)) {
    Object.defineProperty(socket, name, { __proto__: null, value: shown[name], enumerable: true, configurable: true })
  }
}

module.exports = { headOf, showClient }
