'use strict'
// The option cluster.bus, with the clients that applications use.
const { nats, redis } = require('../../lib/cluster-engine')

const CLIENTS = {
  async redis(port) {
    const client = require('redis').createClient({ url: `redis://127.0.0.1:${port}` })
    await client.connect()
    return redis(client)
  },
  async ioredis(port) {
    const Redis = require('ioredis')
    return redis(new Redis({ port, host: '127.0.0.1' }))
  },
  async nats(port) {
    return nats(await require('nats').connect({ servers: `127.0.0.1:${port}` }))
  },
}

module.exports = { connect: (client, port) => CLIENTS[client](port) }
