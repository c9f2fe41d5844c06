'use strict'

const { performance } = require('perf_hooks')
const { setImmediate } = require('timers')
const bridge = require('../native/bridge')
const { capture } = require('../native/context')
const { CompactEmitter, showLikeNodes } = require('../base/emitter')
const heartbeat = require('./heartbeat')
const { Opening, showRequest } = require('./lazy-request')
const { TRANSPORT } = require('./lazy-transport')
const { openPacket } = require('./open-packet')
const { NO_HANDLE, PROBE, ProbeEndCode, REASONS, ReasonCode, ReasonText, Relayed } = require('../native/contract')
const { receivedType } = require('../native/packets')
const { keepOriginals, notice, seesHeartbeat, watch } = require('./overrides')
const { incoming } = require('./incoming')
const { outgoing } = require('./outgoing')
const { define, keep, SessionState, takeOver } = require('../base/state')
const { Transport, transportError } = require('../transports/transport')
const {
  carriesPolls,
  channelOf,
  connectionOf,
  driverOf,
  mayAnswerProbe,
  showsPackets,
} = require('../transports/driver')
const { Polling } = require('../transports/polling')
const debug = require('debug')('engine:socket')
const {
  kAfterSession,
  kAnnounceUpgrade,
  kApply,
  kAttach,
  kAttachProbe,
  kAvailableUpgrades,
  kBindTransport,
  kCloseInOrder,
  kCloseProbe,
  kClosing,
  kDropChannel,
  kDropProbeChannel,
  kEndAgain,
  kEndInEngine,
  kFail,
  kHasWaiting,
  kKeepContext,
  kListenToAll,
  kMadeTransport,
  kMove,
  kMoveTo,
  kNotice,
  kOnProbePacket,
  kOnProbing,
  kOnUpgradeFailed,
  kOnUpgraded,
  kOnUpgrading,
  kOpen,
  kOpenWebSocket,
  kPeerClose,
  kShow,
  kStart,
  kState,
  kTakeProbe,
  kTellOfWritten,
  kTiming,
  kTryOut,
  kUnregister,
} = require('../base/symbols')

/** Who listens to one of these hears of every packet, or of every one that goes. */
const PACKET_EVENTS = new Set(['packet', 'heartbeat', 'packetCreate', 'flush', 'drain'])

/** Milliseconds to wait for a write in progress before what an ended session has not sent is forgotten. */
const PATIENCE = 1000

/**
 * A client's session. The engine keeps its state, heartbeat and transports. This class is the public side: members that
 * applications read synchronously, their listeners, and the packets that wait until the transport can take them.
 *
 * Events, in the order of a session's life: `flush` (writeBuffer), `drain`, `packetCreate` (packet),
 * `packet` (packet), `data` and `message` (string | Buffer), `heartbeat`, `upgrading` (transport),
 * `upgrade` (transport), `close` (reason, description), the last exactly once.
 */
class Socket extends /** @type {typeof import('../../types/bases').SessionBase} */ (CompactEmitter) {
  /**
   * @param {number} [opened] the engine's handle of the session, if a native listener has opened it for `req`, an
   * `Opening`
   * @param {boolean} [isAdopted] whether another process has opened the session, so that the client has its open packet
   */
  constructor(id, server, transport, req, protocol, opened = undefined, isAdopted = false) {
    super()
    keep(this, new SessionState(debug.enabled))
    if (isAdopted) this[kState].adopted = true
    this._readyState = 'opening'
    this.upgrading = false
    this.upgraded = false
    /** Packets that wait for the transport: `{ type, options, data }`. */
    this.writeBuffer = []
    this.id = id
    this.server = server
    if (opened === undefined) {
      /** The request that opened the session. Set it to null to free its memory. */
      this.request = req
    } else {
      showRequest(this, req)
    }
    this.protocol = protocol
    /** The address of the client, if a request tells it. */
    if (opened === undefined && req) this.remoteAddress = addressOf(req)
    const { trust } = server[kState]
    if (trust !== undefined && req) {
      const { headers } = opened === undefined ? req : req.request
      this.remoteAddress = trust.clientOf(this.remoteAddress, headers)
    }
    if (transport === undefined) {
      this[kState].listed = this[kState].transportless = true
      this[kState].relayed = Relayed.POLLS
      define(this, 'transport', TRANSPORT)
    }
    if (opened === undefined) {
      try {
        this[kOpen](transport)
        this.setTransport(transport)
        this.onOpen()
      } catch (error) {
        // mostly the exception of a listener; no `connection` event is emitted for this session
        this.onClose(ReasonText.FORCED_CLOSE)
        throw error
      }
    } else {
      // the client has got its open packet
      bridge.addSession(opened, this)
      this.readyState = 'open'
      if (transport !== undefined) this[kBindTransport](transport)
      this.emit('open')
      if (this[kState].timers !== undefined || seesHeartbeat(this)) heartbeat.begin(this)
    }
    watch(server)
  }

