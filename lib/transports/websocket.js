'use strict'

const bridge = require('../bridge')
const { capture, contextOfEvent } = require('../context')
const { MESSAGE, content, packetType } = require('../packets')
const { Transport, kOwner } = require('../transport')
const { NativeWebSocket } = require('../websocket')
const debug = require('debug')('engine:ws')

const FLOWING = 0
const CONGESTED = 1
const CLOSED = 2

/** The `mode` of `send` in src/node/fast.rs. */
const MODE_V3 = 1
const MODE_TEXT_ONLY = 2
const MODE_PLAIN = 4

/** So many packets cross in one call, as in src/node/fast.rs. */
const MANY = 16

/** Callbacks that send again and again are not followed for ever. */
const ROUNDS = 16

/** Longer texts are not remembered. */
const MAX_SHARED = 64 * 1024

/** The packet that was sent last, and how often its frame was shared; 0: it has not been made yet. */
const shared = { text: undefined, frame: undefined, mode: 0, type: 0, count: 0 }

function keep(text, mode, type) {
  shared.text = text
  shared.frame = undefined
  shared.mode = mode
  shared.type = type
  shared.count = 0
}

/** The turn is over: what has been remembered is not kept, large as it may be. The engine has a copy of what was shared. */
bridge.onTurnEnd(() => {
  if (shared.text === undefined && shared.frame === undefined) return
  if (shared.count > 0 || shared.frame !== undefined) bridge.fast.dropShared()
  keep(undefined, 0, 0)
})

