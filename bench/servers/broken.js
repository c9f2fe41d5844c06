'use strict'
// engine.io with one fault in every 100th message (BREAK=...): does the load generator notice? See selftest.js.
const path = require('path')
const engine = require(require.resolve('engine.io', { paths: [path.join(__dirname, '..', '..')] }))
const { send } = engine.Socket.prototype
const EVERY = 100
let n = 0
let held
const faults = {
  drop() {},
  duplicate(d) {
    send.call(this, d)
    send.call(this, d)
  },
  corrupt(d) {
    send.call(this, typeof d === 'string' ? `${d.slice(0, -1)}~` : d.subarray(1))
  },
  reorder(d) {
    this.held = d
  },
  stranger(d) {
    send.call(this, held ?? d)
    held = d
  },
  close() {
    this.close(true)
  },
  type(d) {
    send.call(this, typeof d === 'string' ? Buffer.from(d) : 'x')
  },
}
engine.Socket.prototype.send = function (d, ...rest) {
  if (++n % EVERY === 0) faults[process.env.BREAK].call(this, d)
  else send.call(this, d, ...rest)
  if (this.held !== undefined && n % EVERY) {
    const h = this.held
    this.held = undefined
    send.call(this, h)
  }
  return this
}
module.exports = engine
