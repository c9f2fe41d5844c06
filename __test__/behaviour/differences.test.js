'use strict'

// What users of the real clients see where this package differs from the original on purpose: what docs/DIFFERENCES.md says
// of it is measured here, on both packages. FIGURES=1 prints the times.

const assert = require('node:assert/strict')
const { performance } = require('node:perf_hooks')
const { test } = require('node:test')
const { defer, delay, listen, once, upstream } = require('../support')

const CLIENTS = {
  'engine.io-client 6': require('engine.io-client').Socket,
  'engine.io-client 4': require('engine.io-client-v4').Socket,
  'engine.io-client 3': require('engine.io-client-v3').Socket,
  'socket.io-client 4': require('socket.io-client').Manager,
  'socket.io-client 2': require('socket.io-client-v2').Manager,
}

/** A client that is told nothing for so long, in ms, waits; where something has to come there is more time for it. */
const SILENCE = 400
const PATIENCE = 5000

/** So that a client whose session is stuck is seen to give up. */
const SHORT = { pingInterval: 150, pingTimeout: 100 }

/** Exceptions and rejections that reach the process meanwhile are the application's to see to, and it does. */
async function survive(fn) {
  const survived = []
  const before = ['uncaughtException', 'unhandledRejection'].map((event) => [event, process.listeners(event)])
  for (const [event] of before) process.removeAllListeners(event).on(event, (error) => survived.push(error.message))
  try {
    return await fn(survived)
  } finally {
    for (const [event, listeners] of before) {
      process.removeAllListeners(event)
      for (const listener of listeners) process.on(event, listener)
    }
  }
}

/** A client, and what its user sees: an array of events that grows. */
function start(name, context, transport, patience = PATIENCE) {
  const options = { path: '/engine.io', transports: [transport] }
  const url = `http://127.0.0.1:${context.port}`
  const seen = []
  if (name.startsWith('engine.io')) {
    const client = new CLIENTS[name](url, options)
    defer(() => client.close())
    client.on('open', () => seen.push('connected'))
    client.on('message', (data) => seen.push(`message ${data}`))
    client.on('error', (error) => seen.push(error.message))
    client.on('close', (reason) => seen.push(`closed: ${reason}`))
    return { client, seen, send: (data) => client.send(data) }
  }
  // "timeout" is what the user sees after 20 s
  const manager = new CLIENTS[name](url, { ...options, timeout: patience / 2, reconnection: false })
  defer(() => manager.engine?.close())
  manager.on('open', () => seen.push('connected'))
  manager.on('error', (error) => seen.push(error.message))
  manager.on('connect_error', (error) => seen.push(error.message ?? error))
  return { client: manager, seen }
}

/** What the user of a client sees in the end. */
const GOES_ON = 'gets the next message'
const CUT_OFF = 'is disconnected'
const CONNECTS = 'connects'
const ERROR = 'gets an error at once'
const WAITS = 'waits: until its own timeout, or for ever'

function verdict(seen) {
  const last = seen.at(-1)
  if (last === undefined || last === 'timeout') return WAITS
  if (last === 'message next') return GOES_ON
  if (seen[0] === 'connected') return last.startsWith('closed') ? CUT_OFF : CONNECTS
  return ERROR
}

/** Waits until one of `ends` has come, or nothing for `ms`. */
async function watch(seen, ends, ms) {
  const begun = performance.now()
  let [last, count] = [begun, 0]
  while (performance.now() - last < ms && !ends.some((end) => seen.at(-1)?.startsWith(end))) {
    await delay(5)
    if (seen.length !== count) [last, count] = [performance.now(), seen.length]
  }
  return [verdict(seen), Math.round(performance.now() - begun)]
}

/** `seenHere` and `seenThere`, of the original, are each for both transports, or by transport. */
function row(
  number,
  what,
  seenHere,
  seenThere,
  run,
  names = Object.keys(CLIENTS),
  transports = ['polling', 'websocket'],
) {
  const wanted = upstream ? seenThere : seenHere
  for (const transport of transports) {
    const expected = wanted[transport] ?? wanted
    for (const name of names) {
      test(`row ${number}, ${name} over ${transport}, where ${what}: ${expected}`, () =>
        survive(async () => {
          const [seen, ms] = await run(name, transport, expected)
          if (process.env.FIGURES) console.log(`# row ${number}, ${name} over ${transport}: ${seen}, ${ms} ms`)
          assert.equal(seen, expected)
        }))
    }
  }
}

// ---- sessions -----------------------------------------------------------------------------------

const ENGINE_CLIENTS = Object.keys(CLIENTS).filter((name) => name.startsWith('engine.io'))

/** `prepare(context)`, then a client connects, then `act({ socket, send })`. */
function session(prepare, act) {
  return async (name, transport, expected) => {
    const context = await listen({ allowEIO3: true, ...(expected === CUT_OFF ? SHORT : { pingInterval: 150 }) })
    prepare(context)
    const connected = once(context.engine, 'connection')
    const { client, seen, send } = start(name, context, transport)
    const [[socket]] = await Promise.all([connected, once(client, 'open')])
    act({ socket, send, ...context })
    return watch(seen, ['closed', 'message next'], PATIENCE)
  }
}

