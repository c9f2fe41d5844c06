'use strict'

// The numbers behind `server.metrics()`, see docs/METRICS.md. What happens per message is counted in the engine; sessions,
// refusals and upgrades of a server are counted here.

const { bufferedAmount } = require('../base/backpressure')
const { ownOf } = require('../base/options')
const { isPlainObject, shown } = require('../base/shown')
const { traffic } = require('../base/traffic')
const bridge = require('../native/bridge')
const { REASONS, REFUSALS, ProbeEndCode } = require('../native/contract')
const { ERRORS } = require('../transports/errors')
const { eventLoopDelay } = require('./event-loop')
const { kMadeTransport, kRefusals, kState } = require('../base/symbols')

/** The transports by which sessions are told apart. A subclass may make others. */
const TRANSPORTS = ['polling', 'websocket', 'webtransport', 'other']
const OTHER = TRANSPORTS.indexOf('other')

const PROTOCOLS = [3, 4]

/** The names of refusals that have the code `BAD_REQUEST` or `FORBIDDEN` in common. */
const NAMES = [
  'INVALID_ORIGIN',
  'TRANSPORT_HANDSHAKE_ERROR',
  'TRANSPORT_MISMATCH',
  'PROTOCOL_MISMATCH',
  'MIDDLEWARE_FAILURE',
  'ID_GENERATION_ERROR',
  'INVALID_HEADER',
  'TOO_MANY_CONNECTIONS',
  'TOO_MANY_CONNECTIONS_FROM_ADDRESS',
  'TOO_MANY_HANDSHAKES',
  'HANDSHAKE_TIMEOUT',
  'TOO_MANY_PACKETS',
  'TOO_MANY_IDLE_SESSIONS',
  'DRAINING',
  'OWNER_UNAVAILABLE',
  'HEAD_TOO_LARGE',
]

/** The reason of a request for a WebSocket that is not a valid handshake of RFC 6455. */
const INVALID_UPGRADE = 'INVALID_UPGRADE'

/** The reason of a connection that does not begin with the header of the PROXY protocol. */
const INVALID_PROXY_HEADER = 'INVALID_PROXY_HEADER'

const REFUSED = [...Object.keys(ERRORS), ...NAMES, INVALID_UPGRADE, INVALID_PROXY_HEADER]

/** The reasons of a native listener, in the order in which it counts them. */
const REFUSED_NATIVELY = [...REFUSALS.map(([, name]) => name), INVALID_UPGRADE, INVALID_PROXY_HEADER]

/** Why sessions have closed. An application may close one for a reason of its own. */
const CLOSED = [...new Set(REASONS), 'other']

/** Why upgrades have failed, by the codes of the engine. */
const FAILED = {
  [ProbeEndCode.GIVEN_UP]: 'givenUp',
  [ProbeEndCode.SESSION_ENDED]: 'sessionEnded',
  [ProbeEndCode.CLOSED]: 'closed',
  [ProbeEndCode.FAILED]: 'error',
}

const zeros = (names) => Object.fromEntries(names.map((name) => [name, 0]))

/** What a server has counted since it was made. */
class Counts {
  constructor() {
    /** Open sessions, and all that were opened, by their kinds; see `kindOf`. */
    this.open = new Array(TRANSPORTS.length * PROTOCOLS.length).fill(0)
    this.opened = this.open.slice()
    this.refusals = zeros(REFUSED)
    this.upgrades = { started: 0, completed: 0, refused: 0, failed: zeros(Object.values(FAILED)) }
    this.closes = zeros(CLOSED)
    /** Sessions that were closed, and messages that were dropped, because of `maxBackpressure`. */
    this.overflows = 0
    this.drops = 0
  }

  /** Counts a session that opens. */
  sessionOpened(session) {
    const transport = session[kMadeTransport]()
    const kind = kindOf(transport === undefined ? 'polling' : transport.name, session.protocol)
    // 0 stands for a session that is not counted
    session[kState].kind = kind + 1
    this.open[kind]++
    this.opened[kind]++
  }

  /** Counts a session that has moved to another transport. */
  sessionMoved(session, transport) {
    this.upgrades.completed++
    const kind = session[kState].kind - 1
    if (kind === -1) return
    this.open[kind]--
    const moved = kindOf(transport.name, PROTOCOLS[kind % PROTOCOLS.length])
    session[kState].kind = moved + 1
    this.open[moved]++
  }

  /** Takes back that a session has opened, because another process has it now. */
  sessionGiven(session) {
    const kind = session[kState].kind - 1
    session[kState].kind = 0
    this.open[kind]--
    this.opened[kind]--
  }

  /** Counts the end of a session. */
  sessionClosed(session, reason) {
    const kind = session[kState].kind - 1
    if (kind === -1) return
    session[kState].kind = 0
    this.open[kind]--
    this.closes[CLOSED.includes(reason) ? reason : 'other']++
  }

