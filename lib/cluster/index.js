'use strict'

// A server among those of other processes of the machine that serve each other's sessions: see src/cluster/ for the
// links between them, and docs/SCALING.md for users. Here it joins and leaves, tells where a session is, and hands what
// peers send to its parts: the links that it has made, what it does as a front and as an owner, and what it carries.

const debug = require('debug')('engine:cluster')
const path = require('path')
const { performance } = require('perf_hooks')
const { setImmediate, setTimeout } = require('timers')
const bridge = require('../native/bridge')
const { apart, atRoot } = require('../native/context')
const { IdOwner, MEMBER_SHIFT, NO_HANDLE, PeerMessage } = require('../native/contract')
const { BUS, Front, GATEWAY } = require('./front')
const { Gateways } = require('./gateways')
const { Links } = require('./links')
const { Nodes } = require('./nodes')
const { Owner } = require('./owner')
const { Door } = require('./passages')
const { Relays } = require('./relays')
const { Search } = require('./search')
const { warnOnce } = require('../base/warnings')
const { kClient, kFlushPeers, kOnPeers, kState } = require('../base/symbols')

/** How often messages are taken in one turn, and how many at most each time. */
const ROUNDS = 16
const MOST = 64

/** How long a member that leaves waits for answers, in ms. */
const FAREWELL = 1000

/** Milliseconds until a server that was closed tries again to join, after it could not. */
const REJOIN = 1000

class Cluster {
  /**
   * @param {any} server a server of Node's HTTP servers
   * @param {{directory: string, isDefault: boolean, key: Buffer | undefined, number: number | undefined,
   *   showOwner: boolean, bus: any}} options
   */
  constructor(server, options) {
    this._server = server
    this._options = options
    /** What the engine calls this member, or `NO_HANDLE` as long as it has not joined, and when it has left. */
    this.handle = NO_HANDLE
    /** The messages in hand, see `takeFromPeers` in src/node/peers.rs, and the next of them. */
    this._meta = new Uint32Array(4 * MOST)
    this._contents = []
    this._next = 0
    /** The last id that named a peer, and the peer, until a link ends. */
    this._lastSid = undefined
    this._lastPeer = undefined
    this._leaving = undefined
    /** With a bus, the members of this machine that have none. They are reached from other machines by this one. */
    this.neighbours = new Set()
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
    this.directory = options.directory
    /** Where owners come for connections whose descriptors cannot be passed. */
    this.door = new Door(options.directory)
    this.links = new Links(this, server)
    this.relays = new Relays(this)
    this.search = new Search(this)
    /** The nodes of a bus, if there is one. */
    this.nodes = options.bus === undefined ? undefined : new Nodes(this, server, /** @type {any} */ (options))
    /** Without a bus, the processes of this machine that have one. */
    this.gateways = options.bus === undefined ? new Gateways(this) : undefined
    // these two use all of the above
    this.front = new Front(this, server)
    this._owner = new Owner(this, server)
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
    if (this.handle !== NO_HANDLE) return
    this._lastSid = undefined
    // handshakes of a server that was closed must not each wait for a number that another process has
    if (this._failure !== undefined && performance.now() < this._failure.until) throw this._failure.error
    const { directory, isDefault, key, number, showOwner, bus } = this._options
    const hasBus = bus !== undefined
    // with a key of the application there may be other machines, and another process of this one has the bus
    const isSpread = hasBus || (key !== undefined && !showOwner)
    try {
      this.handle = bridge.getEngine().joinCluster(directory, key, showOwner, isSpread, hasBus, number)
    } catch (cause) {
      // with a number it may be that, and not the directory
      const cure = isDefault && number === undefined ? ' (this is the default: give cluster.directory)' : ''
      const error = new Error(`cannot join the cluster: ${cause.message}${cure}`, { cause })
      this._failure = { error, until: performance.now() + REJOIN }
      throw Object.assign(error, { code: 'ERR_CLUSTER_JOIN' })
    }
    this._failure = undefined
    bridge.members.set(this.handle, this)
    if (this.nodes === undefined) return this.gateways.announce()
    const address = this.nodes.join(bridge.getEngine().memberOf(this.handle))
    this.noteNode(address)
  }

  /** Joins again if the server was closed before. If that fails, it is tried again with the next request. */
  joinAgain() {
    try {
      this.join()
    } catch (error) {
      debug('%s', error.message)
    }
  }

  /** Called with each request, also if that is one of another member's session: a server that was closed is used again. */
  onRequest() {
    if (!this.isLeaving) return
    // what still comes on connections of an HTTP server that does not listen any more is not a new use
    if (this._server[kState].attachedTo?.listening !== false) this.joinAgain()
  }

