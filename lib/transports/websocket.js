'use strict'

const bridge = require('../bridge')
const { content, packetType } = require('../packets')
const { Transport, kOwner } = require('../transport')
const { NativeWebSocket, notOpen } = require('../websocket')
const debug = require('debug')('engine:ws')

const FLOWING = 0
const CONGESTED = 1
const CLOSED = 2

/** The `mode` of `send` in src/node/fast.rs. */
const MODE_V3 = 1
const MODE_TEXT_ONLY = 2
const MODE_PLAIN = 4

/**
 * WebSocket. `socket` is a connection of the engine, or any object that behaves like one of `ws`
 * (from a custom `wsEngine`, or given to `onWebSocket`).
 */
class WebSocket extends Transport {
  constructor(req) {
    super(req)
    this.socket = req.websocket
    this.writable = true
    this.perMessageDeflate = null
    /** The last batch has callbacks, which wait until it is written. */
    this._awaited = false
    this._congested = false
    if (this._isNative()) {
      this.socket._transport = this
    } else {
      this._listenTo(this.socket)
    }
  }

  get name() {
    return 'websocket'
  }

  get handlesUpgrades() {
    return true
  }

  _isNative() {
    return this.socket instanceof NativeWebSocket
  }

  /** Whether no session has the transport: a subclass of Server moves its packets itself. */
  _isAlone() {
    return this[kOwner] === null && this.readyState !== 'closed'
  }

  _receiveAlone() {
    if (this._isNative()) this.socket._own()
  }

  send(packets) {
    this.writable = false
    if (this._isNative()) this._sendNative(packets)
    else this._sendForeign(packets)
  }

  _sendNative(packets) {
    const handle = this.socket._handle
    const mode = (this.protocol === 3 ? MODE_V3 : 0) | (this.supportsBinary ? 0 : MODE_TEXT_ONLY)
    let status = FLOWING
    for (let i = 0; i < packets.length; i++) {
      const packet = packets[i]
      const frame = this._preEncoded(packet)
      if (frame === undefined) {
        const plain = packet.options !== undefined && packet.options.compress === false ? MODE_PLAIN : 0
        status = bridge.fast.send(handle, packetType(packet), content(packet.data), mode | plain)
      } else {
        for (const part of frame) status = bridge.fast.sendFrame(handle, part)
      }
    }
    if (status === CLOSED && this.socket.readyState !== this.socket.OPEN) {
      // closed from this side, past the session
      return this.onError('write error', notOpen(this.socket.readyState).stack)
    }
    this._congested = status === CONGESTED
    const owner = this[kOwner]
    this._awaited = owner !== null && owner._awaitsDrain()
    if (this._congested || this._awaited) {
      bridge.scheduleFlush()
      bridge.getEngine().reportDrain(handle)
    } else {
      bridge.markWritten(this)
    }
  }

  /** A frame that Socket.IO encoded once for all recipients of a broadcast. */
  _preEncoded(packet) {
    const frame = packet.options && packet.options.wsPreEncodedFrame
    return frame !== undefined && !this.perMessageDeflate ? frame : undefined
  }

  /** The end of the tick: what was sent is on its way. */
  _settle() {
    if (!this._awaited && !this._congested) this._onWritten()
  }

  _onWritten() {
    this._awaited = this._congested = false
    if (this.readyState === 'closed') return
    const owner = this[kOwner]
    try {
      if (owner !== null) owner.onDrain()
      if (this.listenerCount('drain') > 0) this.emit('drain')
    } finally {
      this.writable = true
      if (owner !== null) owner.flush()
      if (this.listenerCount('ready') > 0) this.emit('ready')
    }
  }

  doClose(fn) {
    debug('closing')
    this.socket.close()
    fn()
  }

  // ---- connections that JavaScript drives ----------------------------------------------------

  _listenTo(socket) {
    socket.on('message', (data, isBinary) => this.onData(isBinary ? data : data.toString()))
    socket.once('close', () => this.onClose())
    socket.on('error', (error) => this.onError(error))
    this._sent = (error) => {
      if (error) this.onError('write error', error.stack)
    }
    this._sentLast = (error) => {
      if (error) return this.onError('write error', error.stack)
      this.emit('drain')
      this.writable = true
      this.emit('ready')
    }
  }

  _sendForeign(packets) {
    packets.forEach((packet, index) => {
      const done = index === packets.length - 1 ? this._sentLast : this._sent
      const frame = this._preEncoded(packet)
      const sender = this.socket._sender
      if (frame !== undefined && sender && typeof sender.sendFrame === 'function') {
        sender.sendFrame(frame, done)
      } else {
        this.parser.encodePacket(packet, this.supportsBinary, (data) => this.socket.send(data, done))
      }
    })
  }
}

module.exports = { WebSocket }
