'use strict'

// Looks for sessions whose ids do not name their owner, because the application makes them. Each peer is asked once;
// how often, is limited, and what they have answered is remembered.

const { performance } = require('perf_hooks')
const { setTimeout } = require('timers')
const { atRoot } = require('../native/context')
const { PeerMessage } = require('../native/contract')

/** Searches per second, and as many at once. */
const RATE = 100

/** Milliseconds for peers to answer. */
const PATIENCE = 1000

/** Milliseconds for which is remembered that no peer has a session. */
const FORGET = 2000

/** Number of ids that are remembered, of each kind. */
const MOST = 10_000

class Search {
  /** @param {import('./index').Cluster} cluster */
  constructor(cluster) {
    this._cluster = cluster
    /** Peers by ids of their sessions. */
    this._found = new Map()
    /** When no peer had a session, by its id. */
    this._missing = new Map()
    /** What waits for the end of a search, by the id. */
    this._searches = new Map()
    /** How often the peers were asked. */
    this.count = 0
    this._tokens = RATE
    this._refilled = performance.now()
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
    const missed = this._missing.get(sid)
    if (missed !== undefined && performance.now() - missed < FORGET) return done()
    const waiting = this._searches.get(sid)
    if (waiting !== undefined) return void waiting.push(done)
    if (!this._mayAsk()) return done()
    this._searches.set(sid, [done])
    this.count++
    this._askAll(sid, (peer) => {
      if (peer === undefined) remember(this._missing, sid, performance.now())
      else remember(this._found, sid, peer)
      const all = this._searches.get(sid)
      this._searches.delete(sid)
      for (const one of all) one(peer)
    })
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
      cluster.whenUp(peer, onNo, (link) => {
        const number = cluster.nextRequest()
        link.requests.set(number, new Question(link, number, { onNo, onYes: () => end(peer) }))
        if (!cluster.send(link.number, PeerMessage.FIND, number, sid)) link.requests.get(number).hear('onDown')
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
    this._forget()
    if (method === 'onFound' && body !== undefined) this._onYes()
    else this._onNo()
  }
}

/** Adds to a table of bounded size. The oldest entry goes. */
function remember(table, sid, value) {
  if (table.size >= MOST) table.delete(table.keys().next().value)
  table.set(sid, value)
}

module.exports = { Search }
