'use strict'

const bridge = require('./bridge')
const { Carrier } = require('./carried-socket')
const { capture } = require('./context')
const { LazyEmitter, letGoOfTable } = require('./emitter')
const { kOwner } = require('./transport')
const { addEvents } = require('./websocket-events')

const { Kind } = bridge
/** The longest reason of a close frame, in bytes. */
const MAX_REASON = 123
/** The longest content of a ping or pong frame, in bytes. */
const MAX_CONTROL = 125
const EMPTY = Buffer.alloc(0)

/** The opcodes of control frames. */
const PING = 9
const PONG = 10

/** The code of a connection that ended without a close frame. */
const NO_CLOSE_FRAME = 1006

const CONNECTING_STATES = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 }

/**
 * A WebSocket connection whose I/O is the engine's. It looks like a server-side one of `ws`, as far as
 * applications look at `req.websocket` or `transport.socket`.
 *
 * Events: `message` (data, isBinary), `ping` and `pong` (data), `close` (code, reason) after the session's own, `error`; those
 * of a session show as messages what the engine took for packets.
 */
class NativeWebSocket extends LazyEmitter {
  /**
   * @param {number} handle the engine's handle of the connection; `_handle` is 0 once that has been given back
   * @param {object} socket the stream below, or what stands for it: see lib/carried-socket.js and lib/opening.js
   */
  constructor(handle, socket) {
    super()
    this._stream = socket
    this._transport = null
    bridge.addConnection(handle, this)
  }

  /** The stream below, as far as it is still there. */
  get _socket() {
    const stream = this._stream
    return typeof stream.below === 'function' ? stream.below() : stream
  }

  /** Bytes handed over and not yet written. */
  get bufferedAmount() {
    if (this._handle === 0) return 0
    const inStream = this._pump === null ? 0 : this._pump.stream.writableLength
    return bridge.getEngine().bufferedAmount(this._handle) + inStream
  }

  /** `DRAINED` follows when all that was handed over is written. */
  _reportDrain() {
    if (this._pump !== null) this._pump.await()
    bridge.getEngine().reportDrain(this._handle)
  }

  /** The peer is not heard until it has read what waits for it. */
  _throttle() {
    if (this._handle === 0) return
    if (this._pump !== null) this._pump.await()
    bridge.getEngine().throttle(this._handle)
  }

  /** For frames that were encoded elsewhere. */
  get _sender() {
    return { sendFrame: (parts, done) => this._sendFrame(parts, done) }
  }

  /**
   * Sends a message, past the session.
   *
   * @param {string | number | Uint8Array | ArrayBuffer | ArrayBufferView} data
   * @param {{binary?: boolean}} [options] `binary`: whether it is a binary message; default: what is no text
   * @param {(error?: Error) => void} [done] called when it has been written
   */
  send(data, options, done) {
    if (typeof options === 'function') [options, done] = [undefined, options]
    if (this.readyState !== CONNECTING_STATES.OPEN) return fail(done, this._notOpen())
    bridge.getEngine().connectionSendMessage(this._handle, contentOf(data, options && options.binary))
    bridge.scheduleFlush()
    this._callBackWhenWritten(done)
  }

  /** Sends a ping frame, which the peer answers by a pong frame with the same data. */
  ping(data, mask, done) {
    this._sendControl(PING, data, mask, done)
  }

  /** Sends a pong frame. Those for the peer's pings are sent by the engine. */
  pong(data, mask, done) {
    this._sendControl(PONG, data, mask, done)
  }

  /** `mask` means nothing on a server, and may be left out, as may `data`. */
  _sendControl(opcode, data, mask, done) {
    if (typeof data === 'function') [data, done] = [undefined, data]
    else if (typeof mask === 'function') done = mask
    if (this.readyState !== CONNECTING_STATES.OPEN) return fail(done, this._notOpen())
    const bytes = data === undefined ? EMPTY : Buffer.from(contentOf(data))
    if (bytes.length > MAX_CONTROL) throw new RangeError('The data size must not be greater than 125 bytes')
    bridge.getEngine().sendControlFrame(this._handle, opcode, bytes)
    bridge.scheduleFlush()
    this._callBackWhenWritten(done)
  }

  /** The peer is not heard until `resume()`. */
  pause() {
    if (this.readyState !== CONNECTING_STATES.OPEN) return
    this.isPaused = true
    this._stopReading(true)
  }

  resume() {
    if (this.readyState !== CONNECTING_STATES.OPEN) return
    this.isPaused = false
    this._stopReading(false)
  }

  _stopReading(stop) {
    const stream = this._socket
    if (typeof stream.pause !== 'function') return bridge.getEngine().stopReading(this._handle, stop)
    if (stop) stream.pause()
    else stream.resume()
  }

