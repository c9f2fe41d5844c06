'use strict'

// Polls and POSTs that reach another process than the one that has the session.

const assert = require('node:assert/strict')
const { createHash } = require('node:crypto')
const { test } = require('node:test')
const { deadline, once, request } = require('../support')
const {
  connectHttp2,
  openSession,
  poll,
  post,
  reaches,
  startCluster,
  startMember,
  target,
  upgrade,
} = require('./support')

const UNKNOWN = '{"code":1,"message":"Session ID unknown"}'

test('a poll and a POST are answered as by the owner', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  const waiting = poll(front, sid)
  const posted = await post(front, sid, '4hello')
  assert.deepEqual([posted.status, posted.body], [200, 'ok'])
  assert.equal(posted.headers['content-type'], 'text/html')
  const answer = await waiting
  assert.deepEqual([answer.status, answer.body], [200, '4hello'])
  assert.equal(answer.headers['content-type'], 'text/plain; charset=UTF-8')
  assert.equal(answer.headers['content-length'], '6')
  assert.equal(answer.headers['cache-control'], 'no-store')
})

test('a poll and a POST over HTTP/2 are answered as by the owner', async () => {
  const { members } = await startCluster(2, { tls: 'http2' })
  const [owner, front] = members.map(connectHttp2)
  const { sid } = JSON.parse((await owner()).body.slice(1))
  const waiting = front({ sid })
  assert.deepEqual(await front({ sid }, { ':method': 'POST' }, '4hello'), { status: 200, body: 'ok' })
  assert.deepEqual(await waiting, { status: 200, body: '4hello' })
  const text = `4${'x'.repeat(500_000)}`
  await front({ sid }, { ':method': 'POST' }, text)
  assert.deepEqual(await front({ sid }), { status: 200, body: text })
})

test('an answer over HTTP/2 that the client does not take is lost with its connection: the session ends', async () => {
  const { members } = await startCluster(2, { tls: 'http2' })
  const [owner, front] = members
  const { sid } = JSON.parse((await connectHttp2(owner)()).body.slice(1))
  const ask = connectHttp2(front)
  await ask({ sid }, { ':method': 'POST' }, `4${'x'.repeat(500_000)}`)
  const stream = ask.session.request({ ':path': target({ sid }) })
  stream.end()
  stream.on('error', () => {})
  await once(stream, 'response')
  const closed = once(owner, 'close')
  ask.session.destroy()
  assert.equal((await closed)[0].why, 'poll connection closed prematurely')
  await reaches(front, 'waiting', 0)
})

test('messages of any content and size pass', async () => {
  const { members } = await startCluster(2, { options: { maxHttpBufferSize: 4e6, httpCompression: false } })
  const [owner, front] = members
  const sid = await openSession(owner)
  for (const text of ['', 'ä€😀', '\u0000', 'x'.repeat(3e6)]) {
    await post(front, sid, `4${text}`)
    assert.equal((await poll(front, sid)).body, `4${text}`)
  }
  await post(front, sid, `b${Buffer.from([0, 255, 1]).toString('base64')}`)
  assert.equal((await poll(front, sid)).body, 'bAP8B')
})

test('a large answer is compressed if the client accepts that', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  await post(front, sid, `4${'x'.repeat(5000)}`)
  const answer = await poll(front, sid, { headers: { 'Accept-Encoding': 'gzip' } })
  assert.equal(answer.headers['content-encoding'], 'gzip')
  assert.equal(require('node:zlib').gunzipSync(answer.buffer).toString(), `4${'x'.repeat(5000)}`)
})

test('messages keep their order and none is lost, whichever processes the requests of a client reach', async () => {
  const { members } = await startCluster(3)
  const sid = await openSession(members[0])
  const expected = Array.from({ length: 60 }, (_, i) => `4message ${i}`)
  const received = []
  let polls = 1
  const receive = async () => {
    while (received.length < 2 * expected.length) {
      const { status, body } = await poll(members[polls++ % 3], sid)
      assert.equal(status, 200)
      received.push(...body.split('\x1e').filter((packet) => packet !== '2'))
    }
  }
  const send = async () => {
    for (const [i, packet] of expected.entries()) {
      assert.equal((await post(members[i % 3], sid, packet)).body, 'ok')
      await members[0].ask('send', { sid, data: `own ${i}` })
    }
  }
  await Promise.all([receive(), send()])
  const [own, echoed] = [
    received.filter((one) => one.startsWith('4own')),
    received.filter((one) => one.startsWith('4m')),
  ]
  assert.deepEqual(echoed, expected)
  assert.deepEqual(
    own,
    expected.map((_, i) => `4own ${i}`),
  )
})

