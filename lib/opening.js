'use strict'

const { ListenerRequest, ListenerSocket, fieldOf, SID, CONNECTION, REMOTE_ADDRESS } = require('./listener-request')
const { parseQuery } = require('./query')
const { NativeWebSocket } = require('./websocket')

/**
 * The request by which the engine's own listener has opened a session by itself. Most such requests are never looked
 * at, and their objects are made when somebody does.
 */
class Opening {
  /** @param {string} head see `head` in src/http/request.rs */
  constructor(head) {
    this._head = head
    /** undefined: not made yet; null: nobody wants it any more, and `_head` is the client's address. */
    this._request = undefined
    this._websocket = undefined
  }

  get sid() {
    return fieldOf(this._head, SID)
  }

  get remoteAddress() {
    return this._request === null ? this._head : fieldOf(this._head, REMOTE_ADDRESS)
  }

  /** The WebSocket that its connection has become; undefined: it polls. */
  accept() {
    const connection = fieldOf(this._head, CONNECTION)
    if (connection !== '') this._websocket = new NativeWebSocket(Number(connection), this)
    return this._websocket
  }

  request() {
    if (this._request === undefined) {
      const req = new ListenerRequest(0, 0, this._head)
      req._query = parseQuery(req.url)
      if (this._websocket !== undefined) {
        req.websocket = new ListenerSocket(0, req)._websocket = this._websocket
      }
      this._request = req
    }
    return this._request
  }

  /** The session lets go of it. */
  release() {
    if (this._request !== undefined) return
    // a copy: a part of a string keeps the whole
    this._head = Buffer.from(this.remoteAddress).toString()
    this._request = null
  }

  /** The stream below the WebSocket, or what is known of it. */
  below() {
    const request = this.request()
    return request === null ? { remoteAddress: this._head } : request.socket
  }

  /** The connection has ended. */
  destroy() {
    if (this._request) this._request.socket.destroy()
  }
}

module.exports = { Opening }
