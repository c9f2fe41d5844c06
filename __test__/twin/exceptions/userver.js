'use strict'

// Rows of docs/DIFFERENCES.md about uServer.

const { NO_DATA_VIEW, aboutSession, hasHook, isCount, sessionOf, uncounted } = require('./case')

const modes = ['uServer']

/** What the original comes to: where it uses a response late, and where a WebSocket or a transport is not there. */
const USED_LATE = /uWS\.HttpResponse must not be accessed/
const CLOSED = /Invalid access of closed uWS\.WebSocket/
const NOT_THERE = /Cannot read properties of (undefined|null) \(reading '(end|headers)'\)/

/** Whether the original has thrown this, up to this step. */
const hasThrown = ({ left }, step, error) =>
  left.slice(0, step + 1).some(({ streams }) => (streams.process ?? []).some((text) => error.test(text)))

/** How many sessions have been opened up to this step. */
const opened = (side, step) => Object.keys(side[step].readyStates).length

const has = (side, step, session) => side[step].readyStates[`{${session}}`] !== undefined

/** Whether the process has met the same errors on both sides but for DataViews that were sent here only. */
const failsToEncode = ({ lefts = [], rights = [] }) =>
  rights.length > lefts.length && rights.filter((text) => !NO_DATA_VIEW.test(text)).join('\n') === lefts.join('\n')