test('JSONP and protocol 3 pass', async () => {
  const { members } = await startCluster(2, { options: { allowEIO3: true } })
  const [owner, front] = members
  const jsonp = await request({ port: owner.port, path: target({ j: '3' }) })
  const { sid } = JSON.parse(JSON.parse(jsonp.body.match(/\((.*)\)/)[1]).slice(1))
  const path = target({ j: '3', sid })
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded' }
  await request({ port: front.port, method: 'POST', path, headers, body: 'd=4hello' })
  assert.equal((await request({ port: front.port, path })).body, '___eio[3]("4hello");')

  const old = await request({ port: owner.port, path: target({ EIO: '3', b64: '1' }) })
  const oldPath = target({ EIO: '3', b64: '1', sid: JSON.parse(old.body.slice(old.body.indexOf('{'))).sid })
  await request({ port: front.port, method: 'POST', path: oldPath, body: '6:4hello', headers: {} })
  assert.equal((await request({ port: front.port, path: oldPath })).body, '6:4hello')
})

test('hooks and middlewares run where the request comes in, and the session is opened once', async () => {
  const { members } = await startCluster(2, { hooks: true, options: { cors: { origin: 'http://a.example' } } })
  const [owner, front] = members
  const sid = await openSession(owner)
  const waiting = poll(front, sid, { headers: { Origin: 'http://a.example' } })
  await post(front, sid, '4a')
  const { headers } = await waiting
  assert.equal(headers['x-middleware'], String(front.pid))
  assert.equal(headers['access-control-allow-origin'], 'http://a.example')
  assert.equal(headers['x-headers'], String(owner.pid))
  assert.deepEqual([await owner.ask('clients'), await front.ask('clients')], [[sid], []])
  assert.equal(owner.seen('middleware').length, 1)
  assert.deepEqual(
    front
      .seen('middleware')
      .map(({ method }) => method)
      .sort(),
    ['GET', 'POST'],
  )
  assert.deepEqual([owner.seen('allowRequest').length, front.seen('allowRequest').length], [1, 0])
  assert.deepEqual([owner.seen('connection').length, front.seen('connection').length], [1, 0])
})

test('a forged id is answered at once, and costs no message', async () => {
  const { members } = await startCluster(2)
  const [, front] = members
  for (let i = 0; i < 20; i++) {
    const forged = createHash('sha256').update(String(i)).digest('base64url').slice(0, 20)
    const answer = await poll(front, forged)
    assert.deepEqual([answer.status, answer.body], [400, UNKNOWN])
  }
  const { links, forwarded, forged } = await front.ask('metrics')
  assert.deepEqual([links, forwarded, forged], [0, 0, 20])
  assert.equal(front.seen('connection_error').length, 20)
})

test('the id of a cluster with another key is a forged one', async () => {
  const [one, other] = [await startCluster(1), await startCluster(1)]
  const answer = await poll(other.members[0], await openSession(one.members[0]))
  assert.deepEqual([answer.status, answer.body], [400, UNKNOWN])
})

test('a session that has ended is unknown, and the process that was asked says so', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  await owner.ask('closeSession', { sid })
  await poll(front, sid)
  const refused = once(front, 'connection_error')
  const answer = await poll(front, sid)
  assert.deepEqual([answer.status, answer.body], [400, UNKNOWN])
  assert.deepEqual((await refused)[0], { pid: front.pid, code: 1, context: JSON.stringify({ sid }), sid })
  assert.deepEqual(owner.seen('connection_error'), [])
})

test('a request that does not fit its session is refused as by the owner', async () => {
  const { members } = await startCluster(2, { options: { allowEIO3: true } })
  const [owner, front] = members
  const sid = await openSession(owner)
  const refused = once(front, 'connection_error')
  const answer = await request({ port: front.port, path: target({ sid, EIO: '3' }) })
  assert.deepEqual([answer.status, JSON.parse(answer.body).code], [400, 3])
  assert.equal(JSON.parse((await refused)[0].context).name, 'PROTOCOL_MISMATCH')
  assert.deepEqual(await owner.ask('clients'), [sid], 'the session goes on')
})

test('overlapping polls end the session, whichever processes they reach', async () => {
  const { members } = await startCluster(3)
  const [owner, front, other] = members
  const sid = await openSession(owner)
  const first = poll(front, sid)
  await reaches(owner, 'served', 1)
  const closed = once(owner, 'close')
  assert.equal((await poll(other, sid)).status, 400)
  assert.equal((await closed)[0].reason, 'transport error')
  assert.ok((await first).status === 200 || (await first).status === 400)
})

test('a client that leaves its poll ends the session', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  const waiting = poll(front, sid)
  await reaches(owner, 'served', 1)
  const closed = once(owner, 'close')
  waiting.req.destroy()
  const [{ reason, why }] = await closed
  assert.deepEqual([reason, why], ['transport error', 'poll connection closed prematurely'])
  await reaches(front, 'waiting', 0)
})

test('a client that leaves its POST ends the session', async () => {
  const { members } = await startCluster(2, { hooks: true })
  const [owner, front] = members
  const sid = await openSession(owner)
  const closed = once(owner, 'close')
  const headers = { 'Content-Type': 'text/plain', 'Content-Length': '100' }
  const begun = request({ port: front.port, method: 'POST', path: target({ sid }), headers, body: null })
  begun.req.write('4begin')
  await once(front, 'middleware')
  begun.req.destroy()
  const [{ reason, why }] = await closed
  assert.deepEqual([reason, why], ['transport error', 'data request connection closed prematurely'])
})

