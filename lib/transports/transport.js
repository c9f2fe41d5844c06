'use strict'

const parserV4 = require('engine.io-parser')
const parserV3 = require('./parser-v3')
const { LazyEmitter, letGoOfTable } = require('../base/emitter')
const { ReasonText } = require('../native/contract')
const debug = require('debug')('engine:transport')
const {
  kAdd,
  kAttach,
  kAttachProbe,
  kExpose,
  kHears,
  kNotice,
  kReceiveAlone,
  kShow,
  kShowPackets,
  kState,
  kTell,
} = require('../base/symbols')
const { keep, TransportState } = require('../base/state')

/**
 * Events that sessions need. On the engine's own transports the session's listeners become public only when there are
 * others.
 */
const HEARD = new Set(['error', 'ready', 'packet', 'drain', 'close'])

/**
 * Carries the packets of a session. The class is public: applications and subclasses read and replace its members.
 *
 * Events: `packet` (packet), `error` (Error of type `TransportError`), `close`, `drain` (everything was written),
 * `ready` (more can be sent), `headers` (headers, request).
 */
class Transport extends /** @type {typeof import('../../types/bases').TransportBase} */ (LazyEmitter) {
  /**
   * @param {Partial<import('http').IncomingMessage> & { _query: any }} req the request that opens it, with `_query`
   * @param {object} opts see `transportOptions` in lib/base/options.js
   */
  constructor(req, opts = {}) {
    super()
    /** The server options that concern the transport, as they were when it was made. */
    this.opts = opts
    keep(this, new TransportState())
    /** Whether `send()` may be called now. */
    this.writable = false
    this._readyState = 'open'
    this.discarded = false
    /** The protocol revision: 3 or 4. */
    this.protocol = req._query.EIO === '4' ? 4 : 3
    /**
     * The codec of the protocol revision, as `engine.io-parser` has it.
     *
     * @type {any}
     */
    this.parser = this.protocol === 4 ? parserV4 : parserV3
    /** Whether the client takes binary data: its query has no `b64`. */
    this.supportsBinary = !(req._query && req._query.b64)
  }

  /** `open`, `closing` or `closed`. */
  get readyState() {
    return this._readyState
  }

  set readyState(state) {
    debug('readyState updated from %s to %s (%s)', this._readyState, state, this.name)
    this._readyState = state
  }

  on(event, listener) {
    this[kExpose](event)
    super.on(event, listener)
    return this
  }

  addListener(event, listener) {
    return this.on(event, listener)
  }

  prependListener(event, listener) {
    this[kExpose](event)
    super.prependListener(event, listener)
    return this
  }

  emit(event, ...args) {
    if (!this[kState].listened && HEARD.has(event)) {
      if (!this[kHears](event)) return this[kTell](event, args[0])
      this[kExpose](event)
    }
    return super.emit(event, ...args)
  }

  /**
   * Makes the session a public listener before another listener is added, because the session began to listen earlier.
   */
  [kExpose](event) {
    if (!HEARD.has(event)) return
    const { session, prober, left, listened } = this[kState]
    this[kState].listened = true
    if (!listened && left) this[kAdd]('error', noop)
    else if (!listened && session !== null) session[kAttach](this)
    else if (!listened && prober !== null) prober[kAttachProbe](this)
    if (event === 'error' || event === 'close') return
    // packets that the engine sends and receives by itself have to be shown
    this[kState].watched = true
    if (event === 'packet') this[kShowPackets]()
    if (session !== null && !left) session[kNotice]()
  }

  /** Returns whether an event has listeners, which may have been added without `on`. */
  [kHears](event) {
    return this._events !== undefined && this._events[event] !== undefined
  }

  /** Adds a listener of the engine. */
  [kAdd](event, listener) {
    super.on(event, listener)
  }

  /** Tells the session of an event that has no public listeners. */
  [kTell](event, arg) {
    const { session, left, prober } = this[kState]
    if (left) return event === 'error'
    if (session === null) {
      // a probed session does not listen to the other events
      if (prober !== null && event !== 'drain' && event !== 'ready') this[kExpose](event)
      return super.emit(event, arg)
    }
    if (event === 'packet') session.onPacket(arg)
    else if (event === 'drain') session.onDrain()
    else if (event === 'ready') session.flush()
    else if (event === 'error') session.onError(arg)
    else session.onClose(ReasonText.TRANSPORT_CLOSE)
    return true
  }

  /** Emits an event of which the session has heard. */
  [kShow](event, arg) {
    if (this[kHears](event)) super.emit(event, arg)
  }

  /** Has packets shown from now on that the engine would handle alone. */
  [kShowPackets]() {
    this[kState].showsPackets = true
    if (this[kState].session === null && this[kState].prober === null) this[kReceiveAlone]()
  }

  /** Has packets go to listeners, because there is no session yet. */
  [kReceiveAlone]() {}

  /** Ignores errors from now on. */
  discard() {
    this.discarded = true
  }

  /** Takes a request for this transport. */
  // eslint-disable-next-line no-unused-vars -- a subclass gets the request
  onRequest(req) {}

  /** Closes in an orderly way, and calls `fn` when that is done. */
  close(fn) {
    if (this.readyState === 'closed' || this.readyState === 'closing') return
    this.readyState = 'closing'
    this.doClose(fn || noop)
  }

  onError(message, description) {
    const { listened, session, left, prober } = this[kState]
    if (this[kHears]('error') || (!listened && !left && (session !== null || prober !== null)))
      this.emit('error', transportError(message, description))
    else debug('ignored transport error %s (%s)', message, description)
  }

  onPacket(packet) {
    this.emit('packet', packet)
  }

  onData(data) {
    this.onPacket(this.parser.decodePacket(data))
  }

  onClose() {
    this.readyState = 'closed'
    this.emit('close')
  }
}

/** The transports to which this one can be upgraded. */
Transport.upgradesTo = []

letGoOfTable(Transport)

function transportError(message, description) {
  /** @type {Error & { type?: string, description?: any }} */
  const error = new Error(message)
  error.type = 'TransportError'
  error.description = description
  return error
}

function noop() {}

module.exports = { Transport, transportError }
