'use strict'

const { EventEmitter } = require('events')
const { setImmediate } = require('timers')
const cookie = require('cookie')
const debug = require('debug')('engine')
const bridge = require('../native/bridge')
const { COMPRESSION_THRESHOLD } = require('../native/contract')
const { Listeners } = require('../base/emitter')
const { Clients } = require('./clients')
const { broadcast } = require('./broadcast')
const { Cluster } = require('../cluster')
const { clusterOptions } = require('../cluster/options')
const { Drain } = require('./drain')
const { applyMiddlewares } = require('./middleware')
const { Limits } = require('./limits')
const { Counts, metricsOf } = require('./metrics')
const { sidOf } = require('../base/query')
const { notice } = require('../session/overrides')
const { Socket } = require('../session/socket')
const { validate, warnOfOldWays } = require('../base/options')
const { TrustProxy } = require('../base/trust-proxy')
const { takesRequests } = require('../transports/driver')
const { ERRORS, ERROR_MESSAGES, abortRequest } = require('../transports/errors')
const transports = require('../transports')
const { acceptWebTransport } = require('./accept-webtransport')
const { FaultText } = require('../native/contract')
const { NativeWebSocketServer } = require('../native/upgrade-server')
const {
  kAdmit,
  kAfterDrain,
  kAnnounce,
  kAvailableUpgrades,
  kClient,
  kDropTiming,
  kEmitError,
  kEndAgain,
  kEndLost,
  kFailPost,
  kForget,
  kHearsFlushes,
  kMakeTransport,
  kOnPollingHeaders,
  kPresent,
  kRefusals,
  kRefuse,
  kRefuseHandshakes,
  kRegister,
  kReleasePoll,
  kServeForwarded,
  kState,
  kTellError,
  kTiming,
  kUnregister,
  kUpgradable,
  kVerifySession,
} = require('../base/symbols')
const { keep, State } = require('../base/state')

const { emit } = EventEmitter.prototype

/** The `readyState` of a WebSocket whose connection has ended. */
const CLOSED = 3

/** Characters that no HTTP field value may have (RFC 9110, 5.5). */
const INVALID_FIELD = /[^\t\x20-\x7e\x80-\xff]/

const DEFAULTS = {
  wsEngine: NativeWebSocketServer,
  pingTimeout: 20000,
  pingInterval: 25000,
  upgradeTimeout: 10000,
  maxHttpBufferSize: 1e6,
  transports: ['polling', 'websocket'],
  allowUpgrades: true,
  httpCompression: { threshold: COMPRESSION_THRESHOLD },
  cors: false,
  allowEIO3: false,
  maxBufferedChunks: 10000,
  httpRequestBodyTimeout: 30000,
}

/**
 * The base of all servers, for requests from any source.
 *
 * Events: `connection` (socket), `connection_error` ({ req, code, message, context }),
 * `initial_headers` and `headers` (headers, request), `flush` (socket, writeBuffer), `drain` (socket).
 */
class BaseServer extends /** @type {typeof import('../../types/bases').ServerBase} */ (EventEmitter) {
  constructor(opts = {}) {
    super()
    // this table is read for every message that is sent
    this._events = new Listeners()
    keep(this, new State())
    this.middlewares = []
    this[kState].clients = new Clients(this)
    /** The open sessions by their ids. */
    this.clients = this[kState].clients.public
    this.clientsCount = 0
    /**
     * The options, with defaults for those that were not given.
     *
     * @type {any}
     */
    this.opts = Object.assign({}, DEFAULTS, opts)
    if (opts.cookie) {
      this.opts.cookie = Object.assign({ name: 'io', path: '/', httpOnly: true, sameSite: 'lax' }, opts.cookie)
    }
    warnOfOldWays(opts)
    validate(this.opts)
    /** The middleware that is the package's own. */
    this[kState].cors = this.opts.cors ? require('cors')(this.opts.cors) : undefined
    if (this[kState].cors !== undefined) this.use(this[kState].cors)
    if (opts.perMessageDeflate) {
      this.opts.perMessageDeflate = Object.assign({ threshold: COMPRESSION_THRESHOLD }, opts.perMessageDeflate)
    }
    this[kState].limits = Limits.of(this)
    this[kState].drain = undefined
    this[kState].counts = new Counts()
    this[kState].trust = TrustProxy.of({ __proto__: null, ...this.opts })
    this[kState].timing = undefined
    /** Whether the next look at the sessions is planned, see lib/session/overrides.js. */
    this[kState].watching = false
    const cluster = clusterOptions(this.opts.cluster)
    bridge.getEngine()
    /** What serves sessions of other processes, and has them serve those of this one. */
    this[kState].cluster = undefined
    this.init()
    // last: what throws in here leaves no member behind
    if (cluster !== undefined) this[kState].cluster = new Cluster(this, cluster)
  }

