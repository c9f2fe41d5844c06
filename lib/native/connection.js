'use strict'

const { performance } = require('perf_hooks')
const { setImmediate } = require('timers')
const bridge = require('./bridge')
const {
  CLOSE_TIMEOUT,
  END_SHIFT,
  Kind,
  MAX_CONTROL,
  NO_CLOSE_FRAME,
  NO_HANDLE,
  OpCode,
  WITH_FAULT,
} = require('./contract')
const { apart, capture } = require('./context')
const { LazyEmitter, letGoOfTable } = require('../base/emitter')
const { checkClose, contentOf } = require('./connection-arguments')
const { addEvents } = require('./connection-events')
const {
  kAfterSession,
  kAwaitsStream,
  kBeforeEnd,
  kBeginClosing,
  kCallBack,
  kCallBackWhenWritten,
  kCannotSend,
  kClosing,
  kConclude,
  kCutOff,
  kEnded,
  kFinish,
  kHasEndedStream,
  kHoldEnd,
  kIsReported,
  kIsWritten,
  kKeepAlive,
  kMadeTransport,
  kMutesErrors,
  kListenToAll,
  kNotOpen,
  kOnAllWritten,
  kOnData,
  kOnDrained,
  kOnEndReceived,
  kOnEvent,
  kOnFault,
  kOnMessage,
  kOnReleased,
  kOnStreamClosed,
  kOwn,
  kPeerClose,
  kRefuse,
  kReportDrain,
  kSendControl,
  kSendFrame,
  kShow,
  kShowMessages,
  kStart,
  kState,
  kStopReading,
  kTellEnd,
  kThrottle,
  kUnwritten,
} = require('../base/symbols')
const { keep, WebSocketState } = require('../base/state')

const EMPTY = Buffer.alloc(0)

/** Milliseconds to wait for a write in progress when a connection is cut off. */
const PATIENCE = 50

/** How often a stream whose `close` is awaited is looked at, in ms: the listeners of its `close` may have been removed. */
const STREAM_LOOK = 100

const CONNECTING_STATES = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 }

/**
 * A WebSocket connection whose I/O the engine does. It has the members of a server-side WebSocket of `ws` that
 * applications use of `req.websocket` or `transport.socket`.
 *
 * Events: `message` (data, isBinary), `ping` and `pong` (data), `close` (code, reason) after that of the session,
 * `error`. On the connection of a session `message` shows what the engine decoded as packets.
 */
class NativeWebSocket extends /** @type {typeof import('../../types/bases').ConnectionBase} */ (LazyEmitter) {
  /**
   * @param {number} handle the engine's handle of the connection
   * @param {import('./stream-below').StreamBelow} stream what lies below
   */
  constructor(handle, stream) {
    super()
    keep(this, new WebSocketState(stream))
    bridge.addConnection(handle, this)
  }

  /** Whether it emits an `error` only if there are listeners, so that it needs none. */
  get [kMutesErrors]() {
    return true
  }

  /** The stream below; null when it has gone. */
  get _socket() {
    return this[kState].stream.below()
  }

  /** Number of sent bytes that the connection below has not taken. What can be written is written before. */
  get bufferedAmount() {
    const { handle, pump, refused } = this[kState]
    if (handle === NO_HANDLE) return refused
    if (pump === null) {
      bridge.prepareFlush()
      return refused + bridge.getEngine().refusedAmount(handle)
    }
    pump.write()
    return refused + this[kUnwritten]()
  }

  /** Returns `{ code, reason }` of the peer's close frame, or of its absence; undefined if it is not known any more. */
  [kPeerClose]() {
    const { handle, noted, end = noted } = this[kState]
    if (end !== undefined) return { code: codeOf(end.arg), reason: String(end.reason ?? '') }
    return handle === NO_HANDLE ? undefined : bridge.getEngine().peerClose(handle)
  }

  /** Bytes handed over and not yet written. */
  [kUnwritten]() {
    const { handle, pump } = this[kState]
    if (handle === NO_HANDLE) return 0
    return bridge.getEngine().bufferedAmount(handle) + (pump === null ? 0 : pump.stream.writableLength)
  }

  /** Asks for the event `DRAINED` when everything that was handed over is written. */
  [kReportDrain]() {
    if (this[kState].pump !== null) this[kState].pump.await()
    return bridge.getEngine().reportDrain(this[kState].handle)
  }

