'use strict'

// What hooks and middlewares see of a request that the engine's own listener got: objects that look
// like Node's, made only for requests that JavaScript has to see.

const { EventEmitter } = require('events')
const { validateHeaderName, validateHeaderValue } = require('http')
const { Readable, Writable } = require('stream')
const bridge = require('./bridge')
const { NativeWebSocket } = require('./websocket')

/** Where the headers start in the fields of a request's head, see `head` in src/http/request.rs. */
const HEADERS = 7

/** Headers of which a second one does not count. */
const SINGLE = new Set(['age', 'authorization', 'content-length', 'content-type', 'etag', 'expires', 'from', 'host'])
SINGLE.add('if-modified-since').add('if-unmodified-since').add('last-modified').add('location').add('max-forwards')
SINGLE.add('proxy-authorization').add('referer').add('retry-after').add('server').add('user-agent')

class ListenerRequest extends Readable {
  /**
   * @param {number} number the request's number
   * @param {number} listener the number of the listener
   * @param {string} head its fields, each followed by NUL
   */
  constructor(number, listener, head) {
    super({ autoDestroy: false })
    const fields = head.split('\0')
    this.method = fields[0]
    this.url = fields[1]
    this.httpVersion = fields[2]
    this._number = number
    this._listener = listener
    this._fields = fields
    this._headers = undefined
    this.complete = false
    this.aborted = false
    this.socket = this.connection = undefined
    this.res = null
    this.socket = this.connection = new ListenerEnd(fields)
  }

  get headers() {
    if (this._headers === undefined) this._headers = parseHeaders(this._fields)
    return this._headers
  }

  set headers(headers) {
    this._headers = headers
  }

  get rawHeaders() {
    return this._fields.slice(HEADERS, -1)
  }

  get httpVersionMajor() {
    return 1
  }

  get httpVersionMinor() {
    return Number(this.httpVersion[2])
  }

  setTimeout() {
    return this
  }

  _readBody() {
    const body = this.method === 'GET' ? '' : bridge.getEngine().requestBody(this._number)
    if (body.length > 0) this.push(body)
    this.complete = true
    this.push(null)
  }

  _read() {}

  _destroy(error, callback) {
    bridge.getEngine().destroyRequest(this._number)
    callback(error)
  }

  _onAborted() {
    this.aborted = true
    this.emit('aborted')
    this.emit('close')
  }
}

/** Both ends of the connection that a request came by. */
class ListenerEnd extends EventEmitter {
  constructor(fields) {
    super()
    this.remoteAddress = fields[3]
    this.remotePort = Number(fields[4])
    this.localAddress = fields[5]
    this.localPort = Number(fields[6])
    this.remoteFamily = this.remoteAddress.includes(':') ? 'IPv6' : 'IPv4'
    this.encrypted = false
    this.readable = this.writable = true
    this.destroyed = false
  }

  address() {
    return { address: this.localAddress, family: this.remoteFamily, port: this.localPort }
  }

  setTimeout() {
    return this
  }

  setNoDelay() {
    return this
  }

  setKeepAlive() {
    return this
  }

  ref() {
    return this
  }

  unref() {
    return this
  }

  destroy() {
    this.destroyed = true
    return this
  }
}

class ListenerResponse extends Writable {
  constructor(number, req) {
    super({ decodeStrings: true })
    this.req = req
    this.socket = this.connection = req.socket
    this.statusCode = 200
    this.statusMessage = undefined
    this.headersSent = false
    this._number = number
    this._headers = new Map()
    this._chunks = []
  }

  get finished() {
    return this.writableEnded
  }

  setHeader(name, value) {
    if (this.headersSent) {
      const error = new Error('Cannot set headers after they are sent to the client')
      error.code = 'ERR_HTTP_HEADERS_SENT'
      throw error
    }
    validateHeaderName(name)
    for (const one of Array.isArray(value) ? value : [value]) validateHeaderValue(name, one)
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
    this._headers.delete(String(name).toLowerCase())
  }

  writeHead(status, message, headers) {
    if (typeof message === 'object') headers = message
    else this.statusMessage = message
    this.statusCode = status
    for (const name of Object.keys(headers || {})) this.setHeader(name, headers[name])
    this.headersSent = true
    return this
  }

  flushHeaders() {}

  setTimeout() {
    return this
  }

  _write(chunk, encoding, callback) {
    this.headersSent = true
    this._chunks.push(chunk)
    callback()
  }

  _final(callback) {
    this.headersSent = true
    const headers = []
    for (const [, [name, value]] of this._headers) {
      for (const one of Array.isArray(value) ? value : [value]) headers.push(name, String(one))
    }
    const body = this.req.method === 'HEAD' ? [] : this._chunks
    this._settle(() => bridge.getEngine().respond(this._number, this.statusCode, headers, Buffer.concat(body)))
    callback()
  }

  _destroy(error, callback) {
    this._settle(() => bridge.getEngine().destroyRequest(this._number))
    callback(error)
  }

  _settle(decide) {
    if (bridge.requests.delete(this._number)) decide()
  }

  _onAborted() {
    this._settle(() => bridge.getEngine().destroyRequest(this._number))
    this.req._onAborted()
    this.destroy()
  }
}

/** The connection of an upgrade request: can be answered, or accepted, once. */
class ListenerSocket extends ListenerEnd {
  constructor(number, req) {
    super(req._fields)
    this._number = number
    this._websocket = null
    this._answer = ''
    req.socket = req.connection = this
  }

  write(text) {
    this._answer += text
    return true
  }

  end(text = '') {
    this.write(text)
    this._respond()
  }

  destroy() {
    if (this.destroyed) return this
    this.destroyed = true
    this.writable = this.readable = false
    if (this._websocket !== null) this._websocket.terminate()
    else this._respond()
    process.nextTick(() => this.emit('close', false))
    return this
  }

  /** Sends what was written, which is a complete response. */
  _respond() {
    if (!bridge.requests.delete(this._number)) return
    const engine = bridge.getEngine()
    const end = this._answer.indexOf('\r\n\r\n')
    if (end === -1) return engine.destroyRequest(this._number)
    const [status, ...lines] = this._answer.slice(0, end).split('\r\n')
    engine.respond(this._number, Number(status.split(' ')[1]), pairs(lines), Buffer.from(this._answer.slice(end + 4)))
  }

  _accept(lines, { maxPayload, deflate }) {
    bridge.requests.delete(this._number)
    const connection = bridge.getEngine().accept(this._number, pairs(lines.slice(1)), maxPayload, deflate)
    this._websocket = new NativeWebSocket(connection, this)
    return this._websocket
  }

  _onAborted() {
    bridge.requests.delete(this._number)
    bridge.getEngine().destroyRequest(this._number)
    this.destroy()
  }
}

function pairs(lines) {
  return lines.flatMap((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1).trim()]
  })
}

/** Headers as Node joins them. */
function parseHeaders(fields) {
  const headers = {}
  for (let i = HEADERS; i + 1 < fields.length; i += 2) {
    const name = fields[i]
    const value = fields[i + 1]
    if (name === 'set-cookie') (headers[name] = headers[name] || []).push(value)
    else if (headers[name] === undefined) headers[name] = value
    else if (!SINGLE.has(name)) headers[name] += (name === 'cookie' ? '; ' : ', ') + value
  }
  return headers
}

module.exports = { ListenerRequest, ListenerResponse, ListenerSocket }
