'use strict'

// The option `cluster.number`, and numbers that processes of several machines have at the same time.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { Server } = require('../..')
const { defer, eventually } = require('../support')
const { Hub, KEY, becomes, meet, says, until, upgrade } = require('./bus-support')
const { Bus, eventsOf, startMachine } = require('./claims-support')
const { clusterDirectory, openSession, poll, post, startMember } = require('./support')

/** The number that an id shows, with `showOwner`: the lower 12 bits of it. */
const shownIn = (sid) => Buffer.from(`AA${sid.slice(14, 16)}`, 'base64url').readUIntBE(0, 3)

/** Starts a process with this number on a machine of its own, which is on the bus. */
async function startNumbered(hub, { directory = clusterDirectory(), ...cluster } = {}) {
  const settings = {
    bus: { name: 'parent' },
    options: { cluster: { directory, key: KEY, showOwner: true, ...cluster } },
  }
  const member = await startMember(settings, undefined, (started) => hub.join(started))
  return Object.assign(member, { settings })
}

/** A directory in which the processes before have had this number, for the last time with this boot. */
function directoryOf(number, boot) {
  const directory = clusterDirectory()
  fs.writeFileSync(path.join(directory, `${number}.lock`), Buffer.of(boot), { mode: 0o600 })
  return directory
}

const numberOf = async (member) => (await member.ask('metrics')).number

/** A session is served by both processes. */
async function isServed(sid, members) {
  for (const member of members) {
    assert.equal((await post(member, sid, '4a')).body, 'ok')
    assert.equal((await poll(member, sid)).body, '4a')
  }
}

test('a process has the number that it is given, again after it was killed, and its ids show it', async () => {
  const hub = new Hub()
  const [first, second] = [await startNumbered(hub, { number: 5 }), await startNumbered(hub, { number: 70 })]
  assert.deepEqual([shownIn(await openSession(first)), shownIn(await openSession(second))], [5, 70])
  await first.kill()
  const { directory } = first.settings.options.cluster
  const again = await startNumbered(hub, { directory, number: 5 })
  assert.deepEqual([await numberOf(again), shownIn(await openSession(again))], [5, 5])
})

test('two processes of one machine cannot have the same number, until the first one has ended', async () => {
  const directory = clusterDirectory()
  const first = await startMember({ options: { cluster: { directory, number: 3 } } })
  const make = () => {
    const server = new Server({ cluster: { directory, number: 3 } })
    defer(() => server.close())
    return server
  }
  const message = `cannot join the cluster: ${directory}: expected the number 3 to be free, but another process or server has it`
  assert.throws(make, { code: 'ERR_CLUSTER_JOIN', message })
  await first.kill()
  assert.equal(make().metrics().cluster.number, 3)
  assert.throws(make, { code: 'ERR_CLUSTER_JOIN', message })
})

test('a server that was closed and is used again has its number again as soon as that is free', async () => {
  const directory = clusterDirectory()
  const make = () => {
    const server = new Server({ cluster: { directory, number: 3 } })
    defer(() => server.close())
    return server
  }
  /** The error of a server that cannot open a session. */
  const failureOf = (server) => {
    try {
      server.generateId()
      return undefined
    } catch (error) {
      return error
    }
  }
  const first = make()
  first.close()
  await eventually(() => fs.existsSync(path.join(directory, '3.sock')), false)
  const second = make()
  const failures = new Set()
  for (let i = 0; i < 20; i++) failures.add(failureOf(first))
  for (const failure of failures) assert.equal(failure.code, 'ERR_CLUSTER_JOIN')
  assert.ok(failures.size < 20, 'it does not wait for the number each time')
  second.close()
  await eventually(() => failureOf(first), undefined, 10_000)
  assert.equal(first.metrics().cluster.number, 3)
})

test('numbers that are given and others go together in one directory', () => {
  const directory = clusterDirectory()
  const numbers = [undefined, 1, undefined, 0xffff, undefined].map((number) => {
    const server = new Server({ cluster: { directory, number } })
    defer(() => server.close())
    return server.metrics().cluster.number
  })
  assert.deepEqual(numbers, [0, 1, 2, 0xffff, 3])
})

