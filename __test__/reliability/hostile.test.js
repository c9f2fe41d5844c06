'use strict'

// Hostile peers: each attack with its
// bound on memory, beside a client that must not notice.

const assert = require('node:assert/strict')
const { test: register } = require('node:test')
const {
  PollingPeer,
  RawPeer,
  RawWebSocket,
  deafPeer,
  delay,
  eventually,
  frame,
  once,
  path,
  request,
  serve,
  skip,
  upgradeRequest,
  upstream,
  usage,
  wsClient,
} = require('./support')

const TARGET = '/engine.io/?EIO=4&transport=websocket'
const context = (server) => ({ port: server.port, path: '/engine.io/' })
const handshake = async (server, query) =>
  new PollingPeer(context(server), query, await request({ port: server.port, path: path(context(server), query) }))

async function state(server) {
  server.tell('tell')
  return server.next()
}

async function until(server, test, what, ms = 10000) {
  const end = Date.now() + ms
  for (;;) {
    const told = await state(server)
    if (test(told)) return told
    assert.ok(Date.now() < end, `${what}: ${JSON.stringify({ ...told, closes: told.closes.length })}`)
    await delay(50)
  }
}

/**
 * An attack on a server behind Node's http server and on the native listener, at most `mib` more memory while it runs.
 * Afterwards a bystander is still served and all descriptors are given back (unless they are `kept`).
 */
function attack(name, { mib, opts = {}, kept = false, upstreamToo = true, timeout = 60000 }, fn) {
  for (const native of [false, true]) {
    const where = native ? 'the native listener' : 'attach()'
    const omit = upstream && (native || !upstreamToo) ? 'the original differs' : false
    register(`${name}: ${where}`, { skip: skip || omit, timeout }, async () => {
      const server = await serve('flow', [JSON.stringify({ native, ...opts })])
      const bystander = await wsClient(server.port, TARGET)
      await bystander.next()
      bystander.on('message', (data) => String(data) === '2' && bystander.send('3'))
      await delay(100)
      const before = usage(server.pid)
      await fn(server, { native })
      bystander.send('4still here')
      for (let got; got !== '4still here' && !opts.quiet;) {
        got = await bystander.next()
      }
      assert.equal(bystander.readyState, 1)
      const { peak, descriptors } = usage(server.pid)
      const growth = Math.round(peak - Math.max(before.rss, server.rss))
      assert.ok(growth <= mib, `${growth} MiB more`)
      if (process.env.FIGURES)
        console.error(`${upstream ? 'upstream' : 'native'} | ${name}: ${where} | ${growth} MiB of ${mib}`)
      if (kept) return
      const end = Date.now() + 5000
      while (usage(server.pid).descriptors > before.descriptors && Date.now() < end) await delay(20)
      assert.ok(
        usage(server.pid).descriptors <= before.descriptors,
        `${descriptors} descriptors, ${before.descriptors} before`,
      )
    })
  }
}

const inParallel = (count, fn, width = 50) =>
  Promise.all(
    Array.from({ length: width }, async (_, lane) => {
      for (let i = lane; i < count; i += width) await fn(i)
    }),
  )

attack(
  '2000 handshakes without a second request cost little and are closed by the heartbeat',
  {
    mib: 64,
    opts: { pingInterval: 2000, pingTimeout: 1500 },
  },
  async (server) => {
    await inParallel(2000, () => handshake(server))
    await until(server, ({ clients }) => clients <= 1, 'sessions left')
    const { closes } = await state(server)
    assert.equal(closes.filter(({ reason }) => reason === 'ping timeout').length, 2000)
  },
)

attack(
  '200 websockets for one session: one may probe, the others are closed, the session goes on',
  { mib: 24 },
  async (server) => {
    const peer = await handshake(server)
    const sockets = []
    await inParallel(200, async () => {
      const socket = await RawWebSocket.open(
        server.port,
        path(context(server), { transport: 'websocket', sid: peer.sid }),
      )
      sockets.push(socket)
      socket
        .closeFrame(20000)
        .then(() => socket.sendClose())
        .catch(() => {})
    })
    const open = () => sockets.filter((socket) => !socket.isClosed)
    await eventually(() => open().length, 1)
    assert.equal((await peer.post('4x')).status, 200)
    assert.match((await peer.poll()).body, /4x/)
    open()[0].socket.destroy()
  },
)

