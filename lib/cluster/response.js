'use strict'

const { EventEmitter } = require('events')
const { validateHeaderName, validateHeaderValue } = require('http')
const { ErrorCode } = require('../native/contract')
const { sidOf } = require('../base/query')
const { kResponse } = require('../base/symbols')

/** The most bytes that are joined, which one message holds. */
const MAX_JOINED = 1 << 29

/**
 * The response to a request that another member has received and passed here. It has what transports use of Node's
 * responses. Its answer is one message, which that member writes.
 *
 * Events: `finish`, when the answer has been written, and `close`, then or when the client has gone.
 */
class ForwardedResponse extends EventEmitter {
  /**
   * @param {import('http').IncomingMessage} req
   * @param {{answer: (status: number, headers: object, body: any) => boolean, cutOff: () => void,
   *   refuse: (code: number, context: object) => void}} front what has the client; `answer` returns whether the answer
   *   is on its way
   */
  constructor(req, front) {
    super()
    this.req = req
    req[kResponse] = this
    this._front = front
    /** The headers as they were set, by their names in lower case. */
    this._headers = new Map()
    this.statusCode = 200
    this.statusMessage = undefined
    this.headersSent = false
    this.writableEnded = false
    this.writableFinished = false
    this.destroyed = false
    /** What has been written of the body before its end. */
    this._parts = undefined
    this._length = 0
    /** Whether the poll is to be answered soon, because the process that has received it is about to stop. */
    this.isReleased = false
    /** Has a poll answered soon, if another process or machine answers it. */
    this.release = undefined
    /** What has not been written waits, as far as this member knows. */
    this.socket = this.connection = { writableLength: 1, destroyed: false }
  }

  get finished() {
    return this.writableEnded
  }

  /** Number of bytes that wait, as far as this member knows. */
  get writableLength() {
    return this.socket.writableLength
  }

  setHeader(name, value) {
    validateHeaderName(name)
    if (Array.isArray(value)) for (const one of value) validateHeaderValue(name, one)
    else validateHeaderValue(name, value)
    this._headers.set(name.toLowerCase(), [name, value])
    return this
  }

  getHeader(name) {
    return this._headers.get(String(name).toLowerCase())?.[1]
  }

  hasHeader(name) {
    return this._headers.has(String(name).toLowerCase())
  }

  removeHeader(name) {
    this._headers.delete(String(name).toLowerCase())
  }

  /** Takes status and headers, which are checked here, where an exception reaches who has made them. */
  writeHead(status, ...rest) {
    const headers = rest[rest.length - 1]
    if (headers !== null && typeof headers === 'object') {
      for (const name of Object.keys(headers)) if (headers[name] !== undefined) this.setHeader(name, headers[name])
    }
    this.statusCode = status
    this.headersSent = true
    return this
  }

  /** Takes a part of the body, which leaves with the rest. */
  write(part, callback) {
    if (this.writableEnded || this.destroyed) return false
    this.headersSent = true
    this._length += part.length
    this._parts ??= []
    if (this._length > MAX_JOINED) this.destroy()
    else this._parts.push(part)
    process.nextTick(callback)
    return true
  }

  end(body) {
    if (this.writableEnded || this.destroyed) return this
    if (this._parts !== undefined) body = Buffer.concat([...this._parts.splice(0), Buffer.from(body ?? '')])
    this.headersSent = true
    this.writableEnded = true
    // the transport hears of it as of any client that goes before an answer is written
    if (!this._front.answer(this.statusCode, Object.fromEntries(this._headers.values()), body))
      process.nextTick(() => this.abort())
    return this
  }

  /** Cuts the client off. */
  destroy() {
    if (this.destroyed) return this
    this._front.cutOff()
    this.abort()
    return this
  }

  /** Has the member that has the client ask the new owner of the session, which has moved. */
  moveOn() {
    this.destroyed = true
    this._front.refuse(ErrorCode.UNKNOWN_SID, { sid: sidOf(/** @type {any} */ (this.req)) })
  }

  /** Called when the answer has been written. */
  finish() {
    if (this.destroyed || this.writableFinished) return
    this.writableFinished = true
    this.socket.writableLength = 0
    this.emit('finish')
    // as behind Node's server, the rest of the request is dropped, of which only listeners would hear
    if (this.req._eventsCount > 0) this.req.resume()
    this.emit('close')
  }

  /** Called when the client has gone, or its member. */
  abort() {
    if (this.destroyed || this.writableFinished) return
    this.destroyed = true
    this.socket.destroyed = true
    try {
      this.req.destroy()
    } finally {
      this.emit('close')
    }
  }
}

module.exports = { ForwardedResponse }
