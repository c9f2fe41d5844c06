'use strict'

// The JavaScript end of the engine. It takes batches of events and delivers each to its session, connection or
// listener, and at the end of a tick it has everything written that was sent in it.

const { constants } = require('buffer')
const { performance } = require('perf_hooks')
const { setImmediate } = require('timers')
const { decidePoll } = require('./duties')
const { apart, atRoot, capture, contextOfEvent, lookForHooks } = require('./context')
const { onExit } = require('./exit-hook')
const {
  INDEX_MASK,
  Kind,
  MORE_EVENTS,
  NEXT_TURN,
  NO_HANDLE,
  ReasonCode,
  SEVERAL_EVENTS,
  SMALL_ROOM,
  UNFIT,
  WITH_FAULT,
} = require('./contract')
const { connectionOf, connections, listenerOf, listeners, sessionOf, sessions } = require('./handles')
const { tickLater, whenRead } = require('./overdue')
const { canWatch, startEngine } = require('./start-engine')
const {
  kBeforeEnd,
  kFail,
  kFlushPeers,
  kOnClosed,
  kOnEvent,
  kOnOpened,
  kOnPeers,
  kOnRefused,
  kOnReleased,
  kSettle,
  kState,
} = require('../base/symbols')

// taken when the module is loaded: tests of applications replace them by fakes, but the I/O threads go on
const { nextTick } = process

/** Events taken per call, at most; fewer where they are large. */
const BATCH = 1024

/** Milliseconds of dispatching after which timers and other I/O get their turn. */
const MAX_TURN = 5

/** Turns of the event loop for which a message of a later turn waits for what was sent before it. */
const MAX_ROUNDS = 16

/**
 * What the last call into the engine has brought about, see `Outcome` in src/node/call_result.rs: kind and argument of
 * its one event, whose content the call returns; 0 of none; `SEVERAL_EVENTS` if it returns `[kind, arg, content, …]`.
 */
const outcome = new Uint32Array(2)

const meta = new Uint32Array(BATCH * 3)
let contents
let count = 0

/** Whether the engine has more events than were in the last batch. */
let left = false

/** Whether they are for a later turn, and for how many turns they have waited. */
let isOver = false
let rounds = 0
let cursor = 0
let dispatching = false

/** Whether the remaining events wait for the event loop's next turn. */
let deferred = false

/** Whether something was queued during a dispatch without a wake-up. */
let again = false

/** Whether the process or worker is exiting, so that no further tick comes. */
let exiting = false
let turnStart = 0

/** Number of events in the current turn, or in the last one when it is over. */
let dispatched = 0
let lastEnd = 0

/** Servers of clusters by the handles of their members. */
const members = new Map()

/** Callbacks that wait for a compressed body, by the body's number. */
const bodies = new Map()

/** Transports that were written to and have not yet become writable again. */
let written = []
let flushScheduled = false
let prepareFlush = () => {}
let forget = () => {}

/** The list of a held-back session that has no events yet. */
const NONE = Object.freeze([])

/**
 * Ended sessions that have not heard of it, and connections behind them, each followed by its event: kind, arg and
 * content.
 */
let closing = []

/** Sessions whose events wait, see `holdBack`. */
const heldBack = []

const pausedPipes = new Set()

/** The call that `drainNow` works for: the handles of its session and its connection, and its context. */
const caller = { session: NO_HANDLE, connection: NO_HANDLE, context: undefined }

let engine
let fast
let holds = 0

/**
 * The engine of this environment. Its threads start with the first server, before there is a request that could be left
 * without an answer; `fast` is there from then on.
 *
 * @throws {Error} `ERR_ENGINE_IO_NATIVE_START_FAILED` if the system gives no thread or descriptor; the next call tries
 *   again
 */
function getEngine() {
  if (engine === undefined) {
    const started = startEngine(onWake)
    fast = started.fast(outcome)
    if (canWatch()) started.offerReading(onWake)
    started.limitContents(constants.MAX_STRING_LENGTH, constants.MAX_LENGTH)
    module.exports.fast = fast
    engine = started
    onExit(finish)
  }
  return engine
}

