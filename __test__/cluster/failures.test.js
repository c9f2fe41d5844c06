'use strict'

// Processes that go, with and without notice.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const { test } = require('node:test')
const eio = require('engine.io-client')
const { RawWebSocket, defer, once } = require('../support')
const { openSession, poll, post, reaches, startCluster, startMember, target } = require('./support')

const UNKNOWN = '{"code":1,"message":"Session ID unknown"}'

test('an owner is killed: what waits for it is answered, and its ids are dead at once', async () => {
  const { members } = await startCluster(3)
  const [owner, front, other] = members
  const sids = await Promise.all(Array.from({ length: 5 }, () => openSession(owner)))
  const waiting = sids.map((sid) => poll(front, sid))
  await reaches(owner, 'served', 5)
  await owner.kill()
  for (const { status, body } of await Promise.all(waiting)) assert.deepEqual([status, body], [400, UNKNOWN])
  for (const member of [front, other, front, other]) {
    const answer = await poll(member, sids[0], { ms: 4000 })
    assert.deepEqual([answer.status, answer.body], [400, UNKNOWN])
    const websocket = await RawWebSocket.open(member.port, target({ sid: sids[0], transport: 'websocket' }))
    assert.equal(websocket.status, 400)
  }
  assert.ok((await front.ask('metrics')).gone > 0, 'the second answer took no question')
})

test('an owner is killed under traffic: every client hears of it, and finds another process', async () => {
  // one that has just paused its polls for an upgrade hears of it by a ping that does not come
  const { members, port } = await startCluster(3, { options: { pingInterval: 300, pingTimeout: 5000 } })
  const [owner] = members
  const clients = []
  // until this process has sessions, and others do
  for (let i = 0; i < 12 || [0, i].includes((await owner.ask('clients')).length); i++) {
    const transports = [['polling'], ['polling', 'websocket'], ['websocket']][i % 3]
    const client = new eio.Socket(`http://127.0.0.1:${port}`, { transports })
    defer(() => client.close())
    await once(client, 'open')
    client.on('message', () => client.send('again'))
    client.send('first')
    clients.push(client)
  }
  const mine = new Set(await owner.ask('clients'))
  const lost = clients.filter(({ id }) => mine.has(id))
  const kept = clients.filter(({ id }) => !mine.has(id))
  const closes = lost.map((client) => once(client, 'close'))
  await owner.kill()
  await Promise.all(closes)
  // what the killed process had in hand for others is lost with it, as behind any balancer; the others go on
  const going = kept.filter(({ readyState }) => readyState === 'open')
  await Promise.all(going.map((client) => Promise.race([once(client, 'message'), once(client, 'close')])))
  const again = new eio.Socket(`http://127.0.0.1:${port}`)
  defer(() => again.close())
  await once(again, 'open')
})

test('the process that has passed requests on is killed: its clients end their sessions, no others do', async () => {
  const { members } = await startCluster(3)
  const [owner, front, other] = members
  const [lost, kept] = [await openSession(owner), await openSession(owner)]
  const cut = poll(front, lost)
  await reaches(owner, 'served', 1)
  const waiting = poll(other, kept)
  await reaches(owner, 'served', 2)
  const closed = once(owner, 'close')
  await front.kill()
  await assert.rejects(cut)
  assert.deepEqual((await closed)[0].sid, lost)
  await post(other, kept, '4a')
  assert.equal((await waiting).body, '4a')
})

test('a number is used again by the next process, with other ids', async () => {
  const { members, settings, directory } = await startCluster(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  await owner.kill()
  assert.ok(fs.existsSync(`${directory}/0.sock`), 'it could not clean up')
  const next = await startMember(settings)
  assert.equal((await next.ask('metrics')).number, 0)
  for (const member of [next, front]) assert.equal((await poll(member, sid)).status, 400)
  const fresh = await openSession(next)
  const answer = poll(front, fresh)
  await post(front, fresh, '4a')
  assert.equal((await answer).body, '4a')
})

test('sockets of killed processes are removed', async () => {
  const { members, settings, directory } = await startCluster(3)
  await Promise.all(members.map((member) => member.kill()))
  await startMember(settings)
  const sockets = fs.readdirSync(directory).filter((name) => name.endsWith('.sock'))
  assert.deepEqual(sockets, ['0.sock'])
})

test('a process that closes leaves the cluster, and polls that it has passed on go on elsewhere', async () => {
  const { members, directory } = await startCluster(3)
  const [owner, front, other] = members
  const [foreign, own] = [await openSession(owner), await openSession(front)]
  const waiting = poll(front, foreign)
  await reaches(owner, 'served', 1)
  const there = poll(owner, own)
  await reaches(front, 'served', 1)
  await front.ask('close')
  assert.equal((await waiting).body, '6', 'a noop, after which the client polls again')
  assert.equal((await there).status, 200, 'its own sessions are closed')
  const next = poll(other, foreign)
  await post(other, foreign, '4a')
  assert.equal((await next).body, '4a')
  assert.equal((await poll(owner, own)).status, 400)
  for (let i = 0; i < 500 && fs.existsSync(`${directory}/1.sock`); i++) await new Promise((r) => setTimeout(r, 10))
  assert.ok(!fs.existsSync(`${directory}/1.sock`))
})
