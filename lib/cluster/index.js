'use strict'

// A server among those of other processes of the machine that serve each other's sessions: see src/cluster/ for the
// links between them, and docs/SCALING.md for users.

const debug = require('debug')('engine:cluster')
const fs = require('fs')
const net = require('net')
const { performance } = require('perf_hooks')
const { setImmediate, setInterval, setTimeout } = require('timers')
const bridge = require('../native/bridge')
const { atRoot } = require('../native/context')
const { ErrorCode, FaultText, IdOwner, MEMBER_SHIFT, NO_HANDLE, PeerMessage, PeerSent } = require('../native/contract')
const { handleOf } = require('../native/node-internals')
const { canTakeOver, readEarly } = require('../native/upgrade-server')
const { readBody } = require('../transports/read-body')
const { sidOf } = require('../base/query')
const { Gateways } = require('./gateways')
const { headOf, showClient } = require('./head')
const { Link, apartFromErrors } = require('./link')
const { readMove, readRequest, upgradeRequest } = require('./messages')
const { Nodes } = require('./nodes')
const { Numbered } = require('./numbered')
const { PassedRequest, PassedUpgrade, Relay } = require('./passed')
const { UNAVAILABLE } = require('./refusals')
const { ForwardedResponse } = require('./response')
const { Search } = require('./search')
const { Unsettled } = require('./unsettled')
const {
  kClient,
  kEndLost,
  kFailPost,
  kFlushPeers,
  kOnPeers,
  kReleasePoll,
  kServeForwarded,
  kServeMoved,
} = require('../base/symbols')

/** How often messages are taken in one turn, and how many at most each time. */
const ROUNDS = 16
const MOST = 64

/** Milliseconds for an owner to take an upgrade, and what is added to the time in which it answers a poll. */
const PATIENCE = 10 * 1000

/** How often requests are looked for that are not answered in time, in ms. */
const LOOK = 2000

/** How long a member that leaves waits for answers, in ms. */
const FAREWELL = 1000

/** Milliseconds until a request is sent that a peer could not take, because it does not read as fast. */
const RETRY = 5

/** Milliseconds until a server that was closed tries again to join, after it could not. */
const REJOIN = 1000

/** What `peerOf` returns for a session of another machine. */
const BUS = -1

/** The same if another process of this machine is a member of the bus. */
const GATEWAY = -2

/** The most peers to which this member remembers that it has had a link. */
const MAX_LINKED = 10_000

const EMPTY = Buffer.alloc(0)

// taken when the module is loaded: tests of applications replace it by a fake
const { nextTick } = process

/** The messages to an owner, or to a gateway, with a connection that moves. */
const MOVES = [PeerMessage.MOVE, PeerMessage.ASK_MOVE]

/** Why a request is refused that this member cannot read, or that comes without its connection. */
const MALFORMED = { name: 'TRANSPORT_HANDSHAKE_ERROR' }

/** What a request hears of the messages that belong to it. */
const HEARD = {
  [PeerMessage.ANSWER]: 'onAnswer',
  [PeerMessage.REFUSAL]: 'onRefusal',
  [PeerMessage.TAKEN]: 'onTaken',
  [PeerMessage.ABORT]: 'onAbort',
  [PeerMessage.FOUND]: 'onFound',
}

