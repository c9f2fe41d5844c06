'use strict'

const net = require('net')
const { performance } = require('perf_hooks')
const { setImmediate } = require('timers')
const { getSystemErrorName } = require('util')
const bridge = require('./bridge')
const { Direction, ERRNO_MASK, EndCode, NO_HANDLE } = require('./contract')
const { atRoot, capture } = require('./context')
const { handleOf, hasEnded, leaveServer, markEnded, serverOf } = require('./node-internals')
const { StreamBelow } = require('./stream-below')
const { kCutOff, kKeepAlive, kOnStreamClosed, kState } = require('../base/symbols')

/** Methods of net.Socket, taken before an application can replace them. */
const { destroy, on } = net.Socket.prototype

/**
 * The handle of the net.Socket of a WebSocket whose bytes the engine carries. It has the members that Node's `net` module of versions 20 to 26 uses, but it is not
 * an object of a binding. Each connection has one.
 */
class Carrier extends StreamBelow {
  /** @param {net.Socket} socket a socket with its handle of libuv */
  constructor(socket) {
    super()
    const tcp = handleOf(socket)
    /** The connection. */
    this.websocket = null
    /**
     * Node's server, which counts the connection until the socket is destroyed or, if it was collected, until the
     * connection ends.
     */
    this.server = serverOf(socket)
    /** The peer's address, which outlives the socket. */
    this.address = socket.remoteAddress
    // until the connection has ended: the bytes that libuv has carried; then all bytes
    this.read = tcp.bytesRead
    this.written = tcp.bytesWritten
    /** Whether `net` waits for bytes. It calls `readStart` only if this is false. */
    this.reading = false
    this.closing = false
    /** The socket while it has listeners; otherwise null, so that it can be collected. */
    this.socket = null
    this.weak = null
  }

  // ---- what Node asks of a handle ------------------------------------------------------------

  get bytesRead() {
    return this.read + this._traffic(Direction.READ)
  }

  get bytesWritten() {
    return this.written + this._traffic(Direction.WRITTEN)
  }

  /** Number of bytes that the kernel has not taken. What can be written is written before. */
  get writeQueueSize() {
    return this._isOver() ? 0 : bridge.getEngine().refusedAmount(this._connection())
  }

  get fd() {
    return -1
  }

  getAsyncId() {
    return 0
  }

  getpeername(out) {
    return this._name(out, 'peerName')
  }

  getsockname(out) {
    return this._name(out, 'localName')
  }

  setNoDelay(on) {
    return this._isOver() ? 0 : bridge.getEngine().setNoDelay(this._connection(), Boolean(on))
  }

  /** Sets keep-alive; the times are in seconds. */
  setKeepAlive(on, delay = 0, interval = 0, count = 0) {
    return this._isOver() ? 0 : bridge.getEngine().setKeepAlive(this._connection(), Boolean(on), delay, interval, count)
  }

  setTypeOfService(value) {
    return this._isOver() ? 0 : bridge.getEngine().setTypeOfService(this._connection(), value)
  }

  getTypeOfService() {
    return this._isOver() ? 0 : bridge.getEngine().typeOfService(this._connection())
  }

  ref() {
    this.websocket[kKeepAlive](true)
  }

  unref() {
    this.websocket[kKeepAlive](false)
  }

  hasRef() {
    return this.websocket[kState].keepsAlive
  }

  /**
   * Goes on reading. It delivers no bytes: listeners that want them have asked for them (`onListener`), and without one
   * they would stay in the buffer of `net`, which asks for more where bytes were put back by `unshift`.
   */
  readStart() {
    if (!this._isOver()) bridge.getEngine().stopReading(this._connection(), false)
    return 0
  }

  readStop() {
    this.stopReading(true)
    return 0
  }

  close(done) {
    this.websocket[kCutOff](false)
    this._closed(done)
  }

  reset(done) {
    this.websocket[kCutOff](true)
    this._closed(done)
    return 0
  }

  /**
   * Refuses to be sent to another process. Node clears this member of a handle before it sends it. Sending an object
   * that is not a handle of a binding would abort the process.
   */
  set onread(_) {
    if (!this.closing)
      throw Object.assign(new TypeError('This handle type cannot be sent'), { code: 'ERR_INVALID_HANDLE_TYPE' })
  }

  get onread() {
    return undefined
  }

  _closed(done) {
    this.closing = true
    // Node itself updates the server's count when a socket is destroyed
    this.server = null
    // libuv calls back in a later phase of the event loop, too
    if (done) atRoot(setImmediate, emitClose, this, done)
  }

  _connection() {
    return this.websocket[kState].handle
  }

  _isOver() {
    return this.websocket[kState].handle === NO_HANDLE
  }

  /** Returns whether anything has come in since the upgrade. */
  hasRead() {
    return this._hasRead || this._traffic(Direction.READ) > 0
  }

