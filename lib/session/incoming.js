'use strict'

const { EventEmitter } = require('events')
const { performance } = require('perf_hooks')
const { setImmediate } = require('timers')
const { traffic } = require('../base/traffic')
const bridge = require('../native/bridge')
const {
  Kind,
  NO_HANDLE,
  OVERDUE,
  PACKET_TYPES,
  PARSE_ERROR,
  PROBE,
  REASONS,
  ReasonCode,
  ReasonText,
  Relayed,
  SEVERAL_EVENTS,
  UNKNOWN_TYPE,
} = require('../native/contract')
const { decidePoll } = require('../native/duties')
const heartbeat = require('./heartbeat')
const { receivedType } = require('../native/packets')
const { seesPackets } = require('./overrides')
const { carriesPolls, channelOf, connectionOf, driverOf, endPoll } = require('../transports/driver')
const debug = require('debug')('engine:socket')
const {
  kAfterSession,
  kApply,
  kApplyAll,
  kAwaitsBatches,
  kCarriesPolls,
  kChannelNumber,
  kClosing,
  kDispatch,
  kEndsPayload,
  kFinishClosing,
  kHandOn,
  kHasWaiting,
  kHearsPackets,
  kHoldEnd,
  kListenToAll,
  kMadeTransport,
  kOnClosed,
  kOnEvent,
  kOnMessage,
  kOnNativePoll,
  kOnOtherPacket,
  kOnPollTaken,
  kOnProbing,
  kOnUpgraded,
  kOnUpgradeFailed,
  kOnUpgrading,
  kRelay,
  kRelays,
  kSettleBeforeEnd,
  kShow,
  kShowFrame,
  kShowsFrames,
  kState,
  kTick,
} = require('../base/symbols')

const { outcome } = bridge
const { FAULT, TRANSPORT_CLOSE, TRANSPORT_ERROR } = ReasonCode
const { emit } = EventEmitter.prototype

/** Milliseconds to wait for a write in progress when a session ends: compressing may take long. A stream waits less. */
const PATIENCE = 1000

/**
 * What a session receives: the engine's events of the session, its incoming packets, and its end. `Socket` takes these
 * members over.
 *
 * @satisfies {ThisType<import('../../types/bases').SessionBase>}
 */
