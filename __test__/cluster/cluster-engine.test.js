'use strict'

// What `engine.io-native/cluster` exports in the manner of @socket.io/cluster-engine.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { io } = require('socket.io-client')
const { NodeClusterEngine, setupPrimary } = require('engine.io-native/cluster')
const { Server } = require('../..')
const { deadline, defer, once } = require('../support')
const { clusterDirectory, startMember } = require('./support')

test('the same is imported by name', async () => {
  const module = await import('engine.io-native/cluster')
  assert.equal(module.NodeClusterEngine, NodeClusterEngine)
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
    assert.equal(typeof engine.metrics().cluster.member, 'number')
  }
  assert.equal(new NodeClusterEngine({ ...options, cluster: false }).metrics().cluster, undefined)
  assert.throws(() => new NodeClusterEngine({ cluster: 1 }), /cluster must be a boolean or an object, got 1/)
  assert.equal(setupPrimary(), undefined)
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
  assert.equal(app.seen('connection').length, 9)
  assert.equal(new Set(app.seen('connection').map(({ pid }) => pid)).size, 3)
  assert.deepEqual(app.seen('disconnect'), [])
  assert.ok(passedOn > 0)
})
