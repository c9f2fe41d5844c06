'use strict'

const { IncomingMessage } = require('http')
const { LazyEmitter } = require('../base/emitter')
const { parseQuery } = require('../base/query')
const { HEAD_NAMES, HeadField } = require('../native/contract')
const { StreamBelow } = require('../native/stream-below')
const { kBody, kOnEnd, kResponse, kState } = require('../base/symbols')
const { Descriptor, define, keep, State } = require('../base/state')

const EMPTY = Buffer.alloc(0)

/** The fields of the head of a `ForwardedRequest`, and the substitute for the stream below it. */
const kHead = Symbol('head')
const kEnds = Symbol('ends')

const LAST_NAME = String.fromCharCode(HEAD_NAMES.length)

/** The query of most requests, as far as transports need it. */
const PLAIN_QUERY = Object.freeze({ EIO: '4' })

/** The address of the last client, which the next one often shares. */
let lastAddress = ''

/**
 * A request that the native listener has received. Most are never used, so that their objects are made at the first
 * use.
 */
class Opening extends StreamBelow {
  /** @param {string} head see src/http/head.rs */
  constructor(head) {
    super()
    this._head = head
    this._websocket = undefined
    this._request = undefined
    this._ends = undefined
  }

  /** The id of the session that the request has opened. */
  get sid() {
    return fieldOf(this._head, HeadField.SID)
  }

  /** The handle of the connection of an upgraded request; undefined for a poll. */
  get connection() {
    const connection = fieldOf(this._head, HeadField.CONNECTION)
    return connection === '' ? undefined : Number(connection)
  }

  /** The query, as far as transports need it. */
  get query() {
    return fieldOf(this._head, HeadField.IS_SPECIAL) === ''
      ? PLAIN_QUERY
      : queryOf(fieldOf(this._head, HeadField.TARGET))
  }

  /** The client's address; undefined on a UNIX socket. */
  get remoteAddress() {
    const address = fieldOf(this._head, HeadField.REMOTE_ADDRESS)
    // copied, because a part of a string keeps the whole string alive
    if (address !== lastAddress) lastAddress = Buffer.from(address, 'latin1').toString('latin1')
    return lastAddress === '' ? undefined : lastAddress
  }

  /** The WebSocket of an upgraded request. */
  set websocket(websocket) {
    this._websocket = websocket
  }

  /** The request, or the application's replacement. */
  get request() {
    if (this._request === undefined) this._request = this._makeRequest()
    return this._request
  }

  set request(req) {
    if (this._request === undefined) {
      this.below()
      this._head = ''
    }
    this._request = req
  }

  _makeRequest() {
    // there was no body, or it was not read
    const req = makeRequest(this.below(), this._head.split('\0'))
    if (this._websocket !== undefined) req.websocket = this._websocket
    return req
  }

  /** Returns the substitute for the stream below the request. */
  below() {
    if (this._ends === undefined) this._ends = new Ends(this._head.split('\0', HeadField.HEADERS), this._websocket)
    return this._ends
  }

  onClosed() {
    if (this._ends !== undefined) this._ends[kOnEnd]()
  }
}

/**
 * The addresses of a connection that the native listener serves. It is not a `net.Socket`, because its bytes never come
 * to JavaScript.
 *
 * Events: `close` (false), when a WebSocket's connection has ended.
 */
class Ends extends LazyEmitter {
  constructor(head, websocket) {
    super()
    keep(this, new State())
    this[kState].websocket = websocket
    this.destroyed = false
    this.remoteAddress = head[HeadField.REMOTE_ADDRESS] || undefined
    this.remotePort = Number(head[HeadField.REMOTE_PORT]) || undefined
    this.remoteFamily = familyOf(head[HeadField.REMOTE_ADDRESS])
    this.localAddress = head[HeadField.LOCAL_ADDRESS] || undefined
    this.localPort = Number(head[HeadField.LOCAL_PORT]) || undefined
    this.localFamily = familyOf(head[HeadField.LOCAL_ADDRESS])
  }

  address() {
    if (this.localAddress === undefined) return {}
    return { address: this.localAddress, family: this.localFamily, port: this.localPort }
  }

  /** Cuts a WebSocket's connection off. The connection of a polling client belongs to the listener. */
  destroy() {
    this.destroyed = true
    if (this[kState].websocket !== undefined) this[kState].websocket.terminate()
    return this
  }

  [kOnEnd]() {
    this.destroyed = true
    process.nextTick(() => this.emit('close', false))
  }
}

