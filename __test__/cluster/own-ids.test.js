'use strict'

// Ids that the application makes do not name their owner, and come again.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { RawWebSocket, defer, once } = require('../support')
const { openSession, poll, post, reaches, says, startCluster, target, upgrade } = require('./support')

const start = () => startCluster(3, { ids: 'wanted' })

test('an id that nobody had a moment ago is found', async () => {
  const { members } = await start()
  const [owner, front] = members
  assert.equal((await poll(front, 'wanted-a')).status, 400)
  await openSession(owner, { wanted: 'wanted-a' })
  assert.equal((await post(front, 'wanted-a', '4a')).status, 200)
  assert.equal((await poll(front, 'wanted-a')).body, '4a')
})

test('an id that another process has had before is found with its new owner, by all kinds of requests', async () => {
  const { members } = await start()
  const [one, other, front] = members
  for (let i = 0; i < 6; i++) {
    const [owner, last] = i % 2 === 0 ? [one, other] : [other, one]
    await openSession(owner, { wanted: 'wanted-b' })
    if (i % 3 === 0) {
      await post(front, 'wanted-b', `4${i}`)
      assert.equal((await poll(front, 'wanted-b')).body, `4${i}`)
    } else if (i % 3 === 1) {
      const waiting = poll(front, 'wanted-b')
      await post(owner, 'wanted-b', `4${i}`)
      assert.equal((await waiting).body, `4${i}`)
    } else {
      await says(await upgrade(front, 'wanted-b'), String(i))
    }
    const closed = once(owner, 'close')
    await owner.ask('closeSession', { sid: 'wanted-b' })
    // a session that polls ends with the answer to a poll
    if (i % 3 !== 2) assert.equal((await poll(front, 'wanted-b')).status, 200)
    await closed
    assert.deepEqual([...(await owner.ask('clients')), ...(await last.ask('clients'))], [])
  }
  assert.deepEqual(front.seen('connection_error'), [])
})

test('an id whose owner was killed is found with its new owner', async () => {
  const { members } = await start()
  const [one, other, front] = members
  for (const sid of ['wanted-c', 'wanted-d']) {
    await openSession(one, { wanted: sid })
    assert.equal((await post(front, sid, '4a')).status, 200)
  }
  await one.kill()
  await reaches(front, 'links', 1)
  for (const sid of ['wanted-c', 'wanted-d']) await openSession(other, { wanted: sid })
  assert.equal((await post(front, 'wanted-c', '4a')).status, 200)
  assert.equal((await poll(front, 'wanted-c')).body, '4a')
  await says(await upgrade(front, 'wanted-d'), 'b')
})

test('long ids that nobody has are refused, and not kept', async () => {
  const { members } = await start()
  const [, front] = members
  const ask = async (count) => {
    for (let i = 0; i < count; i++) assert.equal((await poll(front, `${i}-${'x'.repeat(10_000)}`)).status, 400)
  }
  const path = target({ sid: 'x'.repeat(10_000), transport: 'websocket' })
  assert.equal((await RawWebSocket.open(front.port, path)).status, 400)
  await ask(50)
  const before = await front.ask('heap')
  await ask(300)
  const grown = (await front.ask('heap')) - before
  assert.ok(grown < 1_000_000, `the heap has grown by ${grown} bytes`)
  await reaches(front, 'waiting', 0)
})

test('a process that closes while it asks for an id goes on, and answers', async () => {
  const { members } = await start()
  const [owner, other, front] = members
  await openSession(owner, { wanted: 'wanted-e' })
  // now there are links to both
  assert.equal((await poll(front, 'wanted-nobody')).status, 400)
  for (const member of [owner, other]) {
    process.kill(member.pid, 'SIGSTOP')
    defer(() => process.kill(member.pid, 'SIGCONT'))
  }
  const posted = post(front, 'wanted-e', '4a')
  await reaches(front, 'waiting', 2)
  const closed = once(front, 'closed')
  await front.ask('close')
  for (const member of [owner, other]) process.kill(member.pid, 'SIGCONT')
  // the time for an answer may be over
  assert.ok([200, 400].includes((await posted).status))
  await closed
})
