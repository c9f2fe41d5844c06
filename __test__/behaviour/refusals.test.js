'use strict'

// What users of the real clients see when a handshake or an upgrade is refused: an error at once, and then whatever their
// client does about it. Each row runs with every client it is for, on both packages. FIGURES=1 prints how long it takes.

const assert = require('node:assert/strict')
const https = require('node:https')
const { performance } = require('node:perf_hooks')
const { test } = require('node:test')
const { deadline, defer, improvement, listen, once } = require('../support')
const { key, cert } = require('../fixtures/tls')

const ENGINE_CLIENTS = {
  'engine.io-client 6': require('engine.io-client').Socket,
  'engine.io-client 4': require('engine.io-client-v4').Socket,
  'engine.io-client 3': require('engine.io-client-v3').Socket,
}

const SOCKET_IO_CLIENTS = {
  'socket.io-client 4': require('socket.io-client').Manager,
  'socket.io-client 2': require('socket.io-client-v2').Manager,
}

/** They speak protocol 3. */
const OLD = ['engine.io-client 3', 'socket.io-client 2']

/** No client's own limit (`timeout`, 20 s) runs out within this, in ms: an error that comes is the server's doing. */
const PROMPT = 5000

/** What a client of engine.io has been told until it is closed. */
async function openAndFail(Client, url, options) {
  const client = new Client(url, options)
  defer(() => client.close())
  const events = []
  client.on('open', () => events.push('open'))
  client.on('error', (error) => events.push(`error: ${error.message}`))
  const closed = new Promise((resolve) => client.on('close', resolve))
  events.push(`close: ${await deadline(closed, "the client's close event", PROMPT)}`)
  return events
}

/** The same of a client of Socket.IO, until it tries again. */
async function connectAndFail(Manager, url, options) {
  const manager = new Manager(url, { ...options, reconnectionDelay: 1, randomizationFactor: 0, timeout: 60_000 })
  const socket = manager.socket('/')
  defer(() => {
    manager.reconnection(false)
    socket.disconnect()
    manager.engine?.close()
  })
  const events = []
  socket.on('connect_error', (error) => events.push(`error: ${error.message}`))
  const again = new Promise((resolve) => manager.once('reconnect_attempt', resolve))
  socket.open()
  await deadline(again, 'another attempt of the client', PROMPT)
  events.push('tries again')
  return events
}

function report(client, row, start) {
  if (process.env.FIGURES) console.log(`# ${row}, ${client}: ${Math.round(performance.now() - start)} ms`)
}

const WEBSOCKET = 'websocket error'
const POLLING = 'xhr poll error'
const noId = () => {
  throw new Error('no database')
}

/** Ways to refuse a handshake: `[what, options, what is done to the engine, rows of clients]`. */
const HANDSHAKES = [
  [
    "the transport is not among the server's",
    ({ transport }) => ({ transports: [transport === 'polling' ? 'websocket' : 'polling'] }),
  ],
  ['allowRequest says no', () => ({ allowRequest: (req, fn) => fn('not you', false) })],
  ['allowRequest says no later', () => ({ allowRequest: (req, fn) => setTimeout(fn, 5, 'not you', false) })],
  ['a middleware fails', () => ({}), (engine) => engine.use((req, res, next) => next(new Error('no session store')))],
  ['a middleware throws', () => ({}), (engine) => engine.use(noId)],
  [
    'a middleware ends the response',
    () => ({}),
    (engine) => engine.use((req, res) => res.end()),
    { transports: ['websocket'] },
  ],
  ['generateId throws', () => ({}), (engine) => (engine.generateId = noId)],
  ['generateId rejects', () => ({}), (engine) => (engine.generateId = async () => noId())],
  [
    'generateId rejects later',
    () => ({}),
    (engine) => (engine.generateId = () => new Promise((_, fail) => setTimeout(fail, 5, new Error('no')))),
  ],
  ['the transport cannot be made', () => ({}), (engine) => (engine.createTransport = noId)],
  ["the protocol's revision is not supported", () => ({ allowEIO3: false }), undefined, { only: OLD }],
  ['the engine is closed', () => ({}), (engine) => engine.close(), { transports: ['websocket'] }],
  [
    'the session is closed as soon as it is there',
    () => ({}),
    (engine) => engine.on('connection', (socket) => socket.close(true)),
    { transports: ['polling'], opens: true },
  ],
]

