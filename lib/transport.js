'use strict'

const parserV4 = require('engine.io-parser')
const parserV3 = require('./parser-v3')
const { LazyEmitter, letGoOfTable } = require('./emitter')
const debug = require('debug')('engine:transport')
const { kCarried, kListenToAll, kOnTransportEvent, kReceiveAlone, kShow, kState } = require('./symbols')
const { keep, TransportState } = require('./state')

/**
 * What carries the packets of a session. Public: applications and subclasses read and replace its members.
 *
 * Events: `packet` (packet), `error` (Error of type `TransportError`), `close`, `drain` (all was
 * written), `ready` (can take more), `headers` (headers, request).
 */
class Transport extends LazyEmitter {
  /**
   * @param {import('http').IncomingMessage} req the request that opens it, with `_query`
   * @param {object} opts see `transportOptions` in lib/options.js
   */
  constructor(req, opts = {}) {
    super()
    /** What concerns the transport of its server's options, as they were when it was made. */
    this.opts = opts
    keep(this, new TransportState())
    /** Whether `send()` may be called now. */
    this.writable = false
    this._readyState = 'open'
    this.discarded = false
    /** The protocol revision: 3 or 4. */
    this.protocol = req._query.EIO === '4' ? 4 : 3
    /** The codec of the protocol revision, as `engine.io-parser` has it. */
    this.parser = this.protocol === 4 ? parserV4 : parserV3
    /** Whether the client takes binary data (no `b64` in its query). */
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
    super.on(event, listener)
    const owner = this[kState].owner
    // packets of the engine's own transports are shown only to those who listen
    if (event === 'packet') {
      if (owner) owner[kListenToAll]()
      else this[kReceiveAlone]()
    }
    return this
  }

  addListener(event, listener) {
    return this.on(event, listener)
  }

  /** Events from others than the transport concern its session, too. */
  emit(event, ...args) {
    // an error is never unheard of where there is a session
    const heard = (this[kState].owner !== null && this.listenerCount(event) === 0) || super.emit(event, ...args)
    const owner = this[kCarried]()
    if (owner !== null) owner[kOnTransportEvent](event, args[0])
    return heard
  }

  /** The session that the transport carries, if there is one still. */
  [kCarried]() {
    return this[kState].left ? null : this[kState].owner
  }

  /** Shows an event that the session knows of. */
  [kShow](event, arg) {
    if (this.listenerCount(event) > 0) super.emit(event, arg)
  }

  /** Packets go to listeners: there is no session yet that they could be for. */
  [kReceiveAlone]() {}

  /** From now on errors are nobody's concern. */
  discard() {
    this.discarded = true
  }

  /** A request for this transport came in. */
  onRequest(req) {}

  /** Closes in an orderly way; `fn` is called when it has been seen to. */
  close(fn) {
    if (this.readyState === 'closed' || this.readyState === 'closing') return
    this.readyState = 'closing'
    this.doClose(fn || noop)
  }

  onError(message, description) {
    const owner = this[kCarried]()
    if (owner === null && this.listenerCount('error') === 0) {
      debug('ignored transport error %s (%s)', message, description)
      return
    }
    const error = transportError(message, description)
    if (this.listenerCount('error') > 0) super.emit('error', error)
    if (owner !== null) owner.onError(error)
  }

  onPacket(packet) {
    const owner = this[kCarried]()
    if (owner !== null) owner.onPacket(packet)
    super.emit('packet', packet)
  }

  onData(data) {
    this.onPacket(this.parser.decodePacket(data))
  }

  onClose() {
    this.readyState = 'closed'
    super.emit('close')
    const owner = this[kCarried]()
    if (owner !== null) owner.onClose('transport close')
  }
}

/** The transports this one can be upgraded to. */
Transport.upgradesTo = []

letGoOfTable(Transport)

function transportError(message, description) {
  const error = new Error(message)
  error.type = 'TransportError'
  error.description = description
  return error
}

function noop() {}

module.exports = { Transport, transportError }