/** Sends what was sent before, as the process or worker is exiting. No further events are delivered. */
function finish() {
  exiting = true
  for (const member of members.values()) member[kFlushPeers]()
  engine.finish()
}

/** Keeps the process alive until a matching release. Sessions, connections and listeners hold it. */
function hold() {
  if (holds++ === 0) getEngine().hold(true)
}

function release() {
  if (--holds === 0) engine.hold(false)
}

function onWake() {
  if (!dispatching && !deferred) atRoot(takeTurn)
}

/** Hooks see this function as the resource of the wake-up, and ask whether it keeps the process alive. */
onWake.hasRef = () => holds > 0

function takeTurn() {
  lookForHooks()
  const start = performance.now()
  dispatched = 0
  // a wake-up that follows at once belongs to the same turn: Node makes many calls in a row
  if (start - lastEnd > 0.2) turnStart = start
  dispatching = true
  let more = true
  try {
    dispatch()
    do {
      drain()
      more = count > 0 || left
      dispatched += count
      dispatch()
    } while (more && !isOver && performance.now() - turnStart < MAX_TURN)
  } finally {
    endTurn(more)
    lastEnd = performance.now()
  }
}

/** Ends a turn of dispatching. `more` says that there may be more events. */
function endTurn(more) {
  dispatching = false
  // `cursor < count` if a listener threw; the rest follows after what the exception sets off
  if (more || cursor < count) {
    deferred = true
    setImmediate(resume)
  }
  if (closing.length > 0) nextTick(closeSessions)
  try {
    // this runs in no request's context already
    settleAll()
  } catch (error) {
    // thrown here, it would replace the exception that a listener may have thrown before
    setImmediate(rethrow, error)
  }
}

function rethrow(error) {
  throw error
}

function resume() {
  // what was sent before a message of a later turn is told of first, unless listeners go on sending
  if (isOver && written.length > 0 && rounds++ < MAX_ROUNDS) return void setImmediate(resume)
  rounds = 0
  deferred = false
  lastEnd = 0
  onWake()
}

/**
 * Delivers the events that a call has just queued. Events that other threads queue meanwhile wake this thread. Events
 * of the given session and connection are delivered in the caller's context.
 */
function drainNow(session = NO_HANDLE, connection = NO_HANDLE) {
  again = true
  // after a long turn the caller need not wait for the next one; but a batch in which a listener threw comes first
  if (dispatching || (deferred && cursor < count)) return
  if (session !== NO_HANDLE || connection !== NO_HANDLE)
    Object.assign(caller, { session, connection, context: capture() })
  atRoot(drainAll)
}

function drainAll() {
  lookForHooks()
  dispatched = 0
  dispatching = true
  const start = performance.now()
  try {
    do {
      again = false
      drain()
      dispatched += count
      dispatch()
    } while ((left || again) && !isOver && performance.now() - start < MAX_TURN)
  } finally {
    caller.session = caller.connection = NO_HANDLE
    caller.context = undefined
    // the time is up, or a listener threw; no wake-up comes for the remaining events
    endTurn(left || again)
  }
}

/** Takes a batch. */
function drain() {
  const drained = fast.drain(meta, take)
  count = drained % MORE_EVENTS
  left = drained >= MORE_EVENTS
  isOver = drained >= NEXT_TURN
  cursor = 0
}

/** Gets the contents of a batch's events. */
function take(...all) {
  contents = all
}

function dispatch() {
  while (cursor < count) contextOfNext().runInAsyncScope(deliverSome)
}

/**
 * Returns the async context for the next event: that of the running call if the event belongs to it, otherwise a new
 * one.
 */
function contextOfNext() {
  if (caller.context === undefined) return contextOfEvent()
  const target = meta[cursor * 3 + 1]
  const own = meta[cursor * 3] <= Kind.DUE ? caller.session : caller.connection
  return target === own ? caller.context : contextOfEvent()
}

