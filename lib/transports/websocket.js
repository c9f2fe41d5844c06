'use strict'

const { countSent } = require('../base/traffic')
const bridge = require('../native/bridge')
const { capture, contextOfEvent } = require('../native/context')
const {
  FaultText,
  MAX_PACKETS,
  MODE_NOW,
  MODE_PLAIN,
  MODE_SHIFT,
  MODE_TEXT_ONLY,
  MODE_V3,
  NO_HANDLE,
  PACKET_TYPES,
  PacketType,
  SendStatus,
} = require('../native/contract')
const { content, packetType } = require('../native/packets')
const { engineDriver } = require('./driver')
const { Transport } = require('./transport')
const { NativeWebSocket } = require('../native/connection')
const debug = require('debug')('engine:ws')
const {
  kAwaitsDrain,
  kAwaitsReady,
  kAwaitsWriting,
  kCannotSend,
  kCountRefused,
  kGoOn,
  kHand,
  kConnection,
  kDriver,
  kIsText,
  kIsWritten,
  kIsReported,
  kIsWrittenNow,
  kKeepContext,
  kListenTo,
  kOnAllWritten,
  kOnData,
  kOnWritten,
  kOwn,
  kPreEncoded,
  kReceiveAlone,
  kReportDrain,
  kSendForeign,
  kSendNative,
  kSendOne,
  kSent,
  kSettle,
  kSettleBeforeEnd,
  kShowMessages,
  kShowPackets,
  kState,
  kTakeWritten,
  kTellInTick,
  kTellOfWritten,
  kTextsFrom,
  kWritesAtOnce,
} = require('../base/symbols')

// as it is now, see lib/native/bridge.js
const { nextTick } = process

const { MESSAGE } = PacketType
const { CLOSED, CONGESTED, FLOWING } = SendStatus

/** Number of rounds in which callbacks may send again within one turn. */
const ROUNDS = 16

/** Longest text, in UTF-16 units, that is remembered for the next recipient. */
const MAX_SHARED = 64 * 1024

/** The last packet, and how often its frame was shared; 0 if the frame has not been made. */
const shared = { text: undefined, frame: undefined, mode: 0, type: 0, count: 0 }

function keep(text, mode, type) {
  shared.text = text
  shared.frame = undefined
  shared.mode = mode
  shared.type = type
  shared.count = 0
}

/** Forgets the last packet at the end of the turn, as it may be large. The engine has a copy of a shared frame. */
bridge.onTurnEnd(() => {
  if (shared.text === undefined && shared.frame === undefined) return
  if (shared.count > 0 || shared.frame !== undefined) bridge.fast.dropShared()
  keep(undefined, 0, 0)
})

/** Sends a frame in parts that Socket.IO made for all recipients of a broadcast. Its bytes cross to the engine once. */
function sendPreEncoded(handle, frame) {
  if (handle === NO_HANDLE) return CLOSED
  if (frame !== shared.frame) {
    keep(undefined, 0, 0)
    bridge.fast.shareFrame(frame[0], frame[1])
    shared.frame = frame
  }
  return bridge.fast.sendShared(handle)
}

/**
 * Sends a message to transports of the engine's that are writable and of mode 0. Its frame crosses to the engine once,
 * in one call. Returns to how many it was sent; `onError` gets what writing to a stream of the application throws.
 *
 * @param {WebSocket[]} transports
 */
function sendToAll(transports, data, options, onError) {
  keep(undefined, 0, 0)
  bridge.fast.share(content(data), MESSAGE)
  const targets = Uint32Array.from(transports, ({ socket }) => socket[kState].handle)
  // each becomes the status of its sending
  bridge.fast.sendSharedTo(targets)
  bridge.fast.dropShared()
  let sent = 0
  for (const [i, transport] of transports.entries()) {
    const status = targets[i]
    transport.writable = false
    try {
      if (status === CLOSED) transport[kCountRefused]([{ type: 'message', data, options }])
      else sent++
      transport[kSent](status, false)
    } catch (error) {
      onError(error)
    }
  }
  return sent
}

/**
 * The WebSocket transport. `socket` is a connection of the engine, or an object that behaves like a WebSocket of `ws`
 * (from a custom `wsEngine`, or given to `onWebSocket`).
 */
