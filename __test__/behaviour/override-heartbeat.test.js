'use strict'

// Packets that nobody called for, heartbeats above all, pass what applications, tools and test runners have put in the
// place of methods, whenever they did it and by whatever means.

const assert = require('node:assert/strict')
const { test, mock } = require('node:test')
const {
  listen,
  once,
  record,
  eventually,
  improvement,
  openPolling,
  openWebSocket,
  openUpgraded,
  openProbing,
  delay,
} = require('../support')
const { ALLOW, openPolling3, openWebSocket3 } = require('../support/eio3')

const BOUND = 'A-4: the original binds this method when a transport is set, and a later patch waits for the next one'

const OPENERS = { polling: openPolling, websocket: openWebSocket, 'an upgraded session': openUpgraded }

/** Ways to replace a method. */
const MEANS = {
  'an assignment'(object, name, calls) {
    const original = object[name]
    object[name] = function (...args) {
      calls.push(args)
      return original.apply(this, args)
    }
  },
  defineProperty(object, name, calls) {
    const original = object[name]
    const value = function (...args) {
      calls.push(args)
      return original.apply(this, args)
    }
    Object.defineProperty(object, name, { value, configurable: true, writable: true })
  },
  'a mock'(object, name, calls) {
    const original = object[name]
    mock.method(object, name, function (...args) {
      calls.push(args)
      return original.apply(this, args)
    })
  },
}

/** Time enough between two pings to notice what was replaced, on a busy machine, too. */
const UNHURRIED = { pingInterval: 600, pingTimeout: 5000 }

/** The next packet that is not answered before the client asks for it. */
async function next(peer) {
  return peer.packet ? peer.packet() : (await peer.poll()).body
}

async function deliver(peer, packet) {
  if (peer.sendText) peer.sendText(packet)
  else await peer.post(packet)
}

