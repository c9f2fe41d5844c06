'use strict'

const { EventEmitter } = require('events')
const bridge = require('./bridge')
const { capture } = require('./context')
const { showLikeNodes } = require('./emitter')
const { Opening, showRequest } = require('./opening')
const { receivedType } = require('./packets')
const { keepOriginals, notice, watch } = require('./replaced')
const { ReceivingSocket } = require('./socket-receiving')
const { SendingSocket } = require('./socket-sending')
const { Transport, kOwner, transportError } = require('./transport')
const { isNative, isNativeWebSocket } = require('./transports/native')
const { Polling } = require('./transports/polling')
const { WebSocket } = require('./transports/websocket')
const debug = require('debug')('engine:socket')

/** `arg` of an UPGRADE_FAILED event, as in src/server/events.rs. */
const ProbeEnd = { GIVEN_UP: 0, SESSION_ENDED: 1, CLOSED: 2, FAILED: 3 }

/**
 * A client's session. The engine keeps its state, heartbeat and transports; this is its public side:
 * what applications read synchronously, their listeners, and the packets that wait until the transport
 * can take them.
 *
 * Events, in the order of a session's life: `flush` (writeBuffer), `drain`, `packetCreate` (packet),
 * `packet` (packet), `data` and `message` (string | Buffer), `heartbeat`, `upgrading` (transport),
 * `upgrade` (transport), `close` (reason, description), the last exactly once.
 */
class Socket extends ReceivingSocket {
  /** @param {number} [opened] the engine's number of the session, if that has been opened there by `req`, an `Opening` */
  constructor(id, server, transport, req, protocol, opened = undefined) {
    super()
    this.upgrading = false
    this.upgraded = false
    /** Packets that wait for the transport: `{ type, options, data }`. */
    this.writeBuffer = []
    // in name only: the engine has the timers
    this.pingTimeoutTimer = null
    this.pingIntervalTimer = null
    this.hasRefreshedPingTimeout = false
    this.id = id
    this.server = server
    if (opened === undefined) {
      /** The request that opened the session; set it to null to let go of its memory. */
      this.request = req
    } else {
      showRequest(this, req)
    }
    this.protocol = protocol
    /** The address of the client, where there is a request that it is known from. */
    if (opened === undefined && req) this.remoteAddress = addressOf(req)
    this._probe = null
    /** What the server has it under; undefined: it does not count it. */
    this._key = undefined
    /** A native listener serves its polls. */
    this._listed = transport === undefined
    /** The engine has ended the session. */
    this._over = false
    /** Events that wait, see `holdBack` in lib/bridge.js. */
    this._held = undefined
    /** The engine's handle of the session; 0: none yet, or given back. */
    this._handle = 0
    /** Whether polls have passed this thread by, and nobody has looked at the transport. */
    this._transportless = transport === undefined
    if (transport === undefined) Object.defineProperty(this, 'transport', TRANSPORT)
    if (opened === undefined) {
      try {
        this._open(transport)
        this.setTransport(transport)
        this.onOpen()
      } catch (error) {
        // a listener's, mostly: nobody gets this session
        this.onClose('forced close')
        throw error
      }
    } else {
      // its client has been told
      bridge.addSession(opened, this)
      this.readyState = 'open'
      if (transport !== undefined) this._bindTransport(transport)
      this.emit('open')
    }
    watch(server)
  }

  /** The transport, unless there is none yet. */
  _madeTransport() {
    return this._transportless ? undefined : this.transport
  }

  _bindTransport(transport) {
    transport.sid = this.id
    this.setTransport(transport)
  }

  /** What lets a transport of JavaScript's go. */
  get cleanupFn() {
    if (this._cleanupFn === undefined) this._cleanupFn = []
    return this._cleanupFn
  }

  set cleanupFn(functions) {
    this._cleanupFn = functions
  }

  /** `opening`, `open`, `closing` or `closed`. */
  get readyState() {
    return this._readyState
  }

  set readyState(state) {
    debug('readyState updated from %s to %s', this._readyState, state)
    this._readyState = state
  }

