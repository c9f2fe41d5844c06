'use strict'

// A server among those of other machines that serve each other's sessions over a bus of the application's. The protocol
// is in src/cluster/bus/, which is pure: it gets messages and time here, and here is done what it wants.

const { createHash } = require('crypto')
const debug = require('debug')('engine:cluster')
const { performance } = require('perf_hooks')
const { setImmediate, setTimeout } = require('timers')
const { hasGone, isOver } = require('../base/client')
const { kindOf, reasonOf } = require('../base/shown')
const { warnOnce } = require('../base/warnings')
const { apart, atRoot, capture } = require('../native/context')
const { ErrorCode } = require('../native/contract')
const { BusNode } = /** @type {any} */ (require('../native/load-addon'))
const { kAdopt, kClient, kEndLost, kIsMovable, kServeForwarded } = require('../base/symbols')
const { AskedRequest, AskedUpgrade, failPost } = require('./asked')
const { apartFromErrors } = require('./link')
const { readOpening } = require('./messages')
const { Named } = require('./named')
const { TOO_LARGE, UNAVAILABLE } = require('./refusals')
const { ServedRequest, ServedUpgrade } = require('./served')
const { Trouble } = require('./trouble')
const { Unheard } = require('./unheard')

/** How often actions are taken in one turn. */
const ROUNDS = 16

/** Bytes that the bus may have still to take. What is published above that is dropped, and sent again later. */
const MAX_UNTAKEN = 8 << 20

/** Milliseconds until a channel that could not be subscribed to is tried again. */
const RETRY = 1000

/** For how long after its start this process says hello again if the bus has not taken that, and how often, in ms. */
const START = 5 * 1000
const AGAIN = 20

/** How often this process looks who is on its machine, in ms. Hellos are said a little less often. */
const LOOK = 900

/** What is added to the time in which an owner answers a poll, in ms. */
const PATIENCE = 10 * 1000

/** The most sessions of which the application has not heard. */
const MAX_UNHEARD = 1024

/** The numbers of a node that has left. */
const NO_NUMBERS = { nodes: 0, served: 0, waiting: 0, refused: 0, misdirected: 0, stale: 0, violations: 0 }

/** What warnings say of a bus that fails. */
const NOT_TAKEN = "cluster.bus does not take messages, so that requests of other machines' sessions get 503"
const NOT_SUBSCRIBED = 'cluster.bus does not subscribe to channels, so that nothing comes in from other machines'

/** What a stream hears. */
const HEARD = {
  answer: 'onAnswer',
  data: 'onData',
  writable: 'onWritable',
  failed: 'onFailed',
  gone: 'onGone',
  moved: 'onMoved',
  done: 'onDone',
  lost: 'onGone',
}

class Nodes {
  /**
   * @param {import('./index').Cluster} cluster
   * @param {any} server
   * @param {{bus: any, key: Buffer, showOwner: boolean, claim: boolean}} options
   */
  constructor(cluster, server, { bus, key, showOwner, claim }) {
    this.cluster = cluster
    this.server = server
    this._bus = bus
    this._key = key
    this._showOwner = showOwner
    /** Whether sessions of this node may be taken over. */
    this._isClaimable = claim
    // other keys have other channels
    const name = createHash('sha256').update('engine.io-native bus\0').update(key).digest('hex').slice(0, 16)
    this._channel = `engine.io-native.${name}`
    this._node = undefined
    /** The channels of this node, with their listeners. */
    this._subscriptions = []
    /** Requests, with their answers and what is relayed, by their names. */
    this._streams = new Named()
    /** The connections that came in here and whose bytes are relayed. */
    this.relays = new Set()
    /** Requests of this process that wait until an answer is settled, by their tokens. */
    this._held = new Map()
    /** Sessions of which the application has not heard. */
    this.unheard = new Set()
    /** The ids of sessions that other nodes have opened. */
    this._claimed = new Set()
    this._lastToken = 0
    this._isScheduled = false
    this._timer = undefined
    this._timerAt = Infinity
    this._untaken = 0
    /** When this process has joined, and the timer for saying hello again. */
    this._joined = 0
    this._again = undefined
    this._publishing = new Trouble(NOT_TAKEN)
    this._subscribing = new Trouble(NOT_SUBSCRIBED)
    /** When this process looked last who is on its machine. */
    this._looked = -Infinity
    this.counts = {
      asked: 0,
      handedOn: 0,
      relayed: 0,
      claimed: 0,
      given: 0,
      unavailable: 0,
      sent: 0,
      received: 0,
      unreadable: 0,
      unsent: 0,
      failures: 0,
    }
  }

