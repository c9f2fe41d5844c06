'use strict'

const { EventEmitter } = require('events')
const { bufferedAmount, overflows } = require('./backpressure')
const bridge = require('./bridge')
const { CompactEmitter } = require('./emitter')
const { OPEN, MESSAGE } = require('./packets')
const { WebSocket } = require('./transports/websocket')
const debug = require('debug')('engine:socket')

const HEARS_PACKET_CREATE = 1
const HEARS_FLUSH = 2
const HEARS_DRAIN = 4
const HEARS_DATA = 8
const HEARS_MESSAGE = 16
const HEARS_SENDING = HEARS_PACKET_CREATE | HEARS_FLUSH | HEARS_DRAIN
const HEARS = {
  __proto__: null,
  packetCreate: HEARS_PACKET_CREATE,
  flush: HEARS_FLUSH,
  drain: HEARS_DRAIN,
  data: HEARS_DATA,
  message: HEARS_MESSAGE,
}

const { emit } = EventEmitter.prototype

/** Who listens to one of these sees every packet. */
const VERBOSE_EVENTS = new Set(['packet', 'packetCreate', 'heartbeat'])

/**
 * The outgoing half of a Socket: the packets that wait for the transport, the callbacks that wait for them to be
 * written, and who hears of packets at all.
 */
class SendingSocket extends CompactEmitter {
  constructor() {
    super()
    this._readyState = 'opening'
    /** Of which events somebody has ever heard. */
    this._listened = 0
    // arrays that few sessions need, or not for long, are made when they are looked at
    this._packetsFn = undefined
    this._sentCallbackFn = undefined
    this._verbose = false
    /** Whether `DEBUG` asks for every packet. */
    this._traced = debug.enabled
  }

  /** Whether packets wait for the transport. */
  _hasWaiting() {
    return this.writeBuffer.length > 0
  }

  /** The callbacks of the packets that wait. */
  get packetsFn() {
    if (this._packetsFn === undefined) this._packetsFn = []
    return this._packetsFn
  }

  set packetsFn(callbacks) {
    this._packetsFn = callbacks
  }

  /** The callbacks of each batch that is being written, or null. */
  get sentCallbackFn() {
    if (this._sentCallbackFn === undefined) this._sentCallbackFn = []
    return this._sentCallbackFn
  }

  set sentCallbackFn(batches) {
    this._sentCallbackFn = batches
  }

  /** Whether batches are being written. */
  _awaitsBatches() {
    return this._sentCallbackFn !== undefined && this._sentCallbackFn.length > 0
  }

  on(event, listener) {
    super.on(event, listener)
    this._listened |= HEARS[event]
    if (!this._verbose && VERBOSE_EVENTS.has(event)) this._listenToAll()
    return this
  }

  addListener(event, listener) {
    return this.on(event, listener)
  }

  prependListener(event, listener) {
    super.prependListener(event, listener)
    this._listened |= HEARS[event]
    if (!this._verbose && VERBOSE_EVENTS.has(event)) this._listenToAll()
    return this
  }

  /** Whether somebody may listen to an event of every message: spares the emitting where nobody does. */
  _hears(bit) {
    return (this._listened & bit) !== 0 || this.emit !== emit
  }

  _listenToAll() {
    this._verbose = true
    if (this.readyState !== 'closed') bridge.getEngine().setVerbose(this._handle, true)
  }

  // ---- sending -------------------------------------------------------------------------------

  /**
   * Sends a message.
   *
   * @param {string|Buffer|ArrayBuffer|ArrayBufferView} data anything else is converted to a string
   * @param {{compress?: boolean}} [options]
   * @param {(transport: Transport) => void} [callback] called when the message has been written
   */
  send(data, options, callback) {
    this.sendPacket('message', data, options, callback)
    return this
  }

  write(data, options, callback) {
    this.sendPacket('message', data, options, callback)
    return this
  }

