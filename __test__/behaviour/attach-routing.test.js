'use strict'

const assert = require('node:assert/strict')
const http = require('node:http')
const { test } = require('node:test')
const {
  RawPeer,
  RawWebSocket,
  bind,
  defer,
  delay,
  engine,
  improvement,
  listen,
  never,
  once,
  openPolling,
  openWebSocket,
  path,
  pending,
  rebind,
  request,
  upgradeRequest,
} = require('../support')

/** A server whose application answers every request with its URL. */
function appServer() {
  return http.createServer((req, res) => res.end(`app ${req.url}`))
}

async function attached(opts, server = appServer()) {
  return listen(opts, server)
}

const HANDSHAKE = 'EIO=4&transport=polling'

test('requests under the path go to the engine and all others to the listeners from before', async () => {
  const { port } = await attached()
  assert.match((await request({ port, path: `/engine.io/?${HANDSHAKE}` })).body, /^0\{"sid"/)
  assert.equal((await request({ port, path: '/else' })).body, 'app /else')
})

test('attach() leaves one request listener', async () => {
  const server = appServer()
  server.on('request', () => {})
  const context = await attached({}, server)
  assert.equal(context.server.listeners('request').length, 1)
})

test('all listeners from before are called in order with the server as this', async () => {
  const server = http.createServer()
  const calls = []
  server.on('request', function () {
    calls.push(['first', this === server])
  })
  server.on('request', function (req, res) {
    calls.push(['second', this === server])
    res.end()
  })
  const { port } = await attached({}, server)
  await request({ port, path: '/else' })
  assert.deepEqual(calls, [
    ['first', true],
    ['second', true],
  ])
})

test("listeners from before do not see the engine's requests", async () => {
  const server = http.createServer()
  let calls = 0
  server.on('request', () => calls++)
  const { port } = await attached({}, server)
  await request({ port, path: `/engine.io/?${HANDSHAKE}` })
  assert.equal(calls, 0)
})

test('listeners added after attach() see every request', async () => {
  const context = await attached()
  const urls = []
  context.server.on('request', (req) => urls.push(req.url))
  const target = `/engine.io/?${HANDSHAKE}`
  await request({ port: context.port, path: target })
  await request({ port: context.port, path: '/else' })
  assert.deepEqual(urls, [target, '/else'])
})

for (const target of [
  `/engine.io?${HANDSHAKE}`,
  `/ENGINE.IO/?${HANDSHAKE}`,
  `/engine.io%2f?${HANDSHAKE}`,
  `//engine.io/?${HANDSHAKE}`,
  `http://127.0.0.1/engine.io/?${HANDSHAKE}`,
  `/x/engine.io/?${HANDSHAKE}`,
]) {
  test(`${target} is not the engine's`, async () => {
    const { port } = await attached()
    assert.equal((await request({ port, path: target })).body, `app ${target}`)
  })
}

test("a longer path under the prefix is the engine's", async () => {
  const { port } = await attached()
  assert.match((await request({ port, path: `/engine.io/foo/bar?${HANDSHAKE}` })).body, /^0\{/)
})

for (const given of ['/custom', '/custom/']) {
  test(`path: "${given}" serves /custom/`, async () => {
    const { port } = await attached({ path: given })
    assert.match((await request({ port, path: `/custom/?${HANDSHAKE}` })).body, /^0\{/)
    assert.match((await request({ port, path: `/engine.io/?${HANDSHAKE}` })).body, /^app/)
  })
}

test('path: "/" serves everything', async () => {
  const { port } = await attached({ path: '/' })
  assert.match((await request({ port, path: `/?${HANDSHAKE}` })).body, /^0\{/)
  assert.match((await request({ port, path: `/any/where?${HANDSHAKE}` })).body, /^0\{/)
})

test('a path without a leading slash never matches', async () => {
  const { port } = await attached({ path: 'custom' })
  assert.match((await request({ port, path: `/custom/?${HANDSHAKE}` })).body, /^app/)
})

test('addTrailingSlash: false serves the path with and without a slash, and as a prefix of names', async () => {
  const { port } = await attached({ addTrailingSlash: false })
  for (const target of ['/engine.io', '/engine.io/', '/engine.iox']) {
    assert.match((await request({ port, path: `${target}?${HANDSHAKE}` })).body, /^0\{/, target)
  }
})

test('attach() works after listen()', async () => {
  const server = appServer()
  const port = await bind(server)
  const attachedEngine = engine.attach(server)
  defer(() => attachedEngine.close())
  const context = { engine: attachedEngine, server, port, path: '/engine.io/' }
  assert.equal((await openPolling(context)).peer.open.upgrades[0], 'websocket')
  assert.equal((await openWebSocket(context)).peer.status, 101)
  assert.equal((await request({ port, path: '/else' })).body, 'app /else')
})

test('one engine may be attached under two paths', async () => {
  const server = appServer()
  const both = new engine.Server()
  both.attach(server, { path: '/one' })
  both.attach(server, { path: '/two' })
  const port = await bind(server)
  defer(() => both.close())
  for (const prefix of ['/one/', '/two/']) {
    const context = { engine: both, server, port, path: prefix }
    await openPolling(context)
    await openWebSocket(context)
  }
  assert.equal(both.clientsCount, 4)
})

test('two engines with their own paths share a server', async () => {
  const server = appServer()
  const one = engine.attach(server, { path: '/one' })
  const two = engine.attach(server, { path: '/two' })
  const port = await bind(server)
  defer(() => {
    one.close()
    two.close()
  })
  await openPolling({ engine: one, server, port, path: '/one/' })
  await openWebSocket({ engine: two, server, port, path: '/two/' })
  assert.deepEqual([one.clientsCount, two.clientsCount], [1, 1])
  assert.equal((await request({ port, path: '/else' })).body, 'app /else')
})

test('one engine may be attached to two servers', async () => {
  const both = new engine.Server()
  const contexts = []
  for (const server of [appServer(), appServer()]) {
    both.attach(server)
    contexts.push({ engine: both, server, port: await bind(server), path: '/engine.io/' })
  }
  defer(() => both.close())
  for (const context of contexts) await openPolling(context)
  assert.equal(both.clientsCount, 2)
})

test('a session of one engine is unknown to another', async () => {
  const first = await attached()
  const second = await attached()
  const { peer } = await openPolling(first)
  const response = await request({ port: second.port, path: peer.path })
  assert.equal(JSON.parse(response.body).code, 1)
})

test('an upgrade for another path is ended after destroyUpgradeTimeout', async () => {
  const { port } = await attached({ destroyUpgradeTimeout: 100 })
  const peer = await RawPeer.connect(port)
  const start = Date.now()
  peer.write(upgradeRequest('/else'))
  await peer.end()
  assert.equal(peer.text, '')
  assert.ok(Date.now() - start >= 80)
})

test('an upgrade for another path that someone has answered is left alone', async () => {
  const context = await attached({ destroyUpgradeTimeout: 40 })
  context.server.on('upgrade', (req, socket) => {
    if (req.url === '/mine') socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n')
  })
  const peer = await RawPeer.connect(context.port)
  peer.write(upgradeRequest('/mine'))
  await peer.match(/101/)
  assert.equal(await pending(peer.closed, 120), true)
})

test('destroyUpgrade: false leaves upgrades for other paths alone', async () => {
  const { port } = await attached({ destroyUpgrade: false, destroyUpgradeTimeout: 40 })
  const peer = await RawPeer.connect(port)
  peer.write(upgradeRequest('/else'))
  assert.equal(await pending(peer.closed, 120), true)
})

test('a reset of an upgrade for another path does no harm', async () => {
  const context = await attached({ destroyUpgradeTimeout: 40 })
  const peer = await RawPeer.connect(context.port)
  const seen = once(context.server, 'upgrade')
  peer.write(upgradeRequest('/else'))
  await seen
  peer.reset()
  await delay(80)
  assert.equal((await openPolling(context)).socket.readyState, 'open')
})

improvement(
  'G-67: uncaughtException',
  'a reset of an upgrade for another path does no harm with destroyUpgrade: false',
  async () => {
    const context = await attached({ destroyUpgrade: false })
    const peer = await RawPeer.connect(context.port)
    const seen = once(context.server, 'upgrade')
    peer.write(upgradeRequest('/else'))
    const [, socket] = await seen
    const closed = once(socket, 'close')
    peer.reset()
    await closed
    assert.equal((await openPolling(context)).socket.readyState, 'open')
  },
)

test("the application's own upgrade listener keeps working beside the engine", async () => {
  const server = appServer()
  server.on('upgrade', (req, socket) => {
    if (req.url === '/mine') socket.end('HTTP/1.1 418 Teapot\r\n\r\n')
  })
  const context = await attached({}, server)
  const peer = await RawPeer.connect(context.port)
  peer.write(upgradeRequest('/mine'))
  await peer.match(/^HTTP\/1\.1 418 Teapot/)
  assert.equal((await openWebSocket(context)).peer.status, 101)
})

test('handleRequest() and handleUpgrade() serve a server the engine is not attached to', async () => {
  const own = new engine.Server()
  const server = http.createServer((req, res) => own.handleRequest(req, res))
  server.on('upgrade', (req, socket, head) => own.handleUpgrade(req, socket, head))
  const port = await bind(server)
  defer(() => own.close())
  const context = { engine: own, server, port, path: '/anything/' }
  const { peer, socket } = await openPolling(context)
  socket.send('x')
  assert.equal((await peer.poll()).body, '4x')
  assert.equal((await openWebSocket(context)).peer.status, 101)
})

improvement(
  'what throws leaves no client waiting',
  'an upgrade handed to a server without WebSockets throws, and is answered',
  async () => {
    const own = new engine.Server({ transports: ['polling'] })
    const server = http.createServer()
    const thrown = new Promise((resolve) => {
      server.on('upgrade', (req, socket, head) => {
        try {
          resolve(own.handleUpgrade(req, socket, head))
        } catch (error) {
          resolve(error)
        }
      })
    })
    const peer = await RawPeer.connect(await bind(server))
    peer.write(upgradeRequest('/engine.io/?EIO=4&transport=polling'))
    assert.ok((await thrown) instanceof TypeError)
    await peer.match(/^HTTP\/1\.1 500 Internal Server Error/)
  },
)

test('an upgrade that reaches two engines is served by the first, and a clear error of the second', async () => {
  const [first, second] = [new engine.Server(), new engine.Server()]
  const server = http.createServer()
  let error
  server.on('upgrade', (req, socket, head) => {
    first.handleUpgrade(req, socket, head)
    try {
      second.handleUpgrade(req, socket, head)
    } catch (thrown) {
      error = thrown
    }
  })
  const context = { engine: first, server, port: await bind(server), path: '/engine.io/' }
  defer(() => first.close())
  const { peer, socket } = await openWebSocket(context)
  assert.match(error.message, /more than once|already/)
  socket.send('x')
  assert.equal(await peer.packet(), '4x')
  assert.equal(second.clientsCount, 0)
})

test('a closed http server can listen again, for both transports', async () => {
  const context = await attached()
  await new Promise((resolve) => context.server.close(resolve))
  await never(context.engine, 'connection', 1)
  context.port = await rebind(context.server)
  await openPolling(context)
  await openWebSocket(context)
  assert.equal(context.engine.clientsCount, 2)
})

test("an absolute-form upgrade target is not the engine's", async () => {
  const context = await attached({ destroyUpgradeTimeout: 30 })
  const silence = never(context.engine, 'connection', 50)
  const target = `http://127.0.0.1${path(context, { transport: 'websocket' })}`
  const peer = await RawWebSocket.request(context.port, target)
  await peer.end()
  assert.equal(peer.text, '')
  await silence
})
