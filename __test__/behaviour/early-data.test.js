'use strict'

const assert = require('node:assert/strict')
const net = require('node:net')
const { test } = require('node:test')
const {
  RawWebSocket,
  bind,
  frame,
  delay,
  improvement,
  listen,
  once,
  openPolling,
  openWebSocket,
  path,
  times,
} = require('../support')

const websocket = { transport: 'websocket' }
const head = (...payloads) => Buffer.concat(payloads.map((payload) => frame({ payload })))

/** An engine whose allowRequest answers when `release()` is called. */
async function gated() {
  let release
  const asked = new Promise((resolve) => {
    release = resolve
  })
  const gate = {}
  const context = await listen({
    allowRequest: (req, fn) => {
      gate.release = () => fn(null, true)
      release()
    },
  })
  return { context, asked, release: () => gate.release() }
}

/** The first two messages of the next session. */
async function openedWith(context) {
  const [socket] = await once(context.engine, 'connection')
  return times(socket, 'message', 2)
}

// as programs do that serve several protocols on one port, or read a header before HTTP
test('a connection whose first bytes were read and put back is read to its end, with and without listeners', async () => {
  for (const isWatched of [false, true]) {
    const context = await listen()
    const port = await bind(
      net.createServer((stream) => {
        stream.once('readable', () => {
          stream.unshift(stream.read())
          if (isWatched) stream.on('close', () => {})
          context.server.emit('connection', stream)
        })
      }),
    )
    const { peer, socket } = await openWebSocket({ ...context, port })
    const text = 'x'.repeat(10_000)
    const heard = times(socket, 'message', 100)
    for (let i = 0; i < 100; i++) peer.sendText(`4${text}`)
    for (const [data] of await heard) assert.equal(data, text)
    assert.equal(socket.request.socket.readableLength, 0)
    const closed = once(socket, 'close')
    peer.socket.end()
    assert.equal((await closed)[0], 'transport close')
  }
})

test('a probe that comes with the upgrade request of a session is answered', async () => {
  const context = await listen()
  const { peer: polling, socket } = await openPolling(context)
  const target = path(context, { ...websocket, sid: polling.sid })
  const peer = await RawWebSocket.open(context.port, target, { head: head('2probe') })
  assert.equal(await peer.packet(), '3probe')
  peer.sendText('5')
  await once(socket, 'upgrade')
})

test('probe, upgrade and messages that come with the upgrade request are all handled', async () => {
  const context = await listen()
  const { peer: polling, socket } = await openPolling(context)
  const upgraded = once(socket, 'upgrade')
  const messages = times(socket, 'message', 2)
  const target = path(context, { ...websocket, sid: polling.sid })
  const peer = await RawWebSocket.open(context.port, target, { head: head('2probe', '5', '4a', '4b') })
  await upgraded
  assert.equal(await peer.packet(), '3probe')
  assert.deepEqual(await messages, [['a'], ['b']])
})

test('an invalid frame that comes with the upgrade request leaves the polling session alone', async () => {
  const context = await listen()
  const { peer: polling, socket } = await openPolling(context)
  const target = path(context, { ...websocket, sid: polling.sid })
  const peer = await RawWebSocket.open(context.port, target, { head: frame({ payload: '2probe', rsv: 2 }) })
  assert.equal((await peer.closeFrame()).code, 1002)
  socket.send('alive')
  assert.equal((await polling.poll()).body, '4alive')
})

test('an invalid frame that comes with a websocket handshake does not harm the server', async () => {
  const context = await listen()
  const peer = await RawWebSocket.request(context.port, path(context, websocket), {
    head: frame({ payload: '4a', rsv: 2 }),
  })
  await peer.end()
  const { peer: next } = await openWebSocket(context)
  assert.equal(next.status, 101)
})

test('frames that come with a websocket handshake do not harm it', async () => {
  const context = await listen()
  const connected = once(context.engine, 'connection')
  const peer = await RawWebSocket.open(context.port, path(context, websocket), { head: head('4early') })
  const [socket] = await connected
  assert.match(await peer.packet(), /^0\{"sid"/)
  const late = new Promise((resolve) => socket.on('message', (data) => data === 'late' && resolve()))
  peer.sendText('4late')
  await late
  assert.equal(socket.readyState, 'open')
})

test('a message sent while an asynchronous allowRequest is pending does not harm the session', async () => {
  const { context, asked, release } = await gated()
  const connected = once(context.engine, 'connection')
  const peer = await RawWebSocket.request(context.port, path(context, websocket))
  await asked
  peer.sendText('4while pending')
  await delay(20)
  release()
  await peer.response()
  assert.match(await peer.packet(), /^0\{"sid"/)
  const [socket] = await connected
  const late = new Promise((resolve) => socket.on('message', (data) => data === 'late' && resolve()))
  peer.sendText('4late')
  await late
})

test('half a frame in the upgrade request of a session and the rest later make one frame', async () => {
  const context = await listen()
  const { peer: polling } = await openPolling(context)
  const bytes = frame({ payload: '2probe' })
  const target = path(context, { ...websocket, sid: polling.sid })
  const peer = await RawWebSocket.open(context.port, target, { head: bytes.subarray(0, 5) })
  peer.write(bytes.subarray(5))
  assert.equal(await peer.packet(), '3probe')
})

test('messages that come with the upgrade request are delivered when allowRequest is asynchronous', async () => {
  const { context, asked, release } = await gated()
  const connected = openedWith(context)
  const peer = await RawWebSocket.request(context.port, path(context, websocket), { head: head('4a', '4b') })
  await asked
  release()
  await peer.response()
  assert.deepEqual(await connected, [['a'], ['b']])
})

test('messages that come while an asynchronous allowRequest is pending are delivered', async () => {
  const { context, asked, release } = await gated()
  const connected = openedWith(context)
  const peer = await RawWebSocket.request(context.port, path(context, websocket))
  await asked
  peer.write(head('4a', '4b'))
  await delay(20)
  release()
  await peer.response()
  assert.deepEqual(await connected, [['a'], ['b']])
})

test('messages that come with the upgrade request are delivered behind an asynchronous middleware', async () => {
  const context = await listen()
  context.engine.use((req, res, next) => setTimeout(next, 20))
  const connected = openedWith(context)
  await RawWebSocket.open(context.port, path(context, websocket), { head: head('4a', '4b') })
  assert.deepEqual(await connected, [['a'], ['b']])
})

improvement('C-6', 'messages that come with a plain websocket handshake are delivered', async () => {
  const context = await listen()
  const connected = openedWith(context)
  await RawWebSocket.open(context.port, path(context, websocket), { head: head('4a', '4b') })
  assert.deepEqual(await connected, [['a'], ['b']])
})