test('a POST that is too large is answered 413, and ends the session', async () => {
  const { members } = await startCluster(2, { options: { maxHttpBufferSize: 1000 } })
  const [owner, front] = members
  const sid = await openSession(owner)
  const closed = once(owner, 'close')
  assert.equal((await post(front, sid, `4${'x'.repeat(1000)}`)).status, 413)
  assert.equal((await closed)[0].reason, 'transport error')
})

test('a poll waits for an owner that is busy', async () => {
  const { members } = await startCluster(2)
  const [owner, front] = members
  const sid = await openSession(owner)
  const busy = owner.ask('block', { ms: 300 })
  const posted = post(front, sid, '4hello')
  assert.equal((await posted).status, 200)
  assert.equal((await poll(front, sid)).body, '4hello')
  await busy
})

/**
 * An owner that is stopped, and more requests for it than links keep, of which two may be being written and two more
 * wait. The owner refuses them soon, as too large.
 */
async function postTooMuch() {
  const { members, settings } = await startCluster(1)
  const [owner] = members
  const front = await startMember({ ...settings, options: { ...settings.options, maxHttpBufferSize: 1e7 } })
  const sids = await Promise.all(Array.from({ length: 6 }, () => openSession(owner)))
  const other = await openSession(owner)
  await post(front, other, '4first')
  process.kill(owner.pid, 'SIGSTOP')
  const posted = sids.map((sid) => post(front, sid, `4${'x'.repeat(9e6)}`, { ms: 30_000 }))
  await reaches(front, 'waiting', sids.length)
  return { owner, front, posted, other }
}

test('requests wait that an owner cannot take at once, and others behind them', async () => {
  const { owner, front, posted, other } = await postTooMuch()
  const behind = post(front, other, '4second', { ms: 30_000 })
  await reaches(front, 'waiting', posted.length + 1)
  process.kill(owner.pid, 'SIGCONT')
  for (const { status } of await Promise.all(posted)) assert.equal(status, 413)
  assert.equal((await behind).status, 200)
  assert.equal((await poll(front, other)).body, '4first\x1e4second')
})

test('an upgrade does not wait behind requests that an owner cannot take at once', async () => {
  const { owner, front, posted, other } = await postTooMuch()
  const waiting = await front.ask('unsent')
  assert.ok(waiting[0] > 0)
  const websocket = upgrade(front, other)
  await reaches(front, 'moved', 1)
  assert.deepEqual(await front.ask('unsent'), waiting)
  process.kill(owner.pid, 'SIGCONT')
  await Promise.all(posted)
  // the owner has echoed the message that came first
  assert.equal(await (await websocket).packet(), '4first')
})

test('requests that still wait when their owner is killed are answered', async () => {
  const { owner, front, posted } = await postTooMuch()
  await owner.kill()
  for (const { status, body } of await Promise.all(posted)) assert.deepEqual([status, body], [400, UNKNOWN])
  await reaches(front, 'waiting', 0)
})

test('ids of an own generateId are asked for once', async () => {
  const { members } = await startCluster(3, { ids: 'own' })
  const [owner, front] = members
  const sid = await openSession(owner)
  assert.match(sid, /^own-/)
  for (let i = 0; i < 3; i++) {
    assert.equal((await post(front, sid, '4a')).status, 200)
    assert.equal((await poll(front, sid)).body, '4a')
  }
  assert.equal((await front.ask('metrics')).searches, 1)
  const start = performance.now()
  const flood = await Promise.all(Array.from({ length: 300 }, (_, i) => poll(front, `own-${i}`)))
  assert.ok(flood.every(({ status }) => status === 400))
  const { searches } = await front.ask('metrics')
  // a hundred at once, and a hundred each second
  const most = 1 + 100 + Math.ceil((performance.now() - start) / 10)
  assert.ok(searches <= most, `expected ${most} questions at most, got ${searches}`)
})

test('processes that show the owner and processes that do not serve each other', async () => {
  const { members, settings } = await startCluster(1)
  const { directory } = settings.options.cluster
  const shows = await startMember({ options: { cluster: { directory, showOwner: true } } })
  for (const [owner, front] of [
    [members[0], shows],
    [shows, members[0]],
  ]) {
    const sid = await openSession(owner)
    assert.equal((await post(front, sid, '4a')).status, 200)
    assert.equal((await poll(front, sid)).body, '4a')
  }
})

test('the owner can be shown in the ids', async () => {
  const { members } = await startCluster(3, { cluster: { showOwner: true } })
  for (const [number, member] of members.entries()) {
    assert.equal((await openSession(member)).slice(14, 16), `A${'ABC'[number]}`)
  }
  const sid = await openSession(members[0])
  assert.equal((await deadline(post(members[1], sid, '4a'), 'answer')).status, 200)
})
