'use strict'

const { MAX_STRING_LENGTH } = require('buffer').constants
const { FaultText } = require('../native/contract')

/** Number of pieces of a body that are kept before they are joined. */
const MAX_APART = 256

/**
 * Reads a body of at most `maxHttpBufferSize` bytes, in at most `maxBufferedChunks` pieces, within
 * `httpRequestBodyTimeout`. Any other body is reported by `onRefused`, with a status and why.
 *
 * @param {import('http').IncomingMessage} req
 * @param {{maxHttpBufferSize: number, maxBufferedChunks: number, httpRequestBodyTimeout: number}} opts
 * @param {{onEnd: (body: Buffer) => void, onAborted: () => void, onRefused: (status: number, message: string) => void}}
 *   calls of which one follows
 */
function readBody(req, opts, { onEnd, onAborted, onRefused }) {
  const chunks = []
  let length = 0
  let pieces = 0
  let left = false
  let timer
  const leave = () => {
    left = true
    clearTimeout(timer)
  }
  const onClose = () => {
    if (left) return
    leave()
    onAborted()
  }
  const refuse = (status, message) => {
    leave()
    chunks.length = 0
    onRefused(status, message)
  }
  // the request may have waited, and its client may have gone meanwhile
  if (req.destroyed || req.aborted) return onClose()
  timer = setTimeout(refuse, opts.httpRequestBodyTimeout, 408, FaultText.BODY_TIMEOUT)
  req.on('close', onClose)
  req.on('data', (chunk) => {
    if (left) return
    // the application has set an encoding
    if (typeof chunk === 'string') chunk = Buffer.from(chunk, req.readableEncoding)
    length += chunk.length
    // a limit that is not a number has no effect
    if (length > opts.maxHttpBufferSize || length > MAX_STRING_LENGTH) return refuse(413, FaultText.BODY_TOO_LARGE)
    chunks.push(chunk)
    if (++pieces > opts.maxBufferedChunks) return refuse(413, FaultText.TOO_MANY_CHUNKS)
    // a client that sends byte by byte must not cost a Buffer for each
    if (pieces % MAX_APART === 0) chunks.push(Buffer.concat(chunks.splice(-MAX_APART)))
  })
  req.on('end', () => {
    if (left) return
    leave()
    onEnd(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, length))
  })
}

module.exports = { readBody }
