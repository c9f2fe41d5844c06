// Base classes as `tsc` is to see them, where a class of lib/ uses members that its subclasses define, that it takes over from
// objects, or that Node.js defines otherwise than @types/node says. A class names its base in a comment behind `extends`. Nothing of it is published.

import { EventEmitter } from 'events'
import { incoming } from '../lib/session/incoming'
import { outgoing } from '../lib/session/outgoing'
import { posting } from '../lib/transports/polling-posts'
import { Transport } from '../lib/transports/transport'
import { Socket } from 'net'

/** The members that lib/session/socket.js takes over. */
type TakenOver = typeof incoming & typeof outgoing

export interface SessionBase extends TakenOver {}

/** What lib/session/incoming.js and outgoing.js use of lib/session/socket.js. */
export class SessionBase extends EventEmitter {
  _readyState: string
  get transport(): any
  set transport(transport: any)
  get readyState(): string
  set readyState(state: string)
  get writeBuffer(): any[]
  set writeBuffer(packets: any[])
  server: any
  id: string
  protocol: number
  upgrading: boolean
  onClose(reason: string, description?: any): void
}

/** What lib/transports/transport.js uses of its subclasses. */
export class TransportBase extends EventEmitter {
  get name(): string
  doClose(fn: () => void): void
}

type Posting = typeof posting

export interface PollingBase extends Posting {}

/** What lib/transports/polling.js takes over from lib/transports/polling-posts.js. */
export class PollingBase extends Transport {
  dataReq?: any
  dataRes?: any
}

/** What lib/server/base-server.js uses of its subclasses. */
export class ServerBase extends EventEmitter {
  httpServer?: any
  get opts(): any
  set opts(opts: any)
  init(): void
  cleanup(): void
  createTransport(name: string, req: any): any
}

/** What lib/native/connection.js has from lib/native/connection-events.js and lib/native/upgrade-server.js. */
export class ConnectionBase extends EventEmitter {
  protocol: string
  extensions: string
}

/** A socket as Node.js implements it. */
export class SocketBase extends Socket {
  get readableFlowing(): boolean | null
  set readableFlowing(flowing: boolean | null)
  get readableDidRead(): boolean
  get writableLength(): number
  timeout?: number
  _writeGeneric(isMany: boolean, data: any, encoding: string | null, done: Function): void
}
