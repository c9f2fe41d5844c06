'use strict'

// Methods and fields of a session that applications patch and read: the real thing, at any time.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  listen,
  once,
  record,
  eventually,
  improvement,
  openPolling,
  openWebSocket,
  openProbing,
  upgradeTo,
  probe,
  openUpgraded,
} = require('../support')

const BOUND = 'A-4: the original binds this method when a transport is set, and a later patch waits for the next one'

const OPENERS = { polling: openPolling, websocket: openWebSocket, 'an upgraded session': openUpgraded }

/** Sends a packet the way the session's transport does it. */
async function deliver(peer, packet) {
  if (peer.sendText) peer.sendText(packet)
  else await peer.post(packet)
}

for (const [name, open] of Object.entries(OPENERS)) {
  test(`a patched emit hears of messages and pongs as listeners do: ${name}`, async () => {
    const { peer, socket } = await open(await listen({ pingInterval: 600, pingTimeout: 5000 }))
    const heard = []
    const { emit } = socket
    socket.emit = function (event, ...args) {
      heard.push(event === 'packet' ? `packet ${args[0].type}` : event)
      return emit.call(this, event, ...args)
    }
    const incoming = () => heard.filter((event) => /packet |data|message|heartbeat/.test(event))
    await deliver(peer, '4one')
    await eventually(incoming, ['packet message', 'data', 'message'])
    assert.equal(peer.packet ? await peer.packet() : (await peer.poll()).body, '2')
    await deliver(peer, '3')
    await eventually(() => incoming().slice(3), ['packet pong', 'heartbeat'])
  })
}

