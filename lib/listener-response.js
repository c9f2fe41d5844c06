'use strict'

const { validateHeaderName, validateHeaderValue } = require('http')
const bridge = require('./bridge')
const { LazyEmitter, letGoOfTable } = require('./emitter')

/**
 * The response to a request that the engine's own listener got, with what middlewares use of Node's
 * `ServerResponse`. It goes out as a whole when it is ended.
 */
class ListenerResponse extends LazyEmitter {
  constructor(number, req) {
    super()
    this.req = req
    this.statusCode = 200
    this.statusMessage = undefined
    this.headersSent = false
    this.writableEnded = false
    this.destroyed = false
    this._number = number
    /** By their names in lower case: `[name, value]`. */
    this._headers = new Map()
    this._chunks = undefined
  }

  get socket() {
    return this.req.socket
  }

  get connection() {
    return this.req.socket
  }

  get finished() {
    return this.writableEnded
  }

  get writableFinished() {
    return this.writableEnded
  }

  get writable() {
    return !this.writableEnded && !this.destroyed
  }

  setHeader(name, value) {
    if (this.headersSent) throw headersSent('set')
    validateHeaderName(name)
    if (Array.isArray(value)) for (const one of value) validateHeaderValue(name, one)
    else validateHeaderValue(name, value)
    this._headers.set(name.toLowerCase(), [name, value])
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
    const headers = Object.create(null)
    for (const [key, [, value]] of this._headers) headers[key] = value
    return headers
  }

  getHeaderNames() {
    return [...this._headers.keys()]
  }

  hasHeader(name) {
    return this._headers.has(String(name).toLowerCase())
  }

  removeHeader(name) {
    if (this.headersSent) throw headersSent('remove')
    this._headers.delete(String(name).toLowerCase())
  }

  writeHead(status, message, headers) {
    if (this.headersSent) throw headersSent('write')
    if (typeof message === 'object') headers = message
    else this.statusMessage = message
    this.statusCode = status
    for (const name of Object.keys(headers || {})) this.setHeader(name, headers[name])
    this.headersSent = true
    return this
  }

  /** Truthy once the head is out, as packages that wrap responses expect of Node's. */
  get _header() {
    return this.headersSent ? 'sent' : null
  }

  _implicitHeader() {
    this.writeHead(this.statusCode)
  }

  setHeaders(headers) {
    for (const [name, value] of headers) this.setHeader(name, value)
    return this
  }

  flushHeaders() {}

  setTimeout() {
    return this
  }

  write(chunk, encoding, callback) {
    if (typeof encoding === 'function') callback = encoding
    this.headersSent = true
    if (this._chunks === undefined) this._chunks = []
    this._chunks.push(typeof chunk === 'string' ? Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8') : chunk)
    if (typeof callback === 'function') process.nextTick(callback)
    return true
  }

  end(chunk, encoding, callback) {
    if (typeof chunk === 'function') callback = chunk
    else if (typeof encoding === 'function') callback = encoding
    if (this.writableEnded) return this
    let body = typeof chunk === 'function' ? undefined : chunk
    if (this._chunks !== undefined) {
      if (body !== undefined && body !== null) this.write(body, encoding)
      body = Buffer.concat(this._chunks)
      this._chunks = undefined
    }
    this.headersSent = true
    this.writableEnded = true
    if (this.req.method === 'HEAD') body = undefined
    this._settle(() => bridge.getEngine().respond(this._number, this.statusCode, this._fields(), body))
    if (typeof callback === 'function') this.once('finish', callback)
    if (this._events !== undefined) process.nextTick(() => this._finish())
    return this
  }

  destroy() {
    if (this.destroyed) return this
    this.destroyed = true
    this._settle(() => bridge.getEngine().destroyRequest(this._number))
    process.nextTick(() => this.emit('close'))
    return this
  }

  _finish() {
    this.emit('finish')
    if (!this.destroyed) this.emit('close')
  }

  /** The headers as the engine takes them: names and values, each followed by NUL. */
  _fields() {
    let fields = ''
    for (const [name, value] of this._headers.values()) {
      if (Array.isArray(value)) for (const one of value) fields += `${name}\0${one}\0`
      else fields += `${name}\0${value}\0`
    }
    return fields
  }

  _settle(decide) {
    if (bridge.requests.delete(this._number)) decide()
  }

  _onAborted() {
    this.destroy()
    this.req._onAborted()
  }
}

letGoOfTable(ListenerResponse)

function headersSent(what) {
  const error = new Error(`Cannot ${what} headers after they are sent to the client`)
  error.code = 'ERR_HTTP_HEADERS_SENT'
  return error
}

module.exports = { ListenerResponse }