  /** Joins the bus as a member whose number is given as in `memberOf`, unless this is done. Returns its address there. */
  join(member) {
    if (this._node !== undefined) return this._node.address()
    const { pingInterval, pingTimeout } = this.server.opts
    this._node = new BusNode(this._key, this._showOwner, member, Number(pingInterval) + Number(pingTimeout) + PATIENCE)
    this._joined = performance.now()
    this.lookAround()
    this._subscribe(`${this._channel}.all`, this._node)
    this._subscribe(`${this._channel}.${this._node.address()}`, this._node)
    this._arm()
    return this._node.address()
  }

  /** Looks which processes of this machine have no bus. This one stands for them. */
  lookAround() {
    if (this._node === undefined) return
    this._looked = performance.now()
    const others = this.cluster.lookAround()
    const left = this._node.standFor(others)
    if (left > 0) this._onLeftOut(others.length, left)
    if (this._node.isFull()) {
      const what = 'more processes have a bus than the 256 that can know each other'
      // another warning has this code, too
      warnOnce(this._node, 'ENGINE_CLUSTER_GATEWAY', `${what}: give it to two of each machine, which serve the others`)
    }
    this._arm()
  }

  _onLeftOut(count, left) {
    const what = `${count} processes of this machine have no bus, of which ${count - left} are reached from other machines`
    warnOnce(this, 'ENGINE_CLUSTER_GATEWAY', `${what}: give the bus to more of them`)
  }

  /** Whether another node may have the session. */
  knows(sid) {
    return this._node !== undefined && typeof sid === 'string' && this._node.knows(sid)
  }

  /** Whether a session is one of the node with this address, and of no other one, as far as is known. */
  isAt(sid, address) {
    return this._node !== undefined && this._node.isOf(sid, address)
  }

  // ---- requests that came in here ------------------------------------------------------------

  /** Has the owner answer a poll or a POST, whose body has been read. Returns the request to it, if one is sent. */
  forward(sid, req, res, refuse, body) {
    if (this._node === undefined) return void this.refuse('unavailable', sid, refuse)
    if (isOver(req, res)) return void debug('the request is over')
    this.counts.asked++
    return new AskedRequest(this, sid, req, res, refuse, body)
  }

  /** Has a session end because the body of a POST could not be read. */
  failPost(sid) {
    if (this._node !== undefined) failPost(this, sid)
  }

  /**
   * Relays a connection that asks for an upgrade.
   *
   * @param {() => void} [onTaken] is called when the owner goes on with it
   */
  upgrade(sid, req, socket, head, headers, refuse, onTaken) {
    if (this._node === undefined) return this.refuse('unavailable', sid, refuse)
    if (socket.destroyed) return debug('the client has gone')
    this.counts.asked++

    new AskedUpgrade(this, sid, req, socket, head, headers, refuse, onTaken)
  }

  /** Answers a request with an error. */
  refuse(failure, sid, refuse) {
    if (failure === 'unknown') return this.cluster.front.refuseGone(sid, refuse)
    if (failure === 'tooLarge') return refuse(ErrorCode.BAD_REQUEST, TOO_LARGE)
    this.counts.unavailable++
    refuse(ErrorCode.BAD_REQUEST, UNAVAILABLE)
  }

  /**
   * Has a poll or a POST of a session of this process served: by `serve` at once, or when the answer before it, which went
   * over the bus, has arrived, or is known not to.
   */
  admit(sid, req, res, serve, refuse) {
    if (this._node === undefined) return serve()
    this._lastToken = (this._lastToken + 1) >>> 0
    const isAdmitted = this._node.admit(req.method === 'POST' ? 'post' : 'poll', sid, this._lastToken)
    if (isAdmitted === true) return serve()
    if (isAdmitted !== false) return this.refuse('unavailable', sid, refuse)
    const { server } = this
    const { front } = this.cluster
    const context = capture()
    this._held.set(this._lastToken, () => {
      context.runInAsyncScope(() => {
        if (hasGone(req, res)) server[kEndLost](sid)
        else if (server[kClient](sid) === undefined && this.knows(sid)) front.forwardMoved(sid, req, res, refuse)
        else server[kServeForwarded](req, res, refuse)
      })
    })
  }

  // ---- sessions that move --------------------------------------------------------------------

  /** Returns whether the application hears of a session later, because another node may take it over. */
  holdsBack(session) {
    if (!this._isClaimable || this._node === undefined) return false
    if (this.unheard.size >= MAX_UNHEARD || this._claimed.has(session.id)) return false
    const ms = this._node.holds()
    if (ms === 0 || !this.server[kIsMovable](session)) return false
    new Unheard(this, session, ms)
    return true
  }

