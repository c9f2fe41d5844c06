'use strict'

// Methods that are replaced before a session is used, while it handles a packet, and on an open session at rest: what
// passes the replacement from then on. The engine looks for replacements, see docs/FAST-PATHS.md.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  listen,
  once,
  record,
  eventually,
  frame,
  improvement,
  openPolling,
  openWebSocket,
  openUpgraded,
} = require('../support')
const { ALLOW, openPolling3 } = require('../support/eio3')

const BOUND = 'A-4: the original binds this method when a transport is set, and a later patch waits for the next one'

/** No ping is sent, and the engine does not look by itself, while a test runs. */
const SLOW = { pingInterval: 25_000, pingTimeout: 20_000 }

/** Replaces a method by one that notes what `tell` makes of its arguments, and calls it. */
function note(object, name, tell) {
  const original = object[name]
  const seen = []
  object[name] = function (...args) {
    seen.push(tell.apply(this, args))
    return original.apply(this, args)
  }
  return seen
}

const typeOf = ({ type }) => type
const typesOf = (packets) => packets.map(typeOf).join()

/** For `flush`: what waits. */
function waiting() {
  return typesOf(this.writeBuffer)
}

async function deliver(peer, packet) {
  if (peer.sendText) peer.sendText(packet)
  else assert.equal((await peer.post(packet)).body, 'ok')
}

async function next(peer) {
  return peer.packet ? peer.packet() : (await peer.poll()).body
}

const OPENERS = { polling: openPolling, websocket: openWebSocket, 'an upgraded session': openUpgraded }

// ---- before: in a `connection` listener ----------------------------------------------------------

for (const [name, open] of Object.entries(OPENERS)) {
  if (name === 'an upgraded session') continue

  for (const [method, on, tell] of [
    ['sendPacket', (socket) => socket, (type) => type],
    ['flush', (socket) => socket, waiting],
    ['send', (socket) => socket.transport, typesOf],
  ]) {
    test(`the first ping passes a ${method} that was replaced in a connection listener: ${name}`, async () => {
      const context = await listen({ pingInterval: 100, pingTimeout: 5000 })
      let seen
      context.engine.on('connection', (socket) => (seen = note(on(socket), method, tell)))
      const { peer } = await open(context)
      assert.equal(await next(peer), '2')
      assert.ok(seen.includes('ping'), `expected a ping, got ${seen}`)
    })
  }

  for (const [method, on, declare] of [
    ['onPacket', (socket) => socket, (title, run) => improvement(BOUND, title, run)],
    ['onPacket', (socket) => socket.transport, test],
    ['emit', (socket) => socket, test],
  ]) {
    const whose = on({ transport: 'transport' }) === 'transport' ? "the transport's" : "the session's"
    declare(`the first packet passes ${whose} ${method}, replaced in a connection listener: ${name}`, async () => {
      const context = await listen(SLOW)
      let seen
      context.engine.on('connection', (socket) => {
        seen = note(on(socket), method, method === 'emit' ? (event) => event : typeOf)
      })
      const { peer } = await open(context)
      seen.length = 0
      await deliver(peer, '3')
      await eventually(() => seen, method === 'emit' ? ['packet', 'heartbeat'] : ['pong'])
    })
  }
}

// ---- during: while a packet is handled -----------------------------------------------------------

for (const [name, open] of Object.entries(OPENERS)) {
  test(`an answer passes what replaced send, flush and sendPacket while its message was handled: ${name}`, async () => {
    const { peer, socket } = await open(await listen(SLOW))
    const poll = peer.packet ? undefined : await peer.pendingPoll()
    let seen
    socket.once('message', () => {
      seen = [note(socket, 'sendPacket', (type) => type), note(socket, 'flush', waiting)]
      seen.push(note(socket.transport, 'send', typesOf))
      socket.send('answer')
    })
    await deliver(peer, '4x')
    assert.equal(poll ? (await poll.response).body : await peer.packet(), '4answer')
    assert.deepEqual([seen[0], seen[1][0], seen[2]], [['message'], 'message', ['message']])
  })
}

