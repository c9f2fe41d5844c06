'use strict'

// The net.Socket of a WebSocket whose bytes the engine carries. It goes on as a socket of Node's that applications, trackers,
// limiters and shutdown helpers can use: `carry` gives it a `Carrier` as its handle and `CarriedSocket` as its class.

const net = require('net')
const { performance } = require('perf_hooks')
const { setImmediate } = require('timers')
const { getSystemErrorName } = require('util')
const bridge = require('./bridge')
const { atRoot, capture } = require('./context')
const {
  handleOf,
  hasEnded,
  hasListenersBesides,
  leaveServer,
  markEnded,
  markRead,
  putHandle,
  serverOf,
} = require('./node-internals')
const { kCutOff, kKeepAlive, kOnStreamClosed, kState } = require('../base/symbols')

/** Why a connection has ended, as in `End` of src/runtime/channel/connection.rs. */
const PEER_ENDED = 3
const CLOSED = 4
const PEER_FOLLOWED = 5
const READ_FAILED = 0x4000
const WRITE_FAILED = 0x8000
const ERRNO = 0x3fff

/** The arguments of `traffic`. */
const READ = 0
const WRITTEN = 1

/** The methods of net.Socket that the bytes pass, before anybody could replace them. */
const { write, destroy, push, on, _write, _writev } = net.Socket.prototype

/**
 * What net.Socket takes for its handle: it has the members that Node's `net` module, from version 18 to 26, asks for, and
 * none of a binding. One per connection.
 */
class Carrier {
  /** @param {net.Socket} socket with the handle of libuv's */
  constructor(socket) {
    const tcp = handleOf(socket)
    /** The connection. */
    this.websocket = null
    /** Node's server, which counts the connection until the socket is destroyed or, if that is collected, the connection over. */
    this.server = serverOf(socket)
    /** The peer's address, for who asks after the socket has been collected. */
    this.address = socket.remoteAddress
    // until the connection has ended, what libuv has carried; then everything
    this.read = tcp.bytesRead
    this.written = tcp.bytesWritten
    /** Whether `net` waits for bytes: it calls `readStart` only if not. */
    this.reading = false
    this.closing = false
    /** The socket, while somebody listens to it; else it can be collected. */
    this.socket = null
    this.weak = null
  }

  // ---- what Node asks of a handle ------------------------------------------------------------

  get bytesRead() {
    return this.read + this._traffic(READ)
  }

  get bytesWritten() {
    return this.written + this._traffic(WRITTEN)
  }

  /** Bytes that the kernel does not take yet: all others are written by now. */
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

  /** The times are in seconds. */
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

  /** Somebody wants the bytes that come in. */
  readStart() {
    if (this._isOver()) return 0
    const engine = bridge.getEngine()
    engine.tap(this._connection(), true)
    engine.stopReading(this._connection(), false)
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
   * Before a process sends a handle to another, Node takes this member away; to be handed over, and be no handle of a binding,
   * would abort the process.
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
    // Node sees to the server's count where a socket is destroyed
    this.server = null
    // libuv calls back in a later phase of the event loop, too
    if (done) atRoot(setImmediate, emitClose, this, done)
  }

  _connection() {
    return this.websocket[kState].handle
  }

  _isOver() {
    return this.websocket[kState].handle === 0
  }

