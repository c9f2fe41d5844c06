'use strict'

// The links that this member has made to its peers, and all that is sent to peers, on these links or on those that they
// have made. Of a request that a peer has to answer it knows the number and the time until which it waits; what has
// come for it, the request hears itself.

const debug = require('debug')('engine:cluster')
const { performance } = require('perf_hooks')
const { setImmediate, setInterval, setTimeout } = require('timers')
const bridge = require('../native/bridge')
const { atRoot } = require('../native/context')
const { NO_HANDLE, PeerMessage, PeerSent } = require('../native/contract')
const { Link, apartFromErrors } = require('./link')
const { PassedUpgrade } = require('./passed')

/** Milliseconds for an owner to take an upgrade, and what is added to the time in which it answers a poll. */
const PATIENCE = 10 * 1000

/** How often requests are looked for that are not answered in time, in ms. */
const LOOK = 2000

/** Milliseconds until a request is sent that a peer could not take, because it does not read as fast. */
const RETRY = 5

/** The most peers to which this member remembers that it has had a link. */
const MAX_REACHED = 10_000

/** What a request hears of the messages that belong to it. */
const HEARD = {
  [PeerMessage.ANSWER]: 'onAnswer',
  [PeerMessage.REFUSAL]: 'onRefusal',
  [PeerMessage.TAKEN]: 'onTaken',
  [PeerMessage.ABORT]: 'onAbort',
  [PeerMessage.FOUND]: 'onFound',
}

class Links {
  /**
   * @param {import('./index').Cluster} cluster
   * @param {any} server
   */
  constructor(cluster, server) {
    this._cluster = cluster
    this._server = server
    /** The links by their numbers. */
    this._all = new Map()
    /** The peers to which there has been a link: they were on this machine. */
    this._reached = new Set()
    this._lastRequest = 0
    /** Whether something was sent that has still to be written. */
    this._isUnflushed = false
    this._flush = () => this.flush()
    /** Looks for requests that are not answered in time. */
    this._look = undefined
    /** When that was done last. */
    this._looked = 0
  }

  // ---- links ---------------------------------------------------------------------------------

  get size() {
    return this._all.size
  }

  /** The number of requests that peers have to answer. */
  get waiting() {
    return [...this._all.values()].reduce((all, link) => all + link.requests.size, 0)
  }

  /** Whether connections wait for an owner, or a gateway, to take them. */
  get areMoving() {
    const isUpgrade = (request) => request instanceof PassedUpgrade
    return [...this._all.values()].some((link) => link.requests.values().some(isUpgrade))
  }

  /** Returns the link of this number if this member has made it. */
  get(number) {
    return this._all.get(number)
  }

  /** Whether a link is there, and can be used. */
  has(link) {
    return link !== undefined && this._all.get(link.number) === link
  }

  /** Whether there has been a link to a peer. */
  hasReached(peer) {
    return this._reached.has(peer)
  }

  /** Returns the link to a peer, which is made if there is none; undefined if this member has left. */
  to(peer) {
    if (this._cluster.handle === NO_HANDLE) return undefined
    const number = bridge.getEngine().linkTo(this._cluster.handle, peer)
    let link = this._all.get(number)
    if (link === undefined) this._all.set(number, (link = new Link(number)))
    return link
  }

  /** Calls `proceed` with the link to a peer once it can be used, or `fail` if the peer has gone. */
  whenUp(peer, fail, proceed) {
    const link = this.to(peer)
    if (link === undefined) return fail()
    link.whenUp(() => {
      this._remember(peer)
      proceed(link)
    }, fail)
  }

  _remember(peer) {
    if (this._reached.size >= MAX_REACHED) this._reached.clear()
    this._reached.add(peer)
  }

  // ---- what is sent --------------------------------------------------------------------------

  /** Returns the number of a new request. */
  nextRequest() {
    this._lastRequest = (this._lastRequest + 1) >>> 0
    return this._lastRequest
  }

  /** Sends a message. Returns false if the link has ended, or if the peer does not read. */
  send(link, kind, number, head, body = undefined, descriptor = -1) {
    return this.trySend(link, kind, number, head, body, descriptor) === PeerSent.YES
  }

