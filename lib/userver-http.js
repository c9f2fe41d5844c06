'use strict'

// Requests and responses of uWebSockets.js in the form of Node's, which is what middlewares, hooks and the polling
// transport work with. The objects of uWebSockets.js itself can be used only until its handler returns, respectively
// until the client is gone.

const { STATUS_CODES, validateHeaderName, validateHeaderValue } = require('http')
const { EventEmitter } = require('events')
const { Readable } = require('stream')

/** Set by uWebSockets.js for each response. */
const OWN_HEADERS = new Set(['content-length', 'transfer-encoding', 'connection'])

/** A request; `close` is emitted when the client goes away before its answer. */
class Request extends Readable {
  /**
   * @param {object} req the HttpRequest of uWebSockets.js
   * @param {object} res its HttpResponse
   */
  constructor(req, res) {
    super({ autoDestroy: false })
    const query = req.getQuery()
    this.method = req.getMethod().toUpperCase()
    this.url = query ? `${req.getUrl()}?${query}` : req.getUrl()
    this.httpVersion = '1.1'
    this.headers = {}
    this.rawHeaders = []
    req.forEach((name, value) => {
      this.headers[name] = value
      this.rawHeaders.push(name, value)
    })
    const remoteAddress = Buffer.from(res.getRemoteAddressAsText()).toString()
    this.socket = this.connection = { remoteAddress, encrypted: false, destroyed: false }
    this.res = null
    this.complete = false
    this.aborted = false
    this._gone = () => {}
    if (this.method === 'GET') this._finish()
    else this._receive(res)
  }

  /** Has to be done before the handler returns. */
  _receive(res) {
    this._gone = () => res.close()
    this._flow = () => res.resume()
    res.onData((chunk, isLast) => {
      // the bytes are gone when this function returns
      const more = chunk.byteLength === 0 || this.push(Buffer.from(chunk.slice(0)))
      if (isLast) return this._finish()
      if (!more) {
        this._paused = true
        res.pause()
      }
    })
  }

  _finish() {
    this.complete = true
    this.push(null)
  }

  _read() {
    if (!this._paused) return
    this._paused = false
    if (!this.aborted && !this.complete) this._flow()
  }

  _destroy(error, callback) {
    if (!this.aborted && !this.complete) this._gone()
    callback(error)
  }

  setTimeout() {
    return this
  }

  _onAborted() {
    this.aborted = true
    this.socket.destroyed = true
    this.emit('aborted')
    this.emit('close')
  }
}

/** A response, written when it is complete. Events: `finish`, and `close` when the client is gone or served. */
class Response extends EventEmitter {
  /** @param {object} res the HttpResponse of uWebSockets.js */
  constructor(res, req) {
    super()
    this.req = req
    this.socket = this.connection = req.socket
    this.statusCode = 200
    this.statusMessage = undefined
    this.headersSent = false
    this.writableEnded = this.finished = false
    this.destroyed = false
    this._res = res
    this._headers = new Map()
    this._chunks = []
    res.onAborted(() => this._onAborted())
  }

  setHeader(name, value) {
    if (this.headersSent) {
      throw Object.assign(new Error('Cannot set headers after they are sent to the client'), { code: 'ERR_HTTP_HEADERS_SENT' })
    }
    validateHeaderName(name)
    for (const one of [].concat(value)) validateHeaderValue(name, one)
    this._headers.set(String(name).toLowerCase(), [name, value])
    return this
  }

  appendHeader(name, value) {
    const before = this.getHeader(name)
    return this.setHeader(name, before === undefined ? value : [].concat(before, value))
  }

  getHeader(name) {
    const header = this._headers.get(String(name).toLowerCase())
    return header && header[1]
  }

  getHeaders() {
    return Object.fromEntries([...this._headers].map(([key, [, value]]) => [key, value]))
  }

  getHeaderNames() {
    return [...this._headers.keys()]
  }

  hasHeader(name) {
    return this._headers.has(String(name).toLowerCase())
  }

  removeHeader(name) {
    this._headers.delete(String(name).toLowerCase())
  }

  writeHead(status = this.statusCode, message, headers = message) {
    this.statusCode = status
    if (typeof message === 'string') this.statusMessage = message
    if (headers !== null && typeof headers === 'object') {
      for (const name of Object.keys(headers)) this.setHeader(name, headers[name])
    }
    this.headersSent = true
    return this
  }

  write(chunk) {
    this.headersSent = true
    if (chunk !== undefined) this._chunks.push(Buffer.from(chunk))
    return true
  }

  flushHeaders() {}

  setTimeout() {
    return this
  }

  end(chunk, encoding, callback) {
    if (this.writableEnded) return this
    if (typeof chunk === 'function') callback = chunk
    else if (chunk !== undefined && chunk !== null) this._chunks.push(Buffer.from(chunk))
    if (typeof encoding === 'function') callback = encoding
    this.headersSent = this.writableEnded = this.finished = true
    if (!this.destroyed) this._respond()
    if (callback) callback()
    this.emit('finish')
    this.destroyed = true
    this.emit('close')
    return this
  }

  _respond() {
    const { _res: res } = this
    res.cork(() => {
      res.writeStatus(`${this.statusCode} ${this.statusMessage || STATUS_CODES[this.statusCode] || 'Unknown'}`)
      this._writeHeaders()
      const body = this._chunks.length === 1 ? this._chunks[0] : Buffer.concat(this._chunks)
      // a response without a body has no Content-Type either: nothing to write
      if (this.req.method === 'HEAD') res.endWithoutBody(body.length)
      else res.end(body)
    })
  }

  _writeHeaders() {
    for (const [key, [name, value]] of this._headers) {
      if (OWN_HEADERS.has(key)) continue
      for (const one of [].concat(value)) this._res.writeHeader(name, String(one))
    }
  }

  /** Switches protocols: `userData` is what the connection carries, `terms` what the client offered. */
  _upgrade(userData, headers, { key, protocol, extensions, context }) {
    for (const name of Object.keys(headers)) this.setHeader(name, headers[name])
    const { _res: res } = this
    this.headersSent = this.writableEnded = true
    res.cork(() => {
      res.writeStatus('101 Switching Protocols')
      this._writeHeaders()
      res.upgrade(userData, key, protocol, extensions, context)
    })
  }

  /** Cuts the connection off. */
  destroy() {
    if (!this.destroyed) this._res.close()
    return this
  }

  _onAborted() {
    if (this.destroyed) return
    this.destroyed = true
    this.emit('close')
    this.req._onAborted()
  }
}

module.exports = { Request, Response }
