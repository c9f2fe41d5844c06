'use strict'

const debug = require('debug')('engine:uws')
const { ownOf, transportOptions } = require('../base/options')
const { parseSearch, sidOf } = require('../base/query')
const { proxiesOf } = require('../base/trust-proxy')
const { HandshakeHeader } = require('../native/contract')
const { abortRequest } = require('../transports/errors')
const { BaseServer } = require('../server/base-server')
const { Request } = require('./http')
const { Polling } = require('./polling')
const { WebSocket } = require('./websocket')
const {
  kAdmit,
  kCheck,
  kClient,
  kDropHeaders,
  kEmitError,
  kFailUpgrade,
  kIsOpen,
  kMakeTransport,
  kOnDrain,
  kOnEnd,
  kOnMessage,
  kOnOpen,
  kOnWebSocketClosed,
  kRefuseBare,
  kState,
  kSwitch,
  kSwitchNew,
  kUpgradable,
  kUpgrade,
} = require('../base/symbols')

const transports = { polling: Polling, websocket: WebSocket }

/** The transport that a request has opened. */
const kTransport = Symbol('transport')

/**
 * Serves apps of uWebSockets.js 20, which accept and parse themselves. `transport.socket` of a WebSocket session is the
 * connection of uWebSockets.js.
 */
class uServer extends BaseServer {
  constructor(opts = {}) {
    if (opts.cluster) throw new TypeError('cluster is not supported with uWebSockets.js')
    // Socket.IO passes all options to constructor and `attach`; this one belongs to `attach`
    super('maxBackpressure' in opts ? { ...opts, maxBackpressure: undefined } : opts)
  }

  init() {}

  cleanup() {}

  prepare(req) {
    if (!req._query) req._query = parseSearch(req.getQuery())
  }

  createTransport(name, req) {
    return new transports[name](req, transportOptions(this.opts))
  }

  /**
   * @param {object} app of uWebSockets.js: `App()` or `SSLApp(options)`
   * @param {object} [options] `path`, `addTrailingSlash`; `compression`, `idleTimeout` in seconds, `maxBackpressure`
   * in bytes are those of uWebSockets.js
   * @throws {TypeError} for something other than an app, and for `proxyProtocol`
   */
  attach(app, options = {}) {
    if (!app || typeof app.any !== 'function' || typeof app.ws !== 'function') {
      throw new TypeError('uServer.attach() takes an app of uWebSockets.js, such as require("uWebSockets.js").App()')
    }
    if ([options, this.opts].some((given) => proxiesOf(ownOf(given).proxyProtocol) !== undefined)) {
      throw new TypeError('uServer does not support proxyProtocol: uWebSockets.js reads the connections itself')
    }
    const path = this._computePath(options)
    app.any(path, this.handleRequest.bind(this)).ws(path, {
      compression: options.compression,
      idleTimeout: options.idleTimeout,
      maxBackpressure: options.maxBackpressure,
      maxPayloadLength: this.opts.maxHttpBufferSize,
      upgrade: this.handleUpgrade.bind(this),
      open: (ws) => ws.getUserData().transport[kOnOpen](ws),
      message: (ws, message, isBinary) => ws.getUserData().transport[kOnMessage](message, isBinary),
      drain: (ws) => ws.getUserData().transport[kOnDrain](),
      close: (ws, code, reason) => {
        const { transport, response } = ws.getUserData()
        try {
          transport[kOnEnd](code, reason)
        } finally {
          response[kOnWebSocketClosed]()
        }
      },
    })
  }

  /** Serves an HTTP request of uWebSockets.js. */
  handleRequest(uRes, uReq) {
    this[kCheck](uRes, uReq, false, (req, res) => {
      const sid = sidOf(req)
      if (!sid)
        return this.handshake(req._query.transport, req, (code, context) => this[kRefuseBare](res, code, context))
      const client = this[kClient](sid)
      // the session ended during a slow check
      if (client === undefined) return this.abortRequest(res, BaseServer.errors.UNKNOWN_SID)
      debug('setting new request for existing client')
      client.transport.onRequest(req)
    })
  }

  /** Serves an upgrade request of uWebSockets.js. */
  handleUpgrade(uRes, uReq, context) {
    // these can be read only before the handler returns
    const terms = {
      key: uReq.getHeader(HandshakeHeader.KEY.toLowerCase()),
      protocol: uReq.getHeader(HandshakeHeader.PROTOCOL.toLowerCase()),
      extensions: uReq.getHeader(HandshakeHeader.EXTENSIONS.toLowerCase()),
      context,
    }
    this[kCheck](uRes, uReq, true, (req, res) => this[kSwitch](req, res, terms))
  }