  /** Sends a message. Returns a `PeerSent`. The messages of a turn are written together at its end. */
  trySend(link, kind, number, head, body, descriptor = -1) {
    if (this._cluster.handle === NO_HANDLE) return PeerSent.NO
    if (!this._isUnflushed) {
      this._isUnflushed = true
      atRoot(setImmediate, this._flush)
    }
    return bridge.getEngine().sendToPeer(this._cluster.handle, link, kind, number, head, body, descriptor)
  }

  /** Writes what was sent. */
  flush() {
    this._isUnflushed = false
    if (this._cluster.handle !== NO_HANDLE) bridge.getEngine().flushPeers(this._cluster.handle)
  }

  /**
   * Sends a request when the peer has read some of what waits for it. The client waits, as for an owner that is busy.
   *
   * @param {Map<any, any>} queue one of the link's
   * @param {() => number} send returns a `PeerSent`
   */
  sendLater(link, queue, request, kind, send) {
    queue.set(request, { kind, send })
    this._retry(link)
  }

  _retry(link) {
    if (link.isRetrying) return
    link.isRetrying = true
    atRoot(setTimeout, () => this._sendUnsent(link), RETRY).unref()
  }

  _sendUnsent(link) {
    link.isRetrying = false
    this._sendAll(link.unmoved)
    this._sendAll(link.unsent)
    if (link.unmoved.size > 0 || link.unsent.size > 0) this._retry(link)
  }

  /** Sends what waits in a queue of a link, until that takes no more. */
  _sendAll(queue) {
    for (const [request, { kind, send }] of queue) {
      const sent = send()
      if (sent === PeerSent.LATER) return
      queue.delete(request)
      if (sent === PeerSent.NO) apartFromErrors(() => request.hear('onDown'))
      // it was not there to be released
      else if (kind !== PeerMessage.SERVE && this._cluster.isLeaving) apartFromErrors(() => request.hear('onLeave'))
    }
  }

  // ---- what comes on links, or does not ------------------------------------------------------

  /** Takes a message that has come on a link. */
  take(link, kind, number, head, body) {
    if (kind === PeerMessage.UP) return link.up()
    if (kind === PeerMessage.DOWN) {
      this._all.delete(link.number)
      return link.down()
    }
    const request = link.requests.get(number)
    if (request === undefined) return debug('an answer comes too late')
    if (Object.hasOwn(HEARD, kind)) request.hear(HEARD[kind], head, body)
  }

  /** Returns the time at which an owner must have answered. */
  deadline(ms) {
    if (this._look === undefined) {
      this._looked = performance.now()
      // what has come in the meantime is heard first
      this._look = atRoot(setInterval, () => setImmediate(() => this._refuseLate()), LOOK)
      this._look.unref()
    }
    return performance.now() + PATIENCE + (ms > 0 ? ms : 0)
  }

  /** Returns the time at which an owner must have answered a poll. */
  pollDeadline() {
    const { pingInterval, pingTimeout } = this._server.opts
    return this.deadline(Number(pingInterval) + Number(pingTimeout))
  }

  /** Tells requests that they have not been answered in time. */
  _refuseLate() {
    const now = performance.now()
    const slept = now - this._looked > 2 * LOOK
    this._looked = now
    // this process itself was stopped, and answers may be on their way
    if (slept) return
    const all = [...this._all.values()].flatMap((link) => link.requests.values())
    if (all.length === 0) {
      clearInterval(this._look)
      this._look = undefined
    }
    for (const request of all) if (request.deadline < now) request.hear('onLate')
  }

  // ---- the end -------------------------------------------------------------------------------

  /** Tells all requests that this member leaves. Returns whether there are any. */
  leave() {
    let waits = false
    for (const link of this._all.values()) {
      for (const request of link.requests.values()) {
        waits = true
        request.hear('onLeave')
      }
    }
    return waits
  }

  /** Called when this member has left. */
  leaveNow() {
    clearInterval(this._look)
    this._look = undefined
    const links = [...this._all.values()]
    this._all.clear()
    for (const link of links) apartFromErrors(() => link.down())
  }
}

module.exports = { Links }
