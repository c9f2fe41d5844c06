'use strict'

const { EventEmitter } = require('events')

/**
 * An EventEmitter that allocates its table of listeners with the first listener: most connections and
 * transports never get one, and an empty table is a fifth of their memory.
 */
function LazyEmitter() {}

LazyEmitter.prototype = Object.create(EventEmitter.prototype, {
  constructor: { value: LazyEmitter, writable: true, configurable: true },
})

module.exports = { LazyEmitter }
