'use strict'

// Ids that the application makes do not name their owner, and come again.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { RawWebSocket, defer, eventually, once, request } = require('../support')
const { eventsOf, heardOf, startMachine } = require('./claims-support')
const { clusterDirectory, openSession, poll, post, reaches, says, startCluster, target, upgrade } = require('./support')

const start = () => startCluster(3, { ids: 'wanted' })

test('an id that nobody had a moment ago is found', async () => {
  const { members } = await start()
  const [owner, front] = members
  assert.equal((await poll(front, 'wanted-a')).status, 400)
  await openSession(owner, { wanted: 'wanted-a' })
  assert.equal((await post(front, 'wanted-a', '4a')).status, 200)
  assert.equal((await poll(front, 'wanted-a')).body, '4a')
})

test('an id is found although its owner is busy', async () => {
  const { members } = await start()
  const [owner, front] = members
  await openSession(owner, { wanted: 'wanted-f' })
  const busy = owner.ask('block', { ms: 2000 })
  assert.equal((await post(front, 'wanted-f', '4a')).status, 200)
  await busy
})

test('an id that another process has had before is found with its new owner, by all kinds of requests', async () => {
  const { members } = await start()
  const [one, other, front] = members
  for (let i = 0; i < 6; i++) {
    const [owner, last] = i % 2 === 0 ? [one, other] : [other, one]
    await openSession(owner, { wanted: 'wanted-b' })
    if (i % 3 === 0) {
      assert.equal((await post(front, 'wanted-b', `4${i}`)).status, 200)
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

/** Two servers of this process, which are one cluster. Ids are what requests ask for. */
async function startServers() {
  const cluster = { directory: clusterDirectory() }
  const prepare = ({ engine }) => (engine.generateId = (req) => req._query.wanted)
  return [await startMachine(undefined, { cluster }, prepare), await startMachine(undefined, { cluster }, prepare)]
}

/** Ids with characters that mean something in messages between processes, in URLs or in texts. */
const ODD_IDS = {
  NUL: '\0',
  'a NUL at its end': 'a\0',
  'NULs in the manner of a head': 'a\0\0\0\0\0\0\0GET\0/engine.io/?sid=a\0' + '1.1\0',
  'line breaks': 'a\r\nX-Header: a\r\n\r\n',
  'the characters of a query': 'a&sid=b#c?d=%00%zz+e',
  'a slash and quotes': '../"a\'\\b',
  'characters beyond ASCII': 'ä€😀\u2028',
  'the name of a member of all objects': '__proto__',
  '300 characters': 'a'.repeat(300),
}

for (const [what, sid] of Object.entries(ODD_IDS)) {
  test(`an id of the application may be ${what}: its session is found, and no other one`, async () => {
    const [owner, front] = await startServers()
    // those with which it might be confused
    const others = ['a', 'b', `${sid}a`]
    for (const other of others) await openSession(owner, { wanted: other })
    assert.equal(await openSession(owner, { wanted: sid }), sid)
    assert.equal((await post(front, sid, '4posted')).body, 'ok')
    assert.equal((await poll(front, sid)).body, '4posted')
    const websocket = await upgrade(front, sid)
    await says(websocket, 'upgraded')
    assert.deepEqual(heardOf(owner, sid).flat(), ['posted', 'upgraded'])
    for (const other of others) assert.deepEqual(eventsOf(owner, other), ['connection'])
  })

  test(`a POST that breaks off ends the session whose id is ${what}, and no other one`, async () => {
    const [owner, front] = await startServers()
    const others = ['a', 'b', `${sid}a`]
    for (const other of [...others, sid]) await openSession(owner, { wanted: other })
    const headers = { 'Content-Type': 'text/plain', 'Content-Length': 100 }
    const half = request({ port: front.port, method: 'POST', path: target({ sid }), headers, body: null })
    half.catch(() => {})
    half.req.write('4half', () => setTimeout(() => half.req.destroy(), 50))
    await eventually(() => eventsOf(owner, sid), ['connection', 'close'])
    for (const other of others) assert.deepEqual(eventsOf(owner, other), ['connection'])
  })
}

test('an id of the application that is like the head of a request changes nothing of the request', async () => {
  const [owner, front] = await startServers()
  await openSession(owner, { wanted: 'victim' })
  const head = ['', '1', '6.6.6.6', '1', '', '', 'POST', target({ sid: 'victim' }), '1.1', 'Content-Length', '2']
  const sid = ['a', ...head].join('\0')
  await openSession(owner, { wanted: sid })
  const requests = []
  owner.engine.on('headers', (headers, req) => requests.push([req.method, req.socket.remoteAddress]))
  assert.equal((await post(front, sid, '4a')).body, 'ok')
  assert.equal((await poll(front, sid)).body, '4a')
  assert.deepEqual(requests, [
    ['POST', '127.0.0.1'],
    ['GET', '127.0.0.1'],
  ])
  assert.deepEqual([eventsOf(owner, 'victim'), heardOf(owner, sid).flat()], [['connection'], ['a']])
})
