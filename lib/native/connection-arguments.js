'use strict'

// What applications pass to a WebSocket, as `ws` takes it.

const { isUint8Array } = require('node:util').types
const { MAX_CLOSE_REASON } = require('./contract')

const EMPTY = Buffer.alloc(0)

/** Returns what is sent for `data`: strings are text, bytes are binary. */
function contentOf(data, isBinary) {
  if (typeof data === 'number') data = String(data)
  if (data === undefined || data === null) data = EMPTY
  if (typeof data === 'string') return isBinary ? Buffer.from(data) : data
  const bytes = ArrayBuffer.isView(data)
    ? Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    : Buffer.from(data)
  return isBinary === false ? bytes.toString() : bytes
}

/** Throws for arguments that `ws` refuses, with its errors. The connection stays open then. */
function checkClose(code, reason) {
  const isAssigned = code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006
  if (typeof code !== 'number' || !(isAssigned || (code >= 3000 && code <= 4999))) {
    throw new TypeError('First argument must be a valid error code number')
  }
  if (reason === undefined || !reason.length) return
  if (Buffer.byteLength(reason) > MAX_CLOSE_REASON) {
    throw new RangeError(`The message must not be greater than ${MAX_CLOSE_REASON} bytes`)
  }
  if (typeof reason !== 'string' && !isUint8Array(reason)) {
    throw new TypeError('Second argument must be a string or a Uint8Array')
  }
}

module.exports = { checkClose, contentOf }