  /** Returns the transport if it has been made. */
  [kMadeTransport]() {
    return this[kState].transportless ? undefined : this.transport
  }

  [kBindTransport](transport) {
    transport.sid = this.id
    this.setTransport(transport)
  }

  /** Functions that remove the session's public listeners from its transport. */
  get cleanupFn() {
    if (this[kState].cleanupFn === undefined) this[kState].cleanupFn = []
    return this[kState].cleanupFn
  }

  set cleanupFn(functions) {
    this[kState].cleanupFn = functions
  }

  /** `opening`, `open`, `closing` or `closed`. */
  get readyState() {
    return this._readyState
  }

  set readyState(state) {
    debug('readyState updated from %s to %s', this._readyState, state)
    this._readyState = state
  }

  [kOpen](transport) {
    const engine = bridge.getEngine()
    const connection = connectionOf(transport)
    let channel = NO_HANDLE
    let jsonp
    if (carriesPolls(transport)) jsonp = transport[kState].index
    else if (connection !== undefined && connection[kState].handle !== NO_HANDLE) channel = connection[kState].handle
    else channel = this[kState].channel = engine.openChannel()
    const { protocol } = this
    const timing = this.server[kTiming]()
    const handle = bridge.fast.openSession(timing, protocol, channel, transport.supportsBinary, jsonp)
    bridge.addSession(handle, this)
    bridge.scheduleLateFlush()
    if (connection !== undefined) connection[kStart]()
  }

  onOpen() {
    this.readyState = 'open'
    this.transport.sid = this.id
    if (!this[kState].adopted) {
      const { opts } = this.server
      this.sendPacket('open', openPacket(this.id, this.getAvailableUpgrades(), opts))
      if (opts.initialPacket) this.sendPacket('message', opts.initialPacket)
    }
    this.emit('open')
    if (this[kState].timers !== undefined || seesHeartbeat(this)) heartbeat.begin(this)
  }

  // ---- listeners -----------------------------------------------------------------------------

  on(event, listener) {
    super.on(event, listener)
    if (PACKET_EVENTS.has(event) && this._readyState !== 'closing') this[kNotice]()
    return this
  }

  addListener(event, listener) {
    return this.on(event, listener)
  }

  prependListener(event, listener) {
    super.prependListener(event, listener)
    if (PACKET_EVENTS.has(event) && this._readyState !== 'closing') this[kNotice]()
    return this
  }

  [kListenToAll]() {
    this[kState].verbose = true
    if (this.readyState !== 'closed') bridge.getEngine().setVerbose(this[kState].handle, true)
  }

  /** Looks for replacements, because there are new listeners. */
  [kNotice]() {
    notice(this)
  }

  // ---- transports ----------------------------------------------------------------------------

  setTransport(transport) {
    this.transport = transport
    driverOf(transport).bind(transport, this)
  }

  /** Listens to a transport. Listeners on a transport of the engine are public only if it has other ones. */
  [kAttach](transport) {
    const listeners = {
      error: (error) => this.onError(error),
      ready: () => this.flush(),
      packet: (packet) => this.onPacket(packet),
      drain: () => this.onDrain(),
      close: () => this.onClose(ReasonText.TRANSPORT_CLOSE),
    }
    this.cleanupFn.push(listenTo(transport, listeners))
  }

