'use strict'

// Flow control: what a peer that does not read, or feeds more than is taken, costs in memory.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const tls = require('node:tls')
const zlib = require('node:zlib')
const {
  engine: api,
  PollingPeer,
  RawPeer,
  RawWebSocket,
  deafPeer,
  defer,
  delay,
  eventually,
  frame,
  listen,
  once,
  openPolling,
  openWebSocket,
  path,
  request,
  serve,
  skip,
  upgradeRequest,
  upstream,
} = require('./support')

const ours = { timeout: 60000, skip: upstream ? 'an option of ours' : skip }
const both = { timeout: 60000, skip }
const MIB = 2 ** 20
const LIMIT = 4 * MIB
const TARGET = '/engine.io/?EIO=4&transport=websocket'

/** What a peer may cost besides the limit, in MiB: copies, and the garbage that V8 leaves between two collections. */
const SLACK = 80

/** The same where the server collects as it sends. */
const COLLECTED = 40

const flow = (opts) => serve('flow', [JSON.stringify(opts)])

async function state(server, command = 'tell') {
  server.tell(command)
  return server.next()
}

/** FIGURES=1 prints what memory was measured. */
function figure(text) {
  if (process.env.FIGURES) console.error(text)
}

/** The state of the server once `test` holds for it. */
async function until(server, test, ms = 5000, command = 'tell') {
  const end = Date.now() + ms
  for (;;) {
    const told = await state(server, command)
    if (test(told)) return told
    assert.ok(Date.now() < end, JSON.stringify(told))
    await delay(50)
  }
}

function assertBounded(server, { rss, peak, graph }, limit) {
  const growth = Math.round(Math.max(peak, rss) - server.rss)
  figure(`${growth} MiB more, limit ${limit / MIB}, graph ${graph}`)
  assert.ok(growth <= limit / MIB + COLLECTED, `${growth} MiB more, of ${graph}`)
}

/** Waits until the server has a client. */
const comes = (server, command) => until(server, ({ clients }) => clients === 1, 5000, command)

/** A websocket that has read nothing. `command` asks the server for its state. */
async function deafWebSocket(server, command) {
  const socket = await deafPeer(server.port, TARGET)
  await comes(server, command)
  return socket
}

test('a websocket that never reads is closed at maxBackpressure, whatever is sent to it', ours, async () => {
  const server = await flow({ maxBackpressure: LIMIT })
  await deafWebSocket(server)
  server.tell(`send 8192 ${65536}`)
  const told = await server.next(30000)
  assert.deepEqual(told.closes, [{ reason: 'transport error', description: 'maxBackpressure exceeded' }])
  assert.equal(told.clients, 0)
  assertBounded(server, told, LIMIT)
})

test(
  'a websocket that never reads keeps its session with drop-volatile, and half a gigabyte of volatile messages costs no more than the limit',
  ours,
  async () => {
    const server = await flow({ maxBackpressure: LIMIT, backpressurePolicy: 'drop-volatile' })
    const socket = await deafWebSocket(server)
    server.tell(`send 8192 ${65536} volatile`)
    const told = await server.next(30000)
    assert.deepEqual([told.clients, told.closes], [1, []])
    assert.ok(told.buffered <= LIMIT && told.buffered > LIMIT / 2, `${told.buffered} bytes buffered`)
    assertBounded(server, told, LIMIT)
    // what was taken arrives whole once the peer reads
    let read = 0
    socket.on('data', (chunk) => (read += chunk.length))
    socket.resume()
    await until(server, ({ buffered }) => buffered === 0)
    await eventually(() => read >= LIMIT / 2, true)
    server.tell('send 1 10')
    await server.next()
    assert.equal((await state(server)).clients, 1)
  },
)

test('with drop-volatile a message that is not volatile closes the session at the limit', ours, async () => {
  const server = await flow({ maxBackpressure: LIMIT, backpressurePolicy: 'drop-volatile' })
  await deafWebSocket(server)
  server.tell(`send 8192 ${65536}`)
  const told = await server.next(30000)
  assert.equal(told.clients, 0)
  assertBounded(server, told, LIMIT)
})

