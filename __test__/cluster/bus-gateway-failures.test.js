'use strict'

// A machine whose processes share one or two members of the bus, their gateways, and what fails there.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { defer, eventually, once } = require('../support')
const { Hub, becomes, meet, polled, says, settled, standsFor, startGateways, until, upgrade } = require('./bus-support')
const { openSession, poll, post, startMember } = require('./support')

const UNKNOWN = '{"code":1,"message":"Session ID unknown"}'

/** The longest time for an answer if the owner cannot be reached, with some for a busy machine, in ms. */
const BOUND = 15_000

/** The answer to a request whose owner cannot be reached. */
function assertUnavailable({ status, headers, body }) {
  assert.deepEqual([status, headers['retry-after']], [503, '1'])
  assert.equal(JSON.parse(body).message, 'Session owner unavailable')
}

/** A message of a client comes back, by way of any process. */
async function echoes(front, sid, text) {
  assert.equal((await post(front, sid, `4${text}`)).body, 'ok')
  assert.equal((await poll(front, sid)).body, `4${text}`)
}

test('a gateway that is killed: foreign requests get 503 in time, local ones go on, and all again after its restart', async () => {
  const { hub, machines, gateway, inner, farGateway } = await startGateways()
  const [sid, farSid] = [await openSession(inner), await openSession(farGateway)]
  await echoes(inner, farSid, 'before')
  await settled([farGateway])
  const relayed = await upgrade(inner, await openSession(farGateway))
  const [waiting, far] = [poll(inner, await openSession(farGateway), { ms: BOUND }), await openSession(inner)]
  await polled(farGateway, 2)
  const farWaiting = poll(farGateway, far, { ms: BOUND })
  await polled(inner, 1)
  const cut = once(relayed.socket, 'close', BOUND)
  await gateway.kill()
  await cut
  for (const answer of [await waiting, await farWaiting, await poll(inner, farSid), await post(inner, farSid, '4a')]) {
    assertUnavailable(answer)
  }
  assertUnavailable(await poll(farGateway, sid, { ms: BOUND }))
  const { unavailable } = await inner.ask('metrics')
  assert.ok(unavailable >= 3)
  assert.equal(JSON.parse(inner.seen('connection_error')[0].context).name, 'OWNER_UNAVAILABLE')
  await echoes(inner, await openSession(inner), 'local')

  const next = await startMember(machines[0].settings, undefined, (member) => hub.join(member))
  await standsFor(next, 1)
  await until(next, ({ nodes }) => nodes === 1, 'a node')
  await becomes(async () => (await post(farGateway, sid, '4again')).status, 200)
  assert.equal((await poll(farGateway, sid)).body, '4again')
  await becomes(async () => (await post(inner, farSid, '4again')).status, 200)
  assert.equal((await poll(inner, farSid)).body, '4again')
})

test('two gateways of a machine, one of which is killed: the other one takes over', async () => {
  const { near, far, inner, farGateway, farInner } = await startGateways({ gateways: 2 })
  const sids = [await openSession(inner), await openSession(farInner)]
  await echoes(farGateway, sids[0], 'a')
  await echoes(inner, sids[1], 'b')
  await settled([...near.gateways, ...far.gateways])
  // the one that has passed on the requests
  const metrics = await Promise.all(near.gateways.map((one) => one.ask('metrics')))
  const [first] = near.gateways.filter((one, at) => metrics[at].bus.asked > 0)
  const links = async () => (await inner.ask('metrics')).links
  const before = await links()
  await first.kill()
  // by the link it is known at once that the gateway has gone; what is sent to it before gets 503
  await becomes(links, before - 1)
  await echoes(inner, sids[1], 'c')
  await becomes(async () => (await post(farGateway, sids[0], '4d', { ms: BOUND })).status, 200)
  assert.equal((await poll(farGateway, sids[0])).body, '4d')
  const websocket = await upgrade(farInner, sids[0])
  await says(websocket, 'e')
  assert.deepEqual([inner.seen('close'), farInner.seen('close')], [[], []], 'no session ends')
})

