'use strict'

const { Socket } = require('net')
const { setImmediate } = require('timers')
const bridge = require('./bridge')
const { kOnStreamClosed, kState } = require('../base/symbols')

/** A peer that does not end the connection after the closing handshake is cut off after so many ms. */
const CLOSE_TIMEOUT = 30 * 1000

/** What `pipeTake` answers besides a number of bytes: see src/node/pipes.rs. */
const END = 0xffffffff
const DESTROY = 0xfffffffe
const LARGE = 0xfffffffd

/** What `pipeInput` adds to the number of bytes that it has taken. */
const WAITS = 0x80000000

const NOTHING = Buffer.alloc(0)

/** Bytes that are to be written are copied here, as far as they fit: a Buffer of its own for each write costs more. */
const SLAB = 64 * 1024
const SLAB_END = 2 * 1024
let slab = Buffer.alloc(0)
let used = 0

/**
 * Carries the bytes of a stream that only JavaScript can read (TLS, PassThrough, any Duplex) to and
 * from a connection of the engine.
 */
class Pump {
  constructor(websocket, stream) {
    this.websocket = websocket
    this.stream = stream
    this.over = false
    /** What the stream has brought and the engine has not taken yet; the stream is paused meanwhile. */
    this.rest = NOTHING
    /** Whether the engine is offered that in a later turn. */
    this.goesOn = false
    /** The stream is gone, but for what it has brought. */
    this.gone = false
    /** The peer has ended its side. */
    this.finished = false
    /** Whether the stream has emitted `close`, which other streams than a `net.Socket` may never do. */
    this.hasClosed = !(stream instanceof Socket)
    /** Writes that the stream has not seen to yet. */
    this.pending = 0
    /** The stream has seen to the last one within the call, but has not called back yet. */
    this.isOut = false
    /** No more is written until they are through, of which the engine hears. */
    this.blocked = false
    /** Somebody wants to know when all is written. */
    this.awaited = false
    this.timer = null
    this.onWritten = (error) => {
      if (error && !this.over) return this.onFailure(error)
      // of what a socket of Node's was writing when it was destroyed it tells nothing: it has not got out
      if (this.stream.destroyed && !this.isOut) return
      if (--this.pending > 0 || !this.blocked || this.over) return
      this.blocked = false
      if (bridge.getEngine().pipeWritten(this.websocket[kState].handle)) this.awaited = false
      else this.write()
    }
    const gone = () => {
      // what it has brought is seen to first
      this.gone = true
      if (!bridge.pausedPipes.has(this)) this.end()
    }
    stream.on('error', gone)
    stream.on('close', () => {
      clearTimeout(this.timer)
      let hasThrown = true
      try {
        gone()
        bridge.drainNow()
        hasThrown = false
      } finally {
        this.hasClosed = true
        // a listener of any session may have thrown: its exception goes on
        if (hasThrown) process.nextTick(() => websocket[kOnStreamClosed]())
        else websocket[kOnStreamClosed]()
      }
    })
    stream.on('end', () => this.endInOrder())
  }

  /** Whether the stream's `close` is still to come. */
  awaitsClose() {
    return !this.hasClosed
  }

  /** Whether the peer has said all that it had to say. */
  isOrderly() {
    return this.finished
  }

  /** The stream has not closed for long: its `close` is not waited for any more. */
  giveUp() {
    this.hasClosed = true
    this.stream.destroy()
  }

