'use strict'

// Requests that came in here for sessions of other nodes of a bus.

const debug = require('debug')('engine:cluster')
const { setTimeout } = require('timers')
const { connectionOf, isWritten, unwatch, watch } = require('../base/client')
const { ErrorCode } = require('../native/contract')
const { failRequest } = require('../transports/errors')
const { headOf } = require('./head')
const { readAnswerHead, readRefusal, readRequest } = require('./messages')
const { EMPTY, PIECE, REFUSED, Stream } = require('./stream')
const { kAccept, kResponse, kServeForwarded, kServeMoved, kTerms } = require('../base/symbols')

/** Bytes of a relayed connection that may wait before it is read no further. */
const MAX_WRITES = 4

/** Time for the client of a relay that was cut to read the rest, in ms. */
const PATIENCE = 30 * 1000

/** Time for a relay to end because this process is about to stop, in ms. */
const FAREWELL = 5 * 1000

/** What both kinds of requests have in common. */
class Asked extends Stream {
  constructor(nodes, name, sid, refuse) {
    super(nodes, name)
    this.sid = sid
    /** Answers the request with an error. */
    this.refuse = refuse
  }

  /** The owner does not serve the request, and says why. */
  onRefusal(head) {
    const refusal = readRefusal(head.toString())
    if (refusal === undefined) return this.onMalformed()
    this.act('done')
    this.end()
    this.refuse(refusal.code, refusal.context)
  }

  /** The owner has sent something that cannot be read. It hears that the client does not get what it has sent. */
  onMalformed() {
    debug('a node has sent an answer that cannot be read')
    this.cut()
    this.refuse(ErrorCode.UNKNOWN_SID, { sid: this.sid })
  }

  onLeave() {
    this.act('cut')
    this.hear('onFailed', { what: 'unavailable' })
  }
}

/** A poll or a POST. */
class AskedRequest extends Asked {
  /**
   * @param {import('./nodes').Nodes} nodes
   * @param {import('http').ServerResponse} res
   * @param {(code: number, context: object) => void} refuse
   * @param {boolean} [isSecond] whether the request is asked for once more
   */
  constructor(nodes, sid, req, res, refuse, body = EMPTY, isSecond = false) {
    const isPoll = req.method !== 'POST'
    const first = body.subarray(0, PIECE)
    // the end of a poll's body, which has no bytes, asks for an answer soon
    const isAll = !isPoll && first.length === body.length
    const head = Buffer.from(headOf(req))
    super(nodes, nodes.act('ask', isPoll ? 'poll' : 'post', sid, head, first, isAll), sid, refuse)
    this.req = req
    this.res = res
    this._isPoll = isPoll
    /** The body, for the case that the session moves before its owner has all of it. */
    this._body = body
    this._isSecond = isSecond
    /** Bytes of the answer's body, as far as they have come, and in all if the answer says so. */
    this._got = 0
    this._length = undefined
    watch(this)
    if (!isPoll && !isAll) this.write(body.subarray(first.length), true)
  }

  end() {
    super.end()
    unwatch(this)
  }

  /** The client has gone. */
  onClose() {
    this.cut()
  }

  release() {
    if (this._isPoll && !this.isOver && !this.res.headersSent) this.write(EMPTY, true)
  }

  /** Writes the owner's answer. The owner hears whether it has been written, because its packets are lost otherwise. */
  onAnswer({ number: status, head, body, last }) {
    const { res } = this
    if (res.headersSent) {
      debug('something else has answered the request')
      return this.cut()
    }
    if (status === REFUSED) return this.onRefusal(head)
    const answer = readAnswerHead(head.toString())
    if (answer === undefined) return this.onMalformed()
    this.nodes.cluster.endIfLeaving(res)
    try {
      res.writeHead(answer.status, answer.headers)
    } catch (error) {
      this.cut()
      failRequest(res)
      throw error
    }
    this._length = answer.length
    this.onData({ body, last })
  }

  onData({ body, last }) {
    const { res } = this
    this._got += body.length
    const isTooLong = this._got > this._length
    if (isTooLong || (last && this._length !== undefined && this._got < this._length)) {
      debug('a node has sent an answer of another length than it has said')
      this.cut()
      return res.destroy()
    }
    if (!last) return body.length > 0 ? void res.write(body, () => this.consumed(body.length)) : undefined
    const connection = connectionOf(this.req, res)
    res.on('finish', () => {
      if (this.isOver) return
      if (!isWritten(this.req, res, connection)) return this.cut()
      this.act('done')
      this.end()
    })
    res.end(body)
  }

  onFailed({ what }) {
    this.end()
    if (this.res.headersSent) this.res.destroy()
    else if (what === 'here') this._serveHere()
    else if (what === 'again') this._askAgain()
    else this.nodes.refuse(what, this.sid, this.refuse)
  }

  /** The session has moved to this server. */
  _serveHere() {
    // the body of a POST has been read
    const req = this._isPoll ? this.req : readRequest(headOf(this.req), this._body)
    if (req === undefined) return this.nodes.refuse('unknown', this.sid, this.refuse)
    if (!this._isPoll) req[kResponse] = this.res
    this.nodes.server[kServeForwarded](req, this.res, this.refuse)
  }

