'use strict'

// `require('engine.io-native/cluster')`: servers with the option `cluster`, in the manner of `@socket.io/cluster-engine`,
// and buses between machines.

const { nats } = require('../cluster/nats')
const { redis } = require('../cluster/redis')
const { Server } = require('../server/server')

/** A server among those of the other processes of this machine. */
class NodeClusterEngine extends Server {
  /** @param {any} [opts] those of a server; `cluster` is true unless it is given */
  constructor(opts) {
    super({ ...opts, cluster: opts?.cluster ?? true })
  }
}

/** A server among those of other machines, which meet in Redis. */
class RedisEngine extends Server {
  /**
   * @param {any} pubClient a client of the package `redis` or `ioredis`
   * @param {any} subClient is not used: the client for what comes in is made from the other one, and ends with the server
   * @param {any} [opts] those of a server; `cluster.key` is needed
   */
  constructor(pubClient, subClient, opts) {
    super({ ...opts, cluster: { ...opts?.cluster, bus: redis(pubClient) } })
  }
}

/** Does nothing: processes find each other without their primary process. */
function setupPrimary() {}

module.exports = { NodeClusterEngine, RedisEngine, nats, redis, setupPrimary }
