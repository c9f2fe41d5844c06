'use strict'

const { kBindTransport, kPollingTransport, kState } = require('../base/symbols')
const { Descriptor } = require('../base/state')

/** The property `transport` of a session that a native listener has opened. The transport is made at the first use. */
const TRANSPORT = new Descriptor({
  configurable: true,
  enumerable: true,
  get() {
    if (!this[kState].transportless) return this[kState].transport
    this[kBindTransport](this.server[kPollingTransport](this[kState].opening))
    if (this._readyState === 'closed') {
      this.transport[kState].left = true
      this.transport.readyState = 'closed'
    }
    return this.transport
  },
  set(value) {
    this[kState].transportless = false
    // the property of a sealed object cannot be replaced
    if (Object.getOwnPropertyDescriptor(this, 'transport')?.configurable === false) this[kState].transport = value
    else
      Object.defineProperty(this, 'transport', {
        __proto__: null,
        value,
        writable: true,
        configurable: true,
        enumerable: true,
      })
  },
})

module.exports = { TRANSPORT }
