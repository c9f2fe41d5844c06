import type { BaseServer } from '../../index.js'

/** Numbers of a server and its thread: see docs/METRICS.md. Counters begin at 0 with the server, or with the thread. */
export interface Metrics {
  sessions: {
    /** Sessions that are open now, by the transport that they have now. */
    open: SessionNumbers
    /** Sessions that were opened, by the transport on which they began: a counter. */
    opened: SessionNumbers
  }
  /** Requests that were refused, by reason: counters. */
  refusals: Record<RefusalReason, number>
  /** Attempts of clients to move their session to another transport: counters. */
  upgrades: {
    started: number
    completed: number
    /** The session was closed, was being upgraded, or had been upgraded. */
    refused: number
    failed: {
      /** The client took longer than `upgradeTimeout`, or sent something other than a probe. */
      givenUp: number
      /** The session ended. */
      sessionEnded: number
      /** The client closed the new connection. */
      closed: number
      /** The new connection failed. */
      error: number
    }
  }
  /** Sessions that have closed, by reason: counters. `other` is a reason that the application has given. */
  closes: Record<CloseReason, number>
  /** What processes of this machine do for each other; undefined without the option `cluster`. */
  cluster?: {
    /** The number of this process, while it is a member. */
    number: number | undefined
    /**
     * Other processes in the directory with the same key, now. One that has taken another number counts twice while it
     * has both.
     */
    peers: number
    /** Those of them that have a bus, now. A process without one reaches other machines by them. */
    gateways: number
    /** Links to other processes, on which this one passes requests on, now. */
    links: number
    /** Requests that other processes have to answer, now. */
    waiting: number
    /** Searches for sessions whose ids do not tell their process: a counter, as all that follow. */
    searches: number
    /** Polls and POSTs of sessions elsewhere that were passed on. */
    forwarded: number
    /** Connections that were passed on with their descriptor. */
    moved: number
    /** Connections that were passed on and whose bytes this process carries. */
    relayed: number
    /** Without a bus: what was passed on to another machine by a process of this one that has the bus. */
    viaGateway: number
    /** Without a bus: requests that were answered 503, because no such process was there. */
    unavailable: number
    /** Polls and POSTs of sessions here that others have passed on. */
    served: number
    /** Connections of sessions here that others have passed on. */
    accepted: number
    /** Ids that were not made with the key. */
    forged: number
    /** Ids of processes that have gone. */
    gone: number
    /** Requests that could not be passed on, because the process has gone. */
    failed: number
    /** What goes over the bus; undefined without the option `cluster.bus`. */
    bus?: BusNumbers
  }
  backpressure: {
    /** Sessions whose client does not take what is sent, now. */
    sessions: number
    /** Bytes that wait for these clients, now. */
    bytes: number
    /** Sessions that were closed because of `maxBackpressure`: a counter. */
    closed: number
    /** Volatile messages that were dropped because of `maxBackpressure`: a counter. */
    dropped: number
  }
  /** Numbers of all servers of this thread. */
  thread: {
    /** Messages of the application, and the bytes of their contents: counters. */
    messages: { received: number; receivedBytes: number; sent: number; sentBytes: number }
    /** What the engine's WebSocket connections have carried: counters. */
    websocket: {
      /** Messages and control frames. A message in several frames counts once. */
      framesReceived: number
      receivedBytes: number
      framesSent: number
      sentBytes: number
      /** How often a peer was too slow to take what was to be written. */
      congestions: number
    }
    /** Requests of polling clients, and the bytes of their payloads before compression: counters. */
    polling: { polls: number; sentBytes: number; posts: number; receivedBytes: number }
    /** Sizes of the batches in which JavaScript takes what the I/O threads tell, in events. */
    batches: Histogram
    /** Time from the queueing of a batch's first event to JavaScript taking the batch, in ms, of one batch in eight. */
    delay: Histogram
    /** Bytes of events that JavaScript has still to take, now. */
    untakenBytes: number
    /** Calls into the engine with a handle that had been given back: a counter. It should stay at 0. */
    staleCalls: number
    /** How late the event loop was since the last call with this option, in ms; undefined on Bun and Deno. */
    eventLoop?: { count: number; mean: number; p50: number; p99: number; max: number }
  }
}

export interface MetricsOptions {
  /**
   * Adds `thread.eventLoop`. From the first call on, the event loop is woken a hundred times a second to measure this,
   * until ten minutes have passed without such a call.
   *
   * @default false
   */
  eventLoop?: boolean
}

/** Numbers of sessions by transport and protocol revision. `other` are transports of the application. */
export type SessionNumbers = Record<'polling' | 'websocket' | 'webtransport' | 'other', { 3: number; 4: number }>

export interface Histogram {
  /** The upper bounds of all buckets but the last one, which has none. */
  bounds: number[]
  /** Number of values in each bucket, not cumulative. It has one element more than `bounds`. */
  counts: number[]
  /** Number of all values. */
  count: number
  /** Sum of all values. */
  sum: number
}

