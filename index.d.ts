import { EventEmitter } from 'events'
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'http'
import type { ListenOptions } from 'net'
import type { Duplex } from 'stream'
import type { ZlibOptions } from 'zlib'
import type { CorsOptions, CorsOptionsDelegate } from 'cors'
import * as parser from 'engine.io-parser'
import type { Packet, RawData } from 'engine.io-parser'
import type { PerMessageDeflateOptions, WebSocket as WsWebSocket } from 'ws'
import type { ClusterBus } from './lib/cluster-engine/index.js'
import type { Metrics, MetricsOptions } from './lib/metrics/index.js'

// What a visitor may use is public here, as in the original's declarations; `protected` and `private` members exist
// at run time, are looked up at each use, and may be overridden or patched.

export { Server, Socket, Transport, transports, listen, attach, parser, protocol, uServer }
export type { AttachOptions, ServerOptions, BaseServer, ErrorCallback }

/** The newest protocol revision. Clients of revision 3 need {@link ServerOptions.allowEIO3}. */
declare const protocol = 4

/**
 * Serves engine requests on a port of its own, with an `http.Server` of Node.js. Other requests get a 501.
 *
 * @param port 0 for any free one
 * @param listenCallback called when the port is open
 */
declare function listen(port: number, options?: AttachOptions & ServerOptions, listenCallback?: () => void): Server
/**
 * Serves engine requests on a port of its own, in the Rust core: see docs/NATIVE-LISTENER.md.
 *
 * @param place a port, the path of a UNIX socket, or what `net.Server.listen` takes as an object
 */
declare function listen(
  place: number | string | ListenOptions,
  options: NativeListenerOptions,
  listenCallback?: () => void,
): Server

/** Options of a native listener: those of a server that need no requests in JavaScript, and where to listen. */
interface NativeListenerOptions extends Omit<
  AttachOptions & ServerOptions,
  'allowRequest' | 'backpressurePolicy' | 'cookie' | 'cors' | 'limits' | 'wsEngine'
> {
  listener: 'native'
  /** As in {@link ServerOptions}, except for `wait`. */
  backpressurePolicy?: 'close' | 'drop-volatile'
  /** As in {@link ServerOptions}, except for `encode`. */
  cookie?: (Omit<CookieSerializeOptions, 'encode'> & { name: string; encode?: undefined }) | boolean
  /** A name or an address. By default the server listens on all addresses. */
  host?: string
  /** Number of connections that may wait to be accepted. 511 by default. */
  backlog?: number
  /** An IPv6 address serves no IPv4 clients. */
  ipv6Only?: boolean
  /** Lets other processes that also set this listen on the same port. */
  reusePort?: boolean
}

/** Serves engine requests of a Node.js HTTP(S) server, before or after it listens. */
declare function attach(server: HttpServer, options?: AttachOptions & ServerOptions): Server

type TransportName = 'polling' | 'websocket' | 'webtransport'

/** Reports the result of a check: without arguments if the request is accepted, otherwise with the code of the refusal. */
type ErrorCallback = (
  errorCode?: (typeof Server.errors)[keyof typeof Server.errors],
  errorContext?: Record<string, unknown> & { name?: string; message?: string },
) => void

/** Express-style: continues with `next()`, refuses with `next(error)`, or answers through `res`. */
type Middleware = (req: IncomingMessage, res: ServerResponse, next: (err?: any) => void) => void

type EngineRequest = IncomingMessage & {
  /** The query of the request's target. The last value of a repeated key counts. */
  _query: Record<string, string>
  res?: ServerResponse
  cleanup?: Function
  /** The connection of a WebSocket request. */
  websocket?: WsWebSocket & { _socket?: { remoteAddress: string } }
}

interface AttachOptions {
  /**
   * The path with which engine requests begin.
   * @default "/engine.io"
   */
  path?: string
  /**
   * Whether upgrade requests for other paths are ended if they are not answered.
   * @default true
   */
  destroyUpgrade?: boolean
  /**
   * How long others may take to answer such an upgrade request, in milliseconds.
   * @default 1000
   */
  destroyUpgradeTimeout?: number
  /**
   * Whether `path` ends with a slash if it does not already.
   * @default true
   */
  addTrailingSlash?: boolean
  /**
   * The TCP proxies that tell the client's address by the PROXY protocol, versions 1 and 2: an extra of this package.
   * Each of their connections has to begin with a header, and is cut off otherwise. True for all connections; or IP
   * addresses, ranges and names as in `trustProxy`, also as one string, separated by commas. With `attach()` it concerns
   * all connections of the HTTP server. {@link uServer} does not support it.
   * @default false
   */
  proxyProtocol?: boolean | string | string[]
}

