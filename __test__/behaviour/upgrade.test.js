'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  RawPeer,
  client,
  delay,
  eventually,
  frame,
  listen,
  never,
  once,
  openPolling,
  openProbing,
  openUpgraded,
  openWebSocket,
  record,
  times,
  upgradeRequest,
  upgradeTo,
  probe,
} = require('../support')

test('a probe is answered with 3probe', async () => {
  const { peer } = await openProbing(await listen())
  assert.equal(peer.status, 101)
})

test('a poll that an upgrade comes behind on the same connection is answered there, behind the 101', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const upgraded = once(socket, 'upgrade')
  const raw = await RawPeer.connect(context.port)
  const target = peer.path.replace('polling', 'websocket')
  raw.write(`GET ${peer.path} HTTP/1.1\r\nHost: x\r\n\r\n${upgradeRequest(target)}`)
  await raw.match(/^HTTP\/1\.1 101 [^]*?\r\n\r\n$/)
  raw.write(frame({ payload: '2probe' }))
  await raw.match(/\x81\x063probe/)
  await raw.match(/\r\n\r\n[^]*HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n6/)
  raw.write(frame({ payload: '5' }))
  await upgraded
  socket.send('hello')
  await raw.match(/\x81\x064hello$/)
})

test('the upgrade of a session does not emit another connection event', async () => {
  const context = await listen()
  const { peer, socket } = await openProbing(context)
  const silence = never(context.engine, 'connection', 50)
  peer.sendText('5')
  await once(socket, 'upgrade')
  await silence
  assert.equal(context.engine.clientsCount, 1)
})

test('upgrading is true from the websocket connection on, and false after the upgrade', async () => {
  const { peer, socket } = await openProbing(await listen())
  await eventually(() => [socket.upgrading, socket.upgraded], [true, false])
  peer.sendText('5')
  await once(socket, 'upgrade')
  assert.deepEqual([socket.upgrading, socket.upgraded], [false, true])
})

test('the upgrading event carries the new transport, at the probe', async () => {
  const context = await listen()
  const { peer: polling, socket } = await openPolling(context)
  const upgrading = once(socket, 'upgrading')
  const peer = await upgradeTo(context, polling.sid)
  peer.sendText('2probe')
  const [transport] = await upgrading
  assert.equal(transport.name, 'websocket')
  assert.equal(socket.transport.name, 'polling')
})

test('the upgrade event carries the transport the session has moved to', async () => {
  const { peer, socket } = await openProbing(await listen())
  const upgraded = once(socket, 'upgrade')
  peer.sendText('5')
  const [transport] = await upgraded
  assert.equal(transport, socket.transport)
  assert.equal(transport.name, 'websocket')
})

test('messages flow both ways after the upgrade', async () => {
  const { peer, socket } = await openUpgraded(await listen())
  const message = once(socket, 'message')
  peer.sendText('4up')
  assert.deepEqual(await message, ['up'])
  socket.send('down')
  assert.equal(await peer.packet(), '4down')
  socket.send(Buffer.from([1, 2]))
  const { opcode, payload } = await peer.frame()
  assert.deepEqual([opcode, [...payload]], [2, [1, 2]])
})

test('the id, the request and the clients entry stay the same over an upgrade', async () => {
  const context = await listen()
  const { peer: polling, socket } = await openPolling(context)
  const { id, request: first } = socket
  const peer = await upgradeTo(context, polling.sid)
  peer.sendText('5')
  await once(socket, 'upgrade')
  assert.equal(socket.id, id)
  assert.equal(socket.request, first)
  assert.equal(context.engine.clients[id], socket)
})

test('a poll that is pending at the probe gets a noop after about 100 ms', async () => {
  const context = await listen()
  const { peer: polling, socket } = await openPolling(context)
  const { response } = await polling.pendingPoll()
  const peer = await upgradeTo(context, polling.sid)
  const events = record(socket, ['flush', 'drain'])
  const start = performance.now()
  peer.sendText('2probe')
  await peer.packet()
  assert.equal((await response).body, '6')
  assert.ok(performance.now() - start > 90)
  assert.deepEqual(events, [])
})