  /** Lets the current transport go. */
  clearTransport() {
    if (this[kState].cleanupFn !== undefined) for (const cleanup of this[kState].cleanupFn.splice(0)) cleanup()
    // the transport has never been used
    if (this[kState].transportless && closesPlainly(Polling.prototype)) return
    const { transport } = this
    driverOf(transport).release(transport, this, () => debug('error triggered by discarded transport'))
  }

  [kDropChannel]() {
    const channel = this[kState].channel
    if (channel === NO_HANDLE) return
    this[kState].channel = NO_HANDLE
    bridge.getEngine().dropChannel(channel)
  }

  [kDropProbeChannel]() {
    const channel = this[kState].probeChannel
    this[kState].probeChannel = NO_HANDLE
    bridge.getEngine().dropChannel(channel)
  }

  /** Starts an upgrade to a transport, which the client is going to probe. */
  _maybeUpgrade(transport) {
    if (this[kState].idle) this.server[kState].limits.heard(this)
    debug('might upgrade socket transport from "%s" to "%s"', this.transport.name, transport.name)
    const engine = bridge.getEngine()
    const connection = connectionOf(transport)
    const channel = connection !== undefined ? connection[kState].handle : engine.openChannel()
    if (!engine.startUpgrade(this[kState].handle, channel)) {
      this.server[kState].counts.upgrades.refused++
      if (connection === undefined) engine.dropChannel(channel)
      transport.close()
      return
    }
    if (connection === undefined) this[kState].probeChannel = channel
    this[kTryOut](transport)
    if (connection !== undefined) connection[kStart]()
  }

  /** Starts an upgrade to a connection of the native listener, which the client is going to probe. */
  [kOnProbing](connection, head) {
    const opening = new Opening(head)
    const transport = this.server[kOpenWebSocket](opening, connection, opening.query)
    if (this.readyState !== 'closed') this[kTryOut](transport)
  }

  [kTryOut](transport) {
    this.upgrading = true
    this.server[kState].counts.upgrades.started++
    this[kState].probe = transport
    driverOf(transport).beginProbe(transport, this)
  }

  /** Listens to a probing transport, as `kAttach` does. */
  [kAttachProbe](transport) {
    const engine = bridge.getEngine()
    const channel = channelOf(transport) ?? this[kState].probeChannel
    const onEnd = () => this[kApply](engine.channelClosed(this[kState].handle, channel))
    const packet = (packet) => {
      const { decided } = this[kState]
      this[kState].decided = undefined
      if (decided !== undefined) return decided.call(this)
      this[kState].feeding = true
      try {
        this[kApply](engine.receive(this[kState].handle, channel, receivedType(packet), packet.data === PROBE))
      } finally {
        this[kState].feeding = false
      }
    }
    this[kState].endProbe = listenTo(transport, { packet, close: onEnd, error: onEnd })
  }

  [kTakeProbe]() {
    const probe = this[kState].probe
    this[kState].probe = null
    this.upgrading = false
    if (this[kState].endProbe !== undefined) {
      this[kState].endProbe()
      this[kState].endProbe = undefined
    }
    if (probe !== null) driverOf(probe).endProbe(probe)
    return probe
  }

  [kOnUpgrading]() {
    this[kOnProbePacket]({ type: 'ping', data: PROBE }, this[kAnnounceUpgrade])
  }

  [kOnUpgraded]() {
    this[kOnProbePacket]({ type: 'upgrade' }, this[kMove])
  }

  /** Shows a packet of the probing transport about which the engine has decided to listeners. */
  [kOnProbePacket](packet, decided) {
    const transport = this[kState].probe
    if (transport === null) return
    if (this[kState].feeding || !showsPackets(transport)) return decided.call(this)
    this[kState].decided = decided
    try {
      transport.onPacket(packet)
    } finally {
      // a listener or a replaced method may not have passed it on
      if (this[kState].decided !== undefined) {
        this[kState].decided = undefined
        decided.call(this)
      }
    }
  }

  [kAnnounceUpgrade]() {
    const transport = this[kState].probe
    if (mayAnswerProbe(transport)) transport.send([{ type: 'pong', data: PROBE }])
    this.emit('upgrading', transport)
    notice(this)
  }

