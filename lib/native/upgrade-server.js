'use strict'

const { EventEmitter } = require('events')
const { STATUS_CODES, validateHeaderName, validateHeaderValue } = require('http')
const bridge = require('./bridge')
const { carry } = require('./carried-socket')
const { handleOf, isPristine } = require('./node-internals')
const { ownOf } = require('../base/options')
const { Pump } = require('./stream-carrier')
const { NativeWebSocket } = require('./connection')
const { kIsPlain, kLeaveToTheirs, kProtocol, kRefuse, kState, kVerified } = require('../base/symbols')
const { keep, State } = require('../base/state')
const { completed, isServed, theirs } = require('./upgrade-options')

const EMPTY = Buffer.alloc(0)

/** The connection that a stream has become. */
const kWebSocket = Symbol('websocket')

/** Whether a server takes connections: the values of `_state`, as in `ws`. */
const RUNNING = 0
const CLOSING = 1
const CLOSED = 2

const { emit } = EventEmitter.prototype

/**
 * Answers WebSocket upgrade requests and hands their connections to the engine. Stands where the server of `ws` stands in the
 * original, with the same members. What only `ws` can do is left to it.
 *
 * Events: `headers` (lines of the response, request), before they are written; listeners may add lines. `wsClientError` (error,
 * socket, request) instead of a refusal, if somebody listens. `close`.
 */
class NativeWebSocketServer extends EventEmitter {
  /** @param {object} options those of `ws`, see lib/native/upgrade-options.js */
  constructor(options, callback) {
    super()
    // a server that listens by itself, or lists its clients, is no engine's
    // eslint-disable-next-line no-constructor-return -- callers construct it as they do the one of ws
    if (!options.noServer || options.clientTracking !== false) return new (theirs())(options, callback)
    keep(this, new State())
    this.options = completed(options)
    this._state = RUNNING
    /** Whether listeners of `headers` may have something to say to a request. */
    this[kState].mayAddHeaders = () => this.listenerCount('headers') > 0
  }

  address() {
    throw new Error('The server is operating in "noServer" mode')
  }

  /** Upgrade requests are refused from now on. `callback` is called at the event `close`, in the next tick. */
  close(callback) {
    if (this._state === CLOSED) {
      if (callback) this.once('close', () => callback(new Error('The server is not running')))
    } else {
      if (callback) this.once('close', callback)
      if (this._state === CLOSING) return
      this._state = CLOSING
    }
    process.nextTick(emitClose, this)
  }

  /** Whether a request is for this server: if it is for its `path`, where there is such an option. */
  shouldHandle(req) {
    return !this.options.path || req.url.split('?', 1)[0] === this.options.path
  }

  /** Calls `done` with the connection, or refuses the request as `ws` does. */
  handleUpgrade(req, socket, head, done) {
    if (!isServed(this.options)) return theirs().prototype.handleUpgrade.call(this, req, socket, head, done)
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
    socket.on('error', destroy)
    const checked = check(req, this.options)
    // a request for others is refused as such before its lists are looked at
    const isForOthers = (checked.status === undefined || LISTS.test(checked.message)) && !this.shouldHandle(req)
    if (isForOthers) return refuseUpgrade(socket, 400)
    if (checked.status !== undefined) return this[kRefuse](req, socket, checked)
    const extensions = checked.deflate === undefined ? {} : { [DEFLATE]: ownOf(checked.deflate) }
    const protocols = protocolsOf(headers['sec-websocket-protocol'])
    const complete = () =>
      this.completeUpgrade(extensions, headers['sec-websocket-key'], protocols, req, socket, head, done)
    this[kVerified](req, socket, complete)
  }

  /** Answers a request that is no WebSocket's, unless somebody wants to do that. */
  [kRefuse](req, socket, { status, message }) {
    if (this.listenerCount('wsClientError') > 0) return this.emit('wsClientError', new Error(message), socket, req)
    refuseUpgrade(socket, status, message, /Version/.test(message) ? { 'Sec-WebSocket-Version': '13, 8' } : undefined)
  }

