'use strict'

const { setImmediate } = require('timers')
const { capture } = require('../native/context')
const { Numbered } = require('./numbered')

/** A link to a peer, on which this member passes requests on. */
class Link {
  /** @param {number} number the engine's number of the link */
  constructor(number) {
    this.number = number
    this.isUp = false
    /** What waits until the link is up: calls for that, and for the case that it never is. */
    this._waiting = []
    /** The requests that the peer has to answer, by their numbers. */
    this.requests = new Numbered()
    /** Those of them that are not sent yet, because the peer does not read as fast, with their kinds and what sends them. */
    this.unsent = new Map()
    /** The same of connections that move, for which there is room behind requests: see `MAX_WAITING` in src/cluster/link.rs. */
    this.unmoved = new Map()
    /** Whether it will be tried again to send them. */
    this.isRetrying = false
  }

  /** Calls `proceed` once the link is up, or `fail` if the peer has gone. */
  whenUp(proceed, fail) {
    if (this.isUp) return proceed()
    // a request goes on in its own context
    const context = capture()
    this._waiting.push([proceed, fail].map((call) => () => context.runInAsyncScope(call)))
  }

  /** Called when the link can be used. Calls go on behind one that throws. */
  up() {
    this.isUp = true
    callAll(this._waiting.splice(0).map(([proceed]) => proceed))
  }

  /** Called when the link has ended. */
  down() {
    const requests = this.requests.values()
    this.requests.clear()
    callAll([
      ...this._waiting.splice(0).map(([, fail]) => fail),
      ...requests.map((request) => () => request.hear('onDown')),
    ])
  }
}

/** Calls all functions; then throws the first error of one. */
function callAll(functions) {
  const errors = []
  for (const call of functions) {
    try {
      call()
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw errors[0]
}

/** Calls a function; an exception of a listener surfaces later. */
function apartFromErrors(call) {
  try {
    call()
  } catch (error) {
    setImmediate(() => {
      throw error
    })
  }
}

module.exports = { Link, apartFromErrors, callAll }
