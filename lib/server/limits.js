'use strict'

// The option `limits`: bounds for one server, all off by default. A refused handshake gets `403` (an upgrade: `400`)
// and a `connection_error` of code 4 whose context has a `name`. Handshakes that take too long and payloads with too
// many packets get code 3.

const { performance } = require('perf_hooks')
const debug = require('debug')('engine')
const { apart, atRoot } = require('../native/context')
const { BAD_REQUEST } = require('../native/contract').ErrorCode
const { takesRequests } = require('../transports/driver')
const { ignoreRejection, isPlainObject, shown } = require('../base/shown')
const { kEmitError, kFail, kState } = require('../base/symbols')
const { warnOnce } = require('../base/warnings')

const NUMBERS = [
  'maxConnections',
  'maxConnectionsPerAddress',
  'handshakesPerSecond',
  'handshakeTimeout',
  'maxPacketsPerPayload',
  'maxIdlePollingSessions',
]

/** The common address of WebTransport sessions without a known one. */
const NO_ADDRESS = 'webtransport'

/** The common address of the sessions for which `addressOf` tells none. */
const NOT_TOLD = 'unknown'

const kStarted = Symbol('started')

class Limits {
  /** Returns the limits of a server; undefined if there are none. */
  static of(server) {
    const { limits } = server.opts
    if (limits === undefined || limits === false) return undefined
    if (!isPlainObject(limits)) throw new TypeError(`limits must be an object, got ${shown(limits)}`)
    for (const name of Object.keys(limits)) {
      const value = limits[name]
      if (value === undefined) continue
      if (name === 'addressOf') {
        if (typeof value !== 'function') throw new TypeError(`limits.addressOf must be a function, got ${shown(value)}`)
      } else if (!NUMBERS.includes(name)) {
        throw new TypeError(`limits.${name} is unknown; the limits are ${NUMBERS.join(', ')} and addressOf`)
      } else if (typeof value !== 'number' || !(value >= 0)) {
        throw new TypeError(`limits.${name} must be a number that is not negative, got ${shown(value)}`)
      }
    }
    return new Limits(server, limits)
  }

  constructor(server, options) {
    this._server = server
    /** The option; its members may be changed while the server runs. */
    this.options = options
    /** Number of sessions by address, while there is a limit per address. */
    this._byAddress = new Map()
    this._tokens = options.handshakesPerSecond
    this._refilled = performance.now()
    /** Polling sessions without a request since their handshake, oldest first, with the times of their openings. */
    this._idle = new Map()
    this._timer = undefined
  }

  /** Whether JavaScript has to see the bodies of POSTs. */
  get seesPayloads() {
    return this.options.maxPacketsPerPayload !== undefined
  }

  /** Checks a handshake. Returns the refusal, or undefined. */
  check(req) {
    return this.checkSpace(req) || this._checkRate()
  }

  /** Checks whether there is room for one more session. */
  checkSpace(req) {
    const { maxConnections, maxConnectionsPerAddress, maxIdlePollingSessions } = this.options
    if (this._server.clientsCount >= maxConnections) {
      return refusal('TOO_MANY_CONNECTIONS', 'Too many connections', maxConnections)
    }
    if (maxConnectionsPerAddress !== undefined) {
      const address = this._addressOf(req)
      if (address !== undefined && (this._byAddress.get(address) || 0) >= maxConnectionsPerAddress) {
        const message = 'Too many connections from this address'
        return { ...refusal('TOO_MANY_CONNECTIONS_FROM_ADDRESS', message, maxConnectionsPerAddress), address }
      }
    }
    if (this._idle.size >= maxIdlePollingSessions && req._query.transport === 'polling') {
      return refusal('TOO_MANY_IDLE_SESSIONS', 'Too many idle sessions', maxIdlePollingSessions)
    }
  }

  /** Checks the rate of handshakes by a token bucket of one second. */
  _checkRate() {
    const { handshakesPerSecond } = this.options
    if (handshakesPerSecond === undefined) return
    const now = performance.now()
    const gained = ((now - this._refilled) / 1000) * handshakesPerSecond
    this._tokens = Math.min(
      handshakesPerSecond,
      (this._tokens === undefined ? handshakesPerSecond : this._tokens) + gained,
    )
    this._refilled = now
    if (this._tokens < 1) return refusal('TOO_MANY_HANDSHAKES', 'Too many handshakes', handshakesPerSecond)
    this._tokens--
  }

  /**
   * Returns a function that calls `fn` once. If it is not called in time, `fn` gets a refusal, and later calls have no
   * effect.
   */
  watch(req, fn) {
    const { handshakeTimeout } = this.options
    if (!(handshakeTimeout > 0)) return fn
    req[kStarted] = performance.now()
    let timer
    const once = (...args) => {
      if (timer === undefined) return debug('the handshake has been refused already')
      clearTimeout(timer)
      timer = undefined
      fn(...args)
    }
    timer = setTimeout(once, handshakeTimeout, BAD_REQUEST, this._tooLate())
    return once
  }