attack(
  "200 connections without a byte, and 200 with half a request, take nobody's place",
  { mib: 24 },
  async (server) => {
    const all = []
    await inParallel(400, async (i) => {
      const raw = await RawPeer.connect(server.port)
      if (i % 2) raw.write(`GET ${TARGET} HTTP/1.1\r\nHost: localhost\r\nX-Slow`)
      all.push(raw)
    })
    // they go on at a byte a time
    for (let i = 0; i < 5; i++) {
      for (const raw of all) raw.write('x')
      await delay(20)
    }
    await (await handshake(server)).post('1')
    for (const raw of all) raw.socket.destroy()
  },
)

/** Each brings one connection to a stage at which it is reset. */
const STAGES = {
  'after connect': () => {},
  'in the request line': (raw) => raw.write('GET /engine.io/?EI'),
  'in the headers': (raw) => raw.write(`GET ${TARGET} HTTP/1.1\r\nHost: x\r\nUpgr`),
  'after a polling handshake': (raw) =>
    raw.write('GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n'),
  'in a POST': async (raw, peer) => {
    raw.write(`POST ${peer.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n4half`)
    await delay(20)
  },
  'in a chunked POST': async (raw, peer) => {
    raw.write(`POST ${peer.path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n4hal`)
    await delay(20)
  },
  'in a poll': async (raw, peer) => {
    raw.write(`GET ${peer.path} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await raw.match(/^HTTP\/1.1 200/)
    raw.bytes = Buffer.alloc(0)
    raw.write(`GET ${peer.path} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await delay(20)
  },
  'after an upgrade request': (raw) => raw.write(upgradeRequest(TARGET)),
  'after the 101': async (raw) => {
    raw.write(upgradeRequest(TARGET))
    await raw.match(/sid/)
  },
  "in a frame's header": async (raw) => {
    raw.write(upgradeRequest(TARGET))
    await raw.match(/sid/)
    raw.write(frame({ payload: '4hello' }).subarray(0, 3))
    await delay(5)
  },
  "in a frame's payload": async (raw) => {
    raw.write(upgradeRequest(TARGET))
    await raw.match(/sid/)
    raw.write(frame({ payload: 'x'.repeat(5000) }).subarray(0, 2000))
    await delay(5)
  },
  'in a fragmented message': async (raw) => {
    raw.write(upgradeRequest(TARGET))
    await raw.match(/sid/)
    raw.write(frame({ fin: false, payload: '4hel' }))
    await delay(5)
  },
  'in the echo': async (raw) => {
    raw.write(upgradeRequest(TARGET))
    await raw.match(/sid/)
    for (let i = 0; i < 20; i++) raw.write(frame({ payload: `4${'x'.repeat(20000)}` }))
    await delay(5)
  },
  'before the probe': async (raw, peer) => {
    raw.write(upgradeRequest(`${TARGET}&sid=${peer.sid}`))
    await raw.match(/^HTTP\/1.1 101/)
  },
  'after the probe': async (raw, peer) => {
    raw.write(upgradeRequest(`${TARGET}&sid=${peer.sid}`))
    await raw.match(/^HTTP\/1.1 101/)
    raw.write(frame({ payload: '2probe' }))
    await raw.match(/3probe/)
  },
  'after the upgrade': async (raw, peer) => {
    raw.write(upgradeRequest(`${TARGET}&sid=${peer.sid}`))
    await raw.match(/^HTTP\/1.1 101/)
    raw.write(Buffer.concat([frame({ payload: '2probe' }), frame({ payload: '5' }), frame({ payload: '4x' })]))
    await raw.match(/4x/)
  },
  'in the closing handshake': async (raw) => {
    raw.write(upgradeRequest(TARGET))
    await raw.match(/sid/)
    raw.write(Buffer.concat([frame({ opcode: 8, payload: '' }), Buffer.from([0x81])]))
  },
  'after a protocol error': async (raw) => {
    raw.write(upgradeRequest(TARGET))
    await raw.match(/sid/)
    raw.write(frame({ opcode: 3, payload: '' }))
  },
}

attack(
  `a reset at each of ${Object.keys(STAGES).length} stages leaves neither descriptors nor sessions behind`,
  {
    mib: 32,
    opts: { pingInterval: 1500, pingTimeout: 1000 },
  },
  async (server) => {
    for (const bring of Object.values(STAGES)) {
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          const peer = bring.length === 2 ? await handshake(server) : undefined
          const raw = await RawPeer.connect(server.port)
          await bring(raw, peer)
          raw.reset()
        }),
      )
    }
    // those of which only a request was lost go by the heartbeat
    await until(server, ({ clients }) => clients <= 1, 'sessions left')
  },
)