/** A frame in parts that Socket.IO made for all recipients of a broadcast: it crosses once. */
function sendPreEncoded(handle, frame) {
  if (frame !== shared.frame) {
    keep(undefined, 0, 0)
    bridge.fast.shareFrame(frame[0], frame[1])
    shared.frame = frame
  }
  return bridge.fast.sendShared(handle)
}

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
    this._mode = (this.protocol === 3 ? MODE_V3 : 0) | (this.supportsBinary ? 0 : MODE_TEXT_ONLY)
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

  /** Whether it has to hear when everything is written. */
  _awaitsWriting() {
    return this._awaited || this._congested
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
    let status = FLOWING
    for (let i = 0; i < packets.length; i++) {
      const packet = packets[i]
      if (i + 1 < packets.length && this._isText(packet) && this._isText(packets[i + 1])) {
        const texts = this._textsFrom(packets, i)
        status = bridge.fast.sendMany(this.socket._handle, MESSAGE | (this._mode << 3), texts.length, ...texts)
        i += texts.length - 1
        continue
      }
      const frame = this._preEncoded(packet)
      if (frame === undefined) status = this._hand(packetType(packet), content(packet.data), packet.options)
      else status = sendPreEncoded(this.socket._handle, frame)
    }
    const owner = this[kOwner]
    this._sent(status, owner !== null && owner._awaitsDrain())
  }

  /** The texts of the messages that can cross together, from the one at `start` on. */
  _textsFrom(packets, start) {
    const texts = []
    for (let i = start; i < packets.length && texts.length < MANY && this._isText(packets[i]); i++) {
      texts.push(packets[i].data)
    }
    return texts
  }

  /** Whether a packet is a message of text, to be sent as it is. */
  _isText(packet) {
    const isText = packet.type === 'message' && typeof packet.data === 'string' && !this.perMessageDeflate
    return isText && this._preEncoded(packet) === undefined
  }

  /** Sends one packet without callbacks, if that is all there is to do: see `Socket.sendPacket`. */
  _sendOne(type, data, options) {
    this.writable = false
    const frame = options.wsPreEncodedFrame
    if (frame === undefined || this.perMessageDeflate) this._sent(this._hand(type, content(data), options), false)
    else this._sent(sendPreEncoded(this.socket._handle, frame), false)
  }

  /** Hands one packet to the engine. */
  _hand(type, data, options) {
    const handle = this.socket._handle
    const mode = this._mode
    if (!this.perMessageDeflate && typeof data === 'string' && data.length <= MAX_SHARED) {
      // the same text as the last recipient got: a broadcast, of which one frame crosses for all
      if (data === shared.text && mode === shared.mode && type === shared.type) {
        if (shared.count++ === 0) bridge.fast.share(data, type | (mode << 3))
        return bridge.fast.sendShared(handle)
      }
      keep(data, mode, type)
      return bridge.fast.send(handle, data, type | (mode << 3))
    }
    const plain = options !== undefined && options.compress === false ? MODE_PLAIN : 0
    return bridge.fast.send(handle, data, type | ((mode | plain) << 3))
  }

  _sent(status, awaited) {
    if (status === CLOSED && (this.socket.readyState !== this.socket.OPEN || this.socket._hasEndedStream())) {
      // ended from this side, past the session; as where a callback tells, nothing happens inside the call
      const { stack } = this.socket._notOpen()
      return process.nextTick(() => this.onError('write error', stack))
    }
    this._congested = status === CONGESTED
    this._awaited = awaited
    if (awaited || this._listened) this._keepContext()
    if (this._congested || awaited) {
      bridge.scheduleFlush()
      this.socket._reportDrain()
    } else {
      const pump = this.socket._pump
      if (pump !== null) pump.write()
      bridge.markWritten(this)
    }
  }

  /** A frame that Socket.IO encoded once for all recipients of a broadcast. */
  _preEncoded(packet) {
    const frame = packet.options && packet.options.wsPreEncodedFrame
    return frame !== undefined && !this.perMessageDeflate ? frame : undefined
  }

  /** Whether a packet brings a frame along that can be sent as it is. */
  _canSendPreEncodedFrame(packet) {
    const sender = this.socket && this.socket._sender
    return Boolean(sender) && typeof sender.sendFrame === 'function' && this._preEncoded(packet) !== undefined
  }

  /** The end of the tick: what was sent is on its way. */
  _settle() {
    if (this._awaited || this._congested) return
    const owner = this[kOwner]
    const isHeard = owner === null || owner._hasWaiting() || owner._awaitsBatches() || this._listened
    if (!isHeard && this._context === undefined) {
      this.writable = true
    } else {
      this._onWritten()
    }
  }

  /** Whoever waits for what is being sent, or sent next, is told in the current context. */
  _keepContext() {
    if (this._context === undefined && this._isNative()) this._context = capture()
  }

  /** What was sent has been written: tells those who wait, and goes on with what waits. */
  _onWritten() {
    const context = this._context
    if (context !== undefined) this._context = undefined
    const scope = context === undefined ? contextOfEvent() : context
    scope.runInAsyncScope(this._goOn, this)
  }

  _goOn() {
    this._awaited = this._congested = false
    if (this.readyState === 'closed') return
    const owner = this[kOwner]
    try {
      if (owner !== null) owner.onDrain()
      this._show('drain')
    } finally {
      this.writable = true
      if (owner !== null) owner.flush()
      this._show('ready')
    }
  }

  /**
   * The session is about to end: what was sent before goes out, as far as the kernel takes it, and who waits for that is told.
   * False if it is just on its way.
   */
  _settleBeforeEnd() {
    for (let round = 0; round < ROUNDS && (this._awaited || this._congested); round++) {
      const isWritten = this.socket._isWritten()
      if (!isWritten) return isWritten !== null
      this._onWritten()
    }
    return true
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
    this._onSent = (error) => {
      if (error) this.onError('write error', error.stack)
    }
    this._onSentLast = (error) => {
      if (error) return this.onError('write error', error.stack)
      this.emit('drain')
      this.writable = true
      this.emit('ready')
    }
  }

  _sendForeign(packets) {
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

/** The context of the call whose outcome somebody waits for: few have one, and a field of their own takes memory of every one. */
WebSocket.prototype._context = undefined

module.exports = { WebSocket }