interface CookieSerializeOptions {
  /** The `Domain` attribute. */
  domain?: string | undefined
  /** Encodes the value, which is the session id; `encodeURIComponent` by default. */
  encode?(value: string): string
  /** The `Expires` attribute. */
  expires?: Date | undefined
  /** @default true */
  httpOnly?: boolean | undefined
  /** The `Max-Age` attribute, in seconds. */
  maxAge?: number | undefined
  /** The `Partitioned` attribute. */
  partitioned?: boolean | undefined
  /** @default "/" */
  path?: string | undefined
  /** The `Priority` attribute. */
  priority?: 'low' | 'medium' | 'high' | undefined
  /** @default "lax" */
  sameSite?: true | false | 'lax' | 'strict' | 'none' | undefined
  /** The `Secure` attribute. */
  secure?: boolean | undefined
}

interface ServerOptions {
  /**
   * How long a client may take to answer a heartbeat, in milliseconds.
   * @default 20000
   */
  pingTimeout?: number
  /**
   * Time from the answer of one heartbeat to the next, in milliseconds.
   * @default 25000
   */
  pingInterval?: number
  /**
   * How long a client may take to move a session to another transport, in milliseconds.
   * @default 10000
   */
  upgradeTimeout?: number
  /**
   * The size of the largest POST body and of the largest WebSocket message, in bytes.
   * @default 1000000
   */
  maxHttpBufferSize?: number
  /**
   * How long the body of a POST may take to come, in milliseconds. After that the POST gets a 408, and its session ends.
   * @default 30000
   */
  httpRequestBodyTimeout?: number
  /**
   * Number of pieces in which the body of a POST, or a WebSocket frame, may come in. Over a slow line each piece is a TCP segment of at
   * most 1.4 KB, so raise it together with `maxHttpBufferSize`.
   * @default 10000
   */
  maxBufferedChunks?: number
  /**
   * Decides whether a session may be opened, by calling `fn(null, true)` or `fn(message, false)`, now or later. It is called
   * once per session, at the first request.
   */
  allowRequest?: (req: IncomingMessage, fn: (err: string | null | undefined, success: boolean) => void) => void
  /**
   * The transports that clients may use. WebTransport has to be named.
   * @default ["polling", "websocket"]
   */
  transports?: TransportName[]
  /**
   * Whether clients are told that they may upgrade to a better transport.
   * @default true
   */
  allowUpgrades?: boolean
  /**
   * Compression of WebSocket messages. An object has the options of `ws`, among them `threshold` (1024) in bytes. Of
   * `zlibDeflateOptions` only `level` counts; `zlibInflateOptions` and `concurrencyLimit` have no effect.
   * @default false
   */
  perMessageDeflate?: boolean | PerMessageDeflateOptions
  /**
   * Compression of poll responses. An object has `threshold`, in bytes, and the options of `zlib`, of which `level` and
   * `windowBits` count.
   * @default { threshold: 1024 }
   */
  httpCompression?: false | (ZlibOptions & { threshold: number })
  /**
   * A class with the interface of the `Server` of `ws`, to be used instead of the engine's own WebSocket server.
   */
  wsEngine?: any
  /** A message that every client gets together with its handshake. */
  initialPacket?: any
  /**
   * The cookie that polling handshakes set to the session id, for load balancers. `true` means a cookie named `io`.
   * @default false
   */
  cookie?: (CookieSerializeOptions & { name: string }) | boolean
  /** The options of the `cors` package. */
  cors?: CorsOptions | CorsOptionsDelegate
  /**
   * Whether clients of protocol revision 3 are served, such as those of Socket.IO 2.
   * @default false
   */
  allowEIO3?: boolean
  /**
   * How much may wait to be sent to one client, in bytes: an extra of this package, see `backpressurePolicy`.
   * It has no effect in the constructor of {@link uServer}, whose `attach` has an option of the same name that belongs to
   * uWebSockets.js, see {@link uOptions}.
   * @default no limit
   */
  maxBackpressure?: number
  /**
   * What happens beyond `maxBackpressure`: the session is closed, or volatile messages are dropped first, or the client is
   * not read until it has caught up.
   * @default "close"
   */
  backpressurePolicy?: 'close' | 'drop-volatile' | 'wait'
  /** Bounds for connections, handshakes and packets: an extra of this package. */
  limits?: Limits
  /**
   * The proxies whose word counts for `socket.remoteAddress` and `limits.maxConnectionsPerAddress`, as in Express: `true`
   * for all, a number of hops, addresses, ranges (`10.0.0.0/8`) and `loopback`, `linklocal`, `uniquelocal` in an array or
   * separated by commas, or a function of an address and its number of hops. An extra of this package, read once. A
   * function that throws, or returns something other than a boolean (a promise), trusts no proxy for that request.
   * @default false
   */
  trustProxy?: boolean | number | string | string[] | ((address: string | undefined, hop: number) => boolean)
  /**
   * The header in which those proxies tell the address. The outermost one must set it or add to it.
   * @default "x-forwarded-for"
   */
  trustProxyHeader?: 'x-forwarded-for' | 'forwarded'
  /**
   * What `attach()` takes where its own option {@link AttachOptions.proxyProtocol} is left out.
   * @default false
   */
  proxyProtocol?: boolean | string | string[]
  /**
   * Whether the `close` event of a session tells how its client has ended a WebSocket: an extra of this package. Its
   * description is then {@link CloseDetails} for the reason `transport close`, where it is undefined otherwise.
   * @default false
   */
  closeDetails?: boolean
  /**
   * Whether other processes serve the sessions of this server, and this one theirs, so that clients need no sticky
   * balancer: an extra of this package, see docs/SCALING.md.
   * @default false
   */
  cluster?: boolean | ClusterOptions
}