  [kMove]() {
    const transport = this[kTakeProbe]()
    debug('got upgrade packet - upgrading')
    this.transport.discard()
    this.upgraded = true
    // a listener of the old transport that throws does not keep the session from moving
    try {
      this.clearTransport()
    } finally {
      heartbeat.move(this)
      this[kMoveTo](transport)
    }
  }

  [kMoveTo](transport) {
    if (channelOf(transport) === undefined) {
      this[kState].channel = this[kState].probeChannel
      this[kState].probeChannel = NO_HANDLE
    }
    this.server[kState].counts.sessionMoved(this, transport)
    this.setTransport(transport)
    this.emit('upgrade', transport)
    notice(this)
    this.flush()
    if (this.readyState === 'closing') transport.close(this.onClose.bind(this, ReasonText.FORCED_CLOSE))
  }

  /** Ends a failed upgrade. */
  [kOnUpgradeFailed](end, fault) {
    // if the session has ended, `onClose` closes the transport after listeners of `close`
    if (end !== ProbeEndCode.SESSION_ENDED) this[kCloseProbe](end, fault)
  }

  /** Closes the probing transport, which emits `close` when its connection has ended. */
  [kCloseProbe](end, fault) {
    const transport = this[kTakeProbe]()
    if (transport === null) return
    debug('client did not complete upgrade')
    this.server[kState].counts.upgradeFailed(end)
    if (connectionOf(transport) === undefined) {
      transport.on('error', () => {})
      try {
        transport.close()
      } finally {
        this[kDropProbeChannel]()
      }
      return
    }
    transport[kState].ended = true
    try {
      if (end !== ProbeEndCode.CLOSED) transport.close()
    } finally {
      transport.socket[kClosing]()
      if (end === ProbeEndCode.FAILED) {
        const show = () => transport[kShow]('error', transportError(fault))
        // the transport tells at the end of the turn that its answer to the probe is written
        if (transport.writable) show()
        else process.nextTick(show)
      }
    }
  }

  /** Returns the names of the transports to which a client of this session may upgrade. */
  getAvailableUpgrades() {
    return this.server[kAvailableUpgrades](this.transport.name)
  }

  // ---- closing -------------------------------------------------------------------------------

  /** Ends the session for a fault that only JavaScript can see. */
  [kFail](message) {
    if (this.readyState !== 'closed')
      this[kApply](bridge.getEngine().fail(this[kState].handle, ReasonCode.TRANSPORT_ERROR, message))
  }

  /**
   * Closes the session: at once with `discard`, otherwise when the waiting packets have been handed over.
   * Returns the socket, for chaining.
   */
  close(discard) {
    if (discard && (this.readyState === 'open' || this.readyState === 'closing')) this.closeTransport(discard)
    else if (this.readyState === 'open') this[kCloseInOrder](discard)
    return this
  }

  [kCloseInOrder](discard) {
    this.readyState = 'closing'
    if (!this[kHasWaiting]()) return this.closeTransport(discard)
    bridge.getEngine().beginClose(this[kState].handle)
    debug('there are %d remaining packets in the buffer, waiting for the "drain" event', this.writeBuffer.length)
    this[kKeepContext]()
    this.once('drain', () => {
      debug('all packets have been sent, closing the transport')
      this.closeTransport(discard)
    })
  }

  closeTransport(discard) {
    const { transport } = this
    if (discard) {
      transport.discard()
      // a graceful close that waits for the client is not waited for any longer. That of a POST that it has destroyed
      // ends the session next; one whose poll has come, or is just being answered, ends it by itself.
      const isWaiting = Boolean(transport.shouldClose) && !transport.writable && !transport.dataReq?.destroyed
      if (transport.readyState === 'closing' && isWaiting) transport.readyState = 'open'
    }
    let isClosing = false
    try {
      transport.close(this.onClose.bind(this, ReasonText.FORCED_CLOSE))
      isClosing = true
    } finally {
      // a connection that throws is not closed again: the session ends, and the exception surfaces
      if (!isClosing) this.onClose(ReasonText.FORCED_CLOSE)
    }
    // a polling transport waits for the client, up to a deadline
    if (this.readyState !== 'closed') this[kState].closer = capture()
  }