  /** Returns what a promise resolves to, or rejects when the handshake takes too long. */
  async within(req, promise) {
    const { handshakeTimeout } = this.options
    if (!(handshakeTimeout > 0) || !promise || typeof promise.then !== 'function') return promise
    const left = handshakeTimeout - (performance.now() - (req[kStarted] || performance.now()))
    let timer
    const late = new Promise((_, reject) => {
      timer = setTimeout(
        () => reject(Object.assign(new Error('handshake timeout'), { context: this._tooLate() })),
        left,
      )
    })
    try {
      return await Promise.race([promise, late])
    } finally {
      clearTimeout(timer)
    }
  }

  _tooLate() {
    return refusal('HANDSHAKE_TIMEOUT', 'Handshake timeout', this.options.handshakeTimeout)
  }

  /** Counts a session that this request has opened. */
  opened(socket, req = socket.request) {
    const { maxConnectionsPerAddress, maxIdlePollingSessions, handshakeTimeout } = this.options
    if (maxConnectionsPerAddress !== undefined && req) {
      const address = this._addressOf(req, socket.remoteAddress)
      if (address !== undefined) {
        socket[kState].address = address
        this._byAddress.set(address, (this._byAddress.get(address) || 0) + 1)
      }
    }
    if ((maxIdlePollingSessions !== undefined || handshakeTimeout > 0) && takesRequests(socket.transport)) {
      socket[kState].idle = true
      this._idle.set(socket, performance.now())
      if (handshakeTimeout > 0 && this._timer === undefined) this._closeIdleIn(handshakeTimeout)
    }
  }

  /** Stops counting an ended session. */
  closed(socket) {
    const address = socket[kState].address
    if (address !== undefined) {
      const left = this._byAddress.get(address) - 1
      if (left > 0) this._byAddress.set(address, left)
      else this._byAddress.delete(address)
    }
    if (socket[kState].idle) this.heard(socket)
  }

  /** Notes that the client of an idle session has made a request. */
  heard(socket) {
    socket[kState].idle = false
    this._idle.delete(socket)
    if (this._idle.size > 0 || this._timer === undefined) return
    clearTimeout(this._timer)
    this._timer = undefined
  }

  _closeIdleIn(ms) {
    const closeIdle = () => {
      this._timer = undefined
      const due = performance.now() - this.options.handshakeTimeout
      for (const [socket, opened] of this._idle) {
        if (opened > due) return this._closeIdleIn(Math.max(1, opened - due))
        let isClosed = false
        try {
          apart(this._closeIdle, this, socket)
          isClosed = true
        } finally {
          // a listener threw; the other sessions are closed all the same
          if (!isClosed && this._idle.size > 0) this._closeIdleIn(1)
        }
      }
    }
    this._timer = atRoot(setTimeout, closeIdle, ms)
    // the sessions themselves keep the process alive
    this._timer.unref()
  }

  _closeIdle(socket) {
    debug('session %s was opened and left alone', socket.id)
    try {
      this._server[kEmitError](socket.request, BAD_REQUEST, { ...this._tooLate(), sid: socket.id })
    } finally {
      socket[kFail]('handshake timeout')
    }
  }

  /** Returns the refusal of a POST with too many packets, or undefined. The caller ends the session. */
  checkPayload(hasMore) {
    const { maxPacketsPerPayload } = this.options
    if (maxPacketsPerPayload === undefined || !hasMore(maxPacketsPerPayload)) return
    return refusal('TOO_MANY_PACKETS', 'Too many packets', maxPacketsPerPayload)
  }

  /** Returns the address of a request's client, as `socket.remoteAddress` will be. */
  _clientOf(req) {
    const address = req.connection ? req.connection.remoteAddress : undefined
    const { trust } = this._server[kState]
    const isTold = trust !== undefined && req._query.transport !== 'webtransport'
    return isTold ? trust.clientOf(address, req.headers) : address
  }

  _addressOf(req, address = this._clientOf(req)) {
    if (this.options.addressOf !== undefined) return this._toldAddress(this.options.addressOf(req))
    // WebTransport sessions without a known address count together, so that they cannot bypass a limit
    return address === undefined && req._query.transport === 'webtransport' ? NO_ADDRESS : address
  }

  /** Returns what `addressOf` has returned. What is not an address counts as one, so that it cannot bypass a limit. */
  _toldAddress(told) {
    if (typeof told === 'string' && told !== '') return told
    ignoreRejection(told)
    const message = `limits.addressOf must return a string that is not empty, got ${shown(told)}; such clients count together`
    warnOnce(this, 'ENGINE_IO_ADDRESS_OF', message)
    return NOT_TOLD
  }
}

function refusal(name, message, limit) {
  debug('%s: the limit is %d', name, limit)
  return { name, message, limit }
}

module.exports = { Limits }
