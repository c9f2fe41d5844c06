'use strict'

const { Socket } = require('net')
const bridge = require('./bridge')
const { kOwner } = require('./transport')

/** A peer that does not end the connection after the closing handshake is cut off after so many ms. */
const CLOSE_TIMEOUT = 30 * 1000

/** What `pipeTake` answers besides a number of bytes: see src/node/pipe.rs. */
const END = 0xffffffff
const DESTROY = 0xfffffffe
const LARGE = 0xfffffffd

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
    /** Writes that the stream has not seen to yet. */
    this.pending = 0
    /** No more is written until they are through, of which the engine hears. */
    this.blocked = false
    /** Somebody wants to know when all is written. */
    this.awaited = false
    this.timer = null
    this.onWritten = (error) => {
      if (error && !this.over) return this.fail(error)
      // of what a socket of Node's was writing when it was destroyed it tells nothing: it has not got out
      if (this.stream.destroyed) return
      if (--this.pending > 0 || !this.blocked || this.over) return
      this.blocked = false
      if (bridge.getEngine().pipeWritten(this.websocket._handle)) this.awaited = false
      else this.write()
    }
    stream.on('error', () => this.end())
    stream.on('close', () => {
      clearTimeout(this.timer)
      this.end()
    })
    stream.on('end', () => this.endInOrder())
  }

  start() {
    this.stream.on('data', (chunk) => {
      if (this.over) return
      // in object mode anything may come; in the original what is neither is an exception of the stream's
      if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) return this.stream.destroy(notBytes(chunk))
      const paused = bridge.fast.pipeInput(this.websocket._handle, chunk)
      const { _transport: transport, _handle: connection } = this.websocket
      const owner = transport === null ? null : transport[kOwner]
      bridge.drainNow(owner === null ? 0 : owner._handle, connection)
      if (paused === 1 && !this.over && bridge.getEngine().isPaused(this.websocket._handle)) {
        this.stream.pause()
        bridge.pausedPipes.add(this)
      }
    })
    this.stream.resume()
  }

  _resumeIfWanted() {
    if (this.over || !bridge.getEngine().isPaused(this.websocket._handle)) {
      bridge.pausedPipes.delete(this)
      if (!this.over) this.stream.resume()
    }
  }

  /** Writes what waits, unless the stream is full. */
  write() {
    if (this.over || this.blocked) return
    if (slab.length - used < SLAB_END) {
      slab = Buffer.allocUnsafeSlow(SLAB)
      used = 0
    }
    const length = bridge.fast.pipeTake(this.websocket._handle, slab, used)
    if (length === 0) return
    if (length === END) {
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

  _writeOut(bytes) {
    this.pending++
    if (!this.stream.write(bytes, this.onWritten) || this.awaited) this.block()
  }

  /** Somebody waits for what has been handed over to be written. */
  await() {
    this.awaited = true
    if (this.pending > 0) this.block()
  }

  block() {
    if (this.blocked || this.over) return
    this.blocked = true
    bridge.getEngine().pipeBlock(this.websocket._handle)
  }

  expectEnd() {
    if (this.timer !== null || this.over) return
    this.timer = setTimeout(() => this.end(), CLOSE_TIMEOUT)
    // a TLS socket of Node 18 may never hear that the one below it is gone
    const { _parent: below } = this.stream
    if (below instanceof Socket) below.once('close', () => this.end())
  }

  /** What was written has not got out, of which the session hears. */
  fail(error) {
    const { _transport: transport } = this.websocket
    if (transport !== null) transport.onError('write error', error.stack)
    this.end()
  }

  /** The peer has ended its side: ours ends behind what has been written. */
  endInOrder() {
    if (this.over) return
    this.finish(false)
    this.stream.end()
    this.timer = setTimeout(() => this.stream.destroy(), CLOSE_TIMEOUT).unref()
  }

  end() {
    if (this.over) return
    this.finish(true)
    if (!this.stream.destroyed) this.stream.destroy()
  }

  /** `isCut`: what waits in the engine is lost. */
  finish(isCut) {
    this.over = true
    clearTimeout(this.timer)
    bridge.pausedPipes.delete(this)
    bridge.getEngine().pipeEnded(this.websocket._handle, isCut)
  }
}

function notBytes(chunk) {
  const error = new TypeError(`Expected the stream of a WebSocket to bring strings or Uint8Arrays, got ${typeof chunk}`)
  return Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' })
}

module.exports = { Pump }