  _open(transport) {
    const engine = bridge.getEngine()
    let connection = 0
    let jsonp
    if (isNativeWebSocket(transport) && transport.socket._handle !== 0) {
      connection = transport.socket._handle
    } else if (transport instanceof Polling) {
      jsonp = transport._index
    } else {
      connection = this._channel = engine.openChannel()
    }
    const { protocol } = this
    const timing = this.server._timing()
    const handle = bridge.fast.openSession(timing, protocol, connection, transport.supportsBinary, jsonp)
    bridge.addSession(handle, this)
    bridge.scheduleLateFlush()
    if (isNativeWebSocket(transport)) transport.socket._start()
  }

  onOpen() {
    this.readyState = 'open'
    this.transport.sid = this.id
    const { opts } = this.server
    this.sendPacket('open', this.server._openPacket.text(this.id, this.getAvailableUpgrades(), opts))
    if (opts.initialPacket) this.sendPacket('message', opts.initialPacket)
    this.emit('open')
  }

  // ---- transports ----------------------------------------------------------------------------

  setTransport(transport) {
    this.transport = transport
    notice(this)
    if (isNative(transport)) {
      transport[kOwner] = this
      const { socket } = transport
      if (transport.listenerCount('packet') > 0 || (socket && socket.listenerCount('message') > 0)) this._listenToAll()
      if (transport.req) transport._takePoll()
      return
    }
    const listeners = {
      error: this.onError.bind(this),
      ready: () => this.flush(),
      packet: this.onPacket.bind(this),
      drain: this.onDrain.bind(this),
      close: this.onClose.bind(this, 'transport close'),
    }
    const events = Object.keys(listeners)
    for (const event of events) transport.on(event, listeners[event])
    this.cleanupFn.push(() => {
      for (const event of events) transport.removeListener(event, listeners[event])
    })
  }

  /** Lets the current transport go. */
  clearTransport() {
    if (this._cleanupFn !== undefined) for (const cleanup of this._cleanupFn.splice(0)) cleanup()
    // nobody has ever looked at it
    if (this._transportless && closesPlainly(Polling.prototype)) return
    const { transport } = this
    if (isNative(transport)) {
      // the engine has closed it, or does so at its own time
      if (!closesPlainly(transport)) transport.close()
      if (transport instanceof WebSocket) transport.socket._closing(this._over)
      else transport._abortPost()
      markClosed(transport)
      transport._show('close')
      return
    }
    transport.on('error', () => debug('error triggered by discarded transport'))
    try {
      transport.close()
    } finally {
      this._dropChannel()
    }
  }

  /** Somebody else emitted an event of the transport, in the engine's place. */
  _onTransportEvent(event, arg) {
    if (event === 'ready') this.flush()
    else if (event === 'drain') this.onDrain()
    else if (event === 'packet') this.onPacket(arg)
    else if (event === 'error') this.onError(arg)
    else if (event === 'close') this.onClose('transport close')
  }

  _dropChannel() {
    const channel = this._channel
    if (channel === 0) return
    this._channel = 0
    bridge.getEngine().dropChannel(channel)
  }

  _dropProbeChannel() {
    const channel = this._probeChannel
    this._probeChannel = 0
    bridge.getEngine().dropChannel(channel)
  }

  /** A transport for this session was opened: the client will probe it. */
  _maybeUpgrade(transport) {
    if (this._idle) this.server._limits.heard(this)
    debug('might upgrade socket transport from "%s" to "%s"', this.transport.name, transport.name)
    const engine = bridge.getEngine()
    const channel = isNativeWebSocket(transport) ? transport.socket._handle : engine.openChannel()
    if (!engine.startUpgrade(this._handle, channel)) {
      if (!isNativeWebSocket(transport)) engine.dropChannel(channel)
      transport.close()
      return
    }
    this.upgrading = true
    this._probe = transport
    if (isNativeWebSocket(transport)) transport.socket._start()
    else this._probeForeign(transport, channel)
  }

  /** The native listener has opened a connection for this session: the client will probe it. */
  _onProbing(connection, head) {
    const opening = new Opening(head)
    const transport = this.server._openWebSocket(opening, connection, opening.query)
    if (this.readyState === 'closed') return
    this.upgrading = true
    this._probe = transport
  }

