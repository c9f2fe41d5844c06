'use strict'

// EventEmitters for what there is one or more of per connection: a table of listeners as EventEmitter makes it, a
// dictionary, takes 200 bytes, a fifth of a connection's objects. To whoever looks at prototypes, their subclasses are
// subclasses of EventEmitter itself. What EventEmitter does besides, once the module `domain` is loaded, is done here, too: an emitter
// belongs to the domain that it is made in.

const { EventEmitter } = require('events')

/** Has a table while it has a listener: most connections and transports never get one. */
function LazyEmitter() {
  if (EventEmitter.usingDomains) EventEmitter.init.call(this)
}

/** Starts with a table of fixed shape, a quarter of the size: for sessions, which have a listener or two for life. */
function CompactEmitter() {
  this._events = new Listeners()
  this._eventsCount = 0
  this._maxListeners = undefined
  if (EventEmitter.usingDomains) EventEmitter.init.call(this)
}

for (const Emitter of [LazyEmitter, CompactEmitter]) {
  Emitter.prototype = EventEmitter.prototype
  Object.setPrototypeOf(Emitter, EventEmitter)
}

/** Listeners by event, without anything inherited: a look at this is faster than at the dictionaries that EventEmitter makes. */
function Listeners() {}

Listeners.prototype = Object.create(null)

const { removeListener } = EventEmitter.prototype

/** The table goes with the last listener. */
function removeLazily(event, listener) {
  removeListener.call(this, event, listener)
  if (this._eventsCount === 0) this._events = undefined
  return this
}

/** Completes a subclass of `LazyEmitter`. */
function letGoOfTable({ prototype }) {
  prototype.removeListener = removeLazily
  showLikeNodes(prototype)
}

/** What stands for a method of EventEmitter's is enumerable, as those are. */
function showLikeNodes(prototype) {
  for (const name of Object.keys(EventEmitter.prototype)) {
    if (Object.hasOwn(prototype, name)) Object.defineProperty(prototype, name, { __proto__: null, enumerable: true })
  }
}

module.exports = { LazyEmitter, CompactEmitter, Listeners, letGoOfTable, showLikeNodes }
