'use strict'

// Private state of the objects that applications hold, subclass, print and copy. Each object has one record as its
// property `kState`, which is not enumerable: subclasses may use any name, and the record is neither printed nor
// copied.

const { kState } = require('./symbols')

/**
 * A property descriptor for `define`. V8 takes a third less time for descriptors that are ordinary objects, as `fields`
 * is, unless they inherit something.
 */
class Descriptor {
  constructor(fields) {
    this.ordinary = fields
    this.isolated = { __proto__: null, ...fields }
  }
}

const ordinary = {}

/** Defines a property. Properties of Object.prototype do not count as parts of the descriptor. */
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

/** Gives an object its record, which it keeps. */
function keep(object, state) {
  record.ordinary.value = record.isolated.value = state
  define(object, kState, record)
  record.ordinary.value = record.isolated.value = undefined
}

/**
 * Completes a class of records: they do not inherit from Object.prototype, and a field with a default exists once it is
 * set.
 */
function complete(State, defaults) {
  Object.setPrototypeOf(State.prototype, null)
  Object.assign(State.prototype, defaults)
}

/**
 * Keeps booleans of a class of records as bits of its field `flags`. A field for each would take 8 bytes of every
 * session.
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

/** The first bit of a session's kind. */
const KIND = 16

class SessionState {
  /** @param {boolean} traced whether `DEBUG` asks for every packet */
  constructor(traced) {
    /** The engine's handle of the session; 0 if there is none yet, or if it was given back. */
    this.handle = 0
    // arrays that few sessions need, or need for a short time, are made when they are first read
    this.packetsFn = undefined
    this.sentCallbackFn = undefined
    this.flags = 0
    this.traced = traced
    /** The transport that the client probes. */
    this.probe = null
    /** The session's key in the server's table; undefined if the server does not count it. */
    this.key = undefined
  }
}

/** The kind of session as which it counts, see lib/server/metrics.js; 0: it does not count. */
Object.defineProperty(SessionState.prototype, 'kind', {
  __proto__: null,
  get() {
    return this.flags >> KIND
  },
  set(kind) {
    this.flags = (this.flags & ((1 << KIND) - 1)) | (kind << KIND)
  },
})

pack(SessionState, [
  'traced',
  // whether a listener or a replaced method sees every packet
  'verbose',
  // whether the engine has ended the session
  'over',
  // whether a packet of the probing transport is on its way to the engine
  'feeding',
  // whether a packet is on its way through an `onPacket` of the application
  'handingOn',
  // whether the session counts as idle, see lib/server/limits.js
  'idle',
  // whether the native listener serves the session's polls
  'listed',
  // whether the native listener has served polls and nothing has used the transport yet
  'transportless',
])

complete(SessionState, {
  cleanupFn: undefined,
  /** The context of the call that has begun to close the session. */
  closer: undefined,
  /** Why the session has ended, if it ended before it was registered. */
  endedEarly: undefined,
  /** The timers of the heartbeat if JavaScript runs it, see lib/session/heartbeat.js. */
  timers: undefined,
  /** Which heartbeats JavaScript sends, see lib/session/overrides.js. */
  relayed: 0,
  /** The handles of channels that JavaScript drives: the transport's, and the probe's. */
  channel: 0,
  probeChannel: 0,
  /** Removes the session's listeners from the probing transport. */
  endProbe: undefined,
  /** What the engine has decided about a packet of the probing transport while listeners hear of it. */
  decided: undefined,
  /** The address under which the session counts, see lib/server/limits.js. */
  address: undefined,
  /** The request for which a native listener has opened the session. */
  opening: undefined,
  /** The transport, if the session's property for it was sealed, see lib/session/socket.js. */
  transport: undefined,
  /** Events that wait, see `holdBack` in lib/native/bridge.js. */
  held: undefined,
  /** What the application has not heard of, see lib/cluster/unheard.js. */
  unheard: undefined,
  /** Whether another process has opened the session. */
  adopted: false,
  /** Whether the end of the session waits for nothing that is being written. */
  endsNow: false,
})

class TransportState {
  constructor() {
    /** The session that has or had the transport. */
    this.session = null
    this.flags = 0
  }

  /** How a WebSocket is written to: an argument of `send` in src/node/raw/calls.rs. */
  get mode() {
    return this.flags >> MODE
  }

  set mode(mode) {
    this.flags |= mode << MODE
  }
}

const MODE = 16

pack(TransportState, [
  // whether the socket of uWebSockets.js has to drain first, see lib/uws/websocket.js
  'congested',
  // whether the pending poll waits in the native listener
  'polledNatively',
  // whether the application has ever listened to an event that sessions need; then the session listens publicly, too
  'listened',
  // whether the application has ever listened for `packet`, `drain` or `ready`
  'watched',
  'showsPackets',
  // whether the session has ended or moved to another transport, so that calls of this one do not concern it any more
  'left',
  // whether the engine has ended the connection, or is about to
  'ended',
  // whether a batch was written whose callbacks are called at the end of the tick
  'written',
  // whether the server hears of a poll's headers by a public listener
  'tellsHeaders',
  // whether only a close packet of the payload in hand concerns the transport
  'awaitsClose',
])

complete(TransportState, {
  /** The session whose client probes the transport. */
  prober: null,
  /** How many more batches than one were written, see `written`. */
  others: 0,
  /** The number of the event that will tell when everything that was sent is written; 0 if none will. */
  report: 0,
  /** How many more batches than one the event will tell of, see `report`. */
  earlier: 0,
  /** The timer that ends a graceful close when the client takes too long. */
  closeTimer: undefined,
  /** The context of the call whose bytes wait, see lib/native/context.js. */
  context: undefined,
})

class WebSocketState {
  constructor(stream) {
    /** The engine's handle of the connection; 0 once it was given back. */
    this.handle = 0
    /** What lies below, see lib/native/stream-below.js. */
    this.stream = stream
    this.transport = null
  }
}

complete(WebSocketState, {
  /** What lies below if JavaScript carries its bytes. */
  pump: null,
  /** Whether messages come here instead of to a session, or to a session undecoded. */
  owned: false,
  shown: false,
  /** Whether the process stays alive for the connection's sake. */
  keepsAlive: true,
  /** The connection's end, while its session has not heard of it or the stream below has not reported it. */
  end: undefined,
  /** The same while both wait to be told of their ends, see lib/native/bridge.js. */
  noted: undefined,
  /** Whether the session and its transport are being told of their end right now. */
  tells: false,
  /** Tells the session of its end once the stream below has reported it. */
  tell: undefined,
  /** The timer that ends the waiting for a stream that reports nothing. */
  patience: undefined,
  /** Callbacks that wait until sent data has been written. */
  awaiting: undefined,
  /** Bytes that were sent when the connection had begun to close: they are not, and count as `ws` counts them. */
  refused: 0,
})

/** The record of objects of which there is only one, or that do not live long. */
class State {}

complete(State, {})

/** Makes the members of objects members of a class, which look as if they were written in it. */
function takeOver({ prototype }, ...objects) {
  for (const object of objects) {
    for (const key of Reflect.ownKeys(object)) {
      const member = Object.getOwnPropertyDescriptor(object, key)
      Object.defineProperty(prototype, key, { __proto__: null, ...member, enumerable: false })
    }
  }
}

module.exports = { Descriptor, define, keep, SessionState, TransportState, WebSocketState, State, takeOver }
