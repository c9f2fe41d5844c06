'use strict'

const { EventEmitter } = require('events')
const { validateHeaderName, validateHeaderValue } = require('http')
const debug = require('debug')('engine')
const { kNameOf } = require('../base/symbols')

/**
 * Runs Express-style middlewares one after the other. `callback` gets the error of the first that fails. It is called
 * synchronously if there are none.
 */
function applyMiddlewares(middlewares, req, res, callback) {
  if (middlewares.length === 0) {
    debug('no middleware to apply, skipping')
    return callback()
  }
  let chain = Promise.resolve()
  for (const middleware of middlewares) chain = chain.then(() => run(middleware, req, res))
  chain.then(() => callback(), callback)
}

/** Runs a middleware, which fails by `next(error)`, an exception or a rejected promise. The first of them counts. */
function run(middleware, req, res) {
  return new Promise((resolve, reject) => {
    let done = false
    const next = (error) => {
      if (done) return debug('middleware already settled, ignoring extra callback')
      done = true
      if (error) reject(error)
      else resolve()
    }
    try {
      Promise.resolve(middleware(req, res, next)).catch(next)
    } catch (error) {
      next(error)
    }
  })
}

/**
 * The response that middlewares get on upgrades. Headers set here are in the `101`, and ending it ends the connection.
 * Names match in any case, as in Node's responses.
 */
class UpgradeResponse extends EventEmitter {
  constructor(req, socket) {
    super()
    this.req = req
    this.socket = this.connection = socket
    /** The headers by their names as they were set. */
    this.headers = {}
    this.statusCode = 200
    this.statusMessage = undefined
    this.headersSent = false
    this.writableEnded = false
    socket.once('close', () => this.emit('close'))
  }

  get finished() {
    return this.writableEnded
  }

  get writable() {
    return !this.writableEnded
  }

  get destroyed() {
    return this.socket.destroyed
  }

  setHeader(name, value) {
    validateHeaderName(name)
    for (const one of Array.isArray(value) ? value : [value]) validateHeaderValue(name, one)
    // a header that is set again keeps its place
    const before = this[kNameOf](name)
    if (before !== undefined && before !== name) delete this.headers[before]
    this.headers[name] = value
    return this
  }

  setHeaders(headers) {
    for (const [name, value] of headers) this.setHeader(name, value)
    return this
  }

  appendHeader(name, value) {
    const before = this.getHeader(name)
    return this.setHeader(name, before === undefined ? value : [].concat(before, value))
  }

  getHeader(name) {
    return this.headers[this[kNameOf](name)]
  }

  hasHeader(name) {
    return this[kNameOf](name) !== undefined
  }

  getHeaders() {
    const headers = Object.create(null)
    for (const name of Object.keys(this.headers)) headers[name.toLowerCase()] = this.headers[name]
    return headers
  }

  getHeaderNames() {
    return Object.keys(this.headers).map((name) => name.toLowerCase())
  }

  removeHeader(name) {
    delete this.headers[this[kNameOf](name)]
  }

  [kNameOf](name) {
    const wanted = String(name).toLowerCase()
    return Object.keys(this.headers).find((one) => one.toLowerCase() === wanted)
  }

  write() {
    return true
  }

  /** Notes the status. Nothing is written before the protocol is switched; the headers go out then. */
  writeHead(status) {
    if (typeof status === 'number') this.statusCode = status
    this.headersSent = true
    return this
  }

  flushHeaders() {}

  setTimeout() {
    return this
  }

  end() {
    this.writableEnded = true
    this.socket.destroy()
    this.emit('finish')
    return this
  }
}

module.exports = { applyMiddlewares, UpgradeResponse }
