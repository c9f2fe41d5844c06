'use strict'

// The options `maxBackpressure` (bytes, off by default) and `backpressurePolicy`: how much may wait for a client that
// reads slowly or not at all, and what happens to more.

const debug = require('debug')('engine:socket')
const { shown } = require('./shown')
const { kFail, kHasWaiting, kReleasePost, kState, kThrottle, kUnwritten } = require('./symbols')

/** What happens to a packet that would exceed `maxBackpressure`. */
const POLICIES = ['close', 'drop-volatile', 'wait']

/** The sizes of the packets of each `writeBuffer` that have been counted; an entry does not outlive its array. */
const counts = new WeakMap()

/** The options of volatile packets that were dropped. */
const dropped = new WeakSet()

/**
 * @throws {TypeError} for an unknown policy, or a `maxBackpressure` that is not a number of bytes
 */
function validateBackpressure({ maxBackpressure, backpressurePolicy }) {
  if (backpressurePolicy !== undefined && !POLICIES.includes(backpressurePolicy)) {
    throw new TypeError(`backpressurePolicy must be one of ${POLICIES.join(', ')}, got ${shown(backpressurePolicy)}`)
  }
  if (maxBackpressure !== undefined && (typeof maxBackpressure !== 'number' || !(maxBackpressure >= 0))) {
    throw new TypeError(`maxBackpressure must be a number of bytes, got ${shown(maxBackpressure)}`)
  }
}

/** Returns the number of bytes on their way to a session's client: in `writeBuffer` and in its transport. */
function bufferedAmount(socket) {
  return bytesWaiting(socket) + bytesInTransport(socket.transport)
}

/** Returns the number of bytes in `writeBuffer`. Packets that were counted before are not counted again. */
function bytesWaiting(socket) {
  if (!socket[kHasWaiting]()) return 0
  const { writeBuffer } = socket
  let count = counts.get(writeBuffer)
  if (count === undefined || count.sizes.length > writeBuffer.length) {
    count = { sizes: [], bytes: 0 }
    counts.set(writeBuffer, count)
  }
  const { sizes } = count
  while (sizes.length < writeBuffer.length) {
    const size = sizeOf(writeBuffer[sizes.length].data)
    sizes.push(size)
    count.bytes += size
  }
  return count.bytes
}

/** Takes a packet out of a `writeBuffer`. */
function takeOut(writeBuffer, index) {
  const [packet] = writeBuffer.splice(index, 1)
  const count = counts.get(writeBuffer)
  if (count !== undefined && index < count.sizes.length) {
    // as it was counted: the application may have changed it since
    const [size] = count.sizes.splice(index, 1)
    count.bytes -= size
  }
  return packet
}

/** Puts a packet back to where it was. What is counted is counted anew. */
function putBack(writeBuffer, index, packet) {
  writeBuffer.splice(index, 0, packet)
  counts.delete(writeBuffer)
}

function bytesInTransport(transport) {
  const { socket } = transport
  if (socket && typeof socket[kUnwritten] === 'function') return socket[kUnwritten]()
  const amount = socket ? socket.bufferedAmount : transport.bufferedAmount
  return amount > 0 ? amount : 0
}

function sizeOf(data) {
  if (data === undefined || data === null) return 0
  if (typeof data === 'string') return Buffer.byteLength(data)
  return data.byteLength === undefined ? String(data).length : data.byteLength
}

/** Returns whether a packet must not be queued because it would exceed the session's `maxBackpressure`. */
function overflows(socket, packet) {
  const { maxBackpressure, backpressurePolicy } = socket.server.opts
  if (packet.type !== 'message') return false
  const size = sizeOf(packet.data)
  if (bufferedAmount(socket) + size <= maxBackpressure) return false
  if (backpressurePolicy === 'wait') {
    stopReading(socket)
    return false
  }
  if (backpressurePolicy === 'drop-volatile' && packet.options.volatile) {
    socket.server[kState].counts.drops++
    dropped.add(packet.options)
    debug('dropping a volatile packet: %d bytes wait for the client', bufferedAmount(socket))
    return true
  }
  socket.server[kState].counts.overflows++
  const { transport } = socket
  // nothing is waited for that is being written, or its failure would be the reason
  socket[kState].endsNow = true
  socket[kFail]('maxBackpressure exceeded')
  // the peer does not read, so that it would not see a closing handshake; cutting it off frees what waits for it
  if (transport.socket && typeof transport.socket.terminate === 'function') transport.socket.terminate()
  return true
}

/** Returns whether a packet with this object as its options was dropped. */
function wasDropped(options) {
  return dropped.has(options)
}

/** @throws {TypeError} for something that cannot be the key of messages of which the newest is wanted */
function checkKey(key) {
  // NaN would equal no other key
  if (typeof key === 'string' || (typeof key === 'number' && !Number.isNaN(key))) return
  throw new TypeError(`the option conflate must be a string or a number, got ${shown(key)}`)
}

/** Stops reading the client until it has read what waits for it. */
function stopReading(socket) {
  const { socket: websocket } = socket.transport
  if (websocket && typeof websocket[kThrottle] === 'function') websocket[kThrottle]()
}

/** Reads a POST at once, or with the policy `wait` when its client has read what waits for it. */
function whenHeard(socket, req, read) {
  const { maxBackpressure, backpressurePolicy } = socket.server.opts
  if (backpressurePolicy !== 'wait' || !(maxBackpressure > 0) || bufferedAmount(socket) <= maxBackpressure)
    return read()
  const { transport } = socket
  const events = ['drain', 'upgrade', 'close']
  const proceed = () => {
    const isHeld = socket.readyState === 'open' && socket.transport === transport && !req.destroyed
    if (isHeld && bufferedAmount(socket) > maxBackpressure) return
    for (const event of events) socket.removeListener(event, proceed)
    req.removeListener('close', proceed)
    req[kReleasePost] = undefined
    read()
  }
  for (const event of events) socket.on(event, proceed)
  req.on('close', proceed)
  // an answer that is still being written when `drain` comes counts until the transport has written it
  req[kReleasePost] = proceed
}

module.exports = { bufferedAmount, checkKey, overflows, putBack, takeOut, validateBackpressure, wasDropped, whenHeard }
