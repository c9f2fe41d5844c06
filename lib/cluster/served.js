'use strict'

// Requests of other nodes of a bus for sessions of this process.

const debug = require('debug')('engine:cluster')
const { Duplex } = require('stream')
const { ErrorCode, FaultText } = require('../native/contract')
const { sidOf } = require('../base/query')
const {
  kClient,
  kEndLost,
  kReleasePoll,
  kServeForwarded,
  kServeMoved,
  kState,
  kVerifySession,
} = require('../base/symbols')
const { showClient } = require('./head')
const { readMove, readRequest, upgradeRequest } = require('./messages')
const { ForwardedResponse } = require('./response')
const { EMPTY, PIECE, REFUSED, Stream } = require('./stream')

/** Number of pieces of a body that are kept before they are joined. */
const MAX_APART = 256

/** Why a request is refused that cannot be read. */
const MALFORMED = { name: 'TRANSPORT_HANDSHAKE_ERROR' }

/** What both kinds of requests have in common. */
class Served extends Stream {
  constructor(nodes, { stream, id }) {
    super(nodes, stream)
    this.sid = id
    this.server = nodes.server
    this._isAnswered = false
  }

  /** Has the other node answer with an error. */
  refuse(code, context = {}) {
    if (this.isOver || this._isAnswered) return
    if (code === ErrorCode.UNKNOWN_SID) {
      this.act('refuse')
      return this.end()
    }
    this._isAnswered = true
    if (!this.act('answer', REFUSED, Buffer.from(JSON.stringify([code, context])), EMPTY, true)) this.cut()
  }

  /** The request goes after its session, which has moved. */
  onMoved() {
    this.end()
  }

  onLeave() {
    this.act('cut')
    this.hear('onGone')
  }
}

/** A poll or a POST. */
class ServedRequest extends Served {
  constructor(nodes, action) {
    super(nodes, action)
    const { what, head, body, last } = action
    this.res = undefined
    this._isPoll = what === 'poll'
    // a POST of that length does not wait: the session stays
    if (!this._isPoll && !last) this.server[kClient](this.sid)?.[kState].unheard?.hear()
    this._head = head.toString()
    this._body = [body]
    this._length = body.length
    if (this._isPoll || last) this._present()
  }

  onData({ body, last }) {
    // the node that has received the poll leaves
    if (this._isPoll) return last ? this._release() : undefined
    this._length += body.length
    if (this._length > this.server.opts.maxHttpBufferSize) {
      this.cut()
      return this.nodes.cluster.front.failPost(this.sid, FaultText.BODY_TOO_LARGE)
    }
    this._body.push(body)
    if (this._body.length > MAX_APART) this._body = [Buffer.concat(this._body)]
    this.consumed(body.length)
    if (last) this._present()
  }

  _release() {
    if (this.res !== undefined) this.res.isReleased = true
    if (this.res?.release !== undefined) this.res.release()
    else this.server[kReleasePoll](this.sid, this.res)
  }

  /** Gives the request to its session, or to the process of this machine that has it. */
  _present() {
    const body = Buffer.concat(this._body)
    const req = readRequest(this._head, body)
    this._head = ''
    this._body = []
    const isRight = req !== undefined && sidOf(req) === this.sid && (req.method === 'POST') !== this._isPoll
    if (!isRight) return this.refuse(ErrorCode.BAD_REQUEST, MALFORMED)
    const refuse = (code, context) => this.refuse(code, context)
    this.res = new ForwardedResponse(req, {
      answer: (status, headers, content) => this._answer(status, headers, content),
      cutOff: () => this.cut(),
      refuse,
    })
    const { cluster } = this.nodes
    const neighbour = cluster.neighbourOf(this.sid)
    if (neighbour !== undefined) {
      this.nodes.counts.handedOn++
      return cluster.front.handOn(neighbour, this.sid, req, this.res, refuse, this._isPoll ? undefined : body)
    }
    cluster.counts.served++
    this.server[kServeForwarded](req, this.res, refuse)
  }

  /** Sends the session's answer. Returns whether it is on its way. */
  _answer(status, headers, content = EMPTY) {
    if (this.isOver || this._isAnswered) return false
    const body = typeof content === 'string' ? Buffer.from(content) : content
    const first = body.subarray(0, PIECE)
    const isAll = first.length === body.length
    this._isAnswered = true
    if (!this.act('answer', status, Buffer.from(JSON.stringify([status, headers])), first, isAll)) {
      this.cut()
      return false
    }
    this.onWritable()
    if (!isAll) this.write(body.subarray(first.length), true)
    return true
  }