  start() {
    this.stream.on('data', (chunk) => {
      if (this.over) return
      // in object mode anything may come; in the original what is neither is an exception of the stream's
      if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) return this.stream.destroy(notBytes(chunk))
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
      this.input(this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes]))
    })
    this.stream.resume()
  }

  /** Hands on what has come, as far as the engine takes it now. The rest waits here, and the stream with it. */
  input(bytes) {
    const result = bridge.fast.pipeInput(this.websocket[kState].handle, bytes)
    const taken = result % WAITS
    this.rest = taken < bytes.length ? bytes.subarray(taken) : NOTHING
    try {
      this.drain()
    } finally {
      this._goOn(result)
    }
  }

  _goOn(result) {
    if (this.over) return
    if (result < WAITS && this.rest.length === 0) {
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

  /** Goes on where the engine has been relieved of what it had: in a turn of its own, so that others have theirs. */
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

  /** Delivers what the stream has brought, in its context; with it what waits of other sessions, whose listeners may throw. */
  drain() {
    const transport = this.websocket[kState].transport
    const connection = this.websocket[kState].handle
    const owner = transport === null ? null : transport[kState].owner
    bridge.drainNow(owner === null ? 0 : owner[kState].handle, connection)
  }

  /** Writes what waits, unless the stream is full; the end of our side follows at once. */
  write() {
    this._writeSome()
    if (this.websocket.readyState !== this.websocket.OPEN) this._writeSome()
  }

  _writeSome() {
    if (this.over || this.blocked) return
    if (slab.length - used < SLAB_END) {
      slab = Buffer.allocUnsafeSlow(SLAB)
      used = 0
    }
    const length = bridge.fast.pipeTake(this.websocket[kState].handle, slab, used)
    if (length === 0) return
    if (length === END) {
      if (this.finished) return this.leave()
      this.stream.end()
      this.expectEnd()
    } else if (length === DESTROY) {
      this.stream.destroy()
      this.end()
    } else if (length === LARGE) {
      this._writeOut(bridge.getEngine().pipeTakeLarge())
    } else {
      used += length
      this._writeOut(slab.subarray(used - length, used))
    }
  }

  /** Whether all that was handed over is with the kernel by now, as far as the stream tells; null: it is just being written. */
  isWritten() {
    this.write()
    if (this.over || this.stream.writableNeedDrain) return false
    return this.pending > 0 ? null : bridge.getEngine().bufferedAmount(this.websocket[kState].handle) === 0
  }

  _writeOut(bytes) {
    this.pending++
    const isFull = !this.stream.write(bytes, this.onWritten)
    this.isOut = this.stream.writableLength === 0
    if (isFull || this.awaited) this.block()
  }

  /** Somebody waits for what has been handed over to be written. */
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
    // a TLS socket of Node 18 may never hear that the one below it is gone
    const { _parent: below } = this.stream
    if (below instanceof Socket) below.once('close', () => this.end())
  }

  onFailure(error) {
    // `ws` writes the head and the content of a frame by themselves: the stream tells of this error before the second one fails
    if (error.code === 'ERR_STREAM_WRITE_AFTER_END') process.nextTick(() => this.fail(error))
    else this.fail(error)
  }

  /** What was written has not got out, of which the session hears. */
  fail(error) {
    const transport = this.websocket[kState].transport
    if (transport !== null) transport.onError('write error', error.stack)
    this.end()
  }

  /** The peer has ended its side: ours ends behind the answers to what it has sent. */
  endInOrder() {
    if (this.over || this.finished) return
    this.finished = true
    const isOver = bridge.getEngine().pipeFinished(this.websocket[kState].handle)
    try {
      this.drain()
    } finally {
      if (isOver && !this.over) this.leave()
    }
  }

  /** Both sides are over, but for what the stream has still to write. */
  leave() {
    this.finish(false)
    this.stream.end()
    this.timer = setTimeout(() => this.stream.destroy(), CLOSE_TIMEOUT).unref()
  }

  end() {
    if (this.over) return
    if (this.blocked && this.isOut) bridge.getEngine().pipeWritten(this.websocket[kState].handle)
    this.finish(true)
    if (!this.stream.destroyed) this.stream.destroy()
  }

  /** `isCut`: what waits in the engine is lost. */
  finish(isCut) {
    this.over = true
    // what is sent from here on cannot get out
    if (this.websocket.readyState === this.websocket.OPEN) this.websocket.readyState = this.websocket.CLOSING
    clearTimeout(this.timer)
    bridge.pausedPipes.delete(this)
    bridge.getEngine().pipeEnded(this.websocket[kState].handle, isCut)
  }
}

function notBytes(chunk) {
  const error = new TypeError(`Expected the stream of a WebSocket to bring strings or Uint8Arrays, got ${typeof chunk}`)
  return Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' })
}

module.exports = { Pump }