test('an echo client that never reads is not read with wait, and gets every echo when it does', ours, async () => {
  const server = await serve('blocked', [
    JSON.stringify({ maxBackpressure: MIB, backpressurePolicy: 'wait', pingInterval: 60000 }),
  ])
  const socket = await deafWebSocket(server, 'state')
  const count = 3000
  const message = frame({ opcode: 2, payload: Buffer.alloc(16000, 7) })
  for (let i = 0; i < count; i++) socket.write(message)
  await delay(1000)
  const stuck = socket.writableLength
  assert.ok(stuck > 8 * MIB, `the server has read on: only ${stuck} bytes wait here`)
  const { peak } = require('./support').usage(server.pid)
  let read = 0
  socket.on('data', (chunk) => (read += chunk.length))
  socket.resume()
  await eventually(() => read >= count * 16004, true, 20000)
  assert.ok(peak < 48 + 100, `${peak} MiB`)
})

for (const what of ['plain', 'compressed']) {
  const options = what === 'plain' ? { httpCompression: false } : {}

  test(`with wait a held POST is read when a ${what} answer has told its client everything`, ours, async () => {
    const context = await listen({ maxBackpressure: 1000, backpressurePolicy: 'wait', ...options })
    const { peer, socket } = await openPolling(context)
    const messages = []
    socket.on('message', (message) => messages.push(message))
    socket.send('x'.repeat(3000))
    const post = request({ port: context.port, path: peer.path, method: 'POST', body: '4held' })
    await eventually(() => socket.listenerCount('drain'), 1)
    const poll = await request({ port: context.port, path: peer.path, headers: { 'Accept-Encoding': 'gzip' } })
    assert.equal(poll.headers['content-encoding'], what === 'plain' ? undefined : 'gzip')
    assert.equal((await post).status, 200)
    assert.deepEqual(messages, ['held'])
    assert.equal(socket.listenerCount('drain'), 0)
    assert.equal(socket.bufferedAmount, 0)
  })
}

test('without the option nothing is closed, and bufferedAmount tells what waits', ours, async () => {
  const server = await flow({})
  await deafWebSocket(server)
  server.tell(`send 512 ${65536}`)
  const told = await server.next(30000)
  assert.equal(told.clients, 1)
  // the rest is in the kernel's buffers
  assert.ok(told.buffered > 20 * MIB && told.buffered < 33 * MIB, String(told.buffered))
})

test('what waits for a peer that does not read is freed when it goes', both, async () => {
  const server = await flow({})
  const socket = await deafWebSocket(server)
  server.tell(`send 1024 ${65536}`)
  await server.next(30000)
  socket.resetAndDestroy()
  await until(server, ({ clients, rss }) => clients === 0 && rss < server.rss + SLACK)
})

test('a websocket over TLS that never reads is closed at maxBackpressure', ours, async () => {
  const server = await flow({ maxBackpressure: LIMIT, tls: true })
  const socket = tls.connect({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false })
  socket.on('error', () => {})
  defer(() => socket.destroy())
  await once(socket, 'secureConnect')
  socket.pause()
  socket.write(upgradeRequest(TARGET))
  await comes(server)
  server.tell(`send 4096 ${65536}`)
  const told = await server.next(30000)
  assert.deepEqual(told.closes, [{ reason: 'transport error', description: 'maxBackpressure exceeded' }])
  assertBounded(server, told, LIMIT)
})

