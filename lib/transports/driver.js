'use strict'

// What sessions and servers ask of a transport beyond its public members. A transport may be one of the engine's, one of
// JavaScript's (WebTransport, a WebSocket of another engine), or an object of the application's that behaves like a
// transport. The caller does not ask which it is: `driverOf` returns the driver that does for the transport what has to
// be done. The engine's transports name theirs by `kDriver`, and all others get the default.

const { MAX_WAITING_ANSWERS, ReasonCode } = require('../native/contract')
const {
  kAdd,
  kAttach,
  kAttachProbe,
  kCarriesPolls,
  kClosing,
  kConnection,
  kDriver,
  kDropChannel,
  kExpose,
  kNotice,
  kShowMessages,
  kShowPackets,
  kState,
  kTakePoll,
} = require('../base/symbols')
const { transportError } = require('./transport')

/** For transports whose packets the engine moves. They know their session, and call it while there are no listeners. */
const engineDriver = {
  /** Makes it the transport of a session. */
  bind(transport, session) {
    transport[kState].session = session
    transport[kState].left = false
    if (transport[kState].listened) session[kAttach](transport)
    if (transport[kState].showsPackets) transport[kShowPackets]()
    if (transport.socket && transport.socket.listenerCount('message') > 0) transport.socket[kShowMessages]()
    session[kNotice]()
    if (transport.req) transport[kTakePoll]()
  },

  /** Closes the transport that a session has left. `onError` gets its later errors. */
  release(transport, session, onError) {
    transport[kState].left = true
    if (transport[kState].listened) transport[kAdd]('error', onError)
    try {
      transport.close()
    } finally {
      if (transport[kState].ended) transport.socket[kClosing]()
      // the session no longer waits for a graceful close that was under way
      else if (transport[kState].closeTimer !== undefined) transport[kState].closeTimer.unref()
    }
  },

  /** Makes it the transport that the client of a session probes. */
  beginProbe(transport, session) {
    transport[kState].prober = session
    if (transport[kState].listened) session[kAttachProbe](transport)
    if (transport[kState].showsPackets) transport[kShowPackets]()
  },

  endProbe(transport) {
    transport[kState].prober = null
  },

  /** Adds a listener of a session's. */
  listen(transport, event, listener) {
    transport[kAdd](event, listener)
  },

  /** Has the session listen publicly if others have begun to listen for packets. */
  noticeListeners(transport) {
    const listeners = transport._events?.packet
    if (listeners === undefined) return
    const { listened, showsPackets } = transport[kState]
    if (!showsPackets && (!listened || Array.isArray(listeners))) transport[kExpose]('packet')
  },

  /** Tells of the error for which the engine has ended the session. */
  fail(transport, session, message) {
    transport.onError(message)
  },

  /** Tells of an end of the session in the engine without an error. */
  end(transport, code) {
    if (code === ReasonCode.TRANSPORT_CLOSE) transport.onClose()
    else if (code === ReasonCode.FORCED_CLOSE && transport.shouldClose) transport.shouldClose()
  },

  /** Calls a function when the transport holds no packets of which the session does not know. */
  whenIdle(transport, fn) {
    fn()
  },
}

/** For all other transports. They move packets by themselves, and a session hears of them by their events. */
const eventDriver = {
  bind(transport, session) {
    session[kAttach](transport)
  },

  release(transport, session, onError) {
    transport.on('error', onError)
    try {
      transport.close()
    } finally {
      session[kDropChannel]()
    }
  },

  beginProbe(transport, session) {
    session[kAttachProbe](transport)
  },

  endProbe() {},

  listen(transport, event, listener) {
    transport.on(event, listener)
  },

  noticeListeners() {},

  fail(transport, session, message) {
    session.onError(transportError(message))
  },

  end() {},

  whenIdle(transport, fn) {
    const isBusy = transport !== undefined && !transport.writable
    if (isBusy && typeof transport.once === 'function') transport.once('ready', fn)
    else fn()
  },
}

/** @returns {typeof engineDriver} the driver of a transport, which may be undefined */
function driverOf(transport) {
  return transport?.[kDriver]?.() ?? eventDriver
}

/** The connection of the engine that a transport speaks by; undefined if it has none. */
function connectionOf(transport) {
  return transport?.[kConnection]?.()
}

/** The engine's handle of the channel that a transport is; undefined if it is none of the engine's. */
function channelOf(transport) {
  return connectionOf(transport)?.[kState].handle
}

/** Returns whether the engine answers the polls of a transport. */
function carriesPolls(transport) {
  return transport?.[kCarriesPolls]?.() === true
}

/**
 * Returns whether a transport gets the requests of its session's client. The name decides: requests name their
 * transport in the query, and one of the application's that is called `polling` gets them, too, as in the original.
 */
function takesRequests(transport) {
  return transport?.name === 'polling'
}

/** Answers the poll that waits at a transport, if one does. */
function endPoll(transport) {
  if (transport.writable && takesRequests(transport)) transport.send([{ type: 'noop' }])
}

/** Returns whether a transport is to answer one more probe: a client that does not read gets no more answers. */
function mayAnswerProbe(transport) {
  return transport.writable || !(connectionOf(transport)?.bufferedAmount > MAX_WAITING_ANSWERS)
}

/** Returns whether listeners of a transport hear of the packets that the engine gets for it. */
function showsPackets(transport) {
  // asked for each message, so that what is mostly false comes first
  return transport[kState]?.showsPackets === true && driverOf(transport) === engineDriver
}

/** Returns whether a transport whose packets the engine moves has had listeners for `packet`, `drain` or `ready`. */
function isWatched(transport) {
  return transport[kState]?.watched === true && driverOf(transport) === engineDriver
}

module.exports = {
  carriesPolls,
  channelOf,
  connectionOf,
  driverOf,
  endPoll,
  engineDriver,
  isWatched,
  mayAnswerProbe,
  showsPackets,
  takesRequests,
}