  /** Stops reading the peer until it has read what waits for it. */
  [kThrottle]() {
    if (this[kState].handle === NO_HANDLE) return
    if (this[kState].pump !== null) this[kState].pump.await()
    bridge.getEngine().throttle(this[kState].handle)
  }

  /** Sends frames that were encoded elsewhere. */
  get _sender() {
    return { sendFrame: (parts, done) => this[kSendFrame](parts, done) }
  }

  /**
   * Sends a message, past the session.
   *
   * @param {string | number | Uint8Array | ArrayBuffer | ArrayBufferView} data
   * @param {{binary?: boolean}} [options] `binary`: whether it is a binary message; by default strings are text
   * @param {(error?: Error) => void} [done] called when it has been written
   */
  send(data, options, done) {
    if (typeof options === 'function') [options, done] = [undefined, options]
    if (this.readyState !== CONNECTING_STATES.OPEN) return fail(done, this[kNotOpen]())
    bridge.getEngine().connectionSendMessage(this[kState].handle, contentOf(data, options && options.binary))
    bridge.scheduleFlush()
    this[kCallBackWhenWritten](done)
  }

  /** Sends a ping frame, which the peer answers by a pong frame with the same data. */
  ping(data, mask, done) {
    this[kSendControl](OpCode.PING, data, mask, done)
  }

  /** Sends a pong frame. The engine itself answers the peer's pings. */
  pong(data, mask, done) {
    this[kSendControl](OpCode.PONG, data, mask, done)
  }

  /** Sends a control frame. `mask` has no effect on a server, and may be left out, as may `data`. */
  [kSendControl](opcode, data, mask, done) {
    if (typeof data === 'function') [data, done] = [undefined, data]
    else if (typeof mask === 'function') done = mask
    if (this.readyState !== CONNECTING_STATES.OPEN) return fail(done, this[kNotOpen]())
    const bytes = data === undefined ? EMPTY : Buffer.from(contentOf(data))
    if (bytes.length > MAX_CONTROL) throw new RangeError(`The data size must not be greater than ${MAX_CONTROL} bytes`)
    bridge.getEngine().sendControlFrame(this[kState].handle, opcode, bytes)
    bridge.scheduleFlush()
    this[kCallBackWhenWritten](done)
  }

  /** Stops reading the peer until `resume()`. */
  pause() {
    if (this.readyState !== CONNECTING_STATES.OPEN) return
    this.isPaused = true
    this[kStopReading](true)
  }

  resume() {
    if (this.readyState !== CONNECTING_STATES.OPEN) return
    this.isPaused = false
    this[kStopReading](false)
  }

  [kStopReading](stop) {
    const stream = this._socket
    if (typeof stream.pause !== 'function') return bridge.getEngine().stopReading(this[kState].handle, stop)
    if (stop) stream.pause()
    else stream.resume()
  }

  [kCallBackWhenWritten](done) {
    if (typeof done !== 'function') return
    if (this[kState].awaiting === undefined) this[kState].awaiting = []
    const context = capture()
    const call = (error) => context.runInAsyncScope(done, undefined, error)
    this[kState].awaiting.push({ call, number: this[kReportDrain]() })
  }

  /** Calls the callbacks that wait for sent data, up to the request of that number. */
  [kCallBack](number, error) {
    const waiting = this[kState].awaiting
    if (waiting === undefined) return
    const later = waiting.findIndex((entry) => ((number - entry.number) | 0) < 0)
    const written = later === -1 ? waiting : waiting.splice(0, later)
    if (later === -1) this[kState].awaiting = undefined
    for (const { call } of written) process.nextTick(call, error)
  }

  [kSendFrame](parts, done) {
    if (this.readyState !== CONNECTING_STATES.OPEN) return fail(done, this[kNotOpen]())
    for (const part of parts) bridge.fast.sendFrame(this[kState].handle, part)
    bridge.scheduleFlush()
    if (done) process.nextTick(done)
  }

  /**
   * Starts the closing handshake; the peer has 30 s to answer.
   *
   * @throws {TypeError} for a code that no close frame may carry, or a reason that is neither text nor bytes
   * @throws {RangeError} for a reason that a close frame has no room for
   */
  close(code, reason) {
    if (this.readyState !== CONNECTING_STATES.OPEN) return
    if (code !== undefined) checkClose(code, reason)
    const text = reason?.length ? contentOf(reason, false) : undefined
    bridge.getEngine().closeConnection(this[kState].handle, code, text)
    this[kBeginClosing]()
  }

