'use strict'

// The heartbeat as an application sees it that looks at a session's timers, or calls or replaces the methods that set them.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { clearTimeout, setTimeout } = require('node:timers')
const {
  delay,
  engine,
  eventually,
  improvement,
  listen,
  once,
  onceOfNext,
  openPolling,
  openProbing,
  openUpgraded,
  openWebSocket,
  pending,
  record,
} = require('../support')
const { ALLOW, openWebSocket3 } = require('../support/eio3')

const { prototype } = engine.Socket
const OPENERS = { polling: openPolling, websocket: openWebSocket, 'an upgraded session': openUpgraded }

const receive = async (peer) => (peer.packet ? peer.packet() : (await peer.poll()).body)
const deliver = (peer, packet) => (peer.sendText ? peer.sendText(packet) : peer.post(packet))

/** Fails when something is sent to the client within `ms` milliseconds. */
async function silence(peer, ms) {
  if (peer.poll) return assert.ok(await pending(peer.poll(), ms))
  await delay(ms)
  assert.equal(peer.bytes.length, 0)
}

/** Replaces a method of the prototype until the test is over. */
function patch(t, name, method) {
  const original = prototype[name]
  prototype[name] = method
  t.after(() => (prototype[name] = original))
  return original
}

for (const [name, open] of Object.entries(OPENERS)) {
  test(`a schedulePing on the prototype that does nothing: no pings: ${name}`, async (t) => {
    patch(t, 'schedulePing', () => {})
    const { peer, socket } = await open(await listen({ pingInterval: 30, pingTimeout: 30 }))
    const closed = record(socket, 'close')
    await silence(peer, 150)
    assert.deepEqual(closed, [])
  })

  test(`a resetPingTimeout on the prototype that does nothing: a silent client stays: ${name}`, async (t) => {
    let calls = 0
    patch(t, 'resetPingTimeout', () => calls++)
    const { peer, socket } = await open(await listen({ pingInterval: 250, pingTimeout: 40 }))
    const closed = record(socket, 'close')
    assert.equal(await receive(peer), '2')
    await delay(120)
    assert.deepEqual(closed, [])
    assert.equal(calls, 1)
    assert.equal(socket.readyState, 'open')
  })

  test(`methods of the prototype that hand on are called for each ping: ${name}`, async (t) => {
    const calls = []
    for (const method of ['schedulePing', 'resetPingTimeout']) {
      const original = patch(t, method, function (...args) {
        calls.push(method)
        return original.apply(this, args)
      })
    }
    const { peer, socket } = await open(await listen({ pingInterval: 250, pingTimeout: 1000 }))
    for (let n = 0; n < 3; n++) {
      assert.equal(await receive(peer), '2')
      const beat = once(socket, 'heartbeat')
      await deliver(peer, '3')
      await beat
    }
    assert.deepEqual(calls, ['schedulePing', 'resetPingTimeout', 'resetPingTimeout', 'resetPingTimeout'])
  })

  test(`resetPingTimeout() ends a session whose client keeps silent: ${name}`, async () => {
    const { socket } = await open(await listen({ pingInterval: 60_000, pingTimeout: 50 }))
    const closed = once(socket, 'close')
    socket.resetPingTimeout()
    assert.deepEqual(await closed, ['ping timeout', undefined])
  })

  test(`a pong is an answer to resetPingTimeout(), and pings go on: ${name}`, async () => {
    const { peer, socket } = await open(await listen({ pingInterval: 500, pingTimeout: 5000 }))
    socket.resetPingTimeout()
    const left = once(socket, 'heartbeat').then(() => socket.pingTimeoutTimer)
    await deliver(peer, '3')
    assert.equal(await left, null)
    assert.equal(await receive(peer), '2')
  })

  test(`the timers of a session that rests: ${name}`, async () => {
    const { socket } = await open(await listen({ pingInterval: 60_000 }))
    assert.equal(socket.pingTimeoutTimer, null)
    assert.equal(socket.pingIntervalTimer.constructor.name, 'Timeout')
    assert.equal(socket.pingIntervalTimer, socket.pingIntervalTimer)
    assert.equal(socket.hasRefreshedPingTimeout, false)
  })

  test(`the timers while a pong is waited for, and after it: ${name}`, async () => {
    const { peer, socket } = await open(await listen({ pingInterval: 250, pingTimeout: 10_000 }))
    assert.equal(await receive(peer), '2')
    assert.equal(socket.pingTimeoutTimer.constructor.name, 'Timeout')
    assert.equal(socket.hasRefreshedPingTimeout, false)
    await deliver(peer, '4a')
    await eventually(() => socket.hasRefreshedPingTimeout, true)
    const left = once(socket, 'heartbeat').then(() => socket.pingTimeoutTimer)
    await deliver(peer, '3')
    assert.equal(await left, null)
    assert.equal(await receive(peer), '2')
    assert.equal(socket.hasRefreshedPingTimeout, false)
  })

  test(`a client that does not answer is gone after the timeout, whoever has looked at the timers: ${name}`, async () => {
    const { peer, socket } = await open(await listen({ pingInterval: 250, pingTimeout: 80 }))
    assert.ok(socket.pingIntervalTimer)
    const closed = once(socket, 'close')
    assert.equal(await receive(peer), '2')
    assert.deepEqual(await closed, ['ping timeout', undefined])
  })

  test(`a timer that is cleared sends no ping: ${name}`, async () => {
    const { peer, socket } = await open(await listen({ pingInterval: 600 }))
    clearTimeout(socket.pingIntervalTimer)
    await silence(peer, 700)
    assert.equal(socket.readyState, 'open')
  })

  test(`a timeout that is cleared spares the client: ${name}`, async () => {
    const { peer, socket } = await open(await listen({ pingInterval: 250, pingTimeout: 300 }))
    assert.equal(await receive(peer), '2')
    clearTimeout(socket.pingTimeoutTimer)
    const closed = record(socket, 'close')
    await delay(400)
    assert.deepEqual(closed, [])
  })

  test(`schedulePing() has a ping sent: ${name}`, async () => {
    const { peer, socket } = await open(await listen({ pingInterval: 60_000 }))
    clearTimeout(socket.pingIntervalTimer)
    socket.server.opts.pingInterval = 30
    socket.schedulePing()
    assert.equal(await receive(peer), '2')
    assert.notEqual(socket.pingTimeoutTimer, null)
  })

  test(`a method that is replaced on a session counts for its next ping: ${name}`, async () => {
    const { peer, socket } = await open(await listen({ pingInterval: 600, pingTimeout: 50 }))
    let calls = 0
    socket.resetPingTimeout = () => calls++
    const closed = record(socket, 'close')
    assert.equal(await receive(peer), '2')
    await delay(100)
    assert.deepEqual([calls, closed], [1, []])
  })

  test(`no ping is sent, and no end told, after the session has ended: ${name}`, async () => {
    const { socket } = await open(await listen({ pingInterval: 250, pingTimeout: 40 }))
    const { pingIntervalTimer } = socket
    const log = record(socket, ['close', 'packetCreate'], (event) => event)
    socket.resetPingTimeout()
    socket.close(true)
    assert.ok(pingIntervalTimer)
    await delay(320)
    assert.deepEqual(log, ['close'])
  })
}