  /** Ends the session. */
  onClose(reason, description) {
    // `connection` comes before `close`
    this[kState].unheard?.hear()
    if (this.readyState === 'closed') return
    this.readyState = 'closed'
    if (reason === ReasonText.TRANSPORT_CLOSE && description === undefined && this.server.opts.closeDetails === true) {
      description = closeDetailsOf(this[kMadeTransport]())
    }
    // listeners of `close` can still see the packets that were not sent
    process.nextTick(dropBuffer, this)
    this[kState].packetsFn = this[kState].sentCallbackFn = undefined
    if (this[kState].timers !== undefined) heartbeat.stop(this[kState].timers)
    // a listener that throws does not keep the rest from ending
    try {
      this[kEndInEngine](reason, description)
    } finally {
      try {
        this.clearTransport()
      } finally {
        if (this[kState].key !== undefined) this.server[kUnregister](this, reason)
        else this[kState].endedEarly = { reason, description }
        try {
          this.emit('close', reason, description)
        } finally {
          try {
            this[kCloseProbe](ProbeEndCode.SESSION_ENDED)
          } finally {
            connectionOf(this[kMadeTransport]())?.[kAfterSession]()
          }
        }
      }
    }
  }

  /** Emits the end of a session that ended before it was registered. */
  [kEndAgain]() {
    const { reason, description } = this[kState].endedEarly
    this[kState].endedEarly = undefined
    this.server[kUnregister](this, reason)
    this.emit('close', reason, description)
  }

  /** Ends the engine's session, unless it has ended by itself, and gives its handle back. */
  [kEndInEngine](reason, description) {
    try {
      if (!this[kState].over)
        this[kApply](bridge.getEngine().fail(this[kState].handle, codeOf(reason), description && description.message))
    } finally {
      this.server[kState].clients.detach(this)
      bridge.releaseSession(this)
    }
  }
}

/** The code of a reason; applications may give any. */
function codeOf(reason) {
  const code = REASONS.indexOf(reason)
  return code === -1 ? ReasonCode.FORCED_CLOSE : code
}

/** Returns how the peer has ended a WebSocket; undefined if that is not known. */
function closeDetailsOf(transport) {
  const websocket = transport?.socket
  const end = transport?.[kPeerClose]?.() ?? websocket?.[kPeerClose]?.()
  if (end !== undefined) return { closeCode: end.code, closeReason: end.reason }
  // a WebSocket of `ws`, or of a class with its interface
  if (typeof websocket?._closeCode !== 'number') return undefined
  return { closeCode: websocket._closeCode, closeReason: String(websocket._closeMessage ?? '') }
}

/**
 * Drops what an ended session has not sent, and what listeners of its transport's `drain` have put there. That comes
 * before, as in the original, unless another thread is still busy with an earlier write.
 */
function dropBuffer(socket, until) {
  const transport = socket[kMadeTransport]()
  let isTold = true
  try {
    if (connectionOf(transport) !== undefined) isTold = transport[kTellOfWritten]()
  } finally {
    socket.writeBuffer = []
    if (!isTold) {
      const now = performance.now()
      const end = until ?? now + PATIENCE
      if (now < end) setImmediate(dropBuffer, socket, end)
    }
  }
}

const { close } = Transport.prototype
const { doClose } = Polling.prototype

/** Returns whether no method that closes a polling transport was replaced, so that the engine can close it alone. */
function closesPlainly(transport) {
  return transport.close === close && transport.doClose === doClose
}

/** Adds listeners by event, and returns a function that removes them. */
function listenTo(transport, listeners) {
  const events = Object.keys(listeners)
  const driver = driverOf(transport)
  for (const event of events) driver.listen(transport, event, listeners[event])
  return () => {
    for (const event of events) transport.removeListener(event, listeners[event])
  }
}

takeOver(Socket, incoming, outgoing)
showLikeNodes(Socket.prototype)
keepOriginals(Socket.prototype)

function addressOf(req) {
  const socket = req.websocket && req.websocket._socket
  return socket ? socket.remoteAddress : req.connection && req.connection.remoteAddress
}

module.exports = { Socket, Transport }