for (const [name, open] of Object.entries(OPENERS)) {
  improvement(BOUND, `a patched onPacket gets every message, and decides what becomes of it: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    const messages = record(socket, 'message', (event, data) => data)
    const { onPacket } = socket
    socket.onPacket = function (packet) {
      if (packet.type === 'message') packet.data = packet.data.toUpperCase()
      if (packet.data !== 'DROP') onPacket.call(this, packet)
    }
    await deliver(peer, '4one')
    await deliver(peer, '4drop')
    await deliver(peer, '4two')
    await eventually(() => messages, ['ONE', 'TWO'])
  })

  improvement(BOUND, `a patched onPacket sees pongs, and the session lives on: ${name}`, async () => {
    const { peer, socket } = await open(await listen({ pingInterval: 60, pingTimeout: 1000 }))
    const types = []
    const { onPacket } = socket
    socket.onPacket = function (packet) {
      types.push(packet.type)
      onPacket.call(this, packet)
    }
    const beat = once(socket, 'heartbeat')
    assert.equal(peer.packet ? await peer.packet() : (await peer.poll()).body, '2')
    await deliver(peer, '3')
    await beat
    assert.deepEqual(types, ['pong'])
    assert.equal(socket.readyState, 'open')
  })

  test(`onPacket can be called from outside: ${name}`, async () => {
    const { socket } = await open(await listen())
    const log = record(socket, ['packet', 'data', 'message'])
    socket.onPacket({ type: 'message', data: 'from afar' })
    assert.deepEqual(log, [
      ['packet', { type: 'message', data: 'from afar' }],
      ['data', 'from afar'],
      ['message', 'from afar'],
    ])
    const closed = once(socket, 'close')
    socket.onPacket({ type: 'error', data: 'parser error' })
    assert.deepEqual(await closed, ['parse error', undefined])
  })

  test(`a pong given to onPacket from outside counts: ${name}`, async () => {
    const { peer, socket } = await open(await listen({ pingInterval: 60, pingTimeout: 1500 }))
    const closed = record(socket, 'close')
    for (let n = 0; n < 4; n++) {
      assert.equal(peer.packet ? await peer.packet() : (await peer.poll()).body, '2')
      socket.onPacket({ type: 'pong' })
    }
    assert.deepEqual(closed, [])
  })

  test(`a patched sendPacket is what send, write and others go through: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    const { sendPacket } = socket
    const calls = []
    socket.sendPacket = function (type, data, ...rest) {
      calls.push([type, data])
      return sendPacket.call(this, type, `<${data}>`, ...rest)
    }
    socket.send('a')
    socket.write('b')
    assert.deepEqual(calls, [
      ['message', 'a'],
      ['message', 'b'],
    ])
    if (peer.packet) assert.deepEqual([await peer.packet(), await peer.packet()], ['4<a>', '4<b>'])
    else assert.equal((await peer.poll()).body, '4<a>\x1e4<b>')
  })

  test(`sendPacket takes packets of other types: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    const poll = peer.packet ? undefined : await peer.pendingPoll()
    socket.sendPacket('noop')
    assert.equal(poll ? (await poll.response).body : await peer.packet(), '6')
  })

  test(`a patched flush decides when the buffer is handed over: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    const { flush } = socket
    let corked = true
    socket.flush = function () {
      if (!corked) flush.call(this)
    }
    socket.send('a')
    socket.send('b', { compress: false })
    assert.deepEqual(socket.writeBuffer, [
      { type: 'message', options: { compress: true }, data: 'a' },
      { type: 'message', options: { compress: false }, data: 'b' },
    ])
    corked = false
    socket.flush()
    if (peer.packet) assert.deepEqual([await peer.packet(), await peer.packet()], ['4a', '4b'])
    else assert.equal((await peer.poll()).body, '4a\x1e4b')
    assert.deepEqual(socket.writeBuffer, [])
  })

  test(`what is added to writeBuffer by hand is sent: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    socket.transport.writable = false
    socket.send('b')
    socket.writeBuffer.unshift({ type: 'message', data: 'a' })
    socket.writeBuffer.push({ type: 'message', data: Buffer.from([1]) })
    if (peer.packet) {
      socket.transport.writable = true
      socket.flush()
      assert.deepEqual([await peer.packet(), await peer.packet()], ['4a', '4b'])
      assert.equal((await peer.frame()).opcode, 2)
    } else {
      assert.equal((await peer.poll()).body, '4a\x1e4b\x1ebAQ==')
    }
  })

  test(`packetsFn and sentCallbackFn hold the callbacks that are owed: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    await eventually(() => socket.sentCallbackFn.length, 0)
    socket.transport.writable = false
    const called = []
    const callback = () => called.push('own')
    socket.send('x', callback)
    assert.deepEqual(socket.packetsFn, [callback])
    socket.packetsFn.push((transport) => called.push(transport.name))
    if (peer.packet) {
      socket.transport.writable = true
      socket.flush()
      assert.equal(socket.sentCallbackFn.length, 1)
      assert.equal(socket.sentCallbackFn[0].length, 2)
    } else {
      await peer.poll()
    }
    assert.deepEqual(socket.packetsFn, [])
    await eventually(() => called, ['own', socket.transport.name])
    assert.deepEqual(socket.sentCallbackFn, [])
  })

  improvement(BOUND, `a patched onClose hears of the end and may hand it on: ${name}`, async () => {
    const { peer, socket } = await open(await listen())
    const { onClose } = socket
    const calls = []
    socket.onClose = function (reason, description) {
      calls.push(reason)
      return onClose.call(this, `${reason}!`, description)
    }
    const closed = once(socket, 'close')
    if (peer.packet) peer.socket.destroy()
    else await peer.post('1')
    const [reason] = await closed
    assert.match(reason, /^transport close!/)
    assert.equal(calls[0], 'transport close')
  })

  test(`onClose can be called from outside, with a reason of the caller's: ${name}`, async () => {
    const { engine, ...context } = await listen()
    const { socket } = await open({ engine, ...context })
    const closed = record(socket, 'close')
    socket.onClose('taken over')
    assert.deepEqual(closed, [['close', 'taken over', undefined]])
    assert.equal(socket.readyState, 'closed')
    assert.equal(engine.clientsCount, 0)
  })
}

test('a patched onPacket of the prototype is called for all sessions opened from then on', async (t) => {
  const { engine } = require('../support')
  const { onPacket } = engine.Socket.prototype
  const seen = []
  engine.Socket.prototype.onPacket = function (packet) {
    seen.push(packet.type)
    return onPacket.call(this, packet)
  }
  t.after(() => (engine.Socket.prototype.onPacket = onPacket))
  const { peer, socket } = await openWebSocket(await listen({ pingInterval: 60 }))
  const message = once(socket, 'message')
  peer.sendText('4x')
  assert.deepEqual(await message, ['x'])
  assert.equal(await peer.packet(), '2')
  const beat = once(socket, 'heartbeat')
  peer.sendText('3')
  await beat
  assert.deepEqual(seen, ['message', 'pong'])
})

