'use strict'

const { EventEmitter } = require('events')
const cookie = require('cookie')
const debug = require('debug')('engine')
const bridge = require('./bridge')
const { header } = require('./headers')
const { applyMiddlewares, UpgradeResponse } = require('./middleware')
const { Limits } = require('./limits')
const { OpenPacket } = require('./open-packet')
const { Opening } = require('./opening')
const { parseQuery } = require('./query')
const { notice } = require('./replaced')
const { abortRequest, abortUpgrade } = require('./refusal')
const { Socket } = require('./socket')
const { validate, warnOfOldWays, checkWsEngine } = require('./options')
const transports = require('./transports')
const { acceptWebTransport } = require('./webtransport-session')
const { NativeWebSocket } = require('./websocket')
const { NativeWebSocketServer, headerLines } = require('./websocket-server')

const { emit } = EventEmitter.prototype

const hasOwn = (object, key) => Object.prototype.hasOwnProperty.call(object, key)

/** The `readyState` of a WebSocket whose connection is gone. */
const CLOSED = 3

/** The headers that middlewares set on an upgrade's response. */
const kResponseHeaders = Symbol('responseHeaders')

/** Characters that no HTTP field value may have (RFC 9110, 5.5). */
const INVALID_FIELD = /[^\t\x20-\x7e\x80-\xff]/

/** The query of a request by which the engine opens sessions by itself, as far as it concerns transports. */
const PLAIN_QUERY = Object.freeze({ EIO: '4' })

const DEFAULTS = {
  wsEngine: NativeWebSocketServer,
  pingTimeout: 20000,
  pingInterval: 25000,
  upgradeTimeout: 10000,
  maxHttpBufferSize: 1e6,
  transports: ['polling', 'websocket'],
  allowUpgrades: true,
  httpCompression: { threshold: 1024 },
  cors: false,
  allowEIO3: false,
}

/**
 * What all servers have in common, wherever their requests come from.
 *
 * Events: `connection` (socket), `connection_error` ({ req, code, message, context }),
 * `initial_headers` and `headers` (headers, request), `flush` (socket, writeBuffer), `drain` (socket).
 */
class BaseServer extends EventEmitter {
  constructor(opts = {}) {
    super()
    this.middlewares = []
    /** The open sessions by their ids. */
    this.clients = {}
    this.clientsCount = 0
    this.opts = Object.assign({}, DEFAULTS, opts)
    if (opts.cookie) {
      this.opts.cookie = Object.assign({ name: 'io', path: '/', httpOnly: true, sameSite: 'lax' }, opts.cookie)
    }
    warnOfOldWays(opts)
    validate(this.opts)
    if (this.opts.cors) this.use(require('cors')(this.opts.cors))
    if (opts.perMessageDeflate) {
      this.opts.perMessageDeflate = Object.assign({ threshold: 1024 }, opts.perMessageDeflate)
    }
    this._limits = Limits.of(this)
    this._periods = undefined
    this._openPacket = new OpenPacket()
    this._listened = false
    /** Whether the next look at the sessions is due, see lib/replaced.js. */
    this._watching = false
    this.init()
  }

  init() {}

  cleanup() {}

  /** The path that the requests of this server start with. */
  _computePath(options) {
    const path = (options.path || '/engine.io').replace(/\/$/, '')
    return options.addTrailingSlash === false ? path : path + '/'
  }

  /** The transports that a client may upgrade to from this one. */
  upgrades(name) {
    if (!this.opts.allowUpgrades) return []
    return transports[name].upgradesTo || []
  }

