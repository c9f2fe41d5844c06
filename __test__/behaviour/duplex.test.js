'use strict'

const assert = require('node:assert/strict')
const http = require('node:http')
const net = require('node:net')
const { Duplex } = require('node:stream')
const { test } = require('node:test')
const zlib = require('node:zlib')
const {
  KEY,
  RawWebSocket,
  client,
  defer,
  delay,
  duplexPair,
  engine,
  bind,
  frame,
  improvement,
  listen,
  once,
  onceOfNext,
  path,
  request,
} = require('../support')

/** Hands one side of a pair to the http server as a connection and returns the other. */
function inject({ server }) {
  const [ours, theirs] = duplexPair()
  defer(() => ours.destroy())
  server.emit('connection', theirs)
  return ours
}

const get = (context, target, options) => request({ path: target, createConnection: () => inject(context), ...options })

async function openInjected(context, query) {
  const connected = once(context.engine, 'connection')
  const target = path(context, { transport: 'websocket', ...query })
  const peer = await RawWebSocket.over(inject(context), target).response()
  assert.equal(peer.status, 101)
  assert.match(await peer.packet(), /^0\{"sid"/)
  return { peer, socket: (await connected)[0] }
}

test('polling works over connections injected into the http server', async () => {
  const context = await listen()
  const connected = once(context.engine, 'connection')
  const { body } = await get(context, path(context))
  const { sid } = JSON.parse(body.slice(1))
  const [socket] = await connected
  const message = once(socket, 'message')
  const target = path(context, { sid })
  assert.equal((await get(context, target, { method: 'POST', body: '4up' })).body, 'ok')
  assert.deepEqual(await message, ['up'])
  socket.send('down')
  assert.equal((await get(context, target)).body, '4down')
})

test('a websocket works over an injected connection', async () => {
  const { peer, socket } = await openInjected(await listen())
  const message = once(socket, 'message')
  peer.sendText('4up')
  assert.deepEqual(await message, ['up'])
  socket.send('down')
  socket.send(Buffer.from([1]))
  assert.equal(await peer.packet(), '4down')
  assert.deepEqual([...(await peer.frame()).payload], [1])
})

test('an injected connection has no remote address', async () => {
  const { socket } = await openInjected(await listen())
  assert.equal(socket.remoteAddress, undefined)
})

test('large messages pass an injected connection both ways', async () => {
  const { peer, socket } = await openInjected(await listen())
  const data = Buffer.alloc(500_000, 3)
  socket.on('message', (received) => socket.send(received))
  peer.sendBinary(data)
  assert.ok((await peer.frame()).payload.equals(data))
})

test('a session moves from polling to an injected websocket', async () => {
  const context = await listen()
  const connected = once(context.engine, 'connection')
  const { body } = await get(context, path(context))
  const { sid } = JSON.parse(body.slice(1))
  const [socket] = await connected
  const target = path(context, { transport: 'websocket', sid })
  const peer = await RawWebSocket.over(inject(context), target).response()
  peer.sendText('2probe')
  assert.equal(await peer.packet(), '3probe')
  const upgraded = once(socket, 'upgrade') // a pair may deliver synchronously
  peer.sendText('5')
  await upgraded
  socket.send('moved')
  assert.equal(await peer.packet(), '4moved')
})

test('close() over an injected websocket sends a close frame and ends it once it is answered', async () => {
  const { peer, socket } = await openInjected(await listen())
  socket.close()
  assert.equal((await peer.closeFrame()).payload.length, 0)
  peer.sendClose()
  await peer.end()
})

test('the end of an injected websocket is a transport close', async () => {
  const { peer, socket } = await openInjected(await listen())
  const closed = once(socket, 'close')
  peer.socket.end()
  assert.deepEqual(await closed, ['transport close', undefined])
})

test('an injected websocket that answers no ping times out', async () => {
  const context = await listen({ pingInterval: 100, pingTimeout: 200 })
  const closed = onceOfNext(context, 'close')
  const { peer } = await openInjected(context)
  assert.equal(await peer.packet(), '2')
  assert.deepEqual(await closed, ['ping timeout', undefined])
})

/** A balancer that reads the first chunk of each connection and hands both on, as @socket.io/sticky does. */
async function sticky() {
  const server = http.createServer()
  const attached = engine.attach(server)
  defer(() => attached.close())
  const balancer = net.createServer({ pauseOnConnect: false }, (connection) => {
    connection.on('error', () => {})
    connection.once('data', (chunk) => {
      connection.pause()
      setImmediate(() => {
        server.emit('connection', connection)
        connection.emit('data', chunk)
        connection.resume()
      })
    })
  })
  return { engine: attached, server, port: await bind(balancer), path: '/engine.io/' }
}

for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
  test(`the real client works behind a balancer that emits the first chunk itself: ${transports}`, async () => {
    const context = await sticky()
    context.engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
    const peer = client(context, { transports })
    await once(peer, transports.length > 1 ? 'upgrade' : 'open')
    const message = once(peer, 'message')
    peer.send('through')
    assert.deepEqual(await message, ['through'])
  })
}

/** One side in object mode hands on what `convert` makes of each chunk: `[client's end, server's end]`. */
function objectPair(convert) {
  const [ours, below] = duplexPair()
  const theirs = new Duplex({
    readableObjectMode: true,
    read() {},
    write: (chunk, encoding, callback) => below.write(chunk, encoding, callback),
    final: (callback) => below.end(callback),
  })
  below.on('data', (chunk) => theirs.push(convert(chunk)))
  below.on('end', () => theirs.push(null))
  return [ours, theirs]
}