  /** Returns the open session with this id, if there is one. */
  [kClient](sid) {
    return this[kState].clients.get(sid)
  }

  /** Returns the session with this id if it may be upgraded now. */
  [kUpgradable](sid) {
    if (this[kState].cluster !== undefined) this[kClient](sid)?.[kState].unheard?.hear()
    if (this[kClient](sid)?.upgrading) {
      // the last attempt may have failed just now, which the client knows and this thread has not heard
      try {
        bridge.drainNow()
      } catch (error) {
        // the exception of a listener must not end this attempt
        setImmediate(() => {
          throw error
        })
      }
    }
    const client = this[kClient](sid)
    return client && !client.upgrading && !client.upgraded ? client : undefined
  }

  /** Returns the path with which requests of this server begin. */
  _computePath(options) {
    const path = (options.path || '/engine.io').replace(/\/$/, '')
    return options.addTrailingSlash === false ? path : path + '/'
  }

  /** Returns the transports to which a client may upgrade from this one. */
  upgrades(name) {
    if (!this.opts.allowUpgrades) return []
    return transports[name].upgradesTo || []
  }

  /** Checks a request as `verify` does. A server that drains refuses new sessions. */
  [kAdmit](req, upgrade, fn) {
    const { drain } = this[kState]
    if (drain !== undefined && !sidOf(req)) fn(BaseServer.errors.FORBIDDEN, drain.refusal())
    else this.verify(req, upgrade, fn)
  }

  /**
   * Checks a request. `fn` gets no argument if the request is accepted, otherwise a code of `Server.errors` and
   * details.
   */
  verify(req, upgrade, fn) {
    const { errors } = BaseServer
    const { transport } = req._query
    const sid = sidOf(req)
    if (this.opts.transports.indexOf(transport) === -1 || transport === 'webtransport') {
      debug('unknown transport "%s"', transport)
      return fn(errors.UNKNOWN_TRANSPORT, { transport })
    }
    const origin = req.headers.origin
    if (origin !== undefined && INVALID_FIELD.test(origin)) {
      debug('origin header invalid')
      req.headers.origin = null
      return fn(errors.BAD_REQUEST, { name: 'INVALID_ORIGIN', origin })
    }
    if (sid) return this[kVerifySession](req, upgrade, fn)
    if (req.method !== 'GET') return fn(errors.BAD_HANDSHAKE_METHOD, { method: req.method })
    if (transport === 'websocket' && !upgrade) {
      return fn(errors.BAD_REQUEST, { name: 'TRANSPORT_HANDSHAKE_ERROR' })
    }
    if (this[kState].limits !== undefined) {
      let objection
      try {
        objection = this[kState].limits.check(req)
      } catch (error) {
        // a hook that throws has not allowed the request
        fn(errors.FORBIDDEN)
        throw error
      }
      if (objection !== undefined) return fn(errors.FORBIDDEN, objection)
      fn = this[kState].limits.watch(req, fn)
    }
    if (!this.opts.allowRequest) return fn()
    let called = false
    const decide = (message, success) => {
      if (called) return debug('allowRequest called back twice')
      called = true
      if (success) fn()
      else fn(errors.FORBIDDEN, { message })
    }
    // a hook that throws has not allowed the request; the exception still surfaces
    const fail = (error) => {
      decide()
      throw error
    }
    let returned
    try {
      returned = this.opts.allowRequest(req, decide)
    } catch (error) {
      fail(error)
    }
    if (returned && typeof returned.then === 'function') returned.then(undefined, fail)
  }

