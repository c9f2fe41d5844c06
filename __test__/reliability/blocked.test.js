'use strict'

// The server's JavaScript thread does nothing for three times pingTimeout.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  PollingPeer,
  RawWebSocket,
  deadline,
  defer,
  delay,
  eio,
  eventually,
  once,
  path,
  request,
  serve,
  upstream,
} = require('./support')

const PERIODS = { pingInterval: 1000, pingTimeout: 1000 }
const BLOCK = 3 * PERIODS.pingTimeout + 100

/** For clients that need several requests to answer. */
const SLOW = { pingInterval: 1500, pingTimeout: 1000 }
const LONG_BLOCK = 3 * SLOW.pingTimeout + 100
const options = { timeout: 30000 }

/** Real clients, open (and upgraded): `{ all, closed, received, pings }`. */
async function realClients(port, count, transports, extra) {
  const state = { all: [], closed: [], received: 0, gaps: [] }
  await Promise.all(
    Array.from({ length: count }, async () => {
      const one = new eio.Socket(`ws://127.0.0.1:${port}`, { transports, ...extra })
      defer(() => one.close())
      one.on('error', () => {})
      one.on('close', (reason) => state.closed.push(reason))
      one.on('message', () => state.received++)
      let last = Date.now()
      one.on('open', () => (last = Date.now()))
      one.on('ping', () => {
        state.gaps.push(Date.now() - last)
        last = Date.now()
      })
      await once(one, transports.length === 2 ? 'upgrade' : 'open')
      state.all.push(one)
    }),
  )
  return state
}

/** Blocks the server; `meanwhile` runs while it is. Resolves with what the server tells when it is free again. */
async function blocked(server, ms, meanwhile) {
  server.tell(`block ${ms}`)
  assert.deepEqual(await server.next(), { blocked: true })
  await meanwhile?.()
  const told = await server.next()
  assert.equal(told.blocked, false)
}

async function state(server) {
  server.tell('state')
  return server.next()
}

const ways = [
  ['websockets', ['websocket'], {}],
  ['upgraded sessions', ['polling', 'websocket'], {}],
]
if (!upstream)
  ways.push(
    ['websockets of the native listener', ['websocket'], { native: true }],
    ['polling of the native listener', ['polling'], { native: true }],
  )

for (const [name, transports, opts] of ways) {
  const outcome = upstream ? 'all are disconnected' : 'nobody is disconnected, pings go on, nothing is lost'
  test(`${name} while the thread is blocked: ${outcome}`, options, async () => {
    const server = await serve('blocked', [JSON.stringify({ ...PERIODS, ...opts })])
    const clients = await realClients(server.port, 20, transports)
    await blocked(server, BLOCK, async () => {
      for (let i = 0; i < 5; i++) {
        for (const one of clients.all) one.send(`message ${i}`)
        await delay(BLOCK / 10)
      }
    })
    if (upstream) {
      await eventually(() => clients.closed.length, 20, 5000)
      return
    }
    await eventually(() => clients.received, 100, 5000)
    assert.deepEqual(clients.closed, [])
    assert.deepEqual(await state(server), { clients: 20, closes: [] })
    // every client has seen its pings before it would have given up
    assert.ok(clients.gaps.length >= 20 * Math.floor(BLOCK / (PERIODS.pingInterval + PERIODS.pingTimeout)))
    const worst = Math.max(...clients.gaps)
    assert.ok(worst < PERIODS.pingInterval + PERIODS.pingTimeout, `${worst} ms between two pings`)
  })
}

if (!upstream) {
  test('a session whose upgrade is completed while the thread is blocked is pinged from then on', options, async () => {
    const server = await serve('blocked', [JSON.stringify(PERIODS)])
    const context = { port: server.port, path: '/engine.io/' }
    const peer = new PollingPeer(context, {}, await request({ port: server.port, path: path(context) }))
    const ws = await RawWebSocket.open(server.port, path(context, { transport: 'websocket', sid: peer.sid }))
    ws.sendText('2probe')
    assert.equal(await ws.packet(), '3probe')
    await blocked(server, BLOCK, async () => {
      const start = Date.now()
      ws.sendText('5')
      for (let i = 0; i < 2; i++) {
        assert.equal(await ws.packet(), '2')
        ws.sendText('3')
      }
      assert.ok(Date.now() - start < BLOCK, 'the pings came when the thread was free again')
    })
    assert.deepEqual(await state(server), { clients: 1, closes: [] })
  })
}

test('websockets whose heartbeats pass a replaced method are pinged late, and not given up', options, async () => {
  const server = await serve('blocked', [JSON.stringify({ ...SLOW, replaced: true })])
  const context = { port: server.port, path: '/engine.io/' }
  const peers = await Promise.all(
    Array.from({ length: 20 }, () => RawWebSocket.open(server.port, path(context, { transport: 'websocket' }))),
  )
  await Promise.all(peers.map((peer) => peer.packet()))
  for (let round = 0; round < 2; round++) {
    await blocked(server, LONG_BLOCK)
    await Promise.all(
      peers.map(async (peer) => {
        assert.equal(await peer.packet(), '2')
        peer.sendText('3')
      }),
    )
  }
  assert.deepEqual(await state(server), { clients: 20, closes: [] })
})

/** A polling client that answers pings and polls on, each request on a connection of its own. */
async function pollingClient(port) {
  const context = { port, path: '/engine.io/' }
  const response = await request({ port, path: path(context) })
  const peer = new PollingPeer(context, {}, response)
  const client = { peer, status: 200, received: [], failed: undefined }
  const cycle = async () => {
    while (client.status === 200) {
      const { status, body } = await peer.request({ ms: 20000 })
      client.status = status
      for (const packet of body.split('\x1e')) {
        if (packet === '2') peer.request({ method: 'POST', body: '3', ms: 20000 }).catch(() => {})
        else client.received.push(packet)
      }
    }
  }
  cycle().catch((error) => (client.failed = error))
  return client
}