/**
 * How processes find each other, see docs/SCALING.md. All of them have the same options, besides `number`, `bus` and
 * `claim`.
 */
interface ClusterOptions {
  /**
   * Where their sockets are: a directory that only this user can open. It is made if it is missing. On Windows it is not
   * checked who can open it.
   * @default one in the directory for temporary files, for this user, this program and this working directory
   */
  directory?: string
  /**
   * The secret that the ids of sessions are made with, of 16 bytes at least.
   * @default 32 random bytes in the file `key` of the directory, which the first process makes
   */
  key?: string | Uint8Array
  /**
   * The number of this process, from 0 to 65535, which no other process of the cluster may have at the same time.
   * @default the lowest free one of the directory; with `bus`, or with `key` and without `showOwner`, a random one,
   * which stays with the directory
   */
  number?: number
  /**
   * Whether the 15th and the 16th character of a session's id show the number of its process, for balancers that choose
   * by it.
   * @default false
   */
  showOwner?: boolean
  /**
   * What carries messages between machines: `redis(client)` or `nats(connection)` of `engine.io-native/cluster`, or an
   * object of your own. All machines must have the same `key`. Processes without it reach other machines by those of
   * their machine that have it.
   */
  bus?: ClusterBus
  /**
   * With a bus, whether sessions of this process may move to the machine where their upgrade comes in. So that they can,
   * `connection` of a session that begins by polling is emitted up to 300 ms late while requests come to other machines
   * than their sessions.
   * @default true
   */
  claim?: boolean
}

/** The description of a `close` event with the reason `transport close`, if the option `closeDetails` is set. */
interface CloseDetails {
  /** The code of the client's close frame; 1005 for a frame without a code, 1006 if none came. */
  closeCode: number
  /** The reason of the client's close frame, or the empty string. */
  closeReason: string
}

/**
 * All limits are off unless set. A handshake beyond a limit is refused with code 4 and a `connection_error` whose context has
 * a `name` and the `limit`.
 */
