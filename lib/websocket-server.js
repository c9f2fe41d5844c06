'use strict'

const { EventEmitter } = require('events')
const { STATUS_CODES, validateHeaderName, validateHeaderValue } = require('http')
const bridge = require('./bridge')
const { carry, isPristine } = require('./carried-socket')
const { ownOf } = require('./options')
const { Pump } = require('./pump')
const { NativeWebSocket } = require('./websocket')
const { kIsPlain, kState } = require('./symbols')
const { keep, State } = require('./state')

const EMPTY = Buffer.alloc(0)

/** The connection that a stream has become. */
const kWebSocket = Symbol('websocket')

/**
 * Answers WebSocket upgrade requests and hands their connections to the engine. Stands where a
 * `wsEngine` stands in the original, with the same interface.
 *
 * Events: `headers` (lines of the response, request), before they are written; listeners may add lines.
 */
class NativeWebSocketServer extends EventEmitter {
  /**
   * @param {{maxPayload: number, maxBufferedChunks: number, perMessageDeflate?: boolean | object}} options `maxPayload`: bytes
   * of a message; `maxBufferedChunks`: pieces in which a frame comes
   */
  constructor(options) {
    super()
    keep(this, new State())
    this.options = options
    this.closed = false
    this[kState].deflate = deflateOptions(options.perMessageDeflate)
    /** Whether listeners of `headers` may have something to say to a request. */
    this[kState].mayAddHeaders = () => this.listenerCount('headers') > 0
  }

  close() {
    this.closed = true
  }

  /** Calls `done` with the connection, or refuses the request as `ws` does. */
  handleUpgrade(req, socket, head, done) {
    const { headers } = req
    if (this[kIsPlain](req, headers, socket)) {
      const early = readEarly(socket, head)
      const key = headers['sec-websocket-key']
      const { maxPayload, maxChunks } = limitsOf(this.options)
      bridge.getEngine()
      const websocket = takeOver(socket, (fd) => bridge.fast.upgrade(fd, key, early, maxPayload, maxChunks))
      if (websocket !== undefined) return done(websocket, req)
      head = early
    }
    const answer = bridge
      .getEngine()
      .checkUpgrade(
        req.method,
        headers.upgrade,
        headers['sec-websocket-key'],
        headers['sec-websocket-version'],
        headers['sec-websocket-protocol'],
        headers['sec-websocket-extensions'],
        this[kState].deflate
      )
    // the bare value where nothing else was negotiated
    const checked = typeof answer === 'string' ? { __proto__: null, accept: answer } : ownOf(answer)
    if (checked.status !== undefined) {
      const extra = /Version/.test(checked.message) ? ['Sec-WebSocket-Version: 13, 8'] : []
      return refuseUpgrade(socket, checked.status, checked.message, extra)
    }
    if (this.closed) return refuseUpgrade(socket, 503, STATUS_CODES[503])
    if (socket[kWebSocket] !== undefined) throw new Error('this connection has been upgraded already: do two engines serve one path?')
    if (!socket.readable || !socket.writable) return socket.destroy()

    const lines = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade']
    lines.push(`Sec-WebSocket-Accept: ${checked.accept}`)
    if (checked.protocol != null) lines.push(`Sec-WebSocket-Protocol: ${checked.protocol}`)
    const deflate = checked.deflate === undefined ? undefined : ownOf(checked.deflate)
    if (deflate !== undefined) {
      lines.push(`Sec-WebSocket-Extensions: ${deflate.header}`)
    }
    try {
      this.emit('headers', lines, req)
    } catch (error) {
      // a listener threw, or added what no header can be
      refuseUpgrade(socket, 500, STATUS_CODES[500])
      throw error
    }
    const websocket = connect(socket, head, lines, { ...limitsOf(this.options), deflate })
    socket[kWebSocket] = websocket
    if (checked.protocol != null) websocket.protocol = checked.protocol
    if (deflate != null) websocket.extensions = 'permessage-deflate'
    done(websocket, req)
  }

  /**
   * Whether nothing is to be said to a request but that it is accepted, if its key is one: the engine judges that, answers
   * and takes the connection over in one call.
   */
  [kIsPlain](req, headers, socket) {
    return (
      req.method === 'GET' &&
      headers.upgrade === 'websocket' &&
      headers['sec-websocket-version'] === '13' &&
      headers['sec-websocket-protocol'] === undefined &&
      this[kState].deflate === undefined &&
      !this.closed &&
      !this[kState].mayAddHeaders(req) &&
      socket[kWebSocket] === undefined &&
      socket.readable &&
      socket.writable &&
      canTakeOver(socket)
    )
  }
}

