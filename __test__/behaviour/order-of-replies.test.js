'use strict'

// Several messages in one segment, or several packets in one payload, and listeners that reply: where the callbacks of what is
// sent, `flush`, `drain` and the transport's own events come between the messages.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { eventually, frame, listen, openPolling, openUpgraded, openWebSocket, settled } = require('../support')

const texts = (count, prefix = 'm') => Array.from({ length: count }, (_, i) => `4${prefix}${i}`)
const segment = (messages) => Buffer.concat(messages.map((payload) => frame({ payload })))

/** Has a session's events pushed to a log: `flush r0`, `drain`, `t.ready`, … */
function watch(socket, log) {
  socket.on('flush', (buffer) => log.push(`flush ${buffer.map(({ data }) => data)}`))
  socket.on('drain', () => log.push('drain'))
  for (const event of ['drain', 'ready']) socket.transport.on(event, () => log.push(`t.${event}`))
}

/** What listeners of `message` do, with the log of two messages in one segment. */
const REPLIES = {
  'a reply to each': [
    (socket, log) => (data) => socket.send(`r${data}`, () => log.push(`cb ${data}`)),
    ['m0', 'm1', 'cb m0', 'cb m1'],
  ],
  'two replies to each': [
    (socket, log) => (data) => {
      socket.send('a', () => log.push(`cb a ${data}`))
      socket.send('b', () => log.push(`cb b ${data}`))
    },
    ['m0', 'm1', 'cb a m0', 'cb b m0', 'cb a m1', 'cb b m1'],
  ],
  'a reply in the next tick': [
    (socket, log) => (data) =>
      process.nextTick(() => {
        log.push(`tick ${data}`)
        socket.send('r', () => log.push(`cb ${data}`))
      }),
    ['m0', 'm1', 'tick m0', 'tick m1', 'cb m0', 'cb m1'],
  ],
  'a reply in a promise': [
    (socket, log) => async (data) => {
      await undefined
      log.push(`promise ${data}`)
      socket.send('r', () => log.push(`cb ${data}`))
    },
    ['m0', 'm1', 'promise m0', 'promise m1', 'cb m0', 'cb m1'],
  ],
  "a reply in the event loop's next phase": [
    (socket, log) => (data) =>
      setImmediate(() => {
        log.push(`immediate ${data}`)
        socket.send('r', () => log.push(`cb ${data}`))
      }),
    ['m0', 'm1', 'immediate m0', 'cb m0', 'immediate m1', 'cb m1'],
  ],
  'a reply whose callback sends': [
    (socket, log) => (data) =>
      socket.send('a', () => {
        log.push(`cb a ${data}`)
        socket.send('b', () => log.push(`cb b ${data}`))
      }),
    ['m0', 'm1', 'cb a m0', 'cb a m1', 'cb b m0', 'cb b m1'],
  ],
  'a reply by the WebSocket itself': [
    ({ transport }, log) =>
      (data) =>
        transport.socket.send('4r', () => log.push(`cb ${data}`)),
    ['m0', 'm1', 'cb m0', 'cb m1'],
  ],
}

for (const [name, open] of [
  ['websocket', openWebSocket],
  ['an upgraded session', openUpgraded],
]) {
  for (const [what, [reply, expected]] of Object.entries(REPLIES)) {
    test(`${what}, to two messages in one segment, and again to two more: ${name}`, async () => {
      const { peer, socket } = await open(await listen())
      const log = []
      await settled({ peer, socket })
      const answer = reply(socket, log)
      socket.on('message', (data) => {
        log.push(data)
        return answer(data)
      })
      for (let n = 0; n < 2; n++) {
        log.length = 0
        peer.write(segment(texts(2)))
        await eventually(() => log, expected)
      }
    })
  }

  test(`flush, drain and the transport's events around two messages: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    await settled({ peer, socket })
    const log = []
    watch(socket, log)
    socket.on('message', (data) => {
      log.push(data)
      socket.send(`r${data}`, () => log.push(`cb ${data}`))
    })
    peer.write(segment(texts(3)))
    const first = ['m0', 'flush rm0', 'drain', 'm1', 'm2', 'cb m0', 't.drain']
    await eventually(() => log, [...first, 'flush rm1,rm2', 'drain', 't.ready', 'cb m1', 'cb m2', 't.drain', 't.ready'])
  })

  test(`all messages of a segment come before the first callback: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    let messages = 0
    const before = []
    socket.on('message', () => {
      messages++
      socket.send('r', () => before.push(messages))
    })
    peer.write(segment(texts(300)))
    await eventually(() => [messages, before.length], [300, 300])
    assert.equal(before[0], 300)
  })

  test(`the state of the transport between two messages: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    await settled({ peer, socket })
    const log = []
    socket.on('message', (data) => {
      log.push([data, socket.transport.writable, socket.writeBuffer.length])
      socket.send('r')
    })
    peer.write(segment(texts(3)))
    await eventually(
      () => log,
      [
        ['m0', true, 0],
        ['m1', false, 0],
        ['m2', false, 1],
      ],
    )
  })

  test(`close() in the listener of the second message: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    await settled({ peer, socket })
    const log = []
    socket.on('close', (reason) => log.push(reason))
    socket.on('message', (data) => {
      log.push(data)
      socket.send('r', () => log.push(`cb ${data}`))
      if (data === 'm1') socket.close()
    })
    peer.write(segment(texts(3)))
    await eventually(() => log, ['m0', 'm1', 'cb m0', 'forced close'])
  })
}

test('on polling the callback of what answers a pending poll comes before the next packet of the payload', async () => {
  const { peer, socket } = await openPolling(await listen())
  await peer.pendingPoll()
  const log = []
  watch(socket, log)
  socket.on('message', (data) => {
    log.push(data)
    socket.send(`r${data}`, () => log.push(`cb ${data}`))
  })
  await peer.post(texts(2).join('\x1e'))
  await eventually(() => log, ['m0', 'flush rm0', 'cb m0', 't.drain', 'drain', 'm1'])
  log.length = 0
  assert.equal((await peer.poll()).body, '4rm1')
  await eventually(() => log, ['flush rm1', 'cb m1', 't.drain', 'drain', 't.ready'])
})

test('without a pending poll replies to all packets of a payload wait for the next one', async () => {
  const { peer, socket } = await openPolling(await listen())
  const log = []
  socket.on('message', (data) => {
    log.push(data)
    socket.send(`r${data}`, () => log.push(`cb ${data}`))
  })
  await peer.post(texts(2).join('\x1e'))
  assert.deepEqual(log, ['m0', 'm1'])
  assert.equal((await peer.poll()).body, '4rm0\x1e4rm1')
  await eventually(() => log, ['m0', 'm1', 'cb m0', 'cb m1'])
})

test('a callback is called before what the event loop does next, where the client reads', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  await settled({ peer, socket })
  const log = []
  await new Promise((resolve) => {
    setImmediate(() => {
      socket.send('a', () => log.push('cb a'))
      process.nextTick(() => log.push('tick'))
      setImmediate(() => resolve(log.push('immediate')))
    })
  })
  assert.deepEqual(log, ['cb a', 'tick', 'immediate'])
})