  /**
   * Marks the connection as closing. Its session has ended or does not move to it, and the engine closes the
   * connection.
   */
  [kClosing]() {
    const isFirst = this.readyState === CONNECTING_STATES.OPEN
    if (isFirst) this.readyState = CONNECTING_STATES.CLOSING
    this[kConclude]()
    if (isFirst && this[kState].pump !== null) this[kState].pump.expectEnd()
  }

  /** Returns whether everything that was handed over has reached the kernel; null during a write. */
  [kIsWritten]() {
    if (this[kState].handle === NO_HANDLE) return false
    if (this[kState].pump !== null) return this[kState].pump.isWritten()
    bridge.prepareFlush()
    return bridge.getEngine().flushConnection(this[kState].handle)
  }

  /**
   * Tells the engine that JavaScript has heard of the end. The close frame that it has put off may follow what was
   * sent.
   */
  [kConclude]() {
    if (this[kState].handle === NO_HANDLE) return
    const mustFlush = bridge.fast.conclude(this[kState].handle) === 1
    const { pump } = this[kState]
    if (pump !== null) pump.write()
    // the flush also resumes a stream that has been paused meanwhile
    if (mustFlush || pump !== null) bridge.scheduleFlush()
  }

  /**
   * Ends the connection so that the client reports an error: `response` is not a WebSocket frame. After a closing
   * handshake Socket.IO's client would wait for the open packet until its `timeout` (20 s), or for ever.
   */
  [kRefuse](response) {
    if (this.readyState !== CONNECTING_STATES.OPEN) return
    bridge.getEngine().refuseConnection(this[kState].handle, Buffer.from(response))
    this[kBeginClosing]()
  }

  [kBeginClosing]() {
    this.readyState = CONNECTING_STATES.CLOSING
    bridge.scheduleFlush()
    if (this[kState].pump === null) return
    this[kState].pump.expectEnd()
    // a connection without a session is still read: for the peer's part of the closing handshake, and for its end
    if (this[kState].transport === null) this[kOwn]()
  }

  /** Cuts the connection off. */
  terminate() {
    const socket = this[kState].stream.alive()
    if (this.readyState === CONNECTING_STATES.OPEN) this.readyState = CONNECTING_STATES.CLOSING
    // so that the stream below is destroyed, too
    if (socket !== undefined && !socket.destroyed) socket.destroy()
    else this[kCutOff](false)
  }

  /**
   * Cuts the connection off when its socket is destroyed. What was sent before in the same tick is written, and its
   * callbacks come before the end, as in the original, which writes each frame at once. A write of another thread is
   * waited for until the time `until`.
   */
  [kCutOff](isReset, until = performance.now() + PATIENCE) {
    const { handle, pump } = this[kState]
    if (handle === NO_HANDLE) return
    if (pump !== null) return pump.destroy()
    const isWritten = bridge.getEngine().flushConnection(handle)
    if (isWritten === null && performance.now() < until) {
      // what is sent meanwhile is sent to a socket that is destroyed
      bridge.getEngine().refuseFrames(handle, true)
      return setImmediate(() => this[kCutOff](isReset, until))
    }
    process.nextTick(bridge.drainNow)
    if (isReset) bridge.getEngine().resetConnection(handle)
    else bridge.getEngine().terminateConnection(handle)
  }

  on(event, listener) {
    super.on(event, listener)
    if ((event === 'ping' || event === 'pong') && this[kState].handle !== NO_HANDLE)
      bridge.getEngine().showControlFrames(this[kState].handle)
    if (event !== 'message') return this
    const transport = this[kState].transport
    if (transport === null) this[kOwn]()
    else if (transport[kState].session !== null || transport[kState].prober !== null) this[kShowMessages]()
    return this
  }

  /** Has a session's messages come here first, undecoded. */
  [kShowMessages]() {
    if (this[kState].shown || this[kState].handle === NO_HANDLE) return
    this[kState].shown = true
    bridge.getEngine().showMessages(this[kState].handle)
    // the session shows those that have been decoded already
    const session = this[kState].transport === null ? null : this[kState].transport[kState].session
    if (session !== null && session.readyState !== 'closed') session[kListenToAll]()
  }

  addListener(event, listener) {
    return this.on(event, listener)
  }

  /** Has messages come here, because no session has the connection. */
  [kOwn]() {
    if (this[kState].owned || this[kState].handle === NO_HANDLE) return
    // while a client probes the connection for its session, the messages are the session's
    if (!bridge.getEngine().bindToOwner(this[kState].handle)) return
    this[kState].owned = true
    this[kStart]()
  }