/**
 * The lines of a response header, one for each value.
 *
 * @throws {TypeError} `ERR_INVALID_CHAR` for a value that would break out of its line
 */
function headerLines(headers) {
  const lines = []
  for (const name of Object.keys(headers)) {
    const value = headers[name]
    for (const one of Array.isArray(value) ? value : [value]) {
      validateHeaderName(name)
      validateHeaderValue(name, one)
      lines.push(`${name}: ${one}`)
    }
  }
  return lines
}

function limitsOf({ maxPayload, maxBufferedChunks }) {
  return { maxPayload: Number(maxPayload), maxChunks: chunksOf(maxBufferedChunks) }
}

/** The option `maxBufferedChunks` as `ws` takes it, as a number of 32 bits; 0: no limit. */
function chunksOf(maxBufferedChunks) {
  return Math.max(0, maxBufferedChunks | 0)
}

/** The options of `ws` for permessage-deflate; undefined: it is off. */
function deflateOptions(options) {
  if (!options) return undefined
  const { zlibDeflateOptions: zlib = {} } = options
  const bits = (value) => (value === undefined || value === true || value === null ? undefined : Number(value))
  const flag = (value) => (value === undefined || value === null ? undefined : Boolean(value))
  return {
    serverNoContextTakeover: flag(options.serverNoContextTakeover),
    clientNoContextTakeover: flag(options.clientNoContextTakeover),
    serverMaxWindowBits: bits(options.serverMaxWindowBits),
    clientMaxWindowBits: bits(options.clientMaxWindowBits),
    threshold: bits(options.threshold),
    level: zlib.level >= 0 ? zlib.level : undefined,
  }
}

function connect(socket, head, lines, terms) {
  const { maxPayload, maxChunks, deflate } = terms
  const response = Buffer.from(lines.concat('\r\n').join('\r\n'), 'latin1')
  if (!canTakeOver(socket)) return pump(socket, head, response, terms)
  const early = readEarly(socket, head)
  const adopt = (fd) => bridge.getEngine().adopt(fd, response, early, maxPayload, maxChunks, deflate)
  return takeOver(socket, adopt) || pump(socket, early, response, terms)
}

/** The stream is quiet as long as it likes from now on. */
function forgetTimeout(socket) {
  if (socket.timeout !== undefined && typeof socket.setTimeout === 'function') socket.setTimeout(0)
}

/** A plain TCP or UNIX connection that libuv reads by a descriptor, and nobody stands in between. */
function canTakeOver(socket) {
  return process.platform !== 'win32' && isPristine(socket)
}

/**
 * Moves a connection from libuv to the engine, by `adopt(fd)`. Its net.Socket goes on as lib/carried-socket.js says. Gives
 * undefined if that fails, for want of a descriptor mostly.
 */
function takeOver(socket, adopt) {
  // a server of Node's has done it by default
  socket.setNoDelay()
  const handle = socket._handle
  let adopted
  try {
    adopted = adopt(handle.fd)
  } catch (error) {
    return undefined
  }
  handle.readStop()
  bridge.scheduleLateFlush()
  forgetTimeout(socket)
  // see `carry`: here, and not after it
  socket[kWebSocket] = null
  const carrier = carry(socket)
  return (socket[kWebSocket] = carrier.websocket = new NativeWebSocket(adopted, carrier))
}

/** What came after the request: `head`, and what sits in the stream since. */
function readEarly(socket, head) {
  const chunks = head && head.length > 0 ? [head] : []
  // one that has an encoding gives strings
  for (let chunk; (chunk = socket.read()) !== null; ) chunks.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
  return chunks.length === 0 ? EMPTY : Buffer.concat(chunks)
}

function pump(socket, head, response, terms) {
  if (typeof socket.setNoDelay === 'function') socket.setNoDelay()
  forgetTimeout(socket)
  socket.write(response)
  const websocket = new NativeWebSocket(bridge.getEngine().openPipe(terms.maxPayload, terms.maxChunks, terms.deflate), socket)
  websocket[kState].pump = new Pump(websocket, socket)
  if (head && head.length > 0) socket.unshift(head)
  return websocket
}

/** Answers an upgrade request that is no WebSocket's and ends the connection. */
function refuseUpgrade(socket, status, message, extra = []) {
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    'Content-Type: text/html',
    `Content-Length: ${Buffer.byteLength(message)}`,
    ...extra,
  ]
  socket.once('finish', () => socket.destroy())
  socket.end(lines.join('\r\n') + '\r\n\r\n' + message)
}

module.exports = { NativeWebSocketServer, headerLines, refuseUpgrade, chunksOf, deflateOptions }