class WebSocket extends Transport {
  constructor(req, opts) {
    super(req, opts)
    this.socket = req.websocket
    this.writable = true
    this[kState].mode = (this.protocol === 3 ? MODE_V3 : 0) | (this.supportsBinary ? 0 : MODE_TEXT_ONLY)
    if (this[kConnection]() !== undefined) {
      this.socket[kState].transport = this
    } else {
      this[kListenTo](this.socket)
    }
  }

  get name() {
    return 'websocket'
  }

  get handlesUpgrades() {
    return true
  }

  /**
   * The only place that asks what a WebSocket is. In the original `req.websocket` may be any object with the members of
   * a WebSocket of `ws`, and applications pass such objects to `onWebSocket`. All others ask for the connection.
   */
  [kConnection]() {
    return this.socket instanceof NativeWebSocket ? this.socket : undefined
  }

  /** The engine moves its packets by a connection of its own, see lib/transports/driver.js. */
  [kDriver]() {
    return this[kConnection]() === undefined ? undefined : engineDriver
  }

  /** Returns whether the transport has to hear when everything is written. */
  [kAwaitsWriting]() {
    return this[kState].report !== 0 || this[kState].written
  }

  [kReceiveAlone]() {
    if (this[kConnection]() !== undefined) this.socket[kOwn]()
  }

  [kShowPackets]() {
    super[kShowPackets]()
    if (this[kConnection]() !== undefined && (this[kState].session !== null || this[kState].prober !== null))
      this.socket[kShowMessages]()
  }

  send(packets) {
    this.writable = false
    if (this[kConnection]() !== undefined) this[kSendNative](packets)
    else this[kSendForeign](packets)
  }

  [kSendNative](packets) {
    const session = this[kState].session
    const isAwaited = session !== null && session[kAwaitsDrain]()
    // an I/O thread that was asked could be writing when the callback is due
    const now = isAwaited && this[kWritesAtOnce]() ? MODE_NOW : 0
    if (now !== 0) bridge.prepareFlush()
    let status = this.socket[kState].handle === NO_HANDLE ? CLOSED : FLOWING
    for (let i = 0; i < packets.length && this.socket[kState].handle !== NO_HANDLE; i++) {
      const packet = packets[i]
      if (i + 1 < packets.length && this[kIsText](packet) && this[kIsText](packets[i + 1])) {
        const texts = this[kTextsFrom](packets, i)
        i += texts.length - 1
        const mode = this[kState].mode | (i + 1 === packets.length ? now : 0)
        status = bridge.fast.sendMany(
          this.socket[kState].handle,
          MESSAGE | (mode << MODE_SHIFT),
          texts.length,
          ...texts,
        )
        continue
      }
      const frame = this[kPreEncoded](packet)
      if (frame !== undefined) {
        status = sendPreEncoded(this.socket[kState].handle, frame)
      } else {
        const when = i + 1 === packets.length ? now : 0
        status = this[kHand](packetType(packet), content(packet.data), packet.options, when)
      }
    }
    if (status === CLOSED) this[kCountRefused](packets)
    this[kSent](status, isAwaited, packets.length)
  }

  /** What a closing WebSocket does not send counts in its `bufferedAmount`, as that of `ws` does. */
  [kCountRefused](packets) {
    if (this.socket.readyState === this.socket.OPEN) return
    const count = (frame) => (this.socket[kState].refused += Buffer.byteLength(frame))
    for (const packet of packets) {
      if (this[kPreEncoded](packet) === undefined) this.parser.encodePacket(packet, this.supportsBinary, count)
    }
  }

  /**
   * Tells of an error for each packet that cannot be sent, see `kCannotSend` of the connection. False: they are lost
   * with it.
   */
  [kCannotSend](packets) {
    const fail = ({ stack }) => this.onError(FaultText.WRITE, stack)
    let sent = 0
    while (sent < packets && this.socket[kCannotSend](fail)) sent++
    return sent > 0
  }

  /** Returns the texts of the messages from `start` on that can cross together. */
  [kTextsFrom](packets, start) {
    const texts = []
    for (let i = start; i < packets.length && texts.length < MAX_PACKETS && this[kIsText](packets[i]); i++) {
      texts.push(packets[i].data)
    }
    return texts
  }

