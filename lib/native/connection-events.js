'use strict'

// The browser-like part of a WebSocket of `ws`: listeners that get event objects. It uses the code of `ws`, which is
// loaded when it is needed.

const METHODS = ['addEventListener', 'removeEventListener']
const ATTRIBUTES = ['onclose', 'onerror', 'onmessage', 'onopen']

/** Gives a class of EventEmitters what `ws` gives its own. */
function addEvents({ prototype }) {
  for (const name of METHODS) {
    const method = {
      [name](...args) {
        return theirs()[name].apply(this, args)
      },
    }[name]
    Object.defineProperty(prototype, name, { value: method, writable: true, configurable: true })
  }
  for (const name of ATTRIBUTES) {
    Object.defineProperty(prototype, name, {
      enumerable: true,
      configurable: true,
      get() {
        return Object.getOwnPropertyDescriptor(theirs(), name).get.call(this)
      },
      set(listener) {
        Object.getOwnPropertyDescriptor(theirs(), name).set.call(this, listener)
      },
    })
  }
}

function theirs() {
  return require('ws').prototype
}

module.exports = { addEvents }