  /** Goes on with a request if the option `verifyClient` has nothing against it. */
  [kVerified](req, socket, proceed) {
    const { verifyClient } = this.options
    if (!verifyClient) return proceed()
    const { headers } = req
    const origin = headers[Number(headers['sec-websocket-version']) === 8 ? 'sec-websocket-origin' : 'origin']
    const info = { origin, secure: Boolean(req.socket.authorized || req.socket.encrypted), req }
    if (verifyClient.length === 2) {
      verifyClient(info, (isVerified, status, message, extra) => {
        if (isVerified) proceed()
        else refuseUpgrade(socket, status || 401, message, extra)
      })
    } else if (verifyClient(info)) {
      proceed()
    } else {
      refuseUpgrade(socket, 401)
    }
  }

  /** Switches protocols for a request that is in order. */
  completeUpgrade(extensions, key, protocols, req, socket, head, done) {
    if (!isServed(this.options))
      return this[kLeaveToTheirs](socket, [extensions, key, protocols, req, socket, head, done])
    if (!socket.readable || !socket.writable) return socket.destroy()
    if (socket[kWebSocket] !== undefined)
      throw new Error('this connection has been upgraded already: do two engines serve one path?')
    if (this._state > RUNNING) return refuseUpgrade(socket, 503)

    const lines = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade']
    lines.push(`Sec-WebSocket-Accept: ${acceptOf(key)}`)
    const protocol = protocols.size > 0 ? this[kProtocol](protocols, req) : undefined
    if (protocol) lines.push(`Sec-WebSocket-Protocol: ${protocol}`)
    const deflate = extensions[DEFLATE]
    if (deflate !== undefined) lines.push(`Sec-WebSocket-Extensions: ${deflate.header}`)
    try {
      this.emit('headers', lines, req)
    } catch (error) {
      // a listener threw, or added what no header can be
      refuseUpgrade(socket, 500)
      throw error
    }
    socket.removeListener('error', destroy)
    const websocket = connect(socket, head, lines, { ...limitsOf(this.options), deflate })
    socket[kWebSocket] = websocket
    if (protocol) websocket.protocol = protocol
    if (deflate !== undefined) websocket.extensions = DEFLATE
    done(websocket, req)
  }

  /** `ws` switches protocols. A request whose `headers` listener throws is answered here, too. */
  [kLeaveToTheirs](socket, args) {
    try {
      theirs().prototype.completeUpgrade.apply(this, args)
    } catch (error) {
      if (!/called more than once/.test(error.message)) refuseUpgrade(socket, 500)
      throw error
    }
  }

  /** The subprotocol that is selected: the option `handleProtocols` decides, or the first. */
  [kProtocol](protocols, req) {
    const { handleProtocols } = this.options
    return handleProtocols ? handleProtocols(protocols, req) : protocols.values().next().value
  }

  /**
   * Whether nothing is to be said to a request but that it is accepted, if its key is one: the engine judges that, answers
   * and takes the connection over in one call.
   */
  [kIsPlain](req, headers, socket) {
    const { options } = this
    return (
      req.method === 'GET' &&
      headers.upgrade === 'websocket' &&
      headers['sec-websocket-version'] === '13' &&
      headers['sec-websocket-protocol'] === undefined &&
      !options.perMessageDeflate &&
      !options.verifyClient &&
      !options.path &&
      this._state === RUNNING &&
      this.emit === emit &&
      this.shouldHandle === shouldHandle &&
      this.completeUpgrade === completeUpgrade &&
      !this[kState].mayAddHeaders(req) &&
      socket[kWebSocket] === undefined &&
      socket.readable &&
      socket.writable &&
      canTakeOver(socket)
    )
  }
}

const { completeUpgrade, shouldHandle } = NativeWebSocketServer.prototype

const DEFLATE = 'permessage-deflate'

