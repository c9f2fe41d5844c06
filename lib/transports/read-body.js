'use strict'

const { MAX_STRING_LENGTH } = require('buffer').constants
const { FaultText } = require('../native/contract')
const { kBody } = require('../base/symbols')

// taken when the module is loaded: tests of applications replace it by a fake
const { nextTick } = process

const EMPTY = Buffer.alloc(0)

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
function readBody(req, opts, calls) {
  // the request may have waited, and its client may have gone meanwhile
  if (req.destroyed || req.aborted) calls.onAborted()
  else if (req[kBody] !== undefined && isUntouched(req)) takeBody(req, opts, calls)
  else readStream(req, opts, calls)
}

/** Returns whether a request has no listeners, and its stream has not been read. */
function isUntouched(req) {
  return req.readableFlowing === null && req._eventsCount === 0
}

/** Takes the body of a request that another process has read. */
function takeBody(req, opts, { onEnd, onAborted, onRefused }) {
  const body = req[kBody]
  // who reads the stream from now on finds its end
  req[kBody] = EMPTY
  const isTooLarge = body.length > opts.maxHttpBufferSize || body.length > MAX_STRING_LENGTH
  if (isTooLarge) return onRefused(413, FaultText.BODY_TOO_LARGE)
  // the calls come later here, too
  nextTick(() => {
    if (req.destroyed) onAborted()
    else onEnd(body)
  })
}

function readStream(req, opts, { onEnd, onAborted, onRefused }) {
  const chunks = []
  let length = 0
  let pieces = 0
  let left = false
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
  const timer = setTimeout(refuse, opts.httpRequestBodyTimeout, 408, FaultText.BODY_TIMEOUT)
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