test('each further poll during the probing gets a noop', async () => {
  const { polling } = await openProbing(await listen())
  assert.equal((await polling.poll()).body, '6')
  assert.equal((await polling.poll()).body, '6')
})

test('a poll that is pending at the upgrade gets a close packet', async () => {
  const context = await listen()
  const { peer: polling, socket } = await openPolling(context)
  const { response } = await polling.pendingPoll()
  const peer = await upgradeTo(context, polling.sid)
  // in one segment, so that no noop comes between
  peer.write(Buffer.concat([frame({ payload: '2probe' }), frame({ payload: '5' })]))
  await once(socket, 'upgrade')
  assert.equal((await response).body, '1')
  assert.equal(socket.readyState, 'open')
})

test('a POST in flight at the upgrade is cut off', async () => {
  const { polling, peer, socket } = await openProbing(await listen())
  const { response } = await polling.pendingPost('4lost')
  const messages = record(socket, 'message')
  peer.sendText('5')
  await once(socket, 'upgrade')
  await assert.rejects(response, { code: 'ECONNRESET' })
  assert.deepEqual(messages, [])
  assert.equal(socket.readyState, 'open')
})

test('a message POSTed during the probing is delivered', async () => {
  const { polling, socket } = await openProbing(await listen())
  const message = once(socket, 'message')
  assert.equal((await polling.post('4still polling')).body, 'ok')
  assert.deepEqual(await message, ['still polling'])
})

test('messages sent during the probing wait, and go out over the websocket', async () => {
  const { peer, socket } = await openProbing(await listen())
  socket.send('a')
  socket.send('b')
  assert.equal(socket.writeBuffer.length, 2)
  peer.sendText('5')
  assert.equal(await peer.packet(), '4a')
  assert.equal(await peer.packet(), '4b')
})

test('messages sent during the probing go to the poll that is pending', async () => {
  const { polling, socket } = await openProbing(await listen())
  const { response } = await polling.pendingPoll()
  socket.send('via polling')
  const { body } = await response
  // the noop may have been due
  assert.equal(body === '6' ? (await polling.poll()).body : body, '4via polling')
})

test('callbacks of messages sent during the probing run once they are written to the websocket', async () => {
  const { peer, socket } = await openProbing(await listen())
  const names = []
  const done = new Promise((resolve) => {
    socket.send('a', (transport) => names.push(`a ${transport.name}`))
    socket.send('b', (transport) => {
      names.push(`b ${transport.name}`)
      resolve()
    })
  })
  await delay(20)
  assert.deepEqual(names, [])
  peer.sendText('5')
  await done
  assert.deepEqual(names, ['a websocket', 'b websocket'])
})

test('a repeated probe is answered again, with another upgrading event', async () => {
  const { peer, socket } = await openProbing(await listen())
  const upgrading = once(socket, 'upgrading')
  peer.sendText('2probe')
  assert.equal(await peer.packet(), '3probe')
  await upgrading
})

test('an upgrade packet without a probe is accepted', async () => {
  const context = await listen()
  const { peer: polling, socket } = await openPolling(context)
  const peer = await upgradeTo(context, polling.sid)
  const upgraded = once(socket, 'upgrade')
  peer.sendText('5')
  await upgraded
  assert.equal(socket.transport.name, 'websocket')
})

test('polling requests after the upgrade are a transport mismatch', async () => {
  const context = await listen()
  const { polling, socket } = await openUpgraded(context)
  const errors = record(context.engine, 'connection_error', (_, { code, context: c }) => ({ code, ...c }))
  for (const response of [await polling.poll(), await polling.post('4late')]) {
    assert.deepEqual([response.status, response.body], [400, '{"code":3,"message":"Bad request"}'])
  }
  const mismatch = { code: 3, name: 'TRANSPORT_MISMATCH', transport: 'polling', previousTransport: 'websocket' }
  assert.deepEqual(errors, [mismatch, mismatch])
  assert.equal(socket.readyState, 'open')
})

