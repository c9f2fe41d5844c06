'use strict'

const { Socket } = require('net')
const { performance } = require('perf_hooks')
const { setImmediate } = require('timers')
const bridge = require('./bridge')
const { StreamBelow } = require('./stream-below')
const { CLOSE_TIMEOUT, FaultText, INPUT_WAITS, NO_HANDLE, TakeStatus } = require('./contract')
const { kOnStreamClosed, kState } = require('../base/symbols')

const NOTHING = Buffer.alloc(0)

/** Bytes of the slab into which outgoing bytes are copied if they fit. A Buffer for each write would cost more. */
const SLAB = 64 * 1024
const SLAB_END = 2 * 1024

/** For how many turns of the event loop the end of a session waits for a full stream. */
const TURNS = 8

/** For how long it waits for a write of the stream, in ms. */
const PATIENCE = 50

let slab = Buffer.alloc(0)
let used = 0

/**
 * Carries the bytes of a stream that only JavaScript can read (TLS, PassThrough, any Duplex) to and
 * from a connection of the engine.
 */
class Pump extends StreamBelow {
  constructor(stream) {
    super()
    /** The connection. */
    this.websocket = null
    this.stream = stream
    this.over = false
    /** Bytes that the stream has brought and the engine has not taken yet. The stream is paused meanwhile. */
    this.rest = NOTHING
    /** Whether the engine is offered the rest in a later turn. */
    this.goesOn = false
    /** Whether the stream has ended or closed; bytes that it brought may still wait. */
    this.gone = false
    /** Whether the peer has ended its side. */
    this.finished = false
    /** Whether the stream has emitted `close`, which other streams than a `net.Socket` may never do. */
    this.hasClosed = !(stream instanceof Socket)
    /** Number of writes that the stream has not called back for. */
    this.pending = 0
    /** Number of the session's frames in these writes. `ws` writes each by itself. */
    this.frames = 0
    /** Number of the session's frames that have still to be written. */
    this.waiting = 0
    /** Whether the stream has finished the last write within the call but has not called back yet. */
    this.isOut = false
    /** Whether writing waits until the stream has finished its writes, of which the engine is told. */
    this.blocked = false
    /** Whether both sides have ended, and the stream has still to write what it was given. */
    this.leaving = false
    /** For how many turns of the event loop the end has waited, see `TURNS`. */
    this.turns = 0
    /** Until when the end waits for a write of the stream. */
    this.until = undefined
    /** Whether a callback waits until everything is written. */
    this.awaited = false
    this.timer = null
    this.onWritten = (error) => {
      if (error && !this.over) return this.onFailure(error)
      if (--this.pending > 0) return
      const { frames } = this
      this.frames = 0
      if (this.over) return
      const isCancelled = stream.destroyed && !this.isOut
      // Node calls back the first of several writes without an error, and those that wait behind it with one
      if (isCancelled && frames > 1) return this.failBehind(frames - 1)
      if (!this.blocked && !this.leaving) return
      this.blocked = false
      if (bridge.getEngine().pipeWritten(this.websocket[kState].handle)) this.awaited = false
      else this.write()
      // callbacks and `drain` come before what the stream tells next
      try {
        this.drain()
      } finally {
        if (this.leaving && !this.over) this.finish(false)
      }
    }
    const gone = () => {
      // the bytes that the stream has brought are handled first
      this.gone = true
      if (!bridge.pausedPipes.has(this)) this.end()
    }
    stream.on('error', () => {
      if (this.pending === 0 || !this.awaitsClose()) return gone()
      // Node calls the write in progress back before `close`
      if (this.websocket.readyState === this.websocket.OPEN) this.websocket.readyState = this.websocket.CLOSING
      if (!stream.destroyed) stream.destroy()
    })
    stream.on('close', () => {
      clearTimeout(this.timer)
      let hasThrown = true
      try {
        gone()
        bridge.drainNow()
        hasThrown = false
      } finally {
        this.hasClosed = true
        // a listener of another session may have thrown, and that exception goes on
        if (hasThrown) process.nextTick(() => this.websocket[kOnStreamClosed]())
        else this.websocket[kOnStreamClosed]()
      }
    })
    stream.on('end', () => this.endInOrder())
  }

