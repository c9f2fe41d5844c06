'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  delay,
  eventually,
  improvement,
  listen,
  never,
  once,
  onceOfNext,
  path,
  record,
  RawWebSocket,
} = require('../support')
const { ALLOW, openPolling3, openWebSocket3 } = require('../support/eio3')

const EVENTS = ['packet', 'packetCreate', 'flush', 'drain', 'heartbeat']

/** Event names, with the packet types of those that carry packets. */
const names = (event, arg) => {
  if (event === 'flush') return `flush ${arg.map(({ type }) => type)}`
  return arg === undefined ? event : `${event} ${arg.type}`
}

test('a ping is answered with a pong, without its data', async () => {
  const { peer } = await openWebSocket3(await listen(ALLOW))
  peer.sendText('2')
  peer.sendText('2data')
  assert.deepEqual([await peer.packet(), await peer.packet()], ['3', '3'])
})

test("a ping's events are packet, packetCreate, flush, drain and heartbeat, in this order", async () => {
  const { peer, socket } = await openWebSocket3(await listen(ALLOW))
  const log = record(socket, EVENTS, names)
  const heartbeat = once(socket, 'heartbeat')
  peer.sendText('2')
  await heartbeat
  assert.deepEqual(log, ['packet ping', 'packetCreate pong', 'flush pong', 'drain', 'heartbeat'])
})

test('a ping by POST is answered by the pending poll', async () => {
  const { peer, socket } = await openPolling3(await listen(ALLOW))
  const log = record(socket, EVENTS, names)
  const { response } = await peer.pendingPoll()
  assert.equal((await peer.post('1:2')).body, 'ok')
  assert.equal((await response).body, '1:3')
  assert.deepEqual(log, ['packet ping', 'packetCreate pong', 'flush pong', 'drain', 'heartbeat'])
})

test('a ping by POST without a poll is answered by the next poll', async () => {
  const { peer } = await openPolling3(await listen(ALLOW))
  await peer.post('1:2')
  assert.equal((await peer.poll()).body, '1:3')
})

test('close() in a packetCreate listener keeps the pong back', async () => {
  for (const open of [openWebSocket3, openPolling3]) {
    const { peer, socket } = await open(await listen(ALLOW))
    const log = record(socket, EVENTS, names)
    const closed = once(socket, 'close')
    socket.on('packetCreate', () => socket.close(true))
    if (open === openPolling3) await peer.post('1:2')
    else peer.sendText('2')
    assert.deepEqual(await closed, ['forced close', undefined])
    await delay(5)
    assert.deepEqual(log, ['packet ping', 'packetCreate pong', 'heartbeat'])
    if (open === openWebSocket3) assert.equal((await peer.frame()).opcode, 8)
  }
})

for (const discard of [false, true]) {
  test(`close(${discard || ''}) in a packet listener keeps the pong back, and not the heartbeat event`, async () => {
    for (const open of [openWebSocket3, openPolling3]) {
      const { peer, socket } = await open(await listen(ALLOW))
      const log = record(socket, EVENTS, names)
      const heartbeat = once(socket, 'heartbeat')
      socket.on('packet', () => socket.close(discard))
      if (open === openPolling3) await peer.post('1:2')
      else peer.sendText('2')
      await heartbeat
      await delay(5)
      assert.deepEqual(log, ['packet ping', 'heartbeat'])
    }
  })
}

test('listeners of flush and drain alone hear of pongs', async () => {
  const context = await listen(ALLOW)
  const { peer, socket } = await openWebSocket3(context)
  const log = record(socket, ['flush', 'drain'], names)
  peer.sendText('2')
  assert.equal(await peer.packet(), '3')
  await eventually(() => log, ['flush pong', 'drain'])
})

test('the server sends no pings', async () => {
  const { peer, socket } = await openWebSocket3(await listen({ ...ALLOW, pingInterval: 30, pingTimeout: 300 }))
  await never(socket, 'packetCreate', 150)
  assert.equal(peer.bytes.length, 0)
})