interface Limits {
  /** Open sessions. Name: `TOO_MANY_CONNECTIONS`. */
  maxConnections?: number
  /** Open sessions from one address. Name: `TOO_MANY_CONNECTIONS_FROM_ADDRESS`. */
  maxConnectionsPerAddress?: number
  /**
   * Returns the address that counts, if it is not that of the TCP connection, for example behind a proxy. For a WebTransport
   * session it gets an object with the session's `headers` and the `session` itself. Without it such a session counts by
   * its `peerAddress`, and sessions without one count together. So do all clients for which this function returns
   * something other than a string that is not empty, such as a promise.
   */
  addressOf?: (req: IncomingMessage) => string
  /** Handshakes per second; those of one second may come at once. Name: `TOO_MANY_HANDSHAKES`. */
  handshakesPerSecond?: number
  /**
   * How long `allowRequest` and `generateId` may take together, and how long a polling client may take to its second
   * request, in milliseconds. Code 3, name: `HANDSHAKE_TIMEOUT`.
   */
  handshakeTimeout?: number
  /** Packets in one POST. More packets end the session. Code 3, name: `TOO_MANY_PACKETS`. */
  maxPacketsPerPayload?: number
  /**
   * Polling sessions without a request since their handshake. It applies to polling handshakes. Name:
   * `TOO_MANY_IDLE_SESSIONS`.
   */
  maxIdlePollingSessions?: number
}

/** How a server lets its clients go: an extra of this package, see docs/OPERATIONS.md. */
interface DrainOptions {
  /**
   * After this time what is left is cut off, in milliseconds: from 0 to 2147483647.
   * @default 10000
   */
  timeout?: number
  /**
   * Sessions are closed at random times within this time, in milliseconds: at most `timeout`.
   * @default half of `timeout`
   */
  spread?: number
}

/** To how many sessions a broadcast was sent. The numbers together are that of different ids. */
interface BroadcastOutcome {
  /** Sessions that have the message: it is on its way or waits for the client, as after `socket.send()`. */
  sent: number
  /** Ids that no session of this server has. */
  unknown: number
  /** Sessions that were closing, or that a limit or a listener closed. */
  closed: number
  /** Sessions for which it was dropped by `backpressurePolicy: 'drop-volatile'`. */
  dropped: number
}

/** What a drain has done. `closed`, `left` and `terminated` together are `sessions`. */
interface DrainOutcome {
  /** Sessions that were open, or opened by handshakes that had come before. */
  sessions: number
  /** Sessions that were closed after everything sent to their clients had been written. */
  closed: number
  /** Sessions that ended in another way: the client left, its connection broke, or the application closed them. */
  left: number
  /** Sessions that were cut off at `timeout`, with what was not written yet. */
  terminated: number
  /** How long it took, in milliseconds. */
  duration: number
}

/**
 * The base of all servers, for requests from any source.
 *
 * Events: `connection` (socket), `connection_error` ({ req, code, message, context }), `initial_headers` and `headers`
 * (headers, request), `flush` (socket, packets), `drain` (socket).
 */
declare abstract class BaseServer extends EventEmitter {
  /** The options in force. Changes take effect at the next use. The object `limits` is read once, but its members may be changed. */
  opts: ServerOptions
  /** The open sessions by their ids. */
  protected clients: Record<string, Socket>
  /** The number of open sessions. */
  clientsCount: number
  protected middlewares: Middleware[]
  constructor(opts?: ServerOptions)
  protected abstract init(): void
  protected abstract cleanup(): any
  protected _computePath(options: AttachOptions): string
  /** The transports to which a client may upgrade from this one. */
  upgrades(transport: TransportName): string[]
  /** Checks a request of a new or an existing session. */
  protected verify(req: EngineRequest, upgrade: boolean, fn: ErrorCallback): void | boolean
  /** Adds a middleware for all engine requests, upgrades included. */
  use(fn: any): void
  protected _applyMiddlewares(req: IncomingMessage, res: ServerResponse, callback: (err?: any) => void): void
  /** Closes all sessions at once. */
  close(): this
  /**
   * Ends the server's life in order: an extra of this package. New sessions are refused from now on with a 503 and
   * `Retry-After`, the open ones are closed at random times within `spread`, after the messages that they have accepted.
   * The promise is resolved when the last has ended, or at `timeout`; it is never rejected. A later call returns the same
   * promise.
   *
   * @throws {TypeError} for something other than an object, or an unknown option
   * @throws {RangeError} for a time out of range
   */
  drain(options?: DrainOptions): Promise<DrainOutcome>
  /**
   * Sends one message to the sessions with these ids: an extra of this package. Its frame is made once for all WebSockets
   * of the engine, and crosses to the Rust core in one call. An id that occurs twice counts once.
   *
   * @returns what became of it, by the number of sessions
   * @throws {TypeError} for ids that are a string or not iterable, and for invalid options; nothing is sent then
   */
  broadcast(ids: Iterable<string>, data: RawData, options?: SendOptions): BroadcastOutcome
  /** Whether {@link drain} was called: new sessions are refused, and a readiness probe should fail. */
  get draining(): boolean
  /** Makes a session id. Replace it for ids of another kind, which must be unique and hard to guess. */
  generateId(req: IncomingMessage): string | PromiseLike<string>
  protected handshake(transportName: TransportName, req: EngineRequest, closeConnection: ErrorCallback): Promise<any>
  /** Returns numbers of this server and its thread, see docs/METRICS.md: an extra of this package. */
  metrics(options?: MetricsOptions): Metrics
  /** Serves a WebTransport session that the application has accepted. */
  onWebTransportSession(session: any): Promise<any>
  protected abstract createTransport(transportName: TransportName, req: EngineRequest): any
  /** The codes of `connection_error` and of error responses. */
  static errors: {
    readonly UNKNOWN_TRANSPORT: 0
    readonly UNKNOWN_SID: 1
    readonly BAD_HANDSHAKE_METHOD: 2
    readonly BAD_REQUEST: 3
    readonly FORBIDDEN: 4
    readonly UNSUPPORTED_PROTOCOL_VERSION: 5
  }
  /** The texts of the codes. */
  static errorMessages: {
    readonly 0: 'Transport unknown'
    readonly 1: 'Session ID unknown'
    readonly 2: 'Bad handshake method'
    readonly 3: 'Bad request'
    readonly 4: 'Forbidden'
    readonly 5: 'Unsupported protocol version'
  }
}

