'use strict'

const debug = require('debug')('engine:cluster')
const { performance } = require('perf_hooks')
const { reasonOf } = require('../base/shown')

/** How long something fails before the application hears of it, in ms: its client may still be about to connect. */
const GRACE = 2000

/** The time between two warnings, in ms. */
const QUIET = 60 * 1000

/** Something that a bus is asked for again and again. A warning tells that it does not work, once until it has worked. */
class Trouble {
  /** @param {string} what says what does not work, and what that means */
  constructor(what) {
    this._what = what
    this._isTold = false
    this._toldAt = -Infinity
    /** Since when it has not worked. */
    this._since = undefined
  }

  onFailure(error) {
    const text = reasonOf(error)
    debug('%s: %s', this._what, text)
    const now = performance.now()
    this._since ??= now
    if (this._isTold || now - this._since < GRACE || now - this._toldAt < QUIET) return
    this._isTold = true
    this._toldAt = now
    process.emitWarning(`${this._what}: ${text}`, { type: 'EngineIoWarning', code: 'ENGINE_CLUSTER_BUS' })
  }

  /** Called when it has worked, or is not asked for any more. */
  onSuccess() {
    this._since = undefined
    this._isTold = false
  }
}

module.exports = { Trouble }
