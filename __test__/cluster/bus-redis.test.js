'use strict'

const { test } = require('node:test')
const { redis } = require('../../lib/cluster-engine')
const { defer, eventually, once } = require('../support')
const { find, freePort, startServer, testClient } = require('./bus-servers')
const { recordWarnings } = require('./bus-support')

testClient('redis')

const { skip } = find('redis')

/** Clients that are connected. They are closed after the test. */
const CONNECTED = {
  async redis(port) {
    const { createClient } = require('redis')
    const client = createClient({ url: `redis://127.0.0.1:${port}`, socket: { reconnectStrategy: 100 } })
    client.on('error', () => {})
    defer(() => client.destroy())
    return client.connect()
  },
  async ioredis(port) {
    const Redis = require('ioredis')
    const client = new Redis({ port, retryStrategy: () => 100 })
    client.on('error', () => {})
    defer(() => client.disconnect())
    await once(client, 'ready')
    return client
  },
}

for (const [name, connect] of Object.entries(CONNECTED)) {
  test(`${name}: Redis refuses the connection that subscribes: a warning says why`, { skip }, async () => {
    const port = await freePort()
    await startServer('redis', port, ['--maxclients', 1])
    const warnings = recordWarnings()
    const bus = redis(await connect(port))
    const onMessage = () => {}
    // it waits for the connection
    bus.subscribe('channel', onMessage).catch(() => {})
    defer(() => bus.unsubscribe('channel', onMessage))
    const why = 'the connection of cluster.bus that subscribes fails, so that nothing comes in from other machines: '
    const seen = () => warnings.map(([code, message]) => [code, message.slice(0, why.length)])
    await eventually(seen, [['ENGINE_CLUSTER_BUS', why]], 10_000)
  })
}