  /** Checks a request; `fn` gets nothing if it is in order, else a code of `Server.errors` and details. */
  verify(req, upgrade, fn) {
    const { errors } = BaseServer
    const { transport, sid } = req._query
    if (this.opts.transports.indexOf(transport) === -1 || transport === 'webtransport') {
      debug('unknown transport "%s"', transport)
      return fn(errors.UNKNOWN_TRANSPORT, { transport })
    }
    const origin = header(req, 'origin')
    if (origin !== undefined && INVALID_FIELD.test(origin)) {
      debug('origin header invalid')
      req.headers.origin = null
      return fn(errors.BAD_REQUEST, { name: 'INVALID_ORIGIN', origin })
    }
    if (sid) return this._verifySession(req, upgrade, fn)
    if (req.method !== 'GET') return fn(errors.BAD_HANDSHAKE_METHOD, { method: req.method })
    if (transport === 'websocket' && !upgrade) {
      return fn(errors.BAD_REQUEST, { name: 'TRANSPORT_HANDSHAKE_ERROR' })
    }
    if (this._limits !== undefined) {
      const objection = this._limits.check(req)
      if (objection !== undefined) return fn(errors.FORBIDDEN, objection)
      fn = this._limits.watch(req, fn)
    }
    if (!this.opts.allowRequest) return fn()
    let called = false
    const decide = (message, success) => {
      if (called) return debug('allowRequest called back twice')
      called = true
      if (success) fn()
      else fn(errors.FORBIDDEN, { message })
    }
    // whoever throws has not allowed it; the exception goes its way
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

  /** Checks a request of a session that exists already. */
  _verifySession(req, upgrade, fn) {
    const { errors } = BaseServer
    const { transport, sid } = req._query
    if (!hasOwn(this.clients, sid)) {
      debug('unknown sid "%s"', sid)
      return fn(errors.UNKNOWN_SID, { sid })
    }
    const client = this.clients[sid]
    const previousTransport = client.transport.name
    if (!upgrade && previousTransport !== transport) {
      return fn(errors.BAD_REQUEST, { name: 'TRANSPORT_MISMATCH', transport, previousTransport })
    }
    const protocol = revisionOf(req)
    if (client.protocol !== protocol) {
      const previousProtocol = client.protocol
      return fn(errors.BAD_REQUEST, { name: 'PROTOCOL_MISMATCH', protocol, previousProtocol })
    }
    // no transport answers such a request, and the client would wait for ever
    if (!upgrade && transport !== 'polling') {
      return fn(errors.BAD_REQUEST, { name: 'TRANSPORT_HANDSHAKE_ERROR' })
    }
    fn()
  }

  /** Adds a middleware `(req, res, next)`, called for every request and upgrade of this server. */
  use(fn) {
    this.middlewares.push(fn)
    this._configureListener()
  }

  _applyMiddlewares(req, res, callback) {
    applyMiddlewares(this.middlewares, req, res, callback)
  }

  /** Closes all sessions. */
  close() {
    debug('closing all open clients')
    for (const sid in this.clients) {
      if (hasOwn(this.clients, sid)) this.clients[sid].close(true)
    }
    this.cleanup()
    return this
  }

  /** Makes the id of a new session: 20 characters of `[A-Za-z0-9_-]`. May be replaced; may be async. */
  generateId(req) {
    return bridge.generateId()
  }

  /** Opens a session for a request that has passed `verify`. */
  async handshake(transportName, req, closeConnection) {
    const { errors } = BaseServer
    const refuse = (code, context) => {
      try {
        this._emitError(req, code, context)
      } finally {
        closeConnection(code)
      }
    }
    const protocol = revisionOf(req)
    if (protocol === 3 && !this.opts.allowEIO3) {
      debug('unsupported protocol version')
      return refuse(errors.UNSUPPORTED_PROTOCOL_VERSION, { protocol })
    }
    let id
    try {
      id = await (this._limits === undefined ? this.generateId(req) : this._limits.within(req, this.generateId(req)))
      if (hasOwn(this.clients, id)) throw new Error(`duplicate session id "${id}"`)
      // others may have come meanwhile
      const objection = this._limits === undefined ? undefined : this._limits.checkSpace(req)
      if (objection !== undefined) return refuse(errors.FORBIDDEN, objection)
    } catch (error) {
      if (error && error.context) return refuse(errors.BAD_REQUEST, error.context)
      debug('error while generating an id')
      return refuse(errors.BAD_REQUEST, { name: 'ID_GENERATION_ERROR', error })
    }
    // hooks may have taken their time
    if (transportName === 'polling' && req.res && req.res.destroyed) return debug('the client is gone')
    debug('handshaking client "%s"', id)
    let transport
    try {
      transport = this._makeTransport(transportName, req)
    } catch (error) {
      debug('error handshaking to transport "%s"', transportName)
      return refuse(errors.BAD_REQUEST, { name: 'TRANSPORT_HANDSHAKE_ERROR', error })
    }
    if (req.websocket && req.websocket.readyState === CLOSED) return
    const socket = new Socket(id, this, transport, req, protocol)
    try {
      transport.onRequest(req)
    } catch (error) {
      socket.close(true)
      throw error
    }
    this._register(socket)
    return transport
  }

  _makeTransport(name, req) {
    const transport = this.createTransport(name, req)
    if (name === 'polling') {
      transport.maxHttpBufferSize = this.opts.maxHttpBufferSize
      transport.httpCompression = this.opts.httpCompression
    } else if (name === 'websocket') {
      transport.perMessageDeflate = this.opts.perMessageDeflate
    }
    return transport
  }

  /** The names of the transports that clients of this server may upgrade to from this one. */
  _availableUpgrades(transportName) {
    const { transports } = this.opts
    return this.upgrades(transportName).filter((name) => transports.indexOf(name) !== -1)
  }

  _register(socket) {
    this.clients[socket.id] = socket
    this.clientsCount++
    socket._registered = true
    if (this._limits !== undefined) this._limits.opened(socket)
    this.emit('connection', socket)
    notice(socket)
  }

  _unregister(socket) {
    socket._registered = false
    if (this._limits !== undefined) this._limits.closed(socket)
    if (this.clients[socket.id] === socket) delete this.clients[socket.id]
    this.clientsCount--
  }

  /** Whether somebody may listen to what every flush would emit. */
  _hearsFlushes() {
    return this._listened || this.emit !== emit
  }

  on(event, listener) {
    super.on(event, listener)
    if (event === 'flush' || event === 'drain') this._listened = true
    return this
  }

  addListener(event, listener) {
    return this.on(event, listener)
  }

  prependListener(event, listener) {
    super.prependListener(event, listener)
    if (event === 'flush' || event === 'drain') this._listened = true
    return this
  }

  _emitError(req, code, context) {
    this.emit('connection_error', { req, code, message: BaseServer.errorMessages[code], context })
  }

  /** The headers of a polling response: the application may add to them. */
  _onPollingHeaders(headers, req, socket) {
    if (!req._query.sid) {
      const options = this.opts.cookie
      if (options) headers['Set-Cookie'] = [cookie.serialize(options.name, String(socket.id), options)]
      this.emit('initial_headers', headers, req)
    }
    this.emit('headers', headers, req)
  }

  /** The number of the engine's record of this server's periods, which follow `opts`. */
  _timing() {
    const { pingInterval, pingTimeout, upgradeTimeout } = this.opts
    const periods = this._periods
    if (periods === undefined) {
      const timing = bridge.getEngine().timing(Number(pingInterval), Number(pingTimeout), Number(upgradeTimeout))
      this._periods = { timing, pingInterval, pingTimeout, upgradeTimeout }
      return timing
    }
    if (
      periods.pingInterval !== pingInterval ||
      periods.pingTimeout !== pingTimeout ||
      periods.upgradeTimeout !== upgradeTimeout
    ) {
      bridge
        .getEngine()
        .setTiming(periods.timing, Number(pingInterval), Number(pingTimeout), Number(upgradeTimeout))
      Object.assign(periods, { pingInterval, pingTimeout, upgradeTimeout })
    }
    return periods.timing
  }

  _configureListener() {}

  /** Serves a WebTransport session that the application has accepted. */
  async onWebTransportSession(session) {
    await acceptWebTransport(this, session)
  }
}

/** The codes of `connection_error` and of error responses. */
BaseServer.errors = {
  UNKNOWN_TRANSPORT: 0,
  UNKNOWN_SID: 1,
  BAD_HANDSHAKE_METHOD: 2,
  BAD_REQUEST: 3,
  FORBIDDEN: 4,
  UNSUPPORTED_PROTOCOL_VERSION: 5,
}

BaseServer.errorMessages = {
  0: 'Transport unknown',
  1: 'Session ID unknown',
  2: 'Bad handshake method',
  3: 'Bad request',
  4: 'Forbidden',
  5: 'Unsupported protocol version',
}

/** A server behind Node's HTTP servers, or behind the engine's own listener. */
class Server extends BaseServer {
  /** Makes ready to answer WebSocket upgrades. Called when the HTTP server starts to listen, too. */
  init() {
    if (this.opts.transports.indexOf('websocket') === -1) return
    checkWsEngine(this.opts.wsEngine)
    if (this.ws) this.ws.close()
    this.ws = new this.opts.wsEngine({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: this.opts.perMessageDeflate,
      maxPayload: this.opts.maxHttpBufferSize,
    })
    if (typeof this.ws.on !== 'function') return
    if (this.ws instanceof NativeWebSocketServer) this.ws._addsHeaders = (req) => this._addsHeaders(req)
    this.ws.on('headers', (lines, req) => {
      // middlewares' headers first, then the application's, each on lines of its own
      const headers = {}
      const isInitial = !req._query.sid
      const extra = req[kResponseHeaders]
      if (extra !== undefined) req[kResponseHeaders] = undefined
      if (isInitial) this.emit('initial_headers', headers, req)
      this.emit('headers', headers, req)
      lines.push(...headerLines(Object.assign({}, extra, headers)))
    })
  }

