'use strict'

// The codec of protocol 3 for transports that JavaScript drives. The engine has its own, see src/protocol/v3. The
// functions have the signatures of the original.

const { LENGTH_END, MAX_DIGITS, PACKET_TYPES } = require('../native/contract')

const ERROR = { type: 'error', data: 'parser error' }

const EMPTY = Buffer.alloc(0)

/** The `b` before base64. */
const BASE64 = 0x62

/** Matches a surrogate that is encoded on its own, and U+FFFD, which takes its place; both as a byte per character. */
const SURROGATE = /\xed[\xa0-\xbf][\x80-\xbf]/g
const REPLACEMENT = '\xef\xbf\xbd'

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
    const length = colon <= at ? NaN : Number(data.slice(at, colon))
    at = colon + 1 + length
    // an invalid length, or one that goes past the end
    if (!Number.isInteger(length) || length < 0 || at > data.length) return yield ERROR
    if (length > 0) yield decodePacket(data.slice(colon + 1, at))
  }
}

function* packetsOfBytes(data) {
  const parts = split(data)
  if (parts === undefined) return yield ERROR
  for (const { isText, content } of parts) yield isText ? decodeUtf8(content) : decodePacket(content)
}

/**
 * Splits a binary payload into packets; undefined if a length is broken anywhere. The digits of a length are bytes. Bytes
 * above 9 count as all of their decimal digits, in the size of the header, too. A length that is too long takes what is
 * there. These are rules of the original.
 */
function split(data) {
  const parts = []
  let at = 0
  while (at < data.length) {
    const end = data.indexOf(LENGTH_END, at + 1)
    if (end === -1 || data.subarray(at + 1, end - 1).join('').length > MAX_DIGITS) return undefined
    const digits = data.subarray(at + 1, end).join('')
    const isText = data[at] === 0
    const start = at + 2 + digits.length
    // without a length nothing but the first byte is read
    at = digits === '' ? at + 1 : Math.min(start + Number(digits), data.length)
    parts.push({ isText, content: digits === '' ? EMPTY : data.subarray(start, at) })
  }
  return parts
}

/**
 * Decodes a packet of text in a binary payload. Surrogates on their own become U+FFFD; other bytes that are not UTF-8 are
 * an error.
 */
function decodeUtf8(bytes) {
  // the content of base64 is not UTF-8
  if (bytes[0] === BASE64) return decodePacket(bytes.toString('latin1'))
  const text = bytes.toString('latin1').replace(SURROGATE, REPLACEMENT)
  const whole = Buffer.from(text, 'latin1')
  const decoded = whole.toString()
  return Buffer.from(decoded).equals(whole) ? decodePacket(decoded) : ERROR
}

module.exports = { protocol: 3, encodePacket, decodePacket, encodePayload, decodePayload }