test('a process that starts with the number of one on another machine takes another one', async () => {
  const hub = new Hub()
  const first = await startNumbered(hub, { directory: directoryOf(7, 10) })
  await until(first, ({ received }) => received > 2, 'its own messages')
  const second = await startNumbered(hub, { directory: directoryOf(7, 20) })
  const early = await openSession(second)
  await becomes(async () => (await numberOf(second)) !== 7, true)
  await meet([first, second])
  assert.equal(await numberOf(first), 7)
  const [one, other] = [await openSession(first), await openSession(second)]
  assert.equal(shownIn(one), 7)
  assert.equal(shownIn(other), (await numberOf(second)) & 0xfff)
  for (const sid of [early, one, other]) await isServed(sid, [first, second])
  // it goes on with what it has, and its machine knows both numbers
  const { directory } = second.settings.options.cluster
  const third = await startNumbered(hub, { directory })
  assert.notEqual(await numberOf(third), await numberOf(second))
  for (const sid of [early, other]) await isServed(sid, [third])
  assert.equal((await third.ask('metrics')).bus.asked, 0, 'processes of one machine use their directory')
})

for (const boots of [
  [10, 20],
  [10, 10],
]) {
  const same = boots[0] === boots[1] ? 'the same boot' : 'other boots'
  test(`processes that took one number apart keep their sessions when they meet, with ${same}`, async () => {
    const hub = new Hub()
    hub.isDown = true
    const [first, second] = [
      await startNumbered(hub, { directory: directoryOf(7, boots[0]) }),
      await startNumbered(hub, { directory: directoryOf(7, boots[1]) }),
    ]
    const sids = [await openSession(first), await openSession(second)]
    assert.deepEqual(sids.map(shownIn), [7, 7])
    const local = await upgrade(second, await openSession(second))
    // until each has the number for itself, as it sees it
    await new Promise((resolve) => setTimeout(resolve, 2000))
    hub.isDown = false
    await meet([first, second])
    await becomes(async () => (await numberOf(first)) !== (await numberOf(second)), true)
    sids.push(await openSession(first), await openSession(second))
    for (const sid of sids) await isServed(sid, [first, second])
    await says(local, 'on')
    const relayed = await upgrade(first, sids[1])
    await says(relayed, 'over the bus')
  })
}

test('a number that was given is kept if another machine has it, too, and both are asked', async () => {
  const hub = new Hub()
  const [first, second] = [await startNumbered(hub, { number: 7 }), await startNumbered(hub, { number: 7 })]
  await meet([first, second])
  for (const sid of [await openSession(first), await openSession(second)]) await isServed(sid, [first, second])
  const warned = () => [first, second].flatMap((member) => member.seen('warning'))
  const message = 'cluster.number 7 is that of a process on another machine, too: both are asked for its sessions'
  await eventually(() => warned().length > 0, true)
  for (const { code, name, message: text } of warned()) {
    assert.deepEqual([code, name, text], ['ENGINE_CLUSTER_NUMBER', 'EngineIoWarning', message])
  }
  assert.deepEqual([await numberOf(first), await numberOf(second)], [7, 7])
})

/** Two machines, each of a gateway and a process without the bus, of which the latter have the number 7, and these boots. */
async function startTwins(boots) {
  const bus = new Bus()
  const machines = []
  for (const boot of boots) {
    const directory = directoryOf(7, boot)
    const gateway = await startMachine(bus, { cluster: { directory, number: machines.length } })
    const inner = await startMachine(undefined, { cluster: { directory, number: 7 } })
    machines.push({ gateway, inner })
  }
  for (const { gateway } of machines) await eventually(() => [gateway.bus().nodes, gateway.bus().neighbours], [1, 1])
  return machines
}

test('processes of two machines with one number and no bus are told apart if their numbers were taken more or less often', async () => {
  const machines = await startTwins([10, 20])
  for (const { inner } of machines) {
    const sid = await openSession(inner)
    const all = machines.flatMap((machine) => [machine.gateway, machine.inner])
    for (const member of all) await becomes(async () => (await post(member, sid, '4a')).body, 'ok')
    assert.equal((await poll(inner, sid)).body, Array(4).fill('4a').join('\x1e'))
  }
})

test('if they were taken as often, a session is unknown on the other machine, and never another one', async () => {
  const machines = await startTwins([10, 10])
  for (const [{ gateway, inner }, other] of [machines, [...machines].reverse()]) {
    const [sid, theirs] = [await openSession(inner), await openSession(other.inner)]
    for (const member of [gateway, inner]) assert.equal((await post(member, sid, '4a')).body, 'ok')
    for (const member of [other.gateway, other.inner]) {
      assert.deepEqual([(await post(member, sid, '4b')).status, (await poll(member, sid)).status], [400, 400])
    }
    assert.equal((await poll(gateway, sid)).body, '4a\x1e4a')
    assert.deepEqual(
      [eventsOf(inner, sid), eventsOf(other.inner, theirs)],
      [['connection', 'message', 'message'], ['connection']],
    )
    assert.ok(!other.inner.hears(sid))
  }
})