  /** Has the application hear of all sessions. */
  hearAll() {
    for (const unheard of [...this.unheard]) unheard.hear()
  }

  /** Goes on with a session that another node has opened, and with its upgrade, unless the client of that has gone. */
  _claim({ id, stream: name, body }) {
    const { server } = this
    const stream = this._streams.get(name)
    const req = readOpening(body.toString())
    const mayClaim = stream instanceof AskedUpgrade && stream.mayClaim
    if (req === undefined || !mayClaim || server[kClient](id) !== undefined || this.cluster.isLeaving) {
      this._node.released(id)
      return stream?.hear('onFailed', { what: 'unavailable' })
    }
    this.counts.claimed++
    this._claimed.add(id)
    adopt(server, id, req)
    stream?.hear('onClaimed')
  }

  /** Called when a session of this process has ended. */
  onSessionOver(sid) {
    const isClaimed = this._claimed.delete(sid)
    if (this._node === undefined) return
    if (isClaimed) this._node.released(sid)
    if (this._node.over(sid) || isClaimed) this._schedule()
  }

  // ---- the node ------------------------------------------------------------------------------

  /** Calls a method of the node, unless this process has left. */
  act(method, ...args) {
    if (this._node === undefined) return undefined
    this._schedule()
    return this._node[method](...args)
  }

  add(stream) {
    this._streams.set(stream.name, stream)
  }

  remove(stream) {
    this._streams.delete(stream.name)
  }

  _schedule() {
    if (this._isScheduled) return
    this._isScheduled = true
    atRoot(setImmediate, () => this._run())
  }

  /** Does what the node wants. */
  _run() {
    this._isScheduled = false
    const node = this._node
    if (node === undefined) return
    let isDone = false
    for (let round = 0; round < ROUNDS && !isDone; round++) {
      const actions = node.take()
      isDone = actions.length === 0
      // an exception of a listener concerns none but its own request
      for (const action of actions) apartFromErrors(() => this._do(action))
    }
    if (!isDone) this._schedule()
    this._arm()
  }

  _do(action) {
    const { kind, stream: name } = action
    if (kind === 'publish') return this._publish(name ?? 'all', action.body)
    if (kind === 'serve') return apart(this._serve, this, action)
    if (kind === 'claimed') return apart(this._claim, this, action)
    if (kind === 'proceed') return this._proceed(action.number)
    if (kind === 'numberTaken') return this._renumber(action.number)
    const stream = this._streams.get(name)
    if (stream !== undefined) apartFromErrors(() => stream.hear(HEARD[kind], action))
    if (kind === 'lost') apart(this.server[kEndLost], this.server, action.id)
  }

  _serve(action) {
    new (action.what === 'upgrade' ? ServedUpgrade : ServedRequest)(this, action)
  }

  _proceed(token) {
    const proceed = this._held.get(token)
    this._held.delete(token)
    proceed?.()
  }

  _renumber(number) {
    const changed = this.cluster.changeNumber(number)
    if (changed === undefined || this._node === undefined) return
    this._node.renumber(changed.member, changed.hasIssued)
    this.cluster.noteNode(this._node.address())
  }

  /** Sets the timer for what is due next. */
  _arm() {
    if (this._node === undefined) return
    const at = performance.now() + Math.max(1, this._node.due())
    if (this._timerAt <= at) return
    clearTimeout(this._timer)
    this._timerAt = at
    this._timer = atRoot(setTimeout, () => this._tick(), at - performance.now())
    this._timer.unref()
  }

  _tick() {
    this._timerAt = Infinity
    if (performance.now() - this._looked >= LOOK) this.lookAround()
    this._node.tick()
    this._run()
  }

  // ---- the bus -------------------------------------------------------------------------------

  _publish(to, message, isAgain = false) {
    const isHello = to === 'all'
    if (isHello) clearTimeout(this._again)
    const onUnsent = (error) => {
      if (!isAgain) this.counts.unsent++
      this._onUnsent(error)
      if (isHello) this._sayAgain(message)
    }
    if (this._untaken > MAX_UNTAKEN) return onUnsent(new Error('the bus does not take messages'))
    try {
      const result = this._bus.publish(`${this._channel}.${to}`, message)
      this.counts.sent++
      if (typeof result?.then !== 'function') return this._publishing.onSuccess()
      this._untaken += message.length
      const onTaken = () => (this._untaken -= message.length)
      const onSent = () => {
        onTaken()
        this._publishing.onSuccess()
      }
      Promise.resolve(result).then(onSent, (error) => {
        onTaken()
        onUnsent(error)
      })
    } catch (error) {
      onUnsent(error)
    }
  }

