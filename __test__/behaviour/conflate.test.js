'use strict'

// The packet option `conflate`: the newest message of a key replaces the one that waits (docs/OPERATIONS.md).

const assert = require('node:assert/strict')
const {
  eventually,
  improvement,
  listen,
  listenNatively,
  once,
  openPolling,
  openWebSocket,
  times,
  upstream,
} = require('../support')
const { listenOnUws, skip: skipUws } = require('../support/userver')

const conflates = (name, fn) => improvement('it has no option conflate', name, fn)

const WAYS = { 'attach()': listen, 'the native listener': listenNatively }
if (!skipUws && !upstream) WAYS.uServer = listenOnUws

/** The messages that a polling client gets until one is `last`. */
async function polled(peer, last) {
  const messages = []
  while (messages[messages.length - 1] !== last) {
    for (const packet of (await peer.poll()).body.split('\x1e')) if (packet[0] === '4') messages.push(packet.slice(1))
  }
  return messages
}

for (const [way, listen] of Object.entries(WAYS)) {
  conflates(`${way}: a polling client gets the newest of each key, in the order of sending`, async () => {
    const context = await listen()
    const { peer, socket } = await openPolling(context)
    socket.send('a1', { conflate: 'a' }).send('b1', { conflate: 'b' }).send('plain')
    socket.send('a2', { conflate: 'a' }).send('b2', { conflate: 'b' }).send('a3', { conflate: 'a' }).send('end')
    assert.deepEqual(await polled(peer, 'end'), ['plain', 'b2', 'a3', 'end'])
  })

  conflates(`${way}: a WebSocket client that reads slowly misses what was replaced`, async () => {
    const context = await listen()
    const { peer, socket } = await openWebSocket(context)
    peer.socket.pause()
    const text = 'x'.repeat(1 << 20)
    for (let i = 0; i < 16; i++) socket.send(text)
    for (let i = 0; i < 1000; i++) {
      socket.send(`a${i}`, { conflate: 'a' })
      if (i % 2 === 0) socket.send(`b${i}`, { conflate: 'b' })
    }
    const waiting = socket.writeBuffer.filter(({ options }) => options.conflate !== undefined)
    assert.deepEqual(
      waiting.map(({ data }) => data),
      ['b998', 'a999'],
    )
    socket.send('end')
    peer.socket.resume()
    const got = []
    while (got[got.length - 1] !== '4end') got.push(await peer.packet())
    assert.deepEqual(got.slice(16), ['4b998', '4a999', '4end'])
  })
}

conflates('what is being written is not replaced', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  assert.equal(socket.transport.writable, true)
  socket.send('first', { conflate: 'a' }) // goes to the transport at once
  socket.send('second', { conflate: 'a' })
  socket.send('third', { conflate: 'a' })
  assert.equal(await peer.packet(), '4first')
  assert.equal(await peer.packet(), '4third')
})

conflates('a client that keeps up gets everything', async () => {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  for (let i = 0; i < 20; i++) {
    await eventually(() => socket.transport.writable, true)
    socket.send(`${i}`, { conflate: 'a' })
    assert.equal(await peer.packet(), `4${i}`)
  }
})

conflates(
  'the callback of a replaced message is called with those of its batch, before that of the newer one',
  async () => {
    const context = await listen()
    const { peer, socket } = await openPolling(context)
    const called = []
    socket.send('a1', { conflate: 'a' }, () => called.push('a1'))
    socket.send('b', () => called.push('b'))
    socket.send('a2', { conflate: 'a' }, () => called.push('a2'))
    assert.deepEqual(called, [])
    assert.deepEqual(await polled(peer, 'a2'), ['b', 'a2'])
    await eventually(() => called, ['a1', 'b', 'a2'])
  },
)

conflates('keys are told apart: numbers and strings, and messages without one', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const keys = [1, '1', 0, '', 'undefined', '__proto__', Infinity]
  for (const key of keys) socket.send(`old ${String(key)}`, { conflate: key })
  for (const key of keys) socket.send(`new ${String(key)}`, { conflate: key })
  socket.send('none').send('none', { conflate: undefined }).send('end')
  assert.deepEqual(await polled(peer, 'end'), [...keys.map((key) => `new ${String(key)}`), 'none', 'none', 'end'])
})

conflates('text and binary messages replace each other', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  socket.send('text', { conflate: 'a' })
  socket.send(Buffer.from([1, 2, 3]), { conflate: 'a' })
  socket.send('end')
  assert.match((await peer.poll()).body, /^bAQID\x1e4end$/)
})