for (const name of ['websocket', 'an upgraded session']) {
  test(`a transport's onPacket, replaced while a message is handled, sees the next message of the chunk: ${name}`, async () => {
    const { peer, socket } = await OPENERS[name](await listen(SLOW))
    let seen
    socket.once('message', () => (seen = note(socket.transport, 'onPacket', typeOf)))
    peer.write(Buffer.concat(['4a', '4b'].map((payload) => frame({ payload }))))
    await eventually(() => seen, ['message'])
  })
}

// ---- after: on an open session at rest -----------------------------------------------------------

test("a transport's onPacket sees a pong before a message of the next payload: polling", async () => {
  const { peer, socket } = await openPolling(await listen(SLOW))
  const seen = note(socket.transport, 'onPacket', typeOf)
  const messages = record(socket, 'message', (event, data) => data)
  await deliver(peer, '3\x1e4x')
  assert.deepEqual(seen, ['pong', 'message'])
  assert.deepEqual(messages, ['x'])
})

improvement(BOUND, "a session's onPacket sees a pong before a message of the next payload: polling", async () => {
  const { peer, socket } = await openPolling(await listen(SLOW))
  const seen = note(socket, 'onPacket', typeOf)
  await deliver(peer, '3\x1e4x')
  assert.deepEqual(seen, ['pong', 'message'])
})

test("a session's emit sees a pong before a message of the next payload: polling", async () => {
  const { peer, socket } = await openPolling(await listen(SLOW))
  const seen = note(socket, 'emit', (event) => event)
  await deliver(peer, '3\x1e4x')
  assert.deepEqual(seen, ['packet', 'heartbeat', 'packet', 'data', 'message'])
})

test("in protocol 3 a transport's onPacket sees the ping of the next payload, which is answered: polling", async () => {
  const { peer, socket } = await openPolling3(await listen({ ...ALLOW, ...SLOW }))
  const poll = await peer.pendingPoll()
  const seen = note(socket.transport, 'onPacket', typeOf)
  const sent = note(socket.transport, 'send', typesOf)
  await deliver(peer, '1:22:4x')
  assert.deepEqual(seen, ['ping', 'message'])
  assert.deepEqual(sent, ['pong'])
  assert.equal((await poll.response).body, '1:3')
})

test("a transport's onPacket sees what is not a packet, which ends the session: polling", async () => {
  const { peer, socket } = await openPolling(await listen(SLOW))
  const seen = note(socket.transport, 'onPacket', typeOf)
  const closed = once(socket, 'close')
  await deliver(peer, '4x\x1e?')
  assert.deepEqual(seen, ['message', 'error'])
  assert.equal((await closed)[0], 'parse error')
})

test("a transport's onPacket sees the packets for a session that is closing: polling", async () => {
  const { peer, socket } = await openPolling(await listen(SLOW))
  const messages = record(socket, 'message')
  const seen = note(socket.transport, 'onPacket', typeOf)
  socket.close()
  await deliver(peer, '4x\x1e3')
  assert.deepEqual(seen, ['message', 'pong'])
  assert.deepEqual(messages, [])
})

for (const name of ['websocket', 'an upgraded session']) {
  test(`no message passes by a transport's onPacket, and a pong counts whether it was seen or not: ${name}`, async () => {
    const { peer, socket } = await OPENERS[name](await listen({ pingInterval: 200, pingTimeout: 5000 }))
    const messages = record(socket, 'message', (event, data) => data)
    assert.equal(await peer.packet(), '2')
    const seen = note(socket.transport, 'onPacket', ({ type, data }) => data ?? type)
    peer.write(Buffer.concat(['3', '4a', '4b'].map((payload) => frame({ payload }))))
    await eventually(() => messages, ['a', 'b'])
    assert.deepEqual(
      seen.filter((one) => one !== 'pong'),
      ['a', 'b'],
    )
    // the next ping follows the pong
    assert.equal(await peer.packet(), '2')
    const pong = eventually(() => seen.at(-1), 'pong')
    peer.sendText('3')
    await pong
    assert.equal(socket.readyState, 'open')
  })
}