class Cluster {
  /**
   * @param {any} server a server of Node's HTTP servers
   * @param {{directory: string, key: Buffer | undefined, number: number | undefined, showOwner: boolean, bus: any}} options
   */
  constructor(server, options) {
    this._server = server
    this._options = options
    this._handle = NO_HANDLE
    /** The links that this member has made, by their numbers. */
    this._links = new Map()
    /** The links that peers have made: the responses to their requests, by the numbers of links and requests. */
    this._fronts = new Map()
    /** The connections whose bytes this member carries. */
    this._relays = new Set()
    /** How they end, once the server drains. */
    this._drain = undefined
    /** The messages in hand, see `takeFromPeers` in src/node/peers.rs, and the next of them. */
    this._meta = new Uint32Array(4 * MOST)
    this._contents = []
    this._next = 0
    /** Whether something was sent that has still to be written. */
    this._isUnflushed = false
    this._flush = () => this[kFlushPeers]()
    this._lastRequest = 0
    /** The last id that named a peer, and the peer, until a link ends. */
    this._lastSid = undefined
    this._lastPeer = undefined
    this._look = undefined
    /** When that was done last. */
    this._looked = 0
    this._leaving = undefined
    this._search = new Search(this)
    /** The nodes of a bus, if there is one. */
    this._nodes = options.bus === undefined ? undefined : new Nodes(this, server, /** @type {any} */ (options))
    /** Without a bus, the processes of this machine that have one. */
    this._gateways = options.bus === undefined ? new Gateways(this) : undefined
    /** With a bus, the members of this machine that have none. They are reached from other machines by this one. */
    this.neighbours = new Set()
    /** Without a bus, answers that are on their way to other machines. */
    this._unsettled = new Unsettled(server)
    /** The peers to which there has been a link: they were on this machine. */
    this._linked = new Set()
    /** Whether the application has been told that another machine has the number that it has given. */
    this._isTold = false
    /** Why this member could not join, and until when it does not try again. */
    this._failure = undefined
    this.counts = {
      forwarded: 0,
      moved: 0,
      relayed: 0,
      viaGateway: 0,
      unavailable: 0,
      served: 0,
      accepted: 0,
      forged: 0,
      gone: 0,
      failed: 0,
    }
    this.join()
  }

  /**
   * Joins, unless this is done.
   *
   * @throws {Error} `ERR_CLUSTER_JOIN` if the directory cannot be used, or if another process has the number
   */
  join() {
    clearTimeout(this._leaving)
    this._leaving = undefined
    if (this._handle !== NO_HANDLE) return
    this._lastSid = undefined
    // handshakes of a server that was closed must not each wait for a number that another process has
    if (this._failure !== undefined && performance.now() < this._failure.until) throw this._failure.error
    const { directory, key, number, showOwner, bus } = this._options
    const hasBus = bus !== undefined
    // with a key of the application there may be other machines, and another process of this one has the bus
    const isSpread = hasBus || (key !== undefined && !showOwner)
    try {
      this._handle = bridge.getEngine().joinCluster(directory, key, showOwner, isSpread, hasBus, number)
    } catch (cause) {
      const error = new Error(`cannot join the cluster: ${cause.message}`, { cause })
      this._failure = { error, until: performance.now() + REJOIN }
      throw Object.assign(error, { code: 'ERR_CLUSTER_JOIN' })
    }
    this._failure = undefined
    bridge.members.set(this._handle, this)
    if (this._nodes === undefined) return this._gateways.announce()
    const address = this._nodes.join(bridge.getEngine().memberOf(this._handle))
    this.noteNode(address)
  }

  /** Returns who is on this machine, see `countPeers` in src/node/peers.rs. */
  census() {
    if (this._handle === NO_HANDLE) return { nodes: [], others: [], hasLostNodes: false }
    return bridge.getEngine().countPeers(this._handle)
  }

  /** Looks for the members of this machine that have no bus, and returns them. */
  lookAround() {
    const { others } = this.census()
    this.neighbours = new Set(others)
    return others
  }

  /** Notes in the directory which node of the bus this member is, for `_hasDied` in the other processes. */
  noteNode(address) {
    try {
      bridge.getEngine().noteNode(this._handle, address)
    } catch (error) {
      debug('cannot note the address of this node: %s', error.message)
    }
  }

  /**
   * Called when a member on another machine has the number of this one. New sessions get ids of another number, and
   * those that are there stay; but a number that the application has given is kept.
   *
   * @returns {{member: number, hasIssued: boolean} | undefined} the new member, as in `memberOf`, and whether there may be
   *   sessions of the former one
   */
  changeNumber(number) {
    if (this._handle === NO_HANDLE) return undefined
    if (this._options.number !== undefined) {
      if (this._isTold) return undefined
      this._isTold = true
      const message = `cluster.number ${number} is that of a process on another machine, too: both are asked for its sessions`
      process.emitWarning(message, { code: 'ENGINE_CLUSTER_NUMBER' })
      return undefined
    }
    try {
      const hasIssued = bridge.getEngine().changeNumber(this._handle)
      this._lastSid = undefined
      const member = bridge.getEngine().memberOf(this._handle)
      debug('another machine has the number %d, this process takes %d', number, member >> MEMBER_SHIFT)
      return { member, hasIssued }
    } catch (error) {
      // both are asked then
      debug('cannot take another number than %d: %s', number, error.message)
      return undefined
    }
  }