  /** Starts reading: the connection has a receiver of its messages now. */
  [kStart]() {
    if (this[kState].pump !== null) this[kState].pump.start()
  }

  [kOnEvent](kind, arg, content) {
    switch (kind) {
      case Kind.DRAINED:
        this[kOnDrained](arg)
        break
      case Kind.PIPE_READY:
        this[kState].stream.onPipeReady()
        break
      case Kind.BYTES:
        this[kState].stream.onBytes(content)
        break
      case Kind.CONTROL_FRAME:
        this.emit(arg === OpCode.PING ? 'ping' : 'pong', content)
        break
      case Kind.CONNECTION_MESSAGE:
        this[kOnMessage](content)
        break
      case Kind.CONNECTION_CLOSED:
        this[kOnEndReceived](arg === WITH_FAULT ? content : undefined)
        break
      case Kind.CONNECTION_ENDED:
        this[kEnded](arg, content)
    }
  }

  /** Handles a message that the engine has not decoded as a packet. */
  [kOnMessage](content = '') {
    if (this[kState].transport !== null) this[kState].transport[kOnData](content)
    if (this.listenerCount('message') > 0) this[kShow](content)
  }

  /** Emits a message. */
  [kShow](content) {
    const isBinary = typeof content !== 'string'
    this.emit('message', isBinary ? content : Buffer.from(content), isBinary)
  }

  /**
   * Handles the peer's end, behind the messages before it, with or without a fault. It ends the connection's session,
   * if any.
   */
  [kOnEndReceived](fault) {
    const { handle, transport } = this[kState]
    const session = transport === null ? null : (transport[kState].session ?? transport[kState].prober)
    if (session !== null && bridge.closeChannel(session, handle, fault)) return
    this.readyState = CONNECTING_STATES.CLOSING
    this[kConclude]()
    if (fault !== undefined) this[kOnFault](fault)
  }

  [kOnFault](message) {
    if (this[kState].transport !== null && this[kState].transport.readyState !== 'closed')
      this[kState].transport.onError(message)
    if (this.listenerCount('error') > 0) this.emit('error', new Error(message))
  }

  /**
   * Handles data that cannot be sent because this side has begun to close, past the session. `done` gets the error. If
   * the application has ended the stream below, the stream emits an error, too. Returns false if the data can be sent.
   */
  [kCannotSend](done) {
    const isOpen = this.readyState === CONNECTING_STATES.OPEN
    const socket = isOpen ? this[kState].stream.endedSocket() : undefined
    if (socket !== undefined) {
      // `ws` writes head and content of a frame one by one: the error of the first comes before that of the second
      socket.write(EMPTY)
      socket.write(EMPTY, done)
    } else if (!isOpen || this[kHasEndedStream]()) {
      process.nextTick(done, this[kNotOpen]())
    } else {
      return false
    }
    return true
  }

  /** Returns whether the application has ended our side of the stream, past the WebSocket. */
  [kHasEndedStream]() {
    return this[kState].stream.hasEnded
  }

  /** Returns the error of data that cannot be sent. */
  [kNotOpen]() {
    if (this.readyState === CONNECTING_STATES.OPEN)
      return Object.assign(new Error('write after end'), { code: 'ERR_STREAM_WRITE_AFTER_END' })
    const name = Object.keys(CONNECTING_STATES)[this.readyState]
    return new Error(`WebSocket is not open: readyState ${this.readyState} (${name})`)
  }

  /** Handles the event that everything that was handed over is written. */
  [kOnDrained](number) {
    this[kCallBack](number)
    const { stream, transport } = this[kState]
    stream.onDrained()
    // the event can answer another request than the transport's, or one that was made before the transport's last batch
    if (transport !== null && transport[kIsReported](number)) transport[kOnAllWritten]()
  }

  /** Called when the connection is over, before its handle is given back, after which the process may end. */
  [kBeforeEnd]() {
    this[kState].stream.onEnded()
    this[kKeepAlive](true)
  }

  /** Called when the handle has been given back. */
  [kOnReleased](arg) {
    this[kState].stream.onReleased(arg >>> END_SHIFT)
  }

