'use strict'

const stream = require('node:stream')

/** Two streams; what is written to one is read from the other: `stream.duplexPair`, for Nodes without it. */
function duplexPair() {
  if (stream.duplexPair) return stream.duplexPair()
  class Side extends stream.Duplex {
    _read() {
      const waiting = this.waiting
      this.waiting = undefined
      waiting?.()
    }
    _write(chunk, _encoding, callback) {
      if (chunk.length === 0) return process.nextTick(callback)
      this.other.push(chunk)
      this.other.waiting = callback
    }
    _final(callback) {
      this.other.push(null)
      callback()
    }
  }
  const [a, b] = [new Side(), new Side()]
  a.other = b
  b.other = a
  return [a, b]
}

module.exports = { duplexPair }
