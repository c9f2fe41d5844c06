'use strict'

// EventEmitters for objects of which each connection has one or more. The table of listeners that EventEmitter makes is
// a dictionary of 200 bytes, a fifth of a connection's objects. Code that looks at prototypes sees their subclasses as
// subclasses of EventEmitter itself. Once the module `domain` is loaded, an emitter belongs to the domain that it is
// made in, as Node's do.

const { EventEmitter } = require('events')

/**
 * An emitter that has a table only while it has a listener. Most connections and transports never get one.
 *
 * @this {EventEmitter}
 */
function LazyEmitter() {
  if (EventEmitter.usingDomains) EventEmitter.init.call(this)
}

/**
 * An emitter that starts with a table of fixed shape and a quarter of the size. Sessions use it: they keep a listener
 * or two for life.
 *
 * @this {EventEmitter}
 */
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

/**
 * A table of listeners by event that inherits nothing. Reading it is faster than reading the dictionaries of
 * EventEmitter.
 */
function Listeners() {}

Listeners.prototype = Object.create(null)

const { removeListener } = EventEmitter.prototype

/**
 * Drops the table together with the last listener.
 *
 * @this {EventEmitter}
 */
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

/** Makes replacements of EventEmitter's methods enumerable, as the originals are. */
function showLikeNodes(prototype) {
  for (const name of Object.keys(EventEmitter.prototype)) {
    if (Object.hasOwn(prototype, name)) Object.defineProperty(prototype, name, { __proto__: null, enumerable: true })
  }
}

module.exports = {
  LazyEmitter: /** @type {typeof EventEmitter} */ (/** @type {unknown} */ (LazyEmitter)),
  CompactEmitter: /** @type {typeof EventEmitter} */ (/** @type {unknown} */ (CompactEmitter)),
  Listeners,
  letGoOfTable,
  showLikeNodes,
}
