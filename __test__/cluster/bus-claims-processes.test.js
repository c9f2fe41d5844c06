'use strict'

// Sessions that move to the machine where their upgrade comes in, while processes are killed, and between machines with
// several processes.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const socketio = require('socket.io-client')
const { RawWebSocket, defer, once } = require('../support')
const { becomes, startGateways, startMachines, until, upgrade } = require('./bus-support')
const { allTold, openSession, poll, post, says, target } = require('./support')

const hears = (member, sid) => member.seen('connection').some((entry) => entry.sid === sid)

/**
 * Has an owner see that its clients' requests come to others, and tries something with new sessions of it until one has
 * moved to this process.
 */
async function claim(owner, front, attempt) {
  assert.equal((await post(front, await openSession(owner), '4a')).body, 'ok')
  for (let tries = 0; tries < 50; tries++) {
    const sid = await openSession(owner)
    const result = await attempt(sid)
    if ((await front.ask('metrics')).bus.claimed > 0) return { sid, ...result }
  }
  throw new Error('this machine is too slow')
}

/** Requests of a session that moves from `owner` to `front` come in at these processes, before and after that. */
async function servedAfterMove(owner, front, members, [beside, besideFront]) {
  const { sid, waiting, posted } = await claim(owner, front, async (sid) => {
    const waiting = poll(beside, sid)
    const posted = post(besideFront, sid, '4first')
    await new Promise((resolve) => setTimeout(resolve, 30))
    // it ends before it upgrades
    const websocket = await RawWebSocket.open(front.port, target({ sid, transport: 'websocket' }))
    websocket.socket.destroy()
    return { waiting, posted }
  })
  assert.equal((await posted).body, 'ok')
  const answer = (await waiting).body
  if (answer !== '4first') assert.deepEqual([answer, (await poll(beside, sid)).body], ['6', '4first'])
  for (const member of members) {
    const next = poll(member, sid)
    assert.equal((await post(member, sid, `4${member.port}`)).body, 'ok')
    assert.equal((await next).body, `4${member.port}`)
  }
  for (const member of members) assert.equal(hears(member, sid), member === front)
  await front.ask('closeSession', { sid })
  for (const member of members) await becomes(async () => (await poll(member, sid)).status, 400)
}

test('requests that come to other processes of both machines find a session that has moved', async () => {
  const { members } = await startMachines(2, { processes: 2 })
  const [owner, beside, front, besideFront] = members
  await servedAfterMove(owner, front, members, [beside, besideFront])
})

test('requests that come to processes without a bus find a session that has moved', async () => {
  const { gateway, inner, farGateway, farInner } = await startGateways()
  await servedAfterMove(gateway, farGateway, [gateway, inner, farGateway, farInner], [inner, farInner])
})

test('a session that has moved goes on if its opener is killed, and ends with its new owner', async () => {
  const { members } = await startMachines(2)
  const [owner, front] = members
  const { websocket } = await claim(owner, front, async (sid) => ({ websocket: await upgrade(front, sid) }))
  await says(websocket, 'a')
  await owner.kill()
  await says(websocket, 'b')
  const closed = once(websocket.socket, 'close')
  await front.kill()
  await closed
})

test('an opener that is killed during the claim: the session has one owner, or its client is told', async () => {
  const { hub, members } = await startMachines(2)
  const [owner, front] = members
  assert.equal((await post(front, await openSession(owner), '4a')).body, 'ok')
  const sid = await openSession(owner)
  // the front's request, and what the opener says to it
  let left = 2
  hub.fate = () => {
    if (left > 0 && --left === 0) owner.kill()
    return [0]
  }
  const websocket = await upgrade(front, sid).catch((error) => error)
  if (hears(front, sid)) {
    await says(websocket, 'a')
  } else {
    assert.ok(websocket instanceof Error || websocket.socket.destroyed)
    assert.ok([400, 503].includes((await poll(front, sid)).status))
    assert.ok(!hears(front, sid))
  }
})

test('sessions of Socket.IO move, with what its sockets tell of the handshake', async () => {
  const { members, port } = await startMachines(3, {}, 'member-socketio.js')
  let claimed = 0
  for (let tries = 0; tries < 50 && claimed === 0; tries++) {
    const headers = { 'X-Token': `token ${tries}` }
    const client = socketio(`http://127.0.0.1:${port}`, { forceNew: true, reconnection: false, extraHeaders: headers })
    defer(() => client.disconnect())
    await once(client, 'connect')
    assert.deepEqual(await client.emitWithAck('echo', tries, 'a'), [tries, 'a'])
    const told = await allTold(members, 'connection')
    const heard = told.filter(({ id }) => id === client.id)
    assert.equal(heard.length, 1)
    const [{ address, secure, token, query }] = heard
    assert.deepEqual([address, secure, token, query], ['127.0.0.1', false, `token ${tries}`, 'polling'])
    for (const member of members) claimed += (await member.ask('metrics')).bus.claimed
  }
  assert.ok(claimed > 0)
  for (const member of members) await until(member, ({ violations }) => violations === 0, 'no violations')
})