  /** Whether anything has come in since the upgrade. */
  hasRead() {
    return this._hasRead || this._traffic(READ) > 0
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

  /** Somebody listens: the socket must not be collected before it has told, and is the one that tells of the end. */
  hold(socket) {
    if (this.socket !== null) return
    this.socket = socket
    // where `ws` has its listener: behind those that are there, and before those that come
    if (!this.hasClosed) on.call(socket, 'close', () => this._onClose())
  }

  /** The socket emits `close`, or has done so. */
  _onClose() {
    if (this.hasClosed) return
    this.hasClosed = true
    if (this.socket !== null) this.websocket[kOnStreamClosed]()
  }

  /** The same, and who wants the bytes gets those that come from now on. */
  onListener(socket, event) {
    this.hold(socket)
    if ((event === 'data' || event === 'readable') && !this._isOver()) bridge.getEngine().tap(this._connection(), true)
  }

  /** Writes behind what the session has sent. There is one such write at a time. */
  writeRaw(bytes, done) {
    // the engine does not know of it; a socket of Node's has been written to
    if (bytes.length === 0) this._touched = performance.now()
    this._await(done)
    this._pending = bytes.length
    this.lookForReplacement()
    if (this._isOver() || !bridge.getEngine().writeRaw(this._connection(), bytes))
      return process.nextTick(() => this._settle(brokenPipe()))
    bridge.scheduleFlush()
  }

  /** The application ends this side of the stream: nothing of the session's follows. */
  refuseFrames() {
    if (this.hasEnded || this._isOver()) return
    this.hasEnded = true
    if (this.relays) this.onRelayed()
    bridge.getEngine().refuseFrames(this._connection())
  }

  /** Ends this side of the stream behind what waits. */
  endStream(done) {
    this._await(done)
    const isOver = this._isOver() || !bridge.getEngine().endStream(this._connection())
    // libuv calls back in a later phase of the event loop
    if (isOver && this._endsLast) atRoot(setImmediate, () => this._settle())
    else if (isOver) this._settle()
    if (isOver) return
    bridge.scheduleFlush()
  }

  /** `done` is called back in the caller's context. */
  _await(done) {
    const context = capture()
    this._done = (error) => context.runInAsyncScope(done, undefined, error)
  }

  /** Calls back who waits. */
  _settle(error) {
    const done = this._done
    this._done = undefined
    this._pending = 0
    if (done) done(error)
  }

  stopReading(stop) {
    if (!this._isOver()) bridge.getEngine().stopReading(this._connection(), stop)
  }

  /** For how many ms nothing has been read or written; noted from the first call on. */
  idle() {
    return this._isOver() ? 0 : Math.min(bridge.getEngine().idle(this._connection()), performance.now() - this._touched)
  }

  /** Has what the session sends pass `socket.write`. */
  relay(socket) {
    this.hold(socket)
    if (this._isOver()) return
    this.relays = true
    bridge.getEngine().relay(this._connection())
  }

  /**
   * Somebody takes one of the methods that bytes pass: to put another in its place, perhaps, by `defineProperty`, which tells
   * nobody. That is looked for before anything is written that is sent from now on.
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

  /** `ws` hears of an error, after which it sends nothing. */
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

  // ---- what NativeWebSocket asks -------------------------------------------------------------

  /** The socket, as long as there is one. */
  alive() {
    return this.socket !== null ? this.socket : this.weak.deref()
  }

  /** The net.Socket, or what is known of it. */
  below() {
    return this.alive() || { remoteAddress: this.address }
  }

  /** Whether the socket is still to close: where somebody listens, to emit `close`; else the connection's end is enough. */
  awaitsClose() {
    return this.socket !== null ? !this.hasClosed : !this._isOver()
  }

  /** Whether an end of this kind followed all that the peer had to say. */
  isOrderly(end) {
    return end === PEER_ENDED || end === CLOSED || end === PEER_FOLLOWED
  }

  /** The socket has not closed for long: its `close` is not waited for any more. */
  giveUp() {
    this.hasClosed = true
    destroy.call(this.socket)
  }

  /** All that was handed over is written. Whether somebody has waited for it here. */
  onDrained() {
    if (this._done === undefined) return false
    this._settle()
    return true
  }

  /** Frames are to pass the application's `write`. */
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

  /** The connection is over; its number is about to be forgotten. */
  onEnded() {
    if (this.closing) return
    const read = this._traffic(READ)
    if (read > 0) this._hasRead = true
    this.read += read
    this.written = this.bytesWritten
  }

  /** It has been forgotten. */
  onReleased(end) {
    // nobody hears of it: who looks when the session closes sees a socket that is destroyed
    if (this.socket === null || this.socket.destroyed) this.finish(end)
  }

  /** The socket ends as the connection has. */
  finish(end) {
    const socket = this.alive()
    if (socket === undefined) return this._leaveServer()
    if (socket.destroyed) return this._settle()
    const error = errorOf(end)
    if (this._done !== undefined) this._settle(error || (end === CLOSED ? undefined : brokenPipe()))
    if (!this.isOrderly(end)) return socket.destroy(error)
    if (this.socket === null) {
      // nobody hears the events; who holds it sees that both sides have ended
      markEnded(socket)
      return socket.destroy()
    }
    if (end !== PEER_ENDED) socket.end()
    if (!hasEnded(socket)) {
      socket.push(null)
      socket.read(0)
    }
    if (end !== PEER_ENDED) return
    this._endsLast = true
    socket.end()
  }
}

// what few connections ever set: a field of their own takes memory of every one
Object.assign(Carrier.prototype, {
  /** Who waits for bytes to be written, or for the end of the stream. */
  _done: undefined,
  /** The number of these bytes. */
  _pending: 0,
  /** Whether the application has ended this side of the stream. */
  hasEnded: false,
  /** Whether frames pass the application's `write`. */
  relays: false,
  /** Whether anything has come in since the upgrade, once the connection has ended. */
  _hasRead: false,
  /** When nothing was written, which counts as traffic. */
  _touched: -Infinity,
  /** Whether somebody has taken one of the methods that bytes pass, in this tick. */
  _isSuspect: false,
  /** Whether the peer has ended its side first. */
  _endsLast: false,
  /** The idle time when `timeout` was emitted last is part of the current one. */
  _toldIdle: false,
  /** Whether the socket has emitted `close`. */
  hasClosed: false,
})

/**
 * A net.Socket on a `Carrier`. Never constructed: sockets become one.
 */
class CarriedSocket extends net.Socket {
  // the only places where Node would ask a binding to write