  /**
   * Says hello again: until the other machines hear it, they answer that they do not know the sessions of this process.
   * Its client may be about to connect.
   */
  _sayAgain(hello) {
    const node = this._node
    if (node === undefined || performance.now() - this._joined > START) return
    clearTimeout(this._again)
    this._again = atRoot(setTimeout, () => this._node === node && this._publish('all', hello, true), AGAIN)
    this._again.unref()
  }

  /** A message that is lost is sent again. */
  _onUnsent(error) {
    // a client may be closed with the server
    if (this._node !== undefined) this._publishing.onFailure(error)
  }

  /** Subscribes to a channel, until it succeeds or this process leaves. */
  _subscribe(channel, node) {
    const subscription = { channel, onMessage: (bytes) => this._onMessage(node, bytes), timer: undefined }
    this._subscriptions.push(subscription)
    const onFailure = (error) => {
      if (this._node !== node) return
      this.counts.failures++
      this._subscribing.onFailure(error)
      subscription.timer = atRoot(setTimeout, attempt, RETRY)
      subscription.timer.unref()
    }
    const onSuccess = () => this._subscribing.onSuccess()
    const attempt = () => {
      try {
        Promise.resolve(this._bus.subscribe(channel, subscription.onMessage)).then(onSuccess, onFailure)
      } catch (error) {
        onFailure(error)
      }
    }
    attempt()
  }

  /** Takes a message. Nothing is thrown into the application's client. */
  _onMessage(node, bytes) {
    if (this._node !== node) return
    this.counts.received++
    if (!ArrayBuffer.isView(bytes)) return this._onUnreadable(bytes)
    node.receive(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    this._schedule()
  }

  /** A client that gives texts has decoded what is not text, so that its messages cannot be read any more. */
  _onUnreadable(message) {
    this.counts.unreadable++
    const text = `cluster.bus must give messages as a Buffer or another Uint8Array, got ${kindOf(message)}: such messages are dropped`
    warnOnce(this, 'ENGINE_CLUSTER_BUS', text)
  }

  // ---- the end -------------------------------------------------------------------------------

  /** Whether requests to other nodes, or theirs to this one, are under way. */
  get hasStreams() {
    return this._streams.size > 0
  }

  /** Whether this process carries the bytes of connections. */
  get isCarrying() {
    return this.relays.size > 0
  }

  /** Called when this process begins to carry the bytes of a connection. */
  onRelay(relay) {
    this.counts.relayed++
    this.relays.add(relay)
    this.cluster.relays.onRelay(relay)
  }

  /** Called when such a connection has closed. */
  onRelayOver(relay) {
    this.relays.delete(relay)
    this.cluster.relays.onRelayOver()
  }

  /**
   * Has polls answered that wait for other nodes, and ends connections whose bytes are carried, because this process
   * leaves. Returns whether anything is under way.
   */
  leave() {
    for (const stream of this._streams.values()) stream.release()
    for (const relay of this.relays) relay.endRelay()
    return this.hasStreams
  }

  leaveNow() {
    const node = this._node
    if (node === undefined) return
    for (const stream of [...this._streams.values()]) apartFromErrors(() => stream.hear('onLeave'))
    node.leave()
    for (const { kind, stream, body } of node.take()) if (kind === 'publish') this._publish(stream ?? 'all', body)
    this._node = undefined
    this._publishing.onSuccess()
    this._subscribing.onSuccess()
    this._claimed.clear()
    clearTimeout(this._timer)
    clearTimeout(this._again)
    this._timerAt = Infinity
    const held = [...this._held.values()]
    this._held.clear()
    for (const proceed of held) apartFromErrors(proceed)
    for (const { channel, onMessage, timer } of this._subscriptions.splice(0)) {
      clearTimeout(timer)
      try {
        Promise.resolve(this._bus.unsubscribe(channel, onMessage)).then(undefined, () => {})
      } catch (error) {
        debug('cannot unsubscribe from %s: %s', channel, reasonOf(error))
      }
    }
  }

  /** Returns numbers for `server.metrics()`. */
  metrics() {
    const neighbours = this.cluster.neighbours.size
    return { ...(this._node?.numbers() ?? NO_NUMBERS), neighbours, ...this.counts }
  }
}

/** Opens a session here. What a listener throws is an unhandled rejection, as for any new session. */
async function adopt(server, id, req) {
  server[kAdopt](id, req)
}

module.exports = { Nodes }