  /** Returns who is on this machine, see `countPeers` in src/node/peers.rs. */
  census() {
    if (this.handle === NO_HANDLE) return { nodes: [], others: [], hasLostNodes: false }
    const census = bridge.getEngine().countPeers(this.handle)
    if (census.strangers > 0) this._warnOfStrangers(census.strangers)
    return census
  }

  /** Called with an id that was not made with the key. */
  _onForged() {
    this.counts.forged++
    // it may be that of a process with another key, which is told then; a member of a bus looks around anyway
    this.gateways?.look()
  }

  _warnOfStrangers(count) {
    const { directory, key } = this._options
    const what = `processes of ${directory} with another cluster.key than that of this one: ${count}`
    const same = 'give all processes of an application the same key, and each application a directory of its own'
    const restart = `. If none has been given a key, ${path.join(directory, 'key')} has been removed: restart all of them`
    const cure = key === undefined ? same + restart : same
    warnOnce(this, 'ENGINE_CLUSTER_KEY', `${what}. They do not serve each other's sessions: ${cure}`)
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
      bridge.getEngine().noteNode(this.handle, address)
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
    if (this.handle === NO_HANDLE) return undefined
    if (this._options.number !== undefined) {
      const message = `cluster.number ${number} is that of a process on another machine, too: both are asked for its sessions`
      warnOnce(this, 'ENGINE_CLUSTER_NUMBER', message)
      return undefined
    }
    try {
      const hasIssued = bridge.getEngine().changeNumber(this.handle)
      this._lastSid = undefined
      const member = bridge.getEngine().memberOf(this.handle)
      debug('another machine has the number %d, this process takes %d', number, member >> MEMBER_SHIFT)
      return { member, hasIssued }
    } catch (error) {
      // both are asked then
      debug('cannot take another number than %d: %s', number, error.message)
      return undefined
    }
  }

  /** Returns the id of a new session. */
  issueId() {
    this.join()
    return bridge.getEngine().issueId(this.handle)
  }

  /** The number of this member. */
  get number() {
    return this.handle === NO_HANDLE ? undefined : bridge.getEngine().memberOf(this.handle) >> MEMBER_SHIFT
  }

  // ---- where sessions are --------------------------------------------------------------------

  /**
   * Returns the peer that has the session with this id, or has had it; a number that stands for the bus, or for another
   * process that is a member of it, if the session may be on another machine; undefined if no peer has it.
   */
  peerOf(sid) {
    if (this.handle === NO_HANDLE || typeof sid !== 'string') return undefined
    // a request is looked at twice
    if (sid === this._lastSid) return this._lastPeer
    const owner = bridge.getEngine().ownerOf(this.handle, sid)
    if (owner < IdOwner.UNKNOWN) {
      this._lastSid = sid
      this._lastPeer = owner
      return owner
    }
    const found = this.search.peerOf(sid)
    if (found !== undefined) return found
    if (this.isFar(sid)) return BUS
    if (owner === IdOwner.GONE && this.gateways?.areExpected) return GATEWAY
    if (owner === IdOwner.UNKNOWN) this._onForged()
    else if (owner === IdOwner.GONE) this.counts.gone++
    return undefined
  }

  /** Returns the other members. */
  peers() {
    return this.handle === NO_HANDLE ? [] : bridge.getEngine().peersOf(this.handle)
  }

  /** Whether a client may reach a session of this process by another one. */
  get isReachable() {
    return this.peers().length > 0 || (this.nodes !== undefined && this.nodes.metrics().nodes > 0)
  }

  /** Asks the peers for a session whose id does not name its owner. Calls back with the peer that has it, if one has. */
  find(sid, done) {
    this.search.start(sid, done)
  }

  /** Returns the member of this machine that has a session and has no bus, if one has. */
  neighbourOf(sid) {
    if (this.neighbours.size === 0 || this.handle === NO_HANDLE || this._server[kClient](sid) !== undefined) {
      return undefined
    }
    const owner = bridge.getEngine().ownerOf(this.handle, sid)
    return this.neighbours.has(owner) ? owner : undefined
  }

  /** With a bus, whether a session may be on another machine. */
  isFar(sid) {
    return this.nodes !== undefined && this.nodes.knows(sid) && !this._hasDied(sid)
  }

  /**
   * Whether a session was one of a process of this machine that has gone, as the directory tells. The bus tells it later
   * if the process was killed.
   */
  _hasDied(sid) {
    if (this.handle === NO_HANDLE) return false
    const address = bridge.getEngine().formerNode(this.handle, sid)
    return typeof address === 'string' && this.nodes.isAt(sid, address)
  }

  /** Whether a session of this member is one of another node by now. */
  hasMoved(sid) {
    if (this.nodes === undefined || this.handle === NO_HANDLE || !this.nodes.knows(sid)) return false
    return bridge.getEngine().ownerOf(this.handle, sid) === IdOwner.MINE
  }

  // ---- what the server asks for --------------------------------------------------------------

