'use strict'

const { capture } = require('../native/context')
const { ErrorCode } = require('../native/contract')
const { kEndLost, kServeForwarded } = require('../base/symbols')
const { UNAVAILABLE } = require('./refusals')
const { callAll } = require('./link')

/** The most requests that wait. */
const MAX_WAITING = 1024

/**
 * Answers of this process that go to another machine by way of a gateway, and may still be lost. The next request of the
 * same session and kind waits until it is known: if the answer is lost, the session ends before it is served. With a bus
 * of its own, a process leaves this to its node.
 */
class Unsettled {
  /** @param {any} server */
  constructor(server) {
    this._server = server
    /** How many answers there are, and what waits for them, by kind and session. */
    this._all = new Map()
    this._waiting = 0
  }

  get isEmpty() {
    return this._all.size === 0
  }

  /** Called when the answer to a request has been sent. */
  begin(sid, req) {
    const key = keyOf(sid, req)
    const entry = this._all.get(key)
    if (entry === undefined) this._all.set(key, { count: 1, waiting: [] })
    else entry.count++
  }

  /** Called when it is known what became of it. */
  end(sid, req) {
    const key = keyOf(sid, req)
    const entry = this._all.get(key)
    if (--entry.count > 0) return
    this._all.delete(key)
    this._waiting -= entry.waiting.length
    callAll(entry.waiting)
  }

  /** Serves a request by `serve` at once, or later, or refuses it because too many wait. */
  admit(sid, req, res, serve, refuse) {
    const entry = this._all.get(keyOf(sid, req))
    if (entry === undefined) return serve()
    if (this._waiting >= MAX_WAITING) return refuse(ErrorCode.BAD_REQUEST, UNAVAILABLE)
    this._waiting++
    const { _server: server } = this
    const context = capture()
    entry.waiting.push(() => {
      context.runInAsyncScope(() => (res.destroyed ? server[kEndLost](sid) : server[kServeForwarded](req, res, refuse)))
    })
  }
}

function keyOf(sid, req) {
  return req.method === 'POST' ? `>${sid}` : `<${sid}`
}

module.exports = { Unsettled }