  /** Counts a request that is refused. */
  refused(code, context) {
    const name = context?.name
    this.refusals[NAMES.includes(name) ? name : nameOf(code)]++
  }

  /** Counts a request for a WebSocket that is not a valid handshake. */
  upgradeInvalid() {
    this.refusals[INVALID_UPGRADE]++
  }

  /** Counts a connection that does not begin with the header of the PROXY protocol. */
  proxyHeaderInvalid() {
    this.refusals[INVALID_PROXY_HEADER]++
  }

  /** Counts what a native listener has refused before it closed. */
  refusedNatively(numbers) {
    this.refusals = this.allRefusals(numbers)
  }

  /** Returns the refusals with those of a native listener, which come in the order of `REFUSED_NATIVELY`. */
  allRefusals(numbers) {
    const all = { ...this.refusals }
    numbers.forEach((number, index) => (all[REFUSED_NATIVELY[index]] += number))
    return all
  }

  /** Counts an upgrade that has failed. */
  upgradeFailed(end) {
    this.upgrades.failed[FAILED[end]]++
  }
}

/** Returns the index of a kind of sessions. */
function kindOf(name, protocol) {
  const transport = TRANSPORTS.indexOf(name)
  return (transport === -1 ? OTHER : transport) * PROTOCOLS.length + PROTOCOLS.indexOf(protocol === 3 ? 3 : 4)
}

/** Returns numbers of sessions by transport and protocol. */
function byKind(numbers) {
  const table = {}
  TRANSPORTS.forEach((name, index) => {
    const [v3, v4] = numbers.slice(index * PROTOCOLS.length)
    table[name] = { 3: v3, 4: v4 }
  })
  return table
}

function nameOf(code) {
  return Object.keys(ERRORS).find((name) => ERRORS[name] === code) || 'BAD_REQUEST'
}

/** Returns the sessions of a server whose clients do not take what is sent, and the bytes that wait for them. */
function waiting(server, blocked) {
  const waiting = { sessions: 0, bytes: 0 }
  for (const handle of blocked) {
    const session = bridge.connectionOf(handle)?.[kState].transport?.[kState].session
    if (session?.server !== server) continue
    waiting.sessions++
    waiting.bytes += bufferedAmount(session)
  }
  return waiting
}

/** Returns a histogram of the engine, whose values are divided by `unit`. */
function histogramOf({ bounds, counts, sum }, unit = 1) {
  return {
    bounds: bounds.map((bound) => bound / unit),
    counts,
    count: counts.reduce((all, count) => all + count, 0),
    sum: sum / unit,
  }
}

/**
 * Returns the numbers of a server and its thread.
 *
 * @param {{ eventLoop?: boolean }} [options]
 */
function metricsOf(server, options = {}) {
  if (!isPlainObject(options)) throw new TypeError(`the options of metrics() must be an object, got ${shown(options)}`)
  for (const name of Object.keys(options)) {
    if (name !== 'eventLoop') throw new TypeError(`the option ${name} of metrics() is unknown; the option is eventLoop`)
  }
  const { eventLoop = false } = ownOf(options)
  if (typeof eventLoop !== 'boolean') {
    throw new TypeError(`the option eventLoop of metrics() must be a boolean, got ${shown(eventLoop)}`)
  }
  const counts = server[kState].counts
  const engine = bridge.getEngine().metrics()
  const metrics = {
    sessions: { open: byKind(counts.open), opened: byKind(counts.opened) },
    refusals: counts.allRefusals(server[kRefusals]()),
    upgrades: { ...counts.upgrades, failed: { ...counts.upgrades.failed } },
    closes: { ...counts.closes },
    backpressure: { ...waiting(server, engine.blocked), closed: counts.overflows, dropped: counts.drops },
    thread: {
      messages: {
        received: engine.messagesReceived + traffic.received,
        receivedBytes: engine.messageBytesReceived,
        sent: engine.messagesSent + traffic.sent,
        sentBytes: engine.messageBytesSent,
      },
      websocket: {
        framesReceived: engine.framesReceived,
        receivedBytes: engine.bytesReceived,
        framesSent: engine.framesSent,
        sentBytes: engine.bytesSent,
        congestions: engine.congestions,
      },
      polling: {
        posts: engine.posts,
        receivedBytes: engine.postBytes,
        polls: engine.polls,
        sentBytes: engine.pollBytes,
      },
      batches: histogramOf(engine.batches),
      delay: histogramOf(engine.delays, 1000),
      untakenBytes: engine.untaken,
      staleCalls: engine.staleCalls,
    },
  }
  if (server[kState].cluster !== undefined) metrics.cluster = server[kState].cluster.metrics()
  if (eventLoop) metrics.thread.eventLoop = eventLoopDelay()
  return metrics
}

module.exports = { Counts, metricsOf }
