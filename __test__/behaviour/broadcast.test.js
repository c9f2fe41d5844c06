'use strict'

// `server.broadcast()`, which the original does not have: docs/OPERATIONS.md.

const assert = require('node:assert/strict')
const https = require('node:https')
const { WebSocketServer, WebSocket } = require('ws')
const {
  eventually,
  improvement,
  listen,
  listenNatively,
  once,
  openPolling,
  openUpgraded,
  openWebSocket,
  record,
  upstream,
} = require('../support')
const { listenOnUws, skip: skipUws } = require('../support/userver')
const tls = require('../fixtures/tls')

const broadcasts = (name, fn) => improvement('it has no broadcast()', name, fn)

const WAYS = {
  'attach()': listen,
  'the native listener': listenNatively,
  'permessage-deflate': (opts) => listen({ ...opts, perMessageDeflate: { threshold: 0 } }),
  'the WebSocket server of ws': (opts) => listen({ ...opts, wsEngine: WebSocketServer }),
}
if (!skipUws && !upstream) WAYS.uServer = listenOnUws

const sentTo = (sent, rest) => ({ sent, unknown: 0, closed: 0, dropped: 0, ...rest })

for (const [way, listen] of Object.entries(WAYS)) {
  broadcasts(`${way}: every session with one of the ids gets the message, on any transport`, async () => {
    const context = await listen({ allowEIO3: true })
    const peers = []
    for (let i = 0; i < 20; i++) peers.push(await openWebSocket(context))
    peers.push(await openWebSocket(context, { EIO: '3' }))
    peers.push(await openWebSocket(context, { b64: '1' }))
    peers.push(await openUpgraded(context))
    const { peer: polling, socket: polled } = await openPolling(context)
    const other = await openWebSocket(context)
    const ids = [...peers.map(({ socket }) => socket.id), polled.id]
    assert.deepEqual(context.engine.broadcast(ids, 'hello, wörld'), sentTo(24))
    for (const { peer } of peers) assert.equal(await peer.packet(), '4hello, wörld')
    assert.equal((await polling.poll()).body, '4hello, wörld')
    // the other session hears the next message first
    other.socket.send('only here')
    assert.equal(await other.peer.packet(), '4only here')
  })

  broadcasts(`${way}: binary messages, empty ones and large ones`, async () => {
    const context = await listen()
    const sessions = [await openWebSocket(context), await openWebSocket(context), await openWebSocket(context)]
    const ids = new Set(sessions.map(({ socket }) => socket.id))
    const bytes = Buffer.from([0, 1, 2, 255])
    const large = 'x'.repeat(300_000)
    for (const data of [bytes, new Uint8Array(bytes), bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 4)]) {
      assert.deepEqual(context.engine.broadcast(ids, data), sentTo(3))
    }
    assert.deepEqual(context.engine.broadcast(ids, ''), sentTo(3))
    assert.deepEqual(context.engine.broadcast(ids, large), sentTo(3))
    for (const { peer } of sessions) {
      if (way === 'permessage-deflate') continue
      for (let i = 0; i < 3; i++) assert.deepEqual((await peer.frame()).payload, bytes)
      assert.equal(await peer.packet(), '4')
      assert.equal(await peer.packet(), `4${large}`)
    }
  })
}

broadcasts('over TLS it is the same', async () => {
  const context = await listen({}, https.createServer(tls))
  const clients = []
  for (let i = 0; i < 3; i++) {
    const connected = once(context.engine, 'connection')
    const url = `wss://127.0.0.1:${context.port}/engine.io/?EIO=4&transport=websocket`
    const client = new WebSocket(url, { rejectUnauthorized: false })
    const opened = once(client, 'message')
    const [socket] = await connected
    await opened
    clients.push({ socket, got: record(client, 'message', (_, data) => String(data)) })
  }
  const ids = clients.map(({ socket }) => socket.id)
  for (let i = 0; i < 3; i++) assert.deepEqual(context.engine.broadcast(ids, `${i}`), sentTo(3))
  for (const { got } of clients) await eventually(() => got, ['40', '41', '42'])
})

