'use strict'

// Sessions of which the application has not heard. Their `connection` is held back for a short time, in which the node of
// a bus that gets their upgrade may take them over: see "Claims" in src/cluster/bus/mod.rs, and lib/server/movable.js for
// what must be so.

const { setTimeout } = require('timers')
const { ReasonText } = require('../native/contract')
const { atRoot, capture } = require('../native/context')
const { headOf } = require('./head')
const { apartFromErrors } = require('./link')
const { ForwardedResponse } = require('./response')
const { kAnnounce, kForget, kIsMovable, kRefuse, kServeForwarded, kState, kTerms } = require('../base/symbols')

/** The longest head of a request that opens such a session, and the longest body of a POST that waits, in bytes. */
const MOST = 16 * 1024

/** A session of which the application has not heard. */
class Unheard {
  /**
   * @param {import('./nodes').Nodes} nodes
   * @param {any} session
   * @param {number} ms until the application hears of it
   */
  constructor(nodes, session, ms) {
    this._nodes = nodes
    this._session = session
    this._context = capture()
    /** The head of the request that has opened the session, taken while the connection of it is there. */
    this._head = Buffer.from(headOf(session.request))
    /** POSTs that wait: each with its response, what refuses it, and its context. */
    this._posts = []
    this._timer = atRoot(setTimeout, () => this.hear(), ms)
    session[kState].unheard = this
    nodes.unheard.add(this)
  }

  _leave() {
    clearTimeout(this._timer)
    this._nodes.unheard.delete(this)
    this._session[kState].unheard = undefined
  }

  /** Has the application hear of the session, and serves the POSTs that wait. */
  hear() {
    if (this._session[kState].unheard !== this) return
    this._leave()
    const { server } = this._nodes
    this._context.runInAsyncScope(announce, undefined, server, this._session)
    for (const { req, res, refuse, context } of this._posts.splice(0)) {
      apartFromErrors(() => context.runInAsyncScope(() => server[kServeForwarded](req, res, refuse)))
    }
  }

  /**
   * Keeps a POST until the application hears of the session, or the session has moved. Returns false if it is not kept.
   *
   * @param {(code: number, context: object) => void} refuse
   */
  keeps(req, res, refuse) {
    if (req.method !== 'POST') return false
    const length = Number(req.headers['content-length'])
    if (this._posts.length > 0 || !(length <= MOST)) {
      this.hear()
      // the session serves it, if it is still there
      return false
    }
    this._posts.push({ req, res, refuse, context: capture() })
    return true
  }

  /**
   * Gives the session to the node of an upgrade, if nothing is against it.
   *
   * @param {import('./stream').Stream} upgrade
   * @param {string} terms what the node tells clients, see `kTerms`
   * @returns {boolean} whether nothing else is to be done about the upgrade
   */
  giveTo(upgrade, terms) {
    const { _nodes: nodes, _session: session } = this
    const { server } = nodes
    const mayMove = terms === server[kTerms]() && this._head.length <= MOST && server[kIsMovable](session)
    // the end of a session whose client has broken a POST off is to be heard of here
    if (!mayMove || this._posts.some(({ req, res }) => req.destroyed || res.destroyed)) return false
    // the end of the upgrade follows
    if (!upgrade.act('give', this._head)) return true
    upgrade.end()
    this._move()
    return true
  }

  /** Forgets the session, and has its new owner serve what waits here. */
  _move() {
    this._leave()
    const { _nodes: nodes, _session: session } = this
    const { server } = nodes
    const waiting = this._posts.splice(0)
    const { transport } = session
    const { req, res } = transport
    if (req) {
      req.cleanup()
      transport.writable = false
      const refuse = (code, context) => server[kRefuse](req, res, code, context)
      waiting.unshift({ req, res, refuse, context: capture() })
    }
    nodes.counts.given++
    server[kForget](session)
    session.onClose(ReasonText.FORCED_CLOSE)
    for (const { req, res, refuse, context } of waiting) {
      apartFromErrors(() => {
        if (res instanceof ForwardedResponse) res.moveOn()
        else context.runInAsyncScope(() => nodes.cluster.front.forwardMoved(session.id, req, res, refuse))
      })
    }
  }
}

/** Tells of a session. What a listener throws is an unhandled rejection, as it is when a session is told of at once. */
async function announce(server, session) {
  server[kAnnounce](session)
}

module.exports = { Unheard }