  /** Returns the id of a new session. A server that was closed and is used again joins again. */
  issueId() {
    this.join()
    return bridge.getEngine().issueId(this._handle)
  }

  /** The number of this member. */
  get number() {
    return this._handle === NO_HANDLE ? undefined : bridge.getEngine().memberOf(this._handle) >> MEMBER_SHIFT
  }

  /**
   * Returns the peer that has the session with this id, or has had it; a number that stands for the bus, or for another
   * process that is a member of it, if the session may be on another machine; undefined if no peer has it.
   */
  peerOf(sid) {
    if (this._handle === NO_HANDLE || typeof sid !== 'string') return undefined
    // a request is looked at twice
    if (sid === this._lastSid) return this._lastPeer
    const owner = bridge.getEngine().ownerOf(this._handle, sid)
    if (owner < IdOwner.UNKNOWN) {
      this._lastSid = sid
      this._lastPeer = owner
      return owner
    }
    const found = this._search.peerOf(sid)
    if (found !== undefined) return found
    if (this._isFar(sid)) return BUS
    if (owner === IdOwner.GONE && this._gateways?.areExpected) return GATEWAY
    if (owner === IdOwner.UNKNOWN) this.counts.forged++
    else if (owner === IdOwner.GONE) this.counts.gone++
    return undefined
  }

  /** Returns the other members. */
  peers() {
    return this._handle === NO_HANDLE ? [] : bridge.getEngine().peersOf(this._handle)
  }

  /** Asks the peers for a session whose id does not name its owner. Calls back with the peer that has it, if one has. */
  find(sid, done) {
    this._search.start(sid, done)
  }

  // ---- sessions that move --------------------------------------------------------------------

  /** Returns whether the application hears of a session later, because a node of the bus may take it over. */
  holdsBack(session) {
    return this._nodes !== undefined && this._nodes.holdsBack(session)
  }

  /** Has the application hear of all sessions of which it has not heard. */
  hearAll() {
    this._nodes?.hearAll()
  }

  /** Called when a session of this process has ended. */
  onSessionOver(sid) {
    this._nodes?.onSessionOver(sid)
  }

  /** Whether a session of this member is one of another node by now. */
  _hasMoved(sid) {
    if (this._nodes === undefined || this._handle === NO_HANDLE || !this._nodes.knows(sid)) return false
    return bridge.getEngine().ownerOf(this._handle, sid) === IdOwner.MINE
  }

  /** Has the new owner of a session that has moved answer a poll or a POST. */
  forwardMoved(sid, req, res, refuse) {
    this.forward(BUS, sid, req, res, refuse)
  }

  /** Whether nodes of the bus can be asked, by this member or by way of a gateway. */
  get _mayReachBus() {
    return this._nodes !== undefined || this._gateways.areExpected
  }

  /** Whether this member is about to leave. */
  get isLeaving() {
    return this._leaving !== undefined || this._handle === NO_HANDLE
  }