/** The property `request` of a session that the native listener has opened. */
const REQUEST = new Descriptor({
  configurable: true,
  enumerable: true,
  get() {
    return this[kState].opening.request
  },
  set(req) {
    this[kState].opening.request = req
  },
})

/** Gives a session the request that opened it. */
function showRequest(socket, opening) {
  socket[kState].opening = opening
  define(socket, 'request', REQUEST)
  socket.remoteAddress = opening.remoteAddress
}

/**
 * What `destroy()` of such a request does. Node's method expects a stream below.
 *
 * @this {any}
 */
function destroyBelow(error, callback) {
  if (!this.readableEnded) {
    this.aborted = true
    this.emit('aborted')
  }
  this.socket?.destroy()
  callback(this.listenerCount('error') > 0 ? error : null)
}

/** Fills a request with what the fields of its head say. */
function fill(req, head) {
  const rawHeaders = head.slice(HeadField.HEADERS, -1)
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i] <= LAST_NAME) rawHeaders[i] = HEAD_NAMES[rawHeaders[i].charCodeAt(0) - 1]
  }
  req._addHeaderLines(rawHeaders, rawHeaders.length)
  req.method = head[HeadField.METHOD]
  req.url = head[HeadField.TARGET]
  req.httpVersion = head[HeadField.VERSION]
  req.httpVersionMajor = Number(head[HeadField.VERSION][0])
  req.httpVersionMinor = Number(head[HeadField.VERSION][2])
  req._query = queryOf(req.url)
}

/** Makes a request on a substitute for its stream. It has no body, or one that was not read. */
function makeRequest(below, head) {
  const req = new IncomingMessage(/** @type {any} */ (below))
  define(req, '_destroy', DESTROY)
  fill(req, head)
  req.complete = true
  req.push(null)
  return req
}

const DESTROY = new Descriptor({ value: destroyBelow, writable: true, configurable: true })

/** A poll or a POST that another process has received. Its body is in the stream as soon as that is read. */
class ForwardedRequest extends IncomingMessage {
  /** @param {string[]} head the fields of its head */
  constructor(head, body = EMPTY) {
    super(/** @type {any} */ (undefined))
    this[kHead] = head
    this[kBody] = body
    /** The response: a request that is broken off without an answer has its client cut off. */
    this[kResponse] = undefined
    fill(this, head)
    this.complete = true
  }

  _read() {
    const body = this[kBody]
    this[kBody] = undefined
    if (body === undefined) return
    if (body.length > 0) this.push(body)
    this.push(null)
  }

  _destroy(error, callback) {
    // Node destroys a stream that has been read, too
    if (!this.readableEnded && !this[kResponse]?.writableEnded) this[kResponse]?.destroy()
    destroyBelow.call(this, error, callback)
  }
}

/** The property `socket`, which Node sets: the substitute for the stream below, made when it is first used. */
const SOCKET = new Descriptor({
  configurable: true,
  get() {
    if (this[kEnds] === undefined) this[kEnds] = new Ends(this[kHead], undefined)
    return this[kEnds]
  },
  set(socket) {
    this[kEnds] = socket
  },
})

define(ForwardedRequest.prototype, 'socket', SOCKET)

/**
 * Makes an upgrade request that another process has received, with its connection.
 *
 * @param {string[]} head the fields of its head
 */
function movedRequest(head, socket) {
  const req = new IncomingMessage(socket)
  fill(req, head)
  req.complete = true
  req.push(null)
  return req
}

/**
 * Makes the request that has opened a session at another process.
 *
 * @param {string[]} head the fields of its head
 */
function openingRequest(head) {
  const req = makeRequest(new Ends(head, undefined), head)
  // as behind any request that has opened a session
  Object.assign(req, { res: null })
  return req
}

/** Returns a field of a request's head. */
function fieldOf(head, index) {
  let from = 0
  for (let i = 0; i < index; i++) from = head.indexOf('\0', from) + 1
  return head.slice(from, head.indexOf('\0', from))
}

function queryOf(target) {
  try {
    return parseQuery(target)
  } catch {
    // `//` is not a valid URL
    return parseQuery(target.replace(/^\/+/, '/'))
  }
}

function familyOf(address) {
  if (!address) return undefined
  return address.includes(':') ? 'IPv6' : 'IPv4'
}

module.exports = { ForwardedRequest, Opening, movedRequest, openingRequest, showRequest }
