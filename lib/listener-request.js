'use strict'

// What hooks and middlewares see of a request that the engine's own listener got: objects that look
// like Node's, made only for requests that JavaScript has to see, and filled in as far as it looks.

const { EventEmitter } = require('events')
const { Readable } = require('stream')
const bridge = require('./bridge')
const { LazyEmitter, letGoOfTable } = require('./emitter')
const { NativeWebSocket } = require('./websocket')

/** Where the fields of a request's head are, see `head` in src/http/request.rs. */
const SID = 0
const CONNECTION = 1
const METHOD = 2
const TARGET = 3
const VERSION = 4
const REMOTE_ADDRESS = 5
const REMOTE_PORT = 6
const LOCAL_ADDRESS = 7
const LOCAL_PORT = 8
const HEADERS = 9

/** Header names that are one character each in a head, see `COMMON` in src/http/request.rs. */
const COMMON = ['host', 'connection', 'upgrade', 'user-agent', 'accept-encoding']
COMMON.push('sec-websocket-key', 'sec-websocket-version', 'sec-websocket-extensions')
const LAST_COMMON = String.fromCharCode(COMMON.length)

/** Headers of which a second one does not count. */
const SINGLE = new Set(['age', 'authorization', 'content-length', 'content-type', 'etag', 'expires', 'from', 'host'])
SINGLE.add('if-modified-since').add('if-unmodified-since').add('last-modified').add('location').add('max-forwards')
SINGLE.add('proxy-authorization').add('referer').add('retry-after').add('server').add('user-agent')

const NO_HEADERS = Object.freeze({})

/** Who listens to one of these wants the body. */
const BODY_EVENTS = new Set(['data', 'end', 'readable'])

/** A Readable that becomes one when somebody reads: most requests have no body, or nobody asks for it. */
function LazyReadable() {}

LazyReadable.prototype = Object.create(Readable.prototype, {
  constructor: { value: LazyReadable, writable: true, configurable: true },
})

class ListenerRequest extends LazyReadable {
  /**
   * @param {number} number the request's number; 0: it has been answered
   * @param {number} listener the number of the listener
   * @param {string} head its fields, each followed by NUL
   */
  constructor(number, listener, head) {
    super()
    this._number = number
    this._listener = listener
    this._head = head
    this._headers = undefined
    this._end = undefined
    this.method = this._field(METHOD)
    this.url = this._field(TARGET)
    this.aborted = false
    this.res = null
  }

  _field(index) {
    return fieldOf(this._head, index)
  }

  get httpVersion() {
    return this._field(VERSION)
  }

  get httpVersionMajor() {
    return 1
  }

  get httpVersionMinor() {
    return Number(this.httpVersion[2])
  }

  get headers() {
    if (this._headers === undefined) this._headers = parseHeaders(this.rawHeaders)
    return this._headers
  }

  set headers(headers) {
    this._headers = headers
  }

  /** The headers, for a look. If there is no `header` of that name among them, they are not worth one. */
  _peek(header) {
    if (this._headers !== undefined) return this._headers
    if (header !== undefined && !this._head.includes(`\0${nameInHead(header)}\0`)) return NO_HEADERS
    return parseHeaders(this.rawHeaders)
  }

  get rawHeaders() {
    const fields = this._head.split('\0').slice(HEADERS, -1)
    for (let i = 0; i < fields.length; i += 2) {
      if (fields[i] <= LAST_COMMON) fields[i] = COMMON[fields[i].charCodeAt(0) - 1]
    }
    return fields
  }

  get complete() {
    return !this.aborted
  }

  get socket() {
    if (this._end === undefined) this._end = new ListenerEnd(this)
    return this._end
  }

  set socket(socket) {
    this._end = socket
  }

  get connection() {
    return this.socket
  }

  set connection(socket) {
    this._end = socket
  }

  setTimeout() {
    return this
  }

  // ---- the body ------------------------------------------------------------------------------

  /** Becomes a stream of the body, which has arrived as a whole. */
  _open() {
    if (Object.prototype.hasOwnProperty.call(this, '_readableState')) return this
    Readable.call(this, { autoDestroy: false })
    // once it is answered, the number may be another request's
    const waiting = bridge.requests.get(this._number)
    if (waiting !== undefined && waiting.req === this) {
      const body = bridge.getEngine().requestBody(this._number)
      if (body.length > 0) this.push(body)
    }
    this.push(null)
    return this
  }

