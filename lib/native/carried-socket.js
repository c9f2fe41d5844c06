'use strict'

// The net.Socket of a WebSocket whose bytes the engine carries. Applications, trackers, limiters and shutdown helpers
// can go on using it as a socket of Node's: `carry` gives it a `Carrier` (carrier.js) as its handle and
// `CarriedSocket` as its class.

const net = require('net')
const { Carrier, PASSED, isReplaced } = require('./carrier')
const { hasListenersBesides, markRead, putHandle } = require('./node-internals')

/** The methods of net.Socket that the bytes pass, taken before an application can replace them. */
const { write, destroy, push, _write, _writev } = net.Socket.prototype

/**
 * A net.Socket on a `Carrier`. It is never constructed: `carry` changes the class of a socket.
 */
class CarriedSocket extends /** @type {typeof import('../../types/bases').SocketBase} */ (net.Socket) {
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

  /** Handles an emitted `error` as `ws` does, which listens for errors of its sockets and ends their connections. */
  emit(event, ...args) {
    if (event !== 'error') return super.emit(event, ...args)
    if (this._handle) this._handle.fail()
    const isHeard = this.listenerCount('error') > 0
    if (isHeard) super.emit(event, ...args)
    this.destroy()
    return true
  }

  resetAndDestroy() {
    // Node's own method requires a handle of a binding
    return this._handle ? this._reset() : super.resetAndDestroy()
  }

  /**
   * Destroys the socket. As `ws` listens for errors of its sockets, an error without another listener is not uncaught.
   */
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

  /** Asks the engine for the last traffic when the timeout has passed. */
  _onTimeout() {
    const carrier = this._handle
    const limit = this.timeout
    if (!carrier || !(limit > 0)) return
    const idle = carrier.idle()
    const isOver = idle >= limit
    // `timeout` is emitted once for each time of silence
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
    // with `ws` the stream flows already when such a listener comes
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

  /** The stream flows, because `ws` reads its sockets. */
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
// the value after `setTimeout(0)`, which `ws` calls
CarriedSocket.prototype.timeout = 0

/** Notices when a method is replaced, so that the replacement sees the bytes from then on. */
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
// these are called at the end, so that the socket must not be collected before
noticeReplacement('end', CarriedSocket.prototype.end, (socket) => socket._handle.hold(socket))
noticeReplacement('destroy', destroy, (socket) => socket._handle.hold(socket))

function watchData(socket) {
  socket._handle.onListener(socket, 'data')
  socket.resume()
}

/** Ignores errors of a socket while its upgrade is checked. */
function onEarlyError() {}

/**
 * Makes a socket a `CarriedSocket` after the engine has taken its descriptor over. Returns its carrier.
 *
 * @param {net.Socket} socket a pristine one, which has got all the properties that it will ever have: up to Node 22, V8
 *   makes a hidden class of its own, of 1 KiB, for an object that gets one after its prototype has changed
 */
function carry(socket) {
  const carrier = new Carrier(socket)
  if (hasListenersBesides(socket, onEarlyError)) carrier.hold(socket)
  else carrier.weak = new WeakRef(socket)
  const tcp = putHandle(socket, carrier)
  Object.setPrototypeOf(socket, CarriedSocket.prototype)
  if (Object.hasOwn(socket, 'on')) {
    // the HTTP server has set methods of its own, which would hide those of the class
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

function toBytes(chunk, encoding) {
  return typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk
}

module.exports = { carry, onEarlyError }
