'use strict'

// Requests and responses of uWebSockets.js in the form of Node's, for middlewares, hooks and the polling transport. A
// request of uWebSockets.js can be used until its handler returns, and a response until its client has gone.

const { IncomingMessage, STATUS_CODES, validateHeaderName, validateHeaderValue } = require('http')
const { EventEmitter } = require('events')
const { Readable } = require('stream')
const {
  kCutOff,
  kDropHeaders,
  kFinish,
  kIsOpen,
  kOnAborted,
  kOnChunk,
  kOnClose,
  kOnWebSocketClosed,
  kOverlapStatus,
  kPause,
  kRespond,
  kResume,
  kState,
  kTake,
  kUpgrade,
  kWriteHeaders,
} = require('../base/symbols')
const { keep, State } = require('../base/state')

/**
 * How Node joins the lines of a header.
 *
 * @type {(name: string, value: string, headers: object) => void}
 */
// @ts-expect-error -- it is not documented
const addHeaderLine = IncomingMessage.prototype._addHeaderLine

/** Headers that uWebSockets.js sets for each response. */
const OWN_HEADERS = new Set(['content-length', 'transfer-encoding', 'connection'])

/**
 * A request. It emits `close` when the client goes before its answer. Besides the members of Node's requests it has the
 * methods of uWebSockets.js, which can be called at any time here.
 */
class Request extends Readable {
  /**
   * @param {object} req the HttpRequest of uWebSockets.js
   * @param {object} res its HttpResponse
   */
  constructor(req, res) {
    super({ autoDestroy: false, emitClose: false })
    keep(this, new State())
    this[kState].query = req.getQuery() || ''
    this.method = req.getMethod().toUpperCase()
    /** The path alone, without the query: see `_query` and `getQuery()`. */
    this.url = req.getUrl()
    this.httpVersion = '1.1'
    this.headers = {}
    this.rawHeaders = []
    req.forEach((name, value) => {
      // a header that comes twice counts as behind Node, not by its last line alone
      addHeaderLine.call(this, name, value, this.headers)
      this.rawHeaders.push(name, value)
    })
    const remoteAddress = Buffer.from(res.getRemoteAddressAsText()).toString()
    this.socket = this.connection = { remoteAddress, encrypted: false, destroyed: false }
    this.res = null
    this.complete = false
    this.aborted = false
    /** Whether the body is paused until the application has read what came. */
    this[kState].paused = false
    const response = (this[kState].response = new Response(res, this))
    this[kState].closed = false
    if (this.method === 'GET') this[kFinish]()
    // this has to be called before the handler returns
    else res.onData((chunk, isLast) => this[kOnChunk](response, chunk, isLast))
  }

  [kOnChunk](response, chunk, isLast) {
    // the rest of a body is read even if its request was answered, because the next request is behind it
    const wanted = response[kIsOpen]() || this.readableFlowing === true
    // the bytes are not valid after this function returns
    const more = !wanted || chunk.byteLength === 0 || this.push(Buffer.from(chunk.slice(0)))
    if (isLast) return this[kFinish]()
    if (!more) this[kState].paused = response[kPause]()
  }

  [kFinish]() {
    this.complete = true
    this.push(null)
  }

  _read() {
    if (!this[kState].paused) return
    this[kState].paused = false
    this[kState].response[kResume]()
  }

  _destroy(error, callback) {
    if (!this.complete) this[kState].response.destroy()
    callback(error)
    this[kOnClose]()
  }

  setTimeout() {
    return this
  }

  getHeader(name) {
    return this.headers[name] || ''
  }

  getMethod() {
    return this.method.toLowerCase()
  }

  getUrl() {
    return this.url
  }

  getQuery(key) {
    const { query } = this[kState]
    if (key === undefined) return query
    const value = new URLSearchParams(query).get(key)
    return value === null ? undefined : value
  }

  // @ts-expect-error -- that of uWebSockets.js's requests, not that of streams
  forEach(callback) {
    for (let i = 0; i < this.rawHeaders.length; i += 2) callback(this.rawHeaders[i], this.rawHeaders[i + 1])
  }

