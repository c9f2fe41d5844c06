'use strict'

// Sessions that move to the machine where their upgrade comes in, before the application hears of them. The machines are
// servers of this process, on a bus that is in this process, too.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { RawWebSocket, defer, eventually, once, request } = require('../support')
const { becomes } = require('./bus-support')
const {
  Bus,
  TELLS,
  claim,
  eventsOf,
  heardOf,
  seeForeign,
  startMachine,
  startMachines,
  upgradeWithoutProbe,
  whileUnheard,
} = require('./claims-support')
const { openEchoing, openSession, poll, post, says, startBalancer, target, upgrade } = require('./support')

test('an upgrade elsewhere takes the session over, and its messages do not pass the bus', async () => {
  const { bus, machines } = await startMachines(2)
  const [owner, front] = machines
  const before = owner.engine.metrics().sessions.opened.polling[4]
  const count = owner.engine.clientsCount
  const { sid, websocket } = await claim(owner, front)
  const lost = owner.log.filter(([event]) => event === 'connection').length
  await says(websocket, 'a')
  assert.deepEqual([eventsOf(owner, sid), eventsOf(front, sid)], [[], ['connection', 'message']])
  const { passed } = bus
  for (let i = 0; i < 100; i++) await says(websocket, `message ${i}`)
  assert.ok(bus.passed - passed < 50, `${bus.passed - passed} messages have passed the bus`)
  assert.ok(front.bus().claimed === 1 && owner.bus().given === 1)
  // sessions that were too slow to move are relayed, and counted where they are
  assert.equal(owner.engine.metrics().sessions.opened.polling[4] - before, lost - 1)
  assert.ok(owner.engine.clientsCount <= count + lost - 1)

  const ended = once(front.sockets.get(sid), 'close')
  websocket.sendClose(1000)
  await ended
  assert.deepEqual(eventsOf(front, sid).at(-1), 'close')
  // the opener hears that the session has ended
  await becomes(async () => (await poll(owner, sid)).status, 400)
})

test('the new owner has the request that has opened the session, as far as applications use it', async () => {
  const { machines } = await startMachines(2)
  const [owner, front] = machines
  const headers = { 'User-Agent': 'a client', Cookie: 'a=b' }
  const sid = await whileUnheard(owner, async () => {
    const { body } = await request({ port: owner.port, path: target({ token: 'ü' }), headers })
    const { sid } = JSON.parse(body.slice(1))
    const websocket = await upgrade(front, sid)
    if (front.hears(sid)) return sid
    websocket.socket.destroy()
    return undefined
  })
  const socket = front.sockets.get(sid)
  const { request: req } = socket
  assert.deepEqual([req.headers['user-agent'], req.headers.cookie, req.method], ['a client', 'a=b', 'GET'])
  assert.deepEqual([req._query.token, req._query.sid, req.url.includes('token=')], ['ü', undefined, true])
  assert.deepEqual([socket.remoteAddress, req.connection.remoteAddress, req.connection.encrypted].slice(0, 2), [
    '127.0.0.1',
    '127.0.0.1',
  ])
  assert.deepEqual([socket.protocol, socket.id, socket.server], [4, sid, front.engine])
})

for (const [where, index] of [
  ['its opener', 0],
  ['its new owner', 1],
  ['a third machine', 2],
]) {
  test(`a poll and a POST that wait at ${where} move with the session, in order`, async () => {
    const { machines } = await startMachines(3)
    const [owner, front] = machines
    const at = machines[index]
    const { sid, websocket, waiting, posted } = await whileUnheard(owner, async (sid) => {
      const waiting = poll(at, sid)
      const posted = post(at, sid, '4first')
      // both have come to the opener, or come later to the new owner
      await new Promise((resolve) => setTimeout(resolve, 30))
      const websocket = await RawWebSocket.open(front.port, target({ sid, transport: 'websocket' }))
      websocket.sendText('2probe')
      assert.equal(await websocket.packet(), '3probe')
      if (front.hears(sid)) return { sid, websocket, waiting: await waiting, posted: await posted }
      websocket.socket.destroy()
      return undefined
    })
    // a client upgrades when it has the answers
    websocket.sendText('5')
    assert.deepEqual([posted.body, /^(4first|6)$/.test(waiting.body)], ['ok', true])
    await eventually(() => heardOf(front, sid).length, 2)
    websocket.sendText('4second')
    await eventually(() => heardOf(front, sid).flat(), ['first', 'second'])
    assert.deepEqual([eventsOf(owner, sid), eventsOf(front, sid)], [[], ['connection', 'message', 'message']])
    for (const machine of machines) assert.equal(machine.bus().violations, 0)
  })
}

