'use strict'

// What this member does as the front of sessions that others have: it passes polls, POSTs and upgrades on to the owner,
// by a link if that is on this machine, else over the bus or by way of a gateway. It knows how an owner can be reached,
// and not what it does. The answers are heard by the requests themselves, see passed.js.

const debug = require('debug')('engine:cluster')
const { hasGone, isOver } = require('../base/client')
const { ErrorCode, FaultText, PeerMessage, PeerSent } = require('../native/contract')
const { handleOf, isOwedAnAnswer } = require('../native/node-internals')
const { canTakeOver, readEarly } = require('../native/upgrade-server')
const { readBody } = require('../transports/read-body')
const { headOf } = require('./head')
const { PairPassage, passing } = require('./passages')
const { PassedRequest, PassedUpgrade } = require('./passed')
const { UNAVAILABLE } = require('./refusals')
const { kFailPost } = require('../base/symbols')

/** What `Cluster.peerOf` returns for a session of another machine. */
const BUS = -1

/** The same if another process of this machine is a member of the bus. */
const GATEWAY = -2

class Front {
  /**
   * @param {import('./index').Cluster} cluster
   * @param {any} server
   */
  constructor(cluster, server) {
    this._cluster = cluster
    this._server = server
    this._links = cluster.links
    this._relays = cluster.relays
    this._search = cluster.search
    this._nodes = cluster.nodes
    this._gateways = cluster.gateways
  }

  /** Has the new owner of a session that has moved answer a poll or a POST. */
  forwardMoved(sid, req, res, refuse) {
    this.forward(BUS, sid, req, res, refuse)
  }

  /**
   * Has the owner of a session answer a poll or a POST.
   *
   * @param {number} peer see `peerOf`
   * @param {(code: number, context: object) => void} refuse answers with an error instead
   */
  forward(peer, sid, req, res, refuse) {
    if (req.method !== 'POST') return this._forward(peer, sid, req, res, refuse, undefined)
    readBody(req, this._server.opts, {
      onEnd: (body) => this._forward(peer, sid, req, res, refuse, body),
      onAborted: () => this._failPost(peer, sid, FaultText.DATA_ABORTED),
      onRefused: (status, message) => {
        res.writeHead(status).end()
        this._failPost(peer, sid, message)
        req.destroy()
      },
    })
  }

  _forward(peer, sid, req, res, refuse, body, isSecond = false) {
    if (peer === BUS) return this._forwardOverBus(sid, req, res, refuse, body)
    const head = headOf(req)
    if (peer === GATEWAY) return this._forwardToGateway(sid, head, req, res, refuse, body)
    // most often there is a link, and the id names the peer, which has the session if there is no bus
    const link = this._links.to(peer)
    const isUsual = link !== undefined && link.isUp && !this._mayReachBus && this._search.isEmpty
    if (isUsual && !isOver(req, res)) {
      if (!this._pass(link, sid, req, res, refuse, refuse, head, body)) this.refuseGone(sid, refuse)
      return
    }
    const again = (next) => this._forward(next, sid, req, res, refuse, body, true)
    const ask = () => {
      if (this._nodes === undefined) this._forwardToGateway(sid, head, req, res, refuse, body)
      else this._forwardOverBus(sid, req, res, refuse, body)
    }
    const other = isSecond ? refuse : this._elsewhere(peer, sid, refuse, again)
    // the peer knows that a node of the bus has the session
    const elsewhere = (code, refusal = {}) => {
      const { moved, ...context } = /** @type {any} */ (refusal)
      if (moved && this._mayReachBus) ask()
      else other(code, context)
    }
    const fail = () => this.refuseGone(sid, elsewhere)
    this._links.whenUp(peer, this._isElsewhere(peer, sid) ? ask : fail, (link) => {
      if (isOver(req, res)) return debug('the request is over')
      if (!this._pass(link, sid, req, res, refuse, elsewhere, head, body)) fail()
    })
  }

  /** Passes a poll or a POST to the owner of its session. Returns false if this cannot be done. */
  _pass(link, sid, req, res, refuse, elsewhere, head, body) {
    const terms = { sid, deadline: this._links.pollDeadline(), elsewhere, isFar: false }
    const isPoll = body === undefined
    if (this._passOn(link, PeerMessage.REQUEST, terms, refuse, req, res, isPoll, head, body) === undefined) return false
    this._cluster.counts.forwarded++
    return true
  }

