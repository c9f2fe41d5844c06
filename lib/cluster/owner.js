'use strict'

// What this member does for its fronts, the members that have made a link to it: it serves their requests as the owner
// of the sessions, or has another machine do so, as their gateway. It knows sessions by what the server offers for them,
// links by their numbers, and nothing of what the client's connection at the front is.

const debug = require('debug')('engine:cluster')
const net = require('net')
const bridge = require('../native/bridge')
const { apart } = require('../native/context')
const { ErrorCode, PeerMessage } = require('../native/contract')
const { sidOf } = require('../base/query')
const { showClient } = require('./head')
const { apartFromErrors } = require('./link')
const { readMove, readRequest, upgradeRequest } = require('./messages')
const { Numbered } = require('./numbered')
const { goTo } = require('./passages')
const { UNAVAILABLE } = require('./refusals')
const { ForwardedResponse } = require('./response')
const { Unsettled } = require('./unsettled')
const { kClient, kEndLost, kFailPost, kReleasePoll, kServeForwarded, kServeMoved } = require('../base/symbols')

const EMPTY = Buffer.alloc(0)

// taken when the module is loaded: tests of applications replace it by a fake
const { nextTick } = process

/** The messages to an owner, or to a gateway, with a connection that moves. */
const MOVES = [PeerMessage.MOVE, PeerMessage.ASK_MOVE]

/** The messages to an owner, or to a gateway, with a connection whose bytes the front carries. */
const CARRIES = [PeerMessage.CARRY, PeerMessage.ASK_CARRY]

/** The messages to a gateway with a connection. */
const ASKS = [PeerMessage.ASK_MOVE, PeerMessage.ASK_CARRY]

/** Why a request is refused that this member cannot read, or that comes without its connection. */
const MALFORMED = { name: 'TRANSPORT_HANDSHAKE_ERROR' }

class Owner {
  /**
   * @param {import('./index').Cluster} cluster
   * @param {any} server
   */
  constructor(cluster, server) {
    this._cluster = cluster
    this._server = server
    this._links = cluster.links
    this._nodes = cluster.nodes
    /** The responses to the requests of fronts, by the numbers of links and requests. */
    this._fronts = new Map()
    /** Without a bus, answers that are on their way to other machines. */
    this._unsettled = new Unsettled(server)
  }

  /**
   * Has a poll or a POST of a session of this process served by `serve`, or later, see `Nodes.admit`.
   *
   * @param {(code: number, context: object) => void} refuse answers with an error instead
   */
  admit(sid, req, res, serve, refuse) {
    if (this._nodes !== undefined) this._nodes.admit(sid, req, res, serve, refuse)
    else if (this._unsettled.isEmpty) serve()
    else this._unsettled.admit(sid, req, res, serve, refuse)
  }

  /** Called when a session of this process has ended. */
  onSessionOver(sid) {
    this._unsettled.onSessionOver(sid)
  }

  /** Takes a message that has come on a link of a front, or with which that begins or ends. */
  take(from, kind, number, head, body, descriptor) {
    // only connections that move come with them
    if (descriptor >= 0 && !MOVES.includes(kind)) bridge.getEngine().closeDescriptor(descriptor)
    if (kind === PeerMessage.REQUEST || kind === PeerMessage.ASK || kind === PeerMessage.SERVE) {
      return this._serve(from, kind, number, head, bytesOf(body))
    }
    if (MOVES.includes(kind)) return this._accept(from, kind, number, head, bytesOf(body), descriptor)
    if (CARRIES.includes(kind)) return this._fetch(from, kind, number, head, bytesOf(body))
    if (kind === PeerMessage.DOWN) return this._lose(from)
    if (kind === PeerMessage.PRESENT) return this._nodes?.lookAround()
    if (kind === PeerMessage.ASK_FAIL) return this._cluster.isFar(head) ? this._nodes.failPost(head) : undefined
    if (kind === PeerMessage.FIND) {
      const isHere = this._server[kClient](head) !== undefined
      return this._links.send(from, PeerMessage.FOUND, number, '', isHere ? 'y' : undefined)
    }
    if (kind === PeerMessage.FAIL) {
      // ids of the application may have any characters
      const at = head.indexOf('\0')
      if (at === -1) return debug('a peer does not say what failed')
      return this._server[kFailPost](head.slice(at + 1), head.slice(0, at))
    }
    const res = this._fronts.get(from)?.get(number)
    if (res === undefined) return
    if (kind === PeerMessage.RELEASE) {
      res.isReleased = true
      return res.release === undefined ? this._server[kReleasePoll](sidOf(res.req), res) : res.release()
    }
    this._fronts.get(from).delete(number)
    // what has not been answered cannot have been written
    if (kind === PeerMessage.DONE && res.writableEnded) res.finish()
    else res.abort()
  }

