'use strict'

// Plugins that change what is sent in a listener of `flush`, as engine.io-conflation does it.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { listen, eventually, improvement, openPolling, openWebSocket, openUpgraded } = require('../support')

/** A listener of the server's `flush`: gives all messages of a batch to `conflate` and sends what that returns. */
function conflater(conflate) {
  return (socket, buffer) => {
    const isMessage = ({ type }) => type === 'message'
    const others = buffer.filter((packet) => !isMessage(packet))
    const messages = buffer.filter(isMessage).map(({ data }) => data)
    if (messages.length === 0) return
    buffer.length = 0
    buffer.push(...others, ...conflate(messages).map((data) => ({ type: 'message', data })))
  }
}

/** Sends messages as one batch, whatever the transport, and returns what the client gets of it. */
async function batch({ peer, socket }, messages, count) {
  await eventually(() => socket.writeBuffer.length, 0)
  socket.transport.writable = false
  for (const message of messages) {
    if (typeof message === 'function') message()
    else socket.send(message)
  }
  if (!peer.packet) return (await peer.poll()).body.split('\x1e')
  socket.transport.writable = true
  socket.flush()
  const packets = []
  while (packets.length < count) packets.push(await peer.packet())
  return packets
}

for (const [name, open] of Object.entries({
  polling: openPolling,
  websocket: openWebSocket,
  'an upgraded session': openUpgraded,
})) {
  test(`messages of a batch become one: ${name}`, async () => {
    const context = await listen()
    const ends = await open(context)
    context.engine.on(
      'flush',
      conflater((messages) => [messages.join('+')]),
    )
    assert.deepEqual(await batch(ends, ['a', 'b', 'c'], 1), ['4a+b+c'])
    ends.socket.send('alone')
    if (ends.peer.packet) assert.equal(await ends.peer.packet(), '4alone')
    else assert.equal((await ends.peer.poll()).body, '4alone')
  })

  test(`the plugin sees what was sent, not what it will look like on the wire: ${name}`, async () => {
    const context = await listen()
    const ends = await open(context)
    const sent = [{ price: 1 }, 2, true, [3]]
    let seen
    context.engine.on(
      'flush',
      conflater((messages) => [JSON.stringify((seen = messages))]),
    )
    assert.deepEqual(await batch(ends, sent, 1), ['4[{"price":1},2,true,[3]]'])
    assert.equal(seen[0], sent[0])
  })

  test(`a batch may grow, and get objects that make themselves text: ${name}`, async () => {
    const context = await listen()
    const ends = await open(context)
    context.engine.on(
      'flush',
      conflater((messages) => [...messages, { toString: () => 'object' }, 7]),
    )
    assert.deepEqual(await batch(ends, ['a'], 3), ['4a', '4object', '47'])
  })

  test(`packets of other types stay, ahead of the messages: ${name}`, async () => {
    const context = await listen()
    const ends = await open(context)
    context.engine.on(
      'flush',
      conflater((messages) => [messages.at(-1)]),
    )
    assert.deepEqual(await batch(ends, ['old', () => ends.socket.sendPacket('noop'), 'new'], 2), ['6', '4new'])
  })

  improvement(
    'D-5, G-122: the connection is stuck',
    `a batch may become empty, and the next one is sent: ${name}`,
    async () => {
      const context = await listen()
      const ends = await open(context)
      context.engine.once(
        'flush',
        conflater(() => []),
      )
      await eventually(() => ends.socket.writeBuffer.length, 0)
      ends.socket.transport.writable = false
      ends.socket.send('dropped', () => {})
      const poll = ends.peer.packet ? undefined : await ends.peer.pendingPoll()
      ends.socket.transport.writable = true
      ends.socket.flush()
      await eventually(() => ends.socket.transport.writable, true)
      ends.socket.send('kept')
      assert.equal(poll ? (await poll.response).body : await ends.peer.packet(), '4kept')
    },
  )
}

test("a conflated batch answers the handshake's poll of a polling session with an initial packet", async () => {
  const context = await listen({ initialPacket: 'welcome' })
  context.engine.on(
    'flush',
    conflater((messages) => messages.map((message) => message.toUpperCase())),
  )
  const { peer } = await openPolling(context)
  // the open packet and the initial one are a batch already when the plugin sees them
  assert.match(peer.response.body, /^0\{.*\}\x1e4WELCOME$/)
})