for (const [name, open] of Object.entries(OPENERS)) {
  for (const [means, replace] of Object.entries(MEANS)) {
    test(`pings pass a sendPacket that was replaced by ${means}: ${name}`, async () => {
      const { peer, socket } = await open(await listen(UNHURRIED))
      const calls = []
      replace(socket, 'sendPacket', calls)
      assert.equal(await next(peer), '2')
      assert.equal(calls[0][0], 'ping')
    })

    test(`pings pass a transport's send that was replaced by ${means}: ${name}`, async () => {
      const { peer, socket } = await open(await listen(UNHURRIED))
      const calls = []
      replace(socket.transport, 'send', calls)
      for (let n = 1; n <= 2; n++) {
        assert.equal(await next(peer), '2')
        assert.deepEqual(calls.map(([packets]) => packets.map(({ type }) => type)).flat(), new Array(n).fill('ping'))
        const beat = once(socket, 'heartbeat')
        await deliver(peer, '3')
        await beat
      }
    })

    improvement(BOUND, `an onPacket that was replaced by ${means} sees messages and pongs: ${name}`, async () => {
      const { peer, socket } = await open(await listen(UNHURRIED))
      const calls = []
      replace(socket, 'onPacket', calls)
      const message = once(socket, 'message')
      await deliver(peer, '4x')
      assert.deepEqual(await message, ['x'])
      assert.equal(await next(peer), '2')
      await deliver(peer, '3')
      await eventually(() => calls.map(([{ type }]) => type), ['message', 'pong'])
    })

    test(`a transport's onPacket that was replaced by ${means} sees messages and pongs: ${name}`, async () => {
      const { peer, socket } = await open(await listen({ pingInterval: 80, pingTimeout: 2000 }))
      const calls = []
      replace(socket.transport, 'onPacket', calls)
      const log = record(socket, ['packet', 'message'], (event) => event)
      const shown = record(socket.transport, 'packet', (event, { type }) => type)
      await deliver(peer, '4x')
      assert.equal(await next(peer), '2')
      await deliver(peer, '3')
      await eventually(() => calls.map(([{ type }]) => type), ['message', 'pong'])
      assert.deepEqual(log, ['packet', 'message', 'packet'])
      assert.deepEqual(shown, ['message', 'pong'])
    })
  }

  test(`a transport's onPacket decides what reaches the session: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    const { onPacket } = socket.transport
    socket.transport.onPacket = function (packet) {
      if (packet.data !== 'drop') onPacket.call(this, { ...packet, data: packet.data.toUpperCase() })
    }
    const messages = record(socket, 'message', (event, data) => data)
    for (const text of ['one', 'drop', 'two']) await deliver(peer, `4${text}`)
    await eventually(() => messages, ['ONE', 'TWO'])
  })

  test(`pings wait where a patched flush holds everything back: ${name}`, async () => {
    const { peer, socket } = await open(await listen(UNHURRIED))
    const { flush } = socket
    let corked = true
    socket.flush = function () {
      if (!corked) flush.call(this)
    }
    await eventually(() => socket.writeBuffer.map(({ type }) => type), ['ping'])
    socket.send('x')
    corked = false
    socket.flush()
    if (peer.packet) assert.deepEqual([await peer.packet(), await peer.packet()], ['2', '4x'])
    else assert.equal((await peer.poll()).body, '2\x1e4x')
  })

  test(`heartbeats go on when mocks are taken back: ${name}`, async () => {
    const { peer, socket } = await open(await listen({ pingInterval: 60, pingTimeout: 2000 }))
    const mocks = [
      mock.method(socket, 'onPacket'),
      mock.method(socket, 'sendPacket'),
      mock.method(socket, 'flush'),
      mock.method(socket.transport, 'send'),
      mock.method(socket.transport, 'onPacket'),
    ]
    assert.equal(await next(peer), '2')
    for (const { mock: one } of mocks) one.restore()
    for (let n = 0; n < 3; n++) {
      const beat = once(socket, 'heartbeat')
      await deliver(peer, '3')
      await beat
      assert.equal(await next(peer), '2')
    }
  })
}

test('in protocol 3 pongs pass what replaces send, in the order of events that sendPacket has', async () => {
  for (const open of [openPolling3, openWebSocket3]) {
    const { peer, socket } = await open(await listen({ ...ALLOW, pingInterval: 200 }))
    const sent = []
    const poll = peer.sendText ? undefined : await peer.pendingPoll()
    MEANS['an assignment'](socket.transport, 'send', sent)
    await delay(100)
    const log = record(socket, ['packet', 'packetCreate', 'flush', 'drain', 'heartbeat'], (event) => event)
    if (poll) await peer.post('1:2')
    else peer.sendText('2')
    await eventually(() => log, ['packet', 'packetCreate', 'flush', 'drain', 'heartbeat'])
    assert.deepEqual(
      sent[0][0].map(({ type }) => type),
      ['pong'],
    )
    assert.equal(poll ? (await poll.response).body : await peer.packet(), poll ? '1:3' : '3')
  }
})

test('the noops of an upgrade pass a send that was replaced on the polling transport', async () => {
  const context = await listen()
  const { peer, polling, socket } = await openProbing(context)
  const { send } = socket.transport
  const sent = []
  socket.transport.send = function (packets) {
    sent.push(...packets.map(({ type }) => type))
    send.call(this, packets)
  }
  const log = record(socket, ['packetCreate', 'flush', 'drain'])
  const poll = await polling.pendingPoll()
  assert.equal((await poll.response).body, '6')
  assert.deepEqual(sent, ['noop'])
  assert.deepEqual(log, [])
  const upgraded = once(socket, 'upgrade')
  peer.sendText('5')
  await upgraded
})

test("listeners of a connection's message event see the frames of its session", async () => {
  for (const open of [openWebSocket, openUpgraded]) {
    const { peer, socket } = await open(await listen({ pingInterval: 80, pingTimeout: 2000 }))
    const frames = record(socket.transport.socket, 'message', (event, data, isBinary) => [String(data), isBinary])
    const messages = record(socket, 'message', (event, data) => data)
    peer.sendText('4text')
    peer.sendBinary(Buffer.from('bytes'))
    assert.equal(await peer.packet(), '2')
    peer.sendText('3')
    await eventually(
      () => frames,
      [
        ['4text', false],
        ['bytes', true],
        ['3', false],
      ],
    )
    assert.deepEqual(messages, ['text', Buffer.from('bytes')])
  }
})
