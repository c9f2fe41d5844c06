'use strict'

// Requests that a client has sent behind one that waits, on the same connection. Their responses do not hear of its end.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { RawPeer, eventually, once, times } = require('../support')
const { makeDeaf, polled, startGateways, startMachines } = require('./bus-support')
const { Bus, startMachine } = require('./claims-support')
const { clusterDirectory, openSession, poll, post, reaches, startCluster, target } = require('./support')

const CUT = 'poll connection closed prematurely'

const get = (sid) => `GET ${target({ sid })} HTTP/1.1\r\nHost: a\r\n\r\n`

/** Polls sessions on one connection, behind a poll of this process that waits. */
async function pollBehind(front, ...sids) {
  const client = await RawPeer.connect(front.port)
  client.write([await openSession(front), ...sids].map(get).join(''))
  return client
}

/** Returns the sessions whose polls are cut, and why they end, when as many have ended. */
async function cuts(owner, count, act) {
  const closed = times(owner, 'close', count)
  await act()
  return (await closed).map(([{ sid, why }]) => [sid, why])
}

/** No ping answers a poll that a slow machine takes long for. */
const options = { pingInterval: 120_000 }

// what passes a poll on: starts an owner and a front
const WAYS = {
  'to another process': async () => (await startCluster(2, { options })).members,
  'to another machine': async () => (await startMachines(2, { options })).members,
  'to another machine by way of gateways': async () => {
    const { inner, farInner } = await startGateways({ options })
    return [farInner, inner]
  },
}

for (const [way, start] of Object.entries(WAYS)) {
  test(`a poll behind another one that is passed on ${way}: its session ends when the client goes`, async () => {
    const [owner, front] = await start()
    const sid = await openSession(owner)
    const client = await pollBehind(front, sid)
    await polled(owner, 1)
    assert.deepEqual(await cuts(owner, 1, () => client.socket.destroy()), [[sid, CUT]])
    await reaches(front, 'waiting', 0)
  })

  test(`an answer behind another one that has come ${way}: if the client goes, its loss is heard of`, async () => {
    const [owner, front] = await start()
    const sid = await openSession(owner)
    const client = await pollBehind(front, sid)
    await polled(owner, 1)
    await owner.ask('send', { sid, data: 'lost' })
    // on the same way back, behind the answer
    await post(front, sid, '6')
    assert.deepEqual(await cuts(owner, 1, () => client.socket.destroy()), [[sid, CUT]])
    await reaches(front, 'waiting', 0)
  })

  test(`an answer behind another one that has come ${way} is written after that, and the session goes on`, async () => {
    const [owner, front] = await start()
    const [sid, first] = [await openSession(owner), await openSession(front)]
    const client = await RawPeer.connect(front.port)
    // more often than a connection may have listeners
    for (let round = 0; round < 12; round++) {
      client.write(get(first) + get(sid))
      await polled(owner, 1)
      await owner.ask('send', { sid, data: 'second' })
      await post(front, sid, '6')
      await front.ask('send', { sid: first, data: 'first' })
      await client.match(/4first[^]*4second$/)
      client.bytes = Buffer.alloc(0)
    }
    client.socket.destroy()
    await reaches(front, 'waiting', 0)
    assert.deepEqual([...owner.seen('close'), ...front.seen('warning')], [])
  })
}

test('many polls behind one: their sessions end when the client goes', async () => {
  const [owner, front] = await WAYS['to another process']()
  const sids = []
  while (sids.length < 12) sids.push(await openSession(owner))
  const client = await pollBehind(front, ...sids)
  await polled(owner, 12)
  const cut = await cuts(owner, 12, () => client.socket.destroy())
  assert.deepEqual(cut.sort(), sids.map((sid) => [sid, CUT]).sort())
  assert.deepEqual(front.seen('warning'), [])
})