test('without requests that come to other machines, the application hears of a session at once', async () => {
  const bus = new Bus()
  const machine = await startMachine(bus)
  const other = await startMachine(bus)
  await eventually(() => machine.bus().nodes, 1)
  for (let i = 0; i < 20; i++) assert.ok(machine.hears(await openSession(machine)))
  await seeForeign(machine, other)
  await whileUnheard(machine, async (sid) => {
    await eventually(() => machine.hears(sid), true)
    return sid
  })
})

test('a session whose client goes before the application has heard of it is opened and closed', async () => {
  const { machines } = await startMachines(2)
  const [owner, front] = machines
  for (const at of [owner, front]) {
    const sid = await whileUnheard(owner, async (sid) => {
      const polls = () => owner.engine.metrics().thread.polling.polls
      const before = polls()
      const waiting = request({ port: at.port, path: target({ sid }) })
      // the poll waits at the session
      while (polls() === before) await new Promise((resolve) => setImmediate(resolve))
      const isUnheard = !owner.hears(sid)
      waiting.req.destroy()
      await waiting.catch(() => {})
      return isUnheard ? sid : undefined
    })
    await eventually(() => eventsOf(owner, sid), ['connection', 'close'])
    assert.deepEqual(eventsOf(front, sid), [])
  }
  // so does one that the client closes
  const sid = await openSession(owner)
  await post(owner, sid, '1')
  assert.deepEqual(eventsOf(owner, sid), ['connection', 'close'])
})

test('close(), drain(), broadcast() and the table of clients have the application hear of all sessions first', async () => {
  const uses = {
    close: ({ engine }) => engine.close(),
    drain: ({ engine }) => engine.drain({ timeout: 1000, spread: 0 }),
    broadcast: ({ engine }, sid) => engine.broadcast([sid], 'a'),
    clients: ({ engine }, sid) => engine.clients[sid].send('a'),
    keys: ({ engine }) => Object.keys(engine.clients),
  }
  for (const [name, use] of Object.entries(uses)) {
    const { machines } = await startMachines(2)
    const [owner] = machines
    await whileUnheard(owner, async (sid) => {
      if (owner.hears(sid)) return undefined
      use(owner, sid)
      assert.equal(eventsOf(owner, sid)[0], 'connection', name)
      return sid
    })
  }
})

for (const [what, tell] of Object.entries(TELLS)) {
  test(`${what} has the application hear of a session at once, and keeps it where it is`, async () => {
    const { machines } = await startMachines(2)
    const [owner, front] = machines
    const isOfRequest = what.includes(' request')
    if (isOfRequest) tell(owner)
    // while the application has not heard of a session
    const between = isOfRequest
      ? undefined
      : await whileUnheard(owner, async (sid) => {
          if (owner.hears(sid)) return undefined
          const restore = tell(owner)
          defer(() => typeof restore === 'function' && restore())
          const websocket = await upgrade(front, sid)
          await says(websocket, 'a')
          return sid
        })
    if (between !== undefined) {
      assert.deepEqual([eventsOf(owner, between), front.hears(between)], [['connection', 'message'], false])
    }
    // before it is opened
    for (let i = 0; i < 3; i++) {
      const sid = await openSession(owner)
      assert.ok(owner.hears(sid))
      const websocket = await upgrade(front, sid)
      await says(websocket, 'a')
      assert.ok(!front.hears(sid))
    }
  })

  test(`${what} where the upgrade comes in keeps a session where it is`, async () => {
    if (what.includes(' request') || what.startsWith('a table')) return

    const { machines } = await startMachines(2)
    const [owner, front] = machines
    const restore = tell(front)
    try {
      for (let i = 0; i < 3; i++) {
        const sid = await openSession(owner)
        const websocket = await upgrade(front, sid)
        await says(websocket, 'a')
        assert.ok(owner.hears(sid) && !front.hears(sid))
      }
    } finally {
      if (typeof restore === 'function') restore()
    }
  })
}

test('with `claim: false` the application hears of sessions at once, and they stay; those of others may still come', async () => {
  const bus = new Bus()
  const [staying, moving] = [await startMachine(bus, { cluster: { claim: false } }), await startMachine(bus)]
  await eventually(() => staying.bus().nodes, 1)
  await seeForeign(staying, moving)
  await seeForeign(moving, staying)
  for (let i = 0; i < 5; i++) {
    const sid = await openSession(staying)
    assert.ok(staying.hears(sid))
    await says(await upgrade(moving, sid), 'a')
    assert.ok(!moving.hears(sid))
  }
  const { sid, websocket } = await claim(moving, staying)
  await says(websocket, 'a')
  assert.deepEqual([moving.hears(sid), staying.hears(sid)], [false, true])
})

test('sessions of other protocols and transports do not move', async () => {
  const { machines } = await startMachines(2, { options: { allowEIO3: true } })
  const [owner] = machines
  for (const query of [{ EIO: '3' }, { j: '0' }]) {
    const { body } = await request({ port: owner.port, path: target(query) })
    const [sid] = /[\w-]{20}/.exec(body)
    assert.ok(owner.hears(sid), body)
  }
})

