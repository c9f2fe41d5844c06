'use strict'

const { EventEmitter } = require('events')
const { STATUS_CODES } = require('http')
const debug = require('debug')('engine')
const { cheapenAcceptedSockets, joinServer } = require('../native/node-internals')
const { BaseServer } = require('./base-server')
const { onEarlyError } = require('../native/carried-socket')
const { UpgradeResponse } = require('./middleware')
const { isOpenToMoves, isPlain, keepServer } = require('./movable')
const { proxiesBefore, readProxyHeaders } = require('./proxy-protocol')
const { checkWsEngine, ownOf, transportOptions } = require('../base/options')
const { parseQuery, sidOf } = require('../base/query')
const { abortRequest, abortUpgrade, abortWebSocket } = require('../transports/errors')
const transports = require('../transports')
const { openPacket } = require('../session/open-packet')
const { Socket } = require('../session/socket')
const { headerLines, refuseUpgrade } = require('../native/upgrade-server')
const {
  kAccept,
  kAddsHeaders,
  kAdmit,
  kAfterDrain,
  kAdopt,
  kAnswersFailures,
  kAvailableUpgrades,
  kClient,
  kEmitError,
  kHandleRequest,
  kHandleUpgrade,
  kIsMovable,
  kMakeTransport,
  kMutesErrors,
  kPrepared,
  kPresent,
  kRegister,
  kServe,
  kServeMoved,
  kState,
  kTerms,
  kUpgradable,
  kVerifySession,
} = require('../base/symbols')

const { emit } = EventEmitter.prototype

/** The headers that middlewares set on an upgrade's response. */
const kResponseHeaders = Symbol('responseHeaders')

/** A server behind Node's HTTP servers. */
class Server extends BaseServer {
  /** Prepares to answer WebSocket upgrades. It is also called when the HTTP server starts to listen. */
  init() {
    if (this.opts.transports.indexOf('websocket') === -1) return
    checkWsEngine(this.opts.wsEngine)
    if (this.ws) this.ws.close()
    this.ws = new this.opts.wsEngine({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: this.opts.perMessageDeflate,
      maxPayload: this.opts.maxHttpBufferSize,
      maxBufferedChunks: this.opts.maxBufferedChunks,
    })
    if (typeof this.ws.on !== 'function') return
    this.ws[kServe]?.({
      mayAddHeaders: (req) => this[kAddsHeaders](req),
      onRefused: () => this[kState].counts.upgradeInvalid(),
    })
    this.ws.on('headers', (lines, req) => {
      // listeners may also change the headers that middlewares have set
      const headers = req[kResponseHeaders] || {}
      req[kResponseHeaders] = undefined
      if (!sidOf(req)) this.emit('initial_headers', headers, req)
      this.emit('headers', headers, req)
      lines.push(...headerLines(headers))
    })
  }

