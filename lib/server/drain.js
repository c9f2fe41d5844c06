'use strict'

// `server.drain()`: a server that is about to stop lets its clients go little by little, see docs/OPERATIONS.md. New
// handshakes get a 503, which lib/transports/errors.js writes.

const { performance } = require('perf_hooks')
const { setImmediate } = require('timers')
const debug = require('debug')('engine')
const { apart, atRoot } = require('../native/context')
const { DRAINING, NO_CLOSE_FRAME, ReasonText } = require('../native/contract')
const { ownOf } = require('../base/options')
const { isPlainObject, shown } = require('../base/shown')
const { carriesPolls, driverOf } = require('../transports/driver')
const { kMadeTransport, kState } = require('../base/symbols')

const DEFAULT_TIMEOUT = 10_000

/** The longest delay of a timer. */
const MAX_DELAY = 2 ** 31 - 1

/** The `readyState` of a WebSocket whose connection has ended. */
const CLOSED = 3

/** The one drain of a server. */
class Drain {
  /** @param {{timeout: number, spread: number}} options those that `optionsOf` returns */
  constructor(server, options) {
    const { timeout, spread } = options
    this._server = server
    this._timeout = timeout
    this._spread = spread
    this._began = performance.now()
    /** The open sessions; the value of those that the drain has begun to close is the poll's response, or null. */
    this._open = new Map()
    /** Ended sessions whose last bytes are not written yet: functions that cut their connections off. */
    this._unwritten = new Set()
    /** The sessions that are to be closed, in this order, and the first of them that is still to come. */
    this._queue = []
    this._next = 0
    this._isExpired = false
    this._isDone = false
    this._outcome = { sessions: 0, closed: 0, left: 0, terminated: 0, duration: 0 }
    this.promise = new Promise((resolve) => {
      this._resolve = resolve
    })
  }

  /**
   * Checks the argument of `drain()`.
   *
   * @throws {TypeError | RangeError}
   */
  static optionsOf(given = {}) {
    if (!isPlainObject(given)) {
      throw new TypeError(`drain() takes an object { timeout, spread }, got ${shown(given)}`)
    }
    for (const name of Object.keys(given)) {
      if (name !== 'timeout' && name !== 'spread') {
        throw new TypeError(`the option ${name} of drain() is unknown; the options are timeout and spread`)
      }
    }
    const options = ownOf(given)
    const { timeout = DEFAULT_TIMEOUT } = options
    checkTime('timeout', timeout)
    const { spread = timeout / 2 } = options
    checkTime('spread', spread)
    if (spread > timeout) {
      throw new RangeError(`the option spread of drain() must not exceed timeout (${timeout}), got ${spread}`)
    }
    return { timeout, spread }
  }

  start() {
    debug('draining: new sessions are refused')
    const sessions = this._server[kState].clients.all()
    for (const socket of sessions) {
      this._count(socket)
      // the answer to a poll that waits ends its connection, as to those that come from now on
      const poll = pollOf(socket)
      if (poll !== null) this._server[kState].cluster?.endIfLeaving(poll)
    }
    this._queue = sessions
    this._expiry = atRoot(setTimeout, () => this._expire(), this._timeout)
    this._server[kState].cluster?.drain(this._spread, () => this._settle())
    this._plan()
    this._settle()
    return this
  }

  /** Milliseconds until the drain's end at the latest; less than 0 after that. */
  get left() {
    return this._timeout - this._elapsed()
  }

  /** Why a handshake is refused: the context of its `connection_error`, which gets a 503. */
  refusal() {
    const retryAfter = Math.max(1, Math.ceil(this.left / 1000))
    return { name: 'DRAINING', message: DRAINING, retryAfter }
  }

  _count(socket) {
    this._open.set(socket, undefined)
    this._outcome.sessions++
  }

  // ---- closing sessions little by little -----------------------------------------------------

  /** Waits for the time of the next session: a random one in its share of `spread`. */
  _plan() {
    if (this._next >= this._queue.length || this._isDone) return
    const due = (this._spread * (this._next + Math.random())) / this._queue.length
    this._timer = atRoot(setTimeout, () => this._closeDue(), Math.max(0, due - this._elapsed()))
  }

  _closeDue() {
    const share = this._spread / this._queue.length
    do this._close(this._queue[this._next++])
    while (this._next < this._queue.length && share * (this._next + 1) <= this._elapsed())
    this._plan()
  }

  _elapsed() {
    return performance.now() - this._began
  }