broadcasts('unknown ids and sessions that close are counted and skipped', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  const { socket: closing } = await openPolling(context)
  const { socket: gone } = await openPolling(context)
  closing.close()
  gone.close(true)
  assert.equal(closing.readyState, 'closing')
  const ids = [socket.id, closing.id, gone.id, 'unknown', '', '__proto__', 'constructor', undefined, null, 5, {}]
  assert.deepEqual(context.engine.broadcast(ids, 'x'), { sent: 1, unknown: 9, closed: 1, dropped: 0 })
  assert.equal(await peer.packet(), '4x')
  context.engine.close()
  assert.deepEqual(context.engine.broadcast([socket.id], 'x'), { sent: 0, unknown: 1, closed: 0, dropped: 0 })
})

broadcasts('no ids, no sessions', async () => {
  const context = await listen()
  for (const ids of [[], new Set(), new Map().keys()]) {
    assert.deepEqual(context.engine.broadcast(ids, 'x'), { sent: 0, unknown: 0, closed: 0, dropped: 0 })
  }
})

broadcasts('any iterable will do, and an id that occurs twice counts once', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  const { id } = socket
  const ids = function* () {
    yield id
    yield 'unknown'
    yield id
  }
  assert.deepEqual(context.engine.broadcast(ids(), '1'), { sent: 1, unknown: 1, closed: 0, dropped: 0 })
  assert.deepEqual(context.engine.broadcast([id, id], '2'), sentTo(1))
  assert.deepEqual(context.engine.broadcast(Object.keys(context.engine.clients), '3'), sentTo(1))
  for (const expected of ['41', '42', '43']) assert.equal(await peer.packet(), expected)
})

broadcasts('invalid arguments throw, and nothing is sent', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  const { engine } = context
  for (const ids of [undefined, null, 'abc', '', 5, {}, () => {}, socket, true, Symbol('id')]) {
    assert.throws(() => engine.broadcast(ids, 'x'), { name: 'TypeError', message: /takes an iterable of session ids/ })
  }
  for (const options of [null, 5, 'x', true, () => {}, []]) {
    assert.throws(() => engine.broadcast([socket.id], 'x', options), {
      name: 'TypeError',
      message: /must be an object/,
    })
  }
  for (const conflate of [null, {}, true, NaN, Symbol('key')]) {
    const expected = { name: 'TypeError', message: /conflate must be a string or a number/ }
    assert.throws(() => engine.broadcast([socket.id], 'x', { conflate }), expected)
  }
  for (const [options, message] of [
    [{ volatil: true }, /^the option volatil of broadcast\(\) is unknown; the options are compress, /],
    [{ volatile: 'no' }, "the option volatile of broadcast() must be a boolean, got the string 'no'"],
  ]) {
    assert.throws(() => engine.broadcast([socket.id], 'x', options), { name: 'TypeError', message })
  }
  const failing = {
    *[Symbol.iterator]() {
      yield socket.id
      throw new Error('from the iterator')
    },
  }
  assert.throws(() => engine.broadcast(failing, 'x'), /from the iterator/)
  engine.broadcast([socket.id], 'the first')
  assert.equal(await peer.packet(), '4the first')
})

broadcasts('data that cannot become a string throws, and no session is touched', async () => {
  for (const opts of [{}, { perMessageDeflate: true }, { wsEngine: WebSocketServer }]) {
    const context = await listen(opts)
    const { peer, socket } = await openWebSocket(context)
    const { peer: polling, socket: polled } = await openPolling(context)
    const ids = [socket.id, polled.id]
    const failing = {
      toString() {
        throw new Error('from toString')
      },
    }
    const view = new DataView(new ArrayBuffer(8))
    structuredClone(view.buffer, { transfer: [view.buffer] })
    for (const data of [Symbol('x'), Object.create(null), failing, view, { [Symbol.toPrimitive]: () => ({}) }]) {
      const expected = {
        name: 'TypeError',
        message: /^broadcast\(\) takes a string, binary data or what can be converted/,
      }
      assert.throws(() => context.engine.broadcast(ids, data), expected)
      assert.equal(socket.transport.writable, true)
      assert.deepEqual(polled.writeBuffer, [])
    }
    // what can be converted is converted once
    let conversions = 0
    const converted = { toString: () => `${++conversions}` }
    assert.deepEqual(context.engine.broadcast(ids, converted), sentTo(2))
    assert.equal(await peer.packet(), '41')
    assert.equal((await polling.poll()).body, '41')
    assert.equal(conversions, 1)
  }
})