/** Hands a stream to `handleUpgrade`, as a server of another kind would. */
async function handUpgrade(context, [ours, theirs], head = Buffer.alloc(0)) {
  defer(() => ours.destroy())
  const connected = once(context.engine, 'connection')
  const headers = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': KEY,
  }
  const req = Object.assign(new http.IncomingMessage(theirs), {
    method: 'GET',
    url: path(context, { transport: 'websocket' }),
    headers,
  })
  context.engine.handleUpgrade(req, theirs, head)
  const peer = await new RawWebSocket(ours).response()
  assert.equal(peer.status, 101)
  await peer.packet()
  return { peer, socket: (await connected)[0] }
}

for (const [what, convert] of [
  ['Buffers', (chunk) => chunk],
  ['Uint8Arrays', (chunk) => new Uint8Array(chunk)],
]) {
  test(`a stream in object mode that brings ${what} carries a session`, async () => {
    const { peer, socket } = await handUpgrade(await listen(), objectPair(convert))
    const message = once(socket, 'message')
    peer.sendText('4up')
    assert.deepEqual(await message, ['up'])
    socket.send('down')
    assert.equal(await peer.packet(), '4down')
  })
}

for (const [what, pair] of [
  ['in object mode that brings strings', () => objectPair((chunk) => chunk.toString('latin1'))],
  [
    'with an encoding',
    () => {
      const [ours, theirs] = duplexPair()
      theirs.setEncoding('utf8')
      return [ours, theirs]
    },
  ],
]) {
  test(`a stream ${what} has its strings taken as UTF-8, which frames are not`, async () => {
    const { peer, socket } = await handUpgrade(await listen(), pair())
    const closed = once(socket, 'close')
    peer.sendText('4up')
    assert.equal((await peer.closeFrame()).code, 1002)
    peer.socket.destroy()
    assert.equal((await closed)[0], 'transport error')
  })
}

improvement(
  'an uncaught exception',
  'a stream in object mode that brings what has no bytes ends its session',
  async () => {
    const { peer, socket } = await handUpgrade(
      await listen(),
      objectPair(() => ({ not: 'bytes' })),
    )
    const closed = once(socket, 'close')
    peer.sendText('4up')
    assert.match((await closed)[0], /^transport/)
  },
)

test('a chunk full of messages is delivered in order, and the event loop turns meanwhile where they are large', async () => {
  const context = await listen({ perMessageDeflate: { threshold: 0 } })
  const connected = once(context.engine, 'connection')
  const target = path(context, { transport: 'websocket' })
  const peer = await RawWebSocket.over(inject(context), target, {
    headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' },
  }).response()
  const [socket] = await connected
  const count = 40
  const frames = Array.from({ length: count }, (_, i) => {
    const all = zlib.deflateRawSync(`4${String(i).padEnd(900_000)}`, { finishFlush: zlib.constants.Z_SYNC_FLUSH })
    return frame({ rsv: 4, payload: all.subarray(0, all.length - 4) })
  })
  const received = []
  let turns = 0
  const turning = setInterval(() => turns++)
  defer(() => clearInterval(turning))
  const all = new Promise((resolve) => {
    socket.on('message', (data) => {
      received.push(Number(data))
      if (received.length === count) resolve()
    })
  })
  peer.write(Buffer.concat(frames))
  await all
  assert.deepEqual(
    received,
    frames.map((_, i) => i),
  )
  assert.ok(turns > 1, `${turns} turns`)
})

for (const [what, end] of [
  ['ends', (side) => side.push(null)],
  ['is destroyed', (side) => side.destroy()],
]) {
  const delivers = what === 'ends' ? test : improvement.bind(null, 'what has arrived is not lost')
  delivers(`what a stream has brought before it ${what} is delivered`, async () => {
    const context = await listen({ perMessageDeflate: { threshold: 0 } })
    const { request, stream } = raw(context)
    const connected = once(context.engine, 'connection')
    // the response and the open packet, which the original compresses first
    const opened = new Promise((resolve) => stream.on('taken', (count) => count === 2 && resolve()))
    context.engine.handleUpgrade(request, stream, Buffer.alloc(0))
    const [socket] = await connected
    await opened
    let received = 0
    socket.on('message', () => received++)
    const closed = once(socket, 'close')
    const all = zlib.deflateRawSync(`4${'x'.repeat(900_000)}`, { finishFlush: zlib.constants.Z_SYNC_FLUSH })
    const one = frame({ rsv: 4, payload: all.subarray(0, all.length - 4) })
    stream.push(Buffer.concat(Array(10).fill(one)))
    await delay(0)
    end(stream)
    assert.equal((await closed)[0], 'transport close')
    assert.equal(received, 10)
  })
}

/** An upgrade request, and a stream that takes everything and brings what is pushed. */
function raw(context) {
  const request = new http.IncomingMessage(new net.Socket())
  Object.assign(request, {
    method: 'GET',
    url: path(context, { transport: 'websocket' }),
    headers: {
      upgrade: 'websocket',
      connection: 'Upgrade',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'sec-websocket-extensions': 'permessage-deflate',
    },
  })
  let taken = 0
  const write = (_chunk, _encoding, done) => {
    stream.emit('taken', ++taken)
    done()
  }
  const stream = new Duplex({ read() {}, write })
  defer(() => stream.destroy())
  return { request, stream }
}
