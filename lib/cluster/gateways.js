'use strict'

const { performance } = require('perf_hooks')
const { PeerMessage } = require('../native/contract')

/** How long what the directory tells counts, in ms. */
const LOOK = 1000

/** How long a gateway that has not answered is asked after all others, in ms. */
const AVOID = 10 * 1000

/**
 * The processes of this machine that are members of a bus. A process without one reaches sessions of other machines by
 * them.
 */
class Gateways {
  /** @param {import('./index').Cluster} cluster */
  constructor(cluster) {
    this._cluster = cluster
    this._all = []
    this._areExpected = false
    this._looked = -Infinity
    /** The links to them. */
    this._links = new Map()
    /** Until when gateways are asked last, because they did not answer. */
    this._avoided = new Map()
  }

  /** Whether there are any, or were, so that a session may be on another machine. */
  get areExpected() {
    this.look()
    return this._areExpected
  }

  /** Tells all of them that this process is there, so that they stand for it. */
  announce() {
    this._looked = -Infinity
    this.look()
    const { links } = this._cluster
    const forget = () => {}
    for (const peer of this._all) {
      links.whenUp(peer, forget, (link) => links.send(link.number, PeerMessage.PRESENT, 0, ''))
    }
  }

  /**
   * Calls `send` with the link to a gateway, or with those to others as long as it returns false. Calls `fail` if there
   * is none.
   */
  reach(fail, send) {
    this.look()
    const peers = this._ordered()
    const next = () => {
      const peer = peers.shift()
      if (peer === undefined) return fail()
      this._cluster.links.whenUp(peer, next, (link) => {
        this._links.set(peer, link)
        if (!send(link)) next()
      })
    }
    next()
  }

  /** Called when a gateway has not answered in time. */
  avoid(link) {
    const until = performance.now() + AVOID
    for (const [peer, one] of this._links) if (one === link) this._avoided.set(peer, until)
  }

  /** Those first to which there is a link, because one that is stopped does not accept links. */
  _ordered() {
    const now = performance.now()
    for (const [peer, until] of this._avoided) if (until < now) this._avoided.delete(peer)
    const rank = (peer) => (this._avoided.has(peer) ? 2 : 0) + (this._cluster.links.has(this._links.get(peer)) ? 0 : 1)
    return [...this._all].sort((one, other) => rank(one) - rank(other))
  }

  /** Looks who is there, unless it has just been done. */
  look() {
    const now = performance.now()
    if (now - this._looked < LOOK) return
    this._looked = now
    const { nodes, hasLostNodes } = this._cluster.census()
    // the processes of a machine do not all choose the same one
    const first = nodes.length === 0 ? 0 : this._cluster.number % nodes.length
    this._all = [...nodes.slice(first), ...nodes.slice(0, first)]
    for (const peer of this._links.keys()) if (!nodes.includes(peer)) this._links.delete(peer)
    this._areExpected = this._areExpected || hasLostNodes || nodes.length > 0
  }
}

module.exports = { Gateways }
