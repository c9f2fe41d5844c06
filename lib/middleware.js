'use strict'

const { EventEmitter } = require('events')
const { validateHeaderName, validateHeaderValue } = require('http')
const debug = require('debug')('engine')

/**
 * Runs Express-style middlewares one after the other; `callback` gets what the first one failed with.
 * Synchronous when there are none.
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

/** Fails by `next(error)`, an exception or a rejected promise, whichever comes first. */
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

/** What middlewares get for a response on upgrades: enough to set headers, or to end the connection. */
class UpgradeResponse extends EventEmitter {
  constructor(req, socket) {
    super()
    this.req = req
    this.socket = socket
    this.headers = {}
    socket.once('close', () => this.emit('close'))
  }

  setHeader(name, value) {
    validateHeaderName(name)
    for (const one of Array.isArray(value) ? value : [value]) validateHeaderValue(name, one)
    this.headers[name] = value
    return this
  }

  getHeader(name) {
    return this.headers[name]
  }

  removeHeader(name) {
    delete this.headers[name]
  }

  write() {}

  writeHead() {}

  end() {
    // nothing can be said before the protocol is switched
    this.socket.destroy()
    this.emit('finish')
  }
}

module.exports = { applyMiddlewares, UpgradeResponse }
