'use strict'

// Requests that this member has received and passed to the owner of their session.

const debug = require('debug')('engine:cluster')
const { connectionOf, isWaiting, isWritten, unwatch, watch } = require('../base/client')
const { capture } = require('../native/context')
const { ErrorCode, PeerMessage } = require('../native/contract')
const { endWith } = require('../native/node-internals')
const { failRequest } = require('../transports/errors')
const { readAnswer, readRefusal } = require('./messages')
const { kIsShared } = require('../base/symbols')

/** What both kinds of requests have in common. */
class Passed {
  /**
   * @param {import('./index').Cluster} cluster
   * @param {import('./link').Link} link
   * @param {number} number
   * @param {(code: number, context: object) => void} refuse answers the request with an error
   * @param {{sid: string, deadline: number, elsewhere: (code: number, context: object) => void, isFar: boolean}} terms
   *   `elsewhere` is called instead of `refuse` if the peer does not have the session; `isFar` says that the session is
   *   on another machine, and the peer asks for it
   */
  constructor(cluster, link, number, refuse, { sid, deadline, elsewhere, isFar }) {
    this.cluster = cluster
    this.link = link
    this.number = number
    this.refuse = refuse
    this.elsewhere = elsewhere
    this.sid = sid
    this.isFar = isFar
    /** When the peer must have answered, by `performance.now()`. */
    this.deadline = deadline
    this.context = capture()
    link.requests.add(number, this)
  }

  /** Calls the method for what has come, in the context of the request. */
  hear(method, ...args) {
    if (typeof this[method] === 'function') this.context.runInAsyncScope(this[method], this, ...args)
  }

  send(kind) {
    this.cluster.links.send(this.link.number, kind, this.number, '')
  }

  /** Stops waiting for the peer. */
  forget() {
    const { requests, unmoved, unsent } = this.link
    requests.delete(this.number)
    for (const queue of [unmoved, unsent]) if (queue.size > 0) queue.delete(this)
  }

  /** The owner refuses the request. */
  onRefusal(head) {
    const refusal = readRefusal(head)
    if (refusal === undefined) return this.onMalformed()
    this.forget()
    const { code, context } = refusal
    if (code === ErrorCode.UNKNOWN_SID) this.elsewhere(code, context)
    else this.refuse(code, context)
  }

  /** The owner has sent something that cannot be read. It hears that the client does not get what it has sent. */
  onMalformed() {
    debug('a peer has sent a message that cannot be read')
    this.send(PeerMessage.ABORT)
    this.forget()
    this.onDown()
  }

  /** The session is gone with its owner, or cannot be reached. */
  onDown() {
    if (this.isFar) this.cluster.front.refuseUnavailable(this.refuse)
    else this.refuse(ErrorCode.UNKNOWN_SID, { sid: this.sid })
  }
}

/** A poll or a POST. */
class PassedRequest extends Passed {
  /**
   * @param {import('http').IncomingMessage} req
   * @param {import('http').ServerResponse} res
   * @param {boolean} isSettled whether the owner hears if the client has the answer: that to a poll, or from another
   *   machine
   */
  constructor(cluster, link, number, refuse, terms, req, res, isSettled) {
    super(cluster, link, number, refuse, terms)
    this.req = req
    this.res = res
    this.isSettled = isSettled
    this.isWritten = false
    watch(this)
  }

  forget() {
    super.forget()
    unwatch(this)
  }

  /** The client has gone, or has the answer. */
  onClose() {
    if (!this.isWritten) this.send(PeerMessage.ABORT)
    this.forget()
  }

  /** Writes the owner's answer. The owner hears whether it has been written, because its packets are lost otherwise. */
  onAnswer(head, body) {
    const { req, res } = this
    if (res.headersSent) {
      debug('something else has answered the request')
      this.send(PeerMessage.ABORT)
      return this.forget()
    }
    const answer = readAnswer(head, body)
    if (answer === undefined) return this.onMalformed()
    this.cluster.endIfLeaving(res)
    try {
      res.writeHead(answer.status, answer.headers)
    } catch (error) {
      this.send(PeerMessage.ABORT)
      this.forget()
      failRequest(res)
      throw error
    }
    const connection = connectionOf(req, res)
    if (typeof body === 'string') endWith(res, body, body.length)
    else res.end(body)
    // the owner does not wait for this
    if (!this.isSettled) return this.forget()
    // the kernel has taken all of it
    if (res.writableEnded && connection && !connection.destroyed && !isWaiting(req, res)) {
      this.isWritten = true
      this.send(PeerMessage.DONE)
      return this.forget()
    }
    // the client may take its time
    this.deadline = Infinity
    const onWritten = () => {
      this.isWritten = isWritten(req, res, connection)
      if (this.isWritten) this.send(PeerMessage.DONE)
    }
    if (res.writableFinished) onWritten()
    else res.on('finish', onWritten)
  }

  /** The owner has the client cut off. */
  onAbort() {
    this.forget()
    this.res.destroy()
  }

  onDown() {
    this.forget()
    if (this.res.headersSent) this.res.destroy()
    else super.onDown()
  }

  /** The peer has handed the request on to another machine: it is answered in the time of a poll. */
  onTaken() {
    if (this.isFar) this.deadline = this.cluster.links.pollDeadline()
  }

  /** The owner has not answered in time, or the peer that asks it. */
  onLate() {
    this.send(PeerMessage.ABORT)
    if (this.isFar) this.cluster.gateways?.avoid(this.link)
    this.onDown()
  }

  /** This process is about to stop. */
  onLeave() {
    this.send(PeerMessage.RELEASE)
  }
}

/** An upgrade, whose connection moves to the owner. */
class PassedUpgrade extends Passed {
  /**
   * @param {import('stream').Duplex} socket
   * @param {{carry: (socket: import('stream').Duplex) => void, close: () => void} | undefined} carrier carries the bytes
   *   of a socket that cannot move, by a descriptor that has to be closed otherwise
   */
  constructor(cluster, link, number, refuse, terms, socket, carrier) {
    super(cluster, link, number, refuse, terms)
    this.socket = socket
    this.carrier = carrier
    if (carrier === undefined) socket[kIsShared] = true
  }

  /** The owner serves the connection. This process closes its copy, which does not end it. */
  onTaken() {
    const { carrier, socket } = this
    const isHere = !socket.destroyed
    if (carrier !== undefined && isHere) this.carrier = undefined
    this.forget()
    if (carrier === undefined) socket.destroy()
    else if (isHere) carrier.carry(socket)
  }

  forget() {
    super.forget()
    this.carrier?.close()
    this.carrier = undefined
  }

  onDown() {
    this.forget()
    super.onDown()
  }

  /** The owner has not taken the connection in time. If it goes on, it finds that the connection has ended. */
  onLate() {
    if (this.isFar) this.cluster.gateways?.avoid(this.link)
    this.onDown()
  }
}

module.exports = { PassedRequest, PassedUpgrade }
