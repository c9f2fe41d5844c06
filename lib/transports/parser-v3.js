'use strict'

// The codec of protocol 3 for transports that JavaScript drives. The engine has its own, see src/protocol/v3. The
// functions have the signatures of the original.

const { PACKET_TYPES } = require('../native/contract')

const ERROR = { type: 'error', data: 'parser error' }

const isBytes = (data) => Buffer.isBuffer(data) || ArrayBuffer.isView(data) || data instanceof ArrayBuffer

function toBuffer(data) {
  if (Buffer.isBuffer(data)) return data
  return ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data)
}

/**
 * Encodes a packet as a frame: digit and text; for bytes the type as a byte and the bytes, or `b`, digit and base64.
 */
function encodePacket({ type, data }, supportsBinary, callback) {
  const number = PACKET_TYPES.indexOf(type)
  if (!isBytes(data)) return callback(number + (data === undefined ? '' : String(data)))
  const bytes = toBuffer(data)
  if (!supportsBinary) return callback(`b${number}${bytes.toString('base64')}`)
  callback(Buffer.concat([Buffer.from([number]), bytes]))
}

function decodePacket(data) {
  if (typeof data !== 'string') {
    const bytes = toBuffer(data)
    return { type: PACKET_TYPES[bytes[0]], data: bytes.subarray(1) }
  }
  const isBase64 = data[0] === 'b'
  const type = PACKET_TYPES[isBase64 ? data[1] : data[0]]
  if (isBase64) return { type, data: Buffer.from(data.slice(2), 'base64') }
  if (type === undefined) return ERROR
  return data.length > 1 ? { type, data: data.slice(1) } : { type }
}

/** Encodes a payload: as text, unless the client takes binary data and a packet is binary. */
function encodePayload(packets, supportsBinary, callback) {
  const binary = supportsBinary && packets.some(({ data }) => isBytes(data))
  const parts = []
  for (const packet of packets) {
    encodePacket(packet, binary, (encoded) => {
      if (!binary) return parts.push(`${encoded.length}:${encoded}`)
      const isText = typeof encoded === 'string'
      const bytes = isText ? Buffer.from(encoded) : encoded
      const digits = [...String(bytes.length)].map(Number)
      parts.push(Buffer.from([isText ? 0 : 1, ...digits, 255]), bytes)
    })
  }
  if (binary) callback(Buffer.concat(parts))
  else callback(parts.length === 0 ? '0:' : parts.join(''))
}

/** Calls back with each packet of a payload until the callback returns false. */
function decodePayload(data, callback) {
  for (const packet of typeof data === 'string' ? packetsOfText(data) : packetsOfBytes(data)) {
    if (callback(packet) === false || packet === ERROR) return
  }
}

function* packetsOfText(data) {
  if (data === '') yield ERROR
  let at = 0
  while (at < data.length) {
    const colon = data.indexOf(':', at)
    const length = colon === -1 ? NaN : Number(data.slice(at, colon))
    at = colon + 1 + length
    // an invalid length, or one that goes past the end
    if (!Number.isInteger(length) || length < 0 || at > data.length) return yield ERROR
    if (length > 0) yield decodePacket(data.slice(colon + 1, at))
  }
}

function* packetsOfBytes(data) {
  let at = 0
  while (at < data.length) {
    const end = data.indexOf(255, at + 1)
    const length = end === -1 ? NaN : Number(data.subarray(at + 1, end).join(''))
    if (!Number.isSafeInteger(length)) return yield ERROR
    const isText = data[at] === 0
    const content = data.subarray(end + 1, end + 1 + length)
    at = end + 1 + length
    yield decodePacket(isText ? content.toString() : content)
  }
}

module.exports = { protocol: 3, encodePacket, decodePacket, encodePayload, decodePayload }
