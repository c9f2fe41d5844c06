'use strict'

// The option `proxyProtocol` behind Node's HTTP servers, see docs/OPERATIONS.md: the connections of proxies begin with a
// header that tells the client's address (src/http/proxy_header.rs). The native listener reads it by itself.

const { isIPv6 } = require('net')
const debug = require('debug')('engine:proxy')
const bridge = require('../native/bridge')
const { PROXY_HEADER_TIMEOUT } = require('../native/contract')
const { streamBelow } = require('../native/node-internals')
const { proxiesOf, within } = require('../base/trust-proxy')

/** The servers that read the header. */
const readers = new WeakSet()

/** The methods of servers that have connections end whose header has not come. A server of HTTP/2 lacks the second. */
const ENDINGS = ['close', 'closeAllConnections']

/** What was told about connections, by their streams. */
const told = new WeakMap()

/**
 * Returns the proxies whose connections begin with a header: true for all, or ranges; undefined for none.
 *
 * @param {import('http').Server} server
 * @param {boolean | string | string[]} proxyProtocol
 * @throws {TypeError} for an invalid option
 * @throws {Error} if the server reads the header already
 */
function proxiesBefore(server, proxyProtocol) {
  const proxies = proxiesOf(proxyProtocol)
  if (proxies !== undefined && readers.has(server)) {
    throw new Error('proxyProtocol is set for this HTTP server already: its connections have one header only')
  }
  return proxies
}

/**
 * Has an HTTP server read the header from each connection that comes from one of these proxies, before anything else sees
 * the connection. Its socket has the client's `remoteAddress`, `remotePort` and `remoteFamily` then. A connection without
 * a valid header is cut off.
 *
 * @param {import('http').Server} server
 * @param {true | string[]} proxies see `proxiesBefore`
 * @param {() => void} onInvalid called for each invalid header
 */
function readProxyHeaders(server, proxies, onInvalid) {
  readers.add(server)
  const has = proxies === true ? () => true : within(proxies)
  /** The connections whose header has not come. */
  const waiting = new Set()
  const { emit } = server
  // listeners that are added later must not see the header either
  server.emit = function (event, stream, ...args) {
    if (event === 'secureConnection') tell(stream, told.get(streamBelow(stream)))
    if (event !== 'connection' || told.has(stream) || !has(stream.remoteAddress)) {
      return emit.call(this, event, stream, ...args)
    }
    readHeader(stream, waiting, onInvalid, (client) => {
      told.set(stream, client)
      tell(stream, client)
      emit.call(this, event, stream, ...args)
    })
    return true
  }
  for (const name of ENDINGS) {
    const end = server[name]
    if (end === undefined) continue
    server[name] = function (...args) {
      for (const stream of waiting) stream.destroy()
      return end.apply(this, args)
    }
  }
}

/** Gives a stream the address of its client, if that was told. */
function tell(stream, client) {
  if (client?.address === undefined) return
  const { address, port } = client
  const family = isIPv6(address) ? 'IPv6' : 'IPv4'
  for (const [name, value] of [
    ['remoteAddress', address],
    ['remotePort', port],
    ['remoteFamily', family],
  ]) {
    Object.defineProperty(stream, name, { __proto__: null, value, configurable: true, enumerable: true })
  }
}

/** Reads the header from a stream and calls back with what it tells, or cuts the stream off. It is `waiting` until then. */
function readHeader(stream, waiting, onInvalid, callback) {
  let bytes = Buffer.alloc(0)
  waiting.add(stream)
  const stop = () => {
    waiting.delete(stream)
    clearTimeout(timer)
    stream.removeListener('readable', onReadable)
    stream.removeListener('end', cutOff)
    stream.removeListener('error', cutOff)
    stream.removeListener('close', stop)
  }
  const cutOff = () => {
    waiting.delete(stream)
    stream.destroy()
  }
  const refuse = (why) => {
    debug('cutting off %s: %s', stream.remoteAddress, why)
    onInvalid()
    cutOff()
  }
  const timer = setTimeout(refuse, PROXY_HEADER_TIMEOUT, `no header within ${PROXY_HEADER_TIMEOUT} ms`)
  const onReadable = () => {
    for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) bytes = Buffer.concat([bytes, chunk])
    if (bytes.length === 0) return
    let header
    try {
      header = bridge.getEngine().readProxyHeader(bytes)
    } catch (error) {
      return refuse(error.message)
    }
    if (!header) return
    stop()
    if (bytes.length > header.length) stream.unshift(bytes.subarray(header.length))
    callback(header)
  }
  stream.on('readable', onReadable)
  stream.on('end', cutOff)
  stream.on('error', cutOff)
  stream.on('close', stop)
}

module.exports = { proxiesBefore, readProxyHeaders }
