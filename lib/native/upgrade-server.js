'use strict'

const { EventEmitter } = require('events')
const { STATUS_CODES, validateHeaderName, validateHeaderValue } = require('http')
const bridge = require('./bridge')
const {
  DEFLATE,
  HandshakeError,
  HandshakeHeader,
  SWITCHING_PROTOCOLS,
  UPGRADE,
  UPGRADE_REFUSAL_TYPE,
  WEBSOCKET_VERSION,
  WEBSOCKET_VERSIONS,
} = require('./contract')
const { carry } = require('./carried-socket')
const { deflateOptions } = require('./compression')
const { handleOf, isPristine } = require('./node-internals')
const { ownOf } = require('../base/options')
const { Pump } = require('./stream-carrier')
const { NativeWebSocket } = require('./connection')
const {
  kAnswersFailures,
  kIsPlain,
  kLeaveToTheirs,
  kProtocol,
  kRefuse,
  kServe,
  kState,
  kVerified,
} = require('../base/symbols')
const { keep, State } = require('../base/state')
const { completed, isServed, theirs } = require('./upgrade-options')

const EMPTY = Buffer.alloc(0)

/** The headers of a request, by their names in `req.headers`. */
const KEY = HandshakeHeader.KEY.toLowerCase()
const VERSION = HandshakeHeader.VERSION.toLowerCase()
const PROTOCOL = HandshakeHeader.PROTOCOL.toLowerCase()
const EXTENSIONS = HandshakeHeader.EXTENSIONS.toLowerCase()

/** The WebSocket connection of an upgraded stream. */
const kWebSocket = Symbol('websocket')

/** The values of a server's `_state`, as in `ws`. */
const RUNNING = 0
const CLOSING = 1
const CLOSED = 2

const { emit } = EventEmitter.prototype

/**
 * Answers WebSocket upgrade requests and hands their connections to the engine. It replaces the server of `ws` in the
 * original and has its members. Connections with options that only `ws` supports are left to `ws`.
 *
 * Events: `headers` (lines of the response, request) before they are written, so that listeners can add lines;
 * `wsClientError` (error, socket, request) in place of a refusal, if it has a listener; `close`.
 */
class NativeWebSocketServer extends EventEmitter {
  /** @param {object} options those of `ws`, see lib/native/upgrade-options.js */
  constructor(options, callback) {
    super()
    // a server that listens by itself, or that tracks its clients, is one of `ws`
    // eslint-disable-next-line no-constructor-return -- callers construct it as they do the one of ws
    if (!options.noServer || options.clientTracking !== false) return new (theirs())(options, callback)
    keep(this, new State())
    this.options = completed(options)
    this._state = RUNNING
    this[kServe]({ mayAddHeaders: () => this.listenerCount('headers') > 0, onRefused: () => {} })
  }

  /**
   * Takes what the server gives to which the connections go: `mayAddHeaders` returns whether listeners of `headers` may
   * add lines to a response, and `onRefused` is called when a request is refused because it is not a valid handshake.
   */
  [kServe]({ mayAddHeaders, onRefused }) {
    this[kState].mayAddHeaders = mayAddHeaders
    this[kState].onRefused = onRefused
  }

  /** Whether a request is answered for which `handleUpgrade` throws. Servers of the application leave that open. */
  get [kAnswersFailures]() {
    return true
  }

  address() {
    throw new Error('The server is operating in "noServer" mode')
  }

  /** Refuses upgrade requests from now on. `callback` is called at the event `close`, in the next tick. */
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

  /** Returns whether a request is for this server: whether it has the path of the option `path`, if that is set. */
  shouldHandle(req) {
    return !this.options.path || req.url.split('?', 1)[0] === this.options.path
  }