  _traffic(direction) {
    return this._isOver() ? 0 : bridge.fast.traffic(this._connection(), direction)
  }

  _name(out, method) {
    const name = this._isOver() ? null : bridge.getEngine()[method](this._connection())
    if (name) Object.assign(out, name)
    return 0
  }

  _leaveServer() {
    const { server } = this
    if (!server) return
    this.server = null
    leaveServer(server)
  }

  // ---- what CarriedSocket asks ---------------------------------------------------------------

  /** Keeps the socket from being collected because it has a listener. The socket then reports the end. */
  hold(socket) {
    if (this.socket !== null) return
    this.socket = socket
    // this is where `ws` has its listener: behind those that exist, and before later ones
    if (!this.hasClosed) on.call(socket, 'close', () => this._onClose())
  }

  /** Called when the socket emits `close`. */
  _onClose() {
    if (this.hasClosed) return
    this.hasClosed = true
    if (this.socket !== null) this.websocket[kOnStreamClosed]()
  }

  /** Keeps the socket for a new listener. A listener that wants the bytes gets those that come from now on. */
  onListener(socket, event) {
    this.hold(socket)
    if ((event === 'data' || event === 'readable') && !this._isOver()) bridge.getEngine().tap(this._connection(), true)
  }

  /** Writes bytes behind those that the session has sent. Only one such write is in progress at a time. */
  writeRaw(bytes, done) {
    // the engine does not hear of an empty write, but Node counts it as traffic
    if (bytes.length === 0) this._touched = performance.now()
    this._await(done)
    this._pending = bytes.length
    this.lookForReplacement()
    if (this._isOver() || !bridge.getEngine().writeRaw(this._connection(), bytes))
      return process.nextTick(() => this._settle(brokenPipe()))
    bridge.scheduleFlush()
  }

  /** Refuses further frames of the session, because the application ends this side of the stream. */
  refuseFrames() {
    if (this.hasEnded || this._isOver()) return
    this.hasEnded = true
    if (this.relays) this.onRelayed()
    bridge.getEngine().refuseFrames(this._connection(), false)
  }

  /** Ends this side of the stream behind the bytes that wait. */
  endStream(done) {
    this._await(done)
    const isOver = this._isOver() || !bridge.getEngine().endStream(this._connection())
    // libuv calls back in a later phase of the event loop
    if (isOver && this._endsLast) atRoot(setImmediate, () => this._settle())
    else if (isOver) this._settle()
    if (isOver) return
    bridge.scheduleFlush()
  }

  /** Has `done` called back in the caller's context. */
  _await(done) {
    const context = capture()
    this._done = (error) => context.runInAsyncScope(done, undefined, error)
  }

  /** Calls the callback that waits. */
  _settle(error) {
    const done = this._done
    this._done = undefined
    this._pending = 0
    if (done) done(error)
  }

  stopReading(stop) {
    if (!this._isOver()) bridge.getEngine().stopReading(this._connection(), stop)
  }

  /** Returns for how many ms nothing has been read or written. Traffic is noted from the first call on. */
  idle() {
    return this._isOver() ? 0 : Math.min(bridge.getEngine().idle(this._connection()), performance.now() - this._touched)
  }

  /** Has the session's frames pass `socket.write`. */
  relay(socket) {
    this.hold(socket)
    if (this._isOver()) return
    this.relays = true
    bridge.getEngine().relay(this._connection())
  }

  /**
   * Notes that the application has read one of the methods that bytes pass. It may be about to replace it by
   * `defineProperty`, which cannot be noticed. So replacements are looked for before anything that is sent from now on
   * is written.
   */
  suspect() {
    if (this.relays || this._isSuspect || this._isOver()) return
    this._isSuspect = true
    const engine = bridge.getEngine()
    engine.flushConnection(this._connection())
    engine.relay(this._connection())
    suspects.push(this)
    bridge.scheduleFlush()
  }

  /** Handles an error as `ws` does, which sends nothing afterwards. */
  fail() {
    const { websocket } = this
    if (websocket.readyState === websocket.OPEN) websocket.readyState = websocket.CLOSING
  }

  lookForReplacement() {
    if (!this._isSuspect) return
    this._isSuspect = false
    const socket = this.alive()
    if (this.relays || this._isOver()) return
    if (socket !== undefined && PASSED.some((name) => isReplaced(socket, name))) this.relay(socket)
    else bridge.getEngine().unrelay(this._connection())
  }

  // ---- what the connection tells and asks, see `StreamBelow` ------------------------------

  alive() {
    return this.socket !== null ? this.socket : this.weak.deref()
  }

  endedSocket() {
    return this.hasEnded || this.closing ? this.alive() : undefined
  }

  /** Returns the net.Socket, or what is known of it. */
  below() {
    return this.alive() || { remoteAddress: this.address }
  }