  /** Sends a poll or a POST on a link, at once or later. Returns nothing if this cannot be done. */
  _passOn(link, kind, terms, refuse, req, res, isSettled, head, body) {
    const number = this._links.nextRequest()
    const send = () => this._links.trySend(link.number, kind, number, head, body)
    const sent = link.unsent.size === 0 ? send() : PeerSent.LATER
    if (sent === PeerSent.NO) return undefined
    const request = new PassedRequest(this._cluster, link, number, refuse, terms, req, res, isSettled)
    if (sent === PeerSent.LATER) this._links.sendLater(link, link.unsent, request, kind, send)
    // as all polls of this member's clients that wait; others would come again at once
    else if (kind !== PeerMessage.SERVE && this._cluster.isLeaving) request.onLeave()
    return request
  }

  /** Has a poll or a POST answered by another machine. */
  _forwardOverBus(sid, req, res, refuse, body) {
    const asked = this._nodes.forward(sid, req, res, refuse, body)
    if (this._cluster.isLeaving) asked?.release()
  }

  /** Has a poll or a POST answered by way of a process of this machine that is a member of the bus. */
  _forwardToGateway(sid, head, req, res, refuse, body) {
    this._gateways.reach(
      () => this.refuseUnavailable(refuse),
      (link) => {
        if (isOver(req, res)) return true
        const terms = { sid, deadline: this._links.deadline(0), elsewhere: refuse, isFar: true }
        if (this._passOn(link, PeerMessage.ASK, terms, refuse, req, res, true, head, body) === undefined) return false
        this._cluster.counts.viaGateway++
        return true
      },
    )
  }

  /**
   * Has a poll or a POST that came from another machine answered by a member of this one.
   *
   * @param {any} res a `ForwardedResponse`
   */
  handOn(peer, sid, req, res, refuse, body) {
    const fail = () => this.refuseGone(sid, refuse)
    let isReleased = false
    res.release = () => {
      isReleased = true
    }
    this._links.whenUp(peer, fail, (link) => {
      if (hasGone(req, res)) return
      const terms = { sid, deadline: this._links.pollDeadline(), elsewhere: refuse, isFar: false }
      const passed = this._passOn(link, PeerMessage.SERVE, terms, refuse, req, res, true, headOf(req), body)
      if (passed === undefined) return fail()
      res.release = () => passed.onLeave()
      if (isReleased) passed.onLeave()
    })
  }

  /** Has a session end because another machine could not read the body of its POST. */
  failPost(sid, message) {
    const neighbour = this._cluster.neighbourOf(sid)
    if (neighbour === undefined) this._server[kFailPost](sid, message)
    else this._failPost(neighbour, sid, message)
  }

  /** Has a session end because the body of a POST could not be read. */
  _failPost(peer, sid, message) {
    const ask = () => {
      if (this._nodes !== undefined) return this._nodes.failPost(sid)
      const fail = () => debug('no process tells the session %s that its POST has failed', sid)
      this._gateways.reach(fail, (link) => this._links.send(link.number, PeerMessage.ASK_FAIL, 0, sid))
    }
    if (peer === BUS || peer === GATEWAY) return ask()
    const fail = () => this._isElsewhere(peer, sid) && ask()
    this._links.whenUp(peer, fail, (link) => this._links.send(link.number, PeerMessage.FAIL, 0, `${message}\0${sid}`))
  }

  /**
   * Moves a connection that asks for an upgrade to the owner of its session.
   *
   * @param {object | undefined} headers for the response to the upgrade
   * @param {() => void} [onTaken] is called when the owner goes on with the connection
   */
  move(peer, sid, req, socket, head, headers, refuse, onTaken = undefined, isSecond = false, isStopped = false) {
    if (peer === BUS) return this._nodes.upgrade(sid, req, socket, head, headers, refuse)
    const text = `${headers === undefined ? '{}' : JSON.stringify(headers)}\0${headOf(req)}`
    const moving = { sid, text, socket, early: head, isStopped, refuse, onTaken }
    if (peer === GATEWAY) return this._moveToGateway(moving)
    const again = (next) =>
      this.move(next, sid, req, socket, moving.early, headers, refuse, onTaken, true, moving.isStopped)
    const other = isSecond ? refuse : this._elsewhere(peer, sid, refuse, again)
    const ask = () => {
      if (this._nodes === undefined) return this._moveToGateway(moving)
      // the peer has not taken the connection, of which bytes are read here again
      if (moving.isStopped && !socket.destroyed) handleOf(socket).readStart()
      this._nodes.upgrade(sid, req, socket, moving.early, headers, refuse, onTaken)
    }
    // the peer knows that a node of the bus has the session
    const elsewhere = (code, refusal = {}) => {
      const { moved, ...context } = /** @type {any} */ (refusal)
      if (moved && this._mayReachBus) ask()
      else other(code, context)
    }
    const fail = () => this.refuseGone(sid, elsewhere)
    this._links.whenUp(peer, this._isElsewhere(peer, sid) ? ask : fail, (link) => {
      const terms = { sid, deadline: this._links.deadline(0), elsewhere, isFar: false }
      if (!this._moveOn(link, PeerMessage.MOVE, moving, terms)) fail()
    })
  }