  /** Serves a poll or a POST, or asks another machine for its session. */
  _serve(from, kind, number, head, body) {
    const refuse = (code, context) => this._refuseFront(from, number, code, context)
    let responses = this._fronts.get(from)
    const req = responses?.has(number) ? undefined : readRequest(head, body)
    if (req === undefined) return refuse(ErrorCode.BAD_REQUEST, MALFORMED)
    if (responses === undefined) this._fronts.set(from, (responses = new Numbered()))
    const sid = sidOf(req)
    const refuseIt = (code, context) => {
      responses.delete(number)
      refuse(code, context)
    }
    const res = new ForwardedResponse(req, {
      answer: (status, headers, content) => {
        const text = JSON.stringify([status, headers])
        const isSent = this._links.send(from, PeerMessage.ANSWER, number, text, content)
        if (isSent && kind === PeerMessage.SERVE) this._settle(sid, req, res)
        // whether it has been written makes no difference
        if (isSent && kind === PeerMessage.REQUEST && req.method === 'POST') {
          responses.delete(number)
          nextTick(finish, res)
        }
        return isSent
      },
      cutOff: () => {
        responses.delete(number)
        this._links.send(from, PeerMessage.ABORT, number, '')
      },
      refuse: refuseIt,
    })
    responses.add(number, res)
    if (kind === PeerMessage.ASK && this._server[kClient](sid) === undefined) {
      if (!this._mayAsk(sid, refuseIt)) return
      // the front waits longer from now on
      this._links.send(from, PeerMessage.TAKEN, number, '')
      const asked = this._nodes.forward(sid, req, res, refuseIt, req.method === 'POST' ? body : undefined)
      if (asked !== undefined) res.release = () => asked.release()
      if (this._cluster.isLeaving) asked?.release()
      return
    }
    this._cluster.counts.served++
    this.admit(sid, req, res, () => this._server[kServeForwarded](req, res, refuseIt), refuseIt)
  }

  /** Has further requests of a session wait until it is known what has become of an answer on another machine. */
  _settle(sid, req, res) {
    this._unsettled.begin(sid, req)
    res.once('close', () => {
      try {
        if (!res.writableFinished) this._server[kEndLost](sid)
      } finally {
        this._unsettled.end(sid, req)
      }
    })
  }

  /** Whether the nodes of the bus may be asked for a session, for another process of this machine. Refuses if not. */
  _mayAsk(sid, refuse) {
    if (this._nodes === undefined) refuse(ErrorCode.BAD_REQUEST, UNAVAILABLE)
    else if (!this._cluster.isFar(sid)) refuse(ErrorCode.UNKNOWN_SID, { sid })
    else return true
    return false
  }

  /** Has a peer answer a request with an error. */
  _refuseFront(from, number, code, context = {}) {
    const moved = code === ErrorCode.UNKNOWN_SID && this._cluster.hasMoved(context.sid)
    this._links.send(from, PeerMessage.REFUSAL, number, JSON.stringify([code, moved ? { ...context, moved } : context]))
  }

  /** Goes on with a connection that a peer has accepted, and whose descriptor has come. */
  _accept(from, kind, number, text, early, descriptor) {
    const move = readMove(text)
    let socket
    if (descriptor >= 0 && move !== undefined) socket = socketOf(descriptor)
    else if (descriptor >= 0) bridge.getEngine().closeDescriptor(descriptor)
    this._goOn(from, kind, number, move, early, socket)
  }

  /** Goes on with a connection that a peer has accepted, and whose bytes it carries on one that is made to it. */
  _fetch(from, kind, number, text, terms) {
    const move = readMove(text)
    if (move === undefined) return this._goOn(from, kind, number, move, EMPTY, undefined)
    goTo(this._cluster.directory, terms.toString('latin1'), (socket) =>
      this._goOn(from, kind, number, move, EMPTY, socket),
    )
  }

  _goOn(from, kind, number, move, early, socket) {
    const refuse = (code, context) => this._refuseFront(from, number, code, context)
    if (socket === undefined) return refuse(ErrorCode.BAD_REQUEST, MALFORMED)
    const { head, headers } = move
    showClient(socket, head)
    const req = upgradeRequest(head, socket)
    if (req === undefined) {
      socket.destroy()
      return refuse(ErrorCode.BAD_REQUEST, MALFORMED)
    }
    const decide = (code, context) => {
      if (code === undefined) return this._links.send(from, PeerMessage.TAKEN, number, '')
      // this closes one of two descriptors, and the peer answers by the other
      socket.destroy()
      refuse(code, context)
    }
    const sid = sidOf(req)
    if (ASKS.includes(kind) && this._server[kClient](sid) === undefined) {
      socket.on('error', (error) => debug('a relayed connection has broken: %s', error.message))
      if (this._mayAsk(sid, decide)) this._nodes.upgrade(sid, req, socket, early, headers, decide, () => decide())
      return
    }
    this._server[kServeMoved](req, socket, early, headers, (code, context) => {
      if (code === undefined) this._cluster.counts.accepted++
      decide(code, context)
    })
  }

  /** A front has gone, and with it the clients of its requests. */
  _lose(from) {
    const responses = this._fronts.get(from)
    if (responses === undefined) return
    this._fronts.delete(from)
    for (const res of responses.values()) apartFromErrors(() => apart(res.abort, res))
  }

  /** Called when this member has left. */
  leaveNow() {
    for (const from of [...this._fronts.keys()]) this._lose(from)
  }
}

function finish(res) {
  res.finish()
}

/** The bytes of a message's body, which is a string if they are ASCII. */
function bytesOf(body) {
  if (body === undefined) return EMPTY
  return typeof body === 'string' ? Buffer.from(body, 'latin1') : body
}

/** Makes a socket of a descriptor, which is closed if it is something else. */
function socketOf(descriptor) {
  const options = { fd: descriptor, readable: true, writable: true, allowHalfOpen: true, manualStart: true }
  try {
    return new net.Socket(/** @type {any} */ (options))
  } catch (error) {
    debug('cannot use a descriptor: %s', error.message)
    bridge.getEngine().closeDescriptor(descriptor)
    return undefined
  }
}

module.exports = { Owner }