  _probeForeign(transport, channel) {
    const engine = bridge.getEngine()
    this._probeChannel = channel
    const onPacket = (packet) => {
      this._apply(engine.receive(this._handle, channel, receivedType(packet), packet.data === 'probe'))
    }
    const onEnd = () => this._apply(engine.channelClosed(this._handle, channel))
    transport.on('packet', onPacket)
    transport.once('close', onEnd)
    transport.once('error', onEnd)
    this._endProbe = () => {
      transport.removeListener('packet', onPacket)
      transport.removeListener('close', onEnd)
      transport.removeListener('error', onEnd)
    }
  }

  _takeProbe() {
    const probe = this._probe
    this._probe = null
    this.upgrading = false
    if (this._endProbe !== undefined) {
      this._endProbe()
      this._endProbe = undefined
    }
    return probe
  }

  _onUpgrading() {
    const transport = this._probe
    if (transport === null) return
    const isWatched = isNative(transport) && transport.listenerCount('packet') > 0
    this.emit('upgrading', transport)
    if (isWatched) transport._show('packet', { type: 'ping', data: 'probe' })
    notice(this)
  }

  _onUpgraded() {
    const transport = this._takeProbe()
    if (transport === null) return
    const isWatched = isNative(transport) && transport.listenerCount('packet') > 0
    debug('got upgrade packet - upgrading')
    this.transport.discard()
    this.upgraded = true
    // a listener of the old transport's that throws does not keep the session from moving
    try {
      this.clearTransport()
    } finally {
      this._moveTo(transport, isWatched)
    }
  }

  _moveTo(transport, isWatched) {
    if (!isNative(transport)) {
      this._channel = this._probeChannel
      this._probeChannel = 0
    }
    this.setTransport(transport)
    this.emit('upgrade', transport)
    notice(this)
    this.flush()
    if (this.readyState === 'closing') this.closeTransport()
    if (isWatched) transport._show('packet', { type: 'upgrade' })
  }

  /** The session does not move to the transport that its client tried out. */
  _onUpgradeFailed(end, fault) {
    // with its session the transport is closed after listeners of the session's `close`, see `onClose`
    if (end !== ProbeEnd.SESSION_ENDED) this._closeProbe(end, fault)
  }

  /** The transport emits `close` when its connection has ended. */
  _closeProbe(end, fault) {
    const transport = this._takeProbe()
    if (transport === null) return
    debug('client did not complete upgrade')
    if (!isNativeWebSocket(transport)) {
      transport.on('error', () => {})
      try {
        transport.close()
      } finally {
        this._dropProbeChannel()
      }
      return
    }
    if (end !== ProbeEnd.CLOSED) {
      if (!closesPlainly(transport)) transport.close()
      else if (transport.readyState === 'open') transport.readyState = 'closing'
    }
    transport.socket._closing(true)
    if (end === ProbeEnd.FAILED) transport._show('error', transportError(fault))
  }

  /** The names of the transports a client of this session may upgrade to. */
  getAvailableUpgrades() {
    return this.server._availableUpgrades(this.transport.name)
  }

  // ---- closing -------------------------------------------------------------------------------

  /** Ends the session for a fault that only this side can see. */
  _fail(message) {
    if (this.readyState !== 'closed') this._apply(bridge.getEngine().fail(this._handle, 'transport error', message))
  }

  /**
   * Closes the session: at once with `discard`, else when the waiting packets have been handed over.
   * Returns the socket, for chaining.
   */
  close(discard) {
    if (discard && (this.readyState === 'open' || this.readyState === 'closing')) this.closeTransport(discard)
    else if (this.readyState === 'open') this._closeInOrder()
    return this
  }

  _closeInOrder() {
    this.readyState = 'closing'
    if (!this._hasWaiting()) return this.closeTransport()
    bridge.getEngine().beginClose(this._handle)
    debug('there are %d remaining packets in the buffer, waiting for the "drain" event', this.writeBuffer.length)
    this._keepContext()
    this.once('drain', () => {
      debug('all packets have been sent, closing the transport')
      this.closeTransport()
    })
  }

