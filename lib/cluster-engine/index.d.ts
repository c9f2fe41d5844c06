import type { ServerOptions } from '../../index.js'
import { Server } from '../../index.js'

/** Options of `@socket.io/cluster-engine`, which have no effect here. */
interface ClusterEngineOptions {
  /** How long that package waits for other processes: a process that has gone is known at once here. */
  responseTimeout?: number
  /** How often that package answers a poll during an upgrade: connections move here. */
  noopUpgradeInterval?: number
  /** How long that package holds `connection` back: it comes at once here. */
  delayedConnectionTimeout?: number
}

/**
 * A server with the option `cluster`, as `new Server({ cluster: true })`: the processes of this machine serve each other's
 * sessions. See docs/scaling/cluster-engine.md.
 */
export declare class NodeClusterEngine extends Server {
  constructor(opts?: ServerOptions & ClusterEngineOptions)
}

/**
 * A server whose sessions are served by those of other machines, too, as `new Server({ cluster: { bus: redis(pubClient), key
 * } })`. See docs/scaling/cluster-engine.md.
 */
export declare class RedisEngine extends Server {
  /**
   * @param pubClient a client of the package `redis` (version 4 and later) or `ioredis`
   * @param subClient is not used: the connection for what comes in is made by `pubClient.duplicate()`
   * @param opts `cluster.key` is needed, the same on all machines
   */
  constructor(
    pubClient: RedisClient,
    subClient: unknown,
    opts: ServerOptions & ClusterEngineOptions & { cluster: { key: string | Uint8Array } },
  )
}

/** Does nothing, because processes find each other without their primary process. */
export declare function setupPrimary(): void

/**
 * What carries messages between machines, for the option `cluster.bus`. Methods may return promises. A message may be lost,
 * late, repeated or out of order.
 */
export interface ClusterBus {
  /** Sends a message to all that have subscribed to the channel, the sender too. */
  publish(channel: string, message: Uint8Array): unknown
  /** Calls `onMessage` with the messages of a channel from now on. It is called again later if it fails. */
  subscribe(channel: string, onMessage: (message: Uint8Array) => void): unknown
  /** Stops that. */
  unsubscribe(channel: string, onMessage: (message: Uint8Array) => void): unknown
}

/** What is used of a client of the package `redis` (version 4 and later) or `ioredis`. */
export interface RedisClient {
  publish(...args: any[]): unknown
  /** A second connection is made for what comes in, and closed with the server. */
  duplicate(...args: any[]): unknown
}

/** What is used of a connection of the package `nats` or `@nats-io/transport-node`. */
export interface NatsConnection {
  publish(...args: any[]): unknown
  subscribe(...args: any[]): unknown
  flush(): Promise<void>
}

/**
 * Makes a bus of the application's own client, for the option `cluster.bus`: see docs/scaling/several-machines.md.
 *
 * @throws {TypeError} for something else
 */
export declare function redis(client: RedisClient): ClusterBus

/**
 * Makes a bus of the application's own connection, for the option `cluster.bus`: see docs/scaling/several-machines.md.
 * Connect with `maxReconnectAttempts: -1`: by default a connection is closed for good after some 20 s without its server.
 *
 * @throws {TypeError} for something else
 */
export declare function nats(connection: NatsConnection): ClusterBus