  /** Returns whether a packet is a text message that can be sent as it is. */
  [kIsText](packet) {
    const isText = packet.type === 'message' && typeof packet.data === 'string' && !this.opts.perMessageDeflate
    return isText && this[kPreEncoded](packet) === undefined
  }

  /** Sends one packet without callbacks: see `Socket.sendPacket`. */
  [kSendOne](type, data, options) {
    this.writable = false
    const frame = options.wsPreEncodedFrame
    if (frame === undefined || this.opts.perMessageDeflate) {
      const status = this[kHand](type, content(data), options)
      if (status === CLOSED) this[kCountRefused]([{ type: PACKET_TYPES[type], data, options }])
      this[kSent](status, false)
    } else {
      this[kSent](sendPreEncoded(this.socket[kState].handle, frame), false)
    }
  }

  /** Hands one packet to the engine, with the mode `MODE_NOW` or 0. */
  [kHand](type, data, options, now = 0) {
    const handle = this.socket[kState].handle
    if (handle === NO_HANDLE) return CLOSED
    const mode = this[kState].mode
    if (!this.opts.perMessageDeflate && typeof data === 'string' && data.length <= MAX_SHARED) {
      // the last recipient got the same text: in a broadcast one frame crosses for all recipients
      if (data === shared.text && mode === shared.mode && type === shared.type) {
        if (shared.count++ === 0) bridge.fast.share(data, type | (mode << MODE_SHIFT))
        return bridge.fast.sendShared(handle)
      }
      keep(data, mode, type)
      return bridge.fast.send(handle, data, type | ((mode | now) << MODE_SHIFT))
    }
    const plain = options !== undefined && options.compress === false ? MODE_PLAIN : 0
    return bridge.fast.send(handle, data, type | ((mode | plain | now) << MODE_SHIFT))
  }

  [kSent](status, awaited, packets = 1) {
    // the error comes later, as it does by a callback; what is lost with the connection is not told as written
    if (status === CLOSED && (this[kCannotSend](packets) || awaited)) return
    if (awaited || this._events !== undefined) this[kKeepContext]()
    // much data that has no callback and no listener is left to the I/O thread
    const isHeard = awaited || (status === CONGESTED && this._events !== undefined)
    const isWritten = isHeard && this[kIsWrittenNow]()
    if (!isWritten && (awaited || status === CONGESTED)) {
      if (this[kState].report !== 0) this[kState].earlier++
      bridge.scheduleFlush()
      this[kState].report = this.socket[kReportDrain]()
      const { pump } = this.socket[kState]
      if (pump !== null) pump.write(packets)
    } else if (awaited) {
      this[kTellInTick]()
    } else {
      const pump = this.socket[kState].pump
      if (pump !== null) {
        pump.write(packets)
        // tells of an error
        if (pump.stream.destroyed) return
      }
      bridge.markWritten(this)
    }
  }

  /**
   * Writes data with a callback at once, so that the callback comes at the end of the tick, as in the original. Returns
   * whether that was possible. It is not if the data is compressed, or if JavaScript carries the stream and that is not
   * ready.
   */
  [kIsWrittenNow]() {
    return this[kWritesAtOnce]() && this.socket[kIsWritten]() === true
  }

  /** Returns whether what is sent is written in the same tick, if the kernel takes it and no other thread is writing. */
  [kWritesAtOnce]() {
    return !this.opts.perMessageDeflate && this.socket[kState].pump === null
  }

  /** Tells of what has been written meanwhile, of which an event would tell. Returns false if a write is in progress. */
  [kTellOfWritten]() {
    return this[kState].report === 0 || !this[kWritesAtOnce]() || this[kSettleBeforeEnd]()
  }

  /** Returns the frame that Socket.IO encoded once for all recipients of a broadcast. */
  [kPreEncoded](packet) {
    const frame = packet.options && packet.options.wsPreEncodedFrame
    return frame !== undefined && !this.opts.perMessageDeflate ? frame : undefined
  }

  /** Returns whether a packet has an encoded frame that can be sent as it is. */
  _canSendPreEncodedFrame(packet) {
    const sender = this.socket && this.socket._sender
    return Boolean(sender) && typeof sender.sendFrame === 'function' && this[kPreEncoded](packet) !== undefined
  }