test('an answer behind another one, under whose write the connection breaks: its loss is heard of', async () => {
  const [owner, front] = await WAYS['to another process']()
  const [sid, first] = [await openSession(owner), await openSession(front)]
  const client = await RawPeer.connect(front.port)
  // more than the kernel takes
  client.socket.pause()
  client.write(get(first) + get(sid))
  await polled(owner, 1)
  await owner.ask('send', { sid, data: 'x'.repeat(20_000_000) })
  await post(front, sid, '6', { ms: 30_000 })
  await front.ask('send', { sid: first, data: 'first' })
  await front.ask('metrics')
  assert.deepEqual(await cuts(owner, 1, () => client.reset()), [[sid, CUT]])
  await reaches(front, 'waiting', 0)
})

// ---- the client goes before its poll is passed on ------------------------------------------------

/** Starts an owner and a front in this process. */
const SERVERS = {
  'another process': async (prepare) => {
    const cluster = { directory: clusterDirectory(), bus: undefined }
    return [await startMachine(undefined, { cluster }), await startMachine(undefined, { cluster }, prepare)]
  },
  'another machine': async (prepare) => {
    const bus = new Bus()
    const [owner, front] = [await startMachine(bus), await startMachine(bus, {}, prepare)]
    for (const machine of [owner, front]) await eventually(() => machine.bus().nodes, 1)
    return [owner, front]
  },
  'another machine by way of a gateway': async (prepare) => {
    const bus = new Bus()
    const directory = clusterDirectory()
    const [owner, gateway] = [await startMachine(bus), await startMachine(bus, { cluster: { directory } })]
    const front = await startMachine(undefined, { cluster: { directory } }, prepare)
    for (const machine of [owner, gateway]) await eventually(() => machine.bus().nodes, 1)
    return [owner, front]
  },
}

for (const [where, start] of Object.entries(SERVERS)) {
  for (const hasLink of [true, false]) {
    test(`a poll for ${where}, behind another one, is not passed on if its client has gone (${hasLink ? 'with' : 'without'} a link)`, async () => {
      const held = []
      let sid
      const [owner, front] = await start(({ engine }) =>
        engine.use((req, res, next) =>
          sid !== undefined && req._query.sid === sid ? held.push({ req, next }) : next(),
        ),
      )
      const other = await openSession(owner)
      if (hasLink) assert.equal((await post(front, other, '6')).body, 'ok')
      sid = await openSession(owner)
      const client = await pollBehind(front, sid)
      await eventually(() => held.length, 1)
      const [{ req, next }] = held
      client.socket.destroy()
      await once(req.socket, 'close')
      next()
      // what is passed on goes before this
      assert.equal((await post(front, other, '6')).body, 'ok')
      const { forwarded, viaGateway, waiting, bus } = front.engine.metrics().cluster
      assert.deepEqual([forwarded + viaGateway + (bus?.asked ?? 0), waiting], [hasLink ? 2 : 1, 0])
    })
  }
}

// ---- the client goes while its poll waits at the owner -------------------------------------------

/** A poll waits because the end of an earlier answer is not known, until the owner's node is not deaf any more. */
async function goesWhileHeld({ hub, owner, node, front }) {
  const [sid, first] = [await openSession(owner), await openSession(owner)]
  const far = poll(front, sid)
  await polled(owner, 1)
  makeDeaf(hub, node)
  assert.equal((await post(owner, sid, '4a')).status, 200)
  assert.equal((await far).body, '4a')
  const client = await RawPeer.connect(owner.port)
  client.write(get(first) + get(sid))
  await polled(owner, 1)
  assert.deepEqual(await cuts(owner, 1, () => client.socket.destroy()), [[first, CUT]])
  assert.deepEqual(await cuts(owner, 1, () => (hub.fate = () => [0])), [[sid, CUT]])
}

test('a poll behind another one that waits at a node is not served if the client goes: its session ends', async () => {
  const { hub, members } = await startMachines(2, { options })
  const [owner, front] = members
  await goesWhileHeld({ hub, owner, node: owner, front })
})

test('a poll behind another one that waits at an owner without a bus is not served if the client goes', async () => {
  const { hub, inner, gateway, farGateway } = await startGateways({ options })
  await goesWhileHeld({ hub, owner: inner, node: gateway, front: farGateway })
})
