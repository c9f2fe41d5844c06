'use strict'

const assert = require('node:assert/strict')
const http = require('node:http')
const { test } = require('node:test')
const {
  engine: api,
  RawWebSocket,
  bind,
  defer,
  deadline,
  delay,
  eventually,
  once,
  runFixture,
  serve,
  settlesAt,
  skip,
  traffic,
  upstream,
  usage,
} = require('./support')

const options = { skip, timeout: 60000 }
const fixture = (name) => `../reliability/fixtures/${name}`

/** An echo server; `native`: behind the engine's own listener. */
async function echo({ native = false, port = 0 } = {}) {
  let engine
  let server
  if (native) {
    engine = api.listen(port, { listener: 'native' })
    server = engine.httpServer
    await once(server, 'listening')
  } else {
    server = http.createServer()
    engine = api.attach(server)
    if (port === 0) await bind(server)
    else await once(server.listen(port, '127.0.0.1'), 'listening')
  }
  const closes = []
  engine.on('connection', (socket) => {
    socket.on('message', (data) => socket.send(data))
    socket.on('close', (reason) => closes.push(`${socket.id} ${reason}`))
  })
  defer(() => {
    engine.close()
    if (server.listening) server.close()
  })
  return { engine, server, port: server.address().port, closes }
}

async function shutDown({ engine, server }) {
  const closed = new Promise((resolve) => server.close(resolve))
  engine.close()
  await deadline(closed, 'close of the http server')
}

for (const native of [false, true]) {
  const where = native ? 'the native listener' : 'attach()'

  test(
    `close() and httpServer.close() under load end every session once and leave nothing behind: ${where}`,
    options,
    async () => {
      const warm = await echo({ native })
      const first = traffic(warm.port, { websockets: 1, pollings: 1, upgrading: 1 })
      await first.until(() => first.opened === 3 && first.messages > 10 && !first.upgrading(), 'traffic')
      await shutDown(warm)
      await first.until(() => first.closed === 3, 'close of all clients')
      await delay(100)
      const before = usage()
      const context = await echo({ native })
      const load = traffic(context.port, { websockets: 20, pollings: 10, upgrading: 10 })
      await load.until(() => load.opened === 40 && load.messages > 400 && !load.upgrading(), 'traffic')
      await shutDown(context)
      await load.until(() => load.closed === 40, 'close of all clients')
      assert.equal(context.engine.clientsCount, 0)
      assert.equal(new Set(context.closes).size, context.closes.length, 'one close each')
      await settlesAt(before)
    },
  )

  test(`a server can be restarted on its port under load, several times: ${where}`, options, async () => {
    let context = await echo({ native })
    const { port } = context
    for (let round = 0; round < 4; round++) {
      const load = traffic(port, { websockets: 5, pollings: 5, upgrading: 5 })
      await load.until(() => load.messages > 150 && !load.upgrading(), 'traffic')
      const closed = new Promise((resolve) => context.server.close(resolve))
      context.engine.close()
      await load.until(() => load.closed === 15, 'close of all clients')
      await deadline(closed, 'close of the http server')
      context = await echo({ native, port })
    }
    const load = traffic(port)
    await load.until(() => load.messages > 150, 'traffic after the last restart')
  })

  for (const way of ['exit', 'exit-on-connection', 'exit-on-close', 'exit-in-callback']) {
    test(`process.exit() in traffic ends the process at once, with its code: ${way}, ${where}`, options, async () => {
      for (let round = 0; round < 3; round++) {
        const server = await serve('ending', [way, native ? 'native' : 'node'])
        traffic(server.port)
        const { code, signal } = await server.ended()
        assert.deepEqual({ code, signal }, { code: 7, signal: null })
      }
    })
  }

  for (const way of ['throw', 'reject']) {
    test(
      `an uncaught error in traffic ends the process with code 1 and is shown: ${way}, ${where}`,
      options,
      async () => {
        const server = await serve('ending', [way, native ? 'native' : 'node'])
        traffic(server.port)
        const { code, signal, stderr } = await server.ended()
        assert.deepEqual({ code, signal }, { code: 1, signal: null })
        assert.match(stderr, /meant to be fatal/)
      },
    )
  }

  test(`SIGTERM in traffic ends the process by that signal: ${where}`, options, async () => {
    const server = await serve('ending', ['sigterm', native ? 'native' : 'node'])
    const load = traffic(server.port)
    await load.until(() => load.messages > 300, 'traffic')
    server.child.kill('SIGTERM')
    const { code, signal } = await server.ended()
    assert.deepEqual({ code, signal }, { code: null, signal: 'SIGTERM' })
  })

  test(
    `a handler of SIGTERM that closes engine and http server lets the process end by itself: ${where}`,
    options,
    async () => {
      const server = await serve('ending', ['graceful', native ? 'native' : 'node'])
      const load = traffic(server.port)
      await load.until(() => load.messages > 300, 'traffic')
      server.child.kill('SIGTERM')
      assert.equal(await server.next(), 'closed')
      const { code, signal } = await server.ended(3000)
      assert.deepEqual({ code, signal }, { code: 0, signal: null })
    },
  )
}

