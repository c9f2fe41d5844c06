'use strict'

// One connection is talking, a message at a time, and nobody else; or a few are.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { delay, listen, once, openWebSocket, record } = require('../support')

/** One connection, behind a number of messages that were answered one by one. */
async function openChatting(options) {
  const opened = await openWebSocket(await listen({ pingInterval: 60000, ...options }))
  opened.socket.on('message', (data) => opened.socket.send(data))
  await chat(opened.peer, 30)
  return opened
}

async function chat(peer, count) {
  for (let i = 0; i < count; i++) {
    peer.sendText(`4message ${i}`)
    assert.equal(await peer.packet(), `4message ${i}`)
  }
}

function block(ms) {
  const end = Date.now() + ms
  while (Date.now() < end);
}

test("a lone connection's messages are answered one by one", async () => {
  const { peer } = await openChatting()
  await chat(peer, 500)
})

test('binary messages of a lone connection come back as they were', async () => {
  const { peer } = await openChatting()
  for (let i = 0; i < 50; i++) {
    const bytes = Buffer.alloc(i * 700, i)
    peer.sendBinary(bytes)
    const { opcode, payload } = await peer.frame()
    assert.equal(opcode, 2)
    assert.deepEqual(payload, bytes)
  }
})

test('messages larger than a read buffer arrive whole from a lone connection', async () => {
  const { peer } = await openChatting()
  const text = 'x'.repeat(300_000)
  for (let i = 0; i < 10; i++) {
    peer.sendText(`4${text}${i}`)
    assert.equal(await peer.packet(), `4${text}${i}`)
    await chat(peer, 10)
  }
})

test('messages at once from a connection that was lone keep their order', async () => {
  const { peer, socket } = await openChatting()
  const seen = record(socket, 'message')
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 20; i++) peer.sendText(`4${round} ${i}`)
    for (let i = 0; i < 20; i++) assert.equal(await peer.packet(), `4${round} ${i}`)
    await chat(peer, 10)
  }
  assert.equal(seen.length, 20 * 30)
})

test('a lone connection and another one that joins in are both heard', async () => {
  const context = await listen({ pingInterval: 60000 })
  context.engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const { peer: first } = await openWebSocket(context)
  await chat(first, 30)
  const { peer: second } = await openWebSocket(context)
  await Promise.all([chat(first, 200), chat(second, 200)])
  await chat(first, 30)
  await chat(second, 30)
})

/** So many connections of one engine, behind a number of messages that each had answered one by one. */
async function openFew(count) {
  const context = await listen({ pingInterval: 60000 })
  context.engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const all = []
  while (all.length < count) all.push(await openWebSocket(context))
  await chatAll(all, 30)
  return { context, all }
}

const chatAll = (all, count) => Promise.all(all.map(({ peer }) => chat(peer, count)))

for (const count of [2, 8, 9, 16, 17, 20]) {
  test(`${count} connections that talk at once each get their own answers, in order`, async () => {
    const { all } = await openFew(count)
    await chatAll(all, 200)
  })
}

test('of a few connections that talk one leaves, one is reset and one closed, and the others are heard', async () => {
  const { all } = await openFew(6)
  const [leaves, reset, closed, ...rest] = all
  const ends = [leaves, reset, closed].map(({ socket }) => once(socket, 'close'))
  const others = chatAll(rest, 200)
  leaves.peer.socket.end()
  reset.peer.socket.resetAndDestroy()
  closed.socket.close()
  assert.deepEqual(
    (await Promise.all(ends)).map(([reason]) => reason),
    ['transport close', 'transport close', 'forced close'],
  )
  await others
  await chatAll(rest, 30)
})

test('of a few connections that talk one sends much at once, and all keep their order', async () => {
  const { all } = await openFew(4)
  const [much, ...rest] = all
  const others = chatAll(rest, 200)
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 50; i++) much.peer.sendText(`4${round} ${i}`)
    for (let i = 0; i < 50; i++) assert.equal(await much.peer.packet(), `4${round} ${i}`)
  }
  await others
  await chatAll(all, 30)
})

for (const count of [2, 15, 16]) {
  test(`what a message sets off, in its tick or later, reaches ${count} clients whole and in order`, async () => {
    const later = [(send) => send(), process.nextTick, queueMicrotask, setImmediate, (send) => setTimeout(send, 1)]
    const sizes = [10, 10_000, 100_000]
    const { context, all } = await openFew(1)
    while (all.length < count) all.push(await openWebSocket(context))
    all[0].socket.removeAllListeners('message')
    let round = 0
    all[0].socket.on('message', (data) => {
      const text = `${data} ${'x'.repeat(sizes[round % sizes.length])}`
      later[round++ % later.length](() => all.forEach(({ socket }) => socket.send(text)))
    })
    for (let i = 0; i < 60; i++) {
      all[0].peer.sendText(`4message ${i}`)
      const wanted = `4message ${i} ${'x'.repeat(sizes[i % sizes.length])}`
      for (const { peer } of all) assert.equal(await peer.packet(), wanted)
    }
  })
}

test('a server with a few connections that talk closes, and every client is told', async () => {
  const { context, all } = await openFew(4)
  const ends = all.map(({ socket }) => once(socket, 'close'))
  context.engine.close()
  for (const { peer } of all) await peer.closeFrame()
  assert.deepEqual(
    (await Promise.all(ends)).map(([reason]) => reason),
    Array(4).fill('forced close'),
  )
})

test('what a lone connection sends while the thread is blocked is there afterwards', async () => {
  const { peer, socket } = await openChatting()
  const seen = record(socket, 'message')
  for (let i = 0; i < 10; i++) {
    peer.sendText(`4before ${i}`)
    block(20)
    assert.equal(await peer.packet(), `4before ${i}`)
  }
  assert.equal(seen.length, 10)
})

test('a lone connection gets its pings and is heard when it answers them', async () => {
  const { peer, socket } = await openWebSocket(await listen({ pingInterval: 40, pingTimeout: 2000 }))
  socket.on('message', (data) => socket.send(data))
  for (let pings = 0; pings < 5;) {
    peer.sendText('4x')
    for (let packet; (packet = await peer.packet()) !== '4x';) {
      assert.equal(packet, '2')
      peer.sendText('3')
      pings++
    }
  }
  assert.equal(socket.readyState, 'open')
})

test('a lone connection that says nothing for a while is heard again', async () => {
  const { peer } = await openChatting()
  for (let i = 0; i < 5; i++) {
    await delay(10 * i)
    await chat(peer, 12)
  }
})

test('a lone connection that leaves ends its session with transport close', async () => {
  const { peer, socket } = await openChatting()
  const closed = once(socket, 'close')
  peer.socket.end()
  assert.equal((await closed)[0], 'transport close')
})

test('a lone connection that is reset ends its session', async () => {
  const { peer, socket } = await openChatting()
  const closed = once(socket, 'close')
  peer.socket.resetAndDestroy()
  assert.match((await closed)[0], /^transport (close|error)$/)
})

test('closing a lone connection from a listener of its messages closes it', async () => {
  const { peer, socket } = await openChatting()
  const closed = once(socket, 'close')
  socket.once('message', () => socket.close())
  peer.sendText('4x')
  assert.equal((await closed)[0], 'forced close')
})

test('a malformed frame of a lone connection is an error of that connection', async () => {
  const { peer, socket } = await openChatting()
  const closed = once(socket, 'close')
  // a reserved opcode
  peer.socket.write(Buffer.from([0x83, 0x80, 0, 0, 0, 0]))
  assert.equal((await closed)[0], 'transport error')
})
