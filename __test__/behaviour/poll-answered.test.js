'use strict'

// Whatever ends while a poll is pending, in either order: the poll is answered or refused, or its connection ends, the
// session closes once, and the HTTP server can be closed.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { deadline, frame, improvement, listen, once, path, record, request, runFixture } = require('../support')
const { PollingPeer, RawPeer, RawWebSocket, upgradeRequest } = require('../support')

const NEVER = 600_000
const OPTIONS = { allowEIO3: true, pingInterval: NEVER, pingTimeout: NEVER }

/** The kinds of polling: their queries, and how a payload with one packet stands in a response. */
const KINDS = {
  'protocol 4': { query: {}, wrap: (packet) => packet },
  'protocol 3': { query: { EIO: '3' }, wrap: (packet) => `${packet.length}:${packet}` },
  'JSONP, protocol 4': { query: { j: '0' }, wrap: (packet) => `___eio[0]("${packet}");`, isForm: true },
  'JSONP, protocol 3': {
    query: { EIO: '3', j: '0', b64: '1' },
    wrap: (packet) => `___eio[0]("${packet.length}:${packet}");`,
    isForm: true,
  },
}

/** A polling session of a kind: `{ context, peer, socket, close(packet) }`; it closes once, for which `closed` waits. */
async function open(kind, options) {
  const { query } = KINDS[kind]
  const context = await listen({ ...OPTIONS, ...options })
  const connected = once(context.engine, 'connection')
  const response = await request({ port: context.port, path: path(context, query) })
  const [sid] = /(?<=sid\\?":\\?")[\w-]+/.exec(response.body)
  const peer = new PollingPeer(context, query, { body: `0${JSON.stringify({ sid })}` })
  const [socket] = await connected
  return { context, peer, socket, closes: record(socket, 'close'), closed: once(socket, 'close') }
}

/** A body that brings one packet. */
function body(kind, packet) {
  const { query, isForm } = KINDS[kind]
  const payload = query.EIO === '3' ? `${packet.length}:${packet}` : packet
  return isForm ? `d=${encodeURIComponent(payload)}` : payload
}

function post(kind, peer, packet) {
  const type = KINDS[kind].isForm ? 'application/x-www-form-urlencoded' : 'text/plain;charset=UTF-8'
  return peer.post(body(kind, packet), { 'Content-Type': type })
}

/** The HTTP server closes, which takes the end of all of its requests. */
function serverCloses({ server }) {
  return deadline(new Promise((resolve) => server.close(resolve)), "the HTTP server's end")
}

/** What ends a session while its poll is pending, with the packet that the poll is answered with. */
const ENDS = {
  'its close()': { end: ({ socket }) => socket.close(), packet: '1', reason: 'forced close' },
  'its close(true)': { end: ({ socket }) => socket.close(true), packet: '1', reason: 'forced close' },
  "the engine's close()": { end: ({ context }) => context.engine.close(), packet: '1', reason: 'forced close' },
  'an error of its transport': {
    end: ({ socket }) => socket.transport.onError('of the transport'),
    packet: '1',
    reason: 'transport error',
  },
  'an error of its own': {
    end: ({ socket }) => socket.onError(new Error('of the session')),
    packet: '1',
    reason: 'transport error',
  },
  "its client's close packet": {
    end: ({ kind, peer }) => post(kind, peer, '1'),
    packet: '6',
    reason: 'transport close',
  },
  'a POST that is cut off': {
    async end({ peer, closed }) {
      const { req } = await peer.pendingPost('4')
      req.destroy()
      await closed
    },
    packet: '1',
    reason: 'transport error',
  },
  'a packet that is none': {
    end: ({ kind, peer }) => post(kind, peer, 'x').catch(() => {}),
    packet: '1',
    reason: 'parse error',
  },
}

