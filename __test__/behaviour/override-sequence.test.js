'use strict'

// Methods that were replaced on `Socket.prototype`, all of them or a single one, are called as often as in the original, and
// in its order.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  delay,
  engine,
  eventually,
  listen,
  openPolling,
  openProbing,
  openUpgraded,
  openWebSocket,
  upgradeTo,
} = require('../support')

const { prototype } = engine.Socket
const METHODS = [
  ...'onOpen onPacket onError schedulePing resetPingTimeout setTransport onDrain _maybeUpgrade clearTransport'.split(
    ' ',
  ),
  ...'onClose send write sendPacket flush getAvailableUpgrades close closeTransport'.split(' '),
]

/**
 * Replaces methods of the prototype by ones that note their calls for sessions of a server, until the function that it returns
 * is called.
 */
function replace(names, server, log) {
  const originals = names.map((name) => [name, prototype[name]])
  for (const [name, original] of originals) {
    prototype[name] = function (...args) {
      // those of another server are sessions of a test before
      if (this.server === server) log.push(name)
      return original.apply(this, args)
    }
  }
  return () => originals.forEach(([name, original]) => (prototype[name] = original))
}

const OPENED = ['setTransport', 'onOpen', 'getAvailableUpgrades', 'sendPacket', 'flush', 'schedulePing']
const REST = { pingInterval: 60_000 }

/** The calls while sessions are opened. */
const BY_POLLING = [...OPENED, 'flush', 'onDrain']
const BY_WEBSOCKET = [...OPENED, 'onDrain', 'flush']
const PROBING = [...BY_POLLING, '_maybeUpgrade']
const UPGRADED = [...PROBING, 'clearTransport', 'setTransport', 'flush']
const OPENING = {
  'a session by polling': [openPolling, BY_POLLING],
  'a session by WebSocket': [openWebSocket, BY_WEBSOCKET],
  'a session that is upgraded': [openUpgraded, UPGRADED],
}

const CLOSED = ['onClose', 'clearTransport']
const FAILED = ['onError', ...CLOSED]
const WRITTEN = ['onDrain', 'flush']

/** What happens to a session on a WebSocket, with the calls that follow. */
const ON_WEBSOCKET = {
  'a message comes in': [(peer) => peer.sendText('4a'), ['onPacket']],
  'a message is sent': [(peer, socket) => socket.send('a'), ['send', 'sendPacket', 'flush', ...WRITTEN]],
  'a message is sent with a callback': [
    (peer, socket) => socket.send('a', () => {}),
    ['send', 'sendPacket', 'flush', ...WRITTEN],
  ],
  'two messages are sent': [
    (peer, socket) => socket.send('a').write('b'),
    ['send', 'sendPacket', 'flush', 'write', 'sendPacket', 'flush', ...WRITTEN, ...WRITTEN],
  ],
  'the client closes': [(peer) => peer.sendClose(1000), CLOSED],
  'the client goes away': [(peer) => peer.socket.destroy(), CLOSED],
  'close() is called': [(peer, socket) => socket.close(), ['close', 'closeTransport', ...CLOSED]],
  'close(true) is called': [(peer, socket) => socket.close(true), ['close', 'closeTransport', ...CLOSED]],
  'close() is called while a message waits': [
    (peer, socket) => {
      socket.send('a')
      socket.send('b')
      socket.close()
    },
    ['send', 'sendPacket', 'flush', 'send', 'sendPacket', 'flush', 'close', ...WRITTEN, 'closeTransport', ...CLOSED],
  ],
  'something that is no packet comes in': [(peer) => peer.sendText('zz'), ['onPacket', ...CLOSED]],
  'a ping in the wrong direction comes in': [(peer) => peer.sendText('2'), ['onPacket', ...FAILED]],
  'an invalid frame comes in': [(peer) => peer.sendFrame({ opcode: 5 }), FAILED],
}

const ON_POLLING = {
  'a message comes in': [(peer) => peer.post('4a'), ['onPacket']],
  'a message is sent': [
    (peer, socket) => {
      socket.send('a')
      return peer.poll()
    },
    ['send', 'sendPacket', 'flush', 'flush', 'onDrain'],
  ],
  'the client closes': [(peer) => peer.post('1'), CLOSED],
  'the client goes away': [async (peer) => (await peer.pendingPoll()).req.destroy(), ['flush', ...FAILED]],
  'the client goes away during a POST': [async (peer) => (await peer.pendingPost('4a')).req.destroy(), FAILED],
  'close(true) is called': [(peer, socket) => socket.close(true), ['close', 'closeTransport', ...CLOSED]],
  'a message and something that is no packet come in': [
    (peer) => peer.post('4a\x1ezz\x1e4b'),
    ['onPacket', 'onPacket', ...CLOSED],
  ],
  'a ping in the wrong direction comes in': [(peer) => peer.post('2'), ['onPacket', ...FAILED]],
  'a binary POST comes in': [(peer) => peer.post('4a', { 'Content-Type': 'application/octet-stream' }), FAILED],
}