  [kEnded](arg, reason) {
    const { stream, transport } = this[kState]
    if (stream.awaitsClose()) {
      this.readyState = CONNECTING_STATES.CLOSING
      this[kState].end = { arg, reason }
      let looks = CLOSE_TIMEOUT / STREAM_LOOK
      const look = () => {
        if (stream.hasClosedUnheard() || --looks === 0) this[kOnStreamClosed](true)
      }
      this[kState].patience = setInterval(look, STREAM_LOOK).unref()
      stream.endAs(arg >>> END_SHIFT)
      return
    }
    this.readyState = CONNECTING_STATES.CLOSED
    stream.onClosed()
    const session = transport === null ? null : transport[kState].session
    // the session hears of the end first
    if (session === null || session[kMadeTransport]() !== transport || session.readyState === 'closed')
      return this[kFinish](arg, reason)
    this[kState].end = { arg, reason }
    if (this[kState].tell !== undefined) this[kTellEnd]()
  }

  /**
   * Called when the session on this connection has closed and all listeners have heard of it, those of the transport
   * included.
   */
  [kAfterSession]() {
    const end = this[kState].end
    if (end === undefined || this[kState].tells || this[kAwaitsStream]()) return
    this[kState].end = undefined
    this[kFinish](end.arg, end.reason)
  }

  /**
   * Returns whether the ends of session and WebSocket wait for the `close` of the stream below, as those of `ws` do: it
   * is still to come, and the application may hear it.
   */
  [kAwaitsStream]() {
    return this[kState].stream.awaitsClose()
  }

  /** Has `tell` called when the stream below has closed. Returns false if there is no stream to wait for. */
  [kHoldEnd](tell) {
    if (!this[kAwaitsStream]()) {
      if (this[kState].handle === NO_HANDLE) this.readyState = CONNECTING_STATES.CLOSED
      return false
    }
    this[kState].tell = tell
    this[kClosing]()
    return true
  }

  /** Called when the stream below emits `close`, or is not waited for any more. */
  [kOnStreamClosed](isGivenUp = false) {
    const { end, stream, tell, patience } = this[kState]
    if (patience !== undefined) clearInterval(patience)
    this[kState].patience = undefined
    if (isGivenUp) stream.giveUp()
    if (end === undefined && tell === undefined) return
    // `ws` emits `close` at once if it has read to the end, otherwise in the next tick
    const isOrderly = end === undefined || codeOf(end.arg) !== NO_CLOSE_FRAME || stream.isOrderly(end.arg >>> END_SHIFT)
    if (isOrderly || isGivenUp) apart(this[kTellEnd], this)
    else process.nextTick(apart, this[kTellEnd], this)
  }

  [kTellEnd]() {
    const { tell } = this[kState]
    this[kState].tell = undefined
    this.readyState = CONNECTING_STATES.CLOSED
    try {
      if (tell !== undefined) tell()
    } finally {
      // the session may have been closed before, or may not have heard yet
      const { end } = this[kState]
      this[kState].end = undefined
      if (end !== undefined) this[kEnded](end.arg, end.reason)
    }
  }

  [kFinish](arg, reason = EMPTY) {
    const code = codeOf(arg)
    this.readyState = CONNECTING_STATES.CLOSED
    const { awaiting } = this[kState]
    if (awaiting !== undefined)
      this[kCallBack](awaiting.at(-1).number, new Error('The connection has ended before the data was written'))
    if (this[kState].transport !== null && this[kState].transport.readyState !== 'closed')
      this[kState].transport.onClose()
    if (code !== NO_CLOSE_FRAME && this.listenerCount('close') > 0)
      this._closeFrameReceived = this._closeFrameSent = true
    this.emit('close', code, reason)
  }

  /** Sets whether the connection keeps the process alive. */
  [kKeepAlive](keeps) {
    if (this[kState].handle === NO_HANDLE || this[kState].keepsAlive === keeps) return
    this[kState].keepsAlive = keeps
    if (keeps) bridge.hold()
    else bridge.release()
  }
}

Object.assign(NativeWebSocket.prototype, CONNECTING_STATES, {
  // defaults of members that few connections set, or set at their end only: own fields would cost every connection
  // memory
  readyState: CONNECTING_STATES.OPEN,
  // members of a server-side WebSocket of `ws`; its own code reads the last two, see lib/native/connection-events.js
  binaryType: 'nodebuffer',
  extensions: '',
  isPaused: false,
  protocol: '',
  url: '',
  _closeFrameReceived: false,
  _closeFrameSent: false,
})

addEvents(NativeWebSocket)

letGoOfTable(NativeWebSocket)

/** Returns the code of the peer's close frame, a part of `arg` of the last event. */
function codeOf(arg) {
  return arg & ((1 << END_SHIFT) - 1)
}

function fail(done, error) {
  if (done) process.nextTick(done, error)
}

module.exports = { NativeWebSocket }