/** @type {import("./index").Exception[]} */
module.exports = [
  {
    row: 34,
    what: 'a connection listener that throws does not keep a WebSocket from being opened',
    modes,
    explains(difference, of) {
      const { object, step, left, right } = difference
      const isThrown = (at) => hasThrown({ left: [of.left[at]] }, 0, /"twin: the application"/)
      // its client, which gets no answer there, knows it here
      const session = aboutSession(difference)
      const isUnknown = (_, at) =>
        isThrown(at) && has(of.left, at, session) && !(at > 0 && has(of.left, at - 1, session))
      if (/^number /.test(session) && opened(of.left, step) === opened(of.right, step) && of.left.some(isUnknown))
        return { session, counts: true }
      if (object === 'server')
        return left === undefined && /^(initial_)?headers\({}/.test(right) && isThrown(step) && { counts: true }
      // what its first listener sends is encoded here, where that can fail
      if (object === 'process' && isThrown(step)) return failsToEncode(difference)
      // what is sent to a client that the original has left waiting, and who asks for its session
      const { on } = of.program.steps[step - 1] ?? {}
      const isLeftWaiting =
        has(of.right, step, on) &&
        !has(of.left, step, on) &&
        of.program.steps.some(({ as }, i) => as === on && isThrown(i + 1))
      return (
        isLeftWaiting &&
        (/^client stranger/.test(object) ||
          (object === 'process' && left === undefined && /^threw Error "Text and data/.test(right)))
      )
    },
  },
  {
    row: 26,
    what: 'responses can more',
    modes,
    explains: ({ left, right }) => /^the response has /.test(left) && left === right?.replace('write,', ''),
  },
  {
    row: 32,
    what: 'an upgrade request for the polling transport',
    modes,
    explains(difference, of) {
      const { object, step, left, right } = difference
      const asked = of.program.steps
        .slice(0, step)
        .filter(({ kind, query }) => kind === 'oddUpgrade' && query.transport === 'polling')
      if (asked.length === 0) return false
      // server.close() goes no further
      if (hasThrown(of, step, /^threw .*reading 'headers'/)) return { all: true }
      const session = aboutSession(difference)
      if (
        session !== undefined &&
        (asked.some(({ on }) => on === session) ||
          // one whose id is that of another
          (session === 'same' && asked.some(({ on }) => on === undefined)) ||
          // there, more sessions are without a client of the program's, and have other numbers
          (/^number /.test(session) && opened(of.left, step) > opened(of.right, step)) ||
          (has(of.left, step, session) && !has(of.right, step, session)))
      )
        return { session, counts: true }
      if (object === 'process')
        return (
          right === undefined &&
          (USED_LATE.test(left) ||
            NOT_THERE.test(left) ||
            // a session opens there, of which listeners hear
            (asked.includes(of.program.steps[step - 1]) &&
              /"twin: (a listener of \w*headers|the application)"/.test(left)))
        )
      const unnumbered = (text) => text?.replace(/number \d+/, 'number')
      if (object.startsWith('client '))
        return (
          (/^HTTP\/1.1 (200|101|400)/.test(left) && right === 'end') ||
          (left !== right && unnumbered(left) === unnumbered(right))
        )
      const isAside =
        asked.includes(of.program.steps[step - 1]) ||
        (asked.some(({ on }) => on !== undefined) && (left === undefined || right === undefined))
      return (
        object === 'server' &&
        (isCount(difference) || uncounted(left) === uncounted(right) || isAside) && { counts: true }
      )
    },
  },
  {
    row: 33,
    what: 'an empty piece of a body does not count as one of maxBufferedChunks',
    modes,
    explains(difference, { program, left }) {
      const session = aboutSession(difference)
      const isRefused = ({ streams }) =>
        Object.entries(streams).some(
          ([name, entries]) =>
            name.startsWith(`client ${session}, post`) && entries.some((entry) => entry.startsWith('HTTP/1.1 413')),
        )
      return (
        program.options.maxBufferedChunks !== undefined &&
        session !== undefined &&
        (/^HTTP\/1.1 413|"too many chunks"/.test(difference.left) ||
          // what else comes of it: a poll that is answered, and the end of the session
          left.slice(0, difference.step + 1).some(isRefused)) && { session, counts: true }
      )
    },
  },
  {
    row: 34,
    what: 'a response that is used when it must not be',
    modes,
    explains: ({ object, left, right }) => object === 'process' && right === undefined && USED_LATE.test(left),
  },
  {
    row: 34,
    what: 'a WebSocket that is used when it is closed',
    modes,
    explains(difference, of) {
      const { object, step, left, right } = difference
      if (!hasThrown(of, step, CLOSED)) return false
      if (object === 'process') return right === undefined && CLOSED.test(left)
      const session = aboutSession(difference)
      return session !== undefined
        ? of.right[step].readyStates[`{${session}}`] === 'closed' && { session, counts: true }
        : isCount(difference) && { counts: true }
    },
  },
  {
    row: 34,
    what: 'a client that is gone while a hook decides gets no session',
    modes,
    explains(difference, of) {
      const { object, step, left, right } = difference
      if (
        !of.program.steps.slice(0, step).some(({ kind, transport }) => kind === 'abandon' && transport === 'websocket')
      )
        return false
      const session = aboutSession(difference)
      if (session !== undefined)
        return has(of.left, step, session) && !has(of.right, step, session) && { session, counts: true }
      return (
        object === 'server' &&
        (isCount(difference) ||
          uncounted(left) === uncounted(right) ||
          (right === undefined && of.program.steps[step - 1]?.kind === 'abandon')) && { counts: true }
      )
    },
  },
  {
    row: 34,
    what: 'a body is not lost while a middleware takes its time',
    modes,
    explains(difference, { program }) {
      const { object, step, field = '', left, right } = difference
      // a real client posts while it polls
      const polls = (name) =>
        program.steps.some(
          ({ kind, as, transports }) => kind === 'openReal' && as === name && transports[0] === 'polling',
        )
      const posts = hasHook(program, 'middleware', 'later')
        ? program.steps
            .slice(0, step)
            .filter(
              ({ kind, on, method }) =>
                /post/i.test(kind) || method === 'POST' || (/^(send|close)Real$/.test(kind) && polls(on)),
            )
        : []
      // what the packets bring about, then or when the server is closed
      if (object === 'server' && (isCount(difference) || left === undefined || right === undefined))
        return posts.length > 0 && { counts: true }
      const session = aboutSession(difference)
      const isLost =
        left === undefined ||
        /"parser? error"/.test(left) ||
        field.startsWith('data') ||
        // a close packet
        (field === 'readyState' && left === 'open' && right === 'closed')
      return isLost && posts.some(({ on }) => on === session) && { session, counts: true }
    },
  },
  {
    row: 34,
    what: 'a session that is closed before its WebSocket is open',
    modes,
    explains({ object, step, field, left, right }, of) {
      // server.close() goes no further
      if (hasThrown(of, step, /^threw .*reading 'end'/)) return { all: true }
      if (!hasThrown(of, step, NOT_THERE)) return false
      if (object === 'process') return right === undefined
      // the call goes no further whose packet is being made when the session is closed
      if (field === 'packetsFn') return Number(left) < Number(right)
      if (object.startsWith('session ')) return left === undefined && /^listener \d+ of transport close$/.test(right)
      if (/^transport \d+ of /.test(object)) return (left === 'closing' || left === undefined) && /^close/.test(right)
      if (/^client \w+, real$/.test(object))
        return left === undefined && /^error\(Error "websocket error"/.test(right) && { session: sessionOf(object) }
      return /^client [\w, ]+, (websocket|handshake)/.test(object) && right === 'end'
    },
  },
]
