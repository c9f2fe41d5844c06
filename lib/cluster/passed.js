'use strict'

// Requests that this member has received and passed to the owner of their session.

const debug = require('debug')('engine:cluster')
const net = require('net')
const { setTimeout } = require('timers')
const { capture } = require('../native/context')
const { ErrorCode, PeerMessage } = require('../native/contract')
const { endWith } = require('../native/node-internals')
const { failRequest } = require('../transports/errors')
const { readAnswer, readRefusal } = require('./messages')
const { kIsShared } = require('../base/symbols')

/** Milliseconds for the other end of a relayed stream, if one has ended. */
const PATIENCE = 30 * 1000

/** Milliseconds for both ends, if this process is about to stop. */
const FAREWELL = 1000

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
    this.cluster.send(this.link.number, kind, this.number, '')
  }

  /** Stops waiting for the peer. */
  forget() {
    const { requests, unsent } = this.link
    requests.delete(this.number)
    if (unsent.size > 0) unsent.delete(this)
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
    if (this.isFar) this.cluster.refuseUnavailable(this.refuse)
    else this.refuse(ErrorCode.UNKNOWN_SID, { sid: this.sid })
  }
}

/** The request that a response answers. */
const kPassed = Symbol('passed')

function onClose() {
  this[kPassed].onClose()
}

/** A poll or a POST. */
class PassedRequest extends Passed {
  /**
   * @param {import('http').ServerResponse} res
   * @param {boolean} isSettled whether the owner hears if the client has the answer: that to a poll, or from another
   *   machine
   */
  constructor(cluster, link, number, refuse, terms, res, isSettled) {
    super(cluster, link, number, refuse, terms)
    this.res = res
    this.isSettled = isSettled
    this.isWritten = false
    res[kPassed] = this
    res.on('close', onClose)
  }

  forget() {
    super.forget()
    this.res.removeListener('close', onClose)
  }

  /** The client has gone, or has the answer. */
  onClose() {
    if (!this.isWritten) this.send(PeerMessage.ABORT)
    this.forget()
  }

  /** Writes the owner's answer. The owner hears whether it has been written, because its packets are lost otherwise. */
  onAnswer(head, body) {
    const { res } = this
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
    const { socket } = res
    if (typeof body === 'string') endWith(res, body, body.length)
    else res.end(body)
    // the owner does not wait for this
    if (!this.isSettled) return this.forget()
    // the kernel has taken all of it
    if (res.writableEnded && socket && !socket.destroyed && socket.writableLength === 0) {
      this.isWritten = true
      this.send(PeerMessage.DONE)
      return this.forget()
    }
    // the client may take its time
    this.deadline = Infinity
    const onWritten = () => {
      // this comes even if the connection broke under the write
      this.isWritten = !(socket && socket.destroyed)
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

  /** The peer has handed the request on to another machine. */
  onTaken() {
    if (this.isFar) this.cluster.onHandedOn(this)
  }

  /** The owner has not answered in time, or the peer that asks it. */
  onLate() {
    this.send(PeerMessage.ABORT)
    if (this.isFar) this.cluster.onLateGateway(this.link)
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
    if (this.isFar) this.cluster.onLateGateway(this.link)
    this.onDown()
  }
}

/** Carries the bytes of a stream to the descriptor of a UNIX socket and back. Either of them waits for the other. */
class Relay {
  /**
   * @param {import('stream').Duplex} stream
   * @param {() => void} onOver is called when the stream has closed
   */
  constructor(stream, descriptor, head, onOver) {
    const pair = new net.Socket({ fd: descriptor, readable: true, writable: true, allowHalfOpen: true })
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

module.exports = { PassedRequest, PassedUpgrade, Relay }