  [kOnAborted]() {
    this.aborted = true
    this.socket.destroyed = true
    this.emit('aborted')
    this[kOnClose]()
  }

  [kOnClose]() {
    if (this[kState].closed) return
    this[kState].closed = true
    this.emit('close')
  }
}

/**
 * A response, written when it is complete. Events: `finish`, and `close` when the client has gone or was served. Later
 * calls neither throw nor reach the connection, which may serve another request by then. Besides the members of Node's
 * responses it has those of uWebSockets.js that hooks use.
 */
class Response extends EventEmitter {
  /** @param {object} res the HttpResponse of uWebSockets.js */
  constructor(res, req) {
    super()
    keep(this, new State())
    this.req = req
    this.socket = this.connection = req.socket
    this.statusCode = 200
    this.statusMessage = undefined
    this.headersSent = false
    this.writableEnded = this.finished = false
    this.destroyed = false
    /** The HttpResponse; undefined after the answer, the switch of protocols, or the client's end. */
    this[kState].res = res
    /** The user data of the connection's WebSocket after an upgrade. */
    this[kState].userData = undefined
    /** `[key, name, value]`, in the order in which they were set. */
    this[kState].headers = []
    this[kState].chunks = []
    res.onAborted(() => this[kOnAborted]())
  }

  /** The status for a poll or a POST that overlaps another. */
  get [kOverlapStatus]() {
    return 500
  }

  [kIsOpen]() {
    return this[kState].res !== undefined
  }

  /** Pauses the body. Returns whether it is paused now. */
  [kPause]() {
    if (this[kState].res !== undefined) this[kState].res.pause()
    return this[kState].res !== undefined
  }

  [kResume]() {
    if (this[kState].res !== undefined) this[kState].res.resume()
  }

  /** Returns the HttpResponse for the last time. */
  [kTake]() {
    const res = this[kState].res
    // a paused body would keep the connection from being read for ever
    if (this.req[kState].paused) res.resume()
    this.req[kState].paused = false
    this[kState].res = undefined
    return res
  }

  /** Adds a header, as in the original, also if it was set before. */
  setHeader(name, value) {
    if (this.headersSent) throw headersSent('set')
    validateHeaderName(name)
    for (const one of [].concat(value)) validateHeaderValue(name, one)
    this[kState].headers.push([String(name).toLowerCase(), name, value])
    return this
  }

  appendHeader(name, value) {
    return this.setHeader(name, value)
  }

  /**
   * Finds nothing, as in the original: packages that add to a header, such as `vary`, set the addition, which is sent,
   * too.
   */
  getHeader() {}

  getHeaders() {
    const headers = {}
    for (const [key, , value] of this[kState].headers)
      headers[key] = Object.hasOwn(headers, key) ? [].concat(headers[key], value) : value
    return headers
  }

  getHeaderNames() {
    return Object.keys(this.getHeaders())
  }

  hasHeader(name) {
    return this[kState].headers.some(([key]) => key === String(name).toLowerCase())
  }

  /** Does nothing, as in the original. */
  removeHeader() {}

  /** Drops the headers that were set. */
  [kDropHeaders]() {
    this[kState].headers = []
  }

  writeHead(status = this.statusCode, message, headers = message) {
    if (this.headersSent) throw headersSent('write')
    const code = Number(status)
    if (!(code >= 100 && code <= 999)) {
      throw Object.assign(new RangeError(`Invalid status code: ${status}`), { code: 'ERR_HTTP_INVALID_STATUS_CODE' })
    }
    if (typeof message === 'string') this.statusMessage = message
    const reason = this.statusMessage || STATUS_CODES[Math.trunc(code)] || 'Unknown'
    validateHeaderValue('statusMessage', reason)
    this.statusCode = Math.trunc(code)
    if (headers !== null && typeof headers === 'object') {
      for (const name of Object.keys(headers)) this.setHeader(name, headers[name])
    }
    this[kState].statusLine = `${this.statusCode} ${reason}`
    this.headersSent = true
    return this
  }

