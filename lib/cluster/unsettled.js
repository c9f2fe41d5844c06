'use strict'

const { setImmediate, setInterval } = require('timers')
const { hasGone } = require('../base/client')
const { atRoot, capture } = require('../native/context')
const { ErrorCode } = require('../native/contract')
const { kClient, kEndLost, kServeForwarded } = require('../base/symbols')
const { UNAVAILABLE } = require('./refusals')
const { apartFromErrors, callAll } = require('./link')

/** The most requests that wait. */
const MAX_WAITING = 1024

/** The same of one session and kind, so that one client cannot have all the room. */
const MAX_OF_SESSION = 4

/** How often it is looked for requests that wait for long, in ms. */
const LOOK = 2000

/** How many looks a request waits. They are counted because this process may have been stopped itself meanwhile. */
const MAX_LOOKS = 5

/**
 * Answers of this process that go to another machine by way of a gateway, and may still be lost. The next request of the
 * same session and kind waits until it is known: if the answer is lost, the session ends before it is served. The client
 * has sent that request because it has the answer, so that this takes one message over the bus and back; a gateway that does not
 * tell for some seconds is stopped or stuck, and the answer counts as lost. With a bus of its own, a process leaves this
 * to its node.
 */
class Unsettled {
  /** @param {any} server */
  constructor(server) {
    this._server = server
    /** How many answers there are, and what waits for them, by kind and session. */
    this._all = new Map()
    this._waiting = 0
    /** Looks for requests that wait for long, while any wait. */
    this._timer = undefined
  }

  get isEmpty() {
    return this._all.size === 0
  }

  /** Called when the answer to a request has been sent. */
  begin(sid, req) {
    const key = keyOf(req.method, sid)
    const entry = this._all.get(key)
    if (entry === undefined) this._all.set(key, { sid, count: 1, waiting: [], looks: 0 })
    else entry.count++
  }

  /** Called when it is known what became of it. */
  end(sid, req) {
    const key = keyOf(req.method, sid)
    const entry = this._all.get(key)
    if (--entry.count > 0) return
    this._all.delete(key)
    this._letGo(entry)
  }

  /** Called when a session has ended: what waits is answered, and learns that the session is unknown. */
  onSessionOver(sid) {
    if (this._waiting === 0) return
    for (const method of ['GET', 'POST']) {
      const entry = this._all.get(keyOf(method, sid))
      // the server forgets the session in this turn
      if (entry !== undefined) atRoot(setImmediate, () => this._letGo(entry))
    }
  }

  /** Serves a request by `serve` at once, or later, or refuses it because too many wait. */
  admit(sid, req, res, serve, refuse) {
    const { _server: server } = this
    const entry = this._all.get(keyOf(req.method, sid))
    if (entry === undefined || server[kClient](sid) === undefined) return serve()
    const isFull = this._waiting >= MAX_WAITING || entry.waiting.length >= MAX_OF_SESSION
    if (isFull) return refuse(ErrorCode.BAD_REQUEST, UNAVAILABLE)
    this._waiting++
    const context = capture()
    entry.waiting.push(() => {
      context.runInAsyncScope(() => {
        if (hasGone(req, res)) server[kEndLost](sid)
        else server[kServeForwarded](req, res, refuse)
      })
    })
    this._timer ??= atRoot(setInterval, () => this._look(), LOOK).unref()
  }

  _letGo(entry) {
    const waiting = entry.waiting.splice(0)
    this._waiting -= waiting.length
    entry.looks = 0
    callAll(waiting)
  }

  /** Ends sessions whose requests have waited for long. */
  _look() {
    for (const entry of this._all.values()) {
      if (entry.waiting.length === 0 || ++entry.looks < MAX_LOOKS) continue
      apartFromErrors(() => this._server[kEndLost](entry.sid))
      apartFromErrors(() => this._letGo(entry))
    }
    if (this._waiting > 0) return
    clearInterval(this._timer)
    this._timer = undefined
  }
}

function keyOf(method, sid) {
  return method === 'POST' ? `>${sid}` : `<${sid}`
}

module.exports = { Unsettled }