  _writeGeneric(isMany, data, encoding, done) {
    const carrier = this._handle
    if (!carrier) return super._writeGeneric(isMany, data, encoding, done)
    const bytes = isMany
      ? Buffer.concat(data.map(({ chunk, encoding }) => toBytes(chunk, encoding)))
      : toBytes(data, encoding)
    carrier.writeRaw(bytes, done)
  }

  _final(done) {
    const carrier = this._handle
    if (!carrier) return done()
    carrier.endStream(done)
  }

  end(...args) {
    if (this._handle) this._handle.refuseFrames()
    return super.end(...args)
  }

  /** `ws` listens to the errors of its sockets, and ends their connections. */
  emit(event, ...args) {
    if (event !== 'error') return super.emit(event, ...args)
    if (this._handle) this._handle.fail()
    const isHeard = this.listenerCount('error') > 0
    if (isHeard) super.emit(event, ...args)
    this.destroy()
    return true
  }

  resetAndDestroy() {
    // Node's own insists on a handle of a binding's
    return this._handle ? this._reset() : super.resetAndDestroy()
  }

  /** `ws` listens to the errors of its sockets: one that nobody else listens to is not uncaught. */
  _destroy(error, done) {
    // remembered
    void this.readableDidRead
    if (error && this._handle) process.nextTick(fail, this._handle)
    if (!error) return super._destroy(error, done)
    super._destroy(error, (failure) => done(this.listenerCount('error') > 0 ? failure : null))
  }

  setTimeout(ms, listener) {
    if (ms > 0 && this._handle) this._handle.idle()
    return super.setTimeout(ms, listener)
  }

  /** The engine knows of traffic: it is asked when the time has come. */
  _onTimeout() {
    const carrier = this._handle
    const limit = this.timeout
    if (!carrier || !(limit > 0)) return
    const idle = carrier.idle()
    const isOver = idle >= limit
    // once for each time that there is silence
    const tells = isOver && !(carrier._toldIdle && idle >= limit * 2 - 1)
    carrier._toldIdle = isOver
    super.setTimeout(isOver ? limit : limit - idle)
    this.timeout = limit
    if (tells) this.emit('timeout')
  }

  on(event, listener) {
    if (this._handle) this._handle.onListener(this, event)
    return super.on(event, listener)
  }

  addListener(event, listener) {
    return this.on(event, listener)
  }

  prependListener(event, listener) {
    if (this._handle) this._handle.onListener(this, event)
    super.prependListener(event, listener)
    // `ws` has been reading when such a listener comes: nobody else begins
    if (event === 'data' && this.readableFlowing !== false) this.resume()
    return this
  }

  pause() {
    if (this._handle) this._handle.stopReading(true)
    return super.pause()
  }

  resume() {
    if (this._handle) this._handle.stopReading(false)
    return super.resume()
  }

  /** `ws` reads its sockets. */
  get readableFlowing() {
    const flowing = super.readableFlowing
    return flowing === null ? true : flowing
  }

  set readableFlowing(flowing) {
    super.readableFlowing = flowing
  }

  get readableDidRead() {
    const carrier = this._handle
    if (carrier && carrier.hasRead()) markRead(this)
    return super.readableDidRead
  }