  /** Checks a request of an existing session. */
  [kVerifySession](req, upgrade, fn) {
    const { errors } = BaseServer
    const { transport } = req._query
    const sid = sidOf(req)
    const client = this[kClient](sid)
    if (client === undefined) {
      const { cluster } = this[kState]
      const decide = (peer) => {
        // the owner of the session checks the rest
        if (peer !== undefined) return fn()
        debug('unknown sid "%s"', sid)
        fn(errors.UNKNOWN_SID, { sid })
      }
      if (cluster === undefined) return decide()
      const peer = cluster.peerOf(sid)
      // ids of the application do not tell whose they are
      if (peer !== undefined || this.generateId === generateId) return decide(peer)
      return cluster.find(sid, decide)
    }
    const previousTransport = client.transport.name
    if (!upgrade && previousTransport !== transport) {
      return fn(errors.BAD_REQUEST, { name: 'TRANSPORT_MISMATCH', transport, previousTransport })
    }
    const protocol = revisionOf(req)
    if (client.protocol !== protocol) {
      const previousProtocol = client.protocol
      return fn(errors.BAD_REQUEST, { name: 'PROTOCOL_MISMATCH', protocol, previousProtocol })
    }
    // a WebSocket transport does not answer such a request, and the client would wait for ever
    if (!upgrade && client.transport.handlesUpgrades) {
      return fn(errors.BAD_REQUEST, { name: 'TRANSPORT_HANDSHAKE_ERROR' })
    }
    fn()
  }

  /**
   * Serves a poll or a POST that another process has received and checked as far as it concerns no session.
   *
   * @param {(code: number, context: object) => void} refuse has that process answer with an error
   */
  [kServeForwarded](req, res, refuse) {
    const sid = sidOf(req)
    // it does not go on to a third process
    if (this[kClient](sid) === undefined) return refuse(BaseServer.errors.UNKNOWN_SID, { sid })
    this[kVerifySession](req, false, (code, context) => {
      if (code !== undefined) return refuse(code, context)
      this[kPresent](this[kClient](sid), req, res, refuse)
    })
  }

  /** Gives a poll or a POST to its session. A POST may wait until the application hears of the session. */
  [kPresent](client, req, res, refuse) {
    if (client[kState].unheard?.keeps(req, res, refuse)) return
    req.res = res
    client.transport.onRequest(req)
    // it was to be answered soon while it waited
    if (res.isReleased === true) this[kReleasePoll](client.id, res)
  }

  /** Ends a session because another process could not read the body of its POST. */
  [kFailPost](sid, message) {
    const transport = this[kClient](sid)?.transport
    if (takesRequests(transport)) transport.onError(message)
  }

  /** Ends a session whose client may have lost an answer. */
  [kEndLost](sid) {
    this[kClient](sid)?.transport.onError(FaultText.POLL_ABORTED)
  }

  /** Answers a poll because the process that has received it is about to stop. The client goes on with another poll. */
  [kReleasePoll](sid, res) {
    const transport = this[kClient](sid)?.transport
    if (takesRequests(transport) && transport.res === res && transport.writable) transport.send([{ type: 'noop' }])
  }

  /** Adds a middleware `(req, res, next)`, called for every request and upgrade of this server. */
  use(fn) {
    this.middlewares.push(fn)
  }

  _applyMiddlewares(req, res, callback) {
    applyMiddlewares(this.middlewares, req, res, callback)
  }

  /**
   * Closes all sessions.
   *
   * @throws the first error of a connection's `close()` or of a listener, after all sessions are closed
   */
  close() {
    debug('closing all open clients')
    this[kState].cluster?.hearAll()
    const errors = []
    for (const client of this[kState].clients.all()) {
      try {
        client.close(true)
      } catch (error) {
        debug('error while closing client "%s": %s', client.id, error)
        errors.push(error)
      }
    }
    this.cleanup()
    this[kState].cluster?.leave()
    this[kDropTiming]()
    if (errors.length > 0) throw errors[0]
    return this
  }

  /**
   * Sends one message to the sessions with these ids. To those on WebSockets of the engine it crosses once, in one call.
   *
   * @param {Iterable<string>} ids
   * @param {string|Buffer|ArrayBuffer|ArrayBufferView} data
   * @param {{compress?: boolean, volatile?: boolean, conflate?: string | number}} [options] those of `socket.send()`
   * @returns {{sent: number, unknown: number, closed: number, dropped: number}} how many sessions got it
   * @throws {TypeError} for invalid arguments
   */
  broadcast(ids, data, options) {
    this[kState].cluster?.hearAll()
    return broadcast(this, ids, data, options)
  }

  /** Whether `drain()` has been called: new sessions are refused. */
  get draining() {
    return this[kState].drain !== undefined
  }

