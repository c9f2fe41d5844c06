'use strict'

const { notice } = require('../replaced')
const { kOwner } = require('../transport')

/** What shows requests, or decides about their answers, when it is replaced on a transport. */
const METHODS = ['send', 'onRequest', 'onPollRequest', 'onDataRequest', 'onData', 'headers', 'write', 'doWrite']

const subclasses = new Map()

/**
 * A subclass for sessions whose requests the engine's own listener serves without JavaScript: until somebody replaces
 * a method of such a transport, or listens to its `headers`.
 */
function watched(Class) {
  let Watched = subclasses.get(Class)
  if (Watched === undefined) subclasses.set(Class, (Watched = subclass(Class)))
  return Watched
}

function subclass(Class) {
  class Watched extends Class {
    on(event, listener) {
      if (event === 'headers') showRequests(this)
      return super.on(event, listener)
    }
  }
  for (const name of METHODS) {
    Object.defineProperty(Watched.prototype, name, {
      configurable: true,
      get() {
        return Class.prototype[name]
      },
      set(value) {
        Object.defineProperty(this, name, { value, configurable: true, enumerable: true, writable: true })
        showRequests(this)
        if (this[kOwner]) notice(this[kOwner])
      },
    })
  }
  return Watched
}

function showRequests(transport) {
  const { httpServer } = transport[kOwner] ? transport[kOwner].server : {}
  if (httpServer && httpServer._showRequests) httpServer._showRequests()
}

module.exports = { watched }
