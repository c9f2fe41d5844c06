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

/** Replaces methods of the prototype by ones that note their calls, until the function that it returns is called. */
function replace(names, log) {
  const originals = names.map((name) => [name, prototype[name]])
  for (const [name, original] of originals) {
    prototype[name] = function (...args) {
      log.push(name)
      return original.apply(this, args)
    }
  }
  return () => originals.forEach(([name, original]) => (prototype[name] = original))
}

const OPENED = ['setTransport', 'onOpen', 'getAvailableUpgrades', 'sendPacket', 'flush', 'schedulePing']
const REST = { pingInterval: 60_000 }

/** The calls while sessions are opened. */
const OPENING = {
  'a session by polling': [openPolling, [...OPENED, 'flush', 'onDrain']],
  'a session by WebSocket': [openWebSocket, [...OPENED, 'onDrain', 'flush']],
  'a session that is upgraded': [
    openUpgraded,
    [...OPENED, 'flush', 'onDrain', '_maybeUpgrade', 'clearTransport', 'setTransport', 'flush'],
  ],
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

/** Runs `act` with all methods replaced, then with each of those that are expected to be called alone. */
async function follow(run, expected) {
  for (const names of [METHODS, ...Array.from(new Set(expected), (name) => [name])]) {
    const log = []
    const restore = replace(names, log)
    try {
      await run(log)
      const wanted = expected.filter((name) => names.includes(name))
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
    follow(async () => {
      const { socket } = await open(await listen(REST))
      assert.equal(socket.readyState, 'open')
    }, expected))
}

for (const [name, open, cases] of [
  ['websocket', openWebSocket, ON_WEBSOCKET],
  ['an upgraded session', openUpgraded, ON_WEBSOCKET],
  ['polling', openPolling, ON_POLLING],
]) {
  for (const [what, [act, expected]] of Object.entries(cases)) {
    test(`the calls when ${what}: ${name}`, () =>
      follow(async (log) => {
        const { peer, socket } = await open(await listen(REST))
        await delay(10) // the open packet's callbacks
        log.length = 0
        await act(peer, socket)
      }, expected))
  }
}

test('the calls of a heartbeat, and of its timeout: websocket', () =>
  follow(
    async (log) => {
      // a timer that is late by more than a quarter of the timeout has the client asked once more
      const { peer } = await openWebSocket(await listen({ pingInterval: 200, pingTimeout: 1000 }))
      await delay(10)
      log.length = 0
      await peer.packet()
      peer.sendText('3')
    },
    [
      ...['sendPacket', 'flush', 'resetPingTimeout', ...WRITTEN, 'onPacket'],
      ...['sendPacket', 'flush', 'resetPingTimeout', ...WRITTEN, ...CLOSED],
    ],
  ))

test('the calls when a session ends that a client would upgrade', () =>
  follow(
    async (log) => {
      const { socket } = await openProbing(await listen(REST))
      await delay(10)
      log.length = 0
      socket.close(true)
    },
    ['close', 'closeTransport', ...CLOSED],
  ))

test('the calls when a second connection for a session does not get far', () =>
  follow(
    async (log) => {
      const context = await listen(REST)
      const { peer } = await openPolling(context)
      await delay(10)
      log.length = 0
      const websocket = await upgradeTo(context, peer.sid)
      websocket.sendText('4a')
      await websocket.closeFrame()
    },
    ['_maybeUpgrade'],
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