test('terminate() of a worker in traffic leaves no thread and no descriptor behind, ten times', options, async () => {
  const { code, signal, lines, stderr } = await runFixture(fixture('workers'), ['terminate', 10], { ms: 40000 })
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, stderr)
  const growth = lines.pop()
  assert.ok(growth.threads <= 0 && growth.descriptors <= 0, JSON.stringify(growth))
  assert.deepEqual(lines, Array(10).fill({ exit: 1 }))
})

test('terminate() of workers does not disturb the engine of the main thread', options, async () => {
  const { code, lines, stderr } = await runFixture(fixture('workers'), ['terminate-beside-main'], { ms: 20000 })
  assert.equal(code, 0, stderr)
  assert.deepEqual(lines, [{ closed: 0 }])
})

test('two engines in two workers are independent of each other', options, async () => {
  const { code, lines, stderr } = await runFixture(fixture('workers'), ['two'], { ms: 20000 })
  assert.equal(code, 0, stderr)
  assert.deepEqual(lines, [{ first: 10, second: 0 }, { second: 10 }])
})

test('eight workers load the engine at once, and end by themselves when they have closed it', options, async () => {
  const { code, lines, stderr } = await runFixture(fixture('workers'), ['load', 5], { ms: 50000 })
  assert.equal(code, 0, stderr)
  assert.deepEqual(lines, Array(5).fill(Array(8).fill(0)))
})

test('process.exit() in a worker in traffic ends that worker', options, async () => {
  const { code, lines, stderr } = await runFixture(fixture('workers'), ['exit'], { ms: 20000 })
  assert.equal(code, 0, stderr)
  assert.deepEqual(lines, [{ exit: 5 }, { closed: 10 }])
})

test('an uncaught error in a worker in traffic ends that worker', options, async () => {
  const { code, lines, stderr } = await runFixture(fixture('workers'), ['throw'], { ms: 20000 })
  assert.equal(code, 0, stderr)
  assert.deepEqual(lines, [{ error: 'meant to be fatal' }, { closed: 10 }])
})

test('a worker ends by itself when its engine and its http server are closed', options, async () => {
  const { code, lines, stderr } = await runFixture(fixture('workers'), ['graceful'], { ms: 20000 })
  assert.equal(code, 0, stderr)
  assert.deepEqual(lines, [{ exit: 0 }])
})

test('fifty servers in one process serve their own clients, with no thread of their own', options, async () => {
  await shutDown(await echo())
  const before = usage()
  const contexts = await Promise.all(Array.from({ length: 50 }, (_, i) => echo({ native: !upstream && i % 2 === 1 })))
  const loads = contexts.map(({ port }) => traffic(port, { websockets: 1, pollings: 1, upgrading: 1 }))
  await Promise.all(loads.map((load) => load.until(() => load.opened === 3 && load.messages >= 6, 'traffic', 30000)))
  for (const { engine } of contexts) assert.equal(engine.clientsCount, 3)
  assert.ok(usage().threads - before.threads <= 0, 'threads')
  await Promise.all(contexts.map(shutDown))
  await settlesAt(before)
})

test('a module that is loaded thirty times anew uses no more threads and descriptors than once', options, async () => {
  const { code, lines, stderr } = await runFixture(fixture('reload'), [], { ms: 20000 })
  assert.equal(code, 0, stderr)
  const [{ reloaded, threads, descriptors }] = lines
  assert.ok(reloaded && threads <= 0 && descriptors <= 0, JSON.stringify(lines))
})

test('a client that keeps its side open after the closing handshake holds no descriptor', options, async (t) => {
  if (upstream) return t.skip('ws gives it 30 s')
  const context = await echo()
  const peer = await RawWebSocket.open(context.port, '/engine.io/?EIO=4&transport=websocket')
  peer.socket.allowHalfOpen = true
  await peer.packet()
  // enough for JavaScript to read it
  for (let i = 0; i < 30; i++) {
    peer.sendText(`4${i}`)
    assert.equal(await peer.packet(), `4${i}`)
  }
  const { descriptors } = usage()
  peer.sendClose()
  // which the I/O thread reads, for want of JavaScript
  const end = Date.now() + 50
  while (Date.now() < end);
  await peer.closeFrame()
  await eventually(() => descriptors - usage().descriptors, 1, 5000)
  peer.socket.destroy()
})

test('connections that come and go leave no descriptor, thread or session', options, async () => {
  const context = await echo()
  const round = async () => {
    const load = traffic(context.port, { websockets: 10, pollings: 10, upgrading: 10 })
    await load.until(() => load.opened === 30 && load.messages >= 90 && !load.upgrading(), 'traffic')
    load.stop()
    await load.until(() => load.closed === 30, 'close of all clients')
    await eventually(() => context.engine.clientsCount, 0, 5000)
  }
  await round()
  await eventually(() => usage().descriptors < 60, true)
  const before = usage()
  for (let i = 0; i < 5; i++) await round()
  await settlesAt(before)
})