test(
  `polling behind Node's http server, blocked before the pings go out: ${upstream ? 'they are sent late' : 'nobody is closed'}`,
  options,
  async () => {
    const server = await serve('blocked', [JSON.stringify(SLOW)])
    const clients = await Promise.all(Array.from({ length: 20 }, () => pollingClient(server.port)))
    await blocked(server, LONG_BLOCK)
    await delay(2 * SLOW.pingTimeout)
    assert.deepEqual(await state(server), { clients: 20, closes: [] })
    assert.ok(clients.every(({ status }) => status === 200))
  },
)

/** Resolves when all polling clients have been sent a ping. */
function pinged(clients) {
  return eventually(() => clients.every(({ pings }) => pings > 0), true, 5000)
}

test(
  `polling behind Node's http server, blocked while pings are out: ${upstream ? 'all are closed' : 'nobody is closed, nothing is lost'}`,
  options,
  async () => {
    const server = await serve('blocked', [JSON.stringify(SLOW)])
    const clients = await Promise.all(Array.from({ length: 20 }, () => manualClient(server.port)))
    await pinged(clients)
    await blocked(server, LONG_BLOCK, async () => {
      // in the kernel's hands now: the pongs, a message and the next poll of each
      for (const client of clients) client.answer()
    })
    if (upstream) {
      await delay(SLOW.pingTimeout)
      const { clients: left, closes } = await state(server)
      assert.deepEqual([left, new Set(closes)], [0, new Set(['ping timeout'])])
      return
    }
    await eventually(() => clients.filter(({ received }) => received.includes('4meanwhile')).length, 20, 5000)
    assert.deepEqual(await state(server), { clients: 20, closes: [] })
  },
)

/** A polling client that answers its first ping when told to. */
async function manualClient(port) {
  const context = { port, path: '/engine.io/' }
  const peer = new PollingPeer(context, {}, await request({ port, path: path(context) }))
  const client = {
    pings: 0,
    received: [],
    answer() {
      peer.request({ method: 'POST', body: '3\x1e4meanwhile', ms: 20000 }).catch(() => {})
      poll().catch(() => {})
    },
  }
  const poll = async () => {
    const { status, body } = await peer.request({ ms: 20000 })
    if (body === '2' && client.pings++ === 0) return
    client.received.push(...body.split('\x1e'))
    if (status === 200) await poll()
  }
  poll().catch(() => {})
  return client
}

test('the real client on polling survives a block that leaves it time', options, async () => {
  const server = await serve('blocked', [JSON.stringify({ pingInterval: 3000, pingTimeout: 1000 })])
  const clients = await realClients(server.port, 10, ['polling'])
  await eventually(() => clients.gaps.length, 10, 8000)
  await blocked(server, LONG_BLOCK)
  await delay(1500)
  assert.deepEqual(clients.closed, [])
  assert.deepEqual(await state(server), { clients: 10, closes: [] })
})

test(
  `a websocket that sends more than is read meanwhile: ${upstream ? 'it is disconnected' : 'it is not disconnected, and all of it arrives'}`,
  options,
  async () => {
    const server = await serve('blocked', [JSON.stringify({ ...PERIODS, maxHttpBufferSize: 1e6 })])
    const clients = await realClients(server.port, 1, ['websocket'])
    const [client] = clients.all
    const count = 400
    await blocked(server, BLOCK, () => {
      for (let i = 0; i < count; i++) client.send(Buffer.alloc(20000, i))
    })
    if (upstream) return eventually(() => clients.closed.length, 1, 5000)
    await eventually(() => clients.received, count, 10000)
    assert.deepEqual(clients.closed, [])
  },
)

test(
  `websockets over TLS, blocked while pings are out: ${upstream ? 'all are closed' : 'nobody is closed'}`,
  options,
  async () => {
    const server = await serve('blocked', [JSON.stringify({ ...SLOW, tls: true })])
    const WebSocket = require('ws')
    const closed = []
    const sockets = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const ws = new WebSocket(`wss://127.0.0.1:${server.port}/engine.io/?EIO=4&transport=websocket`, {
          rejectUnauthorized: false,
        })
        ws.on('error', () => {})
        ws.on('close', () => closed.push(ws))
        defer(() => ws.terminate())
        ws.pinged = new Promise((resolve) => {
          ws.on('message', (data) => {
            if (String(data) !== '2') return
            resolve()
            if (ws.answered) ws.send('3')
          })
        })
        await once(ws, 'open')
        return ws
      }),
    )
    await Promise.all(sockets.map(({ pinged }) => deadline(pinged, 'ping')))
    await blocked(server, LONG_BLOCK, () => {
      for (const ws of sockets) {
        ws.send('3')
        ws.answered = true
      }
    })
    await delay(500)
    if (upstream) return assert.equal(closed.length, 10)
    assert.deepEqual(await state(server), { clients: 10, closes: [] })
  },
)

test('a polling client that is really gone is closed after a block, by the heartbeat', options, async () => {
  const server = await serve('blocked', [JSON.stringify(PERIODS)])
  await Promise.all(
    Array.from({ length: 5 }, () => request({ port: server.port, path: path({ path: '/engine.io/' }) })),
  )
  await blocked(server, BLOCK)
  for (let i = 0; i < 100 && (await state(server)).clients > 0; i++) await delay(50)
  assert.deepEqual(await state(server), { clients: 0, closes: Array(5).fill('ping timeout') })
})