const incoming = {
  [kOnEvent](kind, arg, content) {
    switch (kind) {
      case Kind.MESSAGE:
        this[kOnMessage](content)
        break
      case Kind.PACKET:
        if (this[kHearsPackets]()) this[kOnOtherPacket](arg, content)
        break
      case Kind.PINGED:
        heartbeat.debugPing(this)
        break
      case Kind.POLL_READY:
        this.transport[kOnNativePoll]?.()
        break
      case Kind.POLL_TAKEN:
        this.transport[kOnPollTaken]?.()
        break
      case Kind.ANSWER_POLL:
      case Kind.ANSWER_POLL_PLAIN:
      case Kind.REJECT_POLL:
        decidePoll(kind, arg, content)
        break
      case Kind.UPGRADING:
        this[kOnUpgrading]()
        break
      case Kind.UPGRADED:
        this[kOnUpgraded]()
        break
      case Kind.UPGRADE_FAILED:
        this[kOnUpgradeFailed](arg, content)
        break
      case Kind.SEND_PACKET:
        this[kRelay](PACKET_TYPES[arg])
        break
      case Kind.CLOSE_CHANNEL:
        // the next event says how the session ended, and closes the transport
        break
      case Kind.PAYLOAD_END:
        // a listener may have closed the session meanwhile; that it has set `readyState` leaves the POST to be answered
        if (this[kState].handle !== NO_HANDLE) this[kApply](bridge.getEngine().endPayload(this[kState].handle))
        break
      case Kind.DUE:
        if (arg === OVERDUE) bridge.tickLater(this)
        else this[kTick]()
        break
      case Kind.PROBING:
        this[kOnProbing](arg, content)
        break
      case Kind.CLOSED:
        this[kOnClosed](arg, content)
    }
  },

  /** Handles the event that a call into the engine has just caused. `content` is what the call returned. */
  [kApply](content) {
    const kind = outcome[0]
    if (kind === SEVERAL_EVENTS) this[kApplyAll](content, 0)
    else if (kind !== 0) this[kOnEvent](kind, outcome[1], content)
  },

  /** Handles several events. A listener that throws does not keep the rest from being handled. */
  [kApplyAll](updates, from) {
    let next = from
    try {
      while (next < updates.length) {
        const at = next
        next += 3
        this[kOnEvent](updates[at], updates[at + 1], updates[at + 2])
      }
    } finally {
      if (next < updates.length) setImmediate(() => this[kApplyAll](updates, next))
    }
  },

  /** Does what the session's timer requires, if the engine leaves it to this thread. */
  [kTick]() {
    if (this[kState].over || this._readyState === 'closed') return
    const tick = () => this[kApply](bridge.fast.tick(this[kState].handle))
    // if a call has begun to close the session, its end runs in the context of that call
    if (this[kState].closer === undefined) tick()
    else this[kState].closer.runInAsyncScope(tick)
  },

  /**
   * Returns whether packets have to be shown. A session that the engine has opened shows them until it is told
   * otherwise.
   */
  [kHearsPackets]() {
    if (this[kState].verbose || seesPackets(this)) return true
    if (this._readyState !== 'closed') bridge.getEngine().setVerbose(this[kState].handle, false)
    return false
  },

  [kOnMessage](data) {
    if (seesPackets(this)) return this[kHandOn](messageOf(data))
    if (this._readyState !== 'open') return
    if (this[kState].traced) debug('received packet message')
    const isReplaced = this.emit !== emit
    if (this[kState].verbose || isReplaced) {
      const packet = messageOf(data)
      const shown = this[kShowsFrames]()
      this.emit('packet', packet)
      if (this[kState].timers !== undefined) heartbeat.hear(this, 'message')
      if (shown) this[kShowFrame](packet)
    }
    if (this._events?.data !== undefined || isReplaced) this.emit('data', data)
    if (this._events?.message !== undefined || isReplaced) this.emit('message', data)
  },

  [kOnOtherPacket](type, data) {
    const packet = { type: type === PARSE_ERROR ? 'error' : type === UNKNOWN_TYPE ? undefined : PACKET_TYPES[type] }
    if (type === PARSE_ERROR) packet.data = 'parser error'
    else if (data !== undefined) packet.data = data
    if (seesPackets(this)) return this[kHandOn](packet)
    if (this._readyState !== 'open') return
    const shown = this[kShowsFrames]()
    this[kDispatch](packet)
    if (shown) this[kShowFrame](packet)
  },

  /**
   * Passes a packet to an `onPacket` of the application. What the engine has done about the packet is not done again.
   */
  [kHandOn](packet) {
    if (!this[kState].verbose) this[kListenToAll]()
    const shown = this[kShowsFrames]()
    this[kState].handingOn = true
    try {
      this.transport.onPacket(packet)
    } finally {
      this[kState].handingOn = false
    }
    if (shown) this[kShowFrame](packet)
  },

  /**
   * Returns whether the connection below has a `message` listener, which may have come after the next packet was
   * decoded.
   */
  [kShowsFrames]() {
    const connection = connectionOf(this.transport)
    return connection !== undefined && connection.listenerCount('message') > 0
  },

  /** Shows a packet to those listeners after the session has handled it. */
  [kShowFrame](packet) {
    const { transport } = this
    const connection = connectionOf(transport)
    // the engine has not passed on the bytes that it could not decode
    if (connection === undefined || packet.type === 'error') return
    transport.parser.encodePacket(packet, true, (frame) => connection[kShow](frame))
  },

  [kDispatch](packet) {
    this.emit('packet', packet)
    if (this[kState].timers !== undefined) heartbeat.hear(this, packet.type)
    if (packet.type === 'ping' && this.protocol === 3) {
      // where the pong is sent from here, the rest follows it; a session that a listener has closed sends none
      if (this[kState].relayed === Relayed.NOTHING || this._readyState !== 'open') this.emit('heartbeat')
    } else if (packet.type === 'pong' && this.protocol === 4) {
      this.emit('heartbeat')
    } else if (packet.type === 'message') {
      this.emit('data', packet.data)
      this.emit('message', packet.data)
    }
  },

  /** Handles a packet of a transport that JavaScript drives. */
  onPacket(packet) {
    if (this.readyState !== 'open') return debug('packet received with closed socket')
    debug('received packet %s', packet.type)
    if (this[kState].handingOn) {
      this[kDispatch](packet)
      // listeners of the transport that come behind the session hear of such a packet when the session has ended
      if (this[kEndsPayload](packet)) this[kApply](bridge.getEngine().endPayload(this[kState].handle))
      return
    }
    this.emit('packet', packet)
    const { type, data } = packet
    if (type === 'message') traffic.received++
    if (this[kState].timers !== undefined) heartbeat.hear(this, type)
    const sendsPong = this[kRelays]() && this._readyState === 'open'
    const channel = this[kChannelNumber]()
    // a polling transport reports an orderly close itself; a listener may have ended the session
    if ((type !== 'close' || channel !== null) && this[kState].handle !== NO_HANDLE) {
      this[kApply](bridge.getEngine().receive(this[kState].handle, channel, receivedType(packet), data === PROBE))
    }
    if (type === 'message') {
      this.emit('data', data)
      this.emit('message', data)
    } else if (type === 'pong' ? this.protocol === 4 : type === 'ping' && this.protocol === 3 && !sendsPong) {
      this.emit('heartbeat')
    }
  },

  /** Returns whether a packet that the engine has handed over is the last one of a POST, because it ends the session. */
  [kEndsPayload]({ type }) {
    const isWrong = type === 'error' || type === (this.protocol === 3 ? 'pong' : 'ping')
    return isWrong && this[kState].handle !== NO_HANDLE && this[kCarriesPolls]()
  },

  /** Returns whether JavaScript sends the answer to a ping. */
  [kRelays]() {
    return this[kState].relayed !== Relayed.NOTHING || this[kState].channel !== NO_HANDLE
  },

  /** Returns whether the session polls: then this thread sends all that waits for a poll, heartbeats too. */
  [kCarriesPolls]() {
    return this[kState].transportless || carriesPolls(this.transport)
  },

  /** Returns the engine's handle of the session's channel; null for polling. */
  [kChannelNumber]() {
    if (this[kState].channel !== NO_HANDLE) return this[kState].channel
    return channelOf(this.transport) ?? null
  },

  /** Sends a packet for the engine: a heartbeat, or a packet that ends a poll. */
  [kRelay](type) {
    if (type === 'noop') return endPoll(this.transport)
    if (this._readyState !== 'open') return
    if (type === 'ping') heartbeat.debugPing(this)
    this.sendPacket(type)
    // in protocol 3 a pong answers the client's ping
    if (type === 'pong') this.emit('heartbeat')
  },

  // ---- heartbeats of which the application has taken charge, see lib/session/heartbeat.js ------------------

  /** Plans a ping in `pingInterval`, whose answer is expected. */
  schedulePing() {
    heartbeat.schedulePing(this)
  },

  /** Gives the client its full time from now on. */
  resetPingTimeout() {
    heartbeat.resetPingTimeout(this)
  },

  get pingIntervalTimer() {
    return heartbeat.timersOf(this).ping
  },

  set pingIntervalTimer(timer) {
    heartbeat.timersOf(this).ping = timer
  },

  get pingTimeoutTimer() {
    return heartbeat.timersOf(this).timeout
  },

  set pingTimeoutTimer(timer) {
    heartbeat.timersOf(this).timeout = timer
  },

  get hasRefreshedPingTimeout() {
    return heartbeat.timersOf(this).hasRefreshed
  },

  set hasRefreshedPingTimeout(has) {
    heartbeat.timersOf(this).hasRefreshed = has
  },

  onError(error) {
    debug('transport error')
    this.onClose(ReasonText.TRANSPORT_ERROR, error)
  },

  /** Handles the end of the session in the engine. */
  [kOnClosed](code, message, until = this[kState].endsNow ? 0 : performance.now() + PATIENCE) {
    if (this._readyState === 'closed') return
    const transport = this[kMadeTransport]()
    let isSettled = true
    try {
      if ((this[kAwaitsBatches]() || this[kHasWaiting]()) && connectionOf(transport) !== undefined)
        isSettled = transport[kSettleBeforeEnd]() || performance.now() > until
    } finally {
      // a callback may throw
      if (!isSettled) setImmediate(() => this[kOnClosed](code, message, until))
      else if (code !== TRANSPORT_CLOSE || !this[kHoldEnd](transport)) this[kFinishClosing](code, message, transport)
    }
  },

  /** Returns whether the session hears of its connection's end later, when the stream below has closed. */
  [kHoldEnd](transport) {
    const connection = connectionOf(transport)
    if (connection === undefined) return false
    const isHeld = connection[kHoldEnd](() => this[kFinishClosing](TRANSPORT_CLOSE, undefined, transport))
    if (isHeld) this[kState].over = true
    return isHeld
  },

  [kFinishClosing](code, message, transport) {
    this[kState].over = true
    const driver = driverOf(transport)
    const websocket = connectionOf(transport)
    if (websocket !== undefined) {
      transport[kState].ended = true
      websocket[kState].tells = true
    }
    const isError = code === TRANSPORT_ERROR || code === FAULT
    // the close frame is out before listeners hear of the error, so that what they send is refused
    if (isError && websocket !== undefined) websocket[kClosing]()
    try {
      if (code === FAULT) this.onError(new Error(message))
      else if (isError) driver.fail(transport, this, message)
      else driver.end(transport, code)
    } finally {
      // replaced methods may not have passed the end on; the transport is closed all the same
      try {
        if (this._readyState !== 'closed') this.onClose(isError ? ReasonText.TRANSPORT_CLOSE : REASONS[code])
      } finally {
        if (websocket !== undefined) {
          websocket[kState].tells = false
          websocket[kAfterSession]()
        }
      }
    }
  },
}

function messageOf(data) {
  return data === undefined ? { type: 'message' } : { type: 'message', data }
}

module.exports = { incoming }
