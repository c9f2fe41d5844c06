'use strict'

// The connections whose bytes this member carries between their clients and the owners of their sessions, because they
// cannot move there, and how they end when the server drains or leaves. What the bytes are is not known here. Relays over
// the bus are made by the nodes, which tell of them.

const debug = require('debug')('engine:cluster')
const { setTimeout } = require('timers')
const { atRoot } = require('../native/context')

/** Milliseconds for the other end of a relayed stream, if one has ended. */
const PATIENCE = 30 * 1000

/** Milliseconds for both ends, if this process is about to stop. */
const FAREWELL = 1000

/** Carries the bytes of a stream to the owner of its session and back. Either of them waits for the other. */
class Relay {
  /**
   * @param {import('stream').Duplex} stream
   * @param {import('net').Socket} pair the stream to the owner
   * @param {() => void} onOver is called when the stream has closed
   */
  constructor(stream, pair, head, onOver) {
    this._stream = stream
    this._pair = pair
    for (const one of [stream, pair]) {
      one.on('error', (error) => debug('a relayed connection has broken: %s', error.message))
    }
    let timer
    stream.on('close', () => {
      clearTimeout(timer)
      onOver()
      if (!stream.readableEnded) return pair.destroy()
      // the owner still gets what the client has sent before its end
      pair.end()
      pair.resume()
    })
    // the owner answers what the client has sent before its end, and ends its side
    stream.on('end', () => pair.setTimeout(PATIENCE))
    pair.on('timeout', () => this._cut())
    pair.on('end', () => {
      timer = setTimeout(() => stream.destroy(), PATIENCE)
      timer.unref()
    })
    pair.on('close', () => {
      if (!pair.readableEnded) stream.destroy()
    })
    // the end of one side is not that of both: a stream of TLS would end with the client's
    stream.allowHalfOpen = true
    if (head.length > 0) pair.write(head)
    stream.pipe(pair)
    pair.pipe(stream)
  }

  /**
   * Ends the connection because this process is about to stop. The owner sees the client's end behind what the client
   * has sent so far, and the client still gets what the owner has sent.
   */
  endRelay() {
    const { _stream: stream, _pair: pair } = this
    stream.unpipe(pair)
    stream.resume()
    pair.end()
    stream.once('finish', () => stream.destroy())
    setTimeout(() => this._cut(), FAREWELL).unref()
  }

  _cut() {
    this._stream.destroy()
    this._pair.destroy()
  }
}

/** All relays of this member. */
class Relays {
  /** @param {import('./index').Cluster} cluster */
  constructor(cluster) {
    this._cluster = cluster
    /** Those to owners on this machine. */
    this._all = new Set()
    /** How they end, once the server drains. */
    this._drain = undefined
  }

  /**
   * Carries the bytes of a stream to the owner of its session and back.
   *
   * @param {import('net').Socket | undefined} pair the stream to the owner, if that is still there
   */
  carry(stream, pair, head) {
    if (pair === undefined) return stream.destroy()
    const relay = new Relay(stream, pair, head, () => {
      this._all.delete(relay)
      this.onRelayOver()
    })
    this._all.add(relay)
    this.onRelay(relay)
  }

  /** Called when this member begins to carry the bytes of a connection. */
  onRelay(relay) {
    if (this._cluster.isLeaving) relay.endRelay()
    else if (this._drain !== undefined) this._endWithin(relay, this._drain.spread)
  }

  /** Called when such a connection is over. */
  onRelayOver() {
    this._drain?.onOver()
  }

  _endWithin(relay, ms) {
    atRoot(setTimeout, () => relay.endRelay(), Math.random() * ms).unref()
  }

  /** Whether this member carries the bytes of connections. */
  get isCarrying() {
    return this._all.size > 0 || this._cluster.nodes?.isCarrying === true
  }

  /** Ends the connections whose bytes this member carries at random times within `spread` ms, and tells of each. */
  drain(spread, onOver) {
    this._drain = { spread, onOver }
    for (const relay of this._all) this._endWithin(relay, spread)
    for (const relay of this._cluster.nodes?.relays ?? []) this._endWithin(relay, spread)
  }

  /** Ends those to owners on this machine, because this member leaves. The nodes end their own. */
  leave() {
    for (const relay of this._all) relay.endRelay()
  }
}

module.exports = { Relays }