  /**
   * Refuses new sessions from now on, and closes the open ones at random times within `spread` milliseconds. The
   * promise is resolved when they have ended, or after `timeout` milliseconds, when the rest is cut off, with what
   * became of them. A later call returns the same promise.
   *
   * @param {{timeout?: number, spread?: number}} [options]
   * @throws {TypeError | RangeError} for invalid options
   */
  drain(options) {
    const checked = Drain.optionsOf(options)
    if (this[kState].drain === undefined) {
      this[kState].cluster?.hearAll()
      this[kState].drain = new Drain(this, checked)
      this[kRefuseHandshakes]()
      this[kState].drain.start()
    }
    return this[kState].drain.promise
  }

  /**
   * Calls a function at once, or when a drain that is under way is over. The HTTP server of a process of a cluster has
   * closed as soon as no client is connected to it, but clients still reach its sessions by other processes.
   */
  [kAfterDrain](fn) {
    const { cluster, drain } = this[kState]
    if (drain === undefined || !cluster?.isReachable) fn()
    else drain.promise.then(() => process.nextTick(fn))
  }

  /** Has handshakes refused that do not come to JavaScript. */
  [kRefuseHandshakes]() {}

  /** Makes the id of a new session: 20 characters of `[A-Za-z0-9_-]`. May be replaced; may be async. */
  // eslint-disable-next-line no-unused-vars -- a method that replaces it gets the request
  generateId(req) {
    const { cluster } = this[kState]
    return cluster === undefined ? bridge.generateId() : cluster.issueId()
  }

  /** Opens a session for a request that has passed `verify`. */
  async handshake(transportName, req, closeConnection) {
    const { errors } = BaseServer
    const refuse = (code, context) => {
      try {
        this[kEmitError](req, code, context)
      } finally {
        closeConnection(code, code === errors.FORBIDDEN && this.draining ? context : undefined)
      }
    }
    const protocol = revisionOf(req)
    if (protocol === 3 && !this.opts.allowEIO3) {
      debug('unsupported protocol version')
      return refuse(errors.UNSUPPORTED_PROTOCOL_VERSION, { protocol })
    }
    const isOurs = this.generateId === generateId
    let id
    try {
      id = await (this[kState].limits === undefined
        ? this.generateId(req)
        : this[kState].limits.within(req, this.generateId(req)))
      // other sessions may have the same id, but not one that polls, as its requests find it by the id
      if (isOurs) this[kState].clients.expect(id)
      else if (takesRequests(this[kClient](id)?.transport)) {
        throw new Error(
          `expected a session id that is not in use, got "${id}", by which the requests of a polling session come`,
        )
      }
      // other sessions may have been opened meanwhile
      const objection = this[kState].drain?.refusal() ?? this[kState].limits?.checkSpace(req)
      if (objection !== undefined) return refuse(errors.FORBIDDEN, objection)
    } catch (error) {
      if (error && error.context) return refuse(errors.BAD_REQUEST, error.context)
      debug('error while generating an id')
      return refuse(errors.BAD_REQUEST, { name: 'ID_GENERATION_ERROR', error })
    }
    // the client may have gone while hooks decided
    if (transportName === 'polling' && req.res && req.res.destroyed) return debug('the client is gone')
    debug('handshaking client "%s"', id)
    let transport
    try {
      transport = this[kMakeTransport](transportName, req)
    } catch (error) {
      debug('error handshaking to transport "%s"', transportName)
      return refuse(errors.BAD_REQUEST, { name: 'TRANSPORT_HANDSHAKE_ERROR', error })
    }
    if (req.websocket && req.websocket.readyState === CLOSED) return
    let socket
    try {
      socket = new Socket(id, this, transport, req, protocol)
    } catch (error) {
      // mostly the exception of a listener; the client must not wait for ever
      closeConnection(errors.BAD_REQUEST)
      throw error
    }
    try {
      transport.onRequest(req)
    } catch (error) {
      socket.close(true)
      throw error
    }
    this[kRegister](socket)
    return transport
  }

  [kMakeTransport](name, req) {
    return this.createTransport(name, req)
  }

  /** Returns the names of the transports to which clients of this server may upgrade from this one. */
  [kAvailableUpgrades](transportName) {
    const { transports } = this.opts
    return this.upgrades(transportName).filter((name) => transports.indexOf(name) !== -1)
  }