test('a session opened by websocket can be moved to another websocket', async () => {
  const context = await listen()
  const { peer: first, socket, open } = await openWebSocket(context)
  const second = await probe(context, open.sid)
  second.sendText('5')
  await once(socket, 'upgrade')
  assert.equal((await first.closeFrame()).payload.length, 0)
  socket.send('moved')
  assert.equal(await second.packet(), '4moved')
})

test('an upgrade is accepted in spite of allowUpgrades: false, which advertises none', async () => {
  const context = await listen({ allowUpgrades: false })
  const { peer: polling, socket } = await openPolling(context)
  assert.deepEqual(polling.open.upgrades, [])
  const peer = await upgradeTo(context, polling.sid)
  peer.sendText('5')
  await once(socket, 'upgrade')
})

test('an upgrade does not call allowRequest again', async () => {
  let calls = 0
  const allowRequest = (req, fn) => fn(null, ++calls > 0)
  const context = await listen({ allowRequest })
  await openUpgraded(context)
  assert.equal(calls, 1)
})

test('the 101 of an upgrade emits headers but not initial_headers', async () => {
  const context = await listen()
  const { peer: polling } = await openPolling(context)
  const events = record(context.engine, ['initial_headers', 'headers'], (event) => event)
  await upgradeTo(context, polling.sid)
  assert.deepEqual(events, ['headers'])
})

test('the initial packet is not sent again over the websocket', async () => {
  const { peer, socket } = await openUpgraded(await listen({ initialPacket: 'hi' }))
  socket.send('x')
  assert.equal(await peer.packet(), '4x')
})

test('the real client upgrades and loses no message of either side', async () => {
  const context = await listen()
  const received = []
  const everything = new Promise((resolve) => {
    context.engine.on('connection', (socket) => {
      let sent = 0
      const timer = setInterval(() => {
        socket.send(`s${sent++}`)
        if (sent === 60) clearInterval(timer)
      }, 5)
      socket.on('message', (data) => received.push(data) === 60 && resolve())
    })
  })
  const peer = client(context)
  const messages = times(peer, 'message', 60)
  const upgraded = once(peer, 'upgrade')
  await once(peer, 'open')
  for (let i = 0; i < 60; i++) {
    peer.send(`c${i}`)
    await delay(5)
  }
  await upgraded
  await everything
  assert.deepEqual(
    received,
    Array.from({ length: 60 }, (_, i) => `c${i}`),
  )
  assert.deepEqual(
    (await messages).flat(),
    Array.from({ length: 60 }, (_, i) => `s${i}`),
  )
})

/** What is requested when a session has just moved to its WebSocket, and its server's thread has not heard of that yet. */
const LATE = { poll: { method: 'GET', served: '1' }, POST: { method: 'POST', body: '4late', served: 'ok' } }

for (const [name, { method, body, served }] of Object.entries(LATE)) {
  test(`a ${name} that comes as the session moves to its WebSocket is served, or refused for a reason`, async () => {
    const context = await listen()
    const errors = record(context.engine, 'connection_error')
    const { peer, polling, socket } = await openProbing(context)
    const upgraded = once(socket, 'upgrade')
    context.server.prependListener('request', () => {
      peer.sendText('5')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
    })
    const headers = body === undefined ? {} : { 'Content-Type': 'text/plain;charset=UTF-8' }
    // in the original the upgrade ends a POST that is being read with its connection
    const response = await polling.request({ method, headers, body }).catch((error) => error)
    await upgraded
    if (response instanceof Error) return assert.equal(`${method} ${response.code}`, 'POST ECONNRESET')
    if (response.status === 200) return assert.deepEqual([response.body, errors.length], [served, 0])
    assert.deepEqual([response.status, JSON.parse(response.body)], [400, { code: 3, message: 'Bad request' }])
    assert.deepEqual(
      errors.map(([, { code, context: details }]) => [code, details.name]),
      [[3, 'TRANSPORT_MISMATCH']],
    )
  })
}