  _callBackWhenWritten(done) {
    if (typeof done !== 'function') return
    if (this._sent === undefined) this._sent = []
    const context = capture()
    this._sent.push((error) => context.runInAsyncScope(done, undefined, error))
    this._reportDrain()
  }

  /** Calls those that wait for what they have sent. */
  _callBack(error) {
    const waiting = this._sent
    if (waiting === undefined) return false
    this._sent = undefined
    for (const done of waiting) process.nextTick(done, error)
    return true
  }

  _sendFrame(parts, done) {
    if (this.readyState !== CONNECTING_STATES.OPEN) return fail(done, this._notOpen())
    for (const part of parts) bridge.fast.sendFrame(this._handle, part)
    bridge.scheduleFlush()
    if (done) process.nextTick(done)
  }

  /**
   * Starts the closing handshake; the peer has 30 s to answer.
   *
   * @throws {TypeError} for a code that no close frame may carry
   * @throws {RangeError} for a reason of more than 123 bytes
   */
  close(code, reason) {
    if (this.readyState !== CONNECTING_STATES.OPEN) return
    if (code !== undefined) checkClose(code, reason)
    const text = reason === undefined ? undefined : String(reason)
    bridge.getEngine().closeConnection(this._handle, code, text)
    this._beginClosing()
  }

  /** The session on this connection is over; `told`: the engine knows, and closes the connection itself. */
  _closing(told) {
    if (!told) return this.close()
    this._conclude()
    if (this.readyState !== CONNECTING_STATES.OPEN) return
    this.readyState = CONNECTING_STATES.CLOSING
    if (this._pump !== null) this._pump.expectEnd()
  }

  /** Whether all that was handed over is with the kernel by now; null: it is just being written. */
  _isWritten() {
    if (this._handle === 0) return false
    if (this._pump !== null) return this._pump.isWritten()
    return bridge.getEngine().flushConnection(this._handle)
  }

  /** The end has been heard of: what the engine has put off until then may follow what was sent. */
  _conclude() {
    if (this._handle === 0) return
    bridge.getEngine().concludeConnection(this._handle)
    if (this._pump !== null) this._pump.write()
    else bridge.scheduleFlush()
  }

  /**
   * Ends the connection so that the client reports an error: `response` is not a WebSocket frame. After a closing handshake
   * Socket.IO's client would wait for the open packet until its `timeout` (20 s), or for ever.
   */
  _refuse(response) {
    if (this.readyState !== CONNECTING_STATES.OPEN) return
    bridge.getEngine().refuseConnection(this._handle, Buffer.from(response))
    this._beginClosing()
  }

  _beginClosing() {
    this.readyState = CONNECTING_STATES.CLOSING
    bridge.scheduleFlush()
    if (this._pump === null) return
    this._pump.expectEnd()
    // one that no session has got is read all the same: its peer's part of the closing handshake, and its end
    if (this._transport === null) this._own()
  }

  /** Cuts the connection off. */
  terminate() {
    const socket = this._stream instanceof Carrier ? this._stream.alive() : undefined
    // its streams know then
    if (socket !== undefined && !socket.destroyed) socket.destroy()
    else this._cutOff(false)
  }

  /** What the socket does when it is destroyed. */
  _cutOff(isReset) {
    if (this._handle === 0) return
    this.readyState = CONNECTING_STATES.CLOSING
    if (isReset) bridge.getEngine().resetConnection(this._handle)
    else bridge.getEngine().terminateConnection(this._handle)
  }

  on(event, listener) {
    super.on(event, listener)
    if ((event === 'ping' || event === 'pong') && this._handle !== 0) bridge.getEngine().showControlFrames(this._handle)
    if (event !== 'message') return this
    const transport = this._transport
    const owner = transport === null ? null : transport[kOwner]
    if (owner !== null) owner._listenToAll()
    else if (transport === null) this._own()
    return this
  }

  addListener(event, listener) {
    return this.on(event, listener)
  }

  /** No session has the connection, and somebody wants its messages. */
  _own() {
    if (this._owned || this._handle === 0) return
    // messages of one that a client tries out for its session are the session's
    if (!bridge.getEngine().bindToOwner(this._handle)) return
    this._owned = true
    this._start()
  }

  /** The connection has got whom its messages are for: it is read from now on. */
  _start() {
    if (this._pump !== null) this._pump.start()
  }

  _onEvent(kind, arg, content) {
    switch (kind) {
      case Kind.DRAINED:
        this._onDrained()
        break
      case Kind.PIPE_READY:
        if (this._pump !== null) this._pump.write()
        else if (this._stream instanceof Carrier) this._stream.onRelayed()
        break
      case Kind.BYTES:
        this._stream.onBytes(content)
        break
      case Kind.CONTROL_FRAME:
        this.emit(arg === PING ? 'ping' : 'pong', content)
        break
      case Kind.CONNECTION_MESSAGE:
        this._onMessage(content)
        break
      case Kind.CONNECTION_CLOSED:
        this.readyState = CONNECTING_STATES.CLOSING
        this._conclude()
        if (arg === 1) this._onFault(content)
        break
      case Kind.CONNECTION_ENDED:
        this._ended(arg, content)
    }
  }

