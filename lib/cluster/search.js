'use strict'

// Looks for sessions whose ids do not name their owner, because the application makes them. All peers are asked; how
// often, is limited, and who has a session is remembered. That no peer has it is not: it may open in the next moment.

const { performance } = require('perf_hooks')
const { setTimeout } = require('timers')
const { atRoot, capture } = require('../native/context')
const { PeerMessage } = require('../native/contract')
const { callAll } = require('./link')

/** Searches per second, and as many at once. */
const RATE = 100

/** Milliseconds for peers to answer, as for one to accept a link: they may be busy. */
const PATIENCE = 5000

/** Number of sessions whose peer is remembered. */
const MOST = 10_000

class Search {
  /** @param {import('./index').Cluster} cluster */
  constructor(cluster) {
    this._cluster = cluster
    /** Peers by ids of their sessions. */
    this._found = new Map()
    /** What waits for the end of a search, by the id. */
    this._searches = new Map()
    /** How often the peers were asked. */
    this.count = 0
    this._tokens = RATE
    this._refilled = performance.now()
  }

  /** Whether no peer has been found by asking. */
  get isEmpty() {
    return this._found.size === 0
  }

  /** Returns the peer that has said that it has the session. */
  peerOf(sid) {
    return this._found.get(sid)
  }

  /** Forgets the peer of a session that has ended. */
  forget(sid) {
    this._found.delete(sid)
  }

  /** Calls back with the peer that has a session, or with nothing. */
  start(sid, done) {
    const found = this._found.get(sid)
    if (found !== undefined) return done(found)
    const isAsked = this._searches.has(sid)
    if (!isAsked && !this._mayAsk()) return done()
    // a request goes on in its own context
    const context = capture()
    const goOn = (peer) => context.runInAsyncScope(done, undefined, peer)
    if (isAsked) return void this._searches.get(sid).push(goOn)
    this._searches.set(sid, [goOn])
    this.count++
    this._askAll(sid, (peer) => {
      if (peer !== undefined) this._remember(sid, peer)
      const all = this._searches.get(sid)
      this._searches.delete(sid)
      callAll(all.map((one) => () => one(peer)))
    })
  }

  /** The one that was found first is forgotten if there are too many. */
  _remember(sid, peer) {
    if (this._found.size >= MOST) this._found.delete(this._found.keys().next().value)
    this._found.set(sid, peer)
  }

  _mayAsk() {
    const now = performance.now()
    this._tokens = Math.min(RATE, this._tokens + ((now - this._refilled) / 1000) * RATE)
    this._refilled = now
    if (this._tokens < 1) return false
    this._tokens--
    return true
  }

  _askAll(sid, done) {
    const cluster = this._cluster
    const peers = cluster.peers()
    let left = peers.length
    let isOver = false
    const end = (peer) => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      done(peer)
    }
    const timer = atRoot(setTimeout, end, PATIENCE)
    const onNo = () => {
      if (--left === 0) end()
    }
    if (left === 0) return end()
    for (const peer of peers) {
      cluster.links.whenUp(peer, onNo, (link) => {
        const number = cluster.links.nextRequest()
        link.requests.add(number, new Question(link, number, { onNo, onYes: () => end(peer) }))
        if (!cluster.links.send(link.number, PeerMessage.FIND, number, sid)) link.requests.get(number).hear('onDown')
      })
    }
  }
}

/** A question to one peer. */
class Question {
  constructor(link, number, { onNo, onYes }) {
    this.deadline = performance.now() + PATIENCE
    this._forget = () => link.requests.delete(number)
    this._onNo = onNo
    this._onYes = onYes
  }

  hear(method, head, body) {
    // a member that leaves still waits for the answer
    if (method === 'onLeave') return
    this._forget()
    if (method === 'onFound' && body !== undefined) this._onYes()
    else this._onNo()
  }
}

module.exports = { Search }