attack(
  'messages of 16,000 fragments of one byte that never end, on 30 connections, are held in little memory',
  {
    mib: 24,
    upstreamToo: false,
  },
  async (server) => {
    const peers = await Promise.all(Array.from({ length: 30 }, () => RawWebSocket.open(server.port, TARGET)))
    const rest = Buffer.concat(Array(16000).fill(frame({ fin: false, opcode: 0, payload: 'x' })))
    for (const peer of peers) {
      await peer.packet()
      peer.write(Buffer.concat([frame({ fin: false, payload: '4' }), rest]))
    }
    await delay(500)
    peers[0].sendFrame({ opcode: 0, payload: '!' })
    assert.equal((await peers[0].packet(10000)).length, 16002)
    for (const peer of peers) peer.socket.destroy()
  },
)

attack(
  'one large frame in TCP segments of one byte arrives, in little memory',
  {
    mib: 24,
    opts: { maxBufferedChunks: 100_000 },
  },
  async (server) => {
    const peer = await RawWebSocket.open(server.port, TARGET)
    await peer.packet()
    const bytes = frame({ payload: `4${'x'.repeat(60_000)}` })
    for (let i = 0; i < bytes.length; i++) {
      peer.write(bytes.subarray(i, i + 1))
      if (i % 256 === 0) await delay(0)
    }
    assert.equal((await peer.packet(20000)).length, 60_001)
    peer.socket.destroy()
  },
)

attack(
  '200 frames and 200 POSTs that announce a megabyte and bring one byte reserve nothing',
  { mib: 32 },
  async (server) => {
    const sockets = []
    await inParallel(200, async () => {
      const peer = await RawWebSocket.open(server.port, TARGET)
      peer.write(frame({ payload: '4', length: 900_000 }))
      sockets.push(peer.socket)
      const { path: target } = await handshake(server)
      const raw = await RawPeer.connect(server.port)
      raw.write(`POST ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n4`)
      sockets.push(raw.socket)
    })
    await delay(200)
    for (const socket of sockets) socket.destroy()
  },
)