test('an application may plan pings by itself', async (t) => {
  patch(t, 'schedulePing', function () {
    this.pingIntervalTimer = setTimeout(() => {
      this.sendPacket('ping')
      this.resetPingTimeout()
    }, 30)
  })
  const { peer, socket } = await openWebSocket(await listen({ pingInterval: 60_000, pingTimeout: 500 }))
  const closed = once(socket, 'close')
  for (let n = 0; n < 3; n++) {
    assert.equal(await peer.packet(), '2')
    peer.sendText('3')
  }
  assert.equal(await peer.packet(), '2')
  assert.deepEqual(await closed, ['ping timeout', undefined])
})

test('in protocol 3 resetPingTimeout is what a session begins with, and each ping of the client puts the end off', async (t) => {
  let calls = 0
  const original = patch(t, 'resetPingTimeout', function () {
    calls++
    return original.call(this)
  })
  const { peer, socket } = await openWebSocket3(await listen({ ...ALLOW, pingInterval: 200, pingTimeout: 600 }))
  assert.equal(calls, 1)
  const closed = once(socket, 'close')
  for (let n = 0; n < 4; n++) {
    await delay(250)
    peer.sendText('2')
    assert.equal(await peer.packet(), '3')
  }
  assert.equal((await closed)[0], 'ping timeout')
  assert.equal(calls, 1)
})

test('the timers of a session in protocol 3', async () => {
  const { socket } = await openWebSocket3(await listen(ALLOW))
  assert.equal(socket.pingTimeoutTimer.constructor.name, 'Timeout')
  assert.equal(socket.pingIntervalTimer, null)
})

test('pings go on after an upgrade, whoever has looked at the timers before', async () => {
  const { peer, socket } = await openProbing(await listen({ pingInterval: 150, pingTimeout: 5000 }))
  assert.ok(socket.pingIntervalTimer)
  const upgraded = once(socket, 'upgrade')
  peer.sendText('5')
  await upgraded
  for (let n = 0; n < 2; n++) {
    assert.equal(await peer.packet(), '2')
    peer.sendText('3')
  }
})

improvement(
  'D-6',
  'a client that does not answer after an upgrade is gone, whoever has looked at the timers before',
  async () => {
    const context = await listen({ pingInterval: 400, pingTimeout: 400 })
    const [pinged, closed] = [onceOfNext(context, 'packetCreate'), onceOfNext(context, 'close')]
    const { peer, polling, socket } = await openProbing(context)
    const poll = await polling.pendingPoll()
    assert.ok(socket.pingIntervalTimer)
    await pinged
    await poll.response
    const upgraded = once(socket, 'upgrade')
    peer.sendText('5')
    await upgraded
    assert.deepEqual(await closed, ['ping timeout', undefined])
  },
)