  /** Whether somebody may have headers for the response to an upgrade request. */
  _addsHeaders(req) {
    return (
      req[kResponseHeaders] !== undefined ||
      this.listenerCount('headers') > 0 ||
      this.listenerCount('initial_headers') > 0 ||
      this.ws.listenerCount('headers') > 1 ||
      this.emit !== emit
    )
  }

  cleanup() {
    if (this.ws) {
      debug('closing webSocketServer')
      this.ws.close()
      this._configureListener()
    }
  }

  /** Fills `req._query`, unless something before us has. */
  prepare(req) {
    if (!req._query) req._query = parseQuery(req.url)
  }

  createTransport(name, req) {
    return new transports[name](req)
  }

  /** Serves an HTTP request. Returns the server, for chaining. */
  handleRequest(req, res) {
    this._handleRequest(req, res)
    return this
  }

  _handleRequest(req, res) {
    debug('handling "%s" http request "%s"', req.method, req.url)
    req.res = res
    const callback = (code, context) => {
      if (code !== undefined) {
        try {
          this._emitError(req, code, context)
        } finally {
          abortRequest(res, code, BaseServer.errorMessages, context)
        }
        return
      }
      if (req._query.sid) {
        debug('setting new request for existing client')
        this.clients[req._query.sid].transport.onRequest(req)
      } else {
        const close = (code, context) => abortRequest(res, code, BaseServer.errorMessages, context)
        this.handshake(req._query.transport, req, close)
      }
    }
    if (!this._prepared(req)) return abortRequest(res, BaseServer.errors.BAD_REQUEST, BaseServer.errorMessages)
    this._applyMiddlewares(req, res, (error) => {
      if (error) callback(BaseServer.errors.BAD_REQUEST, { name: 'MIDDLEWARE_FAILURE' })
      else if (res.headersSent) debug('a middleware has answered the request itself')
      else this.verify(req, false, callback)
    })
  }