  /** Calls `done` with the connection, or refuses the request as `ws` does. */
  handleUpgrade(req, socket, head, done) {
    if (!isServed(this.options)) return theirs().prototype.handleUpgrade.call(this, req, socket, head, done)
    const { headers } = req
    if (this[kIsPlain](req, headers, socket)) {
      const early = readEarly(socket, head)
      const key = headers[KEY]
      const { maxPayload, maxChunks } = limitsOf(this.options)
      bridge.getEngine()
      const websocket = takeOver(socket, (fd) => bridge.fast.upgrade(fd, key, early, maxPayload, maxChunks))
      if (websocket !== undefined) return done(websocket, req)
      head = early
    }
    socket.on('error', destroy)
    const checked = check(req, this.options)
    // a request for another path is refused for its path before its lists are parsed
    const isForOthers = (checked.status === undefined || LISTS.includes(checked.fault)) && !this.shouldHandle(req)
    if (isForOthers) return refuseUpgrade(socket, 400)
    if (checked.status !== undefined) return this[kRefuse](req, socket, checked)
    const extensions = checked.deflate === undefined ? {} : { [DEFLATE]: ownOf(checked.deflate) }
    const protocols = protocolsOf(headers[PROTOCOL])
    const complete = () => this.completeUpgrade(extensions, headers[KEY], protocols, req, socket, head, done)
    this[kVerified](req, socket, complete)
  }

  /** Refuses a request, unless a `wsClientError` listener does. */
  [kRefuse](req, socket, { fault, status, message }) {
    this[kState].onRefused()
    if (this.listenerCount('wsClientError') > 0) return this.emit('wsClientError', new Error(message), socket, req)
    const isOther = fault === HandshakeError.VERSION
    refuseUpgrade(socket, status, message, isOther ? { [HandshakeHeader.VERSION]: WEBSOCKET_VERSIONS } : undefined)
  }