  write(chunk, encoding) {
    if (this.writableEnded) return false
    if (!this.headersSent) this.writeHead()
    if (chunk !== undefined) this[kState].chunks.push(bytesOf(chunk, encoding))
    return true
  }

  flushHeaders() {}

  setTimeout() {
    return this
  }

  end(chunk, encoding, callback) {
    if (this.writableEnded) return this
    if (typeof chunk === 'function') [chunk, encoding, callback] = [undefined, undefined, chunk]
    else if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding]
    if (chunk !== undefined && chunk !== null) this[kState].chunks.push(bytesOf(chunk, encoding))
    // packages that wait for the headers, such as express-session, replace this method
    if (!this.headersSent) this.writeHead()
    if (callback) this.once('finish', callback)
    this.writableEnded = this.finished = true
    // otherwise the client has gone, and `close` was emitted
    if (this[kState].res !== undefined) {
      this[kRespond](this[kTake]())
      // in the next tick, as in Node
      process.nextTick(settle, this)
    }
    this[kState].chunks = []
    return this
  }

  [kRespond](res) {
    res.cork(() => {
      res.writeStatus(this[kState].statusLine)
      this[kWriteHeaders](res)
      const body = this[kState].chunks.length === 1 ? this[kState].chunks[0] : Buffer.concat(this[kState].chunks)
      // uWebSockets.js writes no body for HEAD
      if (this.req.method === 'HEAD') res.endWithoutBody(body.length)
      else res.end(body)
    })
  }

  [kWriteHeaders](res) {
    for (const [key, name, value] of this[kState].headers) {
      if (OWN_HEADERS.has(key)) continue
      for (const one of [].concat(value)) res.writeHeader(name, String(one))
    }
  }

  /**
   * Switches protocols. `userData` belongs to the connection, `terms` are the client's offers.
   *
   * @throws {TypeError} for a header that cannot be sent; nothing is written then
   */
  [kUpgrade](userData, headers, { key, protocol, extensions, context }) {
    // a head that a middleware has written has no effect here
    this.headersSent = false
    this.statusMessage = undefined
    this.writeHead(101, headers)
    const res = this[kTake]()
    this.writableEnded = true
    this[kState].userData = userData
    res.cork(() => {
      res.writeStatus(this[kState].statusLine)
      this[kWriteHeaders](res)
      res.upgrade(userData, key, protocol, extensions, context)
    })
  }

  /** Cuts the connection off. */
  destroy() {
    if (this[kState].res !== undefined) this[kState].res.close()
    else if (this[kState].userData !== undefined && !this.destroyed) this[kState].userData.transport[kCutOff]()
    return this
  }

  close() {
    return this.destroy()
  }

  writeStatus(status) {
    const [, code, message] = /^(\d+) ?(.*)$/s.exec(status) || []
    if (code !== undefined) this.writeHead(Number(code), message)
    return this
  }

  writeHeader(name, value) {
    // hooks of uWebSockets.js write the status first
    const { headersSent } = this
    this.headersSent = this.writableEnded
    try {
      return this.appendHeader(name, value)
    } finally {
      this.headersSent = headersSent
    }
  }

  cork(callback) {
    callback()
    return this
  }

  onAborted(callback) {
    this.once('close', () => {
      if (!this.writableEnded) callback()
    })
    return this
  }

  [kOnAborted]() {
    if (this[kState].res === undefined) return
    this[kState].res = undefined
    this.destroyed = true
    try {
      this.emit('close')
    } finally {
      this.req[kOnAborted]()
    }
  }

  /** Called when the WebSocket has closed. */
  [kOnWebSocketClosed]() {
    this.destroyed = true
    this.emit('close')
  }
}

function settle(response) {
  try {
    response.emit('finish')
  } finally {
    response.destroyed = true
    response.emit('close')
  }
}

function bytesOf(chunk, encoding) {
  return typeof chunk === 'string' ? Buffer.from(chunk, encoding) : Buffer.from(chunk)
}

function headersSent(verb) {
  const error = new Error(`Cannot ${verb} headers after they are sent to the client`)
  return Object.assign(error, { code: 'ERR_HTTP_HEADERS_SENT' })
}

module.exports = { Request }