  /** Closes a session after the messages that it has accepted. */
  _close(socket) {
    // it has ended, or the drain is closing it
    if (this._open.get(socket) !== undefined || (!this._open.has(socket) && !this._isDone)) return
    const transport = socket[kMadeTransport]()
    if (this._open.has(socket)) this._open.set(socket, pollOf(socket))
    surfacing(() => driverOf(transport).whenIdle(transport, () => socket.close()))
  }

  // ---- what becomes of them ------------------------------------------------------------------

  /** Called when a session opens whose handshake came before the drain. */
  opened(socket) {
    const isCounted = !this._isDone
    if (isCounted) this._count(socket)
    const delay = isCounted ? Math.random() * Math.max(0, this._spread - this._elapsed()) : 0
    atRoot(setTimeout, () => this._close(socket), delay)
  }

  /** Called when a session ends. */
  ended(socket, reason) {
    if (!this._open.has(socket)) return
    const response = this._open.get(socket)
    this._open.delete(socket)
    const isOurs = response !== undefined && reason === ReasonText.FORCED_CLOSE
    const transport = socket[kMadeTransport]()
    if (this._isExpired) {
      this._outcome.terminated++
      cutOff(transport?.socket)
    } else if (!isOurs) {
      this._outcome.left++
    } else if (carriesPolls(transport)) {
      this._awaitResponse(transport.res || response)
    } else {
      this._awaitConnection(transport?.socket)
    }
    this._settle()
  }

  /** Waits until the last response to a polling client is written. */
  _awaitResponse(response) {
    if (!response || response.destroyed || response.writableFinished === true) return void this._outcome.closed++
    const cut = () => response.destroy()
    this._unwritten.add(cut)
    response.once('close', () => {
      this._written(cut, (response.writableFinished ?? response.writableEnded) ? 'closed' : 'left')
    })
  }

  /** Waits until a WebSocket is over: then everything is written, and the client has answered the close frame. */
  _awaitConnection(websocket) {
    const isEmitter = typeof websocket?.once === 'function'
    if (!isEmitter || websocket.readyState === CLOSED) return void this._outcome.closed++
    const cut = () => cutOff(websocket)
    this._unwritten.add(cut)
    websocket.once('close', (code) => this._written(cut, code === NO_CLOSE_FRAME ? 'left' : 'closed'))
  }

  _written(cut, fate) {
    if (!this._unwritten.delete(cut)) return
    this._outcome[fate]++
    this._settle()
  }

  /** Ends what is left when the time is over. */
  _expire() {
    debug('draining: the time is over, %d sessions are left', this._open.size)
    this._isExpired = true
    for (const socket of [...this._open.keys()]) {
      surfacing(() => socket.close(true))
      // the application may have replaced a method that closes it, or that throws
      if (this._open.has(socket)) surfacing(() => socket.onClose(ReasonText.FORCED_CLOSE))
    }
    for (const cut of this._unwritten) surfacing(cut)
    this._outcome.terminated += this._unwritten.size + this._open.size
    this._unwritten.clear()
    this._open.clear()
    this._finish()
  }

  /** Ends the drain when nothing is left. Sessions of the native listener may be on their way here. */
  _settle() {
    const isCarrying = () => this._server[kState].cluster?.isCarrying
    const isEmpty = () => this._open.size === 0 && this._unwritten.size === 0 && !isCarrying() && !this._isExpired
    if (isEmpty()) setImmediate(() => isEmpty() && this._finish())
  }

  _finish() {
    if (this._isDone) return
    this._isDone = true
    clearTimeout(this._timer)
    clearTimeout(this._expiry)
    this._queue = []
    this._outcome.duration = Math.round(this._elapsed())
    debug('drained: %o', this._outcome)
    this._resolve(this._outcome)
  }
}

function checkTime(name, value) {
  if (typeof value === 'number' && value >= 0 && value <= MAX_DELAY) return
  throw new RangeError(
    `the option ${name} of drain() must be a number of milliseconds from 0 to ${MAX_DELAY}, got ${shown(value)}`,
  )
}

/** Returns the response to the poll of a session, or null. */
function pollOf(socket) {
  const transport = socket[kMadeTransport]()
  return (carriesPolls(transport) && transport.res) || null
}

/** Cuts the connection of a WebSocket off, if it is not over. */
function cutOff(websocket) {
  if (typeof websocket?.terminate === 'function') websocket.terminate()
}

/** Calls a function. What a listener throws is an uncaught exception, and does not keep the drain from going on. */
function surfacing(fn) {
  try {
    apart(fn)
  } catch (error) {
    setImmediate(() => {
      throw error
    })
  }
}

module.exports = { Drain }