test('a gateway that is stopped: requests get 503 in time, later ones go by another gateway', async () => {
  const { near, inner, farGateway } = await startGateways({ gateways: 2, options: { pingInterval: 60_000 } })
  const [sid, other] = [await openSession(farGateway), await openSession(farGateway)]
  await echoes(inner, sid, 'a')
  await settled([farGateway])
  const metrics = await Promise.all(near.gateways.map((one) => one.ask('metrics')))
  const [first] = near.gateways.filter((one, at) => metrics[at].bus.asked > 0)
  process.kill(first.pid, 'SIGSTOP')
  defer(() => process.kill(first.pid, 'SIGCONT'))
  assertUnavailable(await post(inner, sid, '4late', { ms: 20_000 }))
  await echoes(inner, other, 'b')
  process.kill(first.pid, 'SIGCONT')
  await until(first, ({ nodes }) => nodes === 3, 'nodes')
  // what the client was told to have failed is not delivered later, or the session has ended
  const { status } = await post(inner, sid, '4c')
  if (status === 200) assert.equal((await poll(inner, sid)).body, '4c')
  else await eventually(() => farGateway.seen('close').map((one) => one.sid), [sid])
})

test('a process without a bus that is killed: its sessions get 400 at once, and its polls of others end their sessions', async () => {
  const { gateway, inner, farGateway, farInner } = await startGateways()
  const [sid, waitingSid] = [await openSession(inner), await openSession(inner)]
  const waiting = poll(farInner, waitingSid)
  await polled(inner, 1)
  const farSid = await openSession(farInner)
  poll(inner, farSid)
  await polled(farInner, 1)
  const websocket = await upgrade(farGateway, await openSession(inner))
  const [cut, closed] = [once(websocket.socket, 'close'), once(farInner, 'close')]
  await inner.kill()
  await cut
  assert.equal((await closed)[0].why, 'poll connection closed prematurely')
  assert.equal((await waiting).body, UNKNOWN)
  // a node that has just started does not know yet whether another one has the session
  for (const front of [farGateway, gateway, farInner]) {
    await becomes(async () => (await poll(front, sid, { ms: 12_000 })).body, UNKNOWN)
  }
  await until(gateway, ({ served, neighbours }) => served === 0 && neighbours === 0, 'nothing')
})

test('a process without a bus that closes has its polls of other machines answered, and their sessions go on', async () => {
  const { inner, farGateway, farInner } = await startGateways()
  const [sid, own] = [await openSession(farInner), await openSession(inner)]
  const waiting = poll(inner, sid)
  await polled(farInner, 1)
  await inner.ask('close')
  assert.equal((await waiting).body, '6')
  await farInner.ask('send', { sid, data: 'on' })
  assert.equal((await poll(farInner, sid)).body, '4on')
  await becomes(async () => (await poll(farGateway, own, { ms: 12_000 })).body, UNKNOWN)
})

test('a gateway that drains and closes ends what it relays, answers polls in both directions, and no session of others ends', async () => {
  const { gateway, inner, farGateway, farInner } = await startGateways()
  const [there, here] = [
    await upgrade(inner, await openSession(farInner)),
    await upgrade(farInner, await openSession(inner)),
  ]
  const drained = once(gateway, 'drained')
  await gateway.ask('drain', { timeout: 20_000, spread: 100 })
  await Promise.all([there.end(), here.end()])
  await drained
  // those of the connections
  await eventually(() => [inner, farInner].map((one) => one.seen('close').length), [1, 1])

  const [sid, farSid] = [await openSession(inner), await openSession(farInner)]
  const waiting = [poll(inner, farSid), poll(farGateway, sid)]
  await polled(inner, 1)
  await polled(farInner, 1)
  const over = once(gateway, 'closed')
  await gateway.ask('close')
  assert.deepEqual(
    (await Promise.all(waiting)).map(({ body }) => body),
    ['6', '6'],
  )
  await over
  // polls that come before the gateway has left are answered at once, as those that waited
  let answer
  do answer = await poll(inner, farSid)
  while (answer.body === '6')
  // not unknown: another gateway may come
  assertUnavailable(answer)
  assertUnavailable(await poll(farGateway, sid, { ms: BOUND }))
  await echoes(inner, sid, 'local')
  assert.equal((await inner.told('close')).length, 1)
})

test('a bus that is down: a process without it answers foreign requests with 503 in time, and serves them after it', async () => {
  const hub = new Hub()
  const { gateway, inner, farGateway } = await startGateways({ hub })
  const [sid, kept] = [await openSession(farGateway), await openSession(farGateway)]
  const waiting = poll(inner, sid, { ms: BOUND })
  await polled(farGateway, 1)
  hub.isDown = true
  assertUnavailable(await waiting)
  assertUnavailable(await poll(inner, kept, { ms: 2000 }))
  hub.isDown = false
  await meet([gateway, farGateway])
  await echoes(inner, kept, 'on')
  await eventually(() => farGateway.seen('close').length, 1)
})