  /**
   * Returns whether the socket's close is still to come: its `close` event if it has listeners, otherwise the
   * connection's end.
   */
  awaitsClose() {
    return this.socket !== null ? !this.hasClosed : !this._isOver()
  }

  isOrderly(end) {
    return end === EndCode.PEER_ENDED || end === EndCode.CLOSED || end === EndCode.PEER_FOLLOWED
  }

  hasClosedUnheard() {
    return this.socket !== null && this.socket.closed
  }

  giveUp() {
    this.hasClosed = true
    destroy.call(this.socket)
  }

  onDrained() {
    if (this._done !== undefined) this._settle()
  }

  onPipeReady() {
    this.onRelayed()
  }

  /** Called when the engine passes frames to the application's `write`. */
  onRelayed() {
    this.lookForReplacement()
    if (!this.relays) return
    const { bytes, ends } = bridge.getEngine().takeRelayed(this._connection())
    const socket = this.alive()
    if (socket === undefined || socket.destroyed) return
    if (bytes.length > 0 && socket.writable) socket.write(bytes)
    if (ends) socket.end()
  }

  onBytes(bytes) {
    const socket = this.alive()
    if (socket === undefined || socket.destroyed || hasEnded(socket) || socket.push(bytes)) return
    this.reading = false
    this.readStop()
  }

  onEnded() {
    if (this.closing) return
    const read = this._traffic(Direction.READ)
    if (read > 0) this._hasRead = true
    this.read += read
    this.written = this.bytesWritten
  }

  onReleased(end) {
    // the socket has no listeners; code that looks at it when the session closes sees it destroyed
    if (this.socket === null || this.socket.destroyed) this.endAs(end)
  }

  /** Ends the socket in the way in which the connection has ended. */
  endAs(end) {
    const socket = this.alive()
    if (socket === undefined) return this._leaveServer()
    if (socket.destroyed) return this._settle()
    const error = errorOf(end)
    if (this._done !== undefined) this._settle(error || (end === EndCode.CLOSED ? undefined : brokenPipe()))
    if (!this.isOrderly(end)) return socket.destroy(error)
    if (this.socket === null) {
      // there are no listeners; code that holds the socket sees that both sides have ended
      markEnded(socket)
      return socket.destroy()
    }
    if (end !== EndCode.PEER_ENDED) socket.end()
    if (!hasEnded(socket)) {
      socket.push(null)
      socket.read(0)
    }
    if (end !== EndCode.PEER_ENDED) return
    this._endsLast = true
    socket.end()
  }
}

// defaults of fields that few connections set: own fields would cost every connection memory
Object.assign(Carrier.prototype, {
  /** The callback that waits for bytes to be written, or for the end of the stream. */
  _done: undefined,
  /** Number of bytes that the callback waits for. */
  _pending: 0,
  /** Whether frames pass the application's `write`. */
  relays: false,
  /** Whether anything has come in since the upgrade, once the connection has ended. */
  _hasRead: false,
  /** The time of the last empty write, which counts as traffic. */
  _touched: -Infinity,
  /** Whether the application has read one of the methods that bytes pass, in this tick. */
  _isSuspect: false,
  /** Whether the peer has ended its side first. */
  _endsLast: false,
  /** Whether `timeout` was emitted in the current time of silence. */
  _toldIdle: false,
  /** Whether the socket has emitted `close`. */
  hasClosed: false,
})

/** Methods that bytes pass on their way out. */
const PASSED = ['write', '_write', '_writev', '_writeGeneric']

/** Carriers of sockets of which the application has read such a method. */
let suspects = []

bridge.beforeFlush(() => {
  if (suspects.length === 0) return
  const list = suspects
  suspects = []
  for (const carrier of list) carrier.lookForReplacement()
})

/**
 * Returns whether a method of a socket was replaced by other code than Node's. Node itself replaces `write` of sockets
 * that may not be half open.
 */
function isReplaced(socket, name) {
  return Object.hasOwn(socket, name) && !(name === 'write' && socket.write.name === 'writeAfterFIN')
}

/** Calls `done`, which emits `close`. A listener may throw, and listeners of ours may have been removed. */
function emitClose(carrier, done) {
  try {
    done()
  } finally {
    carrier._onClose()
  }
}

function brokenPipe() {
  return Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' })
}

/** Returns the error of an end that is an error. */
function errorOf(end) {
  if (end < EndCode.READ_FAILED) return undefined
  const errno = -(end & ERRNO_MASK)
  const syscall = end >= EndCode.WRITE_FAILED ? 'write' : 'read'
  let code
  try {
    code = getSystemErrorName(errno)
  } catch {
    // an errno without a name
    code = 'EIO'
  }
  return Object.assign(new Error(`${syscall} ${code}`), { errno, code, syscall })
}

module.exports = { Carrier, PASSED, isReplaced }