  /** Returns whether middlewares or listeners may add headers to the response to an upgrade request. */
  [kAddsHeaders](req) {
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
    }
  }

  /** Fills `req._query`, unless it is filled. */
  prepare(req) {
    if (!req._query) req._query = parseQuery(req.url)
  }

  createTransport(name, req) {
    return new transports[name](req, transportOptions(this.opts))
  }

  /** Serves an HTTP request. Returns the server, for chaining. */
  handleRequest(req, res) {
    this[kHandleRequest](req, res)
    return this
  }

  [kHandleRequest](req, res) {
    debug('handling "%s" http request "%s"', req.method, req.url)
    const callback = (code, context) => {
      // it may have waited since before the server began to drain or to close
      this[kState].cluster?.endIfLeaving(res)
      if (code !== undefined) {
        try {
          this[kEmitError](req, code, context)
        } finally {
          abortRequest(res, code, BaseServer.errorMessages, context)
        }
        return
      }
      const sid = sidOf(req)
      if (sid) {
        const client = this[kClient](sid)
        if (client === undefined) {
          const { cluster } = this[kState]
          const peer = cluster?.peerOf(sid)
          // the session was closed since `verify`, which an application may have replaced by a slow one
          if (peer === undefined) return callback(BaseServer.errors.UNKNOWN_SID, { sid })
          req.res = null
          return cluster.forward(peer, sid, req, res, callback)
        }
        debug('setting new request for existing client')
        const { cluster } = this[kState]
        if (cluster === undefined) return client.transport.onRequest(req)
        cluster.admit(sid, req, res, () => this[kPresent](client, req, res, callback), callback)
      } else {
        const close = (code, context) => abortRequest(res, code, BaseServer.errorMessages, context)
        this.handshake(req._query.transport, req, close)
      }
    }
    if (!this[kPrepared](req)) return abortRequest(res, BaseServer.errors.BAD_REQUEST, BaseServer.errorMessages)
    req.res = res
    this[kState].cluster?.onRequest()
    this[kState].cluster?.endIfLeaving(res)
    this._applyMiddlewares(req, res, (error) => {
      if (error) callback(BaseServer.errors.BAD_REQUEST, { name: 'MIDDLEWARE_FAILURE' })
      else if (res.headersSent) debug('a middleware has answered the request itself')
      else this[kAdmit](req, false, callback)
    })
  }

  /** Serves an upgrade request. `head` has the bytes that came behind it. Returns the server, for chaining. */
  handleUpgrade(req, socket, head) {
    this[kHandleUpgrade](req, socket, head)
    return this
  }

  [kHandleUpgrade](req, socket, head) {
    socket.on('error', onEarlyError)
    const refuse = (code, context) => abortUpgrade(socket, code, BaseServer.errorMessages, context)
    if (!this[kPrepared](req)) return refuse(BaseServer.errors.BAD_REQUEST)
    this[kState].cluster?.onRequest()
    const hooked = this.middlewares.length > 0 || this._applyMiddlewares !== BaseServer.prototype._applyMiddlewares
    const res = hooked ? new UpgradeResponse(req, socket) : undefined
    const callback = (code, context) => {
      if (code !== undefined) {
        try {
          this[kEmitError](req, code, context)
        } finally {
          refuse(code, context)
        }
        return
      }
      if (hooked) {
        req[kResponseHeaders] = res.headers
        // express-session and others add their headers now
        res.writeHead(101)
      }
      const { cluster } = this[kState]
      if (cluster !== undefined) {
        const sid = sidOf(req)
        const peer = sid && this[kClient](sid) === undefined ? cluster.peerOf(sid) : undefined
        if (peer !== undefined) return cluster.move(peer, sid, req, socket, head, req[kResponseHeaders], callback)
      }
      this[kAccept](req, socket, head)
    }
    this._applyMiddlewares(req, res, (error) => {
      if (error) callback(BaseServer.errors.BAD_REQUEST, { name: 'MIDDLEWARE_FAILURE' })
      else this[kAdmit](req, true, callback)
    })
  }

  /** Switches protocols for a request that has passed `verify`. */
  [kAccept](req, socket, head) {
    let accepted = false
    try {
      this.ws.handleUpgrade(req, socket, head, (websocket) => {
        accepted = true
        socket.removeListener('error', onEarlyError)
        this.onWebSocket(req, socket, websocket)
      })
    } catch (error) {
      // a listener threw, or a header would have split the response
      if (!accepted && !this.ws?.[kAnswersFailures]) refuseUpgrade(socket, 500, STATUS_CODES[500])
      if (error.code !== 'ERR_INVALID_CHAR') throw error
      this[kEmitError](req, BaseServer.errors.BAD_REQUEST, { name: 'INVALID_HEADER', error })
    }
  }

  /**
   * Serves an upgrade request that another process has received, with its connection.
   *
   * @param {object} headers those that middlewares have set there
   * @param {(code?: number, context?: object) => void} decide is called with nothing if this process goes on, otherwise
   *   that process answers with an error
   */
  [kServeMoved](req, socket, head, headers, decide) {
    const sid = sidOf(req)
    if (this[kClient](sid) === undefined) return decide(BaseServer.errors.UNKNOWN_SID, { sid })
    const { transport } = req._query
    if (this.opts.transports.indexOf(transport) === -1 || transport === 'webtransport') {
      return decide(BaseServer.errors.UNKNOWN_TRANSPORT, { transport })
    }
    this[kVerifySession](req, true, (code, context) => {
      decide(code, context)
      if (code !== undefined) return
      joinServer(this[kState].attachedTo, socket)
      socket.on('error', onEarlyError)
      if (Object.keys(headers).length > 0) req[kResponseHeaders] = headers
      this[kAccept](req, socket, head)
    })
  }

  /**
   * What this server tells clients in open packets, so that it may take over sessions of servers that tell the same;
   * undefined if sessions do not move.
   */
  [kTerms]() {
    return isOpenToMoves(this, Server.prototype)
      ? openPacket('', this[kAvailableUpgrades]('polling'), this.opts)
      : undefined
  }

  /** Whether another server may have a session of which the application has not heard. */
  [kIsMovable](session) {
    return isOpenToMoves(this, Server.prototype) && !this[kState].clients.isUsed && isPlain(session)
  }

  /**
   * Goes on with a session that another process has opened, which has not told its application of it.
   *
   * @param {string} sid
   * @param {import('http').IncomingMessage} req what has opened it
   */
  [kAdopt](sid, req) {
    const transport = this[kMakeTransport]('polling', req)
    this[kRegister](new Socket(sid, this, transport, req, 4, undefined, true))
  }

  /**
   * Prepares a request. Returns false if its target is not a URL; no event is emitted for it, as no client sends such a
   * target.
   */
  [kPrepared](req) {
    try {
      this.prepare(req)
      return true
    } catch (error) {
      debug('cannot parse "%s": %s', req.url, error.message)
      return false
    }
  }

  /** Takes a WebSocket connection for a new session, or for the upgrade of a session. */
  onWebSocket(req, socket, websocket) {
    const needsListener = !websocket[kMutesErrors]
    if (needsListener) websocket.on('error', onUpgradeError)
    if (transports[req._query.transport] !== undefined && !transports[req._query.transport].prototype.handlesUpgrades) {
      debug('transport does not handle upgraded requests')
      websocket.close()
      return
    }
    const sid = sidOf(req)
    req.websocket = websocket
    if (sid) {
      const client = this[kUpgradable](sid)
      if (client === undefined) {
        debug('upgrade attempt for a client that is closed, upgrading or upgraded')
        this[kState].counts.upgrades.refused++
        websocket.close()
        return
      }
      if (needsListener) websocket.removeListener('error', onUpgradeError)
      client._maybeUpgrade(this[kMakeTransport](req._query.transport, req))
      return
    }
    const refuse = (code, context) => abortWebSocket(websocket, socket, code, BaseServer.errorMessages, context)
    this.handshake(req._query.transport, req, refuse)
  }

  /**
   * Serves the requests of an HTTP server whose target starts with `path`. Other requests go to the listeners that the
   * server had before.
   *
   * @param {import('http').Server} server
   * @param {{path?: string, addTrailingSlash?: boolean, destroyUpgrade?: boolean, destroyUpgradeTimeout?: number,
   *   proxyProtocol?: boolean | string | string[]}} options
   * @throws {TypeError} for an invalid `proxyProtocol`, and for the option `cluster`, which is one of the server
   * @throws {Error} if the connections of this HTTP server have a header already
   */
  attach(server, options = {}) {
    if (/** @type {any} */ (options).cluster && this[kState].cluster === undefined) {
      throw new TypeError('attach() does not take the option cluster: write new Server({ cluster })')
    }
    const proxies = proxiesBefore(server, proxyProtocolOf(this, options))
    cheapenAcceptedSockets()
    const { attachedTo = server } = this[kState]
    if (attachedTo !== server) this[kState].isAttachedAgain = true
    this[kState].attachedTo = server
    const path = this._computePath(options)
    const destroyUpgradeTimeout = options.destroyUpgradeTimeout || 1000
    const isOurs = (req) => req.url.startsWith(path)
    const listeners = server.listeners('request').slice(0)
    server.removeAllListeners('request')
    const close = this.close.bind(this)
    server.on('close', this[kState].cluster === undefined ? close : () => this[kAfterDrain](close))
    server.on('listening', this.init.bind(this))
    server.on('request', (req, res) => {
      if (isOurs(req)) {
        debug('intercepting request for path "%s"', path)
        this.handleRequest(req, res)
      } else {
        for (const listener of listeners) listener.call(server, req, res)
      }
    })
    if (this.opts.transports.indexOf('websocket') !== -1) {
      server.on('upgrade', (req, socket, head) => {
        if (isOurs(req)) {
          this.handleUpgrade(req, socket, head)
        } else {
          // a client that resets must not cause an uncaught exception, also if another listener serves the upgrade
          socket.on('error', (error) => debug('error on an upgrade for another path: %s', error.message))
          if (options.destroyUpgrade === false) return
          // Node leaves such sockets open because there is an upgrade listener, so that they have to be ended here
          setTimeout(() => {
            if (socket.writable && /** @type {any} */ (socket).bytesWritten <= 0) socket.end()
          }, destroyUpgradeTimeout)
        }
      })
    }
    this[kState].cluster?.joinAgain()
    // last: a server for which this method throws reads no headers
    if (proxies !== undefined) readProxyHeaders(server, proxies, () => this[kState].counts.proxyHeaderInvalid())
  }
}

/** Returns the option `proxyProtocol` of `attach()`, or else that of the server. */
function proxyProtocolOf(server, options) {
  const { proxyProtocol = ownOf(server.opts).proxyProtocol } = ownOf(options)
  return proxyProtocol
}

function onUpgradeError() {
  debug('websocket error before upgrade')
}

keepServer(Server, BaseServer)

module.exports = { Server }