  /** Serves an upgrade request; `head` is what came after it. Returns the server, for chaining. */
  handleUpgrade(req, socket, head) {
    this._handleUpgrade(req, socket, head)
    return this
  }

  _handleUpgrade(req, socket, head) {
    socket.on('error', onEarlyError)
    const refuse = (code, context) => abortUpgrade(socket, code, BaseServer.errorMessages, context)
    if (!this._prepared(req)) return refuse(BaseServer.errors.BAD_REQUEST)
    const hooked = this.middlewares.length > 0 || this._applyMiddlewares !== BaseServer.prototype._applyMiddlewares
    const res = hooked ? new UpgradeResponse(req, socket) : undefined
    const callback = (code, context) => {
      if (code !== undefined) {
        try {
          this._emitError(req, code, context)
        } finally {
          refuse(code, context)
        }
        return
      }
      if (hooked) {
        req[kResponseHeaders] = res.headers
        // express-session and others write their headers now
        res.writeHead(101)
      }
      try {
        this.ws.handleUpgrade(req, socket, head, (websocket) => {
          socket.removeListener('error', onEarlyError)
          this.onWebSocket(req, socket, websocket)
        })
      } catch (error) {
        // the upgrade has been refused: a header of the application's would have split the response
        if (error.code !== 'ERR_INVALID_CHAR') throw error
        this._emitError(req, BaseServer.errors.BAD_REQUEST, { name: 'INVALID_HEADER', error })
      }
    }
    this._applyMiddlewares(req, res, (error) => {
      if (error) callback(BaseServer.errors.BAD_REQUEST, { name: 'MIDDLEWARE_FAILURE' })
      else this.verify(req, true, callback)
    })
  }