for (const kind of Object.keys(KINDS)) {
  for (const [name, { end, packet, reason }] of Object.entries(ENDS)) {
    // what this is in protocol 3 and in forms is shown elsewhere
    if (name === 'a packet that is none' && kind !== 'protocol 4') continue

    test(`${kind}: a pending poll is answered at ${name}, and the HTTP server closes`, async () => {
      const session = await open(kind)
      const { response } = await session.peer.pendingPoll()
      await end({ kind, ...session })
      const answer = await response
      assert.deepEqual([answer.status, answer.body], [200, KINDS[kind].wrap(packet)])
      await session.closed
      assert.deepEqual(
        session.closes.map(([, why]) => why),
        [reason],
      )
      await serverCloses(session.context)
    })
  }

  test(`${kind}: a pending poll is answered at the ping timeout, and the HTTP server closes`, async () => {
    const isOld = KINDS[kind].query.EIO === '3'
    // the polls come well within the timeout on a slow machine, too
    const session = await open(kind, { pingInterval: isOld ? 500 : 50, pingTimeout: 500 })
    let answer = await session.peer.poll()
    if (!isOld) {
      assert.equal(answer.body, KINDS[kind].wrap('2'))
      // one more ping may come where the process was late
      do answer = await session.peer.poll()
      while (answer.body === KINDS[kind].wrap('2'))
    }
    assert.deepEqual([answer.status, answer.body], [200, KINDS[kind].wrap('1')])
    await session.closed
    assert.deepEqual(
      session.closes.map(([, why]) => why),
      ['ping timeout'],
    )
    await serverCloses(session.context)
  })

  test(`${kind}: of two polls one is answered and one refused, and the HTTP server closes`, async () => {
    const session = await open(kind)
    const { response } = await session.peer.pendingPoll()
    const second = await session.peer.poll()
    const first = await response
    assert.deepEqual([first.status, first.body, second.status], [200, KINDS[kind].wrap('1'), 400])
    await session.closed
    assert.deepEqual(
      session.closes.map(([, why]) => why),
      ['transport error'],
    )
    await serverCloses(session.context)
  })

  test(`${kind}: a client that goes away from its poll ends the session, and the HTTP server closes`, async () => {
    const session = await open(kind)
    const { req } = await session.peer.pendingPoll()
    req.destroy()
    await session.closed
    assert.deepEqual(
      session.closes.map(([, why]) => why),
      ['transport error'],
    )
    await serverCloses(session.context)
  })

  test(`${kind}: the HTTP server that closes first closes when the poll has been answered`, async () => {
    const session = await open(kind)
    const { response } = await session.peer.pendingPoll()
    const ended = serverCloses(session.context)
    session.socket.close()
    assert.equal((await response).body, KINDS[kind].wrap('1'))
    await ended
  })

  test(`${kind}: a poll that was waiting for the close is answered with it`, async () => {
    const session = await open(kind)
    session.socket.close()
    assert.equal(session.socket.readyState, 'closing')
    const answer = await session.peer.poll()
    assert.equal(answer.status, 200)
    assert.match(answer.body, /1/)
    await session.closed
    await serverCloses(session.context)
  })

  test(`${kind}: a pending poll is answered when the session moves, and the HTTP server closes`, async () => {
    const { context, peer, socket } = await open(kind)
    const { response } = await peer.pendingPoll()
    const upgraded = once(socket, 'upgrade')
    const { query } = KINDS[kind]
    const websocket = await RawWebSocket.open(
      context.port,
      path(context, { ...query, j: undefined, transport: 'websocket', sid: peer.sid }),
    )
    websocket.sendText('2probe')
    assert.equal(await websocket.packet(), '3probe')
    websocket.sendText('5')
    const answer = await response
    assert.equal(answer.status, 200)
    // the close of the transport, or the noop that comes every 100 ms
    assert.ok(['1', '6'].map(KINDS[kind].wrap).includes(answer.body), answer.body)
    await upgraded
    socket.close()
    websocket.socket.destroy()
    await serverCloses(context)
  })

  test(`${kind}: a POST in progress ends with its session, and the HTTP server closes`, async () => {
    const session = await open(kind)
    const { response } = await session.peer.pendingPost('4')
    session.socket.close(true)
    await session.closed
    await assert.rejects(response)
    await serverCloses(session.context)
  })
}

// ---- what ends a session while the answer to its poll is on its way --------------------------

const block = (ms) => {
  const end = Date.now() + ms
  while (Date.now() < end);
}