/** A server for HTTP servers of Node.js, or with a native listener (see {@link listen}). */
declare class Server extends BaseServer {
  /** Only on servers made by {@link listen}. */
  httpServer?: HttpServer
  private ws
  protected init(): void
  protected cleanup(): void
  private prepare
  protected createTransport(transportName: TransportName, req: IncomingMessage): Transport
  /** Serves one HTTP request, for applications with their own routing. */
  handleRequest(req: IncomingMessage, res: ServerResponse): void
  /** Serves one upgrade request. `upgradeHead` has the bytes that came behind its headers. */
  handleUpgrade(req: IncomingMessage, socket: Duplex, upgradeHead: Buffer): void
  private onWebSocket
  /** Serves the requests of `server` under the path. Other requests go to the listeners that it had before. */
  attach(server: HttpServer, options?: AttachOptions): void
}

interface uOptions {
  /**
   * One of uWebSockets.js's compression constants.
   * @default uWS.DISABLED
   */
  compression?: number
  /**
   * Seconds after which a connection without any traffic is closed; 0 means never.
   * @default 120
   */
  idleTimeout?: number
  /**
   * Bytes that uWebSockets.js buffers for one client. Beyond it the transport waits until the client has caught up. This is
   * not the option of the same name of {@link ServerOptions}, which closes sessions.
   * @default 1048576
   */
  maxBackpressure?: number
}

/** A server for apps of uWebSockets.js 20. */
declare class uServer extends BaseServer {
  protected init(): void
  protected cleanup(): void
  private prepare
  protected createTransport(transportName: string, req: EngineRequest): any
  /** Serves requests of a uWebSockets.js app whose path is exactly the engine's. */
  attach(app: any, options?: AttachOptions & uOptions): void
  _applyMiddlewares(req: any, res: any, callback: (err?: any) => void): void
  private handleRequest
  private handleUpgrade
  private abortRequest
}

type ReadyState = 'opening' | 'open' | 'closing' | 'closed'
type SendCallback = (transport: Transport) => void

interface SendOptions {
  /** Whether the message may be compressed. True by default. */
  compress?: boolean
  /** Whether the message may be lost: see `backpressurePolicy`. */
  volatile?: boolean
  /**
   * The key of messages of which a client needs the newest only: an extra of this package. A message with the same key that
   * still waits in `writeBuffer` is taken out, and this one waits behind all others.
   */
  conflate?: string | number
}

/**
 * A client's session.
 *
 * Events: `message` and `data` (string | Buffer), `close` (reason, description: an Error or undefined, see also `closeDetails`), `packet` (packet), `packetCreate`
 * (packet), `flush` (packets), `drain`, `heartbeat`, `upgrading` (transport), `upgrade` (transport).
 */