  sendPacket(type, data, options = {}, callback) {
    if (typeof options === 'function') {
      callback = options
      options = {}
    }
    if (this._readyState === 'closing' || this._readyState === 'closed') return
    if (this._traced) debug('sending packet "%s" (%s)', type, data)
    options.compress = options.compress !== false
    if (this._isPlain(type, callback)) {
      return this.transport._sendOne(type === 'message' ? MESSAGE : OPEN, data, options)
    }
    const packet = { type, options }
    if (data) packet.data = data
    if (this._hears(HEARS_PACKET_CREATE)) this.emit('packetCreate', packet)
    if (this.server.opts.maxBackpressure > 0 && overflows(this, packet)) return
    this.writeBuffer.push(packet)
    if (typeof callback === 'function') this.packetsFn.push(callback)
    if (!this.transport.writable && (callback || this._hearsSending())) this._keepContext()
    this.flush()
  }

  /** Whether somebody may listen to packets that go. */
  _hearsSending() {
    return this._hears(HEARS_SENDING) || this.server._hearsFlushes()
  }

  /** What waits for the transport goes on in the current context, if the transport tells by an event of the engine's. */
  _keepContext() {
    if (this.transport instanceof WebSocket) this.transport._keepContext()
  }

  /** Whether a packet can go straight to the engine: nothing waits, and nobody wants to see it go. */
  _isPlain(type, callback) {
    const { transport } = this
    return (
      (type === 'message' || type === 'open') &&
      callback === undefined &&
      transport.writable &&
      transport instanceof WebSocket &&
      transport._isNative() &&
      transport.send === sendByWebSocket &&
      this.flush === flush &&
      !this._hasWaiting() &&
      !this._awaitsBatches() &&
      !this._hearsSending()
    )
  }

  /** Bytes that were sent and are not with the operating system yet. */
  get bufferedAmount() {
    return bufferedAmount(this)
  }

  /** Hands the waiting packets to the transport, if it can take them. */
  flush() {
    if (this._readyState === 'closed' || !this.transport.writable || !this._hasWaiting()) return
    const { server } = this
    const serverHears = server._hearsFlushes()
    if (this._hears(HEARS_FLUSH)) this.emit('flush', this.writeBuffer)
    if (serverHears) server.emit('flush', this, this.writeBuffer)
    const packets = this.writeBuffer
    if (this._traced) debug('flushing %d packets to transport', packets.length)
    this.writeBuffer = []
    const callbacks = this._packetsFn === undefined || this._packetsFn.length === 0 ? null : this._packetsFn.splice(0)
    if (packets.length > 0 || callbacks !== null) this.sentCallbackFn.push(callbacks)
    // a listener may have emptied the buffer, or closed the transport
    if (packets.length > 0) this.transport.send(packets)
    else this.onDrain()
    if (this._hears(HEARS_DRAIN)) this.emit('drain')
    if (serverHears) server.emit('drain', this)
  }

  /** Whether callbacks wait for the current batch to be written. */
  _awaitsDrain() {
    return this._awaitsBatches() && this._sentCallbackFn[this._sentCallbackFn.length - 1] !== null
  }

  /** A batch has been written. */
  onDrain() {
    if (!this._awaitsBatches()) return
    const callbacks = this._sentCallbackFn.shift()
    // an array that was ever used is larger than all the rest of a session's
    if (this._sentCallbackFn.length === 0) this._sentCallbackFn = undefined
    if (!callbacks) return
    let next = 0
    try {
      while (next < callbacks.length) callbacks[next++](this.transport)
    } finally {
      if (next < callbacks.length) {
        // one threw: the others are owed their call all the same
        this.sentCallbackFn.unshift(callbacks.slice(next))
        setImmediate(() => this.onDrain())
      }
    }
  }
}

const { flush } = SendingSocket.prototype
const { send: sendByWebSocket } = WebSocket.prototype

module.exports = { SendingSocket, HEARS_DATA, HEARS_MESSAGE }