  /** Registers a session. `req` is what has opened it, if that is not `socket.request`. */
  [kRegister](socket, req) {
    this[kState].clients.add(socket)
    this.clientsCount++
    if (this[kState].drain !== undefined) this[kState].drain.opened(socket)
    this[kState].counts.sessionOpened(socket)
    try {
      if (this[kState].limits !== undefined) this[kState].limits.opened(socket, req)
    } catch (error) {
      // no `connection` event is emitted for this session
      socket.close(true)
      throw error
    }
    if (this[kState].cluster?.holdsBack(socket) !== true) this[kAnnounce](socket)
  }

  /** Has the application hear of a session. */
  [kAnnounce](socket) {
    try {
      this.emit('connection', socket)
    } finally {
      // a session that ended before anyone could listen emits its end again
      if (socket[kState].endedEarly !== undefined) process.nextTick(() => socket[kEndAgain]())
      notice(socket)
    }
  }

  /** Forgets a session that has ended with this reason. */
  [kUnregister](socket, reason) {
    if (this[kState].drain !== undefined) this[kState].drain.ended(socket, reason)
    this[kState].counts.sessionClosed(socket, reason)
    if (this[kState].limits !== undefined) this[kState].limits.closed(socket)
    this[kState].cluster?.onSessionOver(socket[kState].key)
    this[kState].clients.remove(socket)
    this.clientsCount--
  }

  /** Forgets a session of which the application has not heard, because another process has it now. */
  [kForget](socket) {
    this[kState].counts.sessionGiven(socket)
    this[kState].clients.detach(socket)
    this[kState].clients.remove(socket)
    this.clientsCount--
  }

  /** Returns whether the events of a flush may have listeners. */
  [kHearsFlushes]() {
    return this._events?.flush !== undefined || this._events?.drain !== undefined || this.emit !== emit
  }

  /** Counts a request that is refused, and tells listeners. */
  [kEmitError](req, code, context) {
    this[kState].counts.refused(code, context)
    this[kTellError](req, code, context)
  }

  /** Returns how often a native listener has refused a request, by the numbers of the reasons. */
  [kRefusals]() {
    return []
  }

  [kTellError](req, code, context) {
    this.emit('connection_error', { req, code, message: BaseServer.errorMessages[code], context })
  }

  /** Refuses a request that has passed `verify` and still cannot be served. */
  [kRefuse](req, res, code, context) {
    try {
      this[kEmitError](req, code, context)
    } finally {
      abortRequest(res, code, BaseServer.errorMessages, context)
    }
  }

  /** Lets the application add to the headers of a polling response. */
  [kOnPollingHeaders](headers, req, socket) {
    if (!sidOf(req)) {
      const options = this.opts.cookie
      if (options) headers['Set-Cookie'] = [cookie.serialize(options.name, String(socket.id), options)]
      this.emit('initial_headers', headers, req)
    }
    this.emit('headers', headers, req)
  }

  /** Returns the handle of the engine's record of this server's timing. The record follows `opts`. */
  [kTiming]() {
    const { pingInterval, pingTimeout, upgradeTimeout } = this.opts
    const { timing } = this[kState]
    if (timing === undefined) {
      const handle = bridge.getEngine().timing(Number(pingInterval), Number(pingTimeout), Number(upgradeTimeout))
      this[kState].timing = { handle, pingInterval, pingTimeout, upgradeTimeout }
      return handle
    }
    if (
      timing.pingInterval !== pingInterval ||
      timing.pingTimeout !== pingTimeout ||
      timing.upgradeTimeout !== upgradeTimeout
    ) {
      bridge.getEngine().setTiming(timing.handle, Number(pingInterval), Number(pingTimeout), Number(upgradeTimeout))
      Object.assign(timing, { pingInterval, pingTimeout, upgradeTimeout })
    }
    return timing.handle
  }

  /** Lets the engine forget the timing. Open sessions keep it. */
  [kDropTiming]() {
    const { timing } = this[kState]
    if (timing === undefined) return
    this[kState].timing = undefined
    bridge.getEngine().dropTiming(timing.handle)
  }

  /**
   * Returns numbers of this server and its thread, see docs/METRICS.md.
   *
   * @param {{ eventLoop?: boolean }} [options]
   */
  metrics(options) {
    return metricsOf(this, options)
  }

  /** Serves a WebTransport session that the application has accepted. */
  async onWebTransportSession(session) {
    await acceptWebTransport(this, session)
  }
}

const { generateId } = BaseServer.prototype

BaseServer.errors = ERRORS
BaseServer.errorMessages = ERROR_MESSAGES

function revisionOf(req) {
  return req._query.EIO === '4' ? 4 : 3
}

module.exports = { BaseServer }