test('a server that tells clients other intervals does not take a session over', async () => {
  const bus = new Bus()
  const owner = await startMachine(bus)
  const front = await startMachine(bus, { pingInterval: 20_000 })
  await eventually(() => owner.bus().nodes, 1)
  await seeForeign(owner, front)
  for (let i = 0; i < 3; i++) {
    const sid = await openSession(owner)
    await says(await upgrade(front, sid), 'a')
    assert.ok(owner.hears(sid) && !front.hears(sid))
  }
})

test('a session that has moved and does not upgrade in the end goes on polling, by way of any machine', async () => {
  const { machines } = await startMachines(3)
  const [owner, front] = machines
  const { sid } = await whileUnheard(owner, async (sid) => {
    const websocket = await upgradeWithoutProbe(front, sid)
    if (!front.hears(sid)) {
      websocket.destroy()
      return undefined
    }
    return { sid, websocket: websocket.destroy() }
  })
  for (const machine of [...machines, ...machines]) {
    assert.equal((await post(machine, sid, `4${machine.port}`)).body, 'ok')
    assert.equal((await poll(owner, sid)).body, `4${machine.port}`)
    assert.equal((await post(machine, sid, '4b')).body, 'ok')
    assert.equal((await poll(machine, sid)).body, '4b')
  }
  assert.deepEqual([owner.hears(sid), machines[2].hears(sid)], [false, false])
  front.sockets.get(sid).close(true)
  await becomes(async () => (await poll(owner, sid)).status, 400)
  assert.equal((await poll(machines[2], sid)).status, 400)
})

test('a bus that fails during the claim leaves the session where it is, or nowhere, and its client is told', async () => {
  // both take as long as an upgrade is waited for
  await Promise.all([loseAnswer(), loseRequest()])
})

/** What the opener says from the move on is lost. */
async function loseAnswer() {
  const { bus, machines } = await startMachines(2)
  const [owner, front] = machines
  const sid = await whileUnheard(owner, async (sid) => {
    const { given } = owner.bus()
    const asks = upgrade(front, sid).catch((error) => error)
    bus.passes = () => owner.bus().given === given
    const outcome = await asks
    bus.passes = () => true
    if (owner.bus().given === given) return undefined
    assert.match(outcome.message, /503/)
    return sid
  })
  await eventually(() => owner.bus().nodes, 1)
  await becomes(async () => (await poll(front, sid)).status, 400)
  assert.equal((await poll(owner, sid)).status, 400)
  assert.deepEqual([owner.hears(sid), front.hears(sid)], [false, false])
}

/** The upgrade does not reach the opener. */
async function loseRequest() {
  const { bus, machines } = await startMachines(2)
  const [owner, front] = machines
  const sid = await openSession(owner)
  bus.isDown = true
  await assert.rejects(upgrade(front, sid), /503/)
  await eventually(() => eventsOf(owner, sid), ['connection'])
  assert.equal((await post(owner, sid, '4a')).body, 'ok')
  assert.equal((await poll(owner, sid)).body, '4a')
  assert.ok(!front.hears(sid))
}

test('a new owner that closes ends the sessions that it has taken over', async () => {
  const { machines } = await startMachines(3)
  const [owner, front, third] = machines
  const { sid } = await claim(owner, front)
  front.engine.close()
  assert.equal(eventsOf(front, sid).at(-1), 'close')
  await becomes(async () => (await poll(third, sid)).status, 400)
  assert.equal((await poll(owner, sid)).status, 400)
})

test('what a listener for connection throws is an unhandled rejection, and the session goes on', async () => {
  const { machines } = await startMachines(2)
  const [owner, front] = machines
  const errors = []
  const onRejection = (error) => errors.push(error.message)
  const listeners = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', onRejection)
  defer(() => {
    process.removeListener('unhandledRejection', onRejection)
    for (const listener of listeners) process.on('unhandledRejection', listener)
  })
  for (const { engine } of machines) {
    engine.on('connection', () => {
      throw new Error('a listener has thrown')
    })
  }
  const { websocket } = await claim(owner, front)
  await says(websocket, 'a')
  assert.ok(errors.length > 0 && errors.every((message) => message === 'a listener has thrown'), `${errors}`)
})

test('engine.io-client behind a balancer without stickiness: each session has one owner, and messages their order', async () => {
  const { machines } = await startMachines(3)
  const port = await startBalancer(machines)
  const clients = await openEchoing(port, Array(12).fill(['polling', 'websocket']))
  await eventually(() => clients.filter(({ transport }) => transport.name === 'websocket').length, clients.length)
  for (const { id } of clients) {
    const owners = machines.filter((machine) => machine.hears(id))
    assert.equal(owners.length, 1)
    assert.equal(eventsOf(owners[0], id).filter((event) => event === 'connection').length, 1)
    assert.ok(!eventsOf(owners[0], id).includes('close'))
  }
})