/**
 * Runs `run` with all methods replaced, then with each of those that are expected to be called alone. It gets a context, and
 * what waits for the calls while the session is opened, `opening`.
 */
async function follow(run, expected, opening = [], opts = REST) {
  for (const names of [METHODS, ...Array.from(new Set(expected), (name) => [name])]) {
    const context = await listen(opts)
    const log = []
    const restore = replace(names, context.engine, log)
    const among = (calls) => calls.filter((name) => names.includes(name))
    try {
      await run(context, () => eventually(() => log, among(opening)))
      const wanted = among([...opening, ...expected])
      await eventually(() => log, wanted)
      await delay(10)
      assert.deepEqual(log, wanted)
    } finally {
      restore()
    }
  }
}

for (const [what, [open, expected]] of Object.entries(OPENING)) {
  test(`the calls while ${what} is opened`, () =>
    follow(async (context) => {
      const { socket } = await open(context)
      assert.equal(socket.readyState, 'open')
    }, expected))
}

for (const [name, open, opening, cases] of [
  ['websocket', openWebSocket, BY_WEBSOCKET, ON_WEBSOCKET],
  ['an upgraded session', openUpgraded, UPGRADED, ON_WEBSOCKET],
  ['polling', openPolling, BY_POLLING, ON_POLLING],
]) {
  for (const [what, [act, expected]] of Object.entries(cases)) {
    const run = async (context, opened) => {
      const { peer, socket } = await open(context)
      await opened()
      await act(peer, socket)
    }
    test(`the calls when ${what}: ${name}`, () => follow(run, expected, opening))
  }
}

test('the calls of a heartbeat, and of its timeout: websocket', () =>
  follow(
    async (context) => {
      const { peer } = await openWebSocket(context)
      await peer.packet()
      peer.sendText('3')
    },
    [
      ...['sendPacket', 'flush', 'resetPingTimeout', ...WRITTEN, 'onPacket'],
      ...['sendPacket', 'flush', 'resetPingTimeout', ...WRITTEN, ...CLOSED],
    ],
    BY_WEBSOCKET,
    // a timer that is late by more than a quarter of the timeout has the client asked once more
    { pingInterval: 200, pingTimeout: 1000 },
  ))

test('the calls when a session ends that a client would upgrade', () =>
  follow(
    async (context, opened) => {
      const { socket } = await openProbing(context)
      await opened()
      socket.close(true)
    },
    ['close', 'closeTransport', ...CLOSED],
    PROBING,
  ))

test('the calls when a second connection for a session does not get far', () =>
  follow(
    async (context, opened) => {
      const { peer } = await openPolling(context)
      await opened()
      const websocket = await upgradeTo(context, peer.sid)
      websocket.sendText('4a')
      await websocket.closeFrame()
    },
    ['_maybeUpgrade'],
    BY_POLLING,
  ))

test('an onClose that was replaced on the prototype gets the reason, and a description where there is one', async (t) => {
  const { onClose } = prototype
  const calls = []
  prototype.onClose = function (...args) {
    calls.push(args.map((arg) => arg.message || arg))
    return onClose.apply(this, args)
  }
  t.after(() => (prototype.onClose = onClose))
  const context = await listen(REST)
  const { peer: closing, socket: first } = await openWebSocket(context)
  closing.sendClose()
  await eventually(() => first.readyState, 'closed')
  const { peer: failing, socket: second } = await openWebSocket(context)
  failing.sendText('2')
  await eventually(() => second.readyState, 'closed')
  const { socket: third } = await openWebSocket(context)
  third.close()
  assert.deepEqual(calls, [['transport close'], ['transport error', 'invalid heartbeat direction'], ['forced close']])
})

test('a session is upgraded where close() and doClose() of its transports were replaced', async (t) => {
  const { Transport, transports } = engine
  let polling = new transports.polling({ _query: { EIO: '4' }, method: 'GET', headers: {} })
  while (!Object.hasOwn(polling, 'doClose')) polling = Object.getPrototypeOf(polling)
  for (const [object, name] of [
    [Transport.prototype, 'close'],
    [polling, 'doClose'],
  ]) {
    const original = object[name]
    object[name] = function (...args) {
      return original.apply(this, args)
    }
    t.after(() => (object[name] = original))
  }
  const { peer, socket } = await openUpgraded(await listen(REST))
  socket.on('message', (data) => socket.send(data))
  peer.sendText('4still here')
  assert.equal(await peer.packet(), '4still here')
  assert.equal(socket.readyState, 'open')
})

test('a closeTransport that was replaced gets what close() was called with', async () => {
  const context = await listen(REST)
  for (const [args, waits] of [
    [[], false],
    [[true], false],
    [[], true],
  ]) {
    const { socket } = await openWebSocket(context)
    const calls = []
    const { closeTransport } = socket
    socket.closeTransport = function (...given) {
      calls.push(given)
      return closeTransport.apply(this, given)
    }
    if (waits) socket.send('a').send('b')
    socket.close(...args)
    await eventually(() => calls, [[args[0]]])
  }
})
