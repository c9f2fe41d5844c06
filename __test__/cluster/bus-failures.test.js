'use strict'

// Buses and machines that fail, and messages that no member of the cluster has sent.

const assert = require('node:assert/strict')
const { EventEmitter } = require('node:events')
const http = require('node:http')
const { performance } = require('node:perf_hooks')
const { test } = require('node:test')
const { Server } = require('../..')
const { Trouble } = require('../../lib/cluster/trouble')
const { defer, eventually, once, request } = require('../support')
const { Hub, KEY, becomes, meet, recordWarnings, says, startMachines, until, upgrade } = require('./bus-support')
const { clusterDirectory, openSession, poll, post, startMember, target } = require('./support')

/** The longest time for an answer if the owner cannot be reached, with some for a busy machine, in ms. */
const BOUND = 12_000

/** The answer to a request whose owner cannot be reached. */
function assertUnavailable({ status, headers, body }) {
  assert.deepEqual([status, headers['retry-after']], [503, '1'])
  assert.equal(JSON.parse(body).message, 'Session owner unavailable')
}

test('a bus that stops: foreign requests get 503 in time, local sessions go on, and foreign ones again after it', async () => {
  const hub = new Hub()
  const { members } = await startMachines(2, { stays: true, hub })
  const [owner, front] = members
  const [sid, waitingSid] = [await openSession(owner), await openSession(owner)]
  const relayed = await upgrade(front, await openSession(owner))
  const waiting = poll(front, waitingSid, { ms: BOUND })
  await until(owner, ({ served }) => served === 2, 'a poll and a relay')
  hub.isDown = true
  const cut = once(relayed.socket, 'close', BOUND)
  const [first, second] = await Promise.all([poll(front, sid, { ms: BOUND }), waiting])
  assertUnavailable(first)
  assertUnavailable(second)
  await cut
  await until(front, ({ nodes }) => nodes === 0, 'no nodes')
  assertUnavailable(await poll(front, sid, { ms: 2000 }))
  assert.ok((await front.ask('metrics')).bus.unavailable >= 3)
  assert.equal(front.seen('connection_error').length, 3)

  for (const member of members) {
    const local = await openSession(member)
    await post(member, local, '4local')
    assert.equal((await poll(member, local)).body, '4local')
  }
  // the owner has ended the sessions whose answers may be lost, and no other one
  await becomes(async () => (await owner.ask('clients')).includes(waitingSid), false)
  assert.ok((await owner.ask('clients')).includes(sid))

  hub.isDown = false
  await meet(members)
  await post(front, sid, '4again')
  assert.equal((await poll(front, sid)).body, '4again')
})

test('a process that is killed: requests of its sessions get 503 in time, and other sessions go on', async () => {
  const { members } = await startMachines(3)
  const [owner, front, other] = members
  const sid = await openSession(owner)
  const waiting = poll(front, sid, { ms: BOUND })
  await until(owner, ({ served }) => served === 1, 'a poll that waits')
  await owner.kill()
  assertUnavailable(await waiting)
  assertUnavailable(await poll(front, sid, { ms: BOUND }))
  const alive = await openSession(other)
  await post(front, alive, '4on')
  assert.equal((await poll(front, alive)).body, '4on')
})

