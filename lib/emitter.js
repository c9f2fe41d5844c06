'use strict'

// EventEmitters for what there is one or more of per connection: a table of listeners as EventEmitter makes it, a
// dictionary, takes 200 bytes, a fifth of a connection's objects.

const { EventEmitter } = require('events')

const derived = (constructor) =>
  Object.create(EventEmitter.prototype, { constructor: { value: constructor, writable: true, configurable: true } })

/** Has a table while it has a listener: most connections and transports never get one. */
function LazyEmitter() {}

LazyEmitter.prototype = derived(LazyEmitter)

LazyEmitter.prototype.removeListener = function (event, listener) {
  EventEmitter.prototype.removeListener.call(this, event, listener)
  if (this._eventsCount === 0) this._events = undefined
  return this
}

/** Starts with a table of fixed shape, a quarter of the size: for sessions, which have a listener or two for life. */
function CompactEmitter() {
  this._events = new Listeners()
  this._eventsCount = 0
}

CompactEmitter.prototype = derived(CompactEmitter)

/** Listeners by event, without anything inherited. */
function Listeners() {}

Listeners.prototype = Object.create(null)

module.exports = { LazyEmitter, CompactEmitter }