/** Delivers the next event and those for the same session that follow it directly. */
function deliverSome() {
  const target = meta[cursor * 3 + 1]
  let kind
  do {
    const at = cursor++
    const content = contents[at]
    contents[at] = undefined
    kind = meta[at * 3]
    deliver(kind, target, meta[at * 3 + 2], content)
  } while (kind <= Kind.DUE && cursor < count && meta[cursor * 3 + 1] === target && meta[cursor * 3] <= Kind.DUE)
}

function deliver(kind, target, arg, content) {
  if (kind <= Kind.PROBING) {
    const session = sessionOf(target)
    if (session === undefined) return tellNobody(kind, arg, content)
    hand(session, kind, arg, content)
  } else if (kind <= Kind.PIPE_READY || kind === Kind.BYTES || kind === Kind.CONTROL_FRAME) {
    const connection = connectionOf(target)
    if (kind === Kind.CONNECTION_ENDED) {
      if (connection !== undefined) connection[kBeforeEnd]()
      releaseConnection(target, connection)
      if (connection !== undefined) connection[kOnReleased](arg)
    }
    if (connection === undefined) return
    // a session hears of its end before its connection does
    if (kind === Kind.CONNECTION_ENDED && closing.length > 0) {
      connection[kState].noted = { arg, reason: content }
      closing.push(connection, kind, arg, content)
    }
    // an invalid frame is an error after what the messages before it have set off, as in the original
    else if (kind === Kind.CONNECTION_CLOSED && arg === WITH_FAULT) tellLater(connection, kind, arg, content)
    else connection[kOnEvent](kind, arg, content)
  } else if (kind === Kind.LEFT_TO_OWNER) {
    if (connectionOf(target) !== undefined) engine.watch(target)
  } else if (kind === Kind.LISTENER_CLOSED) {
    const listener = listenerOf(target)
    if (listener !== undefined) listener[kOnClosed]()
  } else if (kind === Kind.OPENED) {
    const listener = listenerOf(arg)
    if (listener !== undefined) listener[kOnOpened](target, content)
    else refuseSession(target)
  } else if (kind === Kind.REFUSED) {
    const listener = listenerOf(arg)
    if (listener !== undefined) listener[kOnRefused](target, content)
  } else if (kind === Kind.PEERS) {
    const member = members.get(target)
    if (member !== undefined) member[kOnPeers]()
  } else if (kind >= UNFIT) {
    refuse(kind - UNFIT, target)
  } else {
    const done = bodies.get(target)
    bodies.delete(target)
    if (done !== undefined) done(content)
  }
}

/**
 * Handles an event that was on its way when this thread ended its session. Only answers to requests still count,
 * because they belong to the request and not to the session.
 */
function tellNobody(kind, arg, content) {
  if (kind === Kind.ANSWER_POLL || kind === Kind.ANSWER_POLL_PLAIN || kind === Kind.REJECT_POLL)
    decidePoll(kind, arg, content)
}

/**
 * Handles an event whose content is too large for a string or a Buffer: it ends the session or connection that it
 * belongs to.
 */
function refuse(kind, target) {
  const message = 'A message was received that is larger than a string or a Buffer can be'
  if (kind <= Kind.DUE) {
    const session = sessionOf(target)
    if (session !== undefined) session[kFail](message)
  } else if (kind <= Kind.PIPE_READY) {
    const connection = connectionOf(target)
    if (connection !== undefined) connection.terminate()
  } else if (kind === Kind.COMPRESSED) {
    deliver(kind, target, 0, undefined)
  }
}

/** Tells a session of an event, or keeps the event while the session is held back. */
function hand(session, kind, arg, content) {
  if (session[kState].held === undefined) return tell(session, kind, arg, content)
  if (session[kState].held === NONE) session[kState].held = []
  session[kState].held.push([kind, arg, content])
}