for (const [name, open] of [
  ['websocket', openWebSocket3],
  ['polling', openPolling3],
]) {
  test(`a silent ${name} client is closed after pingInterval + pingTimeout`, async () => {
    const context = await listen({ ...ALLOW, pingInterval: 100, pingTimeout: 150 })
    const closed = onceOfNext(context, 'close')
    const start = Date.now()
    await open(context)
    assert.deepEqual(await closed, ['ping timeout', undefined])
    const ms = Date.now() - start
    assert.ok(ms >= 235, `${ms} ms`)
    assert.equal(context.engine.clientsCount, 0)
  })
}

test('each ping grants pingInterval + pingTimeout anew, messages do not', async () => {
  const context = await listen({ ...ALLOW, pingInterval: 200, pingTimeout: 600 })
  const { peer, socket } = await openWebSocket3(context)
  const closed = once(socket, 'close')
  let last
  for (let i = 0; i < 4; i++) {
    await delay(300)
    last = Date.now()
    peer.sendText('2')
    assert.equal(await peer.packet(), '3')
  }
  assert.equal(socket.readyState, 'open')
  const chatter = setInterval(() => peer.sendText('4a'), 50)
  assert.equal((await closed)[0], 'ping timeout')
  clearInterval(chatter)
  const ms = Date.now() - last
  assert.ok(ms >= 785, `${ms} ms`)
})

async function upgraded3(context) {
  const { peer: polling, socket } = await openPolling3(context)
  const target = path(context, { EIO: '3', transport: 'websocket', sid: polling.sid })
  const peer = await RawWebSocket.open(context.port, target)
  peer.sendText('2probe')
  assert.equal(await peer.packet(), '3probe')
  const upgraded = once(socket, 'upgrade')
  peer.sendText('5')
  await upgraded
  return { peer, socket }
}

test('pings are answered after an upgrade', async () => {
  const { peer, socket } = await upgraded3(await listen(ALLOW))
  const heartbeat = once(socket, 'heartbeat')
  peer.sendText('2')
  assert.equal(await peer.packet(), '3')
  await heartbeat
})

improvement(
  'D-6: no timeout after an upgrade of protocol 3',
  'a client that falls silent after an upgrade is closed',
  async () => {
    const context = await listen({ ...ALLOW, pingInterval: 400, pingTimeout: 400 })
    const closed = onceOfNext(context, 'close')
    const { peer } = await upgraded3(context)
    assert.deepEqual(await closed, ['ping timeout', undefined])
    assert.equal((await peer.closeFrame()).payload.length, 0)
  },
)

test('a client that pings after an upgrade stays', async () => {
  const context = await listen({ ...ALLOW, pingInterval: 100, pingTimeout: 600 })
  const { peer, socket } = await upgraded3(context)
  for (let i = 0; i < 6; i++) {
    await delay(150)
    peer.sendText('2')
    assert.equal(await peer.packet(), '3')
  }
  assert.equal(socket.readyState, 'open')
})

test('who listens to flush and drain alone hears of the answer to a ping: on the session', async () => {
  const { peer, socket } = await openWebSocket3(await listen(ALLOW))
  await delay(5)
  const log = record(socket, ['flush', 'drain'], names)
  peer.sendText('2')
  assert.equal(await peer.packet(), '3')
  await eventually(() => log, ['flush pong', 'drain'])
})

test('who listens to flush and drain alone hears of the answer to a ping: on the server', async () => {
  const context = await listen(ALLOW)
  const log = record(context.engine, ['flush', 'drain'], (event, socket, buffer) => names(event, buffer))
  const { peer } = await openWebSocket3(context)
  log.length = 0
  peer.sendText('2')
  assert.equal(await peer.packet(), '3')
  await eventually(() => log, ['flush pong', 'drain'])
})
