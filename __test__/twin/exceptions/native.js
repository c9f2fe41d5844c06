'use strict'

// What docs/NATIVE-LISTENER.md says of the listener in Rust, beside the original's `listen()`.

const { aboutSession, callsLike, isCount, isWithin, json, sessionOf, uncounted } = require('./case')

const modes = ['native']

/** A response, whatever the spelling and the order of its headers' names, and without those about the connection. */
function plain(entry) {
  if (!entry?.startsWith('HTTP/')) return entry
  const end = entry.indexOf('\n\n')
  const [status, ...lines] = entry.slice(0, end).split('\n')
  const kept = lines
    .map((line) => line.replace(/^[^:]*/, (name) => name.toLowerCase()))
    .filter((line) => !/^(connection|keep-alive|date|transfer-encoding|content-length):/.test(line))
  return [status, ...kept.sort(), entry.slice(end)].join('\n')
}

const isUpgradeRefused = (entry) => /^HTTP\/1.1 400 [^]*"(Bad request|Session ID unknown)"$/.test(entry ?? '')

/** Whether an upgrade is refused here, which the original accepts and closes. */
const isSecondUpgrade = (lefts = [], rights = []) =>
  /^HTTP\/1.1 101/.test(lefts[0]) &&
  /^frame close without/.test(lefts[1]) &&
  isUpgradeRefused(rights[0]) &&
  rights[1] === 'end'

/** Whether an answer is the last one of its connection: it is a refusal, or a request for an upgrade got it. */
const isLast = (entry, object) =>
  /^HTTP\/1.1 [^]*?\nconnection: close\n/i.test(entry ?? '') &&
  (/^HTTP\/1.1 [45]/.test(entry) || /, (websocket|upgrade) \d+$/.test(object))

/** Whether the original has compressed an answer to a session's client in this step. */
const isCompressed = ({ program, left }, step, session, what) =>
  // where timers fire, all steps are one
  (program.kind === 'timed' ? left : [left[step]]).some(({ streams }) =>
    Object.entries(streams).some(
      ([name, entries]) =>
        sessionOf(name) === session &&
        name.includes(`, ${what}`) &&
        entries.some((entry) => /^HTTP[^]*?\nContent-Encoding/.test(entry)),
    ),
  )

