'use strict'

const bridge = require('./bridge')

/** A peer that does not end the connection after the closing handshake is cut off after so many ms. */
const CLOSE_TIMEOUT = 30 * 1000

/** What `Engine.pipeTake` answers when there are no bytes. */
const END = 1
const DESTROY = 2

/**
 * Carries the bytes of a stream that only JavaScript can read (TLS, PassThrough, any Duplex) to and
 * from a connection of the engine.
 */
class Pump {
  constructor(websocket, stream) {
    this.websocket = websocket
    this.stream = stream
    this.handle = websocket._handle
    this.over = false
    this.writing = false
    this.timer = null
    this.onWritten = () => {
      this.writing = false
      if (this.over) return
      bridge.getEngine().pipeWritten(this.handle)
      this.write()
    }
    stream.on('error', () => this.end())
    stream.on('close', () => this.end())
    stream.on('end', () => this.end())
  }

  start() {
    this.stream.on('data', (chunk) => {
      if (this.over) return
      const engine = bridge.getEngine()
      engine.pipeInput(this.handle, chunk)
      bridge.drainNow()
      if (!this.over && engine.isPaused(this.handle)) {
        this.stream.pause()
        bridge.pausedPipes.add(this)
      }
    })
    this.stream.resume()
  }

  _resumeIfWanted() {
    if (this.over || !bridge.getEngine().isPaused(this.handle)) {
      bridge.pausedPipes.delete(this)
      if (!this.over) this.stream.resume()
    }
  }

  /** Writes what waits; the next part after this one has gone out. */
  write() {
    if (this.over || this.writing) return
    const output = bridge.getEngine().pipeTake(this.handle)
    if (typeof output === 'object') {
      this.writing = true
      this.stream.write(output, this.onWritten)
    } else if (output === END) {
      this.stream.end()
      this.expectEnd()
    } else if (output === DESTROY) {
      this.stream.destroy()
      this.end()
    }
  }

  expectEnd() {
    if (this.timer === null && !this.over) {
      this.timer = setTimeout(() => this.stream.destroy(), CLOSE_TIMEOUT)
    }
  }

  end() {
    if (this.over) return
    this.over = true
    clearTimeout(this.timer)
    bridge.pausedPipes.delete(this)
    bridge.getEngine().pipeEnded(this.handle)
    if (!this.stream.destroyed) this.stream.destroy()
  }
}

module.exports = { Pump }