broadcasts('messages of broadcasts and of sessions keep their order', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  const { socket: second } = await openWebSocket(context)
  const ids = [socket.id, second.id]
  const expected = []
  for (let i = 0; i < 30; i++) {
    const text = `${i}`
    expected.push(`4${text}`)
    if (i % 3 === 0) socket.send(text)
    else if (i % 3 === 1) context.engine.broadcast(ids, text)
    else socket.send(text, () => {})
  }
  for (const text of expected) assert.equal(await peer.packet(), text)
})

broadcasts('it does for a session what send() does: events, replaced methods, callbacks of others', async () => {
  const context = await listen()
  const seen = []
  const open = async (prepare) => {
    const session = await openWebSocket(context)
    prepare(session.socket)
    return session
  }
  const sessions = [
    await open(() => {}),
    await open((socket) => socket.on('packetCreate', ({ data }) => seen.push(`packetCreate ${data}`))),
    await open((socket) => socket.on('flush', (packets) => seen.push(`flush ${packets[0].data}`))),
    await open((socket) => {
      const { send } = socket
      socket.send = function (...args) {
        seen.push(`send ${args[0]}`)
        return send.apply(this, args)
      }
    }),
    await open((socket) => {
      const { sendPacket } = socket
      socket.sendPacket = function (...args) {
        seen.push(`sendPacket ${args[1]}`)
        return sendPacket.apply(this, args)
      }
    }),
    await open((socket) => {
      const { send } = socket.transport
      socket.transport.send = function (packets) {
        seen.push(`transport.send ${packets[0].data}`)
        return send.call(this, packets)
      }
    }),
  ]
  const ids = sessions.map(({ socket }) => socket.id)
  assert.deepEqual(context.engine.broadcast(ids, 'x'), sentTo(6))
  assert.deepEqual(seen, ['packetCreate x', 'flush x', 'send x', 'sendPacket x', 'transport.send x'])
  for (const { peer } of sessions) assert.equal(await peer.packet(), '4x')
})

broadcasts('each session gets options of its own', async () => {
  const context = await listen()
  const options = Object.freeze({ compress: false, volatile: false })
  const given = []
  for (let i = 0; i < 2; i++) {
    const { socket } = await openWebSocket(context)
    socket.on('packetCreate', (packet) => given.push(packet.options))
  }
  assert.deepEqual(context.engine.broadcast(Object.keys(context.engine.clients), 'x', options), sentTo(2))
  assert.deepEqual(given, [options, options])
  assert.notEqual(given[0], given[1])
})

broadcasts('a listener that throws does not keep the others from the message', async () => {
  const context = await listen()
  const first = await openWebSocket(context)
  const second = await openWebSocket(context)
  const third = await openPolling(context)
  for (const text of ['one', 'two']) {
    const { socket } = await openWebSocket(context)
    socket.on('packetCreate', () => {
      throw new Error(text)
    })
  }
  const ids = Object.keys(context.engine.clients).reverse()
  assert.throws(() => context.engine.broadcast(ids, 'x'), { message: 'two' })
  for (const { peer } of [first, second]) assert.equal(await peer.packet(), '4x')
  assert.equal((await third.peer.poll()).body, '4x')
})