  /** False for a target that is no URL; the application gets no event for what it cannot have sent. */
  _prepared(req) {
    try {
      this.prepare(req)
      return true
    } catch (error) {
      debug('cannot parse "%s": %s', req.url, error.message)
      return false
    }
  }

  /** A WebSocket connection is open: of a new session, or to upgrade one. */
  onWebSocket(req, socket, websocket) {
    // the engine's own connections emit errors to those who listen only
    const foreign = !(websocket instanceof NativeWebSocket)
    if (foreign) websocket.on('error', onUpgradeError)
    if (transports[req._query.transport] !== undefined && !transports[req._query.transport].prototype.handlesUpgrades) {
      debug('transport does not handle upgraded requests')
      websocket.close()
      return
    }
    const { sid } = req._query
    req.websocket = websocket
    if (sid) {
      const client = hasOwn(this.clients, sid) ? this.clients[sid] : undefined
      if (!client || client.upgrading || client.upgraded) {
        debug('upgrade attempt for a client that is closed, upgrading or upgraded')
        websocket.close()
        return
      }
      if (foreign) websocket.removeListener('error', onUpgradeError)
      const transport = this.createTransport(req._query.transport, req)
      transport.perMessageDeflate = this.opts.perMessageDeflate
      client._maybeUpgrade(transport)
      return
    }
    // the response is out: what goes wrong from here on can only be told by the end of the connection
    this.handshake(req._query.transport, req, () => refuseLate(websocket, socket))
    if (foreign) websocket.removeListener('error', onUpgradeError)
  }

  /** The engine's own listener has opened a session for a request by itself, and answered that. */
  _onOpened(handle, listener, head) {
    const opening = new Opening(head)
    const id = opening.sid
    debug('handshaking client "%s"', id)
    const websocket = opening.accept()
    const name = websocket === undefined ? 'polling' : 'websocket'
    const transport = this._makeTransport(name, { _query: PLAIN_QUERY, _listener: listener, websocket })
    const socket = new Socket(id, this, transport, opening, 4, handle)
    // closed meanwhile, which ends the taking of connections
    if (websocket !== undefined && this.ws.closed) return socket.close(true)
    try {
      this._register(socket)
    } catch (error) {
      // as where requests come here: a handshake may take its time
      Promise.reject(error)
    }
    bridge.holdBack(socket)
  }

  /**
   * Serves the requests of an HTTP server whose target starts with `path`; the others go to the
   * listeners it had before.
   *
   * @param {import('http').Server} server
   * @param {{path?: string, addTrailingSlash?: boolean, destroyUpgrade?: boolean, destroyUpgradeTimeout?: number}} options
   */
  attach(server, options = {}) {
    const path = this._computePath(options)
    const destroyUpgradeTimeout = options.destroyUpgradeTimeout || 1000
    const isOurs = (req) => req.url.startsWith(path)
    const listeners = server.listeners('request').slice(0)
    server.removeAllListeners('request')
    server.on('close', this.close.bind(this))
    server.on('listening', this.init.bind(this))
    server.on('request', (req, res) => {
      if (isOurs(req)) {
        debug('intercepting request for path "%s"', path)
        this.handleRequest(req, res)
      } else {
        for (const listener of listeners) listener.call(server, req, res)
      }
    })
    if (this.opts.transports.indexOf('websocket') === -1) return
    server.on('upgrade', (req, socket, head) => {
      if (isOurs(req)) {
        this.handleUpgrade(req, socket, head)
      } else {
        // whoever serves it, a client that resets is no reason for an uncaught exception
        socket.on('error', (error) => debug('error on an upgrade for another path: %s', error.message))
        if (options.destroyUpgrade === false) return
        // with an upgrade listener of ours Node leaves such sockets open; somebody has to end them
        setTimeout(() => {
          if (socket.writable && socket.bytesWritten <= 0) socket.end()
        }, destroyUpgradeTimeout)
      }
    })
  }
}

/** The handshake failed after the protocol was switched. */
function refuseLate(websocket, socket) {
  if (typeof websocket._refuse === 'function') return websocket._refuse()
  websocket.close()
  socket.end()
}

function onUpgradeError() {
  debug('websocket error before upgrade')
}

function onEarlyError() {
  debug('connection lost before the upgrade was complete')
}

function revisionOf(req) {
  return req._query.EIO === '4' ? 4 : 3
}

module.exports = { BaseServer, Server }
