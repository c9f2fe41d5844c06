'use strict'

// Rows of docs/DIFFERENCES.md.

const {
  NO_DATA_VIEW,
  aboutSession,
  callsLike,
  endedAlone,
  hasHook,
  hasThrown,
  isCount,
  isWithin,
  json,
  sessionOf,
  throwsLess,
  throwsMore,
  uncounted,
} = require('./case')

/**
 * The session that a difference is about: of all clients if `generateId` gives each the same id, which sessions that begin
 * on a WebTransport do not ask for.
 */
function sessionIn(difference, program) {
  const session = aboutSession(difference)
  const isShared =
    hasHook(program, 'generateId', 'same') &&
    !program.steps.some(({ kind, as }) => kind === 'openTransport' && as === session)
  return isShared ? 'same' : session
}

/** Whether that is said of a session: then any client may have it. */
const isOfAll = (session) => session === 'same'

/** Whether the application closes a session and then, in the same list of calls, once more for good. */
function closesTwice({ listeners, steps }) {
  let found = false
  const look = (value) => {
    if (typeof value !== 'object' || value === null) return
    if (Array.isArray(value)) {
      const first = value.findIndex((call) => call?.do === 'close' && !call.discard)
      const again = value.findIndex((call) => call?.do === 'closeServer' || (call?.do === 'close' && call.discard))
      if (first !== -1 && again > first) found = true
    }
    Object.values(value).forEach(look)
  }
  look([listeners, steps])
  return found
}

/** Whether a listener of what a transport does when a poll is answered throws. */
const throwsOnPoll = (call) =>
  call.do === 'listen' &&
  call.on === 'transport' &&
  ['headers', 'ready', 'drain'].includes(call.event) &&
  json(call.calls).includes('"do":"throw"')

/** All about the session that a difference is about. */
function ofSession(difference, more) {
  const session = aboutSession(difference)
  return session !== undefined && { session, ...more }
}

const uncompressed = (entry) => entry?.replace(/^(frame \w+) rsv 4/, '$1')

