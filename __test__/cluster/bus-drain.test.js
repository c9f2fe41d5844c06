'use strict'

// A process that is about to stop, and relays connections over a bus.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { RawWebSocket, eventually, frame, once } = require('../support')
const { Hub, becomes, says, startMachines, until, upgrade } = require('./bus-support')
const { endByClose, openSession, poll, post, target } = require('./support')

/** Two machines, and a WebSocket of a session of the first by way of the second. */
async function startRelay(hub) {
  const { members } = await startMachines(2, { hub, stays: true })
  const [owner, front] = members
  const sid = await openSession(owner)
  const websocket = await upgrade(front, sid)
  await says(websocket, 'first')
  return { owner, front, sid, websocket }
}

test('a server that drains ends the connections that it relays, and waits for that', async () => {
  const { owner, front, sid, websocket } = await startRelay()
  const [closed, drained] = [once(owner, 'close'), once(front, 'drained')]
  await front.ask('drain', { timeout: 20_000, spread: 100 })
  await websocket.end()
  assert.deepEqual([(await closed)[0].sid, (await closed)[0].reason], [sid, 'transport close'])
  const [outcome] = await drained
  assert.deepEqual([outcome.sessions, outcome.terminated], [0, 0], 'it has no session of its own')
  assert.equal(await front.ask('connections'), 0)
  await until(owner, ({ served }) => served === 0, 'no relay')
})

test('connections that it relays end within the spread, and polls of other sessions are still answered', async () => {
  const { owner, front, websocket } = await startRelay()
  const others = []
  for (let i = 0; i < 3; i++) others.push(await upgrade(front, await openSession(owner)))
  const polls = await openSession(owner)
  const drained = once(front, 'drained', 20_000)
  await front.ask('drain', { timeout: 20_000, spread: 1500 })
  await Promise.all([websocket, ...others].map((one) => one.end()))
  assert.equal((await post(front, polls, '4a')).body, 'ok')
  assert.equal((await poll(front, polls)).body, '4a')
  await drained
  await becomes(async () => (await owner.ask('clients')).length, 1)
})

test('an upgrade that comes in while it drains is relayed, and ends with the others', async () => {
  const { owner, front, websocket } = await startRelay()
  const sid = await openSession(owner)
  const drained = once(front, 'drained', 20_000)
  await front.ask('drain', { timeout: 20_000, spread: 10_000 })
  // its end may come at once: what the client has sent with the request is relayed, and answered
  const head = Buffer.concat(['2probe', '5', '4late'].map((payload) => frame({ payload })))
  const late = await RawWebSocket.open(front.port, target({ sid, transport: 'websocket' }), { head })
  for (const text of ['3probe', '4late']) assert.equal(await late.packet(), text)
  await Promise.all([websocket.end(15_000), late.end(15_000)])
  await drained
})

test('what the client has sent before arrives, and what the owner has sent before is read', async () => {
  const hub = new Hub()
  const { owner, front, websocket } = await startRelay(hub)
  const closed = once(owner, 'close')
  // the answers are there before the end of the client's side
  const busy = owner.ask('block', { ms: 300 })
  const texts = ['a', 'x'.repeat(10_000), 'c']
  hub.record = []
  websocket.write(Buffer.concat(texts.map((text) => frame({ opcode: 1, payload: `4${text}` }))))
  await eventually(() => hub.record.some(({ bytes }) => bytes.length > 10_000), true)
  const drained = once(front, 'drained')
  await front.ask('drain', { timeout: 20_000, spread: 0 })
  for (const text of texts) assert.equal(await websocket.packet(), `4${text}`)
  await busy
  await websocket.end()
  assert.equal((await closed)[0].reason, 'transport close')
  await drained
})

test('engine.close() in the process that relays it ends the connection, and the owner hears of it', async () => {
  const { owner, front, websocket } = await startRelay()
  await endByClose(owner, front, websocket)
  await until(owner, ({ served }) => served === 0, 'no relay')
})

test('drain() and close() do not wait for a bus that is down', async () => {
  const hub = new Hub()
  const { owner, front, websocket } = await startRelay(hub)
  const second = await upgrade(front, await openSession(owner))
  hub.isDown = true
  const drained = once(front, 'drained', 20_000)
  await front.ask('drain', { timeout: 20_000, spread: 0 })
  await Promise.all([websocket.end(), second.end()])
  await drained
  const over = once(front, 'closed')
  await front.ask('close')
  await over
})

test('the owner of a relayed connection drains: the client gets its close frame, and the drain waits for it', async () => {
  const { owner, websocket } = await startRelay()
  const drained = once(owner, 'drained')
  await owner.ask('drain', { timeout: 20_000, spread: 0 })
  assert.equal((await websocket.closeFrame()).opcode, 8)
  websocket.sendClose(1000)
  const [{ sessions, closed }] = await drained
  assert.deepEqual([sessions, closed], [1, 1])
})