  below() {
    return this.stream
  }

  onPipeReady() {
    this.write()
  }

  /** Whether the stream's `close` is still to come. */
  awaitsClose() {
    return !this.hasClosed
  }

  /** Whether the peer ended its side in order, so that everything it sent has come. */
  isOrderly() {
    return this.finished
  }

  /**
   * Returns whether the stream has closed and this has not heard of it: its listeners are gone, or one before them has
   * thrown.
   */
  hasClosedUnheard() {
    return this.stream.closed
  }

  /** Stops waiting for the `close` of a stream that has not closed for a long time. */
  giveUp() {
    this.hasClosed = true
    this.stream.destroy()
  }

  start() {
    this.stream.on('data', (chunk) => {
      if (this.over) return
      // in object mode anything may come; in the original other values make the stream throw
      if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) return this.stream.destroy(notBytes(chunk))
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
      this.input(this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes]))
    })
    this.stream.resume()
  }

  /** Hands bytes on as far as the engine takes them now. The rest waits here, and the stream is paused. */
  input(bytes) {
    const result = bridge.fast.pipeInput(this.websocket[kState].handle, bytes)
    const taken = result % INPUT_WAITS
    this.rest = taken < bytes.length ? bytes.subarray(taken) : NOTHING
    try {
      this.drain()
    } finally {
      this._goOn(result)
    }
  }

  _goOn(result) {
    if (this.over) return
    if (result < INPUT_WAITS && this.rest.length === 0) {
      if (bridge.pausedPipes.delete(this)) this.resume()
      return
    }
    this.stream.pause()
    bridge.pausedPipes.add(this)
    this._resumeIfWanted()
  }

  resume() {
    if (this.gone) this.end()
    else this.stream.resume()
  }

  /** Offers the engine the rest once it takes bytes again, in a later turn, so that other connections have theirs. */
  _resumeIfWanted() {
    if (this.over) {
      bridge.pausedPipes.delete(this)
    } else if (!this.goesOn && !bridge.getEngine().isPaused(this.websocket[kState].handle)) {
      this.goesOn = true
      setImmediate(() => {
        this.goesOn = false
        if (!this.over && bridge.pausedPipes.has(this)) this.input(this.rest)
      })
    }
  }

  /**
   * Delivers what the stream has brought, in its context. Events of other sessions come with it; their listeners may
   * throw.
   */
  drain() {
    const transport = this.websocket[kState].transport
    const connection = this.websocket[kState].handle
    const session = transport === null ? null : transport[kState].session
    bridge.drainNow(session === null ? NO_HANDLE : session[kState].handle, connection)
  }

  /**
   * Writes what waits, unless the stream is full. `frames` is the number of the session's frames that have come to it.
   * The end of our side follows at once.
   */
  write(frames = 0) {
    this.waiting += frames
    this._writeSome()
    if (this.websocket.readyState !== this.websocket.OPEN) this._writeSome()
  }

  _writeSome() {
    if (this.over || this.blocked) return
    // a close frame that a destroyed stream does not take is not a message that is lost
    if (this.stream.destroyed && this.websocket.readyState !== this.websocket.OPEN) return
    if (slab.length - used < SLAB_END) {
      slab = Buffer.allocUnsafeSlow(SLAB)
      used = 0
    }
    const length = bridge.fast.pipeTake(this.websocket[kState].handle, slab, used)
    if (length === 0) return
    if (length === TakeStatus.END) {
      if (this.finished) return this.leave()
      this.stream.end()
      this.expectEnd()
    } else if (length === TakeStatus.DESTROY) {
      this.stream.destroy()
      this.end()
    } else if (length === TakeStatus.LARGE) {
      this._writeOut(bridge.getEngine().pipeTakeLarge())
    } else {
      used += length
      this._writeOut(slab.subarray(used - length, used))
    }
  }

  /**
   * Returns whether everything that was handed over has reached the kernel, as far as the stream tells; null during a
   * write.
   */
  isWritten() {
    this.write()
    if (this.over) return false
    const isAllHere = bridge.getEngine().bufferedAmount(this.websocket[kState].handle) === 0
    // a stream of TLS tells in the next turns that the socket below has taken what makes it full
    if (this.stream.writableNeedDrain && !(isAllHere && ++this.turns <= TURNS)) return false
    if (this.pending === 0) return isAllHere
    // a peer that does not read keeps the stream from writing
    const now = performance.now()
    this.until ??= now + PATIENCE
    return now < this.until ? null : false
  }

  _writeOut(bytes) {
    this.pending++
    this.frames += this.waiting
    this.waiting = 0
    const isFull = !this.stream.write(bytes, this.onWritten)
    this.isOut = this.stream.writableLength === 0
    if (isFull || this.awaited) this.block()
  }

  /** Destroys the stream, whose `close` ends the connection. */
  destroy() {
    this.stream.destroy()
    if (!this.awaitsClose()) this.end()
  }

  /** Asks to be told when everything that was handed over has been written. */
  await() {
    this.awaited = true
    if (this.pending > 0) this.block()
  }

  block() {
    if (this.blocked || this.over) return
    this.blocked = true
    bridge.getEngine().pipeBlock(this.websocket[kState].handle)
  }

  expectEnd() {
    if (this.timer !== null || this.over) return
    this.timer = setTimeout(() => this.end(), CLOSE_TIMEOUT)
  }

  onFailure(error) {
    // `ws` writes the head and the content of a frame by themselves: the stream tells of this error before the second
    // one fails
    if (error.code === 'ERR_STREAM_WRITE_AFTER_END') process.nextTick(() => this.fail(error))
    else this.fail(error)
  }

  /** Tells the session of this number of frames that a destroyed stream has not written. */
  failBehind(frames) {
    const { errored } = this.stream
    if (errored) this.fail(errored, frames)
    else this.stream.write(NOTHING, (error) => this.fail(error, frames))
  }

  /** Tells the session that a write has failed, once for each of its frames. */
  fail(error, frames = 1) {
    const transport = this.websocket[kState].transport
    for (let i = 0; i < frames && transport !== null; i++) transport.onError(FaultText.WRITE, error.stack)
    this.end()
  }

  /** Ends our side after the answers to what the peer has sent, because the peer has ended its side. */
  endInOrder() {
    if (this.over || this.finished) return
    this.finished = true
    const isOver = bridge.getEngine().pipeFinished(this.websocket[kState].handle)
    try {
      this.drain()
    } finally {
      if (isOver && !this.over) this.writeLast()
    }
  }

  /**
   * Writes what waits, a close frame perhaps, and lets the stream go, because the peer has ended its side. A stream that
   * ends its own side by itself then takes nothing later.
   */
  writeLast() {
    this.blocked = false
    this.write()
    if (!this.over) this.leave()
  }

  /**
   * Lets the stream go, because both sides have ended. If it has still to write, the end of the connection waits, so
   * that callbacks are called.
   */
  leave() {
    if (this.leaving) return
    this.leaving = true
    this.stream.end()
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.stream.destroy(), CLOSE_TIMEOUT).unref()
    if (this.pending === 0) this.finish(false)
  }

  end() {
    if (this.over) return
    if (this.blocked && this.isOut) bridge.getEngine().pipeWritten(this.websocket[kState].handle)
    clearTimeout(this.timer)
    this.finish(true)
    if (!this.stream.destroyed) this.stream.destroy()
  }

  /** Ends the connection. `isCut` says that what waits in the engine is lost. */
  finish(isCut) {
    this.over = true
    // what is sent from here on cannot get out
    if (this.websocket.readyState === this.websocket.OPEN) this.websocket.readyState = this.websocket.CLOSING
    bridge.pausedPipes.delete(this)
    bridge.getEngine().pipeEnded(this.websocket[kState].handle, isCut)
  }
}

function notBytes(chunk) {
  const error = new TypeError(`Expected the stream of a WebSocket to bring strings or Uint8Arrays, got ${typeof chunk}`)
  return Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' })
}

module.exports = { Pump }