  /** The client has the answer. */
  onDone() {
    this.end()
    // what has not been answered cannot have been written
    if (this.res?.writableEnded) this.res.finish()
    else this.res?.abort()
  }

  /** The client has gone, or its node. */
  onGone() {
    this.end()
    // its answer may be lost, although the node had not seen it yet
    if (this._isAnswered) this.server[kEndLost](this.sid)
    if (this.res !== undefined) return this.res.abort()
    debug('a node has not sent the whole body')
    this.nodes.cluster.front.failPost(this.sid, FaultText.DATA_ABORTED)
  }
}

/** An upgrade, whose connection is relayed, unless its node takes the session over. */
class ServedUpgrade extends Served {
  constructor(nodes, action) {
    super(nodes, action)
    const [terms, text] = splitTerms(action.head.toString())
    const move = readMove(text)
    this.socket = new RelayedSocket(this)
    const req = move && upgradeRequest(move.head, this.socket)
    if (req === undefined || sidOf(req) !== this.sid) this.refuse(ErrorCode.BAD_REQUEST, MALFORMED)
    else if (!(action.claimable && this._gives(req, terms))) this._present(req, action.body, move)
  }

  /** Lets the other node take over a session of which the application has not heard. Returns whether that is done. */
  _gives(req, terms) {
    const unheard = this.server[kClient](this.sid)?.[kState].unheard
    if (unheard === undefined || req._query.transport !== 'websocket') return false
    let isRight = false
    this.server[kVerifySession](req, true, (code) => (isRight = code === undefined))
    return isRight && unheard.giveTo(this, terms)
  }

  /** Gives the connection to its session, or to the process of this machine that has it. */
  _present(req, early, { head, headers }) {
    const { cluster, counts } = this.nodes
    showClient(this.socket, head)
    const neighbour = cluster.neighbourOf(this.sid)
    if (neighbour !== undefined) {
      counts.handedOn++
      const refuse = (code, context) => this.refuse(code, context)
      return cluster.front.move(neighbour, this.sid, req, this.socket, early, headers, refuse, () => this._accept())
    }
    this.server[kServeMoved](req, this.socket, early, headers, (code, context) => {
      if (code !== undefined) return this.refuse(code, context)
      this._accept()
      cluster.counts.accepted++
    })
  }

  /** The session goes on with the connection. */
  _accept() {
    this._isAnswered = true
    this.act('answer', 101, EMPTY, EMPTY, false)
    this.onWritable()
  }

  onData({ body, last }) {
    this.hasLast = last
    this.socket.receive(body, last)
  }

  onDone() {
    this.onGone()
  }

  onGone() {
    this.end()
    this.socket.destroy()
  }

  /** The connection is not used any more. */
  onDestroyed() {
    // both sides have ended in order: the other node says when it is done
    if (!this.hasSentLast || !this.hasLast) this.cut()
  }
}

/** A connection whose client is at another node. */
class RelayedSocket extends Duplex {
  /** @param {ServedUpgrade} relay */
  constructor(relay) {
    super()
    this._relay = relay
    /** Bytes that have not been read yet. */
    this._unread = 0
  }

  /** Takes bytes of the client's. */
  receive(bytes, isLast) {
    if (bytes.length > 0) {
      if (this.push(bytes)) this._relay.consumed(bytes.length)
      else this._unread += bytes.length
    }
    if (isLast) this.push(null)
  }

  _read() {
    const unread = this._unread
    this._unread = 0
    this._relay.consumed(unread)
  }

  _write(chunk, encoding, callback) {
    this._relay.write(chunk, false, callback)
  }

  _final(callback) {
    this._relay.write(EMPTY, true, callback)
  }

  _destroy(error, callback) {
    this._relay.onDestroyed()
    callback(error)
  }

  setKeepAlive() {
    return this
  }

  setNoDelay() {
    return this
  }

  setTimeout() {
    return this
  }
}

/** Returns the terms before the head of an upgrade, see `AskedUpgrade`, and the rest. */
function splitTerms(text) {
  const at = text.indexOf('\0')
  return [text.slice(0, Math.max(at, 0)), text.slice(at + 1)]
}

module.exports = { ServedRequest, ServedUpgrade }