const bad = () => {
  throw new Error('of the application')
}

const emptied = session(
  ({ engine }) =>
    engine.on('flush', (socket, buffer) => {
      if (!buffer.some(({ data }) => data === 'lost')) return
      buffer.length = 0
      setTimeout(() => socket.send('next'), 20)
    }),
  ({ socket }) => socket.send('lost'),
)
row(1, 'a flush listener empties the buffer', GOES_ON, CUT_OFF, emptied, ['engine.io-client 6', 'engine.io-client 4'])
// the answer to its ping gets the poll going again
row(1, 'a flush listener empties the buffer', GOES_ON, { polling: GOES_ON, websocket: CUT_OFF }, emptied, [
  'engine.io-client 3',
])

row(
  2,
  'a session is closed, then with its server',
  CUT_OFF,
  CUT_OFF,
  session(
    () => {},
    ({ socket, engine }) => {
      socket.close()
      engine.close()
    },
  ),
  ENGINE_CLIENTS,
)

row(
  8,
  'a message handler throws',
  GOES_ON,
  CUT_OFF,
  session(
    ({ engine }) =>
      engine.on('connection', (socket) =>
        socket.on('message', (data) => {
          if (data === 'bad') bad()
          socket.send('next')
        }),
      ),
    ({ send }) => {
      send('bad')
      send('good')
    },
  ),
  ENGINE_CLIENTS,
)

row(
  9,
  'a send callback throws',
  GOES_ON,
  { polling: GOES_ON, websocket: CUT_OFF },
  session(
    () => {},
    ({ socket }) =>
      socket.send('first', () => {
        socket.send('next')
        bad()
      }),
  ),
  ENGINE_CLIENTS,
)

row(
  19,
  'the id of a session over WebSocket is given to another',
  GOES_ON,
  GOES_ON,
  async (name, transport) => {
    const context = await listen({ allowEIO3: true })
    context.engine.generateId = () => 'same'
    const first = start(name, context, 'websocket')
    await once(first.client, 'open')
    const connected = once(context.engine, 'connection')
    const second = start(name, context, transport)
    const [[socket]] = await Promise.all([connected, once(second.client, 'open')])
    socket.send('next')
    const [seen, ms] = await watch(second.seen, ['closed', 'message next'], PATIENCE)
    assert.deepEqual(first.seen, ['connected'])
    return [seen, ms]
  },
  ENGINE_CLIENTS,
)

// in the original the polls of both reach the younger session, which is closed for their overlap
row(
  19,
  'the id of a session that polls is given to another',
  ERROR,
  CUT_OFF,
  async (name, transport) => {
    // the polls overlap when the first client has been pinged
    const context = await listen({ allowEIO3: true, pingInterval: 150 })
    context.engine.generateId = () => 'same'
    const connected = once(context.engine, 'connection')
    const first = start(name, context, 'polling')
    const [[older]] = await Promise.all([connected, once(first.client, 'open')])
    const second = start(name, context, transport)
    const [seen, ms] = await watch(second.seen, ['closed'], PATIENCE)
    if (!upstream) assert.equal(older.readyState, 'open')
    return [seen, ms]
  },
  ['engine.io-client 6', 'engine.io-client 4'],
  ['polling'],
)

// ---- handshakes ---------------------------------------------------------------------------------

function handshake(prepare, options) {
  return async (name, transport, expected) => {
    const patience = expected === WAITS ? SILENCE : PATIENCE
    const context = await listen({ allowEIO3: true, ...options })
    prepare(context)
    const { seen } = start(name, context, transport, patience)
    return watch(seen, ['closed', 'connected', 'xhr', 'websocket'], patience)
  }
}

row(
  10,
  'a headers listener throws',
  ERROR,
  WAITS,
  handshake(({ engine }) => engine.on('headers', bad)),
)

// the client's user is worse off here, on purpose: what such a value lets into the response may be an attacker's
row(
  14,
  "a header's value has a line break",
  ERROR,
  { polling: WAITS, websocket: CONNECTS },
  handshake(({ engine }) => engine.on('headers', (headers) => (headers['x-a'] = 'b\r\nx-c: d'))),
)

row(
  16,
  'allowRequest calls back twice',
  CONNECTS,
  CONNECTS,
  handshake(() => {}, {
    allowRequest(req, fn) {
      fn(null, true)
      fn(null, true)
    },
  }),
)

row(
  24,
  'allowRequest throws',
  ERROR,
  WAITS,
  handshake(() => {}, { allowRequest: bad }),
)
row(
  24,
  'allowRequest rejects',
  ERROR,
  WAITS,
  handshake(() => {}, { allowRequest: async () => bad() }),
)

row(
  25,
  'a middleware answers and calls next()',
  ERROR,
  ERROR,
  handshake(({ engine }) =>
    engine.use((req, res, next) => {
      res.writeHead(401)
      res.end()
      next()
    }),
  ),
)