export type CloseReason =
  'transport error' | 'transport close' | 'parse error' | 'ping timeout' | 'forced close' | 'other'

/**
 * `code` of `connection_error` by its name, or the name in its context. `INVALID_UPGRADE`: no valid WebSocket handshake.
 * `INVALID_PROXY_HEADER`: a connection that should have begun with a header of the PROXY protocol.
 */
export type RefusalReason =
  | 'UNKNOWN_TRANSPORT'
  | 'UNKNOWN_SID'
  | 'BAD_HANDSHAKE_METHOD'
  | 'BAD_REQUEST'
  | 'FORBIDDEN'
  | 'UNSUPPORTED_PROTOCOL_VERSION'
  | 'INVALID_ORIGIN'
  | 'TRANSPORT_HANDSHAKE_ERROR'
  | 'TRANSPORT_MISMATCH'
  | 'PROTOCOL_MISMATCH'
  | 'MIDDLEWARE_FAILURE'
  | 'ID_GENERATION_ERROR'
  | 'INVALID_HEADER'
  | 'TOO_MANY_CONNECTIONS'
  | 'TOO_MANY_CONNECTIONS_FROM_ADDRESS'
  | 'TOO_MANY_HANDSHAKES'
  | 'HANDSHAKE_TIMEOUT'
  | 'TOO_MANY_PACKETS'
  | 'TOO_MANY_IDLE_SESSIONS'
  | 'DRAINING'
  | 'OWNER_UNAVAILABLE'
  | 'HEAD_TOO_LARGE'
  | 'INVALID_UPGRADE'
  | 'INVALID_PROXY_HEADER'

/** What a process does with others over a bus. */
export interface BusNumbers {
  /** Nodes with which this one exchanges requests, now. */
  nodes: number
  /** Processes of this machine without a bus that are reached by this one, now. */
  neighbours: number
  /** Polls, POSTs and upgrades of sessions elsewhere that were passed on: a counter. */
  asked: number
  /** Requests of other machines that were passed to processes of this one without a bus: a counter. */
  handedOn: number
  /** Upgrades among those asked whose connections were relayed: a counter. */
  relayed: number
  /** Sessions that have moved here with their upgrade: a counter. */
  claimed: number
  /** Sessions that have moved from here to the process where their upgrade came in: a counter. */
  given: number
  /** Requests that were answered 503, because their owner could not be reached: a counter. */
  unavailable: number
  /** Requests of sessions here that are being served, now. */
  served: number
  /** Requests that wait until an earlier answer has arrived, now. */
  waiting: number
  /** Messages that were given to the bus: a counter, as all that follow. */
  sent: number
  /** Messages that have come, those of this process to all nodes among them. */
  received: number
  /** Messages among them that were dropped because they are not bytes: the bus gives texts or something else. */
  unreadable: number
  /** Messages that the bus did not take. They are sent again. */
  unsent: number
  /** Attempts to subscribe that have failed. */
  failures: number
  /** Messages that were dropped because they were not made with the key, or by another version. */
  refused: number
  /** Messages that were dropped because they were for another node, or of one that is not known yet. */
  misdirected: number
  /** Messages that were dropped because they were too old, or there before. */
  stale: number
  /** Messages with the key that do not follow the protocol. */
  violations: number
}

/** What has numbers: a server of this package, such as `io.engine` of Socket.IO. */
export type Source = Pick<BaseServer, 'metrics'>

export interface ExportOptions extends MetricsOptions {
  /** Labels, or attributes, of all values. */
  labels?: Record<string, string>
  /**
   * What begins the names for Prometheus. Several servers in one registry need different ones.
   *
   * @default 'engine_io_'
   */
  prefix?: string
}

/** Returns the numbers in Prometheus's text format 0.0.4. */
export function prometheus(server: Source, options?: ExportOptions): string

/**
 * Adds the numbers to a registry of `prom-client`. They are read when the registry is.
 *
 * @returns a function that removes them
 */
export function register(registry: PromClientRegistry, server: Source, options?: ExportOptions): () => void

/**
 * Gives the numbers to a meter of `@opentelemetry/api`. They are read when they are collected. A histogram becomes three
 * counters: `.bucket` with the attribute `le`, `.count` and `.sum`.
 *
 * @returns a function that ends this
 */
export function observe(meter: OpenTelemetryMeter, server: Source, options?: ExportOptions): () => void

/** What is used of a registry of `prom-client`. */
export interface PromClientRegistry {
  registerMetric(metric: any): void
  removeSingleMetric(name: string): void
}

/** What is used of a meter of `@opentelemetry/api`. */
export interface OpenTelemetryMeter {
  createObservableGauge(name: string, options?: any): any
  createObservableCounter(name: string, options?: any): any
  addBatchObservableCallback(callback: (result: any) => void, observables: any[]): void
  removeBatchObservableCallback(callback: (result: any) => void, observables: any[]): void
}
