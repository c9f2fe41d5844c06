'use strict'

const parserV4 = require('engine.io-parser')
const parserV3 = require('./parser-v3')
const { LazyEmitter, letGoOfTable } = require('../base/emitter')
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

/** What sessions listen to. Of these, in the engine's own transports, the session's listeners are real only once there are others. */
const HEARD = new Set(['error', 'ready', 'packet', 'drain', 'close'])

/**
 * What carries the packets of a session. Public: applications and subclasses read and replace its members.
 *
 * Events: `packet` (packet), `error` (Error of type `TransportError`), `close`, `drain` (all was
 * written), `ready` (can take more), `headers` (headers, request).
 */
class Transport extends LazyEmitter {
  /**
   * @param {import('http').IncomingMessage} req the request that opens it, with `_query`
   * @param {object} opts see `transportOptions` in lib/base/options.js
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

  /** Somebody is about to listen: its session, which began to before, is a listener like others from now on. */
  [kExpose](event) {
    if (!HEARD.has(event)) return
    const { owner, prober, left, listened } = this[kState]
    this[kState].listened = true
    if (!listened && left) this[kAdd]('error', noop)
    else if (!listened && owner !== null) owner[kAttach](this)
    else if (!listened && prober !== null) prober[kAttachProbe](this)
    if (event === 'error' || event === 'close') return
    // what the engine sends and receives by itself is to be seen
    this[kState].watched = true
    if (event === 'packet') this[kShowPackets]()
    if (owner !== null && !left) owner[kNotice]()
  }

  /** Whether somebody listens, who may have come by another way than our `on`. */
  [kHears](event) {
    return this._events !== undefined && this._events[event] !== undefined
  }

  /** Adds a listener of the engine's. */
  [kAdd](event, listener) {
    super.on(event, listener)
  }

  /** Tells the session, if there is one that listens; nobody else does. */
  [kTell](event, arg) {
    const { owner, left, prober } = this[kState]
    if (left) return event === 'error'
    if (owner === null) {
      // it does not listen to the others
      if (prober !== null && event !== 'drain' && event !== 'ready') this[kExpose](event)
      return super.emit(event, arg)
    }
    if (event === 'packet') owner.onPacket(arg)
    else if (event === 'drain') owner.onDrain()
    else if (event === 'ready') owner.flush()
    else if (event === 'error') owner.onError(arg)
    else owner.onClose('transport close')
    return true
  }

  /** Shows an event that the session knows of. */
  [kShow](event, arg) {
    if (this[kHears](event)) super.emit(event, arg)
  }

  /** From now on packets are shown that the engine would keep to itself. */
  [kShowPackets]() {
    this[kState].showsPackets = true
    if (this[kState].owner === null && this[kState].prober === null) this[kReceiveAlone]()
  }

  /** Packets go to listeners: there is no session yet that they could be for. */
  [kReceiveAlone]() {}

  /** From now on errors are nobody's concern. */
  discard() {
    this.discarded = true
  }

  /** A request for this transport came in. */
  // eslint-disable-next-line no-unused-vars -- a subclass gets the request
  onRequest(req) {}

  /** Closes in an orderly way; `fn` is called when it has been seen to. */
  close(fn) {
    if (this.readyState === 'closed' || this.readyState === 'closing') return
    this.readyState = 'closing'
    this.doClose(fn || noop)
  }

  onError(message, description) {
    const { listened, owner, left, prober } = this[kState]
    if (this[kHears]('error') || (!listened && !left && (owner !== null || prober !== null)))
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
