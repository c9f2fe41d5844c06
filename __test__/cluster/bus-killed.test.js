'use strict'

// Processes of a machine, one of which is killed while the bus still tells that it is there.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { once, request } = require('../support')
const { Hub, becomes, meet, startMachines, until, upgrade } = require('./bus-support')
const { clusterDirectory, openSession, poll, post, startMember, target } = require('./support')

const UNKNOWN = '{"code":1,"message":"Session ID unknown"}'

/** Two processes of a machine, and one of another. */
async function startThree(hub = new Hub()) {
  const { machines, members } = await startMachines(1, { stays: true, hub, processes: 2 })
  const settings = structuredClone(machines[0].settings)
  settings.options.cluster.directory = clusterDirectory()
  const far = await startMember(settings, undefined, (member) => hub.join(member))
  const all = [...members, far]
  await meet(all)
  return { hub, all, settings: machines[0].settings }
}

/** Asks for an upgrade, and gives the answer. */
function tryUpgrade({ port }, sid) {
  const headers = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  }
  return request({ port, path: target({ sid, transport: 'websocket' }), headers })
}

test('a process of its machine answers 400 at once, whether it has passed on requests to it before or not', async () => {
  const { hub, all } = await startThree()
  const [owner, near, far] = all
  const sids = [await openSession(owner), await openSession(owner)]
  await owner.kill()
  // nothing is heard on the bus from now on
  hub.isDown = true
  for (const sid of [...sids, ...sids]) {
    const { status, body } = await poll(near, sid)
    assert.deepEqual([status, body], [400, UNKNOWN])
    assert.equal((await post(near, sid, '4a')).body, UNKNOWN)
    assert.equal((await tryUpgrade(near, sid)).status, 400)
  }
  const { bus } = await near.ask('metrics')
  assert.deepEqual([bus.asked, bus.unavailable], [0, 0], 'the bus was not asked')
  assert.equal((await poll(far, sids[0], { ms: 12_000 })).status, 503, 'another machine does not know it yet')
})

test('a process with a link to it answers waiting polls and all later requests with 400', async () => {
  const { all } = await startThree()
  const [owner, near] = all
  const sid = await openSession(owner)
  const waiting = poll(near, sid)
  await becomes(async () => (await owner.ask('metrics')).served, 1)
  const websocket = await upgrade(near, await openSession(owner))
  const ended = once(websocket.socket, 'close')
  await owner.kill()
  await ended
  for (const { status, body } of [await waiting, await poll(near, sid), await poll(near, sid)]) {
    assert.deepEqual([status, body], [400, UNKNOWN])
  }
  const { bus } = await near.ask('metrics')
  assert.deepEqual([bus.asked, bus.unavailable], [0, 0], 'the bus was not asked')
})

test('the process that takes its place answers 400, too, and serves the sessions of others', async () => {
  const { hub, all, settings } = await startThree()
  const [owner, near, far] = all
  const { number } = await owner.ask('metrics')
  const [sid, kept] = [await openSession(owner), await openSession(far)]
  await owner.kill()
  const next = await startMember(settings, undefined, (started) => hub.join(started))
  assert.equal((await next.ask('metrics')).number, number)
  assert.equal((await poll(near, sid)).body, UNKNOWN)
  await until(next, ({ nodes }) => nodes === 2, 'nodes')
  // not before it knows all nodes: one could have the same number
  await becomes(async () => (await poll(next, sid)).body, UNKNOWN)
  for (const front of [next, near]) {
    await post(front, kept, '4a')
    assert.equal((await poll(front, kept)).body, '4a')
  }
  const opened = await openSession(next)
  await post(near, opened, '4b')
  assert.equal((await poll(near, opened)).body, '4b')
})

test('a process that is stopped is not taken for one that has gone', async () => {
  const { all } = await startThree()
  const [owner, near] = all
  const sid = await openSession(owner)
  process.kill(owner.pid, 'SIGSTOP')
  const waiting = poll(near, sid, { ms: 30_000 })
  const early = await Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, 500))])
  assert.equal(early, undefined)
  process.kill(owner.pid, 'SIGCONT')
  await owner.ask('send', { sid, data: 'on' })
  assert.equal((await waiting).body, '4on')
})

test('sessions of a live process with the number and boot of one that was here before are served', async () => {
  const { hub, all, settings } = await startThree()
  const [gone, near] = all
  const { number } = await gone.ask('metrics')
  const lockIn = (directory) => path.join(directory, `${number}.lock`)
  const [boot] = fs.readFileSync(lockIn(settings.options.cluster.directory))
  await gone.kill()
  const others = structuredClone(settings)
  others.options.cluster.directory = clusterDirectory()
  // the next one that takes the number on this machine has the same boot
  fs.writeFileSync(lockIn(others.options.cluster.directory), Buffer.of((boot + 255) % 256), { mode: 0o600 })
  const far = await startMember(others, undefined, (started) => hub.join(started))
  assert.equal((await far.ask('metrics')).number, number)
  // the killed one is known for some time
  await until(far, ({ nodes }) => nodes === 2, 'nodes')
  const sid = await openSession(far)
  let answer
  do answer = await post(near, sid, '4a', { ms: 12_000 })
  while (answer.status === 503)
  assert.equal(answer.body, 'ok')
  assert.equal((await poll(near, sid)).body, '4a')
})