test('the process that a client has come to is killed: the owner ends the session of a poll that waited there', async () => {
  const { members } = await startMachines(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  poll(front, sid)
  await until(owner, ({ served }) => served === 1, 'a poll that waits')
  const closed = once(owner, 'close', BOUND)
  await front.kill()
  assert.equal((await closed)[0].why, 'poll connection closed prematurely')
})

test('messages that are played back deliver nothing twice', async () => {
  const hub = new Hub()
  const { members } = await startMachines(2, { stays: true, hub })
  const [owner, front] = members
  hub.record = []
  const sid = await openSession(owner)
  const websocket = await upgrade(front, await openSession(owner))
  for (let i = 0; i < 5; i++) {
    await post(front, sid, `4${i}`)
    assert.equal((await poll(front, sid)).body, `4${i}`)
    await says(websocket, `relayed ${i}`)
  }
  const recorded = hub.record.splice(0)
  hub.record = undefined
  const { served, bus } = await owner.ask('metrics')
  const all = [...recorded, ...recorded.toReversed()]
  const come = bus.received + all.filter(({ channel }) => hub.members.get(owner).has(channel)).length
  for (const message of all) hub.deliver(message)
  await until(owner, ({ received }) => received >= come, `${come} messages`)
  assert.equal((await owner.ask('metrics')).served, served, 'no request was presented again')
  await post(front, sid, '4after')
  assert.equal((await poll(front, sid)).body, '4after')
  await says(websocket, 'after')
  for (const member of members) assert.equal((await member.ask('metrics')).bus.violations, 0)
})

test('messages without the key, of other kinds, and no messages at all are dropped and counted', async () => {
  const hub = new Hub()
  const { members } = await startMachines(2, { hub })
  const [owner, front] = members
  const sid = await openSession(owner)
  hub.record = []
  await post(front, sid, '4a')
  const [{ channel, bytes }] = hub.record.filter((message) => !message.channel.endsWith('.all'))
  const right = Buffer.from(bytes, 'base64')
  const forged = [Buffer.alloc(0), Buffer.alloc(100), Buffer.alloc(200_000, 1), right.subarray(0, -1)]
  for (let at = 0; at < right.length; at += 7) {
    const changed = Buffer.from(right)
    changed[at] ^= 1
    forged.push(changed)
  }
  const target = hub.members.get(owner).has(channel) ? owner : front
  for (const message of forged) {
    for (const to of [channel, channel.replace(/[^.]*$/, 'all')]) {
      hub.deliver({ channel: to, bytes: message.toString('base64') })
    }
  }
  await until(target, ({ refused }) => refused === 2 * forged.length, `${2 * forged.length} refused messages`)
  assert.equal((await poll(front, sid)).body, '4a')
})

test('machines with other keys do not hear each other', async () => {
  const hub = new Hub()
  const { members } = await startMachines(1, { hub })
  const options = { cluster: { directory: clusterDirectory(), key: 'another key, not that one' } }
  const stranger = await startMember({ bus: { name: 'parent' }, options }, undefined, (member) => hub.join(member))
  await until(stranger, ({ received }) => received > 2, 'its own messages')
  const { bus } = await stranger.ask('metrics')
  assert.deepEqual([bus.nodes, bus.refused], [0, 0])
  assert.equal((await poll(stranger, await openSession(members[0]))).status, 400)
})

/** A server of this process. */
async function listen(bus, options) {
  const httpServer = http.createServer()
  const engine = new Server({ cluster: { directory: clusterDirectory(), key: KEY, bus }, ...options })
  engine.attach(httpServer)
  defer(() => {
    engine.close()
    httpServer.close()
    httpServer.closeAllConnections()
  })
  await new Promise((resolve) => httpServer.listen(0, '127.0.0.1', resolve))
  return { engine, port: httpServer.address().port }
}

/** A bus within this process. */
class LocalBus extends EventEmitter {
  publish(channel, message) {
    this.emit(channel, message)
  }
  subscribe(channel, onMessage) {
    this.on(channel, onMessage)
  }
  unsubscribe(channel, onMessage) {
    this.removeListener(channel, onMessage)
  }
}

test('a bus that throws or rejects harms nothing, and is tried again', async () => {
  const bus = new LocalBus()
  const failures = [
    () => {
      throw new Error('the bus throws')
    },
    () => Promise.reject(new Error('the bus rejects')),
    () => ({ then: () => undefined }),
  ]
  const broken = { publish: failures[0], subscribe: failures[0], unsubscribe: failures[0] }
  const proxy = {
    publish: (...args) => (broken.publish ?? bus.publish).apply(bus, args),
    subscribe: (...args) => (broken.subscribe ?? bus.subscribe).apply(bus, args),
    unsubscribe: (...args) => (broken.unsubscribe ?? bus.unsubscribe).apply(bus, args),
  }
  const [one, other] = [await listen(proxy), await listen(proxy)]
  const { sid } = JSON.parse((await request({ port: one.port, path: target() })).body.slice(1))
  const numbers = () => one.engine.metrics().cluster.bus
  await eventually(() => numbers().failures > 0, true)
  assertUnavailable(await poll(other, sid))
  broken.publish = broken.subscribe = failures[1]
  const { unsent } = numbers()
  await eventually(() => numbers().unsent > unsent, true)
  broken.publish = broken.subscribe = broken.unsubscribe = undefined
  await eventually(() => other.engine.metrics().cluster.bus.nodes, 1)
  one.engine.on('connection', () => {})
  one.engine.clients[sid].send('hello')
  assert.equal((await poll(other, sid)).body, '4hello')
  Object.assign(broken, { publish: failures[2], unsubscribe: failures[1] })
  const { sent } = numbers()
  await eventually(() => numbers().sent > sent, true)
})

/** The codes, names and messages of the warnings from now on. */
const recordAll = () => recordWarnings(({ code, name, message }) => [code, name, message])

const warningOf = (message) => ['ENGINE_CLUSTER_BUS', 'EngineIoWarning', message]

test('a bus that throws something that is no error: a server that leaves unsubscribes from all channels', async () => {
  const thrown = [
    undefined,
    null,
    'text',
    {
      get message() {
        throw new Error('no message')
      },
    },
  ]
  const directory = clusterDirectory()
  for (const reason of thrown) {
    const channels = []
    const bus = {
      publish() {},
      subscribe: (channel) => void channels.push(channel),
      unsubscribe(channel) {
        channels.splice(channels.indexOf(channel), 1)
        throw reason
      },
    }
    const engine = new Server({ cluster: { bus, directory, key: KEY } })
    assert.equal(channels.length, 2)
    engine.close()
    await eventually(() => channels, [])
  }
})

test('a bus that goes on failing: a warning for each of its methods says why, and another one none', async () => {
  const warnings = recordAll()
  const bus = {
    publish: () => Promise.reject(new Error('NOPERM to publish')),
    subscribe() {
      throw new Error('NOPERM to subscribe')
    },
    unsubscribe() {},
  }
  const { engine } = await listen(bus)
  const what = "cluster.bus does not take messages, so that requests of other machines' sessions get 503"
  const other = 'cluster.bus does not subscribe to channels, so that nothing comes in from other machines'
  await eventually(() => warnings.length, 2)
  const expected = [warningOf(`${other}: NOPERM to subscribe`), warningOf(`${what}: NOPERM to publish`)]
  assert.deepEqual([...warnings].sort(), expected)
  const { unsent, failures } = engine.metrics().cluster.bus
  await eventually(() => engine.metrics().cluster.bus.unsent > unsent + 1, true)
  await eventually(() => engine.metrics().cluster.bus.failures > failures + 1, true)
  assert.equal(warnings.length, 2)
})

test('a client of the bus that connects soon after the start of the server: no warning', async () => {
  const warnings = recordAll()
  const bus = new LocalBus()
  let isConnected = false
  const publish = (...args) => {
    if (!isConnected) throw new Error('the client has no connection')
    bus.publish(...args)
  }
  const late = { publish, subscribe: (...args) => bus.subscribe(...args), unsubscribe() {} }
  const { engine } = await listen(late)
  const numbers = () => engine.metrics().cluster.bus
  await eventually(() => numbers().unsent > 0, true)
  isConnected = true
  await eventually(() => numbers().received > 2, true)
  assert.deepEqual(warnings, [])
})

test('the first hello is said until the bus takes it, so that others know the sessions of a new process', async () => {
  const bus = new LocalBus()
  const refused = []
  const taken = []
  let isConnected = false
  const publish = (channel, message) => {
    const all = isConnected ? taken : refused
    if (channel.endsWith('.all')) all.push(Buffer.from(message))
    if (!isConnected) throw new Error('the client has no connection')
    bus.publish(channel, message)
  }
  const late = { publish, subscribe: (...args) => bus.subscribe(...args), unsubscribe() {} }
  const { engine } = await listen(late)
  await eventually(() => refused.length > 1, true)
  isConnected = true
  await eventually(() => taken.length > 0, true)
  assert.deepEqual(taken[0], refused.at(-1))
  assert.equal(engine.metrics().cluster.bus.unsent, 1)
  // the next one is said once
  await eventually(() => taken.length > 1, true)
  assert.notDeepEqual(taken[1], taken[0])
})

test('what fails is told after 2 s, again only if it has worked meanwhile, and at most once a minute', async (t) => {
  const warnings = recordAll()
  let now = 1000
  t.mock.method(performance, 'now', () => now)
  const trouble = new Trouble('it does not work')
  const failFor = (ms, error) => {
    for (const end = now + ms; now < end; now += 500) trouble.onFailure(error)
  }
  failFor(2000, new Error('early'))
  trouble.onSuccess()
  failFor(2000, new Error('early, too'))
  failFor(100_000, new Error('first'))
  trouble.onSuccess()
  failFor(5000, 'second')
  trouble.onSuccess()
  failFor(50_000, new Error('soon after'))
  failFor(10_000, undefined)
  await eventually(() => warnings.length, 3)
  const texts = ['first', "the string 'second'", 'undefined']
  assert.deepEqual(
    warnings,
    texts.map((text) => warningOf(`it does not work: ${text}`)),
  )
})

test('a bus that gives texts in place of bytes: they are counted, and one warning for each server says why', async () => {
  const bus = new LocalBus()
  const texts = {
    publish: (channel, message) => bus.publish(channel, message.toString()),
    subscribe: (...args) => bus.subscribe(...args),
    unsubscribe: (...args) => bus.unsubscribe(...args),
  }
  const warnings = recordAll()
  const servers = [await listen(texts), await listen(texts)]
  const numbers = () => servers.map(({ engine }) => engine.metrics().cluster.bus)
  await eventually(() => numbers().every(({ unreadable }) => unreadable > 2), true)
  for (const { unreadable, received, nodes, refused } of numbers()) {
    assert.deepEqual([unreadable, nodes, refused], [received, 0, 0])
  }
  const message =
    'cluster.bus must give messages as a Buffer or another Uint8Array, got a string: such messages are dropped'
  assert.deepEqual(warnings, Array(2).fill(warningOf(message)))
})

test('messages that come as other views of bytes are read', async () => {
  const bus = new LocalBus()
  const views = Object.assign(new LocalBus(), {
    subscribe: (channel, onMessage) =>
      bus.subscribe(channel, (bytes) => onMessage(new DataView(Uint8Array.from([0, ...bytes]).buffer, 1))),
    publish: (...args) => bus.publish(...args),
  })
  const [one, other] = [await listen(views), await listen(bus)]
  for (const { engine } of [one, other]) await eventually(() => engine.metrics().cluster.bus.nodes, 1)
  assert.equal(one.engine.metrics().cluster.bus.unreadable, 0)
})

test('an exception of a listener does not reach the client of the bus', async () => {
  const bus = new LocalBus()
  const [one, other] = [await listen(bus), await listen(bus)]
  await eventually(() => other.engine.metrics().cluster.bus.nodes, 1)
  one.engine.on('connection', (socket) =>
    socket.on('message', () => {
      throw new Error('of a listener')
    }),
  )
  const { sid } = JSON.parse((await request({ port: one.port, path: target() })).body.slice(1))
  const thrown = new Promise((resolve) => {
    process.setUncaughtExceptionCaptureCallback(resolve)
  })
  try {
    const answer = await post(other, sid, '4a')
    assert.equal((await thrown).message, 'of a listener')
    assert.equal(answer.body, 'ok')
  } finally {
    process.setUncaughtExceptionCaptureCallback(null)
  }
})

test('a server that is closed and used again joins again, and leaves no listener behind', async () => {
  const bus = new LocalBus()
  const [one, other] = [await listen(bus), await listen(bus)]
  await eventually(() => other.engine.metrics().cluster.bus.nodes, 1)
  one.engine.close()
  await eventually(() => bus.eventNames().length, 2)
  const { sid } = JSON.parse((await request({ port: one.port, path: target() })).body.slice(1))
  one.engine.clients[sid].send('hello')
  await becomes(async () => (await poll(other, sid)).body, '4hello')
  one.engine.close()
  other.engine.close()
  await eventually(() => bus.eventNames(), [])
})

test('options that cannot be right are refused', () => {
  const bus = new LocalBus()
  const make = (cluster) => () => new Server({ cluster: { directory: clusterDirectory(), ...cluster } })
  assert.throws(make({ bus }), new TypeError('cluster.key must be given with cluster.bus, the same on all machines'))
  const methods = 'publish, subscribe, unsubscribe'
  const expected = `cluster.bus must be redis(client), nats(connection) or an object with the methods ${methods}`
  for (const [wrong, what] of [
    [null, 'got null'],
    [true, 'got true'],
    // it may have a password
    ['redis://localhost', 'got a string'],
    [Promise.resolve(bus), 'got a promise'],
    [{}, 'publish is missing'],
    [{ publish() {}, subscribe() {} }, 'unsubscribe is missing'],
  ]) {
    assert.throws(make({ bus: wrong, key: KEY }), new TypeError(`${expected}, ${what}`))
  }
  const client = Object.assign(new LocalBus(), { duplicate() {} })
  const itself = 'cluster.bus must be redis(client) of engine.io-native/cluster, got the client itself'
  assert.throws(make({ bus: client, key: KEY }), new TypeError(itself))
  const { nats, redis } = require('../../lib/cluster-engine')
  for (const [wrong, what] of [
    [undefined, 'undefined'],
    [null, 'null'],
    [{}, 'an object'],
    ['redis://localhost', 'a string'],
  ]) {
    const ofRedis = `redis() takes a client of the package redis or ioredis, got ${what}`
    assert.throws(() => redis(wrong), new TypeError(ofRedis))
    const ofNats = `nats() takes a connection of the package nats or @nats-io/transport-node, got ${what}`
    assert.throws(() => nats(wrong), new TypeError(ofNats))
  }
  const pool = { publish() {} }
  assert.throws(() => redis(pool), /, got one that has no method duplicate, such as a pool$/)
})