broadcasts('a listener that closes other sessions: they count as closed', async () => {
  const context = await listen()
  const { socket: first } = await openPolling(context)
  const { socket: second } = await openPolling(context)
  first.on('packetCreate', () => second.close(true))
  const outcome = context.engine.broadcast([first.id, second.id], 'x')
  assert.deepEqual(outcome, { sent: 1, unknown: 0, closed: 1, dropped: 0 })
})

broadcasts('maxBackpressure: sessions that are closed or miss the message are counted', async () => {
  for (const [backpressurePolicy, expected] of [
    ['close', { sent: 1, unknown: 0, closed: 1, dropped: 0 }],
    ['drop-volatile', { sent: 1, unknown: 0, closed: 0, dropped: 1 }],
  ]) {
    const context = await listen({ maxBackpressure: 100, backpressurePolicy })
    const { socket: full } = await openPolling(context)
    const { peer, socket } = await openPolling(context)
    full.send('x'.repeat(95))
    const outcome = context.engine.broadcast([full.id, socket.id], 'y'.repeat(10), { volatile: true })
    assert.deepEqual(outcome, expected)
    assert.equal((await peer.poll()).body, `4${'y'.repeat(10)}`)
  }
})

broadcasts('conflate: the newest broadcast of a key is what waits', async () => {
  const context = await listen()
  const sessions = [await openPolling(context), await openPolling(context)]
  const ids = sessions.map(({ socket }) => socket.id)
  for (let i = 0; i < 10; i++) {
    assert.deepEqual(context.engine.broadcast(ids, `price ${i}`, { conflate: 'price' }), sentTo(2))
  }
  for (const { peer } of sessions) assert.equal((await peer.poll()).body, '4price 9')
})

broadcasts('conflate with drop-volatile: what is replaced makes room, and what finds none is counted', async () => {
  const context = await listen({ maxBackpressure: 100, backpressurePolicy: 'drop-volatile' })
  const { peer, socket } = await openPolling(context)
  const options = { volatile: true, conflate: 'price' }
  for (const sign of ['a', 'b', 'c']) {
    assert.deepEqual(context.engine.broadcast([socket.id], sign.repeat(95), options), sentTo(1))
  }
  assert.deepEqual(context.engine.broadcast([socket.id], 'd'.repeat(101), options), sentTo(0, { dropped: 1 }))
  assert.equal((await peer.poll()).body, `4${'c'.repeat(95)}`)
})

broadcasts(
  'a volatile message that is larger than maxBackpressure counts as dropped, also if a poll waits',
  async () => {
    const context = await listen({ maxBackpressure: 100, backpressurePolicy: 'drop-volatile' })
    const { peer, socket } = await openPolling(context)
    const poll = peer.poll()
    await eventually(() => socket.transport.writable, true)
    const options = { volatile: true }
    assert.deepEqual(context.engine.broadcast([socket.id], 'x'.repeat(101), options), sentTo(0, { dropped: 1 }))
    assert.deepEqual(context.engine.broadcast([socket.id], 'y', options), sentTo(1))
    assert.equal((await poll).body, '4y')
  },
)

broadcasts('something else than a session in the table of clients is skipped', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  const { clients } = context.engine
  clients.nothing = null
  clients.number = 5
  const outcome = context.engine.broadcast(['nothing', 'number', socket.id], 'x')
  delete clients.nothing
  delete clients.number
  assert.deepEqual(outcome, { sent: 1, unknown: 1, closed: 1, dropped: 0 })
  assert.equal(await peer.packet(), '4x')
})

broadcasts('a connection whose client has just gone is no error', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  const { peer: other, socket: stays } = await openWebSocket(context)
  const closed = once(socket, 'close')
  peer.reset()
  // before and after the server hears of it
  let outcome
  do {
    outcome = context.engine.broadcast([socket.id, stays.id], 'x')
    assert.equal(outcome.sent + outcome.unknown + outcome.closed, 2)
    await new Promise(setImmediate)
  } while (outcome.unknown === 0)
  await closed
  assert.equal(await other.packet(), '4x')
})