for (const [
  what,
  options,
  prepare = () => {},
  { only, transports = ['polling', 'websocket'], opens } = {},
] of HANDSHAKES) {
  for (const transport of transports) {
    const start = async () => {
      const context = await listen({ allowEIO3: true, ...options({ transport }) })
      prepare(context.engine)
      return [`http://127.0.0.1:${context.port}`, { path: '/engine.io', transports: [transport] }]
    }
    const message = transport === 'polling' ? POLLING : WEBSOCKET
    for (const [name, Client] of Object.entries(ENGINE_CLIENTS)) {
      if (only !== undefined && !only.includes(name)) continue
      test(`${name} over ${transport} gets an error at once: ${what}`, async () => {
        const [url, clientOptions] = await start()
        const at = performance.now()
        const events = await openAndFail(Client, url, clientOptions)
        report(name, `${transport}: ${what}`, at)
        assert.deepEqual(events, [...(opens ? ['open'] : []), `error: ${message}`, 'close: transport error'])
      })
    }
    for (const [name, Manager] of Object.entries(SOCKET_IO_CLIENTS)) {
      if (only !== undefined && !only.includes(name)) continue
      test(`${name} over ${transport} gets an error at once, and tries again: ${what}`, async () => {
        const [url, clientOptions] = await start()
        const at = performance.now()
        const events = await connectAndFail(Manager, url, clientOptions)
        report(name, `${transport}: ${what}`, at)
        // to be refused by the engine after its handshake is no `connect_error`, but for a POST under way
        if (opens)
          assert.deepEqual(
            events.filter((event) => event !== 'error: xhr post error'),
            ['tries again'],
          )
        else assert.deepEqual(events, [`error: ${message}`, 'tries again'])
      })
    }
  }
}

// ---- after the 101, where the client has a WebSocket already -----------------------------------

for (const [name, connect, expected] of [
  ...Object.entries(ENGINE_CLIENTS).map(([name, Client]) => [
    name,
    openAndFail.bind(null, Client),
    ['error: websocket error', 'close: transport error'],
  ]),
  ...Object.entries(SOCKET_IO_CLIENTS).map(([name, Manager]) => [
    name,
    connectAndFail.bind(null, Manager),
    ['error: websocket error', 'tries again'],
  ]),
]) {
  // the original's response is lost with the TLS socket: to the client the connection is closed, without an error
  improvement('B-4', `${name} gets an error at once over TLS, too: generateId rejects`, async () => {
    const context = await listen({ allowEIO3: true }, https.createServer({ key, cert }))
    context.engine.generateId = async () => noId()
    const options = { path: '/engine.io', transports: ['websocket'], rejectUnauthorized: false }
    assert.deepEqual(await connect(`https://localhost:${context.port}`, options), expected)
  })
}

// ---- upgrades: the session stays where it is ------------------------------------------------------

/** Ways to refuse an upgrade: `[what, options, what is done to engine and client]`. */
const UPGRADES = [
  [
    "the transport is not among the server's any more",
    {},
    ({ engine }) => engine.on('connection', () => (engine.opts.transports = ['polling'])),
  ],
  [
    'a middleware fails',
    {},
    ({ engine }) => engine.use((req, res, next) => next(req.headers.upgrade && new Error('no'))),
  ],
  [
    'a middleware ends the response',
    {},
    ({ engine }) => engine.use((req, res, next) => (req.headers.upgrade ? res.end() : next())),
  ],
  ['the engine takes no more WebSockets', {}, ({ engine }) => engine.ws.close()],
  ['the session is being upgraded', {}, ({ engine }) => engine.on('connection', (socket) => (socket.upgrading = true))],
  ['the session was upgraded', {}, ({ engine }) => engine.on('connection', (socket) => (socket.upgraded = true))],
  ['the probe does not come in time', { upgradeTimeout: 50 }, ({ client }) => changeProbe(client, () => [])],
  ['the probe has other data', {}, ({ client }) => changeProbe(client, () => [{ type: 'ping', data: 'prove' }])],
  ['the probe is another packet', {}, ({ client }) => changeProbe(client, () => [{ type: 'message', data: 'probe' }])],
]

/** Has the client's WebSocket send other packets. */
function changeProbe(client, packetsOf) {
  const { createTransport } = client
  client.createTransport = function (name, ...rest) {
    const transport = createTransport.call(this, name, ...rest)
    if (name === 'websocket') {
      const { send } = transport
      transport.send = (packets) => send.call(transport, packetsOf(packets))
    }
    return transport
  }
}

for (const [what, options, prepare] of UPGRADES) {
  for (const [name, Client] of Object.entries(ENGINE_CLIENTS)) {
    test(`${name} hears at once that its upgrade failed, and stays on polling: ${what}`, async () => {
      const context = await listen({ allowEIO3: true, ...options })
      const accepted = once(context.engine, 'connection')
      const client = new Client(`http://127.0.0.1:${context.port}`, { path: '/engine.io' })
      defer(() => client.close())
      const ended = []
      client.on('error', (error) => ended.push(`error: ${error.message}`))
      client.on('close', (reason) => ended.push(`close: ${reason}`))
      prepare({ engine: context.engine, client })
      const at = performance.now()
      const failed = once(client, 'upgradeError', PROMPT)
      const [[socket]] = await Promise.all([accepted, failed])
      report(name, `upgrade: ${what}`, at)
      socket.on('message', (data) => socket.send(data))
      const message = once(client, 'message')
      client.send('still here')
      assert.deepEqual(await message, ['still here'])
      assert.deepEqual([client.transport.name, socket.transport.name, ended], ['polling', 'polling', []])
    })
  }
}
