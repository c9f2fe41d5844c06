'use strict'

const debug = require('debug')('engine:uws')
const { parseQuery } = require('./query')
const { abortRequest } = require('./refusal')
const { BaseServer } = require('./base-server')
const { polling } = require('./transports')
const { Request, Response } = require('./userver-http')
const { WebSocket } = require('./userver-websocket')

const transports = { polling, websocket: WebSocket }

/**
 * Serves the apps of uWebSockets.js 20, which accept and parse by themselves. `transport.socket` of a WebSocket
 * session is the connection of uWebSockets.js.
 */
class uServer extends BaseServer {
  constructor(opts = {}) {
    // Socket.IO gives all options to both: this one is that of uWebSockets.js, see `attach`
    super('maxBackpressure' in opts ? { ...opts, maxBackpressure: undefined } : opts)
  }

  prepare(req) {
    if (!req._query) req._query = parseQuery(req.url)
  }

  createTransport(name, req) {
    return new transports[name](req)
  }

  /**
   * @param {object} app of uWebSockets.js: `App()` or `SSLApp(options)`
   * @param {object} [options] `path`, `addTrailingSlash`; `compression`, `idleTimeout` in seconds, `maxBackpressure`
   * in bytes are those of uWebSockets.js
   * @throws {TypeError} for something that is no app
   */
  attach(app, options = {}) {
    if (!app || typeof app.any !== 'function' || typeof app.ws !== 'function') {
      throw new TypeError('uServer.attach() takes an app of uWebSockets.js, such as require("uWebSockets.js").App()')
    }
    const path = this._computePath(options)
    app.any(path, this.handleRequest.bind(this)).ws(path, {
      compression: options.compression,
      idleTimeout: options.idleTimeout,
      maxBackpressure: options.maxBackpressure,
      maxPayloadLength: this.opts.maxHttpBufferSize,
      upgrade: this.handleUpgrade.bind(this),
      open: (ws) => ws.getUserData().transport._onOpen(ws),
      message: (ws, message, isBinary) => ws.getUserData().transport._onMessage(message, isBinary),
      drain: (ws) => ws.getUserData().transport._onDrain(),
      close: (ws) => {
        const { transport, response } = ws.getUserData()
        transport._onEnd()
        response.emit('close')
      },
    })
  }

  /** Serves an HTTP request of uWebSockets.js. */
  handleRequest(uRes, uReq) {
    this._check(uRes, uReq, false, (req, res) => {
      const { sid, transport } = req._query
      if (sid) {
        debug('setting new request for existing client')
        this._client(sid).transport.onRequest(req)
      } else {
        this.handshake(transport, req, (code, context) => this.abortRequest(res, code, context))
      }
    })
  }

  /** Serves an upgrade request of uWebSockets.js. */
  handleUpgrade(uRes, uReq, context) {
    // can be read only now
    const terms = {
      key: uReq.getHeader('sec-websocket-key'),
      protocol: uReq.getHeader('sec-websocket-protocol'),
      extensions: uReq.getHeader('sec-websocket-extensions'),
      context,
    }
    this._check(uRes, uReq, true, (req, res) => this._switch(req, res, terms))
  }

  /** Calls `accepted` with a request that has passed middlewares and checks; answers others. */
  _check(uRes, uReq, upgrade, accepted) {
    const req = new Request(uReq, uRes)
    const res = (req.res = new Response(uRes, req))
    debug('handling "%s" http request "%s"', req.method, req.url)
    this.prepare(req)
    const callback = (code, context) => {
      if (res.destroyed) return debug('the client is gone')
      if (code === undefined) return accepted(req, res)
      try {
        this._emitError(req, code, context)
      } finally {
        this.abortRequest(res, code, context)
      }
    }
    this._applyMiddlewares(req, res, (error) => {
      if (error) callback(BaseServer.errors.BAD_REQUEST, { name: 'MIDDLEWARE_FAILURE' })
      else this.verify(req, upgrade, callback)
    })
  }

  async _switch(req, res, terms) {
    const { sid, transport: name } = req._query
    let transport
    if (sid) {
      const client = this._upgradable(sid)
      if (!transports[name].prototype.handlesUpgrades || client === undefined) {
        debug('upgrade attempt for a client that is closed, upgrading or upgraded')
        return res.destroy()
      }
      transport = this._makeTransport(name, req)
      client._maybeUpgrade(transport)
    } else {
      transport = await this.handshake(name, req, (code, context) => this.abortRequest(res, code, context))
      if (!transport) return
      // the client may have gone while the id was made
      if (res.destroyed) return transport.onClose()
    }
    const headers = {}
    if (!sid) this.emit('initial_headers', headers, req)
    this.emit('headers', headers, req)
    res._upgrade({ transport, response: res }, headers, terms)
  }

  abortRequest(res, code, context) {
    abortRequest(res, code, BaseServer.errorMessages, context)
  }
}

module.exports = { uServer }