declare class Socket extends EventEmitter {
  /** The protocol revision of the client: 3 or 4. */
  readonly protocol: number
  /** The request that opened the session. */
  request: IncomingMessage
  /** The client's IP address; behind a proxy see `trustProxy`. */
  readonly remoteAddress: string
  _readyState: ReadyState
  /** The transport that carries the packets now. */
  transport: Transport
  private server
  upgrading: boolean
  upgraded: boolean
  private writeBuffer
  private packetsFn
  private sentCallbackFn
  private cleanupFn
  private pingTimeoutTimer
  private pingIntervalTimer
  private hasRefreshedPingTimeout
  /** The session id, a secret between client and server: it allows acting for the client. */
  private readonly id
  get readyState(): ReadyState
  set readyState(state: ReadyState)
  constructor(id: string, server: BaseServer, transport: Transport, req: EngineRequest, protocol: number)
  private onOpen
  private onPacket
  private onError
  private schedulePing
  private resetPingTimeout
  private setTransport
  private onDrain
  _maybeUpgrade(transport: Transport): void
  private clearTransport
  private onClose
  /** Sends a message; `callback` is called when it has been written. */
  send(data: RawData, options?: SendOptions, callback?: SendCallback): this
  /** An alias of {@link send}. */
  write(data: RawData, options?: SendOptions, callback?: SendCallback): this
  private sendPacket
  private flush
  /** Number of sent bytes that the operating system has not taken: an extra of this package. */
  readonly bufferedAmount: number
  private getAvailableUpgrades
  /** Closes the session when all messages have been handed over, or at once with `discard`. */
  close(discard?: boolean): void
  private closeTransport
}

type TransportState = 'open' | 'closing' | 'closed'

/** The server options that a transport gets. */
interface TransportOptions {
  perMessageDeflate?: PerMessageDeflateOptions
  maxHttpBufferSize?: number
  maxBufferedChunks?: number
  httpRequestBodyTimeout?: number
  httpCompression?: false | (ZlibOptions & { threshold: number })
}

/**
 * Carries the packets of a session.
 *
 * Events: `packet` (packet), `error` (error), `close`, `drain` (everything was written), `ready` (more can be sent), `headers`
 * (headers, request).
 */
declare abstract class Transport extends EventEmitter {
  protected readonly opts: TransportOptions
  /** The id of the session. */
  sid: string
  /** Whether packets can be sent now. */
  writable: boolean
  /** The protocol revision. */
  protocol: 3 | 4
  protected _readyState: TransportState
  protected discarded: boolean
  protected parser: any
  protected supportsBinary: boolean
  get readyState(): TransportState
  set readyState(state: TransportState)
  /** The transports to which this one can be upgraded. */
  static upgradesTo: string[]
  constructor(req: { _query: Record<string, string> }, opts?: TransportOptions)
  /** Ignores errors from now on. */
  discard(): void
  /** Takes a request of the session. */
  onRequest(req: any): void
  close(fn?: () => void): void
  protected onError(msg: string, desc?: any): void
  protected onPacket(packet: Packet): void
  protected onData(data: RawData): void
  protected onClose(): void
  abstract get name(): string
  abstract send(packets: Packet[]): void
  abstract doClose(fn?: () => void): void
}

declare class Polling extends Transport {
  private req
  private res
  private dataReq
  private dataRes
  private shouldClose
  private readonly closeTimeout
  get name(): string
  onRequest(req: EngineRequest): void
  private onPollRequest
  private onDataRequest
  onData(data: RawData): void
  onClose(): void
  send(packets: Packet[]): void
  private write
  protected doWrite(data: any, options: any, callback: any): void
  doClose(fn: () => void): void
  private headers
}

declare class WebSocket extends Transport {
  private socket
  constructor(req: EngineRequest, opts: TransportOptions)
  get name(): string
  get handlesUpgrades(): boolean
  send(packets: Packet[]): void
  doClose(fn?: () => void): void
}

declare class WebTransport extends Transport {
  private readonly session
  private readonly writer
  constructor(session: any, stream: any, reader: any, opts: TransportOptions)
  get name(): string
  send(packets: any): Promise<void>
  doClose(fn: any): void
}

declare function polling(req: EngineRequest, opts: TransportOptions): Polling
declare namespace polling {
  var upgradesTo: string[]
}

/** The transports by their names. */
declare const transports: {
  polling: typeof polling
  websocket: typeof WebSocket
  webtransport: typeof WebTransport
}