attack('requests with 3000 headers, or 64 KB of them, do no harm', { mib: 24 }, async (server) => {
  const statuses = new Set()
  await inParallel(100, async (i) => {
    const raw = await RawPeer.connect(server.port)
    const many = i % 2 ? Array.from({ length: 3000 }, (_, n) => `a${n}: 1`) : [`x: ${'y'.repeat(65536)}`]
    raw.write(
      `GET ${TARGET} HTTP/1.1\r\nHost: x\r\n${many.join('\r\n')}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    )
    const [, status] = await raw.match(/^HTTP\/1.1 (\d+)/)
    statuses.add(status)
    raw.socket.destroy()
  })
  assert.ok(
    [...statuses].every((status) => status === '431' || status === '400'),
    String([...statuses]),
  )
})

// Node 24 leaves as much garbage of its own requests as 35 MiB, with the original, too
attack('3000 forged session ids are refused one by one and leave nothing', { mib: 48 }, async (server) => {
  const { randomBytes } = require('node:crypto')
  await inParallel(3000, async (i) => {
    const sid =
      i % 3 ? randomBytes(15).toString('base64url') : ['__proto__', 'constructor', 'x'.repeat(5000)][(i % 9) / 3]
    const transport = i % 2 ? 'polling' : 'websocket'
    const { status, body } = await request({
      port: server.port,
      path: path(context(server), { transport, sid }),
      method: i % 5 ? 'GET' : 'POST',
    })
    assert.deepEqual([status, body], [400, '{"code":1,"message":"Session ID unknown"}'])
  })
  assert.equal((await state(server)).clients, 1)
})

for (const [what, payload, count] of [
  ['333,000 messages', '4a\x1e'.repeat(333_000).slice(0, -1), 333_000],
  ['500,000 empty messages', '4\x1e'.repeat(499_999).slice(0, -1), 499_999],
  ['200,000 binary messages', 'bAA=\x1e'.repeat(199_999).slice(0, -1), 199_999],
]) {
  attack(`one POST with ${what} is linear work`, { mib: 256, opts: { quiet: true } }, async (server) => {
    const peer = await handshake(server)
    const start = Date.now()
    assert.equal((await peer.request({ method: 'POST', body: payload, ms: 20000 })).status, 200)
    const { received } = await until(server, (told) => told.received >= count, 'messages')
    assert.equal(received, count)
    assert.ok(Date.now() - start < 8000, `${Date.now() - start} ms`)
  })
}

for (const [what, eio, payload] of [
  ['a megabyte of separators', '4', '\x1e'.repeat(1_000_000)],
  ['a megabyte of `1:6` of protocol 3', '3', '1:6'.repeat(333_000)],
  ['a megabyte of `0:` of protocol 3', '3', '0:'.repeat(499_999)],
  ['a length of a million digits of protocol 3', '3', '1'.repeat(999_999)],
]) {
  attack(`a POST of ${what} is linear work`, { mib: 256, opts: { quiet: true, allowEIO3: true } }, async (server) => {
    const query = { EIO: eio }
    const { body } = await request({ port: server.port, path: path(context(server), query) })
    const [, sid] = /"sid":"([^"]+)"/.exec(body)
    const start = Date.now()
    await request({
      port: server.port,
      path: path(context(server), { ...query, sid }),
      method: 'POST',
      body: payload,
      ms: 20000,
    }).catch(() => {})
    await state(server)
    assert.ok(Date.now() - start < 8000, `${Date.now() - start} ms`)
  })
}

attack('2000 probes of one session are answered, each once', { mib: 24 }, async (server) => {
  const peer = await handshake(server)
  const raw = await RawWebSocket.open(server.port, path(context(server), { transport: 'websocket', sid: peer.sid }))
  raw.write(Buffer.concat(Array(2000).fill(frame({ payload: '2probe' }))))
  for (let i = 0; i < 2000; i++) assert.equal(await raw.packet(), '3probe')
  raw.socket.destroy()
})

attack('a websocket that pings and reads nothing is cut off', { mib: 24 }, async (server) => {
  const socket = await deafPeer(server.port, TARGET)
  const gone = once(socket, 'close', 20000)
  // few enough to be answered as they come, until the answers are not read
  const block = Buffer.concat(Array(50).fill(frame({ opcode: 9, payload: Buffer.alloc(125) })))
  while (!socket.destroyed) {
    socket.write(block)
    await delay(1)
  }
  await gone
  await until(server, ({ clients }) => clients <= 1, 'sessions left')
})

attack('1500 websockets that come and go at once leave nothing', { mib: 48 }, async (server) => {
  await inParallel(1500, async (i) => {
    const peer = await RawWebSocket.request(server.port, TARGET)
    if (i % 3 === 0) await peer.match(/sid/)
    if (i % 2) peer.reset()
    else peer.socket.destroy()
  })
  await until(server, ({ clients }) => clients <= 1, 'sessions left')
})

attack(
  '100 websockets that are half open are all found by the heartbeat',
  {
    mib: 24,
    kept: true,
    opts: { pingInterval: 500, pingTimeout: 500 },
  },
  async (server) => {
    await Promise.all(Array.from({ length: 100 }, () => deafPeer(server.port, TARGET)))
    const { closes } = await until(server, (told) => told.closes.length >= 100, 'sessions left')
    assert.deepEqual(new Set(closes.map(({ reason }) => reason)), new Set(['ping timeout']))
  },
)