  /** Calls `accepted` with a request that has passed middlewares and checks, and answers other requests. */
  [kCheck](uRes, uReq, upgrade, accepted) {
    const req = new Request(uReq, uRes)
    const res = (req.res = req[kState].response)
    debug('handling "%s" http request "%s"', req.method, req.url)
    const callback = (code, context) => {
      if (res.writableEnded) return debug('a middleware has answered the request')
      if (code === undefined) return res[kIsOpen]() ? accepted(req, res) : debug('the client is gone')
      try {
        this[kEmitError](req, code, context)
      } finally {
        if (upgrade) this[kRefuseBare](res, code, context)
        else this.abortRequest(res, code, context)
      }
    }
    this.prepare(req)
    this._applyMiddlewares(req, res, (error) => {
      if (error) callback(BaseServer.errors.BAD_REQUEST, { name: 'MIDDLEWARE_FAILURE' })
      else if (res.headersSent && !upgrade) debug('a middleware has answered the request itself')
      else this[kAdmit](req, upgrade, callback)
    })
  }

  [kMakeTransport](name, req) {
    return (req[kTransport] = super[kMakeTransport](name, req))
  }

  /** Serves a valid upgrade request, which upgrades a session or opens one. */
  [kSwitch](req, res, terms) {
    const sid = sidOf(req)
    const { transport: name } = req._query
    if (!transports[name].prototype.handlesUpgrades) {
      debug('transport does not handle upgraded requests')
      return res.destroy()
    }
    if (!sid) return this[kSwitchNew](req, res, terms)
    const client = this[kUpgradable](sid)
    if (client === undefined) {
      debug('upgrade attempt for a client that is closed, upgrading or upgraded')
      this[kState].counts.upgrades.refused++
      return res.destroy()
    }
    const transport = this[kMakeTransport](name, req)
    client._maybeUpgrade(transport)
    this[kUpgrade](req, res, transport, terms)
  }

  async [kSwitchNew](req, res, terms) {
    try {
      await this.handshake(req._query.transport, req, (code, context) => this[kRefuseBare](res, code, context))
    } finally {
      // the client gets its session even if a `connection` listener throws
      const transport = req[kTransport]
      if (transport !== undefined) this[kUpgrade](req, res, transport, terms)
    }
  }

  /** Switches protocols if that is still possible, otherwise ends the transport. */
  [kUpgrade](req, res, transport, terms) {
    req[kTransport] = undefined
    // the client may have gone during `generateId`
    if (!res[kIsOpen]() || transport.readyState !== 'open') {
      if (transport.readyState !== 'closed') transport.onClose()
      return res.destroy()
    }
    const headers = {}
    try {
      if (!sidOf(req)) this.emit('initial_headers', headers, req)
      this.emit('headers', headers, req)
      // a listener may have cut the connection off
      if (!res[kIsOpen]()) return transport.onClose()
      res[kUpgrade]({ transport, response: res }, headers, terms)
    } catch (error) {
      // an error while an open WebSocket sends waiting packets is not a failure of the upgrade
      if (transport.socket) surface(error)
      else this[kFailUpgrade](req, res, transport, error)
    }
  }

  /** Answers an upgrade for which a listener threw, or whose response a header would have split. */
  [kFailUpgrade](req, res, transport, error) {
    try {
      transport.onClose()
      if (error.code !== 'ERR_INVALID_CHAR' && error.code !== 'ERR_INVALID_HTTP_TOKEN') {
        surface(error)
      } else {
        this[kEmitError](req, BaseServer.errors.BAD_REQUEST, { name: 'INVALID_HEADER', error })
      }
    } finally {
      if (!res.headersSent) res.writeHead(500)
      res.end()
    }
  }

  /** Refuses an upgrade or a handshake without the headers that middlewares have set, as in the original. */
  [kRefuseBare](res, code, context) {
    if (!res.headersSent) res[kDropHeaders]()
    this.abortRequest(res, code, context)
  }

  abortRequest(res, code, context) {
    abortRequest(res, code, BaseServer.errorMessages, context)
  }
}

/** Lets an exception surface as an unhandled rejection, as the original does. */
function surface(error) {
  Promise.reject(error)
}

module.exports = { uServer }