  /** The session has moved while more than the request was on its way. A session moves once. */
  _askAgain() {
    const { nodes, sid, req, res, refuse } = this
    if (this._isSecond) return nodes.refuse('unavailable', sid, refuse)
    const asked = new AskedRequest(nodes, sid, req, res, refuse, this._body, true)
    // a poll that was to be answered soon
    if (nodes.cluster.isLeaving) asked.release()
  }
}

/**
 * An upgrade. Either the owner lets this node have the session, or it answers that it goes on, and the bytes of the
 * connection are relayed behind that.
 */
class AskedUpgrade extends Asked {
  /**
   * @param {import('./nodes').Nodes} nodes
   * @param {import('stream').Duplex} socket
   * @param {object | undefined} headers for the response
   * @param {() => void} [onTaken] is called when the owner goes on with the connection
   */
  constructor(nodes, sid, req, socket, head, headers, refuse, onTaken = undefined) {
    // a connection that another process of the machine has received is relayed
    const terms = onTaken === undefined ? nodes.server[kTerms]() : undefined
    const text = `${terms ?? ''}\0${JSON.stringify(headers ?? {})}\0${headOf(req)}`
    super(nodes, nodes.act('ask', 'upgrade', sid, Buffer.from(text), EMPTY, false), sid, refuse)
    this.req = req
    this.socket = socket
    this._head = head
    this._headers = headers ?? {}
    /** Whether this server takes the session over, if its owner lets it. */
    this.mayClaim = terms !== undefined
    this._onTaken = onTaken ?? (() => {})
    this._isRelayed = false
    /** Whether what the client sends is not sent on any more. */
    this._isClosing = false
    this.onClose = () => {
      if (!this.hasSentLast || !this.hasLast) return this.cut()
      this.act('done')
      this.end()
    }
    socket.on('close', this.onClose)
  }

  end() {
    super.end()
    this.socket.removeListener('close', this.onClose)
  }

  /** The session is one of this server now. */
  onClaimed() {
    const { req, socket } = this
    this.end()
    if (!socket.destroyed) this.nodes.server[kAccept](req, socket, this._head)
  }

  /** Another upgrade has brought the session here. */
  _serveHere() {
    const { req, socket, nodes } = this
    nodes.server[kServeMoved](req, socket, this._head, this._headers, (code, context) => {
      if (code === undefined) this._onTaken()
      else this.refuse(code, context)
    })
  }

  onAnswer({ number: status, head, body, last }) {
    if (status === REFUSED) return this.onRefusal(head)
    if (status !== 101 || last) return this.onMalformed()
    const { socket } = this
    this._isRelayed = true
    this._onTaken()
    socket.once('close', () => this.nodes.onRelayOver(this))
    socket.on('end', () => this._close())
    socket.on('data', (chunk) => this._relay(chunk))
    if (this._head.length > 0) this._relay(this._head)
    this._head = EMPTY
    // the client may have ended its side while the owner was asked
    if (socket.readableEnded) this._close()
    this.onWritable()
    this.onData({ body, last })
    this.nodes.onRelay(this)
  }

  /** Nothing follows from the client. */
  _close() {
    if (this._isClosing) return
    this._isClosing = true
    this.write(EMPTY, true)
  }

  /**
   * Ends the connection because this process is about to stop. The owner sees the client's end behind what the client
   * has sent so far, and the client still gets what the owner has sent.
   */
  endRelay() {
    const { socket } = this
    if (socket.destroyed) return
    this._close()
    socket.resume()
    socket.once('finish', () => socket.destroy())
    const timer = setTimeout(() => socket.destroy(), FAREWELL)
    timer.unref()
    socket.once('close', () => clearTimeout(timer))
  }

  _relay(chunk) {
    const { socket } = this
    if (this._isClosing) return
    this.write(chunk, false, () => {
      if (this.waiting < MAX_WRITES) socket.resume()
    })
    if (this.waiting >= MAX_WRITES) socket.pause()
  }

  onData({ body, last }) {
    const { socket } = this
    if (body.length > 0) socket.write(body, () => this.consumed(body.length))
    if (!last) return
    this.hasLast = true
    socket.end()
  }

  onFailed({ what }) {
    this.end()
    const { socket, nodes } = this
    if (what === 'here') return this._serveHere()
    if (!this._isRelayed) return nodes.refuse(what, this.sid, this.refuse)
    // what came before is still written
    socket.end(() => socket.destroy())
    const timer = setTimeout(() => socket.destroy(), PATIENCE)
    timer.unref()
    socket.on('close', () => clearTimeout(timer))
  }
}

/** Has a session end because the body of a POST could not be read: the owner gets a POST that breaks off. */
function failPost(nodes, sid) {
  const name = nodes.act('ask', 'post', sid, EMPTY, EMPTY, false)
  nodes.act('cut', name)
}

module.exports = { AskedRequest, AskedUpgrade, failPost }