/** @type {import("./index").Exception[]} */
module.exports = [
  {
    row: 1,
    what: 'callbacks come with their batch, though a flush listener sends',
    explains(difference, of) {
      const { object, field, lefts = [], rights = [] } = difference
      if (flushListeners(of.program, isSend).length === 0) return false
      if (isThrownLate(difference, of)) return true
      const late = ofLateCallbacks(difference, of)
      if (late) return late
      if (!hasFlushed(difference, of)) return false
      // the original goes on to send what is left of the buffer
      const others = (entries) => entries.filter((entry) => !/^callback |^transport\.send\(\[\]\)$/.test(entry))
      const isOfCallbacks = /^(callbacks of )?session /.test(object) && field === undefined
      return field === 'sentCallbackFn' || (isOfCallbacks && same(others(lefts), others(rights)))
    },
  },
  {
    row: 1,
    what: 'the transport stays writable, though a flush listener empties the buffer',
    explains: (difference, of) =>
      // that of uServer is writable again behind the last packet, and so never, if there is none
      flushListeners(of.program, (call) => isTaking(call) || (of.program.mode === 'uServer' && isSend(call))).length >
        0 &&
      (isThrownLate(difference, of) ||
        ofLateCallbacks(difference, of) ||
        (hasFlushed(difference, of) && ofSession(difference, { counts: true })) ||
        (isCount(difference) && { counts: true })),
  },
  {
    row: 1,
    what: 'nothing is thrown, or sent too early, where a flush listener empties the buffer of a session that polls, or sends',
    explains(difference, of) {
      const { object, step, left, right } = difference
      if (flushListeners(of.program, (call) => isSend(call) || isTaking(call)).length === 0) return false
      // what is sent behind it is written here, and uWebSockets.js takes no DataView
      const isWritten =
        of.program.mode === 'uServer' && left === undefined && NO_DATA_VIEW.test(right) && isAnyFlushed(of.left, step)
      if (object === 'process') return (right === undefined && NO_POLL.test(left)) || isWritten
      // what a drain listener sends meanwhile is sent without a poll
      const sendsMore = callsLike(
        of.program,
        ({ do: name, event, calls }) => name === 'listen' && event === 'drain' && json(calls).includes('"do":"send"'),
      )
      return (
        hasFlushed(difference, of) &&
        (sendsMore.length > 0 || hasThrown(of, step, NO_POLL)) &&
        ofSession(difference, { counts: true })
      )
    },
  },
  {
    row: 1,
    what: 'an empty batch does not make a WebTransport writable, whose messages keep their order',
    explains(difference, of) {
      const { field, lefts, rights } = difference
      if (!of.program.steps.some(({ kind }) => kind === 'openTransport')) return false
      if (flushListeners(of.program, isSend).length === 0 || !hasFlushed(difference, of)) return false
      if (field !== undefined) return field === 'writable'
      const isOfBatches =
        /^(drain|ready|socket\.flush)\(\)|^transport\.send\(\[\]\)$|^listener \d+ of \w+ (drain|ready)$/
      // close() behind it: there, one of those that wait has been written by then, which its listeners send more behind
      const isClosed = [of.left, of.right].every(
        (side) => side[difference.step].readyStates[`{${aboutSession(difference)}}`] === 'closed',
      )
      const isOfLast = /^packet \{type: "message"|^listener \d+ of socket packetCreate$/
      const others = (entries) =>
        entries
          .filter((entry) => !isOfBatches.test(entry) && !(isClosed && isOfLast.test(entry)))
          .map((entry) => entry.replace('[closed writable', '[closed'))
          .map((entry) => (isClosed ? entry.replace(/^(close\(.*) \d+ in writeBuffer/, '$1') : entry))
          .sort()
      return same(others(lefts), others(rights))
    },
  },
  {
    row: 1,
    what: 'a flush listener that closes a session that polls, whose poll is answered then',
    explains: (difference, { program }) =>
      callsLike(
        program,
        (call) => call.do === 'listen' && call.event === 'flush' && /"do":"close(Server)?"/.test(json(call.calls)),
      ).length > 0 &&
      ((difference.object === 'process' &&
        difference.right === undefined &&
        /Cannot read properties of null \(reading '(writeHead|headers)'/.test(difference.left)) ||
        (difference.left === undefined && /^(drain|ready)\(/.test(difference.right))),
  },
  {
    row: 2,
    what: 'close(true) and server.close() end a session that is closing',
    explains(difference, { left, right, program }) {
      const ended = []
      for (let step = 1; step <= difference.step; step++) {
        const closes =
          step === program.steps.length + 1 ||
          /"closeServer"|"discard":true/.test(json([program.steps.slice(0, step), program.listeners]))
        if (closes)
          ended.push(
            ...endedAlone(right, left, step).filter((name) => left[step].readyStates[`{${name}}`] === 'closing'),
          )
      }
      const session = sessionIn(difference, program)
      const all = ofSession(difference, { counts: true })
      if (all && ended.includes(session)) return all
      // both calls in one listener: a client that polls meanwhile has ended the original's session by the end of the step
      const isClosed = right[difference.step]?.readyStates[`{${session}}`] === 'closed'
      if (all && closesTwice(program) && isClosed) return all
      if (pollsMeanwhile(difference, program)) return ofSession(difference, { counts: true })
      const isOfListener =
        isOfCloseListener(difference, { left, right, program }) || isOfUpgradeListener(difference, program)
      if (ended.length > 0 && (throwsMore(difference) || isOfListener)) return true
      // the poll that is answered there, and a listener of it
      const isPolled = throwsLess(difference) && ended.includes(program.steps[difference.step - 1]?.on)
      if (isPolled && callsLike(program, throwsOnPoll).length > 0) return true
      return ended.length > 0 && (isCount(difference) || isCountOnly(difference)) && { counts: true }
    },
  },
  {
    row: 4,
    what: "removeAllListeners() does not remove the engine's own",
    explains(difference, { program, left }) {
      if (callsLike(program, (call) => call.do === 'removeListeners' && call.event === 'close').length === 0)
        return false
      if (isCount(difference) || isCountOnly(difference)) return { counts: true }
      // it is still in `clients`, and found there
      if (/^HTTP/.test(difference.left) && /Session ID unknown/.test(difference.left)) return false
      return (
        left[difference.step].readyStates[`{${sessionIn(difference, program)}}`] === 'closed' &&
        ofSession(difference, { counts: true })
      )
    },
  },
  {
    row: 4,
    what: 'a prepended close listener that ends other sessions runs when its own no longer counts',
    explains: (difference, { program }) =>
      (isCountOnly(difference) || isClosedAgain(difference)) &&
      callsLike(
        program,
        (call) =>
          call.do === 'listen' &&
          call.event === 'close' &&
          call.by === 'prependListener' &&
          json(call.calls).includes('"do":"closeServer"'),
      ).length > 0,
  },
  {
    row: 5,
    what: 'frames in the segment of the handshake are not lost',
    explains(difference, { program }) {
      const name = aboutSession(difference)
      const early = program.steps
        .slice(0, difference.step)
        .some(
          ({ kind, as, more }) =>
            kind === 'openWebSocket' && more !== undefined && (isCount(difference) || as === name || isOfAll(name)),
        )
      // a listener of what was lost, which has to be there from the start, may close the server
      const hasEarly = program.steps
        .slice(0, difference.step)
        .some(({ kind, more }) => kind === 'openWebSocket' && more)
      const closesServer = (call) => call.do === 'listen' && json(call.calls).includes('"do":"closeServer"')
      if (hasEarly && callsLike({ listeners: program.listeners }, closesServer).length > 0) return { all: true }
      // or throw
      const throws = (call) => call.do === 'listen' && json(call.calls).includes('"do":"throw"')
      if (hasEarly && throwsMore(difference) && callsLike({ listeners: program.listeners }, throws).length > 0)
        return true
      return early && (ofSession(difference, { counts: true }) || { counts: true })
    },
  },
  {
    row: 6,
    what: 'the answer to a handshake that is refused after the 101 arrives over TLS',
    modes: ['https'],
    explains({ object, left, lefts = [], rights = [] }) {
      const told = rights.map((text) => text.split('(')[0]).join()
      if (/^client \w+, real$/.test(object))
        return lefts.length === 1 && /^close\("transport close"/.test(left) && told === 'error,close'
      return (
        /^client /.test(object) &&
        left === 'end' &&
        rights.some((text) => text.startsWith('HTTP/1.1 101')) &&
        !rights.some((text) => text.includes('"sid\\":'))
      )
    },
  },
  {
    row: 7,
    what: 'a plain request for the session of a WebSocket is answered',
    // the answer to HEAD has no body
    explains: ({ step, left, right }, { program }) =>
      left === undefined &&
      (/^HTTP\/1.1 400 [^]*"code\\":3/.test(right) ||
        (program.steps[step - 1]?.method === 'HEAD' && /^HTTP\/1.1 400 /.test(right)) ||
        /^connection_error.*TRANSPORT_HANDSHAKE_ERROR/.test(right)),
  },
  {
    row: 8,
    what: 'a listener that throws does not keep the connection from going on',
    explains(difference, of) {
      // of a WebTransport session the original tells nobody
      const hasThrownThere =
        hasThrown(of, difference.step) ||
        (of.program.steps.some(({ kind }) => kind === 'openTransport') &&
          hasThrown({ left: of.right }, difference.step))
      // a POST that was left unanswered is in the way of the next one, which ends the session and so tells its listeners
      const isInTheWay = throwsLess(difference) && isSecondPost(difference, of)
      const session = sessionIn(difference, of.program)
      const isThrower =
        hasThrownOf(session, of, difference.step) &&
        (json(of.program.listeners).includes('"do":"throw"') ||
          of.program.steps.some(
            ({ on, calls }) => (on === session || isOfAll(session)) && json(calls).includes('"do":"throw"'),
          ))
      // behind a callback that throws (row 9) more is written here, and uWebSockets.js takes no DataView
      const isWritten =
        of.program.mode === 'uServer' &&
        difference.object === 'process' &&
        difference.left === undefined &&
        NO_DATA_VIEW.test(difference.right)
      if (isWritten && callsLike(of.program, ({ callback }) => json(callback).includes('"do":"throw"')).length > 0)
        return hasThrownThere
      // a listener that is called here alone closes the server
      if (hasThrownThere && endsServerHere(of, difference.step)) return { all: true }
      return (
        hasThrownThere &&
        ((isThrower && isMoreHere(difference) && ofSession(difference, { counts: true })) ||
          throwsMore(difference) ||
          isInTheWay ||
          // a session that goes on there when here it has heard of its end, and whose listeners throw again
          (throwsLess(difference) && isOverHere(of, difference.step)))
      )
    },
  },
  {
    row: 39,
    what: 'a close listener that throws does not leave the session in clients',
    explains: (difference, of) =>
      hasThrownAtEnd(of, difference.step) &&
      (isCount(difference) || isCountOnly(difference)) &&
      countOf(difference.left) > countOf(difference.right) && { counts: true },
  },
  {
    row: 39,
    what: 'engine.close() closes all sessions, though the end of one throws',
    explains(difference, of) {
      const { steps, listeners } = of.program
      const session = aboutSession(difference)
      for (let step = 1; step <= difference.step; step++) {
        const closes = step === steps.length + 1 || json([steps[step - 1], listeners]).includes('"do":"closeServer"')
        const ended = closes && hasThrown({ left: [of.left[step]] }, 0) ? endedAlone(of.right, of.left, step) : []
        const isMore = isCount(difference) && countOf(difference.left) > countOf(difference.right)
        if (ended.length > 0 && isMore) return { counts: true }
        // sessions that go on there end later, and their listeners throw then
        if (ended.length > 0 && throwsLess(difference) && closeListenersThrow(of.program)) return true
        // there the server goes on to accept WebSockets, too
        const isRefused = ended.length > 0 && isThereAlone(session, of, difference.step)
        if (ended.includes(session) || isRefused) return ofSession(difference, { counts: true })
      }
      return false
    },
  },
  {
    row: 10,
    what: 'a headers listener that throws does not leave the client waiting',
    explains(difference, { program, left, right }) {
      const { object, step, left: mine, right: theirs } = difference
      if (!hasHook(program, 'headersListener', 'throw')) return false
      if (/^client \w+, real$/.test(object))
        return (
          mine === undefined &&
          /^error\(Error "(xhr poll error" 500|websocket error")/.test(theirs) &&
          ofSession(difference)
        )
      if (/^client /.test(object)) return mine === undefined && /^(HTTP\/1.1 (500|40[03]) |end$)/.test(theirs)
      // uServer has a session by then, of which its client does not hear, or a poll that waits
      if (isLeftOver(difference, program)) return true
      const session = aboutSession(difference)
      const steps = program.kind === 'timed' ? [...left.keys()] : [step]
      const ended = steps
        .flatMap((one) => endedAlone(right, left, one))
        .filter((name) => /^(number \d+|same)$/.test(name))
      if (ended.includes(session)) return { session, counts: true }
      return ended.length > 0 && (isCount(difference) || isCountOnly(difference)) && { counts: true }
    },
  },
  {
    row: 10,
    what: 'an upgrade that is handed to a server without WebSockets does not leave the client waiting',
    modes: ['handle'],
    explains: ({ object, left, right }, { program }) =>
      program.options.transports?.includes('websocket') === false &&
      object.startsWith('client ') &&
      left === undefined &&
      /^HTTP\/1.1 500|^end$/.test(right),
  },
  {
    row: 12,
    what: 'a client that is gone while a hook decides about its upgrade is no exception',
    explains: ({ object, left, right }, { program }) =>
      program.steps.some(({ kind }) => kind === 'abandon') &&
      object === 'process' &&
      right === undefined &&
      /ECONNRESET|EPIPE|Cannot read properties of null|ERR_INVALID_ARG_TYPE/.test(left),
  },
  {
    row: 13,
    what: 'a rejection message that is no string',
    explains(difference, { program }) {
      const { object, left, right } = difference
      if (!hasHook(program, 'allowRequest', 'object')) return false
      return (
        (object === 'process' && right === undefined && /ERR_INVALID_ARG_TYPE/.test(left)) ||
        (object.startsWith('client ') && left === undefined && ofSession(difference))
      )
    },
  },
  {
    row: 14,
    what: 'a header value with a line break is refused',
    explains(difference, of) {
      const { left, right } = difference
      if (hasHook(of.program, 'middleware', 'line break') && (isNotTaken(right) || unbroken(left) === unbroken(right)))
        return true
      if (!hasHook(of.program, 'headersListener', 'line break')) return false
      return isRefusedForHeader(difference, of) || isRefusedByUws(difference, of)
    },
  },
  {
    row: 15,
    what: 'several values of a header are lines of their own on the 101',
    explains: ({ left, right }, { program }) =>
      hasHook(program, 'middleware', 'several') &&
      /^HTTP\/1.1 101/.test(left) &&
      left.replace('X-Several: one,two', 'X-Several: one\nX-Several: two') === right,
  },
  {
    row: 16,
    what: "the second call of allowRequest's callback is ignored",
    explains: (difference, of) => hasHook(of.program, 'allowRequest', 'twice') && goesOnThere(difference, of),
  },
  {
    row: 18,
    what: 'a target that is no URL is answered',
    explains: ({ object, left, right }, { program }) =>
      program.steps.some(({ path }) => path?.startsWith('//')) &&
      ((object === 'process' && /ERR_INVALID_URL/.test(left)) ||
        (left === undefined && /^HTTP\/1.1 400|^end$/.test(right) && object.startsWith('client '))),
  },
  {
    row: 19,
    what: 'an id that a living session has',
    explains(difference, { program, left: lefts }) {
      const { object, step, left, right } = difference
      if (!hasHook(program, 'generateId', 'same') || !isUsedAgain(lefts, step)) return false
      // listeners of the session that the other side does not have
      if (object === 'process') return [left, right].every((text) => text === undefined || /"twin: /.test(text))
      if (object === 'server') return { counts: true }
      const { kind, on } = program.steps[step - 1] ?? {}
      // the original has opened a session for it, which here is refused
      const isOpened = lefts
        .slice(0, step + 1)
        .some(({ streams }) => streams[object]?.some((text) => text.includes('{same}')))
      if (/^client stranger/.test(object)) return kind === 'abandon' || on !== undefined || isOpened
      return ofSession(difference, { counts: true })
    },
  },
  {
    row: 19,
    what: 'an id whose session has ended in the original alone, because a POST found one unanswered that row 8 is about',
    explains(difference, of) {
      const { object, step, left, right } = difference
      if (!hasHook(of.program, 'generateId', 'same') || !isUsedAgain(of.right, step)) return false
      const hasEnded = of.left
        .slice(0, step)
        .some((_, one) => isSecondPost({ step: one }, of) && endedAlone(of.left, of.right, one).includes('same'))
      if (!hasEnded) return false
      // the original has a session for the request, which is refused here
      if (object === 'server')
        return (right === undefined || /^connection_error\(.* code: 3,/.test(right)) && { counts: true }
      const isRefused = /^client \w+, real$/.test(object)
        ? /^error\(Error "(xhr poll error" 400|websocket error")/.test(right)
        : /^HTTP\/1.1 (200|101) /.test(left) && /^HTTP\/1.1 400 [^]*("code\\":3,|"Bad request"$)/.test(right)
      return isRefused && ofSession(difference, { counts: true })
    },
  },
  {
    row: 20,
    what: 'what permessage-deflate compresses',
    explains: ({ left, right }, { program }) =>
      program.options.perMessageDeflate !== undefined && uncompressed(left) === uncompressed(right),
  },
  {
    row: 24,
    what: 'allowRequest that throws refuses',
    explains(difference, { program }) {
      const { object, left, right, lefts = [], rights = [] } = difference
      if (!hasHook(program, 'allowRequest', 'throw')) return false
      // a header that is not taken, either (row 14)
      const isBroken = hasHook(program, 'middleware', 'line break')
      const others = (list) => list.filter((entry) => !isForbidden(entry) && !(isBroken && isNotTaken(entry)))
      if (object === 'server') return same(others(lefts), others(rights))
      if (left !== undefined) return false
      if (/^client \w+, real$/.test(object))
        return /^error\(Error "(xhr poll error" 403|websocket error")/.test(right) && ofSession(difference)
      return /^client /.test(object) && /^HTTP\/1.1 40[03] /.test(right)
    },
  },
  {
    row: 25,
    what: 'a middleware that answers and calls next()',
    explains(difference, of) {
      if (!hasHook(of.program, 'middleware', 'answer and go on')) return false
      // a client that is gone when allowRequest is asked, which it is there alone, may not have read the answer
      const isGone =
        of.program.steps[difference.step - 1]?.kind === 'abandon' && /^client stranger/.test(difference.object)
      return (isGone && difference.left === undefined) || goesOnThere(difference, of)
    },
  },
  {
    row: 36,
    what: 'a polling client that is gone while a hook decides gets no session',
    explains: (difference, of) =>
      of.program.steps
        .slice(0, difference.step)
        .some(({ kind, transport }) => kind === 'abandon' && transport === 'polling') &&
      goesOnThere(difference, of, /(?!)/),
  },
  {
    row: 29,
    what: 'a patch of what is bound to a transport, or to its ws, counts from the next event',
    explains: (difference, { program }) =>
      callsLike(program, ({ do: name, on, method }) => name === 'replace' && BOUND[on].includes(method)).length > 0 &&
      /^(socket\.(onPacket|onClose|onError|onDrain)|transport\.(onClose|onError))\(/.test(difference.right) &&
      ofSession(difference),
  },
  {
    row: 44,
    what: 'what was sent before the connection ends goes out, and its callbacks are called',
    explains(difference, { program, left, right }) {
      const { step, object, left: mine, right: theirs, lefts = [], rights = [] } = difference
      const name = aboutSession(difference)
      const { kind, frames = [] } = program.steps[step - 1] ?? {}
      // behind several frames, or behind one whose listeners send
      const answers = callsLike(
        program,
        (call) => call.do === 'listen' && call.event === 'packet' && /"do":"send"/.test(json(call.calls)),
      )
      const ends =
        kind === 'frames' &&
        (frames.length > 1 || answers.length > 0) &&
        [left, right].every((side) => side[step].readyStates[`{${name}}`] === 'closed')
      const more = object.startsWith('client ')
        ? isMoreBeforeEnd(difference, program)
        : (/^close\(\) /.test(mine) && theirs === mine.replace('[closed', '[closed writable')) ||
          leavesMore(mine, theirs) ||
          // what was lost there was an error of the write
          (/^close\("transport error", Error type TransportError "write error"/.test(mine) &&
            /^close\("transport close"/.test(theirs) &&
            isWithin(lefts.slice(0, lefts.indexOf(mine)), rights)) ||
          ((mine === undefined ||
            // callbacks come before `close`
            (frames.length > 1 && /^(close\(|listener \d+ of (socket|transport) close$)/.test(mine)) ||
            // over TLS `drain` comes before the error of an invalid frame behind a ping of protocol 3, too
            (program.mode === 'https' &&
              frames.length > 1 &&
              /^(error\(|listener \d+ of transport error$)/.test(mine)) ||
            (answers.length > 0 && /^((close|packet)\(|listener \d+ of (socket|transport) close$)/.test(mine))) &&
            /^(callback|drain|ready|flush|listener \d+ of (socket|transport) (drain|ready|flush)$)/.test(theirs))
      return ends && more && ofSession(difference)
    },
  },
  {
    row: 48,
    what: 'a client that has sent its close frame is not waited for',
    explains: (difference, { program, left, right }) =>
      program.deaf === true &&
      afterClose(difference, program) &&
      (isOfCloseListener(difference, { program, left, right }) ||
        ofSession(difference, { counts: true }) ||
        (isCount(difference) && { counts: true }) ||
        // what is sent on the session that is there alone reaches its listeners
        (throwsLess(difference) &&
          endedAlone(right, left, difference.step).includes(program.steps[difference.step - 1]?.on))),
  },
  {
    row: 49,
    what: 'the connection is read ahead of the application: pongs overtake, and nothing is heard behind what ends a session',
    explains({ object, step, left, right, lefts = [], rights = [] }, { program }) {
      const [mine, theirs] = [lefts, rights].map((texts) => withoutPongs(texts, program))
      if (same(mine, theirs) && lefts.length + rights.length > 0 && /^client /.test(object)) return true
      // listeners that hear of an upgrade come too late for what is behind the probe
      const { kind, frames = [] } = program.steps[step - 1] ?? {}
      const isBehindProbe = kind === 'frames' && frames.length > 1 && frames[0].text === '2probe'
      if (/^transport [1-9]/.test(object) && isBehindProbe && /^packet\(/.test(left) && !/^packet\(/.test(right))
        return ofSession({ object })
      // the transport has begun to close
      const isFrameError = (entry) => /^error\(.*Invalid WebSocket frame.*\[clos/.test(entry)
      return (
        /^transport /.test(object) &&
        isFrameError(left) &&
        same(
          lefts.filter((one) => !isFrameError(one)),
          rights,
        )
      )
    },
  },
  {
    row: 51,
    what: 'a replaced method misses a heartbeat, a packet that means nothing, what ends the session, or packets behind that',
    explains(difference, of) {
      const { step, left, right } = difference
      const [, on, method, sent, received] =
        /^(socket|transport)\.(\w+)\((?:"(\w+)"|\[?\{type: "(\w+)"|Error "invalid heartbeat direction")/.exec(left) ??
        []
      if (on === undefined || (right !== undefined && !/^close\(/.test(right))) return false
      if (
        callsLike(of.program, (call) => call.do === 'replace' && call.on === on && call.method === method).length === 0
      )
        return false
      const isOver = /^clos/.test(of.left[step].readyStates[`{${aboutSession(difference)}}`])
      // the session has been closed on the heartbeat that would have ended it
      if (isOver && left === 'socket.onError(Error "invalid heartbeat direction")') return true
      // those that a session on a WebSocket does nothing about
      const isIdle = method === 'onPacket' && ['open', 'close', 'upgrade', 'noop'].includes(received)
      return (
        isIdle ||
        ['ping', 'pong'].includes(sent ?? received) ||
        (isOver && method === 'onPacket' && received !== undefined)
      )
    },
  },
  {
    row: 51,
    what: 'a heartbeat does not take along what the application has put into the buffer by itself',
    explains(difference, of) {
      const pushes = callsLike(of.program, (call) => call.do === 'buffer' && call.how === 'push')
      return pushes.length > 0 && isLeftBehind(aboutSession(difference), of) && ofSession(difference)
    },
  },
  {
    row: 52,
    what: 'a transport closes once',
    explains({ object, lefts = [], rights = [] }) {
      const closes = lefts.filter((entry) => entry === 'close() [closed]').length
      const once = (list) => list.filter((entry, i) => entry !== 'close() [closed]' || list.indexOf(entry) === i)
      return /^transport /.test(object) && closes > 1 && once(lefts).join('\n') === rights.join('\n')
    },
  },
  {
    // no row: it differs between two runs of the original, too
    row: 'twin',
    what: 'a client that gives up while it probes: its poll or its WebSocket is served first, and its session may not hear of it',
    explains(difference, { left, right }) {
      const gaveUp = [left, right].map((side) => clientsThatGaveUp(side, difference.step))
      const names = gaveUp[0].filter((name) => gaveUp[1].includes(name))
      if (names.includes(aboutSession(difference))) return ofSession(difference, { counts: true })
      return names.length > 0 && (isCount(difference) || isCountOnly(difference)) && { counts: true }
    },
  },
  {
    row: 'twin',
    what: 'a real client that upgrades polls once more, or the end of its session reaches it, before its WebSocket is there',
    explains({ object, step, lefts = [], rights = [] }, { left, right }) {
      if (/^client \w+, real upgrade$/.test(object)) {
        const others = (list) => list.filter((entry) => !entry.startsWith('upgrading('))
        const isClosed = (list) => list.at(-1)?.startsWith('upgradeError(Error "probe error: closed"')
        return isClosed(lefts) && isClosed(rights) && same(others(lefts), others(rights))
      }
      // a poll that comes has a replaced method called that finds nothing to send
      const upgrades = [left, right].every((side) =>
        side[step].streams[`client ${sessionOf(object)}, real upgrade`]?.includes('upgrade(websocket)'),
      )
      const others = (list) => list.filter((entry) => entry !== 'socket.flush()')
      return /^session /.test(object) && upgrades && same(others(lefts), others(rights))
    },
  },
]

/** Real clients that could not read what they got, while they probed a WebSocket, up to this step. */
function clientsThatGaveUp(side, step) {
  const names = new Set()
  for (const { streams } of side.slice(0, step + 1)) {
    for (const [object, entries] of Object.entries(streams)) {
      const [, name] = /^client (\w+), real$/.exec(object) ?? []
      const probed = streams[`client ${name}, real upgrade`] ?? []
      if (
        entries.some((entry) => entry.startsWith('close("transport error", Error "server error"')) &&
        probed.some((entry) => entry.startsWith('upgradeError(Error "probe error: closed"'))
      )
        names.add(name)
    }
  }
  return [...names]
}

/** What a client gets, without the answers to its pings, which may come before others (row 49). */
const withoutPongs = (texts, { protocol }) =>
  texts.filter((text) => !text.startsWith('frame pong') && !(protocol === 3 && text === 'frame text "3"'))

/** Whether a client gets another message here before the close frame. */
function isMoreBeforeEnd({ left, right, lefts = [], rights = [] }, program) {
  const isMore = (mine, theirs) => /^frame close/.test(mine) && /^frame (text|binary)/.test(theirs)
  const [mine, theirs] = [lefts, rights].map((texts) => withoutPongs(texts, program))
  const at = theirs.findIndex((text, i) => text !== mine[i])
  return isMore(left, right) || (at !== -1 && isMore(mine[at], theirs[at]))
}

const isSend = (call) => call.do === 'send'

/** Whether a call takes packets out of the buffer. */
const isTaking = (call) => call.do === 'buffer' && call.how !== 'push'

/** The program's `flush` listeners with such a call. */
const flushListeners = (program, matches) =>
  callsLike(
    program,
    (call) => call.do === 'listen' && call.event === 'flush' && callsLike({ steps: call.calls }, matches).length > 0,
  )

const IS_FLUSHED = /^listener \d+ of socket flush$/

/** Whether a `flush` listener of the program's has been called up to this step, of the session that a difference is about. */
const hasFlushed = (difference, { left, right }) =>
  [left, right].some((side) =>
    side
      .slice(0, difference.step + 1)
      .some(({ streams }) =>
        (streams[`session {${aboutSession(difference)}}`] ?? []).some((entry) => IS_FLUSHED.test(entry)),
      ),
  )

/** The same of any session. */
const isAnyFlushed = (side, step) =>
  side
    .slice(0, step + 1)
    .some(({ streams }) => Object.values(streams).some((entries) => entries.some((entry) => IS_FLUSHED.test(entry))))

/** What callbacks do, which come late, or not at all, behind a `flush` listener; it may end other sessions, and the server. */
function ofLateCallbacks(difference, of) {
  const acting = callsLike(of.program, ({ callback = [] }) => callback.length > 0)
  const closers = acting.filter(({ callback }) => json(callback).includes('"do":"closeServer"'))
  if (closers.length > 0 && isAnyFlushed(of.left, difference.step)) return { all: true }
  return acting.length > 0 && hasFlushed(difference, of) && ofSession(difference, { counts: true })
}

/** What the original comes to that answers a poll which is not there, or has been answered. */
const NO_POLL = /Cannot read properties of null \(reading '(writeHead|headers)'|ERR_HTTP_HEADERS_SENT/

/** An exception of the application's own that comes up later in the original, or not before the end. */
function comesLate({ step, object, left, right }, { left: lefts, right: rights }) {
  const isOwn = (text) => text?.includes('"twin: the application"')
  const count = (side) =>
    side.slice(0, step + 1).reduce((sum, { streams }) => sum + (streams.process ?? []).filter(isOwn).length, 0)
  return (
    object === 'process' &&
    (left === undefined ? isOwn(right) : right === undefined && isOwn(left)) &&
    count(rights) >= count(lefts)
  )
}

const closeListenersThrow = (program) =>
  callsLike(
    program,
    (call) => call.do === 'listen' && call.event === 'close' && json(call.calls).includes('"do":"throw"'),
  ).length > 0

/** An exception of a `close` listener, which the original calls when the client polls. */
const isOfCloseListener = (difference, of) => comesLate(difference, of) && closeListenersThrow(of.program)

/** An exception of a callback, which the original calls one batch late, or not before the end. */
const isThrownLate = (difference, of) =>
  comesLate(difference, of) &&
  callsLike(of.program, ({ callback }) => json(callback).includes('"do":"throw"')).length > 0

/** An exception of an `upgrade` listener: the session goes on there, and is upgraded. */
const isOfUpgradeListener = (difference, program) =>
  throwsLess(difference) &&
  callsLike(
    program,
    (call) => call.do === 'listen' && call.event === 'upgrade' && json(call.calls).includes('"do":"throw"'),
  ).length > 0

/** Whether a client gets such a packet before a heartbeat there, and the heartbeat without it here. */
function isLeftBehind(name, { left, right }) {
  const [there, here] = [left, right].map((side) =>
    side.flatMap(({ streams }) =>
      Object.entries(streams)
        .filter(([object]) => object.startsWith(`client ${name}, websocket`))
        .flatMap(([, entries]) => entries),
    ),
  )
  const at = there.indexOf('frame text "4pushed"')
  const heartbeat = there[at + 1]
  return (
    at !== -1 &&
    /^frame text "[23]"$/.test(heartbeat) &&
    same([...there.slice(0, at), heartbeat], here.slice(0, at + 1))
  )
}

/** Whether a client does something whose session has ended here alone, in a step before. */
const isOverHere = ({ program, left, right }, step) =>
  left.slice(0, step).some((_, one) => endedAlone(right, left, one).includes(program.steps[step - 1]?.on))

/** Whether all that differs is that a session is closed once more, in its own end, by a method that tells of it. */
const isClosedAgain = ({ object, left, lefts = [], rights = [] }) =>
  /^session /.test(object) &&
  /^socket\.close\(true\)/.test(left) &&
  lefts.length === rights.length + 1 &&
  isWithin(rights, lefts)

/** Whether a session on which there was an exception has ended here alone, whose listeners close the server. */
function endsServerHere({ program, left, right }, last) {
  const closers = callsLike(program, ({ calls, event }) => event && json(calls).includes('"do":"closeServer"'))
  return (
    closers.length > 0 &&
    left
      .slice(0, last)
      .some((_, step) => endedAlone(right, left, step).some((name) => hasThrownOf(name, { left, right }, step)))
  )
}

/** The number of sessions that a record tells of, or that it is. */
const countOf = (text) => Number(/clientsCount (\d+)/.exec(text)?.[1] ?? text)

/** Whether a session has ended, in the original, in a step in which there was an exception, up to this one. */
const hasThrownAtEnd = ({ left }, step) =>
  left
    .slice(0, step + 1)
    .some(
      ({ readyStates }, i) =>
        hasThrown({ left: [left[i]] }, 0) &&
        Object.entries(readyStates).some(
          ([name, state]) => state === 'closed' && left[i - 1]?.readyStates[name] !== 'closed',
        ),
    )

/** Whether there was an exception in a step in which this session, or its client, did something, up to this one. */
const hasThrownOf = (session, { left, right }, step) =>
  [left, right].some((side) =>
    side
      .slice(0, step + 1)
      .some(
        ({ streams }, i) =>
          hasThrown({ left: [side[i]] }, 0) && Object.keys(streams).some((object) => sessionOf(object) === session),
      ),
  )

/** Whether a client posts in this step whose earlier POST the original has left unanswered behind an exception. */
function isSecondPost({ step }, { program: { steps }, left }) {
  const isPost = ({ kind } = {}) => kind === 'post' || kind === 'beginPost'
  const { on } = steps[step - 1] ?? {}
  const isAnswered = (at) =>
    Object.entries(left[at].streams).some(
      ([name, entries]) => name.startsWith(`client ${on}, post`) && entries.some((entry) => entry.startsWith('HTTP/')),
    )
  return (
    isPost(steps[step - 1]) &&
    steps
      .slice(0, step - 1)
      .some((one, i) => isPost(one) && one.on === on && hasThrown({ left: [left[i + 1]] }, 0) && !isAnswered(i + 1))
  )
}

/** Whether a session came to be in the original, and not here. */
const isThereAlone = (session, { left, right }, step) =>
  left[step].readyStates[`{${session}}`] !== undefined && right[step].readyStates[`{${session}}`] === undefined

const same = (one, other) => one.join('\n') === other.join('\n')

/**
 * Whether an object has done more here than in the original, or is in another state, or hears there of the end of a POST
 * that was left unanswered.
 */
function isMoreHere({ field, left, right = '', lefts = [], rights = [] }) {
  const unwritable = (entry) => entry.replace(' writable', '')
  if (field !== undefined || left === undefined) return true
  if (isWithin(lefts.map(unwritable), rights.map(unwritable))) return true
  return /^error\(.*"data request connection closed prematurely"/.test(left) || unwritable(left) === unwritable(right)
}

/** Whether a session closes in both, with more packets in its buffer in the original. */
function leavesMore(mine, theirs) {
  const [there, here] = [mine, theirs].map((text) => Number(/^close\(.* (\d+) in writeBuffer/.exec(text)?.[1]))
  const unread = (text) => text.replace(/\d+ in writeBuffer/, '')
  return there > here && unread(mine) === unread(theirs)
}

const isForbidden = (entry) => /^connection_error.* code: 4, message: "Forbidden"/.test(entry)

/** What the original comes to that goes on with a request that has been answered, or for the second time. */
const ANSWERED =
  /"Cannot read properties of null \(reading '(writeHead|onAborted)'\)"|ERR_HTTP_HEADERS_SENT|ERR_INVALID_ARG_TYPE.*Received null/

/** A record without the numbers of sessions that no client has. */
const unnumbered = (text) => text?.replace(/\{number \d+\}/g, '{number}')

/** A request that has failed and that a polling transport of uServer still holds, in the original. */
const isLeftOver = ({ field, left, right }, { mode }) =>
  mode === 'uServer' && /^re[qs]$/.test(field) && left === 'there' && right === 'null'

/** The original goes on with a request, up to a session that no client has; this package does not. */
function goesOnThere(difference, { program, left, right }, thrown = ANSWERED) {
  const { object, step, left: mine, right: theirs, lefts = [], rights = [] } = difference
  if (object === 'server' && lefts.length > 0) {
    // sessions that the second answer has ended there, in an earlier step
    const gone = left
      .slice(0, step)
      .flatMap((_, one) => (hasThrown({ left }, one, ANSWERED) ? endedAlone(left, right, one) : []))
    const others = rights.filter((entry) => !gone.some((name) => entry.includes(`{${name}}`)))
    return isWithin(others, lefts)
  }
  if (object === 'process' && theirs === undefined) return thrown.test(mine) || /"twin: /.test(mine)
  if (object === 'process')
    return same(
      rights,
      lefts.filter((text) => !thrown.test(text)),
    )
  if (unnumbered(mine) === unnumbered(theirs)) return true
  if (isLeftOver(difference, program)) return true
  // the second answer took the response of the first session
  const steps = program.kind === 'timed' ? left.keys() : [step]
  const ended = [...steps].flatMap((one) => endedAlone(left, right, one))
  const isEnded = hasThrown({ left }, step, ANSWERED)
  if (isEnded && ended.includes(aboutSession(difference))) return ofSession(difference, { counts: true })
  if (isCount(difference) || isCountOnly(difference))
    return isEnded && ended.length > 0 && countOf(mine) < countOf(theirs)
      ? { counts: true }
      : Object.keys(left[step].readyStates).length > Object.keys(right[step].readyStates).length
  const session = aboutSession(difference)
  const [there, here] = [left, right].map((side) => side[step].readyStates[`{${session}}`])
  // requests with the id of all, which only the session has that is there alone
  const [all, none] = [left, right].map((side) => side[step].readyStates['{same}'])
  if (/^client /.test(object) && hasHook(program, 'generateId', 'same') && all === 'open' && none === 'closed')
    return ofSession(difference, { counts: true })
  // of all sessions with one id: the first of this step is there alone
  const isAnother = isOfAll(session) && theirs === undefined && /^(connection |seen)/.test(mine)
  const isMore = /^number /.test(session) || (isOfAll(session) && here === undefined) || isAnother
  return isMore && there !== undefined && { session, counts: true }
}

/** An entry without the header that has a line break. */
const unbroken = (entry) =>
  entry
    ?.replace(/\nX-Break: a\nX-Split: b/, '')
    .replace(/(, )?X-Break: "a\\r\\nX-Split: b"/, '')
    .replace('({, ', '({')

/** An answer that says that a header was not taken, or the end of a connection for which it is the first. */
const isHeaderRefusal = (entry) =>
  /^(HTTP\/1.1 500 |end$|error\(Error "(xhr poll error" 500|websocket error"))/.test(entry)

/** The original sends an invalid header, or answers nothing; here the request is refused, and has no session. */
function isRefusedForHeader(difference, { program, left, right }) {
  const { object, step, right: theirs, rights = [] } = difference
  const isWithout = (name) =>
    left[step].readyStates[`{${name}}`] !== undefined &&
    [undefined, 'closed'].includes(right[step].readyStates[`{${name}}`])
  const session = aboutSession(difference)
  // what the application does with the session that is not there; its server's end is that of a WebTransport, too
  const hasClosed = program.steps
    .slice(0, step)
    .some(({ on, calls }) => isWithout(on) && json(calls).includes('"do":"closeServer"'))
  if (hasClosed && endedAlone(left, right, step).includes(session)) return ofSession(difference, { counts: true })
  if (/^client /.test(object) && (isHeaderRefusal(theirs) || rights.some(isHeaderRefusal)))
    return session === undefined || ofSession(difference, { counts: true })
  // a stranger who asks for the session of another, which is not there, has no id to give
  const asked = program.steps[step - 1]?.on
  if (/^client stranger/.test(object)) return isWithout(hasHook(program, 'generateId', 'same') ? 'same' : asked)
  // its events are those of all sessions and requests
  if (object === 'server') return { counts: true }
  if (object === 'process')
    return /Invalid character in header content|"twin: |"Text and data can only be passed by/.test(
      `${difference.left} ${theirs}`,
    )
  return isWithout(session) && ofSession(difference, { counts: true })
}

/** With uServer the session has begun before its request is refused, and goes by a number, as no client knows it. */
function isRefusedByUws(difference, { program, left, right }) {
  const session = aboutSession(difference)
  const numbered = (side) =>
    Object.keys(side[difference.step].readyStates).filter((name) => /^.number/.test(name)).length
  return (
    program.mode === 'uServer' &&
    /^number /.test(session) &&
    numbered(right) > numbered(left) &&
    ofSession(difference, { counts: true })
  )
}

/** Whether an entry tells that such a header was not taken. */
const isNotTaken = (entry) => entry?.startsWith('setHeader threw ') ?? false

/** Whether an id was given away when a session that was there before was not over, up to this step. */
function isUsedAgain(side, step) {
  let given = 0
  return side.slice(0, step + 1).some(({ streams }, i) => {
    const before = given
    given += (streams.server ?? []).filter((entry) => entry.startsWith('generateId(')).length
    const isOver = Object.values(side[i - 1]?.readyStates ?? {}).every((state) => state === 'closed')
    return given > before && (given - before > 1 || (before > 0 && !isOver))
  })
}

/** Whether a client has sent a close frame, in this step or before. */
function afterClose({ step }, { steps }) {
  return steps
    .slice(0, step)
    .some(({ kind, frames = [] }) => kind === 'frames' && frames.some(({ opcode }) => opcode === 8))
}

/** What the original binds when a transport is set, and when one is made for a WebSocket. */
const BOUND = { socket: ['onPacket', 'onClose', 'onError', 'onDrain'], transport: ['onClose', 'onError'] }

/** A client polls in the step in which its session is closed twice, which ends the session in the original, too. */
function pollsMeanwhile({ object, left, right, lefts }, program) {
  const closes = (matches) =>
    callsLike(program, (call) => (call.do === 'closeServer' || call.do === 'close') && matches(call)).length > 0
  if (
    !closes((call) => call.do === 'close' && !call.discard) ||
    !closes((call) => call.do === 'closeServer' || call.discard)
  )
    return false
  if (/^client \w+, real$/.test(object))
    return /^close\("transport close"/.test(left) && /^error\(Error "xhr poll error" 400/.test(right)
  if (/^client \w+, poll/.test(object))
    return /^HTTP\/1.1 200/.test(left) && /^HTTP\/1.1 400 [^]*Session ID unknown/.test(right)
  // the poll is answered there, and refused here
  if (object === 'server')
    return (
      (right === undefined && /^headers\(.*<request GET .*transport=polling&sid=/.test(left)) ||
      /^connection_error\(.*<request GET .*(transport=polling&sid=|\/ of ).*"Session ID unknown"/.test(right)
    )
  // the poll that the session waits for
  if (/^transport /.test(object)) return right === undefined && /^(ready|drain)\(\)$/.test(left)
  if (/^listener \d+ of transport (headers|ready|drain)$/.test(left)) return right === undefined
  // closed within the callbacks of one drain, and not behind them
  if (/^callback /.test(left) && /^close\("forced close"/.test(right)) return lefts.includes(right)
  return program.kind === 'real' && /^transport.(onRequest|send)\(/.test(left) && /^close\("forced close"/.test(right)
}

function isCountOnly({ left, right }) {
  return /clientsCount/.test(left) && uncounted(left) === uncounted(right)
}