function tell(session, kind, arg, content) {
  if (kind !== Kind.CLOSED) return session[kOnEvent](kind, arg, content)
  // packets before the end come first, also those that listeners put off to the next tick
  tellLater(session, kind, arg, content)
}

/** Tells a session or a connection of an end in the next tick. */
function tellLater(target, kind, arg, content) {
  if (closing.push(target, kind, arg, content) === 4 && !dispatching) nextTick(closeSessions)
}

/**
 * Tells the engine that a session's channel has closed, with or without a fault. The session hears of it by an event.
 * Returns whether the session used the channel.
 */
function closeChannel(session, channel, fault) {
  const content = engine.channelClosed(session[kState].handle, channel, fault)
  const kind = outcome[0]
  // a fault has been put off to this tick already, see `deliver`
  const pass = fault === undefined ? hand : handInTick
  if (kind === SEVERAL_EVENTS) {
    for (let i = 0; i < content.length; i += 3) pass(session, content[i], content[i + 1], content[i + 2])
  } else if (kind !== 0) {
    pass(session, kind, outcome[1], content)
  }
  return kind !== 0
}

/** Tells a session of an event, of its end too, unless the session is held back. */
function handInTick(session, kind, arg, content) {
  if (kind === Kind.CLOSED && session[kState].held === undefined) tellNow(session, kind, arg, content)
  else hand(session, kind, arg, content)
}

/** Tells ended sessions of their end, all in one tick. A tick for each would take longer than most of the work. */
function closeSessions() {
  let isSettled = false
  try {
    // the drain of what was sent comes before an end
    if (written.length > 0) atRoot(settleAll)
    isSettled = true
  } finally {
    if (isSettled) atRoot(closeAll)
    // a listener threw
    else setImmediate(closeSessions)
  }
}

function closeAll() {
  const list = closing
  closing = []
  let next = 0
  try {
    while (next < list.length) {
      const at = next
      next += 4
      tellNow(list[at], list[at + 1], list[at + 2], list[at + 3])
    }
  } finally {
    // a listener threw
    closing = list.slice(next).concat(closing)
    if (closing.length > 0) setImmediate(closeSessions)
  }
}

/** Tells a session or a connection of an end. */
function tellNow(target, kind, arg, content) {
  const closer = kind === Kind.CLOSED ? target[kState].closer : undefined
  const scope = closer === undefined ? contextOfEvent() : closer
  scope.runInAsyncScope(tellEnd, target, kind, arg, content)
}

/** Reports an end. `this` is a session or its connection. */
function tellEnd(kind, arg, content) {
  this[kOnEvent](kind, arg, content)
}

/**
 * Holds back a session's first events, which may come in one batch with the session, until the event loop's next phase.
 * A `connection` listener can so add its listeners in later ticks, as in the original.
 */
function holdBack(session) {
  session[kState].held = NONE
  if (heldBack.push(session) === 1) setImmediate(letGo)
}

/**
 * Delivers the events that were held back, in order. If a listener throws, the rest follows in the loop's next turn.
 */
function letGo() {
  atRoot(letAllGo)
}

function letAllGo() {
  try {
    for (let left = heldBack.length; left > 0; left--) {
      const [session] = heldBack
      if (session[kState].held !== NONE) contextOfEvent().runInAsyncScope(tellHeld, session)
      session[kState].held = undefined
      heldBack.shift()
    }
  } finally {
    if (heldBack.length > 0) setImmediate(letGo)
  }
}

function tellHeld() {
  while (this[kState].held.length > 0) tell(this, ...this[kState].held.shift())
}

/** Delivers the events of the engine's session to a Socket from now on. */
function addSession(handle, session) {
  session[kState].handle = handle
  sessions[handle & INDEX_MASK] = session
  hold()
}

/** Gives the handle of an ended session back and forgets it in the same step. */
function releaseSession(session) {
  const handle = session[kState].handle
  if (sessionOf(handle) !== session) return
  session[kState].handle = NO_HANDLE
  sessions[handle & INDEX_MASK] = undefined
  fast.releaseSession(handle)
  release()
}

