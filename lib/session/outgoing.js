'use strict'

const { EventEmitter } = require('events')
const { setImmediate } = require('timers')
const { bufferedAmount, checkKey, overflows, putBack, takeOut } = require('../base/backpressure')
const { OPEN, MESSAGE } = require('../native/contract').PacketType
const { packetType } = require('../native/packets')
const { Polling } = require('../transports/polling')
const { connectionOf, takesRequests } = require('../transports/driver')
const { WebSocket } = require('../transports/websocket')
const debug = require('debug')('engine:socket')
const {
  kAwaitsBatches,
  kAwaitsDrain,
  kAwaitsReady,
  kCheckType,
  kHasCallbacks,
  kHasWaiting,
  kHearsFlushes,
  kHearsSending,
  kIsPlain,
  kKeepContext,
  kPlainTransport,
  kSendOne,
  kState,
} = require('../base/symbols')

const { emit } = EventEmitter.prototype

/**
 * What a session sends: the packets that wait for the transport, the callbacks that wait until they are written, and
 * the question whether outgoing packets have listeners at all. `Socket` takes these members over.
 *
 * @satisfies {ThisType<import('../../types/bases').SessionBase>}
 */
const outgoing = {
  /** Returns whether packets wait for the transport. */
  [kHasWaiting]() {
    return this.writeBuffer.length > 0
  },

  /** The callbacks of the waiting packets. */
  get packetsFn() {
    if (this[kState].packetsFn === undefined) this[kState].packetsFn = []
    return this[kState].packetsFn
  },

  /** Returns whether callbacks wait for the next batch. The application may have emptied the buffer without them. */
  [kHasCallbacks]() {
    return this[kState].packetsFn !== undefined && this[kState].packetsFn.length > 0
  },

  set packetsFn(callbacks) {
    this[kState].packetsFn = callbacks
  },

  /** For each batch that is being written its callbacks, or null. */
  get sentCallbackFn() {
    if (this[kState].sentCallbackFn === undefined) this[kState].sentCallbackFn = []
    return this[kState].sentCallbackFn
  },

  set sentCallbackFn(batches) {
    this[kState].sentCallbackFn = batches
  },

  /** Returns whether batches are being written. */
  [kAwaitsBatches]() {
    return this[kState].sentCallbackFn !== undefined && this[kState].sentCallbackFn.length > 0
  },

  /** Returns whether the session has to hear `ready`: packets or callbacks wait, or `flush` was replaced. */
  [kAwaitsReady]() {
    return this[kHasWaiting]() || this[kAwaitsBatches]() || this.flush !== flush
  },

  // ---- sending -------------------------------------------------------------------------------

  /**
   * Sends a message.
   *
   * @param {string|Buffer|ArrayBuffer|ArrayBufferView} data anything else is converted to a string
   * @param {{compress?: boolean, volatile?: boolean, conflate?: string | number}} [options]
   * @param {(transport: import('../transports/transport').Transport) => void} [callback] called when the message has
   *   been written
   */
  send(data, options, callback) {
    this.sendPacket('message', data, options, callback)
    return this
  },

  write(data, options, callback) {
    this.sendPacket('message', data, options, callback)
    return this
  },

  sendPacket(type, data, options = {}, callback) {
    if (typeof options === 'function') {
      callback = options
      options = {}
    }
    if (this._readyState === 'closing' || this._readyState === 'closed') return
    if (type !== 'message') this[kCheckType](type)
    if (this[kState].traced) debug('sending packet "%s" (%s)', type, data)
    options.compress = options.compress !== false
    const { conflate } = options
    if (conflate !== undefined) checkKey(conflate)
    if (this[kIsPlain](type, callback)) {
      return this.transport[kSendOne](type === 'message' ? MESSAGE : OPEN, data, options)
    }
    const packet = { type, options }
    if (data) packet.data = data
    if (this._events?.packetCreate !== undefined || this.emit !== emit) this.emit('packetCreate', packet)
    // the listener may have replaced the buffer
    const { writeBuffer } = this
    const index = conflate === undefined ? -1 : indexOfKey(writeBuffer, conflate)
    const replaced = index === -1 ? undefined : takeOut(writeBuffer, index)
    if (this.server.opts.maxBackpressure > 0 && overflows(this, packet)) {
      if (replaced !== undefined) putBack(writeBuffer, index, replaced)
      return
    }
    writeBuffer.push(packet)
    if (typeof callback === 'function') this.packetsFn.push(callback)
    if (!this.transport.writable && (callback || this[kHearsSending]())) this[kKeepContext]()
    this.flush()
  },

  /** Refuses a type that the engine cannot send. What transports of JavaScript's can send is their affair. */
  [kCheckType](type) {
    const { send } = this.transport
    if (send === sendByWebSocket || send === sendByPolling) packetType({ type })
  },

  /**
   * Returns whether outgoing packets may have listeners, so that nothing is emitted without them. It reads the table of
   * listeners itself, because listeners can get there without methods of this class.
   */
  [kHearsSending]() {
    const listeners = this._events
    const hears =
      listeners?.drain !== undefined ||
      listeners?.flush !== undefined ||
      listeners?.packetCreate !== undefined ||
      this.emit !== emit
    return hears || this.server[kHearsFlushes]()
  },

  /** Keeps the current context for waiting packets, if the transport becomes writable by an event of the engine. */
  [kKeepContext]() {
    this.transport[kKeepContext]?.()
  },

  /** Returns whether a packet can go straight to the engine: nothing waits, and it has no listeners. */
  [kIsPlain](type, callback) {
    const { transport } = this
    return (
      (type === 'message' || type === 'open') &&
      callback === undefined &&
      transport.writable &&
      transport.send === sendByWebSocket &&
      connectionOf(transport) !== undefined &&
      this.flush === flush &&
      this.onDrain === onDrain &&
      !this[kHasWaiting]() &&
      !this[kHasCallbacks]() &&
      !this[kAwaitsBatches]() &&
      !this[kHearsSending]()
    )
  },

  /** Returns the transport if a message of a broadcast can go straight to the engine, without a method of the session. */
  [kPlainTransport]() {
    const isOwn = this.send === send && this.sendPacket === sendPacket && !this[kState].traced
    if (!isOwn || !this[kIsPlain]('message')) return undefined
    const { transport } = this
    return transport[kState].mode === 0 && !transport.opts.perMessageDeflate ? transport : undefined
  },

  /** Number of sent bytes that the operating system has not taken. */
  get bufferedAmount() {
    return bufferedAmount(this)
  },

  /** Hands the waiting packets to the transport, if it can take them. */
  flush() {
    if (this._readyState === 'closed' || !this.transport.writable || !this[kHasWaiting]()) return
    const { server } = this
    const serverHears = server[kHearsFlushes]()
    if (this._events?.flush !== undefined || this.emit !== emit) this.emit('flush', this.writeBuffer)
    if (serverHears) server.emit('flush', this, this.writeBuffer)
    const packets = this.writeBuffer
    if (this[kState].traced) debug('flushing %d packets to transport', packets.length)
    this.writeBuffer = []
    const callbacks = this[kHasCallbacks]() ? this[kState].packetsFn.splice(0) : null
    if (packets.length > 0 || callbacks !== null) this.sentCallbackFn.push(callbacks)
    // if a listener has closed a session that polls, its poll was answered then
    const isOver = this._readyState === 'closed' && takesRequests(this.transport)
    // a listener may have emptied the buffer, or closed the transport
    if (packets.length > 0) this.transport.send(packets)
    else this.onDrain()
    if (isOver) return
    if (this._events?.drain !== undefined || this.emit !== emit) this.emit('drain')
    if (serverHears) server.emit('drain', this)
  },

  /** Returns whether callbacks wait until the current batch is written. */
  [kAwaitsDrain]() {
    return this[kAwaitsBatches]() && this[kState].sentCallbackFn[this[kState].sentCallbackFn.length - 1] !== null
  },

  /** Calls the callbacks of a batch that has been written. */
  onDrain() {
    if (!this[kAwaitsBatches]()) return
    const callbacks = this[kState].sentCallbackFn.shift()
    // dropped, because an array that was ever used is larger than the rest of a session
    if (this[kState].sentCallbackFn.length === 0) this[kState].sentCallbackFn = undefined
    if (!callbacks) return
    let next = 0
    try {
      while (next < callbacks.length) callbacks[next++](this.transport)
    } finally {
      if (next < callbacks.length) {
        // a callback threw; the others have to be called all the same
        this.sentCallbackFn.unshift(callbacks.slice(next))
        setImmediate(() => this.onDrain())
      }
    }
  },
}

/** Returns where a message with this key waits; -1 if there is none. */
function indexOfKey(writeBuffer, key) {
  for (let i = writeBuffer.length - 1; i >= 0; i--) {
    const { type, options } = writeBuffer[i]
    if (type === 'message' && options !== undefined && options.conflate === key) return i
  }
  return -1
}

const { flush, onDrain, send, sendPacket } = outgoing
const { send: sendByWebSocket } = WebSocket.prototype
const { send: sendByPolling } = Polling.prototype

module.exports = { outgoing }
