'use strict'

// Behind the engine's own listener, too, a pending poll is answered or refused whatever ends meanwhile, in either order, and
// the server can be closed.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { deadline, eventually, listenNatively, once, openPolling, path, record } = require('../support')
const { frame, RawPeer, upgradeRequest } = require('../support')

const NEVER = 600_000

/** A session with a pending poll of which the application has heard. */
async function openPending() {
  const context = await listenNatively({ pingInterval: NEVER, pingTimeout: NEVER })
  const { peer, socket } = await openPolling(context)
  const answer = peer.poll()
  await eventually(() => socket.transport.writable, true)
  return { context, peer, socket, answer, closes: record(socket, 'close'), closed: once(socket, 'close') }
}

const serverCloses = ({ server }) => deadline(new Promise((resolve) => server.close(resolve)), "the server's end")

const block = (ms) => {
  const end = Date.now() + ms
  while (Date.now() < end);
}

for (const [name, end, packet, reason] of [
  ['its close()', ({ socket }) => socket.close(), '1', 'forced close'],
  ['its close(true)', ({ socket }) => socket.close(true), '1', 'forced close'],
  ["the engine's close()", ({ context }) => context.engine.close(), '1', 'forced close'],
  ['an error of its transport', ({ socket }) => socket.transport.onError('of the transport'), '1', 'transport error'],
  ["its client's close packet", ({ peer }) => peer.post('1'), '6', 'transport close'],
  ['a packet that is none', ({ peer }) => peer.post('x').catch(() => {}), '1', 'parse error'],
]) {
  test(`a pending poll is answered at ${name}, and the server closes`, async () => {
    const session = await openPending()
    await end(session)
    const { status, body } = await session.answer
    assert.deepEqual([status, body], [200, packet])
    await session.closed
    assert.deepEqual(
      session.closes.map(([, why]) => why),
      [reason],
    )
    await serverCloses(session.context)
  })
}

test('a pending poll is answered at the ping timeout, and the server closes', async () => {
  // the next poll must come in time
  const context = await listenNatively({ pingInterval: 50, pingTimeout: 1000 })
  const { peer, socket } = await openPolling(context)
  const closed = once(socket, 'close')
  assert.equal((await peer.poll()).body, '2')
  let answer
  // one more ping may come where the process was late
  do answer = await peer.poll()
  while (answer.body === '2')
  assert.deepEqual([answer.status, answer.body], [200, '1'])
  await closed
  await serverCloses(context)
})

test('of two polls one is answered and one refused, and the server closes', async () => {
  const session = await openPending()
  const second = await session.peer.poll()
  const first = await session.answer
  assert.deepEqual([first.status, first.body, second.status], [200, '1', 400])
  await session.closed
  await serverCloses(session.context)
})

for (const event of ['upgrading', 'upgrade']) {
  for (const [name, act] of [
    ['closes the session', ({ socket }) => socket.close()],
    ['closes the session at once', ({ socket }) => socket.close(true)],
    ['closes the engine', ({ context }) => context.engine.close()],
    ['meets an error of the transport', ({ socket }) => socket.transport.onError('of the transport')],
  ]) {
    test(`a pending poll is answered if the application ${name} at "${event}", late`, async () => {
      const session = await openPending()
      session.socket.on(event, () => {
        block(20)
        act(session)
      })
      const websocket = await RawPeer.connect(session.context.port)
      const target = path(session.context, { transport: 'websocket', sid: session.peer.sid })
      const frames = [frame({ payload: '2probe' }), frame({ payload: '5' })]
      websocket.write(Buffer.concat([Buffer.from(upgradeRequest(target)), ...frames]))
      assert.equal((await session.answer).status, 200)
      await session.closed
      assert.equal(session.closes.length, 1)
      websocket.socket.destroy()
      await serverCloses(session.context)
    })
  }
}

test('a poll that comes when its session has just been closed is refused', async () => {
  const session = await openPending()
  session.socket.send('x')
  assert.equal((await session.answer).body, '4x')
  session.socket.close(true)
  assert.equal((await session.peer.poll()).status, 400)
  await serverCloses(session.context)
})