  get writableLength() {
    const carrier = this._handle
    return super.writableLength + (carrier ? carrier.writeQueueSize - carrier._pending : 0)
  }
}

Object.defineProperty(CarriedSocket, 'name', { value: 'Socket' })
CarriedSocket.prototype.constructor = net.Socket
// what it is after `setTimeout(0)`, which `ws` calls
CarriedSocket.prototype.timeout = 0

/** The methods that bytes pass on their way out. */
const PASSED = ['write', '_write', '_writev', '_writeGeneric']

/** Carriers of sockets that somebody has taken such a method of. */
let suspects = []

bridge.beforeFlush(() => {
  if (suspects.length === 0) return
  const list = suspects
  suspects = []
  for (const carrier of list) carrier.lookForReplacement()
})

/** Whether a socket has a method of its own that is not Node's: Node replaces `write` of one that may not be half open. */
function isReplaced(socket, name) {
  return Object.hasOwn(socket, name) && !(name === 'write' && socket.write.name === 'writeAfterFIN')
}

/** Has who puts a function in the place of a method see the bytes from then on. */
function noticeReplacement(name, original, notice) {
  const isPassed = PASSED.includes(name)
  Object.defineProperty(CarriedSocket.prototype, name, {
    configurable: true,
    enumerable: false,
    get() {
      if (isPassed && this._handle) this._handle.suspect()
      return original
    },
    set(value) {
      Object.defineProperty(this, name, { value, writable: true, configurable: true, enumerable: true })
      if (this._handle) notice(this)
    },
  })
}

noticeReplacement('write', write, (socket) => isReplaced(socket, 'write') && socket._handle.relay(socket))
noticeReplacement('_write', _write, (socket) => socket._handle.relay(socket))
noticeReplacement('_writev', _writev, (socket) => socket._handle.relay(socket))
noticeReplacement('_writeGeneric', CarriedSocket.prototype._writeGeneric, (socket) => socket._handle.relay(socket))
noticeReplacement('emit', CarriedSocket.prototype.emit, watchData)
noticeReplacement('push', push, watchData)
// these are called at the end: the socket must be there by then
noticeReplacement('end', CarriedSocket.prototype.end, (socket) => socket._handle.hold(socket))
noticeReplacement('destroy', destroy, (socket) => socket._handle.hold(socket))

function watchData(socket) {
  socket._handle.onListener(socket, 'data')
  socket.resume()
}

/** Listens while an upgrade is judged; to nobody's knowledge. */
function onEarlyError() {}

/**
 * The engine has taken over what is below a socket: it goes on as a `CarriedSocket`. Returns its carrier.
 *
 * @param {net.Socket} socket a pristine one, which has got all the properties that it will ever have: up to Node 22, V8 makes a
 * hidden class of its own, of 1 KiB, for an object that gets one after its prototype has changed
 */
function carry(socket) {
  const carrier = new Carrier(socket)
  if (hasListenersBesides(socket, onEarlyError)) carrier.hold(socket)
  else carrier.weak = new WeakRef(socket)
  const tcp = putHandle(socket, carrier)
  Object.setPrototypeOf(socket, CarriedSocket.prototype)
  if (Object.hasOwn(socket, 'on')) {
    // the HTTP server's, which would hide ours
    const { on, addListener, prependListener } = CarriedSocket.prototype
    socket.on = on
    socket.addListener = addListener
    socket.prependListener = prependListener
  }
  tcp.close()
  return carrier
}

function fail(carrier) {
  carrier.fail()
}

/** `done` emits `close`; a listener may throw, and others may have been removed. */
function emitClose(carrier, done) {
  try {
    done()
  } finally {
    carrier._onClose()
  }
}

function toBytes(chunk, encoding) {
  return typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk
}

function brokenPipe() {
  return Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' })
}

/** The error of an end that is one. */
function errorOf(end) {
  if (end < READ_FAILED) return undefined
  const errno = -(end & ERRNO)
  const syscall = end >= WRITE_FAILED ? 'write' : 'read'
  let code
  try {
    code = getSystemErrorName(errno)
  } catch {
    // none that has a name
    code = 'EIO'
  }
  return Object.assign(new Error(`${syscall} ${code}`), { errno, code, syscall })
}

module.exports = { Carrier, carry, onEarlyError }