for (const native of [false, true]) {
  const where = native ? 'the native listener' : 'attach()'

  test(`a polling client that never polls is closed at maxBackpressure: ${where}`, ours, async () => {
    const server = await flow({ maxBackpressure: LIMIT, native })
    await request({ port: server.port, path: path({ path: '/engine.io/' }) })
    await comes(server)
    server.tell(`send 8192 ${65536}`)
    const told = await server.next(30000)
    assert.deepEqual(told.closes, [{ reason: 'transport error', description: 'maxBackpressure exceeded' }])
    assertBounded(server, told, LIMIT)
  })

  test(`answers that a polling client does not read count: ${where}`, ours, async () => {
    const server = await flow({ maxBackpressure: LIMIT, native, httpCompression: false })
    const context = { port: server.port, path: '/engine.io/' }
    const peer = new PollingPeer(context, {}, await request({ port: server.port, path: path(context) }))
    // each poll on a connection of its own, of which nothing is read
    for (let i = 0; i < 40; i++) {
      const raw = await RawPeer.connect(server.port)
      raw.socket.pause()
      raw.write(`GET ${peer.path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
      await delay(20)
      server.tell(`send 4 ${MIB}`)
      const told = await server.next()
      if (told.clients === 0) break
    }
    const told = await state(server)
    assert.equal(told.clients, 0)
    assert.ok(told.peak - server.rss < 160, `${told.peak - server.rss} MiB more`)
  })

  test(
    `a polling client that feeds a blocked thread does not grow the memory: ${where}`,
    { ...both, skip: skip || (native && upstream) },
    async () => {
      const server = await flow({ native, pingTimeout: 60000 })
      const context = { port: server.port, path: '/engine.io/' }
      const peer = new PollingPeer(context, {}, await request({ port: server.port, path: path(context) }))
      const body = `4${'x'.repeat(900_000)}`
      let answered = 0
      server.tell('block 2000')
      await server.next()
      const feed = async () => {
        for (let i = 0; i < 200; i++) {
          const { status } = await peer.request({ method: 'POST', body, ms: 20000 })
          if (status !== 200) return
          answered++
        }
      }
      const feeding = feed().catch(() => {})
      const told = await server.next()
      assert.ok(answered < 20, `${answered} POSTs were answered while nobody looked at them`)
      assert.ok(told.peak - server.rss < SLACK, `${told.peak - server.rss} MiB more, of ${told.graph}`)
      await feeding
      // a POST may be answered before its messages are looked at
      let after = await state(server)
      for (let i = 0; after.received < 200 && i < 100; i++) after = await state(server)
      assert.deepEqual([after.received, after.bytes, after.closes], [200, 200 * 900_000, []])
    },
  )
}

for (const [what, payload, count] of [
  ['large messages', `4${'x'.repeat(20_000)}`, 4000],
  ['small messages', '4x', 400_000],
  ['empty messages', '4', 800_000],
]) {
  test(
    `websockets that feed a blocked thread with ${what} are not read beyond a bound, and nothing is lost`,
    both,
    async () => {
      const server = await flow({ pingTimeout: 60000 })
      const peers = await Promise.all(Array.from({ length: 4 }, () => RawWebSocket.open(server.port, TARGET)))
      const one = frame({ opcode: 1, payload })
      const block = Buffer.concat(Array(Math.max(1, Math.floor(65536 / one.length))).fill(one))
      const perBlock = block.length / one.length
      const blocks = Math.floor(count / 4 / perBlock)
      server.tell('block 1500')
      await server.next()
      for (const peer of peers) for (let i = 0; i < blocks; i++) peer.write(block)
      const told = await server.next()
      figure(`${what}: ${Math.round(told.peak - server.rss)} MiB more while blocked`)
      // 1 MiB each, and what a batch and the strings made of it take
      assert.ok(told.peak - server.rss < 24, `${told.peak - server.rss} MiB more while blocked, of ${told.graph}`)
      const all = blocks * perBlock * 4
      const { received } = await until(server, (now) => now.received >= all, 40000)
      assert.equal(received, all)
    },
  )
}

/** A frame of about 1 KB that is a message of 990,000 characters once it is inflated. */
function inflatable() {
  const all = zlib.deflateRawSync(Buffer.from(`4${'x'.repeat(989_999)}`), { finishFlush: zlib.constants.Z_SYNC_FLUSH })
  return frame({ rsv: 4, opcode: 1, payload: all.subarray(0, all.length - 4) })
}

const DEFLATE = { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } }

test(
  'websockets that feed a blocked thread with what inflates to a thousand times as much are bounded within a read',
  both,
  async () => {
    const server = await flow({ pingTimeout: 60000, perMessageDeflate: { threshold: 0 } })
    const peers = await Promise.all(Array.from({ length: 4 }, () => RawWebSocket.open(server.port, TARGET, DEFLATE)))
    const one = inflatable()
    const each = 60
    server.tell('block 1500')
    await server.next()
    for (const peer of peers) peer.write(Buffer.concat(Array(each).fill(one)))
    const told = await server.next()
    figure(`inflated messages: ${Math.round(told.peak - server.rss)} MiB more while blocked`)
    // 1 MiB and one message each, and zlib; all of it would be 230 MiB
    assert.ok(told.peak - server.rss < 24, `${told.peak - server.rss} MiB more while blocked, of ${told.graph}`)
    const { received, bytes } = await until(server, (now) => now.received >= 4 * each, 40000)
    assert.deepEqual([received, bytes], [4 * each, 4 * each * 989_999])
  },
)

test(
  'many websockets together do not feed a blocked thread beyond a bound either, and nothing is lost',
  both,
  async () => {
    const server = await flow({ pingTimeout: 60000 })
    const peers = await Promise.all(Array.from({ length: 250 }, () => RawWebSocket.open(server.port, TARGET)))
    const before = await state(server)
    const block = Buffer.concat(Array(20).fill(frame({ opcode: 2, payload: Buffer.alloc(50_000, 7) })))
    server.tell('block 2500')
    await server.next()
    for (const peer of peers) peer.write(block)
    const told = await server.next()
    figure(`250 websockets: ${Math.round(told.peak - before.rss)} MiB more while blocked`)
    // 64 MiB, and what queues grow by ahead of it; all of it would be 240 MiB
    assert.ok(told.peak - before.rss < 110, `${told.peak - before.rss} MiB more while blocked, of ${told.graph}`)
    const { received, clients } = await until(server, (now) => now.received >= 250 * 20, 40000)
    assert.deepEqual([received, clients], [250 * 20, 250])
  },
)

test(
  'many polling clients together do not feed a blocked thread beyond a bound either, and nothing is lost',
  { ...ours, skip: skip || upstream },
  async () => {
    const server = await flow({ native: true, quiet: true, pingTimeout: 60000 })
    const context = { port: server.port, path: '/engine.io/' }
    const open = async () => new PollingPeer(context, {}, await request({ port: server.port, path: path(context) }))
    const peers = await Promise.all(Array.from({ length: 40 }, open))
    const before = await state(server)
    // in the queue fourteen times as large
    const each = 150_000
    const body = Array(each).fill('4x').join('\x1e')
    server.tell('block 2500')
    await server.next()
    const posts = peers.map((peer) => peer.request({ method: 'POST', body, ms: 40000 }))
    const told = await server.next()
    figure(`40 polling clients: ${Math.round(told.peak - before.rss)} MiB more while blocked`)
    // 64 MiB and one body, twice as they grow; all of it would be 240 MiB
    assert.ok(told.peak - before.rss < 170, `${told.peak - before.rss} MiB more while blocked, of ${told.graph}`)
    for (const { status } of await Promise.all(posts)) assert.equal(status, 200)
    const { received, closes } = await until(server, (now) => now.received >= 40 * each, 40000)
    assert.deepEqual([received, closes], [40 * each, []])
  },
)

test(
  'a client whose packets take long to inflate, and concern nobody, does not keep others waiting',
  both,
  async () => {
    const server = await flow({ pingTimeout: 60000, perMessageDeflate: { threshold: 0 } })
    const [hostile, honest] = await Promise.all([1, 2].map(() => RawWebSocket.open(server.port, TARGET, DEFLATE)))
    const noop = zlib.deflateRawSync(Buffer.from(`6${'€é😀x'.repeat(99_000)}`), {
      finishFlush: zlib.constants.Z_SYNC_FLUSH,
    })
    const one = frame({ rsv: 4, opcode: 1, payload: noop.subarray(0, noop.length - 4) })
    let done = false
    let heard = 0
    const pong = async (peer) => {
      while ((await peer.frame(40000)).opcode !== 10);
    }
    hostile.write(Buffer.concat([...Array(300).fill(one), frame({ opcode: 9 })]))
    const over = pong(hostile).then(() => (done = true))
    while (!done) {
      honest.write(frame({ opcode: 9 }))
      await pong(honest)
      heard++
    }
    await over
    figure(`${heard} pongs meanwhile`)
    assert.ok(heard >= 30, `${heard} pongs meanwhile`)
  },
)

test('bodies that come byte by byte cost no more than their bytes', { ...both, skip: skip || upstream }, async () => {
  const server = await flow({ pingTimeout: 60000, maxBufferedChunks: 1e6 })
  const context = { port: server.port, path: '/engine.io/' }
  const part = Buffer.from('1\r\nx\r\n'.repeat(100_000))
  for (let i = 0; i < 8; i++) {
    const peer = new PollingPeer(context, {}, await request({ port: server.port, path: path(context) }))
    const raw = await RawPeer.connect(server.port)
    raw.write(`POST ${peer.path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`)
    raw.socket.write(part)
    await eventually(() => raw.socket.bufferSize, 0, 20000)
  }
  await delay(500)
  const told = await state(server)
  figure(`bodies byte by byte: ${Math.round(told.rss - server.rss)} MiB more`)
  // 800,000 chunks; a Buffer for each would be 90 MiB
  assert.ok(told.rss - server.rss < 45, `${told.rss - server.rss} MiB more`)
})

test(
  'answers to pings of a peer that does not read are bounded: protocol 3 and probes',
  { ...both, skip: skip || upstream },
  async () => {
    const server = await flow({ allowEIO3: true })
    const context = { port: server.port, path: '/engine.io/' }
    const v3 = await deafPeer(server.port, '/engine.io/?EIO=3&transport=websocket')
    const { sid } = new PollingPeer(context, {}, await request({ port: server.port, path: path(context) }))
    const probe = await deafPeer(server.port, `${TARGET}&sid=${sid}`)
    const feed = async (socket, payload) => {
      const gone = new Promise((resolve) => socket.once('close', resolve))
      const one = frame({ opcode: 1, payload })
      const block = Buffer.concat(Array(8192).fill(one))
      // 60 MB in, of which the answers would be as much as half
      for (let i = 0; i < 60e6 / block.length; i++) {
        if (!socket.write(block)) await Promise.race([once(socket, 'drain', 20000), gone])
      }
    }
    await Promise.all([feed(v3, '2'), feed(probe, '2probe')])
    const told = await state(server)
    assert.ok(told.peak - server.rss < SLACK, `${told.peak - server.rss} MiB more`)
  },
)

test('bufferedAmount is 0 on an idle session and falls back to 0', ours, async () => {
  const context = await listen({ httpCompression: false })
  const polling = await openPolling(context)
  assert.equal(polling.socket.bufferedAmount, 0)
  polling.socket.send('x'.repeat(1000))
  assert.equal(polling.socket.bufferedAmount, 1000)
  await polling.peer.poll()
  assert.equal(polling.socket.bufferedAmount, 0)

  const { socket, peer } = await openWebSocket(context)
  assert.equal(socket.bufferedAmount, 0)
  peer.socket.pause()
  // more than the kernel takes
  socket.send('y'.repeat(32 * MIB))
  const amounts = () => [socket.transport.socket.bufferedAmount, socket.bufferedAmount]
  // with its header
  const grown = [true, 1005, 1005, 0].join()
  let sent = 0
  let seen
  // the I/O thread may write meanwhile
  await eventually(() => {
    if (seen === grown) return seen
    const before = amounts()
    socket.transport.send([{ type: 'message', data: 'y'.repeat(1000), options: {} }])
    sent++
    const after = amounts()
    const isPartlyWritten = before[0] > MIB && before[0] < 32 * MIB
    return (seen = [isPartlyWritten, after[0] - before[0], after[1] - before[1], after[1] - after[0]].join())
  }, grown)
  let received = 0
  peer.socket.removeAllListeners('data').on('data', (chunk) => (received += chunk.length))
  peer.socket.resume()
  await eventually(() => received, 32 * MIB + 11 + 1005 * sent, 20_000)
  await eventually(() => socket.bufferedAmount, 0)
})

test('a policy or a limit that does not exist is refused by the constructor', ours, () => {
  assert.throws(
    () => new api.Server({ backpressurePolicy: 'drop' }),
    /backpressurePolicy must be one of close, drop-volatile, wait/,
  )
  assert.throws(() => new api.Server({ maxBackpressure: 'much' }), /maxBackpressure must be a number of bytes/)
})

test('the callbacks of what was not sent are not called when the limit closes a session', ours, async () => {
  const context = await listen({ maxBackpressure: 1000 })
  const { socket } = await openPolling(context)
  const closed = once(socket, 'close')
  let called = 0
  socket.send('x'.repeat(600), () => called++)
  socket.send('x'.repeat(600), () => called++)
  const [reason, error] = await closed
  assert.deepEqual(
    [reason, error.type, error.message],
    ['transport error', 'TransportError', 'maxBackpressure exceeded'],
  )
  socket.send('more')
  assert.equal(called, 0)
  assert.equal(context.engine.clientsCount, 0)
})

for (const [what, listenTo] of Object.entries({
  'no listeners': () => {},
  'listeners for what is sent': (socket, note) => {
    socket.on('flush', () => note('flush'))
    socket.transport.on('drain', () => note('drain'))
  },
})) {
  test(`on a WebSocket no callback tells that what the limit has dropped was written: ${what}`, ours, async () => {
    const context = await listen({ maxBackpressure: 1000 })
    const { socket, peer } = await openWebSocket(context)
    const closed = once(socket, 'close')
    const ended = once(peer.socket, 'close')
    let received = ''
    peer.socket.on('data', (chunk) => (received += chunk))
    const written = []
    listenTo(socket, () => {})
    for (const name of ['a', 'b', 'c']) socket.send(name.repeat(600), () => written.push(name))
    assert.equal((await closed)[1].message, 'maxBackpressure exceeded')
    await ended
    await new Promise(setImmediate)
    const isReceived = (name) => received.includes(name.repeat(600))
    assert.deepEqual(
      written.filter((name) => !isReceived(name)),
      [],
    )
    assert.equal(isReceived('b') || isReceived('c'), false)
  })
}

test('the frame of a broadcast is not kept when all have got it', ours, async () => {
  const context = await listen()
  const sessions = [await openWebSocket(context), await openWebSocket(context)]
  const payload = Buffer.alloc(32 * MIB, 0x61)
  const head = Buffer.alloc(10)
  head[0] = 0x81
  head[1] = 127
  head.writeBigUInt64BE(BigInt(payload.length), 2)
  let options = { wsPreEncodedFrame: [head, payload] }
  const frame = new WeakRef(options.wsPreEncodedFrame)
  for (const { socket, peer } of sessions) {
    peer.socket.removeAllListeners('data').on('data', (chunk) => (peer.received = (peer.received ?? 0) + chunk.length))
    socket.send('', options)
  }
  // eslint-disable-next-line no-useless-assignment -- so that nothing here holds the frame
  options = undefined
  for (const { peer } of sessions) await eventually(() => peer.received, payload.length + 10, 20_000)
  await eventually(() => {
    global.gc()
    return frame.deref()
  }, undefined)
})