  /** Tells of a batch that is written, in a tick of its own. Several can wait: see `flush` in lib/session/outgoing.js. */
  [kTellInTick]() {
    if (this[kState].written) this[kState].others++
    this[kState].written = true
    nextTick(tellWritten, this)
  }

  /** Returns whether a written batch waits for its tick, and counts it as told. */
  [kTakeWritten]() {
    if (!this[kState].written) return false
    if (this[kState].others > 0) this[kState].others--
    else this[kState].written = false
    return true
  }

  /** Called at the end of the tick, when sent data has been handed over. */
  [kSettle]() {
    if (this[kState].report !== 0) {
      // the event will tell of a batch that was sent after this one, and of this one
      this[kState].earlier++
      return
    }
    const session = this[kState].session
    const isAwaited = session === null ? this[kState].prober === null : session[kAwaitsReady]()
    if (!isAwaited && this._events === undefined && this[kState].context === undefined) {
      this.writable = true
    } else {
      this[kOnWritten]()
    }
  }

  /** Keeps the current context for the callbacks of data that is being sent, or is sent next. */
  [kKeepContext]() {
    if (this[kState].context === undefined && this[kConnection]() !== undefined) this[kState].context = capture()
  }

  /** Returns whether an event of that number tells that everything is written for which the transport has asked. */
  [kIsReported](number) {
    const { report } = this[kState]
    return report !== 0 && ((number - report) | 0) >= 0
  }

  /** Called when everything that was sent has been written. */
  [kOnAllWritten]() {
    if (this[kState].report !== 0) {
      this[kState].report = 0
      for (; this[kState].earlier > 0; this[kState].earlier--) this[kTellInTick]()
    } else {
      this[kTakeWritten]()
    }
    this[kOnWritten]()
  }

  /** Called when a batch has been written. Calls its callbacks, and continues with waiting packets. */
  [kOnWritten]() {
    const context = this[kState].context
    if (context !== undefined) this[kState].context = undefined
    const scope = context === undefined ? contextOfEvent() : context
    scope.runInAsyncScope(this[kGoOn], this)
  }

  [kGoOn]() {
    if (this.readyState === 'closed') return
    try {
      this.emit('drain')
    } finally {
      this.writable = true
      this.emit('ready')
    }
  }

  /**
   * Writes sent data before the session ends, as far as the kernel takes it, and calls the callbacks. Returns false if
   * a write is in progress.
   */
  [kSettleBeforeEnd]() {
    for (let round = 0; round < ROUNDS && this[kAwaitsWriting](); round++) {
      const isWritten = this.socket[kIsWritten]()
      if (!isWritten) return isWritten !== null
      this[kOnAllWritten]()
    }
    return true
  }

  /** Decodes a message. As in the original, a replaced `onData` is not called. */
  [kOnData](message) {
    super.onData(message)
  }

  doClose(fn) {
    debug('closing')
    if (!this[kState].ended) this.socket.close()
    fn()
  }

  // ---- connections that JavaScript drives ----------------------------------------------------

  [kListenTo](socket) {
    socket.on('message', (data, isBinary) => this[kOnData](isBinary ? data : data.toString()))
    socket.once('close', () => this.onClose())
    socket.on('error', (error) => this.onError(error))
    this._onSent = (error) => {
      if (error) this.onError(FaultText.WRITE, error.stack)
    }
    this._onSentLast = (error) => {
      if (error) return this.onError(FaultText.WRITE, error.stack)
      this.emit('drain')
      this.writable = true
      this.emit('ready')
    }
  }

  [kSendForeign](packets) {
    countSent(packets)
    packets.forEach((packet, index) => {
      const done = index === packets.length - 1 ? this._onSentLast : this._onSent
      if (this._canSendPreEncodedFrame(packet)) {
        this.socket._sender.sendFrame(packet.options.wsPreEncodedFrame, done)
      } else {
        this.parser.encodePacket(packet, this.supportsBinary, (data) => this.socket.send(data, done))
      }
    })
  }
}

/** Called at the end of a tick in which data with callbacks was written, for each batch, in the context of its sender. */
function tellWritten(transport) {
  // an event may have come before, and other callbacks may wait for data that is sent next
  if (!transport[kTakeWritten]()) return
  if (transport[kState].context === undefined) transport[kGoOn]()
  else transport[kOnWritten]()
}

module.exports = { WebSocket, sendToAll }
