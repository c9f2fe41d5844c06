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
const { headOf, showClient } = require('./head')
const { Link, apartFromErrors } = require('./link')
const { readMove, readRequest, upgradeRequest } = require('./messages')
const { Nodes } = require('./nodes')
const { Numbered } = require('./numbered')
const { PassedRequest, PassedUpgrade, Relay } = require('./passed')
const { ForwardedResponse } = require('./response')
const { Search } = require('./search')
const {
  kClient,
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

/** The most peers to which this member remembers that it has had a link. */
const MAX_LINKED = 10_000

const EMPTY = Buffer.alloc(0)

// taken when the module is loaded: tests of applications replace it by a fake
const { nextTick } = process

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
    /** With a bus, the peers to which there has been a link: they were on this machine. */
    this._linked = new Set()
    /** Whether the application has been told that another machine has the number that it has given. */
    this._isTold = false
    /** Why this member could not join, and until when it does not try again. */
    this._failure = undefined
    this.counts = { forwarded: 0, moved: 0, relayed: 0, served: 0, accepted: 0, forged: 0, gone: 0, failed: 0 }
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
    try {
      this._handle = bridge.getEngine().joinCluster(directory, key, showOwner, bus !== undefined, number)
    } catch (cause) {
      const error = new Error(`cannot join the cluster: ${cause.message}`, { cause })
      this._failure = { error, until: performance.now() + REJOIN }
      throw Object.assign(error, { code: 'ERR_CLUSTER_JOIN' })
    }
    this._failure = undefined
    bridge.members.set(this._handle, this)
    if (this._nodes === undefined) return
    const address = this._nodes.join(bridge.getEngine().memberOf(this._handle))
    this.noteNode(address)
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
   * Returns the peer that has the session with this id, or has had it; a number that stands for the bus if the session
   * may be on another machine; undefined if no peer has it.
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
    if (this._nodes?.knows(sid) && !this._hasDied(sid)) return BUS
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

  // ---- what is passed on ---------------------------------------------------------------------

  /**
   * Has a poll or a POST of a session of this process served by `serve`, or later, see `Nodes.admit`.
   *
   * @param {(code: number, context: object) => void} refuse answers with an error instead
   */
  admit(sid, req, res, serve, refuse) {
    if (this._nodes === undefined) serve()
    else this._nodes.admit(sid, req, res, serve, refuse)
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
      onAborted: () => this._failPost(peer, sid, req, FaultText.DATA_ABORTED),
      onRefused: (status, message) => {
        res.writeHead(status).end()
        this._failPost(peer, sid, req, message)
        req.destroy()
      },
    })
  }

  _forward(peer, sid, req, res, refuse, body, isSecond = false) {
    if (peer === BUS) return this._nodes.forward(sid, req, res, refuse, body)
    const head = headOf(req, sid)
    // most often there is a link, and the id names the peer
    const link = this._linkTo(peer)
    const isUsual = link !== undefined && link.isUp && this._nodes === undefined && this._search.isEmpty
    if (isUsual && !res.destroyed && !res.headersSent) {
      if (!this._pass(link, sid, res, refuse, refuse, head, body)) this.refuseGone(sid, refuse)
      return
    }
    const isOver = () => res.destroyed || res.headersSent
    const again = (next) => this._forward(next, sid, req, res, refuse, body, true)
    const elsewhere = isSecond ? refuse : this._elsewhere(peer, sid, refuse, again)
    const fail = () => this.refuseGone(sid, elsewhere)
    const ask = () => this._nodes.forward(sid, req, res, refuse, body)
    this.whenUp(peer, this._isElsewhere(peer, sid) ? ask : fail, (link) => {
      if (isOver()) return debug('the request is over')
      if (!this._pass(link, sid, res, refuse, elsewhere, head, body)) fail()
    })
  }

  /** Sends a poll or a POST on a link, at once or later. Returns false if this cannot be done. */
  _pass(link, sid, res, refuse, elsewhere, head, body) {
    const number = this.nextRequest()
    const isNext = link.unsent.size === 0
    const sent = isNext ? this._trySend(link.number, PeerMessage.REQUEST, number, head, body) : PeerSent.LATER
    if (sent === PeerSent.NO) return false
    const { pingInterval, pingTimeout } = this._server.opts
    const deadline = this._deadline(Number(pingInterval) + Number(pingTimeout))
    const isPoll = body === undefined
    const request = new PassedRequest(this, link, number, refuse, { sid, deadline, elsewhere }, res, isPoll)
    if (sent === PeerSent.LATER) this._sendLater(link, request, head, body)
    this.counts.forwarded++
    return true
  }

  /** Sends a request when the peer has read some of what waits for it. The client waits, as for an owner that is busy. */
  _sendLater(link, request, head, body) {
    link.unsent.set(request, { head, body })
    this._retry(link)
  }

  _retry(link) {
    if (link.isRetrying) return
    link.isRetrying = true
    atRoot(setTimeout, () => this._sendUnsent(link), RETRY).unref()
  }

  _sendUnsent(link) {
    link.isRetrying = false
    for (const [request, { head, body }] of link.unsent) {
      const sent = this._trySend(link.number, PeerMessage.REQUEST, request.number, head, body)
      if (sent === PeerSent.LATER) return this._retry(link)
      link.unsent.delete(request)
      if (sent === PeerSent.NO) apartFromErrors(() => request.hear('onDown'))
    }
  }

  /** Has a session end because the body of a POST could not be read. */
  _failPost(peer, sid, req, message) {
    if (peer === BUS) return this._nodes.failPost(sid, req)
    const fail = () => this._isElsewhere(peer, sid) && this._nodes.failPost(sid, req)
    this.whenUp(peer, fail, (link) => this.send(link.number, PeerMessage.FAIL, 0, `${sid}\0${message}`))
  }

  /**
   * Moves a connection that asks for an upgrade to the owner of its session.
   *
   * @param {object | undefined} headers for the response to the upgrade
   */
  move(peer, sid, req, socket, head, headers, refuse, isSecond = false) {
    if (peer === BUS) return this._nodes.upgrade(sid, req, socket, head, headers, refuse)
    const text = `${headers === undefined ? '{}' : JSON.stringify(headers)}\0${headOf(req, sid)}`
    let early = head
    const again = (next) => this.move(next, sid, req, socket, early, headers, refuse, true)
    const elsewhere = isSecond ? refuse : this._elsewhere(peer, sid, refuse, again)
    const fail = () => this.refuseGone(sid, elsewhere)
    const ask = () => this._nodes.upgrade(sid, req, socket, head, headers, refuse)
    this.whenUp(peer, this._isElsewhere(peer, sid) ? ask : fail, (link) => {
      if (socket.destroyed) return debug('the client has gone')
      const moves = canTakeOver(socket)
      let pair = []
      let carrier
      if (moves) {
        // what comes from now on, the owner reads
        handleOf(socket).readStop()
        early = readEarly(socket, head)
      } else {
        try {
          pair = bridge.getEngine().socketPair()
        } catch {
          return fail()
        }
        const [ours] = pair
        carrier = { carry: (stream) => this._relay(stream, ours, head), close: () => fs.closeSync(ours) }
      }
      const number = this.nextRequest()
      const descriptor = moves ? handleOf(socket).fd : pair[1]
      const isSent = this.send(link.number, PeerMessage.MOVE, number, text, moves ? early : EMPTY, descriptor)
      if (!moves) fs.closeSync(pair[1])
      if (!isSent) {
        carrier?.close()
        return fail()
      }
      const terms = { sid, deadline: this._deadline(0), elsewhere }

      new PassedUpgrade(this, link, number, refuse, terms, socket, carrier)
      this.counts[moves ? 'moved' : 'relayed']++
    })
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
    return this._nodes !== undefined && !this._linked.has(peer) && this._nodes.knows(sid) && !this._hasDied(sid)
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

  /** Calls `proceed` with the link to a peer once it can be used, or `fail` if the peer has gone. */
  whenUp(peer, fail, proceed) {
    const link = this._linkTo(peer)
    if (link === undefined) return fail()
    link.whenUp(() => {
      if (this._nodes !== undefined) this._remember(peer)
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
    if (descriptor >= 0 && (link !== undefined || kind !== PeerMessage.MOVE)) fs.closeSync(descriptor)
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
    if (kind === PeerMessage.MOVE) return this._accept(from, number, head, bytesOf(body), descriptor)
    if (kind === PeerMessage.REQUEST) return this._serve(from, number, head, bytesOf(body))
    if (kind === PeerMessage.DOWN) return this._loseFront(from)
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
    if (kind === PeerMessage.RELEASE) return this._server[kReleasePoll](sidOf(res.req), res)
    this._fronts.get(from).delete(number)
    // what has not been answered cannot have been written
    if (kind === PeerMessage.DONE && res.writableEnded) res.finish()
    else res.abort()
  }

  /** Serves a poll or a POST. */
  _serve(from, number, head, body) {
    const refuse = (code, context) => this._refuseFront(from, number, code, context)
    let responses = this._fronts.get(from)
    const req = responses?.has(number) ? undefined : readRequest(head, body)
    if (req === undefined) return refuse(ErrorCode.BAD_REQUEST, MALFORMED)
    if (responses === undefined) this._fronts.set(from, (responses = new Numbered()))
    const res = new ForwardedResponse(req, {
      answer: (status, headers, content) => {
        const text = JSON.stringify([status, headers])
        const isSent = this.send(from, PeerMessage.ANSWER, number, text, content)
        // whether it has been written makes no difference
        if (isSent && req.method === 'POST') {
          responses.delete(number)
          nextTick(finish, res)
        }
        return isSent
      },
      cutOff: () => this.send(from, PeerMessage.ABORT, number, ''),
    })
    responses.add(number, res)
    this.counts.served++
    const refuseIt = (code, context) => {
      responses.delete(number)
      refuse(code, context)
    }
    this.admit(sidOf(req), req, res, () => this._server[kServeForwarded](req, res, refuseIt), refuseIt)
  }

  /** Has a peer answer a request with an error. */
  _refuseFront(from, number, code, context = {}) {
    this.send(from, PeerMessage.REFUSAL, number, JSON.stringify([code, context]))
  }

  /** Goes on with a connection that a peer has accepted. */
  _accept(from, number, text, early, descriptor) {
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
    this._server[kServeMoved](req, socket, early, headers, (code, context) => {
      if (code === undefined) {
        this.counts.accepted++
        this.send(from, PeerMessage.TAKEN, number, '')
      } else {
        // this closes one of two descriptors, and the peer answers by the other
        socket.destroy()
        refuse(code, context)
      }
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