/** What is said of a header that is a list. */
const LISTS = /Protocol|Extensions/

/** The last key that was accepted, and what is answered to it. */
const accepted = { key: undefined, accept: undefined }

/** Judges a request: `{ accept, deflate }`, or `{ status, message }` of the refusal. */
function check({ method, headers }, options) {
  const key = headers['sec-websocket-key']
  const version = headers['sec-websocket-version']
  const protocols = headers['sec-websocket-protocol']
  const extensions = headers['sec-websocket-extensions']
  const deflate = deflateOptions(options.perMessageDeflate)
  const answer = bridge.getEngine().checkUpgrade(method, headers.upgrade, key, version, protocols, extensions, deflate)
  // the bare value where nothing else was negotiated
  const checked = typeof answer === 'string' ? { __proto__: null, accept: answer } : ownOf(answer)
  if (checked.accept !== undefined) Object.assign(accepted, { key, accept: checked.accept })
  return checked
}

/** The value of `Sec-WebSocket-Accept`. */
function acceptOf(key) {
  if (key !== accepted.key)
    check(
      { method: 'GET', headers: { upgrade: 'websocket', 'sec-websocket-key': key, 'sec-websocket-version': '13' } },
      {},
    )
  return accepted.accept
}

/** The subprotocols that a client offers, in their order. */
function protocolsOf(header) {
  return new Set(header === undefined ? [] : header.split(',').map((name) => name.trim()))
}

function emitClose(server) {
  server._state = CLOSED
  server.emit('close')
}

/** A listener of a socket's `error`. */
function destroy() {
  this.destroy()
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
 * Moves a connection from libuv to the engine, by `adopt(fd)`. Its net.Socket goes on as lib/native/carried-socket.js says. Gives
 * undefined if that fails, for want of a descriptor mostly.
 */
function takeOver(socket, adopt) {
  // a server of Node's has done it by default
  socket.setNoDelay()
  const handle = handleOf(socket)
  let adopted
  try {
    adopted = adopt(handle.fd)
  } catch {
    return undefined
  }
  handle.readStop()
  bridge.scheduleLateFlush()
  forgetTimeout(socket)
  // see `carry`: here, and not after it
  socket[kWebSocket] = null
  const carrier = carry(socket)
  const websocket = new NativeWebSocket(adopted, carrier)
  carrier.websocket = websocket
  socket[kWebSocket] = websocket
  return websocket
}

/** What came after the request: `head`, and what sits in the stream since. */
function readEarly(socket, head) {
  const chunks = head && head.length > 0 ? [head] : []
  // one that has an encoding gives strings
  for (let chunk; (chunk = socket.read()) !== null;) chunks.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
  return chunks.length === 0 ? EMPTY : Buffer.concat(chunks)
}

function pump(socket, head, response, terms) {
  if (typeof socket.setNoDelay === 'function') socket.setNoDelay()
  forgetTimeout(socket)
  socket.write(response)
  const websocket = new NativeWebSocket(
    bridge.getEngine().openPipe(terms.maxPayload, terms.maxChunks, terms.deflate),
    socket,
  )
  websocket[kState].pump = new Pump(websocket, socket)
  if (head && head.length > 0) socket.unshift(head)
  return websocket
}

/** Answers an upgrade request that is no WebSocket's and ends the connection. */
function refuseUpgrade(socket, status, given, extra = {}) {
  const message = given || STATUS_CODES[status]
  const headers = {
    Connection: 'close',
    'Content-Type': 'text/html',
    'Content-Length': Buffer.byteLength(message),
    ...extra,
  }
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`]
  for (const name of Object.keys(headers)) lines.push(`${name}: ${headers[name]}`)
  socket.once('finish', () => socket.destroy())
  socket.end(lines.join('\r\n') + '\r\n\r\n' + message)
}

module.exports = { NativeWebSocketServer, headerLines, refuseUpgrade, chunksOf, deflateOptions }