  /** Goes on with a request if the option `verifyClient` accepts it. */
  [kVerified](req, socket, proceed) {
    const { verifyClient } = this.options
    if (!verifyClient) return proceed()
    const { headers } = req
    const origin = headers[Number(headers[VERSION]) === 8 ? 'sec-websocket-origin' : 'origin']
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

  /** Switches protocols for a valid request. */
  completeUpgrade(extensions, key, protocols, req, socket, head, done) {
    if (!isServed(this.options))
      return this[kLeaveToTheirs](socket, [extensions, key, protocols, req, socket, head, done])
    if (!socket.readable || !socket.writable) return socket.destroy()
    if (socket[kWebSocket] !== undefined)
      throw new Error('this connection has been upgraded already: do two engines serve one path?')
    if (this._state > RUNNING) return refuseUpgrade(socket, 503)

    const lines = [...SWITCHING_PROTOCOLS]
    lines.push(`${HandshakeHeader.ACCEPT}: ${acceptOf(key)}`)
    const protocol = protocols.size > 0 ? this[kProtocol](protocols, req) : undefined
    if (protocol) lines.push(`${HandshakeHeader.PROTOCOL}: ${protocol}`)
    const deflate = extensions[DEFLATE]
    if (deflate !== undefined) lines.push(`${HandshakeHeader.EXTENSIONS}: ${deflate.header}`)
    try {
      this.emit('headers', lines, req)
    } catch (error) {
      // a listener threw, or added an invalid header
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

  /** Has `ws` switch protocols. If a `headers` listener throws, the request is answered here. */
  [kLeaveToTheirs](socket, args) {
    try {
      theirs().prototype.completeUpgrade.apply(this, args)
    } catch (error) {
      if (!/called more than once/.test(error.message)) refuseUpgrade(socket, 500)
      throw error
    }
  }

  /** Selects the subprotocol: by the option `handleProtocols`, or the first that was offered. */
  [kProtocol](protocols, req) {
    const { handleProtocols } = this.options
    return handleProtocols ? handleProtocols(protocols, req) : protocols.values().next().value
  }

  /**
   * Returns whether a request needs the plain 101 only, if its key is valid. The engine then checks the key, answers
   * and takes the connection over in one call.
   */
  [kIsPlain](req, headers, socket) {
    const { options } = this
    return (
      req.method === 'GET' &&
      headers.upgrade === UPGRADE &&
      headers[VERSION] === WEBSOCKET_VERSION &&
      headers[PROTOCOL] === undefined &&
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

/** What is wrong with a malformed list header. */
const LISTS = [HandshakeError.PROTOCOL, HandshakeError.EXTENSIONS]

/** The last accepted key, and its `Sec-WebSocket-Accept`. */
const accepted = { key: undefined, accept: undefined }

/** Checks a request. Returns `{ accept, deflate }`, or `{ fault, status, message }` of the refusal. */
function check({ method, headers }, options) {
  const { upgrade, [KEY]: key, [VERSION]: version, [PROTOCOL]: protocols, [EXTENSIONS]: extensions } = headers
  const deflate = deflateOptions(options.perMessageDeflate)
  const answer = bridge.getEngine().checkUpgrade(method, upgrade, key, version, protocols, extensions, deflate)
  // the bare value if nothing else was negotiated
  const checked = typeof answer === 'string' ? { __proto__: null, accept: answer } : ownOf(answer)
  if (checked.accept !== undefined) Object.assign(accepted, { key, accept: checked.accept })
  return checked
}

/** Returns the value of `Sec-WebSocket-Accept` for a key. */
function acceptOf(key) {
  if (key !== accepted.key)
    check({ method: 'GET', headers: { upgrade: UPGRADE, [KEY]: key, [VERSION]: WEBSOCKET_VERSION } }, {})
  return accepted.accept
}

/** Returns the subprotocols that a client offers, in their order. */
function protocolsOf(header) {
  return new Set(header === undefined ? [] : header.split(',').map((name) => name.trim()))
}

function emitClose(server) {
  server._state = CLOSED
  server.emit('close')
}

/** Destroys a socket on its `error`. */
function destroy() {
  this.destroy()
}

/**
 * Returns the lines of a response header, one for each value.
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

/** Converts the option `maxBufferedChunks` to a number of 32 bits, as `ws` does; 0 means no limit. */
function chunksOf(maxBufferedChunks) {
  return Math.max(0, maxBufferedChunks | 0)
}

function connect(socket, head, lines, terms) {
  const { maxPayload, maxChunks, deflate } = terms
  const response = Buffer.from(lines.concat('\r\n').join('\r\n'), 'latin1')
  if (!canTakeOver(socket)) return carryHere(socket, head, response, terms)
  const early = readEarly(socket, head)
  const adopt = (fd) => bridge.getEngine().adopt(fd, response, early, maxPayload, maxChunks, deflate)
  return takeOver(socket, adopt) || carryHere(socket, early, response, terms)
}

/** Removes the timeout of a stream. */
function forgetTimeout(socket) {
  if (socket.timeout !== undefined && typeof socket.setTimeout === 'function') socket.setTimeout(0)
}

/**
 * Returns whether a socket is a plain TCP or UNIX connection that libuv reads by a descriptor, with no code in between.
 */
function canTakeOver(socket) {
  return process.platform !== 'win32' && isPristine(socket)
}

/**
 * Moves a connection from libuv to the engine, by `adopt(fd)`. Its net.Socket goes on as lib/native/carried-socket.js
 * describes. Returns undefined if that fails, mostly because the system has no descriptor left.
 */
function takeOver(socket, adopt) {
  // an HTTP server of Node's has done so by default
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
  // this has to be set before `carry`, see there
  socket[kWebSocket] = null
  const carrier = carry(socket)
  const websocket = new NativeWebSocket(adopted, carrier)
  carrier.websocket = websocket
  socket[kWebSocket] = websocket
  return websocket
}

/** Reads what came behind the request: `head`, and what the stream has buffered since. */
function readEarly(socket, head) {
  const chunks = head && head.length > 0 ? [head] : []
  // a stream with an encoding gives strings
  for (let chunk; (chunk = socket.read()) !== null;) chunks.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
  return chunks.length === 0 ? EMPTY : Buffer.concat(chunks)
}

/** Has JavaScript carry the bytes of a stream. */
function carryHere(socket, head, response, terms) {
  if (typeof socket.setNoDelay === 'function') socket.setNoDelay()
  forgetTimeout(socket)
  socket.write(response)
  const connection = bridge.getEngine().openPipe(terms.maxPayload, terms.maxChunks, terms.deflate)
  const pump = new Pump(socket)
  const websocket = new NativeWebSocket(connection, pump)
  pump.websocket = websocket
  websocket[kState].pump = pump
  if (head && head.length > 0) socket.unshift(head)
  return websocket
}

/** Answers an upgrade request with an error and ends the connection. */
function refuseUpgrade(socket, status, given, extra = {}) {
  const message = given || STATUS_CODES[status]
  const headers = {
    Connection: 'close',
    'Content-Type': UPGRADE_REFUSAL_TYPE,
    'Content-Length': Buffer.byteLength(message),
    ...extra,
  }
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`]
  for (const name of Object.keys(headers)) lines.push(`${name}: ${headers[name]}`)
  socket.once('finish', () => socket.destroy())
  socket.end(lines.join('\r\n') + '\r\n\r\n' + message)
}

module.exports = { NativeWebSocketServer, canTakeOver, chunksOf, headerLines, readEarly, refuseUpgrade }
