'use strict'

/**
 * What is left of a net.Socket whose connection the engine has taken over. The object itself lives as long
 * as the application holds it, by `socket.request` usually: its addresses can be read, destroying it cuts
 * the connection off, and it emits `close` when the connection has ended. Its server counts it until then,
 * held or not.
 */
class TakenOver {
  /**
   * @param {import('net').Socket} socket without a handle, its remote address read
   * @param {import('net').AddressInfo} localEnd
   */
  constructor(socket, localEnd) {
    this.localEnd = localEnd
    this._address = socket.remoteAddress
    this._server = socket._server
    this._socket = new WeakRef(socket)
    // counted here from now on
    socket._server = null
  }

  /** The net.Socket, or what is known of it. */
  below() {
    return this._socket.deref() || { remoteAddress: this._address }
  }

  /** The connection has ended. */
  destroy() {
    const socket = this._socket.deref()
    const server = this._server
    this._server = null
    if (socket !== undefined) socket.destroy()
    if (!server) return
    server._connections--
    if (typeof server._emitCloseIfDrained === 'function') server._emitCloseIfDrained()
  }
}

module.exports = { TakenOver }