/** What is seen of the packets that reach a transport. */
const ofPackets = (entry) => /^(packet\(|transport\.on(Packet|Data)\(|listener \d+ of transport packet)/.test(entry)

/** Whether the session of a client began on a WebSocket. */
const beganOnWebSocket = ({ steps }, name) =>
  steps.some(
    ({ kind, as, transports }) =>
      as === name && (kind === 'openWebSocket' || (kind === 'openReal' && transports[0] === 'websocket')),
  )

const isPostAborted = (entry) => /^error\(.*"data request connection closed prematurely"/.test(entry)

/** What listeners and replaced methods hear of a POST that ends with its connection. */
const isOfPostError = (entry) =>
  /^listener \d+ of transport error$|^transport.onError\("data request connection closed prematurely"/.test(entry)

const otherThanPostErrors = (entries) => entries.filter((entry) => !isOfPostError(entry)).join('\n')

/** Whether the client of a session has sent the upgrade packet. */
const hasMoved = ({ steps }, step, session) =>
  steps.slice(0, step).some(({ kind, on }) => kind === 'upgrade' && on === session)

const isEnding = ({ left, right }, step, session) =>
  [left, right].some((side) => /^clos/.test(side[step]?.readyStates[`{${session}}`] ?? ''))

const sameEntries = (one, other) => [...one].sort().join('\n') === [...other].sort().join('\n')

/** @type {import("./index").Exception[]} */
module.exports = [
  {
    row: 'native: headers',
    what: 'names and order of the headers are its own',
    modes,
    explains: ({ left, right }) => plain(left) === plain(right),
  },
  {
    row: 'native: requests',
    what: "transports have no requests and responses of Node's",
    modes,
    explains: ({ field }) => ['req', 'res', 'dataReq', 'dataRes', 'shouldClose'].includes(field),
  },
  {
    row: 'native: last answer',
    what: 'a connection ends behind the answer to an upgrade that is refused, or to a request whose body is not read',
    modes,
    explains: ({ object, left, right, rights = [] }) =>
      /^client /.test(object) && left === undefined && right === 'end' && isLast(rights.at(-2), object),
  },
  {
    row: 'native: second upgrade',
    what: 'an upgrade of a session that is upgrading, or by polling, is refused, where the original accepts and closes',
    modes,
    explains: ({ object, step, left, right, lefts, rights }, { program, left: before, right: after }) =>
      (/^client /.test(object) && isSecondUpgrade(lefts, rights)) ||
      // its connection, which has ended here, ends there when the client ends it, or the server does
      (/^client /.test(object) &&
        left === 'end' &&
        right === undefined &&
        before
          .slice(0, step)
          .some(({ streams }, one) => isSecondUpgrade(streams[object], after[one].streams[object]))) ||
      (object === 'server' &&
        left === undefined &&
        /^connection_error.*(TRANSPORT_HANDSHAKE_ERROR|code: 1,)/.test(right) &&
        /^(open|odd)Upgrade$/.test(program.steps[step - 1]?.kind)),
  },
  {
    row: 'native: refused handshake',
    what: 'the answer to a handshake that is refused is no 101',
    modes,
    explains: ({ object, left, right, lefts = [] }) =>
      /^client /.test(object) &&
      /^HTTP\/1.1 101/.test(left) &&
      /^HTTP\/1.1 400[^]*Unsupported protocol version/.test(right) &&
      lefts.some((entry) => entry.includes('Unsupported protocol version')),
  },
  {
    row: 'native: unknown',
    what: 'a request with the id of a session that began on a WebSocket: code 1 in place of code 3',
    modes,
    explains(difference, { program }) {
      const { step, left, right } = difference
      if (!beganOnWebSocket(program, aboutSession(difference))) return false
      const isUnknown = /^HTTP\/1.1 400 [^]*("code\\":1,|"Session ID unknown"$)|^connection_error.*code: 1,/.test(right)
      // the original does not answer a plain request by transport=websocket at all
      if (left === undefined) return isUnknown && program.steps[step - 1]?.kind === 'oddRequest'
      return isUnknown && /^HTTP\/1.1 (400 [^]*("code\\":3,|"[^"\\]*"$)|405)|^connection_error.*_MISMATCH/.test(left)
    },
  },
  {
    row: 'native: upgrade of a WebSocket',
    what: 'an upgrade of a session that began on a WebSocket is refused, where the original accepts and looks at it no more',
    modes,
    explains: ({ object, field, left, right }, { program }) =>
      (/^client /.test(object) &&
        /^HTTP\/1.1 101/.test(left) &&
        /^HTTP\/1.1 400 [^]*"Session ID unknown"$/.test(right) && { session: sessionOf(object) }) ||
      ((field === 'upgrading' ? left === 'true' && right === 'false' : left?.replace(' upgrading', '') === right) &&
        program.steps.some(({ kind, on }) => kind === 'oddUpgrade' && on === sessionOf(object)) &&
        program.steps.some(({ kind, as }) => kind === 'openWebSocket' && as === sessionOf(object))),
  },
  {
    row: 'native: other paths',
    what: 'an upgrade for another path gets a 501',
    modes,
    explains: ({ object, left, right, lefts = [] }) =>
      /^client /.test(object) &&
      /^HTTP\/1.1 501/.test(right) &&
      (left === undefined || left === 'end') &&
      lefts.length < 2,
  },
  {
    row: 'native: drain of compressed answers',
    what: 'a compressed answer to a handshake is no drain of the transport, and that of a poll does not wait until it is compressed',
    modes,
    explains({ object, step, left, lefts = [], rights = [] }, of) {
      const session = sessionOf(object)
      const isLate = isCompressed(of, step, session, 'poll')
      const known = (list) => (isLate ? [...list].sort() : list).join('\n')
      if (isLate && known(lefts) === known(rights)) return true
      // the session is closed before the answer is compressed there, and its callbacks are not called
      const called = rights.filter((entry) => !/^callback /.test(entry))
      if (isLate && of.left[step].readyStates[`{${session}}`] === 'closed' && known(lefts) === known(called))
        return true
      // what a listener of it brings about
      if (/^session /.test(object) && /^listener \d+ of transport drain$/.test(left))
        return isCompressed(of, step, session, 'handshake') && { session, counts: true }
      const at = lefts.indexOf('drain()')
      return (
        /^transport 0/.test(object) &&
        at > 0 &&
        /^seen/.test(lefts[0]) &&
        isCompressed(of, step, session, 'handshake') &&
        known(lefts.filter((entry, i) => i !== at && !isPostAborted(entry))) === known(rights)
      )
    },
  },
  {
    row: 'native: order of the end',
    what: 'the engine closes sessions that began on a WebSocket before those that poll',
    modes,
    explains: ({ step, left, right }, { program }) =>
      (step === program.steps.length + 1 || callsLike(program, (call) => call.do === 'closeServer').length > 0) &&
      program.steps.some(
        ({ kind, as, transport, query }) =>
          beganOnWebSocket(program, as) ||
          (kind === 'abandon' && transport === 'websocket') ||
          (kind === 'oddUpgrade' && query.transport === 'websocket'),
      ) &&
      /^close\("forced close"/.test(left) &&
      uncounted(left) === uncounted(right),
  },
  {
    row: 'native: answer to a POST',
    what: 'a POST is answered before listeners hear of its packets, so that the next one comes earlier',
    modes,
    explains({ object, step, left, right, lefts = [], rights = [] }, of) {
      const closes = (call) => call.do === 'listen' && /"do":"close(Server)?"/.test(json(call.calls))
      if (of.program.kind !== 'real') return false
      // the next POST may also come before a poll, or before its client gives up for what it cannot read
      const isOfPoll = (entry) => /^(drain|ready|flush)\(|^listener \d+ of \w+ (drain|ready|flush)$/.test(entry)
      const others = (list) => list.filter((entry) => !isOfPoll(entry)).join('\n')
      if (/^(session|transport) /.test(object) && others(lefts) === others(rights) && sameEntries(lefts, rights))
        return true
      const givesUp = [of.left, of.right].every((side) =>
        side[step].streams[`client ${sessionOf(object)}, real`]?.some((entry) =>
          entry.startsWith('close("transport error", Error "server error"'),
        ),
      )
      if (/^session /.test(object) && givesUp && left === undefined && /^(data|message|packet)\(/.test(right))
        return true
      if (callsLike(of.program, closes).length === 0) return false
      // whether it is the client's poll or its next POST that finds the session gone
      const either = (entry) => entry?.replace(/xhr p(oll|ost) error/g, 'xhr error')
      if (/^client \w+, real$/.test(object)) return /"xhr p/.test(left) && either(left) === either(right)
      const isRefusal = [left, right].every(
        (entry) => entry === undefined || /^connection_error\({req: <request (GET|POST) .*code: 1,/.test(entry),
      )
      const session = sessionOf(left ?? right)
      return object === 'server' && isRefusal && of.left[step].readyStates[`{${session}}`] === 'closed'
    },
  },
  {
    row: 'native: pieces of a body',
    what: 'a large body comes in more pieces than from Node',
    modes,
    explains(difference, { program }) {
      const session = aboutSession(difference)
      const isLarge = ({ kind, on, data }) =>
        kind === 'sendReal' && on === session && data.some(({ times }) => times > 65_000)
      return (
        program.options.maxBufferedChunks > 0 &&
        program.steps.slice(0, difference.step).some(isLarge) && { session, counts: true }
      )
    },
  },
  {
    row: 'native: pong of protocol 3',
    what: "the pong follows listeners of the transport's packet event",
    modes,
    explains({ object, lefts = [], rights = [] }) {
      const without = (list) => list.filter((entry) => entry !== 'drain()').join('\n')
      return (
        /^transport /.test(object) &&
        lefts.some((entry) => /^packet\({type: "ping"/.test(entry)) &&
        lefts.length === rights.length &&
        without(lefts) === without(rights)
      )
    },
  },
  {
    row: 'native: POST in progress',
    what: 'a POST in progress is ended with its session, or when that moves to a WebSocket, and is no error of the transport',
    modes,
    explains: ({ object, step, left, right, lefts = [], rights = [] }, of) =>
      (/^transport /.test(object) && right === undefined && isPostAborted(left)) ||
      (/^session /.test(object) &&
        isOfPostError(left) &&
        // the second POST at once is an error, too, and ends the session
        otherThanPostErrors(lefts) === otherThanPostErrors(rights) &&
        lefts.length > rights.length &&
        (isEnding(of, step, sessionOf(object)) || hasMoved(of.program, step, sessionOf(object))) &&
        of.program.steps.some(({ kind }) => kind === 'beginPost')) ||
      (/^client \w+, post/.test(object) &&
        left === undefined &&
        right === 'end' &&
        rights.length === 1 &&
        isEnding(of, step, sessionOf(object))) ||
      (/^client \w+, post/.test(object) &&
        right === undefined &&
        /^HTTP\/1.1 200/.test(left) &&
        of.left[step].readyStates[`{${sessionOf(object)}}`] === 'closed') ||
      (object === 'process' &&
        right === undefined &&
        left.includes('"twin: the application"') &&
        of.program.steps.some(({ kind }) => kind === 'beginPost') &&
        callsLike(of.program, (call) => call.on === 'transport' && call.event === 'error').length > 0),
  },
  {
    row: 'native: packets without a session',
    what: 'packets that a session does not take, because it closes or has ended, do not reach its transport',
    modes,
    explains(difference, of) {
      const { object, step, field, left, right, lefts = [], rights = [] } = difference
      const session = sessionOf(object)
      // a close packet among them
      const isClose = (entry) => entry === 'close() [closed]' && !rights.includes(entry)
      // the original closes the transport for such a packet once more, see row 52
      const isAgain = (entry, i, list) => entry === 'close() [closed]' && list.indexOf(entry) < i
      const without = (list) =>
        list.filter((entry, i) => !ofPackets(entry) && !isClose(entry) && !isAgain(entry, i, list)).join('\n')
      // a listener of such a packet would have ended the session
      if (isCount(difference))
        return (
          callsLike(of.program, (call) => call.on === 'transport' && call.event === 'packet').length > 0 &&
          Object.entries(of.right[step].readyStates).some(
            ([name, state]) => state === 'closing' && of.left[step].readyStates[name] === 'closed',
          ) && { counts: true }
        )
      if (field === 'readyState')
        return (
          /^transport /.test(object) &&
          left === 'closed' &&
          right === 'closing' &&
          /"1["\\]|\\u001e1/.test(json(of.program.steps)) && { session }
        )
      // a listener of such a packet may call what was replaced, which tells of it
      const listens = callsLike(
        of.program,
        (call) => call.on === 'transport' && call.event === 'packet' && call.calls.length > 0,
      )
      const isMore = listens.length > 0 && isWithin(rights, lefts)
      return (
        session !== undefined &&
        isEnding(of, step, session) &&
        lefts.some(ofPackets) &&
        (without(lefts) === without(rights) || isMore) && { session }
      )
    },
  },
]
