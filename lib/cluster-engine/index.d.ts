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
 * sessions. See docs/SCALING.md.
 */
export declare class NodeClusterEngine extends Server {
  constructor(opts?: ServerOptions & ClusterEngineOptions)
}

/** Does nothing, because processes find each other without their primary process. */
export declare function setupPrimary(): void