test('a patched onPacket is called from the upgrade on, if not before', async () => {
  const { peer, socket } = await openProbing(await listen({ pingInterval: 150 }))
  const seen = []
  const { onPacket } = socket
  socket.onPacket = function (packet) {
    seen.push(packet.type)
    onPacket.call(this, packet)
  }
  const upgraded = once(socket, 'upgrade')
  peer.sendText('5')
  await upgraded
  const message = once(socket, 'message')
  peer.sendText('4x')
  assert.deepEqual(await message, ['x'])
  assert.equal(await peer.packet(), '2')
  peer.sendText('3')
  await eventually(() => seen, ['message', 'pong'])
})

test('a session marked as upgrading or upgraded from outside takes no second connection', async () => {
  for (const field of ['upgrading', 'upgraded']) {
    const context = await listen()
    const { peer, socket } = await openPolling(context)
    socket[field] = true
    const websocket = await upgradeTo(context, peer.sid)
    assert.equal((await websocket.closeFrame()).code, undefined)
    socket[field] = false
    const upgraded = once(socket, 'upgrade')
    const second = await probe(context, peer.sid)
    second.sendText('5')
    await upgraded
  }
})

test('upgrading and upgraded tell how far an upgrade is', async () => {
  const context = await listen()
  const { peer, socket } = await openProbing(context)
  assert.deepEqual([socket.upgrading, socket.upgraded], [true, false])
  const upgraded = once(socket, 'upgrade')
  peer.sendText('5')
  await upgraded
  assert.deepEqual([socket.upgrading, socket.upgraded], [false, true])
})

test('flush replaced in a connection listener is called when the open packet is written', async () => {
  const context = await listen()
  const calls = []
  context.engine.on('connection', (socket) => {
    const { flush } = socket
    socket.flush = function () {
      calls.push('flush')
      flush.call(this)
    }
  })
  await openWebSocket(context)
  await eventually(() => calls, ['flush'])
})

test('flush replaced behind a message in the same tick is called when that is written', async () => {
  const { peer, socket } = await openWebSocket(await listen())
  const called = new Promise((resolve) => {
    socket.send('a')
    const { flush } = socket
    socket.flush = function () {
      resolve(this.transport.writable)
      flush.call(this)
    }
  })
  assert.equal(await called, true)
  assert.equal(await peer.packet(), '4a')
})

test('a packet listener that comes late sees the pongs from then on', async () => {
  const { peer, socket } = await openWebSocket(await listen({ pingInterval: 50 }))
  assert.equal(await peer.packet(), '2')
  peer.sendText('3')
  assert.equal(await peer.packet(), '2')
  const packet = once(socket, 'packet')
  peer.sendText('3')
  assert.deepEqual(await packet, [{ type: 'pong' }])
})

test('a packet listener of the transport sees messages and pongs', async () => {
  for (const open of [openPolling, openWebSocket, openUpgraded]) {
    const { peer, socket } = await open(await listen({ pingInterval: 100 }))
    const log = record(socket.transport, 'packet', (event, packet) => packet.type)
    await deliver(peer, '4x')
    assert.equal(peer.packet ? await peer.packet() : (await peer.poll()).body, '2')
    await deliver(peer, '3')
    await eventually(() => log, ['message', 'pong'])
  }
})

improvement(
  'A-4: methods of a session may be patched while a message is handled',
  'a patch during a message counts for the next packet of the same chunk',
  async () => {
    const { peer, socket } = await openWebSocket(await listen())
    const seen = []
    socket.once('message', () => {
      const { onPacket } = socket
      socket.onPacket = function (packet) {
        seen.push(packet.data)
        onPacket.call(this, packet)
      }
    })
    const { frame } = require('../support')
    peer.write(Buffer.concat([frame({ payload: '4a' }), frame({ payload: '4b' })]))
    await eventually(() => seen, ['b'])
  },
)
