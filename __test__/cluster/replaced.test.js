'use strict'

// Requests that reach another process than the one that has the session, where the application has replaced or listens
// to what they pass.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { once } = require('../support')
const { openSession, poll, post, startCluster } = require('./support')

test('a replaced onDataRequest reads the body of a POST from the request', async () => {
  const { members } = await startCluster(2, { replaced: 'onDataRequest' })
  const [owner, front] = members
  const sid = await openSession(owner)
  for (const text of ['hello', '', 'ä€😀']) {
    const { status, body } = await post(front, sid, `4${text}`)
    assert.deepEqual([status, body], [200, 'read'])
    assert.equal((await poll(front, sid)).body, `4${text}`)
  }
})

test('who listens to a request hears its end', async () => {
  const { members } = await startCluster(2, { replaced: 'heard' })
  const [owner, front] = members
  const sid = await openSession(owner)
  owner.log.length = 0
  const requests = [
    ['POST', () => post(front, sid, '4hello')],
    ['GET', () => poll(front, sid)],
  ]
  for (const [method, send] of requests) {
    const ended = once(owner, 'request end')
    const closed = once(owner, 'request close')
    assert.equal((await send()).status, 200)
    assert.deepEqual([(await ended)[0].method, (await closed)[0].method], [method, method])
  }
  assert.deepEqual(owner.seen('request aborted'), [])
})

test('replaced methods of a response see an answer of another process, and change only that', async () => {
  const { members } = await startCluster(2, { replaced: 'response' })
  const [owner, front] = members
  const sid = await openSession(owner)
  for (let count = 1; count <= 4; count += 2) {
    const postEnded = once(front, 'end')
    const posted = await post(front, sid, '4hello')
    assert.deepEqual([posted.body, (await postEnded)[0].body], ['ok', 'ok'])
    const pollEnded = once(front, 'end')
    const polled = await poll(front, sid)
    assert.deepEqual([polled.body, (await pollEnded)[0].body], ['4hello', '4hello'])
    assert.deepEqual([addedTo(posted), addedTo(polled)], [[`x-count-${count}`], [`x-count-${count + 1}`]])
  }
})

function addedTo({ headers }) {
  return Object.keys(headers).filter((name) => name.startsWith('x-count'))
}