/** Closes a session that the engine has opened and that has no Socket. */
function refuseSession(handle) {
  engine.fail(handle, ReasonCode.FORCED_CLOSE)
  fast.releaseSession(handle)
}

/** Delivers the events of the engine's connection to a NativeWebSocket from now on. */
function addConnection(handle, connection) {
  connection[kState].handle = handle
  connections[handle & INDEX_MASK] = connection
  hold()
}

/** Gives the handle of a connection back after its last event, of which JavaScript may not have heard. */
function releaseConnection(handle, connection) {
  fast.releaseConnection(handle)
  if (connection === undefined) return
  connection[kState].handle = NO_HANDLE
  connections[handle & INDEX_MASK] = undefined
  release()
}

/** Returns how often the engine was called with a handle that had been given back. Such a caller has missed an end. */
function staleCalls() {
  return engine === undefined ? 0 : engine.staleCalls()
}

/** Returns the id of a new session: 20 characters of `[A-Za-z0-9_-]`. */
function generateId() {
  getEngine()
  return fast.generateId()
}

/** Compresses a body on another thread. `done` gets a Buffer, or undefined if zlib failed, in the caller's context. */
function compress(body, encoding, options, done) {
  const context = capture()
  const number = getEngine().compress(body, encoding, options)
  bodies.set(number, (bytes) => context.runInAsyncScope(done, undefined, bytes))
}

/**
 * Notes that a transport was written to. At the end of the tick the data goes out and the transport becomes writable.
 */
function markWritten(transport) {
  written.push(transport)
  scheduleFlush()
}

/** Schedules that what was handed over to the engine goes out at the end of the tick. */
function scheduleFlush() {
  if (exiting) return finish()
  if (!flushScheduled) {
    flushScheduled = true
    if (!dispatching) nextTick(settle)
  }
}

/** Schedules one flush in the event loop's next phase, for all connections that need no earlier one. */
function scheduleLateFlush() {
  if (flushScheduled) return
  flushScheduled = true
  setImmediate(settle)
}

function settle() {
  if (flushScheduled) atRoot(settleAll)
}

function settleAll() {
  flushScheduled = false
  const list = written
  written = []
  let next = 0
  try {
    while (next < list.length) list[next++][kSettle]()
  } finally {
    if (next < list.length) {
      // a listener threw
      written = list.slice(next).concat(written)
      setImmediate(scheduleFlush)
    }
    prepareFlush()
    // the answer to a single message is written now, also if it was put off to the next tick
    const isLone = dispatched === 1
    fast.flush(isLone && meta[0] === Kind.MESSAGE ? SMALL_ROOM : Number(isLone))
    // if transports were written to again meanwhile, they follow after I/O had its turn
    if (flushScheduled) {
      flushScheduled = false
      setImmediate(settleAgain)
    }
    forget()
    for (const pipe of pausedPipes) apart(pipe._resumeIfWanted, pipe)
  }
}

/** Registers a listener that is called before this thread writes something. */
function beforeFlush(listener) {
  prepareFlush = listener
}

/** Registers a listener that is called when everything sent in a turn has been handed over. */
function onTurnEnd(listener) {
  forget = listener
}

function settleAgain() {
  flushScheduled = true
  settle()
}

module.exports = {
  outcome,
  getEngine,
  /** The functions that run for every message, see src/node/raw/calls.rs; set with the engine. */
  fast,
  hold,
  release,
  drainNow,
  markWritten,
  beforeFlush,
  prepareFlush: () => prepareFlush(),
  onTurnEnd,
  scheduleFlush,
  scheduleLateFlush,
  sessionOf,
  connectionOf,
  addSession,
  releaseSession,
  refuseSession,
  addConnection,
  closeChannel,
  staleCalls,
  tickLater,
  whenRead,
  holdBack,
  generateId,
  compress,
  sessions,
  listeners,
  members,
  pausedPipes,
}
