'use strict'

// Requests that come in while a session moves: long POSTs, of which the owner has a part, those of sessions that end, and
// further upgrades.

const assert = require('node:assert/strict')
const net = require('node:net')
const { test } = require('node:test')
const { promisify } = require('node:util')
const { kState } = require('../../lib/base/symbols')
const { RawWebSocket, defer, eventually, request } = require('../support')
const { frame, upgradeRequest } = require('../support/frames')
const { becomes } = require('./bus-support')
const { TELLS, eventsOf, heardOf, startMachines, whileUnheard } = require('./claims-support')
const { openSession, poll, post, target, upgrade } = require('./support')

for (const [where, index] of [
  ['its opener', 0],
  ['its new owner', 1],
  ['a third machine', 2],
]) {
  for (const length of [20_000, 300_000]) {
    test(`a POST of ${length} bytes at ${where}, beside the upgrade, reaches the session once`, async () => {
      const { machines } = await startMachines(3)
      const [owner, front] = machines
      const text = 'y'.repeat(length)
      let moved = 0
      for (let i = 0; i < 10; i++) {
        const sid = await openSession(owner)
        const upgraded = RawWebSocket.open(front.port, target({ sid, transport: 'websocket' }))
        // the next messages of the bus are on their way
        for (let turn = 0; turn < i; turn++) await new Promise((resolve) => setImmediate(resolve))
        const [posted, websocket] = await Promise.all([post(machines[index], sid, `4${text}`), upgraded])
        assert.deepEqual([posted.status, posted.body], [200, 'ok'])
        const heard = () => machines.flatMap((machine) => heardOf(machine, sid)).flat()
        await eventually(() => heard().map((data) => data.length), [length])
        if (front.hears(sid)) moved++
        websocket.sendText('2probe')
        assert.equal(await websocket.packet(), '3probe')
        websocket.socket.destroy()
      }
      // one at the opener keeps the session where it is, if it comes first
      assert.ok(moved > 0 || index === 0, `${moved} sessions have moved`)
      for (const machine of machines) assert.equal(machine.bus().violations, 0)
    })
  }
}

test('a POST that waits is answered when its session ends by two polls at once', async () => {
  const { machines } = await startMachines(2)
  const [owner, front] = machines
  for (const at of [owner, front]) {
    await whileUnheard(owner, async (sid) => {
      const start = performance.now()
      // an owner that says nothing is waited for for 30 s
      const posted = post(at, sid, '4a', { ms: 40_000 }).then(
        ({ status }) => status,
        () => 'cut off',
      )
      await new Promise((resolve) => setTimeout(resolve, 20))
      if (owner.hears(sid)) return undefined
      const polls = Promise.allSettled([poll(owner, sid), poll(owner, sid)])
      const outcome = await posted
      // the application has heard of the session before the polls came
      if (eventsOf(owner, sid).includes('message')) return undefined
      await polls
      assert.ok(['cut off', 400, 503].includes(outcome), `${outcome}`)
      assert.ok(performance.now() - start < 15_000)
      assert.deepEqual(eventsOf(owner, sid), ['connection', 'close'])
      return sid
    })
  }
})

test('of an upgrade that was refused before the session moved nothing is left', async () => {
  const { machines } = await startMachines(2)
  const [owner, front] = machines
  const { port } = front
  for (let i = 0; i < 5; i++) {
    await whileUnheard(owner, async (sid) => {
      const headers = { Connection: 'Upgrade', Upgrade: 'websocket' }
      const refused = request({ port, path: target({ sid, transport: 'websocket', EIO: '3' }), headers })
      const websocket = await upgrade(front, sid)
      assert.equal((await refused).status, 400)
      websocket.socket.destroy()
      return front.hears(sid) ? sid : undefined
    })
  }
  // what is under way is not seen from outside, but for how long a server that closes waits for it
  await eventually(() => owner.engine[kState].cluster.nodes.hasStreams, false)
})

test('of two upgrades at once at the machine to which the session moves one goes on, and both are answered', async () => {
  const { machines } = await startMachines(2)
  const [owner, front] = machines
  const path = (sid) => target({ sid, transport: 'websocket' })
  let refused = 0
  for (let i = 0; i < 20; i++) {
    const sid = await openSession(owner)
    const both = await Promise.all([1, 2].map(() => RawWebSocket.open(front.port, path(sid)).catch((error) => error)))
    const open = both.filter((one) => one instanceof RawWebSocket)
    refused += 2 - open.length
    for (const websocket of open) websocket.sendText('2probe')
    const answers = await Promise.all(open.map((websocket) => websocket.packet().catch(() => 'closed')))
    assert.ok(answers.filter((answer) => answer === '3probe').length === 1, String(answers))
    for (const websocket of open) websocket.socket.destroy()
  }
  assert.equal(refused, 0)
  // the HTTP server has counted each connection once
  const connections = promisify(front.httpServer.getConnections.bind(front.httpServer))
  await becomes(connections, 0)
})

test('a session ends with its client that has ended its side while another machine was asked for the upgrade', async () => {
  const { machines } = await startMachines(2, { prepare: TELLS.allowRequest })
  const [owner, front] = machines
  const sid = await openSession(owner)
  const socket = net.connect(front.port, '127.0.0.1')
  defer(() => socket.destroy())
  const frames = ['2probe', '5'].map((payload) => frame({ payload }))
  socket.end(Buffer.concat([Buffer.from(upgradeRequest(target({ sid, transport: 'websocket' }))), ...frames]))
  socket.resume()
  await eventually(() => eventsOf(owner, sid), ['connection', 'close'])
})
