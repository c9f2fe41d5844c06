'use strict'

// Upgrades where descriptors cannot be passed, as on Windows: the owner makes a connection to the front, which carries
// the bytes. Nothing here is about Windows itself.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')
const { test } = require('node:test')
const { RawWebSocket, defer, eventually, once } = require('../support')
const {
  endByClose,
  openEchoing,
  openSession,
  poll,
  post,
  reaches,
  says,
  startCluster,
  target,
  upgrade,
} = require('./support')

const start = (count, settings) => startCluster(count, { carries: true, ...settings })

/** Two processes, and a WebSocket of a session of the first by way of the second. */
async function startCarried(settings) {
  const { members, directory } = await start(2, settings)
  const [owner, front] = members
  const sid = await openSession(owner)
  const upgraded = once(owner, 'upgrade')
  const websocket = await upgrade(front, sid)
  const [{ address }] = await upgraded
  return { owner, front, sid, websocket, directory, address }
}

/** The paths on which fronts listen for owners. */
const doors = (directory) => fs.readdirSync(directory).filter((name) => name.startsWith('.'))

test('the bytes of an upgrade are carried to the owner, who sees the address of the client', async () => {
  const { owner, front, websocket, address } = await startCarried()
  assert.equal(address, '127.0.0.1')
  for (const text of ['a', 'x'.repeat(500_000)]) await says(websocket, text)
  const { relayed, moved } = await front.ask('metrics')
  assert.deepEqual([relayed, moved], [1, 0])
  assert.equal((await owner.ask('metrics')).accepted, 1)
})

test('the end of either side reaches the other one', async () => {
  const { owner, front, websocket } = await startCarried()
  const closed = once(owner, 'close')
  websocket.sendClose(1000)
  assert.equal((await closed)[0].reason, 'transport close')
  await websocket.end()

  const sid = await openSession(owner)
  const upgraded = once(owner, 'upgrade')
  const other = await upgrade(front, sid)
  await upgraded
  await owner.ask('closeSession', { sid })
  assert.equal((await other.closeFrame()).opcode, 8)
})

test('a client that ends its side gets the answers to what it has sent before', async () => {
  const { owner, websocket } = await startCarried()
  const closed = once(owner, 'close')
  const busy = owner.ask('block', { ms: 300 })
  const texts = ['a', 'x'.repeat(10_000), 'c']
  for (const text of texts) websocket.sendText(`4${text}`)
  websocket.socket.end()
  for (const text of texts) assert.equal(await websocket.packet(), `4${text}`)
  await busy
  await websocket.end()
  assert.equal((await closed)[0].reason, 'transport close')
})

test('a session ends with the process that carries its bytes, and a connection with its owner', async () => {
  const { owner, front } = await startCarried()
  const closed = once(owner, 'close')
  await front.kill()
  assert.match((await closed)[0].reason, /^transport/)

  const { owner: dies, websocket } = await startCarried()
  await dies.kill()
  await websocket.end()
})

test('engine.close() ends the connections that a process carries, and its place in the directory', async () => {
  const { owner, front, websocket, directory } = await startCarried()
  assert.equal(doors(directory).length, 1)
  await endByClose(owner, front, websocket)
  // the front leaves a moment after its connections have ended
  await eventually(() => doors(directory), [])
})

test('a server that drains ends the connections that it carries', async () => {
  const { owner, front, websocket } = await startCarried()
  const [closed, drained] = [once(owner, 'close'), once(front, 'drained')]
  await front.ask('drain', { timeout: 20_000, spread: 100 })
  await websocket.end()
  assert.equal((await closed)[0].reason, 'transport close')
  await drained
})

test('headers, and what came behind the request, reach the other side', async () => {
  const { owner, front, websocket } = await startCarried({
    hooks: true,
    options: { perMessageDeflate: { threshold: 0 } },
  })
  assert.equal(websocket.headers['x-middleware'], String(front.pid))
  assert.equal(websocket.headers['x-headers'], String(owner.pid))
  const path = target({ sid: await openSession(owner), transport: 'websocket' })
  const headers = { 'Sec-WebSocket-Extensions': 'permessage-deflate' }
  const other = await RawWebSocket.open(front.port, path, { headers })
  assert.match(other.headers['sec-websocket-extensions'], /^permessage-deflate/)
})

test('an upgrade that the owner refuses is answered, and the session goes on', async () => {
  const { members } = await start(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  const path = target({ sid, transport: 'websocket' })
  const invalid = await RawWebSocket.open(front.port, path, { headers: { 'Sec-WebSocket-Version': '7' } })
  assert.equal(invalid.status, 400)
  await owner.ask('closeSession', { sid })
  await poll(front, sid)
  const unknown = await RawWebSocket.open(front.port, path)
  assert.equal(unknown.status, 400)
  await eventually(() => unknown.bytes.toString(), 'Session ID unknown')
  const other = await openSession(owner)
  await post(front, other, '4still here')
  assert.equal((await poll(front, other)).body, '4still here')
})

test('strangers are cut off: with another secret at once, and without one in a while', async () => {
  const { websocket, directory } = await startCarried()
  const [door] = doors(directory)
  const connect = () => {
    const socket = net.connect(path.join(directory, door))
    defer(() => socket.destroy())
    return socket
  }
  const [silent, liar] = [connect(), connect()]
  const closed = [once(liar, 'close'), once(silent, 'close', 10_000)]
  liar.write('0'.repeat(32))
  await Promise.all(closed)
  await says(websocket, 'a')
})

test('clients of engine.io-client come by any process, by each transport', async () => {
  const { members, port } = await start(3)
  const ways = Array.from({ length: 12 }, (_, i) =>
    [['polling'], ['websocket'], ['polling', 'websocket'], ['polling', 'websocket']].at(i % 4),
  )
  const clients = await openEchoing(port, ways)
  await eventually(() => clients.filter(({ transport }) => transport.name === 'websocket').length, 9, 20_000)
  const counts = await Promise.all(members.map((member) => member.ask('metrics')))
  assert.ok(counts.some(({ forwarded, relayed }) => forwarded + relayed > 0))
  assert.ok(counts.every(({ moved }) => moved === 0))
})

test('many connections are carried at once', async () => {
  const { members } = await start(3)
  const [owner, ...fronts] = members
  const one = async (i) => {
    const websocket = await upgrade(fronts[i % 2], await openSession(owner))
    await says(websocket, `message ${i}`)
  }
  await Promise.all(Array.from({ length: 60 }, (_, i) => one(i)))
  assert.equal((await owner.ask('clients')).length, 60)
  await reaches(fronts[0], 'relayed', 30)
})