  /** Moves a connection to a process of this machine that is a member of the bus. */
  _moveToGateway(moving) {
    const { sid, refuse } = moving
    this._gateways.reach(
      () => this.refuseUnavailable(refuse),
      (link) => {
        const terms = { sid, deadline: this._links.deadline(0), elsewhere: refuse, isFar: true }
        return this._moveOn(link, PeerMessage.ASK_MOVE, moving, terms)
      },
    )
  }

  /** Sends a connection on a link, at once or later. Returns false if this cannot be done. */
  _moveOn(link, kind, moving, terms) {
    const { text, socket, refuse, onTaken } = moving
    if (socket.destroyed) return true
    // an answer to a request before this one can only be written here
    const moves = passing.isPossible && canTakeOver(socket) && !isOwedAnAnswer(socket)
    let passage
    if (moves) {
      // what comes from now on, the owner reads
      handleOf(socket).readStop()
      moving.isStopped = true
      moving.early = readEarly(socket, moving.early)
    } else {
      passage = this._passage()
      if (passage === undefined) return false
    }
    const number = this._links.nextRequest()
    const send = () => {
      if (socket.destroyed) return PeerSent.NO
      const sent = moves
        ? this._links.trySend(link.number, kind, number, text, moving.early, handleOf(socket).fd)
        : this._links.trySend(link.number, passage.kindOf(kind), number, text, passage.body, passage.descriptor)
      if (sent === PeerSent.YES) passage?.sent()
      return sent
    }
    const sent = link.unmoved.size === 0 ? send() : PeerSent.LATER
    if (sent === PeerSent.NO) {
      passage?.close()
      return false
    }

    const carry = (stream) => {
      onTaken?.()
      this._relays.carry(stream, passage.take(), moving.early)
    }
    const means = moves ? undefined : { carry, close: () => passage.close() }
    const request = new PassedUpgrade(this._cluster, link, number, refuse, terms, socket, means)
    if (sent === PeerSent.LATER) this._links.sendLater(link, link.unmoved, request, kind, send)
    this._cluster.counts[moves ? 'moved' : 'relayed']++
    this._cluster.onMove()
    if (terms.isFar) this._cluster.counts.viaGateway++
    return true
  }

  /** Returns what carries the bytes of a connection that cannot move; undefined if the system has none left. */
  _passage() {
    if (!passing.isPossible) return this._cluster.door.expect()
    try {
      return new PairPassage()
    } catch {
      return undefined
    }
  }

  /**
   * Returns what is called when a peer turns out not to have a session. If the peer was found by asking, another one may
   * have a session with this id by now: then `again` goes on with that. Otherwise the request is refused.
   *
   * @param {(peer: number) => void} again
   */
  _elsewhere(peer, sid, refuse, again) {
    if (this._search.peerOf(sid) !== peer) return refuse
    return (code, context) => {
      if (this._search.peerOf(sid) === peer) this._search.forget(sid)
      this._cluster.find(sid, (next) => {
        if (next === undefined) refuse(code, context)
        else again(next)
      })
    }
  }

  /** Whether a member may be on another machine, from what is known without a link to it. */
  _isElsewhere(peer, sid) {
    if (this._links.hasReached(peer)) return false
    return this._nodes === undefined ? this._gateways.areExpected : this._cluster.isFar(sid)
  }

  /** Whether nodes of the bus can be asked, by this member or by way of a gateway. */
  get _mayReachBus() {
    return this._nodes !== undefined || this._gateways.areExpected
  }

  refuseGone(sid, refuse) {
    this._cluster.counts.failed++
    refuse(ErrorCode.UNKNOWN_SID, { sid })
  }

  /** Answers with an error because no process is there that could ask the owner. */
  refuseUnavailable(refuse) {
    this._cluster.counts.unavailable++
    refuse(ErrorCode.BAD_REQUEST, UNAVAILABLE)
  }
}

module.exports = { BUS, Front, GATEWAY }
