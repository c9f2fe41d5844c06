'use strict'

const { capture } = require('../native/context')

/** Bytes that go with a request or an answer. More of them follow in pieces. */
const PIECE = 16 * 1024

const EMPTY = Buffer.alloc(0)

/** The status of an answer that says why the request is refused, in place of a response of the session. */
const REFUSED = 0

/** A request between two nodes of a bus, with its answer, or with what is relayed behind that. */
class Stream {
  /**
   * @param {import('./nodes').Nodes} nodes
   * @param {string} name the node's name of it
   */
  constructor(nodes, name) {
    this.nodes = nodes
    this.name = name
    this.context = capture()
    this.isOver = false
    /** Whether the last bytes have been sent, and whether those of the other side have come. */
    this.hasSentLast = false
    this.hasLast = false
    this._isOpen = false
    /** What waits to be sent. */
    this._queue = []
    nodes.add(this)
  }

  /** Calls the method for what has come, in the context of the request. */
  hear(method, action = undefined) {
    if (typeof this[method] === 'function') this.context.runInAsyncScope(this[method], this, action)
  }

  /** Calls a method of the node for this stream. */
  act(method, ...args) {
    return this.nodes.act(method, this.name, ...args)
  }

  /** Sends bytes as soon as the other side takes some. `done` is called when all have gone. */
  write(bytes, isLast = false, done = undefined) {
    if (this.isOver) return
    this._queue.push({ bytes, isLast, done })
    this._pump()
  }

  /** The number of writes that wait. */
  get waiting() {
    return this._queue.length
  }

  /** The other side takes bytes from now on, or again. */
  onWritable() {
    this._isOpen = true
    this._pump()
  }

  _pump() {
    while (this._isOpen && !this.isOver && this._queue.length > 0) {
      const next = this._queue[0]
      const { bytes, isLast, done } = next
      const room = bytes.length === 0 ? 0 : this.act('room')
      // `onWritable` follows
      if (bytes.length > 0 && !(room > 0)) return
      const isAll = bytes.length <= room
      if (!this.act('send', bytes.subarray(0, room), isLast && isAll)) return
      if (isAll) {
        this._queue.shift()
        this.hasSentLast = isLast
        done?.()
      } else {
        next.bytes = bytes.subarray(room)
      }
    }
  }

  /** Lets the other side send as many bytes more. */
  consumed(count) {
    if (!this.isOver && count > 0) this.act('consumed', count)
  }

  /** Ends before the end: what was sent may be lost. */
  cut() {
    if (this.isOver) return
    this.act('cut')
    this.end()
  }

  /** Called when nothing follows. */
  end() {
    this.isOver = true
    this._queue.length = 0
    this.nodes.remove(this)
  }

  /** Has a poll answered that waits for another node. */
  release() {}
}

module.exports = { EMPTY, PIECE, REFUSED, Stream }