  // ---- what is passed on ---------------------------------------------------------------------

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
    if (peer === BUS) return void this._nodes.forward(sid, req, res, refuse, body)
    const head = headOf(req, sid)
    if (peer === GATEWAY) return this._forwardToGateway(sid, head, res, refuse, body)
    // most often there is a link, and the id names the peer, which has the session if there is no bus
    const link = this._linkTo(peer)
    const isUsual = link !== undefined && link.isUp && !this._mayReachBus && this._search.isEmpty
    if (isUsual && !res.destroyed && !res.headersSent) {
      if (!this._pass(link, sid, res, refuse, refuse, head, body)) this.refuseGone(sid, refuse)
      return
    }
    const isOver = () => res.destroyed || res.headersSent
    const again = (next) => this._forward(next, sid, req, res, refuse, body, true)
    const ask = () => {
      if (this._nodes === undefined) this._forwardToGateway(sid, head, res, refuse, body)
      else this._nodes.forward(sid, req, res, refuse, body)
    }
    const other = isSecond ? refuse : this._elsewhere(peer, sid, refuse, again)
    // the peer knows that a node of the bus has the session
    const elsewhere = (code, context) => (context.moved && this._mayReachBus ? ask() : other(code, context))
    const fail = () => this.refuseGone(sid, elsewhere)
    this.whenUp(peer, this._isElsewhere(peer, sid) ? ask : fail, (link) => {
      if (isOver()) return debug('the request is over')
      if (!this._pass(link, sid, res, refuse, elsewhere, head, body)) fail()
    })
  }

  /** Passes a poll or a POST to the owner of its session. Returns false if this cannot be done. */
  _pass(link, sid, res, refuse, elsewhere, head, body) {
    const terms = { sid, deadline: this._pollDeadline(), elsewhere, isFar: false }
    const isPoll = body === undefined
    if (this._passOn(link, PeerMessage.REQUEST, terms, refuse, res, isPoll, head, body) === undefined) return false
    this.counts.forwarded++
    return true
  }

  /** Sends a poll or a POST on a link, at once or later. Returns nothing if this cannot be done. */
  _passOn(link, kind, terms, refuse, res, isSettled, head, body) {
    const number = this.nextRequest()
    const isNext = link.unsent.size === 0
    const sent = isNext ? this._trySend(link.number, kind, number, head, body) : PeerSent.LATER
    if (sent === PeerSent.NO) return undefined
    const request = new PassedRequest(this, link, number, refuse, terms, res, isSettled)
    if (sent === PeerSent.LATER) this._sendLater(link, request, { kind, head, body })
    return request
  }

  /** Sends a request when the peer has read some of what waits for it. The client waits, as for an owner that is busy. */
  _sendLater(link, request, message) {
    link.unsent.set(request, message)
    this._retry(link)
  }

  _retry(link) {
    if (link.isRetrying) return
    link.isRetrying = true
    atRoot(setTimeout, () => this._sendUnsent(link), RETRY).unref()
  }

  _sendUnsent(link) {
    link.isRetrying = false
    for (const [request, { kind, head, body }] of link.unsent) {
      const sent = this._trySend(link.number, kind, request.number, head, body)
      if (sent === PeerSent.LATER) return this._retry(link)
      link.unsent.delete(request)
      if (sent === PeerSent.NO) apartFromErrors(() => request.hear('onDown'))
    }
  }

  /** Returns the time at which an owner must have answered a poll. */
  _pollDeadline() {
    const { pingInterval, pingTimeout } = this._server.opts
    return this._deadline(Number(pingInterval) + Number(pingTimeout))
  }

  /** Has a poll or a POST answered by way of a process of this machine that is a member of the bus. */
  _forwardToGateway(sid, head, res, refuse, body) {
    this._gateways.reach(
      () => this.refuseUnavailable(refuse),
      (link) => {
        if (res.destroyed || res.headersSent) return true
        const terms = { sid, deadline: this._deadline(0), elsewhere: refuse, isFar: true }
        if (this._passOn(link, PeerMessage.ASK, terms, refuse, res, true, head, body) === undefined) return false
        this.counts.viaGateway++
        return true
      },
    )
  }

  /** Called when a gateway has handed a request on: it is answered in the time of a poll. */
  onHandedOn(request) {
    request.deadline = this._pollDeadline()
  }

  /** Called when a request was not answered in time by a gateway. */
  onLateGateway(link) {
    this._gateways?.avoid(link)
  }

  /** Whether a link is there, and can be used. */
  hasLink(link) {
    return link !== undefined && this._links.get(link.number) === link
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
    this.whenUp(peer, fail, (link) => {
      if (res.destroyed) return
      const terms = { sid, deadline: this._pollDeadline(), elsewhere: refuse, isFar: false }
      const passed = this._passOn(link, PeerMessage.SERVE, terms, refuse, res, true, headOf(req, sid), body)
      if (passed === undefined) return fail()
      res.release = () => passed.onLeave()
      if (isReleased) passed.onLeave()
    })
  }

  /** Returns the member of this machine that has a session and has no bus, if one has. */
  neighbourOf(sid) {
    if (this.neighbours.size === 0 || this._handle === NO_HANDLE || this._server[kClient](sid) !== undefined) {
      return undefined
    }
    const owner = bridge.getEngine().ownerOf(this._handle, sid)
    return this.neighbours.has(owner) ? owner : undefined
  }

  /** Has a session end because another machine could not read the body of its POST. */
  failPost(sid, message) {
    const neighbour = this.neighbourOf(sid)
    if (neighbour === undefined) this._server[kFailPost](sid, message)
    else this._failPost(neighbour, sid, message)
  }

  /** Has a session end because the body of a POST could not be read. */
  _failPost(peer, sid, message) {
    const ask = () => {
      if (this._nodes !== undefined) return this._nodes.failPost(sid)
      const fail = () => debug('no process tells the session %s that its POST has failed', sid)
      this._gateways.reach(fail, (link) => this.send(link.number, PeerMessage.ASK_FAIL, 0, sid))
    }
    if (peer === BUS || peer === GATEWAY) return ask()
    const fail = () => this._isElsewhere(peer, sid) && ask()
    this.whenUp(peer, fail, (link) => this.send(link.number, PeerMessage.FAIL, 0, `${sid}\0${message}`))
  }

  /**
   * Moves a connection that asks for an upgrade to the owner of its session.
   *
   * @param {object | undefined} headers for the response to the upgrade
   * @param {() => void} [onTaken] is called when the owner goes on with the connection
   */
  move(peer, sid, req, socket, head, headers, refuse, onTaken = undefined, isSecond = false) {
    if (peer === BUS) return this._nodes.upgrade(sid, req, socket, head, headers, refuse)
    const text = `${headers === undefined ? '{}' : JSON.stringify(headers)}\0${headOf(req, sid)}`
    const moving = { sid, text, socket, early: head, refuse, onTaken }
    if (peer === GATEWAY) return this._moveToGateway(moving)
    const again = (next) => this.move(next, sid, req, socket, moving.early, headers, refuse, onTaken, true)
    const elsewhere = isSecond ? refuse : this._elsewhere(peer, sid, refuse, again)
    const fail = () => this.refuseGone(sid, elsewhere)
    const ask = () => {
      if (this._nodes === undefined) this._moveToGateway(moving)
      else this._nodes.upgrade(sid, req, socket, head, headers, refuse)
    }
    this.whenUp(peer, this._isElsewhere(peer, sid) ? ask : fail, (link) => {
      const terms = { sid, deadline: this._deadline(0), elsewhere, isFar: false }
      if (!this._moveOn(link, PeerMessage.MOVE, moving, terms)) fail()
    })
  }

  /** Moves a connection to a process of this machine that is a member of the bus. */
  _moveToGateway(moving) {
    const { sid, refuse } = moving
    this._gateways.reach(
      () => this.refuseUnavailable(refuse),
      (link) => {
        const terms = { sid, deadline: this._deadline(0), elsewhere: refuse, isFar: true }
        return this._moveOn(link, PeerMessage.ASK_MOVE, moving, terms)
      },
    )
  }

  /** Sends a connection on a link. Returns false if this cannot be done. */
  _moveOn(link, kind, moving, terms) {
    const { text, socket, refuse, onTaken } = moving
    if (socket.destroyed) return true
    const moves = canTakeOver(socket)
    let pair = []
    let carrier
    if (moves) {
      // what comes from now on, the owner reads
      handleOf(socket).readStop()
      moving.early = readEarly(socket, moving.early)
    } else {
      try {
        pair = bridge.getEngine().socketPair()
      } catch {
        return false
      }
      const [ours] = pair
      const carry = (stream) => {
        onTaken?.()
        this._relay(stream, ours, moving.early)
      }
      carrier = { carry, close: () => fs.closeSync(ours) }
    }
    const number = this.nextRequest()
    const descriptor = moves ? handleOf(socket).fd : pair[1]
    const isSent = this.send(link.number, kind, number, text, moves ? moving.early : EMPTY, descriptor)
    if (!moves) fs.closeSync(pair[1])
    if (!isSent) {
      carrier?.close()
      return false
    }

    new PassedUpgrade(this, link, number, refuse, terms, socket, carrier)
    this.counts[moves ? 'moved' : 'relayed']++
    if (terms.isFar) this.counts.viaGateway++
    return true
  }

  /** Carries the bytes of a stream to the owner of its session and back. */
  _relay(stream, descriptor, head) {
    const relay = new Relay(stream, descriptor, head, () => {
      this._relays.delete(relay)
      this.onRelayOver()
    })
    this._relays.add(relay)
    this.onRelay(relay)
  }

  /** Called when this member begins to carry the bytes of a connection. */
  onRelay(relay) {
    if (this._leaving !== undefined) relay.endRelay()
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
    return this._relays.size > 0 || this._nodes?.isCarrying === true
  }

  /** Ends the connections whose bytes this member carries at random times within `spread` ms, and tells of each. */
  drain(spread, onOver) {
    this._drain = { spread, onOver }
    for (const relay of this._relays) this._endWithin(relay, spread)
    for (const relay of this._nodes?.relays ?? []) this._endWithin(relay, spread)
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
      this.find(sid, (next) => {
        if (next === undefined) refuse(code, context)
        else again(next)
      })
    }
  }

  /** Whether a member may be on another machine, from what is known without a link to it. */
  _isElsewhere(peer, sid) {
    if (this._linked.has(peer)) return false
    return this._nodes === undefined ? this._gateways.areExpected : this._isFar(sid)
  }

  /** With a bus, whether a session may be on another machine. */
  _isFar(sid) {
    return this._nodes !== undefined && this._nodes.knows(sid) && !this._hasDied(sid)
  }

  /**
   * Whether a session was one of a process of this machine that has gone, as the directory tells. The bus tells it later
   * if the process was killed.
   */
  _hasDied(sid) {
    if (this._handle === NO_HANDLE) return false
    const address = bridge.getEngine().formerNode(this._handle, sid)
    return typeof address === 'string' && this._nodes.isAt(sid, address)
  }

  refuseGone(sid, refuse) {
    this.counts.failed++
    refuse(ErrorCode.UNKNOWN_SID, { sid })
  }

  /** Answers with an error because no process is there that could ask the owner. */
  refuseUnavailable(refuse) {
    this.counts.unavailable++
    refuse(ErrorCode.BAD_REQUEST, UNAVAILABLE)
  }

  /** Calls `proceed` with the link to a peer once it can be used, or `fail` if the peer has gone. */
  whenUp(peer, fail, proceed) {
    const link = this._linkTo(peer)
    if (link === undefined) return fail()
    link.whenUp(() => {
      this._remember(peer)
      proceed(link)
    }, fail)
  }

  /** Returns the link to a peer, which is made if there is none; undefined if this member has left. */
  _linkTo(peer) {
    if (this._handle === NO_HANDLE) return undefined
    const number = bridge.getEngine().linkTo(this._handle, peer)
    let link = this._links.get(number)
    if (link === undefined) this._links.set(number, (link = new Link(number)))
    return link
  }

  _remember(peer) {
    if (this._linked.size >= MAX_LINKED) this._linked.clear()
    this._linked.add(peer)
  }

  nextRequest() {
    this._lastRequest = (this._lastRequest + 1) >>> 0
    return this._lastRequest
  }

  /** Returns the time at which an owner must have answered. */
  _deadline(ms) {
    if (this._look === undefined) {
      this._looked = performance.now()
      // what has come in the meantime is heard first
      this._look = atRoot(setInterval, () => setImmediate(() => this._refuseLate()), LOOK)
      this._look.unref()
    }
    return performance.now() + PATIENCE + (ms > 0 ? ms : 0)
  }

  _refuseLate() {
    const now = performance.now()
    const slept = now - this._looked > 2 * LOOK
    this._looked = now
    // this process itself was stopped, and answers may be on their way
    if (slept) return
    const all = [...this._links.values()].flatMap((link) => link.requests.values())
    if (all.length === 0) {
      clearInterval(this._look)
      this._look = undefined
    }
    for (const request of all) if (request.deadline < now) request.hear('onLate')
  }

  /** Sends a message. Returns false if the link has ended, or if the peer does not read. */
  send(link, kind, number, head, body = undefined, descriptor = -1) {
    return this._trySend(link, kind, number, head, body, descriptor) === PeerSent.YES
  }

  /** Sends a message. Returns a `PeerSent`. The messages of a turn are written together at its end. */
  _trySend(link, kind, number, head, body, descriptor = -1) {
    if (this._handle === NO_HANDLE) return PeerSent.NO
    if (!this._isUnflushed) {
      this._isUnflushed = true
      atRoot(setImmediate, this._flush)
    }
    return bridge.getEngine().sendToPeer(this._handle, link, kind, number, head, body, descriptor)
  }

  /** Writes what was sent. */
  [kFlushPeers]() {
    this._isUnflushed = false
    if (this._handle !== NO_HANDLE) bridge.getEngine().flushPeers(this._handle)
  }

  // ---- what comes from peers -----------------------------------------------------------------

  /**
   * Takes messages until there are none. Those behind one at which a listener throws, and those above a number, follow
   * in the next turn.
   */
  [kOnPeers]() {
    let isDone = false
    try {
      for (let round = 0; round < ROUNDS && !isDone; round++) {
        while (2 * this._next < this._contents.length) this._takeNext()
        this._contents = this._handle === NO_HANDLE ? [] : bridge.getEngine().takeFromPeers(this._handle, this._meta)
        this._next = 0
        isDone = this._contents.length === 0
      }
    } finally {
      if (!isDone) atRoot(setImmediate, () => this[kOnPeers]())
    }
  }

  _takeNext() {
    const { _meta: meta, _contents: contents } = this
    const at = this._next++
    const from = meta[4 * at]
    const kind = meta[4 * at + 1]
    const number = meta[4 * at + 2]
    const descriptor = meta[4 * at + 3] - 1
    this._take(from, kind, number, contents[2 * at], contents[2 * at + 1], descriptor)
  }

  _take(from, kind, number, head, body, descriptor) {
    const link = this._links.get(from)
    // only fronts send them, and only with connections that move
    if (descriptor >= 0 && (link !== undefined || !MOVES.includes(kind))) fs.closeSync(descriptor)
    if (link === undefined) return this._takeFromFront(from, kind, number, head, body, descriptor)
    if (kind === PeerMessage.UP) return link.up()
    if (kind === PeerMessage.DOWN) {
      this._links.delete(from)
      this._lastSid = undefined
      return link.down()
    }
    const request = link.requests.get(number)
    if (request === undefined) return debug('an answer comes too late')
    if (Object.hasOwn(HEARD, kind)) request.hear(HEARD[kind], head, body)
  }

  _takeFromFront(from, kind, number, head, body, descriptor) {
    if (kind === PeerMessage.REQUEST || kind === PeerMessage.ASK || kind === PeerMessage.SERVE) {
      return this._serve(from, kind, number, head, bytesOf(body))
    }
    if (MOVES.includes(kind)) return this._accept(from, kind, number, head, bytesOf(body), descriptor)
    if (kind === PeerMessage.DOWN) return this._loseFront(from)
    if (kind === PeerMessage.PRESENT) return this._nodes?.lookAround()
    if (kind === PeerMessage.ASK_FAIL) return this._isFar(head) ? this._nodes.failPost(head) : undefined
    if (kind === PeerMessage.FIND) {
      const isHere = this._server[kClient](head) !== undefined
      return this.send(from, PeerMessage.FOUND, number, '', isHere ? 'y' : undefined)
    }
    if (kind === PeerMessage.FAIL) {
      const [sid, message] = head.split('\0')
      return message === undefined ? debug('a peer does not say what failed') : this._server[kFailPost](sid, message)
    }
    const res = this._fronts.get(from)?.get(number)
    if (res === undefined) return
    if (kind === PeerMessage.RELEASE) {
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
        const isSent = this.send(from, PeerMessage.ANSWER, number, text, content)
        if (isSent && kind === PeerMessage.SERVE) this._settle(sid, req, res)
        // whether it has been written makes no difference
        if (isSent && kind === PeerMessage.REQUEST && req.method === 'POST') {
          responses.delete(number)
          nextTick(finish, res)
        }
        return isSent
      },
      cutOff: () => this.send(from, PeerMessage.ABORT, number, ''),
      refuse: refuseIt,
    })
    responses.add(number, res)
    if (kind === PeerMessage.ASK && this._server[kClient](sid) === undefined) {
      if (!this._mayAsk(sid, refuseIt)) return
      // the front waits longer from now on
      this.send(from, PeerMessage.TAKEN, number, '')
      const asked = this._nodes.forward(sid, req, res, refuseIt, req.method === 'POST' ? body : undefined)
      if (asked !== undefined) res.release = () => asked.release()
      return
    }
    this.counts.served++
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
    else if (!this._isFar(sid)) refuse(ErrorCode.UNKNOWN_SID, { sid })
    else return true
    return false
  }

  /** Has a peer answer a request with an error. */
  _refuseFront(from, number, code, context = {}) {
    const moved = code === ErrorCode.UNKNOWN_SID && this._hasMoved(context.sid)
    this.send(from, PeerMessage.REFUSAL, number, JSON.stringify([code, moved ? { ...context, moved } : context]))
  }

  /** Goes on with a connection that a peer has accepted. */
  _accept(from, kind, number, text, early, descriptor) {
    const refuse = (code, context) => this._refuseFront(from, number, code, context)
    const move = readMove(text)
    let socket
    if (descriptor >= 0 && move !== undefined) socket = socketOf(descriptor)
    else if (descriptor >= 0) fs.closeSync(descriptor)
    if (socket === undefined) return refuse(ErrorCode.BAD_REQUEST, MALFORMED)
    const { head, headers } = move
    showClient(socket, head)
    const req = upgradeRequest(head, socket)
    if (req === undefined) {
      socket.destroy()
      return refuse(ErrorCode.BAD_REQUEST, MALFORMED)
    }
    const decide = (code, context) => {
      if (code === undefined) return this.send(from, PeerMessage.TAKEN, number, '')
      // this closes one of two descriptors, and the peer answers by the other
      socket.destroy()
      refuse(code, context)
    }
    const sid = sidOf(req)
    if (kind === PeerMessage.ASK_MOVE && this._server[kClient](sid) === undefined) {
      socket.on('error', (error) => debug('a relayed connection has broken: %s', error.message))
      if (this._mayAsk(sid, decide)) this._nodes.upgrade(sid, req, socket, early, headers, decide, () => decide())
      return
    }
    this._server[kServeMoved](req, socket, early, headers, (code, context) => {
      if (code === undefined) this.counts.accepted++
      decide(code, context)
    })
  }

  _loseFront(from) {
    const responses = this._fronts.get(from)
    if (responses === undefined) return
    this._fronts.delete(from)
    for (const res of responses.values()) apartFromErrors(() => res.abort())
  }

  // ---- the end -------------------------------------------------------------------------------

  /**
   * Has a connection end with this response if the process is about to stop, so that the client's next request comes to
   * another one.
   *
   * @param {any} res
   */
  endIfLeaving(res) {
    if (this._server.draining || this._leaving !== undefined) res.shouldKeepAlive = false
  }

  /**
   * Leaves, because the server closes. Polls that wait for peers are answered before, so that their clients go on
   * elsewhere. Connections whose bytes this member carries end.
   */
  leave() {
    if (this._handle === NO_HANDLE || this._leaving !== undefined) return
    let waits = false
    for (const link of this._links.values()) {
      for (const request of link.requests.values()) {
        waits = true
        request.hear('onLeave')
      }
    }
    for (const relay of this._relays) relay.endRelay()
    if (this._nodes?.leave()) waits = true
    // sessions that have just been closed answer their polls in this tick
    this._leaving = atRoot(setTimeout, () => this._leaveNow(), waits ? FAREWELL : 1)
    this._leaving.unref()
  }

  _leaveNow() {
    this._leaving = undefined
    const handle = this._handle
    this._handle = NO_HANDLE
    bridge.members.delete(handle)
    bridge.getEngine().leaveCluster(handle)
    this._nodes?.leaveNow()
    clearInterval(this._look)
    this._look = undefined
    const links = [...this._links.values()]
    this._links.clear()
    for (const link of links) apartFromErrors(() => link.down())
    for (const from of [...this._fronts.keys()]) this._loseFront(from)
  }

  /** Returns numbers for `server.metrics()`. */
  metrics() {
    const waiting = [...this._links.values()].reduce((all, link) => all + link.requests.size, 0)
    const bus = this._nodes === undefined ? {} : { bus: this._nodes.metrics() }
    return {
      member: this.number,
      links: this._links.size,
      waiting,
      searches: this._search.count,
      ...this.counts,
      ...bus,
    }
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
    fs.closeSync(descriptor)
    return undefined
  }
}

module.exports = { Cluster }