conflates('other values than strings and numbers throw, and nothing is sent', async () => {
  const context = await listen()
  const { socket: polls } = await openPolling(context)
  const { socket: ready } = await openWebSocket(context)
  for (const socket of [polls, ready]) {
    for (const conflate of [null, true, {}, [], Symbol('key'), 1n, NaN, () => {}]) {
      const expected = { name: 'TypeError', message: /^the option conflate must be a string or a number, got / }
      assert.throws(() => socket.send('x', { conflate }), expected)
    }
    assert.deepEqual(socket.writeBuffer, [])
  }
})

conflates('a closed session ignores it, as it ignores all messages', async () => {
  const context = await listen()
  const { socket } = await openPolling(context)
  socket.close(true)
  assert.equal(socket.send('x', { conflate: 'a' }), socket)
})

conflates('replacing is followed by bufferedAmount and maxBackpressure', async () => {
  const context = await listen({ maxBackpressure: 250 })
  const { peer, socket } = await openPolling(context)
  for (let i = 0; i < 100; i++) {
    socket.send(`${i}`.padEnd(100, '.'), { conflate: 'a' }).send(`${i}`.padEnd(100, ','), { conflate: 'b' })
    assert.equal(socket.bufferedAmount, i === 0 ? 200 : 200)
  }
  socket.send('c'.repeat(50))
  assert.equal(socket.bufferedAmount, 250)
  const messages = await polled(peer, 'c'.repeat(50))
  assert.deepEqual(
    messages.map((text) => text.slice(0, 3)),
    ['99.', '99,', 'ccc'],
  )
  socket.send('x'.repeat(200), { conflate: 'a' })
  const closed = once(socket, 'close')
  socket.send('y'.repeat(251), { conflate: 'a' })
  const [reason, { message }] = await closed
  assert.deepEqual([reason, message], ['transport error', 'maxBackpressure exceeded'])
})

conflates('bufferedAmount is right after a message was edited while it waited, and then replaced', async () => {
  const context = await listen({ maxBackpressure: 1000 })
  const { peer, socket } = await openPolling(context)
  socket.send('x'.repeat(100), { conflate: 'a' }).send('y'.repeat(10))
  assert.equal(socket.bufferedAmount, 110)
  for (const length of [500, 1, 0]) {
    socket.writeBuffer.find(({ options }) => options.conflate === 'a').data = 'z'.repeat(length)
    socket.send('x'.repeat(100), { conflate: 'a' })
    assert.equal(socket.bufferedAmount, 110)
  }
  const messages = await polled(peer, 'x'.repeat(100))
  assert.deepEqual(messages, ['y'.repeat(10), 'x'.repeat(100)])
  assert.equal(socket.bufferedAmount, 0)
})

conflates('a newer message that is dropped leaves the older one', async () => {
  const context = await listen({ maxBackpressure: 100, backpressurePolicy: 'drop-volatile' })
  const { peer, socket } = await openPolling(context)
  socket.send('old', { conflate: 'a' }).send('other')
  socket.send('x'.repeat(101), { conflate: 'a', volatile: true })
  assert.deepEqual(
    socket.writeBuffer.map(({ data }) => data),
    ['old', 'other'],
  )
  assert.equal(socket.bufferedAmount, 8)
  socket.send('new', { conflate: 'a', volatile: true })
  assert.deepEqual(await polled(peer, 'new'), ['other', 'new'])
})

conflates('packetCreate is emitted for each message, and flush shows what is left', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const created = times(socket, 'packetCreate', 3)
  const flushed = once(socket, 'flush')
  socket.send('1', { conflate: 'a' }).send('2', { conflate: 'a' }).send('3', { conflate: 'a' })
  assert.deepEqual(
    (await created).map(([{ data }]) => data),
    ['1', '2', '3'],
  )
  await peer.poll()
  const [packets] = await flushed
  assert.deepEqual(packets, [{ type: 'message', data: '3', options: { compress: true, conflate: 'a' } }])
})

conflates('a buffer that the application has filled itself is searched with care', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  socket.writeBuffer.push({ type: 'message', data: 'by hand' })
  socket.writeBuffer.push({ type: 'message', data: 'old', options: { conflate: 'a' } })
  socket.send('new', { conflate: 'a' })
  assert.deepEqual(await polled(peer, 'new'), ['by hand', 'new'])
})
