'use strict'

// What `engine.io-native/cluster` exports in the manner of @socket.io/cluster-engine.

const assert = require('node:assert/strict')
const { EventEmitter } = require('node:events')
const http = require('node:http')
const { test } = require('node:test')
const { io } = require('socket.io-client')
const { NodeClusterEngine, RedisEngine, setupPrimary } = require('engine.io-native/cluster')
const { Server } = require('../..')
const { deadline, defer, eventually, once } = require('../support')
const { clusterDirectory, openSession, poll, post, startMember } = require('./support')

test('the same is imported by name', async () => {
  const module = await import('engine.io-native/cluster')
  assert.equal(module.NodeClusterEngine, NodeClusterEngine)
  assert.equal(module.RedisEngine, RedisEngine)
  assert.equal(module.setupPrimary, setupPrimary)
})

test('NodeClusterEngine is a server with the option `cluster`, and leaves the options as they are', () => {
  const { TMPDIR } = process.env
  process.env.TMPDIR = clusterDirectory()
  defer(() => {
    if (TMPDIR === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = TMPDIR
  })
  const options = Object.freeze({ pingInterval: 1234, responseTimeout: 500, delayedConnectionTimeout: 100 })
  for (const engine of [
    new NodeClusterEngine(),
    new NodeClusterEngine(options),
    new NodeClusterEngine({ cluster: { directory: clusterDirectory() } }),
  ]) {
    defer(() => engine.close())
    assert.ok(engine instanceof Server)
    assert.equal(typeof engine.metrics().cluster.number, 'number')
  }
  assert.equal(new NodeClusterEngine({ ...options, cluster: false }).metrics().cluster, undefined)
  assert.throws(() => new NodeClusterEngine({ cluster: 1 }), /cluster must be a boolean or an object, got 1/)
  assert.equal(setupPrimary(), undefined)
})

/** What is used of clients of the package `redis`, which are connected with each other. */
function fakeClient(hub) {
  return {
    isReady: true,
    publish: async (channel, message) => hub.emit(channel, Buffer.from(message)),
    duplicate: () => ({
      on() {},
      connect: async () => {},
      subscribe: async (channel, listener) => hub.on(channel, listener),
      unsubscribe: async (channel) => hub.removeAllListeners(channel),
      destroy() {},
    }),
  }
}

test('RedisEngine is a server with a bus of its client, and needs a key', async () => {
  const hub = new EventEmitter().setMaxListeners(0)
  const key = 'of 16 bytes or more, and secret'
  const servers = []
  for (let i = 0; i < 2; i++) {
    const client = fakeClient(hub)
    const engine = new RedisEngine(client, undefined, { cluster: { key, directory: clusterDirectory() } })
    const httpServer = http.createServer()
    engine.attach(httpServer)
    await new Promise((resolve) => httpServer.listen(0, '127.0.0.1', resolve))
    defer(() => {
      engine.close()
      httpServer.close()
    })
    engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
    servers.push({ engine, port: httpServer.address().port })
  }
  const [one, other] = servers
  await eventually(() => servers.every(({ engine }) => engine.metrics().cluster.bus.nodes === 1), true, 30_000)
  const sid = await openSession(one)
  assert.equal((await post(other, sid, '4hello', { ms: 30_000 })).body, 'ok')
  assert.equal((await poll(other, sid, { ms: 30_000 })).body, '4hello')
  assert.throws(() => new RedisEngine(fakeClient(hub), undefined, {}), /cluster.key must be given with cluster.bus/)
  assert.throws(() => new RedisEngine('redis://localhost', undefined, { cluster: { key } }), /takes a client/)
})

test('an application of @socket.io/cluster-engine: Socket.IO in three workers, whose clients need no stickiness', async () => {
  const app = await startMember({ options: { cluster: { directory: clusterDirectory() } } }, 'cluster-engine-app.js')
  const url = `http://127.0.0.1:${app.port}`
  let passedOn = 0
  for (const transports of [['polling'], ['polling', 'websocket'], ['websocket']]) {
    for (let i = 0; i < 3; i++) {
      const socket = io(url, { transports, forceNew: true, reconnection: false })
      defer(() => socket.disconnect())
      await once(socket, 'connect', 30_000)
      for (let number = 0; number < 5; number++) {
        const [back, bytes] = await deadline(
          socket.emitWithAck('echo', number, Buffer.from([number])),
          'answer',
          30_000,
        )
        assert.deepEqual([back, Buffer.from(bytes)], [number, Buffer.from([number])])
      }
      const { served, accepted } = await deadline(socket.emitWithAck('passed on'), 'numbers', 30_000)
      passedOn += served + accepted
    }
  }
  // the primary passes on what workers tell
  await eventually(() => app.seen('connection').length, 9)
  assert.equal(new Set(app.seen('connection').map(({ pid }) => pid)).size, 3)
  assert.deepEqual(app.seen('disconnect'), [])
  assert.ok(passedOn > 0)
})
