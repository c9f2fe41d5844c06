'use strict'

// What happens to a session after it has moved to another machine: the application breaks what the move has assumed, or
// another upgrade comes in somewhere else.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { RawWebSocket, defer, eventually, once } = require('../support')
const { becomes } = require('./bus-support')
const {
  Bus,
  TELLS,
  claim,
  eventsOf,
  heardOf,
  seeForeign,
  startMachine,
  startMachines,
  upgradeWithoutProbe,
  whileUnheard,
} = require('./claims-support')
const { clusterDirectory, poll, post, says, target, upgrade } = require('./support')

/** Has a session move whose client goes on polling. Returns its id, and the connection of the upgrade. */
function claimPolling(owner, front) {
  return whileUnheard(owner, async (sid) => {
    const websocket = await upgradeWithoutProbe(front, sid)
    if (front.hears(sid)) return { sid, websocket }
    websocket.destroy()
    return undefined
  })
}

/** A session that polls is served by all machines. */
async function isServed(sid, machines) {
  for (const machine of machines) {
    assert.equal((await post(machine, sid, `4${machine.port}`)).body, 'ok')
    assert.equal((await poll(machine, sid)).body, `4${machine.port}`)
  }
}

/** What listens to a session, or replaces one of its methods. */
const LISTENS = {
  'a listener for packets of a session': ({ sockets }, sid) => sockets.get(sid)?.on('packet', () => {}),
  'a listener for packets of its transport': ({ sockets }, sid) => sockets.get(sid)?.transport.on('packet', () => {}),
  'a listener for flushes of a session': ({ sockets }, sid) => sockets.get(sid)?.on('flush', () => {}),
  'a replaced method of a session': ({ sockets }, sid) => {
    const socket = sockets.get(sid)
    if (socket === undefined) return
    const { onPacket } = socket
    socket.onPacket = function (packet) {
      return onPacket.call(this, packet)
    }
  },
  'a use of the table of clients': ({ engine }, sid) => engine.clients[sid]?.emit('seen'),
  'a broadcast': ({ engine }, sid) => engine.broadcast([sid], 'everybody', { volatile: true }),
}

for (const [what, tell] of Object.entries({ ...TELLS, ...LISTENS })) {
  test(`${what} after the move changes nothing for a session that has moved`, async () => {
    const { machines } = await startMachines(2)
    const [owner, front] = machines
    const moved = [await claim(owner, front), await claim(owner, front)]
    const polling = await claimPolling(owner, front)
    polling.websocket.destroy()
    const restores = []
    defer(() => restores.forEach((restore) => restore()))
    for (const machine of machines) {
      for (const { sid } of [...moved, polling]) {
        const restore = tell(machine, sid)
        // the last one first
        if (typeof restore === 'function') restores.unshift(restore)
      }
      const isTold = what === 'a broadcast' && machine === front
      for (const { websocket } of moved) {
        if (isTold) assert.equal(await websocket.packet(), '4everybody')
        await says(websocket, 'a')
      }
      if (isTold) assert.equal((await poll(owner, polling.sid)).body, '4everybody')
      await isServed(polling.sid, machines)
    }
    const sids = [...moved, polling].map(({ sid }) => sid)
    for (const sid of sids) assert.deepEqual(eventsOf(owner, sid), [])
    assert.deepEqual(
      sids.map((sid) => [Object.hasOwn(owner.engine.clients, sid), Object.hasOwn(front.engine.clients, sid)]),
      sids.map(() => [false, true]),
    )
    // each ends once, where it is
    for (const { websocket } of moved) websocket.sendClose(1000)
    await post(owner, polling.sid, '1')
    for (const sid of sids) {
      await eventually(() => eventsOf(front, sid).filter((event) => event !== 'message'), ['connection', 'close'])
      for (const machine of machines) await becomes(async () => (await poll(machine, sid)).status, 400)
      assert.deepEqual(eventsOf(owner, sid), [])
    }
    assert.equal(owner.bus().violations + front.bus().violations, 0)
  })
}

/** Two machines, each of two processes with the bus and one without, and a third machine. */
async function startProcesses() {
  const bus = new Bus()
  const start = async (directory, isOnBus) =>
    startMachine(bus, { cluster: isOnBus ? { directory } : { directory, bus: undefined } })
  const [near, far] = [clusterDirectory(), clusterDirectory()]
  const members = {
    owner: await start(near, true),
    beside: await start(near, true),
    inner: await start(near, false),
    front: await start(far, true),
    besideFront: await start(far, true),
    innerFront: await start(far, false),
    third: await start(clusterDirectory(), true),
  }
  const nodes = Object.values(members).filter((member) => member.bus() !== undefined)
  for (const node of nodes) await eventually(() => node.bus().nodes, nodes.length - 1)
  for (const node of nodes.slice(0, -1)) await eventually(() => node.bus().neighbours, 1)
  await seeForeign(members.owner, members.front)
  return members
}

/** Where a second upgrade comes in. */
const PLACES = {
  'its opener': 'owner',
  'a process beside its opener': 'beside',
  'a process without a bus beside its opener': 'inner',
  'its new owner': 'front',
  'a process beside its new owner': 'besideFront',
  'a process without a bus beside its new owner': 'innerFront',
  'a third machine': 'third',
}

for (const [place, name] of Object.entries(PLACES)) {
  test(`a second upgrade at ${place} is closed, and the session goes on, as on one server`, async () => {
    const members = await startProcesses()
    const { owner, front } = members
    const at = members[name]
    const { sid, websocket } = await claim(owner, front)
    await says(websocket, 'a')
    const second = await RawWebSocket.open(at.port, target({ sid, transport: 'websocket' }))
    assert.equal((await second.frame()).opcode, 8)
    await says(websocket, 'b')

    // while the first one has not sent its probe
    const probing = await claimPolling(owner, front)
    const other = await RawWebSocket.open(at.port, target({ sid: probing.sid, transport: 'websocket' }))
    assert.equal(other.status, 101)
    other.sendText('2probe')
    await isServed(probing.sid, [owner, front, at])
    for (const member of Object.values(members)) {
      if (member !== front) assert.deepEqual([...eventsOf(member, sid), ...eventsOf(member, probing.sid)], [])
    }
    assert.deepEqual(heardOf(front, sid).flat(), ['a', 'b'])
  })

  test(`a second upgrade at ${place}, after the first one has failed, completes`, async () => {
    const members = await startProcesses()
    const { owner, front } = members
    const at = members[name]
    const { sid, websocket } = await claimPolling(owner, front)
    const { upgrades } = front.engine.metrics()
    websocket.destroy()
    await eventually(() => front.engine.metrics().upgrades.failed.closed, upgrades.failed.closed + 1)
    await isServed(sid, [at])
    const second = await upgrade(at, sid)
    await says(second, 'a')
    for (const member of Object.values(members)) assert.equal(member.hears(sid), member === front)
    const ended = once(front.sockets.get(sid), 'close')
    second.sendClose(1000)
    await ended
    for (const member of Object.values(members)) await becomes(async () => (await poll(member, sid)).status, 400)
  })
}
