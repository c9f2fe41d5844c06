'use strict'

// AsyncLocalStorage: what a listener enters is not there for the requests of other clients that come with the same link.

const assert = require('node:assert/strict')
const { AsyncLocalStorage } = require('node:async_hooks')
const { test } = require('node:test')
const { RawPeer, eventually } = require('../support')
const { KEY } = require('./bus-support')
const { startMachine } = require('./claims-support')
const { clusterDirectory, openSession, post, startMember, target } = require('./support')

/** An owner, and polls of some of its sessions, which have all come to a front when it reads the first one. */
async function startPolling(count) {
  const directory = clusterDirectory()
  const owner = await startMachine(undefined, { cluster: { directory } })
  const front = await startMember({ options: { cluster: { directory, key: KEY } } })
  const sids = []
  for (let i = 0; i < count; i++) sids.push(await openSession(owner))
  // there is a link
  assert.equal((await post(front, await openSession(owner), '4a')).body, 'ok')
  const peers = await Promise.all(sids.map(() => RawPeer.connect(front.port)))
  const ask = () => {
    process.kill(front.pid, 'SIGSTOP')
    for (const [i, peer] of peers.entries()) peer.write(`GET ${target({ sid: sids[i] })} HTTP/1.1\r\nHost: a\r\n\r\n`)
    process.kill(front.pid, 'SIGCONT')
  }
  return { owner, front, sids, peers, ask }
}

/** Enters a store for each client, and notes what was there before. */
function storing() {
  const storage = new AsyncLocalStorage()
  const seen = []
  const enter = (sid) => {
    seen.push(storage.getStore())
    storage.enterWith(sid)
  }
  return { seen, enter }
}

test('a listener that hears of many requests of one turn is called for each of them in another context', async () => {
  const { owner, sids, peers, ask } = await startPolling(20)
  for (const sid of sids) owner.sockets.get(sid).send('a')
  const { seen, enter } = storing()
  owner.engine.on('headers', (headers, req) => enter(req._query.sid))
  ask()
  await Promise.all(peers.map((peer) => peer.match(/^HTTP\/1\.1 200 /)))
  assert.deepEqual(seen, Array(20).fill(undefined))
})

for (const [how, end] of [
  ['with their clients', (front, peers) => peers.forEach((peer) => peer.socket.destroy())],
  ['with their front', (front) => front.kill()],
]) {
  test(`a listener that hears of many requests that end ${how} is called for each of them in another context`, async () => {
    const { owner, front, sids, peers, ask } = await startPolling(20)
    const { seen, enter } = storing()
    const transports = sids.map((sid) => owner.sockets.get(sid).transport)
    ask()
    await eventually(() => transports.filter(({ writable }) => writable).length, 20)
    for (const [i, { res }] of transports.entries()) res.on('close', () => enter(sids[i]))
    end(front, peers)
    await eventually(() => seen.length, 20)
    assert.deepEqual(seen, Array(20).fill(undefined))
  })
}