/** What an application does when a client probes, while all that the client sends has come already. */
const MEANWHILE = {
  'closes the session': ({ socket }) => socket.close(),
  'closes the session at once': ({ socket }) => socket.close(true),
  'closes the engine': ({ context }) => context.engine.close(),
  'meets an error of the transport': ({ socket }) => socket.transport.onError('of the transport'),
  'does nothing': () => {},
}

for (const kind of ['protocol 4', 'protocol 3']) {
  const query = KINDS[kind].query
  /** The client sends its upgrade request, its probe and the upgrade in one segment. */
  const upgradesInOneSegment = async ({ context, peer }) => {
    const websocket = await RawPeer.connect(context.port)
    const target = path(context, { ...query, transport: 'websocket', sid: peer.sid })
    const frames = [frame({ payload: '2probe' }), frame({ payload: '5' })]
    websocket.write(Buffer.concat([Buffer.from(upgradeRequest(target)), ...frames]))
    return websocket
  }

  for (const [name, act] of Object.entries(MEANWHILE)) {
    for (const event of ['upgrading', 'upgrade']) {
      test(`${kind}: a pending poll is answered if the application ${name} at "${event}", late`, async () => {
        const session = await open(kind)
        session.socket.on(event, () => {
          block(20)
          act(session)
        })
        const { response } = await session.peer.pendingPoll()
        const websocket = await upgradesInOneSegment(session)
        const answer = await response
        assert.deepEqual([answer.status, answer.body], [200, KINDS[kind].wrap('1')])
        if (name === 'does nothing') session.socket.close(true)
        await session.closed
        assert.equal(session.closes.length, 1)
        websocket.socket.destroy()
        await serverCloses(session.context)
      })

      test(`${kind}: a POST in progress ends if the application ${name} at "${event}", late`, async () => {
        const session = await open(kind)
        session.socket.on(event, () => {
          block(20)
          act(session)
        })
        const { response } = await session.peer.pendingPost('4')
        const websocket = await upgradesInOneSegment(session)
        await assert.rejects(response)
        if (session.socket.readyState !== 'closed') session.socket.close(true)
        await session.closed
        assert.equal(session.closes.length, 1)
        websocket.socket.destroy()
        await serverCloses(session.context)
      })
    }
  }

  test(`${kind}: a poll that comes while the session moves, unnoticed by the application, is refused or answered`, async () => {
    const session = await open(kind)
    session.socket.once('upgrading', () => block(20))
    const { response } = await session.peer.pendingPoll()
    const websocket = await upgradesInOneSegment(session)
    const second = session.peer.poll()
    assert.equal((await response).status, 200)
    assert.ok([200, 400].includes((await second).status))
    session.socket.close(true)
    websocket.socket.destroy()
    await serverCloses(session.context)
  })
}

// ---- listeners that throw --------------------------------------------------------------------

const ANSWERED = '8 and 10: the client waits for ever'

for (const [scenario, name, status, row] of [
  ['poll-close', 'a close listener throws', 200],
  ['poll-upgrading', 'an upgrading listener that has closed the session throws', 200],
  ['poll-drain', 'a drain listener throws', 200],
  ['poll-message', 'a message listener that has closed the session throws', 200, ANSWERED],
  ['poll-overlap', 'a close listener throws at a second poll', 400, ANSWERED],
  ['post-binary', 'a close listener throws at a POST that is refused', 400, ANSWERED],
  ['headers', 'a headers listener throws at the end of the session', 500, ANSWERED],
  ['headers-post', 'a headers listener throws at the answer to a POST', 500, ANSWERED],
  ['handshake-flush', 'a flush listener throws in the handshake', 200, ANSWERED],
  ['handshake-open', 'the session cannot be opened', 400, ANSWERED],
]) {
  const register = row === undefined ? test : improvement.bind(undefined, row)
  register(`a request is answered and the HTTP server closes though ${name}`, async () => {
    const { code, lines, stderr } = await runFixture('unanswered', [scenario])
    assert.deepEqual([code, stderr], [0, ''])
    assert.deepEqual(lines, [{ status, thrown: true, clients: 0, closed: true }])
  })
}

improvement('G-105', 'the last poll of a session is answered though a listener of its end throws', async () => {
  const { lines } = await runFixture('last-poll')
  assert.equal(lines.length, 1)
  assert.ok(lines[0].endsWith('1'), `${lines[0]} has no close packet`)
})