  /** A message of a connection that no session had when it came. */
  _onMessage(content = '') {
    if (this._transport !== null) this._transport.onData(content)
    if (this.listenerCount('message') > 0) this._show(content)
  }

  /** Shows a message to those who listen. */
  _show(content) {
    const isBinary = typeof content !== 'string'
    this.emit('message', isBinary ? content : Buffer.from(content), isBinary)
  }

  _onFault(message) {
    if (this._transport !== null && this._transport._isAlone()) this._transport.onError(message)
    if (this.listenerCount('error') > 0) this.emit('error', new Error(message))
  }

  /** Whether the application has ended our side of the stream, past the WebSocket. */
  _hasEndedStream() {
    return this._stream instanceof Carrier && this._stream.hasEnded
  }

  /** The error of what cannot be sent. */
  _notOpen() {
    if (this.readyState === CONNECTING_STATES.OPEN) return Object.assign(new Error('write after end'), { code: 'ERR_STREAM_WRITE_AFTER_END' })
    const name = Object.keys(CONNECTING_STATES)[this.readyState]
    return new Error(`WebSocket is not open: readyState ${this.readyState} (${name})`)
  }

  /** All that was handed over is written. */
  _onDrained() {
    const isAwaited = this._callBack() | (this._stream instanceof Carrier && this._stream.onDrained())
    const transport = this._transport
    if (transport !== null && (!isAwaited || transport._awaitsWriting())) transport._onWritten()
  }

  /** The connection is over, and its handle about to be given back, which lets the process end. */
  _beforeEnd() {
    if (this._stream instanceof Carrier) this._stream.onEnded()
    this._keepAlive(true)
  }

  _ended(arg, reason) {
    this.readyState = CONNECTING_STATES.CLOSED
    // a pump ends its stream itself
    if (this._pump === null && !(this._stream instanceof Carrier)) this._stream.destroy()
    const transport = this._transport
    const owner = transport === null ? null : transport[kOwner]
    // its session is told first
    if (owner !== null && owner._madeTransport() === transport && owner.readyState !== 'closed') this._end = { arg, reason }
    else this._finish(arg, reason)
  }

  /** The session on this connection has closed, and all know. */
  _afterSession() {
    const end = this._end
    if (end === undefined) return
    this._end = undefined
    this._finish(end.arg, end.reason)
  }

  _finish(arg, reason = EMPTY) {
    const code = arg & 0xffff
    if (this._sent !== undefined) this._callBack(new Error('The connection has ended before the data was written'))
    try {
      if (this._transport !== null && this._transport._isAlone()) this._transport.onClose()
      if (code !== NO_CLOSE_FRAME && this.listenerCount('close') > 0) this._closeFrameReceived = this._closeFrameSent = true
      this.emit('close', code, reason)
    } finally {
      if (this._stream instanceof Carrier) this._stream.finish(arg >>> 16)
    }
  }

  /** Whether the process stays alive for the connection's sake. */
  _keepAlive(keeps) {
    if (this._handle === 0 || this._keepsAlive === keeps) return
    this._keepsAlive = keeps
    if (keeps) bridge.hold()
    else bridge.release()
  }
}

Object.assign(NativeWebSocket.prototype, CONNECTING_STATES, {
  // what few set, or at the end only: a field of their own takes memory of every connection
  readyState: CONNECTING_STATES.OPEN,
  _pump: null,
  /** Messages come here, and not to a session. */
  _owned: false,
  _keepsAlive: true,
  /** The connection's end, while its session does not know of it. */
  _end: undefined,
  /** Who waits for what it has sent to be written. */
  _sent: undefined,
  // as those of `ws` on a server; the last two are what its code asks for, see lib/websocket-events.js
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

/** What is sent for `data`: a string is text, bytes are binary. */
function contentOf(data, isBinary) {
  if (typeof data === 'number') data = String(data)
  if (data === undefined || data === null) data = EMPTY
  if (typeof data === 'string') return isBinary ? Buffer.from(data) : data
  const bytes = ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data)
  return isBinary === false ? bytes.toString() : bytes
}

/** Refuses what `ws` refuses, with its errors; the connection stays open then. */
function checkClose(code, reason) {
  const isAssigned = code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006
  if (typeof code !== 'number' || !(isAssigned || (code >= 3000 && code <= 4999))) {
    throw new TypeError('First argument must be a valid error code number')
  }
  if (reason !== undefined && reason.length && Buffer.byteLength(reason) > MAX_REASON) {
    throw new RangeError('The message must not be greater than 123 bytes')
  }
}

function fail(done, error) {
  if (done) process.nextTick(done, error)
}

module.exports = { NativeWebSocket }