  /** Has a poll or a POST of a session of this process served, see `Owner.admit`. */
  admit(sid, req, res, serve, refuse) {
    this._owner.admit(sid, req, res, serve, refuse)
  }

  /** Has the owner of a session answer a poll or a POST, see `Front.forward`. */
  forward(peer, sid, req, res, refuse) {
    this.front.forward(peer, sid, req, res, refuse)
  }

  /** Moves a connection that asks for an upgrade to the owner of its session, see `Front.move`. */
  move(peer, sid, req, socket, head, headers, refuse) {
    this.front.move(peer, sid, req, socket, head, headers, refuse)
  }

  /** Returns whether the application hears of a session later, because a node of the bus may take it over. */
  holdsBack(session) {
    return this.nodes !== undefined && this.nodes.holdsBack(session)
  }

  /** Has the application hear of all sessions of which it has not heard. */
  hearAll() {
    this.nodes?.hearAll()
  }

  /** Called when a session of this process has ended. */
  onSessionOver(sid) {
    this.nodes?.onSessionOver(sid)
    this._owner.onSessionOver(sid)
  }

  /** Whether this member carries the bytes of connections. */
  get isCarrying() {
    return this.relays.isCarrying
  }

  /** Ends the connections whose bytes this member carries, see `Relays.drain`. */
  drain(spread, onOver) {
    this.relays.drain(spread, onOver)
  }

  // ---- messages of peers ---------------------------------------------------------------------

  /**
   * Takes messages until there are none. Those behind one at which a listener throws, and those above a number, follow
   * in the next turn.
   */
  [kOnPeers]() {
    let isDone = false
    try {
      for (let round = 0; round < ROUNDS && !isDone; round++) {
        while (2 * this._next < this._contents.length) this._takeNext()
        this._contents = this.handle === NO_HANDLE ? [] : bridge.getEngine().takeFromPeers(this.handle, this._meta)
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
    const link = this.links.get(from)
    // requests of one turn belong to different clients
    if (link === undefined) return apart(this._owner.take, this._owner, from, kind, number, head, body, descriptor)
    // only fronts send them
    if (descriptor >= 0) bridge.getEngine().closeDescriptor(descriptor)
    if (kind === PeerMessage.DOWN) this._lastSid = undefined
    this.links.take(link, kind, number, head, body)
  }

  /** Writes what was sent. */
  [kFlushPeers]() {
    this.links.flush()
  }

  // ---- the end -------------------------------------------------------------------------------

  /** Whether this member is about to leave, or has left. */
  get isLeaving() {
    return this._leaving !== undefined || this.handle === NO_HANDLE
  }

  /**
   * Has a connection end with this response if the process is about to stop, so that the client's next request comes to
   * another one.
   *
   * @param {any} res
   */
  endIfLeaving(res) {
    if (this._server.draining || this.isLeaving) res.shouldKeepAlive = false
  }

  /**
   * Leaves, because the server closes. Polls that wait for peers are answered before, so that their clients go on
   * elsewhere. Connections whose bytes this member carries end.
   */
  leave() {
    if (this.handle === NO_HANDLE || this._leaving !== undefined) return
    let waits = this.links.leave()
    this.relays.leave()
    if (this.nodes?.leave()) waits = true
    // sessions that have just been closed answer their polls in this tick
    this._leaving = atRoot(setTimeout, () => this._leaveNow(), waits ? FAREWELL : 1)
    if (!this.links.areMoving) this._leaving.unref()
  }

  /** Called when a connection moves. It is not read, and keeps no process alive: it would be cut without an answer. */
  onMove() {
    this._leaving?.ref()
  }

  _leaveNow() {
    this._leaving = undefined
    const handle = this.handle
    this.handle = NO_HANDLE
    bridge.members.delete(handle)
    bridge.getEngine().leaveCluster(handle)
    this._dropMessages()
    this.nodes?.leaveNow()
    this.links.leaveNow()
    this._owner.leaveNow()
    this.door.close()
  }

  /** Drops the messages in hand. The engine has dropped those that were not taken from it. */
  _dropMessages() {
    const { _meta: meta, _contents: contents } = this
    for (; 2 * this._next < contents.length; this._next++) {
      const descriptor = meta[4 * this._next + 3] - 1
      if (descriptor >= 0) bridge.getEngine().closeDescriptor(descriptor)
    }
    this._contents = []
    this._next = 0
  }

  /** Returns numbers for `server.metrics()`. */
  metrics() {
    const bus = this.nodes === undefined ? {} : { bus: this.nodes.metrics() }
    const { nodes, others } = this.census()
    return {
      number: this.number,
      peers: nodes.length + others.length,
      gateways: nodes.length,
      links: this.links.size,
      waiting: this.links.waiting,
      searches: this.search.count,
      ...this.counts,
      ...bus,
    }
  }
}

module.exports = { Cluster }