  on(event, listener) {
    if (!BODY_EVENTS.has(event)) return EventEmitter.prototype.on.call(this, event, listener)
    return super.on.call(this._open(), event, listener)
  }

  addListener(event, listener) {
    return this.on(event, listener)
  }

  read(size) {
    return super.read.call(this._open(), size)
  }

  pipe(target, options) {
    return super.pipe.call(this._open(), target, options)
  }

  resume() {
    return super.resume.call(this._open())
  }

  pause() {
    return super.pause.call(this._open())
  }

  setEncoding(encoding) {
    return super.setEncoding.call(this._open(), encoding)
  }

  [Symbol.asyncIterator]() {
    return super[Symbol.asyncIterator].call(this._open())
  }

  _read() {}

  destroy() {
    this.aborted = true
    bridge.getEngine().destroyRequest(this._number)
    return this
  }

  _onAborted() {
    this.aborted = true
    this.emit('aborted')
    this.emit('close')
  }
}

// all that is Readable's looks here first
Object.defineProperty(ListenerRequest.prototype, '_readableState', {
  configurable: true,
  get() {
    return this._open()._readableState
  },
  set(value) {
    Object.defineProperty(this, '_readableState', { value, configurable: true, enumerable: true, writable: true })
  },
})

/** Both ends of the connection that a request came by. */
class ListenerEnd extends LazyEmitter {
  constructor(req) {
    super()
    this._req = req
    this.destroyed = false
  }

  get remoteAddress() {
    return this._req._field(REMOTE_ADDRESS)
  }

  get remotePort() {
    return Number(this._req._field(REMOTE_PORT))
  }

  get localAddress() {
    return this._req._field(LOCAL_ADDRESS)
  }

  get localPort() {
    return Number(this._req._field(LOCAL_PORT))
  }

  get remoteFamily() {
    return this.remoteAddress.includes(':') ? 'IPv6' : 'IPv4'
  }

  get encrypted() {
    return false
  }

  get readable() {
    return !this.destroyed
  }

  get writable() {
    return !this.destroyed
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

letGoOfTable(ListenerEnd)

/** The connection of an upgrade request: can be answered, or accepted, once. */
class ListenerSocket extends ListenerEnd {
  constructor(number, req) {
    super(req)
    this._number = number
    this._websocket = null
    this._answer = ''
    req.socket = this
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
    engine.respond(this._number, Number(status.split(' ')[1]), fieldsOf(lines), this._answer.slice(end + 4))
  }

  _accept(lines, { maxPayload, deflate }) {
    bridge.requests.delete(this._number)
    const connection = bridge.getEngine().accept(this._number, fieldsOf(lines.slice(1)), maxPayload, deflate)
    this._websocket = new NativeWebSocket(connection, this)
    return this._websocket
  }

  _onAborted() {
    bridge.requests.delete(this._number)
    bridge.getEngine().destroyRequest(this._number)
    this.destroy()
  }
}

/** Header lines as the engine takes them: names and values, each followed by NUL. */
function fieldsOf(lines) {
  let fields = ''
  for (const line of lines) {
    const colon = line.indexOf(':')
    fields += `${line.slice(0, colon)}\0${line.slice(colon + 1).trim()}\0`
  }
  return fields
}

function nameInHead(header) {
  const place = COMMON.indexOf(header)
  return place === -1 ? header : String.fromCharCode(place + 1)
}

/** A field of a request's head. */
function fieldOf(head, index) {
  let from = 0
  for (let i = 0; i < index; i++) from = head.indexOf('\0', from) + 1
  return head.slice(from, head.indexOf('\0', from))
}

/** Headers as Node joins them. */
function parseHeaders(raw) {
  const headers = {}
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]
    const value = raw[i + 1]
    if (name === 'set-cookie') (headers[name] = headers[name] || []).push(value)
    else if (headers[name] === undefined) headers[name] = value
    else if (!SINGLE.has(name)) headers[name] += (name === 'cookie' ? '; ' : ', ') + value
  }
  return headers
}

module.exports = { ListenerRequest, ListenerSocket, fieldOf, SID, CONNECTION, REMOTE_ADDRESS }
