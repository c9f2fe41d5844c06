'use strict'

// Connections over TLS, whose bytes the process carries that they have reached.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { defer, once } = require('../support')
const { connectTls, endByClose, openSessionTls, says, startCluster, upgrade } = require('./support')

/** Two processes, and a WebSocket of a session of the first by way of the second. */
async function startRelay() {
  const { members } = await startCluster(2, { tls: true })
  const [owner, front] = members
  const sid = await openSessionTls(owner)
  const websocket = await upgrade(front, sid, await connectTls(front))
  await says(websocket, 'first')
  return { owner, front, sid, websocket }
}

test('a client that ends its side gets the answers to what it has sent before', async () => {
  const { owner, front, websocket } = await startRelay()
  const closed = once(owner, 'close')
  // the end of its side is there before the first answer
  const busy = owner.ask('block', { ms: 300 })
  const texts = ['a', 'x'.repeat(10_000), 'c']
  for (const text of texts) websocket.sendText(`4${text}`)
  websocket.socket.end()
  for (const text of texts) assert.equal(await websocket.packet(), `4${text}`)
  await busy
  await websocket.end()
  assert.equal((await closed)[0].reason, 'transport close')
  const over = once(front, 'closed')
  await front.ask('close')
  await over
})

test('engine.close() in the process that carries it ends the connection, and the owner hears of it', async () => {
  const { owner, front, websocket } = await startRelay()
  await endByClose(owner, front, websocket)
})

test('engine.close() does not wait for an owner that is stopped', async () => {
  const { owner, front, websocket } = await startRelay()
  process.kill(owner.pid, 'SIGSTOP')
  defer(() => process.kill(owner.pid, 'SIGCONT'))
  const over = once(front, 'closed')
  await front.ask('close')
  await websocket.end()
  await over
})

test('a server that drains ends the connections that it carries, and waits for that', async () => {
  const { owner, front, sid, websocket } = await startRelay()
  const [closed, drained] = [once(owner, 'close'), once(front, 'drained')]
  await front.ask('drain', { timeout: 20_000, spread: 100 })
  await websocket.end()
  assert.deepEqual([(await closed)[0].sid, (await closed)[0].reason], [sid, 'transport close'])
  const [outcome] = await drained
  assert.deepEqual([outcome.sessions, outcome.terminated], [0, 0], 'it has no session of its own')
})