  closeTransport(discard) {
    const { transport } = this
    if (discard) {
      transport.discard()
      // a graceful close may be under way, which waits for the client: not any longer
      if (transport.readyState === 'closing') transport.readyState = 'open'
    }
    let isClosing = false
    try {
      transport.close(this.onClose.bind(this, 'forced close', undefined))
      isClosing = true
    } finally {
      // a connection that throws is not asked again: this is the end, and the exception goes its way
      if (!isClosing) this.onClose('forced close')
    }
    // polling waits for the client, up to a deadline
    if (this.readyState !== 'closed') this._closer = capture()
  }

  /** The session is over. */
  onClose(reason, description) {
    if (this.readyState === 'closed') return
    this.readyState = 'closed'
    // listeners of `close` may still look at what was not sent
    if (this._hasWaiting()) {
      process.nextTick(() => {
        this.writeBuffer = []
      })
    }
    this._packetsFn = this._sentCallbackFn = undefined
    // a listener that throws, of a transport or of what is answered, does not keep the rest from ending
    try {
      this._end(reason, description)
    } finally {
      try {
        this.clearTransport()
      } finally {
        if (this._key !== undefined) this.server._unregister(this)
        else this._endedEarly = { reason, description }
        try {
          this.emit('close', reason, description)
        } finally {
          try {
            this._closeProbe(ProbeEnd.SESSION_ENDED)
          } finally {
            const transport = this._madeTransport()
            if (isNativeWebSocket(transport)) transport.socket._afterSession()
          }
        }
      }
    }
  }

  /** The end of a session that had ended before its server knew it. */
  _endAgain() {
    const { reason, description } = this._endedEarly
    this._endedEarly = undefined
    this.server._unregister(this)
    this.emit('close', reason, description)
  }

  /** Ends the engine's session, unless that has ended by itself, and gives it back. */
  _end(reason, description) {
    try {
      if (!this._over) this._apply(bridge.getEngine().fail(this._handle, reason, description && description.message))
    } finally {
      bridge.releaseSession(this)
    }
  }
}

const { close } = Transport.prototype
const DO_CLOSE = new Set([Polling.prototype.doClose, WebSocket.prototype.doClose])

/** Whether a transport ends as ours do, of which the engine sees to all. */
function closesPlainly(transport) {
  return transport.close === close && DO_CLOSE.has(transport.doClose)
}

function markClosed(transport) {
  transport.writable = false
  transport.readyState = 'closed'
}

/** What carries the packets of a session that a native listener has opened is made when somebody looks at it. */
const TRANSPORT = {
  __proto__: null,
  configurable: true,
  enumerable: true,
  get() {
    this._bindTransport(this.server._pollingTransport(this._opening))
    if (this._readyState === 'closed') markClosed(this.transport)
    return this.transport
  },
  set(value) {
    this._transportless = false
    Object.defineProperty(this, 'transport', { __proto__: null, value, writable: true, configurable: true, enumerable: true })
  },
}

/** What few sessions ever set: a field of their own takes memory of every one. */
Object.assign(Socket.prototype, {
  _cleanupFn: undefined,
  /** The context of the call that has begun to close the session. */
  _closer: undefined,
  /** Why it has ended, if it was not registered then. */
  _endedEarly: undefined,
  /** Which heartbeats are sent from here, see lib/replaced.js. */
  _relayed: 0,
  /** The handles of channels that JavaScript drives: the transport's, and the probe's. */
  _channel: 0,
  _probeChannel: 0,
})

joinHalves()
keepOriginals(Socket.prototype)

/** The halves are files of their own, and no classes of their own to whoever looks at a session. */
function joinHalves() {
  for (const Half of [ReceivingSocket, SendingSocket]) {
    const { constructor, ...members } = Object.getOwnPropertyDescriptors(Half.prototype)
    Object.defineProperties(Socket.prototype, members)
  }
  Object.setPrototypeOf(Socket.prototype, EventEmitter.prototype)
  showLikeNodes(Socket.prototype)
}

function addressOf(req) {
  const socket = req.websocket && req.websocket._socket
  return socket ? socket.remoteAddress : req.connection && req.connection.remoteAddress
}

module.exports = { Socket, Transport }
