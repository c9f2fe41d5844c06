'use strict'

// What the engine keeps with the objects that applications hold, subclass, print and copy: one record for each, as its property
// `kState`, which is not enumerable. Subclasses have any name for themselves, and nothing of this is printed or copied.

const { kState } = require('./symbols')

/**
 * A descriptor of a property, for `define`. V8 takes a third less time for those that are ordinary objects, as `fields` is,
 * unless they inherit something.
 */
class Descriptor {
  constructor(fields) {
    this.ordinary = fields
    this.isolated = { __proto__: null, ...fields }
  }
}

const ordinary = {}

/** Defines a property. A property of Object.prototype's is not taken for one of the descriptor's. */
function define(object, name, descriptor) {
  Object.defineProperty(object, name, isPolluted() ? descriptor.isolated : descriptor.ordinary)
}

function isPolluted() {
  return (
    'value' in ordinary ||
    'get' in ordinary ||
    'set' in ordinary ||
    'writable' in ordinary ||
    'enumerable' in ordinary ||
    'configurable' in ordinary
  )
}

const record = new Descriptor({ value: undefined })

/** Gives an object its record, for good. */
function keep(object, state) {
  record.ordinary.value = record.isolated.value = state
  define(object, kState, record)
  record.ordinary.value = record.isolated.value = undefined
}

/** Completes a class of records: what Object.prototype gets is not theirs, and the rest is made when it is set. */
function complete(State, defaults) {
  Object.setPrototypeOf(State.prototype, null)
  Object.assign(State.prototype, defaults)
}

/**
 * Has a class of records keep booleans as the bits of its field `flags`: a field for each would take 8 bytes of every session.
 */
function pack(State, names) {
  names.forEach((name, index) => {
    const bit = 1 << index
    Object.defineProperty(State.prototype, name, {
      __proto__: null,
      get() {
        return (this.flags & bit) !== 0
      },
      set(is) {
        this.flags = is ? this.flags | bit : this.flags & ~bit
      },
    })
  })
}

class SessionState {
  /** @param {boolean} traced whether `DEBUG` asks for every packet */
  constructor(traced) {
    /** The engine's handle of the session; 0: none yet, or given back. */
    this.handle = 0
    // arrays that few sessions need, or not for long, are made when they are looked at
    this.packetsFn = undefined
    this.sentCallbackFn = undefined
    this.flags = 0
    this.traced = traced
    /** The transport that the client probes. */
    this.probe = null
    /** What the server has the session under; undefined: it does not count it. */
    this.key = undefined
  }
}

pack(SessionState, [
  'traced',
  // whether somebody sees every packet
  'verbose',
  // whether the engine has ended the session
  'over',
  // whether a packet of the probe's is on its way to the engine
  'feeding',
  // whether a packet is on its way through an `onPacket` that is not ours
  'handingOn',
  // whether the session counts as idle, see lib/server/limits.js
  'idle',
  // of a session that a native listener has opened: whether it serves its polls
  'listed',
  // whether polls have passed this thread by, and nobody has looked at the transport
  'transportless',
])

complete(SessionState, {
  cleanupFn: undefined,
  /** The context of the call that has begun to close the session. */
  closer: undefined,
  /** Why it has ended, if it was not registered then. */
  endedEarly: undefined,
  /** Those of the heartbeat, if JavaScript sees to it, see lib/session/heartbeat.js. */
  timers: undefined,
  /** Which heartbeats are sent from here, see lib/session/overrides.js. */
  relayed: 0,
  /** The handles of channels that JavaScript drives: the transport's, and the probe's. */
  channel: 0,
  probeChannel: 0,
  /** Lets go of a probe that the session listens to. */
  endProbe: undefined,
  /** What the engine has decided about a packet of the probe's that is on its way through listeners. */
  decided: undefined,
  /** What it counts under, see lib/server/limits.js. */
  address: undefined,
  /** The request that a native listener has opened it for. */
  opening: undefined,
  /** The transport of one whose property for it has been sealed, see lib/session/socket.js. */
  transport: undefined,
  /** Events that wait, see `holdBack` in lib/native/bridge.js. */
  held: undefined,
})

class TransportState {
  constructor() {
    /** The session that has or had the transport. */
    this.owner = null
    this.flags = 0
  }

  /** How a WebSocket is written to, see `send` in src/node/raw.rs. */
  get mode() {
    return this.flags >> MODE
  }

  set mode(mode) {
    this.flags |= mode << MODE
  }
}

const MODE = 16

pack(TransportState, [
  // the last batch has callbacks, which wait until it is written
  'awaited',
  'congested',
  // whether the pending poll waits in the native listener
  'polledNatively',
  // whether anybody else has ever listened to what sessions listen to; then the session does by public listeners, too
  'listened',
  // whether somebody has ever listened to what comes and goes, and to packets
  'watched',
  'showsPackets',
  // whether the session has ended, or has moved to another transport: what is done to this one does not concern it any more
  'left',
  // whether the engine has ended the connection, or is about to
  'ended',
  // whether all was written that somebody waits for, who is told at the end of the tick
  'written',
  // whether its server hears of a poll's headers as a listener among others
  'tellsHeaders',
])

complete(TransportState, {
  /** The session whose client tries the transport out. */
  prober: null,
  /** What ends a graceful close that waits for the client too long. */
  closeTimer: undefined,
  /** The context of the call whose bytes wait, see lib/native/context.js. */
  context: undefined,
})

class WebSocketState {
  constructor(stream) {
    /** The engine's handle of the connection; 0 once that has been given back. */
    this.handle = 0
    /** The stream below, or what stands for it. */
    this.stream = stream
    this.transport = null
  }
}

complete(WebSocketState, {
  pump: null,
  /** Whether messages come here, and not to a session; or to a session, but undecoded. */
  owned: false,
  shown: false,
  /** Whether the process stays alive for the connection's sake. */
  keepsAlive: true,
  /** The connection's end, while its session does not know of it, or the stream below has not told of it. */
  end: undefined,
  /** Whether the session and its transport are just told of their end. */
  tells: false,
  /** Tells the session of its end, which waits until the stream below has told. */
  tell: undefined,
  /** Ends the waiting for a stream that does not tell. */
  patience: undefined,
  /** Who waits for what it has sent to be written. */
  awaiting: undefined,
})

/** Of what there is one of, or that does not live long. */
class State {}

complete(State, {})

module.exports = { Descriptor, define, keep, SessionState, TransportState, WebSocketState, State }
